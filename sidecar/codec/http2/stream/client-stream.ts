/** A request and its response, on the side that asks. */
import { invariant } from '../../../base/invariant.ts'
import { ResponseFlag } from '../../../observability/response-flags.ts'
import { type HeaderMap, type RequestHeaders, ResponseHeaders } from '../../header-map.ts'
import type { ResponseDecoder, StreamFailure } from '../../stream.ts'
import type { Http2ClientStream } from '../contract.ts'
import { ErrorCode } from '../frame/error-code.ts'
import { CUT } from '../frame/frame-type.ts'
import { Stream } from './stream.ts'
import type { StreamHost } from './stream-host.ts'

export interface ClientStreamHost extends StreamHost {
  /** Gives the stream its id and writes the head. Answers the bytes of the block. */
  writeRequest(stream: ClientStream, headers: RequestHeaders, endStream: boolean): number
}

/** As in HTTP/1.1: more than any request needs. */
const MAX_INFORMATIONAL = 64

export class ClientStream extends Stream implements Http2ClientStream {
  readonly decoder: ResponseDecoder
  readonly #host: ClientStreamHost
  #method = ''
  #upgrade = ''
  #informational = 0
  /** The final head of the response has come. */
  responseStarted = false

  constructor(host: ClientStreamHost, decoder: ResponseDecoder) {
    super(host)
    this.#host = host
    this.decoder = decoder
  }

  encodeHeaders(headers: RequestHeaders, endStream: boolean): void {
    if (this.closed || this.localEnded) return
    invariant(!this.headersSent, 'one head to a request')
    this.headersSent = true
    this.#method = headers.method
    this.#upgrade = headers.protocol
    // The peer may have changed it since this was made.
    this.sendWindow = this.host.peerInitialWindow
    if (endStream) this.localEnded = true
    const bytes = this.#host.writeRequest(this, headers, endStream)
    this.headerBytesSent += bytes
    this.wireBytesSent += bytes
    if (endStream) this.localDone()
  }

  /** A head of the response. False when it may not come now or the message does not fit together. */
  receiveHead(headers: ResponseHeaders, contentLength: number, endStream: boolean): boolean {
    if (headers.status < 200) {
      if (++this.#informational > MAX_INFORMATIONAL) return false
      if (!this.detached) this.decoder.onInformational(headers)
      return true
    }
    this.responseStarted = true
    const { status } = headers
    const tunnel = status < 300 && (this.#method === 'CONNECT' || this.#upgrade !== '')
    if (!tunnel) {
      // Whatever the length says, there is no body here (RFC 9110 §6.4.1).
      const bodiless = this.#method === 'HEAD' || status === 204 || status === 304
      this.bodyRemaining = bodiless ? 0 : contentLength
      if (endStream && this.bodyRemaining > 0) return false
    }
    if (endStream) this.remoteEnded = true
    if (this.detached) return true
    let head = headers
    if (tunnel && this.#upgrade !== '') {
      head = new ResponseHeaders(101, headers.list)
      head.list.push('connection', 'upgrade', 'upgrade', this.#upgrade)
    }
    this.decoder.onResponseHeaders(head, endStream)
    return true
  }

  override receiveData(data: Buffer, endStream: boolean): boolean {
    if (this.responseStarted) return super.receiveData(data, endStream)
    this.consume(data.length)
    return false
  }

  /** The response ends here and is not whole; what was held of it goes the way of any response that is reset. */
  receiveCut(trailers: HeaderMap): void {
    trailers.delete(CUT)
    this.fail({ ...UPSTREAM_RESET, trailers })
  }

  /** After a head that ended the response. */
  headDone(): void {
    this.localDone()
  }

  pauseResponse(): void {
    this.pause()
  }

  resumeResponse(): void {
    this.resume()
  }

  protected override get resetWaits(): boolean {
    return false
  }

  protected override get resetCode(): ErrorCode {
    return this.remoteEnded ? ErrorCode.NoError : ErrorCode.Cancel
  }

  protected override deliverData(data: Buffer, endStream: boolean): void {
    this.decoder.onResponseData(data, endStream)
  }

  protected override deliverTrailers(trailers: HeaderMap): void {
    this.decoder.onResponseTrailers(trailers)
  }

  /** Exactly one event is last: after the end of the response, what happens to the request is nobody's concern. */
  protected override deliverFailure(failure: StreamFailure): void {
    if (!this.remoteEnded) this.decoder.onReset(failure)
  }

  protected override tellBackpressure(above: boolean): void {
    this.decoder.onRequestBackpressure(above)
  }
}

export const UPSTREAM_RESET: StreamFailure = Object.freeze({
  origin: 'upstream',
  kind: 'reset',
  flag: ResponseFlag.UpstreamRemoteReset,
  details: 'http2.remote_reset',
})

/** The peer promises that it did nothing (RFC 9113 §8.7): RST_STREAM with REFUSED_STREAM, or GOAWAY below the stream. */
export const UPSTREAM_REFUSED: StreamFailure = Object.freeze({
  origin: 'upstream',
  kind: 'refused_stream',
  flag: ResponseFlag.UpstreamRemoteReset,
  details: 'http2.remote_refuse',
})

export function upstreamProtocolError(details: string): StreamFailure {
  return { origin: 'upstream', kind: 'protocol_error', flag: ResponseFlag.UpstreamProtocolError, details }
}
