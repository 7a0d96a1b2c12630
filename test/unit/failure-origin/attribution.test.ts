/** What is learned of failures that cannot be told apart by ids: who causes any, and after how long. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import { Attribution, Reaction } from '../../../sidecar/failure-origin/attribution.ts'
import { EventRate } from '../../../sidecar/failure-origin/event-rate.ts'

const random = new SeededRandom(1)
const some = (ms: number) => -Math.log(1 - random.next()) * ms

interface Callee {
  readonly everyMs: number
  /** Undefined: its failures fail nobody. */
  readonly reactionMs?: () => number
}

/** Calls that fail at random and what they bring about, beside own failures; the share judged rightly in the second half. */
function rightOf(callees: readonly Callee[], ownEveryMs: number, lengthMs: number): number {
  const events: { at: number; call?: number; cause?: number | undefined }[] = []
  callees.forEach(({ everyMs, reactionMs }, callee) => {
    for (let at = some(everyMs); at < lengthMs; at += some(everyMs)) {
      events.push({ at, call: callee })
      if (reactionMs !== undefined) events.push({ at: at + reactionMs(), cause: callee })
    }
  })
  for (let at = some(ownEveryMs); at < lengthMs; at += some(ownEveryMs)) events.push({ at, cause: undefined })
  const attribution = new Attribution()
  const reactions = callees.map(() => new Reaction())
  const rate = new EventRate()
  const failed: { at: number; callee: number; taken: boolean }[] = []
  let all = 0
  let right = 0
  for (const { at, call, cause } of events.sort((x, y) => x.at - y.at)) {
    if (call !== undefined) {
      reactions[call]!.ended()
      failed.push({ at, callee: call, taken: false })
      continue
    }
    const candidates = failed.filter(one => at - one.at < 500).slice(-48)
    for (const one of candidates) attribution.offer(reactions[one.callee]!, at - one.at, 1, undefined, one.taken)
    const chances = attribution.judge(rate.perMs(at))
    rate.add(at)
    const sums = callees.map((_, i) =>
      candidates.reduce((sum, one, k) => sum + (one.callee === i ? chances[k]! : 0), 0),
    )
    const best = sums.reduce((best, sum, i) => (sum > sums[best]! ? i : best), 0)
    const own = 1 - sums.reduce((x, y) => x + y)
    const said = own > sums[best]! ? undefined : best
    const claimed = candidates
      .map((one, i) => ({ one, chance: chances[i]! }))
      .filter(({ one }) => one.callee === said && !one.taken)
      .sort((x, y) => y.chance - x.chance)[0]
    if (claimed !== undefined) claimed.one.taken = true
    if (at < lengthMs / 2) continue
    all++
    if (said === cause) right++
  }
  return right / all
}

test('failures that are passed on are told from own ones, however long the application takes to do so', () => {
  assert.ok(rightOf([{ everyMs: 100, reactionMs: () => 0.5 }], 100, 20_000) > 0.95)
  assert.ok(rightOf([{ everyMs: 100, reactionMs: () => 30 + random.next() }], 100, 20_000) > 0.9)
})

test('a callee whose failures nothing follows is no reason, at an even rate or at a random one', () => {
  assert.ok(rightOf([{ everyMs: 10 }], 40, 20_000) > 0.95)
  assert.ok(rightOf([{ everyMs: 100 }], 100, 30_000) > 0.95)
})

test('what merely fails near everything else loses to what explains it', () => {
  const callees = [{ everyMs: 50, reactionMs: () => 1 + some(1) }, { everyMs: 10 }]
  assert.ok(rightOf(callees, 100, 20_000) > 0.9)
})

test('what follows upon successes as often as upon failures is no reason', () => {
  const attribution = new Attribution()
  const [toFailure, toSuccess] = [new Reaction(), new Reaction(true)]
  const rate = new EventRate()
  let blamed = 0
  for (let i = 0; i < 400; i++) {
    // A call a second, of which every second one fails; upon each fifth, however it ended, the application fails at once.
    const at = i * 1000
    const failed = i % 2 === 0
    ;(failed ? toFailure : toSuccess).ended()
    if (i % 5 !== 0) continue
    if (failed) attribution.offer(toFailure, 0.5, 1, toSuccess)
    else attribution.offerSucceeded(toSuccess, 0.5)
    const chances = attribution.judge(rate.perMs(at))
    rate.add(at)
    if (failed && i > 200 && chances[0]! > 0.5) blamed++
  }
  assert.equal(blamed, 0)
})

test('the first failure that is seen is blamed on the call that failed right before it', () => {
  const attribution = new Attribution()
  const reaction = new Reaction()
  reaction.ended()
  attribution.offer(reaction, 1, 1)
  assert.ok(attribution.judge(0)[0]! > 0.9)
})

test('the rate of failures is that of the present bout, whatever was before', () => {
  const rate = new EventRate()
  for (let i = 0; i < 50; i++) rate.add(i)
  for (let i = 0; i < 50; i++) rate.add(60_000 + 10 * i)
  const perMs = rate.perMs(60_500)
  assert.ok(perMs > 0.09 && perMs < 0.11, String(perMs))
})
