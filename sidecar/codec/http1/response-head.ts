/** The head of a response, and how its body is framed, which depends on what it answers (RFC 9112 §6.3). */
import { ResponseHeaders } from '../header-map.ts'
import { type Http1Error, Http1Errors } from './error.ts'
import { Http1Framing, type Http1ResponseOptions } from './framing.ts'
import { HeadFields, removeName } from './head-fields.ts'
import type { HeadScanner } from './head-scanner.ts'

const fields = new HeadFields()

export class ResponseHead {
  headers: ResponseHeaders | undefined
  framing: Http1Framing | undefined
}

/** `method` is that of the request, `upgrade` whether it asked for one. Fills `into`, or answers the mistake. */
export function readResponseHead(
  scanner: HeadScanner,
  options: Http1ResponseOptions,
  method: string,
  upgrade: boolean,
  into: ResponseHead,
): Http1Error | undefined {
  const { source, offset, status } = scanner
  const text = source.latin1Slice(offset, offset + scanner.length)
  const list: string[] = []
  let error = fields.read(scanner, text, list, false)
  if (error !== undefined) return error

  const framing = new Http1Framing()
  framing.version = scanner.version
  framing.rawHeadBytes = scanner.length
  framing.contentLength = fields.contentLength
  error = fields.readConnection(framing, false)
  if (error !== undefined) return error
  if (status !== 101) framing.upgrade = ''

  if (fields.chunked) {
    if (status < 200 || status === 204) return Http1Errors.transferEncodingNotAllowed
    if (scanner.version === 10) return Http1Errors.transferEncodingInHttp10
    if (fields.contentLength >= 0) {
      if (!options.allowChunkedLength) return Http1Errors.lengthAndChunked
      removeName(list, 'content-length')
      framing.contentLength = -1
    }
  }
  if (status < 200 || status === 204) {
    // A length of 0 is wrong as well, and harmless: Envoy drops it.
    if (fields.contentLength > 0) return Http1Errors.contentLengthNotAllowed
    if (fields.contentLength === 0) removeName(list, 'content-length')
    framing.contentLength = -1
  }
  if (status === 101) {
    if (!upgrade) return Http1Errors.unexpectedUpgrade
    framing.bodyKind = 'tunnel'
  } else if (status < 200) framing.informational = true
  else if (method === 'CONNECT' && status < 300) {
    // RFC 9110 §9.3.6: neither header means anything here, and neither may mislead whoever comes next.
    if (fields.chunked) removeName(list, 'transfer-encoding')
    if (fields.contentLength >= 0) removeName(list, 'content-length')
    framing.contentLength = -1
    framing.bodyKind = 'tunnel'
  } else if (method === 'HEAD' || status === 204 || status === 304) framing.bodyKind = 'none'
  else if (fields.chunked) framing.bodyKind = 'chunked'
  else if (fields.contentLength >= 0) framing.bodyKind = fields.contentLength > 0 ? 'length' : 'none'
  else framing.bodyKind = 'until_close'
  if (framing.bodyKind === 'until_close' || framing.bodyKind === 'tunnel') framing.keepAlive = false

  into.headers = new ResponseHeaders(status, list)
  into.framing = framing
  return undefined
}
