/** Where the proxy gets the time from, so that tests can set it. */
export interface Clock {
  /** Monotonic milliseconds with a fraction, from an arbitrary origin: for durations and timeouts. */
  now(): number
  /** Milliseconds since the Unix epoch: for logs, spans and dates. */
  wall(): number
}

/**
 * Within one delivery of bytes time stands still: the first reading serves all that follow, a dozen for a request in two
 * deliveries, at 60 ns each (Envoy: `approximateMonotonicTime`). What a delivery does takes some 20 µs.
 */
const turn = { active: false, now: 0, wall: 0 }

export const systemClock: Clock = {
  now(): number {
    if (!turn.active) return performance.now()
    if (turn.now === 0) turn.now = performance.now()
    return turn.now
  },
  wall(): number {
    if (!turn.active) return Date.now()
    if (turn.wall === 0) turn.wall = Date.now()
    return turn.wall
  },
}

/**
 * The system's clock with an origin that all threads of the machine have in common, for moments that lie in shared memory:
 * `performance.now()` counts from the start of its own thread.
 */
export const sharedClock: Clock = {
  now: () => systemClock.now() + sharedOriginMs,
  wall: systemClock.wall,
}
const sharedOriginMs = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/** Time stands still until {@link resumeTime}; whoever calls this must call that in any case. */
export function freezeTime(): void {
  turn.active = true
}

export function resumeTime(): void {
  turn.active = false
  turn.now = turn.wall = 0
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
