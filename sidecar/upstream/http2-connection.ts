/**
 * One HTTP/2 connection to an upstream and the streams on it.
 *
 *   CONNECTING ─ onConnected ─▶ OPEN ─ GOAWAY, last request, drain() ─▶ DRAINING ─ last stream over ─▶ CLOSED
 *        │                       │                                         │
 *        └── refused, timeout ───┴──── end of transport, connection error, PING unanswered ──▶ CLOSED
 *
 * The codec knows the protocol; here are the socket, the timers, the counters, and the words that routers read. Upgrades are
 * HTTP/1 on this side of the connection and extended CONNECT (RFC 8441) on the other.
 */
import { addressText } from '../base/address.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import { http2ClientConnection } from '../codec/http2/connection.ts'
import type {
  Http2ClientConnection,
  Http2ClientEvents,
  Http2ClientStream,
  Http2ConnectionError,
  Http2Sink,
  Http2Stream,
} from '../codec/http2/contract.ts'
import type { BodyChunk, ResponseDecoder, StreamFailure } from '../codec/stream.ts'
import { logger } from '../observability/logging.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { Protocol, TlsInfo } from '../observability/stream-info.ts'
import { type CloseReason, type Connection, type ConnectionHandler, heldWrites } from '../transport/connection.ts'
import { type Flushable, flushLater } from '../transport/write-batch.ts'
import type { StreamOptions } from './connection-pool.ts'
import { connectionFailure, endedByUpstream, goodbyeOf } from './failures.ts'
import { Http2KeepAlive, type KeepAliveOwner } from './http2-keepalive.ts'
import type { ConnectionOwner, LentStream } from './pooled-connection.ts'
import { requestAsConnect, responseAsUpgrade } from './upgrade-mapping.ts'
import { UpstreamConnection } from './upstream-connection.ts'

const log = logger('upstream')

export class Http2Connection
  extends UpstreamConnection
  implements Http2ClientEvents, Http2Sink, Flushable, KeepAliveOwner
{
  readonly expectedStreams: number
  readonly transport: Connection
  #codec: Http2ClientConnection | undefined = undefined
  #keepAlive: Http2KeepAlive | undefined = undefined
  #active = 0
  /** Streams under way when the bytes that are being read came. */
  #activeBefore = 0
  /** The first bytes were an HTTP/1 response: whoever configured HTTP/2 for this upstream wants to know. */
  #answersInHttp1 = false
  /** The error that the upstream gave as its reason to end the connection; '' for none. */
  #goodbye = ''

  constructor(owner: ConnectionOwner, connect: (handler: ConnectionHandler) => Connection) {
    super(owner)
    const { settings, stats } = this.environment
    this.expectedStreams = Math.min(settings.http2.options.maxConcurrentStreams, this.remainingRequests)
    stats.cxHttp2Total.inc()
    this.transport = connect(this)
  }

  get usable(): boolean {
    const codec = this.#codec
    return codec !== undefined && !this.unusable && this.remainingRequests > 0 && codec.canOpenStream
  }

  get busy(): boolean {
    return this.#active > 0
  }

  begin(options: StreamOptions, decoder: ResponseDecoder): Http2Exchange {
    this.#keepAlive?.beforeStream()
    const exchange = new Http2Exchange(this, decoder, options.upgrade, this.requests > 0 && this.#active === 0)
    exchange.stream = this.#codec!.openStream(exchange)
    this.#active++
    this.requests++
    if (--this.remainingRequests === 0) this.becomeUnusable()
    return exchange
  }

  /** The codec tells a stream itself that it has to wait. */
  announceBackpressure(_stream: LentStream): void {}

  // What exchanges report.

  /** The exchange is over and holds no stream any longer. */
  onExchangeOver(): void {
    this.#active--
    this.owner.onExchangeEnd()
    this.chargeSentBytes()
    if (!this.unusable) this.owner.onUsable(this)
    else if (this.#active === 0 && !this.transport.closed) this.close()
  }

  // Transport.

  override onConnected(): void {
    const { stats, clock, timers, random, settings } = this.environment
    const { options, keepAlive } = settings.http2
    const scheme = this.transport.tls === undefined ? 'http' : 'https'
    this.#codec = http2ClientConnection({ ...options, scheme }, this, this, stats.http2)
    if (keepAlive !== undefined) this.#keepAlive = new Http2KeepAlive(keepAlive, this, clock, timers, random)
    super.onConnected()
  }

  onData(chunk: Buffer): void {
    this.environment.stats.cxRxBytesTotal.add(chunk.length)
    this.#keepAlive?.onReceived()
    this.#activeBefore = this.#active
    if (this.#codec?.settingsReceived === false) this.#answersInHttp1 = chunk.toString('latin1', 0, 7) === 'HTTP/1.'
    this.#codec?.receive(chunk)
  }

  onEnd(): void {
    this.chargeDestroy(false, this.#active > 0)
    // First, because those who hear of it ask for another at once.
    this.becomeUnusable()
    this.#codec?.destroy(endedByUpstream(undefined, this.#goodbye))
    this.close()
  }

  onBackpressure(above: boolean): void {
    this.#codec?.onTransportBackpressure(above)
  }

  protected override failStreams(reason: CloseReason): void {
    this.#keepAlive?.stop()
    this.#codec?.destroy(this.#failureOf(reason))
  }

  // Sink.

  write(bytes: Buffer): boolean {
    const held = heldWrites.count
    this.transport.write(bytes)
    return heldWrites.count === held
  }

  get bufferedBytes(): number {
    return this.transport.bufferedBytes
  }

  flush(): void {
    this.#codec?.flush()
  }

  // Codec.

  onWantsFlush(): void {
    flushLater(this)
  }

  onSettings(): void {
    if (this.unusable) return
    if (this.usable) this.owner.onUsable(this)
  }

  onGoAway(_lastStreamId: number, code: number, debug: string): void {
    this.#goodbye = goodbyeOf(code, debug)
    this.environment.stats.cxCloseNotify.inc()
    this.drain()
  }

  onPingAck(): void {
    this.#keepAlive?.onPingAck()
  }

  onConnectionError({ rfc, message, details }: Http2ConnectionError): void {
    log.debug(
      { peer: addressText(this.transport.remote), rfc, details },
      this.#answersInHttp1 ? 'the upstream answers in HTTP/1, while its cluster has http2_protocol_options' : message,
    )
    this.environment.stats.cxProtocolError.inc()
    this.chargeDestroy(true, this.#activeBefore > 0)
    this.becomeUnusable()
    this.#codec?.flush()
    this.transport.closeAfterFlush(0)
  }

  onStreamClosed(stream: Http2Stream): void {
    ;((stream as Http2ClientStream).decoder as Http2Exchange).onClosed()
  }

  // Keep-alive.

  sendPing(opaque: bigint): void {
    this.#codec?.ping(opaque)
  }

  onKeepAliveTimeout(): void {
    this.environment.stats.http2.keepalive_timeout++
    this.close()
  }

  /** What a stream is told of the end of its connection: to Envoy, FIN, RST and our own closing are one (measured). */
  #failureOf(reason: CloseReason): StreamFailure {
    if (this.#codec === undefined) return connectionFailure(reason)
    if (reason.kind !== 'local') return endedByUpstream(reason.tlsCause, this.#goodbye)
    return { origin: 'local', kind: 'terminated', flag: ResponseFlag.UpstreamConnectionTermination, details: '' }
  }
}

/** One request and its response: the writing half for the router, the reading half for the codec. */
export class Http2Exchange implements LentStream, ResponseDecoder {
  readonly reused: boolean
  readonly protocol: Protocol = 'HTTP/2'
  stream!: Http2ClientStream
  readonly #connection: Http2Connection
  readonly #decoder: ResponseDecoder
  #upgrade: boolean
  #upgradeType = ''
  #pauses = 0
  #responseEnded = false
  #over = false

  constructor(connection: Http2Connection, decoder: ResponseDecoder, upgrade: boolean, reused: boolean) {
    this.#connection = connection
    this.#decoder = decoder
    this.#upgrade = upgrade
    this.reused = reused
  }

  get id(): number {
    return this.#connection.transport.id
  }
  get local() {
    return this.#connection.transport.local
  }
  get tls(): TlsInfo | undefined {
    return this.#connection.transport.tls
  }
  bytesRead(): number {
    return this.stream.wireBytesReceived
  }
  bytesWritten(): number {
    return this.stream.wireBytesSent
  }

  // Request.

  encodeHeaders(headers: RequestHeaders, endStream: boolean): void {
    if (this.#over) return
    if (this.#upgrade && headers.method !== 'CONNECT') {
      this.#upgradeType = headers.get('upgrade') ?? ''
      this.stream.encodeHeaders(requestAsConnect(headers), false)
    } else this.stream.encodeHeaders(headers, endStream && !this.#upgrade)
  }

  encodeData(data: BodyChunk, endStream: boolean): void {
    if (!this.#over) this.stream.encodeData(data, endStream)
  }

  encodeTrailers(trailers: HeaderMap): void {
    if (!this.#over) this.stream.encodeTrailers(trailers)
  }

  reset(): void {
    if (this.#over || this.#responseEnded) return
    this.#connection.environment.stats.rqTxReset.inc()
    this.#end(true)
  }

  pauseResponse(): void {
    if (this.#over) return
    if (this.#pauses++ === 0) this.#connection.environment.stats.flowControlPausedReading.inc()
    this.stream.pauseResponse()
  }

  resumeResponse(): void {
    if (this.#over || this.#pauses === 0) return
    if (--this.#pauses === 0) this.#connection.environment.stats.flowControlResumedReading.inc()
    this.stream.resumeResponse()
  }

  // Response.

  onInformational(headers: ResponseHeaders): void {
    this.#decoder.onInformational(headers)
  }

  onResponseHeaders(headers: ResponseHeaders, endStream: boolean): void {
    if (this.#upgradeType !== '') responseAsUpgrade(headers, this.#upgradeType)
    if (endStream) this.#responseEnded = true
    this.#decoder.onResponseHeaders(headers, endStream)
    if (endStream) this.#onResponseEnd()
  }

  onResponseData(data: BodyChunk, endStream: boolean): void {
    if (endStream) this.#responseEnded = true
    this.#decoder.onResponseData(data, endStream)
    if (endStream) this.#onResponseEnd()
  }

  onResponseTrailers(trailers: HeaderMap): void {
    this.#responseEnded = true
    this.#decoder.onResponseTrailers(trailers)
    this.#onResponseEnd()
  }

  onReset(failure: StreamFailure): void {
    const { environment } = this.#connection
    const { stats } = environment
    // Envoy's codec hides from its router that it was itself who reset the stream.
    if (failure.kind === 'reset' || failure.kind === 'headers_too_large') stats.rqRxReset.inc()
    else if (failure.kind === 'protocol_error') stats.rqTxReset.inc()
    else if (failure.kind === 'terminated') stats.rqPendingFailureEject.inc()
    environment.onFailure(failure)
    this.#decoder.onReset(failure)
  }

  onRequestBackpressure(above: boolean): void {
    const { stats } = this.#connection.environment
    if (above) stats.flowControlBackedUp.inc()
    else stats.flowControlDrained.inc()
    this.#decoder.onRequestBackpressure(above)
  }

  /** The answer is complete; what the request still had to say is of no use (RFC 9113 §8.1). */
  #onResponseEnd(): void {
    if (this.#over || this.stream.localEnded) return
    this.#connection.environment.stats.rqTxReset.inc()
    this.#end(true)
  }

  /** The stream is closed, for whatever reason. */
  onClosed(): void {
    this.#end(false)
  }

  #end(reset: boolean): void {
    if (this.#over) return
    this.#over = true
    if (reset) this.stream.reset()
    this.#connection.onExchangeOver()
  }
}
