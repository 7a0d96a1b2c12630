/**
 * Splits what arrives into frames (RFC 9113 §4.1). The payload of DATA is handed on piece by piece as it comes, without
 * its padding and without a copy; any other frame as a whole, from the chunk where it lies there, else from a buffer of
 * its size. Frames of types that nobody knows are skipped (§5.5).
 */
import type { Http2ConnectionError } from '../contract.ts'
import { Http2Errors } from '../error.ts'
import { DEFAULT_FRAME_SIZE, Flag, FRAME_HEADER, FrameType, PREFACE } from './frame-type.ts'

export interface FrameHandler {
  /** A frame begins: whether it may come now. Answers the mistake if not. `length` is that of its payload. */
  onFrameStart(type: number, flags: number, streamId: number, length: number): Http2ConnectionError | undefined
  /** The payload of any frame but DATA, in `bytes[start, end)`, lent. */
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void
  /** How long the payload of DATA is that is about to come, without padding. */
  onDataSize(size: number): void
  /** Part of a DATA payload, lent; perhaps empty. `last`: the frame ends here, its padding has been read. */
  onData(flags: number, streamId: number, bytes: Buffer, start: number, end: number, last: boolean): void
  /** The connection cannot go on. */
  fail(error: Http2ConnectionError): void
}

const State = {
  Preface: 0,
  Header: 1,
  Payload: 2,
  PadLength: 3,
  Data: 4,
  Padding: 5,
  Skip: 6,
  Stopped: 7,
} as const
type State = (typeof State)[keyof typeof State]

const EMPTY = Buffer.alloc(0)

export class FrameReader {
  readonly #handler: FrameHandler
  #state: State
  /** Bytes of the preface that have come. */
  #prefaceRead = 0
  readonly #head = Buffer.alloc(FRAME_HEADER)
  #headFilled = 0
  #type = 0
  #flags = 0
  #streamId = 0
  /** Payload of a frame that comes in several chunks. */
  #payload: Buffer = EMPTY
  #payloadFilled = 0
  /** Bytes of data, of padding, or to be skipped, that are still to come. */
  #remaining = 0
  #padding = 0

  constructor(handler: FrameHandler, expectPreface: boolean) {
    this.#handler = handler
    this.#state = expectPreface ? State.Preface : State.Header
  }

  /** Nothing is told any more, whatever comes. May be called from inside an event. */
  stop(): void {
    this.#state = State.Stopped
    this.#payload = EMPTY
  }

  receive(chunk: Buffer): void {
    const end = chunk.length
    let i = 0
    while (i < end) {
      switch (this.#state) {
        case State.Header:
          if (this.#headFilled === 0 && end - i >= FRAME_HEADER) {
            i = this.#begin(chunk, i, chunk, i + FRAME_HEADER, end)
            break
          }
          while (i < end && this.#headFilled < FRAME_HEADER) this.#head[this.#headFilled++] = chunk[i++]!
          if (this.#headFilled < FRAME_HEADER) return
          this.#headFilled = 0
          i = this.#begin(this.#head, 0, chunk, i, end)
          break
        case State.Data:
          i = this.#data(chunk, i, end)
          break
        case State.Payload: {
          const take = Math.min(end - i, this.#payload.length - this.#payloadFilled)
          chunk.copy(this.#payload, this.#payloadFilled, i, i + take)
          this.#payloadFilled += take
          i += take
          if (this.#payloadFilled < this.#payload.length) return
          const payload = this.#payload
          this.#payload = EMPTY
          this.#state = State.Header
          this.#handler.onFrame(this.#type, this.#flags, this.#streamId, payload, 0, payload.length)
          break
        }
        case State.PadLength:
          this.#padding = chunk[i++]!
          this.#remaining--
          // The padding may be all of the rest, not more (§6.1).
          if (this.#padding > this.#remaining) {
            this.#fail(Http2Errors.badPadding)
            return
          }
          this.#remaining -= this.#padding
          this.#handler.onDataSize(this.#remaining)
          i = this.#data(chunk, i, end)
          break
        case State.Padding:
        case State.Skip: {
          const take = Math.min(end - i, this.#remaining)
          i += take
          this.#remaining -= take
          if (this.#remaining > 0) return
          const padding = this.#state === State.Padding
          this.#state = State.Header
          if (padding) this.#handler.onData(this.#flags, this.#streamId, EMPTY, 0, 0, true)
          break
        }
        case State.Preface:
          if (chunk[i] !== PREFACE[this.#prefaceRead]) {
            this.#fail(Http2Errors.badPreface)
            return
          }
          i++
          if (++this.#prefaceRead === PREFACE.length) this.#state = State.Header
          break
        case State.Stopped:
          return
      }
    }
  }

  /** Reads a frame header at `head[at]`, and the payload as far as it is in `chunk[i, end)`. Answers where to go on. */
  #begin(head: Buffer, at: number, chunk: Buffer, i: number, end: number): number {
    const length = (head[at]! << 16) | (head[at + 1]! << 8) | head[at + 2]!
    const type = head[at + 3]!
    const flags = head[at + 4]!
    // The highest bit is reserved, to be ignored.
    const streamId = ((head[at + 5]! & 0x7f) << 24) | (head[at + 6]! << 16) | (head[at + 7]! << 8) | head[at + 8]!
    const error =
      length > DEFAULT_FRAME_SIZE
        ? Http2Errors.frameTooLarge
        : this.#handler.onFrameStart(type, flags, streamId, length)
    if (error !== undefined) {
      this.#fail(error)
      return end
    }
    if (this.#state === State.Stopped) return end
    if (type === FrameType.Data) {
      this.#flags = flags
      this.#streamId = streamId
      this.#remaining = length
      this.#padding = 0
      if ((flags & Flag.Padded) !== 0) {
        if (length === 0) {
          this.#fail(Http2Errors.badPadding)
          return end
        }
        this.#state = State.PadLength
        return i
      }
      this.#handler.onDataSize(length)
      return this.#data(chunk, i, end)
    }
    if (type > FrameType.Continuation) {
      if (end - i >= length) return i + length
      this.#remaining = length
      this.#state = State.Skip
      return i
    }
    if (end - i >= length) {
      this.#state = State.Header
      this.#handler.onFrame(type, flags, streamId, chunk, i, i + length)
      return i + length
    }
    this.#type = type
    this.#flags = flags
    this.#streamId = streamId
    this.#payload = Buffer.allocUnsafe(length)
    this.#payloadFilled = 0
    this.#state = State.Payload
    return i
  }

  #data(chunk: Buffer, i: number, end: number): number {
    const take = Math.min(end - i, this.#remaining)
    this.#remaining -= take
    const complete = this.#remaining === 0
    const last = complete && this.#padding === 0
    if (last) this.#state = State.Header
    else if (complete) {
      this.#remaining = this.#padding
      this.#state = State.Padding
    } else this.#state = State.Data
    if (take > 0 || last) this.#handler.onData(this.#flags, this.#streamId, chunk, i, i + take, last)
    return i + take
  }

  #fail(error: Http2ConnectionError): void {
    this.stop()
    this.#handler.fail(error)
  }
}
