/** Calls after which a mean is believed. */
const LEAST_SEEN = 4
/** The mean follows an application that changes its ways. */
const REMEMBERED = 32

/** How long after a request's arrival the application sends the call it then fails over. */
export class UsualLag {
  #seen = 0
  #meanMs = 0

  add(lagMs: number): void {
    const weight = 1 / Math.min(REMEMBERED, ++this.#seen)
    this.#meanMs += (lagMs - this.#meanMs) * weight
  }

  /** A call sent so much later than is usual is hardly the one a request has been waiting for. */
  get longestMs(): number {
    return this.#seen < LEAST_SEEN ? Number.POSITIVE_INFINITY : 6 * this.#meanMs + 5
  }
}
