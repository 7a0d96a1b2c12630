/**
 * Writes heads and chunked framing of HTTP/1.1 as latin1 strings, so that a head and a small body can go out as one.
 *
 * The codec alone says how a body is framed: whatever `transfer-encoding` the headers carry is left out, and a
 * `content-length` where it would contradict. A name or value with CR, LF or NUL never leaves: it would end the head early
 * and let whoever chose it write a message of his own (response splitting). Values off the wire cannot hold one, so this
 * is our own bug and throws.
 */
import { invariant } from '../../base/invariant.ts'
import '../latin1.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../header-map.ts'
import { MAX_KNOWN_LENGTH } from './header-names.ts'
import { reasonPhrase } from './reason-phrases.ts'

export { reasonPhrase }

/** How a body is framed, and which header says so. */
export const WriteFraming = {
  /** No body and no header about it: GET without body, 1xx, 204, CONNECT. */
  None: 0,
  /** No body, said by an added `content-length: 0`. */
  Empty: 1,
  /** The headers carry the content-length: a body of that length, or none in the answer to HEAD and with 304. */
  Length: 2,
  /** `transfer-encoding: chunked` is added and a content-length left out. */
  Chunked: 3,
  /** Raw bytes until the connection ends: a body to an HTTP/1.0 downstream, or a tunnel. No header about it. */
  Raw: 4,
  /** Answer to a HEAD whose GET would be chunked: the header without a body. */
  ChunkedNoBody: 5,
} as const
export type WriteFraming = (typeof WriteFraming)[keyof typeof WriteFraming]

/** Names as they shall stand on the wire: room for `proper_case_words` and preserved case. */
export interface HeaderCase {
  format(name: string): string
}

/** Without a body these get no `content-length: 0` from Envoy (measured). */
const BODILESS_METHODS = new Set(['GET', 'HEAD', 'DELETE', 'TRACE'])

/** How the body of this request goes to an HTTP/1.1 upstream; `endStream`: there is none. */
export function requestFraming(headers: RequestHeaders, endStream: boolean): WriteFraming {
  if (headers.method === 'CONNECT') return WriteFraming.Raw
  if (headers.has('content-length')) return WriteFraming.Length
  if (headers.protocol !== '') return WriteFraming.Raw
  if (!endStream) return WriteFraming.Chunked
  return BODILESS_METHODS.has(headers.method) ? WriteFraming.None : WriteFraming.Empty
}

/** How the body of this response goes to the downstream that sent `requestMethod` in `version`. */
export function responseFraming(
  headers: ResponseHeaders,
  endStream: boolean,
  requestMethod: string,
  version: 10 | 11 = 11,
): WriteFraming {
  const { status } = headers
  if (status === 101 || (requestMethod === 'CONNECT' && status >= 200 && status < 300)) return WriteFraming.Raw
  if (status < 200 || status === 204) return WriteFraming.None
  if (headers.has('content-length')) return WriteFraming.Length
  if (status === 304) return WriteFraming.None
  // Envoy's guess at what a GET would get (measured): it may be wrong where that has no body, and harms nobody.
  if (requestMethod === 'HEAD') return version === 10 ? WriteFraming.None : WriteFraming.ChunkedNoBody
  if (endStream) return WriteFraming.Empty
  return version === 10 ? WriteFraming.Raw : WriteFraming.Chunked
}

/** The head with its empty line. Throws InvariantError when a part holds CR, LF or NUL, or a target a space. */
export function writeRequestHead(headers: RequestHeaders, framing: WriteFraming, headerCase?: HeaderCase): string {
  const target = headers.method === 'CONNECT' ? headers.authority : headers.path
  invariant(!SPLITS_REQUEST_LINE.test(headers.method) && !SPLITS_REQUEST_LINE.test(target), WHY)
  invariant(!SPLITS_REQUEST_LINE.test(headers.authority), WHY)
  const start = `${headers.method} ${target} HTTP/1.1${lineStart('host', headerCase)}${headers.authority}`
  return writeFields(start, headers.list, framing, headerCase)
}

/** The head with its empty line, of a final or an informational response. Throws as {@link writeRequestHead}. */
export function writeResponseHead(
  headers: ResponseHeaders,
  framing: WriteFraming,
  version: 10 | 11 = 11,
  headerCase?: HeaderCase,
): string {
  const start = (version === 11 ? STATUS_LINES[headers.status] : undefined) ?? statusLine(headers.status, version)
  return writeFields(start, headers.list, framing, headerCase)
}

/** What answers `Expect: 100-continue`. */
export const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'

/** Goes before the data of a chunk of that many bytes, {@link CHUNK_END} after it. */
export function chunkHeader(bytes: number): string {
  invariant(bytes > 0, 'a chunk of size 0 would end the body')
  return `${bytes.toString(16)}\r\n`
}
export const CHUNK_END = '\r\n'
/** Ends a chunked body without trailers. */
export const LAST_CHUNK = '0\r\n\r\n'

/** Ends a chunked body with trailers. Throws as {@link writeRequestHead}. */
export function writeTrailers(trailers: HeaderMap, headerCase?: HeaderCase): string {
  return writeFields('0', trailers.list, WriteFraming.None, headerCase)
}

/** By status, made once: a status line costs an index. */
const STATUS_LINES: readonly string[] = Array.from({ length: 600 }, (_, status) => statusLine(status, 11))

function statusLine(status: number, version: 10 | 11): string {
  invariant(Number.isInteger(status) && status >= 0 && status <= 999, 'a status has three digits')
  return `HTTP/1.${version === 11 ? 1 : 0} ${String(status).padStart(3, '0')} ${reasonPhrase(status)}`
}

const WHY = 'no CR, LF or NUL can be in a header: a codec refuses them and filters make none'
/** What is written as latin1 loses its upper byte: U+010A would become LF. So these take what is wider as well. */
const SPLITS_REQUEST_LINE = /[\r\n\0 \u0100-\uffff]/
const SPLITS_NAME = /[\r\n\0: \u0100-\uffff]/
const SPLITS_VALUE = /[\r\n\0\u0100-\uffff]/
const SPLITS_LINE = /[\r\n\0]/

/** A value from the configuration may hold any character: it goes out in UTF-8, as it would from Envoy. */
function wideValue(value: string): string {
  invariant(!SPLITS_LINE.test(value), WHY)
  return Buffer.from(value, 'utf8').latin1Slice()
}

/**
 * `\r\nname: ` by name, for names that were checked once. Bounded, since names come from the wire.
 * test/bench/codec-http1.bench.ts: a GET with 6 headers is written in 0.84 µs with this, in 1.2 when each
 * name is checked and joined anew.
 */
const MAX_LINE_STARTS = 2048
const lineStarts = new Map<string, string>()

function lineStart(name: string, headerCase: HeaderCase | undefined): string {
  if (headerCase === undefined) {
    const known = lineStarts.get(name)
    if (known !== undefined) return known
  }
  const cased = headerCase === undefined ? name : headerCase.format(name)
  invariant(!SPLITS_NAME.test(cased), WHY)
  const start = `\r\n${cased}: `
  if (headerCase === undefined && name.length <= MAX_KNOWN_LENGTH) {
    // Started anew when full, so that names made up by a peer push the usual ones out only for a moment.
    if (lineStarts.size >= MAX_LINE_STARTS) lineStarts.clear()
    lineStarts.set(name, start)
  }
  return start
}

/** `out` is the start line without its CRLF. */
function writeFields(out: string, list: readonly string[], framing: WriteFraming, headerCase?: HeaderCase): string {
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!
    let value = list[i + 1]!
    if (name === 'transfer-encoding' || (name === 'content-length' && framing !== WriteFraming.Length)) continue
    if (SPLITS_VALUE.test(value)) value = wideValue(value)
    out += lineStart(name, headerCase)
    out += value
  }
  if (framing === WriteFraming.Chunked || framing === WriteFraming.ChunkedNoBody) {
    return out + lineStart('transfer-encoding', headerCase) + 'chunked\r\n\r\n'
  }
  if (framing === WriteFraming.Empty) return out + lineStart('content-length', headerCase) + '0\r\n\r\n'
  return out + '\r\n\r\n'
}
