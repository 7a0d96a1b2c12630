/**
 * How the ledgers of worker threads tell each other what happens: each worker writes to a ring of its own in shared memory,
 * and all others read it. A record is written in a quarter of a microsecond, where posting a message takes five, and it is
 * there for the others before whatever the writer does next, be it the answer that the application waits for.
 *
 *   [ written ][ read by worker 0 ] … [ read by worker n ]   positions in units of 8 bytes, a cache line each, wrapping round
 *   [ units, type ][ numbers … ][ texts: length, bytes … ]   records, contiguous; type 0 fills up the end of the ring
 *
 * Nobody waits: a reader that has fallen behind by a whole ring has lost records, and hears of it ({@link RingReader.lost}).
 * It is told before, when it is half a ring behind.
 */

const RING_BYTES = 1 << 19
const UNITS = RING_BYTES / 8
const MASK = UNITS - 1
/** Longest record; longer ones are not written. */
const MAX_RECORD_BYTES = 16_384
const LINE = 16
/** How often the writer looks whether readers keep up. */
const CHECK_UNITS = UNITS / 8

export function ledgerRing(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer((1 + workers) * LINE * 4 + RING_BYTES)
}

interface Views {
  readonly heads: Int32Array
  readonly words: Int32Array
  readonly numbers: Float64Array
  readonly bytes: Buffer
}

function viewsOf(memory: SharedArrayBuffer): Views {
  const start = memory.byteLength - RING_BYTES
  return {
    heads: new Int32Array(memory, 0, start / 4),
    words: new Int32Array(memory, start),
    numbers: new Float64Array(memory, start),
    bytes: Buffer.from(memory, start, RING_BYTES),
  }
}

export class RingWriter {
  /** Records that were too long. */
  dropped = 0
  readonly #views: Views
  readonly #readers: readonly number[]
  readonly #onLag: (worker: number) => void
  #position: number
  #checked: number

  /** `readers`: the workers that read; `onLag` is told of one that is half a ring behind. */
  constructor(memory: SharedArrayBuffer, readers: readonly number[], onLag: (worker: number) => void) {
    this.#views = viewsOf(memory)
    this.#readers = readers
    this.#onLag = onLag
    // A worker that takes the place of a dead one goes on where that one stopped.
    this.#position = this.#checked = Atomics.load(this.#views.heads, 0)
  }

  /** Writes a record. Texts are latin1 with at most 65,535 characters, except the last where `utf8Last`. */
  write(type: number, numbers: readonly number[], texts: readonly string[], utf8Last = false): void {
    let bound = 8 + numbers.length * 8
    for (const text of texts) bound += 2 + text.length
    if (utf8Last) bound += 2 * texts[texts.length - 1]!.length
    if (bound > MAX_RECORD_BYTES) {
      this.dropped++
      return
    }
    const { words, bytes, heads } = this.#views
    const most = (bound + 7) >> 3
    let index = this.#position & MASK
    if (index + most > UNITS) {
      words[2 * index] = UNITS - index
      words[2 * index + 1] = 0
      this.#position = (this.#position + UNITS - index) | 0
      index = 0
    }
    let at = index + 1
    for (let i = 0; i < numbers.length; i++) this.#views.numbers[at++] = numbers[i]!
    let byte = at * 8
    for (let i = 0; i < texts.length; i++) {
      const text = texts[i]!
      const length =
        utf8Last && i === texts.length - 1 ? bytes.write(text, byte + 2, 'utf8') : bytes.latin1Write(text, byte + 2)
      bytes[byte] = length & 255
      bytes[byte + 1] = length >> 8
      byte += 2 + length
    }
    const units = ((byte + 7) >> 3) - index
    words[2 * index] = units
    words[2 * index + 1] = type
    this.#position = (this.#position + units) | 0
    Atomics.store(heads, 0, this.#position)
    if (((this.#position - this.#checked) | 0) >= CHECK_UNITS) this.#check()
  }

  #check(): void {
    this.#checked = this.#position
    for (const reader of this.#readers) {
      const behind = (this.#position - Atomics.load(this.#views.heads, LINE * (1 + reader))) | 0
      if (behind >= UNITS / 2) this.#onLag(reader)
    }
  }
}

export class RingReader {
  /** Times that records were lost. */
  lost = 0
  readonly #views: Views
  readonly #mine: number
  #position: number
  #end = 0
  #byte = 0
  #unit = 0

  /** Reads what is written from now on, for worker `reader`. */
  constructor(memory: SharedArrayBuffer, reader: number) {
    this.#views = viewsOf(memory)
    this.#mine = LINE * (1 + reader)
    this.#position = Atomics.load(this.#views.heads, 0)
    Atomics.store(this.#views.heads, this.#mine, this.#position)
  }

  /** True when there is something to read. */
  get waiting(): boolean {
    return Atomics.load(this.#views.heads, 0) !== this.#position
  }

  /** Goes to the next record: its type, or 0 when there is none. Its numbers and texts are then read in order. */
  next(numbers: (type: number) => number): number {
    const { heads, words } = this.#views
    this.#position = (this.#position + this.#end) | 0
    this.#end = 0
    for (;;) {
      const written = Atomics.load(heads, 0)
      if (written === this.#position) {
        Atomics.store(heads, this.#mine, this.#position)
        return 0
      }
      if (this.#overtaken(written)) continue
      const index = this.#position & MASK
      const units = words[2 * index]!
      const type = words[2 * index + 1]!
      if (units <= 0 || index + units > UNITS) {
        // Overwritten while it was read.
        this.#skipAll(Atomics.load(heads, 0))
        continue
      }
      if (type === 0) {
        this.#position = (this.#position + units) | 0
        continue
      }
      this.#end = units
      this.#unit = index + 1
      this.#byte = (index + 1 + numbers(type)) * 8
      return type
    }
  }

  /** False when the record was overwritten while it was read: what was read of it is nothing. */
  get intact(): boolean {
    return ((Atomics.load(this.#views.heads, 0) - this.#position) | 0) <= UNITS - MAX_RECORD_BYTES / 8
  }

  number(): number {
    return this.#views.numbers[this.#unit++]!
  }

  text(): string {
    const { bytes } = this.#views
    const length = bytes[this.#byte]! | (bytes[this.#byte + 1]! << 8)
    const start = this.#byte + 2
    this.#byte = start + length
    return bytes.latin1Slice(start, Math.min(RING_BYTES, start + length))
  }

  utf8(): string {
    return Buffer.from(this.text(), 'latin1').toString('utf8')
  }

  #overtaken(written: number): boolean {
    // What the writer may be writing just now lies beyond what it says it has written.
    if (((written - this.#position) | 0) <= UNITS - MAX_RECORD_BYTES / 8) return false
    this.#skipAll(written)
    return true
  }

  #skipAll(written: number): void {
    this.lost++
    this.#position = written
  }
}
