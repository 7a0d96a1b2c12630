/**
 * Metrics of our own, given with labels directly (`hopwise_failures_total{service="d",…}`), where Envoy's have a dotted
 * name from which the labels are taken.
 *
 * Labels can come from traffic, so a family is bounded twice: each label has at most `maxValues` values, the next ones
 * become `other`; and a family has at most `maxSeries` series, what comes after is counted in the one series whose labels
 * are all `other`. Sums therefore stay right whatever arrives, only the detail is lost, and `dropped` tells how often.
 *
 * Whoever counts on the path keeps the counter: looking one up joins its label values, which costs a string.
 */
import { invariant } from '../base/invariant.ts'
import { DEFAULT_BOUNDS, LogLinearHistogram } from './histogram.ts'
import { Counter, Gauge } from './stats.ts'

export type FamilyType = 'counter' | 'gauge' | 'histogram'

export interface FamilyOptions {
  /** Distinct values of one label, then `other`. Default 200 (failure-origin.md). */
  readonly maxValues?: number
  /** Series of the family, then the one that is all `other`. Default 5000. */
  readonly maxSeries?: number
  /** Bucket bounds of a histogram. */
  readonly bounds?: readonly number[]
}

/** One series: its label values in the order of the family's label names, and what is counted. */
export interface Series<T> {
  readonly values: readonly string[]
  readonly stat: T
  /** Counted at least once since start, also when `/reset_counters` came between. */
  wasUsed: boolean
}

const OTHER = 'other'
/** Cannot stand in a label value that came through an HTTP head or a configuration. */
const SEPARATOR = '\u0000'

export class LabelledFamily<T extends Counter | Gauge | LogLinearHistogram> {
  readonly name: string
  readonly type: FamilyType
  readonly help: string
  readonly labels: readonly string[]
  readonly bounds: readonly number[]
  readonly series = new Map<string, Series<T>>()
  /** Look-ups that were answered with `other` because a limit was reached. */
  dropped = 0
  readonly #make: () => T
  readonly #maxValues: number
  readonly #maxSeries: number
  readonly #seen: Set<string>[]

  constructor(
    type: FamilyType,
    name: string,
    labels: readonly string[],
    help: string,
    options: FamilyOptions,
    make: () => T,
  ) {
    invariant(/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name), 'a metric name is chosen by us and valid in Prometheus')
    this.type = type
    this.name = name
    this.labels = labels
    this.help = help
    this.bounds = options.bounds ?? DEFAULT_BOUNDS
    this.#make = make
    this.#maxValues = options.maxValues ?? 200
    this.#maxSeries = options.maxSeries ?? 5000
    this.#seen = labels.map(() => new Set<string>())
  }

  /** The series of these label values, made if it is new. */
  get(values: readonly string[]): T {
    invariant(values.length === this.labels.length, `${this.name} has ${this.labels.length} labels`)
    const key = values.length === 1 ? values[0]! : values.join(SEPARATOR)
    return this.series.get(key)?.stat ?? this.#create(values)
  }

  /** Removes a series whose subject is gone (a cluster that was deleted). */
  remove(values: readonly string[]): void {
    this.series.delete(values.join(SEPARATOR))
  }

  #create(wanted: readonly string[]): T {
    const values = wanted.map((value, index) => (this.#admit(this.#seen[index]!, value) ? value : OTHER))
    const exact = values.every((value, index) => value === wanted[index])
    const known = exact ? undefined : this.series.get(values.join(SEPARATOR))
    if (exact && this.series.size < this.#maxSeries) return this.#add(values)
    this.dropped++
    if (known !== undefined) return known.stat
    if (this.series.size < this.#maxSeries) return this.#add(values)
    const others = values.map(() => OTHER)
    return this.series.get(others.join(SEPARATOR))?.stat ?? this.#add(others)
  }

  #add(values: readonly string[]): T {
    const series = { values, stat: this.#make(), wasUsed: false }
    this.series.set(values.join(SEPARATOR), series)
    return series.stat
  }

  #admit(seen: Set<string>, value: string): boolean {
    if (seen.has(value)) return true
    if (seen.size >= this.#maxValues) return false
    seen.add(value)
    return true
  }
}

/** Counters by label values; add fractions of a second to one and it is a float counter. */
export class LabelledCounters {
  readonly family: LabelledFamily<Counter>
  constructor(name: string, labels: readonly string[], help: string, options: FamilyOptions = {}) {
    this.family = new LabelledFamily('counter', name, labels, help, options, () => new Counter(name))
  }
  counter(...values: string[]): Counter {
    return this.family.get(values)
  }
  remove(...values: string[]): void {
    this.family.remove(values)
  }
}

export class LabelledGauges {
  readonly family: LabelledFamily<Gauge>
  constructor(name: string, labels: readonly string[], help: string, options: FamilyOptions = {}) {
    this.family = new LabelledFamily('gauge', name, labels, help, options, () => new Gauge(name))
  }
  gauge(...values: string[]): Gauge {
    return this.family.get(values)
  }
  remove(...values: string[]): void {
    this.family.remove(values)
  }
}

export class LabelledHistograms {
  readonly family: LabelledFamily<LogLinearHistogram>
  constructor(name: string, labels: readonly string[], help: string, options: FamilyOptions = {}) {
    const bounds = options.bounds ?? DEFAULT_BOUNDS
    this.family = new LabelledFamily(
      'histogram',
      name,
      labels,
      help,
      options,
      () => new LogLinearHistogram(name, bounds),
    )
  }
  histogram(...values: string[]): LogLinearHistogram {
    return this.family.get(values)
  }
  remove(...values: string[]): void {
    this.family.remove(values)
  }
}
