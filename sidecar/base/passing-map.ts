/**
 * A map whose entries come and go all the time, such as requests by their ids.
 *
 * A `Map` makes itself a new table again and again, and each old table points at the next (see `linked-set.ts`). A new Map
 * in its place, every so often, ends that chain: nothing of the old one points at it.
 */

/** Deletions until then: so many, or that often the entries that have to be moved. */
const LEAST_DELETIONS = 256
const DELETIONS_PER_MOVE = 4

export class PassingMap<K, V> {
  #map = new Map<K, V>()
  #deletionsLeft = LEAST_DELETIONS

  get size(): number {
    return this.#map.size
  }

  get(key: K): V | undefined {
    return this.#map.get(key)
  }

  has(key: K): boolean {
    return this.#map.has(key)
  }

  set(key: K, value: V): void {
    this.#map.set(key, value)
  }

  /** False when it was not in it. */
  delete(key: K): boolean {
    if (!this.#map.delete(key)) return false
    if (--this.#deletionsLeft === 0) {
      this.#map = new Map(this.#map)
      this.#deletionsLeft = Math.max(LEAST_DELETIONS, this.#map.size * DELETIONS_PER_MOVE)
    }
    return true
  }

  /** Oldest first; entries may be deleted meanwhile. */
  keys(): MapIterator<K> {
    return this.#map.keys()
  }

  /** Oldest first; entries may be deleted meanwhile. */
  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.#map[Symbol.iterator]()
  }
}
