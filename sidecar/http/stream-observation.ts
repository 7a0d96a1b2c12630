/**
 * What accompanies one stream from its arrival to its end: its part in failure location and its span.
 *
 *   arrived   headers are as the wire had them: path, deadline and ids of the caller are read
 *   started   the connection manager has cleaned the headers, the route is known
 *   refused   instead: the connection manager answers before that
 *   …         the router works with `failures` and `spans`
 *   response  the record goes into the head (or comes off at an edge); a local reply may get a body for people
 *   end       once: the failure is counted, the span finished
 */
import { HeaderMap, RequestHeaders, type ResponseHeaders } from '../codec/header-map.ts'
import type { CutReason } from '../codec/stream.ts'
import type { FailureOrigin, StreamFailures, TraceContext } from '../failure-origin/contract.ts'
import { describeFailure } from '../failure-origin/record.ts'
import { configuredMetadata } from '../filter-chain/configured-metadata.ts'
import type { MatchedRoute } from '../filter-chain/route.ts'
import type { AttemptOutcome, MirrorSpan, UpstreamSpans } from '../filter-chain/upstream-spans.ts'
import {
  binaryText,
  type FilterMetadata,
  type FormatContext,
  type MetadataKind,
} from '../observability/formatter/context.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { Tap, TappedStream } from '../observability/tap.ts'
import type { Span, UpstreamAttempt } from '../observability/tracing/span.ts'
import type { RouteTracing, Tracer } from '../observability/tracing/tracer.ts'
import { traceIdsOf } from '../observability/tracing/wire-ids.ts'
import type { ActiveStream } from './active-stream.ts'

/** What a listener says about the streams that come through it. */
export interface ObservationPolicy {
  readonly direction: 'inbound' | 'outbound'
  /** Records are taken off responses: the peer is outside the mesh. */
  readonly edge: boolean
  /** Local replies speak to people by default (`hopwise.bodies: human`). */
  readonly humanBodies: boolean
}

export class StreamObserver {
  readonly policy: ObservationPolicy
  readonly origin: FailureOrigin
  readonly tracer: Tracer | undefined
  readonly tap: Tap
  constructor(policy: ObservationPolicy, origin: FailureOrigin, tracer: Tracer | undefined, tap: Tap) {
    this.policy = policy
    this.origin = origin
    this.tracer = tracer
    this.tap = tap
    if (policy.direction === 'inbound') origin.expectInbound()
  }

  arrived(stream: ActiveStream, headers: RequestHeaders): StreamObservation {
    this.origin.stripRequest(headers)
    return new StreamObservation(this, stream, headers)
  }

  /**
   * The request goes no further than to the connection manager, which is a failure like any other. `arrived`: undefined where
   * its head could not be read.
   */
  refused(stream: ActiveStream, arrived: StreamObservation | undefined): StreamObservation {
    const observation = arrived ?? new StreamObservation(this, stream, new RequestHeaders('', '', '', ''))
    observation.refused()
    return observation
  }
}

export class StreamObservation implements UpstreamSpans, CutReason {
  /** From `started` or `refused` on. */
  failures!: StreamFailures
  #span: Span | undefined = undefined
  #attempt: Span | undefined = undefined
  #route: RouteTracing | undefined = undefined
  #tapped: TappedStream | undefined = undefined
  #trailers: HeaderMap | undefined = undefined
  readonly #observer: StreamObserver
  readonly #stream: ActiveStream
  readonly #headers: RequestHeaders
  readonly #path: string
  readonly #budgetMs: number
  /** `x-request-id` as the application sent it, '' when it sent none and the connection manager made one. */
  readonly #sentRequestId: string

  constructor(observer: StreamObserver, stream: ActiveStream, headers: RequestHeaders) {
    this.#observer = observer
    this.#stream = stream
    this.#headers = headers
    this.#path = headers.path
    this.#sentRequestId = headers.get('x-request-id') ?? ''
    this.#budgetMs = observer.policy.direction === 'inbound' ? observer.origin.budgetMs(headers) : 0
  }

  get spans(): UpstreamSpans | undefined {
    return this.#span === undefined ? undefined : this
  }

  started(headers: RequestHeaders): void {
    const { policy, tap } = this.#observer
    if (tap.active) {
      this.#tapped = tap.begin(policy.direction === 'inbound' ? 'in' : 'out', headers, this.#stream.info)
    }
    this.#begin(headers)
  }

  /** Nothing more will be known of the request than what `arrived` has seen. */
  refused(): void {
    this.#begin(this.#headers)
  }

  #begin(headers: RequestHeaders): void {
    const { policy, tracer } = this.#observer
    if (policy.direction === 'outbound') {
      this.failures = this.#egress(headers)
      this.#startSpan(tracer, headers, this.failures.inferred)
      return
    }
    this.#startSpan(tracer, headers, undefined)
    this.failures = this.#inbound(headers)
  }

  #egress(headers: RequestHeaders): StreamFailures {
    const { origin, policy } = this.#observer
    const { info } = this.#stream
    const wire = traceIdsOf(headers)
    return origin.egressStart({
      startMs: info.startMs,
      info,
      traceId: wire.traceId,
      parentSpanId: wire.spanId,
      requestId: this.#sentRequestId,
      edge: policy.edge,
    })
  }

  #inbound(headers: RequestHeaders): StreamFailures {
    const { origin, policy } = this.#observer
    const { info } = this.#stream
    const wire = traceIdsOf(headers)
    return origin.inboundStart({
      startMs: info.startMs,
      traceId: this.#span === undefined ? wire.traceId : info.traceId,
      spanId: this.#span === undefined ? wire.spanId : info.spanId,
      requestId: info.requestId,
      sampled: this.#span === undefined ? wire.sampled : info.sampled,
      wireSpanId: wire.spanId,
      path: this.#path,
      budgetMs: this.#budgetMs,
      peerIp: info.downstream.directRemote.ip,
      tls: info.downstream.tls,
      callerName: headers.get('x-envoy-downstream-service-cluster') ?? '',
      edge: policy.edge,
    })
  }

  /** The body to send in place of `body`; `headers` are changed along with it. */
  onLocalReply(headers: ResponseHeaders, body: string, accept: string | undefined): string {
    const wantsJson = accept?.includes('application/json') === true
    if (!wantsJson && !this.#observer.policy.humanBodies) return body
    const view = this.failures.responseHead(this.#stream.info, headers)
    const record = this.failures.record
    if (view === undefined || record === undefined) return body
    const text = wantsJson
      ? `${JSON.stringify({ error: body, message: describeFailure(record, this.#stream.wallMs), ...view })}\n`
      : `${describeFailure(record, this.#stream.wallMs)}\n`
    headers.set('content-type', wantsJson ? 'application/json' : 'text/plain')
    const bytes = binaryText(text)
    headers.set('content-length', String(bytes.length))
    return bytes
  }

  onResponseHeaders(headers: ResponseHeaders): void {
    if (this.#span !== undefined) this.#observer.tracer!.decorateResponse(this.#span, headers, this.#route)
    this.failures.responseHead(this.#stream.info, headers)
    this.#tapped?.response(headers.status, this.#stream.nowMs)
  }

  onResponseTrailers(trailers: HeaderMap): void {
    this.#trailers = trailers
    this.failures.responseTrailers(this.#stream.info, trailers)
  }

  cutTrailers(): HeaderMap | undefined {
    const trailers = new HeaderMap()
    // Not there yet for an answer that no filter has seen.
    const failures: StreamFailures | undefined = this.failures
    return failures?.responseCut(this.#stream.info, trailers) === undefined ? undefined : trailers
  }

  end(): void {
    const stream = this.#stream
    const failures: StreamFailures | undefined = this.failures
    // Whoever asked may have gone before anything was decided.
    if (failures === undefined) return
    failures.end(stream.info)
    this.#tapped?.end()
    const span = this.#span
    if (span === undefined) return
    const { record } = failures
    if (record !== undefined && record.span !== '') this.#linkTo(record.span, span)
    this.#observer.tracer!.end(span, new SpanView(stream, this.#headers, this.#trailers))
  }

  #startSpan(tracer: Tracer | undefined, headers: RequestHeaders, inferred: TraceContext | undefined): void {
    if (tracer === undefined) return
    const route = this.#stream.route
    if (route !== undefined && (route.operation !== '' || route.tracing !== undefined)) {
      this.#route = {
        rates: route.tracing?.rates,
        customTags: route.tracing?.customTags,
        operationName: route.tracing?.operation,
        upstreamOperationName: route.tracing?.upstreamOperation,
        operation: route.operation,
        propagateOperation: route.propagateOperation,
      }
    }
    this.#span = tracer.start(headers, this.#stream.info, { route: this.#route, inferred })
  }

  /** A failure whose origin lies in another trace: the two are joined by a link. */
  #linkTo(origin: string, span: Span): void {
    const [traceId, spanId] = origin.split('-')
    if (traceId !== undefined && spanId !== undefined && traceId !== span.traceId) span.link(traceId, spanId)
  }

  // For the router.

  get wireSpanId(): string {
    return this.#span?.spanId ?? ''
  }

  get perAttempt(): boolean {
    return this.#observer.tracer?.config.spawnUpstreamSpan === true
  }

  attemptStarted(headers: RequestHeaders, attempt: UpstreamAttempt): void {
    this.#attempt = this.#observer.tracer!.startAttempt(this.#span!, headers, attempt)
  }

  mirrorStarted(headers: RequestHeaders, sampled: boolean | undefined): MirrorSpan {
    const tracer = this.#observer.tracer!
    const mirror = tracer.startMirror(this.#span!, headers, sampled)
    return { end: facts => tracer.endMirror(mirror, facts) }
  }

  attemptEnded(outcome: AttemptOutcome): void {
    const attempt = this.#attempt
    if (attempt === undefined) return
    this.#attempt = undefined
    const { response, trailers } = outcome
    const grpcStatus = trailers?.get('grpc-status') ?? response?.get('grpc-status')
    const end = {
      ...outcome,
      endMs: this.#stream.nowMs,
      statusCode: response?.status ?? 0,
      protocol: this.#stream.info.upstreamProtocol,
      grpcStatus: grpcStatus === undefined ? -1 : Number(grpcStatus),
      grpcMessage: trailers?.get('grpc-message') ?? response?.get('grpc-message') ?? '',
    }
    this.#observer.tracer!.endAttempt(attempt, end, new SpanView(this.#stream, this.#headers, undefined))
  }
}

/** A stream as the tags and names of its spans see it. */
class SpanView implements FormatContext {
  readonly info: StreamInfo
  readonly requestHeaders: RequestHeaders
  readonly responseHeaders: ResponseHeaders | undefined
  readonly responseTrailers: HeaderMap | undefined
  readonly #route: MatchedRoute | undefined

  constructor(stream: ActiveStream, requestHeaders: RequestHeaders, trailers: HeaderMap | undefined) {
    this.info = stream.info
    this.requestHeaders = requestHeaders
    this.responseHeaders = stream.responseHeaders
    this.responseTrailers = trailers
    this.#route = stream.route
  }

  metadata(kind: MetadataKind): FilterMetadata | undefined {
    return configuredMetadata(kind, this.info, this.#route)
  }
}
