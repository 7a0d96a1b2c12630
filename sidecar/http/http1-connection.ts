/**
 * One downstream HTTP/1.1 connection: joins the byte stream, the parser and one request at a time.
 *
 *   IDLE ── head ──▶ EXCHANGE ── response and request complete ──▶ IDLE
 *                       │
 *                       └── closing, or the request was cut short ──▶ flush, FIN, linger, closed
 *
 * Pipelined requests wait, as bytes, until the response before them is out; while more than a little waits, reading is
 * paused. A FIN from the peer counts as its going away (as in Envoy): what it still might read is not worth keeping the
 * upstream busy for.
 */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { Http1Error } from '../codec/http1/error.ts'
import type { Http1Framing, Http1RequestEvents } from '../codec/http1/framing.ts'
import { Http1RequestParser } from '../codec/http1/parser.ts'
import {
  CHUNK_END,
  chunkHeader,
  LAST_CHUNK,
  reasonPhrase,
  responseFraming,
  WriteFraming,
  writeResponseHead,
  writeTrailers,
} from '../codec/http1/writer.ts'
import type { BodyChunk, ResponseEncoder } from '../codec/stream.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { DownstreamConnectionInfo, Protocol, StreamInfo } from '../observability/stream-info.ts'
import type { CloseReason, Connection } from '../transport/connection.ts'
import { ActiveStream } from './active-stream.ts'
import type { ConnectionManager } from './connection-manager.ts'
import type { DownstreamConnection } from './downstream-connection.ts'
import { HttpConnection } from './http-connection.ts'

const EMPTY = Buffer.alloc(0)

export class Http1Connection
  extends HttpConnection
  implements Http1RequestEvents, ResponseEncoder, DownstreamConnection
{
  readonly multiplexed = false
  closing = false
  readonly #parser: Http1RequestParser
  #stream: ActiveStream | undefined = undefined
  #requestDone = true
  #remaining = -1
  /** The request said `Connection: close`, or is of HTTP/1.0 and did not ask for more. */
  #closedByClient = false
  /** Bytes behind the current request. */
  #rest: Buffer | undefined = undefined
  #feeding = false
  /** The last response is out; whatever still comes in is nobody's. */
  #finished = false
  #requestPauses = 0
  #method = 'GET'
  #version: 10 | 11 = 11
  #framing: WriteFraming = WriteFraming.None
  #requests = 0
  /** When the first byte of a head came that is not complete yet; 0 when none is under way. */
  #headSinceMs = 0
  /** A request was under way when the peer went away. */
  #endedInRequest = false

  constructor(
    manager: ConnectionManager,
    connection: Connection,
    info: DownstreamConnectionInfo,
    startMs: number,
    onClosed: () => void,
  ) {
    super('HTTP/1', manager, connection, info, startMs, onClosed)
    const { config } = manager
    this.#parser = new Http1RequestParser(
      this,
      {
        acceptHttp10: config.acceptHttp10,
        allowCustomMethods: config.allowCustomMethods,
        allowChunkedLength: config.allowChunkedLength,
        scheme: info.tls === undefined ? 'http' : 'https',
      },
      { maxHeadBytes: config.maxRequestHeadBytes, maxHeaders: config.maxRequestHeaders },
    )
    this.startTimer()
  }

  /** No request is under way. */
  get idle(): boolean {
    return this.#stream === undefined && this.#parser.idle
  }

  get protocol(): Protocol | '' {
    if (this.#requests === 0) return ''
    return this.#version === 10 ? 'HTTP/1.0' : 'HTTP/1.1'
  }

  protected get quiet(): boolean {
    return this.#stream === undefined
  }

  protected get ending(): boolean {
    return this.closing
  }

  /** Takes no further request: closes now when idle, otherwise after the response under way. */
  drain(closeIdle: boolean): void {
    if (this.idle && closeIdle) this.connection.closeAfterFlush(this.manager.config.delayedCloseTimeoutMs)
    else this.closing = true
  }

  // Bytes in.

  onData(chunk: Buffer): void {
    if (this.#headSinceMs === 0 && this.#stream === undefined) this.#headSinceMs = this.manager.clock.now()
    if (this.#rest !== undefined) {
      this.#rest = Buffer.concat([this.#rest, chunk])
      return
    }
    this.#feed(chunk)
  }

  #feed(chunk: Buffer): void {
    let offset = 0
    this.#feeding = true
    while (offset < chunk.length) {
      if (this.#finished || this.connection.closed) break
      if (this.#stream !== undefined && this.#requestDone) {
        this.#rest = Buffer.from(chunk.subarray(offset))
        this.connection.pauseReading()
        break
      }
      const consumed = this.#parser.execute(chunk, offset, chunk.length)
      if (consumed === offset) break
      offset = consumed
    }
    this.#feeding = false
  }

  onEnd(): void {
    const stream = this.#stream
    if (stream !== undefined) {
      this.#endedInRequest = true
      stream.onReset({
        origin: 'downstream',
        kind: 'terminated',
        flag: ResponseFlag.DownstreamConnectionTermination,
        details: 'downstream_remote_disconnect',
      })
    }
    this.connection.closeAfterFlush(0)
  }

  onBackpressure(above: boolean): void {
    this.#stream?.onResponseBackpressure(above)
  }

  protected onTransportClosed(reason: CloseReason): void {
    const stream = this.#stream
    this.chargeClose(reason, stream !== undefined || this.#endedInRequest)
    stream?.onReset({
      origin: 'downstream',
      kind: 'terminated',
      flag: ResponseFlag.DownstreamConnectionTermination,
      details: 'downstream_remote_disconnect',
    })
  }

  // Parser events.

  onHead(headers: RequestHeaders, framing: Http1Framing): void {
    const { config, clock, stats } = this.manager
    this.#headSinceMs = 0
    this.#requests++
    this.#method = headers.method
    this.#version = framing.version
    this.#remaining = framing.bodyKind === 'length' ? framing.contentLength : -1
    if (!framing.keepAlive) this.closing = this.#closedByClient = true
    if (config.maxRequestsPerConnection > 0 && this.#requests >= config.maxRequestsPerConnection) {
      stats.named.downstream_cx_max_requests_reached.inc()
      this.closing = true
    }
    const protocol: Protocol = framing.version === 10 ? 'HTTP/1.0' : 'HTTP/1.1'
    const stream = new ActiveStream(this.manager, this, this, protocol, clock.now())
    this.#stream = stream
    stream.info.downstreamWireBytesReceived = framing.rawHeadBytes
    const endStream = framing.bodyKind === 'none' || this.#remaining === 0
    this.#requestDone = endStream
    // Headers that `Connection` names are of this connection and go no further (RFC 9110 §7.6.1), except those by which
    // we tell who asked: naming one must not be a way to take it off.
    // What `te` may say to the next hop is decided with the other headers.
    for (const name of framing.nominated) if (name !== 'te' && !name.startsWith('x-forwarded-')) headers.delete(name)
    if (framing.upgrade === '') headers.delete('upgrade')
    if (headers.authority === '' && framing.version === 10) {
      headers.authority = config.defaultHostForHttp10
      // HTTP/1.0 may leave it out, but then there is no virtual host to look in: Envoy refuses it, too.
      if (headers.authority === '') {
        this.closing = true
        const details = 'missing_host_header'
        stream.refuse({ status: 400, details, flag: ResponseFlag.None, body: '' }, headers)
        return
      }
    }
    if (config.underscoresInHeaders !== 'ALLOW' && !this.#checkUnderscores(headers, stream)) return
    if (framing.upgrade !== '' && endStream) {
      // What follows belongs to the other protocol, if the upstream agrees to it.
      this.#parser.tunnel()
      this.#requestDone = false
      stream.onRequestHeaders(headers, false)
      return
    }
    if (framing.bodyKind === 'tunnel') this.#requestDone = false
    stream.onRequestHeaders(headers, endStream)
  }

  onBody(chunk: Buffer, start: number, end: number): void {
    const stream = this.#stream
    let last = false
    if (this.#remaining > 0) {
      this.#remaining -= end - start
      last = this.#remaining === 0
    }
    if (last) this.#requestDone = true
    if (stream === undefined) return
    stream.info.downstreamWireBytesReceived += end - start
    stream.onRequestData(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end), last)
  }

  onTrailers(trailers: HeaderMap): void {
    this.#requestDone = true
    if (this.manager.config.enableTrailers) this.#stream?.onRequestTrailers(trailers)
    else this.#stream?.onRequestData(EMPTY, true)
  }

  onMessageEnd(): void {
    if (this.#requestDone) return
    this.#requestDone = true
    this.#stream?.onRequestData(EMPTY, true)
  }

  onError(error: Http1Error): void {
    const { stats, clock } = this.manager
    this.closing = true
    if (error.kind === 'ended_before_message') return
    // A request without a Host is well-formed to Envoy, which misses it later and says so with an empty answer.
    if (error.details !== 'missing_host_header') {
      this.protocolError = true
      stats.named.downstream_cx_protocol_error.inc()
    }
    const stream = this.#stream
    if (stream !== undefined && !this.#requestDone) {
      stream.onReset({
        origin: 'downstream',
        kind: 'protocol_error',
        flag: ResponseFlag.DownstreamProtocolError,
        details: error.details,
      })
      if (this.#stream !== undefined) this.#finish()
      return
    }
    if (stream !== undefined) {
      // A pipelined request is broken; the one before it is still to be answered. Then the connection closes.
      return
    }
    this.#requestDone = false
    this.#method = 'GET'
    this.#version = error.kind === 'low_version' ? 10 : 11
    const missingHost = error.details === 'missing_host_header'
    const refused = new ActiveStream(
      this.manager,
      this,
      this,
      this.#version === 10 ? 'HTTP/1.0' : 'HTTP/1.1',
      clock.now(),
    )
    this.#stream = refused
    const phrase = reasonPhrase(error.status)
    refused.refuse({
      status: error.status,
      details: error.details,
      flag: missingHost ? ResponseFlag.None : ResponseFlag.DownstreamProtocolError,
      body: missingHost ? '' : error.kind === 'low_version' ? `${phrase}: ${error.message}` : phrase,
    })
  }

  #checkUnderscores(headers: RequestHeaders, stream: ActiveStream): boolean {
    const reject = this.manager.config.underscoresInHeaders === 'REJECT_REQUEST'
    const { stats } = this.manager
    const before = headers.size
    headers.deleteWhere(name => name.includes('_'))
    const found = before - headers.size
    if (!reject) stats.droppedUnderscores.add(found)
    if (found === 0 || !reject) return true
    stats.rejectedUnderscores.inc()
    this.closing = true
    this.protocolError = true
    stats.named.downstream_cx_protocol_error.inc()
    stream.refuse({
      status: 400,
      details: 'http1.unexpected_underscore',
      flag: ResponseFlag.DownstreamProtocolError,
      body: 'Bad Request',
    })
    return false
  }

  // Response out.

  encodeInformational(headers: ResponseHeaders): void {
    this.connection.write(writeResponseHead(headers, WriteFraming.None, 11, this.manager.config.headerCase))
  }

  encodeHeaders(headers: ResponseHeaders, endStream: boolean): void {
    this.#framing = responseFraming(headers, endStream, this.#method, this.#version)
    if (this.#framing === WriteFraming.Raw) this.closing = true
    // Silence means close in HTTP/1.0 (RFC 9112 §9.3).
    if (this.#version === 10 && !this.closing) headers.set('connection', 'keep-alive')
    this.connection.write(writeResponseHead(headers, this.#framing, this.#version, this.manager.config.headerCase))
  }

  encodeData(data: BodyChunk, endStream: boolean): void {
    if (this.#method === 'HEAD' && this.#framing !== WriteFraming.Raw) return
    if (this.#framing === WriteFraming.Chunked) {
      if (data.length > 0) {
        this.connection.write(chunkHeader(data.length))
        this.connection.write(data)
        this.connection.write(endStream ? CHUNK_END + LAST_CHUNK : CHUNK_END)
      } else if (endStream) this.connection.write(LAST_CHUNK)
    } else if (data.length > 0) this.connection.write(data)
  }

  encodeTrailers(trailers: HeaderMap): void {
    if (this.#framing !== WriteFraming.Chunked) return
    this.connection.write(
      this.manager.config.enableTrailers ? writeTrailers(trailers, this.manager.config.headerCase) : LAST_CHUNK,
    )
  }

  reset(): void {
    this.closing = true
    // A close-delimited body would look complete after a FIN; RST cannot be mistaken. What was written before the end of
    // any other is not lost.
    if (this.#framing === WriteFraming.Raw) this.connection.close('reset')
    else this.#finish()
  }

  pauseRequest(): void {
    this.#requestPauses++
    this.connection.pauseReading()
  }

  resumeRequest(): void {
    if (this.#requestPauses === 0) return
    this.#requestPauses--
    this.connection.resumeReading()
  }

  // Streams.

  beginClosing(): void {
    this.closing = true
  }

  onStreamEnd(stream: ActiveStream): void {
    if (stream !== this.#stream) return
    this.#stream = undefined
    this.chargeBytes()
    if (this.connection.closed) return
    this.idleSinceMs = this.manager.clock.now()
    for (; this.#requestPauses > 0; this.#requestPauses--) this.connection.resumeReading()
    if (this.closing || !this.#requestDone) {
      this.#finish()
      return
    }
    // Not at once: the upstream's connection goes back to its pool when this returns, and the next request wants it.
    if (!this.#feeding && this.#rest !== undefined) queueMicrotask(() => this.#feedRest())
  }

  recreate(
    headers: RequestHeaders,
    body: readonly Buffer[],
    trailers: HeaderMap | undefined,
    previous: StreamInfo,
  ): void {
    const stream = new ActiveStream(this.manager, this, this, previous.protocol, this.manager.clock.now())
    this.#stream = stream
    stream.startRecreated(headers, body, trailers, previous)
  }

  #finish(): void {
    if (this.#finished) return
    this.closing = true
    this.#finished = true
    // Nothing more comes from a client that has said so itself and has sent all: there is nothing to wait for (Envoy:
    // `skip_delay_close`).
    const awaitsNothing = this.#closedByClient && this.#requestDone && this.#rest === undefined
    this.#rest = undefined
    const delayMs = awaitsNothing ? 0 : this.manager.config.delayedCloseTimeoutMs
    this.connection.closeAfterFlush(delayMs)
  }

  #feedRest(): void {
    while (this.#rest !== undefined && this.#stream === undefined && !this.connection.closed) {
      const rest = this.#rest
      this.#rest = undefined
      this.connection.resumeReading()
      this.#feed(rest)
    }
  }

  // Timers.

  protected override nextDeadline(now: number): number {
    const { requestHeadersTimeoutMs } = this.manager.config
    if (requestHeadersTimeoutMs === 0) return Number.POSITIVE_INFINITY
    return (this.#headSinceMs > 0 ? this.#headSinceMs : now) + requestHeadersTimeoutMs
  }

  /** The head of a request has to come in time. */
  protected override checkDeadlines(now: number): boolean {
    const { config, stats } = this.manager
    const overdue =
      config.requestHeadersTimeoutMs > 0 &&
      this.#headSinceMs > 0 &&
      now >= this.#headSinceMs + config.requestHeadersTimeoutMs
    if (!overdue || this.#stream !== undefined || this.#parser.idle) return false
    stats.named.downstream_rq_header_timeout.inc()
    this.closing = true
    this.#requestDone = false
    const refused = new ActiveStream(this.manager, this, this, 'HTTP/1.1', this.#headSinceMs)
    this.#stream = refused
    refused.refuse({ status: 408, details: 'request_header_timeout', body: 'request header timeout' })
    return true
  }

  /** A request may be on its way: for `drain_timeout` it is still taken, as the last one. */
  protected startDraining(): void {
    this.closing = true
    this.startDrainTimer()
  }

  protected onDrainTimeout(): void {
    this.drain(true)
  }
}
