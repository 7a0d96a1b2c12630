import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CircuitBreaker, limitsOf } from '../../../sidecar/cluster/circuit-breaker.ts'
import { StatsStore } from '../../../sidecar/observability/stats-store.ts'
import { clusterMessage } from './cluster-fixture.ts'

function breaker(thresholds = '', priority: 'DEFAULT' | 'HIGH' = 'DEFAULT') {
  const message = clusterMessage(`{name: c, circuit_breakers: {thresholds: [${thresholds}]}}`)
  const store = new StatsStore()
  const made = new CircuitBreaker(limitsOf(message.circuitBreakers, priority), store.scope('b'))
  return { made, gauge: (name: string) => store.gauges.get(`b.${name}`)?.stat.value, store, message }
}

const fits = ({ inUse, max }: { readonly inUse: number; readonly max: number }) => inUse < max

test('the defaults are 1024 connections, pending requests and requests, and 3 retries', () => {
  const { made } = breaker()
  assert.deepEqual(
    [made.connections.max, made.pendingRequests.max, made.requests.max, made.retries.max],
    [1024, 1024, 1024, 3],
  )
})

test('the first threshold of a priority counts, and what it leaves out is the default', () => {
  const thresholds = '{max_requests: 7}, {max_requests: 9}, {priority: HIGH, max_connections: 5}'
  assert.equal(breaker(thresholds).made.requests.max, 7)
  assert.equal(breaker(thresholds, 'HIGH').made.connections.max, 5)
  assert.equal(breaker(thresholds, 'HIGH').made.requests.max, 1024)
})

test('the gauge is 1 as long as the limit is reached', () => {
  const { made, gauge } = breaker('{max_requests: 2}')
  made.requests.take()
  assert.deepEqual([gauge('rq_open'), fits(made.requests)], [0, true])
  made.requests.take()
  assert.deepEqual([gauge('rq_open'), fits(made.requests)], [1, false])
  made.requests.release()
  assert.deepEqual([gauge('rq_open'), fits(made.requests)], [0, true])
})

test('what remains is shown only with track_remaining', () => {
  assert.equal(breaker('{max_requests: 2}').gauge('remaining_rq'), undefined)
  const { made, gauge } = breaker('{max_requests: 2, max_connections: 1, track_remaining: true}')
  assert.deepEqual(
    ['cx', 'pending', 'rq', 'retries'].map(name => gauge(`remaining_${name}`)),
    [1, 1024, 2, 3],
  )
  made.connections.take()
  // A pool's first connection may exceed the limit.
  made.connections.take()
  assert.equal(gauge('remaining_cx'), 0)
})

test('a retry budget is a share of what is in flight, and at least min_retry_concurrency', () => {
  const { made, gauge } = breaker(
    '{max_retries: 1, retry_budget: {budget_percent: {value: 50}, min_retry_concurrency: 2}}',
  )
  assert.equal(made.retries.max, 2)
  for (let i = 0; i < 8; i++) made.requests.take()
  for (let i = 0; i < 3; i++) made.pendingRequests.take()
  assert.equal(made.retries.max, 5)
  for (let i = 0; i < 5; i++) made.retries.take()
  assert.equal(fits(made.retries), false)
  assert.equal(gauge('rq_retry_open'), 1)
})

test('an empty retry budget is 20 % and at least 3', () => {
  const { made } = breaker('{retry_budget: {}}')
  assert.equal(made.retries.max, 3)
  for (let i = 0; i < 50; i++) made.requests.take()
  assert.equal(made.retries.max, 10)
})

test('new limits keep what is in use', () => {
  const { made, gauge } = breaker('{max_requests: 2}')
  made.requests.take()
  made.configure(
    limitsOf(
      clusterMessage('{name: c, circuit_breakers: {thresholds: [{max_requests: 1}]}}').circuitBreakers,
      'DEFAULT',
    ),
  )
  assert.deepEqual([made.requests.inUse, fits(made.requests), gauge('rq_open')], [1, false, 1])
})
