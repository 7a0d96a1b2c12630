/**
 * An upstream closes a connection just when the next request is sent on it. Envoy answers 503 to that; here the request is
 * made once more, where that cannot hurt and nobody has switched it off.
 */
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:net'
import { test } from 'node:test'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { hopwiseSettings, localCluster, oneListener } from '../kit/one-listener.ts'

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

/** Answers the first request of each connection, and ends the connection when the second one has come. */
async function startUpstream(port: number): Promise<Server> {
  const server = createServer(socket => {
    let requests = 0
    socket.on('error', () => {})
    socket.on('data', () => {
      requests++
      if (requests === 1) socket.write(OK)
      else socket.destroy()
    })
  })
  await new Promise<void>(resolve => {
    server.listen(port, '127.0.0.1', resolve)
  })
  return server
}

type Level = 'node' | 'cluster' | 'route'

/** Of two requests one after the other, the status of the second and how many attempts were made in all. */
async function second(method: string, settings: Partial<Record<Level, boolean>>): Promise<string> {
  const [port, upstreamPort, adminPort] = (await freePorts(3)) as [number, number, number]
  const upstream = await startUpstream(upstreamPort)
  const at = (level: Level) =>
    settings[level] === undefined ? undefined : { retry_reused_connection: settings[level] }
  const metadata = (level: Level) => hopwiseSettings(at(level) ?? {})
  const route = { match: { prefix: '/' }, route: { cluster: 'app' }, ...metadata('route') }
  const yaml = oneListener({
    port,
    nodeSettings: at('node'),
    clusters: [localCluster('app', upstreamPort, metadata('cluster'))],
    routes: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
  })
  await using proxy = await startHopwise(yaml, { adminPort })
  const send = async () => (await fetch(`http://127.0.0.1:${port}/`, { method })).status
  await send()
  const status = await send()
  const attempts = await proxy.stat('cluster.app.upstream_rq_total')
  upstream.close()
  return `${status} after ${attempts}`
}

test('a request that met the end of a re-used connection is made once more', async () => {
  assert.equal(await second('GET', {}), '200 after 3')
})

test('what must not be done twice is not', async () => {
  assert.equal(await second('POST', {}), '503 after 2')
})

test('the node switches that off, a cluster of it on again, and a route of that off', async () => {
  assert.equal(await second('GET', { node: false }), '503 after 2')
  assert.equal(await second('GET', { node: false, cluster: true }), '200 after 3')
  assert.equal(await second('GET', { node: false, cluster: true, route: false }), '503 after 2')
})
