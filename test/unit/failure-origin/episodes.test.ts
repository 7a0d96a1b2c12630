import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EPISODE_GAP_MS, episodes } from '../../../sidecar/failure-origin/episodes.ts'
import type { FailureEntry } from '../../../sidecar/failure-origin/failure-log.ts'

const entry = (at: number, origin: string, more: Partial<FailureEntry> = {}) =>
  ({ at, origin, id: `${origin}${at}`, role: 'origin', cause: 'timeout', confidence: 'exact', ...more }) as FailureEntry

test('an episode goes back to the first failure without a long silence after it', () => {
  const times = [0, 20_000, 25_000, 34_000, 40_000]
  const entries = times.map(at => entry(at, 'd', at > 30_000 ? { cause: 'app_error' } : {}))
  const [found, ...more] = episodes([...entries, entry(40_500, 'd', { id: 'd40000', cause: 'app_error' })], 41_000)
  assert.deepEqual(more, [])
  assert.deepEqual(found, {
    origin: 'd',
    cause: 'app_error',
    since: 20_000,
    last: 40_500,
    count: 4,
    recent: 2,
    sure: 2,
  })
})

test('one whose last failure is long ago is over; what only ended somewhere is none', () => {
  const entries = [entry(0, 'a'), entry(1, 'b', { role: 'cancelled' }), entry(2, 'c', { role: 'retried' })]
  assert.deepEqual(episodes(entries, EPISODE_GAP_MS + 1), [])
  assert.equal(episodes(entries, EPISODE_GAP_MS).length, 1)
})

test('the worst comes first, and every service has its own', () => {
  const entries = [entry(0, 'a'), entry(1, 'b', { role: 'propagated' }), entry(2, 'b')]
  assert.deepEqual(
    episodes(entries, 10).map(({ origin, count }) => [origin, count]),
    [
      ['b', 2],
      ['a', 1],
    ],
  )
})

test('the cause is that of the latest failures, not of most', () => {
  const old = Array.from({ length: 20 }, (_, i) => entry(i, 'a', { cause: 'no_route' }))
  const fresh = [4000, 4100, 4200].map((at, i) => entry(at, 'a', { cause: i === 1 ? 'no_route' : 'no_cluster' }))
  const [found] = episodes([...old, ...fresh], 4300)
  assert.deepEqual([found?.cause, found?.count], ['no_cluster', 23])
})
