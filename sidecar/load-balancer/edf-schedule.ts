/**
 * Earliest deadline first (Envoy: `EdfScheduler`): a binary heap of entries by deadline; among equal deadlines the one
 * that was scheduled first is first.
 */
export class EdfSchedule<T> {
  readonly #entries: T[] = []
  readonly #deadlines: number[] = []
  readonly #orders: number[] = []
  #order = 0

  get size(): number {
    return this.#entries.length
  }

  /** The entry that is due first. There must be one. */
  get first(): T {
    return this.#entries[0]!
  }

  get firstDeadline(): number {
    return this.#deadlines[0]!
  }

  add(deadline: number, entry: T): void {
    let at = this.#entries.length
    this.#entries.push(entry)
    this.#deadlines.push(deadline)
    this.#orders.push(this.#order++)
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!this.#before(at, above)) return
      this.#swap(at, above)
      at = above
    }
  }

  /** Gives the first entry another deadline. */
  reschedule(deadline: number): void {
    this.#deadlines[0] = deadline
    this.#orders[0] = this.#order++
    const size = this.#entries.length
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      if (left >= size) return
      const right = left + 1
      const child = right < size && this.#before(right, left) ? right : left
      if (!this.#before(child, at)) return
      this.#swap(at, child)
      at = child
    }
  }

  #before(a: number, b: number): boolean {
    const first = this.#deadlines[a]!
    const second = this.#deadlines[b]!
    return first < second || (first === second && this.#orders[a]! < this.#orders[b]!)
  }

  #swap(a: number, b: number): void {
    const entries = this.#entries
    const deadlines = this.#deadlines
    const orders = this.#orders
    const entry = entries[a]!
    const deadline = deadlines[a]!
    const order = orders[a]!
    entries[a] = entries[b]!
    deadlines[a] = deadlines[b]!
    orders[a] = orders[b]!
    entries[b] = entry
    deadlines[b] = deadline
    orders[b] = order
  }
}
