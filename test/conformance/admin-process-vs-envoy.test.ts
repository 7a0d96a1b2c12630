/**
 * The admin pages of two running processes with one configuration: what Envoy says of its configuration, clusters, hosts,
 * listeners and runtime, Hopwise says in the same shape with the same values.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { daysFromNow } from '../../demo-services/certificate-authority.ts'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw, TestClient } from '../kit/http-client.ts'
import { accepts } from '../kit/process.ts'
import { type ProxyProcess, temporaryFile } from '../kit/proxy-process.ts'
import { TlsFiles } from '../kit/tls-files.ts'
import { waitFor } from '../kit/wait-for.ts'
import { typed } from './scenarios/bootstrap.ts'

const tls = new TlsFiles()
const own = tls.issue('own', { dns: ['own.test'], notAfter: daysFromNow(100.5) })
/** A secret that a file delivers. */
const delivered = tls.write(
  'sds.yaml',
  `resources:\n- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\n  name: delivered\n  tls_certificate: ${tls.certificate('own')}\n`,
)
let upstream: FakeUpstream
let envoy: ProxyProcess
let hopwise: ProxyProcess

before(async () => {
  upstream = await FakeUpstream.start()
  const start = async (run: typeof startEnvoy) => {
    const [main, other, admin] = await freePorts(3)
    const proxy = await run(configuration(main!, other!), { adminPort: admin!, args: ['--service-zone', 'z9'] })
    for (let i = 0; i < 3; i++) await fetchRaw(main!, { path: '/to-app' })
    await fetchRaw(main!, { path: '/gone' })
    return { proxy, ports: { main: main!, other: other!, admin: admin! } }
  }
  const [theirs, ours] = [await start(startEnvoy), await start(startHopwise)]
  envoy = theirs.proxy
  hopwise = ours.proxy
  portsOf.set(envoy, theirs.ports).set(hopwise, ours.ports)
})
after(async () => {
  await envoy?.stop('SIGKILL')
  await hopwise?.stop('SIGKILL')
  await upstream?.close()
})

const portsOf = new Map<ProxyProcess, Readonly<Record<string, number>>>()

/** The page with ports by their names. */
async function page(proxy: ProxyProcess, path: string, method: 'GET' | 'POST' = 'GET'): Promise<string> {
  let text = (await fetchRaw(proxy.adminPort, { path, method })).text
  for (const [name, port] of Object.entries(portsOf.get(proxy)!)) text = text.replaceAll(String(port), `"<${name}>"`)
  return text.replaceAll(/""(<\w+>)""/g, '"$1"')
}

async function jsonOf(proxy: ProxyProcess, path: string): Promise<unknown> {
  return JSON.parse(await page(proxy, path))
}

/** Without the moments, and without the node, of which Envoy lists hundreds of extensions; routes in one order. */
function timeless(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, inner) => {
      if (key === 'last_updated') return '<time>'
      if (key === 'node') return undefined
      // Envoy has them in a hash table.
      const unordered =
        key === 'static_route_configs' ||
        key === 'cluster_statuses' ||
        JSON.stringify(inner).startsWith('[{"@type":"type.googleapis.com/envoy.admin.v3.RoutesConfigDump.')
      return unordered ? inner.toSorted(byText) : inner
    }),
  )
}

const byText = (one: unknown, other: unknown) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1)

for (const path of ['/config_dump', '/config_dump?include_eds', '/config_dump?resource=static_route_configs']) {
  test(`${path} says the same`, async () => {
    assert.deepEqual(timeless(await jsonOf(hopwise, path)), timeless(await jsonOf(envoy, path)))
  })
}

for (const path of ['/clusters?format=json', '/listeners?format=json', '/runtime', '/certs', '/init_dump']) {
  test(`${path} says the same`, async () => {
    assert.deepEqual(timeless(await jsonOf(hopwise, path)), timeless(await jsonOf(envoy, path)))
  })
}

for (const path of ['/clusters', '/listeners', '/ready']) {
  test(`${path} prints the same lines`, async () => {
    const lines = (text: string) => text.trim().split('\n').sort()
    assert.deepEqual(lines(await page(hopwise, path)), lines(await page(envoy, path)))
  })
}

test('/server_info has every field of Envoy, and the node with what the command line says', async () => {
  const [theirs, ours] = (await Promise.all(
    [envoy, hopwise].map(proxy => jsonOf(proxy, '/server_info')),
  )) as ServerInfo[]
  assert.deepEqual(Object.keys(ours!), Object.keys(theirs!))
  assert.deepEqual(Object.keys(ours!.command_line_options), Object.keys(theirs!.command_line_options))
  for (const field of ['concurrency', 'service_zone', 'mode', 'config_yaml', 'file_flush_interval'])
    assert.equal(ours!.command_line_options[field], theirs!.command_line_options[field], field)
  for (const field of ['id', 'cluster', 'metadata']) assert.deepEqual(ours!.node[field], theirs!.node[field], field)
  // Envoy prints empty texts there too.
  assert.deepEqual({ sub_zone: '', ...(ours!.node['locality'] as object) }, theirs!.node['locality'])
  assert.equal(ours!.node['user_agent_name'], 'hopwise')
})

interface ServerInfo {
  readonly command_line_options: Readonly<Record<string, unknown>>
  readonly node: Readonly<Record<string, unknown>>
}

test('the runtime is modified, and counted, in the same way', async () => {
  const modify = (query: string) =>
    Promise.all([envoy, hopwise].map(proxy => page(proxy, `/runtime_modify?${query}`, 'POST')))
  for (const query of ['a=2&b=%7B%22numerator%22%3A1%7D', 'a=', 'c=x']) {
    const [theirs, ours] = await modify(query)
    assert.equal(ours!.trim(), theirs!.trim(), query)
    assert.deepEqual(await jsonOf(hopwise, '/runtime'), await jsonOf(envoy, '/runtime'), query)
    const stats = ['/stats?filter=^runtime\\.']
    for (const path of stats) assert.equal((await page(hopwise, path)).trim(), (await page(envoy, path)).trim(), query)
  }
})

test('the state of the server is counted as Envoy counts it', async () => {
  const ours = await hopwise.stats('^server\\.')
  const theirs = await envoy.stats('^server\\.')
  const same = ['live', 'state', 'concurrency', 'hot_restart_epoch', 'hot_restart_generation', 'parent_connections']
  same.push('days_until_first_cert_expiring', 'static_unknown_fields', 'dynamic_unknown_fields')
  for (const name of same) assert.equal(ours.get(`server.${name}`), theirs.get(`server.${name}`), name)
  for (const name of ['memory_allocated', 'memory_heap_size', 'memory_physical_size', 'version'])
    assert.ok(ours.get(`server.${name}`)! > 0, name)
})

test('--config-yaml is merged over the file, and the admin address is written where it is asked for', async () => {
  const file =
    'node: {id: a, cluster: c, metadata: {x: {p: 1}}}\n' +
    'static_resources: {clusters: [{name: one}]}\n' +
    'layered_runtime: {layers: [{name: base, static_layer: {k: 1}}]}\n'
  const over = {
    node: { id: 'b', locality: { zone: 'z' }, metadata: { x: { q: 2 }, y: 2 } },
    static_resources: { clusters: [{ name: 'two' }] },
    layered_runtime: { layers: [{ name: 'admin', admin_layer: {} }] },
  }
  const answers = await Promise.all(
    [startEnvoy, startHopwise].map(async start => {
      const addressFile = temporaryFile('admin-address', '')
      const args = ['--config-yaml', JSON.stringify(over), '--admin-address-path', addressFile]
      await using proxy = await start(file, { args })
      assert.equal(readFileSync(addressFile, 'utf8'), `127.0.0.1:${proxy.adminPort}`)
      const dump = JSON.parse(await proxy.admin('/config_dump'))
      const { id, cluster, locality, metadata } = dump.configs[0].bootstrap.node
      const clusters = dump.configs[1].static_clusters.map((one: { cluster: { name: string } }) => one.cluster.name)
      const runtime = JSON.parse(await proxy.admin('/runtime'))
      return { id, cluster, locality, metadata, clusters: clusters.sort(), runtime }
    }),
  )
  assert.deepEqual(answers[1], answers[0])
})

test('without layered_runtime there is nothing to modify', async () => {
  const answers = await Promise.all(
    [startEnvoy, startHopwise].map(async start => {
      await using proxy = await start('static_resources: {}\n')
      const { status, text } = await fetchRaw(proxy.adminPort, { path: '/runtime_modify?a=b', method: 'POST' })
      return [status, text.trim(), JSON.parse(await proxy.admin('/runtime'))]
    }),
  )
  assert.deepEqual(answers[1], answers[0])
})

interface Drained {
  /** What the admin page is asked, and what is waited for before the next look. */
  readonly steps: readonly (readonly [path: string, until?: 'inbound closed' | 'all closed'])[]
}
const drains: Readonly<Record<string, Drained>> = {
  inboundonly: { steps: [['/drain_listeners?inboundonly', 'inbound closed']] },
  'graceful, skip_exit and inboundonly': { steps: [['/drain_listeners?graceful&skip_exit&inboundonly']] },
  'graceful and inboundonly': { steps: [['/drain_listeners?graceful&inboundonly', 'inbound closed']] },
  'graceful and skip_exit': { steps: [['/drain_listeners?graceful&skip_exit']] },
  'skip_exit alone': { steps: [['/drain_listeners?skip_exit']] },
  'no word': { steps: [['/drain_listeners', 'all closed']] },
  graceful: { steps: [['/drain_listeners?graceful', 'all closed']] },
  'graceful, then /healthcheck/fail and /healthcheck/ok': {
    steps: [
      ['/healthcheck/fail'],
      ['/healthcheck/ok'],
      ['/drain_listeners?graceful&skip_exit&inboundonly'],
      ['/healthcheck/fail'],
      ['/healthcheck/ok'],
    ],
  },
}

for (const [name, { steps }] of Object.entries(drains)) {
  test(`draining listeners (${name}): what each goes on to answer, on old connections and new ones`, async () => {
    const [theirs, ours] = await Promise.all([startEnvoy, startHopwise].map(start => drainedAs(start, steps)))
    assert.deepEqual(ours, theirs)
  })
}

/** After each step: state of the server, and per listener what an old and a new connection are answered. */
async function drainedAs(start: typeof startEnvoy, steps: Drained['steps']): Promise<unknown[]> {
  const ports = await freePorts(DIRECTIONS.length)
  await using proxy = await start(drainConfiguration(ports), {
    args: ['--drain-strategy', 'immediate', '--drain-time-s', '1'],
  })
  const refused = (port: number) => accepts(port).then(yes => !yes)
  const old = await Promise.all(ports.map(port => TestClient.connect(port)))
  for (const client of old) await client.request({ path: '/x' })
  const seen: unknown[] = []
  for (const [path, until] of steps) {
    const { status, text } = await fetchRaw(proxy.adminPort, { path, method: 'POST' })
    if (until !== undefined) {
      const closed = until === 'all closed' ? ports : ports.slice(0, 1)
      await waitFor(async () => (await Promise.all(closed.map(refused))).every(Boolean), { what: until })
    }
    const ready = await fetchRaw(proxy.adminPort, { path: '/ready' })
    const look: Record<string, unknown> = { path, answer: [status, text], ready: [ready.status, ready.text.trim()] }
    for (const [i, direction] of DIRECTIONS.entries()) {
      const fresh = (await refused(ports[i]!)) ? undefined : await TestClient.connect(ports[i]!)
      look[direction] = { old: await answers(old[i]!), new: fresh === undefined ? 'refused' : await answers(fresh) }
      fresh?.socket.destroy()
    }
    seen.push(look)
  }
  for (const client of old) client.socket.destroy()
  return seen
}

/** How many of a hundred responses end their connection after a graceful drain has begun, each on a connection of its own. */
async function endedByLot(start: typeof startEnvoy, drainTimeS: number, afterMs: number): Promise<number> {
  const ports = await freePorts(DIRECTIONS.length)
  await using proxy = await start(drainConfiguration(ports), { args: ['--drain-time-s', String(drainTimeS)] })
  const clients = await Promise.all(Array.from({ length: 100 }, () => TestClient.connect(ports[1]!)))
  await fetchRaw(proxy.adminPort, { path: '/drain_listeners?graceful&skip_exit', method: 'POST' })
  await delay(afterMs)
  const answers = await Promise.all(clients.map(client => client.request({ path: '/x' })))
  for (const client of clients) client.socket.destroy()
  return answers.filter(({ header }) => header('connection') === 'close').length
}

test('gradually, which is the default, no connection ends when a drain begins, and every one after half of its time', async () => {
  for (const start of [startEnvoy, startHopwise]) {
    // None in the first second, and a few of a hundred where the machine takes its time.
    const few = await endedByLot(start, 600, 0)
    assert.ok(few < 10, `${start.name}: ${few} of 100 at the beginning of 600 s`)
    assert.equal(await endedByLot(start, 8, 4100), 100, start.name)
  }
})

/** A health check, and an ordinary request where the connection stays. */
async function answers(client: TestClient): Promise<unknown> {
  const all: unknown[] = []
  for (const path of ['/healthz', '/x']) {
    try {
      const { status, header } = await client.request({ path })
      all.push([path, status, header('connection'), header('x-envoy-immediate-health-check-fail')])
      // Envoy takes further requests for its drain timeout; a client sends none.
      if (header('connection') === 'close') client.close()
    } catch {
      return [...all, 'closed']
    }
  }
  return all
}

const DIRECTIONS = ['INBOUND', 'OUTBOUND', 'UNSPECIFIED']

function drainConfiguration(ports: readonly number[]): string {
  const listeners = DIRECTIONS.map((direction, i) => ({
    name: direction,
    traffic_direction: direction,
    address: { socket_address: { address: '127.0.0.1', port_value: ports[i] } },
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: typed('network.http_connection_manager.v3.HttpConnectionManager', {
              stat_prefix: direction,
              route_config: {
                virtual_hosts: [
                  {
                    name: 'all',
                    domains: ['*'],
                    routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
                  },
                ],
              },
              http_filters: [
                {
                  name: 'envoy.filters.http.health_check',
                  typed_config: typed('http.health_check.v3.HealthCheck', {
                    pass_through_mode: false,
                    headers: [{ name: ':path', string_match: { exact: '/healthz' } }],
                  }),
                },
                { name: 'envoy.filters.http.router', typed_config: typed('http.router.v3.Router', {}) },
              ],
            }),
          },
        ],
      },
    ],
  }))
  return `static_resources: ${JSON.stringify({ listeners })}\n`
}

function configuration(main: number, other: number): string {
  const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })
  const manager = (name: string) => ({
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: typed('network.http_connection_manager.v3.HttpConnectionManager', {
      stat_prefix: name,
      route_config: {
        name: `${name}-routes`,
        virtual_hosts: [
          {
            name: 'all',
            domains: ['*'],
            routes: [
              { match: { prefix: '/gone' }, direct_response: { status: 410, body: { inline_string: 'gone' } } },
              { match: { prefix: '/' }, route: { cluster: 'app', timeout: '1.5s' } },
            ],
          },
        ],
      },
      http_filters: [{ name: 'envoy.filters.http.router', typed_config: typed('http.router.v3.Router', {}) }],
    }),
  })
  const endpoint = (weight: number, hostname?: string) => ({
    endpoint: { address: address(upstream.port), hostname },
    load_balancing_weight: weight,
    metadata: { filter_metadata: { 'envoy.lb': { canary: weight === 2, version: 'v1', n: 2 } } },
  })
  const sections = {
    node: { id: 'n1', cluster: 'orders', locality: { region: 'r', zone: 'z' }, metadata: { team: 'x' } },
    layered_runtime: {
      layers: [
        { name: 'base', static_layer: { a: 1, health_check: { min_interval: 5 } } },
        { name: 'admin', admin_layer: {} },
      ],
    },
    static_resources: {
      listeners: [
        {
          name: 'main',
          traffic_direction: 'INBOUND',
          address: address(main),
          filter_chains: [{ filters: [manager('main')] }],
        },
        { name: 'other', address: address(other), default_filter_chain: { filters: [manager('other')] } },
      ],
      clusters: [
        {
          name: 'app',
          outlier_detection: { consecutive_5xx: 7 },
          circuit_breakers: { thresholds: [{ max_connections: 100 }, { priority: 'HIGH', max_requests: 7 }] },
          load_assignment: {
            cluster_name: 'app',
            endpoints: [
              {
                locality: { region: 'r1', zone: 'z1' },
                lb_endpoints: [endpoint(3, 'h1')],
              },
              { locality: { zone: 'z2' }, priority: 1, lb_endpoints: [{ ...endpoint(2), health_status: 'DEGRADED' }] },
            ],
            policy: { overprovisioning_factor: 150 },
          },
        },
        { name: 'empty', alt_stat_name: 'none', load_assignment: { cluster_name: 'empty' } },
        {
          name: 'secret',
          load_assignment: { cluster_name: 'secret' },
          transport_socket: {
            name: 'tls',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
              common_tls_context: {
                tls_certificate_sds_secret_configs: [
                  { name: 'delivered', sds_config: { path_config_source: { path: delivered } } },
                ],
                validation_context_sds_secret_config: { name: 'trust' },
              },
            },
          },
        },
      ],
      secrets: [
        {
          name: 'pair',
          tls_certificate: {
            certificate_chain: { filename: join(tls.folder, 'own.crt') },
            private_key: { inline_string: own.key },
            password: { inline_string: 'x' },
          },
        },
        { name: 'trust', validation_context: { trusted_ca: { inline_string: tls.authority.certificate } } },
        { name: 'tickets', session_ticket_keys: { keys: [{ inline_bytes: Buffer.alloc(80).toString('base64') }] } },
      ],
    },
  }
  return Object.entries(sections)
    .map(([name, section]) => `${name}: ${JSON.stringify(section)}\n`)
    .join('')
}
