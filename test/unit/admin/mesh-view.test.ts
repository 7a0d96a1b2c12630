import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AdminHandler } from '../../../sidecar/admin/admin-handler.ts'
import { CALLERS, failureView, type MeshPart, meshView, type SidecarView } from '../../../sidecar/admin/mesh-view.ts'
import type { FailureEntry } from '../../../sidecar/failure-origin/failure-log.ts'
import { failureEntry } from '../../kit/failure-entry.ts'
import { bodyText, FakeControl, request } from './fake-control.ts'

const NOW = 1_000_000

function sidecar(service: string, more: Partial<SidecarView> = {}): SidecarView {
  return {
    at: NOW,
    service,
    node: service,
    version: '1',
    state: 'LIVE',
    uptimeMs: 5000,
    edge: false,
    requests: 10,
    failed: 0,
    ownSeconds: 1,
    calls: [],
    otherNames: [],
    episodes: [],
    ...more,
  }
}

const failure = (id: string, service: string, more: Partial<FailureEntry> = {}) =>
  failureEntry({ at: NOW - 100, service, id, cause: 'reset', details: 'why', ...more })

const call = (service: string, total: number, failed = 0, external = false) => ({ service, total, failed, external })
const episode = (origin: string, count: number, more = {}) => ({
  origin,
  cause: 'reset',
  since: NOW - 5000,
  last: NOW - 100,
  count,
  recent: count,
  sure: count,
  ...more,
})

test('calls of all instances are one edge, and whoever nobody here calls is called by callers', () => {
  const parts: MeshPart[] = [
    { sidecar: sidecar('front', { edge: true, requests: 40, failed: 2, calls: [call('a', 40, 2)] }), entries: [] },
    { sidecar: sidecar('a', { node: 'a1', calls: [call('b', 10), call('shop', 3, 1, true)] }), entries: [] },
    { sidecar: sidecar('a', { node: 'a2', calls: [call('b', 5, 5), call('quiet', 0)] }), entries: [] },
  ]
  const { edges, services, scope, sidecars } = meshView(parts, 'mesh', NOW)
  assert.equal(scope, 'mesh')
  assert.deepEqual(edges, [
    { from: 'front', to: 'a', total: 40, failed: 2 },
    { from: 'a', to: 'b', total: 15, failed: 5 },
    { from: 'a', to: 'shop', total: 3, failed: 1 },
    { from: CALLERS, to: 'front', total: 40, failed: 2 },
  ])
  assert.deepEqual(
    services.map(({ name, kind, instances, requests, failed }) => [name, kind, instances.join(), requests, failed]),
    [
      [CALLERS, 'callers', '', 0, 0],
      ['front', 'edge', 'front', 40, 2],
      ['a', 'service', 'a1,a2', 20, 0],
      ['b', 'neighbour', '', 15, 5],
      ['shop', 'external', '', 3, 1],
    ],
  )
  assert.deepEqual(
    sidecars.map(({ name }) => name),
    ['front', 'a1', 'a2'],
  )
})

test('the hop where failures begin is marked while they go on, since the first that anybody saw', () => {
  const c = sidecar('c', { calls: [call('d', 10, 5)], episodes: [episode('d', 5)] })
  const b = sidecar('b', {
    calls: [call('c', 10, 5)],
    episodes: [episode('d', 4, { since: NOW - 9000, cause: 'timeout' }), episode('b', 1, { last: NOW - 11_000 })],
  })
  const parts = [
    { sidecar: c, entries: [] },
    { sidecar: b, entries: [] },
  ]
  const origins = (now: number) =>
    meshView(parts, 'mesh', now).services.flatMap(({ name, origin }) => (origin === undefined ? [] : [[name, origin]]))
  assert.deepEqual(origins(NOW), [['d', episode('d', 5, { since: NOW - 9000, sure: 4 })]])
  assert.deepEqual(origins(NOW + 10_000), [], 'after a while without failures nobody is marked')
})

/** Who is marked, and with what cause. */
const marked = (...sidecars: SidecarView[]) =>
  meshView(
    sidecars.map(one => ({ sidecar: one, entries: [] })),
    'mesh',
    NOW,
  ).services.flatMap(({ name, origin }) => (origin === undefined ? [] : [`${name}: ${origin.cause}`]))

test('the cause is told by the own sidecars of whoever is marked, where they have seen most of it', () => {
  const caller = sidecar('c', { episodes: [episode('d', 9, { cause: 'partial_body' })] })
  const own = (count: number, more = {}) =>
    sidecar('d', { episodes: [episode('d', count, { cause: 'stream_idle', ...more })] })
  assert.deepEqual(marked(caller, own(3), own(2)), ['d: stream_idle'], 'its instances together')
  assert.deepEqual(marked(caller, own(2), own(2)), ['d: partial_body'], 'they have hardly seen it')
  assert.deepEqual(marked(caller, own(9, { last: NOW - 11_000 })), ['d: partial_body'], 'theirs is over')
  assert.deepEqual(marked(caller), ['d: partial_body'])
})

test('the cause is told by who has seen failures of late, not by who saw more that are over', () => {
  const over = (since: number) => episode('b', 20, { cause: 'app_error', last: NOW - since })
  const now = sidecar('a', { episodes: [episode('b', 14, { cause: 'connect_timeout' })] })
  const right = ['b: connect_timeout']
  assert.deepEqual(marked(now, sidecar('b', { episodes: [over(3500)] })), right, 'its own sidecar has seen others')
  const another = sidecar('e', { episodes: [over(3500)] })
  assert.deepEqual(marked(now, another), right, 'and so has another caller')
  assert.deepEqual(marked(another, now), right, 'in whatever order')
  const between = sidecar('f', { episodes: [episode('b', 3, { cause: 'reset', last: NOW - 1500 })] })
  assert.deepEqual(marked(another, between, now), right, 'be there somebody between them')
})

test('who began a few among many is not marked: one that is only likely may be blamed wrongly', () => {
  const view = sidecar('a', { episodes: [episode('d', 95), episode('a', 5), episode('e', 20)] })
  const marked = meshView([{ sidecar: view, entries: [] }], 'sidecar', NOW).services.filter(({ origin }) => origin)
  assert.deepEqual(
    marked.map(({ name, kind }) => [name, kind]),
    [
      ['d', 'neighbour'],
      ['e', 'neighbour'],
    ],
  )
})

test('nobody is marked on guesses alone where others are sure', () => {
  const marked = (...episodes: SidecarView['episodes']) =>
    meshView([{ sidecar: sidecar('a', { episodes }), entries: [] }], 'sidecar', NOW)
      .services.filter(({ origin }) => origin !== undefined)
      .map(({ name }) => name)
  assert.deepEqual(marked(episode('d', 50, { sure: 1 }), episode('b', 40, { sure: 0 })), ['d'])
  assert.deepEqual(marked(episode('d', 50, { sure: 0 }), episode('b', 40, { sure: 0 })), ['d', 'b'])
  assert.deepEqual(marked(episode('d', 50, { recent: 1, sure: 1 }), episode('b', 40, { sure: 0 })), ['b'], 'old news')
})

test('who has stopped a moment ago is not marked, and hides nobody, once somebody else fails', () => {
  const marked = (...episodes: SidecarView['episodes']) =>
    meshView([{ sidecar: sidecar('a', { episodes }), entries: [] }], 'mesh', NOW)
      .services.filter(({ origin }) => origin !== undefined)
      .map(({ name }) => name)
  const stopped = episode('d', 50, { last: NOW - 4000, sure: 50 })
  assert.deepEqual(marked(stopped), ['d'], 'until the gap is over, as long as nothing else fails')
  assert.deepEqual(marked(stopped, episode('b', 5, { sure: 0 })), ['b'])
})

test('names in records cannot fill the picture', () => {
  const episodes = Array.from({ length: 9 }, (_, i) => episode(`x${i}`, 1))
  const parts = Array.from({ length: 9 }, (_, i) => ({
    sidecar: sidecar('a', { episodes: episodes.map(one => ({ ...one, origin: `${one.origin}-${i}`, count: 1 })) }),
    entries: [],
  }))
  assert.ok(meshView(parts, 'mesh', NOW).services.length <= 21)
})

test('failures are put together by id, newest first, and say what became of them', () => {
  const parts: MeshPart[] = [
    {
      sidecar: sidecar('front', { edge: true }),
      entries: [failure('f1', 'front', { role: 'propagated', traceId: 't1' })],
    },
    {
      sidecar: sidecar('c'),
      entries: [
        failure('f1', 'c'),
        failure('f2', 'c', { at: NOW - 50 }),
        failure('f2', 'c', { at: NOW - 49, role: 'retried' }),
      ],
    },
  ]
  const { failures } = meshView(parts, 'mesh', NOW)
  assert.deepEqual(
    failures.map(({ id, outcome, traceIds }) => [id, outcome, traceIds]),
    [
      ['f2', 'retried', []],
      ['f1', 'visible', ['t1']],
    ],
  )
  const one = failureView(
    parts.flatMap(({ entries }) => entries),
    'f1',
    parts.map(part => part.sidecar),
    'mesh',
  )
  assert.equal(one?.entries.length, 2)
  assert.equal(failureView([], 'f1', [], 'mesh'), undefined)
})

test('the endpoints of the page give one sidecar what several are put together from', async () => {
  const control = new FakeControl()
  control.failureList = [failure('f1', 'a', { aliases: ['other'] }), failure('other', 'a', { role: 'retried', seq: 2 })]
  control.traces.set('0123456789abcdef', '[{"id":"1"}]')
  control.sources = [{ kind: 'cluster', name: 'd', file: 'envoy.yaml', line: 7, column: 3, path: 'static_resources' }]
  const handler = new AdminHandler(control)
  const ask = async (path: string) => {
    const response = await handler.handle(request(`GET ${path}`))
    const text = await bodyText(response)
    return { status: response.status, text, json: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : {} }
  }
  const { json: mesh } = await ask('/mesh')
  assert.deepEqual([mesh.scope, mesh.sidecars[0].name, mesh.failures[0].id], ['sidecar', 'a1', 'f1'])
  const { json: part } = await ask('/mesh/part')
  assert.deepEqual([part.sidecar.service, part.entries.length], ['a', 2])
  assert.equal((await ask('/mesh/failure/f1')).json.entries.length, 2, 'with what is known by its other name')
  assert.equal((await ask('/mesh/failure/none')).status, 404)
  assert.deepEqual((await ask('/mesh/trace/0123456789ABCDEF')).json, { spans: [{ id: '1' }] })
  const none = await ask('/mesh/trace/0123456789abcdee')
  assert.deepEqual([none.status, none.json], [200, { spans: [], why: 'no trace 0123456789abcdee' }])
  assert.equal((await ask('/mesh/trace/..%2fx')).status, 400)
  assert.deepEqual((await ask('/mesh/clusters')).json, { clusters: [], rateLimits: [] })
  assert.deepEqual((await ask('/mesh/config')).json, { sources: control.sources, configs: [] })
  assert.deepEqual((await ask('/config_sources')).json, { sources: control.sources })
  for (const path of ['/mesh/nothing', '/mesh/failure/a/b']) assert.equal((await ask(path)).status, 404)
})
