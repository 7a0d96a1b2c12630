/**
 * One attempt: waits for a connection, writes the request into it as it comes, and hands the response to the router.
 * What arrives before there is a connection is kept; once the attempt is over nothing it is told matters any more.
 */
import { Timer } from '../base/timer-wheel.ts'
import type { Cluster, Priority } from '../cluster/cluster.ts'
import type { TrackedStats } from '../cluster/tracked-stats.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { BodyChunk, RequestEncoder, ResponseDecoder, StreamFailure } from '../codec/stream.ts'
import type { FilterContext } from '../filter-chain/http-filter.ts'
import type { UpstreamSpans } from '../filter-chain/upstream-spans.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { PendingStream, PoolCallbacks, UpstreamConnectionInfo } from '../upstream/connection-pool.ts'
import type { Host } from '../upstream/host.ts'
import { requestedNames } from './requested-names.ts'
import { resetReason } from './reset-reasons.ts'
import type { RouterFilter } from './router-filter.ts'

export class UpstreamRequest implements ResponseDecoder, PoolCallbacks {
  readonly host: Host
  readonly #router: RouterFilter
  readonly #cluster: Cluster
  readonly #context: FilterContext
  #headers!: RequestHeaders
  #headEndsStream = false
  #pending: PendingStream | undefined = undefined
  #encoder: RequestEncoder | undefined = undefined
  #connection: UpstreamConnectionInfo | undefined = undefined
  #held: Buffer[] | undefined = undefined
  #heldEnd = false
  #heldTrailers: HeaderMap | undefined = undefined
  #responsePauses = 0
  #perTryTimer: Timer | undefined = undefined
  #idleTimer: Timer | undefined = undefined
  #durationTimer: Timer | undefined = undefined
  #idleTimeoutMs = 0
  #lastActivityMs = 0
  #response: ResponseHeaders | undefined = undefined
  #trailers: HeaderMap | undefined = undefined
  #firstRxMs = 0
  #sentBytes = 0
  /** -1 without a response. */
  #receivedBytes = -1
  #over = false
  headSent = false
  /** The connection had served another request before this one. */
  reused = false
  /** Any part of a response has come. */
  receivedBytes = false

  constructor(router: RouterFilter, host: Host, cluster: Cluster, context: FilterContext) {
    this.#router = router
    this.host = host
    this.#cluster = cluster
    this.#context = context
  }

  /** `fresh`: not on a connection that has been idle. */
  start(headers: RequestHeaders, priority: Priority, endStream: boolean, fresh: boolean): void {
    this.#headers = headers
    this.#headEndsStream = endStream
    const upgrade = headers.method === 'CONNECT' || headers.has('upgrade')
    const downstreamProtocol = this.#router.info.protocol
    const { serverName, wantedName } = requestedNames(this.#cluster.autoNames, headers)
    const options = { method: headers.method, upgrade, fresh, downstreamProtocol, serverName, wantedName }
    const pending = this.#cluster.newStream(this.host, priority, options, this, this)
    if (this.#encoder === undefined && !this.#over) this.#pending = pending
  }

  sendData(data: BodyChunk, endStream: boolean): void {
    if (this.#over) return
    this.#sentBytes += data.length
    if (this.#encoder !== undefined) {
      const now = this.#context.clock.now()
      this.#router.info.lastUpstreamTxByteMs = now
      this.#lastActivityMs = now
      this.#encoder.encodeData(data, endStream)
      return
    }
    this.#held ??= []
    this.#held.push(Buffer.from(data))
    this.#heldEnd ||= endStream
  }

  sendTrailers(trailers: HeaderMap): void {
    if (this.#over) return
    if (this.#encoder !== undefined) this.#encoder.encodeTrailers(trailers)
    else this.#heldTrailers = trailers
  }

  startPerTryTimeout(timeoutMs: number): void {
    this.#perTryTimer = new Timer(() => this.#router.onPerTryTimeout(this, false))
    this.#context.timers.start(this.#perTryTimer, timeoutMs)
  }

  /** The request is complete, and the attempt may have had its connection for long: its clocks start now. */
  onRequestComplete(): void {
    if (this.#over || !this.headSent) return
    const { perTry, perTryIdle } = this.#router.timeouts
    if (perTry > 0) this.startPerTryTimeout(perTry)
    if (perTryIdle > 0) this.startPerTryIdleTimeout(perTryIdle)
  }

  startMaxDuration(durationMs: number): void {
    this.#durationTimer = new Timer(() => this.#router.onUpstreamMaxDuration(this))
    this.#context.timers.start(this.#durationTimer, durationMs)
  }

  /** Given up when nothing moves for so long, also in the middle of the response. */
  startPerTryIdleTimeout(timeoutMs: number): void {
    this.#idleTimeoutMs = timeoutMs
    this.#lastActivityMs = this.#context.clock.now()
    this.#idleTimer = new Timer(() => this.#onIdleTimer())
    this.#context.timers.start(this.#idleTimer, timeoutMs)
  }

  #onIdleTimer(): void {
    if (this.#over) return
    const left = this.#lastActivityMs + this.#idleTimeoutMs - this.#context.clock.now()
    if (left > 0) this.#context.timers.start(this.#idleTimer!, left)
    else this.#router.onPerTryTimeout(this, true)
  }

  pauseResponse(): void {
    this.#responsePauses++
    this.#encoder?.pauseResponse()
  }

  resumeResponse(): void {
    this.#responsePauses--
    this.#encoder?.resumeResponse()
  }

  /** The response is complete: the connection has gone back to its pool. */
  release(): void {
    this.#end(undefined, false, 0)
  }

  /** Gives the attempt up, for the reason that the flag says where it has one: the connection cannot be used again. */
  abandon(flag = 0): void {
    if (this.#over) return
    this.#end(undefined, true, flag)
    this.#pending?.cancel()
    this.#encoder?.reset()
  }

  // Pool.

  onPoolReady(encoder: RequestEncoder, _host: Host, connection: UpstreamConnectionInfo): void {
    this.#pending = undefined
    if (this.#over) {
      encoder.reset()
      return
    }
    this.#encoder = encoder
    this.#connection = connection
    this.reused = connection.reused
    const info = this.#router.info
    info.upstreamConnectionId = connection.id
    info.upstreamLocal = connection.local
    info.upstreamProtocol = connection.protocol
    info.upstreamTls = connection.tls
    info.firstUpstreamTxByteMs = this.#context.clock.now()
    for (let i = 0; i < this.#responsePauses; i++) encoder.pauseResponse()
    this.headSent = true
    encoder.encodeHeaders(this.#headers, this.#headEndsStream)
    const held = this.#held
    if (held !== undefined) {
      this.#held = undefined
      for (let i = 0; i < held.length; i++) encoder.encodeData(held[i]!, this.#heldEnd && i === held.length - 1)
    }
    if (this.#heldTrailers !== undefined) encoder.encodeTrailers(this.#heldTrailers)
    if (this.#headEndsStream || held !== undefined || this.#heldTrailers !== undefined) {
      info.lastUpstreamTxByteMs = info.firstUpstreamTxByteMs
    }
    this.#router.onUpstreamReady(this)
  }

  onPoolFailure(failure: StreamFailure): void {
    this.#pending = undefined
    if (this.#over) return
    this.#end(failure, false, 0)
    this.#router.onUpstreamReset(this, failure)
  }

  // Response.

  onInformational(headers: ResponseHeaders): void {
    if (this.#over) return
    this.receivedBytes = true
    this.#router.onUpstreamInformational(headers)
  }

  onResponseHeaders(headers: ResponseHeaders, endStream: boolean): void {
    if (this.#over) return
    this.receivedBytes = true
    this.#receivedBytes = 0
    if (this.#router.spans?.perAttempt === true) {
      this.#response = headers
      this.#firstRxMs = this.#context.clock.now()
    }
    this.#cluster.tracked?.responseHead(headers)
    if (this.#idleTimer !== undefined) this.#lastActivityMs = this.#context.clock.now()
    if (this.#perTryTimer !== undefined) this.#context.timers.stop(this.#perTryTimer)
    this.#router.onUpstreamHeaders(this, headers, endStream)
  }

  onResponseData(data: BodyChunk, endStream: boolean): void {
    if (this.#over) return
    this.#receivedBytes += data.length
    if (this.#idleTimer !== undefined) this.#lastActivityMs = this.#context.clock.now()
    this.#router.onUpstreamData(data, endStream)
  }

  onResponseTrailers(trailers: HeaderMap): void {
    if (this.#over) return
    this.#trailers = trailers
    this.#router.onUpstreamTrailers(trailers)
  }

  onReset(failure: StreamFailure): void {
    if (this.#over) return
    // Whoever resets one stream has seen it: that is no race with the end of an idle connection.
    if (failure.flag === ResponseFlag.UpstreamRemoteReset) this.reused = false
    this.#end(failure, false, 0)
    this.#router.onUpstreamReset(this, failure)
  }

  onRequestBackpressure(above: boolean): void {
    if (!this.#over) this.#router.onUpstreamBackpressure(this, above)
  }

  #end(failure: StreamFailure | undefined, canceled: boolean, flag: number): void {
    if (this.#over) return
    this.#over = true
    const { spans } = this.#router
    if (spans?.perAttempt === true) this.#endSpan(spans, failure, canceled, flag)
    if (this.#perTryTimer !== undefined) this.#context.timers.stop(this.#perTryTimer)
    if (this.#idleTimer !== undefined) this.#context.timers.stop(this.#idleTimer)
    if (this.#durationTimer !== undefined) this.#context.timers.stop(this.#durationTimer)
    if (this.#cluster.tracked !== undefined) this.#track(this.#cluster.tracked)
    const connection = this.#connection
    if (connection === undefined) return
    const info = this.#router.info
    info.upstreamWireBytesReceived += connection.bytesRead()
    info.upstreamWireBytesSent += connection.bytesWritten()
  }

  #track(tracked: TrackedStats): void {
    tracked.attempt(this.#router.elapsedMs, this.#router.timeouts.perTry)
    tracked.sizes(this.#headers, this.#sentBytes, this.#receivedBytes)
  }

  #endSpan(spans: UpstreamSpans, failure: StreamFailure | undefined, canceled: boolean, flag: number): void {
    const reason = failure === undefined ? undefined : resetReason(failure)
    const { info } = this.#router
    const connected = this.#connection !== undefined
    spans.attemptEnded({
      response: this.#response,
      trailers: this.#trailers,
      responseFlags: reason?.flag ?? flag,
      errorReason: reason?.text ?? '',
      canceled,
      firstTxMs: connected ? info.firstUpstreamTxByteMs : 0,
      lastTxMs: connected ? info.lastUpstreamTxByteMs : 0,
      firstRxMs: this.#firstRxMs,
      lastRxMs: reason === undefined && !canceled ? this.#context.clock.now() : 0,
    })
  }
}
