/**
 * The truth test (failure-origin.md): a chain of four services behind real sidecars, broken on purpose in every way at
 * every hop. Who is named must be who was broken, and what begins must end. What the sidecars say is read from `/failures`
 * and from their counters; clients only say what they saw.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import {
  assertConserved,
  assertRight,
  assertShare,
  beyondLinks,
  type CellResult,
  runCell,
  table,
} from './truth/cell.ts'
import {
  as,
  BACKGROUND,
  envoyInPlaceOfASidecar,
  forgedRecords,
  hangs,
  LEISURELY_MS,
  lyingHarness,
  oneAtATime,
  ownErrors,
  patient,
  startMesh,
  twoFaults,
} from './truth/cells.ts'
import { FAULTS, fault, type Plan } from './truth/faults.ts'
import type { Mesh } from './truth/mesh.ts'
import { kindLines } from './truth/table.ts'

let copying: Mesh
let silent: Mesh
const everyKind: CellResult[] = []

/** Who swallows or repairs is in time only where nobody waits for a timer. */
const PROMPT = FAULTS.filter(one => one.kind !== 'app_timeout')
const SEEN_BY_APPLICATION = PROMPT.filter(one => one.seenBy !== undefined)

before(async () => {
  copying = await startMesh({ copies: 'headers' })
  silent = await startMesh({ copies: 'nothing' })
})

after(async () => {
  await Promise.all([copying?.close(), silent?.close()])
  console.log(table.join('\n'))
  console.log(kindLines(everyKind.map(({ verdict }) => verdict)).join('\n'))
})

test('the real Envoy in place of a sidecar: the origin is still named, with confidence link', () =>
  envoyInPlaceOfASidecar())

test('a harness that lies about what it broke is found out', () => lyingHarness(copying))

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

test('a forged proxy-status changes nothing, from outside, from the application, from beyond the mesh', () =>
  forgedRecords(copying))

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
      if (manner !== 'pass' && manner !== 'retry') {
        assert.equal(verdict.hidden.length, verdict.requests)
        assertRight(verdict.hidden)
        return
      }
      assertShare(beyondLinks(verdict.visible), ['exact', 'trace'], 0.99)
      assertRight(verdict.visible)
      assertRight(verdict.visible.filter(({ confidence }) => confidence === 'exact' || confidence === 'trace'))
    })
  }
}

test('nothing copied, one at a time: unique, and right', async () => {
  for (const manner of ['pass', 'retry', 'swallow'] as const) {
    const faults = manner === 'swallow' ? SEEN_BY_APPLICATION : FAULTS
    everyKind.push(await oneAtATime(silent, `every fault, ${manner}`, faults, manner))
  }
})

for (const [budgetMs, entry] of [
  [50, 'c'],
  [50, 'a'],
  [1000, 'a'],
] as const) {
  test(`d hangs, nothing copied, 50 at a time to ${entry}, timeouts of ${budgetMs} ms, c holding a long poll; c asleep is the control`, () =>
    hangs(silent, budgetMs, entry))
}

test('nothing copied, 50 at a time, two faults at once among innocents and background calls: 90 % right', () =>
  twoFaults(silent))

for (const copies of ['headers', 'nothing'] as const) {
  for (const concurrency of [1, 50] as const) {
    test(`an error of the application’s own, beside failures it swallows, is its own: ${copies} copied, ${concurrency} at a time`, () =>
      ownErrors({ copies }, concurrency))
  }
}
