import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CalleeState } from '../../../sidecar/failure-origin/call-target.ts'
import { EgressCall, InboundEntry, Ledger } from '../../../sidecar/failure-origin/ledger.ts'

const counter = { inc() {}, add() {} } as never

/** A ledger and one callee, driven by hand. */
class Bench {
  readonly ledger = new Ledger(1000)
  readonly callee = new CalleeState({ clusterName: 'x', serviceName: 'x', external: false }, 'x', counter, [
    counter,
    counter,
  ])
  nowMs = 1
  readonly #inFlight: InboundEntry[] = []

  arrive(): void {
    const entry = new InboundEntry(this.nowMs, '', '', '', false)
    this.ledger.inboundStart(entry)
    this.#inFlight.push(entry)
  }

  leave(): void {
    this.ledger.inboundEnd(this.#inFlight.shift()!, this.nowMs)
  }

  call(): void {
    const { ledger, nowMs } = this
    const call = new EgressCall(nowMs)
    ledger.egressStart(call, '', '', '')
    this.callee.countLoose(nowMs, call.confidence === 'none', ledger.idleMs(nowMs), ledger.busyMs(nowMs))
    ledger.egressEnd(call, nowMs)
  }

  get share(): number {
    return this.callee.backgroundShare(this.ledger.idleMs(this.nowMs), this.ledger.busyMs(this.nowMs))
  }
}

test('a job that began a while ago explains its calls, though requests have been in flight ever since', () => {
  const bench = new Bench()
  bench.arrive()
  bench.nowMs += 5
  bench.leave()
  // A long time in which the job did not run yet says nothing of it.
  bench.nowMs += 600_000
  for (let i = 0; i < 50; i++, bench.nowMs += 10) bench.call()
  bench.arrive()
  for (let i = 0; i < 3000; i++, bench.nowMs += 10) {
    bench.call()
    bench.arrive()
    bench.leave()
  }
  assert.ok(bench.share > 0.9, String(bench.share))
})

test('calls that are made only while requests are in flight are no background work', () => {
  const bench = new Bench()
  for (let i = 0; i < 200; i++) {
    bench.nowMs += 10
    bench.arrive()
    bench.call()
    bench.nowMs += 5
    bench.leave()
  }
  assert.equal(bench.share, 0)
})

test('a job beside calls of requests explains its part of them', () => {
  const bench = new Bench()
  for (let i = 0; i < 400; i++) {
    bench.nowMs += 10
    bench.call()
    bench.arrive()
    bench.nowMs += 10
    // One of the job, one of the request.
    bench.call()
    bench.call()
    bench.leave()
  }
  assert.ok(Math.abs(bench.share - 0.5) < 0.05, String(bench.share))
})
