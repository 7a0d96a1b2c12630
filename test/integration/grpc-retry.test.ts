/** A gRPC call that fails in its trailers, before any message, is made again; Envoy cannot do that. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bootstrap, cluster, httpListener, type Json, typed } from '../conformance/scenarios/bootstrap.ts'
import { type Answer, FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { requestBytes, TestClient } from '../kit/http-client.ts'
import { Http2TestClient } from '../kit/http2-client.ts'
import { HTTP2_UPSTREAM } from '../kit/one-listener.ts'
import { waitFor } from '../kit/wait-for.ts'

const GRPC = { 'content-type': 'application/grpc' }
const message = Buffer.from('\0\0\0\0\x04pong', 'latin1')

/** Of the body a retry is made with; what is larger is not kept. */
const BODY_LIMIT = 1000

/** Head and status apart, with messages between. */
const answer = (status: number, messages: readonly Buffer[] = [], more: Partial<Answer> = {}): Answer => ({
  headers: GRPC,
  chunks: messages,
  trailers: [['grpc-status', String(status)]],
  ...more,
})
const call = { method: 'POST', path: '/a.B/c', headers: GRPC, body: message }

type Protocol = 'HTTP/1.1' | 'HTTP/2'

const HTTP1_UPSTREAM = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
      'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      { explicit_http_config: { http_protocol_options: { enable_trailers: true } } },
    ),
  },
}

interface Settings {
  readonly [key: string]: string | boolean | number
}

/** Speaks the protocol to both sides. */
async function proxy(protocol: Protocol, upstream: FakeUpstream, settings: Settings = {}) {
  const [listen, admin] = (await freePorts(2)) as [number, number]
  const yaml = bootstrap({
    listeners: [
      httpListener({
        name: 'out',
        routes: [
          {
            match: { prefix: '/' },
            route: {
              cluster: 'app',
              retry_policy: {
                retry_on: 'unavailable',
                num_retries: 2,
                retry_back_off: { base_interval: '0.001s', max_interval: '0.001s' },
              },
            },
            metadata: { filter_metadata: { hopwise: settings } },
            request_body_buffer_limit: BODY_LIMIT,
          },
        ],
        manager: { http_protocol_options: { enable_trailers: true }, access_log: [] },
      }),
    ],
    clusters: [
      cluster(
        'app',
        String(upstream.port),
        protocol === 'HTTP/2' ? (HTTP2_UPSTREAM as { [key: string]: Json }) : HTTP1_UPSTREAM,
      ),
    ],
  })
  const config = yaml.replace('"{{listen:out}}"', String(listen)).replace('{{listen:out}}', String(listen))
  const process = await startHopwise(config.replace('{{admin}}', String(admin)), { adminPort: admin })
  const client = await (protocol === 'HTTP/2' ? Http2TestClient : TestClient).connect(listen)
  return {
    process,
    client,
    async [Symbol.asyncDispose]() {
      client.close()
      await process.stop('SIGKILL')
    },
  }
}

for (const protocol of ['HTTP/1.1', 'HTTP/2'] as const) {
  test(`${protocol}: a status in trailers before any message is retried, and the caller sees the good answer alone`, async () => {
    await using upstream = await FakeUpstream.start([answer(14), answer(14), answer(0, [message])])
    await using running = await proxy(protocol, upstream)
    const response = await running.client.request(call)
    assert.equal(response.trailer('grpc-status'), '0')
    assert.deepEqual(response.body, message)
    assert.deepEqual(
      upstream.requests.map(({ startLine }) => startLine),
      Array(3).fill(`POST /a.B/c ${protocol}`),
    )
    assert.deepEqual(
      upstream.requests.map(({ body }) => body),
      [message, message, message],
    )
    const stats = await running.process.stats('^cluster.app.upstream_rq_retry')
    assert.equal(stats.get('cluster.app.upstream_rq_retry_grpc_trailers'), 2)
    assert.equal(stats.get('cluster.app.upstream_rq_retry'), 2)
    assert.equal(stats.get('cluster.app.upstream_rq_retry_success'), 1)
  })

  test(`${protocol}: after a message, or with another status, there is no retry`, async () => {
    await using upstream = await FakeUpstream.start([answer(14, [message]), answer(5)])
    await using running = await proxy(protocol, upstream)
    const spoken = await running.client.request(call)
    assert.equal(spoken.trailer('grpc-status'), '14')
    assert.deepEqual(spoken.body, message)
    const other = await running.client.request(call)
    assert.equal(other.trailer('grpc-status'), '5')
    assert.equal(upstream.requests.length, 2)
  })

  test(`${protocol}: when the attempts are used up the last answer goes through, head and trailers`, async () => {
    await using upstream = await FakeUpstream.start([answer(14)])
    await using running = await proxy(protocol, upstream)
    const response = await running.client.request(call)
    assert.equal(response.status, 200)
    assert.equal(response.trailer('grpc-status'), '14')
    assert.equal(upstream.requests.length, 3)
  })

  test(`${protocol}: the route may say that it is not wanted`, async () => {
    await using upstream = await FakeUpstream.start([answer(14), answer(0)])
    await using running = await proxy(protocol, upstream, { retry_grpc_trailers: false })
    const response = await running.client.request(call)
    assert.equal(response.trailer('grpc-status'), '14')
    assert.equal(upstream.requests.length, 1)
  })

  test(`${protocol}: a head waits no longer than it may; then it goes through and a counter says so`, async () => {
    await using upstream = await FakeUpstream.start([answer(14, [], { end: 'hang-after-head' })])
    await using running = await proxy(protocol, upstream, { retry_grpc_trailers_wait_ms: 30 })
    const { client } = running
    let begun = false
    if (client instanceof TestClient) {
      client.write(requestBytes(call))
      const started: Buffer[] = []
      client.socket.on('data', (bytes: Buffer) => {
        started.push(bytes)
        begun = Buffer.concat(started).toString('latin1').startsWith('HTTP/1.1 200')
      })
    } else {
      const stream = client.open(call, false)
      stream.end(message)
      stream.on('response', () => {
        begun = true
      })
    }
    await waitFor(() => begun, { what: 'the head' })
    const stats = await running.process.stats('^cluster.app.upstream_rq_grpc')
    assert.equal(stats.get('cluster.app.upstream_rq_grpc_trailers_wait_over'), 1)
  })

  test(`${protocol}: an upstream that dies while its head waits is answered for, as if it had not begun`, async () => {
    await using upstream = await FakeUpstream.start([answer(14, [], { end: 'close-after-head' })])
    await using running = await proxy(protocol, upstream)
    const response = await running.client.request(call)
    assert.equal(response.header('grpc-status'), '14')
  })

  test(`${protocol}: a request whose body is too large to keep is not made again, and nothing of it is lost`, async () => {
    await using upstream = await FakeUpstream.start([answer(14), answer(14), answer(0, [message])])
    await using running = await proxy(protocol, upstream)
    const body = Buffer.alloc(BODY_LIMIT + 1, 'x')
    const response = await running.client.request({ ...call, body })
    assert.equal(response.status, 200)
    assert.equal(response.trailer('grpc-status'), '14')
    assert.deepEqual(
      upstream.requests.map(request => request.body),
      [body],
    )
    const stats = await running.process.stats('^cluster.app.(upstream_rq_retry|retry_or_shadow_abandoned)')
    assert.equal(stats.get('cluster.app.retry_or_shadow_abandoned'), 1)
    assert.equal(stats.get('cluster.app.upstream_rq_retry'), 0)
    const kept = await running.client.request({ ...call, body: body.subarray(1) })
    assert.equal(kept.trailer('grpc-status'), '0')
    assert.equal(upstream.requests.length, 3)
  })
}
