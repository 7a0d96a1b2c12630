/** A request and its response, on the side that answers. */
import { invariant } from '../../../base/invariant.ts'
import { ResponseFlag } from '../../../observability/response-flags.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../../header-map.ts'
import type { RequestDecoder, StreamFailure } from '../../stream.ts'
import type { Http2ServerStream } from '../contract.ts'
import { ErrorCode } from '../frame/error-code.ts'
import { CUT } from '../frame/frame-type.ts'
import { Stream } from './stream.ts'
import type { StreamHost } from './stream-host.ts'

export interface ServerStreamHost extends StreamHost {
  /** The peer has sent `Setting.CutTrailers`. */
  readonly peerTakesCut: boolean
  /** Answers the bytes of the block. `accepted`: the 101 of an upgrade, which is 200 in HTTP/2. */
  writeResponse(stream: ServerStream, headers: ResponseHeaders, accepted: boolean, endStream: boolean): number
}

export class ServerStream extends Stream implements Http2ServerStream {
  decoder: RequestDecoder | undefined = undefined
  readonly #host: ServerStreamHost
  readonly #upgrade: boolean

  constructor(host: ServerStreamHost, id: number, headers: RequestHeaders, contentLength: number, endStream: boolean) {
    super(host)
    this.#host = host
    this.id = id
    this.remoteEnded = endStream
    this.#upgrade = headers.protocol !== ''
    // A tunnel has no length (RFC 9110 §9.3.6).
    if (headers.method !== 'CONNECT' && !this.#upgrade) this.bodyRemaining = contentLength
  }

  encodeInformational(headers: ResponseHeaders): void {
    // 101 answers an extended CONNECT with 200, and is final there.
    if (headers.status === 101 && this.#upgrade) this.encodeHeaders(headers, false)
    else if (!this.closed && !this.headersSent && headers.status !== 101) this.#writeHead(headers, false)
  }

  encodeHeaders(headers: ResponseHeaders, endStream: boolean): void {
    if (this.closed || this.localEnded) return
    invariant(!this.headersSent, 'one response to a request')
    this.headersSent = true
    if (endStream) this.localEnded = true
    this.#writeHead(headers, endStream)
    if (endStream) this.localDone()
  }

  #writeHead(headers: ResponseHeaders, endStream: boolean): void {
    const accepted = this.#upgrade && headers.status === 101
    const bytes = this.#host.writeResponse(this, headers, accepted, endStream)
    this.headerBytesSent += bytes
    this.wireBytesSent += bytes
  }

  get takesCut(): boolean {
    return this.#host.peerTakesCut
  }

  override encodeTrailers(trailers: HeaderMap): void {
    // The word of whoever wrote a whole response would make a broken one of it.
    if (this.takesCut) trailers.delete(CUT)
    super.encodeTrailers(trailers)
  }

  encodeCut(trailers: HeaderMap): void {
    trailers.set(CUT, '1')
    super.encodeTrailers(trailers)
  }

  pauseRequest(): void {
    this.pause()
  }

  resumeRequest(): void {
    this.resume()
  }

  protected override get resetWaits(): boolean {
    return true
  }

  protected override get resetCode(): ErrorCode {
    return this.localEnded ? ErrorCode.NoError : ErrorCode.InternalError
  }

  protected override deliverData(data: Buffer, endStream: boolean): void {
    this.decoder?.onRequestData(data, endStream)
  }

  protected override deliverTrailers(trailers: HeaderMap): void {
    this.decoder?.onRequestTrailers(trailers)
  }

  protected override deliverFailure(failure: StreamFailure): void {
    this.decoder?.onReset(failure)
  }

  protected override tellBackpressure(above: boolean): void {
    this.decoder?.onResponseBackpressure(above)
  }
}

/** RST_STREAM from the downstream: it wants no answer any more. */
export const DOWNSTREAM_RESET: StreamFailure = Object.freeze({
  origin: 'downstream',
  kind: 'reset',
  flag: ResponseFlag.DownstreamRemoteReset,
  details: 'http2.remote_reset',
})

export function downstreamProtocolError(details: string): StreamFailure {
  return { origin: 'downstream', kind: 'protocol_error', flag: ResponseFlag.DownstreamProtocolError, details }
}
