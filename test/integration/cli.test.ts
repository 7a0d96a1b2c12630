/** The verbs for people, as their users run them: the executable against a running sidecar. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { hopwisePath, startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { TestProcess } from '../kit/process.ts'
import { type ProxyProcess, temporaryFile, temporaryFolder } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

const [inbound, outbound, dead] = await freePorts(3)
const application = await FakeUpstream.start(({ target }) => ({ status: target === '/broken' ? 500 : 200, body: 'ok' }))
let sidecar: ProxyProcess

const listener = (name: string, direction: string, port: number, routes: string) => `
  - name: ${name}
    traffic_direction: ${direction}
    address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
    filter_chains:
    - name: ${name}-http
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ${name}
          route_config:
            name: ${name}
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: ${routes}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}`
const cluster = (name: string, port: number, more = '') => `
  - name: ${name}${more}
    load_assignment:
      cluster_name: ${name}
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]`
const yaml = `node: {id: shop-1, cluster: shop}
static_resources:
  listeners:${listener('in', 'INBOUND', inbound!, '[{match: {prefix: /}, route: {cluster: app}}]')}
${listener('out', 'OUTBOUND', outbound!, '[{name: pay, match: {prefix: /pay}, route: {cluster: payments}}, {match: {path: /hi}, direct_response: {status: 204}}]')}
  clusters:${cluster('app', application.port)}${cluster('payments', dead!, '\n    outlier_detection: {}')}
`

before(async () => {
  sidecar = await startHopwise(yaml)
})
after(async () => {
  await sidecar.stop('SIGKILL')
  await application.close()
})

const environment = () => ({ HOPWISE_ADMIN: `127.0.0.1:${sidecar.adminPort}`, NO_COLOR: '' })

async function hopwise(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const process = TestProcess.start(hopwisePath, args, { name: args[0]!, env: environment() })
  const code = await process.exited
  return { code, stdout: process.stdout, stderr: process.stderr }
}

/** Starts a verb that watches and does `work` once it does. */
async function watching(args: string[], work: () => Promise<unknown>, ready = /tapping/): Promise<TestProcess> {
  const process = TestProcess.start(hopwisePath, args, { name: args[0]!, env: environment() })
  await process.waitForLine(ready, 30_000)
  await work()
  return process
}

test('every verb has help, which names its exit codes, and refuses what it does not know', async () => {
  await Promise.all(
    ['check', 'config', 'failures', 'tap', 'top'].map(async verb => {
      const help = await hopwise(verb, '--help')
      assert.deepEqual([help.code, help.stderr], [0, ''])
      assert.match(help.stdout, new RegExp(`^usage: hopwise ${verb} .*Exit codes: 0 .*, 2 wrong command line`, 's'))
      const wrong = await hopwise(verb, '--jsno')
      assert.deepEqual([wrong.code, wrong.stdout], [2, ''])
      assert.match(wrong.stderr, new RegExp(`^hopwise ${verb}: no option --jsno, did you mean --json\\?\n\nusage: `))
    }),
  )
})

test('without a sidecar, or with something else in its place, each says so in one line', async () => {
  const nobody = await hopwise('config', 'clusters', '--admin', String(dead))
  assert.equal(nobody.code, 1)
  assert.match(
    nobody.stderr,
    new RegExp(
      `^hopwise config: no answer from the admin listener at 127\\.0\\.0\\.1:${dead}: connection refused\\. .*--admin HOST:PORT\n$`,
    ),
  )
  const other = await hopwise('tap', '--admin', `http://127.0.0.1:${application.port}/`)
  assert.equal(other.code, 1)
  assert.match(other.stderr, /^hopwise tap: .*\n$/)
  const nonsense = await hopwise('failures', '--admin', 'here')
  assert.equal(nonsense.code, 2)
  assert.match(nonsense.stderr, /^hopwise failures: 'here' is no address of an admin listener; write HOST:PORT/)
})

test('config shows clusters, listeners and routes with their places in the file, and endpoints', async () => {
  const at = (text: string) => `${sidecar.configPath}:${yaml.slice(0, yaml.indexOf(text)).split('\n').length + 1}`
  const [clusters, listeners, routes, endpoints] = await Promise.all(
    ['clusters', 'listeners', 'routes', 'endpoints'].map(what => hopwise('config', what)),
  )
  const rows = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map(line => line.split(/ {3,}/))
  assert.deepEqual(rows(clusters!.stdout), [
    ['SERVICE FQDN', 'PORT', 'SUBSET', 'DIRECTION', 'TYPE', 'FROM'],
    ['app', '-', '-', '-', 'STATIC', at('name: app')],
    ['payments', '-', '-', '-', 'STATIC', at('name: payments')],
  ])
  assert.deepEqual(rows(listeners!.stdout), [
    ['ADDRESSES', 'PORT', 'MATCH', 'DESTINATION', 'FROM'],
    ['127.0.0.1', String(inbound), 'ALL', 'Route: in', at('name: in-http')],
    ['127.0.0.1', String(outbound), 'ALL', 'Route: out', at('name: out-http')],
  ])
  assert.deepEqual(rows(routes!.stdout), [
    ['NAME', 'VHOST NAME', 'DOMAINS', 'MATCH', 'DESTINATION', 'FROM'],
    ['in', 'all', '*', '/*', 'app', at('[{match: {prefix: /}')],
    ['out', 'all', '*', '/pay*', 'payments', at('[{name: pay')],
    ['out', 'all', '*', '/hi', 'status 204', at('[{name: pay')],
  ])
  assert.deepEqual(rows(endpoints!.stdout), [
    ['ENDPOINT', 'STATUS', 'OUTLIER CHECK', 'CLUSTER', 'WEIGHT'],
    [`127.0.0.1:${application.port}`, 'HEALTHY', 'OK', 'app', '1'],
    [`127.0.0.1:${dead}`, 'HEALTHY', 'OK', 'payments', '1'],
  ])
})

test('config picks by name, gives JSON, and reads a saved dump', async () => {
  const dump = temporaryFile('dump.json', await sidecar.admin('/config_dump?include_eds'))
  const [picked, json, none, saved] = await Promise.all([
    hopwise('config', 'c', 'pay'),
    hopwise('config', 'clusters', 'pay', '--json'),
    hopwise('config', 'routes', 'nothing'),
    hopwise('config', 'endpoints', '-f', dump, '--json'),
  ])
  assert.equal(picked.stdout.trimEnd().split('\n').length, 2)
  const [cluster] = JSON.parse(json.stdout)
  assert.equal(cluster.service_fqdn, 'payments')
  assert.equal(cluster.resource.load_assignment.cluster_name, 'payments')
  assert.equal(none.code, 1)
  assert.match(none.stderr, /^hopwise config: no routes with 'nothing' in the name; there are 3 of other names\n$/)
  assert.deepEqual(
    JSON.parse(saved.stdout).map((row: { endpoint: string; cluster: string }) => `${row.cluster} ${row.endpoint}`),
    [`app 127.0.0.1:${application.port}`, `payments 127.0.0.1:${dead}`],
  )
})

test('tap shows what passes, in and out, until it has seen enough', async () => {
  const tap = await watching(['tap', '--count', '2'], async () => {
    await fetchRaw(inbound!, { path: '/one', host: 'shop' })
    await fetchRaw(outbound!, { path: '/pay', host: 'payments' })
  })
  assert.equal(await tap.exited, 0, tap.output)
  const lines = tap.stdout.trimEnd().split('\n')
  assert.deepEqual(
    lines.map(line => line.split(' ').slice(0, 3).join(' ')),
    [
      'req id=0:1 proxy=in',
      'rsp id=0:1 proxy=in',
      'end id=0:1 proxy=in',
      'req id=0:2 proxy=out',
      'rsp id=0:2 proxy=out',
      'end id=0:2 proxy=out',
    ],
  )
  assert.match(lines[0]!, / :method=GET :authority=shop :path=\/one cluster=app$/)
  assert.match(lines[4]!, / :status=503 latency=\d+µs$/)
  assert.match(
    lines[5]!,
    / flags=UF origin=payments cause=connect_refused role=origin hops=payments,shop failure-id=[0-9a-f]{16}$/,
  )
  assert.doesNotMatch(tap.stdout, /\u001b/, 'no colours but on a terminal')
  await waitFor(async () => (await sidecar.stats('hopwise_taps_open')).size >= 0, { what: 'stats' })
})

test('tap filters, as JSON; and the sidecar forgets a watcher that has gone', async () => {
  const open = async () =>
    /hopwise_taps_open\{service="shop"\} (\d+)/.exec(await sidecar.admin('/stats/prometheus'))?.[1]
  const tap = await watching(['tap', '--origin', 'payments', '--json'], async () => {
    await fetchRaw(inbound!, { path: '/ok' })
    await fetchRaw(inbound!, { path: '/broken' })
    await fetchRaw(outbound!, { path: '/pay/2' })
  })
  await tap.waitForLine(/"kind":"end"/)
  assert.equal(await open(), '1')
  tap.signal('SIGINT')
  await tap.exited
  const events = tap.stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  assert.deepEqual(
    events.map(({ kind, path, origin }) => [kind, path, origin]),
    [
      ['req', '/pay/2', undefined],
      ['rsp', '/pay/2', undefined],
      ['end', '/pay/2', 'payments'],
    ],
  )
  await waitFor(async () => (await open()) === '0', { what: 'the watcher to be forgotten' })
})

test('top counts by path and names where failures begin', async () => {
  const seen = await watching(['tap', '--proxy', 'in', '--count', '3'], async () => {
    const top = TestProcess.start(hopwisePath, ['top', '--proxy', 'in', '--for', '4', '--json'], {
      name: 'top',
      env: environment(),
    })
    // It says nothing before its end; the sidecar knows when it watches.
    await waitFor(async () => /hopwise_taps_open\{.*\} 2/.test(await sidecar.admin('/stats/prometheus')), {
      deadlineMs: 20_000,
      what: 'the second watcher',
    })
    await fetchRaw(inbound!, { path: '/items/1' })
    await fetchRaw(inbound!, { path: '/items/22' })
    await fetchRaw(inbound!, { path: '/broken' })
    assert.equal(await top.exited, 0, top.output)
    const { lines, lost } = JSON.parse(top.stdout)
    assert.deepEqual(
      lines.map(({ method, path, count, successPercent, origins }: Record<string, unknown>) => [
        method,
        path,
        count,
        successPercent,
        origins,
      ]),
      [
        ['GET', '/items/:', 2, 100, {}],
        ['GET', '/broken', 1, 0, { 'shop: app_error': 1 }],
      ],
    )
    assert.deepEqual(lost, {})
    assert.ok(lines[0].best <= lines[0].worst)
  })
  assert.equal(await seen.exited, 0)
})

test('failures are one line each, whatever their parts, and go on with --follow', async () => {
  await fetchRaw(outbound!, { path: '/pay' })
  const list = await hopwise('failures', '--origin', 'payments', '--limit', '1')
  assert.match(
    list.stdout,
    /^\d\d:\d\d:\d\d\.\d{3} (visible|background) +payments: connect_refused link=shop>payments status=503 path=payments,shop evidence=exact id=[0-9a-f]{16} \(.*\)\n$/,
  )
  const [id] = /[0-9a-f]{16}/.exec(list.stdout)!
  const one = await hopwise('failures', '--json', '--id', id)
  const failure = JSON.parse(one.stdout)
  assert.deepEqual(
    [failure.id, failure.origin, failure.cause, failure.entries[0].role],
    [id, 'payments', 'connect_refused', 'origin'],
  )
  assert.equal((await hopwise('failures', '--origin', 'nobody')).stdout, 'no failures\n')

  await fetchRaw(inbound!, { path: '/broken' })
  const follow = await watching(
    ['failures', '--follow', '--limit', '1', '--cause', 'app_error'],
    async () => void (await fetchRaw(inbound!, { path: '/broken' })),
    /shop: app_error/,
  )
  await waitFor(() => follow.stdout.trimEnd().split('\n').length >= 2, { deadlineMs: 10_000, what: 'the second line' })
  follow.signal('SIGINT')
  await follow.exited
})

test('failures of two sidecars are one line each, also as JSON that goes on; by age and by outcome', async () => {
  // One more service, which calls the shop.
  const [egress] = await freePorts(1)
  const caller = `node: {id: web-1, cluster: web}
static_resources:
  listeners:${listener('out', 'OUTBOUND', egress!, '[{match: {prefix: /}, route: {cluster: shop}}]')}
  clusters:${cluster('shop', inbound!)}
`
  await using web = await startHopwise(caller)
  const admins = ['--admin', `127.0.0.1:${web.adminPort}`, '--admin', `127.0.0.1:${sidecar.adminPort}`]
  const began = new Date().toISOString()
  await fetchRaw(egress!, { path: '/broken' })
  const both = await hopwise('failures', ...admins, '--since', began)
  assert.match(
    both.stdout,
    /^\S+ visible +shop: app_error link=shop status=500 path=shop,web evidence=exact id=\S+.*\n$/,
  )
  assert.equal((await hopwise('failures', ...admins, '--since', began, '--outcome', 'masked')).stdout, 'no failures\n')
  assert.equal((await hopwise('failures', ...admins, '--since', '1h', '--outcome', 'visible')).code, 0)
  assert.equal((await hopwise('failures', ...admins, '--since', 'yesterday')).code, 1)

  const follow = await watching(
    ['failures', ...admins, '--follow', '--json', '--since', began],
    async () => void (await fetchRaw(egress!, { path: '/broken' })),
    /app_error/,
  )
  await waitFor(() => follow.stdout.trimEnd().split('\n').length === 2, { deadlineMs: 10_000, what: 'the second line' })
  for (const text of follow.stdout.trimEnd().split('\n')) {
    const { origin, outcome, entries } = JSON.parse(text)
    assert.deepEqual([origin, outcome], ['shop', 'visible'])
    assert.deepEqual(entries.map(({ service }: { service: string }) => service).sort(), ['shop', 'web'])
  }
  follow.signal('SIGINT')
  await follow.exited
})

test('check says what is well, what hardly is, and what to do', async () => {
  const file = join(temporaryFolder(), 'shop.yaml')
  writeFileSync(file, yaml)
  const check = await hopwise('check', '-c', file, '--admin', String(sidecar.adminPort), '--json')
  const { ok, checks } = JSON.parse(check.stdout) as {
    ok: boolean
    checks: { id: string; status: string; text: string; hint: string }[]
  }
  assert.deepEqual([check.code, ok], [0, true])
  const found = (id: string) => checks.filter(one => one.id === id)
  for (const id of [
    'config.valid',
    'config.name',
    'config.direction',
    'ports.application',
    'sidecar.reachable',
    'sidecar.ready',
    'sidecar.clock',
    'certificates.expiry',
  ]) {
    assert.deepEqual(
      found(id).map(({ status }) => status),
      ['ok'],
      id,
    )
  }
  const [outlier] = found('clusters.outlier')
  assert.match(outlier!.text, /"payments": max_ejection_percent 10 % of 1 host ejects nobody/)
  assert.match(outlier!.hint, /^set max_ejection_percent to 100 or more/)
  assert.deepEqual(
    found('config.admin').map(({ status }) => status),
    ['warning'],
    'this file has no admin listener',
  )

  const text = await hopwise('check')
  assert.match(text.stdout, /^√ shop answers \(Hopwise /m)
  assert.match(text.stdout, /^‼ cluster "payments": .*\n {4}set max_ejection_percent/m)
  assert.match(text.stdout, /\n0 × to mend, \d+ ‼ to look at, \d+ √ well\n$/)
})

test('check fails for a sidecar that is away or drains, and for a configuration with a mistake', async () => {
  const away = await hopwise('check', '--admin', String(dead))
  assert.equal(away.code, 1)
  assert.match(away.stdout, /^× no answer from the admin listener .*\n {4}start it /m)
  const wrong = temporaryFile('wrong.yaml', yaml.replace('route: {cluster: app}', 'route: {clustr: app}'))
  const offline = await hopwise('check', '-c', wrong, '--offline')
  assert.equal(offline.code, 1)
  assert.match(offline.stdout, /^× .*wrong\.yaml:\d+:\d+: error: .*did you mean "cluster"\?\n {4}change it there/m)

  await sidecar.admin('/healthcheck/fail', 'POST')
  const draining = await hopwise('check')
  await sidecar.admin('/healthcheck/ok', 'POST')
  assert.equal(draining.code, 1)
  assert.match(draining.stdout, /^× it is not ready: DRAINING\n {4}.*\/healthcheck\/ok takes that back$/m)
})

test('tap and top see the requests of all worker threads', async () => {
  const [inPort, outPort] = await freePorts(2)
  const two = yaml.replaceAll(String(inbound), String(inPort)).replaceAll(String(outbound), String(outPort))
  await using workers = await startHopwise(two, { args: ['--concurrency', '2'] })
  const tap = TestProcess.start(hopwisePath, ['tap', '--proxy', 'in', '--admin', String(workers.adminPort)], {
    name: 'tap',
    env: environment(),
  })
  await tap.waitForLine(/tapping/, 30_000)
  // The kernel spreads connections; in a hundred of them each worker has some.
  for (let i = 0; i < 100; i++) await fetchRaw(inPort!, { path: `/${i}` })
  await waitFor(() => tap.stdout.match(/^end /gm)?.length === 100, { deadlineMs: 10_000, what: 'a hundred ends' })
  tap.signal('SIGINT')
  await tap.exited
  const ids = [...tap.stdout.matchAll(/^end id=(\d):/gm)].map(match => match[1])
  assert.deepEqual([...new Set(ids)].sort(), ['0', '1'])
})

test('run --mode validate says what validate says, and Envoy’s last line where nothing is wrong; --json is for machines', async () => {
  const good = await hopwise('run', '--mode', 'validate', '-c', sidecar.configPath)
  assert.deepEqual([good.code, good.stdout], [0, `configuration '${sidecar.configPath}' OK\n`])
  assert.match(
    good.stderr,
    /^\S+envoy\.yaml:\d+:5: warning: \S+: cluster "payments": max_ejection_percent 10 % of 1 host/m,
  )
  const bad = temporaryFile('envoy.yaml', yaml.replace('traffic_direction: OUTBOUND', 'trafic_direction: OUTBOUND'))
  const json = await hopwise('run', '--mode', 'validate', '--json', '-c', bad)
  const report = JSON.parse(json.stdout) as { ok: boolean; files: { errors: unknown[]; warnings: unknown[] }[] }
  assert.deepEqual(
    [json.code, report.ok, report.files[0]!.errors.length, report.files[0]!.warnings.length],
    [1, false, 1, 1],
  )
  const serve = await hopwise('run', '--json', '-c', bad)
  assert.deepEqual([serve.code, serve.stderr], [2, 'hopwise run: --json goes with --mode validate\n'])
})

test('every flag that /server_info tells of is taken on the command line, as Envoy takes it', async () => {
  const { command_line_options: told } = JSON.parse(await sidecar.admin('/server_info')) as {
    command_line_options: Record<string, unknown>
  }
  // Fields whose flag has another name.
  const flags: Record<string, string> = {
    drain_time: 'drain-time-s',
    parent_shutdown_time: 'parent-shutdown-time-s',
    file_flush_interval: 'file-flush-interval-msec',
    file_flush_min_size: 'file-flush-min-size-kb',
    disabled_extensions: 'disable-extensions',
  }
  const values: Record<string, string> = {
    'log-format': '%L|%n|%v',
    'stats-tag': 'a:b',
    'log-path': '/dev/null',
    'drain-strategy': 'gradual',
  }
  const given = Object.entries(told)
    .filter(([field]) => !['config_path', 'config_yaml', 'mode', 'log_path'].includes(field))
    .flatMap(([field, value]) => {
      const flag = flags[field] ?? field.replaceAll('_', '-')
      if (typeof value === 'boolean') return [`--${flag}`]
      return [`--${flag}`, values[flag] ?? (/^\d+(\.\d+)?s?$/.test(String(value)) ? '1' : 'info')]
    })
  const all = await hopwise('run', '-c', sidecar.configPath, '--mode', 'validate', ...given)
  assert.deepEqual([all.code, all.stdout], [0, `configuration '${sidecar.configPath}' OK\n`])
  assert.match(all.stderr, /^I\|main\|accepted, changes nothing here option=--skip-hot-restart-on-no-parent$/m)
  const strategy = await hopwise('run', '-c', sidecar.configPath, '--drain-strategy', 'slow')
  assert.equal(strategy.code, 2)
  assert.match(strategy.stderr, /--drain-strategy must be gradual or immediate, not 'slow'/)
  const wrong = await hopwise('run', '-c', sidecar.configPath, '--stats-tag', 'a b:c')
  assert.deepEqual(
    [wrong.code, wrong.stderr],
    [2, "hopwise run: --stats-tag: misformatted stats-tag 'a b:c' contains invalid char in 'a b'\n"],
  )
})
