import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CalleeState } from '../../../sidecar/failure-origin/call-target.ts'
import { EgressCall, InboundEntry, Ledger } from '../../../sidecar/failure-origin/ledger.ts'

function entry(
  ledger: Ledger,
  ids: { trace?: string; span?: string; request?: string } = {},
  startMs = 0,
): InboundEntry {
  const made = new InboundEntry(startMs, ids.trace ?? '', ids.span ?? '', ids.request ?? '', false)
  ledger.inboundStart(made)
  return made
}

function call(ledger: Ledger, trace = '', parent = '', request = '', startMs = 1): EgressCall {
  const made = new EgressCall(startMs)
  ledger.egressStart(made, trace, parent, request)
  return made
}

test('exact by parent span, by x-request-id; trace by trace id alone; none with nothing in flight', () => {
  const ledger = new Ledger(100)
  assert.equal(call(ledger, 't1', 's1', 'r1').confidence, 'none')
  const one = entry(ledger, { trace: 't1', span: 's1', request: 'r1' })
  const two = entry(ledger, { trace: 't2', span: 's2', request: 'r2' })
  const bySpan = call(ledger, 't1', 's1')
  assert.deepEqual([bySpan.confidence, bySpan.entry === one], ['exact', true])
  const byTrace = call(ledger, 't2', 'application-span')
  assert.deepEqual([byTrace.confidence, byTrace.entry === two], ['trace', true])
  const byRequestId = call(ledger, '', '', 'r2')
  assert.deepEqual([byRequestId.confidence, byRequestId.entry === two], ['exact', true])
  assert.equal(call(ledger).confidence, 'likely')
  assert.equal(call(ledger, 'unknown', 'x', 'unknown').confidence, 'likely')
})

test('an untraced request is found by its x-request-id', () => {
  const ledger = new Ledger(100)
  const one = entry(ledger, { request: 'r1' })
  entry(ledger, { request: 'r2' })
  const found = call(ledger, '', '', 'r1')
  assert.deepEqual([found.confidence, found.entry === one], ['exact', true])
})

test('two calls with the same ids both match; an id of two entries is no longer exact', () => {
  const ledger = new Ledger(100)
  entry(ledger, { trace: 't', span: 's1', request: 'r' })
  assert.equal(call(ledger, 't', 's1').confidence, 'exact')
  assert.equal(call(ledger, 't', 's1').confidence, 'exact')
  const second = entry(ledger, { trace: 't', span: 's2', request: 'r' })
  assert.equal(call(ledger, 't', 's2').entry, second, 'the span still tells them apart')
  const ambiguous = call(ledger, 't', 'application', 'r')
  assert.deepEqual([ambiguous.confidence, ambiguous.entry, ambiguous.candidates], ['likely', undefined, 2])
  assert.equal(call(ledger, '', '', 'r').confidence, 'likely')
  ledger.inboundEnd(second, 5)
  assert.equal(call(ledger, 't', 'application', 'r').confidence, 'exact')
})

test('unique is judged again: another request that comes during the call ends it', () => {
  const ledger = new Ledger(100)
  const one = entry(ledger)
  const alone = call(ledger)
  assert.deepEqual([alone.confidence, alone.entry === one, ledger.isMatched(alone)], ['unique', true, true])
  const two = entry(ledger)
  assert.equal(ledger.isMatched(alone), false)
  ledger.inboundEnd(two, 3)
  assert.equal(ledger.isMatched(alone), false, 'also when it has gone again')
  assert.equal(ledger.isMatched(call(ledger)), true)
})

test('blocked time is the union of the calls, given to the call waited for longest', () => {
  const seconds = new Map<string, number>()
  const target = (name: string) =>
    new CalleeState(
      { clusterName: name, serviceName: name, external: false },
      name,
      { inc() {}, add: n => seconds.set(name, (seconds.get(name) ?? 0) + n) },
      [
        { inc() {}, add() {} },
        { inc() {}, add() {} },
      ],
    )
  const ledger = new Ledger(100)
  const one = entry(ledger, { trace: 't', span: 's' })
  const start = (name: string, ms: number) => {
    const made = call(ledger, 't', 's', '', ms)
    made.target = target(name)
    return made
  }
  const b = start('b', 10)
  const c = start('c', 20)
  ledger.egressEnd(b, 40)
  const d = start('d', 50)
  ledger.egressEnd(d, 55)
  ledger.egressEnd(c, 60)
  ledger.egressEnd(c, 99)
  const e = start('e', 80)
  ledger.inboundEnd(one, 90)
  ledger.egressEnd(e, 200)
  assert.equal(one.blockedMs, 60)
  assert.deepEqual(
    [...seconds].map(([name, s]) => [name, Math.round(s * 1000)]),
    [
      ['b', 30],
      ['c', 20],
      ['e', 10],
    ],
  )
})

test('entries come and go in any order without a trace; more than the limit are counted', () => {
  const ledger = new Ledger(50)
  const entries = Array.from({ length: 60 }, (_, i) =>
    entry(ledger, { trace: `t${i % 7}`, span: `s${i}`, request: `r${i % 5}` }),
  )
  assert.equal(ledger.overflowed, 10)
  call(ledger, '', '', 'r1')
  const order = entries.map((_, i) => (i * 37) % 60)
  for (const i of order) ledger.inboundEnd(entries[i]!, 1)
  assert.deepEqual([ledger.size, ledger.inFlight], [0, 0])
  assert.equal(call(ledger, 't1', 's1', 'r1').confidence, 'none')
  for (const one of entries) assert.equal(one.next ?? one.previous ?? one.sameKey ?? one.sameRequestId, undefined)
})

test('the index by x-request-id goes again when it finds nothing', () => {
  const ledger = new Ledger(50)
  const one = entry(ledger, { trace: 't', span: 's', request: 'r' })
  for (let i = 0; i < 5000; i++) ledger.egressEnd(call(ledger, '', '', `background-${i}`), 2)
  ledger.sweep()
  assert.notEqual(call(ledger, '', '', 'r').confidence, 'exact')
  ledger.sweep()
  assert.equal(call(ledger, '', '', 'r').confidence, 'exact')
  assert.equal(call(ledger, '', '', 'r').entry, one, 'and comes back when it is asked for')
})
