/**
 * Who held a request when its time was over, where somebody was to hang on it: not always that one. Of fifty requests at a
 * time with 50 ms each some are still on their way on a busy machine, and then it is whoever they had come to.
 */
import { CHAIN } from './faults.ts'
import type { TruthOf } from './judge.ts'
import type { Run } from './load.ts'

/** Timers fire late, and an answer is decided upon before it is seen. */
const SLACK_MS = 10

/** From the last that the request had surely come to, to the one that it may have been on its way to. */
export function holders({ entry, reached }: Run): TruthOf {
  const byNumber = Map.groupBy(reached, ({ number }) => number)
  return ({ plan, requestId, sentMs }) => {
    const { fault, budgetMs } = plan
    if (fault === undefined || budgetMs === undefined) return undefined
    const furthest = (untilMs: number) =>
      Math.max(
        CHAIN.indexOf(entry),
        ...(byNumber.get(requestId) ?? []).filter(({ atMs }) => atMs <= untilMs).map(({ hop }) => CHAIN.indexOf(hop)),
      )
    const hangs = CHAIN.indexOf(fault.origin as (typeof CHAIN)[number])
    // Who hangs does so when the rest of the chain has answered.
    const first = Math.min(hangs, furthest(sentMs + budgetMs - SLACK_MS))
    const last = first === hangs ? hangs : furthest(sentMs + budgetMs + SLACK_MS) + 1
    return { origins: CHAIN.slice(first, last + 1), causes: fault.causes }
  }
}
