import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StatsStore, TrafficCounters } from '../../../sidecar/observability/stats-store.ts'

test('a scope prefixes its names, and asking twice gives the same object', () => {
  const store = new StatsStore()
  const scope = store.scope('cluster.orders')
  const counter = scope.counter('upstream_rq_total')
  assert.equal(counter.name, 'cluster.orders.upstream_rq_total')
  assert.equal(scope.counter('upstream_rq_total'), counter)
  assert.equal(store.scope('cluster').scope('orders').counter('upstream_rq_total'), counter)
  assert.equal(
    scope.scope('circuit_breakers.default').gauge('cx_open').name,
    'cluster.orders.circuit_breakers.default.cx_open',
  )
})

test('a name goes on counting while a reload holds it twice and vanishes with the last scope', () => {
  const store = new StatsStore()
  const old = store.scope('cluster.orders')
  old.counter('upstream_rq_total').add(3)
  old.gauge('membership_total').set(2)
  const renewed = store.scope('cluster.orders')
  renewed.counter('upstream_rq_total').inc()
  old.release()
  assert.equal(store.counters.get('cluster.orders.upstream_rq_total')?.stat.value, 4)
  assert.equal(store.gauges.has('cluster.orders.membership_total'), false)
  renewed.release()
  assert.equal(store.counters.size, 0)
})

test('releasing a scope releases those below it, and twice does no harm', () => {
  const store = new StatsStore()
  const scope = store.scope('a')
  scope.scope('b').scope('c').counter('x')
  const other = store.scope('a')
  other.counter('b.c.x')
  scope.release()
  scope.release()
  assert.equal(store.counters.get('a.b.c.x')?.refs, 1)
  other.release()
  assert.equal(store.counters.size, 0)
})

test('asking one scope twice for a name counts as one reference', () => {
  const store = new StatsStore()
  const scope = store.scope('s')
  scope.counter('x')
  scope.counter('x')
  scope.release()
  assert.equal(store.counters.size, 0)
})

test('the generation rises when names come and go, not when values change', () => {
  const store = new StatsStore()
  const counter = store.counter('a')
  const before = store.generation
  counter.inc()
  assert.equal(store.generation, before)
  const scope = store.scope('b')
  scope.counter('c')
  assert.notEqual(store.generation, before)
  const between = store.generation
  scope.release()
  assert.notEqual(store.generation, between)
})

test('resetting counters keeps them used and leaves gauges and histograms alone', () => {
  const store = new StatsStore()
  store.counter('c').add(5)
  store.gauge('g').set(5)
  store.histogram('h').record(5)
  store.labelled('hopwise_x_total', ['a'], 'X.').counter('1').add(5)
  store.resetCounters()
  const entry = store.counters.get('c')!
  assert.equal(entry.stat.value, 0)
  assert.equal(entry.wasUsed, true)
  assert.equal(store.gauges.get('g')?.stat.value, 5)
  assert.equal(store.histograms.get('h')?.stat.count, 1)
  assert.equal(store.labelled('hopwise_x_total', ['a'], 'X.').counter('1').value, 0)
})

test('what the stats matcher refuses works as state but is shown nowhere', () => {
  const store = new StatsStore({ accepts: name => !name.startsWith('secret.') })
  const gauge = store.scope('secret').gauge('cx_active')
  gauge.inc()
  assert.equal(store.scope('secret').gauge('cx_active').value, 1)
  assert.deepEqual(store.snapshot().gauges, [])
})

test('names from traffic are bounded, and the overflow is counted and told', () => {
  const store = new StatsStore()
  const methods = new TrafficCounters(store.scope('cluster.b.grpc'), store, 'grpc_methods', 2)
  methods.counter('A.total').inc()
  methods.counter('B.total').inc()
  methods.counter('C.total').inc()
  methods.counter('D.total').inc()
  methods.counter('A.total').inc()
  assert.deepEqual(
    [...store.counters.values()].map(({ name, stat }) => [name, stat.value]),
    [
      ['cluster.b.grpc.A.total', 2],
      ['cluster.b.grpc.B.total', 1],
      ['cluster.b.grpc.overflow', 2],
    ],
  )
  assert.equal(store.labelled('hopwise_stats_overflow_total', ['limit'], '').counter('grpc_methods').value, 2)
})

test('snapshots of several threads add up, and survive a structured clone', () => {
  const make = (n: number) => {
    const store = new StatsStore()
    store.counter('c').add(n)
    store.gauge('g').set(n)
    store.textReadout('t').set(`v${n}`)
    for (let i = 0; i < n; i++) store.histogram('h').record(10 * i)
    store.labelled('hopwise_f_total', ['origin'], 'F.').counter('d').add(n)
    store.labelledGauges('hopwise_open', ['cluster'], 'O.').gauge('b').set(1)
    store.labelledHistograms('hopwise_own_ms', ['service'], 'M.').histogram('a').record(n)
    if (n === 3) store.counter('only_third')
    return structuredClone(store.snapshot())
  }
  const merged = new StatsStore()
  merged.fillFrom([make(2), make(3)])
  const kept = merged.counters.get('c')!
  assert.equal(kept.stat.value, 5)
  assert.equal(merged.gauges.get('g')?.stat.value, 5)
  assert.equal(merged.texts.get('t')?.stat.value, 'v3')
  const histogram = merged.histograms.get('h')!.stat
  assert.equal(histogram.count, 5)
  assert.equal(histogram.sum, 40)
  assert.equal(merged.labelled('hopwise_f_total', ['origin'], '').counter('d').value, 5)
  assert.equal(merged.labelledGauges('hopwise_open', ['cluster'], '').gauge('b').value, 2)
  assert.equal(merged.labelledHistograms('hopwise_own_ms', ['service'], '').histogram('a').count, 2)
  assert.ok(merged.counters.has('only_third'))

  merged.fillFrom([make(2)])
  assert.equal(merged.counters.get('c'), kept, 'the entry keeps its identity')
  assert.equal(kept.stat.value, 2)
  assert.equal(merged.counters.has('only_third'), false)
  assert.equal(merged.histograms.get('h')?.stat.count, 2)
})

test('a labelled family bounds the values of each label and the number of series', () => {
  const store = new StatsStore()
  const family = store.labelled('hopwise_failures_total', ['service', 'cause'], 'Failures.', {
    maxValues: 2,
    maxSeries: 3,
  })
  family.counter('a', 'x').inc()
  family.counter('b', 'x').inc()
  family.counter('c', 'x').inc()
  family.counter('d', 'x').inc()
  family.counter('a', 'y').inc()
  family.counter('b', 'y').inc()
  const series = [...family.family.series.values()].map(({ values, stat }) => [values.join('/'), stat.value])
  assert.deepEqual(series, [
    ['a/x', 1],
    ['b/x', 1],
    ['other/x', 2],
    ['other/other', 2],
  ])
  assert.equal(family.family.dropped, 4)
})

test('a labelled family is one per name, of one type', () => {
  const store = new StatsStore()
  const family = store.labelled('hopwise_a_total', ['x'], 'A.')
  assert.equal(store.labelled('hopwise_a_total', ['x'], 'A.'), family)
  assert.throws(() => store.labelledGauges('hopwise_a_total', ['x'], 'A.'), /already a metric of another type/)
  assert.throws(() => family.counter('1', '2'), /has 1 labels/)
})

test('a float counter adds fractions, and a removed series is gone', () => {
  const store = new StatsStore()
  const seconds = store.labelled('hopwise_own_seconds_total', ['service'], 'Own time.')
  seconds.counter('a').add(0.25)
  seconds.counter('a').add(0.5)
  assert.equal(seconds.counter('a').value, 0.75)
  seconds.remove('a')
  assert.equal(seconds.family.series.size, 0)
})
