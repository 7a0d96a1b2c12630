/** Which responses end their connections while listeners drain; the shares are Envoy's, as measured on 1.40. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../sidecar/base/clock.ts'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import { Condition } from '../../../sidecar/server/condition.ts'

const INBOUND = { trafficDirection: 'INBOUND', drainType: 'DEFAULT' } as const
const OUTBOUND = { trafficDirection: 'OUTBOUND', drainType: 'DEFAULT' } as const

function setUp(gradual: boolean, drainTimeMs = 10_000) {
  const clock = new ManualClock()
  const condition = new Condition({ gradual, drainTimeMs, clock, random: new SeededRandom(7) })
  const inbound = condition.of(INBOUND)
  const outbound = condition.of(OUTBOUND)
  /** How many of a thousand responses end their connection. */
  const ended = (of = outbound) => Array.from({ length: 1000 }, () => of.draining).filter(Boolean).length
  return { clock, condition, inbound, outbound, ended }
}

test('immediate: from the moment on, every response ends its connection', () => {
  const { condition, ended } = setUp(false)
  assert.equal(ended(), 0)
  condition.drain('all')
  assert.equal(ended(), 1000)
})

test('gradual: with each second more responses end their connection, after half of the drain time all of them', () => {
  const { clock, condition, ended } = setUp(true)
  condition.drain('all')
  for (const [afterMs, share] of [
    [900, 0],
    [600, 0.2],
    [2000, 0.6],
    [1000, 0.8],
    [600, 1],
    [1000, 1],
  ] as const) {
    clock.advance(afterMs)
    const found = ended()
    assert.ok(Math.abs(found - share * 1000) <= 50 * (share % 1 && 1), `${found} of 1000, expected ${share}`)
  }
})

test('gradual without a drain time is immediate', () => {
  const { condition, ended } = setUp(true, 0)
  condition.drain('all')
  assert.equal(ended(), 1000)
})

test('a drain of inbound listeners leaves the others, and is not begun anew by a drain of all', () => {
  const { clock, condition, inbound, outbound, ended } = setUp(true)
  condition.drain('inbound')
  assert.equal(ended(outbound), 0)
  clock.advance(6000)
  condition.drain('all')
  assert.equal(ended(inbound), 1000)
  assert.ok(ended(outbound) < 150)
})

test('a listener that is removed drains by itself, and the others stay', () => {
  const { clock, inbound, outbound, ended } = setUp(true)
  assert.equal(outbound.drainGradually(), true)
  clock.advance(5000)
  assert.equal(ended(outbound), 1000)
  assert.equal(ended(inbound), 0)
  assert.equal(setUp(false).outbound.drainGradually(), false)
})

test('leaving and a failed health check end connections at once, whatever the strategy', () => {
  const { condition, outbound } = setUp(true)
  condition.healthCheckFailed = true
  assert.equal(outbound.draining, true)
  assert.equal(condition.of({ ...OUTBOUND, drainType: 'MODIFY_ONLY' }).draining, false)
  condition.healthCheckFailed = false
  condition.leaving = true
  assert.equal(outbound.draining, true)
})

test('another thread that is told the state draws from the same share', () => {
  const { clock, condition } = setUp(true)
  condition.drain('all')
  clock.advance(10_000)
  const other = new Condition({ gradual: true, drainTimeMs: 10_000, clock, random: new SeededRandom(1) })
  Object.assign(other, condition.state)
  assert.equal(other.of(OUTBOUND).draining, true)
})
