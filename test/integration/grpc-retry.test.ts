/** A gRPC call that fails in its trailers, before any message, is made again; Envoy cannot do that. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bootstrap, cluster, httpListener, typed } from '../conformance/scenarios/bootstrap.ts'
import { type Answer, FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { TestClient } from '../kit/http-client.ts'
import { waitFor } from '../kit/wait-for.ts'

const GRPC = { 'content-type': 'application/grpc' }
const message = Buffer.from('\0\0\0\0\x04pong', 'latin1')

/** Trailers that do not come: the chunk that would end the body is never sent. */
const HEAD_ALONE = 'HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n'

/** Head and status apart, with messages between. */
const answer = (status: number, messages: readonly Buffer[] = [], more: Partial<Answer> = {}): Answer => ({
  headers: GRPC,
  chunks: messages,
  trailers: [['grpc-status', String(status)]],
  ...more,
})
const call = { method: 'POST', path: '/a.B/c', headers: GRPC, body: message }

async function proxy(upstream: FakeUpstream, settings: { readonly [key: string]: string | boolean | number } = {}) {
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
          },
        ],
        manager: { http_protocol_options: { enable_trailers: true }, access_log: [] },
      }),
    ],
    clusters: [
      cluster('app', String(upstream.port), {
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
            'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
            { explicit_http_config: { http_protocol_options: { enable_trailers: true } } },
          ),
        },
      }),
    ],
  })
  const config = yaml.replace('"{{listen:out}}"', String(listen)).replace('{{listen:out}}', String(listen))
  const process = await startHopwise(config.replace('{{admin}}', String(admin)), { adminPort: admin })
  const client = await TestClient.connect(listen)
  return {
    process,
    client,
    async [Symbol.asyncDispose]() {
      client.close()
      await process.stop('SIGKILL')
    },
  }
}

test('a status in trailers before any message is retried, and the caller sees the good answer alone', async () => {
  await using upstream = await FakeUpstream.start([answer(14), answer(14), answer(0, [message])])
  await using running = await proxy(upstream)
  const response = await running.client.request(call)
  assert.equal(response.trailer('grpc-status'), '0')
  assert.deepEqual(response.body, message)
  assert.equal(upstream.requests.length, 3)
  assert.deepEqual(
    upstream.requests.map(({ body }) => body),
    [message, message, message],
  )
  const stats = await running.process.stats('^cluster.app.upstream_rq_retry')
  assert.equal(stats.get('cluster.app.upstream_rq_retry_grpc_trailers'), 2)
  assert.equal(stats.get('cluster.app.upstream_rq_retry'), 2)
  assert.equal(stats.get('cluster.app.upstream_rq_retry_success'), 1)
})

test('after a message, or with another status, there is no retry', async () => {
  await using upstream = await FakeUpstream.start([answer(14, [message]), answer(5)])
  await using running = await proxy(upstream)
  const spoken = await running.client.request(call)
  assert.equal(spoken.trailer('grpc-status'), '14')
  assert.deepEqual(spoken.body, message)
  const other = await running.client.request(call)
  assert.equal(other.trailer('grpc-status'), '5')
  assert.equal(upstream.requests.length, 2)
})

test('when the attempts are used up the last answer goes through, head and trailers', async () => {
  await using upstream = await FakeUpstream.start([answer(14)])
  await using running = await proxy(upstream)
  const response = await running.client.request(call)
  assert.equal(response.status, 200)
  assert.equal(response.trailer('grpc-status'), '14')
  assert.equal(upstream.requests.length, 3)
})

test('the route may say that it is not wanted', async () => {
  await using upstream = await FakeUpstream.start([answer(14), answer(0)])
  await using running = await proxy(upstream, { retry_grpc_trailers: false })
  const response = await running.client.request(call)
  assert.equal(response.trailer('grpc-status'), '14')
  assert.equal(upstream.requests.length, 1)
})

test('a head waits no longer than it may; then it goes through and a counter says so', async () => {
  await using upstream = await FakeUpstream.start([{ raw: HEAD_ALONE }])
  await using running = await proxy(upstream, { retry_grpc_trailers_wait_ms: 30 })
  running.client.write(
    `POST /a.B/c HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: ${message.length}\r\n\r\n${message.toString('latin1')}`,
  )
  const started: Buffer[] = []
  running.client.socket.on('data', (bytes: Buffer) => started.push(bytes))
  await waitFor(() => Buffer.concat(started).toString('latin1').startsWith('HTTP/1.1 200'), { what: 'the head' })
  const stats = await running.process.stats('^cluster.app.upstream_rq_grpc')
  assert.equal(stats.get('cluster.app.upstream_rq_grpc_trailers_wait_over'), 1)
})

test('an upstream that dies while its head waits is answered for, as if it had not begun', async () => {
  await using upstream = await FakeUpstream.start([{ raw: HEAD_ALONE, end: 'close-after' }])
  await using running = await proxy(upstream)
  const response = await running.client.request(call)
  assert.equal(response.header('grpc-status'), '14')
})
