/**
 * One request of an HTTP/2 connection, between the codec's stream and the {@link ActiveStream}: the connection as a stream
 * sees it, and the response on its way out. Upgrades are HTTP/1 on this side and extended CONNECT (RFC 8441) on the other.
 */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { Http2ServerStream } from '../codec/http2/contract.ts'
import type { BodyChunk, CutReason, ResponseEncoder } from '../codec/stream.ts'
import type { DownstreamConnectionInfo, StreamInfo } from '../observability/stream-info.ts'
import { connectAsRequest, responseAsConnect } from '../upstream/upgrade-mapping.ts'
import { ActiveStream } from './active-stream.ts'
import type { DownstreamConnection } from './downstream-connection.ts'
import type { Http2Connection } from './http2-connection.ts'

export class Http2Exchange implements DownstreamConnection, ResponseEncoder {
  readonly multiplexed = true
  readonly #connection: Http2Connection
  /** Undefined for a request that the codec refused. */
  readonly #stream: Http2ServerStream | undefined
  #upgrade = false
  /** Changes with an internal redirect. */
  active: ActiveStream

  constructor(connection: Http2Connection, stream: Http2ServerStream | undefined) {
    this.#connection = connection
    this.#stream = stream
    const { manager } = connection
    this.active = new ActiveStream(manager, this, this, 'HTTP/2', manager.clock.now())
    if (stream !== undefined) stream.decoder = this.active
  }

  onHead(headers: RequestHeaders, endStream: boolean): void {
    const { active } = this
    active.info.downstreamWireBytesReceived = this.#stream!.wireBytesReceived
    if (headers.protocol !== '' && headers.method === 'CONNECT') {
      this.#upgrade = true
      connectAsRequest(headers)
    }
    active.onRequestHeaders(headers, endStream)
  }

  // The connection, as the stream sees it.

  get info(): DownstreamConnectionInfo {
    return this.#connection.info
  }

  get closing(): boolean {
    return this.#connection.draining
  }

  beginClosing(): void {
    this.#connection.startDraining()
  }

  onStreamEnd(active: ActiveStream): void {
    if (active !== this.active) return
    const stream = this.#stream
    // What the request still had to say is of no use (RFC 9113 §8.1).
    if (stream !== undefined && !stream.closed && !stream.remoteEnded) stream.reset()
    if (stream !== undefined && !stream.closed && stream.pendingBytes > 0) this.#connection.boundFlush(stream)
    this.#connection.onExchangeEnd(active)
  }

  recreate(
    headers: RequestHeaders,
    body: readonly Buffer[],
    trailers: HeaderMap | undefined,
    previous: StreamInfo,
  ): void {
    const { manager } = this.#connection
    const active = new ActiveStream(manager, this, this, 'HTTP/2', manager.clock.now())
    this.active = active
    if (this.#stream !== undefined) this.#stream.decoder = active
    active.startRecreated(headers, body, trailers, previous)
  }

  // Response out.

  encodeInformational(headers: ResponseHeaders): void {
    this.#stream?.encodeInformational(headers)
  }

  encodeHeaders(headers: ResponseHeaders, endStream: boolean): void {
    if (this.#upgrade) responseAsConnect(headers)
    this.#stream?.encodeHeaders(headers, endStream)
  }

  encodeData(data: BodyChunk, endStream: boolean): void {
    this.#stream?.encodeData(data, endStream)
  }

  encodeTrailers(trailers: HeaderMap): void {
    this.#stream?.encodeTrailers(trailers)
  }

  reset(reason?: CutReason): void {
    const stream = this.#stream
    const trailers = stream?.takesCut === true ? reason?.cutTrailers() : undefined
    if (trailers === undefined) stream?.reset()
    else stream!.encodeCut(trailers)
  }

  pauseRequest(): void {
    this.#stream?.pauseRequest()
  }

  resumeRequest(): void {
    this.#stream?.resumeRequest()
  }
}
