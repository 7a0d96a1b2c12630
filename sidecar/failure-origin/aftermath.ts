/**
 * What comes after failures of one callee, where calls cannot be told apart by ids and many requests are in flight: do
 * inbound requests fail more often right after them than at other times?
 *
 * For each of four windows after a failed call the inbound failures are counted and compared with what the overall rate of
 * inbound failures would bring by chance. An application that passes failures on fails one request for each of them, so
 * the excess is near 1; for swallowed failures and for background calls it is near 0, however many there are. The
 * shortest window that holds most of the excess also says how long the application takes from a failed call to its
 * answer: an older failure is no candidate then.
 */

const WINDOWS_MS = [2, 10, 50, 250] as const
const KEPT = 64
/** Memory of the means: about this many failures. */
const MEMORY = 100
/** An excess counts once its standard error is below this. */
const ACCEPTED_ERROR = 0.3
const CAUSAL_EXCESS = 0.4

export type AftermathVerdict = 'cause' | 'not' | 'unknown'

export class AftermathOfFailures {
  #times: number[] = []
  #counts: number[][] = []
  #folded: number[] = []
  #next = 0
  readonly #weight = [0, 0, 0, 0]
  readonly #mean = [0, 0, 0, 0]

  /** A call to the callee failed, its inbound request unknown. */
  failed(nowMs: number): void {
    const at = this.#next
    this.#next = (at + 1) % KEPT
    this.#times[at] = nowMs
    this.#counts[at] = [0, 0, 0, 0]
    this.#folded[at] = 0
  }

  /** An inbound request failed that no matched call explains. */
  inboundFailed(nowMs: number): void {
    this.#fold(nowMs)
    for (let i = 0; i < this.#times.length; i++) {
      const gap = nowMs - this.#times[i]!
      const counts = this.#counts[i]!
      for (let k = 0; k < WINDOWS_MS.length; k++) if (gap <= WINDOWS_MS[k]!) counts[k]!++
    }
  }

  /** Whether a failure `gapMs` ago can be the reason; `rate` is the overall rate of inbound failures per millisecond. */
  verdict(gapMs: number, nowMs: number, rate: number): AftermathVerdict {
    this.#fold(nowMs)
    let most = 0
    let widestKnown = 0
    const excess: number[] = []
    for (let k = 0; k < WINDOWS_MS.length; k++) {
      const n = this.#weight[k]!
      const chance = rate * WINDOWS_MS[k]!
      const known = n >= 4 && Math.sqrt((chance + 0.25) / n) < ACCEPTED_ERROR
      excess.push(known ? this.#mean[k]! - chance : 0)
      if (!known) continue
      widestKnown = WINDOWS_MS[k]!
      most = Math.max(most, excess[k]!)
    }
    if (widestKnown === 0) return 'unknown'
    if (most < CAUSAL_EXCESS) return gapMs <= widestKnown ? 'not' : 'unknown'
    const window = WINDOWS_MS[excess.findIndex(value => value >= 0.8 * most)]!
    return gapMs <= 2 * window ? 'cause' : 'not'
  }

  /** Takes what a window has passed over into its mean. What the ring has lost before that is a sample less. */
  #fold(nowMs: number): void {
    for (let i = 0; i < this.#times.length; i++) {
      const age = nowMs - this.#times[i]!
      while (this.#folded[i]! < WINDOWS_MS.length && age > WINDOWS_MS[this.#folded[i]!]!) {
        const k = this.#folded[i]!
        this.#folded[i] = k + 1
        const weight = Math.min(MEMORY, this.#weight[k]! + 1)
        this.#weight[k] = weight
        this.#mean[k] = this.#mean[k]! + (this.#counts[i]![k]! - this.#mean[k]!) / weight
      }
    }
  }
}

/** Rate of events per millisecond over the last few. */
export class EventRate {
  readonly #times: number[] = []
  #next = 0

  add(nowMs: number): void {
    this.#times[this.#next] = nowMs
    this.#next = (this.#next + 1) % KEPT
  }

  perMs(nowMs: number): number {
    const length = this.#times.length
    if (length < 2) return 0
    const oldest = this.#times[length < KEPT ? 0 : this.#next]!
    return length / Math.max(1, nowMs - oldest)
  }
}
