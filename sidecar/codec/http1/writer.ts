/**
 * Writes HTTP/1.1 message heads and chunked framing as latin1 strings.
 */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../header-map.ts'

/** How the writer frames a body, and which header says so. */
export const WriteFraming = {
  /** No body and no header about it: GET without body, 1xx, 204, 304 without length, CONNECT. */
  None: 0,
  /** No body, said by an added `content-length: 0`. */
  Empty: 1,
  /** The headers carry the content-length (also the answer to HEAD, which then has no body). */
  Length: 2,
  /** `transfer-encoding: chunked` is added, a content-length left out. */
  Chunked: 3,
  /** Until the connection closes: a response to HTTP/1.0, or after an upgrade. */
  Raw: 4,
  /** Answer to HEAD whose GET would be chunked: the header is there, the body is not. */
  ChunkedWithoutBody: 5,
} as const
export type WriteFraming = (typeof WriteFraming)[keyof typeof WriteFraming]

/** Room for `proper_case_words` and preserved case: gives the name as it shall stand on the wire. */
export interface HeaderCase {
  format(name: string): string
}

export declare function requestFraming(headers: RequestHeaders, endStream: boolean): WriteFraming
export declare function responseFraming(headers: ResponseHeaders, endStream: boolean, requestMethod: string, version?: 10 | 11): WriteFraming
/** latin1 text of the head with the empty line. Throws InvariantError when a name or value holds CR, LF or NUL. */
export declare function writeRequestHead(headers: RequestHeaders, framing: WriteFraming, headerCase?: HeaderCase): string
export declare function writeResponseHead(headers: ResponseHeaders, framing: WriteFraming, version?: 10 | 11, headerCase?: HeaderCase): string
/** `HTTP/1.1 100 Continue\r\n\r\n` */
export declare const CONTINUE: string
/** `1f4\r\n` before, CHUNK_END after the bytes. */
export declare function chunkHeader(bytes: number): string
export declare const CHUNK_END: string
export declare const LAST_CHUNK: string
/** Last chunk with trailers: `0\r\n…\r\n`. */
export declare function writeTrailers(trailers: HeaderMap, headerCase?: HeaderCase): string
export declare function reasonPhrase(status: number): string
