import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { test } from 'node:test'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { localCluster, oneListener } from '../kit/one-listener.ts'
import { TestProcess } from '../kit/process.ts'
import { temporaryFile } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

const CLIENTS = 20

/**
 * An upstream that notes every request before it does anything else, then takes its time. Requests for `/together` are
 * answered when as many have come as there are clients, so that the proxy has a connection for each; those for `/held` after
 * the time that the command line says.
 */
const UPSTREAM = `
import fs from 'node:fs'
import http from 'node:http'
const [port, log, heldMs] = process.argv.slice(2)
const out = fs.openSync(log, 'a')
const together = []
http.createServer((request, response) => {
  if (request.url === '/together') {
    if (together.push(response) === ${CLIENTS}) for (const one of together) one.end('ok')
    return
  }
  fs.writeSync(out, request.headers['x-id'] + '\\n')
  setTimeout(() => response.end('ok'), request.url === '/held' ? Number(heldMs) : 5)
}).listen(Number(port), '127.0.0.1', () => console.log('listening'))
`

const PREVIOUS_HOSTS = {
  name: 'envoy.retry_host_predicates.previous_hosts',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
  },
}

const configuration = (listen: number, upstreams: readonly number[]) =>
  oneListener({
    port: listen,
    clusters: [
      localCluster('pair', upstreams, {
        type: 'STATIC',
        connect_timeout: '1s',
        circuit_breakers: { thresholds: [{ max_retries: 1000 }] },
      }),
    ],
    route: {
      retry_policy: {
        retry_on: 'connect-failure',
        num_retries: 3,
        host_selection_retry_max_attempts: 5,
        retry_host_predicate: [PREVIOUS_HOSTS],
      },
    },
  })

test('when an upstream is killed under load, only what it had received and cannot be said again fails', async () => {
  const [listen, one, other] = await freePorts(3)
  const script = temporaryFile('upstream.mjs', UPSTREAM)
  const log = temporaryFile('received.log', '')
  const start = async (port: number, heldMs: number) => {
    const upstream = TestProcess.start(process.execPath, [script, String(port), log, String(heldMs)], {
      name: `upstream ${port}`,
    })
    await upstream.waitForLine('listening')
    return upstream
  }
  const victim = await start(one!, 600_000)
  await using survivor = await start(other!, 5)
  await using _proxy = await startHopwise(configuration(listen!, [one!, other!]))
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2 * CLIENTS })
  const failed: string[] = []
  let sent = 0
  let answered = 0
  let running = true
  const ask = (path: string, id: string, method = 'GET') =>
    new Promise<number>(resolve => {
      const options = { port: listen, host: '127.0.0.1', path, method, agent, headers: { 'x-id': id } }
      const request = http.request(options, response => {
        response.resume()
        response.on('close', () => resolve(response.complete ? (response.statusCode ?? 0) : 0))
      })
      request.on('error', () => resolve(0))
      request.end(method === 'GET' ? undefined : 'body')
    })
  const client = async () => {
    while (running) {
      const id = String(++sent)
      const status = await ask('/', id)
      if (status === 200) answered++
      else failed.push(id)
    }
  }
  // From here on no connection is opened: a request on a new one may wait in the queue of a listener that is killed, and
  // nobody can tell that it has not been received.
  const first = await Promise.all(Array.from({ length: 2 * CLIENTS }, () => ask('/together', 'none')))
  assert.deepEqual(new Set(first), new Set([200]))
  const received = () => new Set(readFileSync(log, 'utf8').split('\n'))
  // Half of these are with the victim when it is killed, and what has been sent of a POST cannot be said again.
  const heldIds = Array.from({ length: 6 }, (_, i) => `held-${i}`)
  const held = heldIds.map(async id => {
    if ((await ask('/held', id, 'POST')) !== 200) failed.push(id)
  })
  await waitFor(() => heldIds.every(id => received().has(id)), { what: 'the requests that are held' })
  const clients = Array.from({ length: CLIENTS }, client)
  const answeredAtLeast = (count: number) =>
    waitFor(() => answered >= count, { what: `${count} answers`, deadlineMs: 20_000 })
  await answeredAtLeast(200)
  await victim.stop('SIGKILL')
  await answeredAtLeast(answered + 200)
  running = false
  await Promise.all([...clients, ...held])
  agent.destroy()
  const all = received()
  assert.deepEqual(
    failed.filter(id => !all.has(id)),
    [],
    'every failed request had been received by the upstream that was killed',
  )
  assert.equal(failed.filter(id => heldIds.includes(id)).length, heldIds.length / 2, 'of those that were held')
  assert.equal(survivor.exitCode, undefined)
})
