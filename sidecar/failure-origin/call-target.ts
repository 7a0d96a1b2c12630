/** A callee: whom calls go to, what is counted of it, and what was learned about how the application takes its failures. */
import { Reaction } from './attribution.ts'
import type { Callee, CallTarget } from './contract.ts'
import { Handling } from './handling.ts'
import type { LabelledCounter } from './metrics.ts'

/** Operations told apart per callee; the rest share one. */
const MAX_OPERATIONS = 64
/** Calls of a series that are counted before all is halved. */
const SERIES = 4096
/** So many times the usual distance between two calls, and at least so long, is a silence. */
const SILENCE_GAPS = 20
const LEAST_SILENCE_MS = 1000

export class CalleeState implements CallTarget {
  readonly clusterName: string
  readonly serviceName: string
  readonly external: boolean
  readonly blockedSeconds: LabelledCounter
  readonly calls: LabelledCounter
  readonly failedCalls: LabelledCounter
  /** Calls that carried ids of an inbound request, and calls that carried none; both halved now and then. */
  callsWithIds = 0
  callsWithout = 0
  /** To failed calls, and to calls that the application gave up. */
  readonly reaction = new Reaction()
  readonly reactionToGivingUp = new Reaction()
  /** To calls that succeeded; undefined before the first. */
  reactionToSuccess: Reaction | undefined = undefined
  /** Of the present series of calls without ids: how many, and how many of these while no request was in flight. */
  #calls = 0
  #idleCalls = 0
  #firstMs = 0
  #lastMs = 0
  /** The ledger's times at the beginning of the series. */
  #idleBaseMs = 0
  #busyBaseMs = 0
  #handling: Map<string, Handling> | undefined = undefined

  constructor(
    callee: Callee,
    serviceName: string,
    blockedSeconds: LabelledCounter,
    calls: readonly [all: LabelledCounter, failed: LabelledCounter],
  ) {
    this.clusterName = callee.clusterName
    this.serviceName = serviceName
    this.external = callee.external
    this.blockedSeconds = blockedSeconds
    this.calls = calls[0]
    this.failedCalls = calls[1]
  }

  /** How the application takes failures of this callee in one operation of its own. Asked only when something failed. */
  handling(path: string): Handling {
    this.#handling ??= new Map()
    let operation = operationOf(path)
    if (!this.#handling.has(operation) && this.#handling.size >= MAX_OPERATIONS) operation = '*'
    let handling = this.#handling.get(operation)
    if (handling === undefined) {
      handling = new Handling()
      this.#handling.set(operation, handling)
    }
    return handling
  }

  countIds(carried: boolean): void {
    if (carried) this.callsWithIds++
    else this.callsWithout++
    // Halving keeps the shares and lets them follow an application that is redeployed.
    if (this.callsWithIds + this.callsWithout >= 1024) {
      this.callsWithIds >>= 1
      this.callsWithout >>= 1
    }
  }

  /**
   * A call without ids was sent. `idleMs` and `busyMs`: the ledger's times. Calls after a long silence begin a new series:
   * a job that has just begun says nothing of the time before it.
   */
  countLoose(nowMs: number, idle: boolean, idleMs: number, busyMs: number): void {
    const gap = nowMs - this.#lastMs
    if (
      this.#calls === 0 ||
      gap > Math.max(LEAST_SILENCE_MS, (SILENCE_GAPS * (this.#lastMs - this.#firstMs)) / this.#calls)
    ) {
      this.#calls = this.#idleCalls = 0
      this.#firstMs = nowMs
      this.#idleBaseMs = idleMs
      this.#busyBaseMs = busyMs
    }
    this.#lastMs = nowMs
    this.#calls++
    if (idle) this.#idleCalls++
    if (this.#calls < SERIES) return
    this.#calls /= 2
    this.#idleCalls /= 2
    this.#firstMs = (this.#firstMs + nowMs) / 2
    this.#idleBaseMs = (this.#idleBaseMs + idleMs) / 2
    this.#busyBaseMs = (this.#busyBaseMs + busyMs) / 2
  }

  /**
   * Share of the calls made while requests were in flight that background work explains: what is called at some rate
   * while nothing is in flight is called at that rate at other times too.
   */
  backgroundShare(idleMs: number, busyMs: number): number {
    const busyCalls = this.#calls - this.#idleCalls
    const idle = idleMs - this.#idleBaseMs
    if (this.#idleCalls === 0 || busyCalls <= 0 || idle <= 0) return 0
    return Math.min(1, ((this.#idleCalls / idle) * (busyMs - this.#busyBaseMs)) / busyCalls)
  }
}

/** A path without its query and with segments that look like values (digits, long ones) made one: `/orders/:/items`. */
export function operationOf(path: string): string {
  const end = path.indexOf('?')
  const plain = end < 0 ? path : path.slice(0, end)
  return plain
    .slice(0, 256)
    .split('/', 5)
    .map(segment => (/\d/.test(segment) || segment.length > 24 ? ':' : segment))
    .join('/')
}
