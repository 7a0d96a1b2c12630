import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { ManualClock } from '../../../sidecar/base/clock.ts'
import { TokenBucket } from '../../../sidecar/base/token-bucket.ts'

const settings = { maxTokens: 3, tokensPerFill: 2, fillIntervalMs: 1000 }

for (const shared of [false, true]) {
  const bucketOf = (clock: ManualClock) =>
    new TokenBucket(settings, clock, shared ? new BigInt64Array(new SharedArrayBuffer(8)) : undefined)
  const kind = shared ? 'a shared bucket' : 'a bucket'

  test(`${kind} begins full and gives what it has`, () => {
    const bucket = bucketOf(new ManualClock())
    assert.equal(bucket.tokens, 3)
    assert.deepEqual(
      [1, 2, 3, 4].map(() => bucket.tryTake()),
      [true, true, true, false],
    )
    assert.equal(bucket.tokens, 0)
    assert.equal(bucket.msUntilNextToken, 500)
  })

  test(`${kind} fills evenly, and no further than full`, () => {
    const clock = new ManualClock()
    const bucket = bucketOf(clock)
    assert.ok(bucket.tryTake(3))
    clock.advance(499)
    assert.ok(!bucket.tryTake())
    clock.advance(1)
    assert.ok(bucket.tryTake())
    clock.advance(60_000)
    assert.equal(bucket.tokens, 3)
    assert.equal(bucket.msUntilNextToken, 0)
  })

  test(`${kind} takes all or nothing`, () => {
    const bucket = bucketOf(new ManualClock())
    assert.ok(!bucket.tryTake(4))
    assert.equal(bucket.tokens, 3)
    assert.ok(bucket.tryTake(2))
    assert.ok(!bucket.tryTake(2))
    assert.equal(bucket.tokens, 1)
  })

  test(`${kind} takes tokens back`, () => {
    const bucket = bucketOf(new ManualClock())
    bucket.tryTake(3)
    bucket.give(2)
    assert.equal(bucket.tokens, 2)
    bucket.give(5)
    assert.equal(bucket.tokens, 3)
  })
}

test('a bucket without tokens never gives one', () => {
  const clock = new ManualClock()
  const bucket = new TokenBucket({ ...settings, maxTokens: 0 }, clock)
  assert.ok(!bucket.tryTake())
  clock.advance(1e6)
  assert.ok(!bucket.tryTake())
  assert.equal(bucket.msUntilNextToken, 500)
})

test('threads that share a bucket take no more than it has', async () => {
  const memory = new SharedArrayBuffer(8)
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.module).then(({ TokenBucket }) => {
      const settings = { maxTokens: 5000, tokensPerFill: 1, fillIntervalMs: 1e9 }
      const clock = { now: () => 1e6, wall: () => 0 }
      const bucket = new TokenBucket(settings, clock, new BigInt64Array(workerData.memory))
      let taken = 0
      for (let i = 0; i < 4000; i++) if (bucket.tryTake()) taken++
      parentPort.postMessage(taken)
    })`
  const module = new URL('../../../sidecar/base/token-bucket.ts', import.meta.url).href
  const takenBy = () =>
    new Promise<number>((resolve, reject) => {
      const worker = new Worker(source, { eval: true, workerData: { memory, module } })
      worker.on('message', resolve)
      worker.on('error', reject)
    })
  const taken = await Promise.all([takenBy(), takenBy()])
  assert.equal(taken[0]! + taken[1]!, 5000)
})
