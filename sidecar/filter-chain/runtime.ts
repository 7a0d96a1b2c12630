/**
 * Runtime settings (Envoy: `layered_runtime`): values that configuration names by key and operators may change while the
 * proxy runs.
 */
import type { Random } from '../base/random.ts'

/** Envoy: `FractionalPercent.DenominatorType`. */
export const DENOMINATORS = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 } as const

/** A `FractionalPercent` that a runtime key may override: `numerator` of `denominator`. */
export interface RuntimeFraction {
  readonly key: string
  readonly numerator: number
  readonly denominator: 100 | 10_000 | 1_000_000
}

export interface Runtime {
  /** The value of `key`, or `fallback` where no layer has it or it is not a number. */
  number(key: string, fallback: number): number
  boolean(key: string, fallback: boolean): boolean
  /** Decides by lot: true in the given fraction of calls. */
  enabled(fraction: RuntimeFraction, random: Random): boolean
  /** Calls `callback` after each change, for what is worked out of values beforehand. */
  onModified?(callback: () => void): void
}
