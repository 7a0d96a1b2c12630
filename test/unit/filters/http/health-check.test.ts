import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FilterStatus } from '../../../../sidecar/filter-chain/http-filter.ts'
import { healthCheck } from '../../../../sidecar/filters/http/health-check.ts'
import { ResponseFlag } from '../../../../sidecar/observability/response-flags.ts'
import { FilterBench } from '../../../kit/filter-bench.ts'

const headers = [{ name: ':path', string_match: { exact: '/healthz' } }]
const check = { path: '/healthz' }
const MEMBERS: Record<string, object> = {
  good: { hosts: 2, healthy: 2, degraded: 0 },
  half: { hosts: 4, healthy: 1, degraded: 1 },
  sick: { hosts: 2, healthy: 0, degraded: 0 },
  none: { hosts: 0, healthy: 0, degraded: 0 },
}
const healthBench = (config: object, failed = false) =>
  new FilterBench(
    healthCheck,
    { headers, ...config },
    {
      context: {
        health: { failed },
        localCluster: 'mine',
        clusters: { membershipOf: (name: string) => MEMBERS[name] },
      },
    },
  )

test('a health check is answered, marked and not traced', () => {
  const stream = healthBench({ pass_through_mode: false }).stream(check)
  stream.info.sampled = true
  assert.equal(stream.requestHeadersIn(), FilterStatus.Stop)
  assert.deepEqual([stream.reply?.status, stream.reply?.details], [200, 'health_check_ok'])
  assert.ok(stream.info.healthCheck)
  assert.ok(!stream.info.sampled)
  assert.equal(stream.responseHeaders?.get('x-envoy-upstream-healthchecked-cluster'), 'mine')
  const other = healthBench({ pass_through_mode: false }).stream()
  assert.equal(other.requestHeadersIn(), FilterStatus.Continue)
  assert.ok(!other.info.healthCheck)
})

test('a health check with a body is answered when that has come', () => {
  const stream = healthBench({ pass_through_mode: false }).stream({ ...check, method: 'POST' })
  assert.equal(stream.requestHeadersIn(false), FilterStatus.Stop)
  assert.deepEqual([stream.reply], [undefined])
  stream.requestBuffered(3)
  assert.equal(stream.reply?.status, 200)
})

test('clusters must have enough healthy hosts', () => {
  const answer = (percentages: Record<string, number>) => {
    const minimum = Object.fromEntries(Object.entries(percentages).map(([name, value]) => [name, { value }]))
    const bench = healthBench({ pass_through_mode: false, cluster_min_healthy_percentages: minimum })
    const stream = bench.stream(check)
    stream.requestHeadersIn()
    return [stream.reply?.status, stream.reply?.details, stream.info.responseFlags]
  }
  assert.deepEqual(answer({ good: 100, half: 50 }), [200, 'health_check_ok_cluster_healthy', 0])
  const failedFlag = ResponseFlag.FailedLocalHealthCheck
  assert.deepEqual(answer({ good: 1, half: 51 }), [503, 'health_check_failed_cluster_unhealthy', failedFlag])
  assert.deepEqual(answer({ sick: 1 }), [503, 'health_check_failed_cluster_unhealthy', failedFlag])
  assert.deepEqual(answer({ sick: 0 }), [200, 'health_check_ok_cluster_healthy', 0])
  assert.deepEqual(answer({ none: 1 }), [503, 'health_check_failed_cluster_empty', failedFlag])
  assert.deepEqual(answer({ none: 0 }), [200, 'health_check_ok_cluster_healthy', 0])
  assert.deepEqual(answer({ unknown: 0 }), [503, 'health_check_failed_no_cluster_found', failedFlag])
})

test('an answer of the application is remembered until its period ends', () => {
  const bench = healthBench({ pass_through_mode: true, cache_time: '2s' })
  const first = bench.stream(check)
  assert.equal(first.requestHeadersIn(), FilterStatus.Continue)
  first.responseHeadersIn(500, { 'x-envoy-degraded': '' })
  bench.advance(1990)
  const second = bench.stream(check)
  assert.equal(second.requestHeadersIn(), FilterStatus.Stop)
  assert.deepEqual([second.reply?.status, second.reply?.details], [500, 'health_check_cached'])
  assert.ok(second.responseHeaders?.has('x-envoy-degraded'))
  bench.advance(20)
  assert.equal(bench.stream(check).requestHeadersIn(), FilterStatus.Continue)
})

test('a failed proxy fails its checks and warns on every other response', () => {
  const bench = healthBench({ pass_through_mode: true }, true)
  const stream = bench.stream(check)
  assert.equal(stream.requestHeadersIn(), FilterStatus.Stop)
  assert.deepEqual([stream.reply?.status, stream.reply?.details], [503, 'health_check_failed'])
  const other = bench.stream()
  assert.equal(other.requestHeadersIn(), FilterStatus.Continue)
  other.responseHeadersIn()
  assert.equal(other.responseHeaders?.get('x-envoy-immediate-health-check-fail'), 'true')
})

test('a cache without pass-through is refused', () => {
  assert.throws(() => healthBench({ pass_through_mode: false, cache_time: '1s' }), /cache/)
})
