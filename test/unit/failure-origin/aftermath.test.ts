import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import { AftermathOfFailures, EventRate } from '../../../sidecar/failure-origin/aftermath.ts'

/** Calls that fail at random; each fails a request `reactionMs` later, and others fail without any reason. */
function afterCalls(count: number, everyMs: number, reactionMs: (() => number) | undefined, ownEveryMs: number) {
  const random = new SeededRandom(1)
  const some = (ms: number) => -Math.log(1 - random.next()) * ms
  const events: { at: number; call: boolean }[] = []
  for (let i = 0, at = 0; i < count; i++) {
    at += some(everyMs)
    events.push({ at, call: true })
    if (reactionMs !== undefined) events.push({ at: at + reactionMs(), call: false })
  }
  for (let at = some(ownEveryMs); at < count * everyMs; at += some(ownEveryMs)) events.push({ at, call: false })
  const aftermath = new AftermathOfFailures()
  const rate = new EventRate()
  let now = 0
  for (const { at, call } of events.sort((x, y) => x.at - y.at)) {
    now = at
    if (call) aftermath.failed(at, rate)
    else {
      aftermath.inboundFailed(at)
      rate.add(at)
    }
  }
  return (gapMs: number) => aftermath.verdict(gapMs, now, rate.perMs(now))
}

test('a callee whose failures are passed on is a cause, however long the application takes to do so', () => {
  const random = new SeededRandom(2)
  assert.equal(afterCalls(100, 100, () => 1, 100)(1), 'cause')
  assert.equal(afterCalls(100, 100, () => 30 + 5 * random.next(), 100)(32), 'cause')
  // As a loaded machine answers: spread over many bins, of which none stands out.
  assert.notEqual(afterCalls(200, 70, () => 13 + 147 * random.next(), 300)(80), 'not')
})

test('a callee whose failures nothing follows is no cause', () => {
  assert.equal(afterCalls(200, 10, undefined, 30)(5), 'not')
  assert.equal(afterCalls(100, 100, undefined, 100)(5), 'not')
})

test('what fails near everything else, as in bouts, but before as often as after, is no cause', () => {
  const random = new SeededRandom(3)
  const aftermath = new AftermathOfFailures()
  const rate = new EventRate()
  let start = 0
  for (let bout = 1; bout <= 60; bout++) {
    start += 100 + 600 * random.next()
    const events = Array.from({ length: 8 }, (_, i) => ({ at: start + 30 * random.next(), call: i < 4 }))
    for (const { at, call } of events.sort((x, y) => x.at - y.at)) {
      if (call) aftermath.failed(at, rate)
      else {
        aftermath.inboundFailed(at)
        rate.add(at)
      }
    }
  }
  assert.notEqual(aftermath.verdict(5, start + 600, rate.perMs(start + 600)), 'cause')
})

test('the rate of failures is that of the present bout, whatever was before', () => {
  const rate = new EventRate()
  for (let i = 0; i < 50; i++) rate.add(i)
  for (let i = 0; i < 50; i++) rate.add(60_000 + 10 * i)
  const perMs = rate.perMs(60_500)
  assert.ok(perMs > 0.09 && perMs < 0.11, String(perMs))
})
