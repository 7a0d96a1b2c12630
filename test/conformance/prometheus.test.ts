/** Real Prometheus reads our page: every series arrives, queries over them give what was counted, promtool is content. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { AdminHandler } from '../../sidecar/admin/admin-handler.ts'
import { PrometheusWriter } from '../../sidecar/observability/prometheus.ts'
import type { StatsStore } from '../../sidecar/observability/stats-store.ts'
import { TagExtractor } from '../../sidecar/observability/stats-tags.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePort, freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { localCluster, oneListener, zipkinProvider } from '../kit/one-listener.ts'
import { partOrSkip } from '../kit/parts.ts'
import { TestProcess } from '../kit/process.ts'
import { temporaryFile, temporaryFolder } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'
import { FakeControl } from '../unit/admin/fake-control.ts'
import { serveAdmin } from '../unit/admin/serve-admin.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'

function fill(store: StatsStore): void {
  for (const name of ['orders', 'pay.ments', 'outbound|80||b.default.svc.cluster.local']) {
    const cluster = store.scope(`cluster.${name}`)
    cluster.counter('upstream_rq_total').add(10)
    cluster.counter('upstream_rq_200').add(9)
    cluster.counter('upstream_rq_503').add(1)
    cluster.counter('upstream_cx_connect_fail')
    cluster.gauge('membership_total').set(2)
    for (let ms = 1; ms <= 100; ms++) cluster.histogram('upstream_rq_time').record(ms)
    cluster.histogram('upstream_rq_time').recordWithExemplar(42, TRACE_ID)
  }
  store.gauge('server.live').set(1)
  store.textReadout('control_plane.identifier').set('pilot "1" \\ \n')
  const failures = store.labelled(
    'hopwise_failures_total',
    ['origin', 'cause', 'link'],
    'Failures by the hop they began at.',
  )
  failures.counter('d', 'connect_refused', 'c>d').add(3)
  store.labelled('hopwise_own_seconds_total', ['service'], 'Time of the service itself.').counter('a').add(1.5)
  store.labelledGauges('hopwise_breaker_open', ['cluster'], 'Whether the breaker is open.').gauge('b"\\\n').set(1)
  store
    .labelledHistograms('hopwise_wait_seconds', ['on'], 'Waiting.', { bounds: [0.1, 1] })
    .histogram('d')
    .record(0.5)
}

/** What promtool would like otherwise, and why it stays. An entry that excuses nothing any more fails. */
const LINTS: readonly (readonly [name: RegExp, lint: string, reason: string])[] = [
  [/^envoy_/, 'counter metrics should have "_total" suffix', "Envoy's names, which dashboards know"],
  [/^envoy_/, 'no help text', 'Envoy gives none'],
  [/^envoy_.*_ms$/, 'metric names should not contain abbreviated units', "Envoy's name"],
  [/^envoy_cluster_(.+_)?membership_total$/, 'non-counter metrics should not have "_total" suffix', "Envoy's name"],
  [
    /^envoy_cluster_default_total_match_count$/,
    'non-histogram and non-summary metrics should not have "_count" suffix',
    "Envoy's name",
  ],
  [/^envoy_server_days_until_first_cert_expiring$/, 'use base unit "seconds" instead of "days"', "Envoy's name"],
  [
    /^nodejs_active_(handles|requests|resources)_total$/,
    'non-counter metrics should not have "_total" suffix',
    "prom-client's name",
  ],
]

/** Complaints about a page that nothing excuses; one that does not parse is a complaint too. */
function complaintsOf(promtool: string, page: string, used: Set<string>): string[] {
  const { status, stdout, stderr } = spawnSync(promtool, ['check', 'metrics'], { input: page, encoding: 'utf8' })
  const lines = (stdout + stderr).split('\n').filter(line => line !== '')
  // 0 is spotless, 3 is lint; anything else is a page that does not parse.
  if (status !== (lines.length === 0 ? 0 : 3)) return [`exit code ${status}`, ...lines]
  return lines.filter(line => {
    const [name = '', ...rest] = line.split(' ')
    const excuse = LINTS.find(([pattern, lint]) => lint === rest.join(' ') && pattern.test(name))
    if (excuse !== undefined) used.add(excuse.join(' '))
    return excuse === undefined
  })
}

test('promtool parses the page of a running sidecar, and finds nothing to improve but what is excused by name', async t => {
  const promtool = await partOrSkip(t, 'promtool')
  if (promtool === undefined) return
  await using app = await FakeUpstream.start([{ status: 200 }, { status: 503 }])
  const [port, dead] = await freePorts(2)
  const yaml = oneListener({
    service: 'orders',
    port: port!,
    clusters: [localCluster('app', [app.port, dead!], { outlier_detection: {} }), localCluster('collector', app.port)],
    manager: { tracing: { provider: zipkinProvider() } },
  })
  await using proxy = await startHopwise(yaml)
  for (let i = 0; i < 4; i++) await fetchRaw(port!)
  const used = new Set<string>()
  const page = await proxy.admin('/stats/prometheus?text_readouts')
  assert.match(page, /^hopwise_failures_total\{.* [1-9]/m)
  assert.deepEqual(complaintsOf(promtool, page, used), [])
  assert.deepEqual(
    LINTS.filter(lint => !used.has(lint.join(' '))),
    [],
  )
})

test('promtool parses names and values of every kind', async t => {
  const promtool = await partOrSkip(t, 'promtool')
  if (promtool === undefined) return
  const { store } = new FakeControl()
  fill(store)
  const page = new PrometheusWriter(store, new TagExtractor()).text({ textReadouts: true })
  assert.deepEqual(complaintsOf(promtool, page, new Set()), [])
})

test('Prometheus scrapes every series and answers queries over them, exemplars included', async t => {
  const prometheus = await partOrSkip(t, 'prometheus')
  if (prometheus === undefined) return
  const control = new FakeControl()
  fill(control.store)
  await using admin = await serveAdmin(new AdminHandler(control, { processMetrics: true }))
  const port = await freePort()
  const config = temporaryFile(
    'prometheus.yml',
    `global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: hopwise
  metrics_path: /stats/prometheus
  params: {text_readouts: ['']}
  static_configs: [{targets: ['127.0.0.1:${admin.port}']}]
`,
  )
  await using server = TestProcess.start(
    prometheus,
    [
      `--config.file=${config}`,
      `--web.listen-address=127.0.0.1:${port}`,
      `--storage.tsdb.path=${join(temporaryFolder(), 'data')}`,
      '--enable-feature=exemplar-storage',
      '--log.level=warn',
    ],
    { name: 'prometheus' },
  )
  const api = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)
    return ((await response.json()) as { data: never }).data
  }
  const query = async (expression: string): Promise<number[]> => {
    const { result } = (await api(`query?query=${encodeURIComponent(expression)}`)) as {
      result: { value: [number, string] }[]
    }
    return result.map(({ value }) => Number(value[1]))
  }
  const up = () =>
    query('up{job="hopwise"}').then(
      values => values[0] === 1,
      () => false,
    )
  await waitFor(up, { deadlineMs: 30_000, everyMs: 200, what: `a scrape\n${server.output}` })

  const { activeTargets } = (await api('targets')) as { activeTargets: { lastError: string; health: string }[] }
  assert.deepEqual(
    activeTargets.map(({ health, lastError }) => [health, lastError]),
    [['up', '']],
  )
  assert.ok(
    admin.accepts.some(accept => accept.includes('openmetrics')),
    'Prometheus asked for OpenMetrics',
  )

  const page = await (await fetch(`http://127.0.0.1:${admin.port}/stats/prometheus?text_readouts`)).text()
  const ours = page.split('\n').filter(line => /^(envoy|hopwise)_/.test(line)).length
  assert.deepEqual(await query('count({__name__=~"(envoy|hopwise)_.+"})'), [ours])

  assert.deepEqual(await query('sum(envoy_cluster_upstream_rq_total{envoy_cluster_name="orders"})'), [10])
  assert.deepEqual(await query('envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="orders"}'), [1])
  const [p90] = await query(
    'histogram_quantile(0.9, envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="orders"})',
  )
  assert.ok(p90! > 75 && p90! <= 100, String(p90))
  assert.deepEqual(await query('topk(1, sum by (origin, cause) (hopwise_failures_total))'), [3])
  assert.deepEqual(await query('hopwise_own_seconds_total'), [1.5])
  assert.deepEqual(await query('hopwise_breaker_open{cluster="b\\"\\\\\\n"}'), [1])
  assert.deepEqual(await query('envoy_control_plane_identifier'), [0])
  assert.ok((await query('process_resident_memory_bytes'))[0]! > 1e6)

  const exemplars = (await api(
    `query_exemplars?query=${encodeURIComponent('envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="orders"}')}&start=0&end=9999999999`,
  )) as { exemplars: { labels: { trace_id: string }; value: string }[] }[]
  assert.deepEqual(
    exemplars.flatMap(series => series.exemplars.map(({ labels, value }) => [labels.trace_id, Number(value)])),
    [[TRACE_ID, 42]],
  )
})
