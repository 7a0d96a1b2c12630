import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProcessMetrics } from '../../../sidecar/observability/process-metrics.ts'
import { PrometheusWriter, wantsOpenMetrics } from '../../../sidecar/observability/prometheus.ts'
import { StatsStore } from '../../../sidecar/observability/stats-store.ts'
import { TagExtractor } from '../../../sidecar/observability/stats-tags.ts'
import { statsJson, statsText } from '../../../sidecar/observability/stats-text.ts'

function sample(): StatsStore {
  const store = new StatsStore()
  const cluster = store.scope('cluster.orders')
  cluster.counter('upstream_rq_total').add(7)
  cluster.counter('upstream_rq_503').add(2)
  cluster.counter('upstream_cx_connect_fail')
  cluster.gauge('membership_total').set(0)
  store.gauge('server.live').set(1)
  store.textReadout('control_plane.identifier').set('pilot "1"')
  store.histogram('cluster.orders.upstream_rq_time').record(3)
  store.histogram('cluster.orders.upstream_cx_length_ms')
  return store
}

function scrape(store: StatsStore, options = {}, extra = ''): string {
  return new PrometheusWriter(store, new TagExtractor()).text(options, extra)
}

test('/stats prints texts, then counters and gauges by name, then histograms', () => {
  assert.equal(
    statsText(sample(), {}),
    `control_plane.identifier: "pilot "1""
cluster.orders.membership_total: 0
cluster.orders.upstream_cx_connect_fail: 0
cluster.orders.upstream_rq_503: 2
cluster.orders.upstream_rq_total: 7
server.live: 1
cluster.orders.upstream_cx_length_ms: No recorded values
cluster.orders.upstream_rq_time: P0(nan,3.05) P25(nan,3.05) P50(nan,3.05) P75(nan,3.05) P90(nan,3.05) P95(nan,3.05) P99(nan,3.05) P99.5(nan,3.05) P99.9(nan,3.05) P100(nan,3.05)
`,
  )
})

test('usedonly shows what was written, a gauge set to 0 and a counter reset to 0 included', () => {
  const store = sample()
  store.resetCounters()
  assert.deepEqual(
    statsText(store, { usedOnly: true })
      .split('\n')
      .map(line => line.split(':')[0]),
    [
      'control_plane.identifier',
      'cluster.orders.membership_total',
      'cluster.orders.upstream_rq_503',
      'cluster.orders.upstream_rq_total',
      'server.live',
      'cluster.orders.upstream_rq_time',
      '',
    ],
  )
})

test('a type or a filter narrows what is shown', () => {
  assert.equal(statsText(sample(), { type: 'Gauges' }), 'cluster.orders.membership_total: 0\nserver.live: 1\n')
  assert.equal(statsText(sample(), { filter: name => name.includes('live') }), 'server.live: 1\n')
  assert.equal(statsText(sample(), { type: 'TextReadouts' }), 'control_plane.identifier: "pilot "1""\n')
})

test('the other modes of histograms are those of Envoy', () => {
  const store = sample()
  store.rotateHistograms()
  store.histogram('cluster.orders.upstream_rq_time').record(2_000_000)
  const only = { type: 'Histograms', usedOnly: true } as const
  const cumulative = statsText(store, { ...only, buckets: 'cumulative' })
  assert.match(cumulative, /^cluster\.orders\.upstream_rq_time: B0\.5\(0,0\) B1\(0,0\) B5\(1,1\) B10\(1,1\)/)
  assert.match(cumulative, /B600000\(1,1\) B1\.8e\+06\(1,1\) B3\.6e\+06\(1,2\)\n$/)
  assert.match(statsText(store, { ...only, buckets: 'disjoint' }), /B5\(1,1\) B10\(0,0\).* B3\.6e\+06\(0,1\)\n$/)
  assert.match(
    statsText(store, { ...only, buckets: 'detailed' }),
    /^cluster\.orders\.upstream_rq_time:\n {2}totals=3,0\.1:1, 2000000,100000:1\n {2}intervals=3,0\.1:1\n {2}summary=P0\(3\.05,3\.05\)/,
  )
})

test('JSON has the shape Envoy gives each mode', () => {
  const store = sample()
  const parse = (query: object) => JSON.parse(statsJson(store, query)).stats
  const all = parse({})
  assert.deepEqual(all[0], { name: 'control_plane.identifier', value: 'pilot "1"' })
  assert.deepEqual(all[1], { name: 'cluster.orders.membership_total', value: 0 })
  const { histograms } = all.at(-1)
  assert.deepEqual(histograms.supported_quantiles, [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100])
  assert.deepEqual(histograms.computed_quantiles[1].values[0], { cumulative: 3.05, interval: null })
  const [detailed] = parse({ type: 'Histograms', buckets: 'detailed' })
  assert.deepEqual(detailed.histograms.details[1].totals, [{ lower_bound: 3, width: 0.1, count: 1 }])
  const [cumulative] = parse({ type: 'Histograms', buckets: 'cumulative' })
  assert.deepEqual(cumulative.histograms[1].buckets[2], { upper_bound: 5, interval: 0, cumulative: 1 })
  assert.deepEqual(parse({ filter: () => false }), [])
})

test('Prometheus text: one TYPE per metric, labels from the name, buckets cumulated', () => {
  const page = scrape(sample())
  assert.ok(page.startsWith('# TYPE envoy_cluster_upstream_cx_connect_fail counter\n'))
  assert.ok(page.includes('envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="orders"} 2\n'))
  assert.ok(page.includes('# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n'))
  assert.ok(page.includes('envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="orders",le="5"} 1\n'))
  assert.ok(page.includes('envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="orders",le="+Inf"} 1\n'))
  assert.ok(page.includes('envoy_cluster_upstream_rq_time_sum{envoy_cluster_name="orders"} 3\n'))
  assert.equal(page.includes('text_value'), false)
  const types = page.split('\n').filter(line => line.startsWith('# TYPE'))
  assert.equal(new Set(types).size, types.length)
})

test('Prometheus text of chosen stats: used ones, filtered ones, texts, summaries', () => {
  assert.equal(scrape(sample(), { usedOnly: true }).includes('connect_fail'), false)
  const filtered = scrape(sample(), { filter: (name: string) => name === 'server.live' })
  assert.equal(filtered, '# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n')
  assert.ok(
    scrape(sample(), { textReadouts: true }).includes(
      '# TYPE envoy_control_plane_identifier gauge\nenvoy_control_plane_identifier{text_value="pilot \\"1\\""} 0\n',
    ),
  )
  const summary = scrape(sample(), { summary: true })
  assert.ok(summary.includes('# TYPE envoy_cluster_upstream_rq_time summary\n'))
  assert.ok(summary.includes('envoy_cluster_upstream_rq_time{envoy_cluster_name="orders",quantile="0.99"} NaN\n'))
})

test('families of our own have HELP, their labels are escaped', () => {
  const store = new StatsStore()
  store.labelled('hopwise_failures_total', ['origin', 'link'], 'Failures.\nBy hop.').counter('d', 'c>"d"\\').inc()
  store.labelled('hopwise_unused_total', ['x'], 'Never counted.')
  store
    .labelledHistograms('hopwise_wait_seconds', [], 'Wait.', { bounds: [1] })
    .histogram()
    .record(0.5)
  assert.equal(
    scrape(store),
    `# HELP hopwise_failures_total Failures.\\nBy hop.
# TYPE hopwise_failures_total counter
hopwise_failures_total{origin="d",link="c>\\"d\\"\\\\"} 1
# HELP hopwise_wait_seconds Wait.
# TYPE hopwise_wait_seconds histogram
hopwise_wait_seconds_bucket{le="1"} 1
hopwise_wait_seconds_bucket{le="+Inf"} 1
hopwise_wait_seconds_sum{} 0.5
hopwise_wait_seconds_count{} 1
`,
  )
})

test('OpenMetrics: same series names, exemplars, end mark', () => {
  const store = sample()
  store.labelled('hopwise_a_total', ['b'], 'A.').counter('c').inc()
  store.histogram('cluster.orders.upstream_rq_time').recordWithExemplar(42, '4bf92f3577b34da6a3ce929d0e0e4736')
  const page = scrape(
    store,
    { openMetrics: true },
    '# HELP process_x_total X.\n# TYPE process_x_total counter\nprocess_x_total 1\n' +
      '# HELP nodejs_x_total A gauge of that name.\n# TYPE nodejs_x_total gauge\nnodejs_x_total 1\n',
  )
  assert.ok(page.endsWith('# TYPE nodejs_x_total gauge\nnodejs_x_total 1\n# EOF\n'))
  assert.ok(page.includes('# TYPE process_x counter\n'))
  assert.ok(page.includes('# HELP hopwise_a A.\n# TYPE hopwise_a counter\nhopwise_a_total{b="c"} 1\n'))
  assert.ok(page.includes('# TYPE envoy_cluster_upstream_cx_connect_fail unknown\n'))
  // `upstream_rq` is a metric too, so `upstream_rq_total` cannot give that name to its family.
  assert.ok(page.includes('# TYPE envoy_cluster_upstream_rq_total unknown\nenvoy_cluster_upstream_rq_total{'))
  assert.match(page, /le="50"\} 2 # \{trace_id="4bf92f3577b34da6a3ce929d0e0e4736"\} 42 \d+\.\d{3}\n/)
  const series = (text: string) =>
    text
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('#'))
      .map(line => line.split(' ')[0])
  assert.deepEqual(series(page).slice(0, -2), series(scrape(store)))
})

test('a scraper gets OpenMetrics when it asks for it', () => {
  const prometheus =
    'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'
  assert.equal(wantsOpenMetrics(prometheus), true)
  assert.equal(wantsOpenMetrics('text/plain'), false)
  assert.equal(wantsOpenMetrics(undefined), false)
})

test('a stat with tags of its owner is printed with those, as per-endpoint stats are', () => {
  const store = new StatsStore()
  const endpoint = store.scope('cluster.orders').taggedScope('endpoint.10.0.0.7_80', 'cluster.endpoint', [
    ['envoy.cluster_name', 'orders'],
    ['envoy.endpoint_address', '10.0.0.7:80'],
  ])
  endpoint.counter('rq_total').inc()
  assert.ok(
    scrape(store).includes(
      'envoy_cluster_endpoint_rq_total{envoy_cluster_name="orders",envoy_endpoint_address="10.0.0.7:80"} 1\n',
    ),
  )
  assert.equal(statsText(store, {}), 'cluster.orders.endpoint.10.0.0.7_80.rq_total: 1\n')
  endpoint.release()
  assert.equal(statsText(store, {}), '')
})

test('a page follows names that come and go', () => {
  const store = sample()
  const writer = new PrometheusWriter(store, new TagExtractor())
  writer.text()
  const scope = store.scope('cluster.late')
  scope.counter('upstream_rq_total').inc()
  assert.ok(writer.text().includes('{envoy_cluster_name="late"} 1\n'))
  scope.release()
  assert.equal(writer.text().includes('late'), false)
})

test('a long page comes in chunks that make up the same page', () => {
  const store = new StatsStore()
  for (let i = 0; i < 200; i++) store.histogram(`cluster.c${i}.upstream_rq_time`).record(i)
  const writer = new PrometheusWriter(store, new TagExtractor())
  const one = new PrometheusWriter(store, new TagExtractor())
  for (let i = 0; i < 5000; i++) store.counter(`cluster.c.x${i}`)
  const chunks = [...writer.chunks()]
  assert.ok(chunks.length > 3)
  assert.equal(chunks.join(''), one.text())
})

test("Node's own metrics come from prom-client, as text that ends a line", async () => {
  const text = await new ProcessMetrics().text()
  assert.match(text, /^process_resident_memory_bytes \d+$/m)
  assert.match(text, /^nodejs_eventloop_lag_seconds /m)
  assert.ok(text.endsWith('\n') && !text.includes('\n\n'))
})
