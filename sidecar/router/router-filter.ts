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
import type { Cluster, Clusters, LoadBalancerContext, Priority } from '../cluster/cluster.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { BodyChunk, StreamFailure } from '../codec/stream.ts'
import type { AttemptFacts, CallTarget, StreamFailures } from '../failure-origin/contract.ts'
import { type FilterContext, FilterStatus, type HttpFilter, type HttpStream } from '../filter-chain/http-filter.ts'
import type { UpstreamSpans } from '../filter-chain/upstream-spans.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { Counter } from '../observability/stats.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import { type Host, HostHealth } from '../upstream/host.ts'
import { type MirrorRequest, startMirrors } from './mirror.ts'
import { resetDetails, resetReason } from './reset-reasons.ts'
import { RetryState, RetryVerdict } from './retry-state.ts'
import type { RouteEntry } from './route-entry.ts'
import { UpstreamRequest } from './upstream-request.ts'

export interface RouterConfig {
  /** `suppress_envoy_headers`: adds none of the `x-envoy-…` headers. */
  readonly suppressEnvoyHeaders: boolean
  readonly respectExpectedRequestTimeout: boolean
  readonly strictCheckHeaders: readonly string[]
}

/** Stats below `http.<stat_prefix>.` that the router charges. */
export interface RouterStats {
  readonly noRoute: Counter
  readonly noCluster: Counter
  readonly rqTotal: Counter
  readonly rqDirectResponse: Counter
  readonly rqRedirect: Counter
  readonly rqResetAfterDownstreamResponseStarted: Counter
  readonly internalRedirectSucceeded: Counter
  readonly internalRedirectFailed: Counter
  readonly rqOverloadLocalReply: Counter
}

/** Callees as failure location knows them: looked up once per cluster and per host that has a name of its own. */
export interface CallTargets {
  ofCluster(cluster: Cluster): CallTarget
  /** For a host that names a service of its own. */
  ofHost(cluster: Cluster, host: Host): CallTarget
}

export class RouterFilter implements HttpFilter, LoadBalancerContext {
  readonly #config: RouterConfig
  readonly #context: FilterContext
  readonly #clusters: Clusters
  readonly #stats: RouterStats
  readonly #targets: CallTargets
  #stream!: HttpStream
  #info!: StreamInfo
  #headers!: RequestHeaders
  #route!: RouteEntry
  #cluster!: Cluster
  #priority: Priority = 0
  #retry: RetryState | undefined = undefined
  #upstream: UpstreamRequest | undefined = undefined
  #attempt = 0
  #requestEnded = false
  /** Body kept for another attempt, while one is possible. */
  #body: Buffer[] | undefined = undefined
  #bodyBytes = 0
  #trailers: HeaderMap | undefined = undefined
  #responding = false
  #done = false
  #timeoutMs = 0
  #perTryTimeoutMs = 0
  #responseTimer: Timer | undefined = undefined
  #backOffTimer: Timer | undefined = undefined
  #downstreamSlow = false
  /** The one retry of our own, for keep-alive races, is spent or no longer possible. */
  #graceUsed = false
  #mirrors: readonly MirrorRequest[] | undefined = undefined
  #startedMs = 0
  #failures: StreamFailures | undefined = undefined
  #spans: UpstreamSpans | undefined = undefined

  constructor(
    config: RouterConfig,
    context: FilterContext,
    clusters: Clusters,
    stats: RouterStats,
    targets: CallTargets,
  ) {
    this.#targets = targets
    this.#config = config
    this.#context = context
    this.#clusters = clusters
    this.#stats = stats
  }

  // Filter callbacks.

  onRequestHeaders(stream: HttpStream, headers: RequestHeaders, endStream: boolean): FilterStatus {
    this.#stream = stream
    this.#info = stream.info
    this.#headers = headers
    this.#requestEnded = endStream
    this.#stats.rqTotal.inc()
    const route = stream.route as RouteEntry | undefined
    if (route === undefined) {
      this.#stats.noRoute.inc()
      return stream.sendLocalReply({
        status: 404,
        details: 'route_not_found',
        flag: ResponseFlag.NoRouteFound,
        grpcStatus: 12,
      })
    }
    this.#route = route
    if (route.kind !== 'cluster') return this.#answerFromRoute(stream, headers, route)
    const cluster = this.#clusters.get(route.clusterName)
    if (cluster === undefined) {
      this.#stats.noCluster.inc()
      return stream.sendLocalReply({
        status: route.clusterNotFoundResponseCode,
        details: 'cluster_not_found',
        flag: ResponseFlag.NoClusterFound,
      })
    }
    this.#cluster = cluster
    this.#info.clusterName = cluster.name
    this.#priority = route.priority
    return this.#begin(stream, headers, route, cluster, endStream)
  }

  onRequestData(_stream: HttpStream, data: BodyChunk, endStream: boolean): FilterStatus {
    if (this.#done) return FilterStatus.Stop
    if (this.#retry !== undefined || this.#graceful()) this.#keep(data)
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
    if (!this.#done && upstream !== undefined) {
      // The caller went away, or was answered by somebody else.
      this.#cluster.requestStats.cancelled.inc()
      this.#spans?.attemptEnded(undefined, undefined)
    }
    this.#finish()
    this.#upstream = undefined
    upstream?.abandon()
    if (this.#mirrors !== undefined && !this.#requestEnded) for (const mirror of this.#mirrors) mirror.abandon()
  }

  #answerFromRoute(stream: HttpStream, headers: RequestHeaders, route: RouteEntry): FilterStatus {
    this.#stats.rqDirectResponse.inc()
    const added: [string, string][] = []
    const location = route.redirectLocation(headers, stream.info)
    if (location !== undefined) {
      this.#stats.rqRedirect.inc()
      added.push(['location', location])
    }
    const { status } = route.directResponse
    const body = route.directResponseBody(headers, stream.info)
    this.#answeredByRoute = true
    return stream.sendLocalReply({ status, details: 'direct_response', body, headers: added })
  }

  /** The route's own response headers apply to direct responses and to proxied ones, not to errors. */
  #answeredByRoute = false
  onResponseHeaders(stream: HttpStream, headers: ResponseHeaders): FilterStatus {
    if (this.#answeredByRoute) this.#route.finalizeResponseHeaders(headers, this.#headers, stream.info)
    return FilterStatus.Continue
  }

  #begin(
    stream: HttpStream,
    headers: RequestHeaders,
    route: RouteEntry,
    cluster: Cluster,
    endStream: boolean,
  ): FilterStatus {
    const suppress = this.#config.suppressEnvoyHeaders
    this.#resolveTimeouts(headers, route)
    this.#retry = RetryState.create(route.retryPolicy, headers, cluster, this.#priority, this.#context.random)
    route.finalizeRequestHeaders(headers, stream.info, !suppress)
    this.#spans = stream.upstreamSpans
    const host = cluster.chooseHost(this)
    const failures = stream.failures
    if (failures !== undefined) {
      this.#failures = failures
      const wireSpanId = this.#spans?.wireSpanId ?? ''
      failures.routed(this.#targets.ofCluster(cluster), stream.info.requestId, headers.path, wireSpanId)
      this.#timeoutMs = failures.limitTimeout(this.#timeoutMs, this.#context.clock.now())
      if (this.#timeoutMs > 0 && this.#timeoutMs < 1) return this.#replyDeadlineSpent(stream)
    }
    const expected =
      this.#perTryTimeoutMs > 0 && this.#perTryTimeoutMs < this.#timeoutMs ? this.#perTryTimeoutMs : this.#timeoutMs
    if (!suppress && expected > 0) headers.set('x-envoy-expected-rq-timeout-ms', String(Math.round(expected)))
    if (route.mirrorPolicies.length > 0) {
      this.#mirrors = startMirrors(route, headers, stream.info, this.#clusters, this.#context, endStream)
    }
    this.#startedMs = this.#context.clock.now()
    if (endStream) this.#onRequestComplete()
    this.#startAttempt(host)
    return FilterStatus.Stop
  }

  /** The caller has stopped waiting already: nothing is sent that nobody would read. */
  #replyDeadlineSpent(stream: HttpStream): FilterStatus {
    this.#finish()
    return stream.sendLocalReply({
      status: 504,
      details: 'deadline_exceeded',
      body: 'upstream request timeout',
      flag: ResponseFlag.UpstreamRequestTimeout,
      grpcStatus: 4,
    })
  }

  #resolveTimeouts(headers: RequestHeaders, route: RouteEntry): void {
    this.#timeoutMs = route.timeoutFor(headers)
    this.#perTryTimeoutMs = route.retryPolicy?.perTryTimeoutMs ?? 0
    // Present only where the connection manager let them through: internal callers.
    const timeout = headers.get('x-envoy-upstream-rq-timeout-ms')
    if (timeout !== undefined) {
      if (/^\d{1,12}$/.test(timeout)) this.#timeoutMs = Number(timeout)
      headers.delete('x-envoy-upstream-rq-timeout-ms')
    }
    const perTry = headers.get('x-envoy-upstream-rq-per-try-timeout-ms')
    if (perTry !== undefined) {
      if (/^\d{1,12}$/.test(perTry)) this.#perTryTimeoutMs = Number(perTry)
      headers.delete('x-envoy-upstream-rq-per-try-timeout-ms')
    }
    if (this.#config.respectExpectedRequestTimeout) {
      const expected = headers.get('x-envoy-expected-rq-timeout-ms')
      if (expected !== undefined && /^\d{1,12}$/.test(expected)) this.#timeoutMs = Number(expected)
    }
    if (this.#timeoutMs > 0 && this.#perTryTimeoutMs >= this.#timeoutMs) this.#perTryTimeoutMs = 0
  }

  #onRequestComplete(): void {
    if (this.#timeoutMs === 0 || this.#responseTimer !== undefined || this.#done) return
    this.#responseTimer = new Timer(() => this.#onResponseTimeout())
    this.#context.timers.start(this.#responseTimer, this.#timeoutMs)
  }

  // Attempts.

  #startAttempt(host: Host | undefined): void {
    const cluster = this.#cluster
    if (host === undefined) {
      this.#replyNoHealthyHost()
      return
    }
    this.#attempt++
    const info = this.#info
    info.attemptCount = this.#attempt
    if (info.upstreamHost !== undefined) {
      info.upstreamHostsAttempted ??= []
      info.upstreamHostsAttempted.push(`${info.upstreamHost.ip}:${info.upstreamHost.port}`)
    }
    info.upstreamHost = host.address
    info.upstreamHostname = host.hostname
    const headers = this.#headers
    const route = this.#route
    if (route.autoHostRewrite && host.hostname !== '') route.rewriteHost(headers, host.hostname)
    if (route.includeAttemptCountInRequest) headers.set('x-envoy-attempt-count', String(this.#attempt))
    if (this.#attempt > 1 && !this.#config.suppressEnvoyHeaders && headers.has('x-envoy-expected-rq-timeout-ms')) {
      const left = this.#timeoutMs - (this.#context.clock.now() - this.#startedMs)
      const expected = this.#perTryTimeoutMs > 0 && this.#perTryTimeoutMs < left ? this.#perTryTimeoutMs : left
      if (this.#timeoutMs > 0 && expected > 0) {
        headers.set('x-envoy-expected-rq-timeout-ms', String(Math.round(expected)))
      }
    }
    this.#retry?.onHostAttempted(host)
    if (host.serviceName !== '') this.#failures?.retarget(this.#targets.ofHost(cluster, host))
    this.#spans?.attemptStarted(headers, {
      clusterName: cluster.name,
      hostText: host.addressText,
      attempt: this.#attempt,
    })
    const upstream = new UpstreamRequest(this, host, cluster, this.#context)
    this.#upstream = upstream
    if (this.#downstreamSlow) upstream.pauseResponse()
    upstream.start(headers, this.#priority, this.#requestEnded && this.#bodyBytes === 0 && this.#trailers === undefined)
    if (this.#upstream !== upstream || this.#attempt === 1) return
    // What earlier attempts were sent is sent again.
    const body = this.#body
    if (body !== undefined) {
      for (let i = 0; i < body.length; i++) {
        upstream.sendData(body[i]!, this.#requestEnded && this.#trailers === undefined && i === body.length - 1)
      }
    }
    if (this.#trailers !== undefined) upstream.sendTrailers(this.#trailers)
  }

  #replyNoHealthyHost(): void {
    this.#cluster.stats.counter('upstream_cx_none_healthy').inc()
    this.#failures?.attemptFailed({
      kind: 'no_host',
      details: this.#cluster.discoveryFailure,
      noHost: whyNoHost(this.#cluster),
      lastFailure: lastFailureOf(this.#cluster),
    })
    this.#finish()
    this.#stream.sendLocalReply({
      status: 503,
      details: 'no_healthy_upstream',
      body: 'no healthy upstream',
      flag: ResponseFlag.NoHealthyUpstream,
    })
  }

  /** Keeps a copy of the body for another attempt; gives retries up once it is larger than a connection may buffer. */
  #keep(data: BodyChunk): void {
    const limit = Math.min(
      this.#route.requestBufferLimit ?? this.#cluster.bufferLimitBytes,
      this.#cluster.bufferLimitBytes,
    )
    if (this.#bodyBytes + data.length > limit) {
      if (this.#retry !== undefined) this.#cluster.requestStats.retryOrShadowAbandoned.inc()
      this.#retry?.release()
      this.#retry = undefined
      this.#graceUsed = true
      this.#body = undefined
      return
    }
    this.#body ??= []
    this.#body.push(Buffer.from(data))
    this.#bodyBytes += data.length
  }

  /** The one retry of our own is still possible: nothing of it has been used, and the policy has no say. */
  #graceful(): boolean {
    return !this.#graceUsed && IDEMPOTENT.has(this.#headers.method)
  }

  // Reports of the running attempt. `UpstreamRequest` calls these.

  /** The attempt has its connection and the head has been written. */
  onUpstreamReady(upstream: UpstreamRequest): void {
    if (upstream !== this.#upstream) return
    if (this.#perTryTimeoutMs > 0) upstream.startPerTryTimeout(this.#perTryTimeoutMs)
  }

  onUpstreamBackpressure(upstream: UpstreamRequest, above: boolean): void {
    if (upstream !== this.#upstream || this.#stream.ended) return
    if (above) this.#stream.pauseRequest()
    else this.#stream.resumeRequest()
  }

  onUpstreamInformational(headers: ResponseHeaders): void {
    this.#stream.respondInformational(headers)
  }

  onUpstreamHeaders(upstream: UpstreamRequest, headers: ResponseHeaders, endStream: boolean): void {
    const cluster = this.#cluster
    const host = upstream.host
    cluster.outlier.onResponse(host, headers.status)
    if (headers.status >= 500) host.stats.rqError.inc()
    else host.stats.rqSuccess.inc()
    const failures = this.#failures
    failures?.attemptHead(headers, headers.status, this.#info)
    this.#spans?.attemptEnded(headers, undefined)
    if (this.#retry !== undefined) {
      const verdict = failures?.mayRetry() === false ? RetryVerdict.No : this.#retry.onResponse(headers)
      if (verdict === RetryVerdict.Yes && this.#canRepeat()) {
        this.#chargeRetried(headers.status)
        failures?.attemptRetried(this.#info)
        this.#upstream = undefined
        if (endStream) upstream.release()
        else upstream.abandon()
        this.#waitAndRetry()
        return
      }
      this.#flagVerdict(verdict)
    }
    const route = this.#route
    if (this.#redirectInternally(upstream, headers, endStream)) return
    this.#responding = true
    const info = this.#info
    if (info.responseCodeDetails === '') info.responseCodeDetails = 'via_upstream'
    const now = this.#context.clock.now()
    info.firstUpstreamRxByteMs = now
    if (!this.#config.suppressEnvoyHeaders) {
      headers.set('x-envoy-upstream-service-time', String(Math.floor(now - this.#startedMs)))
    }
    if (route.includeAttemptCountInResponse) headers.set('x-envoy-attempt-count', String(this.#attempt))
    cluster.requestStats.response(headers.status, '')
    route.finalizeResponseHeaders(headers, this.#headers, info)
    if (endStream) this.#finishUpstream(now)
    this.#stream.respondHeaders(headers, endStream)
  }

  onUpstreamData(data: BodyChunk, endStream: boolean): void {
    if (endStream) this.#finishUpstream(this.#context.clock.now())
    this.#stream.respondData(data, endStream)
  }

  onUpstreamTrailers(trailers: HeaderMap): void {
    this.#failures?.attemptTrailers(trailers, this.#info)
    this.#finishUpstream(this.#context.clock.now())
    this.#stream.respondTrailers(trailers)
  }

  /** The attempt ended without a whole response. */
  onUpstreamReset(upstream: UpstreamRequest, failure: StreamFailure): void {
    if (upstream !== this.#upstream) return
    const host = upstream.host
    const cluster = this.#cluster
    this.#info.upstreamTransportFailure = failure.details
    host.stats.rqError.inc()
    host.lastFailure = resetReason(failure).text + (failure.details === '' ? '' : `: ${failure.details}`)
    host.lastFailureAtMs = this.#context.clock.wall()
    if (failure.kind !== 'overflow') {
      cluster.outlier.onLocalOriginFailure(host, failure.kind === 'connect_timeout' ? 'timeout' : 'connect_failed')
    }
    if (failure.kind === 'reset' || failure.kind === 'terminated') cluster.requestStats.rxReset.inc()
    this.#upstream = undefined
    this.#failures?.attemptFailed(factsOf(failure, upstream))
    if (this.#responding) {
      this.#stats.rqResetAfterDownstreamResponseStarted.inc()
      this.#finish()
      this.#stream.resetResponse({
        ...failure,
        flag: resetReason(failure).flag as typeof failure.flag,
        details: resetDetails(failure, true),
      })
      return
    }
    this.#spans?.attemptEnded(undefined, failure)
    if (!this.#retryAfterReset(upstream, failure)) this.#replyReset(failure)
  }

  onPerTryTimeout(upstream: UpstreamRequest): void {
    if (upstream !== this.#upstream) return
    const cluster = this.#cluster
    cluster.requestStats.perTryTimeout.inc()
    upstream.host.stats.rqTimeout.inc()
    cluster.outlier.onLocalOriginFailure(upstream.host, 'timeout')
    this.#upstream = undefined
    upstream.abandon()
    this.#failures?.attemptFailed({ kind: 'per_try_timeout', details: '', host: upstream.host.addressText })
    this.#spans?.attemptEnded(undefined, undefined)
    const verdict = this.#retry?.onPerTryTimeout() ?? RetryVerdict.No
    if (verdict === RetryVerdict.Yes && this.#canRepeat()) {
      this.#failures?.attemptRetried(this.#info)
      this.#chargeRetried(504)
      this.#waitAndRetry()
      return
    }
    this.#flagVerdict(verdict)
    this.#replyTimeout('upstream_per_try_timeout')
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
    const upstream = this.#upstream
    if (upstream !== undefined) {
      upstream.host.stats.rqTimeout.inc()
      cluster.outlier.onLocalOriginFailure(upstream.host, 'timeout')
      this.#upstream = undefined
      upstream.abandon()
    }
    this.#failures?.attemptFailed({ kind: 'route_timeout', details: '', host: upstream?.host.addressText })
    this.#spans?.attemptEnded(undefined, undefined)
    this.#replyTimeout('response_timeout')
  }

  #replyTimeout(details: string): void {
    if (this.#responding) {
      this.#finish()
      this.#stream.resetResponse({
        origin: 'local',
        kind: 'timeout',
        flag: ResponseFlag.UpstreamRequestTimeout,
        details,
      })
      return
    }
    this.#finish()
    this.#cluster.requestStats.response(504, '')
    this.#stream.sendLocalReply({
      status: 504,
      details,
      body: 'upstream request timeout',
      flag: ResponseFlag.UpstreamRequestTimeout,
    })
  }

  #replyReset(failure: StreamFailure): void {
    const reason = resetReason(failure)
    const status = failure.kind === 'protocol_error' || failure.kind === 'headers_too_large' ? 502 : 503
    const retried = this.#attempt > 1 ? 'retried and the latest ' : ''
    const overloaded = failure.kind === 'overflow' && !this.#config.suppressEnvoyHeaders
    this.#finish()
    this.#cluster.requestStats.response(status, '')
    this.#stream.sendLocalReply({
      status,
      details: resetDetails(failure, false),
      body: `upstream connect error or disconnect/reset before headers. ${retried}reset reason: ${reason.text}`,
      flag: reason.flag,
      ...(overloaded && { headers: [['x-envoy-overloaded', 'true']] as const }),
    })
  }

  /** Starts another attempt after a reset where policy or the keep-alive race allows one; true when it does. */
  #retryAfterReset(upstream: UpstreamRequest, failure: StreamFailure): boolean {
    const retry = this.#retry
    if (retry !== undefined && this.#failures?.mayRetry() !== false) {
      const verdict = retry.onReset(failure, upstream.headSent)
      if (verdict === RetryVerdict.Yes && this.#canRepeat()) {
        this.#failures?.attemptRetried(this.#info)
        this.#chargeRetried(failure.kind === 'protocol_error' ? 502 : 503)
        this.#waitAndRetry()
        return true
      }
      this.#flagVerdict(verdict)
    }
    // A re-used connection that the upstream closed just when we used it: not a failure of the request (design.md). Once,
    // and only where doing the request twice cannot hurt.
    const race =
      upstream.reused && !upstream.receivedBytes && (failure.kind === 'terminated' || failure.kind === 'reset')
    if (race && this.#graceful() && this.#canRepeat()) {
      this.#graceUsed = true
      this.#failures?.attemptRetried(this.#info)
      this.#startAttempt(this.#cluster.chooseHost(this))
      return true
    }
    return false
  }

  /** Whether everything that was sent is still here to be sent again. */
  #canRepeat(): boolean {
    return (
      this.#info.bytesReceived === this.#bodyBytes ||
      (this.#body === undefined && this.#bodyBytes === 0 && this.#requestEnded && this.#info.bytesReceived === 0)
    )
  }

  #flagVerdict(verdict: RetryVerdict): void {
    if (verdict === RetryVerdict.LimitExceeded) this.#info.responseFlags |= ResponseFlag.UpstreamRetryLimitExceeded
    else if (verdict === RetryVerdict.Overflow) this.#info.responseFlags |= ResponseFlag.UpstreamOverflow
  }

  #waitAndRetry(): void {
    this.#backOffTimer ??= new Timer(() => {
      if (!this.#done) this.#startAttempt(this.#cluster.chooseHost(this))
    })
    this.#context.timers.start(this.#backOffTimer, this.#retry!.backOffMs())
  }

  /** Stats of an attempt whose outcome nobody but the retry saw: `cluster.<c>.retry.upstream_rq_<code>`. */
  #chargeRetried(status: number): void {
    this.#cluster.requestStats.response(status, 'retry')
  }

  #redirectInternally(upstream: UpstreamRequest, headers: ResponseHeaders, endStream: boolean): boolean {
    const policy = this.#route.internalRedirectPolicy
    if (policy === undefined || !policy.handles(headers.status)) return false
    const accepted = this.#requestEnded && this.#bodyBytes === 0 && policy.apply(this.#headers, headers, this.#info)
    if (!accepted) {
      this.#stats.internalRedirectFailed.inc()
      return false
    }
    this.#upstream = undefined
    if (endStream) upstream.release()
    else upstream.abandon()
    this.#finish()
    if (!this.#stream.recreate()) {
      this.#stats.internalRedirectFailed.inc()
      return false
    }
    this.#stats.internalRedirectSucceeded.inc()
    return true
  }

  #finishUpstream(now: number): void {
    this.#info.lastUpstreamRxByteMs = now
    this.#cluster.requestStats.completed.inc()
    this.#cluster.requestStats.time.record(now - this.#startedMs)
    this.#upstream?.release()
    this.#upstream = undefined
    this.#finish()
  }

  #finish(): void {
    if (this.#done) return
    this.#done = true
    if (this.#responseTimer !== undefined) this.#context.timers.stop(this.#responseTimer)
    if (this.#backOffTimer !== undefined) this.#context.timers.stop(this.#backOffTimer)
    this.#retry?.release()
    this.#body = undefined
  }

  // What load balancers may ask.

  get headers(): RequestHeaders {
    return this.#headers
  }
  get info(): StreamInfo {
    return this.#info
  }
  get hash(): bigint | undefined {
    return this.#route.hash(this.#headers, this.#info)
  }
  get metadataMatch(): unknown {
    return this.#route.metadataMatch
  }
  get hostSelectionMaxAttempts(): number {
    return this.#retry?.maxHostSelectionAttempts ?? 1
  }
  shouldSelectAnotherHost(host: Host): boolean {
    return this.#attempt > 0 && this.#retry !== undefined && this.#retry.shouldSelectAnotherHost(host)
  }
}

function factsOf(failure: StreamFailure, upstream: UpstreamRequest): AttemptFacts {
  return {
    kind: failure.kind,
    details: failure.details,
    limit: failure.limit,
    lastFailure: failure.kind === 'overflow' ? upstream.host.lastFailure : '',
    reusedConnection: upstream.reused,
    host: upstream.host.addressText,
  }
}

function whyNoHost(cluster: Cluster): AttemptFacts['noHost'] {
  if (cluster.discoveryFailure !== '') return 'dns'
  if (cluster.hosts.length === 0) return 'eds_empty'
  return cluster.hosts.some(host => (host.health & HostHealth.FailedOutlierCheck) !== 0)
    ? 'all_ejected'
    : 'health_failed'
}

function lastFailureOf(cluster: Cluster): string {
  let last: Host | undefined
  for (const host of cluster.hosts) if (last === undefined || host.lastFailureAtMs > last.lastFailureAtMs) last = host
  return last?.lastFailure ?? ''
}

/** Methods that may be repeated without harm (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])
