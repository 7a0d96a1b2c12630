/**
 * One ledger over several worker threads. A request comes in through one worker, and the application's call may go out
 * through another: so every worker tells the others what goes into its ledger, and they keep it too, as entries and calls
 * that are somebody else's ({@link RemoteEntry}, {@link RemoteCall}). Each of them can then match and judge like a sidecar
 * with one thread, with all that it knows.
 *
 *     worker 1   inbound ──told──► forwarded ─ ─ ─ application ─ ─ ─► answer fails ──read──► judged
 *     worker 2                                   call ──read──► matched ──told──► fails ──told──► answered
 *
 * What matters is told before the application can know of it, and all is read before a call is matched or a failure is
 * judged (`ledger-ring.ts`): whoever acts on something that was told knows it. Each part of a failure is counted and
 * logged by one worker: an inbound request by the one that serves it, a call by the one that makes it.
 *
 * Two workers that judge in the same moment may take the same call for two requests, where calls carry no ids.
 */
import { PassingMap } from '../base/passing-map.ts'
import type { CalleeState } from './call-target.ts'
import type { Claims } from './claim.ts'
import type { Callee } from './contract.ts'
import { derivedId } from './deadline.ts'
import { EgressCall, InboundEntry, type Ledger } from './ledger.ts'
import { type RingReader, RingsReader, RingWriter } from './ledger-ring.ts'
import type { Confidence, FailureRecord } from './record.ts'

export interface LedgerShare {
  readonly worker: number
  /** A ring for each worker (`ledgerRing`). */
  readonly rings: readonly SharedArrayBuffer[]
  /** Another worker should read what was told, though it may have nothing to do. */
  readonly onLag: (worker: number) => void
}

const INBOUND = 1
const DEADLINE = 2
const INBOUND_END = 3
const CALL = 4
const CALL_FAILED = 5
const CALL_END = 6
const TOOK = 7
const WAITS = 8
const UNEXPLAINED = 9
const CALLEE = 10
/** Numbers of each type of record. */
const NUMBERS = [0, 5, 2, 4, 7, 4, 3, 2, 4, 3, 2] as const
const numbersOf = (type: number): number => NUMBERS[type] ?? 0

const CONFIDENCES: readonly Confidence[] = ['exact', 'trace', 'unique', 'likely', 'none']
const NOBODY = -1
/** Failed calls that are still known by number, for requests that take them as their reason. */
const MAX_FAILED = 16_384

class RemoteEntry extends InboundEntry {
  /** The worker that serves it. */
  home = 0

  override get isRemote(): boolean {
    return true
  }
}

class RemoteCall extends EgressCall {
  /** The worker that makes it. */
  home = 0
  /** x-request-id, span id on the wire and path, a line each: taken apart when they are asked for. */
  ids = ''

  override get isRemote(): boolean {
    return true
  }

  override linkId(): string {
    const [requestId = '', wireSpanId = '', path = ''] = this.ids.split('\n')
    return this.target === undefined ? '' : derivedId(this.target.serviceName, requestId, wireSpanId, path)
  }
}

/** What one worker has in its ledger, by the numbers it gives. */
class Numbered<E, C extends EgressCall> {
  readonly entries = new PassingMap<number, E>()
  readonly calls = new PassingMap<number, C>()
  readonly failed = new PassingMap<number, C>()

  call(number: number): C | undefined {
    return this.calls.get(number) ?? this.failed.get(number)
  }

  fail(number: number, call: C): void {
    this.calls.delete(number)
    if (this.failed.size >= MAX_FAILED) this.failed.delete(this.failed.keys().next().value!)
    this.failed.set(number, call)
  }
}

export class LedgerSharing {
  readonly #worker: number
  readonly #ledger: Ledger
  readonly #claims: Claims
  readonly #target: (callee: Callee) => CalleeState
  readonly #writer: RingWriter
  readonly #rings: RingsReader
  readonly #own = new Numbered<InboundEntry, EgressCall>()
  readonly #others: readonly Numbered<RemoteEntry, RemoteCall>[]
  /** Callees by the number this worker tells them by, and by the numbers that others do. */
  readonly #callees = new Map<CalleeState, number>()
  readonly #calleesOf: readonly Map<number, CalleeState>[]
  #number: number
  #lost = 0

  /** `nowMs`: the shared clock. Numbers begin with it, so that they differ from those of a worker that has died. */
  constructor(
    { worker, rings, onLag }: LedgerShare,
    ledger: Ledger,
    claims: Claims,
    target: (callee: Callee) => CalleeState,
    nowMs: number,
  ) {
    this.#worker = worker
    this.#ledger = ledger
    this.#claims = claims
    this.#target = target
    this.#writer = new RingWriter(rings, worker, onLag)
    this.#rings = new RingsReader(rings, worker)
    this.#others = rings.map(() => new Numbered<RemoteEntry, RemoteCall>())
    this.#calleesOf = rings.map(() => new Map<number, CalleeState>())
    this.#number = firstNumber(nowMs)
    claims.onUnexplained = (own, atMs, cut) => this.#writer.write(UNEXPLAINED, [own ? 1 : 0, atMs, cut ? 1 : 0], [])
  }

  /** Records of other workers that came too fast to be read, and own ones that were too long, since last asked. */
  takeLost(): number {
    const lost = this.#rings.lost + this.#writer.dropped
    const fresh = lost - this.#lost
    this.#lost = lost
    return fresh
  }

  // What happens here is told.

  inboundStarted(entry: InboundEntry): void {
    if (!entry.inFlight) return
    const number = ++this.#number
    entry.shareId = number
    this.#own.entries.set(number, entry)
    const { startMs, deadlineMs, sampled, traceId, spanId, requestId } = entry
    // One text instead of three: reading them apart costs more than all the rest.
    const lengths = traceId.length * 65_536 + spanId.length
    this.#writer.write(INBOUND, [number, startMs, deadlineMs, sampled ? 1 : 0, lengths], [traceId + spanId + requestId])
  }

  deadlineKnown(entry: InboundEntry): void {
    if (entry.shareId !== 0) this.#writer.write(DEADLINE, [entry.shareId, entry.deadlineMs], [])
  }

  /** Before `Claims.inboundEnded`, which forgets its calls. */
  inboundEnded(entry: InboundEntry, path: string, failed: boolean, cancelled: boolean, endMs: number): void {
    const number = entry.shareId
    if (number === 0) return
    this.#own.entries.delete(number)
    const shown = entry.failedCalls === undefined ? '' : path.slice(0, 1024)
    this.#writer.write(INBOUND_END, [number, endMs, failed ? 1 : 0, cancelled ? 1 : 0], [shown])
  }

  callSent(call: EgressCall, requestId: string, wireSpanId: string, path: string): void {
    // Nothing was in flight: the call can be of no request, whatever comes of it.
    if (call.candidates === 0) return
    const number = ++this.#number
    call.shareId = number
    this.#own.calls.set(number, call)
    const { entry, target, startMs, confidence, candidates, ambiguousKey } = call
    const owner = entry === undefined ? NOBODY : entry instanceof RemoteEntry ? entry.home : this.#worker
    const callee = target === undefined ? 0 : this.#calleeNumber(target)
    this.#writer.write(
      CALL,
      [number, startMs, owner, entry?.shareId ?? 0, CONFIDENCES.indexOf(confidence), candidates, callee],
      [`${ambiguousKey}\n${requestId}\n${wireSpanId}\n${path.length > 2048 ? path.slice(0, 2048) : path}`],
    )
  }

  /** Tells the callees again, for workers that came later. From a timer. */
  tellCallees(): void {
    for (const [callee, number] of this.#callees) this.#tellCallee(callee, number)
  }

  #calleeNumber(callee: CalleeState): number {
    let number = this.#callees.get(callee)
    if (number === undefined) {
      number = this.#callees.size + 1
      this.#callees.set(callee, number)
      this.#tellCallee(callee, number)
    }
    return number
  }

  #tellCallee({ clusterName, serviceName, external }: CalleeState, number: number): void {
    this.#writer.write(CALLEE, [number, external ? 1 : 0], [clusterName, serviceName], true)
  }

  /** Before the application is answered. */
  callFailed(call: EgressCall): void {
    if (call.shareId === 0) this.callSent(call, '', '', '')
    const number = call.shareId
    if (number === 0 || call.record === undefined) return
    this.#own.fail(number, call)
    const { endMs, status, isAbandoned, record } = call
    this.#writer.write(CALL_FAILED, [number, endMs, status, isAbandoned ? 1 : 0], [JSON.stringify(record)], true)
  }

  callEnded(call: EgressCall, endMs: number): void {
    const number = call.shareId
    if (number === 0) return
    this.#own.calls.delete(number)
    this.#writer.write(CALL_END, [number, endMs, call.record === undefined ? 1 : 0], [])
  }

  /** A request of this worker has taken the call, whosever it is, as the reason of its failure. */
  took(call: EgressCall): void {
    if (call.shareId === 0) return
    this.#writer.write(TOOK, [this.#homeOf(call), call.shareId], [])
  }

  /** A request of this worker has been answered as `recordId`, waiting for the call. */
  waits(call: EgressCall, entry: InboundEntry, recordId: string, nowMs: number): void {
    if (call.shareId === 0) return
    this.#writer.write(WAITS, [this.#homeOf(call), call.shareId, entry.shareId, nowMs], [recordId])
  }

  /** A request of this worker was given up as `recordId`, and no call was found that it waited for. */
  waitsForNone(entry: InboundEntry, recordId: string, nowMs: number): void {
    if (entry.shareId !== 0) this.#writer.write(WAITS, [NOBODY, 0, entry.shareId, nowMs], [recordId])
  }

  // What was told elsewhere is read.

  /** Takes in all that other workers have told until now. */
  drain(): void {
    this.#rings.drain(numbersOf, this.#replay, this.#onLost)
  }

  /** The worker has died, or what it told was lost: forgets what of its ledger has numbers up to `last`. */
  forget(worker: number, last: number, nowMs = 0): void {
    const { entries, calls, failed } = this.#others[worker]!
    for (const [number, call] of calls) {
      if (number > last) continue
      calls.delete(number)
      this.#ledger.egressEnd(call, Math.max(nowMs, call.startMs))
    }
    for (const number of failed.keys()) if (number <= last) failed.delete(number)
    for (const [number, entry] of entries) {
      if (number > last) continue
      entries.delete(number)
      const endMs = Math.max(nowMs, entry.startMs)
      this.#ledger.inboundEnd(entry, endMs)
      this.#claims.inboundEnded(entry, '', false, true)
    }
  }

  /** What ended meanwhile is not known: nothing of that worker is believed to be in flight. */
  readonly #onLost = (worker: number): void => this.forget(worker, Number.POSITIVE_INFINITY)

  readonly #replay = (ring: RingReader): void => {
    const { worker } = ring
    const from = this.#others[worker]!
    switch (ring.type) {
      case INBOUND:
        this.#replayInbound(worker, from, ring)
        return
      case DEADLINE: {
        const entry = from.entries.get(ring.number())
        if (entry !== undefined) entry.deadlineMs = ring.number()
        return
      }
      case INBOUND_END: {
        const number = ring.number()
        const [endMs, failed, cancelled] = [ring.number(), ring.number(), ring.number()]
        const path = ring.text()
        const entry = from.entries.get(number)
        if (entry === undefined || !ring.intact) return
        from.entries.delete(number)
        this.#ledger.inboundEnd(entry, endMs)
        this.#claims.inboundEnded(entry, path, failed === 1, cancelled === 1)
        return
      }
      case CALL:
        this.#replayCall(worker, from, ring)
        return
      case CALLEE: {
        const number = ring.number()
        const external = ring.number() === 1
        const clusterName = ring.text()
        const serviceName = ring.utf8()
        if (ring.intact) this.#calleesOf[worker]!.set(number, this.#target({ clusterName, serviceName, external }))
        return
      }
      case CALL_FAILED: {
        const number = ring.number()
        const [endMs, status, abandoned] = [ring.number(), ring.number(), ring.number()]
        const text = ring.utf8()
        const call = from.calls.get(number)
        if (call === undefined || !ring.intact) return
        from.fail(number, call)
        call.record = JSON.parse(text) as FailureRecord
        call.endMs = endMs
        call.status = status
        call.isAbandoned = abandoned === 1
        if (call.isAbandoned) this.#claims.callGivenUp(call, endMs)
        this.#claims.callFailed(call)
        return
      }
      case CALL_END: {
        const number = ring.number()
        const [endMs, succeeded] = [ring.number(), ring.number()]
        const call = from.call(number)
        if (call === undefined || !ring.intact) return
        from.calls.delete(number)
        if (succeeded === 1) this.#claims.callSucceeded(call, endMs)
        this.#ledger.egressEnd(call, endMs)
        return
      }
      case TOOK: {
        const call = this.#callOf(ring.number(), ring.number())
        if (call !== undefined && ring.intact) call.claimed = true
        return
      }
      case UNEXPLAINED: {
        const own = ring.number() === 1
        const [atMs, cut] = [ring.number(), ring.number() === 1]
        if (ring.intact) this.#claims.countUnexplained(own, atMs, cut)
        return
      }
      case WAITS: {
        const home = ring.number()
        const call = this.#callOf(home, ring.number())
        const entry = from.entries.get(ring.number())
        const [nowMs, recordId] = [ring.number(), ring.text()]
        if (entry === undefined || !ring.intact) return
        if (home === NOBODY) this.#claims.waitsForNone(entry, recordId, nowMs)
        else if (call !== undefined) this.#claims.waits(call, entry, recordId, nowMs)
      }
    }
  }

  #replayInbound(worker: number, from: Numbered<RemoteEntry, RemoteCall>, ring: RingReader): void {
    const number = ring.number()
    const startMs = ring.number()
    const deadlineMs = ring.number()
    const sampled = ring.number() === 1
    const lengths = ring.number()
    const text = ring.text()
    if (!ring.intact) return
    const span = Math.floor(lengths / 65_536)
    const request = span + (lengths % 65_536)
    const entry = new RemoteEntry(startMs, text.slice(0, span), text.slice(span, request), text.slice(request), sampled)
    entry.home = worker
    entry.shareId = number
    entry.deadlineMs = deadlineMs
    if (this.#ledger.inboundStart(entry)) from.entries.set(number, entry)
    else this.#ledger.inboundEnd(entry, startMs)
  }

  #replayCall(worker: number, from: Numbered<RemoteEntry, RemoteCall>, ring: RingReader): void {
    const number = ring.number()
    const call = new RemoteCall(ring.number())
    const owner = ring.number()
    const entryNumber = ring.number()
    call.confidence = CONFIDENCES[ring.number()] ?? 'likely'
    call.candidates = ring.number()
    const callee = ring.number()
    const text = ring.text()
    if (!ring.intact) return
    call.home = worker
    call.shareId = number
    const end = text.indexOf('\n')
    if (end > 0) call.ambiguousKey = text.slice(0, end)
    call.ids = text.slice(end + 1)
    call.target = this.#calleesOf[worker]!.get(callee)
    if (owner !== NOBODY) {
      call.entry = (owner === this.#worker ? this.#own : this.#others[owner])?.entries.get(entryNumber)
      // Of a request that has ended, or that this worker has not heard of.
      if (call.entry === undefined) return
      if (call.confidence === 'exact' || call.confidence === 'trace') call.entry.copiesIds = true
    }
    from.calls.set(number, call)
    this.#ledger.open(call)
    this.#claims.callSent(call)
  }

  #callOf(home: number, number: number): EgressCall | undefined {
    return home === this.#worker ? this.#own.call(number) : this.#others[home]?.call(number)
  }

  #homeOf(call: EgressCall): number {
    return call instanceof RemoteCall ? call.home : this.#worker
  }
}

/** Above all numbers that were given before this moment, by whichever thread. */
export function firstNumber(nowMs: number): number {
  // A million a second are not given.
  return Math.floor(nowMs * 1000)
}
