import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../../sidecar/base/timer-wheel.ts'
import { StatsStore } from '../../../../sidecar/observability/stats-store.ts'
import type { Span } from '../../../../sidecar/observability/tracing/span.ts'
import {
  outcomeOfStatus,
  type ReportOutcome,
  SpanExporter,
} from '../../../../sidecar/observability/tracing/span-exporter.ts'

function setUp(runtime: Record<string, number> = {}) {
  const clock = new ManualClock()
  const timers = new TimerWheel(clock)
  const stats = new StatsStore()
  const sent: { body: string; done: (outcome: ReportOutcome) => void }[] = []
  let added = 0
  const exporter = new SpanExporter({
    kind: 'zipkin',
    path: '/api/v2/spans',
    encoder: {
      contentType: 'application/json',
      add: () => added++,
      take: () => {
        const body = String(added)
        added = 0
        return body
      },
    },
    sink: { send: (_path, _type, body, done) => sent.push({ body: String(body), done }) },
    timers,
    stats,
    runtime: { number: (key, fallback) => runtime[key] ?? fallback },
  })
  const report = (count: number) => {
    for (let i = 0; i < count; i++) exporter.report({} as Span)
  }
  const pass = (ms: number) => {
    clock.advance(ms)
    timers.advance()
  }
  const count = (name: string) => stats.counter(`tracing.zipkin.${name}`).value
  return { exporter, sent, report, pass, count, timers }
}

test('a report leaves with five spans, or with the timer', t => {
  const { sent, report, pass, count, timers } = setUp()
  t.after(() => timers.close())
  report(4)
  assert.equal(sent.length, 0)
  report(1)
  assert.equal(sent[0]?.body, '5')
  report(2)
  pass(5100)
  assert.equal(sent[1]?.body, '2')
  assert.equal(count('timer_flushed'), 1)
  assert.equal(count('spans_sent'), 7)
  pass(5100)
  assert.equal(sent.length, 2)
  assert.equal(count('timer_flushed'), 2)
})

test('runtime changes both', t => {
  const { sent, report, pass, timers } = setUp({
    'tracing.zipkin.min_flush_spans': 2,
    'tracing.zipkin.flush_interval_ms': 100,
  })
  t.after(() => timers.close())
  report(3)
  pass(150)
  assert.deepEqual(
    sent.map(({ body }) => body),
    ['2', '1'],
  )
})

test('every outcome has its counter, and an answer counts once', t => {
  const { sent, report, count, timers } = setUp()
  t.after(() => timers.close())
  const outcomes = ['sent', 'dropped', 'failed', 'no_cluster'] as const
  for (const outcome of outcomes) {
    report(5)
    sent.at(-1)!.done(outcome)
    sent.at(-1)!.done(outcome)
  }
  assert.deepEqual(
    ['reports_sent', 'reports_dropped', 'reports_failed', 'reports_skipped_no_cluster'].map(count),
    [1, 1, 1, 1],
  )
  // What was handed over and not taken is lost as well as what found no room.
  assert.equal(count('spans_dropped'), 15)
  assert.equal(outcomeOfStatus('zipkin', 202), 'sent')
  assert.equal(outcomeOfStatus('zipkin', 200), 'dropped')
  assert.equal(outcomeOfStatus('opentelemetry', 200), 'sent')
  assert.equal(outcomeOfStatus('opentelemetry', 503), 'dropped')
})

test('a slow collector gets larger reports, a dead one loses spans, counted', t => {
  const { exporter, sent, report, count, timers } = setUp()
  t.after(() => timers.close())
  report(20)
  assert.equal(sent.length, 4)
  report(30)
  assert.equal(sent.length, 4)
  sent[0]!.done('sent')
  assert.equal(sent[4]?.body, '30')
  report(5000)
  assert.equal(exporter.waiting, 4096)
  assert.equal(count('spans_dropped'), 904)
})

test('close sends what waits and waits for the answers', async t => {
  const { exporter, sent, report, timers } = setUp()
  t.after(() => timers.close())
  report(3)
  const closed = exporter.close()
  let over = false
  void closed.then(() => {
    over = true
  })
  await Promise.resolve()
  assert.equal(over, false)
  sent[0]!.done('sent')
  await closed
})

test('once closed it has no timer, and sends what comes late at once', async t => {
  const { exporter, sent, report, pass, count, timers } = setUp()
  t.after(() => timers.close())
  await exporter.close()
  pass(20_000)
  assert.equal(count('timer_flushed'), 0)
  report(1)
  assert.equal(sent.length, 1)
})
