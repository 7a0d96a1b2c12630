import assert from 'node:assert/strict'
import { test } from 'node:test'
import { daysUntil } from '../../../sidecar/base/days-until.ts'

const NOON = Date.UTC(2026, 10, 27, 12)
const DAY = 86_400_000

test('days that are left are whole ones, and the second that runs is not gone yet', () => {
  for (const [nowMs, days] of [
    [NOON - 3 * DAY, 3],
    [NOON - 3 * DAY + 999, 3],
    [NOON - 3 * DAY + 1000, 2],
    [NOON - 1000, 0],
    [NOON + 5 * DAY, 0],
  ] as const) {
    assert.equal(daysUntil(NOON, nowMs), days)
  }
})
