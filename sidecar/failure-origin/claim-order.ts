/**
 * What follows from the order in which requests came and calls were sent, where nothing tells calls apart. A call is of a
 * request that came before it, and mostly a request has one call at a time. So a set of first requests that has as many
 * calls as members has none to spare for anybody who came later, nor needs any that was sent later:
 *
 *     requests   1   2   3                 call x can be of 1 only, y of 1 or 2, z of 1, 2 or 3. All failed, and now
 *     calls        x   y   z               request 1 does: over x, or there would be nobody left whose call x is.
 *
 * (Hall's condition, for sets that hold each other.) Requests are those in flight and those that have timed out and wait to
 * hear which call was theirs (`waits.ts`); calls are those in flight and those that failed and that nobody has taken.
 * Where the calls are more, requests have several at a time, or background work is among them, and nothing follows.
 */
import type { EgressCall, Ledger } from './ledger.ts'

/** Requests and calls that are counted; with more nothing is said. */
const MAX_COUNTED = 1024

export class CallOrder {
  /** Requests, by number, that with all before them have as many calls as they are; and the last such call. */
  readonly #full: number[] = []
  readonly #last: number[] = []

  /** Numbers of the requests, and of each call the number of the last request before it; both ascending. */
  constructor(requests: readonly number[], calls: readonly number[]) {
    let sent = 0
    for (let i = 0; i < requests.length; i++) {
      // Calls that only the requests up to this one can have sent.
      const next = i + 1 < requests.length ? requests[i + 1]! : Number.POSITIVE_INFINITY
      while (sent < calls.length && calls[sent]! < next) sent++
      if (sent > i + 1) {
        this.#full.length = 0
        return
      }
      if (sent < i + 1) continue
      this.#full.push(requests[i]!)
      this.#last.push(next - 1)
    }
  }

  /** Whether the call can be that of request `seq` without leaving some other request's call without a sender. */
  allows(call: EgressCall, seq: number): boolean {
    const i = this.#full.findIndex(request => request >= seq)
    return i < 0 || call.startSeq <= this.#last[i]!
  }
}

/**
 * The order of all that is known now. `waits`: numbers of the requests that wait to hear. `failed`: calls that failed, from
 * `front` on. `call` is one that counts in any case. `isWaitedFor` tells whether some request waits for a call, or will
 * fail over it. Undefined where there is too much of it.
 */
export function callOrder(
  ledger: Ledger,
  waits: readonly number[],
  failed: readonly EgressCall[],
  front: number,
  call: EgressCall | undefined,
  isWaitedFor: (call: EgressCall) => boolean,
): CallOrder | undefined {
  const requests = [...waits]
  for (let at = ledger.oldest; at !== undefined && requests.length <= MAX_COUNTED; at = at.next) {
    if (!at.copiesIds) requests.push(at.seq)
  }
  if (requests.length > MAX_COUNTED || requests.length === 0) return undefined
  requests.sort((x, y) => x - y)
  const calls = call === undefined ? [] : [call.startSeq]
  const count = (other: EgressCall): void => {
    if (other === call || other.claimed || other.startSeq < requests[0]! || other.ambiguousKey !== '') return
    if (isWaitedFor(other)) calls.push(other.startSeq)
  }
  for (let i = front; i < failed.length && calls.length <= MAX_COUNTED; i++) count(failed[i]!)
  for (let open = ledger.looseHead; open !== undefined && calls.length <= MAX_COUNTED; open = open.looseNext) {
    // One that failed stands among the others, though its body may still come.
    if (open.record === undefined) count(open)
  }
  if (calls.length > MAX_COUNTED) return undefined
  calls.sort((x, y) => x - y)
  return new CallOrder(requests, calls)
}
