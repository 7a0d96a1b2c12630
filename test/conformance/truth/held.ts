/**
 * Who held a request when its time was over, where somebody was to hang on it: not always that one. Of fifty requests at a
 * time with 50 ms each some are still on their way on a busy machine, and then it is whoever they had come to.
 */
import { CHAIN } from './faults.ts'
import { type TruthOf, truthOfFault } from './judge.ts'
import type { Run } from './load.ts'

/** Timers fire late, and an answer is decided upon before it is seen. */
const SLACK_MS = 10

/** From the last that the request had surely come to, to the one that it may have been on its way to. */
export function holders({ entry, reached }: Run): TruthOf {
  const byNumber = Map.groupBy(reached, ({ number }) => number)
  return ({ plan, requestId, sentMs, door }) => {
    const { fault, budgetMs } = plan
    if (fault === undefined || budgetMs === undefined) return undefined
    const way = byNumber.get(requestId) ?? []
    // Somebody gave up when the time was over, and not after there was an answer: on a busy machine that is long.
    const dueMs = (door?.cameMs ?? sentMs) + budgetMs - SLACK_MS
    const answeredMs = (door?.answeredMs ?? sentMs + budgetMs) + SLACK_MS
    const hanging = way.find(({ hangs }) => hangs)
    if (hanging !== undefined && hanging.atMs <= dueMs) return truthOfFault(fault)
    const furthest = (atMs: number) =>
      Math.max(CHAIN.indexOf(entry), ...way.filter(one => one.atMs <= atMs).map(({ hop }) => CHAIN.indexOf(hop)))
    // Who hangs does so when the rest of the chain has answered, and the answer may be on its way.
    const hangs = CHAIN.indexOf(fault.origin as (typeof CHAIN)[number])
    const first = Math.min(hangs, furthest(dueMs))
    const last = furthest(answeredMs) + 1
    return { origins: CHAIN.slice(first, last + 1), causes: fault.causes }
  }
}

/** Share of the requests that had come to who was to hang on them when their time was over. */
export function heldAsPlanned(run: Run): number {
  const truthOf = holders(run)
  const held = run.seen.filter(one => {
    const { origins = [] } = truthOf(one) ?? {}
    return origins.length === 1 && origins[0] === one.plan.fault?.origin
  })
  return held.length / run.seen.length
}
