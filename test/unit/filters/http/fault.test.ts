import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FilterStatus } from '../../../../sidecar/filter-chain/http-filter.ts'
import { fault } from '../../../../sidecar/filters/http/fault.ts'
import { ResponseFlag } from '../../../../sidecar/observability/response-flags.ts'
import { type BenchOptions, FilterBench } from '../../../kit/filter-bench.ts'

const all = { numerator: 100, denominator: 'HUNDRED' }
const abort = { http_status: 503, percentage: all }
const delay = { fixed_delay: '1s', percentage: all }
const faultBench = (config: object, options?: BenchOptions) => new FilterBench(fault, config, options)

test('an abort answers at once', () => {
  const bench = faultBench({ abort })
  const stream = bench.stream()
  assert.equal(stream.requestHeadersIn(), FilterStatus.Stop)
  assert.equal(stream.reply?.status, 503)
  assert.equal(stream.reply?.body, 'fault filter abort')
  assert.equal(stream.reply?.details, 'fault_filter_abort')
  assert.equal(stream.info.responseFlags, ResponseFlag.FaultInjected)
  assert.equal(bench.counter('http.test.fault.aborts_injected'), 1)
  assert.equal(bench.gauge('http.test.fault.active_faults'), 1)
  stream.end()
  assert.equal(bench.gauge('http.test.fault.active_faults'), 0)
})

test('a fraction of requests is aborted', () => {
  const bench = faultBench({ abort: { ...abort, percentage: { numerator: 100_000, denominator: 'MILLION' } } })
  let aborted = 0
  for (let i = 0; i < 2000; i++) if (bench.stream().requestHeadersIn() === FilterStatus.Stop) aborted++
  assert.ok(aborted > 150 && aborted < 250, `${aborted} of 2000 at 10 %`)
})

test('a delay holds the request for its time', () => {
  const bench = faultBench({ delay })
  const stream = bench.stream()
  assert.equal(stream.requestHeadersIn(), FilterStatus.Stop)
  assert.equal(stream.info.responseFlags, ResponseFlag.DelayInjected)
  assert.equal(stream.info.delayedUntilMs, bench.clock.now() + 1000)
  bench.advance(990)
  assert.equal(stream.requestsContinued, 0)
  bench.advance(20)
  assert.equal(stream.requestsContinued, 1)
  assert.equal(stream.reply, undefined)
  assert.equal(bench.gauge('http.test.fault.active_faults'), 0)
})

test('an abort follows a delay', () => {
  const bench = faultBench({ delay, abort })
  const stream = bench.stream()
  stream.requestHeadersIn()
  bench.advance(1005)
  assert.equal(stream.reply?.status, 503)
  assert.equal(stream.requestsContinued, 0)
  assert.equal(stream.info.responseFlags, ResponseFlag.DelayInjected | ResponseFlag.FaultInjected)
})

test('a stream that ends takes its delay with it', () => {
  const bench = faultBench({ delay })
  const stream = bench.stream()
  stream.requestHeadersIn()
  stream.end()
  assert.equal(bench.timers.size, 0)
  bench.advance(2000)
  assert.equal(stream.requestsContinued, 0)
  assert.equal(bench.gauge('http.test.fault.active_faults'), 0)
})

test('no more faults at once than allowed', () => {
  const bench = faultBench({ delay, max_active_faults: 1 })
  assert.equal(bench.stream().requestHeadersIn(), FilterStatus.Stop)
  assert.equal(bench.stream().requestHeadersIn(), FilterStatus.Continue)
  assert.equal(bench.counter('http.test.fault.faults_overflow'), 1)
  bench.runtime.values.set('fault.http.max_active_faults', 2)
  assert.equal(bench.stream().requestHeadersIn(), FilterStatus.Stop)
})

test('the runtime overrides percentage, duration and status', () => {
  const none = { numerator: 0 }
  const bench = faultBench({ delay: { ...delay, percentage: none }, abort: { ...abort, percentage: none } })
  assert.equal(bench.stream().requestHeadersIn(), FilterStatus.Continue)
  bench.runtime.values.set('fault.http.delay.fixed_delay_percent', 100)
  bench.runtime.values.set('fault.http.delay.fixed_duration_ms', 20)
  bench.runtime.values.set('fault.http.abort.abort_percent', 100)
  bench.runtime.values.set('fault.http.abort.http_status', 418)
  const stream = bench.stream()
  stream.requestHeadersIn()
  bench.advance(30)
  assert.equal(stream.reply?.status, 418)
})

test('a downstream cluster has runtime keys and stats of its own, of bounded number', () => {
  const bench = faultBench({ abort: { ...abort, percentage: { numerator: 0 } } })
  bench.runtime.values.set('fault.http.caller.abort.abort_percent', 100)
  bench.runtime.values.set('fault.http.caller.abort.http_status', 500)
  const caller = bench.stream({ headers: { 'x-envoy-downstream-service-cluster': 'caller' } })
  caller.requestHeadersIn()
  assert.equal(caller.reply?.status, 500)
  assert.equal(bench.counter('http.test.fault.caller.aborts_injected'), 1)
  assert.equal(bench.stream().requestHeadersIn(), FilterStatus.Continue)

  const busy = faultBench({ abort })
  for (let i = 0; i < 300; i++) {
    busy.stream({ headers: { 'x-envoy-downstream-service-cluster': `c${i}` } }).requestHeadersIn()
  }
  assert.equal(busy.counter('http.test.fault.aborts_injected'), 300)
  const named = [...busy.stats.counters.keys()].filter(name => name.endsWith('.aborts_injected'))
  assert.equal(named.length, 101)
  const quiet = faultBench({ abort, disable_downstream_cluster_stats: true })
  quiet.stream({ headers: { 'x-envoy-downstream-service-cluster': 'caller' } }).requestHeadersIn()
  assert.equal(quiet.counter('http.test.fault.caller.aborts_injected'), 0)
})

test('headers choose a fault, within the configured percentage', () => {
  const headers = { 'x-envoy-fault-abort-request': '500', 'x-envoy-fault-abort-request-percentage': '100' }
  const never = faultBench({ abort: { header_abort: {}, percentage: { numerator: 0 } } })
  assert.equal(never.stream({ headers }).requestHeadersIn(), FilterStatus.Continue)
  const always = faultBench({ abort: { header_abort: {}, percentage: all } })
  assert.equal(always.stream({ headers }).requestHeadersIn(), FilterStatus.Stop)
  const fewer = { ...headers, 'x-envoy-fault-abort-request-percentage': '0' }
  assert.equal(always.stream({ headers: fewer }).requestHeadersIn(), FilterStatus.Continue)
  const grpc = always.stream({ headers: { 'x-envoy-fault-abort-grpc-request': '7' } })
  grpc.requestHeadersIn()
  assert.equal(grpc.reply?.grpcStatus, 7)
})

test('nodes, cluster and headers narrow it down', () => {
  const bench = faultBench({ abort, downstream_nodes: ['a'], headers: [{ name: 'x-f', present_match: true }] })
  const match = { 'x-envoy-downstream-service-node': 'a', 'x-f': '1' }
  assert.equal(bench.stream({ headers: match }).requestHeadersIn(), FilterStatus.Stop)
  assert.equal(bench.stream({ headers: { 'x-f': '1' } }).requestHeadersIn(), FilterStatus.Continue)
  const other = { ...match, 'x-envoy-downstream-service-node': 'b' }
  assert.equal(bench.stream({ headers: other }).requestHeadersIn(), FilterStatus.Continue)
  const cluster = faultBench({ abort, upstream_cluster: 'other' })
  assert.equal(cluster.stream().requestHeadersIn(), FilterStatus.Continue)
  assert.equal(faultBench({ abort, upstream_cluster: 'app' }).stream().requestHeadersIn(), FilterStatus.Stop)
  const nowhere = faultBench({ abort, upstream_cluster: 'app' }, { route: null })
  assert.equal(nowhere.stream().requestHeadersIn(), FilterStatus.Continue)
})

test('a route replaces the whole configuration', () => {
  const bench = faultBench({ abort }, { routeConfigs: [{ delay }] })
  const stream = bench.stream()
  stream.requestHeadersIn()
  bench.advance(1005)
  assert.equal(stream.requestsContinued, 1)
  assert.equal(stream.reply, undefined)
})

test('a response trickles at its rate: a twentieth of a second at once, then the same each 50 ms', () => {
  const bench = faultBench({ response_rate_limit: { fixed_limit: { limit_kbps: 10 }, percentage: all } })
  const stream = bench.stream()
  assert.equal(stream.requestHeadersIn(), FilterStatus.Continue)
  assert.equal(bench.counter('http.test.fault.response_rl_injected'), 1)
  assert.equal(stream.responseDataIn('x'.repeat(1650), true), FilterStatus.Stop)
  assert.deepEqual(stream.passed, [])
  // The wheel's next tick is 5 ms away, which bring 51 bytes more.
  bench.advance(5)
  assert.deepEqual(stream.passed, [563])
  bench.advance(50)
  bench.advance(50)
  assert.deepEqual(stream.passed, [563, 512, 512])
  bench.advance(50)
  assert.deepEqual(stream.passed, [563, 512, 512, 63])
  assert.equal(bench.timers.size, 0)
  stream.end()
  assert.equal(bench.gauge('http.test.fault.active_faults'), 0)
})

test('a second of silence is saved up, and not more', () => {
  const bench = faultBench({ response_rate_limit: { fixed_limit: { limit_kbps: 1 }, percentage: all } })
  const stream = bench.stream()
  stream.requestHeadersIn()
  bench.advance(10_000)
  stream.responseDataIn('x'.repeat(3000))
  bench.advance(5)
  assert.deepEqual(stream.passed, [1024])
})

test('a part that comes while others wait is passed in its turn, an empty end at once', () => {
  const bench = faultBench({ response_rate_limit: { fixed_limit: { limit_kbps: 10 }, percentage: all } })
  const stream = bench.stream()
  stream.requestHeadersIn()
  stream.responseDataIn('x'.repeat(600))
  bench.advance(5)
  stream.responseDataIn('x'.repeat(100))
  bench.advance(50)
  assert.deepEqual(stream.passed, [563, 137])
  stream.responseDataIn('', true)
  bench.advance(5)
  assert.equal(stream.metered, undefined)
})

test('metadata of the fault is noted', () => {
  const bench = faultBench({ abort, filter_metadata: { note: 'drill', n: 1 } })
  const stream = bench.stream()
  stream.requestHeadersIn()
  assert.deepEqual(stream.info.dynamicMetadata?.get('envoy.filters.http.fault'), { note: 'drill', n: 1 })
})
