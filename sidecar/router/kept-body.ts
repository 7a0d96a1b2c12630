import type { BodyChunk } from '../codec/stream.ts'

/**
 * A copy of a request's body, for attempts that may have to send it again. It gives up once it is larger than it may be:
 * then nothing that was sent can be repeated.
 */
export class KeptBody {
  chunks: Buffer[] = []
  bytes = 0
  #overflown = false

  /** False when the body has just become too large to keep. */
  add(data: BodyChunk, limit: number): boolean {
    if (this.#overflown) return true
    if (this.bytes + data.length > limit) {
      this.#overflown = true
      this.drop()
      return false
    }
    this.chunks.push(Buffer.from(data))
    this.bytes += data.length
    return true
  }

  /** Sends the copy; with `ends` its last chunk ends the request. */
  sendTo(upstream: { sendData(data: BodyChunk, endStream: boolean): void }, ends: boolean): void {
    const { chunks } = this
    for (let i = 0; i < chunks.length; i++) upstream.sendData(chunks[i]!, ends && i === chunks.length - 1)
  }

  /** Whether all of `received` bytes are here. */
  has(received: number): boolean {
    return !this.#overflown && this.bytes === received
  }

  drop(): void {
    this.chunks = []
  }
}
