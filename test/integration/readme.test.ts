/** Each command that the README and look-at-it.md show is run as it stands there, in a folder with the file it names. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readDoc } from '../kit/docs-page.ts'
import { freePorts } from '../kit/free-port.ts'
import { hopwisePath } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { repository } from '../kit/install-once.ts'
import { TestProcess } from '../kit/process.ts'
import { ProxyProcess, temporaryFolder } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

const readme = readFileSync(join(repository, 'README.md'), 'utf8')
const lookAtIt = readDoc('look-at-it.md')
/** `run -c envoy.yaml`, `validate envoy.yaml`, … without comments. */
const commands = [
  ...readme.matchAll(/(?:^ {4}(?:\$ )?|`)sidecar\/bin\/hopwise ([^#`\n]+)/gm),
  ...lookAtIt.matchAll(/(?:^ {4}\$ |`)hopwise ([^#`\n]+)/gm),
].map(match => match[1]!.trim())

const [listen, admin, dead] = await freePorts(3)
const folder = temporaryFolder()
const configuration = (cluster: string) => `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${admin}}}}
node: {id: shop, cluster: shop}
static_resources:
  listeners:
  - name: out
    traffic_direction: OUTBOUND
    address: {socket_address: {address: 127.0.0.1, port_value: ${listen}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: out
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {${cluster}: orders}}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: orders
    load_assignment:
      cluster_name: orders
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${dead}}}}}]}]
`
writeFileSync(join(folder, 'envoy.yaml'), configuration('cluster'))
// The filter of the page that the README points to.
const filterPage = readDoc('write-a-filter.md')
writeFileSync(join(folder, 'my-filter.ts'), /^```ts\n([\s\S]*?)^```/m.exec(filterPage)![1]!)

/** As a shell in that folder runs it. */
function shell(command: string) {
  return spawnSync('sh', ['-c', `'${hopwisePath}' ${command}`], { cwd: folder, encoding: 'utf8' })
}

async function serves(command: string, use: (proxy: ProxyProcess) => Promise<void>): Promise<void> {
  const args = command.split(' ').map(arg => (/\.(yaml|ts)$/.test(arg) ? join(folder, arg) : arg))
  const process = TestProcess.start(hopwisePath, args, { name: 'hopwise' })
  await using proxy = new ProxyProcess(process, admin!, join(folder, 'envoy.yaml'))
  await proxy.waitReady()
  await use(proxy)
}

const checks: Readonly<Record<string, () => Promise<void> | void>> = {
  'run -c envoy.yaml': () =>
    serves('run -c envoy.yaml', async () => {
      const { status, headers } = await fetchRaw(listen!)
      assert.equal(status, 503)
      const proxyStatus = headers.find(([name]) => name === 'proxy-status')![1]
      // What the README shows of this header.
      assert.match(proxyStatus, /error=connection_refused; failure-origin=orders; failure-cause=connect_refused/)
      assert.match(proxyStatus, /failure-link="shop>orders"; failure-path="orders,shop"; failure-confidence=exact/)
    }),
  'validate envoy.yaml': () => {
    assert.equal(shell('validate envoy.yaml').status, 0)
    writeFileSync(join(folder, 'wrong.yaml'), configuration('clustr'))
    const { status, stderr } = shell('validate wrong.yaml')
    assert.equal(status, 1)
    assert.match(
      stderr,
      /^wrong\.yaml:17:\d+: error: static_resources\..*route\.clustr: unknown field, did you mean "cluster"\?$/m,
    )
  },
  'failures --follow': () =>
    serves('run -c envoy.yaml', async () => {
      await fetchRaw(listen!)
      const follow = TestProcess.start(hopwisePath, ['failures', '--follow', '--admin', `127.0.0.1:${admin}`], {
        name: 'failures',
      })
      await follow.waitForLine(/orders.*connect_refused/, 10_000)
      follow.signal('SIGINT')
      await follow.exited
    }),
  'tap --failed': () =>
    serves('run -c envoy.yaml', async () => {
      const tap = TestProcess.start(hopwisePath, ['tap', '--failed', '--admin', String(admin)], { name: 'tap' })
      await tap.waitForLine(/tapping/, 20_000)
      await fetchRaw(listen!)
      await tap.waitForLine(/^end .* origin=orders cause=connect_refused /, 10_000)
      await tap.stop()
    }),
  'tap --proxy out --status 5xx': () =>
    serves('run -c envoy.yaml', async () => {
      const tap = TestProcess.start(
        hopwisePath,
        ['tap', '--proxy', 'out', '--status', '5xx', '--admin', String(admin)],
        {
          name: 'tap',
        },
      )
      await tap.waitForLine(/tapping/, 20_000)
      await fetchRaw(listen!)
      // The words of the page's example, in its order.
      await tap.waitForLine(
        /^req id=\S+ proxy=out src=\S+ dst=\S* tls=false :method=GET :authority=\S+ :path=\/ /,
        10_000,
      )
      await tap.waitForLine(/^rsp id=\S+ proxy=out src=\S+ dst=\S* tls=false :status=503 latency=\d+µs$/, 10_000)
      await tap.waitForLine(
        /^end .* flags=UF origin=orders cause=connect_refused role=origin hops=orders,shop /,
        10_000,
      )
      await tap.stop()
    }),
  top: () =>
    serves('run -c envoy.yaml', () => {
      const { status, stdout } = shell(`top --for 0.5 --admin ${admin}`)
      assert.equal(status, 0)
      assert.match(stdout, /^PROXY +METHOD +PATH +CLUSTER +COUNT/)
      return Promise.resolve()
    }),
  check: () =>
    serves('run -c envoy.yaml', () => {
      const { status, stdout } = shell(`check --admin ${admin}`)
      assert.equal(status, 0, stdout)
      assert.match(stdout, /^√ shop answers/m)
      return Promise.resolve()
    }),
  'check -c envoy.yaml': () =>
    serves('run -c envoy.yaml', () => {
      const { status, stdout } = shell(`check -c envoy.yaml --admin ${admin}`)
      assert.equal(status, 0, stdout)
      assert.match(stdout, /^√ shop answers \(Hopwise \S+, up [\d.]+ s\)$/m)
      return Promise.resolve()
    }),
  'check --wait 30': async () => {
    const waiting = TestProcess.start(hopwisePath, ['check', '--wait', '30', '--admin', `127.0.0.1:${admin}`], {
      name: 'check',
    })
    await serves('run -c envoy.yaml', async () => assert.equal(await waiting.exited, 0, waiting.output))
  },
  'config clusters | listeners | routes | endpoints': () =>
    serves('run -c envoy.yaml', () => {
      for (const what of ['clusters', 'listeners', 'routes', 'endpoints']) {
        const { stdout } = shell(`config ${what} --admin ${admin}`)
        assert.match(stdout, what === 'endpoints' ? /^ENDPOINT .*\n.* orders +1\n$/ : /envoy\.yaml:\d+$/m)
      }
      return Promise.resolve()
    }),
  'config clusters': () =>
    serves('run -c envoy.yaml', () => {
      const { status, stdout } = shell(`config clusters --admin ${admin}`)
      assert.equal(status, 0)
      assert.match(stdout, /^orders .*envoy\.yaml:\d+$/m)
      return Promise.resolve()
    }),
  'explain -c envoy.yaml GET http://orders/v1': () => {
    const { status, stdout } = shell('explain -c envoy.yaml GET http://orders/v1')
    assert.equal(status, 0)
    assert.match(stdout, /cluster.*orders/)
  },
  'schema > envoy.schema.json': () => {
    assert.equal(shell('schema > envoy.schema.json').status, 0)
    const schema = JSON.parse(readFileSync(join(folder, 'envoy.schema.json'), 'utf8'))
    assert.match(JSON.stringify(schema).slice(0, 2000), /json-schema/)
  },
  'run -c envoy.yaml --extension ./my-filter.ts': () =>
    serves('run -c envoy.yaml --extension ./my-filter.ts', async proxy => {
      assert.equal((await fetchRaw(proxy.adminPort, { path: '/ready' })).status, 200)
    }),
}

test('the README shows no command that is not run here, and none here that it does not show', () => {
  assert.deepEqual([...new Set(commands)].sort(), Object.keys(checks).sort())
})

for (const [command, check] of Object.entries(checks)) test(`hopwise ${command}`, check)

test('look-at-it.md: curl without the command', () =>
  serves('run -c envoy.yaml', async proxy => {
    const [, asked] = /`(curl [^`]+)`/.exec(lookAtIt)!
    const curl = TestProcess.start('sh', ['-c', `exec ${asked!.replace('9901', String(admin))}`], { name: 'curl' })
    await waitFor(
      async () => /^hopwise_taps_open\S* 1$/m.test(await proxy.admin('/stats/prometheus?filter=taps_open')),
      { what: 'a tap' },
    )
    await fetchRaw(listen!)
    await curl.waitForLine(/^end .* origin=orders cause=connect_refused /, 10_000)
    await curl.stop()
  }))

test('the npm scripts that the README names are there', () => {
  const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'))
  const names = [...readme.matchAll(/\bnpm (?:run ([a-z:]+)|(start|test)\b)/g)].map(([, run, short]) => run ?? short!)
  assert.ok(names.length > 3)
  for (const name of names) assert.ok(scripts[name], `npm run ${name}`)
})

test("Envoy's own flags mean run, in the order in which scripts give them", () => {
  const flags = ['--mode', 'validate', '--base-id', '3', '--restart-epoch', '0', '-l', 'off', '--concurrency', '1']
  const more = [
    '--drain-time-s',
    '5',
    '--parent-shutdown-time-s',
    '10',
    '--service-cluster',
    's',
    '--service-node',
    'n',
  ]
  const last = ['--disable-hot-restart', '--drain-strategy', 'immediate', '-c', join(folder, 'envoy.yaml')]
  const out = execFileSync(hopwisePath, [...flags, ...more, ...last], { encoding: 'utf8' })
  assert.match(out, /OK/)
})
