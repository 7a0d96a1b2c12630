/**
 * Token buckets that worker threads share, found by a text: whoever asks first makes the bucket, the others get the same
 * one. The buckets lie in a table of fixed size, because memory that all threads see cannot grow.
 *
 *   header (8 cells of 64 bits)    [0] seed of the hash, [1] low half: who holds the lock (worker + 1), 0 for nobody
 *   entry  (3 cells)               hash of the text | state (token-bucket.ts) | a bit for each worker that uses it
 *
 * Asking is rare (configuration, a descriptor value seen for the first time), so it takes a lock; using a bucket does not.
 * An entry that nobody uses any more is free for another text. What a dead worker used, and the lock if it held it, is given
 * back by {@link SharedBuckets.giveBack}.
 */
import { type Random, systemRandom } from './random.ts'

const HEADER = 8
const ENTRY = 3
const HASH = 0
const STATE = 1
const USERS = 2
/** 16,384 buckets are 400 kB. */
const ENTRIES = 16_384
/** Entries looked at before the table counts as full for a text. */
const MAX_PROBES = 128
/** A bit each. */
export const MAX_WORKERS = 64

export function sharedBucketMemory(random: Random = systemRandom): SharedArrayBuffer {
  const memory = new SharedArrayBuffer((HEADER + ENTRIES * ENTRY) * BigInt64Array.BYTES_PER_ELEMENT)
  // A seed of its own, so that nobody can choose descriptor values that meet in one bucket.
  new BigInt64Array(memory)[0] = (BigInt(random.uint32()) << 31n) ^ BigInt(random.uint32())
  return memory
}

export class SharedBuckets {
  /** Texts that got no bucket because the table was full. */
  overflowed = 0
  readonly #memory: SharedArrayBuffer
  readonly #cells: BigInt64Array
  readonly #lock: Int32Array
  readonly #worker: number
  /** Views of each entry that this thread still refers to. */
  readonly #views = new Map<number, number>()
  readonly #dropped = new FinalizationRegistry<number>(entry => this.#drop(entry))

  constructor(memory: SharedArrayBuffer, worker: number) {
    this.#memory = memory
    this.#cells = new BigInt64Array(memory)
    this.#lock = new Int32Array(memory, BigInt64Array.BYTES_PER_ELEMENT, 1)
    this.#worker = worker
  }

  /**
   * The cell of the bucket `text`, for `TokenBucket`; in use for as long as something refers to the array. Undefined when
   * the table is full.
   */
  cell(text: string): BigInt64Array | undefined {
    const hash = hashOf(text, this.#cells[0]!)
    this.#acquire()
    const entry = this.#find(hash)
    if (entry >= 0) Atomics.or(this.#cells, this.#at(entry) + USERS, this.#bit)
    this.#release()
    if (entry < 0) {
      this.overflowed++
      return undefined
    }
    this.#views.set(entry, (this.#views.get(entry) ?? 0) + 1)
    const offset = (this.#at(entry) + STATE) * BigInt64Array.BYTES_PER_ELEMENT
    const view = new BigInt64Array(this.#memory, offset, 1)
    this.#dropped.register(view, entry)
    return view
  }

  /** By the control side, after a worker has died and before another gets its number. */
  static giveBack(memory: SharedArrayBuffer, worker: number): void {
    const cells = new BigInt64Array(memory)
    const others = ~(1n << BigInt(worker))
    for (let at = HEADER; at < cells.length; at += ENTRY) {
      if (cells[at + USERS] !== 0n) Atomics.and(cells, at + USERS, BigInt.asIntN(64, others))
    }
    const lock = new Int32Array(memory, BigInt64Array.BYTES_PER_ELEMENT, 1)
    if (Atomics.compareExchange(lock, 0, worker + 1, 0) === worker + 1) Atomics.notify(lock, 0)
  }

  get #bit(): bigint {
    return BigInt.asIntN(64, 1n << BigInt(this.#worker))
  }

  #at(entry: number): number {
    return HEADER + entry * ENTRY
  }

  /** The entry of the hash, made of a free one if need be; -1 when there is none. With the lock held. */
  #find(hash: bigint): number {
    const cells = this.#cells
    let free = -1
    const first = Number(BigInt.asUintN(32, hash)) % ENTRIES
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const entry = (first + probe) % ENTRIES
      const at = this.#at(entry)
      if (cells[at + HASH] === hash) return entry
      if (free < 0 && Atomics.load(cells, at + USERS) === 0n) free = entry
      // Never used, so nothing has ever been put behind it.
      if (cells[at + HASH] === 0n) break
    }
    if (free < 0) return -1
    const at = this.#at(free)
    cells[at + HASH] = hash
    Atomics.store(cells, at + STATE, 0n)
    return free
  }

  #drop(entry: number): void {
    const left = (this.#views.get(entry) ?? 0) - 1
    if (left > 0) {
      this.#views.set(entry, left)
      return
    }
    this.#views.delete(entry)
    Atomics.and(this.#cells, this.#at(entry) + USERS, ~this.#bit)
  }

  #acquire(): void {
    const mine = this.#worker + 1
    for (;;) {
      const holder = Atomics.compareExchange(this.#lock, 0, 0, mine)
      if (holder === 0) return
      Atomics.wait(this.#lock, 0, holder, 1)
    }
  }

  #release(): void {
    Atomics.store(this.#lock, 0, 0)
    Atomics.notify(this.#lock, 0, 1)
  }
}

/** 64 bits, never 0 (cyrb53's two halves, seeded). */
function hashOf(text: string, seed: bigint): bigint {
  let a = 0xdeadbeef ^ Number(BigInt.asIntN(32, seed))
  let b = 0x41c6ce57 ^ Number(BigInt.asIntN(32, seed >> 32n))
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    a = Math.imul(a ^ unit, 2654435761)
    b = Math.imul(b ^ unit, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  const hash = BigInt.asIntN(64, (BigInt(b >>> 0) << 32n) | BigInt(a >>> 0))
  return hash === 0n ? 1n : hash
}
