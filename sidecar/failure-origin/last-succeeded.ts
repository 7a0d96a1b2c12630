/**
 * The last few calls that succeeded and of which no request is known, latest first: an application that has just been
 * answered works, and may fail by itself (`attribution.ts`). On the path of calls without ids, so it is a ring.
 */
import { Reaction } from './attribution.ts'
import type { EgressCall } from './ledger.ts'

const KEPT = 16
const MASK = KEPT - 1

export class LastSucceeded {
  readonly #ring: (EgressCall | undefined)[] = new Array(KEPT).fill(undefined)
  #count = 0

  add(call: EgressCall, nowMs: number): void {
    const { target } = call
    if (target === undefined) return
    call.endMs = nowMs
    target.reactionToSuccess ??= new Reaction(true)
    target.reactionToSuccess.ended()
    this.#ring[this.#count++ & MASK] = call
  }

  each(visit: (call: EgressCall) => void): void {
    for (let i = 1; i <= KEPT; i++) {
      const call = this.#ring[(this.#count - i) & MASK]
      if (call === undefined) return
      visit(call)
    }
  }
}
