/**
 * Which of several failed calls, if any, was the reason for the failure of a request, where calls cannot be told apart by
 * ids and many requests are in flight?
 *
 * Every failed call fails a request after some time, or none (it was swallowed, tried again, or is background work); and
 * the application fails by itself now and then. Of each callee two things are learned: the share of its failures that are
 * passed on, and how long the application takes to do so. So for a request that fails now, every failed call of late has
 * a weight, share × density at its distance, and the application itself has one, its rate of own failures:
 *
 *     distance   0.3 ms   3 ms   30 ms                      an application that passes failures on at once, and
 *     call x     █        ·      ·        share 0.5         tries again first: every second failure is a reason
 *     call dead  ·        ·      ·        share 0           background work
 *     itself     ─────────────────        rate
 *
 * Nobody says afterwards who was right, so this is estimated by expectation maximisation: what was learned weighs the
 * candidates of the failures of late, and their weights are what is learned. These compete, so that a call which merely
 * failed near everything else loses to the one that explains it. Incremental, as by Neal and Hinton (1998): each failure
 * takes a few older ones into another look. Where nothing is known yet, short distances are likelier and most failures are
 * passed on, which is the specification's rule: the call that ended last.
 */

/** Bins grow by 6 %, from 0.05 ms to above two seconds. */
const BINS = 180
const FIRST_MS = 0.05
const LOG_WIDTH = 0.06
/** Where nothing is known: evenly over the logarithm of the distance, and less from where applications seldom are so slow. */
const SELDOM_MS = 30
const PRIOR_PER_LOG = priorPerLog()
const PRIOR_WEIGHT = 1.5
const NARROWING_WEIGHT = 2.5
/** Of failures of a callee of which nothing is known, so many are passed on. */
const PRIOR_PASSED = 0.8
const PRIOR_FAILED = 1
/**
 * Work at an even rate explains failures at an even rate as well as the application itself does. What explains no better
 * loses this share with every look, what explains better keeps what it has.
 */
const OCCAM = 0.5
/** A callee whose failures are passed on less often is hardly ever a reason, so that what does fit is chance. */
const LEAST_SHARE = 0.2
/** Failed calls after which the older ones count for half. */
const MEMORY = 512
/** Failures that are looked at again, and how many of them with each new one. */
const KEPT = 192
const LOOKED_AT_AGAIN = 32
/** Candidates of one failure that are weighed. */
const MAX_CANDIDATES = 48
/** Own failures, and others, that are taken for seen before the first. */
const PRIOR_OWN = 0.5
/** An application that was never seen to fail by itself does so this often, per millisecond. */
const LEAST_OWN_RATE = 2e-4

/** What is known of one callee's failures. */
export class Reaction {
  /** Requests failed over such a call, by distance: fractions, because that is never sure. */
  readonly #counts = new Float64Array(BINS)
  #counted = 0
  #passedOn = 0
  #failed = 0

  /** A call failed of which no request is known. */
  failed(): void {
    this.#failed++
    if (this.#failed < MEMORY) return
    this.#failed /= 2
    this.#passedOn /= 2
  }

  /** Of its failures, the share that fails a request. */
  get share(): number {
    return Math.min(1, (Math.max(0, this.#passedOn) + PRIOR_PASSED) / (this.#failed + PRIOR_FAILED))
  }

  /** Failures of requests to be expected per millisecond at this distance, from one failed call. */
  perMs(bin: number): number {
    const counts = this.#counts
    let one = 0
    let narrow = 0
    let wide = 0
    for (let k = Math.max(0, bin - 4); k <= bin + 4 && k < BINS; k++) {
      const count = counts[k]!
      wide += count
      if (k >= bin - 1 && k <= bin + 1) narrow += count
      if (k === bin) one = count
    }
    // Three scales: the finer ones say something only where there is enough to see.
    const perWide = (wide / (9 * LOG_WIDTH) + PRIOR_WEIGHT * PRIOR_PER_LOG[bin]!) / (this.#counted + PRIOR_WEIGHT)
    const narrowing = (3 * (narrow + NARROWING_WEIGHT / 3)) / (wide + NARROWING_WEIGHT)
    const peak = (3 * (one + NARROWING_WEIGHT / 3)) / (narrow + NARROWING_WEIGHT)
    const { share } = this
    const rarely = Math.min(1, share / LEAST_SHARE)
    return (share * rarely * rarely * perWide * narrowing * peak) / msOf(bin)
  }

  add(bin: number, fraction: number): void {
    this.#counts[bin] = Math.max(0, this.#counts[bin]! + fraction)
    this.#counted = Math.max(0, this.#counted + fraction)
    this.#passedOn += fraction * OCCAM
  }

  /** Of what is seen no more only the time it took is forgotten; the share has a memory of its own. */
  forget(bin: number, fraction: number): void {
    this.#counts[bin] = Math.max(0, this.#counts[bin]! - fraction)
    this.#counted = Math.max(0, this.#counted - fraction)
  }
}

/** A failed request, and all that could have been the reason. */
interface Failure {
  readonly reactions: readonly Reaction[]
  readonly bins: Uint8Array
  /** What else speaks for or against each. */
  readonly factors: Float64Array
  readonly fractions: Float64Array
  readonly ratePerMs: number
  own: number
}

export class Attribution {
  readonly #kept: Failure[] = []
  #next = 0
  #again = 0
  #own = 0
  #reactions: Reaction[] = []
  readonly #bins = new Uint8Array(MAX_CANDIDATES)
  readonly #factors = new Float64Array(MAX_CANDIDATES)

  get isFull(): boolean {
    return this.#reactions.length >= MAX_CANDIDATES
  }

  /** One more failed call that could be the reason; its number, from 0. `factor`: what is known besides, 1 for nothing. */
  offer(reaction: Reaction, gapMs: number, factor: number): number {
    const at = this.#reactions.length
    this.#reactions.push(reaction)
    this.#bins[at] = binOf(gapMs)
    this.#factors[at] = factor
    return at
  }

  /**
   * Weighs what was offered and begins anew. `ratePerMs`: of failed requests without a known reason. Gives the probability
   * of each candidate; what is missing to 1 is the application's own.
   */
  judge(ratePerMs: number): Float64Array {
    const count = this.#reactions.length
    const failure: Failure = {
      reactions: this.#reactions,
      bins: this.#bins.slice(0, count),
      factors: this.#factors.slice(0, count),
      fractions: new Float64Array(count),
      ratePerMs: Math.max(LEAST_OWN_RATE, ratePerMs),
      own: 0,
    }
    this.#reactions = []
    this.#weigh(failure)
    const old = this.#kept[this.#next]
    if (old !== undefined) this.#forget(old)
    this.#kept[this.#next] = failure
    this.#next = (this.#next + 1) % KEPT
    for (let i = Math.min(LOOKED_AT_AGAIN, this.#kept.length); i > 0; i--) {
      this.#again = (this.#again + 1) % this.#kept.length
      this.#weigh(this.#kept[this.#again]!)
    }
    this.#weigh(failure)
    return failure.fractions
  }

  /** Of the failures of late, the share that is the application's own. */
  get ownShare(): number {
    return (this.#own + PRIOR_OWN) / (this.#kept.length + 2 * PRIOR_OWN)
  }

  #weigh(failure: Failure): void {
    const { reactions, bins, factors, fractions, ratePerMs } = failure
    for (let i = 0; i < fractions.length; i++) reactions[i]!.add(bins[i]!, -fractions[i]!)
    this.#own -= failure.own
    const own = this.ownShare * ratePerMs
    let sum = own
    for (let i = 0; i < fractions.length; i++) {
      const weight = reactions[i]!.perMs(bins[i]!) * factors[i]!
      fractions[i] = weight
      sum += weight
    }
    for (let i = 0; i < fractions.length; i++) {
      fractions[i] = fractions[i]! / sum
      reactions[i]!.add(bins[i]!, fractions[i]!)
    }
    failure.own = own / sum
    this.#own += failure.own
  }

  #forget({ reactions, bins, fractions, own }: Failure): void {
    for (let i = 0; i < fractions.length; i++) reactions[i]!.forget(bins[i]!, fractions[i]!)
    this.#own -= own
  }
}

function binOf(gapMs: number): number {
  if (gapMs <= FIRST_MS) return 0
  return Math.min(BINS - 1, Math.floor(Math.log(gapMs / FIRST_MS) / LOG_WIDTH))
}

function priorPerLog(): Float64Array {
  const prior = Float64Array.from({ length: BINS }, (_, bin) => 1 / (1 + msOf(bin) / SELDOM_MS))
  const sum = prior.reduce((x, y) => x + y) * LOG_WIDTH
  return prior.map(value => value / sum)
}

/** The middle of a bin. */
function msOf(bin: number): number {
  return FIRST_MS * Math.exp((bin + 0.5) * LOG_WIDTH)
}
