import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import { Http2KeepAlive } from '../../../sidecar/upstream/http2-keepalive.ts'
import type { KeepAliveSettings } from '../../../sidecar/upstream/http2-settings.ts'

/** A tick of the wheel later, a timer that is due has fired. */
const TICK_MS = 5

/** Milliseconds until the first PING, where chance says `random`. */
function firstPing(settings: Partial<KeepAliveSettings>, random: number): number {
  const clock = new ManualClock()
  const timers = new TimerWheel(clock)
  let pings = 0
  const owner = { sendPing: () => pings++, onKeepAliveTimeout: () => {} }
  const full = { intervalMs: 1000, timeoutMs: 5000, jitterPercent: 0, idleIntervalMs: 0, ...settings }
  const keepAlive = new Http2KeepAlive(full, owner, clock, timers, { next: () => random, uint32: () => 0 })
  while (pings === 0 && clock.now() < 10_000) {
    clock.advance(1)
    timers.advance()
  }
  keepAlive.stop()
  return clock.now()
}

test('interval_jitter makes the interval longer, by at most so many percent of it', () => {
  for (const [jitterPercent, random, expected] of [
    [0, 0.999, 1000],
    [15, 0, 1000],
    [15, 0.999, 1150],
    [40, 0.5, 1200],
  ] as const) {
    const at = firstPing({ jitterPercent }, random)
    assert.ok(at > expected - TICK_MS && at <= expected + TICK_MS, `${jitterPercent} %, ${random}: ${at}`)
  }
})
