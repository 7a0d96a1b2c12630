import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type FailureEntry, FailureLog } from '../../../sidecar/failure-origin/failure-log.ts'
import { locateFailures } from '../../../sidecar/failure-origin/locate.ts'
import { mergeFailures } from '../../../sidecar/failure-origin/merge.ts'
import {
  isServiceName,
  safeServiceName,
  serviceNameOfCluster,
  serviceOfSpiffe,
} from '../../../sidecar/failure-origin/names.ts'
import { describeFailure, failureText, passedOn } from '../../../sidecar/failure-origin/record.ts'
import { failureEntry } from '../../kit/failure-entry.ts'

/** One that stays at a, unless it says otherwise. */
const entry = (given: Partial<FailureEntry>) =>
  failureEntry({
    service: given.by ?? 'a',
    side: 'inbound',
    id: 'a000000000000000',
    origin: 'a',
    cause: 'timeout',
    by: 'a',
    link: 'a',
    path: ['a'],
    status: 504,
    ...given,
  })

test('a timer at the top, cancellations below: merged through aliases into the deepest account', () => {
  const entries = [
    entry({ id: 'id1', origin: 'b', by: 'a', subCause: 'waiting_on' }),
    entry({ id: 'id1', aliases: ['id2'], origin: 'c', by: 'b', role: 'cancelled', subCause: 'waiting_on' }),
    entry({ id: 'id2', aliases: ['id3'], origin: 'd', by: 'c', role: 'cancelled', subCause: 'waiting_on' }),
    entry({ id: 'id3', origin: 'd', by: 'd', role: 'cancelled', cause: 'app_timeout' }),
    entry({ id: 'other', origin: 'x', by: 'x', cause: 'app_error' }),
  ]
  for (const order of [entries, entries.toReversed()]) {
    const merged = mergeFailures(order)
    assert.equal(merged.length, 2)
    const one = merged.find(failure => failure.ids.includes('id1'))!
    assert.deepEqual([one.origin, one.cause, one.hasOrigin, one.ids.length], ['d', 'app_timeout', true, 3])
  }
})

test('who asked saw a failure that a retry at the edge met again, and did not see one that it put right', () => {
  // Two attempts at one callee over one link have the same id.
  const attempt = (given: Partial<FailureEntry>) =>
    entry({ id: 'one', origin: 'a', by: 'a', service: 'front', ...given })
  const first = [attempt({ role: 'propagated' }), attempt({ role: 'retried' })]
  const seen = (entries: FailureEntry[]) => locateFailures(entries, new Set(['front'])).map(({ outcome }) => outcome)
  assert.deepEqual(seen(first), ['retried'])
  assert.deepEqual(seen([...first, attempt({ role: 'propagated', attempts: 2 })]), ['visible'])
  assert.deepEqual(seen([...first, ...first]), ['retried'])
  // Elsewhere than at the edge it is not known what callers saw.
  assert.deepEqual(seen([...first, attempt({ role: 'propagated', service: 'b' })]), ['retried'])
})

test('records that point at each other do not go round for ever', () => {
  const merged = mergeFailures([
    entry({ id: 'x', origin: 'b', by: 'a', subCause: 'waiting_on' }),
    entry({ id: 'x', origin: 'a', by: 'b', subCause: 'waiting_on' }),
  ])
  assert.equal(merged.length, 1)
})

test('the log keeps the last entries, answers by id, alias and since, and survives a follower that throws', () => {
  const log = new FailureLog(3)
  const seen: number[] = []
  log.follow(() => {
    throw new Error('gone')
  })
  const stop = log.follow(each => seen.push(each.seq))!
  for (let i = 1; i <= 5; i++) log.add(entry({ seq: log.nextSeq(), id: `id${i}`, aliases: [`alias${i}`] }))
  stop()
  log.add(entry({ seq: log.nextSeq(), id: 'id6' }))
  assert.deepEqual(seen, [1, 2, 3, 4, 5])
  assert.deepEqual(
    log.entries().map(each => each.id),
    ['id4', 'id5', 'id6'],
  )
  assert.deepEqual(
    log.entries({ since: 5 }).map(each => each.id),
    ['id6'],
  )
  assert.equal(log.entries({ id: 'alias4' })[0]!.id, 'id4')
  assert.equal(log.entries({ id: 'id1' }).length, 0)
  assert.equal(log.refusedFollowers, 1)
})

test('asked for one name of a failure, the log tells what is known of it by any of its names', () => {
  const log = new FailureLog(10)
  log.add(entry({ seq: log.nextSeq(), id: 'a', aliases: ['b'] }))
  log.add(entry({ seq: log.nextSeq(), id: 'x', aliases: [] }))
  log.add(entry({ seq: log.nextSeq(), id: 'c', aliases: ['b', 'd'] }))
  log.add(entry({ seq: log.nextSeq(), id: 'd', aliases: [] }))
  for (const id of ['a', 'b', 'c', 'd']) {
    assert.deepEqual(
      log.entries({ id }).map(({ seq }) => seq),
      [1, 3, 4],
    )
  }
})

test('names', () => {
  assert.equal(serviceNameOfCluster('outbound|80||b.ns.svc.cluster.local'), 'b.ns')
  assert.equal(serviceNameOfCluster('outbound|443|v1|api.example.com'), 'api.example.com')
  assert.equal(serviceNameOfCluster('service_b'), 'service_b')
  assert.equal(serviceOfSpiffe('spiffe://cluster.local/ns/shop/sa/orders'), 'orders.shop')
  assert.equal(serviceOfSpiffe('spiffe://td/shop/orders'), 'orders.shop')
  assert.equal(serviceOfSpiffe('https://x/y'), '')
  assert.equal(safeServiceName('a b|c'), 'a-b-c')
  assert.equal(isServiceName('a"b'), false)
})

test('texts for people, and paths that are full', () => {
  const record = {
    ...entry({ cause: 'connect_refused', origin: 'd', by: 'c', link: 'c>d', id: 'ef2c09aa13e0b7d1', at: 1000 }),
    path: ['d', 'c'],
  }
  assert.equal(failureText(record), 'connect_refused at d (c>d)')
  assert.equal(
    describeFailure(record, 1120),
    'd is refusing connections (seen by c, 120 ms ago, failure ef2c09aa13e0b7d1)',
  )
  let passed = passedOn(record, 'c', 'trace')
  assert.deepEqual([passed.path, passed.confidence], [['d', 'c'], 'trace'])
  for (let i = 0; i < 20; i++) passed = passedOn(passed, `s${i}`, 'exact')
  assert.equal(passed.path.length, 8)
  assert.deepEqual([passed.path[0], passed.path.at(-1), passed.confidence], ['d', 's19', 'trace'])
})
