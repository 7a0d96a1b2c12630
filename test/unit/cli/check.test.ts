/** `hopwise check` against an admin listener that tells of everything that can be wrong. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { AdminHandler } from '../../../sidecar/admin/admin-handler.ts'
import type { ClusterDetails, HostDetails } from '../../../sidecar/admin/server-control.ts'
import type { CliIo } from '../../../sidecar/base/verb.ts'
import { check } from '../../../sidecar/cli/check.ts'
import type { Check } from '../../../sidecar/cli/checks/check.ts'
import { freePort, freePorts } from '../../kit/free-port.ts'
import { localCluster, oneListener } from '../../kit/one-listener.ts'
import { temporaryFile } from '../../kit/proxy-process.ts'
import { FakeControl } from '../admin/fake-control.ts'
import { serveAdmin } from '../admin/serve-admin.ts'

interface Found {
  readonly code: number
  readonly found: Check[]
  readonly out: string
}

/** Asks a sidecar. */
async function checks(control: FakeControl, ...args: string[]): Promise<Found> {
  await using admin = await serveAdmin(new AdminHandler(control))
  return await run('--admin', String(admin.port), ...args)
}

async function run(...args: string[]): Promise<Found> {
  let out = ''
  const io: CliIo = {
    out: text => {
      out += text
    },
    error: () => assert.fail('nothing is wrong with the command'),
    stdin: async () => '',
    isTerminal: false,
    colours: args.includes('coloured'),
    errorColours: false,
  }
  const code = await check(
    args.filter(arg => arg !== 'coloured'),
    io,
  )
  return { code, out, found: out.startsWith('{') ? (JSON.parse(out) as { checks: Check[] }).checks : [] }
}

/** A sidecar whose clock is right. */
function sidecar(): FakeControl {
  const control = new FakeControl()
  control.sidecarMore = { at: Date.now() }
  return control
}

function host(address: string, more: Partial<HostDetails> = {}): HostDetails {
  return {
    address,
    hostname: '',
    health: 'healthy',
    weight: 1,
    priority: 0,
    zone: '',
    requests: 0,
    errors: 0,
    active: 0,
    connections: 0,
    lastFailure: '',
    lastFailureAt: 0,
    ...more,
  }
}

function cluster(name: string, more: Partial<ClusterDetails> = {}): ClusterDetails {
  return {
    name,
    service: name,
    external: false,
    type: 'STATIC',
    lbPolicy: 'ROUND_ROBIN',
    tls: false,
    discoveryFailure: '',
    limits: [{ name: 'requests', inUse: 1, max: 1024, refused: 0 }],
    outlierDetection: false,
    warnings: [],
    hosts: [host('10.0.0.1:80')],
    ...more,
  }
}

const of = (found: readonly Check[], id: string) =>
  found.filter(one => one.id === id).map(({ status, text }) => `${status}: ${text}`)

test('where all is well every line is √ and the exit code 0', async () => {
  const control = sidecar()
  control.details = [cluster('orders')]
  control.collectorStates = [{ kind: 'zipkin', cluster: 'zipkin', failure: '' }]
  const { code, found } = await checks(control, '--json')
  assert.equal(code, 0)
  const told = found.filter(({ group }) => group !== 'this machine')
  assert.deepEqual([...new Set(told.map(({ status }) => status))], ['ok'])
  assert.ok(told.every(({ hint }) => hint === ''))
})

test('clusters: no hosts, ill hosts, a breaker that is open or has refused', async () => {
  const control = sidecar()
  control.details = [
    cluster('empty', { hosts: [], type: 'STRICT_DNS', discoveryFailure: 'NXDOMAIN' }),
    cluster('half', { hosts: [host('10.0.0.1:80'), host('10.0.0.2:80', { health: 'ejected', lastFailure: 'reset' })] }),
    cluster('none', { hosts: [host('10.0.0.3:80', { health: 'failing' })] }),
    cluster('full', { limits: [{ name: 'requests', inUse: 10, max: 10, refused: 3 }] }),
    cluster('was-full', { limits: [{ name: 'connections', inUse: 0, max: 5, refused: 3 }] }),
    cluster('closed', { limits: [{ name: 'retries', inUse: 0, max: 0, refused: 0 }] }),
  ]
  const { code, found } = await checks(control, '--json')
  assert.equal(code, 1)
  assert.deepEqual(of(found, 'clusters.hosts'), [
    'error: empty has no hosts: NXDOMAIN',
    'warning: half: 1 of 2 hosts take no requests: 10.0.0.2:80 ejected (reset)',
    'error: none: 1 of 1 hosts take no requests: 10.0.0.3:80 failing',
  ])
  assert.deepEqual(of(found, 'clusters.breaker'), [
    'warning: full: its circuit breaker is open, 10 of 10 requests are in use',
    'warning: was-full: 3 times since the start all 5 connections were in use',
  ])
  assert.deepEqual(of(found, 'clusters.well'), ['ok: 1 of 6 clusters: all hosts healthy, no limit reached'])
  const ill = found.filter(({ status, group }) => status !== 'ok' && group === 'clusters')
  assert.ok(ill.every(({ hint }) => hint !== ''))
})

test('certificates: expired, soon to expire, not valid yet', async () => {
  const control = sidecar()
  const day = 86_400_000
  const certificate = (path: string, fromDays: number, toDays: number) => ({
    path,
    serialNumber: path,
    subjectAltNames: [],
    validFromMs: Date.now() + fromDays * day,
    expiresMs: Date.now() + toDays * day + 60_000,
  })
  control.certificateViews = [
    { caCertificates: [certificate('ca.pem', -1, 300)], chain: [certificate('old.pem', -9, -3)] },
    { caCertificates: [], chain: [certificate('soon.pem', -9, 7), certificate('early.pem', 2, 90)] },
  ]
  const { code, found } = await checks(control, '--json')
  assert.equal(code, 1)
  assert.deepEqual(of(found, 'certificates.expiry'), [
    'error: old.pem expired 2 days ago',
    'warning: soon.pem expires in 7 days',
  ])
  assert.match(of(found, 'certificates.start').join(), /^error: early\.pem is not valid before /)
})

test('failure location: two names of one service, peers that are not believed, calls without headers', async () => {
  const control = sidecar()
  control.sidecarMore = {
    at: Date.now(),
    otherNames: [{ service: 'orders', name: 'orders.shop' }],
    calls: [{ service: 'orders', external: false, total: 10, failed: 0 }],
  }
  control.details = [
    cluster('orders', { hosts: [host('203.0.113.7:80'), host('[2001:db8::1]:80')] }),
    cluster('outside', { external: true, hosts: [host('203.0.113.8:80')] }),
    cluster('tls', { tls: true, hosts: [host('203.0.113.9:80')] }),
  ]
  control.store.labelled('hopwise_trace_context_missing_total', ['service'], 'x').counter('a').add(4)
  const { found } = await checks(control, '--json')
  assert.deepEqual(of(found, 'location.names'), [
    'warning: what a calls orders calls itself orders.shop: one service has two names in records and metrics',
  ])
  assert.match(
    of(found, 'location.trust').join(),
    /^warning: .*: 203\.0\.113\.7:80 of orders, \[2001:db8::1\]:80 of orders$/,
  )
  assert.match(of(found, 'location.headers').join(), /^warning: 4 of 10 calls came without trace headers/)
})

test('a collector that does not answer, a clock that is off, reloads that were refused', async () => {
  const control = new FakeControl()
  control.sidecarMore = { at: Date.now() - 90_000 }
  control.collectorStates = [{ kind: 'zipkin', cluster: 'zipkin', failure: 'connect_refused' }]
  control.store.counter('server.config_reload_failure').add(2)
  const { code, found } = await checks(control, '--json')
  assert.equal(code, 1)
  assert.deepEqual(of(found, 'tracing.collector'), [
    'error: the zipkin collector does not answer (cluster zipkin): connect_refused',
  ])
  assert.match(of(found, 'sidecar.clock').join(), /^warning: its clock is 9\d s behind/)
  assert.match(of(found, 'sidecar.reloads').join(), /^warning: 2 reloads were refused/)
})

test('lines are coloured where colours are wanted, and what hosts say cannot colour them', async () => {
  const control = sidecar()
  control.details = [cluster('x', { hosts: [host('10.0.0.1:80', { health: 'ejected', lastFailure: '\u001b[2J' })] })]
  const { out } = await checks(control, 'coloured')
  assert.ok(out.includes('\u001b[31m×\u001b[39m x: 1 of 1 hosts'), out)
  assert.ok(out.includes('\\u001b[2J'))
  assert.doesNotMatch((await checks(control)).out, /\u001b/)
})

/** A port that something listens on. */
async function takenPort() {
  const server = createServer(socket => socket.destroy()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, [Symbol.dispose]: () => void server.close() }
}

const fileFor = (listen: number, app: number, direction: 'INBOUND' | 'OUTBOUND' = 'INBOUND') =>
  temporaryFile(
    'envoy.yaml',
    oneListener({ service: 'shop', direction, name: 'in', port: listen, clusters: [localCluster('app', app)] }),
  )

test('ports: those that a sidecar is to listen on are free, or somebody has them', async () => {
  using taken = await takenPort()
  const [free, app] = (await freePorts(2)) as [number, number]
  const away = ['--admin', String(await freePort()), '--json']
  const ports = async (file: string, ...args: string[]) => of((await run('-c', file, ...args)).found, 'ports.free')
  assert.deepEqual(await ports(fileFor(free, app), ...away), ['ok: 1 ports to listen on are free'])
  assert.deepEqual(await ports(fileFor(taken.port, app), ...away), [
    `error: 127.0.0.1:${taken.port} of listener in cannot be listened on: EADDRINUSE`,
  ])
  // It may be the sidecar of this file that has it.
  assert.deepEqual(await ports(fileFor(taken.port, app), '--offline', '--json'), [
    `warning: 127.0.0.1:${taken.port} of listener in is in use`,
  ])
  const { found } = await checks(sidecar(), '-c', fileFor(taken.port, app), '--json')
  assert.deepEqual(of(found, 'ports.free'), [], 'a sidecar that runs has its ports')

  const elsewhere = temporaryFile(
    'envoy.yaml',
    `admin: {address: {socket_address: {address: 203.0.113.1, port_value: ${free}}}}\n`,
  )
  assert.deepEqual(await ports(elsewhere, ...away), [
    `error: 203.0.113.1:${free} of the admin listener cannot be listened on: EADDRNOTAVAIL`,
  ])
})

test('ports: the application behind INBOUND listeners answers, or does not; others are not asked', async () => {
  using app = await takenPort()
  const [listen, dead] = (await freePorts(2)) as [number, number]
  const application = async (file: string) => {
    const { code, found } = await run('-c', file, '--offline', '--json')
    return [code, ...of(found, 'ports.application')]
  }
  assert.deepEqual(await application(fileFor(listen, app.port)), [
    0,
    `ok: the application answers at 127.0.0.1:${app.port} (cluster app)`,
  ])
  assert.deepEqual(await application(fileFor(listen, dead)), [
    1,
    `error: the application does not answer at 127.0.0.1:${dead} (cluster app): ECONNREFUSED`,
  ])
  assert.deepEqual(await application(fileFor(listen, dead, 'OUTBOUND')), [0])
})

test('every line that is not well says what to do', async () => {
  using taken = await takenPort()
  const control = new FakeControl()
  control.sidecarMore = { at: Date.now() - 90_000 }
  control.details = [cluster('none', { hosts: [] })]
  control.collectorStates = [{ kind: 'zipkin', cluster: 'zipkin', failure: 'reset' }]
  for (const counter of ['server.config_reload_failure', 'tracing.zipkin.spans_dropped'])
    control.store.counter(counter).add(2)
  control.store.labelled('hopwise_failure_ledger_overflow_total', ['limit'], 'x').counter('calls').add(1)
  const [port, dead] = (await freePorts(2)) as [number, number]
  const mistaken = temporaryFile('envoy.yaml', 'static_resources: {listners: []}\n')
  const warned = temporaryFile('envoy.yaml', 'watchdog: {megamiss_timeout: 1s}\n')
  const all = await Promise.all([
    checks(control, '--json'),
    run('-c', mistaken, '--admin', String(dead), '--json'),
    run('-c', warned, '--offline', '--json'),
    run('-c', fileFor(taken.port, dead), '--admin', String(dead), '--json'),
    run('-c', fileFor(port, dead), '--offline', '--json'),
  ])
  const ill = all.flatMap(({ found }) => found).filter(({ status }) => status !== 'ok')
  const ids = new Set(ill.map(({ id }) => id))
  for (const id of [
    'config.valid',
    'config.warning',
    'sidecar.reachable',
    'location.ledger',
    'tracing.dropped',
    'ports.free',
    'ports.application',
  ]) {
    assert.ok(ids.has(id), id)
  }
  assert.deepEqual(
    ill.filter(({ hint }) => hint === ''),
    [],
  )
})
