import assert from 'node:assert/strict'
import { test } from 'node:test'
import { callOrder } from '../../../sidecar/failure-origin/claim-order.ts'
import { EgressCall, InboundEntry, Ledger } from '../../../sidecar/failure-origin/ledger.ts'
import { FROM_D, Sidecar, withRecord } from './sidecar-by-hand.ts'

const other = { ...FROM_D, id: 'bbcdef0123456789' }

test('a request does not take the call of one that came later, and leave it with none', () => {
  const c = new Sidecar()
  const first = c.inbound()
  const callOfFirst = c.call(undefined)
  const second = c.inbound()
  const callOfSecond = c.call(undefined)
  callOfFirst.answer(500, withRecord())
  c.clock.advance(3)
  // By time alone this is the better reason for what fails next.
  callOfSecond.answer(500, withRecord(other))
  first.answer(500)
  second.answer(500)
  const ids = c.locator.log.entries().flatMap(entry => (entry.side === 'inbound' ? [`${entry.role} ${entry.id}`] : []))
  assert.deepEqual(ids, [`propagated ${FROM_D.id}`, `propagated ${other.id}`])
})

/** Requests and calls in the order of `script`: `r` a request comes, `c` a call is sent. */
function ledgerOf(script: string): { ledger: Ledger; entries: InboundEntry[]; calls: EgressCall[] } {
  const ledger = new Ledger(100)
  const entries: InboundEntry[] = []
  const calls: EgressCall[] = []
  for (const [ms, what] of [...script].entries()) {
    if (what === 'r') {
      const entry = new InboundEntry(ms, '', '', `r${ms}`, false)
      ledger.inboundStart(entry)
      entries.push(entry)
    } else {
      const call = new EgressCall(ms)
      ledger.egressStart(call, '', '', '')
      calls.push(call)
    }
  }
  return { ledger, entries, calls }
}

/** Which of the calls, by index, the request of that index can have sent. */
function allowed(script: string, index: number, { waits = [] as number[], ended = [] as number[] } = {}): number[] {
  const { ledger, entries, calls } = ledgerOf(script)
  for (const i of ended) ledger.inboundEnd(entries[i]!, 10)
  const order = callOrder(ledger, waits, [], 0, undefined, () => true)!
  const { seq } = entries[index]!
  return [...calls.keys()].filter(i => calls[i]!.startSeq >= seq && order.allows(calls[i]!, seq))
}

test('as many calls as requests: each is of the first that can have sent it', () => {
  assert.deepEqual(allowed('rcrcrc', 0), [0])
  assert.deepEqual(allowed('rcrcrc', 1), [1])
  // Either can have sent either.
  assert.deepEqual(allowed('rrccrc', 0), [0, 1])
  assert.deepEqual(allowed('rrccrc', 1), [0, 1])
})

test('nothing follows where a request has no call, nor where one may have several', () => {
  assert.deepEqual(allowed('rrcrc', 0), [0, 1])
  assert.deepEqual(allowed('rccrcrc', 1), [2, 3])
  assert.deepEqual(allowed('rrcccrc', 0), [0, 1, 2, 3])
})

test('who has timed out and waits to hear which call was his is counted', () => {
  assert.deepEqual(allowed('rrccrc', 1, { ended: [0] }), [0, 1, 2], 'more calls than requests')
  assert.deepEqual(allowed('rrccrc', 1, { ended: [0], waits: [1] }), [0, 1])
})

test('a call that is given up is not taken for that of a request whose call is another', () => {
  const c = new Sidecar()
  const [first, second, third] = [1, 2, 3].map(() => {
    const inbound = c.inbound()
    c.clock.advance(1)
    return { inbound, call: c.call(undefined) }
  })
  c.clock.advance(1000)
  for (const { inbound } of [first!, second!]) {
    inbound.timedOut()
  }
  // The application hears of both in one moment, and gives up the second call first.
  second!.call.gone()
  first!.call.gone()
  third!.inbound.timedOut()
  third!.call.gone()
  const entries = c.locator.log.entries()
  const told = entries.flatMap(entry => (entry.side === 'inbound' ? [`${entry.origin} ${entry.cause}`] : []))
  assert.deepEqual(told, ['d timeout', 'd timeout', 'd timeout'])
  const ids = entries.flatMap(({ side, id }) => (side === 'inbound' ? [id] : []))
  const aliases = entries.flatMap(({ side, aliases }) => (side === 'outbound' ? aliases : []))
  assert.deepEqual(aliases, [ids[1], ids[0], ids[2]])
})
