import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, constants, lstatSync, mkdtempSync, openSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import http from 'node:http'
import { basename, dirname, join } from 'node:path'
import { test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { hopwisePath, startHopwise } from '../kit/hopwise.ts'
import { TestClient } from '../kit/http-client.ts'
import { accepts, TestProcess } from '../kit/process.ts'
import { temporaryFolder, withAdmin } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

/** One generation of the configuration: every listener, route table and cluster differs from the one before. */
function generation(n: number, ports: { stable: number; extra: number; upstream: number; admin: number }): string {
  const extraCluster = n % 3 === 0 ? '' : cluster(`extra_${n}`, ports.upstream)
  const extraListener = hasExtra(n) ? listener('extra', ports.extra, n, 'main') : ''
  return withAdmin(
    `
static_resources:
  listeners:
${listener('stable', ports.stable, n, n % 3 === 0 ? 'main' : `extra_${n}`)}${extraListener}
  clusters:
${cluster('main', ports.upstream)}${extraCluster}
`,
    ports.admin,
  )
}

const hasExtra = (n: number) => n % 2 === 1

function listener(name: string, port: number, n: number, target: string): string {
  const routes = Array.from(
    { length: n % 4 },
    (_, i) => `              - { match: { path: /only-${n}-${i} }, route: { cluster: main } }\n`,
  ).join('')
  return `  - name: ${name}
    address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ${name}
          route_config:
            response_headers_to_add: [{ header: { key: x-generation, value: "${n}" } }]
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
${routes}              - { match: { prefix: / }, route: { cluster: ${target} } }
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
`
}

function cluster(name: string, port: number): string {
  return `  - name: ${name}
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: ${name}
      endpoints:
      - lb_endpoints:
        - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } }
`
}

function get(port: number, agent: http.Agent | false): Promise<{ status: number; generation: string }> {
  return new Promise((resolve, reject) => {
    const request = http.get({ port, host: '127.0.0.1', agent, path: '/x' }, response => {
      response.resume()
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, generation: String(response.headers['x-generation']) }),
      )
      response.on('error', reject)
    })
    request.on('error', reject)
    request.setTimeout(10_000, () => request.destroy(new Error('no answer')))
  })
}

/** The ways in which a configuration file changes; each gives it the text and returns when it has it. */
const saves = {
  /** As `>` of a shell, and some editors. */
  inPlace: (path: string, text: string) => writeFileSync(path, text),
  /** As other editors, and tools that want it whole. */
  rename(path: string, text: string) {
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  },
  /** As the kubelet: the file is a link into `..data`, itself a link that is turned round to a new folder. */
  link(path: string, text: string) {
    const folder = dirname(path)
    const version = mkdtempSync(join(folder, '..version_'))
    writeFileSync(join(version, basename(path)), text)
    symlinkSync(basename(version), join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
    // Only the first time: a pod begins with links.
    if (lstatSync(path).isSymbolicLink()) return
    symlinkSync(join('..data', basename(path)), `${path}.new`)
    renameSync(`${path}.new`, path)
  },
}

for (const workers of [1, 2]) {
  for (const [how, watched] of [
    ['by signal', false],
    ['by file change', true],
  ] as const) {
    test(`${workers === 1 ? '' : `${workers} workers: `}10 reloads ${how}, under old and new connections, lose no request`, async () => {
      const [stable, extra, admin] = await freePorts(3)
      await using upstream = await FakeUpstream.start(() => ({ status: 200, body: 'ok' }))
      const ports = { stable: stable!, extra: extra!, admin: admin!, upstream: upstream.port }
      const args = ['--concurrency', String(workers), ...(watched ? [] : ['--no-watch'])]
      await using proxy = await startHopwise(generation(0, ports), { adminPort: ports.admin, args })
      const lost: string[] = []
      const seen = new Set<string>()
      let running = true
      let served = 0
      const client = async (agent: () => http.Agent | false) => {
        while (running) {
          try {
            const { status, generation: n } = await get(ports.stable, agent())
            if (status !== 200) lost.push(`status ${status} in generation ${n}`)
            else served++
            seen.add(n)
          } catch (error) {
            lost.push(String(error))
          }
        }
      }
      /** On the listener that comes and goes: asks until it is told that the connection ends. */
      const guest = async (connection: TestClient) => {
        try {
          for (;;) {
            const response = await connection.request({ path: '/x' })
            if (response.status !== 200) lost.push(`status ${response.status} of the listener that goes`)
            served++
            if (response.header('connection') === 'close') return
          }
        } catch (error) {
          lost.push(`listener that goes: ${String(error)}`)
        } finally {
          connection.close()
        }
      }
      const keepAlive = new http.Agent({ keepAlive: true, maxSockets: 8 })
      const clients = [
        ...Array.from({ length: 6 }, () => client(() => keepAlive)),
        ...Array.from({ length: 2 }, () => client(() => false)),
      ]
      let guests: Promise<void>[] = []
      try {
        for (let n = 1; n <= 10; n++) {
          const save = !watched || n < 3 ? saves.inPlace : n < 6 ? saves.rename : saves.link
          save(proxy.configPath, generation(n, ports))
          if (!watched) proxy.process.signal('SIGHUP')
          const enough = served + 25
          await waitFor(() => seen.has(String(n)) && served >= enough, { what: `generation ${n} in service` })
          if (hasExtra(n)) {
            // Connected, as the system has it; whether the listener has accepted them is its own affair.
            const connections = await Promise.all(Array.from({ length: 4 }, () => TestClient.connect(ports.extra)))
            guests = connections.map(guest)
          } else {
            // Each has been told, on a response that it got.
            await Promise.all(guests)
            assert.equal(await accepts(ports.extra), false)
          }
        }
      } finally {
        running = false
      }
      await Promise.all(clients)
      keepAlive.destroy()
      assert.deepEqual(lost, [])
      assert.ok(served >= 250, `${served} requests were served`)
    })
  }

  test(`${workers === 1 ? '' : `${workers} workers: `}a broken configuration changes nothing and is counted`, async () => {
    const [stable, extra, admin] = await freePorts(3)
    const upstream = await FakeUpstream.start(() => ({ status: 200, body: 'ok' }))
    const ports = { stable: stable!, extra: extra!, admin: admin!, upstream: upstream.port }
    const proxy = await startHopwise(generation(0, ports), {
      adminPort: ports.admin,
      args: ['--no-watch', '--concurrency', String(workers)],
    })
    writeFileSync(proxy.configPath, 'static_resources: { listeners: [{ nam: x }] }\n')
    proxy.process.signal('SIGHUP')
    await proxy.process.waitForLine(/configuration not reloaded.*did you mean/)
    assert.equal((await get(ports.stable, false)).generation, '0')
    assert.match(await proxy.admin('/stats?filter=config_reload'), /config_reload_failure: 1/)
    await proxy.stop()
    await upstream[Symbol.asyncDispose]()
  })
}

test('what is doubtful in a configuration is told at the start, and at a reload where it is new', async () => {
  const [stable, extra, admin] = await freePorts(3)
  const ports = { stable: stable!, extra: extra!, admin: admin!, upstream: admin! }
  const doubtful = generation(0, ports).replace('    type: STATIC\n', '    type: STATIC\n    outlier_detection: {}\n')
  await using proxy = await startHopwise(doubtful, { adminPort: ports.admin, args: ['--no-watch'] })
  const told = (text: string) => proxy.process.output.split('\n').filter(line => line.includes(text)).length
  assert.equal(told('10 % of 1 host ejects nobody'), 1)
  const hashed = 'cluster: main, hash_policy: [{ filter_state: { key: k } }]'
  writeFileSync(proxy.configPath, doubtful.replace('cluster: main', hashed))
  proxy.process.signal('SIGHUP')
  const line = await proxy.process.waitForLine(/this policy gives no hash/)
  assert.match(
    line,
    /envoy\.yaml:\d+:\d+: warning: static_resources\.listeners\[0\].*\.hash_policy\[0\]\.filter_state: no /,
  )
  await proxy.process.waitForLine('configuration reloaded')
  assert.equal(told('10 % of 1 host ejects nobody'), 1, 'no need to say it twice')
  await proxy.stop()
})

test('a connection of a listener that a reload removes is drained for --drain-time-s', async () => {
  const [stable, extra, admin] = await freePorts(3)
  const ports = { stable: stable!, extra: extra!, admin: admin!, upstream: admin! }
  await using proxy = await startHopwise(generation(1, ports), {
    adminPort: ports.admin,
    args: ['--no-watch', '--drain-time-s', '1'],
  })
  const idle = await TestClient.connect(ports.extra)
  await waitFor(async () => (await proxy.stat(`listener.127.0.0.1_${ports.extra}.downstream_cx_active`)) === 1)
  writeFileSync(proxy.configPath, generation(2, ports))
  proxy.process.signal('SIGHUP')
  await proxy.process.waitForLine('configuration reloaded')
  assert.equal(await proxy.stat('listener_manager.total_listeners_draining'), 1)
  await idle.closed
  assert.equal(await proxy.stat('listener_manager.total_listeners_draining'), 0)
  await proxy.stop()
})

test('a SIGHUP while the configuration is being read has it read once more', { timeout: 30_000 }, async t => {
  const [stable, extra, upstream, admin] = (await freePorts(4)) as [number, number, number, number]
  const path = join(temporaryFolder(), 'envoy.yaml')
  // Whoever opens a pipe waits until its other end is open too. Each reading gets a pipe of its own: with one for both, a
  // reader that has not closed it yet takes what is meant for the next.
  const makePipe = (at: string) => assert.equal(spawnSync('mkfifo', [at]).status, 0)
  const feed = async (writer: FileHandle, n: number) => {
    await writer.writeFile(generation(n, { stable, extra, upstream, admin }))
    await writer.close()
  }
  makePipe(path)
  makePipe(`${path}.next`)
  const proxy = TestProcess.start(hopwisePath, ['run', '-c', path, '--no-watch'], { name: 'hopwise' })
  t.after(async () => {
    await proxy.stop('SIGKILL')
    // Else one of our own threads would wait for a reader for ever, where there has been none.
    closeSync(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK))
  })
  const first = await open(path, 'w')
  renameSync(`${path}.next`, path)
  proxy.signal('SIGHUP')
  await feed(first, 2)
  await feed(await open(path, 'w'), 3)
  await waitFor(async () => (await get(stable, false).catch(() => undefined))?.generation === '3')
})
