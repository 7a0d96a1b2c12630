import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { compileStatsConfig, stringMatch } from '../../../sidecar/observability/stats-config.ts'
import { StatsStore } from '../../../sidecar/observability/stats-store.ts'
import { TagExtractor, type TagOptions } from '../../../sidecar/observability/stats-tags.ts'

function series(name: string, options: TagOptions = {}): string {
  const extracted = new TagExtractor(options).extract(name)
  const clean = (text: string) => text.replace(/[^a-zA-Z0-9_]/g, '_')
  return `envoy_${clean(extracted.name)}{${extracted.tags.map(([tag, value]) => `${clean(tag)}="${value}"`).join(',')}}`
}

/** Written by real Envoy 1.40: one name of every kind, as /stats and as /stats/prometheus print it. */
const golden = readFileSync(join(import.meta.dirname, 'stats-tags.golden.txt'), 'utf8')
  .trim()
  .split('\n')

test('names become the metrics and labels that real Envoy 1.40 printed, labels in its order', () => {
  for (const line of golden) {
    const space = line.indexOf(' ')
    assert.equal(series(line.slice(0, space)), line.slice(space + 1))
  }
  assert.ok(golden.length > 70)
})

test('a fixed tag stands after the rules for any name and before those for one prefix, as measured', () => {
  const statsTags = [
    { tagName: 'mesh', fixedValue: 'm1' },
    { tagName: 'thing', regex: String.raw`^http\.((t.+?)\.)` },
  ]
  assert.equal(
    series('http.thing1.downstream_rq_2xx', { statsTags }),
    'envoy_http_downstream_rq_xx{envoy_response_code_class="2",mesh="m1",envoy_http_conn_manager_prefix="thing1",thing="thing1"}',
  )
  assert.equal(series('server.live', { statsTags }), 'envoy_server_live{mesh="m1"}')
})

test('the tags of Istio take whole service names out of a cluster name', () => {
  const statsTags = [
    { tagName: 'cluster_name', regex: String.raw`^cluster\.((.+?(\..+?\.svc\.cluster\.local)?)\.)` },
    { tagName: 'tcp_prefix', regex: String.raw`^tcp\.((.*?)\.)\w+?$` },
  ]
  assert.equal(
    series('cluster.outbound|80||b.default.svc.cluster.local.upstream_cx_total', {
      statsTags,
      useAllDefaultTags: false,
    }),
    'envoy_cluster_upstream_cx_total{cluster_name="outbound|80||b.default.svc.cluster.local"}',
  )
})

test('without the default tags only those named again are taken', () => {
  const options = { useAllDefaultTags: false, statsTags: [{ tagName: 'envoy.cluster_name' }] }
  assert.equal(series('cluster.b.upstream_rq_200', options), 'envoy_cluster_upstream_rq_200{envoy_cluster_name="b"}')
  assert.throws(() => series('x', { statsTags: [{ tagName: 'no.such' }] }), /no default regex for name: 'no.such'/)
})

test('a default tag keeps its own rule unless overriding is allowed', () => {
  const statsTags = [{ tagName: 'envoy.cluster_name', regex: String.raw`^cluster\.(([^.]+\.[^.]+)\.)` }]
  assert.match(series('cluster.pay.ments.upstream_cx_total', { statsTags }), /envoy_cluster_name="pay"/)
  assert.equal(
    series('cluster.pay.ments.upstream_cx_total', { statsTags, allowDefaultTagOverrides: true }),
    'envoy_cluster_upstream_cx_total{envoy_cluster_name="pay.ments"}',
  )
})

test('a pattern that RE2 refuses is refused, also where the built-in engine would take it', () => {
  assert.throws(() => series('x', { statsTags: [{ tagName: 't', regex: '(?=a)((b))' }] }), { name: 'PatternError' })
  assert.throws(() => compileStatsConfig({ statsTags: [{ tagName: 't', regex: '(' }] }), /missing \)/)
})

test('string matchers match as Envoy says, a regex the whole text', () => {
  assert.equal(stringMatch({ prefix: 'Cluster.', ignoreCase: true })('cluster.b'), true)
  assert.equal(stringMatch({ prefix: 'Cluster.' })('cluster.b'), false)
  assert.equal(stringMatch({ suffix: '.b' })('cluster.b'), true)
  assert.equal(stringMatch({ contains: 'ust' })('cluster.b'), true)
  assert.equal(stringMatch({ exact: 'cluster' })('cluster.b'), false)
  assert.equal(stringMatch({ safeRegex: { regex: 'clus.*' } })('cluster.b'), true)
  assert.equal(stringMatch({ safeRegex: { regex: 'clus' } })('cluster.b'), false)
})

test('stats_config decides which stats are shown and which buckets a histogram has', () => {
  const { store: options } = compileStatsConfig({
    statsMatcher: { inclusionList: { patterns: [{ prefix: 'http.' }, { suffix: '_time' }] } },
    histogramBucketSettings: [{ match: { suffix: 'rq_time' }, buckets: [30, 0.25, 1.5] }],
  })
  const store = new StatsStore(options)
  store.counter('http.a.x')
  store.counter('cluster.a.x')
  assert.deepEqual(store.snapshot().counters, [['http.a.x', 0, false]])
  assert.deepEqual(store.histogram('http.a.downstream_rq_time').bounds, [0.25, 1.5, 30])
  assert.equal(store.histogram('http.a.other_ms').bounds.length, 19)

  const refuses = (matcher: object, name: string) => compileStatsConfig({ statsMatcher: matcher }).store.accepts?.(name)
  assert.equal(refuses({ rejectAll: true }, 'a'), false)
  assert.equal(refuses({ exclusionList: { patterns: [{ exact: 'a' }] } }, 'a'), false)
  assert.equal(refuses({ exclusionList: { patterns: [{ exact: 'a' }] } }, 'b'), true)
})
