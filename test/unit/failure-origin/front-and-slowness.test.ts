/** A sidecar without an application behind it, and where time went when calls cannot be told apart. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FROM_D, Sidecar, withRecord } from './sidecar-by-hand.ts'

const near = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) < 1e-9, `${actual}`)

test('where no listener takes requests for an application a failure is counted once, for whoever asked sees it', () => {
  const front = new Sidecar({}, false)
  const asked = front.call(undefined)
  asked.answer(500, withRecord())
  front.call(undefined).refused()
  front.call(undefined).gone()
  assert.deepEqual(
    front.locator.log.entries().map(({ role }) => role),
    ['propagated', 'origin', 'cancelled'],
  )
  assert.equal(front.stats.sum('hopwise_failures_total', 'role="background"'), 0)
  assert.equal(front.stats.sum('hopwise_trace_context_missing_total'), 0)
})

test('a request from outside through an outbound listener is no work of the application in flight beside it', () => {
  const c = new Sidecar()
  const inbound = c.inbound({ ids: false })
  const outside = c.call(undefined, 'd', { edge: true })
  const head = outside.answer(500, withRecord())
  assert.equal(head.get('x-failure-id'), FROM_D.id)
  inbound.answer(500)
  assert.deepEqual(c.roles(), ['propagated x app_error trace', 'origin c app_error exact'])
})

test('waiting for calls that cannot be matched is no own time, whosever it was', () => {
  const c = new Sidecar()
  const first = c.inbound({ ids: false })
  const second = c.inbound({ ids: false })
  c.clock.advance(10)
  const calls = [c.call(undefined), c.call(undefined)]
  c.clock.advance(40)
  for (const call of calls) call.answer(200)
  c.clock.advance(5)
  first.answer(200)
  second.answer(200)
  // 58 and 59 ms; 41 and 42 of these in calls.
  near(c.stats.sum('hopwise_blocked_seconds_total', 'on="d"'), 0.083)
  near(c.stats.sum('hopwise_own_seconds_total'), 0.058 + 0.059 - 0.083)
})

test('no more requests wait than are in flight, and none waits for a call that outlives them', () => {
  const c = new Sidecar()
  const first = c.inbound({ ids: false })
  const second = c.inbound({ ids: false })
  // Parallel calls: three open ones, but two requests.
  const calls = [c.call(undefined), c.call(undefined), c.call(undefined)]
  c.clock.advance(29)
  first.answer(200)
  second.answer(200)
  c.clock.advance(1000)
  for (const call of calls) call.answer(200)
  near(c.stats.sum('hopwise_own_seconds_total'), 0)
  near(c.stats.sum('hopwise_blocked_seconds_total', 'on="d"'), 0.061)
})

test('a matched call beside an unmatched one: own and blocked seconds add up to the durations', () => {
  const c = new Sidecar()
  const known = c.inbound()
  const other = c.inbound({ ids: false })
  const ofKnown = c.call(known)
  const loose = c.call(undefined, 'e')
  c.clock.advance(19)
  ofKnown.answer(200)
  c.clock.advance(9)
  loose.answer(200)
  c.clock.advance(9)
  known.answer(200)
  other.answer(200)
  near(c.stats.sum('hopwise_blocked_seconds_total', 'on="d"'), 0.02)
  near(c.stats.sum('hopwise_blocked_seconds_total', 'on="e"'), 0.03)
  near(c.stats.sum('hopwise_own_seconds_total'), 0.04 + 0.041 - 0.05)
})
