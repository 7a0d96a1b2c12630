/**
 * The truth test (see `truth.test.ts`) with HTTP/2 between the sidecars, and with applications that ask each other over
 * gRPC: every class of failure at every hop, what is done about it, and bodies that break off while they are streamed.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { assertConserved, assertRight, assertShare, beyondLinks, runCell, table } from './truth/cell.ts'
import {
  as,
  BACKGROUND,
  envoyInPlaceOfASidecar,
  forgedRecords,
  hangs,
  LEISURELY_MS,
  lyingHarness,
  OVER_HTTP2,
  oneAtATime,
  ownErrors,
  patient,
  startMesh,
  twoFaults,
} from './truth/cells.ts'
import { FAULTS, fault, type Plan } from './truth/faults.ts'

const SEEN_BY_APPLICATION = FAULTS.filter(({ kind, seenBy }) => kind !== 'app_timeout' && seenBy !== undefined)
/** d dies in the middle of what it streams, with a length said before and without; and so does c. */
const BREAKING = ['d:partial_length', 'd:partial_chunked', 'c:partial_chunked'].map(fault)

after(() => console.log(table.join('\n')))

for (const [name, spoken] of OVER_HTTP2) {
  test(`${name}, headers copied: exact or trace, and right, whatever is done about it`, async () => {
    await using mesh = await startMesh({ copies: 'headers', ...spoken })
    for (const [manner, concurrency] of [
      ['pass', 1],
      ['pass', 50],
      ['retry', 50],
      ['swallow', 50],
      ['repair', 1],
    ] as const) {
      const passes = manner === 'pass' || manner === 'retry'
      const { verdict } = await runCell(mesh, {
        name: `${name}, every fault, ${manner}`,
        plans: as(passes ? FAULTS : SEEN_BY_APPLICATION, manner).map(concurrency === 1 ? plan => plan : patient),
        requests: concurrency === 1 ? 240 : 800,
        concurrency,
        ...(concurrency === 50 && { control: { background: BACKGROUND, workMs: LEISURELY_MS } }),
      })
      assertConserved(verdict)
      if (!passes) {
        assertRight(verdict.hidden)
        continue
      }
      assertShare(beyondLinks(verdict.visible), ['exact', 'trace'], 0.99)
      assertRight(verdict.visible)
    }
  })

  test(`${name}, a body that breaks off while it is streamed: one origin, whose record comes along`, async () => {
    await using mesh = await startMesh({ copies: 'headers', ...spoken })
    for (const concurrency of [1, 50]) {
      const cell = { name: `${name}, cut stream`, plans: as(BREAKING, 'stream'), requests: 200, concurrency }
      const { verdict } = await runCell(mesh, cell)
      assertConserved(verdict)
      assertRight(verdict.visible)
      // In HTTP/1.1 a link at best: only the record knows better.
      assertShare(verdict.visible, ['exact', 'trace'], 0.99)
    }
  })

  test(`${name}, nothing copied, one at a time: unique, and right`, async () => {
    await using mesh = await startMesh({ copies: 'nothing', ...spoken })
    await oneAtATime(mesh, `${name}, every fault`, FAULTS, 'pass')
    const cut = { name: `${name}, cut stream`, plans: as(BREAKING, 'stream'), requests: 200, concurrency: 1 }
    const { verdict: ofStreams } = await runCell(mesh, cut)
    assertConserved(ofStreams)
    assertRight(ofStreams.visible)
  })

  test(`${name}, d hangs, nothing copied, 50 at a time, timeouts of 50 ms and 1 s; c asleep is the control`, async () => {
    await using mesh = await startMesh({ copies: 'nothing', ...spoken })
    await hangs(mesh, 1000)
    await hangs(mesh, 50)
  })

  test(`${name}, nothing copied, 50 at a time, two faults at once among innocents and background calls: 90 % right`, async () => {
    await using mesh = await startMesh({ copies: 'nothing', ...spoken })
    await twoFaults(mesh)
  })

  test(`${name}: an error of the application’s own, beside failures it swallows, is its own`, () =>
    ownErrors({ copies: 'headers', ...spoken }, 50))

  test(`${name}: a forged proxy-status changes nothing, and a lying harness is found out`, async () => {
    await using mesh = await startMesh({ copies: 'headers', ...spoken })
    await forgedRecords(mesh)
    await lyingHarness(mesh)
  })

  test(`${name}, the real Envoy in place of a sidecar: the origin is still named, with confidence link`, () =>
    envoyInPlaceOfASidecar(spoken))
}

test('gRPC: callers that go away are nobody’s failure', async () => {
  await using mesh = await startMesh({ copies: 'headers', grpc: true })
  const plan: Plan = { fault: fault('d:app_timeout'), manner: 'pass', budgetMs: 1000, abortAfterMs: 120 }
  const { verdict } = await runCell(mesh, { name: 'cancelled', plans: [plan], requests: 200, concurrency: 50 })
  assert.deepEqual([verdict.visible.length, verdict.lost.length], [0, 0])
})
