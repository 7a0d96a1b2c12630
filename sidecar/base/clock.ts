/** Where the proxy gets the time from, so that tests can set it. */
export interface Clock {
  /** Monotonic milliseconds with a fraction, from an arbitrary origin: for durations and timeouts. */
  now(): number
  /** Milliseconds since the Unix epoch: for logs, spans and dates. */
  wall(): number
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
}

/** A clock that moves only when told to. Both readings advance together. */
export class ManualClock implements Clock {
  #now = 0
  readonly #wallOrigin: number
  constructor(wallOrigin = 1_700_000_000_000) {
    this.#wallOrigin = wallOrigin
  }
  now(): number {
    return this.#now
  }
  wall(): number {
    return this.#wallOrigin + this.#now
  }
  advance(ms: number): void {
    this.#now += ms
  }
}
