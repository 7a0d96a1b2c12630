import assert from 'node:assert/strict'
import { request } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePort } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { Http2TestClient } from '../kit/http2-client.ts'
import { getRequest, PREFACE, resetStream, SETTINGS } from '../kit/http2-frames.ts'
import { HTTP2_UPSTREAM, localCluster, oneListener } from '../kit/one-listener.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'

// The upstream (nghttp2) has a guard of its own and sends GOAWAY; what it has not taken may be sent again.
const configuration = (listen: number, upstream: number) =>
  oneListener({
    port: listen,
    clusters: [localCluster('app', upstream, HTTP2_UPSTREAM)],
    route: { retry_policy: { retry_on: 'refused-stream', num_retries: 3 } },
  })

/** Streams on one connection before its client reads what came of them; the guard bites earlier. */
const PER_CONNECTION = 500

/** Opens and resets streams until it is cut off; tells how many. */
function openAndReset(port: number): Promise<number> {
  const streams = Array.from({ length: PER_CONNECTION }, (_, i) => 2 * i + 1)
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('close', () => resolve(streams.length))
    socket.resume()
    socket.write(Buffer.concat([PREFACE, SETTINGS, ...streams.flatMap(id => [getRequest(id), resetStream(id, 8)])]))
  })
}

/** Bytes of all objects alive: a snapshot of the heap is taken after a collection. */
async function aliveBytes(proxy: ProxyProcess): Promise<number> {
  const text = await new Promise<string>((resolve, reject) => {
    const options = { port: proxy.adminPort, path: '/heap_dump', method: 'POST' }
    const dump = request(options, response => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part)).on('end', () => resolve(String(Buffer.concat(parts))))
    })
    dump.on('error', reject).end()
  })
  const { snapshot, nodes } = JSON.parse(text) as { snapshot: { meta: { node_fields: string[] } }; nodes: number[] }
  const fields = snapshot.meta.node_fields
  let bytes = 0
  for (let i = fields.indexOf('self_size'); i < nodes.length; i += fields.length) bytes += nodes[i]!
  return bytes
}

test('100,000 streams opened and reset leave memory flat and other clients served', { timeout: 240_000 }, async () => {
  await using upstream = await FakeUpstream.start([{ status: 200, body: 'ok' }])
  const listen = await freePort()
  await using proxy = await startHopwise(configuration(listen, upstream.port))
  const served = { http1: 0, http2: 0 }
  const attack = async (total: number) => {
    for (let sent = 0; sent < total; ) {
      sent += await openAndReset(listen)
      if (sent % 5000 !== 0) continue
      assert.equal((await fetchRaw(listen)).text, 'ok')
      served.http1++
      using client = await Http2TestClient.connect(listen)
      assert.equal((await client.request({})).text, 'ok')
      served.http2++
      upstream.requests.length = 0
    }
  }
  await attack(20_000)
  const before = await aliveBytes(proxy)
  await attack(80_000)
  const after = await aliveBytes(proxy)
  assert.deepEqual(served, { http1: 20, http2: 20 })
  assert.ok(after - before < 2 * 1024 * 1024, `${before} bytes after 20,000 streams, ${after} after 100,000`)
  const stats = await proxy.stats()
  // Every connection is cut off when half of what the guard looks at has been reset, and nothing more is read of it.
  assert.ok(stats.get('http2.rx_reset')! <= 200 * 251, `${stats.get('http2.rx_reset')} resets looked at`)
  assert.equal(stats.get('http.out.downstream_rq_too_many_premature_resets'), 200)
  assert.equal(stats.get('http.out.downstream_rq_active'), 0)
  assert.equal(stats.get('cluster.app.upstream_rq_active'), 0)
  assert.equal(stats.get('cluster.app.upstream_rq_pending_active'), 0)
  assert.equal(stats.get('cluster.app.circuit_breakers.default.rq_pending_open'), 0)
})
