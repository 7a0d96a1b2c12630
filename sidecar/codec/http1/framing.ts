/**
 * What the parsers tell of a message beside its headers, what they are told, and to whom they tell it: the public types
 * of the HTTP/1.1 codec.
 */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../header-map.ts'
import type { Http1Error } from './error.ts'

/**
 * How the end of a body is found (RFC 9112 §6.3). `tunnel`: what follows the head is no HTTP (CONNECT, 101), raw bytes
 * until the connection ends.
 */
export type BodyKind = 'none' | 'length' | 'chunked' | 'until_close' | 'tunnel'

export const NO_NAMES: readonly string[] = Object.freeze([])

/** One per message; whoever gets it may keep it. */
export class Http1Framing {
  bodyKind: BodyKind = 'none'
  /** The Content-Length as sent; -1 without one. A response to HEAD or a 304 may have one and still no body. */
  contentLength = -1
  /** 10 for HTTP/1.0, 11 for HTTP/1.1. */
  version: 10 | 11 = 11
  /** The peer lets the connection live after this message (RFC 9112 §9.3). */
  keepAlive = true
  /**
   * The `Upgrade` header in lower case when `Connection` names it as well (RFC 9110 §7.8), else ''. On a response only
   * with status 101.
   */
  upgrade = ''
  /** A request with `Expect: 100-continue` (RFC 9110 §10.1.1). */
  expectContinue = false
  /** A response with a status below 200, other than the final 101: another head follows. */
  informational = false
  /** Bytes of start line and header lines with their CRLFs and the empty line. */
  rawHeadBytes = 0
  /** Names in `Connection`, in lower case, other than `close`, `keep-alive` and `upgrade` (RFC 9110 §7.6.1). */
  nominated: readonly string[] = NO_NAMES
}

export interface Http1Limits {
  /** Start line and headers as they are on the wire; trailers have the same limit of their own. Envoy: 60 KiB. */
  readonly maxHeadBytes: number
  /** Header lines; trailers have the same limit of their own. Envoy: 100. */
  readonly maxHeaders: number
  /** Sum over all chunks of one message: extensions are overhead that nobody reads, so a flood of them is an attack. */
  readonly maxChunkExtensionBytes: number
  /** 1xx heads before one final response; each costs work and none ends the wait. */
  readonly maxInformational: number
}

export const DEFAULT_LIMITS: Http1Limits = Object.freeze({
  maxHeadBytes: 60 * 1024,
  maxHeaders: 100,
  maxChunkExtensionBytes: 16 * 1024,
  maxInformational: 64,
})

export interface Http1RequestOptions {
  /** Off: an HTTP/1.0 request is an error with status 426 (Envoy: `accept_http_10`, off by default). */
  readonly acceptHttp10: boolean
  /** Off: only the methods that Envoy knows (Envoy: `allow_custom_methods`). */
  readonly allowCustomMethods: boolean
  /** On: a request with both is read as chunked and its Content-Length dropped (Envoy: `allow_chunked_length`). */
  readonly allowChunkedLength: boolean
  /** Scheme of the connection, which becomes `:scheme`; `https` in an absolute target is refused on plain text. */
  readonly scheme: 'http' | 'https'
}

export const DEFAULT_REQUEST_OPTIONS: Http1RequestOptions = Object.freeze({
  acceptHttp10: false,
  allowCustomMethods: false,
  allowChunkedLength: false,
  scheme: 'http',
})

export interface Http1ResponseOptions {
  /** As for requests. */
  readonly allowChunkedLength: boolean
}

export const DEFAULT_RESPONSE_OPTIONS: Http1ResponseOptions = Object.freeze({ allowChunkedLength: false })

/**
 * Events come synchronously out of `execute` and `finish`, in this order per message: `onHead`, any number of `onBody`,
 * at most one `onTrailers`, `onMessageEnd`. `onError` is the last of all.
 */
export interface Http1BodyEvents {
  /** `chunk[start, end)` are bytes of the body, borrowed: valid during the call only. Never empty. */
  onBody(chunk: Buffer, start: number, end: number): void
  /** Only when at least one allowed trailer came. */
  onTrailers(trailers: HeaderMap): void
  onMessageEnd(): void
  /** A constant value per kind of mistake: compare `error.kind`, keep it as long as you like. */
  onError(error: Http1Error): void
}

export interface Http1RequestEvents extends Http1BodyEvents {
  onHead(headers: RequestHeaders, framing: Http1Framing): void
}

export interface Http1ResponseEvents extends Http1BodyEvents {
  /** Also for each informational response (`framing.informational`), which has no body and no `onMessageEnd`. */
  onHead(headers: ResponseHeaders, framing: Http1Framing): void
}
