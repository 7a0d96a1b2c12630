/**
 * The router: the terminal HTTP filter. It sends the request to the cluster its route names, tries again where the policy
 * says so, and answers for the upstream where the upstream does not.
 *
 *   headers ─▶ route? ─no─▶ 404 NR
 *                │ direct response or redirect ─▶ answered here
 *                ▼
 *             cluster? ─no─▶ 503 NC        host? ─no─▶ 503 UH
 *                ▼
 *      attempt ─▶ pool ─▶ upstream ─▶ response ─▶ retry? ─yes─▶ back-off ─▶ attempt …
 *                  │                     │
 *                  └── reset, timeout ───┘ no more ─▶ local reply (features.md §2.2)
 */
import { Timer } from '../base/timer-wheel.ts'
import type { Cluster, Clusters, Priority } from '../cluster/cluster.ts'
import { isGrpcRequest } from '../codec/grpc/headers.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { BodyChunk, StreamFailure } from '../codec/stream.ts'
import type { AttemptFacts, StreamFailures } from '../failure-origin/contract.ts'
import { type FilterContext, FilterStatus, type HttpFilter, type HttpStream } from '../filter-chain/http-filter.ts'
import type { UpstreamSpans } from '../filter-chain/upstream-spans.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { Host } from '../upstream/host.ts'
import { noteAttempt, noteCluster, noteFailure, noteResponse, noteTrailers } from './attempt-notes.ts'
import { factsOf, factsOfNoHost } from './failure-facts.ts'
import { HeldHead, holdsHead } from './held-head.ts'
import { HostWishes } from './host-wishes.ts'
import { followsRedirect } from './internal-redirect.ts'
import { isKeepAliveRaceRetried } from './keep-alive-race.ts'
import { KeptBody } from './kept-body.ts'
import { type MirrorRequest, startMirrors } from './mirror.ts'
import {
  addressAttempt,
  announceTimeout,
  NO_TIMEOUTS,
  strictCheck,
  type Timeouts,
  timeoutsFor,
} from './request-steering.ts'
import { cutAfterHead } from './reset-reasons.ts'
import { type ChargeTargets, countTimeout } from './response-charges.ts'
import { RetryState, RetryVerdict } from './retry-state.ts'
import type { RouteEntry } from './route-entry.ts'
import type { RouterParts } from './router-settings.ts'
import * as replies from './upstream-replies.ts'
import { UpstreamRequest } from './upstream-request.ts'

export class RouterFilter implements HttpFilter {
  readonly #parts: RouterParts
  readonly #context: FilterContext
  readonly #clusters: Clusters
  #stream!: HttpStream
  #info!: StreamInfo
  #headers!: RequestHeaders
  #route!: RouteEntry
  #cluster!: Cluster
  #priority: Priority = 0
  #retry: RetryState | undefined = undefined
  #wishes!: HostWishes
  #upstream: UpstreamRequest | undefined = undefined
  #attempt = 0
  #requestEnded = false
  /** Of the body as it goes upstream: filters may have changed what the downstream sent. */
  #bodyBytes = 0
  /** Body kept for another attempt, while one is possible. */
  #kept: KeptBody | undefined = undefined
  #trailers: HeaderMap | undefined = undefined
  #responding = false
  #held: HeldHead | undefined = undefined
  #done = false
  #timeouts: Timeouts = NO_TIMEOUTS
  #charges: ChargeTargets | undefined = undefined
  #internal = false
  #responseTimer: Timer | undefined = undefined
  #backOffTimer: Timer | undefined = undefined
  #downstreamSlow = false
  /** The one retry of our own, for keep-alive races, is spent or no longer possible. */
  #graceUsed = false
  #wantsFresh = false // An idle connection was dead, so that others may be.
  /** A 1xx has come: the first is charged, the others do not count. */
  #informed = false
  #mirrors: readonly MirrorRequest[] | undefined = undefined
  /** When the request was complete, 0 while it is not. */
  #completeMs = 0
  #failures: StreamFailures | undefined = undefined
  #spans: UpstreamSpans | undefined = undefined

  constructor(parts: RouterParts, context: FilterContext, clusters: Clusters) {
    this.#parts = parts
    this.#context = context
    this.#clusters = clusters
  }

  onRequestHeaders(stream: HttpStream, headers: RequestHeaders, endStream: boolean): FilterStatus {
    this.#stream = stream
    this.#info = stream.info
    this.#headers = headers
    this.#requestEnded = endStream
    const { stats } = this.#parts
    stats.rqTotal.inc()
    const route = stream.route as RouteEntry | undefined
    if (route === undefined) {
      stats.noRoute.inc()
      return stream.sendLocalReply(replies.NO_ROUTE)
    }
    this.#route = route
    if (route.kind !== 'cluster') {
      stats.rqDirectResponse.inc()
      return stream.sendLocalReply(replies.routeReply(route, headers, stream.info))
    }
    const cluster = this.#clusters.get(route.clusterName)
    if (cluster === undefined) {
      stats.noCluster.inc()
      this.#info.clusterName = ''
      return stream.sendLocalReply(replies.noClusterReply(route.clusterNotFoundResponseCode))
    }
    this.#cluster = cluster
    noteCluster(this.#info, cluster)
    this.#internal = headers.get('x-envoy-internal') === 'true'
    this.#priority = route.priority
    return this.#begin(stream, headers, route, cluster, endStream)
  }

  onRequestData(_stream: HttpStream, data: BodyChunk, endStream: boolean): FilterStatus {
    if (this.#done) return FilterStatus.Stop
    this.#bodyBytes += data.length
    if (this.#retry !== undefined || this.#graceful() || this.#route.internalRedirectPolicy !== undefined)
      this.#keep(data)
    if (endStream) this.#requestEnded = true
    // Before there is a connection the body waits in the attempt, which copies what it keeps.
    this.#upstream?.sendData(data, endStream)
    if (this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.sendData(data, endStream)
    if (endStream) this.#onRequestComplete()
    return FilterStatus.Stop
  }

  onRequestTrailers(_stream: HttpStream, trailers: HeaderMap): FilterStatus {
    if (this.#done) return FilterStatus.Stop
    this.#requestEnded = true
    this.#trailers = trailers
    this.#upstream?.sendTrailers(trailers)
    if (this.#mirrors !== undefined) for (const mirror of this.#mirrors) mirror.sendTrailers(trailers)
    this.#onRequestComplete()
    return FilterStatus.Stop
  }

  onResponseBackpressure(_stream: HttpStream, above: boolean): void {
    if (this.#downstreamSlow === above) return
    this.#downstreamSlow = above
    if (above) this.#upstream?.pauseResponse()
    else this.#upstream?.resumeResponse()
  }

  onStreamEnd(): void {
    const upstream = this.#upstream
    this.#finish()
    this.#upstream = undefined
    upstream?.abandon()
    if (this.#mirrors !== undefined && !this.#requestEnded) for (const mirror of this.#mirrors) mirror.abandon()
  }

  #begin(
    stream: HttpStream,
    headers: RequestHeaders,
    route: RouteEntry,
    cluster: Cluster,
    endStream: boolean,
  ): FilterStatus {
    const { config, charges, targets } = this.#parts
    const { info } = stream
    this.#charges = charges.targets(route, headers)
    info.virtualClusterName = route.virtualCluster(headers)
    if (config.strictCheckHeaders.length > 0) {
      const refusal = strictCheck(headers, config.strictCheckHeaders)
      if (refusal !== undefined) return stream.sendLocalReply(refusal)
    }
    info.attemptCount = 1
    const insert = !config.suppressEnvoyHeaders
    route.finalizeRequestHeaders(headers, info, insert)
    const timeouts = timeoutsFor(headers, route, config)
    this.#timeouts = timeouts
    this.#retry = RetryState.create(route.retryPolicy, headers, cluster, this.#priority, this.#context, this.#charges)
    this.#wishes = new HostWishes(headers, info, route, this.#retry)
    this.#spans = stream.upstreamSpans
    const host = cluster.chooseHost(this.#wishes)
    const failures = stream.failures
    if (failures !== undefined) {
      this.#failures = failures
      failures.routed(targets.ofCluster(cluster), info.requestId, headers.path, this.#spans?.wireSpanId ?? '')
      timeouts.response = failures.limitTimeout(timeouts.response, this.#context.clock.now())
      if (timeouts.response > 0 && timeouts.response < 1) {
        this.#finish()
        return stream.sendLocalReply(replies.DEADLINE_SPENT)
      }
    }
    announceTimeout(headers, route, timeouts, 0, insert)
    if (route.mirrorPolicies.length > 0) {
      this.#mirrors = startMirrors(route, headers, info, this.#clusters, this.#context, this.#spans, endStream)
    }
    if (endStream) this.#onRequestComplete()
    this.#startAttempt(host)
    return FilterStatus.Stop
  }

  #onRequestComplete(): void {
    if (this.#completeMs > 0 || this.#done) return
    this.#completeMs = this.#context.clock.now()
    const { response } = this.#timeouts
    if (response > 0) {
      this.#responseTimer = new Timer(() => this.#onResponseTimeout())
      this.#context.timers.start(this.#responseTimer, response)
    }
    this.#upstream?.onRequestComplete()
  }

  #startAttempt(host: Host | undefined): void {
    const cluster = this.#cluster
    if (host === undefined) {
      this.#replyNoHealthyHost()
      return
    }
    this.#attempt++
    const info = this.#info
    noteAttempt(info, host, this.#attempt)
    const headers = this.#headers
    const route = this.#route
    addressAttempt(headers, route, host.hostname, this.#attempt)
    if (this.#attempt > 1 && this.#completeMs > 0) {
      announceTimeout(headers, route, this.#timeouts, this.elapsedMs, !this.#parts.config.suppressEnvoyHeaders)
    }
    this.#retry?.onHostAttempted(host)
    if (host.serviceName !== '') this.#failures?.retarget(this.#parts.targets.ofHost(cluster, host))
    const attempt = this.#attempt
    this.#spans?.attemptStarted(headers, { clusterName: cluster.name, hostText: host.addressText, attempt })
    const upstream = new UpstreamRequest(this, host, cluster, this.#context)
    this.#upstream = upstream
    if (this.#downstreamSlow) upstream.pauseResponse()
    const endStream = this.#requestEnded && this.#bodyBytes === 0 && this.#trailers === undefined
    upstream.start(headers, this.#priority, endStream, this.#wantsFresh)
    if (this.#upstream !== upstream || this.#attempt === 1) return
    // What earlier attempts were sent is sent again.
    this.#kept?.sendTo(upstream, this.#requestEnded && this.#trailers === undefined)
    if (this.#trailers !== undefined) upstream.sendTrailers(this.#trailers)
  }

  #replyNoHealthyHost(): void {
    this.#cluster.stats.counter('upstream_cx_none_healthy').inc()
    this.#failures?.attemptFailed(factsOfNoHost(this.#cluster))
    this.#finish()
    this.#charge(503, undefined, undefined)
    this.#stream.sendLocalReply(replies.noHostReply(this.#replyHeaders(false)))
  }

  /** Keeps a copy of the body for another attempt; gives retries up once it is larger than a connection may buffer. */
  #keep(data: BodyChunk): void {
    const { bufferLimitBytes } = this.#cluster
    const limit = Math.min(this.#route.requestBufferLimit ?? bufferLimitBytes, bufferLimitBytes)
    this.#kept ??= new KeptBody()
    if (this.#kept.add(data, limit)) return
    if (this.#retry !== undefined) this.#cluster.requestStats.retryOrShadowAbandoned.inc()
    this.#retry?.release()
    this.#retry = undefined
    this.#graceUsed = true
  }

  /** The one retry of our own is still possible: nothing of it has been used, and the policy has no say. */
  #graceful(): boolean {
    return !this.#graceUsed && isKeepAliveRaceRetried(this.#headers.method, this.#route, this.#cluster, this.#parts)
  }

  // Reports of the running attempt. `UpstreamRequest` calls these.

  /** The attempt has its connection and the head has been written. */
  onUpstreamReady(upstream: UpstreamRequest): void {
    if (upstream !== this.#upstream) return
    const { perTry, perTryIdle } = this.#timeouts
    if (this.#completeMs > 0) {
      if (perTry > 0) upstream.startPerTryTimeout(perTry)
      if (perTryIdle > 0) upstream.startPerTryIdleTimeout(perTryIdle)
    }
    const duration = this.#timeouts.streamDuration ?? this.#cluster.maxStreamDurationMs
    if (duration > 0) upstream.startMaxDuration(duration)
  }

  /** The attempt had its connection before the request was complete. */
  get timeouts(): Timeouts {
    return this.#timeouts
  }

  get elapsedMs(): number {
    return this.#completeMs === 0 ? 0 : this.#context.clock.now() - this.#completeMs
  }

  #charge(status: number, host: Host | undefined, response: ResponseHeaders | undefined): void {
    this.#parts.charges.response(status, this.#cluster, host, response, this.#internal, this.#charges)
  }

  #replyHeaders(overloaded: boolean) {
    const attempt = this.#route.includeAttemptCountInResponse ? this.#attempt : 0
    return replies.replyHeaders(overloaded && !this.#parts.config.suppressEnvoyHeaders, attempt)
  }

  onUpstreamBackpressure(upstream: UpstreamRequest, above: boolean): void {
    if (upstream !== this.#upstream || this.#stream.ended) return
    if (above) this.#stream.pauseRequest()
    else this.#stream.resumeRequest()
  }

  onUpstreamInformational(headers: ResponseHeaders): void {
    if (this.#informed) return
    this.#informed = true
    this.#charge(headers.status, this.#upstream?.host, undefined)
    // Another upstream need not say the same, so there is no other attempt after this (Envoy).
    this.#retry?.release()
    this.#retry = undefined
    this.#graceUsed = true
    this.#stream.respondInformational(headers)
  }

  onUpstreamHeaders(upstream: UpstreamRequest, headers: ResponseHeaders, endStream: boolean): void {
    const cluster = this.#cluster
    noteResponse(cluster, upstream.host, headers, isGrpcRequest(this.#headers), endStream)
    const failures = this.#failures
    failures?.attemptHead(headers, headers.status, this.#info)
    const retry = this.#retry
    if (retry !== undefined) {
      if (this.#requestEnded && holdsHead(retry, headers, endStream) && this.#canRepeat()) {
        this.#held = new HeldHead(upstream, headers, cluster, this.#context.timers, retry, () => this.#passHeld())
        return
      }
      const verdict = failures?.mayRetry() === false ? RetryVerdict.No : retry.onResponse(headers)
      if (this.#retryOn(verdict, false)) {
        this.#parts.charges.retried(headers.status, cluster)
        this.#upstream = undefined
        if (endStream) upstream.release()
        else upstream.abandon()
        return
      }
    }
    this.#passHead(upstream, headers, endStream)
  }

  /** The head that waited for trailers goes on. */
  #passHeld(): void {
    const { upstream, headers } = this.#held!
    this.#dropHeld()
    this.#retry?.onResponse(headers)
    this.#passHead(upstream, headers, false)
  }

  #dropHeld(): void {
    this.#held?.stop()
    this.#held = undefined
  }

  /** Another attempt takes the place of a response that has failed in its trailers before any message. */
  #retryOnTrailers(held: HeldHead, trailers: HeaderMap): boolean {
    const verdict = this.#failures?.mayRetry() === false ? RetryVerdict.No : held.judge(this.#retry, trailers)
    if (!this.#retryOn(verdict, false)) return false
    this.#dropHeld()
    held.countRetry()
    this.#parts.charges.retried(held.headers.status, this.#cluster)
    this.#upstream = undefined
    held.upstream.release()
    return true
  }

  #passHead(upstream: UpstreamRequest, headers: ResponseHeaders, endStream: boolean): void {
    if (this.#redirectInternally(upstream, headers, endStream)) return
    this.#responding = true
    const info = this.#info
    info.responseCode = headers.status
    if (info.responseCodeDetails === '') info.responseCodeDetails = 'via_upstream'
    const now = this.#context.clock.now()
    info.firstUpstreamRxByteMs = now
    if (!this.#parts.config.suppressEnvoyHeaders && this.#completeMs > 0) {
      headers.set('x-envoy-upstream-service-time', String(Math.floor(now - this.#completeMs)))
    }
    const route = this.#route
    if (route.includeAttemptCountInResponse) headers.set('x-envoy-attempt-count', String(this.#attempt))
    this.#charge(headers.status, upstream.host, headers)
    route.finalizeResponseHeaders(headers, this.#headers, info)
    if (endStream) this.#finishUpstream(now)
    this.#stream.respondHeaders(headers, endStream)
  }

  onUpstreamData(data: BodyChunk, endStream: boolean): void {
    if (this.#held !== undefined) {
      // No message begins with it.
      if (data.length === 0 && !endStream) return
      this.#passHeld()
    }
    if (endStream) this.#finishUpstream(this.#context.clock.now())
    this.#stream.respondData(data, endStream)
  }

  onUpstreamTrailers(trailers: HeaderMap): void {
    this.#failures?.attemptTrailers(trailers, this.#info)
    if (this.#held !== undefined) {
      if (this.#retryOnTrailers(this.#held, trailers)) return
      this.#passHeld()
    }
    noteTrailers(this.#upstream?.host, trailers, isGrpcRequest(this.#headers))
    this.#finishUpstream(this.#context.clock.now())
    this.#stream.respondTrailers(trailers)
  }

  /** The attempt ended without a whole response. */
  onUpstreamReset(upstream: UpstreamRequest, failure: StreamFailure): void {
    if (upstream !== this.#upstream) return
    const { host } = upstream
    noteFailure(this.#info, host, failure, this.#context.clock.wall())
    if (failure.kind !== 'overflow') {
      const kind = failure.kind === 'connect_timeout' ? 'timeout' : 'connect_failed'
      this.#cluster.outlier.onLocalOriginFailure(host, kind)
    }
    this.#upstream = undefined
    this.#dropHeld()
    this.#failures?.attemptFailed(factsOf(failure, upstream))
    if (this.#responding) {
      this.#chargeCutResponse()
      this.#finish()
      this.#stream.resetResponse(cutAfterHead(failure))
      return
    }
    if (!this.#retryAfterReset(upstream, failure)) this.#replyReset(host, failure)
  }

  /** `idle`: nothing moved for too long, which may happen after the head as well. */
  onPerTryTimeout(upstream: UpstreamRequest, idle: boolean): void {
    if (upstream !== this.#upstream) return
    const { requestStats, outlier } = this.#cluster
    if (idle) requestStats.perTryIdleTimeout.inc()
    else requestStats.perTryTimeout.inc()
    upstream.host.stats.rqTimeout.inc()
    outlier.onLocalOriginFailure(upstream.host, 'timeout')
    if (this.#retryAfterTimeout(upstream, 'per_try_timeout', true)) return
    this.#replyTimeout(upstream.host, idle ? 'upstream_per_try_idle_timeout' : 'upstream_per_try_timeout')
  }

  /** The cluster's `max_stream_duration` is over. */
  onUpstreamMaxDuration(upstream: UpstreamRequest): void {
    if (upstream !== this.#upstream) return
    this.#cluster.requestStats.maxDurationReached.inc()
    if (this.#retryAfterTimeout(upstream, 'route_timeout', false)) return
    const reply = replies.maxDurationReply(this.#completeMs > 0 ? 504 : 408, this.#replyHeaders(false))
    this.#finish()
    if (this.#responding) {
      this.#stream.resetResponse({ origin: 'local', kind: 'timeout', flag: reply.flag, details: reply.details })
    } else this.#stream.sendLocalReply(reply)
  }

  /** Gives an attempt up whose time is over; true where another takes its place. */
  #retryAfterTimeout(upstream: UpstreamRequest, kind: AttemptFacts['kind'], timedOut: boolean): boolean {
    this.#upstream = undefined
    this.#dropHeld()
    upstream.abandon(timedOut ? ResponseFlag.UpstreamRequestTimeout : ResponseFlag.UpstreamMaxStreamDurationReached)
    this.#failures?.attemptFailed({ kind, details: '', host: upstream.host.addressText })
    if (this.#responding) return false
    return this.#retryOn(this.#retry?.onPerTryTimeout() ?? RetryVerdict.No, timedOut)
  }

  #onResponseTimeout(): void {
    if (this.#done) return
    const wait = this.#failures?.timeoutFired(this.#context.clock.now()) ?? 0
    if (wait > 0) {
      this.#context.timers.start(this.#responseTimer!, wait)
      return
    }
    const cluster = this.#cluster
    cluster.requestStats.timeout.inc()
    countTimeout(this.#charges)
    const upstream = this.#upstream
    if (upstream !== undefined) {
      upstream.host.stats.rqTimeout.inc()
      cluster.outlier.onLocalOriginFailure(upstream.host, 'timeout')
      this.#upstream = undefined
      upstream.abandon()
    }
    this.#failures?.attemptFailed({ kind: 'route_timeout', details: '', host: upstream?.host.addressText })
    this.#replyTimeout(upstream?.host, 'response_timeout')
  }

  #replyTimeout(host: Host | undefined, details: string): void {
    const flag = ResponseFlag.UpstreamRequestTimeout
    if (this.#responding) {
      this.#chargeCutResponse()
      this.#finish()
      this.#stream.resetResponse({ origin: 'local', kind: 'timeout', flag, details })
      return
    }
    const reply = replies.timeoutReply(this.#timeouts.status, details, this.#replyHeaders(false))
    this.#finish()
    this.#charge(reply.status, host, undefined)
    this.#stream.sendLocalReply(reply)
  }

  #replyReset(host: Host, failure: StreamFailure): void {
    const reply = replies.resetReply(failure, this.#attempt > 1, this.#replyHeaders(failure.kind === 'overflow'))
    this.#finish()
    this.#charge(reply.status, host, undefined)
    this.#stream.sendLocalReply(reply)
  }

  /** Only of gRPC does Envoy say that a response was cut: of its answers alone it knows that something was to come. */
  #chargeCutResponse(): void {
    if (isGrpcRequest(this.#headers)) this.#parts.stats.rqResetAfterDownstreamResponseStarted.inc()
  }

  /** Starts another attempt after a reset where policy or the keep-alive race allows one; true when it does. */
  #retryAfterReset(upstream: UpstreamRequest, failure: StreamFailure): boolean {
    const retry = this.#retry
    if (retry !== undefined && this.#failures?.mayRetry() !== false) {
      if (this.#retryOn(retry.onReset(failure, upstream.headSent), false)) return true
    }
    // A re-used connection that the upstream closed just when we used it: not a failure of the request (design.md). Once,
    // and only where doing the request twice cannot hurt.
    const closed = failure.kind === 'terminated' || failure.kind === 'reset'
    if (closed && upstream.reused && !upstream.receivedBytes && this.#graceful() && this.#canRepeat()) {
      this.#graceUsed = this.#wantsFresh = true
      this.#failures?.attemptRetried(this.#info)
      this.#startAttempt(this.#cluster.chooseHost(this.#wishes))
      return true
    }
    return false
  }

  /** Whether everything that was sent is still here to be sent again. */
  #canRepeat(): boolean {
    const received = this.#bodyBytes
    return this.#kept === undefined ? received === 0 && this.#requestEnded : this.#kept.has(received)
  }

  /** Starts another attempt where the verdict is for it and the request can be repeated; else notes why not. */
  #retryOn(verdict: RetryVerdict, timedOut: boolean): boolean {
    if (verdict === RetryVerdict.LimitExceeded) this.#info.responseFlags |= ResponseFlag.UpstreamRetryLimitExceeded
    else if (verdict === RetryVerdict.Overflow) this.#info.responseFlags |= ResponseFlag.UpstreamOverflow
    if (verdict !== RetryVerdict.Yes || !this.#canRepeat()) return false
    this.#failures?.attemptRetried(this.#info)
    if (this.#route.includeIsTimeoutRetryHeader) this.#headers.set('x-envoy-is-timeout-retry', String(timedOut))
    this.#backOffTimer ??= new Timer(() => {
      if (!this.#done) this.#startAttempt(this.#cluster.chooseHost(this.#wishes))
    })
    this.#context.timers.start(this.#backOffTimer, this.#retry!.backOffMs())
    return true
  }

  #redirectInternally(upstream: UpstreamRequest, headers: ResponseHeaders, endStream: boolean): boolean {
    const policy = this.#route.internalRedirectPolicy
    if (policy === undefined || !policy.handles(headers.status)) return false
    // A 303 turns into a GET, so only there the body that has gone upstream is not wanted again.
    const withoutBody = headers.status === 303
    const repeatable = this.#requestEnded && (withoutBody || this.#canRepeat())
    if (!followsRedirect(policy, this.#headers, headers, this.#stream, repeatable, this.#cluster, this.#parts.stats)) {
      return false
    }
    this.#upstream = undefined
    if (endStream) upstream.release()
    else upstream.abandon()
    const body = withoutBody ? [] : (this.#kept?.chunks ?? [])
    this.#finish()
    this.#info.responseCode = headers.status
    this.#info.responseCodeDetails = 'internal_redirect'
    this.#stream.recreate(body, withoutBody ? undefined : this.#trailers)
    return true
  }

  #finishUpstream(now: number): void {
    this.#info.lastUpstreamRxByteMs = now
    const upstream = this.#upstream
    if (upstream !== undefined && this.#completeMs > 0) {
      const { charges } = this.#parts
      charges.time(now - this.#completeMs, this.#info, this.#cluster, upstream.host, this.#internal, this.#charges)
    }
    upstream?.release()
    this.#upstream = undefined
    this.#finish()
  }

  #finish(): void {
    if (this.#done) return
    this.#done = true
    if (this.#cluster?.tracked !== undefined) this.#cluster.tracked.request(this.elapsedMs, this.#timeouts.response)
    this.#dropHeld()
    if (this.#responseTimer !== undefined) this.#context.timers.stop(this.#responseTimer)
    if (this.#backOffTimer !== undefined) this.#context.timers.stop(this.#backOffTimer)
    this.#retry?.release()
    this.#kept?.drop()
  }

  get info(): StreamInfo {
    return this.#info
  }

  get spans(): UpstreamSpans | undefined {
    return this.#spans
  }
}
