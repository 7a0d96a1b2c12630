/**
 * A token bucket that fills continuously (Envoy: `AtomicTokenBucketImpl`): `tokensPerFill` tokens every `fillIntervalMs`,
 * spread evenly, at most `maxTokens`, full at first.
 *
 * The whole state is one number, the moment at which the bucket was, or will have been, empty: the tokens in it are the
 * time since then times the rate, and taking `n` tokens moves the moment on by what it takes to fill `n`. One number can
 * lie in memory shared by worker threads and be changed by compare-and-swap, so that a limit holds for the process.
 */
import type { Clock } from './clock.ts'

export interface TokenBucketSettings {
  readonly maxTokens: number
  readonly tokensPerFill: number
  readonly fillIntervalMs: number
}

/**
 * Shared state is a whole number, because there is no atomic exchange of fractions: of 10 ns, which is fine enough for ten
 * million tokens a second, and reaches a thousand years either way.
 */
const UNITS_PER_MS = 1e5
/** Zeroed memory is a bucket that has not been touched yet, and full; {@link cellOf} therefore never gives it. */
const UNTOUCHED = 0n

export class TokenBucket {
  readonly maxTokens: number
  /** Milliseconds that one token takes. */
  readonly #msPerToken: number
  readonly #clock: Clock
  readonly #shared: BigInt64Array | undefined
  #emptyAtMs: number

  /**
   * `shared`, one zeroed cell of shared memory, makes this one of several views of one bucket; `clock.now()` must then
   * have the same origin in all threads.
   */
  constructor(settings: TokenBucketSettings, clock: Clock, shared?: BigInt64Array) {
    this.maxTokens = settings.maxTokens
    this.#msPerToken = settings.fillIntervalMs / settings.tokensPerFill
    this.#clock = clock
    this.#shared = shared
    this.#emptyAtMs = clock.now() - this.maxTokens * this.#msPerToken
  }

  /** Tokens that one second brings. */
  get tokensPerSecond(): number {
    return 1000 / this.#msPerToken
  }

  /** Tokens in the bucket now, with a fraction. */
  get tokens(): number {
    return Math.max(0, this.#tokensSince(this.#load()))
  }

  /** Milliseconds until there is a whole token; 0 when there is one. */
  get msUntilNextToken(): number {
    return Math.max(0, (1 - this.tokens) * this.#msPerToken)
  }

  /** Takes `count` tokens, or none and answers false when there are fewer. */
  tryTake(count = 1): boolean {
    for (;;) {
      const before = this.#load()
      const tokens = this.#tokensSince(before)
      if (tokens < count) return false
      if (this.#store(before, tokens - count)) return true
    }
  }

  /** Puts tokens back, up to the maximum. */
  give(count: number): void {
    for (;;) {
      const before = this.#load()
      if (this.#store(before, Math.min(this.maxTokens, this.#tokensSince(before) + count))) return
    }
  }

  #tokensSince(emptyAtMs: number): number {
    return Math.min(this.maxTokens, (this.#clock.now() - emptyAtMs) / this.#msPerToken)
  }

  #load(): number {
    if (this.#shared === undefined) return this.#emptyAtMs
    const cell = Atomics.load(this.#shared, 0)
    return cell === UNTOUCHED ? -Infinity : Number(cell >> 1n) / UNITS_PER_MS
  }

  /** Makes `tokens` the contents, unless another thread has changed them since `before` was read. */
  #store(before: number, tokens: number): boolean {
    const emptyAtMs = this.#clock.now() - tokens * this.#msPerToken
    if (this.#shared === undefined) {
      this.#emptyAtMs = emptyAtMs
      return true
    }
    const expected = before === -Infinity ? UNTOUCHED : cellOf(before)
    return Atomics.compareExchange(this.#shared, 0, expected, cellOf(emptyAtMs)) === expected
  }
}

/** Odd, so that no moment looks like memory nobody has touched. */
function cellOf(emptyAtMs: number): bigint {
  return (BigInt(Math.round(emptyAtMs * UNITS_PER_MS)) << 1n) | 1n
}
