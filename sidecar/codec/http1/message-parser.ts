/**
 * What requests and responses have in common: one head after another, and bodies in their three framings
 * (RFC 9112 §6.3, §7.1).
 *
 *     Head ┬→ (no body) ─────────────────────────────────────────────┬→ end
 *          ├→ Length ────────────────────────────────────────────────┤
 *          ├→ ChunkSize → [Extension →] SizeLf ┬→ Data → DataCr → DataLf → ChunkSize …
 *          │                                   └→ Trailers ──────────┤
 *          └→ Raw (until the connection ends) ───────────────────────┘
 */
import { invariant } from '../../base/invariant.ts'
import { HEX_VALUE } from './characters.ts'
import { type Http1Error, Http1Errors } from './error.ts'
import type { BodyKind, Http1BodyEvents, Http1Limits } from './framing.ts'
import { readTrailers } from './head-fields.ts'
import { type HeadKind, HeadScanner } from './head-scanner.ts'

const Phase = {
  Head: 0,
  Length: 1,
  ChunkSize: 2,
  Extension: 3,
  SizeLf: 4,
  Data: 5,
  DataCr: 6,
  DataLf: 7,
  Trailers: 8,
  Raw: 9,
  /** After an error, the end of the input, or {@link MessageParser.close}. */
  Over: 10,
} as const
type Phase = (typeof Phase)[keyof typeof Phase]

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SP = 0x20
const SEMICOLON = 0x3b
const DEL = 0x7f

/** 2^53 has 14 hexadecimal digits; a few leading zeros are allowed, a flood of them is not. */
const MAX_SIZE_DIGITS = 16

export abstract class MessageParser {
  protected readonly limits: Http1Limits
  protected readonly head: HeadScanner
  readonly #events: Http1BodyEvents
  #trailers: HeadScanner | undefined
  #phase: Phase = Phase.Head
  #paused = false
  /** Bytes of the body, or of the chunk, still to come. */
  #remaining = 0
  #sizeDigits = 0
  #extensionBytes = 0

  constructor(kind: HeadKind, events: Http1BodyEvents, limits: Http1Limits) {
    this.limits = limits
    this.head = new HeadScanner(kind, limits)
    this.#events = events
  }

  /**
   * Consumes `chunk[start, end)`, tells the events, and returns the offset up to which it consumed: less than `end` after a
   * complete message (call again for the next one), after {@link pause}, and after an error, which is at that offset.
   * Never throws on any input. Must not be called from inside an event.
   */
  execute(chunk: Buffer, start: number, end: number): number {
    this.#paused = false
    let i = start
    while (i < end) {
      switch (this.#phase) {
        case Phase.Head: {
          const refused = this.beforeHead()
          if (refused !== undefined) {
            this.#fail(refused)
            return i
          }
          i = this.head.scan(chunk, i, end)
          if (this.head.error !== undefined) {
            this.#fail(this.head.error)
            return i
          }
          if (!this.head.done) return i
          if (this.#finishHead()) return i
          break
        }
        case Phase.Length: {
          const take = Math.min(end - i, this.#remaining)
          this.#remaining -= take
          i += take
          this.#events.onBody(chunk, i - take, i)
          if (this.#remaining === 0) {
            this.#endMessage()
            return i
          }
          break
        }
        case Phase.Data: {
          const take = Math.min(end - i, this.#remaining)
          this.#remaining -= take
          i += take
          if (this.#remaining === 0) this.#phase = Phase.DataCr
          this.#events.onBody(chunk, i - take, i)
          break
        }
        case Phase.Raw:
          this.#events.onBody(chunk, i, end)
          return end
        case Phase.Trailers: {
          const trailers = this.#trailers!
          i = trailers.scan(chunk, i, end)
          if (trailers.error !== undefined) {
            this.#fail(trailers.error)
            return i
          }
          if (!trailers.done) return i
          this.#finishTrailers(trailers)
          return i
        }
        case Phase.Over:
          return i
        default:
          i = this.#executeChunkLine(chunk, i, end)
      }
      if (this.#paused) return i
    }
    return i
  }

  /**
   * From inside an event: `execute` returns after it, and the next `execute` goes on. An end that is known already (no body,
   * or the last byte of a Content-Length) is still told at once.
   */
  pause(): void {
    this.#paused = true
  }

  /** Nothing is told any more, whatever comes. */
  close(): void {
    this.#phase = Phase.Over
  }

  /**
   * From inside `onHead`: what follows the head is not HTTP but raw bytes, told by `onBody` until `finish`, which tells
   * `onMessageEnd`. CONNECT and 101 do so by themselves.
   */
  tunnel(): void {
    invariant(this.#phase === Phase.Head, 'a tunnel begins at a head')
    this.#phase = Phase.Raw
  }

  /**
   * The input has ended (FIN). Ends a message that lasts until then, does nothing between messages, and is otherwise an
   * error that tells how much had come.
   */
  finish(): void {
    switch (this.#phase) {
      case Phase.Over:
        return
      case Phase.Head:
        if (this.idle) {
          this.#phase = Phase.Over
          return
        }
        this.#fail(this.head.untouched ? this.endBeforeHead() : Http1Errors.endedInHead)
        return
      case Phase.Raw:
        this.#phase = Phase.Over
        this.#events.onMessageEnd()
        return
      default:
        this.#fail(Http1Errors.endedInBody)
    }
  }

  /** No message is under way or awaited. */
  abstract get idle(): boolean

  /** Whether a head may begin or go on; the error if not. */
  protected abstract beforeHead(): Http1Error | undefined
  /** Reads the scanned head, calls `onHead`; answers the framing, or the error. `undefined`: another head follows. */
  protected abstract takeHead(): BodyKind | Http1Error | undefined
  protected abstract endBeforeHead(): Http1Error
  /** The message is complete, its `onMessageEnd` not yet told. */
  protected abstract messageEnds(): void
  /** The Content-Length of the head just taken. */
  protected abstract get bodyLength(): number

  /** True when `execute` has to return. */
  #finishHead(): boolean {
    const next = this.takeHead()
    if (typeof next === 'object') {
      this.#fail(next)
      return true
    }
    this.head.reset()
    // Changed from inside `onHead`: by `tunnel` or `close`.
    if (this.#phase !== Phase.Head) return this.#phase === Phase.Over
    switch (next) {
      case 'length':
        this.#remaining = this.bodyLength
        this.#phase = Phase.Length
        return false
      case 'chunked':
        this.#extensionBytes = 0
        this.#startChunk()
        return false
      case 'until_close':
      case 'tunnel':
        this.#phase = Phase.Raw
        return false
      case 'none':
        this.#endMessage()
        return true
      case undefined:
        return false
    }
  }

  #startChunk(): void {
    this.#remaining = 0
    this.#sizeDigits = 0
    this.#phase = Phase.ChunkSize
  }

  /** Everything of a chunk but its data: at most one line. */
  #executeChunkLine(chunk: Buffer, start: number, end: number): number {
    let i = start
    for (; i < end; i++) {
      const byte = chunk[i]!
      switch (this.#phase) {
        case Phase.ChunkSize: {
          const value = HEX_VALUE[byte]!
          if (value < 16) {
            this.#remaining = this.#remaining * 16 + value
            if (++this.#sizeDigits > MAX_SIZE_DIGITS || this.#remaining > Number.MAX_SAFE_INTEGER) {
              this.#fail(Http1Errors.chunkSizeOverflow)
              return i
            }
          } else if (this.#sizeDigits > 0 && byte === CR) this.#phase = Phase.SizeLf
          else if (this.#sizeDigits > 0 && byte === SEMICOLON) this.#phase = Phase.Extension
          else {
            // White space here is what TE.TE and chunk-size smuggling use; no sender has a need for it.
            this.#fail(byte === LF ? Http1Errors.bareLf : Http1Errors.badChunkSize)
            return i
          }
          break
        }
        case Phase.Extension:
          if (byte === CR) {
            this.#phase = Phase.SizeLf
            break
          }
          // A lone LF here ends the line for some readers and not for others (TERM.EXT and EXT.TERM).
          if ((byte < SP && byte !== TAB) || byte === DEL) {
            this.#fail(byte === LF ? Http1Errors.bareLf : Http1Errors.badChunkExtension)
            return i
          }
          if (++this.#extensionBytes > this.limits.maxChunkExtensionBytes) {
            this.#fail(Http1Errors.chunkExtensionsTooLarge)
            return i
          }
          break
        case Phase.SizeLf:
          if (byte !== LF) {
            this.#fail(Http1Errors.bareCr)
            return i
          }
          if (this.#remaining > 0) this.#phase = Phase.Data
          else {
            this.#trailers ??= new HeadScanner('trailers', this.limits)
            this.#phase = Phase.Trailers
          }
          return i + 1
        case Phase.DataCr:
          if (byte !== CR) {
            this.#fail(Http1Errors.missingChunkEnd)
            return i
          }
          this.#phase = Phase.DataLf
          break
        case Phase.DataLf:
          if (byte !== LF) {
            this.#fail(Http1Errors.missingChunkEnd)
            return i
          }
          this.#startChunk()
          break
      }
    }
    return i
  }

  #finishTrailers(scanner: HeadScanner): void {
    const trailers = scanner.headers > 0 ? readTrailers(scanner) : undefined
    scanner.reset()
    if (trailers !== undefined) this.#events.onTrailers(trailers)
    this.#endMessage()
  }

  #endMessage(): void {
    // Closed from inside an event.
    if (this.#phase === Phase.Over) return
    this.#phase = Phase.Head
    this.messageEnds()
    this.#events.onMessageEnd()
  }

  #fail(error: Http1Error): void {
    this.#phase = Phase.Over
    this.#events.onError(error)
  }
}
