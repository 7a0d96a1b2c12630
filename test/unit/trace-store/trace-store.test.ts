/** What Zipkin has no say in: bounds, files, assets, and the shapes that the dependency graph depends on. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { DependencyLinker } from '../../../observability/trace-store/dependency-linker.ts'
import { SpanDatabase } from '../../../observability/trace-store/span-database.ts'
import { startTraceStore, type TraceStoreOptions } from '../../../observability/trace-store/trace-store.ts'
import type { ZipkinSpan } from '../../../observability/trace-store/zipkin-span.ts'
import { temporaryFolder } from '../../kit/proxy-process.ts'

const NOW_US = Date.now() * 1000

function span(id: number, change: Partial<ZipkinSpan> = {}): ZipkinSpan {
  return { traceId: '000000000000000a', id: id.toString(16).padStart(16, '0'), timestamp: NOW_US, ...change }
}

async function post(url: string, body: string | ZipkinSpan[]): Promise<{ status: number; text: string }> {
  const response = await fetch(`${url}/api/v2/spans`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  return { status: response.status, text: await response.text() }
}

async function get(url: string): Promise<unknown> {
  return await (await fetch(url)).json()
}

async function withStore(
  options: Partial<TraceStoreOptions>,
  use: (url: string, store: Awaited<ReturnType<typeof startTraceStore>>) => Promise<void>,
) {
  const store = await startTraceStore({ port: 0, ...options })
  try {
    await use(store.url, store)
  } finally {
    await store.close()
  }
}

test('a span comes back as Zipkin would give it: names in lower case, ids filled up, empty things left out', async () => {
  await withStore({}, async url => {
    const sent = [
      {
        traceId: 'A',
        id: 'B',
        parentId: 'b',
        name: 'GET /X',
        kind: 'SERVER',
        timestamp: NOW_US,
        duration: 0,
        localEndpoint: { serviceName: 'Orders', port: 0 },
        remoteEndpoint: {},
        tags: { b: '1', a: '2' },
        annotations: [],
        shared: false,
      },
    ]
    assert.deepEqual(await post(url, JSON.stringify(sent)), { status: 202, text: '' })
    assert.deepEqual(await get(`${url}/api/v2/trace/a`), [
      {
        traceId: '000000000000000a',
        id: '000000000000000b',
        kind: 'SERVER',
        name: 'get /x',
        timestamp: NOW_US,
        localEndpoint: { serviceName: 'orders' },
        tags: { a: '2', b: '1' },
      },
    ])
  })
})

test('a report is stored whole or refused whole, and refusals are counted', async () => {
  await withStore({}, async (url, store) => {
    const { status, text } = await post(url, JSON.stringify([{ traceId: '1', id: '1' }, { traceId: '1' }]))
    assert.equal(status, 400)
    assert.equal(text, 'Missing : id reading List<Span> from json')
    assert.deepEqual(store.counts, { received: 0, stored: 0, evictedByCount: 0, evictedByAge: 0, reportsRefused: 1 })
    const zipped = await fetch(`${url}/api/v2/spans`, {
      method: 'POST',
      headers: { 'content-encoding': 'gzip' },
      body: 'not gzip',
    })
    assert.equal(zipped.status, 400)
    assert.equal(store.counts.reportsRefused, 2)
  })
})

test('the number of spans is bounded: the oldest go', () => {
  const database = new SpanDatabase(':memory:', { maxSpans: 100, maxAgeMs: 1000 })
  for (let i = 1; i <= 250; i++) database.add([span(i, { traceId: i.toString(16).padStart(16, '0') })])
  const { stored, evictedByCount, received } = database.counts
  assert.ok(stored <= 100 && stored >= 89, String(stored))
  assert.equal(evictedByCount + stored, 250)
  assert.equal(received, 250)
  assert.deepEqual(database.trace('0000000000000001'), [])
  assert.equal(database.trace('00000000000000fa').length, 1)
  database.close()
})

test('spans of yesterday go', () => {
  let now = 1_000_000
  const database = new SpanDatabase(':memory:', { maxSpans: 100, maxAgeMs: 1000 }, () => now)
  database.add([span(1)])
  now += 900
  database.add([span(2)])
  now += 200
  database.evictByAge()
  assert.deepEqual(
    database.trace('000000000000000a').map(({ id }) => id),
    ['0000000000000002'],
  )
  assert.equal(database.counts.evictedByAge, 1)
  database.close()
})

test('a file outlives the process', async () => {
  const file = join(temporaryFolder(), 'traces.db')
  await withStore({ file }, async url => void (await post(url, [span(1)])))
  await withStore({ file }, async (url, store) => {
    assert.equal(((await get(`${url}/api/v2/trace/a`)) as unknown[]).length, 1)
    assert.equal(store.counts.stored, 1)
  })
})

test('values of tags are offered for the keys that were chosen', async () => {
  await withStore({ autocompleteKeys: ['failure.origin'] }, async url => {
    await post(url, [
      span(1, { tags: { 'failure.origin': 'd', secret: 's' } }),
      span(2, { tags: { 'failure.origin': 'c' } }),
    ])
    assert.deepEqual(await get(`${url}/api/v2/autocompleteKeys`), ['failure.origin'])
    assert.deepEqual(await get(`${url}/api/v2/autocompleteValues?key=failure.origin`), ['c', 'd'])
    assert.deepEqual(await get(`${url}/api/v2/autocompleteValues?key=secret`), [])
  })
})

test('a page is served, and nothing beside its folder', async () => {
  const folder = temporaryFolder()
  const page = join(folder, 'page')
  mkdirSync(page)
  writeFileSync(join(page, 'index.html'), '<h1>traces</h1>')
  writeFileSync(join(page, 'app.js'), 'x')
  writeFileSync(join(folder, 'secret'), 's')
  await withStore({ assetsDirectory: page }, async url => {
    const index = await fetch(`${url}/`)
    assert.equal(index.headers.get('content-type'), 'text/html; charset=utf-8')
    assert.equal(await index.text(), '<h1>traces</h1>')
    assert.equal((await fetch(`${url}/app.js`)).headers.get('content-type'), 'text/javascript; charset=utf-8')
    for (const path of ['/..%2fsecret', '/%2e%2e/secret', '/nothing', '/%00', '/%zz', '/api/v2/foo']) {
      assert.equal((await fetch(url + path)).status, 404, path)
    }
    assert.equal((await fetch(`${url}/api/v2/services`, { method: 'DELETE' })).status, 405)
  })
})

test('health and info answer', async () => {
  await withStore({}, async url => {
    assert.equal(((await get(`${url}/health`)) as { status: string }).status, 'UP')
    assert.equal(((await get(`${url}/info`)) as { zipkin: { version: string } }).zipkin.version, 'hopwise')
  })
})

test('a port that is taken rejects', async () => {
  await withStore({}, async url => {
    await assert.rejects(startTraceStore({ port: Number(new URL(url).port) }), { code: 'EADDRINUSE' })
  })
})

test('a chain through sidecars gives one link per call, with its errors', () => {
  const linker = new DependencyLinker()
  const at = (serviceName: string) => ({ localEndpoint: { serviceName } })
  linker.putTrace([
    span(1, { kind: 'SERVER', shared: true, ...at('a') }),
    span(2, { kind: 'CLIENT', parentId: '0000000000000001', ...at('a') }),
    span(2, { kind: 'SERVER', shared: true, parentId: '0000000000000001', ...at('b') }),
    span(3, { kind: 'CLIENT', parentId: '0000000000000002', ...at('b') }),
    span(3, { kind: 'SERVER', shared: true, parentId: '0000000000000002', tags: { error: 'true' }, ...at('c') }),
  ])
  assert.deepEqual(linker.links, [
    { parent: 'a', child: 'b', callCount: 1 },
    { parent: 'b', child: 'c', callCount: 1, errorCount: 1 },
  ])
})

test('spans that name each other as parents make no endless tree', () => {
  const linker = new DependencyLinker()
  linker.putTrace([
    span(1, { parentId: '0000000000000002', kind: 'CLIENT' }),
    span(2, { parentId: '0000000000000001', kind: 'CLIENT' }),
  ])
  assert.deepEqual(linker.links, [])
})
