import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Counters, parseExposition, risen, secondsPerRequest } from '../../../demo-services/sidecar-output.ts'

const counters = (texts: Record<string, string>): Counters =>
  new Map(Object.entries(texts).map(([instance, text]) => [instance, parseExposition(text)]))

test('counters are compared before and after, also over a restart of their process', () => {
  const before = counters({
    c: 'x{origin="d",role="origin"} 3\nx{origin="d",role="masked"} 9',
    b: 'x{origin="c",role="origin"} 50',
  })
  const after = counters({
    c: '# TYPE x counter\nx{origin="d",role="origin"} 5\nx{origin="d",role="masked"} 9',
    b: 'x{origin="c",role="origin"} 4',
    a: 'x{origin="b",role="origin"} 1',
  })
  assert.deepEqual(risen(before, after, 'x', 'origin', 'role="origin"'), new Map(Object.entries({ d: 2, c: 4, b: 1 })))
})

const completed = (n: number) => `envoy_http_downstream_rq_completed{envoy_http_conn_manager_prefix="ingress"} ${n}`
const own = (service: string, seconds: number) => `hopwise_own_seconds_total{service="${service}"} ${seconds}`

test('time per request is the own time of each service, and what is waited for those without a sidecar', () => {
  const before = counters({ a: `${completed(10)}\n${own('a', 1)}`, c: own('c', 1) })
  const after = counters({
    a: `${completed(20)}\n${own('a', 1.1)}`,
    c: `${own('c', 2)}\nhopwise_blocked_seconds_total{service="c",on="outside"} 0.5`,
  })
  const seconds = secondsPerRequest(before, after)
  assert.deepEqual([...seconds.keys()].sort(), ['a', 'c', 'outside'])
  assert.equal(seconds.get('a')?.toFixed(3), '0.010')
  assert.equal(seconds.get('c')?.toFixed(3), '0.100')
  assert.equal(seconds.get('outside')?.toFixed(3), '0.050')
})

test('what calls took that could not be matched is not the own time of an application that copies no headers', () => {
  const call = 'envoy_cluster_upstream_rq'
  const before = counters({ a: completed(0), b: '' })
  const after = counters({
    a: completed(10),
    b: [
      own('b', 2),
      'hopwise_blocked_seconds_total{service="b",on="c"} 0.5',
      'hopwise_trace_context_missing_total{service="b"} 10',
      `${call}_completed{envoy_cluster_name="c"} 10`,
      `${call}_completed{envoy_cluster_name="app"} 10`,
      `${call}_time_sum{envoy_cluster_name="c"} 2300`,
      `${call}_time_sum{envoy_cluster_name="app"} 9000`,
    ].join('\n'),
  })
  assert.equal(secondsPerRequest(before, after).get('b')?.toFixed(3), '0.020')
})
