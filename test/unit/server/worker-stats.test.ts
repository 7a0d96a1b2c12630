import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StatsStore } from '../../../sidecar/observability/stats-store.ts'
import { WorkerStatsSum } from '../../../sidecar/server/worker-stats.ts'

function worker(requests: number, active: number, ms: readonly number[] = []) {
  const store = new StatsStore()
  store.counter('http.a.rq_total').add(requests)
  store.gauge('http.a.rq_active').set(active)
  store.labelled('hopwise_failures_total', ['origin'], 'help').counter('d').add(requests)
  for (const value of ms) store.histogram('http.a.rq_time').record(value)
  return { stats: store.snapshot(), connections: active, heapBytes: 1000 }
}

function numbers(store: StatsStore) {
  return {
    counter: store.counters.get('http.a.rq_total')?.stat.value,
    gauge: store.gauges.get('http.a.rq_active')?.stat.value,
    times: store.histograms.get('http.a.rq_time')?.stat.count,
    failures: store.labelled('hopwise_failures_total', ['origin'], 'help').counter('d').value,
  }
}

test('counters, gauges, histograms and families are those of all threads', () => {
  const sum = new WorkerStatsSum(2)
  sum.note(0, worker(3, 1, [5, 6]))
  sum.note(1, worker(4, 2, [7]))
  const control = new StatsStore()
  control.gauge('server.live').set(1)
  const store = sum.store(control.snapshot())
  assert.deepEqual(numbers(store), { counter: 7, gauge: 3, times: 3, failures: 7 })
  assert.equal(store.gauges.get('server.live')?.stat.value, 1)
  assert.deepEqual([sum.connections, sum.heapBytes], [3, 2000])
})

test('what a dead worker counted stays, what it had goes, and its successor counts on', () => {
  const sum = new WorkerStatsSum(2)
  sum.note(0, worker(3, 1, [5]))
  sum.note(1, worker(4, 2, [7]))
  sum.forget(1)
  const control = new StatsStore().snapshot()
  assert.deepEqual(numbers(sum.store(control)), { counter: 7, gauge: 1, times: 2, failures: 7 })
  sum.note(1, worker(1, 5))
  assert.deepEqual(numbers(sum.store(control)), { counter: 8, gauge: 6, times: 2, failures: 8 })
  sum.forget(1)
  sum.forget(1)
  assert.deepEqual(numbers(sum.store(control)), { counter: 8, gauge: 1, times: 2, failures: 8 })
})

test('names that no thread has any more are gone, and a reset forgets the dead too', () => {
  const sum = new WorkerStatsSum(1)
  sum.note(0, worker(3, 1))
  sum.forget(0)
  const control = new StatsStore()
  assert.equal(numbers(sum.store(control.snapshot())).counter, undefined)
  control.counter('http.a.rq_total')
  assert.equal(numbers(sum.store(control.snapshot())).counter, 3)
  sum.resetCounters()
  assert.deepEqual(numbers(sum.store(control.snapshot())), {
    counter: 0,
    gauge: undefined,
    times: undefined,
    failures: 0,
  })
})
