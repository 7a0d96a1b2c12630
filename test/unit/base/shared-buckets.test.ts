import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SharedBuckets, sharedBucketMemory } from '../../../sidecar/base/shared-buckets.ts'
import { TokenBucket } from '../../../sidecar/base/token-bucket.ts'
import { inThreads } from '../../kit/threads.ts'

const MODULE = 'sidecar/base/shared-buckets.ts'

test('the same text is the same bucket in every worker, another text another one', () => {
  const memory = sharedBucketMemory(2)
  const [one, two] = [new SharedBuckets(memory, 0), new SharedBuckets(memory, 1)]
  one.cell('a')![0] = 5n
  assert.equal(two.cell('a')![0], 5n)
  assert.equal(two.cell('b')![0], 0n)
})

test('what only a dead worker used can be had for other texts; what others use goes on', () => {
  const memory = sharedBucketMemory(2)
  const [one, two] = [new SharedBuckets(memory, 0), new SharedBuckets(memory, 1)]
  const kept = one.cell('both')!
  kept[0] = 7n
  two.cell('both')
  const cells = Array.from({ length: 16_000 }, (_, i) => two.cell(`only ${i}`))
  assert.ok(cells.filter(cell => cell === undefined).length < 1000)
  const before = one.overflowed
  for (let i = 0; i < 16_000; i++) one.cell(`more ${i}`)
  assert.ok(one.overflowed - before > 10_000, 'the table is full')
  SharedBuckets.giveBack(memory, 1)
  const after = one.overflowed
  for (let i = 0; i < 8000; i++) assert.equal(one.cell(`new ${i}`)?.[0], 0n)
  assert.equal(one.overflowed, after)
  assert.equal(one.cell('both')![0], 7n)
  assert.equal(kept[0], 7n)
})

test('a count is one for all workers; what a dead one held is given back, what others hold is not', () => {
  const memory = sharedBucketMemory(2)
  const [one, two] = [0, 1].map(worker => new SharedBuckets(memory, worker).count('faults')!)
  one!.take()
  two!.take()
  assert.deepEqual([one!.tryTake(3), two!.tryTake(3)], [true, false])
  SharedBuckets.giveBack(memory, 0)
  assert.deepEqual([two!.value, two!.share], [1, 1])
  assert.equal(new SharedBuckets(memory, 0).count('faults')!.value, 1)
})

test('a lock that a dead worker held is given back', () => {
  const memory = sharedBucketMemory(2)
  new Int32Array(memory, 8, 1)[0] = 2
  SharedBuckets.giveBack(memory, 0)
  assert.equal(new Int32Array(memory, 8, 1)[0], 2)
  SharedBuckets.giveBack(memory, 1)
  assert.equal(new SharedBuckets(memory, 0).cell('a')![0], 0n)
})

test('four threads that ask for the same texts at once get the same buckets', async () => {
  const memory = sharedBucketMemory(5)
  const body = `({ SharedBuckets }, memory, index) => {
    const buckets = new SharedBuckets(memory, index)
    for (let i = 0; i < 2000; i++) Atomics.add(buckets.cell('text ' + (i + index * 500) % 2000), 0, 1n)
  }`
  await inThreads(4, MODULE, memory, body)
  const buckets = new SharedBuckets(memory, 4)
  for (let i = 0; i < 2000; i++) assert.equal(buckets.cell(`text ${i}`)![0], 4n)
})

test('a bucket of the table gives its tokens once, whichever view is asked', () => {
  const memory = sharedBucketMemory(3)
  const clock = { now: () => 1e6, wall: () => 0 }
  const settings = { maxTokens: 10, tokensPerFill: 1, fillIntervalMs: 1e6 }
  const views = [0, 1, 2].map(
    worker => new TokenBucket(settings, clock, new SharedBuckets(memory, worker).cell('limit')),
  )
  let taken = 0
  for (let i = 0; i < 30; i++) if (views[i % 3]!.tryTake()) taken++
  assert.equal(taken, 10)
})
