/**
 * A set of objects that come and go all the time, such as connections: a ring through the objects themselves.
 *
 * A `Set` or `Map` would make itself a new table again and again. Each old table points at the next and at what it held
 * when it was replaced; once one of them is among V8's old objects, all that follow it outlive the young generation, and
 * everything with them (measured: 2 kB a connection to be copied twice and found dead later).
 */

/** To be extended by what goes into a {@link LinkedSet}; it can be in one at a time. */
export class Linked {
  /** Undefined while it is in no set. */
  next: Linked | undefined = undefined
  previous: Linked | undefined = undefined
}

export class LinkedSet<T extends Linked> {
  readonly #ring = new Linked()
  #size = 0

  constructor() {
    this.#ring.next = this.#ring.previous = this.#ring
  }

  get size(): number {
    return this.#size
  }

  /** The one that has been in it for longest; undefined when it is empty. */
  get first(): T | undefined {
    const { next } = this.#ring
    return next === this.#ring ? undefined : (next as T)
  }

  /** Adds `item`, which must be in no set. */
  add(item: T): void {
    const last = this.#ring.previous!
    item.previous = last
    item.next = this.#ring
    last.next = item
    this.#ring.previous = item
    this.#size++
  }

  /** Takes `item` out, which must be in this set or in none; false when it was in none. */
  delete(item: T): boolean {
    const { next, previous } = item
    if (next === undefined || previous === undefined) return false
    previous.next = next
    next.previous = previous
    item.next = item.previous = undefined
    this.#size--
    return true
  }

  /** What is in it now, oldest first. */
  toArray(): T[] {
    const items: T[] = []
    for (let item = this.#ring.next!; item !== this.#ring; item = item.next!) items.push(item as T)
    return items
  }
}
