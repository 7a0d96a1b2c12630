import assert from 'node:assert/strict'
import { test } from 'node:test'
import { derivedId } from '../../../sidecar/failure-origin/deadline.ts'
import { ledgerRing } from '../../../sidecar/failure-origin/ledger-ring.ts'
import { mergeFailures } from '../../../sidecar/failure-origin/merge.ts'
import { ResponseFlag } from '../../../sidecar/observability/response-flags.ts'
import type { TlsInfo } from '../../../sidecar/observability/stream-info.ts'
import { FROM_D, Sidecar, type Stream, withRecord } from './sidecar-by-hand.ts'
import { Headers } from './simulation.ts'

test('a refused connection is begun at the egress and passed on by the ingress', () => {
  const c = new Sidecar()
  const inbound = c.inbound()
  const seenByApplication = c.call(inbound).refused()
  assert.match(seenByApplication.get('proxy-status')!, /^c; error=connection_refused; failure-origin=d;/)
  const answer = inbound.answer(500)
  assert.match(answer.get('proxy-status')!, /failure-link="c>d"; failure-path="d,c"; failure-confidence=exact/)
  assert.deepEqual(c.roles(), ['origin d connect_refused exact', 'propagated d connect_refused exact'])
  assert.deepEqual(inbound.info.failure?.path, 'd,c')
  assert.equal(c.stats.sum('hopwise_failures_total', 'role="origin"', 'link="c>d"'), 1)
})

test('a trusted record is passed on with the own name added and the confidence lowered', () => {
  const c = new Sidecar()
  const inbound = c.inbound()
  c.call(inbound).answer(500, withRecord())
  const status = inbound.answer(502).get('proxy-status')!
  assert.match(status, /failure-origin=x;.*failure-path="x,d,c"; failure-confidence=trace; failure-id=abcdef0123456789/)
  assert.deepEqual(c.roles(), ['propagated x app_error trace', 'propagated x app_error trace'])
})

test('a call that was refused before it had a route can be the reason of any request that may have sent it', () => {
  const c = new Sidecar()
  const requests = [c.inbound({ ids: false }), c.inbound({ ids: false })]
  const calls = requests.map(() => c.call(undefined, 'nobody', { routed: false }))
  for (const call of calls) call.local(404, 'route_not_found', ResponseFlag.NoRouteFound)
  const answers = requests.map(request => request.answer(502).get('proxy-status')!)
  for (const answer of answers) {
    assert.match(answer, /failure-origin=c; failure-cause=no_route; .*failure-confidence=likely/)
  }
  assert.equal(new Set(answers.map(answer => /failure-id=\w+/.exec(answer)![0])).size, 2, 'each is told of one')
  assert.deepEqual([...new Set(c.roles())], ['origin c no_route exact', 'propagated c no_route likely'])
  assert.equal(c.stats.sum('hopwise_calls_total', 'on="c"'), 0, 'nobody was called')
})

test('with worker threads, who hears of a call refused before it had a route counts no callee either', () => {
  const rings = [ledgerRing(2), ledgerRing(2)]
  const [one, other] = [0, 1].map(worker => new Sidecar({}, true, { worker, rings, onLag() {} }))
  one!.inbound({ ids: false })
  one!.call(undefined, 'nobody', { routed: false }).local(404, 'route_not_found', ResponseFlag.NoRouteFound)
  other!.locator.readShared()
  for (const { stats } of [one!, other!]) {
    assert.deepEqual(
      [...stats.values.keys()].filter(key => key.includes('on="')),
      [],
    )
  }
})

test('a failure that was passed on at every attempt says how many there were', () => {
  const c = new Sidecar()
  const call = c.call(c.inbound())
  call.failures.attemptHead(withRecord(), 503, call.info)
  call.failures.attemptRetried(call.info)
  const status = call.answer(503, withRecord()).get('proxy-status')!
  assert.match(status, /failure-origin=x;.*failure-attempts=2/)
  assert.deepEqual(
    c.locator.log.entries().map(({ role, attempts, details }) => [role, attempts, details]),
    [
      ['propagated', 1, ''],
      ['retried', 1, ''],
      ['propagated', 2, 'after 2 attempts (app_error): via_upstream'],
    ],
  )
})

test('a record is not believed from an external cluster, from a public address, or from the application', () => {
  for (const given of [{ external: true }, { ip: '203.0.113.7' }]) {
    const c = new Sidecar()
    const forged = c.call(c.inbound(), 'd', given).answer(500, withRecord())
    assert.doesNotMatch(forged.get('proxy-status')!, /failure-origin=x/)
    assert.equal(c.locator.log.entries()[0]!.origin, 'd')
    const onSuccess = c.call(undefined, 'd', given).answer(200, withRecord())
    assert.equal(onSuccess.get('proxy-status'), undefined)
  }
  const c = new Sidecar()
  assert.match(c.inbound().answer(500, withRecord()).get('proxy-status')!, /failure-origin=c; failure-cause=app_error/)
  assert.equal(c.inbound().answer(200, withRecord()).get('proxy-status'), undefined)
  const none = new Sidecar({ trustedPeers: [] })
  none.call(undefined).answer(500, withRecord())
  assert.equal(none.locator.log.entries()[0]!.origin, 'd', '[] believes nobody')
})

test('over mutual TLS the trust domain decides, and the identity names the callee', () => {
  const tls = (uri: string) =>
    ({ peerUriSans: [uri], localUriSans: ['spiffe://mesh/ns/shop/sa/c'] }) as unknown as TlsInfo
  const c = new Sidecar({ trustedPeers: [] })
  const ours = c.call(undefined)
  ours.info.upstreamTls = tls('spiffe://mesh/ns/shop/sa/d')
  ours.answer(500, withRecord())
  const stranger = c.call(undefined)
  stranger.info.upstreamTls = tls('spiffe://elsewhere/ns/shop/sa/d')
  stranger.answer(500, withRecord())
  const silent = c.call(undefined)
  silent.info.upstreamTls = tls('spiffe://mesh/ns/shop/sa/d')
  silent.answer(500)
  assert.deepEqual(
    c.locator.log
      .entries()
      .filter(entry => entry.role !== 'background')
      .map(entry => entry.origin),
    ['x', 'd', 'd.shop'],
  )
})

test('a call that a fault filter holds back is on its own sidecar, whoever gives up over it', () => {
  const heldBack = (c: Sidecar, ms: number) => {
    const inbound = c.inbound()
    const call = c.call(inbound, 'd', { routed: false })
    call.info.delayedUntilMs = c.clock.now() + ms
    return { inbound, call }
  }
  const stillHeld = new Sidecar()
  const first = heldBack(stillHeld, 500)
  stillHeld.clock.advance(200)
  const status = first.inbound.timedOut().get('proxy-status')!
  assert.match(status, /failure-origin=c; failure-cause=fault_injected:?.*delay/)
  first.call.gone()
  assert.deepEqual(stillHeld.roles(), ['origin c fault_injected link', 'cancelled c fault_injected link'])

  const nothingLeft = new Sidecar()
  const second = heldBack(nothingLeft, 500)
  nothingLeft.clock.advance(500)
  second.call.local(504, 'deadline_exceeded')
  assert.deepEqual(nothingLeft.roles(), ['origin c fault_injected exact'])

  // After a short delay the callee has had its time.
  const shortly = new Sidecar()
  const third = shortly.call(shortly.inbound())
  third.info.delayedUntilMs = shortly.clock.now() + 100
  shortly.clock.advance(400)
  third.timedOut()
  assert.deepEqual(shortly.roles(), ['origin d timeout link'])
})

test('at an edge the list is removed and x-failure-id stands in its place', () => {
  const c = new Sidecar()
  const inbound = c.inbound({ edge: true })
  c.call(inbound).refused()
  const headers = inbound.answer(500)
  assert.equal(headers.get('proxy-status'), undefined)
  assert.equal(headers.get('x-failure-id'), c.locator.log.entries()[0]!.id)
  const foreign = new Headers()
  foreign.set('proxy-status', 'somebody; error=proxy_internal_error')
  assert.equal(c.inbound({ edge: true }).answer(200, foreign).get('proxy-status'), undefined)
  assert.equal(c.call(undefined, 'd', { edge: true }).answer(500, withRecord()).get('x-failure-id'), FROM_D.id)
})

test('requests carry nothing of this inwards', () => {
  const headers = withRecord()
  headers.set('x-failure-id', 'abc')
  new Sidecar().locator.stripRequest(headers)
  assert.equal(headers.map.size, 0)
})

test('an application that succeeds masks; an own 4xx is no failure, a repeated 429 of a sidecar is', () => {
  const c = new Sidecar()
  const masked = c.inbound()
  c.call(masked).refused()
  masked.answer(200)
  assert.deepEqual(c.roles(), ['origin d connect_refused exact', 'masked d connect_refused exact'])
  const plain = c.inbound()
  c.call(plain).answer(200)
  plain.answer(404)
  assert.equal(c.roles().length, 2)
  const limited = c.inbound()
  c.call(limited).answer(429, withRecord({ ...FROM_D, cause: 'rate_limited', subCause: 'local' }))
  limited.answer(429)
  assert.deepEqual(c.roles().slice(2), ['propagated x rate_limited trace', 'propagated x rate_limited trace'])
})

test('a failure followed by a success of the same callee was put right; a parallel success puts nothing right', () => {
  const c = new Sidecar()
  const repaired = c.inbound()
  c.call(repaired).refused()
  c.clock.advance(1)
  c.call(repaired).answer(200)
  repaired.answer(500)
  assert.deepEqual(c.roles().slice(1), ['origin c app_error exact', 'masked d connect_refused exact'])
  const parallel = c.inbound()
  const one = c.call(parallel)
  const two = c.call(parallel)
  one.refused()
  two.answer(200)
  parallel.answer(500)
  assert.equal(c.roles().at(-1), 'propagated d connect_refused exact')
})

test('of calls sent at once, those that succeed do not put right one that was refused in the same turn', () => {
  const c = new Sidecar()
  const inbound = c.inbound({ ids: false })
  const calls = [c.call(undefined), c.call(undefined)]
  const refused = c.call(undefined)
  refused.failures.attemptFailed({ kind: 'overflow', limit: 'requests', details: '' })
  refused.info.endMs = c.clock.now()
  refused.info.responseCode = 503
  refused.info.localReply = true
  refused.failures.responseHead(refused.info, new Headers())
  refused.end()
  calls.push(c.call(undefined))
  for (const call of calls) call.answer(200)
  inbound.answer(502)
  assert.ok(c.roles().includes('propagated c circuit_open unique'))
})

test('of several failed calls the last is the reason, the others were masked', () => {
  const c = new Sidecar()
  const inbound = c.inbound()
  c.call(inbound, 'e').refused()
  c.call(inbound, 'd').refused()
  inbound.answer(500)
  assert.deepEqual(c.roles().slice(2), ['propagated d connect_refused exact', 'masked e connect_refused exact'])
})

test('a failed attempt that is tried again is retried; a record from further on is not tried again', () => {
  const c = new Sidecar()
  const inbound = c.inbound()
  const call = c.call(inbound)
  call.failures.attemptFailed({ kind: 'connect_refused', details: '' })
  assert.equal(call.failures.mayRetry(), true)
  call.failures.attemptRetried(call.info)
  call.answer(200)
  inbound.answer(200)
  assert.deepEqual(c.roles(), ['origin d connect_refused exact', 'retried d connect_refused exact'])
  const far = c.call(undefined)
  far.failures.attemptHead(withRecord(), 503, far.info)
  assert.equal(far.failures.mayRetry(), false, 'x began it, not d')
  const near = c.call(undefined)
  near.failures.attemptHead(withRecord({ ...FROM_D, origin: 'd', path: ['d'], link: 'd' }), 503, near.info)
  assert.equal(near.failures.mayRetry(), true)
})

test('retries used up: the record of the last attempt counts them', () => {
  const c = new Sidecar()
  const call = c.call(c.inbound())
  call.failures.attemptHead(new Headers(), 503, call.info)
  call.failures.attemptRetried(call.info)
  call.refused()
  const last = c.locator.log.entries().at(-1)!
  assert.deepEqual([last.cause, last.attempts], ['connect_refused', 2])
  assert.match(last.details, /after 2 attempts \(app_error\)/)
})

test('what the ingress refuses is its own: rate limit, application down, crash of the application', () => {
  const c = new Sidecar()
  c.inbound().local(429, 'local_rate_limited', ResponseFlag.RateLimited)
  c.inbound().refused()
  const crash = c.inbound()
  crash.failures.attemptFailed({ kind: 'terminated', details: '' })
  crash.local(503, 'upstream_reset_before_response_started{connection_termination}')
  c.inbound().local(413, 'request_payload_too_large')
  assert.deepEqual(c.roles(), [
    'origin c rate_limited exact',
    'origin c app_down exact',
    'origin c terminated exact',
    'origin downstream too_large exact',
  ])
})

for (const name of ['downstream', 'the-cart']) {
  test(`a caller knows that \`${name}\`, whom its callee blames for the request, is itself`, () => {
    const c = new Sidecar()
    const record = { ...FROM_D, origin: name, cause: 'too_large' as const, link: `${name}>d`, path: [name, 'd'] }
    c.call(c.inbound()).answer(413, withRecord(record))
    const entry = c.locator.log.entries()[0]!
    assert.deepEqual([entry.origin, entry.link, entry.path], ['c', 'c>d', ['c', 'd', 'c']])
  })
}

test('whom a callee of the callee blames for its request is not us', () => {
  const b = new Sidecar({ service: 'b' })
  const record = { ...FROM_D, origin: 'c', cause: 'too_large' as const, link: 'c>d', path: ['c', 'd', 'c'] }
  b.call(b.inbound()).answer(502, withRecord(record))
  const entry = b.locator.log.entries()[0]!
  assert.deepEqual([entry.origin, entry.link], ['c', 'c>d'])
})

test('a mesh peer in plaintext is called what its sidecar calls itself; nobody else is', () => {
  const origins = [
    { callerName: 'c' },
    { callerName: 'c', peerIp: '203.0.113.9' },
    { callerName: 'c', edge: true },
    { callerName: 'c', tls: { peerUriSans: [], localUriSans: [] } as unknown as TlsInfo },
    { callerName: 'c", evil="' },
    { callerName: '' },
  ].map(request => {
    const d = new Sidecar({ service: 'd' })
    d.inbound(request).local(413, 'request_payload_too_large')
    return d.locator.log.entries()[0]!.origin
  })
  assert.deepEqual(origins, ['c', 'downstream', 'downstream', 'downstream', 'downstream', 'downstream'])
})

test('asked twice for the same head, a stream decides and writes once', () => {
  const c = new Sidecar()
  const inbound = c.inbound()
  const call = c.call(inbound)
  for (const stream of [call, inbound]) {
    stream.info.responseCode = 503
    const headers = new Headers()
    stream.failures.responseHead(stream.info, headers)
    const written = headers.get('proxy-status')
    assert.equal(stream.failures.responseHead(stream.info, headers)?.origin, 'd')
    assert.equal(headers.get('proxy-status'), written)
    const others = new Headers()
    stream.failures.responseHead(stream.info, others)
    assert.equal(others.get('proxy-status'), written, 'other headers in their place get it too')
    stream.end()
  }
  assert.equal(c.roles().length, 2)
})

test('a call without a trace is background when nothing is in flight, and inferred when one request is', () => {
  const c = new Sidecar()
  const background = c.call(undefined)
  assert.equal(background.failures.inferred, undefined)
  background.refused()
  assert.deepEqual(c.roles(), ['origin d connect_refused exact', 'background d connect_refused none'])
  const inbound = c.inbound()
  const call = c.call(undefined)
  assert.deepEqual(call.failures.inferred, { traceId: 'trace1', spanId: 'span1', sampled: true })
  assert.equal(c.stats.sum('hopwise_trace_context_missing_total'), 1)
  call.refused()
  inbound.answer(500)
  assert.equal(c.roles().at(-1), 'propagated d connect_refused unique')
  c.inbound()
  c.inbound()
  assert.equal(c.call(undefined).failures.inferred, undefined, 'two in flight: nobody knows')
})

test('several in flight: the failing one takes the failed call, once, with 1/candidates', () => {
  const c = new Sidecar()
  const inbounds = [c.inbound(), c.inbound(), c.inbound(), c.inbound()]
  const call = c.call(undefined)
  call.refused()
  inbounds[2]!.answer(500)
  assert.equal(c.roles().at(-1), 'propagated d connect_refused likely')
  assert.equal(c.locator.log.entries().at(-1)!.likelihood, 0.25)
  inbounds[1]!.answer(500)
  assert.equal(c.roles().at(-1), 'origin c app_error likely', 'claimed already; but perhaps by the wrong one')
  const later = c.inbound()
  later.answer(500)
  assert.equal(c.roles().at(-1), 'origin c app_error exact', 'came after the call was sent')
})

test('an unclaimed failure is masked once all who could have sent it have succeeded', () => {
  const c = new Sidecar()
  const inbounds = [c.inbound(), c.inbound()]
  c.call(undefined).refused()
  inbounds[0]!.answer(200)
  assert.equal(c.locator.held.unclaimed, 1)
  inbounds[1]!.answer(200)
  assert.equal(c.roles().at(-1), 'masked d connect_refused likely')
  assert.equal(c.locator.held.unclaimed, 0)
})

test('a call that fails after all who could have sent it have ended is masked at once', () => {
  const c = new Sidecar()
  const inbounds = [c.inbound(), c.inbound()]
  const call = c.call(undefined)
  for (const inbound of inbounds) inbound.answer(200)
  call.refused()
  assert.equal(c.roles().at(-1), 'masked d connect_refused likely')
  assert.equal(c.locator.held.unclaimed, 0)
})

test('unclaimed failures are bounded in number and age, and the bound is counted', () => {
  const c = new Sidecar({ maxUnclaimed: 3, maxUnclaimedAgeMs: 1000 })
  c.inbound()
  c.inbound()
  for (let i = 0; i < 5; i++) c.call(undefined).refused()
  assert.equal(c.locator.held.unclaimed, 3)
  c.clock.advance(2000)
  c.locator.sweep()
  assert.equal(c.locator.held.unclaimed, 0)
  assert.equal(c.stats.sum('hopwise_failure_ledger_overflow_total', 'limit="max_unclaimed"'), 2)
  assert.equal(c.roles().filter(role => role.startsWith('masked')).length, 5)
})

test('a matched call gets what its request has left, less a margin; an unmatched one its own timeout', () => {
  const c = new Sidecar()
  const inbound = c.inbound({ budgetMs: 1000 })
  assert.equal(inbound.failures.limitTimeout(15_000, c.clock.now()), 980)
  c.clock.advance(100)
  const call = c.call(inbound)
  assert.equal(call.failures.limitTimeout(15_000, c.clock.now()), 880)
  assert.equal(call.failures.limitTimeout(0, c.clock.now()), 880, '0 means no timeout of its own')
  assert.equal(call.failures.limitTimeout(300, c.clock.now()), 300)
  c.clock.advance(899.5)
  assert.ok(c.call(inbound).failures.limitTimeout(15_000, c.clock.now()) < 1, 'spent')
  c.inbound()
  assert.equal(c.call(undefined).failures.limitTimeout(15_000, c.clock.now()), 15_000)
  const large = c.inbound({ budgetMs: 15_000 })
  assert.equal(large.failures.limitTimeout(0, c.clock.now()), 14_700, '2 %')
  const small = c.inbound({ budgetMs: 50 })
  assert.equal(small.failures.limitTimeout(0, c.clock.now()), 37.5, 'at most a quarter')
})

test('a budget is believed of mesh peers only, and not at all with deadlines off', () => {
  const c = new Sidecar()
  assert.equal(c.inbound({ budgetMs: 1000, peerIp: '203.0.113.1' }).failures.limitTimeout(15_000, 0), 15_000)
  const off = new Sidecar({ deadlines: false })
  const inbound = off.inbound({ budgetMs: 1000 })
  assert.equal(inbound.failures.limitTimeout(15_000, 0), 15_000)
  assert.equal(off.call(inbound).failures.limitTimeout(15_000, 0), 15_000)
})

test('budgets are read from both headers', () => {
  const { locator } = new Sidecar()
  const budget = (name: string, value: string) => {
    const headers = new Headers()
    headers.set(name, value)
    return locator.budgetMs(headers)
  }
  assert.equal(budget('x-envoy-expected-rq-timeout-ms', '1500'), 1500)
  assert.equal(budget('x-envoy-expected-rq-timeout-ms', '-1'), 0)
  assert.equal(budget('grpc-timeout', '2S'), 2000)
  assert.equal(budget('grpc-timeout', '500000u'), 500)
  assert.equal(budget('grpc-timeout', '0n'), 0.001, 'passed already, which is not "none"')
  assert.equal(budget('grpc-timeout', '123456789S'), 0)
})

test('a timed-out request names whom it waits for, under the id its callee derives, or its own application', () => {
  const c = new Sidecar()
  const inbound = c.inbound({ budgetMs: 1000 })
  inbound.failures.limitTimeout(15_000, 0)
  c.call(inbound)
  c.clock.advance(980)
  assert.equal(inbound.failures.timeoutFired(c.clock.now()), 10, 'the call may still bring better news')
  c.clock.advance(10)
  assert.equal(inbound.failures.timeoutFired(c.clock.now()), 0)
  inbound.timedOut()
  const [entry] = c.locator.log.entries()
  assert.deepEqual(
    [entry!.origin, entry!.cause, entry!.subCause, entry!.confidence],
    ['d', 'timeout', 'waiting_on', 'link'],
  )
  assert.equal(entry!.id, derivedId('d', 'r', 'w', '/d'))
  assert.deepEqual(entry!.aliases, [derivedId('c', 'request1', 'wire', '/work')])
  const asleep = c.inbound({ budgetMs: 1000 })
  asleep.failures.limitTimeout(15_000, c.clock.now())
  c.clock.advance(980)
  assert.equal(asleep.failures.timeoutFired(c.clock.now()), 0)
  asleep.timedOut()
  assert.equal(c.roles().at(-1), 'origin c app_timeout exact')
})

test('where a timer is late nobody is sure that no call was sent: it may wait to be read', () => {
  const c = new Sidecar()
  const says = (lateMs: number) => {
    const inbound = c.inbound()
    inbound.failures.limitTimeout(50, c.clock.now())
    c.clock.advance(50 + lateMs)
    inbound.timedOut()
    return c.roles().at(-1)
  }
  assert.equal(says(5), 'origin c app_timeout exact')
  assert.equal(says(20), 'origin c app_timeout likely')
})

test('whose call another request was only likely to wait for is not sure that it had none', () => {
  const c = new Sidecar()
  const timeOut = (inbound: Stream) => {
    inbound.timedOut()
    return c.roles().at(-1)
  }
  // Nobody copies ids, and which of the two has sent the call is a judgement.
  const first = c.inbound()
  const second = c.inbound()
  c.call(undefined)
  c.clock.advance(50)
  assert.equal(timeOut(first), 'origin d timeout likely')
  assert.equal(timeOut(second), 'origin c app_timeout likely')
})

test('a call that timed out is what a request timed out over, though its application has not said so yet', () => {
  const c = new Sidecar()
  const inbound = c.inbound()
  const call = c.call(inbound)
  c.clock.advance(280)
  call.answer(504, withRecord({ ...FROM_D, cause: 'app_timeout' }))
  c.clock.advance(20)
  inbound.timedOut()
  assert.equal(c.roles().at(-1), 'propagated x app_timeout trace')
  const slow = c.inbound()
  c.call(slow).answer(504, withRecord({ ...FROM_D, cause: 'app_timeout' }))
  c.clock.advance(300)
  slow.timedOut()
  assert.deepEqual(c.roles().slice(-2), ['origin c app_timeout exact', 'masked x app_timeout exact'])
})

test('under load a call comes later after its request than is usual, and is waited for all the same', () => {
  const c = new Sidecar()
  // Quick ones, from which the usual is learned.
  for (let i = 0; i < 8; i++) {
    const inbound = c.inbound()
    c.clock.advance(1)
    c.call(inbound).refused()
    inbound.answer(500)
  }
  const inbounds = [c.inbound(), c.inbound()]
  c.clock.advance(60)
  c.call(undefined)
  c.call(undefined)
  c.clock.advance(940)
  for (const inbound of inbounds) {
    inbound.timedOut()
  }
  assert.deepEqual(c.roles().slice(-2), ['origin d timeout likely', 'origin d timeout likely'])
})

test('of two calls that ran out of time the one that took it is the reason, not what was tried with the rest', () => {
  const c = new Sidecar()
  const inbound = c.inbound()
  for (const [to, ms] of [
    ['d', 900],
    ['e', 30],
  ] as const) {
    const call = c.call(inbound, to)
    c.clock.advance(ms)
    call.timedOut()
  }
  inbound.answer(500)
  assert.ok(c.roles().includes('propagated d timeout link'))
  assert.ok(c.roles().includes('masked e timeout exact'))
})

test('a call for which no time was left is not the reason, but the one that took it', () => {
  const c = new Sidecar()
  const inbound = c.inbound()
  const slow = c.call(inbound, 'd')
  c.clock.advance(900)
  slow.timedOut()
  const late = c.call(inbound, 'd')
  const refusal = {
    ...FROM_D,
    origin: 'downstream',
    cause: 'deadline_exceeded',
    link: 'downstream>d',
    path: ['downstream', 'd'],
  } as const
  late.answer(504, withRecord(refusal))
  inbound.answer(500)
  assert.ok(c.roles().includes('propagated d timeout link'))
  assert.ok(c.roles().some(role => role.startsWith('masked c deadline_exceeded')))
})

test('who gives up a call was answered first: the failure is merged with what that call met', () => {
  const c = new Sidecar()
  const inbounds = [c.inbound(), c.inbound()]
  c.clock.advance(1)
  const calls = [c.call(undefined), c.call(undefined)]
  c.clock.advance(1000)
  inbounds[0]!.timedOut()
  // Nobody can know beforehand that the second call is the first request's.
  calls[1]!.gone()
  inbounds[1]!.timedOut()
  calls[0]!.gone()
  const entries = c.locator.log.entries({ limit: 100 }).sort((x, y) => x.seq - y.seq)
  const [first, second] = entries.filter(({ side }) => side === 'inbound')
  const [given, left] = entries.filter(({ role }) => role === 'cancelled')
  assert.deepEqual([first!.origin, second!.origin], ['d', 'd'])
  assert.ok(given!.aliases.includes(first!.id))
  assert.ok(left!.aliases.includes(second!.id))
})

test('who fails when its time is all but over, and has no failed call left, waited for the call that is open', () => {
  const says = (afterMs: number) => {
    const c = new Sidecar()
    const [first, second] = [c.inbound({ ids: false }), c.inbound({ ids: false })]
    for (const { failures } of [first, second]) failures.limitTimeout(1000, 0)
    const [spent] = [c.call(undefined), c.call(undefined)]
    c.clock.advance(afterMs)
    spent.answer(504, withRecord({ ...FROM_D, cause: 'timeout' }))
    first.answer(500)
    second.answer(500)
    return c.roles().slice(-2)
  }
  assert.deepEqual(says(985), ['propagated x timeout likely', 'origin d timeout likely'])
  assert.deepEqual(says(500), ['propagated x timeout likely', 'origin c app_error likely'])
})

test('an answer in the moment in which the caller gives up is known by the id that both derive, whatever it is', () => {
  const aliases = (afterMs: number) => {
    const c = new Sidecar()
    const inbound = c.inbound()
    inbound.failures.limitTimeout(1000, 0)
    const call = c.call(inbound)
    c.clock.advance(afterMs)
    call.answer(503, withRecord())
    inbound.answer(500)
    return c.locator.log.entries().find(({ side }) => side === 'inbound')!.aliases
  }
  assert.deepEqual(aliases(985), [derivedId('c', 'request1', 'wire', '/work')])
  assert.deepEqual(aliases(500), [])
})

test('a call older than the request never counts as what it waits for', () => {
  const c = new Sidecar()
  c.call(undefined, 'poll')
  c.clock.advance(1000)
  const inbound = c.inbound({ budgetMs: 100, ids: false })
  inbound.failures.limitTimeout(0, c.clock.now())
  c.clock.advance(90)
  assert.equal(inbound.failures.timeoutFired(c.clock.now()), 0)
  inbound.timedOut()
  assert.equal(c.roles().at(-1), 'origin c app_timeout exact')
})

test('a job’s call that is open by chance when a request runs out of time is not what it waited for', () => {
  const job = (c: Sidecar, times: number) => {
    for (let i = 0; i < times; i++) {
      c.call(undefined, 'archive', { requestId: 'of a job' }).refused()
      c.clock.advance(9)
    }
  }
  /** Of a request alone that hangs: what is said of it while a call to the archive is open, sent `agoMs` before. */
  const says = (before: (c: Sidecar) => void, agoMs: number) => {
    const c = new Sidecar()
    before(c)
    const inbound = c.inbound()
    inbound.failures.limitTimeout(1000, c.clock.now())
    job(c, (1000 - agoMs) / 10)
    const call = c.call(undefined, 'archive', { requestId: 'open' })
    c.clock.advance(agoMs)
    inbound.timedOut()
    call.refused()
    const { origin, cause, confidence } = c.locator.log.entries().findLast(({ side }) => side === 'inbound')!
    return `${origin} ${cause} ${confidence}`
  }
  const runsAlways = (c: Sidecar) => {
    c.inbound().answer(200)
    job(c, 100)
  }
  const copiesElsewhere = (c: Sidecar) => {
    for (let i = 0; i < 10; i++) {
      const inbound = c.inbound()
      c.call(inbound).answer(200)
      inbound.answer(200)
    }
  }
  assert.equal(says(runsAlways, 0), 'c app_timeout exact')
  assert.equal(says(copiesElsewhere, 0), 'c app_timeout exact')
  // Of an application that makes many calls the last one is as good as any.
  assert.equal(
    says(() => {}, 0),
    'archive timeout link',
  )
  // A call that has been open for long is no chance, though ids are not copied to whom it goes.
  assert.equal(says(copiesElsewhere, 500), 'archive timeout link')
})

test('a caller that goes away leaves a cancelled entry on both sides, under derived ids', () => {
  const c = new Sidecar()
  const inbound = c.inbound()
  const call = c.call(inbound)
  inbound.gone()
  call.gone()
  const [ingress, egress] = c.locator.log.entries()
  assert.equal(ingress!.id, derivedId('c', 'request1', 'wire', '/work'))
  assert.deepEqual(ingress!.aliases, [derivedId('d', 'r', 'w', '/d')])
  assert.equal(egress!.id, derivedId('d', 'r', 'w', '/d'))
  assert.deepEqual([ingress!.role, egress!.role], ['cancelled', 'cancelled'])
})

test('a caller that goes away when a call has just run out of time waited for that, not for the application', () => {
  const late = (afterMs: number, cause: 'timeout' | 'app_error') => {
    const c = new Sidecar()
    const inbound = c.inbound()
    const call = c.call(inbound)
    c.clock.advance(afterMs)
    call.answer(504, withRecord({ ...FROM_D, cause }))
    c.clock.advance(1000 - afterMs)
    inbound.gone()
    const { role, origin, id, aliases } = c.locator.log.entries().find(({ side }) => side === 'inbound')!
    assert.equal(id, derivedId('c', 'request1', 'wire', '/work'))
    return { entry: [role, origin, ...aliases], roles: c.roles().map(text => text.split(' ')[0]) }
  }
  assert.deepEqual(late(900, 'timeout'), {
    entry: ['cancelled', FROM_D.origin, FROM_D.id],
    roles: ['propagated', 'cancelled'],
  })
  // What failed long ago, or by itself, is not what the caller ran out of time over.
  for (const [afterMs, cause] of [
    [300, 'timeout'],
    [900, 'app_error'],
  ] as const) {
    assert.deepEqual(late(afterMs, cause).entry, ['cancelled', 'c'])
  }
})

test('where nothing is copied, too, who is given up over a call that has just run out of time waited for that', () => {
  const c = new Sidecar()
  const [first, second] = [c.inbound({ ids: false }), c.inbound({ ids: false })]
  const [spent] = [c.call(undefined), c.call(undefined)]
  c.clock.advance(900)
  spent.answer(504, withRecord({ ...FROM_D, cause: 'timeout' }))
  first.gone()
  second.gone()
  const inbound = c.locator.log.entries({ limit: 100 }).filter(({ side }) => side === 'inbound')
  assert.deepEqual(
    inbound
      .sort((x, y) => x.seq - y.seq)
      .map(({ role, origin, aliases }) => [role, origin, aliases.includes(FROM_D.id)]),
    [
      ['cancelled', FROM_D.origin, true],
      ['cancelled', 'd', false],
    ],
  )
})

/**
 * Two requests are given up, and of the two calls the second was sent so late that it may as well be of somebody who is yet
 * to come. Then both end. The sides of each failure that is told of.
 */
function twoGivenUp(ofRequests: Sidecar, ofCalls: Sidecar, end: (call: Stream, i: number) => void): string[] {
  const sidecars = new Set([ofRequests, ofCalls])
  const advance = (ms: number): void => {
    for (const { clock, locator } of sidecars) {
      clock.advance(ms)
      locator.readShared()
    }
  }
  const requests = [ofRequests.inbound({ ids: false }), ofRequests.inbound({ ids: false })]
  const calls = [ofCalls.call(undefined, 'd', { requestId: 'call1' })]
  advance(95)
  calls.push(ofCalls.call(undefined, 'd', { requestId: 'call2' }))
  advance(5)
  for (const request of requests) request.gone()
  for (const [i, call] of calls.entries()) {
    advance(1)
    end(call, i)
  }
  const entries = [...sidecars].flatMap(({ locator }) => locator.log.entries({ limit: 100 }))
  return mergeFailures(entries).map(failure => [...new Set(failure.entries.map(({ side }) => side))].sort().join())
}

test('a request that was given up without a call to be found has the one that nobody else waited for', () => {
  const timesOut = (call: Stream, i: number) =>
    call.answer(504, withRecord({ ...FROM_D, cause: 'timeout', id: `abcdef012345678${i}` }))
  for (const end of [(call: Stream) => call.gone(), timesOut]) {
    const c = new Sidecar()
    assert.deepEqual(twoGivenUp(c, c, end), ['inbound,outbound', 'inbound,outbound'])
    const rings = [ledgerRing(2), ledgerRing(2)]
    const [one, other] = [0, 1].map(worker => new Sidecar({}, true, { worker, rings, onLag() {} }))
    assert.deepEqual(twoGivenUp(one!, other!, end), ['inbound,outbound', 'inbound,outbound'])
  }
})

test('a cut by a mesh peer is propagated under the derived id; by the application it is its own, with that alias', () => {
  const c = new Sidecar()
  const call = c.call(c.inbound())
  call.failures.attemptHead(new Headers(), 200, call.info)
  call.info.responseCode = 200
  call.failures.responseHead(call.info, new Headers())
  call.failures.attemptFailed({ kind: 'terminated', details: '' })
  call.end()
  const [egress] = c.locator.log.entries()
  assert.deepEqual([egress!.role, egress!.id], ['propagated', derivedId('d', 'r', 'w', '/d')])
  const d = new Sidecar()
  const inbound = d.inbound()
  inbound.info.responseCode = 200
  inbound.failures.responseHead(inbound.info, new Headers())
  inbound.failures.attemptFailed({ kind: 'terminated', details: '' })
  inbound.end()
  const [ingress] = d.locator.log.entries()
  assert.deepEqual([ingress!.role, ingress!.cause], ['origin', 'partial_body'])
  assert.deepEqual(ingress!.aliases, [derivedId('c', 'request1', 'wire', '/work')])
  const external = c.call(c.inbound(), 'outside', { external: true })
  external.info.responseCode = 200
  external.failures.attemptFailed({ kind: 'reset', details: '' })
  external.end()
  assert.equal(c.roles().at(-1), 'origin outside partial_body exact')
})

test('a cut whose reason the peer sent along is known by the id of its record, and as sure as that', () => {
  const d = new Sidecar({ service: 'd' })
  const inbound = d.inbound()
  inbound.info.responseCode = 200
  inbound.failures.responseHead(inbound.info, new Headers())
  inbound.failures.attemptFailed({ kind: 'terminated', details: '' })
  const trailers = new Headers()
  assert.notEqual(inbound.failures.responseCut(inbound.info, trailers), undefined)
  inbound.end()
  const [origin] = d.locator.log.entries()
  assert.deepEqual(d.roles(), ['origin d partial_body exact'])

  const c = new Sidecar()
  const call = c.call(c.inbound())
  call.info.responseCode = 200
  call.failures.attemptFailed({ kind: 'reset', details: '', trailers })
  call.end()
  const [known] = c.locator.log.entries()
  assert.deepEqual([known!.id, known!.path], [origin!.id, ['d', 'c']])
  assert.deepEqual(c.roles(), ['propagated d partial_body exact'])

  const external = c.call(c.inbound(), 'outside', { external: true })
  external.info.responseCode = 200
  external.failures.attemptFailed({ kind: 'reset', details: '', trailers: withRecord() })
  external.end()
  assert.equal(c.roles().at(-1), 'origin outside partial_body exact')
})

test('a call that ran out of time and was put right is not what its request waited for', () => {
  for (const end of ['gone', 'timeout'] as const) {
    const c = new Sidecar()
    const inbound = c.inbound()
    const call = c.call(inbound)
    c.clock.advance(800)
    call.answer(504, withRecord({ ...FROM_D, cause: 'timeout' }))
    c.clock.advance(1)
    c.call(inbound).answer(200)
    c.clock.advance(100)
    if (end === 'gone') inbound.gone()
    else inbound.timedOut()
    const { origin, cause } = c.locator.log.entries().find(({ side }) => side === 'inbound')!
    assert.deepEqual([origin, cause], ['c', 'app_timeout'], end)
  }
})

/** A response has begun, and then this sidecar's own timer breaks it off. */
function breakOff(stream: Stream, details: string, flags = 0): Headers {
  stream.info.responseCode = 200
  stream.failures.responseHead(stream.info, new Headers())
  stream.info.responseCodeDetails = details
  stream.info.responseFlags |= flags
  const trailers = new Headers()
  stream.failures.responseCut(stream.info, trailers)
  stream.end()
  return trailers
}

test('a stream that this sidecar gave up after its head names who fell silent', () => {
  const idle = ['stream_idle_timeout', ResponseFlag.StreamIdleTimeout] as const
  const d = new Sidecar({ service: 'd' })
  const trailers = breakOff(d.inbound(), ...idle)
  assert.match(trailers.get('proxy-status')!, /failure-origin=d; failure-cause=stream_idle/)
  breakOff(d.inbound(), 'max_duration_timeout')
  assert.deepEqual(d.roles(), ['origin d stream_idle exact', 'origin d max_duration exact'])
  const [known] = d.locator.log.entries()
  const underBoth = [known!.id, ...known!.aliases]
  assert.ok(
    underBoth.includes(derivedId('d', 'request1', 'wire', '/work')),
    'as a caller knows it that is told nothing',
  )

  const c = new Sidecar()
  breakOff(c.call(c.inbound(), 'outside', { external: true }), ...idle)
  breakOff(c.call(c.inbound()), 'max_duration_timeout')
  assert.deepEqual(c.roles(), ['origin outside stream_idle link', 'origin d max_duration link'])
  for (const entry of c.locator.log.entries()) assert.equal(entry.subCause, 'waiting_on')
})

test('a route timeout after the head is the application that took too long, or whom it waits for', () => {
  const late = (c: Sidecar, inbound: Stream) => {
    inbound.failures.attemptFailed({ kind: 'route_timeout', details: '' })
    breakOff(inbound, 'response_timeout', ResponseFlag.UpstreamRequestTimeout)
    return c.roles()
  }
  const c = new Sidecar()
  assert.deepEqual(late(c, c.inbound()), ['origin c app_timeout exact'])
  const waiting = new Sidecar()
  const inbound = waiting.inbound()
  waiting.call(inbound)
  assert.deepEqual(late(waiting, inbound), ['origin d timeout link'])
})

test('what this sidecar answered itself before any head was sent is decided there, and not once more at its end', () => {
  const c = new Sidecar()
  c.inbound().local(504, 'stream_idle_timeout', ResponseFlag.StreamIdleTimeout)
  assert.deepEqual(c.roles(), ['origin c stream_idle exact'])
  const check = c.inbound()
  check.info.healthCheck = true
  check.local(504, 'stream_idle_timeout', ResponseFlag.StreamIdleTimeout)
  assert.equal(c.roles().length, 1)
})

test('nothing is said of a cut at an edge, nor when the caller is gone or all was well', () => {
  const c = new Sidecar()
  const cut = (stream: ReturnType<Sidecar['inbound']>) => {
    stream.info.responseCode = 200
    return stream.failures.responseCut(stream.info, new Headers())
  }
  const edge = c.inbound({ edge: true })
  edge.failures.attemptFailed({ kind: 'terminated', details: '' })
  assert.equal(cut(edge), undefined)
  assert.equal(cut(c.inbound()), undefined)
  const left = c.inbound()
  left.info.responseFlags |= ResponseFlag.DownstreamRemoteReset
  left.failures.attemptFailed({ kind: 'terminated', details: '' })
  assert.equal(cut(left), undefined)
})

test('gRPC: a status in the trailers is a failure, and the record goes there', () => {
  const c = new Sidecar()
  const inbound = c.inbound()
  inbound.info.responseCode = 200
  assert.equal(inbound.failures.responseHead(inbound.info, new Headers()), undefined)
  const trailers = new Headers()
  trailers.set('grpc-status', '13')
  inbound.failures.responseTrailers(inbound.info, trailers)
  assert.match(trailers.get('proxy-status')!, /failure-origin=c; failure-cause=app_error/)
  inbound.end()
  assert.equal(c.roles().length, 1)
  const call = c.call(c.inbound())
  call.info.responseCode = 200
  const received = withRecord()
  received.set('grpc-status', '14')
  call.failures.attemptTrailers(received, call.info)
  call.failures.responseTrailers(call.info, received)
  assert.match(received.get('proxy-status')!, /failure-path="x,d,c"/)
})

test('a plain Envoy in the mesh: the next hop is named, with confidence link', () => {
  const c = new Sidecar()
  const headers = new Headers()
  headers.set(
    'proxy-status',
    'd-ingress; error=connection_refused; details="upstream_reset_before_response_started{x}; UF"',
  )
  const inbound = c.inbound()
  c.call(inbound).answer(503, headers)
  assert.match(headers.get('proxy-status')!, /^d-ingress; .*, c; error=connection_refused; failure-origin=d;/)
  inbound.answer(503)
  assert.equal(c.roles().at(-1), 'propagated d connect_refused link')
})

test('own and blocked seconds add up to the duration', () => {
  const c = new Sidecar()
  const inbound = c.inbound()
  c.clock.advance(10)
  const call = c.call(inbound)
  c.clock.advance(29)
  call.answer(200)
  c.clock.advance(9)
  inbound.answer(200)
  assert.ok(Math.abs(c.stats.sum('hopwise_own_seconds_total') - 0.02) < 1e-9)
  assert.ok(Math.abs(c.stats.sum('hopwise_blocked_seconds_total', 'on="d"') - 0.03) < 1e-9)
})

test('labels are bounded: names beyond the limit are other', () => {
  const c = new Sidecar({ maxLabelNames: 5 })
  for (let i = 0; i < 20; i++) {
    const record = { ...FROM_D, origin: `s${i}`, path: [`s${i}`, 'd'], link: `s${i}` }
    c.call(undefined).answer(500, withRecord(record))
  }
  assert.equal(c.stats.sum('hopwise_failures_total', 'role="propagated"'), 20)
  assert.ok(c.stats.sum('hopwise_failures_total', 'role="propagated"', 'origin="other"') >= 15)
})
