/** Events of which the rate is taken. */
const RATE_KEPT = 256
const RATE_WINDOW_MS = 5000

/** Rate of events per millisecond over the last few. */
export class EventRate {
  readonly #times = new Float64Array(RATE_KEPT)
  #count = 0

  add(nowMs: number): void {
    this.#times[this.#count++ % RATE_KEPT] = nowMs
  }

  /** Of the last seconds only: failures come in bouts, and the quiet between two says nothing of either. */
  perMs(nowMs: number): number {
    const kept = Math.min(this.#count, RATE_KEPT)
    let n = 0
    let oldest = nowMs
    while (n < kept) {
      const at = this.#times[(this.#count - 1 - n) % RATE_KEPT]!
      if (nowMs - at > RATE_WINDOW_MS) break
      oldest = at
      n++
    }
    return n < 2 ? 0 : n / Math.max(0.01, nowMs - oldest)
  }
}
