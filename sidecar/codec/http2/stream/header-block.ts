/**
 * From the fields of a header block to the headers of a message: pseudo-headers into their places, cookie crumbs joined
 * (RFC 9113 §8.2.3), and the rules checked that make a message malformed (§8.1 to §8.3), in one pass.
 *
 * Requests and responses come out in the shape that HTTP/1.1 gives them, so that nobody above has to know which it was:
 * an extended CONNECT (RFC 8441) is a GET with `upgrade`, its acceptance a 101.
 */

import { HeaderMap, RequestHeaders, ResponseHeaders } from '../../header-map.ts'
import type { Http2Counters, Http2Options } from '../contract.ts'
import type { FieldReceiver } from '../hpack/decoder.ts'
import { FieldKind, type FieldName } from '../hpack/field-name.ts'

/** Why a block makes no message. */
export const BlockProblem = {
  None: 0,
  InvalidField: 1,
  InvalidMessage: 2,
  ListTooLarge: 3,
  TooManyHeaders: 4,
  Underscore: 5,
} as const
export type BlockProblem = (typeof BlockProblem)[keyof typeof BlockProblem]

/** What every block is checked for. One object serves many blocks: it is read out before the next is decoded. */
abstract class HeaderBlock implements FieldReceiver {
  problem: BlockProblem = BlockProblem.None
  /** -1: there is none. */
  contentLength = -1
  protected list: string[] = []
  protected sawRegular = false
  protected options!: Http2Options
  #counters!: Http2Counters
  /** Index of the cookie in {@link list}, -1 without one. */
  #cookie = -1
  #count = 0
  #bytes = 0
  #maxBytes = 0
  #maxCount = 0

  start(options: Http2Options, counters: Http2Counters): void {
    this.options = options
    this.#counters = counters
    this.problem = BlockProblem.None
    this.contentLength = -1
    this.list = []
    this.sawRegular = false
    this.#cookie = -1
    this.#count = 0
    this.#bytes = 0
    this.#maxBytes = options.maxHeaderBytes
    this.#maxCount = options.maxHeaders
  }

  onField(name: FieldName, value: string, bad: boolean): void {
    if (this.problem !== BlockProblem.None) return
    const text = name.name
    this.#bytes += text.length + value.length
    if (++this.#count > this.#maxCount) {
      this.problem = BlockProblem.TooManyHeaders
      return
    }
    if (this.#bytes > this.#maxBytes) {
      this.problem = BlockProblem.ListTooLarge
      return
    }
    if (bad) {
      this.problem = BlockProblem.InvalidField
      return
    }
    const kind = name.kind
    if (kind === FieldKind.Regular) {
      this.sawRegular = true
      if (name.hasUnderscore && !this.#takesUnderscore()) return
      this.list.push(text, value)
      return
    }
    if (kind <= FieldKind.UnknownPseudo) {
      // §8.3: all of them before the others, each once; which ones depends on the message.
      if (this.sawRegular || !this.onPseudo(kind, value)) this.problem = BlockProblem.InvalidField
      return
    }
    this.sawRegular = true
    switch (kind) {
      case FieldKind.Cookie:
        if (this.#cookie >= 0) {
          this.list[this.#cookie] += `; ${value}`
          return
        }
        this.#cookie = this.list.push(text, value) - 1
        return
      case FieldKind.ContentLength:
        // Two of them, be they equal, are two readings waiting to differ.
        if (this.contentLength >= 0) {
          this.problem = BlockProblem.InvalidField
          return
        }
        this.contentLength = Number(value)
        this.list.push(text, String(this.contentLength))
        return
      case FieldKind.Host:
        if (!this.onHost(value)) this.problem = BlockProblem.InvalidField
        return
      default:
        this.list.push(text, value)
    }
  }

  /** False: it is not of this message, or came before. */
  protected abstract onPseudo(kind: FieldKind, value: string): boolean
  protected abstract onHost(value: string): boolean

  /** A name with an underscore came: whether it is kept. Clusters allow them, so that this is about requests. */
  #takesUnderscore(): boolean {
    switch (this.options.underscoresInHeaders) {
      case 'ALLOW':
        return true
      case 'DROP_HEADER':
        this.#counters.dropped_headers_with_underscores++
        return false
      case 'REJECT_REQUEST':
        this.#counters.requests_rejected_with_underscores_in_headers++
        this.problem = BlockProblem.Underscore
        return false
    }
  }
}

export class RequestBlock extends HeaderBlock {
  #method = ''
  #scheme = ''
  #path = ''
  #authority = ''
  #protocol = ''
  #host = ''

  override start(options: Http2Options, counters: Http2Counters): void {
    super.start(options, counters)
    this.#method = ''
    this.#scheme = ''
    this.#path = ''
    this.#authority = ''
    this.#protocol = ''
    this.#host = ''
  }

  /** The request, after the whole block; undefined: see {@link problem}. */
  finish(endStream: boolean): RequestHeaders | undefined {
    if (this.problem === BlockProblem.None && !this.#fits(endStream)) this.problem = BlockProblem.InvalidMessage
    return this.problem === BlockProblem.None ? this.read() : undefined
  }

  /** As far as it could be read. */
  read(): RequestHeaders {
    const { list } = this
    const authority = this.#authority === '' ? this.#host : this.#authority
    if (this.#protocol === '') return new RequestHeaders(this.#method, this.#path, authority, this.#scheme, list)
    list.push('connection', 'upgrade', 'upgrade', this.#protocol)
    const headers = new RequestHeaders('GET', this.#path, authority, this.#scheme, list)
    headers.protocol = this.#protocol
    return headers
  }

  /** §8.3.1, §8.5 and RFC 8441 §4: what must be there and what must not. */
  #fits(endStream: boolean): boolean {
    if (this.contentLength > 0 && endStream) return false
    if (this.#method === 'CONNECT') {
      if (this.#protocol === '') {
        if (this.#scheme !== '' || this.#path !== '' || this.#authority === '') return false
        this.#scheme = this.options.scheme
        return true
      }
    } else if (this.#protocol !== '') return false
    if (this.#method === '' || this.#scheme === '' || this.#path === '') return false
    if (this.#authority === '' && this.#host === '') return false
    if (this.#path.charCodeAt(0) === SLASH) return true
    // Other schemes may have other paths, as nghttp2 reads it.
    if (this.#scheme !== 'http' && this.#scheme !== 'https') return true
    return this.#path === '*' && this.#method === 'OPTIONS'
  }

  protected override onPseudo(kind: FieldKind, value: string): boolean {
    switch (kind) {
      case FieldKind.Method:
        if (this.#method !== '') return false
        this.#method = value
        return true
      case FieldKind.Scheme:
        if (this.#scheme !== '') return false
        this.#scheme = value === 'http' || value === 'https' ? value : value.toLowerCase()
        return true
      case FieldKind.Path:
        if (this.#path !== '') return false
        this.#path = value
        return true
      case FieldKind.Authority:
        if (this.#authority !== '') return false
        this.#authority = value
        return true
      case FieldKind.Protocol:
        if (this.#protocol !== '' || !this.options.allowConnect) return false
        this.#protocol = value.toLowerCase()
        return true
      default:
        return false
    }
  }

  /**
   * Host serves where `:authority` is missing, and goes where it is not (Envoy; §8.3.1 would have both agree, but since
   * nobody behind us sees the other one, it can mislead nobody).
   */
  protected override onHost(value: string): boolean {
    if (this.#host !== '') return false
    this.#host = value
    return true
  }
}

export class ResponseBlock extends HeaderBlock {
  status = 0

  override start(options: Http2Options, counters: Http2Counters): void {
    super.start(options, counters)
    this.status = 0
  }

  /** The response, after the whole block; undefined: see {@link problem}. 101 does not exist in HTTP/2 (§8.6). */
  finish(endStream: boolean): ResponseHeaders | undefined {
    if (this.problem !== BlockProblem.None) return undefined
    if (this.status === 0 || this.status === 101 || (this.status < 200 && endStream)) {
      this.problem = BlockProblem.InvalidMessage
      return undefined
    }
    return new ResponseHeaders(this.status, this.list)
  }

  protected override onPseudo(kind: FieldKind, value: string): boolean {
    if (kind !== FieldKind.Status || this.status !== 0) return false
    this.status = Number(value)
    return true
  }

  protected override onHost(value: string): boolean {
    this.list.push('host', value)
    return true
  }
}

export class TrailerBlock extends HeaderBlock {
  finish(): HeaderMap | undefined {
    return this.problem === BlockProblem.None ? new HeaderMap(this.list) : undefined
  }

  /** §8.1: trailers have none. */
  protected override onPseudo(): boolean {
    return false
  }

  protected override onHost(value: string): boolean {
    this.list.push('host', value)
    return true
  }
}

/** For blocks that nobody wants but the tables. */
export const DISCARD: FieldReceiver = { onField(): void {} }

const SLASH = 0x2f
