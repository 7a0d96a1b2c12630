import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RequestHeaders } from '../../../sidecar/codec/header-map.ts'
import { FrameType, frame, goAway, ok, okHead, resetStream } from '../../kit/http2-frames.ts'
import { waitFor } from '../../kit/wait-for.ts'
import { Exchange, ManagerFixture } from '../cluster/cluster-fixture.ts'
import { FrameServer } from './frame-server.ts'
import { ScriptedServer } from './scripted-server.ts'

const MAX_CONCURRENT_STREAMS = 3

const http2 = (options = '', common = '', fields = '') => `{name: c, ${fields}
  typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions,
    common_http_protocol_options: {${common}}, explicit_http_config: {http2_protocol_options: {${options}}}}}}`

const answering = (parameters = {}) =>
  FrameServer.start((connection, streamId) => connection.send(ok(streamId)), parameters)

const last = (exchange: Exchange) => exchange.events.at(-1)
const startMany = (cluster: Parameters<Exchange['start']>[0], count: number) =>
  Array.from({ length: count }, () => new Exchange().start(cluster))

test('requests share a connection, also those that waited for it', async () => {
  await using server = await FrameServer.start()
  using fixture = new ManagerFixture()
  const exchanges = startMany(fixture.cluster(http2(), [server.port]), 5)
  await waitFor(() => server.connections[0]?.opened.length === 5)
  assert.equal(fixture.gauge('cluster.c.upstream_rq_active'), 5)
  server.connections[0]!.send(...[9, 7, 5, 3, 1].map(ok))
  for (const exchange of exchanges) assert.equal(last(await exchange.finished()), 'end')
  assert.equal(fixture.counter('cluster.c.upstream_cx_total'), 1)
  assert.equal(fixture.counter('cluster.c.upstream_cx_http2_total'), 1)
  assert.equal(fixture.counter('cluster.c.upstream_cx_http1_total'), 0)
  assert.equal(fixture.counter('cluster.c.upstream_rq_total'), 5)
  assert.equal(fixture.gauge('cluster.c.upstream_rq_active'), 0)
  assert.equal(exchanges[0]!.connection?.protocol, 'HTTP/2')
})

test('as many connections as the upstream’s max_concurrent_streams asks for', async () => {
  await using server = await FrameServer.start(undefined, { [MAX_CONCURRENT_STREAMS]: 2 })
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(http2(), [server.port])
  const first = new Exchange().start(cluster)
  await waitFor(() =>
    server.connections[0]?.frames.some(({ type, flags }) => type === FrameType.Settings && flags === 1),
  )
  const others = startMany(cluster, 3)
  await waitFor(() => server.connections.flatMap(({ opened }) => opened).length === 4)
  assert.deepEqual(
    server.connections.map(({ opened }) => opened.length),
    [2, 2],
  )
  for (const connection of server.connections) connection.send(...connection.opened.map(ok))
  for (const exchange of [first, ...others]) assert.equal(last(await exchange.finished()), 'end')
})

test('as many connections as our own max_concurrent_streams asks for', async () => {
  await using server = await FrameServer.start()
  using fixture = new ManagerFixture()
  startMany(fixture.cluster(http2('max_concurrent_streams: 1'), [server.port]), 3)
  await waitFor(() => server.connections.flatMap(({ opened }) => opened).length === 3)
  assert.equal(server.connections.length, 3)
})

test('max_connections leaves the others waiting for a stream to end', async () => {
  await using server = await FrameServer.start()
  using fixture = new ManagerFixture()
  const limits = 'circuit_breakers: {thresholds: [{max_connections: 1}]},'
  const exchanges = startMany(fixture.cluster(http2('max_concurrent_streams: 1', '', limits), [server.port]), 3)
  for (const [i, exchange] of exchanges.entries()) {
    await waitFor(() => server.connections[0]?.opened.length === i + 1)
    server.connections[0]!.send(ok(2 * i + 1))
    assert.equal(last(await exchange.finished()), 'end')
  }
  assert.equal(fixture.counter('cluster.c.upstream_cx_total'), 1)
})

test('max_requests is asked for every stream', async () => {
  await using server = await FrameServer.start()
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(http2('', '', 'circuit_breakers: {thresholds: [{max_requests: 1}]},'), [server.port])
  const first = new Exchange().start(cluster)
  await waitFor(() => server.connections[0]?.opened.length === 1)
  const second = new Exchange().start(cluster)
  assert.equal(second.failure?.kind, 'overflow')
  assert.equal(second.failure?.limit, 'requests')
  assert.equal(fixture.gauge('cluster.c.circuit_breakers.default.rq_open'), 1)
  server.connections[0]!.send(ok(1))
  await first.finished()
  assert.equal(fixture.gauge('cluster.c.circuit_breakers.default.rq_open'), 0)
})

test('a connection ends with the last request it may carry', async () => {
  await using server = await answering()
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(http2('', 'max_requests_per_connection: 2'), [server.port])
  for (let i = 0; i < 3; i++) await new Exchange().start(cluster).finished()
  assert.equal(server.connections.length, 2)
  await waitFor(() => server.open === 1)
  assert.equal(fixture.counter('cluster.c.upstream_cx_max_requests'), 1)
})

test('GOAWAY: what the upstream has taken goes on, what it has not is refused, what comes next gets another connection', async () => {
  await using server = await FrameServer.start((connection, streamId, index) => {
    if (index === 1) connection.send(ok(streamId))
  })
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(http2(), [server.port])
  const [first, second] = startMany(cluster, 2)
  await waitFor(() => server.connections[0]?.opened.length === 2)
  server.connections[0]!.send(goAway(1))
  assert.equal(last(await second!.finished()), 'reset:refused_stream')
  assert.equal(first!.done, false)
  assert.equal(last(await new Exchange().start(cluster).finished()), 'end')
  server.connections[0]!.send(ok(1))
  assert.equal(last(await first!.finished()), 'end')
  await waitFor(() => server.open === 1)
  assert.equal(fixture.counter('cluster.c.upstream_cx_close_notify'), 1)
})

test('who is cut off by GOAWAY with an error learns what the upstream said of it, of which is kept what can be printed', async () => {
  for (const [code, debug, details] of [
    [0xb, 'too_many_pings', 'GOAWAY ENHANCE_YOUR_CALM: too_many_pings'],
    [0x2, '', 'GOAWAY INTERNAL_ERROR'],
    [0xd, '\0\x1b[31m\nred\xff', 'GOAWAY HTTP_1_1_REQUIRED: [31m red'],
    [0x1, 'x'.repeat(10_000), `GOAWAY PROTOCOL_ERROR: ${'x'.repeat(256)}`],
    [0xabc, 'odd', 'GOAWAY 0xabc: odd'],
    [0, 'shutting down', ''],
  ] as const) {
    await using server = await FrameServer.start()
    using fixture = new ManagerFixture()
    const exchange = new Exchange().start(fixture.cluster(http2(), [server.port]))
    await waitFor(() => server.connections[0]?.opened.length === 1)
    server.connections[0]!.send(goAway(1, code, debug))
    server.connections[0]!.socket.end()
    assert.equal(last(await exchange.finished()), 'reset:terminated')
    assert.equal(exchange.failure?.details, details)
  }
})

test('a stream that is reset ends alone', async () => {
  await using server = await FrameServer.start()
  using fixture = new ManagerFixture()
  const [first, second, third] = startMany(fixture.cluster(http2(), [server.port]), 3)
  await waitFor(() => server.connections[0]?.opened.length === 3)
  server.connections[0]!.send(resetStream(1, 2), resetStream(3, 7), ok(5))
  await third!.finished()
  assert.deepEqual([last(first!), last(second!), last(third!)], ['reset:reset', 'reset:refused_stream', 'end'])
  assert.equal(fixture.counter('cluster.c.upstream_rq_rx_reset'), 1)
  assert.equal(fixture.gauge('cluster.c.upstream_rq_active'), 0)
  assert.equal(fixture.gauge('cluster.c.upstream_cx_active'), 1)
})

test('a connection that ends takes its streams with it, and is counted once', async () => {
  await using server = await FrameServer.start((connection, streamId, index) => {
    if (index === 1) connection.send(ok(streamId))
  })
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(http2(), [server.port])
  const [first, second] = startMany(cluster, 2)
  await waitFor(() => server.connections[0]?.opened.length === 2)
  server.connections[0]!.send(okHead(1))
  await waitFor(() => first!.status === 200)
  server.connections[0]!.socket.destroy()
  assert.equal(last(await first!.finished()), 'reset:terminated')
  assert.equal(last(await second!.finished()), 'reset:terminated')
  assert.equal(fixture.counter('cluster.c.upstream_cx_destroy_remote_with_active_rq'), 1)
  assert.equal(fixture.counter('cluster.c.upstream_cx_destroy'), 1)
  assert.equal(last(await new Exchange().start(cluster).finished()), 'end')
})

test('what is no HTTP/2 is a protocol error of the upstream', async () => {
  await using server = await ScriptedServer.start(socket => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
  using fixture = new ManagerFixture()
  const exchange = new Exchange().start(fixture.cluster(http2(), [server.port]))
  assert.equal(last(await exchange.finished()), 'reset:protocol_error')
  assert.equal(fixture.counter('cluster.c.upstream_cx_protocol_error'), 1)
  await waitFor(() => fixture.gauge('cluster.c.upstream_cx_active') === 0)
  assert.equal(fixture.counter('cluster.c.upstream_cx_destroy_local_with_active_rq'), 1)
})

test('a request that is given up is reset, and the connection stays', async () => {
  await using server = await FrameServer.start()
  using fixture = new ManagerFixture()
  const exchange = new Exchange().start(fixture.cluster(http2(), [server.port]))
  await waitFor(() => server.connections[0]?.opened.length === 1)
  exchange.encoder!.reset()
  await waitFor(() => server.connections[0]?.resets.length === 1)
  assert.deepEqual(server.connections[0]!.resets, [[1, 8]])
  assert.equal(fixture.counter('cluster.c.upstream_rq_tx_reset'), 1)
  assert.equal(fixture.gauge('cluster.c.upstream_rq_active'), 0)
  assert.equal(fixture.gauge('cluster.c.upstream_cx_active'), 1)
})

test('an answer that comes before the request is whole ends both', async () => {
  await using server = await answering()
  using fixture = new ManagerFixture()
  const exchange = new Exchange(encoder =>
    encoder.encodeHeaders(new RequestHeaders('POST', '/', 'c', 'http'), false),
  ).start(fixture.cluster(http2(), [server.port]))
  assert.equal(last(await exchange.finished()), 'end')
  await waitFor(() => server.connections[0]?.resets.length === 1)
  assert.equal(fixture.gauge('cluster.c.upstream_rq_active'), 0)
})

test('a PING that nobody answers ends the connection', async () => {
  await using server = await FrameServer.start()
  using fixture = new ManagerFixture()
  const keepalive = 'connection_keepalive: {interval: 0.05s, timeout: 0.05s}'
  const exchange = new Exchange().start(fixture.cluster(http2(keepalive), [server.port]))
  assert.equal(last(await exchange.finished()), 'reset:terminated')
  assert.equal(fixture.counter('cluster.c.http2.keepalive_timeout'), 1)
})

test('answered PINGs keep a connection, one after the other', async () => {
  await using server = await FrameServer.start(undefined, {}, { answerPings: true })
  using fixture = new ManagerFixture()
  const keepalive = 'connection_keepalive: {interval: 0.02s, timeout: 5s}'
  new Exchange().start(fixture.cluster(http2(keepalive), [server.port]))
  const pings = () => server.connections[0]?.frames.filter(({ type }) => type === FrameType.Ping).length ?? 0
  await waitFor(() => pings() >= 3)
  assert.equal(fixture.gauge('cluster.c.upstream_cx_active'), 1)
})

test('an idle connection is closed, one with a stream is not', async () => {
  await using server = await FrameServer.start((connection, streamId) => {
    if (streamId === 1) connection.send(ok(streamId))
  })
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(http2('', 'idle_timeout: 0.1s'), [server.port])
  await new Exchange().start(cluster).finished()
  const slow = new Exchange().start(cluster)
  await waitFor(() => server.connections[0]?.opened.length === 2)
  await new Promise(resolve => setTimeout(resolve, 250))
  assert.equal(slow.done, false)
  server.connections[0]!.send(ok(3))
  await waitFor(() => server.open === 0)
  assert.equal(fixture.counter('cluster.c.upstream_cx_idle_timeout'), 1)
})

test('an upgrade is an extended CONNECT, and 200 its acceptance', async () => {
  await using server = await FrameServer.start((connection, streamId) => connection.send(okHead(streamId)), { 8: 1 })
  using fixture = new ManagerFixture()
  const headers = new RequestHeaders('GET', '/chat', 'c', 'http', ['upgrade', 'websocket', 'connection', 'upgrade'])
  const exchange = new Exchange(encoder => encoder.encodeHeaders(headers, false))
  exchange.start(fixture.cluster(http2('allow_connect: true'), [server.port]), { upgrade: true })
  await waitFor(() => exchange.status !== undefined)
  assert.equal(exchange.status, 101)
  assert.equal(exchange.responseHeaders?.get('upgrade'), 'websocket')
  // What another attempt would send is as it was.
  assert.deepEqual(headers.list, ['upgrade', 'websocket', 'connection', 'upgrade'])
  server.connections[0]!.send(frame(FrameType.Data, 1, 1, Buffer.from('hi')))
  assert.equal((await exchange.finished()).body, 'hi')
})

test('use_downstream_protocol_config: a pool for each protocol that requests come in', async () => {
  await using server = await answering()
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(
    `{name: c, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions,
      use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}}}}`,
    [server.port],
  )
  const ask = (downstreamProtocol: 'HTTP/1.1' | 'HTTP/2') => {
    const exchange = new Exchange()
    cluster.newStream(cluster.hosts[0]!, 0, { method: 'GET', upgrade: false, downstreamProtocol }, exchange, exchange)
    return exchange
  }
  assert.equal(last(await ask('HTTP/2').finished()), 'end')
  ask('HTTP/1.1')
  await waitFor(() => fixture.counter('cluster.c.upstream_cx_http1_total') === 1)
  assert.equal(fixture.counter('cluster.c.upstream_cx_http2_total'), 1)
})
