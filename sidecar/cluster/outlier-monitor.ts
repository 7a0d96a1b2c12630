/** How one host has answered, as outlier detection counts it (Envoy: `DetectorHostMonitorImpl`). */
import type { HostMonitor, RunningHost } from '../upstream/running-host.ts'
import type { EjectionType } from './outlier-settings.ts'

/** The part of the detector that a monitor reports to, with the limits as they are now. */
export interface OutlierJudge {
  readonly consecutive5xx: number
  readonly consecutiveGatewayFailure: number
  readonly consecutiveLocalOriginFailure: number
  readonly splitLocalOrigin: boolean
  onConsecutive(monitor: OutlierMonitor, type: EjectionType): void
}

/** Requests and successes of one interval, and of the one before it, which is what is judged. */
export class SuccessRate {
  #total = 0
  #success = 0
  #lastTotal = 0
  #lastSuccess = 0
  /** Percent, for `/clusters`; -1 when there were too few requests. */
  shown = -1

  count(success: boolean): void {
    this.#total++
    if (success) this.#success++
  }

  /** Ends the interval. */
  rotate(): void {
    this.#lastTotal = this.#total
    this.#lastSuccess = this.#success
    this.#total = 0
    this.#success = 0
    this.shown = -1
  }

  /** Requests of the last whole interval. */
  get volume(): number {
    return this.#lastTotal
  }

  /** Percent of them that succeeded. */
  get percent(): number {
    return (100 * this.#lastSuccess) / this.#lastTotal
  }
}

export class OutlierMonitor implements HostMonitor {
  readonly host: RunningHost
  readonly #judge: OutlierJudge
  #consecutive5xx = 0
  #consecutiveGatewayFailure = 0
  #consecutiveLocalOriginFailure = 0
  readonly external: SuccessRate
  readonly localOrigin: SuccessRate
  ejected = false
  /** Times it was ejected since it is watched. */
  ejections = 0
  ejectedAtMs = 0
  /** When it was last ejected or let in; undefined where it never was. */
  lastActionMs: number | undefined = undefined
  /** Let in by the sweep that is under way. */
  justReturned = false
  jitterMs = 0
  /** How many base times an ejection lasts; falls by one with every whole interval that the host is in. */
  backOff = 0

  constructor(
    host: RunningHost,
    judge: OutlierJudge,
    external: SuccessRate = new SuccessRate(),
    localOrigin: SuccessRate = new SuccessRate(),
  ) {
    this.host = host
    this.#judge = judge
    this.external = external
    this.localOrigin = localOrigin
  }

  onResponse(status: number): void {
    if (status < 500 || status > 599) {
      this.external.count(true)
      this.#consecutive5xx = 0
      this.#consecutiveGatewayFailure = 0
      return
    }
    this.external.count(false)
    const judge = this.#judge
    if (status >= 502 && status <= 504) {
      if (++this.#consecutiveGatewayFailure === judge.consecutiveGatewayFailure) {
        judge.onConsecutive(this, 'consecutive_gateway_failure')
      }
    } else this.#consecutiveGatewayFailure = 0
    if (++this.#consecutive5xx === judge.consecutive5xx) judge.onConsecutive(this, 'consecutive_5xx')
  }

  onLocalOriginFailure(kind: 'connect_failed' | 'timeout' | 'reset'): void {
    const judge = this.#judge
    if (!judge.splitLocalOrigin) {
      // Without the split these are what a caller would have been told.
      this.onResponse(kind === 'timeout' ? 504 : 503)
      return
    }
    this.countLocalFailure()
  }

  protected countLocalFailure(): void {
    this.localOrigin.count(false)
    if (++this.#consecutiveLocalOriginFailure === this.#judge.consecutiveLocalOriginFailure) {
      this.#judge.onConsecutive(this, 'consecutive_local_origin_failure')
    }
  }

  onLocalOriginSuccess(): void {
    if (!this.#judge.splitLocalOrigin) return
    this.localOrigin.count(true)
    this.#consecutiveLocalOriginFailure = 0
  }

  /** Lets a count begin anew, so that another row of failures is seen even when no success came between. */
  reset(type: EjectionType): void {
    if (type === 'consecutive_5xx') this.#consecutive5xx = 0
    else if (type === 'consecutive_gateway_failure') this.#consecutiveGatewayFailure = 0
    else if (type === 'consecutive_local_origin_failure') this.#consecutiveLocalOriginFailure = 0
  }

  /** All counts: a host that comes back must not be thrown out again for what it did before. */
  resetAll(): void {
    this.#consecutive5xx = 0
    this.#consecutiveGatewayFailure = 0
    this.#consecutiveLocalOriginFailure = 0
  }
}
