/**
 * What every HTTP codec gives and takes: the two directions of one exchange, and the value that says how it failed.
 * HTTP/1.1 and HTTP/2 connections implement these, so that neither the connection manager nor the router knows which
 * protocol is at the other end.
 */
import type { ResponseFlag } from '../observability/response-flags.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from './header-map.ts'

/** How an exchange or a connection failed (style: what a peer did is a value, it is not thrown). */
export interface StreamFailure {
  /** Whose act it was. */
  readonly origin: 'downstream' | 'upstream' | 'local'
  readonly kind: FailureKind
  readonly flag: ResponseFlag
  /** Details for the log, e.g. `http1.headers_too_large` or the transport's own text; '' when there is nothing to add. */
  readonly details: string
  /** What was wrong with TLS, where it was that: the sub-cause of failure records. */
  readonly tlsCause?: string | undefined
  /** For `overflow`: which limit of the circuit breaker it was. */
  readonly limit?: 'connections' | 'pending' | 'requests' | 'retries' | 'connection_pools' | undefined
  /** What the upstream said of it, where its protocol has room for that (`Http2Options.cutTrailers`). */
  readonly trailers?: HeaderMap | undefined
}

export type FailureKind =
  | 'connect_refused' // RST in answer to SYN, or no route to the host
  | 'connect_timeout'
  | 'connect_failed' // any other failure before the connection stood, TLS included
  | 'unreachable'
  | 'tls'
  | 'overflow' // a circuit breaker's limit
  | 'reset' // stream reset by the peer (HTTP/2) or TCP RST
  | 'terminated' // the connection ended before the exchange did
  | 'protocol_error'
  | 'refused_stream' // the peer promises that it did nothing (RFC 9113 §8.7)
  | 'headers_too_large'
  | 'payload_too_large'
  | 'timeout'
  | 'local_reset'

/** Bytes of a body, borrowed: valid only during the call. Whoever keeps them copies them. */
export type BodyChunk = Buffer

/** One request on its way out, or one response: the writing half of an exchange. */
export interface RequestEncoder {
  encodeHeaders(headers: RequestHeaders, endStream: boolean): void
  encodeData(data: BodyChunk, endStream: boolean): void
  encodeTrailers(trailers: HeaderMap): void
  /** Gives the exchange up; no event follows. Nothing happens when it has ended. */
  reset(): void
  /** Stops (or lets run again) the response's body. Counted: two pauses need two resumes. */
  pauseResponse(): void
  resumeResponse(): void
}

/** Receives the response to a {@link RequestEncoder}. Exactly one of `endStream: true`, trailers or `onReset` is last. */
export interface ResponseDecoder {
  onInformational(headers: ResponseHeaders): void
  onResponseHeaders(headers: ResponseHeaders, endStream: boolean): void
  onResponseData(data: BodyChunk, endStream: boolean): void
  onResponseTrailers(trailers: HeaderMap): void
  onReset(failure: StreamFailure): void
  /** The connection's write buffer rose above its high watermark, or fell below the low one. */
  onRequestBackpressure(above: boolean): void
}

/** Knows why a response is cut short. */
export interface CutReason {
  /** Trailers to be sent in place of a reset; undefined when there is nothing to say. */
  cutTrailers(): HeaderMap | undefined
}

export interface ResponseEncoder {
  encodeInformational(headers: ResponseHeaders): void
  encodeHeaders(headers: ResponseHeaders, endStream: boolean): void
  encodeData(data: BodyChunk, endStream: boolean): void
  encodeTrailers(trailers: HeaderMap): void
  /**
   * Cuts the exchange short, so that the peer cannot take what it got for the whole. `reason` is asked where the peer can
   * be told why.
   */
  reset(reason?: CutReason): void
  pauseRequest(): void
  resumeRequest(): void
}

/** Receives the request that a {@link ResponseEncoder} answers. */
export interface RequestDecoder {
  onRequestHeaders(headers: RequestHeaders, endStream: boolean): void
  onRequestData(data: BodyChunk, endStream: boolean): void
  onRequestTrailers(trailers: HeaderMap): void
  onReset(failure: StreamFailure): void
  onResponseBackpressure(above: boolean): void
}
