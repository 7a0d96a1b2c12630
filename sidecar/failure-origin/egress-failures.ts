/**
 * One call of the application to another service, seen from its egress sidecar.
 *
 *     response fails ─┬─ a trusted record came along ─────────► propagated
 *                     ├─ refused by this sidecar ─────────────► origin: this service
 *                     └─ else ────────────────────────────────► origin: the callee, by what was seen of it
 *     attempt fails and is tried again ───────────────────────► the same, and retried
 *     cut after the head ─┬─ by a mesh peer ──────────────────► propagated, with the record it sent along, else under the
 *                         │                                     id both ends derive
 *                         └─ by another upstream ─────────────► origin: the callee
 *     application went away ──────────────────────────────────► cancelled
 */
import type { FailureView, StreamInfo } from '../observability/stream-info.ts'
import type { CalleeState } from './call-target.ts'
import {
  HELD_BACK,
  hadNoTimeLeft,
  isFailure,
  isRefusedHead,
  isWaiting,
  type Verdict,
  verdictOfDetails,
  verdictOfFacts,
} from './cause.ts'
import type {
  AttemptFacts,
  CallTarget,
  EgressRequest,
  MutableHeaders,
  StreamFailures,
  TraceContext,
} from './contract.ts'
import { deadlineMargin, derivedId } from './deadline.ts'
import {
  type FailureContext,
  grpcStatusIn,
  isCallerGone,
  isCut,
  isHeldBack,
  spanOf,
  verdictOfCut,
} from './failure-context.ts'
import { EgressCall } from './ledger.ts'
import {
  appendProxyStatus,
  FAILURE_ID,
  type ForeignFailure,
  mentionsFailures,
  PROXY_STATUS,
  type ReceivedStatus,
  takeProxyStatus,
} from './proxy-status.ts'
import { type Confidence, type FailureRecord, newFailureId, passedOn } from './record.ts'

const MAX_CAUSES = 8

export class EgressFailures extends EgressCall implements StreamFailures {
  readonly direction = 'outbound'
  readonly inferred: TraceContext | undefined
  readonly #context: FailureContext
  readonly #edge: boolean
  readonly #info: StreamInfo
  #requestId = ''
  #path = ''
  #wireSpanId = ''
  #facts: AttemptFacts | undefined = undefined
  #received: FailureRecord | undefined = undefined
  #foreign: ForeignFailure | undefined = undefined
  #attempts = 1
  /** Causes of attempts that were followed by another. */
  #causes: string[] | undefined = undefined
  #failed = false
  #ended = false
  /** Where the record stands already. */
  #written: MutableHeaders | undefined = undefined

  constructor(context: FailureContext, request: EgressRequest) {
    super(request.startMs)
    this.#context = context
    this.#edge = request.edge
    this.#info = request.info
    const { ledger, metrics, sharing } = context
    sharing?.drain()
    this.inferred = undefined
    if (!this.#isOfApplication) return
    ledger.egressStart(this, request.traceId, request.parentSpanId, request.requestId)
    if (request.traceId !== '' || ledger.inFlight === 0) return
    metrics.traceContextMissing.inc()
    const entry = this.entry
    if (entry !== undefined && entry.traceId !== '' && entry.spanId !== '') {
      this.inferred = { traceId: entry.traceId, spanId: entry.spanId, sampled: entry.sampled }
    }
  }

  routed(target: CallTarget, requestId: string, path: string, wireSpanId: string): void {
    this.target = target as CalleeState
    this.target.calls.inc()
    this.#requestId = requestId
    this.#path = path
    this.#wireSpanId = wireSpanId
    if (!this.#isOfApplication) return
    this.#context.claims.callSent(this)
    this.#context.sharing?.callSent(this, requestId, wireSpanId, path)
  }

  retarget(target: CallTarget): void {
    this.target = target as CalleeState
  }

  override isHeldBack(nowMs: number): boolean {
    return isHeldBack(this.#info, nowMs)
  }

  override linkId(): string {
    return this.target === undefined
      ? ''
      : derivedId(this.target.serviceName, this.#requestId, this.#wireSpanId, this.#path)
  }

  limitTimeout(routeTimeoutMs: number, nowMs: number): number {
    const { settings, ledger } = this.#context
    const entry = this.entry
    if (entry === undefined || !settings.deadlines || entry.deadlineMs === Number.POSITIVE_INFINITY)
      return routeTimeoutMs
    if (!entry.inFlight || !ledger.isMatched(this)) return routeTimeoutMs
    const left = entry.deadlineMs - nowMs
    if (left <= 1) return 0.5
    const limit = left - deadlineMargin(left, settings)
    return routeTimeoutMs === 0 ? limit : Math.min(routeTimeoutMs, limit)
  }

  timeoutFired(): number {
    return 0
  }

  attemptHead(headers: MutableHeaders, _status: number, info: StreamInfo): void {
    this.#facts = undefined
    this.#received = undefined
    this.#foreign = undefined
    if (!mentionsFailures(headers)) return
    this.#receive(headers, info)
    // Of an edge of somebody else's mesh it says nothing here, and the name is ours.
    if (!this.#isPeer(info)) headers.delete(FAILURE_ID)
  }

  attemptTrailers(trailers: MutableHeaders, info: StreamInfo): void {
    this.#receive(trailers, info)
  }

  attemptFailed(facts: AttemptFacts): void {
    this.#facts = facts
  }

  mayRetry(): boolean {
    const record = this.#received
    if (record === undefined || this.#facts !== undefined) return true
    // The callee is whoever sent the record on: by its own name, or by ours for it.
    return record.origin === record.path.at(-1) || record.origin === this.target?.serviceName
  }

  attemptRetried(info: StreamInfo): void {
    const { role, record, aliases } = this.#judge(info, false)
    this.#attempts++
    this.#causes ??= []
    if (this.#causes.length < MAX_CAUSES && !this.#causes.includes(record.cause)) this.#causes.push(record.cause)
    this.#context.write('outbound', role, record, aliases, info)
    this.#context.write('outbound', 'retried', record, aliases, info)
    this.#facts = undefined
    this.#received = undefined
    this.#foreign = undefined
  }

  responseHead(info: StreamInfo, headers: MutableHeaders): FailureView | undefined {
    // Asked twice where a local reply gets a body for people: decided once.
    if (this.record !== undefined) return this.#writeHeaders(info, headers)
    const grpcStatus = Math.max(info.grpcStatus, grpcStatusIn(headers.get('grpc-status')))
    const failed = isFailure(info.responseCode, grpcStatus, info.localReply, info.responseCodeDetails, false)
    // What another sidecar refused (429, 413, 403) is a failure too; only its record tells it from an application's own.
    const refused = (info.responseCode >= 400 || grpcStatus > 0) && this.#received !== undefined
    if ((failed || refused) && !info.healthCheck) this.#fail(info, false)
    return this.#writeHeaders(info, headers)
  }

  responseTrailers(info: StreamInfo, trailers: MutableHeaders): FailureView | undefined {
    if (this.#failed) return info.failure
    const grpcStatus = Math.max(info.grpcStatus, grpcStatusIn(trailers.get('grpc-status')))
    if (isFailure(200, grpcStatus, false, '', false) || (grpcStatus > 0 && this.#received !== undefined)) {
      this.#fail(info, false)
    }
    return this.#writeHeaders(info, trailers)
  }

  responseCut(info: StreamInfo, trailers: MutableHeaders): FailureView | undefined {
    if (this.#edge || isCallerGone(info)) return undefined
    if (!this.#failed && (this.#facts !== undefined || isCut(info))) this.#fail(info, true)
    if (this.record === undefined) return undefined
    appendProxyStatus(trailers, this.record, this.#context.settings.service)
    return info.failure
  }

  end(info: StreamInfo): FailureView | undefined {
    if (this.#ended) return info.failure
    this.#ended = true
    const { ledger, claims, sharing } = this.#context
    if (!this.#failed) {
      if (isCallerGone(info)) {
        // Its stream was reset, though by this sidecar.
        if (isRefusedHead(info.responseCodeDetails)) this.#fail(info, false)
        else this.#cancel(info)
      } else if (this.#facts !== undefined || isCut(info)) this.#fail(info, true)
      else claims.callSucceeded(this, info.endMs)
    }
    ledger.egressEnd(this, info.endMs)
    sharing?.callEnded(this, info.endMs)
    return info.failure
  }

  /**
   * False for requests from outside of the mesh, and where there is no application: the one who asked sees the failure, so
   * it is neither anybody's background work nor to be claimed.
   */
  get #isOfApplication(): boolean {
    return !this.#edge && this.#context.ledger.hasInboundSide
  }

  #receive(headers: MutableHeaders, info: StreamInfo): void {
    if (headers.get(PROXY_STATUS) === undefined) return
    const received: ReceivedStatus | undefined = takeProxyStatus(headers)
    if (received === undefined || !this.#isPeer(info)) return
    if (received.record !== undefined) this.#received = this.#corrected(received.record)
    if (received.record !== undefined) this.#noteName(received.record.path.at(-1)!, info)
    this.#foreign = received.foreign
  }

  /** Whoever passed a record on calls itself so; where its caller has another name for it, labels do not meet. */
  #noteName(itsOwn: string, info: StreamInfo): void {
    const { metrics, trust } = this.#context
    const ours = this.target!.serviceName
    for (const name of new Set([itsOwn, trust.serviceOf(info.upstreamTls) || ours])) {
      if (name !== ours) metrics.otherName(ours, name)
    }
  }

  /** A callee that blames its caller may know us by another name, or by none (`downstream`); our own is the better one. */
  #corrected(record: FailureRecord): FailureRecord {
    const { service } = this.#context.settings
    const [caller, callee] = record.path
    const isByCallee = record.path.length === 2 && caller === record.origin && record.link === `${caller}>${callee}`
    if (!isByCallee) return record
    return { ...record, origin: service, by: service, link: `${service}>${callee}`, path: [service, callee!] }
  }

  #fail(info: StreamInfo, cut: boolean): void {
    this.#failed = true
    this.target?.failedCalls.inc()
    const { sharing } = this.#context
    sharing?.drain()
    const { role, record, aliases } = this.#judge(info, cut)
    const now = this.#context.clock.now()
    this.record = record
    this.status = info.responseCode
    // A request that waited for this call has answered already and taken the call as its reason.
    const known = this.claimed ? [...aliases, this.linkId()] : aliases
    info.failure = this.#context.write('outbound', this.claimed ? 'propagated' : role, record, known, info)
    this.endMs = now
    if (!this.#isOfApplication) return
    // Or it could not be the reason of any request's failure.
    this.target ??= this.#context.refused
    this.#context.claims.callFailed(this)
    sharing?.callFailed(this)
  }

  #cancel(info: StreamInfo): void {
    const { clock, sharing } = this.#context
    sharing?.drain()
    const now = clock.now()
    const answeredAs = this.#context.claims.callGivenUp(this, now)
    const waited: Verdict = { cause: 'timeout', subCause: 'waiting_on', blame: 'callee' }
    const verdict = this.isHeldBack(now) ? HELD_BACK : waited
    const record = this.#make(verdict, info, 'link', this.linkId())
    info.failure = this.#context.write('outbound', 'cancelled', record, [answeredAs], info)
    this.record = record
    this.isAbandoned = true
    this.endMs = now
    if (!this.#isOfApplication) return
    this.#context.claims.callFailed(this)
    sharing?.callFailed(this)
  }

  #judge(
    info: StreamInfo,
    cut: boolean,
  ): { role: 'origin' | 'propagated'; record: FailureRecord; aliases: readonly string[] } {
    const { service } = this.#context.settings
    const facts = this.#facts
    if (facts?.trailers !== undefined) this.#receive(facts.trailers, info)
    if (this.#received !== undefined && (facts === undefined || cut)) {
      const record = this.#tried({ ...this.#received, at: this.#context.clock.wall() }, info)
      return { role: 'propagated', record: passedOn(record, service), aliases: [] }
    }
    if (cut) return this.#judgeCut(info)
    if (this.#foreign !== undefined && facts === undefined) return this.#judgeForeign(info, this.#foreign)
    let verdict: Verdict
    if (facts !== undefined) verdict = verdictOfFacts(facts, false)
    else if (info.localReply || isRefusedHead(info.responseCodeDetails)) verdict = verdictOfDetails(info, false)
    else verdict = { cause: 'app_error', subCause: '', blame: 'callee' }
    if (hadNoTimeLeft(verdict.cause) && this.isHeldBack(this.#context.clock.now())) verdict = HELD_BACK
    const answered = verdict.cause === 'app_error'
    const waited = isWaiting(verdict.cause) && verdict.blame === 'callee'
    // Beyond a service of the mesh that tells nothing, there may be others.
    const external = this.target?.external === true
    const confidence = (answered || waited) && !external ? 'link' : 'exact'
    if (waited) verdict = { ...verdict, subCause: 'waiting_on' }
    return { role: 'origin', record: this.#make(verdict, info, confidence, waited ? this.linkId() : ''), aliases: [] }
  }

  /** A record from further on says nothing of what was tried here, which is the last word on retries that are used up. */
  #tried(record: FailureRecord, info: StreamInfo): FailureRecord {
    if (this.#attempts === 1) return record
    const details = this.#afterAttempts(info.responseCodeDetails)
    return { ...record, attempts: Math.max(record.attempts, this.#attempts), details }
  }

  #afterAttempts(details: string): string {
    return this.#causes === undefined
      ? details
      : `after ${this.#attempts} attempts (${this.#causes.join(', ')}): ${details}`
  }

  #judgeCut(info: StreamInfo): { role: 'origin' | 'propagated'; record: FailureRecord; aliases: readonly string[] } {
    const seen = verdictOfCut(info, this.#facts, false)
    if (seen !== undefined && (isWaiting(seen.cause) || seen.cause === 'too_large' || seen.blame === 'self')) {
      const verdict = isWaiting(seen.cause) ? { ...seen, subCause: 'waiting_on' } : seen
      return { role: 'origin', record: this.#make(verdict, info, 'link', this.linkId()), aliases: [] }
    }
    const byPeer = this.#isPeer(info)
    const verdict: Verdict = { cause: 'partial_body', subCause: byPeer ? 'cut_by_peer' : '', blame: 'callee' }
    const record = this.#make(verdict, info, byPeer ? 'link' : 'exact', byPeer ? this.linkId() : '')
    return { role: byPeer ? 'propagated' : 'origin', record, aliases: [] }
  }

  #judgeForeign(
    info: StreamInfo,
    foreign: ForeignFailure,
  ): { role: 'origin'; record: FailureRecord; aliases: readonly string[] } {
    const verdict: Verdict = { cause: foreign.cause, subCause: foreign.subCause, blame: 'callee' }
    const record = this.#make(verdict, info, 'link', '')
    return { role: 'origin', record: { ...record, details: `${foreign.proxy}: ${foreign.details}` }, aliases: [] }
  }

  #make(verdict: Verdict, info: StreamInfo, confidence: Confidence, id: string): FailureRecord {
    const { settings, clock, random, trust } = this.#context
    const own = settings.service
    const callee = trust.serviceOf(info.upstreamTls) || this.target?.serviceName || own
    const origin = verdict.blame === 'callee' ? callee : own
    const facts = this.#facts
    let details = facts?.lastFailure || facts?.details || info.responseCodeDetails
    if (facts?.host !== undefined && facts.host !== '') details = `${facts.host}: ${details}`
    details = this.#afterAttempts(details)
    return {
      id: id === '' ? newFailureId(random) : id,
      origin,
      cause: verdict.cause,
      subCause: verdict.subCause,
      by: own,
      link: callee === own ? own : `${own}>${callee}`,
      path: origin === own ? [own] : [origin, own],
      confidence,
      likelihood: 1,
      span: spanOf(info),
      at: clock.wall(),
      attempts: this.#attempts,
      details,
    }
  }

  #isPeer(info: StreamInfo): boolean {
    if (this.target === undefined || this.target.external || info.upstreamHost === undefined) return false
    return this.#context.trust.isMeshPeer(info.upstreamHost.ip, info.upstreamTls)
  }

  #writeHeaders(info: StreamInfo, headers: MutableHeaders): FailureView | undefined {
    const record = this.record
    if (record !== undefined && this.#written === headers) return info.failure
    if (record !== undefined) this.#written = headers
    if (this.#edge) {
      if (headers.get(PROXY_STATUS) !== undefined) headers.delete(PROXY_STATUS)
      if (record !== undefined) headers.set(FAILURE_ID, record.id)
    } else if (record !== undefined && this.#failed) appendProxyStatus(headers, record, this.#context.settings.service)
    return info.failure
  }
}
