/** Cells that are the same whatever services speak with each other. Each says what has to come out of it. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { startEnvoy } from '../../kit/envoy.ts'
import { assertConserved, assertRight, assertShare, beyondLinks, type CellResult, runCell } from './cell.ts'
import { FAULTS, type Fault, fault, INNOCENT, type Manner, type Plan } from './faults.ts'
import { heldAsPlanned, holders } from './held.ts'
import { judge, truthOfFault } from './judge.ts'
import { mixed, type Pace, runPlans } from './load.ts'
import { Mesh, type MeshOptions } from './mesh.ts'

export const BACKGROUND = ['a', 'b', 'c'] as const
/** Enough for 50 requests in flight to wait for applications rather than for the processor. */
export const LEISURELY_MS = 200

/**
 * Where nothing is copied, fifty at a time, it is the time between two failures against what an answer takes that decides
 * whether they can be told apart. So applications work for long, and the processor is nearly idle.
 */
const SLOW_MS = 700

/**
 * Fifty timers that fire within a second are told apart by their order, to a millisecond: 197 to 200 of 200 are seen. What is
 * said of them is `likely`, of which nine tenths have to be right.
 */
const HELD_RIGHTLY = 0.95
const LIKELY_RIGHT = 0.9

/**
 * Where a fifth of the requests have not come to who is to hang on them when their time is over, it is the processors that
 * hang: fifty requests with 50 ms each keep two of them busy as it is. Such a cell may fail, and is then run again. (Of 150
 * cells those with more on time had 189 to 200 of 200 right, the others 168 to 200.)
 */
const ON_TIME = 0.8
const ATTEMPTS = 5

export const as = (faults: readonly Fault[], manner: Manner): Plan[] => faults.map(one => ({ fault: one, manner }))
/** Where applications take their time, who hangs must not be waited for less than that. */
export const patient = (plan: Plan): Plan => (plan.fault?.kind === 'app_timeout' ? { ...plan, budgetMs: 3000 } : plan)

/** What sidecars and applications speak besides HTTP/1.1. */
export const OVER_HTTP2: readonly (readonly [name: string, spoken: Partial<MeshOptions>])[] = [
  ['HTTP/2', { http2: true }],
  ['gRPC', { grpc: true }],
]

/** A mesh that has seen a few requests, and whose rate limits have no token left. */
export async function startMesh(options: MeshOptions): Promise<Mesh> {
  const mesh = await Mesh.start(options)
  await runPlans(mesh, Array<Plan>(20).fill(INNOCENT), 1)
  const limited = FAULTS.filter(({ kind }) => kind === 'rate_limited')
  await runPlans(mesh, as(limited, 'pass'), 1)
  return mesh
}

export async function envoyInPlaceOfASidecar(spoken: Partial<MeshOptions> = {}): Promise<void> {
  await using mesh = await Mesh.start({
    ...spoken,
    copies: 'headers',
    sidecars: { c: (yaml, adminPort) => startEnvoy(yaml, { adminPort }) },
  })
  const { verdict } = await runCell(mesh, {
    name: 'Envoy at c',
    plans: as([fault('d:connect_refused'), fault('c:app_down'), fault('b:app_error')], 'pass'),
    requests: 210,
    concurrency: 10,
    // Envoy's word does not cross c's application: what lies beyond is c's, as far as anybody can know.
    truthOf: () => seen => ({ origins: [seen.plan.fault!.origin === 'b' ? 'b' : 'c'], causes: ['app_error'] }),
  })
  assert.equal(verdict.visible.length, 210)
  assertRight(verdict.visible)
  for (const { seen, confidence } of verdict.visible) {
    assert.equal(confidence, seen.plan.fault!.origin === 'b' ? 'exact' : 'link')
  }
}

export async function lyingHarness(mesh: Mesh): Promise<void> {
  const run = await runPlans(mesh, Array<Plan>(50).fill({ fault: fault('c:app_error'), manner: 'pass' }), 10)
  assertRight(judge(run).visible)
  const lie = judge(run, () => truthOfFault(fault('d:app_error')))
  assert.throws(() => assertRight(lie.visible, 0.9), /0 of 50 are named right/)
}

/** From outside, from the application, from beyond the mesh. */
export async function forgedRecords(mesh: Mesh): Promise<void> {
  const forged = 'x; error=connection_refused; failure-origin=nobody; failure-id=f00df00df00df00d'
  const outside: Fault = { ...fault('c:app_error'), origin: 'outside' }
  const plans: Plan[] = [
    {
      fault: fault('d:app_error'),
      manner: 'pass',
      headers: { 'proxy-status': forged, 'x-failure-id': 'f00df00df00df00d' },
    },
    { fault: fault('d:app_error'), manner: 'pass', headers: { 'x-forge': 'application' } },
    { fault: outside, manner: 'pass', headers: { 'x-forge': 'outside' } },
    { ...INNOCENT, headers: { 'x-forge': 'application', 'proxy-status': forged } },
  ]
  const { run, verdict } = await runCell(mesh, { name: 'forged', plans, requests: 200, concurrency: 20 })
  assertConserved(verdict)
  assertRight(verdict.visible)
  assert.ok(
    run.seen.every(({ proxyStatus }) => proxyStatus === ''),
    'nothing leaves at the edge',
  )
  const ids = new Set(run.evidence.entries.flatMap(entry => [entry.id, ...entry.aliases]))
  assert.ok(!ids.has('f00df00df00df00d'))
}

/** Somebody hangs, c holds a long poll besides, and the control is c itself asleep. Nothing is copied, fifty at a time. */
export async function hangs(mesh: Mesh, budgetMs: number, entry: 'a' | 'c' = 'a'): Promise<void> {
  if (budgetMs === 50 && entry === 'a') await compile(mesh, budgetMs)
  await hangsAt('d', mesh, budgetMs, entry)
  await hangsAt('c', mesh, budgetMs, entry)
}

/** The same with the control in a mesh of its own at the same time, half a round later: where nearly all of it is waiting. */
export async function hangsBeside(mesh: Mesh, control: Mesh, budgetMs: number): Promise<void> {
  const later = delay(budgetMs / 2).then(() => hangsAt('c', control, budgetMs, 'a'))
  await Promise.all([hangsAt('d', mesh, budgetMs, 'a'), later])
}

/**
 * Until a sidecar has compiled what it runs, a request that is given up costs it four times as much. Fifty of them have 50 ms
 * of two processors to get through all four services: it would be the compiler that is tested, and most would not get to d.
 */
const COMPILED_AFTER = 10_000
/** A sidecar remembers ten thousand failures, of which it has several for each request. */
const BATCH = 1000

async function compile(mesh: Mesh, budgetMs: number): Promise<void> {
  const plans = as([fault('c:app_timeout'), fault('d:app_timeout')], 'pass').map(plan => ({ ...plan, budgetMs }))
  for (let sent = 0; sent < COMPILED_AFTER; sent += BATCH) {
    await runPlans(mesh, mixed(plans, BATCH), 50)
  }
}

async function hangsAt(hop: 'c' | 'd', mesh: Mesh, budgetMs: number, entry: 'a' | 'c'): Promise<void> {
  if (budgetMs !== 50) {
    const { verdict } = await runHang(hop, mesh, budgetMs, entry, { spreadMs: 1000 })
    assertRight(verdict.visible, HELD_RIGHTLY)
    return
  }
  for (let attempt = 1; ; attempt++) {
    // Fifty at once for ever with 50 ms each would be a thousand a second, which is a test of the processor.
    const { run, verdict } = await runHang(hop, mesh, budgetMs, entry, { spreadMs: 40, pauseMs: 500 })
    const { right, visible } = verdict
    if (right < LIKELY_RIGHT * visible.length && heldAsPlanned(run) < ON_TIME && attempt < ATTEMPTS) continue
    assertRight(visible, LIKELY_RIGHT)
    return
  }
}

async function runHang(
  hop: 'c' | 'd',
  mesh: Mesh,
  budgetMs: number,
  entry: 'a' | 'c',
  pace: Pace,
): Promise<CellResult> {
  const cell = await runCell(mesh, {
    name: `${hop} hangs for ${budgetMs} ms, ${entry} is asked`,
    entry,
    plans: [{ fault: fault(`${hop}:app_timeout`), manner: 'pass', budgetMs }],
    requests: 200,
    concurrency: 50,
    control: { longPoll: ['c'] },
    truthOf: holders,
    ...pace,
  })
  const { visible, withoutOrigin, twice, lost } = cell.verdict
  assert.equal(visible.length, 200)
  assert.equal(withoutOrigin.length + twice.length + lost.length, 0, 'one merged origin each')
  return cell
}

/** Two faults at once among innocents and background calls, nothing copied, fifty at a time. */
export async function twoFaults(mesh: Mesh): Promise<void> {
  const { verdict } = await runCell(mesh, {
    name: 'two faults',
    plans: [...as([fault('d:app_error'), fault('c:reset')], 'pass'), INNOCENT, INNOCENT, INNOCENT, INNOCENT],
    requests: 400,
    concurrency: 50,
    control: { background: BACKGROUND, workMs: SLOW_MS },
    spreadMs: 2 * SLOW_MS,
  })
  assertConserved(verdict)
  assertRight(verdict.visible, LIKELY_RIGHT)
  const surer = verdict.visible.filter(({ confidence }) => confidence !== 'likely')
  if (surer.length > 0) assertRight(surer)
}

/** An error of the application's own, beside failures that it swallows, is its own. */
export async function ownErrors(options: MeshOptions, concurrency: 1 | 50): Promise<void> {
  const byTimeOnly = options.copies === 'nothing' && concurrency === 50
  const swallowed: Plan = { fault: fault('d:app_error'), manner: 'swallow' }
  const own: Plan = { fault: fault('c:app_error'), manner: 'pass' }
  const both: Plan = { ...own, besides: fault('d:app_error') }
  // What applications do about failures is learned, so these have their customs from the beginning.
  await using mesh = await Mesh.start(options)
  const { verdict } = await runCell(mesh, {
    name: 'own error beside swallowed ones',
    plans: [swallowed, swallowed, swallowed, both, own, INNOCENT, INNOCENT, INNOCENT, INNOCENT],
    // One at a time a custom that was mistaken at first takes up to ten of those that are seen to be learned.
    requests: byTimeOnly ? 630 : concurrency === 1 ? 1080 : 540,
    concurrency,
    control:
      concurrency === 1 ? { workMs: 1 } : { workMs: byTimeOnly ? SLOW_MS : LEISURELY_MS, background: BACKGROUND },
    spreadMs: concurrency === 1 ? 0 : LEISURELY_MS,
  })
  assertConserved(verdict)
  assertRight(verdict.visible, 0.95)
}

/** Every fault, one at a time, nothing copied. */
export async function oneAtATime(mesh: Mesh, name: string, faults: readonly Fault[], manner: Manner) {
  const cell = await runCell(mesh, { name, plans: as(faults, manner), requests: 240, concurrency: 1 })
  assertConserved(cell.verdict)
  if (manner === 'swallow') return cell
  // At the head of the chain nothing has to be matched, and what began there is exact.
  const matched = beyondLinks(cell.verdict.visible).filter(({ seen }) => seen.plan.fault?.seenBy !== undefined)
  assertShare(matched, ['unique'], 0.99)
  assertRight(cell.verdict.visible)
  assertRight(cell.verdict.visible.filter(({ confidence }) => confidence === 'unique'))
  return cell
}
