/**
 * How a host has answered, counted by several worker threads together (Envoy keeps these counts at the host, which all
 * its workers share): rows of failures are rows of the process, whichever worker saw them.
 *
 * Workers count and report a row that is full; the control side judges, once, and publishes the verdict. Counts are
 * touched with each answer, so a success only reads unless there was a failure to forget.
 */
import type { RunningHost } from '../upstream/running-host.ts'
import { type OutlierJudge, OutlierMonitor, SuccessRate } from './outlier-monitor.ts'
import type { EjectionType } from './outlier-settings.ts'

const ROW_5XX = 0
const ROW_GATEWAY = 1
const ROW_LOCAL = 2
const EXTERNAL = 3
const LOCAL = 5
const CELLS = 7

/** Memory for the counts of one host. */
export function outlierMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(CELLS * Int32Array.BYTES_PER_ELEMENT)
}

/** Requests and successes, at two cells from `first`; they only ever grow, and wrap round. */
class SharedSuccessRate extends SuccessRate {
  readonly #cells: Int32Array
  readonly #first: number
  #seenTotal: number
  #seenSuccess: number
  #lastTotal = 0
  #lastSuccess = 0

  constructor(cells: Int32Array, first: number) {
    super()
    this.#cells = cells
    this.#first = first
    this.#seenTotal = Atomics.load(cells, first)
    this.#seenSuccess = Atomics.load(cells, first + 1)
  }

  override count(success: boolean): void {
    // The request first: there are never more successes than requests.
    Atomics.add(this.#cells, this.#first, 1)
    if (success) Atomics.add(this.#cells, this.#first + 1, 1)
  }

  override rotate(): void {
    const success = Atomics.load(this.#cells, this.#first + 1)
    const total = Atomics.load(this.#cells, this.#first)
    this.#lastTotal = (total - this.#seenTotal) | 0
    this.#lastSuccess = Math.min(this.#lastTotal, (success - this.#seenSuccess) | 0)
    this.#seenTotal = total
    this.#seenSuccess = success
    this.shown = -1
  }

  override get volume(): number {
    return this.#lastTotal
  }

  override get percent(): number {
    return (100 * this.#lastSuccess) / this.#lastTotal
  }
}

/** For workers, which count, and for the control side, which rotates and judges: both look at the same memory. */
export class SharedOutlierMonitor extends OutlierMonitor {
  readonly #cells: Int32Array
  readonly #judge: OutlierJudge

  constructor(host: RunningHost, judge: OutlierJudge, memory: SharedArrayBuffer) {
    const cells = new Int32Array(memory)
    super(host, judge, new SharedSuccessRate(cells, EXTERNAL), new SharedSuccessRate(cells, LOCAL))
    this.#cells = cells
    this.#judge = judge
  }

  override onResponse(status: number): void {
    if (status < 500 || status > 599) {
      this.external.count(true)
      this.#clear(ROW_5XX)
      this.#clear(ROW_GATEWAY)
      return
    }
    this.external.count(false)
    const judge = this.#judge
    if (status >= 502 && status <= 504) {
      if (this.#add(ROW_GATEWAY) === judge.consecutiveGatewayFailure) {
        judge.onConsecutive(this, 'consecutive_gateway_failure')
      }
    } else this.#clear(ROW_GATEWAY)
    if (this.#add(ROW_5XX) === judge.consecutive5xx) judge.onConsecutive(this, 'consecutive_5xx')
  }

  protected override countLocalFailure(): void {
    this.localOrigin.count(false)
    if (this.#add(ROW_LOCAL) === this.#judge.consecutiveLocalOriginFailure) {
      this.#judge.onConsecutive(this, 'consecutive_local_origin_failure')
    }
  }

  override onLocalOriginSuccess(): void {
    if (!this.#judge.splitLocalOrigin) return
    this.localOrigin.count(true)
    this.#clear(ROW_LOCAL)
  }

  override reset(type: EjectionType): void {
    if (type === 'consecutive_5xx') this.#clear(ROW_5XX)
    else if (type === 'consecutive_gateway_failure') this.#clear(ROW_GATEWAY)
    else if (type === 'consecutive_local_origin_failure') this.#clear(ROW_LOCAL)
  }

  override resetAll(): void {
    for (const row of [ROW_5XX, ROW_GATEWAY, ROW_LOCAL]) this.#clear(row)
  }

  #add(row: number): number {
    return Atomics.add(this.#cells, row, 1) + 1
  }

  #clear(row: number): void {
    if (Atomics.load(this.#cells, row) !== 0) Atomics.store(this.#cells, row, 0)
  }
}
