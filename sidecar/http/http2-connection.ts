/**
 * One downstream HTTP/2 connection: joins the byte stream, the codec and as many requests as the peer has open.
 *
 *   OPEN ── drain, last request allowed, end of life ──▶ DRAINING ── drain_timeout ──▶ CLOSING ── last stream over ──▶ closed
 *            GOAWAY, highest id: nothing is refused yet            GOAWAY, last id taken
 *
 * Two steps, because requests may be on their way when the first GOAWAY is written (RFC 9113 §6.8).
 */
import { addressText } from '../base/address.ts'
import { Timer } from '../base/timer-wheel.ts'
import { TokenBucket } from '../base/token-bucket.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import { http2ServerConnection } from '../codec/http2/connection.ts'
import type {
  Http2ConnectionError,
  Http2ServerConnection,
  Http2ServerEvents,
  Http2ServerStream,
  Http2Sink,
  Http2Stream,
} from '../codec/http2/contract.ts'
import { ErrorCode } from '../codec/http2/frame/error-code.ts'
import type { StreamFailure } from '../codec/stream.ts'
import { logger } from '../observability/logging.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { DownstreamConnectionInfo, Protocol } from '../observability/stream-info.ts'
import { type CloseReason, type Connection, heldWrites } from '../transport/connection.ts'
import { type Flushable, flushLater } from '../transport/write-batch.ts'
import { Http2KeepAlive, type KeepAliveOwner } from '../upstream/http2-keepalive.ts'
import type { ActiveStream } from './active-stream.ts'
import type { ConnectionManager } from './connection-manager.ts'
import { HttpConnection } from './http-connection.ts'
import { Http2Exchange } from './http2-exchange.ts'

const log = logger('http')

const TOO_MANY_RESETS = 'more streams are reset than stream_reset_rate allows'

const GONE: StreamFailure = Object.freeze({
  origin: 'downstream',
  kind: 'terminated',
  flag: ResponseFlag.DownstreamConnectionTermination,
  details: 'downstream_remote_disconnect',
})
const CLOSED_HERE: StreamFailure = Object.freeze({ ...GONE, details: 'downstream_local_disconnect' })
const PING_UNANSWERED: StreamFailure = Object.freeze({
  ...GONE,
  details: 'downstream_local_disconnect(http2_ping_timeout)',
})

export class Http2Connection extends HttpConnection implements Http2ServerEvents, Http2Sink, Flushable, KeepAliveOwner {
  readonly #codec: Http2ServerConnection
  readonly #keepAlive: Http2KeepAlive | undefined
  /** Streams whose response is complete and held back, by the timer that bounds it; undefined until there was one. */
  #flushing: Map<Http2Stream, Timer> | undefined = undefined
  /** Exchanges whose response is not complete. */
  #active = 0
  #requests = 0
  #ended = 0
  #prematureResets = 0
  /** For streams that the peer resets; undefined until it does. */
  #resets: TokenBucket | undefined = undefined
  #state: 'open' | 'draining' | 'closing' | 'closed' = 'open'
  #activeAtEnd = false

  constructor(
    manager: ConnectionManager,
    connection: Connection,
    info: DownstreamConnectionInfo,
    startMs: number,
    onClosed: () => void,
  ) {
    super('HTTP/2', manager, connection, info, startMs, onClosed)
    const { config, stats, clock, timers, random } = manager
    const { options, keepAlive } = config.http2
    const scheme = info.tls === undefined ? 'http' : 'https'
    this.#codec = http2ServerConnection({ ...options, scheme }, this, this, stats.http2)
    this.#keepAlive = keepAlive === undefined ? undefined : new Http2KeepAlive(keepAlive, this, clock, timers, random)
    this.startTimer()
  }

  get protocol(): Protocol | '' {
    return this.connection.bytesRead > 0 && (this.#requests > 0 || !this.protocolError) ? 'HTTP/2' : ''
  }

  protected get quiet(): boolean {
    return this.#active === 0
  }

  /** It has been told that it will end. */
  get draining(): boolean {
    return this.#state !== 'open'
  }

  protected get ending(): boolean {
    return this.draining
  }

  drain(closeIdle: boolean): void {
    if (closeIdle && this.#codec.activeStreams === 0) {
      this.#stopTimers()
      this.#goAway()
    } else this.startDraining()
  }

  /** First step of a graceful end. */
  startDraining(): void {
    if (this.#state !== 'open') return
    this.#state = 'draining'
    this.#codec.shutdownNotice()
    this.startDrainTimer()
  }

  // Transport.

  onData(chunk: Buffer): void {
    this.#keepAlive?.onReceived()
    if (this.#state === 'closed') return
    const { http2 } = this.manager.stats
    const before = http2.rx_reset
    this.#codec.receive(chunk)
    if (http2.rx_reset !== before) this.#onResets(http2.rx_reset - before)
  }

  /** Envoy: `stream_reset_burst` and `stream_reset_rate`, which nghttp2 keeps; there is no counter for it. */
  #onResets(count: number): void {
    const { config, clock } = this.manager
    this.#resets ??= new TokenBucket(config.http2.streamResets, clock)
    if (this.#resets.tryTake(count) || this.#state === 'closed') return
    log.debug({ peer: addressText(this.info.directRemote) }, TOO_MANY_RESETS)
    this.#codec.goAway(ErrorCode.InternalError, TOO_MANY_RESETS)
    this.#close()
  }

  onEnd(): void {
    this.#activeAtEnd = this.#active > 0
    // Requests that end with their connection say nothing of resets.
    this.#state = 'closed'
    this.#codec.destroy(GONE)
    this.connection.closeAfterFlush(0)
  }

  onBackpressure(above: boolean): void {
    this.#codec.onTransportBackpressure(above)
  }

  protected onTransportClosed(reason: CloseReason): void {
    this.#stopTimers()
    this.#keepAlive?.stop()
    this.#state = 'closed'
    this.chargeClose(reason, this.#active > 0 || this.#activeAtEnd)
    this.#codec.destroy(reason.kind === 'local' ? CLOSED_HERE : GONE)
  }

  // Sink.

  write(bytes: Buffer): boolean {
    const held = heldWrites.count
    this.connection.write(bytes)
    return heldWrites.count === held
  }

  get bufferedBytes(): number {
    return this.connection.bufferedBytes
  }

  flush(): void {
    this.#codec.flush()
  }

  // Codec.

  onWantsFlush(): void {
    flushLater(this)
  }

  onSettings(): void {}

  onGoAway(): void {}

  onPingAck(): void {
    this.#keepAlive?.onPingAck()
  }

  onStream(stream: Http2ServerStream, headers: RequestHeaders, endStream: boolean): void {
    const exchange = this.#begin(stream)
    const { config, stats } = this.manager
    const { maxRequestsPerConnection } = config
    if (maxRequestsPerConnection > 0 && this.#requests >= maxRequestsPerConnection) {
      stats.named.downstream_cx_max_requests_reached.inc()
      this.startDraining()
    }
    exchange.onHead(headers, endStream)
  }

  onStreamRefused(_streamId: number, failure: StreamFailure): void {
    this.#begin(undefined).active.onReset(failure)
  }

  #begin(stream: Http2ServerStream | undefined): Http2Exchange {
    this.#requests++
    this.#active++
    return new Http2Exchange(this, stream)
  }

  onStreamClosed(stream: Http2Stream): void {
    const flushing = this.#flushing?.get(stream)
    if (flushing !== undefined) {
      this.manager.timers.stop(flushing)
      this.#flushing!.delete(stream)
    }
    this.#closeIfDone()
  }

  onConnectionError({ rfc, message, details, flood }: Http2ConnectionError): void {
    log.debug({ peer: addressText(this.info.directRemote), rfc, details }, message)
    this.protocolError = true
    if (!flood) this.manager.stats.named.downstream_cx_protocol_error.inc()
    this.#close()
  }

  // Keep-alive.

  sendPing(opaque: bigint): void {
    this.#codec.ping(opaque)
  }

  onKeepAliveTimeout(): void {
    this.manager.stats.http2.keepalive_timeout++
    this.#activeAtEnd = this.#active > 0
    this.#codec.destroy(PING_UNANSWERED)
    this.connection.close()
  }

  // Exchanges.

  /**
   * The response is complete and its peer opens no window for the rest: it gets as long as a stream may idle (Envoy:
   * `stream_flush_timeout`, which is `stream_idle_timeout` where it is not set), so that memory is not held for good.
   */
  boundFlush(stream: Http2ServerStream): void {
    const { config, timers } = this.manager
    if (config.streamFlushTimeoutMs === 0) return
    const timer = new Timer(() => {
      this.manager.stats.http2.tx_flush_timeout++
      stream.reset(ErrorCode.InternalError)
      // A second reset gives up what is held back.
      if (!stream.closed) stream.reset(ErrorCode.InternalError)
    })
    this.#flushing ??= new Map()
    this.#flushing.set(stream, timer)
    timers.start(timer, config.streamFlushTimeoutMs)
  }

  /** The response is complete, or never will be. */
  onExchangeEnd(active: ActiveStream): void {
    this.#active--
    this.#ended++
    this.idleSinceMs = this.manager.clock.now()
    this.chargeBytes()
    if (isPremature(active, this.manager)) this.#prematureResets++
    if (this.#state !== 'closed' && this.#tooManyPrematureResets()) {
      this.manager.stats.named.downstream_rq_too_many_premature_resets.inc()
      this.#state = 'closed'
      this.connection.close('reset')
      // What has been read and not yet looked at is more of the same.
      this.#codec.destroy(CLOSED_HERE)
      return
    }
    this.#closeIfDone()
  }

  /**
   * Envoy: `maybeDrainDueToPrematureResets` (the guard against rapid reset, CVE-2023-44487). Before `limit` requests have
   * ended, so many bad ones that no good ones could outweigh them; from then on every second one.
   */
  #tooManyPrematureResets(): boolean {
    if (this.#prematureResets === 0) return false
    const { total } = this.manager.prematureResetLimits()
    return this.#prematureResets * 2 >= Math.max(total, this.#ended)
  }

  // Ends.

  protected onDrainTimeout(): void {
    if (this.#state === 'draining') this.#goAway()
  }

  /** Second step: what comes from now on is not taken. */
  #goAway(): void {
    this.#state = 'closing'
    this.#codec.goAway()
    this.#closeIfDone()
  }

  #closeIfDone(): void {
    if (this.#state === 'closing' && this.#active === 0 && this.#codec.activeStreams === 0) this.#close()
  }

  #close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#codec.flush()
    this.connection.closeAfterFlush(this.manager.config.delayedCloseTimeoutMs)
  }

  #stopTimers(): void {
    this.stopTimer()
    for (const timer of this.#flushing?.values() ?? []) this.manager.timers.stop(timer)
  }

  protected override checkDeadlines(): boolean {
    return this.draining
  }
}

/** The request came to nothing soon after its head (Envoy: `isPrematureRstStream`). */
function isPremature({ info }: ActiveStream, manager: ConnectionManager): boolean {
  if (info.responseCode !== 0) return false
  return Math.floor((manager.clock.now() - info.startMs) / 1000) <= manager.prematureResetLimits().minLifetimeSeconds
}
