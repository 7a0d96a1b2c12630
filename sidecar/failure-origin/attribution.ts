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
 * The application's own failures come at no even rate: it fails while it works, which it does after calls that succeeded as
 * after those whose failure it handles. So what follows upon successes is learned too, and is taken to follow upon failures
 * as often, as the application's own; only what follows more often upon failures is blamed on these.
 *
 * A weight is what is to be expected now, of a call over which no request has failed until now: of what is always passed on
 * within a millisecond, and was not on a busy machine, the more (in statistics, a hazard rate: the density over what is left).
 *
 * An application that crashes and one that answers with an error are mostly not at the same trouble. So of the failures that
 * were answered and of those that were cut off it is learned apart how many are its own.
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
/** Nobody passes on so surely that a call which was not is impossible. */
const MOST_PASSED = 0.95
/** Failed calls after which the older ones count for half. */
const MEMORY = 512
/** Failures that are looked at again, and how many of them with each new one. */
const KEPT = 192
const LOOKED_AT_AGAIN = 32
/** Candidates of one failure that are weighed, and calls that succeeded beside these. */
const MAX_CANDIDATES = 48
const MAX_SUCCEEDED = 16
/** A success says nothing where a failed call that is no background work ended within so many times its distance, or so long. */
const CONTEST = 4
const CONTEST_MS = 20
const LEAST_CONTESTING = 0.05
/** Upon successes failures follow hardly ever, where nothing is known; so many calls are taken for seen. */
const PRIOR_FOLLOWED = 0.02
const PRIOR_SUCCEEDED = 2
/**
 * An application may take failures otherwise from one day to the next. What was learned of a callee is dropped where what
 * was believed at first explains the failures of late so much better (log-likelihoods, as Page's cumulative sum).
 */
const BELIEVED_NO_MORE = 12
/** One failure alone says no more than this: it may be the first of its kind. */
const MOST_OF_ONE = 3
/** Own failures, and others, that are taken for seen before the first. */
const PRIOR_OWN = 0.5
/** An application that was never seen to fail by itself does so this often, per millisecond. */
const LEAST_OWN_RATE = 2e-4

/** What is known of one callee's failures, or, with `own`, of its successes. */
export class Reaction {
  /** Requests failed over such a call, by distance: fractions, because that is never sure. */
  readonly #counts = new Float64Array(BINS)
  #counted = 0
  /** What stands in the bins before each, with what is taken for seen; summed up when it is asked for. */
  readonly #before = new Float64Array(BINS)
  #beforeIsOld = true
  #passedOn = 0
  #failed = 0
  /** How much better the failures of late are explained when nothing is known of this callee. */
  #doubt = 0
  readonly #own: boolean
  readonly #priorPassed: number
  readonly #priorFailed: number

  /** `own`: upon successes, which are no reason for what follows upon them. */
  constructor(own = false) {
    this.#own = own
    this.#priorPassed = own ? PRIOR_FOLLOWED * PRIOR_SUCCEEDED : PRIOR_PASSED
    this.#priorFailed = own ? PRIOR_SUCCEEDED : PRIOR_FAILED
  }

  /** A call ended so of which no request is known. */
  ended(): void {
    if (!this.#own) this.#doubt = Math.max(0, this.#doubt + this.share - this.#priorPassed / this.#priorFailed)
    this.#failed++
    if (this.#failed < MEMORY) return
    this.#failed /= 2
    this.#passedOn /= 2
  }

  /** One of those was the reason of a request's failure, which is known by other means than the time between them. */
  wasReason(): void {
    this.#passedOn++
  }

  /** Of its failures, the share that fails a request. */
  get share(): number {
    return Math.min(1, (Math.max(0, this.#passedOn) + this.#priorPassed) / (this.#failed + this.#priorFailed))
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
    const rarely = this.#own ? 1 : Math.min(1, share / LEAST_SHARE)
    return (share * rarely * rarely * perWide * narrowing * peak) / msOf(bin)
  }

  /**
   * By how much more than {@link perMs} is to be expected, where nobody has failed over the call until now: the density is
   * then of those that are left.
   */
  overdue(bin: number): number {
    const passed = Math.min(MOST_PASSED, this.share / OCCAM)
    if (passed < LEAST_SHARE) return 1
    if (this.#beforeIsOld) this.#sumUp()
    return 1 / (1 - (passed * this.#before[bin]!) / (this.#counted + PRIOR_WEIGHT))
  }

  #sumUp(): void {
    this.#beforeIsOld = false
    const counts = this.#counts
    let sum = 0
    for (let k = 0; k < BINS; k++) {
      this.#before[k] = sum
      sum += counts[k]! + PRIOR_WEIGHT * PRIOR_PER_LOG[k]! * LOG_WIDTH
    }
  }

  /** What {@link perMs} would be if nothing were known. */
  priorPerMs(bin: number): number {
    return ((this.#priorPassed / this.#priorFailed) * PRIOR_PER_LOG[bin]!) / msOf(bin)
  }

  /** A request failed, which without what is known would have been so many times as likely. */
  doubt(times: number): void {
    this.#doubt = Math.max(0, this.#doubt + Math.min(MOST_OF_ONE, Math.log(times)))
    if (this.#doubt < BELIEVED_NO_MORE) return
    this.#doubt = this.#failed = this.#passedOn = this.#counted = 0
    this.#counts.fill(0)
    this.#beforeIsOld = true
  }

  add(bin: number, fraction: number): void {
    this.#count(bin, fraction)
    this.#passedOn += fraction * OCCAM
  }

  /** Of what is seen no more only the time it took is forgotten; the share has a memory of its own. */
  forget(bin: number, fraction: number): void {
    this.#count(bin, -fraction)
  }

  #count(bin: number, fraction: number): void {
    this.#counts[bin] = Math.max(0, this.#counts[bin]! + fraction)
    this.#counted = Math.max(0, this.#counted + fraction)
    this.#beforeIsOld = true
  }
}

/** Failures of one manner: how many are kept, and how many of these are the application's own. */
class Manner {
  all = 0
  own = 0

  get ownShare(): number {
    return (this.own + PRIOR_OWN) / (this.all + 2 * PRIOR_OWN)
  }
}

/** A failed request, and all that could have been the reason. */
interface Failure {
  readonly manner: Manner
  readonly reactions: readonly Reaction[]
  readonly bins: Uint8Array
  /** What else speaks for or against each. */
  readonly factors: Float64Array
  /** 1 for a call over which another request has failed. */
  readonly taken: Uint8Array
  /** What follows upon successes of the same callee. */
  readonly controls: readonly (Reaction | undefined)[]
  readonly fractions: Float64Array
  /** The same of calls that succeeded: what follows upon these is the application's own. */
  readonly succeeded: readonly Reaction[]
  readonly succeededBins: Uint8Array
  readonly succeededFractions: Float64Array
  /** Distance of the nearest failed call that is no background work. */
  readonly nearestMs: number
  readonly ratePerMs: number
  own: number
}

export class Attribution {
  readonly #kept: Failure[] = []
  #next = 0
  #again = 0
  readonly #answered = new Manner()
  readonly #cut = new Manner()
  #reactions: Reaction[] = []
  #controls: (Reaction | undefined)[] = []
  readonly #bins = new Uint8Array(MAX_CANDIDATES)
  readonly #factors = new Float64Array(MAX_CANDIDATES)
  readonly #taken = new Uint8Array(MAX_CANDIDATES)
  #succeeded: Reaction[] = []
  readonly #succeededBins = new Uint8Array(MAX_SUCCEEDED)
  #nearestMs = Number.POSITIVE_INFINITY

  get isFull(): boolean {
    return this.#reactions.length >= MAX_CANDIDATES
  }

  /**
   * One more failed call that could be the reason; its number, from 0. `factor`: what is known besides, 1 for nothing.
   * `control`: what follows upon successes of the same callee, where there were any. `taken`: another request has failed
   * over it.
   */
  offer(reaction: Reaction, gapMs: number, factor: number, control?: Reaction, taken = false): number {
    const at = this.#reactions.length
    this.#reactions.push(reaction)
    this.#controls.push(control)
    this.#bins[at] = binOf(gapMs)
    this.#factors[at] = factor
    this.#taken[at] = taken ? 1 : 0
    if (factor > 0.5 && reaction.share >= LEAST_CONTESTING) this.#nearestMs = Math.min(this.#nearestMs, gapMs)
    return at
  }

  /** A call that succeeded, and upon which the application may have failed by itself. Those beyond the first few are left out. */
  offerSucceeded(reaction: Reaction, gapMs: number): void {
    const at = this.#succeeded.length
    if (at === MAX_SUCCEEDED) return
    this.#succeeded.push(reaction)
    this.#succeededBins[at] = binOf(gapMs)
  }

  /**
   * Weighs what was offered and begins anew. `ratePerMs`: of failed requests without a known reason, that were `cut` off or
   * not. Gives the probability of each candidate; what is missing to 1 is the application's own.
   */
  judge(ratePerMs: number, cut = false): Float64Array {
    const count = this.#reactions.length
    const manner = cut ? this.#cut : this.#answered
    const failure: Failure = {
      manner,
      reactions: this.#reactions,
      bins: this.#bins.slice(0, count),
      factors: this.#factors.slice(0, count),
      taken: this.#taken.slice(0, count),
      controls: this.#controls,
      fractions: new Float64Array(count),
      succeeded: this.#succeeded,
      succeededBins: this.#succeededBins.slice(0, this.#succeeded.length),
      succeededFractions: new Float64Array(this.#succeeded.length),
      nearestMs: this.#nearestMs,
      ratePerMs: Math.max(LEAST_OWN_RATE, ratePerMs),
      own: 0,
    }
    this.#reactions = []
    this.#controls = []
    this.#succeeded = []
    this.#nearestMs = Number.POSITIVE_INFINITY
    this.#reconsider(failure, this.#weigh(failure))
    const old = this.#kept[this.#next]
    if (old !== undefined) this.#forget(old)
    manner.all++
    this.#kept[this.#next] = failure
    this.#next = (this.#next + 1) % KEPT
    for (let i = Math.min(LOOKED_AT_AGAIN, this.#kept.length); i > 0; i--) {
      this.#again = (this.#again + 1) % this.#kept.length
      this.#weigh(this.#kept[this.#again]!)
    }
    this.#weigh(failure)
    return failure.fractions
  }

  /** Whether this failure is understood better where nothing is known of a callee. `sum`: the weights of all explanations. */
  #reconsider({ reactions, bins, factors }: Failure, sum: number): void {
    for (let i = 0; i < reactions.length; i++) {
      const reaction = reactions[i]!
      if (reactions.indexOf(reaction) < i) continue
      let more = 0
      for (let k = i; k < reactions.length; k++) {
        if (reactions[k] !== reaction) continue
        more += (reaction.priorPerMs(bins[k]!) - reaction.perMs(bins[k]!)) * factors[k]!
      }
      reaction.doubt(Math.max(Number.EPSILON, 1 + more / sum))
    }
  }

  /** The sum of the weights of all explanations. */
  #weigh(failure: Failure): number {
    const { manner, reactions, bins, factors, taken, controls, fractions, ratePerMs } = failure
    const { succeeded, succeededBins, succeededFractions, nearestMs } = failure
    for (let i = 0; i < fractions.length; i++) reactions[i]!.add(bins[i]!, -fractions[i]!)
    for (let i = 0; i < succeeded.length; i++) succeeded[i]!.add(succeededBins[i]!, -succeededFractions[i]!)
    manner.own -= failure.own
    let own = manner.ownShare * ratePerMs
    let sum = 0
    for (let i = 0; i < fractions.length; i++) {
      const reaction = reactions[i]!
      const bin = bins[i]!
      const weight = reaction.perMs(bin) * factors[i]! * (taken[i] === 1 ? 1 : reaction.overdue(bin))
      fractions[i] = weight
      sum += weight
      const control = controls[i]
      if (control !== undefined) own += control.perMs(bins[i]!) * factors[i]!
    }
    for (let i = 0; i < succeeded.length; i++) {
      const weight = succeeded[i]!.perMs(succeededBins[i]!)
      succeededFractions[i] = weight
      own += weight
    }
    sum += own
    for (let i = 0; i < fractions.length; i++) {
      fractions[i] = fractions[i]! / sum
      reactions[i]!.add(bins[i]!, fractions[i]!)
    }
    for (let i = 0; i < succeeded.length; i++) {
      const contested = nearestMs <= Math.max(CONTEST_MS, CONTEST * msOf(succeededBins[i]!))
      succeededFractions[i] = contested ? 0 : succeededFractions[i]! / sum
      succeeded[i]!.add(succeededBins[i]!, succeededFractions[i]!)
    }
    failure.own = own / sum
    manner.own += failure.own
    return sum
  }

  #forget({ manner, reactions, bins, fractions, succeeded, succeededBins, succeededFractions, own }: Failure): void {
    for (let i = 0; i < fractions.length; i++) reactions[i]!.forget(bins[i]!, fractions[i]!)
    for (let i = 0; i < succeeded.length; i++) succeeded[i]!.forget(succeededBins[i]!, succeededFractions[i]!)
    manner.all--
    manner.own -= own
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
