/**
 * The last few calls that succeeded and of which no request is known, latest first: an application that has just been
 * answered works, and may fail by itself (`attribution.ts`). On the path of calls without ids, so it is a ring, and of what
 * is asked for only: a call that is held here would outlive its request.
 */
import { Reaction } from './attribution.ts'
import type { CalleeState } from './call-target.ts'
import type { EgressCall } from './ledger.ts'

const KEPT = 16
const MASK = KEPT - 1

/** What tells whose call it can have been (as of {@link EgressCall}). */
export interface Succeeded {
  readonly startSeq: number
  readonly ambiguousKey: string
}

export class LastSucceeded {
  readonly #targets: (CalleeState | undefined)[] = new Array(KEPT).fill(undefined)
  readonly #endMs = new Float64Array(KEPT)
  readonly #startSeqs = new Float64Array(KEPT)
  readonly #ambiguousKeys: string[] = new Array(KEPT).fill('')
  #count = 0

  add({ target, startSeq, ambiguousKey }: EgressCall, nowMs: number): void {
    if (target === undefined) return
    target.reactionToSuccess ??= new Reaction(true)
    target.reactionToSuccess.ended()
    const at = this.#count++ & MASK
    this.#targets[at] = target
    this.#endMs[at] = nowMs
    this.#startSeqs[at] = startSeq
    this.#ambiguousKeys[at] = ambiguousKey
  }

  each(visit: (reaction: Reaction, endMs: number, call: Succeeded) => void): void {
    for (let i = 1; i <= KEPT; i++) {
      const at = (this.#count - i) & MASK
      const reaction = this.#targets[at]?.reactionToSuccess
      if (reaction === undefined) return
      const call = { startSeq: this.#startSeqs[at]!, ambiguousKey: this.#ambiguousKeys[at]! }
      visit(reaction, this.#endMs[at]!, call)
    }
  }
}
