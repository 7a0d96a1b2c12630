import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import { waitFor } from '../../kit/wait-for.ts'
import { Exchange, ManagerFixture } from '../cluster/cluster-fixture.ts'
import { OK, ScriptedServer } from './scripted-server.ts'

/** Everything an upstream may do to a request. */
const behaviours: readonly ((socket: Socket) => void)[] = [
  socket => socket.write(OK),
  socket => socket.write(OK),
  socket => void setTimeout(() => socket.write(OK), 3),
  socket => socket.end(),
  socket => socket.resetAndDestroy(),
  socket => socket.end(OK),
  socket => socket.write(OK.replace('\r\n', '\r\nconnection: close\r\n')),
  socket => socket.write(`${OK}surprise`),
  socket => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok'),
  socket => socket.write('nonsense\r\n\r\n'),
  socket => {
    socket.write(OK)
    setTimeout(() => socket.destroy(), 1)
  },
]

const limits: readonly string[] = [
  '',
  'max_connections: 3',
  'max_connections: 2, max_pending_requests: 4',
  'max_requests: 3, max_connections: 5',
]

for (const limit of limits) {
  test(`whatever upstream and callers do, nothing is lost or counted twice (${limit || 'default limits'})`, async () => {
    const random = new SeededRandom(limit.length + 5)
    const pick = <T>(list: readonly T[]): T => list[random.uint32() % list.length]!
    await using server = await ScriptedServer.start(socket => socket.on('data', () => pick(behaviours)(socket)))
    using fixture = new ManagerFixture()
    const cluster = fixture.cluster(`{name: c, circuit_breakers: {thresholds: [{${limit}}]}}`, [server.port])
    const exchanges: Exchange[] = []
    const abandoned = new Set<Exchange>()
    for (let i = 0; i < 400; i++) {
      const exchange = new Exchange().start(cluster)
      exchanges.push(exchange)
      if (random.uint32() % 8 === 0) {
        const afterMs = random.uint32() % 4
        setTimeout(() => {
          if (exchange.done) return
          abandoned.add(exchange)
          if (exchange.encoder === undefined) exchange.pending!.cancel()
          else exchange.encoder.reset()
        }, afterMs)
      }
      if (i % 5 === 0) await delay(random.uint32() % 3)
    }
    await waitFor(() => exchanges.every(exchange => exchange.done || abandoned.has(exchange)), { deadlineMs: 10_000 })
    for (const exchange of exchanges) {
      const ends = exchange.events.filter(event => event === 'end' || /^(reset|failed):/.test(event))
      assert.equal(ends.length, abandoned.has(exchange) ? 0 : 1, exchange.events.join(' '))
    }
    const { connections, pendingRequests, requests } = cluster.resources(0)
    assert.deepEqual([pendingRequests.inUse, requests.inUse], [0, 0])
    assert.deepEqual(
      ['upstream_rq_active', 'upstream_rq_pending_active'].map(name => fixture.gauge(`cluster.c.${name}`)),
      [0, 0],
    )
    assert.equal(connections.inUse, fixture.gauge('cluster.c.upstream_cx_active'))
    const host = cluster.hosts[0]!
    assert.equal(host.stats.rqActive.value, 0)
    assert.equal(host.stats.rqTotal.value, exchanges.filter(exchange => exchange.encoder !== undefined).length)
    // A 2xx that ended is always the whole answer.
    for (const exchange of exchanges) if (exchange.events.at(-1) === 'end') assert.equal(exchange.body, 'ok')
    fixture.manager.remove('c')
    await waitFor(() => fixture.counter('cluster.c.upstream_cx_total') === undefined, {
      what: 'the cluster to be gone',
    })
    assert.deepEqual([connections.inUse, host.stats.cxActive.value], [0, 0])
  })
}
