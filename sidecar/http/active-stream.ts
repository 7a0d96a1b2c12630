/**
 * One request and its response: the record that filters work on, from the request's head to the end of the stream.
 *
 *   head arrives ─▶ checked, headers mutated ─▶ route ─▶ filters ─▶ terminal filter (router)
 *                                                                        │
 *   downstream  ◀─ headers mutated ◀─ filters in reverse ◀─ response, or a local reply from anywhere
 *
 * The end comes once, in {@link ActiveStream.#finish}: when the response is written whole, when it cannot be, or when the
 * peer is gone. There stats, span, failure record and access log read what the stream has noted.
 */

import { addressText } from '../base/address.ts'
import { ownBug } from '../base/own-bug.ts'
import { Timer } from '../base/timer-wheel.ts'
import { hasGrpcContentType } from '../codec/grpc/headers.ts'
import { type HeaderMap, type RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { BodyChunk, RequestDecoder, ResponseEncoder, StreamFailure } from '../codec/stream.ts'
import type { StreamFailures } from '../failure-origin/contract.ts'
import { configuredMetadata } from '../filter-chain/configured-metadata.ts'
import { FilterManager } from '../filter-chain/filter-manager.ts'
import { FilterStatus, type HttpStream, type LocalReply } from '../filter-chain/http-filter.ts'
import type { MatchedRoute } from '../filter-chain/route.ts'
import type { UpstreamSpans } from '../filter-chain/upstream-spans.ts'
import type { FilterMetadata, MetadataKind } from '../observability/formatter/context.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import { type Protocol, StreamInfo } from '../observability/stream-info.ts'
import type { ConnectionManager } from './connection-manager.ts'
import type { DownstreamConnection } from './downstream-connection.ts'
import { noteGrpcStatus, tellGrpcTimeout } from './grpc-stream.ts'
import { makeLocalReply } from './local-reply.ts'
import { normalizeRequestPath } from './path-normalization.ts'
import { isUpgradeRequest, mutateRequestHeaders } from './request-headers.ts'
import { httpDate, mutateResponseHeaders } from './response-headers.ts'
import type { StreamObservation } from './stream-observation.ts'

/** Details of what a bug ended. */
const INTERNAL_ERROR = 'internal_error'

export class ActiveStream extends FilterManager implements HttpStream, RequestDecoder {
  readonly info: StreamInfo
  readonly #manager: ConnectionManager
  readonly #connection: DownstreamConnection
  readonly #encoder: ResponseEncoder
  #headers: RequestHeaders | undefined = undefined
  #responseHeaders: ResponseHeaders | undefined = undefined
  #route: MatchedRoute | undefined = undefined
  #routeKnown = false
  #disabled: readonly boolean[] | undefined = undefined
  #responseStarted = false
  #responseEnded = false
  #ended = false
  #upgrade = ''
  #upgradeCounted = false
  #mayForceTrace = false
  #grpc = false
  /** The filters have seen the request; before that an answer has nobody to walk past. */
  #chainEntered = false
  /** Deadlines on the monotonic clock; Infinity for none. One timer serves them all. */
  #idleTimeoutMs: number
  #lastActivityMs: number
  #requestDeadline = Number.POSITIVE_INFINITY
  #durationDeadline = Number.POSITIVE_INFINITY
  readonly #timer: Timer
  #observation: StreamObservation | undefined = undefined

  constructor(
    manager: ConnectionManager,
    connection: DownstreamConnection,
    encoder: ResponseEncoder,
    protocol: Protocol,
    startMs: number,
  ) {
    super(manager.filterChain)
    this.#manager = manager
    this.#connection = connection
    this.#encoder = encoder
    this.info = new StreamInfo(connection.info, protocol, startMs, manager.clock.wall())
    this.#idleTimeoutMs = manager.config.streamIdleTimeoutMs
    this.#lastActivityMs = startMs
    this.#timer = new Timer(() => this.#onTimer())
    manager.stats.named.downstream_rq_total.inc()
    manager.stats.gauges.downstream_rq_active.inc()
    if (protocol === 'HTTP/2') manager.stats.named.downstream_rq_http2_total.inc()
    else manager.stats.named.downstream_rq_http1_total.inc()
  }

  // What filters see.

  get requestHeaders(): RequestHeaders {
    return this.#headers!
  }
  get responseHeaders(): ResponseHeaders | undefined {
    return this.#responseHeaders
  }
  get responseStarted(): boolean {
    return this.#responseStarted
  }
  get ended(): boolean {
    return this.#ended
  }
  get upgrade(): string {
    return this.#upgrade
  }
  get failures(): StreamFailures | undefined {
    return this.#observation?.failures
  }
  get upstreamSpans(): UpstreamSpans | undefined {
    return this.#observation?.spans
  }

  get route(): MatchedRoute | undefined {
    if (!this.#routeKnown && this.#headers !== undefined) this.#matchRoute()
    return this.#route
  }

  clearRouteCache(): void {
    this.#routeKnown = false
    this.#route = undefined
  }

  routeConfig<T>(filterName: string): T | undefined {
    return this.route?.filterConfig(filterName) as T | undefined
  }

  routeConfigs<T>(filterName: string): readonly T[] {
    return (this.route?.filterConfigs(filterName) ?? []) as readonly T[]
  }

  #matchRoute(): void {
    this.#routeKnown = true
    const manager = this.#manager
    const route = manager.routes?.match(this.#headers!, this.info, manager.random)
    this.#route = route
    this.#disabled = manager.disabledFilters(route)
    if (route === undefined) return
    this.info.routeName = route.routeName
    this.info.virtualHostName = route.virtualHostName
    this.info.clusterName = route.clusterName
  }

  // Events of the codec.

  onRequestHeaders(headers: RequestHeaders, endStream: boolean): void {
    const { config, clock, stats } = this.#manager
    const info = this.info
    this.#headers = headers
    info.requestHeaderBytes = headers.byteSize()
    if (endStream) {
      info.lastRequestByteMs = clock.now()
      this.noteRequestComplete()
    }
    if (config.requestTimeoutMs > 0 && !endStream) this.#requestDeadline = info.startMs + config.requestTimeoutMs

    const connectionHeader = headers.get('upgrade')
    this.#upgrade = connectionHeader !== undefined && isUpgradeRequest(headers) ? connectionHeader.toLowerCase() : ''
    if (headers.method === 'CONNECT') this.#upgrade = 'connect'
    if (this.#manager.overloaded) {
      stats.named.downstream_rq_overload_close.inc()
      this.sendLocalReply({
        status: 503,
        details: 'overload',
        body: 'envoy overloaded',
        flag: ResponseFlag.OverloadManager,
        headers: [['x-envoy-local-overloaded', 'true']],
      })
      return
    }
    if (!config.proxy100Continue && headers.get('expect')?.toLowerCase() === '100-continue') {
      // Answered here: the body is wanted whatever the upstream will say (Envoy's default).
      headers.delete('expect')
      this.informationalOut(new ResponseHeaders(100))
    }
    if (headers.path === '' && headers.method !== 'CONNECT') {
      this.sendLocalReply({ status: 404, details: 'missing_path_rejected' })
      return
    }
    if (headers.path !== '' && headers.path[0] !== '/') {
      stats.named.downstream_rq_non_relative_path.inc()
      this.sendLocalReply({ status: 404, details: 'absolute_path_rejected' })
      return
    }
    this.#observation = this.#manager.observer?.arrived(this, headers)
    const normalized = normalizeRequestPath(headers, config.pathNormalization)
    if (normalized !== undefined) {
      if (normalized.status === 307) stats.named.downstream_rq_redirected_with_normalized_path.inc()
      else stats.named.downstream_rq_failed_path_normalization.inc()
      this.sendLocalReply(normalized)
      return
    }
    config.stripHostPort?.(headers)

    for (const mutate of config.earlyMutations) mutate(headers, info)
    const origin = mutateRequestHeaders(
      headers,
      config.requestHeaders,
      info.downstream.directRemote,
      info.downstream.tls,
      info.downstream.local.port,
      this.#upgrade !== '',
      this.#manager.random,
    )
    info.remote = origin.remote
    if (origin.refuseStatus > 0) {
      stats.named.downstream_rq_rejected_via_ip_detection.inc()
      this.sendLocalReply({ status: origin.refuseStatus, details: 'rejecting_because_detection_failed' })
      return
    }
    this.#grpc = origin.grpc
    this.#mayForceTrace = origin.internal || !origin.edge
    info.requestId = headers.get('x-request-id') ?? ''
    this.#enterChain(headers, endStream)
  }

  /** Answers a request whose head could not be accepted; no filter sees it, because there is nothing to look at. */
  refuse(reply: LocalReply, headers?: RequestHeaders): void {
    if (headers !== undefined) this.#headers = headers
    this.sendLocalReply({ ...reply, close: true })
  }

  /** Starts a stream for a request that has been through the manager before: an internal redirect. */
  startRecreated(
    headers: RequestHeaders,
    body: readonly Buffer[],
    trailers: HeaderMap | undefined,
    previous: StreamInfo,
  ): void {
    this.#headers = headers
    this.info.remote = previous.remote
    this.info.requestId = previous.requestId
    this.#grpc = hasGrpcContentType(headers)
    this.info.lastRequestByteMs = previous.lastRequestByteMs
    this.#enterChain(headers, body.length === 0 && trailers === undefined)
    for (let i = 0; i < body.length; i++) this.onRequestData(body[i]!, trailers === undefined && i === body.length - 1)
    if (trailers !== undefined) this.onRequestTrailers(trailers)
  }

  #enterChain(headers: RequestHeaders, endStream: boolean): void {
    const stats = this.#manager.stats
    this.#chainEntered = true
    this.#matchRoute()
    this.#observation ??= this.#manager.observer?.arrived(this, headers)
    this.#observation?.started(headers)
    this.#armTimers()
    // A CONNECT that no route is for is told so by the router.
    if (
      this.#upgrade !== '' &&
      !this.#upgradeAllowed() &&
      (headers.method !== 'CONNECT' || this.#route !== undefined)
    ) {
      stats.named.downstream_rq_ws_on_non_ws_route.inc()
      this.sendLocalReply({ status: 403, details: 'upgrade_failed' })
      return
    }
    if (this.#upgrade !== '' && (headers.method !== 'CONNECT' || this.#route !== undefined)) {
      this.#upgradeCounted = true
      stats.named.downstream_cx_upgrades_total.inc()
      stats.gauges.downstream_cx_upgrades_active.inc()
    }
    this.decodeHeaders(headers, endStream)
  }

  onRequestData(data: BodyChunk, endStream: boolean): void {
    if (this.#ended) return
    this.info.bytesReceived += data.length
    this.#touch(endStream)
    this.decodeData(data, endStream)
  }

  onRequestTrailers(trailers: HeaderMap): void {
    if (this.#ended) return
    this.#touch(true)
    this.decodeTrailers(trailers)
  }

  /** The peer is gone, or broke the protocol after its head was accepted. */
  onReset(failure: StreamFailure): void {
    if (this.#ended) return
    if (failure.kind === 'headers_too_large') this.#observation ??= this.#manager.observer?.refused(this, undefined)
    if (failure.kind === 'protocol_error' || failure.kind === 'payload_too_large') {
      this.info.responseFlags |= failure.flag
      if (!this.#responseStarted && !this.#connection.multiplexed) {
        this.info.responseCodeDetails = failure.details
        this.sendLocalReply({ status: 400, details: failure.details, body: 'Bad Request', close: true })
        return
      }
    } else this.info.responseFlags |= failure.flag
    if (this.info.responseCodeDetails === '' || !this.#responseEnded) this.info.responseCodeDetails = failure.details
    this.#finish()
  }

  onResponseBackpressure(above: boolean): void {
    if (!this.#ended) this.responseBackpressure(above)
  }

  #touch(requestEnded: boolean): void {
    const now = this.#manager.clock.now()
    this.#lastActivityMs = now
    if (!requestEnded) return
    this.info.lastRequestByteMs = now
    this.#requestDeadline = Number.POSITIVE_INFINITY
  }

  #upgradeAllowed(): boolean {
    return this.#route?.upgradeEnabled(this.#upgrade) ?? this.#manager.config.upgrades.has(this.#upgrade)
  }

  // Timers.

  #armTimers(): void {
    const route = this.#route
    if (route?.idleTimeoutMs !== undefined) this.#idleTimeoutMs = route.idleTimeoutMs
    const duration = route?.maxStreamDurationMs ?? this.#manager.config.maxStreamDurationMs
    if (duration > 0) this.#durationDeadline = this.info.startMs + duration
    if (this.#grpc && route?.maxStreamDurationMs !== undefined) tellGrpcTimeout(this.#headers!, duration)
    this.#startTimer()
  }

  #startTimer(): void {
    const idle = this.#idleTimeoutMs > 0 ? this.#lastActivityMs + this.#idleTimeoutMs : Number.POSITIVE_INFINITY
    const next = Math.min(idle, this.#requestDeadline, this.#durationDeadline)
    if (next === Number.POSITIVE_INFINITY) return
    this.#manager.timers.start(this.#timer, next - this.#manager.clock.now())
  }

  #onTimer(): void {
    if (this.#ended) return
    const now = this.#manager.clock.now()
    const stats = this.#manager.stats.named
    // An answer to a request that has not arrived whole blames the requester (Envoy: maybeRequestTimeoutCode).
    const status = this.requestComplete ? 504 : 408
    if (now >= this.#durationDeadline) {
      stats.downstream_rq_max_duration_reached.inc()
      if (this.#responseStarted) this.#cutResponse('max_duration_timeout')
      else {
        this.sendLocalReply({
          status,
          details: 'max_duration_timeout',
          body: 'downstream duration timeout',
          grpcStatus: 4,
        })
      }
    } else if (now >= this.#requestDeadline) {
      stats.downstream_rq_timeout.inc()
      this.sendLocalReply({ status: 408, details: 'request_overall_timeout', body: 'request timeout' })
    } else if (this.#idleTimeoutMs > 0 && now >= this.#lastActivityMs + this.#idleTimeoutMs) {
      stats.downstream_rq_idle_timeout.inc()
      this.info.responseFlags |= ResponseFlag.StreamIdleTimeout
      if (this.#responseStarted) this.#cutResponse('stream_idle_timeout')
      else this.sendLocalReply({ status, details: 'stream_idle_timeout', body: 'stream timeout' })
    } else this.#startTimer()
  }

  /** The stream is answered for the bug, where that is still possible, and its connection takes no more. */
  protected override onException(error: unknown): void {
    ownBug(error, `a request from ${addressText(this.info.downstream.directRemote)}`)
    this.#connection.beginClosing()
    if (this.#ended) return
    if (this.#responseStarted || this.info.responseCodeDetails === INTERNAL_ERROR) this.#cutResponse(INTERNAL_ERROR)
    else this.sendLocalReply({ status: 500, details: INTERNAL_ERROR, body: 'internal error', close: true })
  }

  #cutResponse(details: string): void {
    this.info.responseCodeDetails = details
    this.#manager.stats.named.downstream_rq_tx_reset.inc()
    this.#encoder.reset(this.#observation)
    this.#finish()
  }

  // Responses.

  sendLocalReply(reply: LocalReply): typeof FilterStatus.Stop {
    if (this.#ended || this.#responseEnded) return FilterStatus.Stop
    const info = this.info
    if (reply.flag !== undefined) info.responseFlags |= reply.flag
    if (this.#responseStarted) {
      this.#cutResponse(reply.details)
      return FilterStatus.Stop
    }
    info.localReply = true
    info.responseCodeDetails = reply.details
    this.dropRequest()
    if (reply.close === true) this.#connection.beginClosing()
    // Envoy takes a 400 of its own for a sign that the two sides read the bytes differently.
    if (reply.status === 400 && !this.#connection.multiplexed) this.#connection.beginClosing()
    const rewriter = this.#manager.config.localReplyRewriter
    const route = this.#chainEntered ? this.#route : undefined
    const applies = route !== undefined && (route.forwards || reply.routeHeaders === true)
    const finalize = (head: ResponseHeaders) => route!.finalizeResponseHeaders(head, this.#headers!, info)
    const grpc = this.#chainEntered ? this.#grpc : hasGrpcContentType(this.#headers)
    const finished = makeLocalReply(reply, this.#headers, info, rewriter, grpc, applies ? finalize : undefined)
    const body = this.#localReplyBody(finished.headers, finished.body)
    this.#responseHeaders = finished.headers
    if (!this.#chainEntered) {
      this.#observation = this.#manager.observer?.refused(this, this.#observation)
      this.headersOut(finished.headers, body === '')
      if (body !== '' && !this.#ended) this.dataOut(Buffer.from(body, 'latin1'), true)
      return FilterStatus.Stop
    }
    this.encodeHeaders(finished.headers, body === '')
    if (body !== '' && !this.#ended) this.encodeData(Buffer.from(body, 'latin1'), true)
    return FilterStatus.Stop
  }

  /** Envoy's words, or those for people where somebody wants them; HEAD and gRPC have no body to put them into. */
  #localReplyBody(headers: ResponseHeaders, body: string): string {
    if (body === '' || !this.#chainEntered) return body
    return this.#observation?.onLocalReply(headers, body, this.#headers?.get('accept')) ?? body
  }

  get nowMs(): number {
    return this.#manager.clock.now()
  }

  get wallMs(): number {
    return this.#manager.clock.wall()
  }

  metadata(kind: MetadataKind): FilterMetadata | undefined {
    return configuredMetadata(kind, this.info, this.#route)
  }

  respondInformational(headers: ResponseHeaders): void {
    // Envoy hands on nothing but a 100 that was asked for: many a client of today trips over any other.
    if (this.#ended || this.#responseStarted || headers.status !== 100) return
    if (this.#manager.config.proxy100Continue) this.encodeInformational(headers)
  }

  respondHeaders(headers: ResponseHeaders, endStream: boolean): void {
    if (this.#ended) return
    this.#responseHeaders = headers
    this.#lastActivityMs = this.#manager.clock.now()
    this.info.responseCode = headers.status
    this.encodeHeaders(headers, endStream)
  }

  respondData(data: BodyChunk, endStream: boolean): void {
    if (this.#ended) return
    this.#lastActivityMs = this.#manager.clock.now()
    this.encodeData(data, endStream)
  }

  respondTrailers(trailers: HeaderMap): void {
    if (this.#ended) return
    this.encodeTrailers(trailers)
  }

  resetResponse(failure: StreamFailure): void {
    if (this.#ended) return
    this.info.responseFlags |= failure.flag
    this.#cutResponse(failure.details)
  }

  matchRoute(headers: RequestHeaders): MatchedRoute | undefined {
    return this.#manager.routes?.match(headers, this.info, this.#manager.random)
  }

  recreate(body: readonly Buffer[], trailers: HeaderMap | undefined): void {
    if (this.#ended || this.#responseStarted) return
    const headers = this.#headers!
    this.#responseEnded = true
    this.#finish(false)
    this.#connection.recreate(headers, body, trailers, this.info)
  }

  pauseRequest(): void {
    this.#manager.stats.named.downstream_flow_control_paused_reading_total.inc()
    this.#encoder.pauseRequest()
  }

  resumeRequest(): void {
    this.#manager.stats.named.downstream_flow_control_resumed_reading_total.inc()
    this.#encoder.resumeRequest()
  }

  // What the filter manager asks of its stream.

  protected get stream(): HttpStream {
    return this
  }
  get bufferLimitBytes(): number {
    return this.#manager.config.bufferLimitBytes
  }
  protected get disabledFilters(): readonly boolean[] | undefined {
    return this.#disabled
  }
  protected get currentRequestHeaders(): RequestHeaders {
    return this.#headers!
  }
  protected get currentResponseHeaders(): ResponseHeaders {
    return this.#responseHeaders!
  }

  protected informationalOut(headers: ResponseHeaders): void {
    this.#manager.stats.codes.charge(headers.status)
    this.#manager.stats.listenerCodes.charge(headers.status)
    this.#encoder.encodeInformational(headers)
  }

  protected headersOut(headers: ResponseHeaders, endStream: boolean): void {
    const manager = this.#manager
    const connection = this.#connection
    const info = this.info
    const upgraded =
      this.#upgrade !== '' && (headers.status === 101 || (headers.status === 200 && this.#upgrade === 'connect'))
    mutateResponseHeaders(headers, manager.config.responseHeaders, upgraded, httpDate(manager.clock.wall()))
    if (info.requestId !== '' && (manager.config.alwaysSetRequestIdInResponse || this.#traceForced()))
      headers.set('x-request-id', info.requestId)
    info.responseCode = headers.status
    if (this.#grpc) noteGrpcStatus(info, headers)
    this.#observation?.onResponseHeaders(headers)
    if (!connection.closing && manager.draining) {
      manager.stats.named.downstream_cx_drain_close.inc()
      connection.beginClosing()
    }
    if (!this.requestComplete) {
      manager.stats.named.downstream_rq_response_before_rq_complete.inc()
      // The rest of the request would have to be read just to find the next one.
      if (!upgraded && !connection.multiplexed) connection.beginClosing()
    }
    if (connection.closing && !connection.multiplexed && !upgraded) headers.set('connection', 'close')
    this.#responseStarted = true
    info.firstDownstreamTxByteMs = manager.clock.now()
    info.responseHeaderBytes = headers.byteSize()
    if (!info.healthCheck) {
      manager.stats.codes.charge(headers.status)
      manager.stats.listenerCodes.charge(headers.status)
    }
    if (endStream) this.#responseEnded = true
    this.#encoder.encodeHeaders(headers, endStream)
    if (endStream) this.#complete()
  }

  /** Whoever forces a trace wants to find it: an internal caller's header, which is still there. */
  #traceForced(): boolean {
    return this.#mayForceTrace && this.#headers!.has('x-envoy-force-trace')
  }

  protected dataOut(data: BodyChunk, endStream: boolean): void {
    this.info.bytesSent += data.length
    if (endStream) this.#responseEnded = true
    this.#encoder.encodeData(data, endStream)
    if (endStream) this.#complete()
  }

  protected trailersOut(trailers: HeaderMap): void {
    this.#responseEnded = true
    if (this.#grpc) noteGrpcStatus(this.info, trailers)
    this.#observation?.onResponseTrailers(trailers)
    this.#encoder.encodeTrailers(trailers)
    this.#complete()
  }

  protected onRequestTooLarge(): void {
    this.#manager.stats.named.downstream_rq_too_large.inc()
    this.sendLocalReply({ status: 413, details: 'request_payload_too_large', body: 'Payload Too Large' })
  }

  protected onResponseTooLarge(): void {
    this.#manager.stats.named.rs_too_large.inc()
    if (this.#responseStarted) this.#cutResponse('response_payload_too_large')
    else this.sendLocalReply({ status: 500, details: 'response_payload_too_large', body: 'Internal Server Error' })
  }

  protected holdRequestSource(hold: boolean): void {
    if (hold) this.pauseRequest()
    else this.resumeRequest()
  }

  /** A filter holds the response: the terminal filter is asked to slow the upstream down, as if the client were slow. */
  protected holdResponseSource(hold: boolean): void {
    this.responseBackpressure(hold)
  }

  #complete(): void {
    if (this.#ended) return
    this.info.lastDownstreamTxByteMs = this.#manager.clock.now()
    this.#finish()
  }

  #finish(release = true): void {
    if (this.#ended) return
    this.#ended = true
    const manager = this.#manager
    const info = this.info
    manager.timers.stop(this.#timer)
    info.endMs =
      info.lastDownstreamTxByteMs > 0 && this.#responseEnded ? info.lastDownstreamTxByteMs : manager.clock.now()
    this.destroyFilters()
    manager.stats.gauges.downstream_rq_active.dec()
    // Envoy counts every stream that ended before both of its halves had, whoever cut it.
    if (release && !(this.requestComplete && this.#responseEnded)) manager.stats.named.downstream_rq_rx_reset.inc()
    if (this.#upgradeCounted) manager.stats.gauges.downstream_cx_upgrades_active.dec()
    if (info.healthCheck) manager.stats.tracing.health_check.inc()
    else manager.stats.rqTime.recordWithExemplar(info.endMs - info.startMs, info.sampledTraceId)
    this.#observation?.end()
    manager.log(this)
    if (release) this.#connection.onStreamEnd(this)
  }
}
