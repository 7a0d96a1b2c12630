/** Every stat that Envoy lists after one request is listed here too, under the same name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { waitFor } from '../kit/wait-for.ts'
import { bootstrap, cluster, httpListener } from './scenarios/bootstrap.ts'

/** What Hopwise has not, and why. An entry that names nothing any more fails. */
const NOT_HERE: readonly (readonly [RegExp, string])[] = [
  [/watchdog/, 'Node watches its own event loop'],
  [/^http\.async-client\./, 'calls of our own go to clusters directly, without a router and its routes'],
  [/^thread_local_cluster_manager\./, 'clusters are small until they are used'],
  [/^listener\.admin\.main_thread\./, 'the admin listener counts under worker_0'],
  [/^envoy\.overload_actions\.|^overload\./, 'there is no overload manager yet'],
  [
    /_cx_[rt]x_bytes_buffered$/,
    'it would be counted at every write of every request; buffers are bounded by their limits',
  ],
  [/^listener_manager\.workers_pinned$/, 'Node cannot pin threads'],
  [/^server\.stats_recent_lookups$/, 'there is no table of symbols whose lookups could be counted'],
]

test('--stats-tag labels every metric, before the tags of the configuration', async () => {
  const file =
    'stats_config: {stats_tags: [{tag_name: mine, fixed_value: x}]}\nstatic_resources: {clusters: [{name: c}]}\n'
  const pages = await Promise.all(
    [startEnvoy, startHopwise].map(async start => {
      await using proxy = await start(file, { args: ['--stats-tag', 'region:eu', '--stats-tag', 'cell:7:8'] })
      return {
        metrics: await proxy.admin('/stats/prometheus?filter=(cluster.c.upstream_cx_total|server.live)'),
        options: JSON.parse(await proxy.admin('/server_info')).command_line_options.stats_tag,
      }
    }),
  )
  assert.deepEqual(pages[1], pages[0])
  assert.match(pages[1]!.metrics, /\{region="eu",cell="7:8",mine="x"/)
})

test('the heaviest host is told where Envoy tells it', async () => {
  const host = (port: number, weight: number) => ({
    endpoint: { address: { socket_address: { address: 'localhost', port_value: port } } },
    load_balancing_weight: weight,
  })
  const clusters = ['STRICT_DNS', 'LOGICAL_DNS'].map(type => ({
    name: type,
    type,
    load_assignment: {
      cluster_name: type,
      endpoints: [{ lb_endpoints: type === 'STRICT_DNS' ? [host(1, 3), host(2, 7)] : [host(1, 3)] }],
    },
  }))
  const weights = await Promise.all(
    [startEnvoy, startHopwise].map(async start => {
      await using proxy = await start(`static_resources: ${JSON.stringify({ clusters })}\n`)
      return await proxy.stats('max_host_weight$')
    }),
  )
  assert.deepEqual(weights[1], weights[0])
  assert.equal(weights[1]!.get('cluster.STRICT_DNS.max_host_weight'), 7)
})

test('the names of the stats are those of Envoy', async () => {
  await using upstream = await FakeUpstream.start()
  const namesOf = async (start: typeof startEnvoy) => {
    const [listen, admin] = await freePorts(2)
    const yaml = bootstrap({
      listeners: [httpListener({ name: 'main' })],
      clusters: [cluster('app', String(upstream.port))],
    })
      .replaceAll('{{listen:main}}', String(listen))
      .replaceAll('{{admin}}', String(admin))
      .replaceAll('{{log}}', '/dev/null')
    await using proxy = await start(yaml, { adminPort: admin! })
    await fetchRaw(listen!)
    const lines = (await proxy.admin('/stats')).split('\n').filter(line => line !== '')
    return new Set(lines.map(line => line.slice(0, line.lastIndexOf(': ')).replace(String(listen), '<port>')))
  }
  const envoy = await namesOf(startEnvoy)
  const hopwise = await namesOf(startHopwise)
  const histogramsAside = (name: string) => !name.includes(': ')
  const missing = [...envoy].filter(name => histogramsAside(name) && !hopwise.has(name))
  assert.deepEqual(
    missing.filter(name => !NOT_HERE.some(([pattern]) => pattern.test(name))),
    [],
  )
  const unused = NOT_HERE.filter(([pattern]) => !missing.some(name => pattern.test(name)))
  assert.deepEqual(unused, [])
})

test('track_cluster_stats measures what Envoy measures', async () => {
  await using upstream = await FakeUpstream.start()
  const measured = async (start: typeof startEnvoy) => {
    upstream.requests.length = 0
    upstream.script = [{ status: 200, body: 'hello' }, { status: 503 }, { status: 200, body: 'again' }]
    const [listen, admin] = await freePorts(2)
    const route = { cluster: 'app', timeout: '1000s', retry_policy: { retry_on: '5xx', per_try_timeout: '100s' } }
    const yaml = bootstrap({
      more: 'stats_flush_interval: 0.05s\n',
      listeners: [httpListener({ name: 'main', routes: [{ match: { prefix: '/' }, route }] })],
      clusters: [
        cluster('app', String(upstream.port), {
          track_cluster_stats: { timeout_budgets: true, request_response_sizes: true },
        }),
      ],
    })
      .replaceAll('{{listen:main}}', String(listen))
      .replaceAll('{{admin}}', String(admin))
      .replaceAll('{{log}}', '/dev/null')
    await using proxy = await start(yaml, { adminPort: admin! })
    await fetchRaw(listen!, { path: '/a' })
    await fetchRaw(listen!, { path: '/with-body', method: 'POST', body: 'four' })
    const names = /^envoy_cluster_upstream_r[qs]_(?:timeout_budget_\w+|headers_\w+|body_size)_(?:sum|count)\{/
    // Envoy adds histograms up when it flushes.
    return await waitFor(async () => {
      const lines = (await proxy.admin('/stats/prometheus')).split('\n').filter(line => names.test(line))
      const found = new Map(lines.map(line => [line.replace(/\{.*/, ''), Number(line.replace(/.* /, ''))]))
      return found.get('envoy_cluster_upstream_rq_timeout_budget_percent_used_count') === 2 ? found : undefined
    })
  }
  const theirs = await measured(startEnvoy)
  const ours = await measured(startHopwise)
  assert.equal(theirs.size, 16)
  assert.equal(theirs.get('envoy_cluster_upstream_rq_headers_count_count'), 3)
  assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort())
  for (const [name, value] of theirs) {
    // Envoy keeps no sums: it makes them of its buckets, which are a tenth of their values wide at most.
    const slack = name.endsWith('_count') ? 0 : Math.max(value / 10, 0.5)
    assert.ok(Math.abs(ours.get(name)! - value) <= slack, `${name}: ${ours.get(name)}, in Envoy ${value}`)
  }
})
