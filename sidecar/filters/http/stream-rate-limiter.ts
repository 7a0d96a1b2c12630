/**
 * Lets the body of a response through at so many KiB a second (Envoy: `StreamRateLimiter`, used by the fault filter).
 *
 * A bucket of bytes fills evenly, up to what a second brings; a twentieth of that is there at first. What comes waits, and
 * each 50 ms as much goes on as there are bytes in the bucket, so that a large chunk trickles. The end of the body goes
 * with its last bytes, trailers behind them. How much may wait is the filter chain's business, which stops the source.
 */
import type { Clock } from '../../base/clock.ts'
import { Timer, type Timers } from '../../base/timer-wheel.ts'
import type { FilterStatus, HttpStream } from '../../filter-chain/http-filter.ts'

const FILL_INTERVAL_MS = 50

export class StreamRateLimiter {
  readonly #bytesPerMs: number
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #timer: Timer
  #stream: HttpStream | undefined = undefined
  /** Bytes in the bucket when it was last looked at, with a fraction. */
  #budget: number
  #countedAtMs: number

  constructor(kbps: number, { clock, timers }: { readonly clock: Clock; readonly timers: Timers }) {
    this.#bytesPerMs = (kbps * 1024) / 1000
    this.#clock = clock
    this.#timers = timers
    this.#budget = this.#bytesPerMs * FILL_INTERVAL_MS
    this.#countedAtMs = clock.now()
    this.#timer = new Timer(() => this.#pass())
  }

  /** Part of the body has come, and waits. */
  take(stream: HttpStream): typeof FilterStatus.Stop {
    this.#stream = stream
    // At once, if the bucket has something, but not from within the callback.
    if (!this.#timer.active) this.#timers.start(this.#timer, 0)
    return stream.meterResponse(this)
  }

  stop(): void {
    this.#timers.stop(this.#timer)
  }

  #pass(): void {
    const now = this.#clock.now()
    const earned = (now - this.#countedAtMs) * this.#bytesPerMs
    this.#countedAtMs = now
    this.#budget = Math.min(this.#bytesPerMs * 1000, this.#budget + earned)
    const allowed = Math.floor(this.#budget)
    const stream = this.#stream!
    const before = stream.passResponse(this, 0)
    const waiting = before === 0 ? 0 : stream.passResponse(this, Math.min(allowed, before))
    this.#budget -= Math.min(allowed, before)
    if (waiting > 0 && !stream.ended) this.#timers.start(this.#timer, FILL_INTERVAL_MS)
  }
}
