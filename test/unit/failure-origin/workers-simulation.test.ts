/** The rules of failure location where every sidecar has several worker threads: `simulation.test.ts` has them for one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ChainOptions, type Fault, runChain } from './chain.ts'

const TWO_FAULTS: readonly Fault[] = [
  { at: 'd', kind: 'refused', share: 0.15 },
  { at: 'b', kind: 'own-500', share: 0.15 },
]

function run(options: Omit<ChainOptions, 'seed'>, seeds = [1, 2, 3]) {
  const sum = { visible: 0, right: 0, sure: 0, unique: 0 }
  for (const seed of seeds) {
    const { verdicts } = runChain({ ...options, seed })
    const ended = verdicts.visible + verdicts.masked + verdicts.retried + verdicts.background
    assert.equal(verdicts.origins, ended, 'every failure began once and ended once')
    assert.deepEqual(verdicts.lost, [])
    assert.equal(verdicts.unnamed, 0)
    sum.visible += verdicts.visible
    sum.right += verdicts.right
    for (const confidence of ['exact', 'trace']) sum.sure += verdicts.byConfidence.get(confidence as never)?.all ?? 0
    sum.unique += verdicts.byConfidence.get('unique')?.all ?? 0
  }
  assert.ok(sum.visible > 50, 'the run had failures to name')
  return sum
}

for (const workers of [2, 4]) {
  for (const copies of ['headers', 'otel', 'request-id'] as const) {
    test(`${workers} workers, ${copies} copied, 50 at a time, with background calls: all exact or trace, all right`, () => {
      const sum = run({ workers, copies, concurrency: 50, requests: 300, faults: TWO_FAULTS, backgroundEveryMs: 10 })
      assert.ok(sum.sure / sum.visible >= 0.99, `${sum.sure} of ${sum.visible}`)
      assert.equal(sum.right, sum.visible)
    })
  }

  test(`${workers} workers, nothing copied, one at a time: unique, all right`, () => {
    const sum = run({ workers, copies: 'nothing', concurrency: 1, requests: 300, faults: TWO_FAULTS })
    assert.ok(sum.unique / sum.visible >= 0.99, `${sum.unique} of ${sum.visible}`)
    assert.equal(sum.right, sum.visible)
  })

  test(`${workers} workers, nothing copied, 50 at a time: 90 % right, as with one`, () => {
    const sum = run({ workers, copies: 'nothing', concurrency: 50, requests: 600, faults: TWO_FAULTS, workMs: 10 })
    assert.ok(sum.right / sum.visible >= 0.9, `${sum.right} of ${sum.visible}`)
  })

  test(`${workers} workers: retries, refusals, dead applications, broken bodies, deadlines: all right`, () => {
    const options = { workers, copies: 'headers', concurrency: 50, requests: 200 } as const
    for (const sum of [
      run({ ...options, manner: { b: 'retry', c: 'retry' }, faults: TWO_FAULTS }, [1]),
      run({ ...options, retries: 2, faults: TWO_FAULTS }, [1]),
      run(
        {
          ...options,
          faults: [
            { at: 'd', kind: 'rate-limited', share: 0.15 },
            { at: 'c', kind: 'app-down', share: 0.15 },
            { at: 'd', kind: 'cut', share: 0.15 },
          ],
        },
        [1],
      ),
      run({ ...options, routeTimeoutMs: 1000, faults: [{ at: 'd', kind: 'hang', share: 0.4 }] }, [1]),
      run({ ...options, appTimeoutMs: 40, faults: [{ at: 'd', kind: 'hang', share: 0.4 }] }, [1]),
    ]) {
      assert.equal(sum.right, sum.visible)
    }
  })

  test(`${workers} workers: something hangs, nothing copied, 50 at a time, c holds a long poll`, () => {
    for (const at of ['d', 'c']) {
      const faults: readonly Fault[] = [{ at, kind: 'hang', share: 0.3 }]
      const options = { workers, copies: 'nothing', concurrency: 50, requests: 200, longPoll: true, faults } as const
      const sum = run({ ...options, routeTimeoutMs: 1000 }, [1, 2])
      assert.ok(sum.right / sum.visible >= 0.95, `${at} hangs: ${sum.right} of ${sum.visible}`)
    }
  })
}
