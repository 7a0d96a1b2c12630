/**
 * The truth test without sockets: do the rules of matching and judging reach the floors of the specification? Every run is
 * checked for the conservation law; the real thing, with sockets, is in `test/integration/`.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ChainOptions, type ChainRun, type Fault, runChain } from './chain.ts'
import { check } from './truth-check.ts'

interface Sum {
  visible: number
  right: number
  own: { all: number; right: number }
  by: Map<string, { all: number; right: number }>
}

/** Several seeds together; the law holds in each. */
function run(options: Omit<ChainOptions, 'seed'>, seeds = [1, 2, 3, 4]): Sum {
  const sum: Sum = { visible: 0, right: 0, own: { all: 0, right: 0 }, by: new Map() }
  for (const seed of seeds) {
    const { sim, seen, verdicts } = runChain({ ...options, seed })
    const ended = verdicts.visible + verdicts.masked + verdicts.retried + verdicts.background
    assert.equal(verdicts.origins, ended, 'every failure began once and ended once')
    assert.deepEqual(verdicts.lost, [])
    assert.deepEqual(verdicts.withoutOrigin, [])
    assert.equal(verdicts.unnamed, 0)
    const judged = options.earlier === undefined ? verdicts : check(sim, 'a', seen.slice(options.earlier.requests))
    sum.visible += judged.visible
    sum.right += judged.right
    sum.own.all += judged.ownErrors.all
    sum.own.right += judged.ownErrors.right
    for (const [confidence, { all, right }] of judged.byConfidence) {
      const known = sum.by.get(confidence) ?? { all: 0, right: 0 }
      sum.by.set(confidence, { all: known.all + all, right: known.right + right })
    }
  }
  assert.ok(sum.visible > 50, 'the run had failures to name')
  return sum
}

function share(sum: Sum, ...confidences: string[]): number {
  return confidences.reduce((n, confidence) => n + (sum.by.get(confidence)?.all ?? 0), 0) / sum.visible
}

const TWO_FAULTS: readonly Fault[] = [
  { at: 'd', kind: 'refused', share: 0.15 },
  { at: 'b', kind: 'own-500', share: 0.15 },
]

for (const copies of ['headers', 'otel', 'request-id'] as const) {
  for (const concurrency of [1, 50]) {
    test(`${copies} copied, ${concurrency} at a time, two faults and background calls: all exact or trace, all right`, () => {
      const sum = run({ copies, concurrency, requests: 300, faults: TWO_FAULTS, backgroundEveryMs: 10 })
      assert.ok(share(sum, 'exact', 'trace') >= 0.99)
      assert.equal(sum.right, sum.visible)
    })
  }
}

test('nothing copied, one at a time, no background: unique, all right', () => {
  const sum = run({ copies: 'nothing', concurrency: 1, requests: 300, faults: TWO_FAULTS })
  assert.ok(share(sum, 'unique') >= 0.99)
  assert.equal(sum.right, sum.visible)
})

for (const workMs of [1, 10]) {
  test(`nothing copied, 50 at a time, two faults, ${workMs} ms of work a step: 90 % right, with and without background`, () => {
    for (const background of [undefined, 10]) {
      const options = background === undefined ? {} : { backgroundEveryMs: background }
      const sum = run({ copies: 'nothing', concurrency: 50, requests: 600, faults: TWO_FAULTS, workMs, ...options })
      assert.ok(sum.right / sum.visible >= 0.9, `${sum.right} of ${sum.visible}`)
      assert.equal(sum.by.get('exact')?.all ?? 0, sum.by.get('exact')?.right ?? 0, 'never surer than it may be')
    }
  })
}

/** Half idle, as a machine has to be on which anything can be timed; collecting garbage now and then. */
const BUSY_LOOP = { turnMs: 0.3, stallEveryMs: 200, stallMs: 10 }

for (const manner of ['pass', 'retry', 'delay'] as const) {
  test(`nothing copied, 50 at a time on a loop with much to do, applications ${manner}: 90 % right, with and without background`, () => {
    for (const background of [undefined, 10]) {
      const sum = run({
        copies: 'nothing',
        concurrency: 50,
        requests: 400,
        faults: TWO_FAULTS,
        workMs: 200,
        load: BUSY_LOOP,
        manner: { b: manner, c: manner },
        ...(background !== undefined && { backgroundEveryMs: background }),
      })
      assert.ok(sum.right / sum.visible >= 0.9, `${sum.right} of ${sum.visible}`)
    }
  })
}

for (const copies of ['headers', 'nothing'] as const) {
  for (const concurrency of [1, 50]) {
    test(`${copies} copied, ${concurrency} at a time: an own 500 beside failures that are not its reason is its own`, () => {
      const cases: Partial<ChainOptions>[] = [
        // Beside a call to a dead service every 10 ms.
        { faults: [{ at: 'c', kind: 'own-500', share: 0.15 }], backgroundEveryMs: 10, workMs: 5 },
        // Beside other requests whose failed call was swallowed.
        {
          manner: { c: 'swallow' },
          faults: [
            { at: 'd', kind: 'refused', share: 0.3 },
            { at: 'c', kind: 'own-500', share: 0.15 },
          ],
          workMs: 5,
        },
        // Also in the very request whose failed call was swallowed, as often as in others.
        {
          manner: { c: 'swallow' },
          faults: [
            { at: 'd', kind: 'refused', share: 0.3 * 0.85 },
            { at: 'c', kind: 'own-500-swallowed', share: 0.3 * 0.15 },
            { at: 'c', kind: 'own-500', share: 0.7 * 0.15 },
          ],
          workMs: 5,
        },
      ]
      for (const options of cases) {
        const { own } = run({ copies, concurrency, requests: 600, ...options })
        assert.ok(own.right / own.all >= 0.95, `${own.right} of ${own.all}`)
      }
    })
  }
}

test('nothing copied, 50 at a time: who fails by itself right after calls, failed ones too that it swallows, fails by itself', () => {
  for (const load of [{}, { load: BUSY_LOOP }]) {
    const { own } = run({
      ...load,
      copies: 'nothing',
      concurrency: 50,
      requests: 900,
      manner: { c: 'swallow' },
      faults: [
        { at: 'd', kind: 'own-500', share: 3 / 9 },
        { at: 'd', kind: 'own-500', also: { at: 'c', kind: 'own-500' }, share: 1 / 9 },
        { at: 'c', kind: 'own-500', share: 1 / 9 },
      ],
      workMs: 700,
      // Half of the requests are answered the moment that the call has ended.
      workless: [0.3, 0.5],
      backgroundEveryMs: 10,
      backgroundOf: ['a', 'b', 'c'],
    })
    assert.ok(own.right / own.all >= 0.95, `${own.right} of ${own.all}`)
  }
})

test('nothing copied, 50 at a time on a loop that hardly keeps up: failures that are always passed on stay known as such', () => {
  const sum = run({
    copies: 'nothing',
    concurrency: 50,
    requests: 900,
    faults: [{ at: 'c', kind: 'own-500', share: 2 / 9 }],
    workMs: 700,
    workless: [0.3, 0.5],
    load: { turnMs: 2, stallEveryMs: 100, stallMs: 30 },
    backgroundEveryMs: 10,
    backgroundOf: ['a', 'b', 'c'],
  })
  assert.ok(sum.right / sum.visible >= 0.9, `${sum.right} of ${sum.visible}`)
})

test('nothing copied, 50 at a time on a loop that hardly keeps up: of two faults most are named rightly', () => {
  const floors = { 'own-500': 0.85, cut: 0.9 } as const
  for (const [kind, floor] of Object.entries(floors) as ['own-500' | 'cut', number][]) {
    const sum = run({
      copies: 'nothing',
      concurrency: 50,
      requests: 400,
      faults: [
        { at: 'd', kind: 'own-500', share: 1 / 6 },
        { at: 'c', kind, share: 1 / 6 },
      ],
      workMs: 700,
      workless: [0.3, 0.5],
      load: { turnMs: 2, stallEveryMs: 100, stallMs: 30 },
      backgroundEveryMs: 10,
      backgroundOf: ['a', 'b', 'c'],
    })
    assert.ok(sum.right / sum.visible >= floor, `${kind}: ${sum.right} of ${sum.visible}`)
  }
})

for (const manner of ['swallow', 'delay'] as const) {
  test(`nothing copied, 50 at a time: applications that have begun to pass on what they took by ${manner} are followed`, () => {
    const faults: Fault[] = [
      { at: 'd', kind: 'own-500', share: 1 / 6 },
      { at: 'c', kind: 'own-500', share: 1 / 6 },
    ]
    const sum = run({
      copies: 'nothing',
      concurrency: 50,
      requests: 400,
      workMs: 100,
      backgroundEveryMs: 10,
      backgroundOf: ['a', 'b', 'c'],
      faults,
      earlier: { requests: 1500, faults, workMs: 100, manner: { a: manner, b: manner, c: manner } },
    })
    assert.ok(sum.right / sum.visible >= 0.95, `${sum.right} of ${sum.visible}`)
  })
}

test('applications that try again, sidecars that try again, refusals, dead applications, broken bodies: all right', () => {
  for (const concurrency of [1, 50]) {
    const retry = { b: 'retry', c: 'retry' } as const
    const options = { copies: 'headers', concurrency, requests: 200 } as const
    for (const sum of [
      run({ ...options, manner: retry, faults: TWO_FAULTS }, [1]),
      run({ ...options, retries: 2, faults: TWO_FAULTS }, [1]),
      run({ ...options, manner: { b: 'delay', c: 'delay' }, faults: TWO_FAULTS }, [1]),
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
      run({ ...options, appTimeoutMs: 40, faults: [{ at: 'd', kind: 'hang', share: 0.4 }] }, [1]),
    ]) {
      assert.equal(sum.right, sum.visible)
    }
  }
})

for (const timeout of [50, 1000, 15_000]) {
  test(`something hangs behind timeouts of ${timeout} ms, nothing copied, 50 at a time, c holds a long poll`, () => {
    const options = {
      copies: 'nothing',
      concurrency: 50,
      requests: 200,
      routeTimeoutMs: timeout,
      longPoll: true,
    } as const
    for (const at of ['d', 'c']) {
      const sum = run({ ...options, faults: [{ at, kind: 'hang', share: 0.3 }] })
      assert.ok(sum.right / sum.visible >= 0.95, `${at} hangs: ${sum.right} of ${sum.visible}`)
    }
    for (const at of ['d', 'c']) {
      const all = run({ ...options, faults: [{ at, kind: 'hang', share: 1 }] }, [1, 2])
      assert.equal(all.right, all.visible, `${at} hangs for all`)
    }
    const known = run({ ...options, copies: 'headers', faults: [{ at: 'd', kind: 'hang', share: 1 }] }, [1, 2])
    assert.equal(known.right, known.visible)
  })
}

for (const timeout of [1000, 15_000]) {
  test(`something hangs, every timer of a chain takes ${timeout} ms, on a loop with much to do: one of each is named`, () => {
    for (const at of ['b', 'c', 'd']) {
      const sum = run({
        copies: 'nothing',
        concurrency: 50,
        requests: 200,
        routeTimeoutMs: timeout,
        ingressTimeoutMs: timeout,
        spreadMs: 1000,
        load: BUSY_LOOP,
        longPoll: true,
        faults: [{ at, kind: 'hang', share: 1 }],
      })
      assert.equal(sum.right, sum.visible, `${at} hangs`)
    }
  })
}

test('a harness that announces another hop than it broke is found out', () => {
  const { sim, seen } = runChain({ seed: 1, copies: 'headers', concurrency: 10, requests: 200, faults: TWO_FAULTS })
  const lie = ({ plan, reply }: ChainRun['seen'][number]) => ({
    plan,
    reply: {
      ...reply,
      truth: reply.truth && { ...reply.truth, origin: reply.truth.origin === 'd' ? 'c' : reply.truth.origin },
    },
  })
  assert.equal(check(sim, 'a', seen).wrong.length, 0)
  assert.ok(check(sim, 'a', seen.map(lie)).wrong.length > 10)
})
