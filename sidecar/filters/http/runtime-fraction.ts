/** Fractions of requests as filters' configuration writes them, in the form that `Runtime.enabled` takes. */
import type { FractionalPercent, RuntimeFractionalPercent } from '../../config/schema/generated/types.ts'
import type { RuntimeFraction } from '../../filter-chain/runtime.ts'
import { runtimeFraction } from '../../router/runtime-fraction.ts'

/** A `RuntimeFractionalPercent`; where it is not set, `percentWhenUnset` of requests whatever the runtime says. */
export function fractionOr(message: RuntimeFractionalPercent | undefined, percentWhenUnset: number): RuntimeFraction {
  return message === undefined ? { key: '', numerator: percentWhenUnset, denominator: 100 } : runtimeFraction(message)
}

/** A `FractionalPercent` that the runtime key `key` may override; not set means never. */
export function fractionOfKey(key: string, message: FractionalPercent | undefined): RuntimeFraction {
  return runtimeFraction({ runtimeKey: key, defaultValue: message })
}
