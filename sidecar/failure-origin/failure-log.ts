/**
 * What `/failures` shows: the last failures this sidecar had a part in, as plain objects, in a ring that grows only as far
 * as there are failures. Followers see each entry as it comes (the page, `hopwise failures --follow`).
 *
 * One failure leaves several entries, here (made, then masked) and at other sidecars; `mergeFailures` puts them together.
 */
import type { Cause, Confidence, Role } from './record.ts'

/** One sidecar's part in one failure. Plain data: it crosses threads and becomes JSON as it is. */
export interface FailureEntry {
  /** Rises by one per entry of this log: `since` of the next question. */
  readonly seq: number
  /** Wall clock, milliseconds. */
  readonly at: number
  readonly role: Role
  /** The sidecar that writes this, and on which side of it. */
  readonly service: string
  readonly side: 'inbound' | 'outbound'
  readonly id: string
  /** Other ids of the same failure, which the other end of a link may know it by. */
  readonly aliases: readonly string[]
  readonly origin: string
  readonly cause: Cause
  readonly subCause: string
  readonly by: string
  readonly link: string
  readonly path: readonly string[]
  readonly confidence: Confidence
  readonly likelihood: number
  readonly span: string
  readonly attempts: number
  readonly details: string
  /** What the caller got: status, 0 for none; gRPC status, -1 for none. */
  readonly status: number
  readonly grpcStatus: number
  readonly requestId: string
  readonly traceId: string
}

const MAX_FOLLOWERS = 64
/** Entries of one answer. */
const MAX_ANSWER = 10_000

export class FailureLog {
  readonly #max: number
  #ring: FailureEntry[] = []
  /** Place of the oldest entry once the ring is full. */
  #oldest = 0
  #seq = 0
  readonly #followers = new Set<(entry: FailureEntry) => void>()
  /** Followers refused for want of room, and followers dropped because they threw. */
  refusedFollowers = 0

  constructor(maxEntries: number) {
    this.#max = maxEntries
  }

  get size(): number {
    return this.#ring.length
  }

  get lastSeq(): number {
    return this.#seq
  }

  nextSeq(): number {
    return ++this.#seq
  }

  add(entry: FailureEntry): void {
    if (this.#ring.length < this.#max) this.#ring.push(entry)
    else if (this.#max > 0) {
      this.#ring[this.#oldest] = entry
      this.#oldest = (this.#oldest + 1) % this.#max
    }
    for (const follower of this.#followers) {
      try {
        follower(entry)
      } catch {
        // A follower's trouble must not become the request's.
        this.#followers.delete(follower)
        this.refusedFollowers++
      }
    }
  }

  /** Entries after `since` (a `seq`), oldest first; with `id`, those of the failure that any of them knows by it. */
  entries(query: { readonly id?: string; readonly since?: number; readonly limit?: number } = {}): FailureEntry[] {
    const { id, since = 0, limit = MAX_ANSWER } = query
    const found: FailureEntry[] = []
    const ids = id === undefined ? undefined : this.#idsOf(id)
    const length = this.#ring.length
    for (let i = 0; i < length; i++) {
      const entry = this.#ring[(this.#oldest + i) % length]!
      if (entry.seq <= since) continue
      if (ids !== undefined && !isKnownBy(entry, ids)) continue
      found.push(entry)
    }
    return found.length > limit ? found.slice(found.length - limit) : found
  }

  /** All names of a failure: one entry knows it by this one and another, the next by that one and a third. */
  #idsOf(id: string): ReadonlySet<string> {
    const ids = new Set([id])
    for (let before = 0; ids.size > before; ) {
      before = ids.size
      for (const entry of this.#ring) {
        if (!isKnownBy(entry, ids)) continue
        ids.add(entry.id)
        for (const alias of entry.aliases) ids.add(alias)
      }
    }
    return ids
  }

  /** Calls `follower` for each entry to come. Undefined when there are too many; otherwise call the result to stop. */
  follow(follower: (entry: FailureEntry) => void): (() => void) | undefined {
    if (this.#followers.size >= MAX_FOLLOWERS) {
      this.refusedFollowers++
      return undefined
    }
    this.#followers.add(follower)
    return () => this.#followers.delete(follower)
  }
}

function isKnownBy(entry: FailureEntry, ids: ReadonlySet<string>): boolean {
  return ids.has(entry.id) || entry.aliases.some(alias => ids.has(alias))
}
