/**
 * HTTP/1.1 parsers (RFC 9112): bytes in, events out, no copy of what it can point at.
 */
import type { Http1RequestEvents, Http1RequestOptions, Http1ResponseEvents, Http1ResponseOptions, Http1Limits } from './framing.ts'

/**
 * Both parsers:
 *
 * execute(chunk, start, end): consumes, calls events, returns the offset up to which it consumed. It stops after each
 * complete message (for a response: after each final one); call it again for the next. After an error it returns `start`.
 * pause(): from inside an event: `execute` returns after this event; the next call of `execute` goes on. An end that is
 * already known (no body; the last byte of a Content-Length) is still told at once.
 * finish(): the peer's FIN.
 */
export declare class Http1RequestParser {
  constructor(events: Http1RequestEvents, options?: Partial<Http1RequestOptions>, limits?: Partial<Http1Limits>)
  execute(chunk: Buffer, start: number, end: number): number
  finish(): void
  pause(): void
  /** From inside onHead: what follows the head is raw, delivered by onBody until finish(), which gives onMessageEnd. CONNECT does so by itself. */
  tunnel(): void
  /** Nothing of the next message has been read (leading CRLFs aside). */
  get idle(): boolean
}

export declare class Http1ResponseParser {
  constructor(events: Http1ResponseEvents, options?: Partial<Http1ResponseOptions>, limits?: Partial<Http1Limits>)
  /** Which request the next response answers; `upgrade`: it asked for one, so 101 may come. */
  expectResponse(method: string, upgrade?: boolean): void
  execute(chunk: Buffer, start: number, end: number): number
  finish(): void
  pause(): void
  /** No response is expected, or nothing of it has come. */
  get idle(): boolean
}
