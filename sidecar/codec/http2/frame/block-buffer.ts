/**
 * Gathers a header block that comes in several frames, up to a bound: a peer may send CONTINUATION without end
 * (CVE-2024-27983 and its siblings). Parts are copied together, so that many small ones cost no more than their bytes.
 */
import { DEFAULT_FRAME_SIZE } from './frame-type.ts'

const EMPTY = Buffer.alloc(0)
/** What each field costs on the wire beside its characters: representation and lengths; a generous figure. */
const FIELD_OVERHEAD = 16

export class BlockBuffer {
  readonly #maxBytes: number
  #bytes: Buffer = EMPTY
  #length = 0

  /** `maxHeaderBytes` and `maxHeaders`: the limits of what will be decoded. */
  constructor(maxHeaderBytes: number, maxHeaders: number) {
    this.#maxBytes = 2 * maxHeaderBytes + maxHeaders * FIELD_OVERHEAD + DEFAULT_FRAME_SIZE
  }

  /** False: it would be more than the bound. */
  add(bytes: Buffer, start: number, end: number): boolean {
    const length = this.#length + end - start
    if (length > this.#maxBytes) return false
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, Math.min(2 * this.#bytes.length, this.#maxBytes)))
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    bytes.copy(this.#bytes, this.#length, start, end)
    this.#length = length
    return true
  }

  /** The whole block; begins anew. */
  take(): Buffer {
    const block = this.#bytes.subarray(0, this.#length)
    this.#bytes = EMPTY
    this.#length = 0
    return block
  }
}
