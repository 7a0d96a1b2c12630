/** One fault from beginning to end: break, watch, ask the sidecars, mend, wait until all is well again. */
import { setTimeout as delay } from 'node:timers/promises'
import type { TrafficShape } from './catalogue.ts'
import type { Chain } from './chain.ts'
import type { Chosen } from './choice.ts'
import { judge, type Named, nameCulprit, type Verdict } from './judge.ts'
import { evidenceOf, type SidecarOutput } from './sidecar-output.ts'
import { summaryOf, type Traffic } from './traffic.ts'

/** How long the fault lasts: enough for a good dozen of requests, in most cases for three. */
const WINDOW_MS = 1500
const LEAST_REQUESTS = 16
const LONGEST_WINDOW_MS = 2500
/** Sidecars finish their books: calls abandoned by an application that has answered end a little later. */
const SETTLE_MS = 100
const WELL_AGAIN = 10
const RECOVERY_DEADLINE_MS = 20_000

export interface FaultResult {
  readonly callersSaw: string
  readonly named: Named | undefined
  readonly verdict: Verdict
}

export class NotRecovered extends Error {
  override name = 'NotRecovered'
}

export interface Scene {
  readonly chain: Chain
  readonly traffic: Traffic
  readonly output: SidecarOutput
  /** Seconds per request and service while nothing is broken. */
  readonly usual: ReadonlyMap<string, number>
}

/** Breaks what `chosen.injected` says and judges by what `chosen.announced` says. The fault stays; see {@link mend}. */
export async function runFault({ chain, traffic, output, usual }: Scene, chosen: Chosen): Promise<FaultResult> {
  const { injections } = chosen.injected
  const before = await output.counters()
  const since = Date.now()
  traffic.take()
  await chain.inject(injections)
  traffic.shape(shapeOf(chosen))
  await delay(Math.min(LONGEST_WINDOW_MS, Math.max(WINDOW_MS, (LEAST_REQUESTS / traffic.rate) * 1000)))
  await traffic.pause()
  await delay(SETTLE_MS)
  const [entries, after] = await Promise.all([output.failuresSince(since), output.counters()])
  const evidence = evidenceOf(entries, before, after, usual)
  const named = nameCulprit(evidence)
  return { callersSaw: summaryOf(traffic.take()), named, verdict: judge(named, chosen.announced.truth, evidence) }
}

export function shapeOf({ injected }: Chosen): TrafficShape {
  let shape: TrafficShape = {}
  for (const injection of injected.injections) {
    if (injection.kind === 'traffic') shape = { ...shape, ...injection.traffic }
  }
  return shape
}

/** Everybody is well again, and a row of requests went through to prove it. */
export async function mend({ chain, traffic }: Scene): Promise<void> {
  await chain.mend()
  traffic.shape({})
  traffic.start()
  const deadline = performance.now() + RECOVERY_DEADLINE_MS
  while (traffic.successes < WELL_AGAIN) {
    if (performance.now() > deadline) throw new NotRecovered('the chain did not recover in 20 s')
    await delay(10)
  }
}
