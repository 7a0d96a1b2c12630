import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { giveBackShare, SharedCount, sharedCounts } from '../../../sidecar/base/shared-count.ts'
import { inThreads } from '../../kit/threads.ts'
import { waitFor } from '../../kit/wait-for.ts'

const MODULE = 'sidecar/base/shared-count.ts'

test('takes and releases count for all workers, and each knows its share', () => {
  const memory = sharedCounts(2)
  const [one, two, onlooker] = [0, 1, undefined].map(worker => SharedCount.of(memory, 3, worker))
  one!.take()
  two!.take()
  assert.ok(two!.tryTake(3))
  assert.ok(!one!.tryTake(3))
  assert.deepEqual([one!.value, two!.value, onlooker!.value, one!.share, two!.share], [3, 3, 3, 1, 2])
  two!.release()
  assert.ok(one!.tryTake(3))
  assert.deepEqual([onlooker!.value, one!.share, two!.share], [3, 2, 1])
  assert.equal(SharedCount.of(memory, 2, 0).value, 0)
})

test('what a dead worker held is given back, and nothing else', () => {
  const memory = sharedCounts(3)
  const counts = [0, 1, 2].map(worker => [0, 1].map(index => SharedCount.of(memory, index, worker)))
  for (const [worker, [requests, retries]] of counts.entries()) {
    for (let i = 0; i <= worker; i++) requests!.take()
    retries!.take()
  }
  giveBackShare(memory, 1)
  assert.deepEqual([counts[0]![0]!.value, counts[0]![1]!.value], [4, 2])
  assert.equal(counts[1]![0]!.share, 0)
  giveBackShare(memory, 1)
  assert.equal(counts[0]![0]!.value, 4)
})

for (const threads of [2, 4]) {
  test(`${threads} threads that take at once never pass the limit, and use it up`, async () => {
    const memory = sharedCounts(threads)
    const limit = 7
    const body = `({ SharedCount }, { memory, limit }, index) => {
      const count = SharedCount.of(memory, 0, index)
      let taken = 0
      let most = 0
      // All of its turns may fall into the moment in which others hold the limit and wait for a processor: those give back.
      for (let i = 0; i < 30000 || (taken === 0 && i < 3e8); i++) {
        let held = 0
        while (held < 3 && count.tryTake(limit)) held++
        taken += held
        most = Math.max(most, count.value)
        while (held-- > 0) count.release()
      }
      return { taken, most, share: count.share }
    }`
    const results = await inThreads<{ taken: number; most: number; share: number }>(
      threads,
      MODULE,
      { memory, limit },
      body,
    )
    assert.equal(SharedCount.of(memory, 0, undefined).value, 0)
    for (const { taken, most, share } of results) {
      assert.ok(taken > 0 && most <= limit, `${taken} taken, ${most} at once`)
      assert.equal(share, 0)
    }
  })
}

test('a thread that is ended from outside leaves a share that is what the total holds of it', async () => {
  const memory = sharedCounts(2)
  const module = new URL(`../../../${MODULE}`, import.meta.url).href
  const source = `
    const { workerData } = require('node:worker_threads')
    import(workerData.module).then(({ SharedCount }) => {
      const count = SharedCount.of(workerData.memory, 0, 1)
      for (;;) {
        for (let i = 0; i < 5; i++) count.tryTake(1000)
        for (let i = 0; i < 4; i++) count.release()
        if (count.value > 500) while (count.value > 5) count.release()
      }
    })`
  const count = SharedCount.of(memory, 0, 0)
  for (let round = 0; round < 25; round++) {
    const worker = new Worker(source, { eval: true, workerData: { memory, module } })
    await waitFor(() => count.value > 5, { deadlineMs: 10_000, what: 'the thread at work' })
    await worker.terminate()
    giveBackShare(memory, 1)
    assert.equal(count.value, 0, `after round ${round}`)
  }
})
