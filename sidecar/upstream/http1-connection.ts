/**
 * One HTTP/1.1 connection to an upstream, and the exchange (request and response) that it carries at a time.
 *
 *   CONNECTING ─ onConnected ─▶ IDLE ─ begin() ─▶ BUSY ─ both halves complete, re-usable ─▶ IDLE
 *        │                       │                 └──── anything else ──▶ CLOSED
 *        └── refused, timeout ───┴── FIN, RST, idle timeout, bytes nobody asked for ──▶ CLOSED
 *
 * Requests are not pipelined. A connection is lent again only when the response is complete, the request has been written
 * whole, nothing follows the response, and the upstream did not say that it will close (RFC 9112 §9.3, §9.6).
 *
 * An exchange is an object of its own, made per request: whoever holds it after its end holds something that does
 * nothing, and cannot touch the request that has the connection now.
 */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { Http1Error } from '../codec/http1/error.ts'
import type { Http1Framing, Http1ResponseEvents } from '../codec/http1/framing.ts'
import { properCase } from '../codec/http1/header-case.ts'
import { Http1ResponseParser } from '../codec/http1/parser.ts'
import {
  CHUNK_END,
  chunkHeader,
  type HeaderCase,
  LAST_CHUNK,
  requestFraming,
  WriteFraming,
  writeRequestHead,
  writeTrailers,
} from '../codec/http1/writer.ts'
import type { BodyChunk, RequestEncoder, ResponseDecoder, StreamFailure } from '../codec/stream.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { Protocol, TlsInfo } from '../observability/stream-info.ts'
import type { CloseReason, Connection, ConnectionHandler } from '../transport/connection.ts'
import type { StreamOptions, UpstreamConnectionInfo } from './connection-pool.ts'
import { connectionFailure, endedByUpstream, parseFailure, RESET, RESET_IN_BODY, TERMINATED } from './failures.ts'
import type { ConnectionOwner, LentStream } from './pooled-connection.ts'
import { UpstreamConnection } from './upstream-connection.ts'

const EMPTY = Buffer.alloc(0)
/** How long the far end of a tunnel may take to close after we have sent all; Envoy: `delayed_close_timeout`. */
const TUNNEL_CLOSE_MS = 1000
/** A server that tells an idle connection so before it closes it has done nothing wrong (RFC 9110 §15.5.9). */
const REQUEST_TIMEOUT = /^HTTP\/1\.[01] 408 /

export class Http1Connection extends UpstreamConnection implements Http1ResponseEvents {
  readonly expectedStreams = 1
  readonly transport: Connection
  readonly #parser: Http1ResponseParser
  readonly #headerCase: HeaderCase | undefined
  readonly #sendTrailers: boolean
  #exchange: Http1Exchange | undefined = undefined
  #framing: Http1Framing | undefined = undefined
  /** Bytes of the body still to come when its length is known, else -1. */
  #remaining = -1
  /** The final head of the response has come. */
  #headSeen = false
  /** A 1xx was the last thing that came. */
  #afterInformational = false
  #messageEnded = false
  #failed: StreamFailure | undefined = undefined
  #keepAlive = true
  #aboveWatermark = false

  constructor(owner: ConnectionOwner, connect: (handler: ConnectionHandler) => Connection) {
    super(owner)
    const { settings, stats } = this.environment
    this.#sendTrailers = settings.sendTrailers
    this.#headerCase = settings.properCaseHeaders ? properCase : undefined
    this.#parser = new Http1ResponseParser(
      this,
      { allowChunkedLength: settings.allowChunkedLength },
      { maxHeadBytes: settings.maxResponseHeadBytes, maxHeaders: settings.maxResponseHeaders },
    )
    stats.cxHttp1Total.inc()
    this.transport = connect(this)
  }

  /** Whether an exchange may begin: connected, idle, and not about to close. */
  get usable(): boolean {
    return this.connected && !this.unusable && this.#exchange === undefined && !this.transport.closed
  }

  get busy(): boolean {
    return this.#exchange !== undefined
  }

  /** Lends the connection. The request is written through what is returned. */
  begin(options: StreamOptions, decoder: ResponseDecoder): Http1Exchange {
    // The idle timer is left to run: it does nothing while there is an exchange, and starts anew after it.
    const exchange = new Http1Exchange(this, decoder, this.requests > 0)
    this.#exchange = exchange
    this.#messageEnded = false
    this.#headSeen = false
    this.#afterInformational = false
    this.#keepAlive = !options.upgrade
    this.#parser.expectResponse(options.method, options.upgrade)
    this.requests++
    this.remainingRequests--
    return exchange
  }

  /** Tells a new exchange that the connection still holds bytes of the one before it. */
  announceBackpressure(exchange: LentStream): void {
    if (this.#aboveWatermark && exchange === this.#exchange) this.#exchange.decoder.onRequestBackpressure(true)
  }

  // What the exchange asks for.

  writeHead(headers: RequestHeaders, framing: WriteFraming): void {
    this.transport.write(writeRequestHead(headers, framing, this.#headerCase))
  }

  writeTrailers(trailers: HeaderMap): void {
    this.transport.write(this.#sendTrailers ? writeTrailers(trailers, this.#headerCase) : LAST_CHUNK)
  }

  onRequestEnd(): void {
    // The answer was complete before the request was: it is the response that ends an exchange, so there is nothing to do.
    if (this.#framing?.bodyKind === 'tunnel') this.transport.closeAfterFlush(TUNNEL_CLOSE_MS)
  }

  chargeFlowControl(paused: boolean): void {
    const { stats } = this.environment
    if (paused) stats.flowControlPausedReading.inc()
    else stats.flowControlResumedReading.inc()
  }

  /** The exchange is given up; what was asked cannot be taken back, so the connection cannot be used again. */
  abandon(exchange: Http1Exchange): void {
    if (exchange !== this.#exchange) return
    this.chargeDestroy(true, true)
    this.#detach()
    this.close()
  }

  // Transport.

  onData(chunk: Buffer): void {
    this.environment.stats.cxRxBytesTotal.add(chunk.length)
    if (this.#exchange === undefined) {
      this.#onUnexpectedBytes(chunk)
      return
    }
    this.#afterInformational = false
    let offset = 0
    do {
      offset = this.#parser.execute(chunk, offset, chunk.length)
      if (this.#messageEnded) {
        this.#finish(offset < chunk.length)
        return
      }
      if (this.#failed !== undefined) {
        this.#fail(this.#failed, false)
        return
      }
      if (this.#exchange === undefined) return
    } while (offset < chunk.length)
  }

  onEnd(): void {
    if (this.#exchange === undefined) {
      this.close()
      return
    }
    this.#keepAlive = false
    this.#parser.finish()
    if (this.#messageEnded) this.#finish(false)
    else this.#fail(this.#failed ?? TERMINATED, true)
  }

  onBackpressure(above: boolean): void {
    this.#aboveWatermark = above
    const { stats } = this.environment
    if (above) stats.flowControlBackedUp.inc()
    else stats.flowControlDrained.inc()
    this.#exchange?.decoder.onRequestBackpressure(above)
  }

  protected override failStreams(reason: CloseReason): void {
    const exchange = this.#exchange
    if (exchange === undefined) return
    this.#detach()
    this.#report(exchange, this.#failureOf(reason))
  }

  // Parser.

  onHead(headers: ResponseHeaders, framing: Http1Framing): void {
    const exchange = this.#exchange
    if (exchange === undefined) return
    if (framing.informational) {
      this.#afterInformational = true
      exchange.decoder.onInformational(headers)
      return
    }
    this.#framing = framing
    this.#headSeen = true
    if (!framing.keepAlive) {
      this.#keepAlive = false
      if (announcesClose(headers, framing)) this.environment.stats.cxCloseNotify.inc()
    }
    const { bodyKind, contentLength } = framing
    this.#remaining = bodyKind === 'length' ? contentLength : -1
    const endStream = bodyKind === 'none' || this.#remaining === 0
    if (bodyKind === 'tunnel') exchange.onTunnel()
    if (endStream) exchange.responseEnded = true
    exchange.decoder.onResponseHeaders(headers, endStream)
  }

  onBody(chunk: Buffer, start: number, end: number): void {
    const exchange = this.#exchange
    if (exchange === undefined || exchange.responseEnded) return
    let last = false
    if (this.#remaining >= 0) {
      this.#remaining -= end - start
      last = this.#remaining === 0
      if (last) exchange.responseEnded = true
    }
    exchange.decoder.onResponseData(end - start === chunk.length ? chunk : chunk.subarray(start, end), last)
  }

  onTrailers(trailers: HeaderMap): void {
    const exchange = this.#exchange
    if (exchange === undefined || exchange.responseEnded) return
    exchange.responseEnded = true
    // `enable_trailers` is about both directions.
    if (this.#sendTrailers) exchange.decoder.onResponseTrailers(trailers)
    else exchange.decoder.onResponseData(EMPTY, true)
  }

  onMessageEnd(): void {
    const exchange = this.#exchange
    if (exchange === undefined) return
    this.#messageEnded = true
    if (exchange.responseEnded) return
    exchange.responseEnded = true
    exchange.decoder.onResponseData(EMPTY, true)
  }

  onError(error: Http1Error): void {
    // An upstream that dies between a 1xx and its answer has not broken any rule.
    this.#failed = this.#afterInformational && error.kind === 'ended_in_head' ? TERMINATED : parseFailure(error)
    if (this.#failed.kind !== 'terminated') this.environment.stats.cxProtocolError.inc()
  }

  // Ends.

  /** The response is complete. `overrun`: bytes follow it that no request asked for. */
  #finish(overrun: boolean): void {
    const exchange = this.#exchange
    if (exchange === undefined) return
    this.#detach()
    this.chargeSentBytes()
    if (overrun) this.environment.stats.cxProtocolError.inc()
    // Envoy counts the request as running until it has been written whole.
    if (!exchange.requestEnded) this.chargeDestroy(true, true)
    const reusable =
      this.#keepAlive && !overrun && exchange.requestEnded && this.remainingRequests > 0 && !this.transport.closed
    if (!reusable || this.unusable) {
      this.close()
      return
    }
    this.owner.onUsable(this)
  }

  /** `remote`: the peer ended the connection; otherwise we do, for what it sent. */
  #fail(failure: StreamFailure, remote: boolean): void {
    const exchange = this.#exchange
    this.becomeUnusable()
    if (exchange === undefined) {
      this.close()
      return
    }
    this.chargeDestroy(!remote, true)
    this.#detach()
    this.#report(exchange, failure)
    this.close()
  }

  #report(exchange: Http1Exchange, failure: StreamFailure): void {
    this.environment.onFailure(failure)
    exchange.decoder.onReset(failure)
  }

  /** Parts connection and exchange; whatever is called on the exchange from now on does nothing. */
  #detach(): void {
    const exchange = this.#exchange
    if (exchange === undefined) return
    this.#exchange = undefined
    this.#framing = undefined
    exchange.end()
    for (let i = 0; i < exchange.pauses; i++) this.transport.resumeReading()
    exchange.pauses = 0
    this.owner.onExchangeEnd()
  }

  #failureOf(reason: CloseReason): StreamFailure {
    if (!this.connected) return connectionFailure(reason)
    if (this.#failed !== undefined) return this.#failed
    if (reason.kind === 'reset' || reason.kind === 'error') {
      if (!this.#headSeen) {
        // Half a head is not an answer, and not the silence of a connection that died while it was idle either.
        this.#parser.finish()
        const failed = this.#failed as StreamFailure | undefined
        return failed === undefined || failed.kind === 'terminated' ? RESET : failed
      }
      this.environment.stats.cxProtocolError.inc()
      return RESET_IN_BODY
    }
    if (reason.kind === 'remote') return TERMINATED
    if (reason.kind === 'tls') return endedByUpstream(reason.tlsCause, '')
    return { origin: 'local', kind: 'local_reset', flag: ResponseFlag.LocalReset, details: reason.details }
  }

  #onUnexpectedBytes(chunk: Buffer): void {
    if (this.transport.closed || this.unusable) return
    if (!REQUEST_TIMEOUT.test(chunk.toString('latin1', 0, 13))) this.environment.stats.cxProtocolError.inc()
    this.close()
  }
}

/** Whether the upstream says that it will close, rather than merely doing so to end the body. */
function announcesClose(headers: ResponseHeaders, { bodyKind, version }: Http1Framing): boolean {
  if (bodyKind === 'tunnel') return false
  return bodyKind !== 'until_close' || version === 10 || /\bclose\b/i.test(headers.getJoined('connection') ?? '')
}

/** One request and its response on a connection: the writing half, and what is known of the connection. */
export class Http1Exchange implements RequestEncoder, UpstreamConnectionInfo {
  readonly decoder: ResponseDecoder
  readonly reused: boolean
  readonly protocol: Protocol = 'HTTP/1.1'
  readonly #connection: Http1Connection
  #framing: WriteFraming = WriteFraming.None
  #ended = false
  #bytesRead: number
  #bytesWritten: number
  requestEnded = false
  responseEnded = false
  /** Pauses of this exchange that have not been undone. */
  pauses = 0

  constructor(connection: Http1Connection, decoder: ResponseDecoder, reused: boolean) {
    this.decoder = decoder
    this.reused = reused
    this.#connection = connection
    // While the exchange lasts these are the connection's readings at its start; afterwards they are its own sums.
    this.#bytesRead = connection.transport.bytesRead
    this.#bytesWritten = connection.transport.bytesWritten
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
    return this.#ended ? this.#bytesRead : this.#connection.transport.bytesRead - this.#bytesRead
  }
  bytesWritten(): number {
    return this.#ended ? this.#bytesWritten : this.#connection.transport.bytesWritten - this.#bytesWritten
  }

  encodeHeaders(headers: RequestHeaders, endStream: boolean): void {
    if (this.#ended) return
    this.#framing = requestFraming(headers, endStream)
    this.#connection.writeHead(headers, this.#framing)
    if (endStream) this.#endRequest()
  }

  encodeData(data: BodyChunk, endStream: boolean): void {
    if (this.#ended || this.requestEnded) return
    const { transport } = this.#connection
    if (this.#framing !== WriteFraming.Chunked) transport.write(data)
    else if (data.length > 0) {
      transport.write(chunkHeader(data.length))
      transport.write(data)
      transport.write(endStream ? CHUNK_END + LAST_CHUNK : CHUNK_END)
    } else if (endStream) transport.write(LAST_CHUNK)
    if (endStream) this.#endRequest()
  }

  encodeTrailers(trailers: HeaderMap): void {
    if (this.#ended || this.requestEnded) return
    if (this.#framing === WriteFraming.Chunked) this.#connection.writeTrailers(trailers)
    this.#endRequest()
  }

  reset(): void {
    // After the last byte of the response there is nothing left to give up: the connection sees to itself.
    if (!this.#ended && !this.responseEnded) this.#connection.abandon(this)
  }

  pauseResponse(): void {
    if (this.#ended) return
    if (this.pauses++ === 0) this.#connection.chargeFlowControl(true)
    this.#connection.transport.pauseReading()
  }

  resumeResponse(): void {
    if (this.#ended || this.pauses === 0) return
    if (--this.pauses === 0) this.#connection.chargeFlowControl(false)
    this.#connection.transport.resumeReading()
  }

  /** The response turned out to be a tunnel: the request is what flows from now on, and has no end but the connection's. */
  onTunnel(): void {
    this.#framing = WriteFraming.Raw
  }

  /** Called by the connection when it parts with the exchange. */
  end(): void {
    const { transport } = this.#connection
    this.#bytesRead = transport.bytesRead - this.#bytesRead
    this.#bytesWritten = transport.bytesWritten - this.#bytesWritten
    this.#ended = true
  }

  #endRequest(): void {
    this.requestEnded = true
    this.#connection.onRequestEnd()
  }
}
