/**
 * The streams of a connection by their ids: a hash table with open addressing.
 *
 * No `Map`: streams come and go all the time, and the tables that a Map leaves behind keep each other, and all that was in
 * them, until the old generation is collected (see `base/linked-set.ts`). With one, most of what a request allocates outlived
 * the young generation: 24 µs a request instead of 9 (`npm run bench`, "HTTP/2 to HTTP/2, 20 bytes").
 */
import { systemRandom } from '../../../base/random.ts'
import type { Stream } from './stream.ts'

const SMALLEST_BITS = 4
/** 2^32 divided by the golden ratio: what follows each other lies far apart. */
const GOLDEN = 0x9e3779b1
/** So that no peer can choose ids which all want the same place. */
const SEED = systemRandom.uint32()

export class StreamTable<S extends Stream> {
  #slots: (S | undefined)[] = emptySlots(SMALLEST_BITS)
  #bits = SMALLEST_BITS
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: number): S | undefined {
    const slots = this.#slots
    const mask = slots.length - 1
    for (let at = this.#home(id); ; at = (at + 1) & mask) {
      const stream = slots[at]
      if (stream === undefined || stream.id === id) return stream
    }
  }

  has(id: number): boolean {
    return this.get(id) !== undefined
  }

  /** Adds `stream`, whose id must not be in it. */
  add(stream: S): void {
    // Half empty at least, so that there is always a free slot near.
    if (this.#size * 2 >= this.#slots.length) this.#resize(this.#bits + 1)
    this.#place(stream)
    this.#size++
  }

  /** False when it was not in it. */
  delete(id: number): boolean {
    const slots = this.#slots
    const mask = slots.length - 1
    let free = this.#home(id)
    while (slots[free]?.id !== id) {
      if (slots[free] === undefined) return false
      free = (free + 1) & mask
    }
    // Those behind it that could not have their own slot move up, for a search ends at the first free one.
    for (let at = (free + 1) & mask; slots[at] !== undefined; at = (at + 1) & mask) {
      const home = this.#home(slots[at]!.id)
      if (((at - home) & mask) < ((at - free) & mask)) continue
      slots[free] = slots[at]
      free = at
    }
    slots[free] = undefined
    this.#size--
    if (this.#size === 0 && this.#bits > SMALLEST_BITS) this.#resize(SMALLEST_BITS)
    return true
  }

  /** What is in it now, oldest first. */
  toArray(): S[] {
    const streams = this.#slots.filter(stream => stream !== undefined)
    return streams.sort((a, b) => a.id - b.id)
  }

  #place(stream: S): void {
    const slots = this.#slots
    let at = this.#home(stream.id)
    while (slots[at] !== undefined) at = (at + 1) & (slots.length - 1)
    slots[at] = stream
  }

  #home(id: number): number {
    return Math.imul(id ^ SEED, GOLDEN) >>> (32 - this.#bits)
  }

  #resize(bits: number): void {
    const old = this.#slots
    this.#slots = emptySlots(bits)
    this.#bits = bits
    for (const stream of old) if (stream !== undefined) this.#place(stream)
  }
}

function emptySlots<S>(bits: number): (S | undefined)[] {
  return new Array<S | undefined>(2 ** bits).fill(undefined)
}
