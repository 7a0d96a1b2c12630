/**
 * One request to the application, seen from its ingress sidecar.
 *
 *     response fails ─┬─ refused by this sidecar (429, 413, 403, …) ───────────► origin: this service, or who sent it
 *                     ├─ application does not accept connections ──────────────► origin: this service, app_down
 *                     ├─ timer fired ─┬─ a call of this request is open ───────► origin: the callee, waiting_on
 *                     │               └─ nothing is ───────────────────────────► origin: this service, app_timeout
 *                     └─ application failed ─┬─ a failed call is the reason ───► propagated
 *                                            └─ none is ───────────────────────► origin: this service, app_error
 *     caller went away ──────────────────────────────────────────────────────► cancelled, with whom we waited for
 *     all well ──────────────────────────────────────────────────────────────► failed calls were masked
 */
import { TICK_MS } from '../base/timer-wheel.ts'
import type { FailureView, StreamInfo } from '../observability/stream-info.ts'
import {
  HELD_BACK,
  isFailure,
  isRefusedHead,
  isWaiting,
  tookTime,
  type Verdict,
  verdictOfDetails,
  verdictOfFacts,
} from './cause.ts'
import type {
  AttemptFacts,
  CallTarget,
  InboundRequest,
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
import type { EgressCall } from './ledger.ts'
import { InboundEntry } from './ledger.ts'
import { isServiceName } from './names.ts'
import { appendProxyStatus, FAILURE_ID, mentionsFailures, PROXY_STATUS, takeProxyStatus } from './proxy-status.ts'
import { type FailureRecord, lowerConfidence, newFailureId, passedOn } from './record.ts'

const DOWNSTREAM = 'downstream'
/** Later than that the event loop was behind, and there is more that it has not heard of. */
const LATE_TIMER_MS = 2 * TICK_MS

export class InboundFailures extends InboundEntry implements StreamFailures {
  readonly direction = 'inbound'
  readonly inferred: TraceContext | undefined = undefined
  readonly #context: FailureContext
  readonly #request: InboundRequest
  readonly #budgetMs: number
  #facts: AttemptFacts | undefined = undefined
  /** Extra time for calls of ours to answer first, once; 0 when the timer is the route's own. */
  #patienceMs = 0
  #record: FailureRecord | undefined = undefined
  #failedByApplication = false
  #ended = false
  /** Where the record stands already. */
  #written: MutableHeaders | undefined = undefined

  constructor(context: FailureContext, request: InboundRequest) {
    super(request.startMs, request.traceId, request.spanId, request.requestId, request.sampled)
    this.#context = context
    this.#request = request
    this.#budgetMs =
      request.budgetMs > 0 && context.settings.deadlines && context.trust.isMeshPeer(request.peerIp, request.tls)
        ? request.budgetMs
        : 0
    if (this.#budgetMs > 0) this.deadlineMs = request.startMs + this.#budgetMs
    context.sharing?.drain()
    context.ledger.inboundStart(this)
    context.sharing?.inboundStarted(this)
  }

  get record(): FailureRecord | undefined {
    return this.#record
  }

  routed(_target: CallTarget): void {}

  retarget(_target: CallTarget): void {}

  limitTimeout(routeTimeoutMs: number, nowMs: number): number {
    const { settings } = this.#context
    if (!settings.deadlines) return routeTimeoutMs
    if (routeTimeoutMs > 0 && nowMs + routeTimeoutMs < this.deadlineMs) {
      this.deadlineMs = nowMs + routeTimeoutMs
      this.#context.sharing?.deadlineKnown(this)
    }
    if (this.#budgetMs === 0) return routeTimeoutMs
    const left = this.startMs + this.#budgetMs - nowMs
    if (left <= 1) return 0.5
    const margin = deadlineMargin(left, settings)
    if (routeTimeoutMs > 0 && routeTimeoutMs <= left - margin) return routeTimeoutMs
    this.#patienceMs = margin / 2
    return left - margin
  }

  timeoutFired(nowMs: number): number {
    const patience = this.#patienceMs
    this.#patienceMs = 0
    if (patience < 1) return 0
    this.#context.sharing?.drain()
    const { call, confidence } = this.#context.claims.waitingFor(this, nowMs)
    if (call === undefined) return 0
    // A call that is only likely ours has its budget from elsewhere, and ends later: the caller's timer may have the word.
    return confidence === 'likely' ? 2 * patience : patience
  }

  /** The application's word on failures is not taken: whatever stands in its headers goes. */
  attemptHead(headers: MutableHeaders): void {
    this.#facts = undefined
    if (!mentionsFailures(headers)) return
    takeProxyStatus(headers)
    headers.delete(FAILURE_ID)
  }

  attemptTrailers(trailers: MutableHeaders): void {
    if (trailers.get(PROXY_STATUS) !== undefined) takeProxyStatus(trailers)
  }

  attemptFailed(facts: AttemptFacts): void {
    this.#facts = facts
  }

  mayRetry(): boolean {
    return true
  }

  attemptRetried(info: StreamInfo): void {
    const facts = this.#facts
    const verdict: Verdict =
      facts === undefined ? { cause: 'app_error', subCause: '', blame: 'application' } : verdictOfFacts(facts, true)
    const record = this.#make(verdict, info, '')
    this.#context.write('inbound', 'origin', record, [], info)
    this.#context.write('inbound', 'retried', record, [], info)
    this.#facts = undefined
  }

  responseHead(info: StreamInfo, headers: MutableHeaders): FailureView | undefined {
    // Asked twice where a local reply gets a body for people: decided once.
    if (this.#record !== undefined) return this.#writeHeaders(info, headers)
    const grpcStatus = Math.max(info.grpcStatus, grpcStatusIn(headers.get('grpc-status')))
    if (
      isFailure(info.responseCode, grpcStatus, info.localReply, info.responseCodeDetails, false) &&
      !info.healthCheck
    ) {
      this.#decide(info)
    } else if (info.responseCode >= 400) this.#decideEcho(info)
    return this.#writeHeaders(info, headers)
  }

  responseTrailers(info: StreamInfo, trailers: MutableHeaders): FailureView | undefined {
    if (this.#record !== undefined) return info.failure
    const grpcStatus = Math.max(info.grpcStatus, grpcStatusIn(trailers.get('grpc-status')))
    if (isFailure(200, grpcStatus, false, '', false)) this.#decide(info)
    return this.#writeHeaders(info, trailers)
  }

  responseCut(info: StreamInfo, trailers: MutableHeaders): FailureView | undefined {
    if (this.#request.edge || isCallerGone(info)) return undefined
    this.#decideIfCut(info)
    if (this.#record === undefined) return undefined
    appendProxyStatus(trailers, this.#record, this.#context.settings.service)
    return info.failure
  }

  end(info: StreamInfo): FailureView | undefined {
    if (this.#ended) return info.failure
    this.#ended = true
    let cancelled = false
    if (this.#record === undefined) {
      if (isCallerGone(info)) {
        // Its stream was reset, though by this sidecar.
        cancelled = !isRefusedHead(info.responseCodeDetails)
        if (cancelled) this.#cancel(info)
        else this.#decide(info)
      } else this.#decideIfCut(info)
    }
    const { ledger, claims, metrics, sharing } = this.#context
    const over = cancelled || this.#record !== undefined
    sharing?.inboundEnded(this, this.#request.path, this.#failedByApplication, over, info.endMs)
    ledger.inboundEnd(this, info.endMs)
    const own = ledger.takeOwnMs(info.endMs - this.startMs - this.blockedMs)
    if (own > 0) metrics.ownSeconds.add(own / 1000)
    claims.inboundEnded(this, this.#request.path, this.#failedByApplication, over)
    return info.failure
  }

  #decide(info: StreamInfo): void {
    this.#context.sharing?.drain()
    const now = this.#context.clock.now()
    if (!info.localReply && !isRefusedHead(info.responseCodeDetails)) {
      this.#decideApplication(info, { cause: 'app_error', subCause: '', blame: 'application' }, now, [])
      return
    }
    const facts = this.#facts
    const verdict = facts === undefined ? verdictOfDetails(info, true) : verdictOfFacts(facts, true)
    if (verdict.blame === 'application' && isWaiting(verdict.cause)) this.#decideTimeout(info, verdict, now)
    // An application that crashes may do so over a failed call, so its death is looked into like its error.
    else if (verdict.blame === 'application' && verdict.cause !== 'app_down') {
      this.#decideApplication(info, verdict, now, [])
    } else {
      // Who has given up does not hear of this, and knows of the wait by the id that both derive.
      const aliases = verdict.cause === 'deadline_exceeded' ? [this.#linkId()] : []
      this.#settle(info, 'origin', this.#make(verdict, info, ''), aliases)
    }
  }

  /** An application's own 4xx is no failure; one that repeats the refusal of a sidecar further on (429, 413) is. */
  #decideEcho(info: StreamInfo): void {
    const { claims, settings, sharing } = this.#context
    sharing?.drain()
    const claim = claims.claimEcho(this, info.responseCode)
    if (claim?.call?.record === undefined) return
    sharing?.took(claim.call)
    this.#failedByApplication = true
    const record = passedOn(claim.call.record, settings.service, claim.confidence, claim.likelihood)
    this.#settle(info, 'propagated', record, [])
  }

  #decideIfCut(info: StreamInfo): void {
    if (this.#record !== undefined || (this.#facts === undefined && !isCut(info))) return
    this.#context.sharing?.drain()
    const now = this.#context.clock.now()
    const verdict = verdictOfCut(info, this.#facts, true)
    // A caller that can be told nothing sees a cut and nothing else; both of us derive the same id for it.
    if (verdict !== undefined && isWaiting(verdict.cause)) this.#decideTimeout(info, verdict, now)
    else if (verdict?.blame === 'self') this.#settle(info, 'origin', this.#make(verdict, info, this.#linkId()), [])
    else {
      const cut: Verdict = { cause: 'partial_body', subCause: '', blame: 'application' }
      this.#decideApplication(info, cut, now, [this.#linkId()])
    }
  }

  #decideApplication(info: StreamInfo, verdict: Verdict, nowMs: number, aliases: string[]): void {
    this.#failedByApplication = true
    const { claims, settings, sharing } = this.#context
    const { call, confidence, likelihood } = claims.claim(
      this,
      this.#request.path,
      nowMs,
      verdict.cause !== 'app_error',
    )
    if (call !== undefined) sharing?.took(call)
    // An application that fails when its time is all but over does so because of a call: where another request has taken that
    // one, it was for the call that this request waits for.
    if (call === undefined && (claims.wasTaken(this, nowMs) || this.#isLate(nowMs))) {
      const { record, call: open } = this.#whoWasWaitedFor(info, verdict, nowMs)
      const own = { ...record, confidence: lowerConfidence(record.confidence, confidence), likelihood }
      this.#settle(info, 'origin', open === undefined ? own : record, [...aliases, this.#linkId()])
      return
    }
    if (call?.record === undefined) {
      this.#settle(info, 'origin', { ...this.#make(verdict, info, ''), confidence, likelihood }, aliases)
      return
    }
    // The caller's timer runs as well, and it may be the shorter one: then it knows the failure by the derived id.
    if (tookTime(call.record)) aliases.push(this.#linkId())
    const role = call.isAbandoned ? 'origin' : 'propagated'
    this.#settle(info, role, passedOn(call.record, settings.service, confidence, likelihood), aliases)
  }

  /** The caller's timer is about to fire: it may have given up before it hears of this. */
  #isLate(nowMs: number): boolean {
    const { settings } = this.#context
    if (this.deadlineMs === Number.POSITIVE_INFINITY) return false
    return this.deadlineMs - nowMs <= deadlineMargin(this.deadlineMs - this.startMs, settings)
  }

  #decideTimeout(info: StreamInfo, verdict: Verdict, nowMs: number): void {
    const { settings } = this.#context
    const spent = this.#spentCall(nowMs)
    if (spent?.record !== undefined) {
      const known = passedOn(spent.record, settings.service, spent.confidence, 1 / Math.max(1, spent.candidates))
      this.#settle(info, 'propagated', known, [this.#linkId()])
      return
    }
    const { record, call } = this.#whoWasWaitedFor(info, verdict, nowMs)
    this.#settle(info, 'origin', record, call === undefined ? [] : [this.#linkId()])
  }

  /**
   * A call may have timed out in the same moment and left its application no time to say so. Requests began to wait in the
   * order in which they came: of a call that is open and one that has just ended the older is this one's.
   */
  #spentCall(nowMs: number): EgressCall | undefined {
    const { claims, sharing } = this.#context
    const spent = claims.spentOn(this, nowMs, true)?.call
    const open = spent && claims.waitingFor(this, nowMs).call
    if (spent === undefined || (open !== undefined && spent.startMs > open.startMs)) return undefined
    claims.takeByTimer(spent)
    sharing?.took(spent)
    return spent
  }

  /** Not a failure of anybody's here; but what was waited for may be what the caller's timer is about. */
  #cancel(info: StreamInfo): void {
    const { claims, clock, settings, sharing } = this.#context
    sharing?.drain()
    const nowMs = clock.now()
    const timedOut: Verdict = { cause: 'app_timeout', subCause: '', blame: 'application' }
    const verdict = isHeldBack(info, nowMs) ? HELD_BACK : timedOut
    // A call may have run out of time a moment ago, and the caller has not waited for what the application says to that.
    const spent = this.#spentCall(nowMs)
    const { record, call } = spent?.record
      ? { record: spent.record, call: spent }
      : this.#whoWasWaitedFor(info, verdict, nowMs)
    const id = this.#linkId() || record.id
    if (call === undefined && record.confidence === 'likely') {
      claims.waitsForNone(this, id, nowMs)
      sharing?.waitsForNone(this, id, nowMs)
    }
    const aliases = call === undefined ? [] : [record.id]
    const own = passedOn({ ...record, id }, settings.service)
    info.failure = this.#context.write('inbound', 'cancelled', own, aliases, info)
  }

  /**
   * A known call gives the record its own id, which its callee derives too. With a call that is only likely to be the one
   * the record keeps an id of its own until the call has ended and nobody else claims it (`Claims.waits`).
   */
  #whoWasWaitedFor(
    info: StreamInfo,
    verdict: Verdict,
    nowMs: number,
  ): { readonly record: FailureRecord; readonly call: EgressCall | undefined } {
    const { claims } = this.#context
    const { call, confidence, likelihood } = claims.waitingFor(this, nowMs)
    const linkId = this.#linkId()
    if (call === undefined) {
      // A call may have been sent, and wait to be read.
      const late = nowMs - this.deadlineMs > LATE_TIMER_MS
      const own = { ...this.#make(verdict, info, linkId), confidence: late ? ('likely' as const) : confidence }
      return { record: own, call }
    }
    const waiting = this.#waitingOn(call, info, nowMs)
    const id = confidence === 'likely' && linkId !== '' ? linkId : waiting.id
    claims.waits(call, this, id, nowMs)
    this.#context.sharing?.waits(call, this, id, nowMs)
    return { record: { ...waiting, id, confidence, likelihood }, call }
  }

  #waitingOn(call: EgressCall, info: StreamInfo, nowMs: number): FailureRecord {
    const { settings, clock, random } = this.#context
    // Its callee has not heard of it yet, or has hardly had any time.
    if (call.isHeldBack(nowMs)) return this.#make(HELD_BACK, info, call.linkId())
    const callee = call.target?.serviceName ?? settings.service
    const known = call.record
    return {
      id: known?.id ?? (call.linkId() || newFailureId(random)),
      origin: known?.origin ?? callee,
      cause: known?.cause ?? 'timeout',
      subCause: known?.subCause ?? 'waiting_on',
      by: settings.service,
      link: `${settings.service}>${callee}`,
      path: [callee, settings.service],
      confidence: lowerConfidence(call.confidence, 'link'),
      likelihood: 1,
      span: spanOf(info),
      at: clock.wall(),
      attempts: 1,
      details: info.responseCodeDetails,
    }
  }

  #make(verdict: Verdict, info: StreamInfo, id: string): FailureRecord {
    const { settings, clock, random } = this.#context
    const own = settings.service
    const fromDownstream = verdict.blame === 'downstream'
    const origin = fromDownstream ? this.#caller() : own
    return {
      id: id === '' ? newFailureId(random) : id,
      origin,
      cause: verdict.cause,
      subCause: verdict.subCause,
      by: own,
      link: fromDownstream ? `${origin}>${own}` : own,
      path: fromDownstream ? [origin, own] : [own],
      confidence: 'exact',
      likelihood: 1,
      span: spanOf(info),
      at: clock.wall(),
      attempts: 1,
      details: this.#facts?.details || info.responseCodeDetails,
    }
  }

  /** Who sent the request: by certificate, else, of a mesh peer in plaintext, by what its sidecar says. */
  #caller(): string {
    const { trust } = this.#context
    const { tls, peerIp, callerName, edge } = this.#request
    if (tls !== undefined) return trust.serviceOf(tls) || DOWNSTREAM
    return !edge && isServiceName(callerName) && trust.isMeshPeer(peerIp, undefined) ? callerName : DOWNSTREAM
  }

  #settle(info: StreamInfo, role: 'origin' | 'propagated', record: FailureRecord, aliases: string[]): void {
    const { clock, metrics } = this.#context
    this.#record = record
    metrics.requestsFailed.inc()
    // The answer may still be on its way when the caller gives up, which knows the failure by the derived id then.
    const known = this.#isLate(clock.now()) ? [...new Set([...aliases, this.#linkId()])] : aliases
    info.failure = this.#context.write('inbound', role, record, known, info)
  }

  #writeHeaders(info: StreamInfo, headers: MutableHeaders): FailureView | undefined {
    const record = this.#record
    if (record !== undefined && this.#written === headers) return info.failure
    if (record !== undefined) this.#written = headers
    if (this.#request.edge) {
      if (headers.get(PROXY_STATUS) !== undefined) headers.delete(PROXY_STATUS)
      if (record !== undefined) headers.set(FAILURE_ID, record.id)
    } else if (record !== undefined) appendProxyStatus(headers, record, this.#context.settings.service)
    return info.failure
  }

  /** The id under which the caller's sidecar knows a failure that no record told it of. */
  #linkId(): string {
    const { requestId, wireSpanId, path } = this.#request
    return derivedId(this.#context.settings.service, requestId, wireSpanId, path)
  }
}
