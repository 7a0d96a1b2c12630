import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Address } from '../../../sidecar/base/address.ts'
import { ManualClock } from '../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import type { CloseReason, Connection, ConnectionHandler } from '../../../sidecar/transport/connection.ts'
import type { Connect, ConnectOptions } from '../../../sidecar/upstream/pool.ts'
import { freePort } from '../../kit/free-port.ts'
import { waitFor } from '../../kit/wait-for.ts'
import { Exchange, ManagerFixture } from '../cluster/cluster-fixture.ts'
import { OK, ScriptedServer } from './scripted-server.ts'

/** Answers every request after a while, so that several run at once. */
const slow = (afterMs = 60) =>
  ScriptedServer.start(socket => socket.on('data', () => setTimeout(() => socket.write(OK), afterMs)))

const breaker = (limits: string) => `{name: c, circuit_breakers: {thresholds: [{${limits}}]}}`
const outcome = (exchange: Exchange) => exchange.events.at(-1)

// Limits: each of these gave the same outcomes and the same counters on Envoy 1.40.

test('with max_connections 1 requests wait for the one connection, first come first served', async () => {
  await using server = await slow()
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(breaker('max_connections: 1'), [server.port])
  const order: number[] = []
  const exchanges = [0, 1, 2].map(i => {
    const exchange = new Exchange()
    exchange.onEvent = event => event === 'end' && order.push(i)
    return exchange
  })
  exchanges[0]!.start(cluster)
  await waitFor(() => exchanges[0]!.encoder)
  for (const exchange of exchanges.slice(1)) exchange.start(cluster)
  assert.equal(fixture.gauge('cluster.c.circuit_breakers.default.cx_open'), 1)
  await Promise.all(exchanges.map(exchange => exchange.finished()))
  assert.deepEqual(order, [0, 1, 2])
  assert.equal(fixture.counter('cluster.c.upstream_cx_total'), 1)
  assert.equal(fixture.counter('cluster.c.upstream_cx_overflow'), 3)
  assert.equal(fixture.counter('cluster.c.upstream_rq_pending_total'), 3)
  assert.equal(fixture.gauge('cluster.c.upstream_rq_pending_active'), 0)
})

test('a pool may always open its first connection, even with max_connections 0', async () => {
  await using server = await slow(1)
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(breaker('max_connections: 0'), [server.port])
  assert.equal(outcome(await new Exchange().start(cluster).finished()), 'end')
  assert.equal(fixture.counter('cluster.c.upstream_cx_overflow'), 1)
})

test('every host has its own first connection, though the limit is the cluster’s', async () => {
  await using one = await slow()
  await using two = await slow()
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(breaker('max_connections: 1'), [one.port, two.port])
  await Promise.all([0, 1, 2, 3].map(() => new Exchange().start(cluster).finished()))
  assert.equal(fixture.counter('cluster.c.upstream_cx_total'), 2)
  assert.equal(cluster.resources(0).connections.inUse, 2)
})

test('max_pending_requests 0 refuses whoever finds no idle connection, which is everyone', async () => {
  await using server = await slow()
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(breaker('max_pending_requests: 0'), [server.port])
  const exchange = new Exchange().start(cluster)
  assert.deepEqual(exchange.events, ['failed:overflow'])
  assert.equal(exchange.failure?.origin, 'local')
  assert.equal(fixture.counter('cluster.c.upstream_rq_pending_overflow'), 1)
  assert.equal(fixture.counter('cluster.c.upstream_cx_total'), 0)
})

test('max_pending_requests counts only those that wait', async () => {
  await using server = await slow()
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(breaker('max_connections: 1, max_pending_requests: 1'), [server.port])
  const first = new Exchange().start(cluster)
  await waitFor(() => first.encoder)
  const second = new Exchange().start(cluster)
  assert.equal(fixture.gauge('cluster.c.circuit_breakers.default.rq_pending_open'), 1)
  const third = new Exchange().start(cluster)
  assert.deepEqual(third.events, ['failed:overflow'])
  await Promise.all([first.finished(), second.finished()])
  assert.equal(fixture.gauge('cluster.c.circuit_breakers.default.rq_pending_open'), 0)
})

test('max_requests limits HTTP/1 too: a connection is opened, and then the request refused', async () => {
  await using server = await slow()
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(breaker('max_requests: 1'), [server.port])
  const exchanges = [new Exchange().start(cluster), new Exchange().start(cluster)]
  await Promise.all(exchanges.map(exchange => exchange.finished()))
  assert.deepEqual(exchanges.map(outcome).sort(), ['end', 'failed:overflow'])
  assert.equal(fixture.counter('cluster.c.upstream_rq_active_overflow'), 1)
  assert.equal(fixture.counter('cluster.c.upstream_rq_pending_overflow'), 0)
  assert.equal(fixture.counter('cluster.c.upstream_cx_total'), 2)
  assert.equal(fixture.counter('cluster.c.upstream_rq_total'), 1)
  // The connection that was refused its request is there for the next one.
  assert.equal((await new Exchange().start(cluster).finished()).events.at(-1), 'end')
  assert.equal(fixture.counter('cluster.c.upstream_cx_total'), 2)
})

test('routes of high priority have limits and pools of their own', async () => {
  await using server = await slow()
  using fixture = new ManagerFixture()
  const yaml =
    '{name: c, circuit_breakers: {thresholds: [{max_pending_requests: 0}, {priority: HIGH, max_requests: 5}]}}'
  const cluster = fixture.cluster(yaml, [server.port])
  assert.equal(outcome(new Exchange().start(cluster, { priority: 0 })), 'failed:overflow')
  const high = new Exchange().start(cluster, { priority: 1 })
  await waitFor(() => high.encoder)
  assert.equal(cluster.resources(1).requests.inUse, 1)
  assert.equal(cluster.resources(0).requests.inUse, 0)
  assert.equal(outcome(await high.finished()), 'end')
})

test('a request that gives up waiting leaves the queue and is counted as cancelled', async () => {
  await using server = await slow()
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(breaker('max_connections: 1'), [server.port])
  const first = new Exchange().start(cluster)
  await waitFor(() => first.encoder)
  const second = new Exchange().start(cluster)
  second.pending!.cancel()
  second.pending!.cancel()
  const third = new Exchange().start(cluster)
  await Promise.all([first.finished(), third.finished()])
  first.pending!.cancel()
  assert.deepEqual(second.events, [])
  assert.equal(fixture.counter('cluster.c.upstream_rq_cancelled'), 1)
  assert.equal(cluster.resources(0).pendingRequests.inUse, 0)
})

// Connections.

test('the connection that was idle for the shortest time is used first', async () => {
  await using server = await slow(20)
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [server.port])
  const first = await Promise.all([0, 1].map(() => new Exchange().start(cluster).finished()))
  await delay(10)
  const next = await new Exchange().start(cluster).finished()
  assert.equal(next.connection!.id, first[1]!.connection!.id)
})

test('whoever asks for a fresh connection gets none that has been idle', async () => {
  await using server = await slow(20)
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [server.port])
  const first = await new Exchange().start(cluster).finished()
  const second = await new Exchange().start(cluster, { fresh: true }).finished()
  assert.notEqual(second.connection!.id, first.connection!.id)
  assert.equal(second.status, 200)
})

test('a connection refused fails everyone who waits, with the words of Envoy', async () => {
  const port = await freePort()
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [port])
  const exchanges = [0, 1, 2].map(() => new Exchange().start(cluster))
  await Promise.all(exchanges.map(exchange => exchange.finished()))
  for (const { failure } of exchanges) {
    assert.equal(failure?.kind, 'connect_refused')
    assert.equal(failure?.details, 'delayed_connect_error:_Connection_refused')
  }
  assert.equal(fixture.counter('cluster.c.upstream_rq_pending_failure_eject'), 3)
  assert.equal(fixture.counter('cluster.c.upstream_rq_total'), 0)
  assert.equal(cluster.hosts[0]!.stats.cxConnectFail.value, 3)
})

test('what a caller asks for while it is told of a failure gets a connection attempt of its own', async () => {
  const port = await freePort()
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [port])
  const retry = new Exchange()
  const first = new Exchange()
  first.onEvent = () => {
    retry.start(cluster)
    assert.deepEqual(retry.events, [], 'the failure of another is not its own')
  }
  await first.start(cluster).finished()
  await retry.finished()
  assert.equal(fixture.counter('cluster.c.upstream_cx_total'), 2)
})

test('a connection that ends before its turn comes is replaced for those who wait', async () => {
  await using server = await ScriptedServer.start(socket => socket.on('data', () => setTimeout(() => socket.end(), 20)))
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(breaker('max_connections: 1'), [server.port])
  const exchanges = await Promise.all([0, 1].map(() => new Exchange().start(cluster).finished()))
  assert.deepEqual(exchanges.map(outcome), ['reset:terminated', 'reset:terminated'])
  assert.equal(fixture.counter('cluster.c.upstream_cx_total'), 2)
})

test('an idle connection that the upstream closes disappears without a sound', async () => {
  await using server = await ScriptedServer.start(socket =>
    socket.on('data', () => {
      socket.write(OK)
      setTimeout(() => socket.end(), 20)
    }),
  )
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [server.port])
  await new Exchange().start(cluster).finished()
  await waitFor(() => fixture.gauge('cluster.c.upstream_cx_active') === 0)
  assert.equal(outcome(await new Exchange().start(cluster).finished()), 'end')
  assert.equal(fixture.counter('cluster.c.upstream_cx_protocol_error'), 0)
  assert.equal(fixture.counter('cluster.c.upstream_cx_destroy_with_active_rq'), 0)
})

test('bytes on an idle connection close it and are counted, unless they are a 408', async () => {
  for (const [bytes, errors] of [
    ['surprise', 1],
    ['HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n', 0],
  ] as const) {
    await using server = await ScriptedServer.start(socket =>
      socket.on('data', () => {
        socket.write(OK)
        setTimeout(() => socket.write(bytes), 20)
      }),
    )
    using fixture = new ManagerFixture()
    await new Exchange().start(fixture.cluster('{name: c}', [server.port])).finished()
    await waitFor(() => fixture.gauge('cluster.c.upstream_cx_active') === 0)
    assert.equal(fixture.counter('cluster.c.upstream_cx_protocol_error'), errors)
  }
})

test('max_requests_per_connection is how many requests a connection carries', async () => {
  await using server = await ScriptedServer.answering(OK)
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c, common_http_protocol_options: {max_requests_per_connection: 2}}', [
    server.port,
  ])
  for (let i = 0; i < 5; i++) await new Exchange().start(cluster).finished()
  assert.equal(fixture.counter('cluster.c.upstream_cx_total'), 3)
  assert.equal(fixture.counter('cluster.c.upstream_cx_max_requests'), 2)
})

// Time.

/** A transport that connects, or not, when told to. */
class FakeTransport {
  readonly handlers: ConnectionHandler[] = []
  readonly addresses: Address[] = []
  readonly connect: Connect = ({ address }, _options, handler) => {
    this.handlers.push(handler)
    this.addresses.push(address)
    let closed = false
    const connection: Connection = {
      id: this.handlers.length,
      remote: address,
      local: address,
      tls: undefined,
      bufferedBytes: 0,
      bytesRead: 0,
      bytesWritten: 0,
      get closed() {
        return closed
      },
      handler,
      write() {},
      pauseReading() {},
      resumeReading() {},
      closeAfterFlush() {},
      close: () => {
        if (closed) return
        closed = true
        handler.onClose({ kind: 'local', details: '' })
      },
    }
    return connection
  }
}

function transportOf(connect: Connect) {
  return { secure: false, contexts: [], connect, useStats() {}, matchNames: [], matchName: () => '' }
}

function timed(yaml: string) {
  const clock = new ManualClock()
  const timers = new TimerWheel(clock)
  const transport = new FakeTransport()
  const fixture = new ManagerFixture({ clock, timers, transport: () => transportOf(transport.connect) })
  const cluster = fixture.cluster(yaml, [80])
  const advance = (ms: number) => {
    clock.advance(ms)
    timers.advance()
  }
  const answer = (connection: number) => transport.handlers[connection]!.onData(Buffer.from(OK))
  return { fixture, cluster, transport, advance, answer }
}

test('an idle connection is closed after idle_timeout, one hour unless it is set', () => {
  for (const [yaml, timeoutMs] of [
    ['{name: c}', 3_600_000],
    ['{name: c, common_http_protocol_options: {idle_timeout: 10s}}', 10_000],
  ] as const) {
    const { fixture, cluster, transport, advance, answer } = timed(yaml)
    const exchange = new Exchange().start(cluster)
    transport.handlers[0]!.onConnected()
    advance(2 * timeoutMs)
    assert.equal(fixture.gauge('cluster.c.upstream_cx_active'), 1, 'a busy connection is not idle')
    answer(0)
    assert.equal(outcome(exchange), 'end')
    advance(timeoutMs - 100)
    assert.equal(fixture.gauge('cluster.c.upstream_cx_active'), 1)
    advance(200)
    assert.equal(fixture.gauge('cluster.c.upstream_cx_active'), 0)
    assert.equal(fixture.counter('cluster.c.upstream_cx_idle_timeout'), 1)
    fixture.manager.close()
  }
})

test('a request begun in time is not hit by the idle timeout of its connection', () => {
  const { fixture, cluster, transport, advance, answer } = timed(
    '{name: c, common_http_protocol_options: {idle_timeout: 10s}}',
  )
  new Exchange().start(cluster)
  transport.handlers[0]!.onConnected()
  answer(0)
  advance(9000)
  const second = new Exchange().start(cluster)
  advance(9000)
  answer(0)
  assert.equal(outcome(second), 'end')
  assert.equal(fixture.counter('cluster.c.upstream_cx_idle_timeout'), 0)
  fixture.manager.close()
})

test('after max_connection_duration a connection finishes its request and goes', () => {
  const yaml = '{name: c, common_http_protocol_options: {max_connection_duration: 10s}}'
  const { fixture, cluster, transport, advance, answer } = timed(yaml)
  const exchange = new Exchange().start(cluster)
  transport.handlers[0]!.onConnected()
  advance(11_000)
  assert.equal(fixture.counter('cluster.c.upstream_cx_max_duration_reached'), 1)
  assert.equal(fixture.gauge('cluster.c.upstream_cx_active'), 1)
  answer(0)
  assert.equal(outcome(exchange), 'end')
  assert.equal(fixture.gauge('cluster.c.upstream_cx_active'), 0)
  fixture.manager.close()
})

const connectFailures: readonly (readonly [CloseReason, string])[] = [
  [{ kind: 'connect_timeout', details: '' }, 'connect_timeout'],
  [{ kind: 'unreachable', details: 'delayed_connect_error:_No_route_to_host' }, 'unreachable'],
  [{ kind: 'tls', details: 'TLS_error:' }, 'tls'],
  [{ kind: 'error', details: 'delayed_connect_error:_Too_many_open_files' }, 'connect_failed'],
]
for (const [reason, kind] of connectFailures) {
  test(`a connection that fails for ${reason.kind} is reported as ${kind}`, () => {
    const { fixture, cluster, transport } = timed('{name: c}')
    const exchange = new Exchange().start(cluster)
    transport.handlers[0]!.onClose(reason)
    assert.deepEqual(exchange.events, [`failed:${kind}`])
    assert.equal(exchange.failure?.details, reason.details)
    assert.equal(fixture.counter('cluster.c.upstream_cx_connect_fail'), 1)
    assert.equal(fixture.counter('cluster.c.upstream_cx_connect_timeout'), kind === 'connect_timeout' ? 1 : 0)
    fixture.manager.close()
  })
}

test('back-pressure left by one request is told to the next one on the connection', () => {
  const { fixture, cluster, transport, answer } = timed('{name: c}')
  new Exchange().start(cluster)
  transport.handlers[0]!.onConnected()
  transport.handlers[0]!.onBackpressure(true)
  answer(0)
  const second = new Exchange().start(cluster)
  assert.deepEqual(second.events, ['above'])
  transport.handlers[0]!.onBackpressure(false)
  assert.deepEqual(second.events, ['above', 'below'])
  fixture.manager.close()
})

test('connections are made by the settings of the cluster', () => {
  const options: ConnectOptions[] = []
  const transport = new FakeTransport()
  const connect: Connect = (address, settings, handler, timers) => {
    options.push(settings)
    return transport.connect(address, settings, handler, timers)
  }
  using fixture = new ManagerFixture({ transport: () => transportOf(connect) })
  new Exchange().start(fixture.cluster('{name: c}', [80]))
  new Exchange().start(
    fixture.cluster(
      '{name: d, connect_timeout: 0.25s, per_connection_buffer_limit_bytes: 1000, upstream_connection_options: {tcp_keepalive: {keepalive_time: 30}}}',
      [80],
    ),
  )
  assert.deepEqual(
    options.map(({ connectTimeoutMs, bufferLimitBytes, keepAlive }) => [connectTimeoutMs, bufferLimitBytes, keepAlive]),
    [
      [5000, 1024 * 1024, undefined],
      [250, 1000, { idleMs: 30_000, intervalMs: 75_000, probes: 9 }],
    ],
  )
})
