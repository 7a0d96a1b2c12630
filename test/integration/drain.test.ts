/** The end of a sidecar by signals, with HTTP/1.1 requests under way; and the signal that reopens its logs. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw, TestClient } from '../kit/http-client.ts'
import { accepts } from '../kit/process.ts'
import { type ProxyProcess, temporaryFolder } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

const TYPE = 'type.googleapis.com/envoy.extensions'

/** A sidecar with a listener each way, both before an application that answers `/held` when it is told to. */
async function sidecar(args: readonly string[], accessLog?: string) {
  const [inbound, outbound] = await freePorts(2)
  const held = Promise.withResolvers<void>()
  let holding = false
  const application = await FakeUpstream.start(async ({ target }) => {
    if (target === '/held') {
      holding = true
      await held.promise
    }
    return { status: 200, body: 'ok' }
  })
  const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })
  const listener = (direction: string, port: number) => ({
    name: direction,
    traffic_direction: direction,
    address: address(port),
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: direction,
              route_config: {
                virtual_hosts: [
                  {
                    name: 'all',
                    domains: ['*'],
                    routes: [{ match: { prefix: '/' }, route: { cluster: 'app', timeout: '0s' } }],
                  },
                ],
              },
              access_log:
                accessLog === undefined
                  ? []
                  : [
                      {
                        name: 'file',
                        typed_config: { '@type': `${TYPE}.access_loggers.file.v3.FileAccessLog`, path: accessLog },
                      },
                    ],
              http_filters: [
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': `${TYPE}.filters.http.router.v3.Router` },
                },
              ],
            },
          },
        ],
      },
    ],
  })
  const resources = {
    listeners: [listener('INBOUND', inbound!), listener('OUTBOUND', outbound!)],
    clusters: [
      {
        name: 'app',
        load_assignment: {
          cluster_name: 'app',
          endpoints: [{ lb_endpoints: [{ endpoint: { address: address(application.port) } }] }],
        },
      },
    ],
  }
  const proxy = await startHopwise(`static_resources: ${JSON.stringify(resources)}\n`, {
    args: ['--no-watch', ...args],
  })
  /** A client whose request is with the application. */
  const underWay = async () => {
    const client = await TestClient.connect(inbound!)
    const response = client.request({ path: '/held' })
    // Looked at when it is wanted; it may also fail meanwhile.
    response.catch(() => {})
    await waitFor(() => holding, { what: 'the request at the application' })
    return { client, response }
  }
  return {
    proxy,
    inbound: inbound!,
    outbound: outbound!,
    underWay,
    letGo: held.resolve,
    async [Symbol.asyncDispose]() {
      held.resolve()
      await proxy.stop('SIGKILL')
      await application.close()
    },
  }
}

/** The exit code, once there is one. */
async function exitCode({ process }: ProxyProcess): Promise<number> {
  await waitFor(() => process.exitCode !== undefined, { what: 'the end of the process' })
  return process.exitCode!
}

test('SIGTERM: not ready, accepting for the delay, inbound first, outbound until then; nothing under way is lost', async () => {
  await using it = await sidecar(['--drain-delay', '3000', '--drain-time-s', '600'])
  const { proxy, inbound, outbound } = it
  const idle = await TestClient.connect(inbound)
  assert.equal((await idle.request({ path: '/' })).header('connection'), undefined)
  const busy = await it.underWay()
  proxy.process.signal('SIGTERM')
  await waitFor(async () => (await fetchRaw(proxy.adminPort, { path: '/ready' })).status === 503)
  // Within the delay, who has not heard of it yet is served, and told.
  const late = await fetchRaw(inbound, { path: '/' })
  assert.deepEqual([late.status, late.header('connection')], [200, 'close'])
  await waitFor(async () => !(await accepts(inbound)), { what: 'the inbound listener closed' })
  // What nothing runs on is closed; the application behind the request that still runs makes its calls.
  assert.equal(await idle.closed, 'end')
  assert.equal((await fetchRaw(outbound, { path: '/' })).status, 200)
  assert.equal(proxy.process.exitCode, undefined)
  it.letGo()
  const response = await busy.response
  assert.deepEqual([response.status, response.text, response.header('connection')], [200, 'ok', 'close'])
  assert.equal(await exitCode(proxy), 0)
})

test('SIGTERM ends with the drain time, whatever is under way', async () => {
  await using it = await sidecar(['--drain-time-s', '1'])
  const busy = await it.underWay()
  it.proxy.process.signal('SIGTERM')
  assert.equal(await exitCode(it.proxy), 0)
  await assert.rejects(busy.response)
})

test('a second signal ends at once', async () => {
  await using it = await sidecar(['--drain-time-s', '600'])
  const busy = await it.underWay()
  it.proxy.process.signal('SIGTERM')
  await it.proxy.process.waitForLine('draining')
  assert.equal(it.proxy.process.exitCode, undefined)
  it.proxy.process.signal('SIGINT')
  assert.equal(await exitCode(it.proxy), 0)
  await assert.rejects(busy.response)
})

test('SIGUSR1 reopens the access log and the process log', async () => {
  const folder = temporaryFolder()
  const [access, log] = [join(folder, 'access.log'), join(folder, 'hopwise.log')]
  await using it = await sidecar(['--log-path', log, '--file-flush-interval-msec', '10'], access)
  const { proxy, inbound } = it
  const has = (path: string, text: string) =>
    waitFor(() => existsSync(path) && readFileSync(path, 'utf8').includes(text), { what: `${text} in ${path}` })
  await fetchRaw(inbound, { path: '/before' })
  await has(access, '/before')
  for (const path of [access, log]) renameSync(path, `${path}.1`)
  proxy.process.signal('SIGUSR1')
  await waitFor(() => existsSync(access) && existsSync(log), { what: 'new files' })
  await fetchRaw(inbound, { path: '/after' })
  await has(access, '/after')
  assert.doesNotMatch(proxy.process.output, /Debugger/)
  proxy.process.signal('SIGHUP')
  await has(log, 'configuration reloaded')
  assert.equal(readFileSync(`${access}.1`, 'utf8').includes('/after'), false)
  assert.equal(readFileSync(`${log}.1`, 'utf8').includes('configuration reloaded'), false)
})
