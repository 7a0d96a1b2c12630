/**
 * What comes after failures of one callee, where calls cannot be told apart by ids and many requests are in flight: how
 * many inbound requests fail how long after a failed call, and how many would by chance?
 *
 * This is the cross-correlogram of two event trains. For each failed call, the inbound failures after it are counted in
 * bins of growing width; chance is the overall rate of inbound failures times the width. An application that passes
 * failures on fails one request for each of them, at the distance at which it reacts, so there the count stands far above
 * chance. Swallowed failures and background calls leave every bin at chance, however many they are. Three uses:
 *
 *     verdict  whether failures of this callee are a reason for anything
 *     odds     which of several failed calls fits best: at a distance where the application usually reacts
 *     (both know nothing at first, and say so: then the call that ended last is taken, as specified)
 */

/** Bin k ends at EDGES[k] milliseconds; each a third wider than the one before, up to half a second. */
const BINS = 32
const EDGES: readonly number[] = Array.from({ length: BINS }, (_, k) => 0.07 * 1.33 ** k)
const WIDTHS: readonly number[] = EDGES.map((edge, k) => edge - (k === 0 ? 0 : EDGES[k - 1]!))
const LONGEST_MS = EDGES[BINS - 1]!
/** Failed calls watched at a time; of more in half a second a sample. */
const KEPT = 64
/** Memory of the means, in failed calls. */
const MEMORY = 128
/** So many standard errors above chance is no chance, with thirty bins looked at. */
const SIGNIFICANT = 3.5
/** So much of a failure per failed call makes the callee a cause. */
const CAUSAL_EXCESS = 0.35
/** Failed calls seen before anything is concluded. */
const LEAST_SEEN = 3
/**
 * That applications do not pass a failure on is concluded once this is measured well enough, as far out as a quarter of a failure
 * is expected by chance. (Any fixed distance is wrong: of 50 requests at a time on two cores, answers to failed calls take
 * tens of milliseconds.)
 */
const ACCEPTED_ERROR = 0.4
const ENOUGH_CHANCE = 0.25
const LONGEST_REACTION_MS = 100
/** Events of which the rate is taken. */
const RATE_KEPT = 256
const RATE_WINDOW_MS = 5000
/** So many standard errors above the rate and failures come in bouts. */
const BOUT_ERRORS = 3

export type AftermathVerdict = 'cause' | 'not' | 'unknown'

export class AftermathOfFailures {
  readonly #times = new Float64Array(KEPT).fill(Number.NEGATIVE_INFINITY)
  readonly #counts = new Uint16Array(KEPT * BINS)
  /** Bins of each watched call that are over and part of the means. */
  readonly #folded = new Uint8Array(KEPT).fill(BINS)
  #next = 0
  readonly #weight = new Float64Array(BINS)
  readonly #mean = new Float64Array(BINS)
  /** The same, looking back: what chance has at these distances. */
  readonly #meanBefore = new Float64Array(BINS)
  readonly #back = new Uint16Array(BINS)
  #lookedBack = 0

  /** A call to the callee failed, its inbound request unknown. `before`: the inbound failures until now. */
  failed(nowMs: number, before: EventRate): void {
    this.#lookBack(nowMs, before)
    const at = this.#next
    this.#next = (at + 1) % KEPT
    this.#foldOne(at, nowMs)
    this.#times[at] = nowMs
    this.#counts.fill(0, at * BINS, (at + 1) * BINS)
    this.#folded[at] = 0
  }

  /** An inbound request failed that no matched call explains. */
  inboundFailed(nowMs: number): void {
    for (let i = 0; i < KEPT; i++) {
      const gap = nowMs - this.#times[i]!
      if (gap > LONGEST_MS) continue
      const at = i * BINS + binOf(gap)
      this.#counts[at] = this.#counts[at]! + 1
    }
  }

  /** Whether a failure `gapMs` ago can be a reason; `rate` is the overall rate of inbound failures per millisecond. */
  verdict(gapMs: number, nowMs: number, rate: number): AftermathVerdict {
    this.#fold(nowMs)
    let significant = 0
    let reachMs = 0
    let sum = 0
    let chance = 0
    let chanceSum = 0
    let before = 0
    let whole = 0
    let absent = false
    for (let k = 0; k < BINS; k++) {
      const n = this.#weight[k]!
      if (n < LEAST_SEEN) break
      before += this.#meanBefore[k]!
      const chanceBefore = chanceSum
      chanceSum = Math.max(chanceSum, this.#chanceUpTo(k, rate, before))
      const previousChance = chance
      chance = chanceSum - chanceBefore
      const excess = this.#mean[k]! - chance
      // All up to here: what a loaded machine spreads over many bins stands out of none of them.
      const sumError = Math.sqrt((chanceSum + 0.25) / n + (chanceSum * chanceSum) / RATE_KEPT)
      sum += excess
      if (sum >= CAUSAL_EXCESS && sum >= SIGNIFICANT * sumError && sum > 1.1 * whole) {
        whole = sum
        reachMs = Math.max(reachMs, EDGES[k]!)
      }
      // Judged at the widest distance at which chance does not yet drown it, once enough was seen to look that far.
      if (sumError < ACCEPTED_ERROR && (EDGES[k]! >= LONGEST_REACTION_MS || chanceSum >= ENOUGH_CHANCE)) {
        absent = sum < CAUSAL_EXCESS
      }
      // Neighbours are taken together too, or a peak on an edge would count for half of what it is.
      const both = k === 0 ? excess : excess + this.#mean[k - 1]! - previousChance
      const bothChance = k === 0 ? chance : chance + previousChance
      // The rate is an estimate as well: what it says of a wide bin is off by a sixteenth.
      const error = Math.sqrt((bothChance + 0.02) / n + (bothChance * bothChance) / RATE_KEPT)
      if (both < 0.1 || both < SIGNIFICANT * error) continue
      significant += Math.max(0, excess)
      reachMs = Math.max(reachMs, EDGES[k]!)
    }
    // Past the distance at which the application answers, the call is somebody else's.
    if (Math.max(significant, whole) >= CAUSAL_EXCESS) return gapMs <= 2 * reachMs ? 'cause' : 'not'
    return absent ? 'not' : 'unknown'
  }

  /** How many times likelier than by chance an inbound failure is at this distance; 1 where nothing is known. */
  odds(gapMs: number, rate: number): number {
    if (gapMs > LONGEST_MS || rate === 0) return 1
    const k = binOf(gapMs)
    const chance = rate * WIDTHS[k]!
    const n = this.#weight[k]!
    return (n * this.#mean[k]! + chance) / ((n + 1) * chance)
  }

  /**
   * Inbound failures to be expected up to the end of bin k though the calls had nothing to do with them. The rate says it
   * where failures come evenly. On a loaded machine everything comes in bouts, so that whatever fails at all fails near
   * everything else; but only what is caused comes after and not before. So where more came before than by the rate, that
   * many are expected.
   */
  #chanceUpTo(k: number, rate: number, before: number): number {
    const chance = rate * EDGES[k]!
    return before - chance > BOUT_ERRORS * Math.sqrt((chance + 0.05) / (this.#lookedBack + 1)) ? before : chance
  }

  #lookBack(nowMs: number, before: EventRate): void {
    this.#back.fill(0)
    before.countBack(nowMs, LONGEST_MS, this.#back)
    const weight = (this.#lookedBack = Math.min(MEMORY, this.#lookedBack + 1))
    for (let k = 0; k < BINS; k++) {
      this.#meanBefore[k] = this.#meanBefore[k]! + (this.#back[k]! - this.#meanBefore[k]!) / weight
    }
  }

  #fold(nowMs: number): void {
    for (let i = 0; i < KEPT; i++) if (this.#folded[i]! < BINS) this.#foldOne(i, nowMs)
  }

  /** Takes the bins that are over into the means. Those that a full ring cuts off are samples less. */
  #foldOne(i: number, nowMs: number): void {
    const age = nowMs - this.#times[i]!
    let k = this.#folded[i]!
    for (; k < BINS && age > EDGES[k]!; k++) {
      const weight = Math.min(MEMORY, this.#weight[k]! + 1)
      this.#weight[k] = weight
      this.#mean[k] = this.#mean[k]! + (this.#counts[i * BINS + k]! - this.#mean[k]!) / weight
    }
    this.#folded[i] = k
  }
}

function binOf(gapMs: number): number {
  let k = 0
  while (k < BINS - 1 && gapMs > EDGES[k]!) k++
  return k
}

/** Rate of events per millisecond over the last few. */
export class EventRate {
  readonly #times = new Float64Array(RATE_KEPT)
  #count = 0

  add(nowMs: number): void {
    this.#times[this.#count++ % RATE_KEPT] = nowMs
  }

  /** Of the last seconds only: failures come in bouts, and the quiet between two says nothing of either. */
  perMs(nowMs: number): number {
    const kept = Math.min(this.#count, RATE_KEPT)
    let n = 0
    let oldest = nowMs
    while (n < kept) {
      const at = this.#times[(this.#count - 1 - n) % RATE_KEPT]!
      if (nowMs - at > RATE_WINDOW_MS) break
      oldest = at
      n++
    }
    return n < 2 ? 0 : n / Math.max(0.01, nowMs - oldest)
  }

  /** Adds the events of the last `reachMs` to `bins`, by their distance. */
  countBack(nowMs: number, reachMs: number, bins: Uint16Array): void {
    const kept = Math.min(this.#count, RATE_KEPT)
    for (let n = 0; n < kept; n++) {
      const gap = nowMs - this.#times[(this.#count - 1 - n) % RATE_KEPT]!
      if (gap > reachMs) return
      const k = binOf(gap)
      bins[k] = bins[k]! + 1
    }
  }
}
