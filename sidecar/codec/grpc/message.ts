/**
 * Length-prefixed messages (gRPC over HTTP/2, "Requests"): one byte of flags, four of length, then so many bytes.
 *
 *   ┌───────┬─────────────────────┬──────────────
 *   │ flags │ length, big-endian  │ message …
 *   └───────┴─────────────────────┴──────────────
 *
 * {@link MessageCounter} counts without keeping a byte, {@link MessageReader} collects. Both take the stream in any split
 * and know neither sockets nor headers. Of the flags only bit 0 has a meaning (compressed); gRPC-Web adds bit 7 (trailers).
 */

export const MESSAGE_HEADER_BYTES = 5
export const COMPRESSED = 0x01
/** gRPC-Web: the message is trailers. */
export const TRAILERS = 0x80

const EMPTY = Buffer.alloc(0)

/** Counts messages whose header has arrived (Envoy: `Grpc::FrameInspector`). */
export class MessageCounter {
  count = 0
  /** Bytes of the message that are still to come. */
  #left = 0
  #headerBytes = 0
  #length = 0

  /** The number of messages that began in `data`. */
  add(data: Buffer): number {
    const before = this.count
    let at = 0
    while (at < data.length) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, data.length - at)
        this.#left -= taken
        at += taken
        continue
      }
      // The first byte is the flags, which do not matter here.
      if (this.#headerBytes > 0) this.#length = this.#length * 256 + data[at]!
      at++
      if (++this.#headerBytes < MESSAGE_HEADER_BYTES) continue
      this.count++
      this.#left = this.#length
      this.#headerBytes = 0
      this.#length = 0
    }
    return this.count - before
  }

  /** Nothing of a message is missing. */
  get atBoundary(): boolean {
    return this.#left === 0 && this.#headerBytes === 0
  }
}

export interface Message {
  readonly flags: number
  readonly data: Buffer
}

/** Collects whole messages. What it gives out is its own copy. */
export class MessageReader {
  readonly #maxBytes: number
  readonly #header = Buffer.alloc(MESSAGE_HEADER_BYTES)
  #headerBytes = 0
  #body: Buffer = EMPTY
  #bodyBytes = 0
  /** A message was longer than allowed: nothing more can be read. */
  tooLarge = false

  /** `maxBytes` of one message; a length beyond it is known before a byte of it is kept. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** The messages that became whole with `data`. */
  read(data: Buffer): Message[] {
    const messages: Message[] = []
    let at = 0
    while (at < data.length && !this.tooLarge) {
      if (this.#headerBytes < MESSAGE_HEADER_BYTES) {
        this.#header[this.#headerBytes++] = data[at++]!
        if (this.#headerBytes < MESSAGE_HEADER_BYTES) continue
        const length = this.#header.readUInt32BE(1)
        if (length > this.#maxBytes) {
          this.tooLarge = true
          return messages
        }
        // Room is made as bytes come: a length is only a promise.
        this.#body = EMPTY
        this.#bodyBytes = 0
      } else at += this.#take(data, at)
      if (this.#headerBytes === MESSAGE_HEADER_BYTES && this.#bodyBytes === this.#length) {
        messages.push({ flags: this.#header[0]!, data: this.#body.subarray(0, this.#bodyBytes) })
        this.#headerBytes = 0
        this.#body = EMPTY
      }
    }
    return messages
  }

  get #length(): number {
    return this.#header.readUInt32BE(1)
  }

  #take(data: Buffer, at: number): number {
    const taken = Math.min(this.#length - this.#bodyBytes, data.length - at)
    const needed = this.#bodyBytes + taken
    if (needed > this.#body.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.#length, Math.max(needed, this.#body.length * 2)))
      this.#body.copy(grown, 0, 0, this.#bodyBytes)
      this.#body = grown
    }
    data.copy(this.#body, this.#bodyBytes, at, at + taken)
    this.#bodyBytes = needed
    return taken
  }

  /** Nothing of a message is missing. */
  get atBoundary(): boolean {
    return this.#headerBytes === 0
  }
}

/** A message with its header before it. */
export function frame(data: Uint8Array, flags = 0): Buffer {
  const framed = Buffer.allocUnsafe(MESSAGE_HEADER_BYTES + data.length)
  framed[0] = flags
  framed.writeUInt32BE(data.length, 1)
  framed.set(data, MESSAGE_HEADER_BYTES)
  return framed
}
