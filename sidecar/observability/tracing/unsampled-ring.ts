/**
 * The last unsampled spans that have ended: when a request fails, those of its trace are reported after all.
 *
 * A span of an attempt, or of an egress call, ends before the failure of the request that caused it is known. Looking for
 * a trace is a pass over the ring, and happens on failures only.
 *
 * A span that is kept outlives the garbage collector's young generation, with all it points at: 8 kB to be copied twice
 * and found dead later, 4 µs a request and 45 MB of memory (`npm run bench`, GET). So a span lets go of its request
 * first ({@link Span.detach}), which leaves 1 kB, and is kept for a while or not at all: when more come than the ring can
 * keep for {@link KEEP_MS}, the rest go at once. Above 2,000 requests a second a failure may therefore find only some of
 * the spans of its trace; below, all of them.
 */
import type { Span } from './span.ts'

export const DEFAULT_RING_SIZE = 512
/** How long a span is kept at least, once it is: what most requests take whose calls these are. */
const KEEP_MS = 250

export class UnsampledRing {
  readonly #spans: (Span | undefined)[]
  #next = 0

  constructor(size = DEFAULT_RING_SIZE) {
    this.#spans = new Array<Span | undefined>(size).fill(undefined)
  }

  /** Whether a span that has ended at `endMs` would be kept. */
  accepts(endMs: number): boolean {
    const spans = this.#spans
    if (spans.length === 0) return false
    const oldest = spans[this.#next]
    return oldest === undefined || endMs - oldest.endMs >= KEEP_MS
  }

  /** For spans that it {@link accepts}. */
  add(span: Span): void {
    const spans = this.#spans
    spans[this.#next] = span
    this.#next = this.#next + 1 === spans.length ? 0 : this.#next + 1
  }

  /** Takes the spans of a trace out, oldest first. */
  take(traceId: string): Span[] {
    const found: Span[] = []
    const spans = this.#spans
    for (let i = 0; i < spans.length; i++) {
      const index = (this.#next + i) % spans.length
      const span = spans[index]
      if (span === undefined || span.traceId !== traceId) continue
      spans[index] = undefined
      found.push(span)
    }
    return found
  }

  clear(): void {
    this.#spans.fill(undefined)
  }
}
