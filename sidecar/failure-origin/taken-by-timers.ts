/**
 * Failed calls that were given to requests whose timers fired in the same moment: each perhaps another's, which is about to
 * fail over it. That one has then no failed call of its own: the two have changed places, and it has the call that the other
 * one waits for.
 */
import type { EgressCall, InboundEntry } from './ledger.ts'

/** An application that hears of a failure while a timer decides says so within so long. */
const SAME_TIMER_MS = 50
const MAX_TAKEN = 64

export class TakenByTimers {
  readonly #calls: EgressCall[] = []

  add(call: EgressCall): void {
    this.#calls.push(call)
    if (this.#calls.length > MAX_TAKEN) this.#calls.shift()
  }

  /** Whether one was taken from this request, which fails without any; it is forgotten with the answer. */
  from(entry: InboundEntry, nowMs: number): boolean {
    const at = this.#calls.findIndex(call => call.startSeq >= entry.seq && nowMs - call.endMs < SAME_TIMER_MS)
    if (at < 0) return false
    this.#calls.splice(at, 1)
    return true
  }
}
