/**
 * Counts that must hold for the whole process, in memory that worker threads share: how many of something are in use, and
 * how many of those each worker has taken (its share).
 *
 *   Int32Array:  [ totals … ][ share of worker 0 … ][ share of worker 1 … ] …      16 cells, one cache line, each
 *
 * A total is changed atomically, so that a limit is never passed however many threads ask at once. The share
 * is a plain store of its owner. A thread that is ended from outside stops at the head of a function or of a loop, never
 * between the two, so the share is what the total holds of a dead worker, to the one ({@link giveBackShare}).
 */

/** Cells of one line; a line holds up to this many counts. */
export const SHARED_LINE = 16

/** Memory for up to {@link SHARED_LINE} counts of `workers` threads. */
export function sharedCounts(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(SHARED_LINE * (1 + workers) * Int32Array.BYTES_PER_ELEMENT)
}

export class SharedCount {
  readonly #cells: Int32Array
  readonly #total: number
  readonly #share: number

  /** `total` and `share` are cells of the memory; -1 for the share of a thread that only looks on. */
  constructor(memory: SharedArrayBuffer, total: number, share: number) {
    this.#cells = new Int32Array(memory)
    this.#total = total
    this.#share = share
  }

  /** Count number `index` of {@link sharedCounts}; `worker` is undefined for a thread that only looks on. */
  static of(memory: SharedArrayBuffer, index: number, worker: number | undefined): SharedCount {
    return new SharedCount(memory, index, worker === undefined ? -1 : SHARED_LINE * (1 + worker) + index)
  }

  get value(): number {
    return Atomics.load(this.#cells, this.#total)
  }

  /** What this worker holds of it. */
  get share(): number {
    return this.#cells[this.#share] ?? 0
  }

  /** Adds one. */
  take(): number {
    const now = Atomics.add(this.#cells, this.#total, 1) + 1
    this.#cells[this.#share]!++
    return now
  }

  /** Adds one unless there are `max` already. */
  tryTake(max: number): boolean {
    const cells = this.#cells
    const total = this.#total
    // Adding first and going back when it was too many would refuse others meanwhile, for whom there is room.
    let seen = Atomics.load(cells, total)
    for (;;) {
      if (seen >= max) return false
      const before = Atomics.compareExchange(cells, total, seen, seen + 1)
      if (before === seen) break
      seen = before
    }
    cells[this.#share]!++
    return true
  }

  release(): number {
    const now = Atomics.sub(this.#cells, this.#total, 1) - 1
    this.#cells[this.#share]!--
    return now
  }
}

/** Takes what a worker that has died held out of the totals. Its memory must not be given to a new worker before. */
export function giveBackShare(memory: SharedArrayBuffer, worker: number): void {
  const cells = new Int32Array(memory)
  const first = SHARED_LINE * (1 + worker)
  for (let index = 0; index < SHARED_LINE; index++) giveBack(cells, index, first + index)
}

/** The same for one count, given by its cells. */
export function giveBack(cells: Int32Array, total: number, share: number): void {
  const held = cells[share]!
  if (held === 0) return
  Atomics.sub(cells, total, held)
  cells[share] = 0
}
