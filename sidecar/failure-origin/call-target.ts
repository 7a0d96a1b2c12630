/** A callee: whom calls go to, what is counted of it, and what was learned about how the application takes its failures. */
import { AftermathOfFailures } from './aftermath.ts'
import type { Callee, CallTarget } from './contract.ts'
import { Handling } from './handling.ts'
import type { LabelledCounter } from './metrics.ts'

/** Operations told apart per callee; the rest share one. */
const MAX_OPERATIONS = 64

export class CalleeState implements CallTarget {
  readonly clusterName: string
  readonly serviceName: string
  readonly external: boolean
  readonly blockedSeconds: LabelledCounter
  /** Calls that carried ids of an inbound request, and calls that carried none; both halved now and then. */
  callsWithIds = 0
  callsWithout = 0
  readonly aftermath = new AftermathOfFailures()
  /** Calls made while no inbound request was in flight. */
  #idleCalls = 0
  #halve = false
  #idleBaseMs = 0
  #busyBaseMs = 0
  #handling: Map<string, Handling> | undefined = undefined

  constructor(callee: Callee, serviceName: string, blockedSeconds: LabelledCounter) {
    this.clusterName = callee.clusterName
    this.serviceName = serviceName
    this.external = callee.external
    this.blockedSeconds = blockedSeconds
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
      this.#idleCalls >>= 1
      this.#halve = true
    }
  }

  countIdle(): void {
    this.#idleCalls++
  }

  /** See `Claims`; the times are totals since start. */
  backgroundShare(idleMs: number, busyMs: number): number {
    if (this.#halve) {
      this.#halve = false
      this.#idleBaseMs = (this.#idleBaseMs + idleMs) / 2
      this.#busyBaseMs = (this.#busyBaseMs + busyMs) / 2
    }
    const busyCalls = this.callsWithout - this.#idleCalls
    const idle = idleMs - this.#idleBaseMs
    if (this.#idleCalls === 0 || busyCalls <= 0 || idle <= 0) return 0
    const expected = (this.#idleCalls / idle) * (busyMs - this.#busyBaseMs)
    return Math.min(1, expected / busyCalls)
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
