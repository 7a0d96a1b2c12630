/**
 * A distribution in fixed memory, as Envoy keeps it: log-linear bins of two decimal digits (1.0, 1.1, … 9.9, 10, 11, …),
 * which is what its quantiles are read from, and beside them one count per Prometheus bucket, which is exact.
 *
 * Values are spread over 15 decades from 0.001 to 10^12; what is smaller (or negative) counts as 0, what is larger as the
 * largest. A decade's 90 bins are made when its first value comes, so a histogram that nobody feeds costs 340 bytes, and
 * one of request times some 5 kB. A record is a few comparisons and five additions (test/bench/stats.bench.ts).
 *
 * What is recorded goes into `fresh`; `rotate()`, called every `stats_flush_interval`, adds it to `total` and leaves it as
 * the `interval` that Envoy prints beside the sum since start (in short form: most intervals touch few bins). Unlike
 * Envoy's, the sum since start includes what is still fresh: a scrape is never one interval behind.
 */
import type { Histogram } from './stats.ts'

/** Envoy's default bucket bounds (`HistogramSettingsImpl`). */
export const DEFAULT_BOUNDS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
]

/** The quantiles Envoy prints. */
export const QUANTILES: readonly number[] = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1]

const DECADES = 15
/** 10 ** (decade - 3): the least value of each decade. */
const SCALE: readonly number[] = Array.from({ length: DECADES }, (_, decade) => Number(`1e${decade - 3}`))
const BINS = 90
const LARGEST = 9.9e11

/** `[lower bound, width, count]` of one bin that is not empty. */
export type Bin = readonly [lower: number, width: number, count: number]

/** An example of what fell into a bucket, for OpenMetrics. */
export interface Exemplar {
  readonly traceId: string
  readonly value: number
  /** Wall clock, milliseconds. */
  readonly atMs: number
}

/** What travels between threads: structured-clonable, adds up with {@link LogLinearHistogram.absorb}. */
export interface HistogramSnapshot {
  readonly count: number
  readonly sum: number
  readonly buckets: readonly number[]
  readonly total: BinsSnapshot
  readonly interval: ShortBins
  /** By bucket; undefined where none was recorded. */
  readonly exemplars: readonly (Exemplar | undefined)[] | undefined
}

/** `[bin, count, bin, count, …]` of the bins that are not empty, ascending; -1 is the bin of zeros. */
type ShortBins = readonly number[]

export interface BinsSnapshot {
  readonly zeros: number
  readonly decades: readonly (readonly number[] | undefined)[]
}

/** For each bin the first bucket that takes its lower bound, per set of bounds: nearly all histograms share one. */
const firstBuckets = new WeakMap<readonly number[], Uint8Array>()

function firstBucketsOf(bounds: readonly number[]): Uint8Array {
  const known = firstBuckets.get(bounds)
  if (known !== undefined) return known
  const table = new Uint8Array(DECADES * BINS)
  for (let decade = 0; decade < DECADES; decade++) {
    for (let bin = 0; bin < BINS; bin++) {
      // A hair below the bin's lower bound, because a value may be rounded into it from below.
      const lower = ((bin + 10) / 10) * SCALE[decade]! * (1 - 1e-9)
      let bucket = 0
      while (bucket < bounds.length && lower > bounds[bucket]!) bucket++
      table[decade * BINS + bin] = bucket
    }
  }
  firstBuckets.set(bounds, table)
  return table
}

class Bins {
  zeros = 0
  readonly decades: (number[] | undefined)[] = new Array<number[] | undefined>(DECADES).fill(undefined)

  decade(index: number): number[] {
    return (this.decades[index] ??= new Array<number>(BINS).fill(0))
  }

  absorb(other: BinsSnapshot): void {
    this.zeros += other.zeros
    for (let index = 0; index < DECADES; index++) {
      const from = other.decades[index]
      if (from === undefined) continue
      const to = this.decade(index)
      for (let bin = 0; bin < BINS; bin++) to[bin]! += from[bin]!
    }
  }

  clear(): void {
    this.zeros = 0
    for (const decade of this.decades) decade?.fill(0)
  }

  absorbShort(short: ShortBins): void {
    for (let i = 0; i < short.length; i += 2) {
      const bin = short[i]!
      const count = short[i + 1]!
      if (bin < 0) this.zeros += count
      else this.decade(Math.floor(bin / BINS))[bin % BINS]! += count
    }
  }

  short(): ShortBins {
    const out: number[] = this.zeros > 0 ? [-1, this.zeros] : []
    for (let index = 0; index < DECADES; index++) {
      const counts = this.decades[index]
      if (counts === undefined) continue
      for (let bin = 0; bin < BINS; bin++) if (counts[bin]! > 0) out.push(index * BINS + bin, counts[bin]!)
    }
    return out
  }

  snapshot(): BinsSnapshot {
    return { zeros: this.zeros, decades: this.decades.map(decade => decade?.slice()) }
  }
}

export class LogLinearHistogram implements Histogram {
  readonly name: string
  readonly bounds: readonly number[]
  /** Values recorded since start. */
  count = 0
  /** Their sum: exact, where Envoy adds up the middles of its bins. */
  sum = 0
  /** Values per bucket, not cumulated; the last is above every bound. Empty until the first value. */
  #buckets: number[] = []
  #total: Bins | undefined = undefined
  #interval: ShortBins = []
  #fresh: Bins | undefined = undefined
  #freshUsed = false
  #exemplars: (Exemplar | undefined)[] | undefined = undefined
  readonly #firstBuckets: Uint8Array

  constructor(name: string, bounds: readonly number[] = DEFAULT_BOUNDS) {
    this.name = name
    this.bounds = bounds
    this.#firstBuckets = firstBucketsOf(bounds)
  }

  record(value: number): void {
    this.#record(value)
  }

  recordWithExemplar(value: number, traceId: string): void {
    const bucket = this.#record(value)
    if (traceId !== '') this.#keepExemplar(bucket, { traceId, value, atMs: Date.now() })
  }

  /** The newest stays: an old trace has left the trace store long before. */
  #keepExemplar(bucket: number, exemplar: Exemplar): void {
    this.#exemplars ??= new Array<Exemplar | undefined>(this.bounds.length + 1).fill(undefined)
    const known = this.#exemplars[bucket]
    if (known === undefined || known.atMs <= exemplar.atMs) this.#exemplars[bucket] = exemplar
  }

  /** True once a value came. */
  get used(): boolean {
    return this.count > 0
  }

  /** Counts per bucket cumulated as `le` wants them, without the last (`+Inf`), which is {@link count}. */
  cumulativeBuckets(): number[] {
    return cumulate(this.disjointBuckets())
  }

  /** Counts per bucket, each alone. */
  disjointBuckets(): number[] {
    return this.#buckets.length === 0 ? this.bounds.map(() => 0) : this.#buckets.slice(0, -1)
  }

  /** Counts per bucket of the last whole interval, from its bins; a bin belongs to the bucket of its lower bound. */
  disjointIntervalBuckets(): number[] {
    const counts = this.bounds.map(() => 0)
    let bucket = 0
    for (const [lower, , count] of this.intervalBins()) {
      while (bucket < this.bounds.length && lower > this.bounds[bucket]!) bucket++
      if (bucket < counts.length) counts[bucket]! += count
    }
    return counts
  }

  cumulativeIntervalBuckets(): number[] {
    return cumulate(this.disjointIntervalBuckets())
  }

  /** The example of a bucket; the index past the last bound is `+Inf`'s. */
  exemplar(bucket: number): Exemplar | undefined {
    return this.#exemplars?.[bucket]
  }

  /** Quantiles since start, {@link QUANTILES} in order; NaN while there is none. */
  quantiles(): number[] {
    return quantilesOf(this.totalBins())
  }

  /** Quantiles of the last whole interval; NaN where nothing was recorded in it. */
  intervalQuantiles(): number[] {
    return quantilesOf(this.intervalBins())
  }

  totalBins(): Bin[] {
    return binsOf(this.#total, this.#freshUsed ? this.#fresh : undefined)
  }

  intervalBins(): Bin[] {
    if (this.#interval.length === 0) return []
    const bins = new Bins()
    bins.absorbShort(this.#interval)
    return binsOf(bins, undefined)
  }

  /** Ends the interval. */
  rotate(): void {
    if (!this.#freshUsed) {
      this.#interval = []
      return
    }
    const fresh = this.#fresh!
    this.#total ??= new Bins()
    this.#total.absorb(fresh)
    this.#interval = fresh.short()
    fresh.clear()
    this.#freshUsed = false
  }

  snapshot(): HistogramSnapshot {
    const total = new Bins()
    if (this.#total !== undefined) total.absorb(this.#total)
    if (this.#freshUsed) total.absorb(this.#fresh!)
    return {
      count: this.count,
      sum: this.sum,
      buckets: this.#buckets.slice(),
      total: total.snapshot(),
      interval: this.#interval,
      exemplars: this.#exemplars?.slice(),
    }
  }

  /** Adds what another thread's histogram of the same name and bounds holds. */
  absorb(other: HistogramSnapshot): void {
    if (other.count === 0) return
    if (this.#buckets.length === 0) this.#buckets = new Array<number>(this.bounds.length + 1).fill(0)
    this.count += other.count
    this.sum += other.sum
    for (let i = 0; i < this.#buckets.length; i++) this.#buckets[i]! += other.buckets[i] ?? 0
    this.#total ??= new Bins()
    this.#total.absorb(other.total)
    const interval = new Bins()
    interval.absorbShort(this.#interval)
    interval.absorbShort(other.interval)
    this.#interval = interval.short()
    other.exemplars?.forEach((exemplar, bucket) => {
      if (exemplar !== undefined) this.#keepExemplar(bucket, exemplar)
    })
  }

  /** Forgets everything: for a merged view that is filled anew. */
  reset(): void {
    this.count = this.sum = 0
    this.#buckets = []
    this.#total = this.#fresh = this.#exemplars = undefined
    this.#interval = []
    this.#freshUsed = false
  }

  /** The bucket the value fell into. */
  #record(given: number): number {
    // NaN compares false with everything, so it becomes 0 here too: a bug elsewhere must not poison the sum.
    const value = given > 0 ? given : 0
    if (this.#fresh === undefined) this.#begin()
    this.#freshUsed = true
    this.count++
    this.sum += value
    const fresh = this.#fresh!
    if (value < 0.001) {
      fresh.zeros++
      this.#buckets[0]!++
      return 0
    }
    // The common decades, written out: from 1 ms to 10 s.
    let decade = 3
    let digits: number
    if (value >= 1 && value < 10) digits = value * 10
    else if (value >= 10 && value < 100) {
      decade = 4
      digits = value
    } else if (value >= 100 && value < 1000) {
      decade = 5
      digits = value / 10
    } else {
      const capped = value < LARGEST ? value : LARGEST
      decade = 0
      while (decade < DECADES - 1 && capped >= SCALE[decade + 1]!) decade++
      // A hair more, so that 0.3 (29.999999999999996 hundredths) is in the bin that begins with it.
      digits = (capped / SCALE[decade]!) * (10 + 1e-11)
    }
    // Division may round up to the next decade's first digit.
    let bin = (digits | 0) - 10
    if (bin >= BINS) bin = BINS - 1
    const bins = fresh.decades[decade] ?? fresh.decade(decade)
    bins[bin]!++
    const bounds = this.bounds
    let bucket = this.#firstBuckets[decade * BINS + bin]!
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++
    this.#buckets[bucket]!++
    return bucket
  }

  #begin(): void {
    this.#fresh = new Bins()
    if (this.#buckets.length === 0) this.#buckets = new Array<number>(this.bounds.length + 1).fill(0)
  }
}

function cumulate(counts: number[]): number[] {
  for (let i = 1; i < counts.length; i++) counts[i]! += counts[i - 1]!
  return counts
}

function binsOf(first: Bins | undefined, second: Bins | undefined): Bin[] {
  const out: Bin[] = []
  const zeros = (first?.zeros ?? 0) + (second?.zeros ?? 0)
  if (zeros > 0) out.push([0, 0, zeros])
  for (let decade = 0; decade < DECADES; decade++) {
    const one = first?.decades[decade]
    const two = second?.decades[decade]
    if (one === undefined && two === undefined) continue
    // Scales below 1 are not exact, so dividing by their inverse keeps 0.3 from becoming 0.30000000000000004.
    const inverse = decade < 4 ? Number(`1e${4 - decade}`) : 0
    for (let bin = 0; bin < BINS; bin++) {
      const count = (one?.[bin] ?? 0) + (two?.[bin] ?? 0)
      if (count === 0) continue
      const lower = inverse > 0 ? (bin + 10) / inverse : (bin + 10) * SCALE[decade - 1]!
      out.push([lower, inverse > 0 ? 1 / inverse : SCALE[decade - 1]!, count])
    }
  }
  return out
}

/**
 * Envoy's interpolation (libcircllhist, measured): the n values of a bin are thought to stand evenly inside it, the k-th at
 * `lower + width * k / (n + 1)`; quantile q is the value of rank `ceil(q * total)`, the first for q = 0.
 */
function quantilesOf(bins: readonly Bin[]): number[] {
  let total = 0
  for (const bin of bins) total += bin[2]
  if (total === 0) return QUANTILES.map(() => Number.NaN)
  let index = 0
  let below = 0
  return QUANTILES.map(quantile => {
    const rank = Math.max(1, Math.ceil(quantile * total))
    while (below + bins[index]![2] < rank) below += bins[index++]![2]
    const [lower, width, count] = bins[index]!
    return lower + (width * (rank - below)) / (count + 1)
  })
}
