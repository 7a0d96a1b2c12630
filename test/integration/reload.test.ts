import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import http from 'node:http'
import { test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { withAdmin } from '../kit/proxy-process.ts'

/** One generation of the configuration: every listener, route table and cluster differs from the one before. */
function generation(n: number, ports: { stable: number; extra: number; upstream: number; admin: number }): string {
  const extraCluster = n % 3 === 0 ? '' : cluster(`extra_${n}`, ports.upstream)
  const extraListener = n % 2 === 0 ? '' : listener('extra', ports.extra, n, 'main')
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

for (const workers of [1, 2]) {
  test(`${workers === 1 ? '' : `${workers} workers: `}20 reloads by signal and by file change, under old and new connections, lose no request`, async () => {
    const [stable, extra, admin] = await freePorts(3)
    const upstream = await FakeUpstream.start(() => ({ status: 200, body: 'ok' }))
    const ports = { stable: stable!, extra: extra!, admin: admin!, upstream: upstream.port }
    const args = ['--concurrency', String(workers)]
    const proxy = await startHopwise(generation(0, ports), { adminPort: ports.admin, args })
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
    const keepAlive = new http.Agent({ keepAlive: true, maxSockets: 8 })
    const clients = [
      ...Array.from({ length: 6 }, () => client(() => keepAlive)),
      ...Array.from({ length: 2 }, () => client(() => false)),
    ]
    for (let n = 1; n <= 20; n++) {
      writeFileSync(proxy.configPath, generation(n, ports))
      if (n % 2 === 0) proxy.process.signal('SIGHUP')
      const deadline = Date.now() + 10_000
      const enough = served + 25
      while ((!seen.has(String(n)) || served < enough) && Date.now() < deadline) {
        await new Promise(resolve => setTimeout(resolve, 10))
      }
      assert.ok(seen.has(String(n)), `generation ${n} came into service`)
    }
    running = false
    await Promise.all(clients)
    keepAlive.destroy()
    await proxy.stop()
    await upstream[Symbol.asyncDispose]()
    assert.deepEqual(lost, [])
    assert.ok(served >= 500, `${served} requests were served`)
  })

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
  const proxy = await startHopwise(doubtful, { adminPort: ports.admin, args: ['--no-watch'] })
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
