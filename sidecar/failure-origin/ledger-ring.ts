/**
 * How the ledgers of worker threads tell each other what happens: each worker writes to a ring of its own in shared memory,
 * and all others read it. A record is written in a quarter of a microsecond, where posting a message takes five, and it is
 * there for the others before whatever the writer does next, be it the answer that the application waits for.
 *
 *   [ written ][ read by worker 0 ] … [ read by worker n ]   positions in units of 8 bytes, a cache line each, wrapping round
 *   [ units, type, ticket ][ numbers … ][ texts: length, bytes … ]     records, contiguous; type 0 fills up the end
 *
 * Tickets are drawn from one counter that all rings share, and records are read in their order: what a worker wrote because
 * of something it had read comes after that, whichever ring is looked at first.
 *
 * Nobody waits: a reader that has fallen behind by a whole ring has lost records, and hears of it ({@link RingsReader.drain}).
 * It is told before, when it is half a ring behind.
 */

const RING_BYTES = 1 << 19
const UNITS = RING_BYTES / 8
const MASK = UNITS - 1
/** Longest record; longer ones are not written. */
const MAX_RECORD_BYTES = 16_384
const LINE = 16
/** In the first line of the first ring, beside how far that one is written. */
const TICKET = 1
/** The first word of a record is its length in units, and above that its type. */
const TYPE_SHIFT = 24
const LENGTH_MASK = (1 << TYPE_SHIFT) - 1
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
  readonly #tickets: Int32Array
  #position: number
  #checked: number

  /** Of `worker`. `onLag` is told of a reader that is half a ring behind. */
  constructor(rings: readonly SharedArrayBuffer[], worker: number, onLag: (worker: number) => void) {
    this.#views = viewsOf(rings[worker]!)
    this.#tickets = viewsOf(rings[0]!).heads
    this.#readers = rings.map((_, i) => i).filter(i => i !== worker)
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
    words[2 * index] = units | (type << TYPE_SHIFT)
    // Drawn last: all that this worker has read has lower ones.
    words[2 * index + 1] = Atomics.add(this.#tickets, TICKET, 1)
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

/** Reads one ring, for {@link RingsReader}. The numbers and texts of a record are read in order. */
export class RingReader {
  readonly worker: number
  ticket = 0
  type = 0
  /** Times that records were lost. */
  lost = 0
  readonly #views: Views
  readonly #mine: number
  #position: number
  #lostSince = false
  #units = 0
  #byte = 0
  #number = 0

  /** Reads what `worker` writes from now on, for worker `reader`. */
  constructor(memory: SharedArrayBuffer, worker: number, reader: number) {
    this.worker = worker
    this.#views = viewsOf(memory)
    this.#mine = LINE * (1 + reader)
    this.#position = this.written
    this.told()
  }

  get written(): number {
    return Atomics.load(this.#views.heads, 0)
  }

  /** True where everything up to `limit` has been read. */
  hasRead(limit: number): boolean {
    return ((limit - this.#position) | 0) <= 0
  }

  /** Looks at the next record before `limit`; false when there is none. */
  peek(limit: number): boolean {
    const { words } = this.#views
    for (;;) {
      if (this.hasRead(limit)) return false
      if (!this.intact) {
        this.#skip()
        return false
      }
      const index = this.#position & MASK
      const head = words[2 * index]!
      const units = head & LENGTH_MASK
      this.type = head >>> TYPE_SHIFT
      this.ticket = words[2 * index + 1]!
      if (units === 0 || index + units > UNITS || !this.intact) {
        this.#skip()
        return false
      }
      this.#units = units
      if (this.type !== 0) return true
      this.#position = (this.#position + units) | 0
    }
  }

  /** Goes to the numbers of the record, of which there are `numbers`, and its texts. */
  enter(numbers: number): void {
    const index = this.#position & MASK
    this.#number = index + 1
    this.#byte = (index + 1 + numbers) * 8
  }

  leave(): void {
    this.#position = (this.#position + this.#units) | 0
  }

  /** Tells the writer how far this reader is. */
  told(): void {
    Atomics.store(this.#views.heads, this.#mine, this.#position)
  }

  /** False when the record may have been overwritten while it was read: what was read of it is nothing. */
  get intact(): boolean {
    // What the writer may be writing just now lies beyond what it says it has written.
    return ((this.written - this.#position) | 0) <= UNITS - MAX_RECORD_BYTES / 8
  }

  number(): number {
    return this.#views.numbers[this.#number++]!
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

  /** True once after records were lost. */
  takeLost(): boolean {
    const lost = this.#lostSince
    this.#lostSince = false
    return lost
  }

  #skip(): void {
    this.lost++
    this.#lostSince = true
    this.#position = this.written
  }
}

/** Reads the rings of all other workers as one. */
export class RingsReader {
  readonly #rings: readonly RingReader[]
  readonly #limits: Int32Array
  readonly #ends: Int32Array

  constructor(rings: readonly SharedArrayBuffer[], reader: number) {
    this.#rings = rings.flatMap((ring, worker) => (worker === reader ? [] : [new RingReader(ring, worker, reader)]))
    this.#limits = new Int32Array(this.#rings.length)
    this.#ends = new Int32Array(this.#rings.length)
  }

  /** Times that records of some ring were lost. */
  get lost(): number {
    let sum = 0
    for (const { lost } of this.#rings) sum += lost
    return sum
  }

  /**
   * Visits all records written until now, in the order of their tickets. `numbers` tells how many a type of record has;
   * `onLost` is told of a worker of which records are missing.
   */
  drain(numbers: (type: number) => number, visit: (ring: RingReader) => void, onLost: (worker: number) => void): void {
    const rings = this.#rings
    let any = false
    for (let i = 0; i < rings.length; i++) {
      this.#limits[i] = rings[i]!.written
      if (!rings[i]!.hasRead(this.#limits[i]!)) any = true
    }
    if (!any) return
    // What these records were written after is in the rings by now, if not by the first look.
    for (let i = 0; i < rings.length; i++) this.#ends[i] = rings[i]!.written
    const before = this.lost
    for (;;) {
      let first: RingReader | undefined
      let wanted = false
      for (let i = 0; i < rings.length; i++) {
        const ring = rings[i]!
        if (!ring.hasRead(this.#limits[i]!)) wanted = true
        if (!ring.peek(this.#ends[i]!)) continue
        if (first === undefined || ((ring.ticket - first.ticket) | 0) < 0) first = ring
      }
      if (first === undefined || !wanted) break
      first.enter(numbers(first.type))
      visit(first)
      first.leave()
    }
    for (const ring of rings) ring.told()
    if (this.lost === before) return
    for (const ring of rings) if (ring.takeLost()) onLost(ring.worker)
  }
}
