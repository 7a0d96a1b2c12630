/** The truth test in small, for every `npm test`; the whole of it is `test/conformance/truth.test.ts`. */
import { test } from 'node:test'
import { assertConserved, assertRight, assertShare, beyondLinks, runCell } from '../conformance/truth/cell.ts'
import { FAULTS, type Fault, fault, INNOCENT, type Plan } from '../conformance/truth/faults.ts'
import { runPlans } from '../conformance/truth/load.ts'
import { Mesh } from '../conformance/truth/mesh.ts'

test('in a chain of four services whoever was broken is named, once, though applications copy nothing', async () => {
  await using mesh = await Mesh.start({ copies: 'nothing' })
  await runPlans(mesh, Array<Plan>(5).fill(INNOCENT), 1)
  const faults = ['d:app_error', 'd:connect_refused', 'c:reset', 'b:app_down', 'c:no_route', 'd:dns'].map(fault)
  const { verdict } = await runCell(mesh, {
    name: 'in small',
    plans: [...faults.map((one): Plan => ({ fault: one, manner: 'pass' })), INNOCENT],
    requests: 70,
    concurrency: 1,
  })
  assertConserved(verdict)
  assertRight(verdict.visible)
  assertShare(verdict.visible, ['unique'], 0.99)
})

for (const copies of ['headers', 'nothing'] as const) {
  test(`sidecars with two workers each, ${copies} copied: requests and calls meet across workers`, async () => {
    await using mesh = await Mesh.start({ copies, workers: 2 })
    await runPlans(mesh, Array<Plan>(5).fill(INNOCENT), 1)
    const concurrency = copies === 'headers' ? 8 : 1
    const faults = ['d:app_error', 'd:connect_refused', 'c:reset', 'b:app_down'].map(fault)
    const { verdict } = await runCell(mesh, {
      name: 'two workers',
      plans: [...faults.map((one): Plan => ({ fault: one, manner: 'pass' })), INNOCENT],
      requests: 100,
      concurrency,
    })
    assertConserved(verdict)
    assertRight(verdict.visible)
    assertShare(verdict.visible, copies === 'headers' ? ['exact', 'trace'] : ['unique'], 0.99)
  })
}

for (const [name, spoken] of [
  ['over HTTP/2 between the sidecars', { http2: true }],
  ['over gRPC between the applications', { grpc: true }],
] as const) {
  test(`${name} every class of failure has its name, also of bodies that break off`, async () => {
    await using mesh = await Mesh.start({ copies: 'headers', ...spoken })
    await runPlans(mesh, Array<Plan>(5).fill(INNOCENT), 1)
    // Takes the one token of each rate limit.
    const limited = FAULTS.filter(({ kind }) => kind === 'rate_limited')
    const passing = (one: Fault): Plan => ({ fault: one, manner: 'pass' })
    await runPlans(mesh, limited.map(passing), 1)
    const { verdict } = await runCell(mesh, {
      name,
      plans: [...FAULTS.map(passing), INNOCENT],
      requests: FAULTS.length + 1,
      concurrency: 1,
    })
    assertConserved(verdict)
    assertRight(verdict.visible)
    assertShare(beyondLinks(verdict.visible), ['exact', 'trace'], 0.99)
    const breaking = ['d:partial_length', 'd:partial_chunked', 'c:partial_chunked'].map(fault)
    const { verdict: ofStreams } = await runCell(mesh, {
      name: `${name}, streamed`,
      plans: breaking.map((one): Plan => ({ fault: one, manner: 'stream' })),
      requests: 12,
      concurrency: 1,
    })
    assertConserved(ofStreams)
    assertRight(ofStreams.visible)
    // The record rides in trailers; a cut alone would tell of a link at best.
    assertShare(ofStreams.visible, ['exact', 'trace'], 0.99)
  })
}
