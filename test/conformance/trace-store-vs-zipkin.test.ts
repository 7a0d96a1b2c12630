/** The same spans in our trace store and in a real Zipkin server: the same answers to every question. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { startTraceStore } from '../../observability/trace-store/trace-store.ts'
import type { ZipkinSpan } from '../../observability/trace-store/zipkin-span.ts'
import { hex64, SeededRandom } from '../../sidecar/base/random.ts'
import { waitFor } from '../kit/wait-for.ts'
import { startZipkin } from './zipkin-server.ts'

const TRACES = 300
const SERVICES = ['a', 'b', 'c', 'd', 'Orders']

/**
 * Traces as sidecars send them, and worse: shared spans, chains of egress and ingress, local spans between, missing
 * parents, spans in two pieces, names in capitals, ids of 64 and 128 bits, errors on either side.
 */
function randomTraces(seed: number): ZipkinSpan[][] {
  const random = new SeededRandom(seed)
  const chance = (probability: number) => random.next() < probability
  const pick = <T>(values: readonly T[]) => values[random.uint32() % values.length]!
  const now = Date.now() * 1000
  let clock = now - 3_600_000_000
  return Array.from({ length: TRACES }, () => {
    const traceId = chance(0.5) ? hex64(random) : hex64(random) + hex64(random)
    clock += 1_000_000 + (random.uint32() % 1_000_000)
    const spans: ZipkinSpan[] = []
    const endpoint = (name: string) => ({ serviceName: name, ipv4: `10.0.0.${name.charCodeAt(0) % 50}`, port: 8080 })
    const grow = (parentId: string | undefined, service: string, depth: number, at: number): void => {
      for (let i = 0, calls = 1 + (random.uint32() % 2); i < calls && depth < 4; i++) {
        const callee = pick(SERVICES)
        const id = hex64(random)
        const timestamp = at + (random.uint32() % 1000)
        const duration = 1 + (random.uint32() % 100_000)
        const client: ZipkinSpan = { traceId, id, kind: 'CLIENT', name: `GET /${callee}`, timestamp, duration }
        if (parentId !== undefined) client.parentId = parentId
        if (chance(0.95)) client.localEndpoint = endpoint(service)
        if (chance(0.5)) client.remoteEndpoint = { serviceName: callee }
        if (chance(0.2)) client.tags = { error: 'true', 'http.status_code': '503' }
        if (chance(0.8)) client.annotations = [{ timestamp: timestamp + duration, value: 'cr' }]
        if (chance(0.9)) spans.push(client)
        const shared = chance(0.6)
        const serverId = shared ? id : hex64(random)
        const server: ZipkinSpan = {
          traceId,
          id: serverId,
          kind: 'SERVER',
          name: callee,
          timestamp: timestamp + 5,
          duration,
        }
        const serverParent = shared ? parentId : id
        if (serverParent !== undefined && chance(0.95)) server.parentId = serverParent
        if (shared && chance(0.8)) server.shared = true
        server.localEndpoint = endpoint(callee)
        if (chance(0.1)) server.tags = { error: 'connect_refused at d (c>d)', 'failure.origin': 'd' }
        if (chance(0.9)) spans.push(server)
        let below = serverId
        if (chance(0.2)) {
          const local: ZipkinSpan = {
            traceId,
            id: hex64(random),
            parentId: serverId,
            name: 'work',
            timestamp: timestamp + 9,
          }
          if (chance(0.7)) local.localEndpoint = endpoint(callee)
          spans.push(local)
          below = local.id
        }
        if (chance(0.1)) {
          spans.push({
            traceId,
            id: hex64(random),
            parentId: below,
            kind: pick(['PRODUCER', 'CONSUMER'] as const),
            timestamp: timestamp + 10,
            localEndpoint: endpoint(callee),
            remoteEndpoint: { serviceName: 'kafka' },
          })
        }
        if (chance(0.6)) grow(below, callee, depth + 1, timestamp + 10)
      }
    }
    if (chance(0.3)) {
      const id = hex64(random)
      spans.push({
        traceId,
        id,
        kind: 'SERVER',
        name: 'edge',
        timestamp: clock,
        duration: 5,
        shared: true,
        localEndpoint: endpoint('a'),
      })
      grow(id, 'a', 0, clock)
    } else grow(undefined, pick(SERVICES), 0, clock)
    return spans
  }).filter(spans => spans.length > 0)
}

/** Without the order that neither side promises. */
function unordered(value: unknown): unknown {
  if (!Array.isArray(value)) return value
  const items = value.map(unordered)
  return items.every(item => typeof item === 'string') || items.length < 2
    ? items
    : items
        .map(item => [JSON.stringify(sorted(item)), item] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([, item]) => item)
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  )
}

test('our trace store answers as Zipkin does', { timeout: 300_000 }, async t => {
  const zipkin = await startZipkin(t)
  if (zipkin === undefined) return
  const ours = await startTraceStore({ port: 0, autocompleteKeys: [] })
  t.after(() => ours.close())
  const traces = randomTraces(20_261_121)
  const all = traces.flat()

  const get = async (base: string, path: string) => {
    const response = await fetch(base + path)
    const text = await response.text()
    return { status: response.status, body: response.ok ? (JSON.parse(text) as unknown) : text }
  }
  const same = async (path: string) => {
    const [expected, actual] = await Promise.all([get(zipkin, path), get(ours.url, path)])
    assert.equal(actual.status, expected.status, path)
    assert.deepEqual(unordered(actual.body), unordered(expected.body), path)
    return expected.body
  }

  // A report per trace, and every span of some traces alone, in any order.
  for (const [index, spans] of traces.entries()) {
    const reports = index % 3 === 0 ? spans.map(span => [span]).reverse() : [spans]
    for (const report of reports) {
      const json = JSON.stringify(report)
      const zipped = index % 5 === 0
      for (const base of [zipkin, ours.url]) {
        const response = await fetch(`${base}/api/v2/spans`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...(zipped ? { 'content-encoding': 'gzip' } : {}) },
          body: zipped ? gzipSync(json) : json,
        })
        assert.equal(response.status, 202)
      }
    }
  }
  assert.equal(ours.counts.stored, all.length)
  // Zipkin stores after it has answered.
  await waitFor(
    async () => ((await get(zipkin, '/api/v2/traces?limit=10000')).body as unknown[]).length >= traces.length,
    {
      deadlineMs: 20_000,
      what: 'all traces in Zipkin',
    },
  )

  await t.test('names', async () => {
    assert.equal(((await same('/api/v2/services')) as string[]).length, SERVICES.length)
    for (const service of [...SERVICES, 'nobody', 'ORDERS']) {
      await same(`/api/v2/spans?serviceName=${service}`)
      await same(`/api/v2/remoteServices?serviceName=${service}`)
    }
  })

  await t.test('dependencies', async () => {
    const endTs = Date.now()
    const links = (await same(`/api/v2/dependencies?endTs=${endTs}`)) as { errorCount?: number }[]
    assert.ok(links.length > 15, `${links.length} links`)
    assert.ok(links.some(link => (link.errorCount ?? 0) > 0))
    await same(`/api/v2/dependencies?endTs=${endTs}&lookback=3400000`)
    await same(`/api/v2/dependencies?endTs=${endTs - 3_500_000}&lookback=60000`)
  })

  await t.test('traces by every kind of question', async () => {
    const questions = [
      'limit=10000',
      'limit=10',
      'serviceName=a&limit=1000',
      'serviceName=orders&limit=5',
      'spanName=all&limit=3',
      'serviceName=all&limit=3',
      'remoteServiceName=all&limit=3',
      'serviceName=&spanName=&limit=4',
      'serviceName=b&spanName=b&limit=1000',
      'spanName=GET%20/c&limit=1000',
      'serviceName=c&remoteServiceName=d&limit=1000',
      'remoteServiceName=kafka&limit=1000',
      'annotationQuery=error&limit=1000',
      'annotationQuery=http.status_code%3D503&limit=1000',
      'annotationQuery=error%20and%20failure.origin%3Dd&limit=1000',
      'annotationQuery=cr&limit=1000',
      'serviceName=b&annotationQuery=error&limit=1000',
      'minDuration=90000&limit=1000',
      'serviceName=a&minDuration=10000&maxDuration=20000&limit=1000',
      `endTs=${Date.now() - 3_400_000}&limit=1000`,
      `endTs=${Date.now() - 3_400_000}&lookback=60000&limit=1000`,
      'serviceName=nobody',
    ]
    let found = 0
    for (const question of questions) found += ((await same(`/api/v2/traces?${question}`)) as unknown[]).length
    assert.ok(found > 1000, `${found} traces compared`)
  })

  await t.test('single traces', async () => {
    for (const spans of traces.slice(0, 20)) await same(`/api/v2/trace/${spans[0]!.traceId}`)
    await same(
      `/api/v2/traceMany?traceIds=${traces
        .slice(20, 25)
        .map(spans => spans[0]!.traceId)
        .join(',')}`,
    )
  })

  await t.test('refusals', async () => {
    for (const path of [
      '/api/v2/trace/zz',
      '/api/v2/trace/1111',
      '/api/v2/traceMany',
      '/api/v2/traceMany?traceIds=1',
      '/api/v2/traces?endTs=x',
      '/api/v2/traces?maxDuration=5',
      '/api/v2/traces?minDuration=9&maxDuration=5',
      '/api/v2/traces?limit=0',
      '/api/v2/dependencies',
      '/api/v2/spans',
      '/api/v2/remoteServices',
      '/api/v2/autocompleteKeys',
      '/api/v2/autocompleteValues',
      '/api/v2/autocompleteValues?key=a',
    ]) {
      await same(path)
    }
    for (const body of [
      '{',
      '[]',
      '',
      'x',
      '[{}]',
      '[{"traceId":"1"}]',
      '[{"traceId":"zz","id":"1"}]',
      '[{"traceId":"1","id":"2","timestamp":"x"}]',
      '[{"traceId":"1","id":"2","kind":"FOO"}]',
      '[{"traceId":"00000000000000000000000000000000","id":"1"}]',
      '[{"traceId":"123456789012345678901234567890123","id":"1"}]',
    ]) {
      const post = async (base: string) => {
        const headers = { 'content-type': 'application/json' }
        const response = await fetch(`${base}/api/v2/spans`, { method: 'POST', headers, body })
        return { status: response.status, text: await response.text() }
      }
      assert.deepEqual(await post(ours.url), await post(zipkin), body)
    }
  })
})
