/**
 * Streams that were reset not long ago, and by whom. What a peer sends on a stream may have been on its way when we reset
 * it (RFC 9113 §5.1), so it is no mistake; on a stream that ended in order, it is one.
 */
import { PassingMap } from '../../../base/passing-map.ts'

/** Resets that may be on their way at once; older ones are forgotten. */
const MAX_KEPT = 1024

export class RecentResets {
  #byUs: PassingMap<number, boolean> | undefined = undefined

  add(streamId: number, byUs: boolean): void {
    this.#byUs ??= new PassingMap()
    // The first reset counts.
    if (this.#byUs.has(streamId)) return
    if (this.#byUs.size >= MAX_KEPT) this.#byUs.delete(this.#byUs.keys().next().value!)
    this.#byUs.set(streamId, byUs)
  }

  /** Undefined: it was not reset, or long ago. */
  wasByUs(streamId: number): boolean | undefined {
    return this.#byUs?.get(streamId)
  }
}
