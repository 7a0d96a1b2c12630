/** Fractions of requests in the form that `Runtime.enabled` takes. */
import type { RuntimeFractionalPercent } from '../config/schema/generated/types.ts'
import { DENOMINATORS, type RuntimeFraction } from '../filter-chain/runtime.ts'

/** Without a default value the fraction is none, unless the runtime says otherwise. */
export function runtimeFraction(message: RuntimeFractionalPercent): RuntimeFraction {
  const { defaultValue, runtimeKey } = message
  return {
    key: runtimeKey,
    numerator: defaultValue?.numerator ?? 0,
    denominator: DENOMINATORS[defaultValue?.denominator ?? 'HUNDRED'],
  }
}

/** `5 %`, with the runtime key where there is one. */
export function fractionText({ key, numerator, denominator }: RuntimeFraction): string {
  const percent = `${(numerator * 100) / denominator} %`
  return key === '' ? percent : `${percent} (runtime key ${key})`
}
