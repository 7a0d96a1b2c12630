/**
 * Requests that were answered (or given up) while they waited for a call, and which call that was.
 *
 * Where nothing is copied, a request that times out can only say that it waits for *some* call: which one shows afterwards.
 * An application gives a call up when the request behind it has been answered, so the first call to be given up is of the
 * request that was answered first, unless the order of requests and calls speaks against it (`claim-order.ts`). Until then
 * each such request occupies one open call, so that the next one to time out finds another, and an application that is slow
 * by itself finds none:
 *
 *     timed out ─► occupies an open call ─┬─ a call is given up ────────────────► it is of the first that waits
 *                                         ├─ the occupied call fails by itself ─► another is occupied in its place
 *                                         └─ a failed call that nobody claims ──► it is of the first that waits
 *
 * A request that is given up may find no call, because others occupy all that could be its own, or because it has just
 * failed. It is remembered too, and has the first call that ends soon afterwards and that nobody waited for.
 */
import type { CallOrder } from './claim-order.ts'
import type { EgressCall, Ledger } from './ledger.ts'

/** Open calls looked at. */
const MAX_LOOKED_AT = 1024
/** Requests that wait to hear which call was theirs; the oldest is forgotten. */
const MAX_WAITS = 1024

/** Of requests: when there are open calls for so many, more or less all wait. */
const MOST = 0.75

/** Applications hear of answers that came so close together in any order. */
const ONE_MOMENT_MS = 20

/** Within so long an application gives up what it asked for, when it hears that nobody waits for its answer. */
const HEARS_WITHIN_MS = 100

export interface Wait {
  /** The id under which the request has told of its failure. */
  readonly recordId: string
  /** The ledger's number of the request. */
  readonly seq: number
  readonly atMs: number
  /** Occupied for it; undefined when none is left. */
  call: EgressCall | undefined
}

export class Waits {
  readonly #ledger: Ledger
  /** In the order of the answers. */
  readonly #waits: Wait[] = []
  /** Requests that were given up, and no call was to be found: in that order. */
  readonly #without: Wait[] = []

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /** Numbers of the requests that wait to hear. */
  get seqs(): number[] {
    return this.#waits.map(({ seq }) => seq)
  }

  /** A request has answered as `recordId`, probably waiting for `call`. */
  add(call: EgressCall, recordId: string, seq: number, atMs: number): void {
    const wait: Wait = { recordId, seq, atMs, call }
    call.waitedBy = wait
    this.#waits.push(wait)
    if (this.#waits.length > MAX_WAITS) this.#drop()
  }

  /** A request was given up as `recordId`, and whatever it may have waited for seems to be another's, or has failed. */
  addWithout(recordId: string, seq: number, atMs: number): void {
    this.#without.push({ recordId, seq, atMs, call: undefined })
    if (this.#without.length > MAX_WAITS) this.#without.shift()
  }

  /**
   * The call has ended and is of a request that was answered while it was open: which? Undefined when of none. `order` is
   * asked where there is a choice.
   */
  settle(call: EgressCall, order: () => CallOrder | undefined): Wait | undefined {
    const index = this.#indexFor(call, order)
    if (index < 0) {
      // Or it would go on occupying a call that is over.
      this.leave(call)
      return undefined
    }
    const wait = this.#waits[index]!
    this.#waits.splice(index, 1)
    if (wait.call !== call) {
      // Whoever occupies this call gets the one that is free now.
      const other = call.waitedBy
      if (wait.call !== undefined) wait.call.waitedBy = undefined
      if (other !== undefined) {
        other.call = wait.call?.open === true ? wait.call : undefined
        if (other.call !== undefined) other.call.waitedBy = other
      }
    }
    call.waitedBy = wait
    wait.call = call
    return wait
  }

  /** The call has ended, and nobody waits for it: the first request without a call that can have sent it, if any. */
  settleWithout(call: EgressCall, atMs: number): Wait | undefined {
    const index = this.#without.findIndex(
      wait => wait.seq <= call.startSeq && call.startMs <= wait.atMs && Math.abs(atMs - wait.atMs) < HEARS_WITHIN_MS,
    )
    if (index < 0) return undefined
    const wait = this.#without.splice(index, 1)[0]!
    call.waitedBy = wait
    wait.call = call
    return wait
  }

  /** Forgets requests that were answered before `atMs`: their calls have gone on, or ended unseen. */
  forget(atMs: number): void {
    while (this.#waits.length > 0 && this.#waits[0]!.atMs < atMs) this.#drop()
    while (this.#without.length > 0 && this.#without[0]!.atMs < atMs) this.#without.shift()
  }

  /** The call turned out to be somebody else's: whoever occupies it occupies the next one to the same callee, if any. */
  leave(call: EgressCall): void {
    const wait = call.waitedBy
    if (wait === undefined) return
    call.waitedBy = undefined
    wait.call = undefined
    let steps = 0
    for (
      let next = this.#ledger.looseHead;
      next !== undefined && steps < MAX_LOOKED_AT;
      next = next.looseNext, steps++
    ) {
      // Whoever has been answered sends no calls.
      if (next.startMs > wait.atMs) return
      if (next === call || next.waitedBy !== undefined || next.record !== undefined) continue
      if (next.startSeq < wait.seq || next.target !== call.target) continue
      next.waitedBy = wait
      wait.call = next
      return
    }
  }

  #indexFor(call: EgressCall, order: () => CallOrder | undefined): number {
    const waits = this.#waits
    const could = (wait: Wait) =>
      wait.seq <= call.startSeq &&
      wait.atMs >= call.startMs &&
      (wait.call === undefined || wait.call.target === call.target)
    const first = waits.findIndex(could)
    if (first < 0) {
      if (call.startSeq >= this.#ledger.oldestSeq) return -1
      // Nobody in flight can have sent it, and of the others each has got a call: this one's, and that one is left over, to
      // somebody who was answered about then. Whoever waits for longer waits for something else, or for nothing at all.
      return waits.findIndex(wait => wait.call?.target === call.target && call.startMs - wait.atMs < HEARS_WITHIN_MS)
    }
    if (waits.length === 1) return first
    // Which of several was answered first says little where all were within a moment; who occupies the call needs it.
    if (call.waitedBy !== undefined && call.waitedBy.atMs - waits[first]!.atMs < ONE_MOMENT_MS) {
      const own = waits.indexOf(call.waitedBy)
      if (own >= 0) return own
    }
    const known = order()
    const allowed = known === undefined ? -1 : waits.findIndex(wait => could(wait) && known.allows(call, wait.seq))
    return allowed < 0 ? first : allowed
  }

  #drop(): void {
    const oldest = this.#waits.shift()!
    if (oldest.call?.waitedBy === oldest) oldest.call.waitedBy = undefined
  }
}

/** There are nearly as many open calls as requests that came before and whose calls are not known. */
export function mostWait(ledger: Ledger, beforeMs: number): boolean {
  let requests = 0
  for (let at = ledger.oldest; at !== undefined && at.startMs <= beforeMs; at = at.next) {
    if (at.openHead === undefined && !at.copiesIds && ++requests === MAX_LOOKED_AT) break
  }
  let calls = 0
  for (let call = ledger.looseHead; call !== undefined && calls < requests; call = call.looseNext) {
    if (call.entry === undefined && call.waitedBy === undefined && call.record === undefined) calls++
  }
  return calls >= requests * MOST
}
