/** Fractions of requests as configuration writes them, in the form that `Runtime.enabled` takes. */
import type { FractionalPercent, RuntimeFractionalPercent } from '../../config/schema/generated/types.ts'
import type { RuntimeFraction } from '../../filter-chain/runtime.ts'

const DENOMINATORS = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 } as const

/** A `RuntimeFractionalPercent`; where it is not set, `percentWhenUnset` of requests whatever the runtime says. */
export function runtimeFraction(
  message: RuntimeFractionalPercent | undefined,
  percentWhenUnset: number,
): RuntimeFraction {
  if (message === undefined) return { key: '', numerator: percentWhenUnset, denominator: 100 }
  return fractionOfKey(message.runtimeKey, message.defaultValue)
}

/** A `FractionalPercent` that the runtime key `key` may override; not set means never. */
export function fractionOfKey(key: string, message: FractionalPercent | undefined): RuntimeFraction {
  if (message === undefined) return { key, numerator: 0, denominator: 100 }
  return { key, numerator: message.numerator, denominator: DENOMINATORS[message.denominator] }
}
