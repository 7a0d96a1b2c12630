/**
 * The streams of a connection by their ids: open addressing over the stream ids themselves, of which a peer opens every
 * second number in turn, so that they spread evenly.
 *
 * No `Map`: streams come and go all the time, and the tables that a Map leaves behind keep each other, and all that was in
 * them, until the old generation is collected (see `base/linked-set.ts`). With one, four fifths of what a request allocates
 * outlived the young generation, and a third of a proxy's time went into collecting it (measured).
 */
import type { Stream } from './stream.ts'

const SMALLEST = 16

export class StreamTable<S extends Stream> {
  #slots: (S | undefined)[] = new Array(SMALLEST).fill(undefined)
  #mask = SMALLEST - 1
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: number): S | undefined {
    const slots = this.#slots
    for (let at = (id >>> 1) & this.#mask; ; at = (at + 1) & this.#mask) {
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
    if (this.#size * 2 >= this.#slots.length) this.#resize(this.#slots.length * 2)
    this.#place(stream)
    this.#size++
  }

  /** False when it was not in it. */
  delete(id: number): boolean {
    const slots = this.#slots
    const mask = this.#mask
    let free = (id >>> 1) & mask
    while (slots[free]?.id !== id) {
      if (slots[free] === undefined) return false
      free = (free + 1) & mask
    }
    // Those behind it that could not have their own slot move up, for a search ends at the first free one.
    for (let at = (free + 1) & mask; slots[at] !== undefined; at = (at + 1) & mask) {
      const home = (slots[at]!.id >>> 1) & mask
      if (((at - home) & mask) < ((at - free) & mask)) continue
      slots[free] = slots[at]
      free = at
    }
    slots[free] = undefined
    this.#size--
    if (this.#size === 0 && slots.length > SMALLEST) this.#resize(SMALLEST)
    return true
  }

  /** What is in it now, oldest first. */
  toArray(): S[] {
    const streams = this.#slots.filter(stream => stream !== undefined)
    return streams.sort((a, b) => a.id - b.id)
  }

  #place(stream: S): void {
    let at = (stream.id >>> 1) & this.#mask
    while (this.#slots[at] !== undefined) at = (at + 1) & this.#mask
    this.#slots[at] = stream
  }

  #resize(slots: number): void {
    const old = this.#slots
    this.#slots = new Array(slots).fill(undefined)
    this.#mask = slots - 1
    for (const stream of old) if (stream !== undefined) this.#place(stream)
  }
}
