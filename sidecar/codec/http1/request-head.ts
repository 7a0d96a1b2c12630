/** The head of a request: method, the four forms of the target (RFC 9112 §3.2), Host, and how the body is framed (§6.3). */
import { RequestHeaders } from '../header-map.ts'
import { isAuthority } from './characters.ts'
import { type Http1Error, Http1Errors } from './error.ts'
import { Http1Framing, type Http1RequestOptions } from './framing.ts'
import { HeadFields, removeName } from './head-fields.ts'
import type { HeadScanner } from './head-scanner.ts'

/** Those Envoy knows without `allow_custom_methods`. */
const METHODS = new Map<string, string>()
for (const method of [
  ...['ACL', 'BIND', 'CHECKOUT', 'CONNECT', 'COPY', 'DELETE', 'GET', 'HEAD', 'LINK', 'LOCK', 'MERGE', 'MKACTIVITY'],
  ...['MKCALENDAR', 'MKCOL', 'MOVE', 'MSEARCH', 'NOTIFY', 'OPTIONS', 'PATCH', 'POST', 'PROPFIND', 'PROPPATCH', 'PURGE'],
  ...['PUT', 'REBIND', 'REPORT', 'SEARCH', 'SOURCE', 'SUBSCRIBE', 'TRACE', 'UNBIND', 'UNLINK', 'UNLOCK', 'UNSUBSCRIBE'],
]) {
  METHODS.set(method, method)
}

const fields = new HeadFields()

/** What {@link readRequestHead} found, read by the parser at once. */
export class RequestHead {
  headers: RequestHeaders | undefined
  framing: Http1Framing | undefined
}

/** Fills `into`, or answers the mistake. */
export function readRequestHead(
  scanner: HeadScanner,
  options: Http1RequestOptions,
  into: RequestHead,
): Http1Error | undefined {
  const { source, offset } = scanner
  const text = source.latin1Slice(offset, offset + scanner.length)
  const method = readMethod(source, offset, scanner.methodEnd, text, options.allowCustomMethods)
  if (method === undefined) return Http1Errors.unknownMethod
  if (scanner.version === 10 && !options.acceptHttp10) return Http1Errors.lowVersion

  const list: string[] = []
  let error = fields.read(scanner, text, list, true)
  if (error !== undefined) return error

  const target = text.slice(scanner.methodEnd + 1, scanner.targetEnd)
  const headers = new RequestHeaders(method, target, fields.host, options.scheme, list)
  // Origin-form is nearly every request.
  if (target.charCodeAt(0) !== SLASH || method === 'CONNECT') {
    error = readTarget(headers, target, source, offset + scanner.methodEnd + 1)
    if (error !== undefined) return error
  }
  if (fields.hosts !== 1) {
    // A target with its own authority does without in Envoy, too; RFC 9112 §3.2.2 lets the target win.
    if (fields.hosts > 1) return Http1Errors.severalHosts
    if (scanner.version === 11 && headers.authority === '') return Http1Errors.missingHost
  }

  const framing = new Http1Framing()
  framing.version = scanner.version
  framing.rawHeadBytes = scanner.length
  framing.contentLength = fields.contentLength
  framing.expectContinue = fields.expectContinue && scanner.version === 11
  error = fields.readConnection(framing, true)
  if (error !== undefined) return error
  headers.protocol = framing.upgrade

  if (fields.chunked) {
    if (method === 'CONNECT') return Http1Errors.badTransferEncoding
    if (scanner.version === 10) return Http1Errors.transferEncodingInHttp10
    if (fields.contentLength >= 0) {
      if (!options.allowChunkedLength) return Http1Errors.lengthAndChunked
      removeName(list, 'content-length')
      framing.contentLength = -1
    }
    framing.bodyKind = 'chunked'
  } else if (method === 'CONNECT') {
    if (fields.contentLength > 0) return Http1Errors.bodyOfConnect
    if (fields.contentLength === 0) removeName(list, 'content-length')
    framing.contentLength = -1
    framing.bodyKind = 'tunnel'
  } else if (fields.contentLength > 0) framing.bodyKind = 'length'
  into.headers = headers
  into.framing = framing
  return undefined
}

function readMethod(
  source: Buffer,
  offset: number,
  length: number,
  text: string,
  allowCustom: boolean,
): string | undefined {
  // The two that are nearly all need no string made.
  if (length === 3 && source[offset] === 0x47 && source[offset + 1] === 0x45 && source[offset + 2] === 0x54)
    return 'GET'
  const method = text.slice(0, length)
  return METHODS.get(method) ?? (allowCustom ? method : undefined)
}

/** Every form but origin-form; the target's bytes begin at `source[start]`. */
function readTarget(headers: RequestHeaders, target: string, source: Buffer, start: number): Http1Error | undefined {
  if (headers.method === 'CONNECT') {
    const colon = target.lastIndexOf(':')
    if (colon <= 0 || colon === target.length - 1 || !isAuthority(source, start, start + target.length)) {
      return Http1Errors.badConnectTarget
    }
    headers.authority = target
    headers.path = ''
    return undefined
  }
  if (target === '*') return headers.method === 'OPTIONS' ? undefined : Http1Errors.badAsterisk
  const colon = target.indexOf('://')
  if (colon <= 0) return Http1Errors.badTarget
  const scheme = target.slice(0, colon).toLowerCase()
  if (scheme !== 'http' && scheme !== 'https') {
    return /^[a-z][a-z0-9+.-]*$/.test(scheme) ? Http1Errors.badScheme : Http1Errors.badTarget
  }
  let end = colon + 3
  for (let code = 0; end < target.length; end++) {
    if ((code = target.charCodeAt(end)) === SLASH || code === QUESTION || code === HASH) break
  }
  const authority = target.slice(colon + 3, end)
  if (authority === '' || authority.charCodeAt(0) === COLON || !isAuthority(source, start + colon + 3, start + end)) {
    return Http1Errors.badAbsoluteTarget
  }
  headers.scheme = scheme
  headers.authority = authority
  // An empty path is sent on as "/" (RFC 9112 §3.2.1); Envoy does so for OPTIONS as well.
  const path = target.slice(end)
  headers.path = path.charCodeAt(0) === SLASH ? path : `/${path}`
  return undefined
}

const SLASH = 0x2f
const QUESTION = 0x3f
const HASH = 0x23
const COLON = 0x3a
