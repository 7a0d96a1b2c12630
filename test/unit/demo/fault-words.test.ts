import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CELLS } from '../../../compose/cells.ts'
import { parseFaults, TARGETS, WORDS_HELP } from '../../../demo-services/fault-words.ts'
import { CAUSES, type Cause } from '../../../sidecar/failure-origin/record.ts'

const settings = (...terms: string[]) => Object.fromEntries(parseFaults(terms))

test('a term says who is to do what', () => {
  assert.deepEqual(settings('c=500'), { c: { status: 500 } })
  assert.deepEqual(settings('outside=404'), { outside: { status: 404 } })
  assert.deepEqual(settings('b=delay:2s', 'a=delay:300ms'), { b: { delayMs: 2000 }, a: { delayMs: 300 } })
  assert.deepEqual(settings('b=crash:1.5s'), { b: { crash: 1500 } })
  assert.deepEqual(settings('a=call:ledger'), { a: { alsoCall: 'ledger' } })
  assert.deepEqual(settings('b=flood', 'c=flood:80'), { b: { fanOut: 40 }, c: { fanOut: 80 } })
  assert.deepEqual(settings('c=detain:5s', 'b=large-head'), {
    c: { headers: { 'x-envoy-fault-delay-request': '5000' } },
    b: { sendHeadBytes: 100_000 },
  })
  assert.deepEqual(settings('b=deadline:1ms', 'c=upgrade:d'), { b: { deadlineMs: 1 }, c: { upgrade: 'd' } })
})

test('a path behind a word or a host narrows it down', () => {
  assert.deepEqual(settings('outside=hang:/rates', 'd=hang'), {
    outside: { hang: true, path: '/rates' },
    ...Object.fromEntries(['d1', 'd2', 'd3'].map(name => [name, { hang: true }])),
  })
  assert.deepEqual(settings('a=stall:/feed', 'b=stall'), { a: { stall: true, path: '/feed' }, b: { stall: true } })
  assert.deepEqual(settings('c=call:outside/feed', 'b=spree:c/healthz'), {
    c: { alsoCall: 'outside/feed' },
    b: { spree: 'c/healthz' },
  })
})

test('d is its three instances, all is everybody', () => {
  assert.deepEqual(Object.keys(settings('d=hang')), ['d1', 'd2', 'd3'])
  assert.deepEqual(settings('d2=hang'), { d2: { hang: true } })
  assert.deepEqual(Object.keys(settings('all=well')), [...TARGETS])
})

test('terms for one service add up', () => {
  assert.deepEqual(settings('c=500', 'c=delay:1s'), { c: { status: 500, delayMs: 1000 } })
})

test('every word of the help is understood, alone', () => {
  for (const [word] of WORDS_HELP) {
    // Those three do not go without whom they are about.
    if (!['call', 'spree', 'upgrade'].includes(word)) assert.doesNotThrow(() => parseFaults([`b=${word}`]), word)
  }
})

test('what is no term is refused, with what would be one', () => {
  assert.throws(() => parseFaults(['e=500']), /no service 'e'; there are a, b/)
  assert.throws(() => parseFaults(['c=hangs']), /no fault 'hangs', did you mean 'hang'/)
  assert.throws(() => parseFaults(['c=200']), /no fault '200'/)
  assert.throws(() => parseFaults(['c=delay:soon']), /delay: 'soon' is not what it takes \(takes longer/)
  assert.throws(() => parseFaults(['c']), /no fault ''/)
  for (const word of ['call', 'spree', 'upgrade']) {
    assert.throws(() => parseFaults([`b=${word}`]), new RegExp(`${word}: '' is not what it takes`))
    assert.throws(() => parseFaults([`b=${word}:/feed`]), new RegExp(`${word}: '/feed'`))
  }
  assert.throws(() => parseFaults(['b=flood:some']), /flood: 'some' is not what it takes/)
  assert.throws(() => parseFaults(['d=hang:feed']), /hang: 'feed' is not what it takes/)
  assert.throws(() => parseFaults(['b=deadline:soon']), /deadline: 'soon'/)
  assert.throws(() => parseFaults(['b=memory:-1']), /memory: '-1'/)
})

test('what is verified covers every word at some service, and every service', () => {
  const terms = CELLS.flatMap(cell => cell.terms)
  assert.doesNotThrow(() => parseFaults(terms))
  for (const [word] of WORDS_HELP) {
    if (word !== 'well')
      assert.ok(
        terms.some(term => term.split('=')[1]!.split(':')[0] === word),
        word,
      )
  }
  for (const word of ['500', 'hang', 'reset', 'close', 'garbage', 'cut', 'crash']) {
    const at = terms.filter(term => term.split('=')[1]!.split(':')[0] === word).map(term => term.split('=')[0])
    for (const service of ['a', 'b', 'c', 'd', 'outside']) assert.ok(at.includes(service), `${word} at ${service}`)
  }
  const first = (cause: Cause) =>
    CELLS.filter(({ truth }) => truth.causes[0] === cause).map(({ truth }) => truth.origin)
  for (const cause of ['timeout', 'per_try_timeout', 'stream_idle'] as const) {
    for (const service of ['a', 'b', 'c', 'd', 'outside']) {
      assert.ok(first(cause).includes(service), `${cause} at ${service}`)
    }
  }
  // Whom a word is about is the caller, so these are where calls are made.
  const callers = (said: string) => terms.filter(term => term.split('=')[1] === said).map(term => term.split('=')[0])
  for (const host of ['nobody', 'payments', 'ledger', 'vault', 'archive', 'warehouse', 'reports']) {
    assert.deepEqual(callers(`call:${host}`).sort(), ['a', 'b', 'c'], host)
  }
  assert.equal(new Set(CELLS.map(({ title }) => title)).size, CELLS.length, 'titles tell them apart')
})

test('what is verified covers every cause that the demonstration can bring about', () => {
  const named = new Set(CELLS.map(({ truth }) => truth.causes[0]))
  // A sidecar has no overload manager and no error-rate breaker here; `unknown` is of foreign proxies; whoever goes away
  // is no failure, and has a cell that says so.
  const left = CAUSES.filter(cause => !named.has(cause))
  assert.deepEqual(left, ['breaker_open', 'overloaded', 'cancelled', 'unknown'])
  assert.ok(CELLS.some(({ truth }) => truth.outcomes.includes('cancelled')))
})
