/**
 * Token buckets and counts that worker threads share, found by a text: whoever asks first makes it, the others get the same
 * one. They lie in a table of fixed size, because memory that all threads see cannot grow.
 *
 *   header (8 cells of 64 bits)    [0] seed of the hash, [1] low half: who holds the lock (worker + 1), 0 for nobody
 *   entry  (3 cells)               hash of the text | state | a bit for each worker that uses it
 *   shares (32 bits an entry)      for each worker, what it holds of the counts
 *
 * The state is that of a bucket (token-bucket.ts), or in its first half the total of a count (shared-count.ts).
 * Asking is rare (configuration, a descriptor value seen for the first time), so it takes a lock; using a bucket does not.
 * An entry that nobody uses any more is free for another text. What a dead worker used, and the lock if it held it, is given
 * back by {@link SharedBuckets.giveBack}.
 */
import { type Random, systemRandom } from './random.ts'
import { giveBack, SharedCount } from './shared-count.ts'

const HEADER = 8
const ENTRY = 3
const HASH = 0
const STATE = 1
const USERS = 2
/** 16,384 entries are 400 kB, and 64 kB more for each worker. */
const ENTRIES = 16_384
/** Where the shares begin, in cells of 32 bits. */
const SHARES = 2 * (HEADER + ENTRIES * ENTRY)
/** Entries looked at before the table counts as full for a text. */
const MAX_PROBES = 128
/** A bit each. */
export const MAX_WORKERS = 64

export function sharedBucketMemory(workers: number, random: Random = systemRandom): SharedArrayBuffer {
  const memory = new SharedArrayBuffer((SHARES + workers * ENTRIES) * Int32Array.BYTES_PER_ELEMENT)
  // A seed of its own, so that nobody can choose descriptor values that meet in one bucket.
  new BigInt64Array(memory)[0] = (BigInt(random.uint32()) << 31n) ^ BigInt(random.uint32())
  return memory
}

export class SharedBuckets {
  /** Texts that got nothing because the table was full. */
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
    this.#cells = new BigInt64Array(memory, 0, HEADER + ENTRIES * ENTRY)
    this.#lock = new Int32Array(memory, BigInt64Array.BYTES_PER_ELEMENT, 1)
    this.#worker = worker
  }

  /**
   * The cell of the bucket `text`, for `TokenBucket`; in use for as long as something refers to the array. Undefined when
   * the table is full.
   */
  cell(text: string): BigInt64Array | undefined {
    const entry = this.#entry(text)
    if (entry < 0) return undefined
    const offset = (at(entry) + STATE) * BigInt64Array.BYTES_PER_ELEMENT
    return this.#use(entry, new BigInt64Array(this.#memory, offset, 1))
  }

  /** The count `text`, from 0; in use for as long as something refers to it. Undefined when the table is full. */
  count(text: string): SharedCount | undefined {
    const entry = this.#entry(text)
    if (entry < 0) return undefined
    return this.#use(entry, new SharedCount(this.#memory, totalOf(entry), shareOf(entry, this.#worker)))
  }

  /** By the control side, after a worker has died and before another gets its number. */
  static giveBack(memory: SharedArrayBuffer, worker: number): void {
    const cells = new BigInt64Array(memory, 0, HEADER + ENTRIES * ENTRY)
    const halves = new Int32Array(memory)
    const others = ~(1n << BigInt(worker))
    for (let entry = 0; entry < ENTRIES; entry++) {
      const users = at(entry) + USERS
      if (cells[users] === 0n) continue
      giveBack(halves, totalOf(entry), shareOf(entry, worker))
      Atomics.and(cells, users, BigInt.asIntN(64, others))
    }
    const lock = new Int32Array(memory, BigInt64Array.BYTES_PER_ELEMENT, 1)
    if (Atomics.compareExchange(lock, 0, worker + 1, 0) === worker + 1) Atomics.notify(lock, 0)
  }

  get #bit(): bigint {
    return BigInt.asIntN(64, 1n << BigInt(this.#worker))
  }

  /** The entry of the text, noted as used by this worker; -1 when the table is full. */
  #entry(text: string): number {
    const hash = hashOf(text, this.#cells[0]!)
    this.#acquire()
    const entry = this.#find(hash)
    if (entry >= 0) Atomics.or(this.#cells, at(entry) + USERS, this.#bit)
    this.#release()
    if (entry < 0) this.overflowed++
    return entry
  }

  #use<View extends object>(entry: number, view: View): View {
    this.#views.set(entry, (this.#views.get(entry) ?? 0) + 1)
    this.#dropped.register(view, entry)
    return view
  }

  /** The entry of the hash, made of a free one if need be; -1 when there is none. With the lock held. */
  #find(hash: bigint): number {
    const cells = this.#cells
    let free = -1
    const first = Number(BigInt.asUintN(32, hash)) % ENTRIES
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const entry = (first + probe) % ENTRIES
      const cell = at(entry)
      if (cells[cell + HASH] === hash) return entry
      if (free < 0 && Atomics.load(cells, cell + USERS) === 0n) free = entry
      // Never used, so nothing has ever been put behind it.
      if (cells[cell + HASH] === 0n) break
    }
    if (free < 0) return -1
    cells[at(free) + HASH] = hash
    Atomics.store(cells, at(free) + STATE, 0n)
    return free
  }

  #drop(entry: number): void {
    const left = (this.#views.get(entry) ?? 0) - 1
    if (left > 0) {
      this.#views.set(entry, left)
      return
    }
    this.#views.delete(entry)
    Atomics.and(this.#cells, at(entry) + USERS, ~this.#bit)
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

function at(entry: number): number {
  return HEADER + entry * ENTRY
}

/** In cells of 32 bits. */
function totalOf(entry: number): number {
  return 2 * (at(entry) + STATE)
}

function shareOf(entry: number, worker: number): number {
  return SHARES + worker * ENTRIES + entry
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
