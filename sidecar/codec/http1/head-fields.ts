/**
 * From the marks of a scanned head to its header list, noting on the way what the codec itself must understand: lengths,
 * codings, Connection, Upgrade, Host. Values are slices of one string per head.
 */
import { HeaderMap } from '../header-map.ts'
import { isAuthority } from './characters.ts'
import { type Http1Error, Http1Errors } from './error.ts'
import { type Http1Framing, NO_NAMES } from './framing.ts'
import { type HeadScanner, MARKS } from './head-scanner.ts'
import { knownNameOf, NameKind } from './header-names.ts'

const TAB = 0x09
const SP = 0x20
const COLON = 0x3a
/** Envoy's bound on names in one Connection header; each costs a pass over the headers. */
const MAX_NOMINATED = 10
const MAX_NOMINATED_BY_RESPONSE = 100

/** What one head said; one object re-used for every head, since reading it out never waits. */
export class HeadFields {
  /** -1: none. */
  contentLength = -1
  /** The value stands in the list with leading zeros. */
  oddLength = false
  chunked = false
  hosts = 0
  host = ''
  connection: string | undefined
  upgrade = ''
  expectContinue = false
  close = false

  /** Fills `list` from the scanner's marks; `text` is the head. Answers the mistake, if there is one. */
  read(scanner: HeadScanner, text: string, list: string[], isRequest: boolean): Http1Error | undefined {
    this.contentLength = -1
    this.oddLength = false
    this.chunked = false
    this.hosts = 0
    this.host = ''
    this.connection = undefined
    this.upgrade = ''
    this.expectContinue = false
    this.close = false
    let error: Http1Error | undefined
    let codings = 0
    const { source, offset, marks, names, headers } = scanner
    for (let header = 0; header < headers; header++) {
      const mark = header * MARKS
      const known = names[header] ?? knownNameOf(source, offset + marks[mark]!, offset + marks[mark + 1]!)
      const valueStart = marks[mark + 2]!
      let valueEnd = marks[mark + 3]!
      let last = 0
      while (valueEnd > valueStart && ((last = source[offset + valueEnd - 1]!) === SP || last === TAB)) valueEnd--
      const value = text.slice(valueStart, valueEnd)
      if (known.kind !== NameKind.Other) {
        switch (known.kind) {
          case NameKind.Host:
            if (!isRequest) break
            this.hosts++
            this.host = value
            if (!isAuthority(source, offset + valueStart, offset + valueEnd)) error ??= Http1Errors.badHost
            continue
          case NameKind.ContentLength: {
            const length = parseLength(value)
            if (length < 0) error ??= Http1Errors.badContentLength
            else if (this.contentLength >= 0) error ??= Http1Errors.severalContentLengths
            else {
              this.contentLength = length
              this.oddLength = value.length > 1 && value.charCodeAt(0) === 0x30
            }
            break
          }
          case NameKind.TransferEncoding:
            codings++
            this.chunked = value === 'chunked' || value.toLowerCase() === 'chunked'
            // Two lines are one list (RFC 9110 §5.3), and no list but "chunked" is understood.
            if (codings > 1) this.chunked = false
            break
          case NameKind.Connection:
            this.connection = this.connection === undefined ? value : `${this.connection},${value}`
            break
          case NameKind.ProxyConnection:
            // No standard; Envoy heeds it, and to close is the safe reading.
            if (/\bclose\b/i.test(value)) this.close = true
            break
          case NameKind.Upgrade:
            this.upgrade = this.upgrade === '' ? value.toLowerCase() : `${this.upgrade},${value.toLowerCase()}`
            break
          case NameKind.Expect:
            if (value.toLowerCase() === '100-continue') this.expectContinue = true
            break
        }
      }
      list.push(known.name, value)
    }
    if (error !== undefined) return error
    // Both headers are the worse mistake, and the one that Envoy tells.
    if (codings > 0 && !this.chunked) {
      return this.contentLength >= 0 ? Http1Errors.lengthAndChunked : Http1Errors.badTransferEncoding
    }
    if (this.oddLength) setLength(list, this.contentLength)
    return undefined
  }

  /**
   * Reads Connection into `framing`; `upgrade` there too, if Connection names it. Only requests are refused for what it
   * names, as in Envoy: there it decides for whom the request passes.
   */
  readConnection(framing: Http1Framing, isRequest: boolean): Http1Error | undefined {
    const connection = this.connection
    let close = this.close
    let keepAlive = false
    if (connection !== undefined) {
      if (connection === 'keep-alive') keepAlive = true
      else if (connection === 'close') close = true
      else {
        let nominated: string[] | undefined
        for (const part of connection.toLowerCase().split(',')) {
          const token = part.trim()
          if (token === '') continue
          if (token === 'close') close = true
          else if (token === 'keep-alive') keepAlive = true
          else if (token === 'upgrade') {
            // h2c by upgrade is not offered (RFC 9113 §3.1 dropped it), so the request goes on as it is.
            if (this.upgrade !== 'h2c') framing.upgrade = this.upgrade
          } else if (NOT_NOMINATED.has(token)) continue
          else if (token.charCodeAt(0) === COLON || NEVER_NOMINATED.has(token)) {
            if (isRequest) return Http1Errors.badConnection
          } else {
            nominated ??= []
            // A response that names more than it can have headers only wants to cost time.
            if (nominated.length < MAX_NOMINATED_BY_RESPONSE) nominated.push(token)
          }
        }
        if (nominated !== undefined) {
          if (isRequest && nominated.length > MAX_NOMINATED) return Http1Errors.badConnection
          framing.nominated = nominated
        } else framing.nominated = NO_NAMES
      }
    }
    framing.keepAlive = !close && (framing.version === 11 || keepAlive)
    return undefined
  }
}

/** Whoever has these removed on the way changes whom the request is for (Envoy refuses them as well). */
const NEVER_NOMINATED = new Set(['host', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto'])
/** Not for Connection to remove (RFC 9110 §7.6.1), and the framing was read from them already. */
const NOT_NOMINATED = new Set(['content-length', 'transfer-encoding', 'connection'])

/** Digits only and below 2^53; -1 otherwise. `+5`, ` 5`, `0x5`, `5, 5` and the empty value are no lengths. */
function parseLength(value: string): number {
  let length = 0
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) return -1
    length = length * 10 + digit
    if (length > Number.MAX_SAFE_INTEGER) return -1
  }
  return value.length === 0 ? -1 : length
}

/** `005` is legal and read as octal by some: it goes on as `5`. */
function setLength(list: string[], length: number): void {
  for (let i = 0; i < list.length; i += 2) if (list[i] === 'content-length') list[i + 1] = String(length)
}

/** The trailers of a scanned trailer section, those left out that no trailer may be; undefined when none is left. */
export function readTrailers(scanner: HeadScanner): HeaderMap | undefined {
  const { source, offset, marks, names, headers } = scanner
  let list: string[] | undefined
  for (let header = 0; header < headers; header++) {
    const mark = header * MARKS
    const known = names[header] ?? knownNameOf(source, offset + marks[mark]!, offset + marks[mark + 1]!)
    // RFC 9110 §6.5.1: ignored, not refused, as Envoy does; they are not passed on either, so they can mislead nobody.
    if (known.kind !== NameKind.Other) continue
    list ??= []
    list.push(known.name, source.latin1Slice(offset + marks[mark + 2]!, offset + marks[mark + 3]!).trimEnd())
  }
  return list === undefined ? undefined : new HeaderMap(list)
}

/** Takes every entry of `name` out of `list`. */
export function removeName(list: string[], name: string): void {
  let kept = 0
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] === name) continue
    list[kept++] = list[i]!
    list[kept++] = list[i + 1]!
  }
  list.length = kept
}
