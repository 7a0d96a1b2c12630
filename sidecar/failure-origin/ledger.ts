/**
 * The ledger: which egress call belongs to which inbound request, across an application that may not help.
 *
 * It holds an entry per inbound request in flight and matches each egress call when it is sent:
 *
 *     exact    its parent is the span we gave, or its x-request-id belongs to exactly one entry
 *     trace    same trace id, one entry
 *     unique   no ids of ours, and exactly one inbound in flight from the call's start to its end (judged again then)
 *     likely   several could have sent it: judged when an inbound fails (see `claim.ts`)
 *     none     nothing in flight when it was sent: background work
 *
 * Entries stand in one Map, by trace id or, untraced, by x-request-id; entries of one trace form a chain behind the first.
 * A second Map, by x-request-id, is built only once an application turns out to copy that header and not the trace's, so
 * that all others pay for one Map set and delete per request. Calls that are not surely matched stand in a list of
 * their own while open (`loose`), for requests that time out.
 *
 * Everything here is plain objects of one thread. With several worker threads each has a ledger with all requests and
 * calls of the process; those of other workers come from `ledger-sharing.ts`.
 */
import { PassingMap } from '../base/passing-map.ts'
import type { CalleeState } from './call-target.ts'
import type { Confidence, FailureRecord } from './record.ts'
import type { Wait } from './waits.ts'

/** Entries of one trace looked through; a trace that loops more often through one service is ambiguous anyway. */
const MAX_CHAIN = 64
/** Egress calls after which the index by x-request-id is dropped when it found nothing. */
const INDEX_TRIAL = 4096
/** Sweeps until the next trial, at most. */
const LONGEST_PAUSE = 64

export class InboundEntry {
  readonly startMs: number
  readonly traceId: string
  readonly spanId: string
  readonly requestId: string
  readonly sampled: boolean
  /** Number among all inbound requests; 0 when it is not in the ledger. */
  seq = 0
  inFlight = false
  /** When the caller gives up, on the clock of `startMs`. */
  deadlineMs = Number.POSITIVE_INFINITY
  sameKey: InboundEntry | undefined = undefined
  /** Has shared its key with another, so leaving takes more than a delete. */
  isChained = false
  sameRequestId: InboundEntry | undefined = undefined
  previous: InboundEntry | undefined = undefined
  next: InboundEntry | undefined = undefined
  /** Matched calls in flight, oldest first: whom the request waits for. */
  openHead: EgressCall | undefined = undefined
  openTail: EgressCall | undefined = undefined
  /** Since when the head of the open calls is waited for. */
  segmentMs = 0
  blockedMs = 0
  /** The application put ids of this request into a call: its calls without ids are then not of this request. */
  copiesIds = false
  failedCalls: EgressCall[] | undefined = undefined
  /** The last matched call that the application gave up. */
  abandoned: EgressCall | undefined = undefined
  /** What other worker threads know it by; 0 where there are none. */
  shareId = 0

  constructor(startMs: number, traceId: string, spanId: string, requestId: string, sampled: boolean) {
    this.startMs = startMs
    this.traceId = traceId
    this.spanId = spanId
    this.requestId = requestId
    this.sampled = sampled
  }

  /** Served by another worker thread, which counts its time. */
  get isRemote(): boolean {
    return false
  }
}

export class EgressCall {
  readonly startMs: number
  /** The ledger's count of inbound requests when this was sent: requests with a higher number came later. */
  startSeq = 0
  /** Inbound requests that could have sent it. */
  candidates = 0
  entry: InboundEntry | undefined = undefined
  confidence: Confidence = 'none'
  target: CalleeState | undefined = undefined
  open = false
  openPrevious: EgressCall | undefined = undefined
  openNext: EgressCall | undefined = undefined
  loosePrevious: EgressCall | undefined = undefined
  looseNext: EgressCall | undefined = undefined
  endMs = 0
  /** What the application was answered, for failures; 0 for none. */
  status = 0
  record: FailureRecord | undefined = undefined
  /** An inbound request has taken this call as the reason of its failure. */
  claimed = false
  /** The request that answered while it was probably waiting for this call. */
  waitedBy: Wait | undefined = undefined
  /** A later call to the same callee succeeded. */
  repaired = false
  /** Trace or request id it shares with several entries: only those can have sent it. '' otherwise. */
  ambiguousKey = ''
  /** Given up by the application rather than failed. */
  isAbandoned = false
  /** What other worker threads know it by; 0 while they do not. */
  shareId = 0
  /** The ledger's integral of shares when this was sent; below 0 for calls that have none. */
  shareMs = -1

  constructor(startMs: number) {
    this.startMs = startMs
  }

  /** Made by another worker thread, which counts and logs what comes of it. */
  get isRemote(): boolean {
    return false
  }

  /** Its own sidecar holds it back on purpose, or did for longer than its callee has had. */
  isHeldBack(_nowMs: number): boolean {
    return false
  }

  /** The id both ends of the call derive for a failure of which no record came; '' when there is no request id. */
  linkId(): string {
    return ''
  }
}

export class Ledger {
  readonly #maxInFlight: number
  readonly #byKey = new PassingMap<string, InboundEntry>()
  #byRequestId: PassingMap<string, InboundEntry> | undefined = undefined
  #indexUses = 0
  #indexHits = 0
  #indexPause = 0
  #nextPause = 1
  #oldest: InboundEntry | undefined = undefined
  #newest: InboundEntry | undefined = undefined
  /** Oldest open call that is not surely matched. */
  looseHead: EgressCall | undefined = undefined
  #looseTail: EgressCall | undefined = undefined
  /** Inbound requests so far, and those in flight, those without an entry included. */
  starts = 0
  inFlight = 0
  /** Time without and with inbound requests in flight, up to the last change from one to the other. */
  #idleMs = 0
  #busyMs = 0
  #turnedMs = 0
  /** Requests that got no entry because there were too many. */
  overflowed = 0
  /** False where no listener takes requests for an application: then nobody's calls can be background work. */
  hasInboundSide = false
  /**
   * Waiting for calls of which only is known that some request in flight has sent them: whose time that was cannot be said,
   * but how much time it was can. One request waits for each such call, and no more requests wait than do not wait for
   * calls of their own. So a call's share is the integral of `min(1, free requests / such calls)` while it is open.
   */
  #shareMs = 0
  #sharedUntilMs = 0
  /** Such calls that are open, and requests that wait for a call known to be theirs. */
  #sharing = 0
  #waiting = 0
  /** Of these calls those that this worker makes, which takes them off its requests' own time. */
  #sharingHere = 0
  /** Oldest loose call whose sender may still be in flight. */
  #sharedHead: EgressCall | undefined = undefined
  /** Of those shares, what no request's own time was lessened by yet; negative when it was by too much. */
  #debtMs = 0

  constructor(maxInFlight: number) {
    this.#maxInFlight = maxInFlight
  }

  /** Requests with an entry, and whether the Maps are as small as that; for tests and `/memory`. */
  get size(): number {
    return this.#byKey.size
  }

  /** Of the requests in flight; the others follow by `next`. */
  get oldest(): InboundEntry | undefined {
    return this.#oldest
  }

  get oldestSeq(): number {
    return this.#oldest === undefined ? this.starts + 1 : this.#oldest.seq
  }

  /** Milliseconds without any inbound request in flight, since the first one. */
  idleMs(nowMs: number): number {
    return this.inFlight > 0 || this.#turnedMs === 0 ? this.#idleMs : this.#idleMs + nowMs - this.#turnedMs
  }

  /** Milliseconds with inbound requests in flight. */
  busyMs(nowMs: number): number {
    return this.inFlight > 0 ? this.#busyMs + nowMs - this.#turnedMs : this.#busyMs
  }

  inboundStart(entry: InboundEntry): boolean {
    this.starts++
    if (this.#sharing > 0) this.#advance(entry.startMs)
    if (this.inFlight++ === 0) {
      if (this.#turnedMs > 0) this.#idleMs += entry.startMs - this.#turnedMs
      this.#turnedMs = entry.startMs
    }
    if (this.inFlight > this.#maxInFlight) {
      this.overflowed++
      return false
    }
    entry.seq = this.starts
    entry.inFlight = true
    const key = entry.traceId === '' ? entry.requestId : entry.traceId
    if (key !== '') {
      const first = this.#byKey.get(key)
      if (first === undefined) this.#byKey.set(key, entry)
      else {
        entry.sameKey = first.sameKey
        first.sameKey = entry
        first.isChained = entry.isChained = true
      }
    }
    if (this.#byRequestId !== undefined) this.#addRequestId(entry, this.#byRequestId)
    entry.previous = this.#newest
    if (this.#newest === undefined) this.#oldest = entry
    else this.#newest.next = entry
    this.#newest = entry
    return true
  }

  /** Forgets the request. Its open calls stay its own, so that what they still bring is not taken for another's. */
  inboundEnd(entry: InboundEntry, nowMs: number): void {
    if (this.#sharing > 0) this.#advance(nowMs)
    if (--this.inFlight === 0) {
      this.#busyMs += nowMs - this.#turnedMs
      this.#turnedMs = nowMs
    }
    if (!entry.inFlight) return
    if (entry.openHead !== undefined) {
      this.#closeSegment(entry, nowMs)
      this.#waiting--
    }
    entry.inFlight = false
    const key = entry.traceId === '' ? entry.requestId : entry.traceId
    if (key !== '' && !entry.isChained) this.#byKey.delete(key)
    else if (key !== '') {
      const first = this.#byKey.get(key)
      if (first === entry) {
        if (entry.sameKey === undefined) this.#byKey.delete(key)
        else this.#byKey.set(key, entry.sameKey)
      } else {
        for (let at = first; at !== undefined; at = at.sameKey) {
          if (at.sameKey !== entry) continue
          at.sameKey = entry.sameKey
          break
        }
      }
    }
    if (this.#byRequestId !== undefined) this.#removeRequestId(entry, this.#byRequestId)
    if (entry.previous === undefined) this.#oldest = entry.next
    else entry.previous.next = entry.next
    if (entry.next === undefined) this.#newest = entry.previous
    else entry.next.previous = entry.previous
    // A call that outlives its request holds the entry; through these it would hold every later one as well.
    entry.previous = entry.next = entry.sameKey = entry.sameRequestId = undefined
    if (this.#sharedHead !== undefined) this.#settleOrphans(nowMs)
  }

  /** Of the time a request did not wait for calls known to be its own, what remains when the others' shares are taken off. */
  takeOwnMs(ms: number): number {
    const taken = Math.min(Math.max(0, ms), this.#debtMs)
    this.#debtMs -= taken
    return ms - taken
  }

  /** Matches a call that is being sent. */
  egressStart(call: EgressCall, traceId: string, parentSpanId: string, requestId: string): void {
    call.candidates = this.inFlight
    if (this.inFlight > 0) this.#match(call, traceId, parentSpanId, requestId)
    this.open(call)
  }

  /** Takes in a call that is matched already. */
  open(call: EgressCall): void {
    call.startSeq = this.starts
    call.open = true
    const entry = call.entry
    if (entry !== undefined) {
      call.openPrevious = entry.openTail
      if (entry.openTail === undefined) {
        if (this.#sharing > 0) this.#advance(call.startMs)
        this.#waiting++
        entry.openHead = call
        entry.segmentMs = call.startMs
      } else entry.openTail.openNext = call
      entry.openTail = call
    }
    if (call.confidence === 'exact' || call.confidence === 'trace') return
    call.loosePrevious = this.#looseTail
    if (this.#looseTail === undefined) this.looseHead = call
    else this.#looseTail.looseNext = call
    this.#looseTail = call
    if (entry !== undefined || call.candidates === 0) return
    this.#advance(call.startMs)
    this.#sharing++
    if (!call.isRemote) this.#sharingHere++
    call.shareMs = this.#shareMs
    this.#sharedHead ??= call
  }

  /** The call is over, however it ended; nothing happens the second time. */
  egressEnd(call: EgressCall, nowMs: number): void {
    if (!call.open) return
    call.open = false
    // A failure has ended with its head, however long its body takes.
    if (call.endMs === 0) call.endMs = nowMs
    const entry = call.entry
    if (entry !== undefined) {
      if (entry.openHead === call) {
        this.#closeSegment(entry, nowMs)
        if (call.openNext === undefined && entry.inFlight) {
          if (this.#sharing > 0) this.#advance(nowMs)
          this.#waiting--
        }
      }
      if (call.openPrevious === undefined) entry.openHead = call.openNext
      else call.openPrevious.openNext = call.openNext
      if (call.openNext === undefined) entry.openTail = call.openPrevious
      else call.openNext.openPrevious = call.openPrevious
      call.openPrevious = call.openNext = undefined
    }
    if (call.confidence === 'exact' || call.confidence === 'trace') return
    if (call.shareMs >= 0) this.#settleShare(call, nowMs)
    if (this.#sharedHead === call) this.#sharedHead = call.looseNext
    if (call.loosePrevious === undefined) this.looseHead = call.looseNext
    else call.loosePrevious.looseNext = call.looseNext
    if (call.looseNext === undefined) this.#looseTail = call.loosePrevious
    else call.looseNext.loosePrevious = call.loosePrevious
    call.loosePrevious = call.looseNext = undefined
  }

  /** True for a call whose inbound request is known: by ids, or because no other request has come since it was sent. */
  isMatched(call: EgressCall): boolean {
    if (call.entry === undefined) return false
    return call.confidence !== 'unique' || call.startSeq === this.starts
  }

  /** From a timer, once a second: drops an index that has not been of use, and waits longer each time to build it anew. */
  sweep(): void {
    if (this.#indexPause > 0) this.#indexPause--
    if (this.#byRequestId === undefined || this.#indexUses < INDEX_TRIAL) return
    if (this.#indexHits > 0) this.#nextPause = 1
    else {
      this.#byRequestId = undefined
      this.#indexPause = this.#nextPause
      this.#nextPause = Math.min(LONGEST_PAUSE, this.#nextPause * 2)
    }
    this.#indexUses = 0
    this.#indexHits = 0
  }

  #match(call: EgressCall, traceId: string, parentSpanId: string, requestId: string): void {
    if (traceId !== '') {
      const entry = this.#byKey.get(traceId)
      if (entry !== undefined && entry.traceId === traceId) {
        this.#matchInTrace(call, entry, parentSpanId, requestId)
        return
      }
    }
    if (requestId !== '') {
      const found = this.#byKey.get(requestId)
      if (found !== undefined && found.traceId === '') {
        found.copiesIds = true
        if (found.sameKey === undefined) this.#assign(call, found, 'exact')
        else this.#ambiguous(call, found)
        return
      }
      if (this.#byRequestId === undefined && this.#byKey.size > 0 && this.#indexPause === 0) this.#buildRequestIdIndex()
      this.#indexUses++
      const indexed = this.#byRequestId?.get(requestId)
      if (indexed !== undefined) {
        this.#indexHits++
        indexed.copiesIds = true
        if (indexed.sameRequestId === undefined) this.#assign(call, indexed, 'exact')
        else call.confidence = 'likely'
        return
      }
    }
    if (this.inFlight === 1 && this.#oldest !== undefined) this.#assign(call, this.#oldest, 'unique')
    else call.confidence = 'likely'
  }

  #matchInTrace(call: EgressCall, first: InboundEntry, parentSpanId: string, requestId: string): void {
    if (first.sameKey === undefined) {
      first.copiesIds = true
      const exact =
        (parentSpanId !== '' && parentSpanId === first.spanId) || (requestId !== '' && requestId === first.requestId)
      this.#assign(call, first, exact ? 'exact' : 'trace')
      return
    }
    let bySpan: InboundEntry | undefined
    let spans = 0
    let byRequestId: InboundEntry | undefined
    let requestIds = 0
    let steps = 0
    for (let at: InboundEntry | undefined = first; at !== undefined && steps < MAX_CHAIN; at = at.sameKey, steps++) {
      if (parentSpanId !== '' && at.spanId === parentSpanId) {
        bySpan = at
        spans++
      }
      if (requestId !== '' && at.requestId === requestId) {
        byRequestId = at
        requestIds++
      }
    }
    const one = spans === 1 ? bySpan : requestIds === 1 ? byRequestId : undefined
    if (one === undefined) this.#ambiguous(call, first)
    else {
      one.copiesIds = true
      this.#assign(call, one, 'exact')
    }
  }

  /** The ids are those of several requests: one of them it is, but which cannot be said. */
  #ambiguous(call: EgressCall, first: InboundEntry): void {
    let candidates = 0
    for (let at: InboundEntry | undefined = first; at !== undefined && candidates < MAX_CHAIN; at = at.sameKey) {
      at.copiesIds = true
      candidates++
    }
    call.candidates = candidates
    call.confidence = 'likely'
    call.ambiguousKey = first.traceId === '' ? first.requestId : first.traceId
  }

  #assign(call: EgressCall, entry: InboundEntry, confidence: Confidence): void {
    call.entry = entry
    call.confidence = confidence
    call.candidates = 1
  }

  #closeSegment(entry: InboundEntry, nowMs: number): void {
    const head = entry.openHead!
    // The head is the oldest call still open, so every millisecond is given to one call and the sum is the union.
    const ms = nowMs - entry.segmentMs
    entry.segmentMs = nowMs
    if (ms <= 0 || !entry.inFlight) return
    entry.blockedMs += ms
    if (!entry.isRemote) head.target?.blockedSeconds.add(ms / 1000)
  }

  #advance(nowMs: number): void {
    if (this.#sharing > 0 && nowMs > this.#sharedUntilMs) {
      const free = Math.max(0, this.inFlight - this.#waiting)
      const ms = (nowMs - this.#sharedUntilMs) * Math.min(1, free / this.#sharing)
      this.#shareMs += ms
      this.#debtMs += ms * this.#sharingHere
    }
    if (nowMs > this.#sharedUntilMs) this.#sharedUntilMs = nowMs
  }

  /** What background work explains of such calls nobody has waited for. */
  #settleShare(call: EgressCall, nowMs: number): void {
    this.#advance(nowMs)
    this.#sharing--
    if (!call.isRemote) this.#sharingHere--
    const ms = this.#shareMs - call.shareMs
    call.shareMs = -1
    const { target } = call
    if (ms <= 0 || target === undefined || call.isRemote) return
    const backgroundMs = ms * target.backgroundShare(this.idleMs(nowMs), this.busyMs(nowMs))
    this.#debtMs -= backgroundMs
    target.blockedSeconds.add((ms - backgroundMs) / 1000)
  }

  /** Calls that outlive every request that could have sent them are waited for by nobody any more. */
  #settleOrphans(nowMs: number): void {
    const oldest = this.oldestSeq
    for (let call = this.#sharedHead; call !== undefined && call.startSeq < oldest; call = call.looseNext) {
      if (call.shareMs >= 0) this.#settleShare(call, nowMs)
      this.#sharedHead = call.looseNext
    }
  }

  #buildRequestIdIndex(): void {
    this.#byRequestId = new PassingMap()
    for (let at = this.#oldest; at !== undefined; at = at.next) {
      at.sameRequestId = undefined
      this.#addRequestId(at, this.#byRequestId)
    }
  }

  #addRequestId(entry: InboundEntry, index: PassingMap<string, InboundEntry>): void {
    if (entry.traceId === '' || entry.requestId === '') return
    const first = index.get(entry.requestId)
    if (first === undefined) index.set(entry.requestId, entry)
    else {
      entry.sameRequestId = first.sameRequestId
      first.sameRequestId = entry
    }
  }

  #removeRequestId(entry: InboundEntry, index: PassingMap<string, InboundEntry>): void {
    if (entry.traceId === '' || entry.requestId === '') return
    const first = index.get(entry.requestId)
    if (first === entry) {
      if (entry.sameRequestId === undefined) index.delete(entry.requestId)
      else index.set(entry.requestId, entry.sameRequestId)
      return
    }
    for (let at = first; at !== undefined; at = at.sameRequestId) {
      if (at.sameRequestId !== entry) continue
      at.sameRequestId = entry.sameRequestId
      return
    }
  }
}
