/**
 * HTTP/1.1 parsers (RFC 9112): bytes in, events out, no copy of what it can point at.
 *
 * Any split of the input, down to one byte at a time, gives the same events at the same offsets. Parsing stops after
 * each message, so that the connection can apply back-pressure before the next pipelined request.
 *
 * Stricter than the RFC on purpose: a message with both Content-Length and Transfer-Encoding is refused (§6.1,
 * request smuggling), and so are a bare LF (§2.2), a transfer coding other than `chunked`, white space around a chunk
 * size. Trailers are never merged into headers (RFC 9110 §6.5.1).
 *
 * What is not done here: no header is removed but Host (and what contradicts the framing); hop-by-hop headers are named
 * in `framing.nominated` and left to the connection manager, as is the body of an `Expect: 100-continue` request.
 */
import { invariant } from '../../base/invariant.ts'
import { type Http1Error, Http1Errors } from './error.ts'
import {
  type BodyKind,
  DEFAULT_LIMITS,
  DEFAULT_REQUEST_OPTIONS,
  DEFAULT_RESPONSE_OPTIONS,
  type Http1Limits,
  type Http1RequestEvents,
  type Http1RequestOptions,
  type Http1ResponseEvents,
  type Http1ResponseOptions,
} from './framing.ts'
import { MessageParser } from './message-parser.ts'
import { RequestHead, readRequestHead } from './request-head.ts'
import { ResponseHead, readResponseHead } from './response-head.ts'

const requestHead = new RequestHead()
const responseHead = new ResponseHead()

export class Http1RequestParser extends MessageParser {
  readonly #events: Http1RequestEvents
  readonly #options: Http1RequestOptions
  #bodyLength = 0
  /** From a head to the end of its message. */
  #inMessage = false

  constructor(
    events: Http1RequestEvents,
    options: Partial<Http1RequestOptions> = {},
    limits: Partial<Http1Limits> = {},
  ) {
    super('request', events, { ...DEFAULT_LIMITS, ...limits })
    this.#events = events
    this.#options = { ...DEFAULT_REQUEST_OPTIONS, ...options }
  }

  override get idle(): boolean {
    return !this.#inMessage && this.head.untouched
  }

  protected override get bodyLength(): number {
    return this.#bodyLength
  }

  protected override beforeHead(): undefined {}

  protected override takeHead(): BodyKind | Http1Error {
    const error = readRequestHead(this.head, this.#options, requestHead)
    if (error !== undefined) return error
    const framing = requestHead.framing!
    this.#bodyLength = framing.contentLength
    this.#inMessage = true
    this.#events.onHead(requestHead.headers!, framing)
    return framing.bodyKind
  }

  protected override endBeforeHead(): Http1Error {
    return Http1Errors.endedBeforeMessage
  }

  protected override messageEnds(): void {
    this.#inMessage = false
  }
}

export class Http1ResponseParser extends MessageParser {
  readonly #events: Http1ResponseEvents
  readonly #options: Http1ResponseOptions
  #bodyLength = 0
  #method = ''
  #upgrade = false
  #informational = 0

  constructor(
    events: Http1ResponseEvents,
    options: Partial<Http1ResponseOptions> = {},
    limits: Partial<Http1Limits> = {},
  ) {
    super('response', events, { ...DEFAULT_LIMITS, ...limits })
    this.#events = events
    this.#options = { ...DEFAULT_RESPONSE_OPTIONS, ...options }
  }

  /** The request that the next response answers; `upgrade` when it asked for one, so that 101 may come. */
  expectResponse(method: string, upgrade = false): void {
    invariant(this.idle, 'one response at a time')
    this.#method = method
    this.#upgrade = upgrade
    this.#informational = 0
  }

  override get idle(): boolean {
    return this.#method === ''
  }

  protected override get bodyLength(): number {
    return this.#bodyLength
  }

  protected override beforeHead(): Http1Error | undefined {
    return this.#method === '' ? Http1Errors.unexpectedResponse : undefined
  }

  protected override takeHead(): BodyKind | Http1Error | undefined {
    const error = readResponseHead(this.head, this.#options, this.#method, this.#upgrade, responseHead)
    if (error !== undefined) return error
    const framing = responseHead.framing!
    this.#bodyLength = framing.contentLength
    if (framing.informational && ++this.#informational > this.limits.maxInformational) {
      return Http1Errors.tooManyInformational
    }
    this.#events.onHead(responseHead.headers!, framing)
    return framing.informational ? undefined : framing.bodyKind
  }

  protected override endBeforeHead(): Http1Error {
    return this.#informational > 0 ? Http1Errors.endedInHead : Http1Errors.endedBeforeMessage
  }

  protected override messageEnds(): void {
    this.#method = ''
  }
}
