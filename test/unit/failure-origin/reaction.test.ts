import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runChain } from './chain.ts'

test('nothing copied, 50 at a time, applications that take 30 ms to pass a failure on: 90 % right', () => {
  let right = 0
  let visible = 0
  for (const seed of [1, 2, 3]) {
    const { verdicts } = runChain({
      seed,
      copies: 'nothing',
      concurrency: 50,
      requests: 600,
      workMs: 500,
      manner: { a: 'delay', b: 'delay', c: 'delay' },
      faults: [
        { at: 'd', kind: 'refused', share: 0.1 },
        { at: 'b', kind: 'own-500', share: 0.1 },
      ],
    })
    right += verdicts.right
    visible += verdicts.visible
  }
  assert.ok(right >= 0.9 * visible, `${right} of ${visible}`)
})
