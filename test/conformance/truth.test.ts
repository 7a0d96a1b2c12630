/**
 * The truth test (failure-origin.md): a chain of four services behind real sidecars, broken on purpose in every way at
 * every hop. Who is named must be who was broken, and what begins must end. What the sidecars say is read from `/failures`
 * and from their counters; clients only say what they saw.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import {
  assertConserved,
  assertRight,
  assertShare,
  beyondLinks,
  type CellResult,
  runCell,
  table,
} from './truth/cell.ts'
import { FAULTS, type Fault, fault, INNOCENT, type Manner, type Plan } from './truth/faults.ts'
import { holders } from './truth/held.ts'
import { judge, truthOfFault } from './truth/judge.ts'
import { runPlans } from './truth/load.ts'
import { Mesh } from './truth/mesh.ts'
import { kindLines } from './truth/table.ts'

const BACKGROUND = ['a', 'b', 'c'] as const
/** Enough for 50 requests in flight to wait for applications rather than for the processor. */
const LEISURELY_MS = 200

/**
 * Where nothing is copied, fifty at a time, it is the time between two failures against what an answer takes that decides
 * whether they can be told apart. So applications work for long, and the processor is nearly idle.
 */
const SLOW_MS = 700
/**
 * Fifty at a time with 50 ms each are a thousand a second, through four applications in one process. Where these take longer
 * than that, few requests have come to the one that hangs, and most wait for a processor.
 */
const FOR_A_PROCESSOR = { todo: 'on two cores 150 to 190 of 200 are named by who held them when their time was over' }

/**
 * Fifty timers that fire within a second are told apart by their order, to a millisecond: 197 to 200 of 200 are seen. What is
 * said of them is `likely`, of which nine tenths have to be right.
 */
const HELD_RIGHTLY = 0.95
const LIKELY_RIGHT = 0.9

let copying: Mesh
let silent: Mesh
const everyKind: CellResult[] = []

const as = (faults: readonly Fault[], manner: Manner): Plan[] => faults.map(one => ({ fault: one, manner }))
/** Where applications take their time, who hangs must not be waited for less than that. */
const patient = (plan: Plan): Plan => (plan.fault?.kind === 'app_timeout' ? { ...plan, budgetMs: 3000 } : plan)
/** Who swallows or repairs is in time only where nobody waits for a timer. */
const PROMPT = FAULTS.filter(one => one.kind !== 'app_timeout')
const SEEN_BY_APPLICATION = PROMPT.filter(one => one.seenBy !== undefined)

before(async () => {
  copying = await Mesh.start({ copies: 'headers' })
  silent = await Mesh.start({ copies: 'nothing' })
  for (const mesh of [copying, silent]) {
    await runPlans(mesh, Array<Plan>(20).fill(INNOCENT), 1)
    // Takes the one token of each rate limit.
    await runPlans(
      mesh,
      as(
        FAULTS.filter(one => one.kind === 'rate_limited'),
        'pass',
      ),
      1,
    )
  }
})

after(async () => {
  await Promise.all([copying?.close(), silent?.close()])
  console.log(table.join('\n'))
  console.log(kindLines(everyKind.map(({ verdict }) => verdict)).join('\n'))
})

test('the real Envoy in place of a sidecar: the origin is still named, with confidence link', async () => {
  const mesh = await Mesh.start({
    copies: 'headers',
    sidecars: { c: (yaml, adminPort) => startEnvoy(yaml, { adminPort }) },
  })
  try {
    const { verdict } = await runCell(mesh, {
      name: 'Envoy at c',
      plans: as([fault('d:connect_refused'), fault('c:app_down'), fault('b:app_error')], 'pass'),
      requests: 210,
      concurrency: 10,
    })
    for (const { seen, failure, confidence } of verdict.visible) {
      const { origin } = seen.plan.fault!
      // Envoy's word does not cross c's application: what lies beyond is c's, as far as anybody can know.
      assert.equal(failure?.origin, origin === 'd' ? 'c' : origin)
      assert.equal(confidence, origin === 'b' ? 'exact' : 'link')
    }
  } finally {
    await mesh.close()
  }
})

test('a harness that lies about what it broke is found out', async () => {
  const run = await runPlans(copying, Array<Plan>(50).fill({ fault: fault('c:app_error'), manner: 'pass' }), 10)
  assertRight(judge(run).visible)
  const lie = judge(run, () => truthOfFault(fault('d:app_error')))
  assert.throws(() => assertRight(lie.visible, 0.9), /0 of 50 are named right/)
})

test('a body that breaks off while it is streamed: one origin, whoever streams it on', async () => {
  const plans = as([fault('d:partial_length'), fault('d:partial_chunked'), fault('c:partial_chunked')], 'stream')
  for (const mesh of [copying, silent]) {
    for (const concurrency of mesh === copying ? [1, 50] : [1]) {
      const { verdict } = await runCell(mesh, { name: 'cut stream', plans, requests: 200, concurrency })
      assertConserved(verdict)
      assertRight(verdict.visible)
    }
  }
})

test('callers that go away are nobody’s failure', async () => {
  const plan: Plan = { fault: fault('d:app_timeout'), manner: 'pass', budgetMs: 1000, abortAfterMs: 120 }
  const { verdict } = await runCell(copying, { name: 'cancelled', plans: [plan], requests: 200, concurrency: 50 })
  assert.deepEqual([verdict.visible.length, verdict.lost.length], [0, 0])
})

test('a forged proxy-status changes nothing, from outside, from the application, from beyond the mesh', async () => {
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
  const { run, verdict } = await runCell(copying, { name: 'forged', plans, requests: 200, concurrency: 20 })
  assertConserved(verdict)
  assertRight(verdict.visible)
  assert.ok(
    run.seen.every(({ proxyStatus }) => proxyStatus === ''),
    'nothing leaves at the edge',
  )
  const ids = new Set(run.evidence.entries.flatMap(entry => [entry.id, ...entry.aliases]))
  assert.ok(!ids.has('f00df00df00df00d'))
})

for (const manner of ['pass', 'retry', 'swallow', 'repair'] as const) {
  for (const concurrency of [1, 50]) {
    test(`headers copied, ${concurrency} at a time, applications ${manner}: exact or trace, and right`, async () => {
      const faults = manner === 'pass' || manner === 'retry' ? FAULTS : SEEN_BY_APPLICATION
      const cell = await runCell(copying, {
        name: `every fault, ${manner}`,
        plans: as(faults, manner).map(plan => (concurrency === 1 ? plan : patient(plan))),
        requests: concurrency === 1 ? 240 : 800,
        concurrency,
        ...(concurrency === 50 && { control: { background: BACKGROUND, workMs: LEISURELY_MS } }),
      })
      everyKind.push(cell)
      const { verdict } = cell
      assertConserved(verdict)
      if (manner !== 'pass' && manner !== 'retry') return
      assertShare(beyondLinks(verdict.visible), ['exact', 'trace'], 0.99)
      assertRight(verdict.visible)
      assertRight(verdict.visible.filter(({ confidence }) => confidence === 'exact' || confidence === 'trace'))
    })
  }
}

test('nothing copied, one at a time: unique, and right', async () => {
  for (const manner of ['pass', 'retry', 'swallow'] as const) {
    const faults = manner === 'swallow' ? SEEN_BY_APPLICATION : FAULTS
    const cell = await runCell(silent, {
      name: `every fault, ${manner}`,
      plans: as(faults, manner),
      requests: 240,
      concurrency: 1,
    })
    everyKind.push(cell)
    assertConserved(cell.verdict)
    if (manner === 'swallow') continue
    // At the head of the chain nothing has to be matched, and what began there is exact.
    const matched = beyondLinks(cell.verdict.visible).filter(({ seen }) => seen.plan.fault?.seenBy !== undefined)
    assertShare(matched, ['unique'], 0.99)
    assertRight(cell.verdict.visible)
    assertRight(cell.verdict.visible.filter(({ confidence }) => confidence === 'unique'))
  }
})

for (const [budgetMs, entry] of [
  [50, 'c'],
  [50, 'a'],
  [1000, 'a'],
  [15_000, 'a'],
] as const) {
  test(
    `d hangs, nothing copied, 50 at a time to ${entry}, timeouts of ${budgetMs} ms, c holding a long poll; c asleep is the control`,
    budgetMs === 50 && entry === 'a' ? FOR_A_PROCESSOR : {},
    async () => {
      for (const hop of ['d', 'c'] as const) {
        const { verdict } = await runCell(silent, {
          name: `${hop} hangs for ${budgetMs} ms, ${entry} is asked`,
          entry,
          plans: [{ fault: fault(`${hop}:app_timeout`), manner: 'pass', budgetMs }],
          requests: 200,
          concurrency: 50,
          control: { longPoll: ['c'] },
          truthOf: holders,
          // Fifty at once for ever with 50 ms each would be a thousand a second, which is a test of the processor.
          ...(budgetMs === 50 ? { spreadMs: 40, pauseMs: 500 } : { spreadMs: 1000 }),
        })
        assert.equal(verdict.visible.length, 200)
        assert.equal(
          verdict.withoutOrigin.length + verdict.twice.length + verdict.lost.length,
          0,
          'one merged origin each',
        )
        assertRight(verdict.visible, budgetMs === 50 ? LIKELY_RIGHT : HELD_RIGHTLY)
      }
    },
  )
}

test('nothing copied, 50 at a time, two faults at once among innocents and background calls: 90 % right', async () => {
  const { verdict } = await runCell(silent, {
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
})

for (const copies of ['headers', 'nothing'] as const) {
  for (const concurrency of [1, 50]) {
    const byTimeOnly = copies === 'nothing' && concurrency === 50
    const name = `an error of the application’s own, beside failures it swallows, is its own: ${copies} copied, ${concurrency} at a time`
    test(name, async () => {
      const swallowed: Plan = { fault: fault('d:app_error'), manner: 'swallow' }
      const own: Plan = { fault: fault('c:app_error'), manner: 'pass' }
      const both: Plan = { ...own, besides: fault('d:app_error') }
      // What applications do about failures is learned, so these have their customs from the beginning.
      const mesh = await Mesh.start({ copies })
      try {
        const { verdict } = await runCell(mesh, {
          name: 'own error beside swallowed ones',
          plans: [swallowed, swallowed, swallowed, both, own, INNOCENT, INNOCENT, INNOCENT, INNOCENT],
          requests: byTimeOnly ? 630 : 540,
          concurrency,
          control:
            concurrency === 1 ? { workMs: 1 } : { workMs: byTimeOnly ? SLOW_MS : LEISURELY_MS, background: BACKGROUND },
          spreadMs: concurrency === 1 ? 0 : LEISURELY_MS,
        })
        assertConserved(verdict)
        assertRight(verdict.visible, 0.95)
      } finally {
        await mesh.close()
      }
    })
  }
}
