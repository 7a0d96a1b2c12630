import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CATALOGUE, faultOf, type Truth } from '../../../demo-services/catalogue.ts'
import { lieAbout } from '../../../demo-services/choice.ts'
import { type Evidence, judge, locate, nameCulprit, percent } from '../../../demo-services/judge.ts'
import type { FailureEntry } from '../../../sidecar/failure-origin/failure-log.ts'
import { failureEntry } from '../../kit/failure-entry.ts'

let seq = 0

/** One sidecar's account of a failure; the differences from c being told that d refuses connections. */
function entry(differences: Partial<FailureEntry> = {}): FailureEntry {
  seq++
  return failureEntry({ seq, at: 1000 + seq, ...differences })
}

/** What all sidecars say of one failure that the edge saw. */
function seenFailure(id: string, differences: Partial<FailureEntry> = {}): FailureEntry[] {
  const passed = { role: 'propagated' as const, traceId: 't1' }
  return [
    entry({ id, ...differences }),
    entry({ id, ...differences, ...passed, service: 'b', path: ['d', 'c', 'b'], confidence: 'unique' }),
    entry({ id, ...differences, ...passed, service: 'front', path: ['d', 'c', 'b', 'a', 'front'] }),
  ]
}

function evidence(entries: readonly FailureEntry[], differences: Partial<Evidence> = {}): Evidence {
  const origins = new Map<string, number>()
  for (const { role, origin } of entries) if (role === 'origin') origins.set(origin, (origins.get(origin) ?? 0) + 1)
  const none = new Map<string, number>()
  return { entries, originCounts: origins, secondsPerRequest: none, usualSecondsPerRequest: none, ...differences }
}

const dDown = { origin: 'd', causes: ['connect_refused', 'terminated'], outcomes: ['visible'] } as const

test('accounts of several sidecars are one failure, with the lowest confidence and the longest path', () => {
  const located = locate(seenFailure('f1'))
  assert.equal(located.length, 1)
  assert.equal(located[0]!.outcome, 'visible')
  assert.equal(located[0]!.confidence, 'unique')
  assert.deepEqual(located[0]!.path, ['d', 'c', 'b', 'a', 'front'])
  assert.equal(located[0]!.traceId, 't1')
})

test('the culprit is whom most failures name, and is judged right when it is the truth', () => {
  const entries = ['f1', 'f2', 'f3'].flatMap(id => seenFailure(id))
  const named = nameCulprit(evidence(entries))
  assert.equal(named?.origin, 'd')
  assert.equal(named?.cause, 'connect_refused')
  assert.equal(named?.count, 3)
  assert.deepEqual(named?.confidences, [['unique', 1]])
  assert.deepEqual(judge(named, dDown, evidence(entries)), { right: true, why: '' })
})

test('another origin, another cause, an outcome of another kind and silence are each judged wrong', () => {
  const why = (entries: FailureEntry[]) => judge(nameCulprit(evidence(entries)), dDown, evidence(entries)).why
  assert.equal(why(seenFailure('f1', { origin: 'c', cause: 'app_error' })), 'it was d')
  assert.equal(why(seenFailure('f1', { cause: 'reset' })), 'the cause was connect_refused')
  assert.equal(why(seenFailure('f1', { cause: 'terminated' })), 'never connect_refused')
  assert.equal(why([entry(), entry({ role: 'masked' })]), 'masked, though it was visible')
  assert.equal(why([]), 'the sidecars saw nothing')
})

test('a few failures blamed on others are borne where the sidecars are not sure, and not where they are', () => {
  const right = Array.from({ length: 9 }, (_, i) => seenFailure(`r${i}`)).flat()
  const wrong = (confidence: 'likely' | 'exact') =>
    seenFailure('w', { origin: 'b', cause: 'app_error', by: 'b' }).map(each => ({ ...each, confidence }))
  const verdict = (entries: FailureEntry[]) => judge(nameCulprit(evidence(entries)), dDown, evidence(entries))
  assert.equal(verdict([...right, ...wrong('likely')]).right, true)
  assert.match(
    verdict([...right, ...wrong('exact')]).why,
    /others are blamed as well, in 10 % \(b: app_error, exact ×1\)/,
  )
})

test('what a retry put right is no contradiction to what was seen, and what nobody repaired is', () => {
  const right = ['f1', 'f2', 'f3'].flatMap(id => seenFailure(id))
  const beside = (role: 'retried' | 'masked') =>
    (['origin', role] as const).map(each => entry({ id: 'o', origin: 'outside', cause: 'per_try_timeout', role: each }))
  const verdict = (entries: FailureEntry[]) => judge(nameCulprit(evidence(entries)), dDown, evidence(entries))
  assert.equal(verdict([...right, ...beside('retried')]).right, true)
  assert.match(verdict([...right, ...beside('masked')]).why, /others are blamed as well/)
})

test('metrics that blame somebody else, or somebody without a name, make the verdict wrong', () => {
  const entries = seenFailure('f1')
  const verdict = (counts: [string, number][]) => {
    const given = evidence(entries, { originCounts: new Map(counts) })
    return judge(nameCulprit(given), dDown, given)
  }
  assert.equal(verdict([['b', 5]]).why, 'the metrics blame b')
  assert.equal(verdict([['downstream', 5]]).why, 'the metrics blame downstream')
  assert.equal(
    verdict([
      ['b', 5],
      ['d', 6],
    ]).right,
    true,
  )
})

test('callers that go away leave nobody to be blamed', () => {
  const nobody = { origin: undefined, causes: [], outcomes: ['cancelled'] } as const
  const gone = [entry({ role: 'cancelled', cause: 'timeout' })]
  assert.equal(judge(nameCulprit(evidence(gone)), nobody, evidence(gone)).right, true)
  const blamed = [...gone, ...seenFailure('f2')]
  assert.equal(
    judge(nameCulprit(evidence(blamed)), nobody, evidence(blamed)).why,
    'd is blamed, though nobody is to be',
  )
})

test('without failures the service is named that takes longer than it used to', () => {
  const slow = evidence([], {
    usualSecondsPerRequest: new Map(Object.entries({ a: 0.002, c: 0.005, d: 0.1 })),
    secondsPerRequest: new Map(Object.entries({ a: 0.004, c: 0.155, d: 0.105 })),
  })
  const named = nameCulprit(slow)
  assert.equal(named?.origin, 'c')
  assert.equal(Math.round(named?.slowerMs ?? 0), 150)
  assert.equal(judge(named, { origin: 'c', causes: [], outcomes: ['slow'] }, slow).right, true)
  assert.equal(nameCulprit(evidence([], { secondsPerRequest: new Map([['a', 0.01]]) })), undefined)
})

test('retries that were used up are judged by their number', () => {
  const truth = { origin: 'outside', causes: ['app_error'], outcomes: ['visible'], attempts: 2 } as const
  const failure = (attempts: number) => seenFailure('f1', { origin: 'outside', cause: 'app_error', attempts })
  const verdict = (entries: FailureEntry[]) => judge(nameCulprit(evidence(entries)), truth, evidence(entries))
  assert.equal(verdict(failure(2)).right, true)
  assert.equal(verdict(failure(1)).why, '1 attempts, there were 2')
})

/** What honest sidecars say when this is the truth, with somebody else blamed where `origin` is given. */
function told(truth: Truth, origin = truth.origin): Evidence {
  if (truth.origin === undefined) return evidence([entry({ role: 'cancelled', cause: 'timeout' })])
  if (truth.outcomes[0] === 'slow') return evidence([], { secondsPerRequest: new Map([[origin!, 0.2]]) })
  const differences = { origin: origin!, cause: truth.causes[0]!, attempts: truth.attempts ?? 1 }
  if (truth.outcomes[0] === 'visible') return evidence(seenFailure('f1', differences))
  return evidence([entry(differences), entry({ ...differences, role: truth.outcomes[0] as FailureEntry['role'] })])
}

for (const kind of CATALOGUE) {
  test(`${kind.name} is judged right by evidence of the truth, and neither by other evidence nor of a lie`, () => {
    for (const hop of kind.hops) {
      const { truth } = faultOf(kind, hop)
      const verdict = (given: Evidence) => judge(nameCulprit(given), truth, given)
      assert.deepEqual(verdict(told(truth)), { right: true, why: '' }, hop)
      if (truth.origin !== undefined) assert.equal(verdict(told(truth, 'somebody')).right, false, hop)
      assert.equal(verdict(told(lieAbout(faultOf(kind, hop)).injected.truth)).right, false, `a lie about ${hop}`)
    }
  })
}

test('percentages do not round the last doubt away', () => {
  assert.equal(percent(1), '100 %')
  assert.equal(percent(0.998), '99.8 %')
  assert.equal(percent(0.084), '8 %')
})
