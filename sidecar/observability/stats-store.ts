/**
 * The store behind every `StatsScope`: one per thread.
 *
 * A stat belongs to the scopes that asked for it. A reload builds the new cluster before it releases the old one, so both
 * hold `cluster.orders.upstream_rq_total` for a moment and it goes on counting; when the last scope is released the name
 * leaves the output (whoever still holds the object may count on, nobody will read it).
 *
 * What a stats matcher refuses gets an object all the same, because gauges also serve as state (`cx_active`); it is merely
 * never shown. Names that traffic invents go through `TrafficCounters`, which is bounded.
 *
 * Labels are worked out by the readers, once per stat (stats-tags.ts); the store only keeps what they made, in `series`.
 */
import { DEFAULT_BOUNDS, type HistogramSnapshot, LogLinearHistogram } from './histogram.ts'
import { Counter, Gauge, type StatsScope, TextReadout } from './stats.ts'
import {
  type FamilyOptions,
  type FamilyType,
  LabelledCounters,
  type LabelledFamily,
  LabelledGauges,
  LabelledHistograms,
} from './stats-labelled.ts'

/** Name and labels of a stat that its owner knows better than the default tags can tell (per-endpoint stats). */
export interface ExplicitTags {
  /** The whole name with the tag values taken out: `cluster.endpoint.rq_total`. */
  readonly extractedName: string
  /** `[['envoy.cluster_name', 'orders'], ['envoy.endpoint_address', '10.0.0.7:80']]`, in the order to print. */
  readonly tags: readonly (readonly [name: string, value: string])[]
}

/** A stat with what the store knows about it. */
export interface StatEntry<T> {
  readonly name: string
  readonly stat: T
  /** Scopes holding it. */
  refs: number
  /** Refused by the stats matcher: exists, but is in no output. */
  readonly hidden: boolean
  /** For counters: had a value before `/reset_counters`. */
  wasUsed: boolean
  readonly explicit: ExplicitTags | undefined
  /** Metric name and labels, kept here by the Prometheus writer. */
  series: unknown
}

type AnyEntry = StatEntry<Counter> | StatEntry<Gauge> | StatEntry<LogLinearHistogram> | StatEntry<TextReadout>
type AnyFamily = LabelledFamily<Counter> | LabelledFamily<Gauge> | LabelledFamily<LogLinearHistogram>

export interface StatsStoreOptions {
  /** `stats_config.stats_matcher`: false for a name that shall not be shown. */
  readonly accepts?: ((name: string) => boolean) | undefined
  /** `stats_config.histogram_bucket_settings`: bucket bounds of a histogram. */
  readonly bounds?: ((name: string) => readonly number[]) | undefined
}

/** What one thread sends to the one that answers `/stats`: structured-clonable. */
export interface StatsSnapshot {
  readonly counters: readonly (readonly [name: string, value: number, used: boolean, explicit?: ExplicitTags])[]
  readonly gauges: readonly (readonly [name: string, value: number, used: boolean, explicit?: ExplicitTags])[]
  readonly histograms: readonly (readonly [
    name: string,
    value: HistogramSnapshot,
    bounds: readonly number[],
    explicit?: ExplicitTags,
  ])[]
  readonly texts: readonly (readonly [name: string, value: string, used: boolean])[]
  readonly families: readonly {
    readonly type: FamilyType
    readonly name: string
    readonly labels: readonly string[]
    readonly help: string
    readonly bounds: readonly number[]
    readonly series: readonly (readonly [values: readonly string[], value: number | HistogramSnapshot, used: boolean])[]
  }[]
}

export class StatsStore implements StatsScope {
  readonly counters = new Map<string, StatEntry<Counter>>()
  readonly gauges = new Map<string, StatEntry<Gauge>>()
  readonly histograms = new Map<string, StatEntry<LogLinearHistogram>>()
  readonly texts = new Map<string, StatEntry<TextReadout>>()
  readonly families = new Map<string, AnyFamily>()
  /** Rises whenever a name comes or goes; readers keep their sorted lists until it does. */
  generation = 0
  readonly #accepts: ((name: string) => boolean) | undefined
  readonly #bounds: ((name: string) => readonly number[]) | undefined
  readonly #root: StoreScope
  readonly #labelled = new Map<string, LabelledCounters | LabelledGauges | LabelledHistograms>()

  constructor(options: StatsStoreOptions = {}) {
    this.#accepts = options.accepts
    this.#bounds = options.bounds
    this.#root = new StoreScope(this, '', undefined)
  }

  counter(name: string): Counter {
    return this.#root.counter(name)
  }
  gauge(name: string): Gauge {
    return this.#root.gauge(name)
  }
  histogram(name: string): LogLinearHistogram {
    return this.#root.histogram(name)
  }
  textReadout(name: string): TextReadout {
    return this.#root.textReadout(name)
  }
  scope(name: string): StoreScope {
    return this.#root.scope(name)
  }
  /** Releases what was asked of the store itself and every scope below it. */
  release(): void {
    this.#root.release()
  }

  /** Counters of our own with labels; asking twice for a name gives the same family. */
  labelled(name: string, labels: readonly string[], help: string, options?: FamilyOptions): LabelledCounters {
    return this.#family(name, LabelledCounters, () => new LabelledCounters(name, labels, help, options))
  }

  labelledGauges(name: string, labels: readonly string[], help: string, options?: FamilyOptions): LabelledGauges {
    return this.#family(name, LabelledGauges, () => new LabelledGauges(name, labels, help, options))
  }

  labelledHistograms(
    name: string,
    labels: readonly string[],
    help: string,
    options?: FamilyOptions,
  ): LabelledHistograms {
    return this.#family(name, LabelledHistograms, () => new LabelledHistograms(name, labels, help, options))
  }

  /** Sets every counter to 0 (`POST /reset_counters`). */
  resetCounters(): void {
    for (const entry of this.counters.values()) resetCounter(entry)
    for (const family of this.families.values()) {
      if (family.type !== 'counter') continue
      for (const series of (family as LabelledFamily<Counter>).series.values()) resetCounter(series)
    }
  }

  /** Ends the interval of every histogram: call it each `stats_flush_interval` (5 s by default). */
  rotateHistograms(): void {
    for (const entry of this.histograms.values()) entry.stat.rotate()
    for (const family of this.families.values()) {
      if (family.type !== 'histogram') continue
      for (const series of (family as LabelledFamily<LogLinearHistogram>).series.values()) series.stat.rotate()
    }
  }

  snapshot(): StatsSnapshot {
    const simple = (entry: StatEntry<Counter> | StatEntry<Gauge>, used: boolean) => {
      const { name, stat, explicit } = entry
      return explicit === undefined
        ? ([name, stat.value, used] as const)
        : ([name, stat.value, used, explicit] as const)
    }
    return {
      counters: shown(this.counters).map(entry => simple(entry, counterUsed(entry))),
      gauges: shown(this.gauges).map(entry => simple(entry, entry.stat.used)),
      histograms: shown(this.histograms).map(({ name, stat, explicit }) => {
        const value = stat.snapshot()
        return explicit === undefined ? [name, value, stat.bounds] : [name, value, stat.bounds, explicit]
      }),
      texts: shown(this.texts).map(({ name, stat }) => [name, stat.value, stat.used]),
      families: [...this.families.values()].map(({ type, name, labels, help, bounds, series }) => ({
        type,
        name,
        labels,
        help,
        bounds,
        series: [...series.values()].map(({ values, stat, wasUsed }) => {
          if (stat instanceof LogLinearHistogram) return [values, stat.snapshot(), stat.used] as const
          return [values, stat.value, stat instanceof Gauge ? stat.used : wasUsed || stat.value !== 0] as const
        }),
      })),
    }
  }

  /**
   * Makes this store the sum of `parts`, the snapshots of several threads: values of one name are added up, names in no
   * part disappear. What is in it keeps its identity, so that what readers prepared per stat stays valid.
   */
  fillFrom(parts: readonly StatsSnapshot[]): void {
    const names = new Set<AnyEntry>()
    for (const { stat } of this.counters.values()) stat.value = 0
    for (const { stat } of this.gauges.values()) stat.value = 0
    for (const { stat } of this.histograms.values()) stat.reset()
    for (const family of this.families.values()) for (const { stat } of family.series.values()) resetStat(stat)
    for (const part of parts) {
      for (const [name, value, used, explicit] of part.counters) {
        const entry = this.counterEntry(name, explicit)
        entry.stat.value += value
        entry.wasUsed = entry.wasUsed || used
        names.add(entry)
      }
      for (const [name, value, used, explicit] of part.gauges) {
        const entry = this.gaugeEntry(name, explicit)
        entry.stat.value += value
        entry.stat.used = entry.stat.used || used
        names.add(entry)
      }
      for (const [name, value, bounds, explicit] of part.histograms) {
        const entry = this.histogramEntry(name, explicit, bounds)
        entry.stat.absorb(value)
        names.add(entry)
      }
      for (const [name, value, used] of part.texts) {
        const entry = this.textEntry(name)
        if (value !== '') entry.stat.value = value
        entry.stat.used = entry.stat.used || used
        names.add(entry)
      }
      for (const family of part.families) this.#absorbFamily(family)
    }
    for (const map of [this.counters, this.gauges, this.histograms, this.texts]) {
      for (const [name, entry] of map as Map<string, AnyEntry>) if (!names.has(entry)) this.#delete(map, name)
    }
  }

  // The entries, for scopes: the caller counts the reference.

  counterEntry(name: string, explicit: ExplicitTags | undefined): StatEntry<Counter> {
    return this.counters.get(name) ?? this.#add(this.counters, new Counter(name), explicit)
  }
  gaugeEntry(name: string, explicit: ExplicitTags | undefined): StatEntry<Gauge> {
    return this.gauges.get(name) ?? this.#add(this.gauges, new Gauge(name), explicit)
  }
  histogramEntry(
    name: string,
    explicit: ExplicitTags | undefined,
    bounds?: readonly number[],
  ): StatEntry<LogLinearHistogram> {
    const known = this.histograms.get(name)
    if (known !== undefined) return known
    const stat = new LogLinearHistogram(name, bounds ?? this.#bounds?.(name) ?? DEFAULT_BOUNDS)
    return this.#add(this.histograms, stat, explicit)
  }
  textEntry(name: string): StatEntry<TextReadout> {
    return this.texts.get(name) ?? this.#add(this.texts, new TextReadout(name), undefined)
  }

  /** One scope less holds the stat. */
  drop(entry: AnyEntry): void {
    if (--entry.refs > 0) return
    for (const map of [this.counters, this.gauges, this.histograms, this.texts]) {
      if ((map as Map<string, AnyEntry>).get(entry.name) === entry) this.#delete(map, entry.name)
    }
  }

  #delete(map: Map<string, unknown>, name: string): void {
    map.delete(name)
    this.generation++
  }

  #add<T extends { readonly name: string }>(
    map: Map<string, StatEntry<T>>,
    stat: T,
    explicit: ExplicitTags | undefined,
  ): StatEntry<T> {
    const hidden = this.#accepts !== undefined && !this.#accepts(stat.name)
    const entry = { name: stat.name, stat, refs: 0, hidden, wasUsed: false, explicit, series: undefined }
    map.set(stat.name, entry)
    this.generation++
    return entry
  }

  #family<F extends LabelledCounters | LabelledGauges | LabelledHistograms>(
    name: string,
    kind: new (...args: never[]) => F,
    make: () => F,
  ): F {
    const known = this.#labelled.get(name)
    if (known instanceof kind) return known
    if (known !== undefined) throw new TypeError(`${name} is already a metric of another type`)
    const made = make()
    this.#labelled.set(name, made)
    this.families.set(name, made.family)
    this.generation++
    return made
  }

  #absorbFamily(part: StatsSnapshot['families'][number]): void {
    const { type, name, labels, help, bounds } = part
    for (const [values, value, used] of part.series) {
      if (type === 'histogram') {
        this.labelledHistograms(name, labels, help, { bounds })
          .histogram(...values)
          .absorb(value as HistogramSnapshot)
      } else if (type === 'gauge') {
        const gauge = this.labelledGauges(name, labels, help).gauge(...values)
        gauge.value += value as number
        gauge.used = gauge.used || used
      } else {
        this.labelled(name, labels, help).counter(...values).value += value as number
      }
    }
  }
}

/** A prefix, and what its owner holds. */
export class StoreScope implements StatsScope {
  readonly #store: StatsStore
  readonly #prefix: string
  readonly #explicit: ExplicitTags | undefined
  readonly #held = new Set<AnyEntry>()
  readonly #below = new Set<StoreScope>()
  #above: StoreScope | undefined = undefined

  constructor(store: StatsStore, prefix: string, explicit: ExplicitTags | undefined) {
    this.#store = store
    this.#prefix = prefix
    this.#explicit = explicit
  }

  counter(name: string): Counter {
    return this.#hold(this.#store.counterEntry(this.#prefix + name, this.#tagsOf(name))).stat
  }
  gauge(name: string): Gauge {
    return this.#hold(this.#store.gaugeEntry(this.#prefix + name, this.#tagsOf(name))).stat
  }
  histogram(name: string): LogLinearHistogram {
    return this.#hold(this.#store.histogramEntry(this.#prefix + name, this.#tagsOf(name))).stat
  }
  textReadout(name: string): TextReadout {
    return this.#hold(this.#store.textEntry(this.#prefix + name)).stat
  }

  scope(name: string): StoreScope {
    return this.#child(name, this.#tagsOf(name))
  }

  /**
   * A scope whose metric name and labels are given rather than taken from the name, for what the default tags cannot
   * express: `taggedScope('endpoint.10.0.0.7_80', 'cluster.endpoint', [['envoy.cluster_name', 'orders'], …])`. The second
   * is the whole prefix of this scope as it shall be after the tag values are taken out.
   */
  taggedScope(name: string, extractedName: string, tags: ExplicitTags['tags']): StoreScope {
    return this.#child(name, { extractedName, tags })
  }

  /** Lets go of everything asked of this scope and of the scopes below it. Twice does no harm. */
  release(): void {
    for (const scope of [...this.#below]) scope.release()
    for (const entry of this.#held) this.#store.drop(entry)
    this.#held.clear()
    if (this.#above !== undefined) this.#above.#below.delete(this)
    this.#above = undefined
  }

  #child(name: string, explicit: ExplicitTags | undefined): StoreScope {
    const child = new StoreScope(this.#store, `${this.#prefix}${name}.`, explicit)
    child.#above = this
    this.#below.add(child)
    return child
  }

  #hold<E extends AnyEntry>(entry: E): E {
    if (!this.#held.has(entry)) {
      this.#held.add(entry)
      entry.refs++
    }
    return entry
  }

  #tagsOf(name: string): ExplicitTags | undefined {
    const explicit = this.#explicit
    return explicit && { extractedName: `${explicit.extractedName}.${name}`, tags: explicit.tags }
  }
}

/** Touched since start: what `usedonly` shows. */
export function counterUsed(entry: { readonly stat: Counter; readonly wasUsed: boolean }): boolean {
  return entry.wasUsed || entry.stat.value !== 0
}

/** The entries a reader may show. */
export function shown<T>(map: ReadonlyMap<string, StatEntry<T>>): StatEntry<T>[] {
  const entries: StatEntry<T>[] = []
  for (const entry of map.values()) if (!entry.hidden) entries.push(entry)
  return entries
}

/** Tells that a bound on stats named by traffic was reached; `limit` names the bound. */
export function overflowCounter(store: Pick<StatsStore, 'labelled'>, limit: string): Counter {
  const help = 'Stats not made because a bound on their number was reached.'
  return store.labelled('hopwise_stats_overflow_total', ['limit'], help).counter(limit)
}

/**
 * Counters whose names come from traffic (gRPC methods, user agents, response codes beyond the known): at most `max` names
 * in this scope, whatever comes after is counted under `overflowName` alone and told in `hopwise_stats_overflow_total`.
 */
export class TrafficCounters {
  readonly #scope: StatsScope
  readonly #max: number
  readonly #overflowName: string
  readonly #overflowed: Counter
  readonly #known = new Map<string, Counter>()
  #overflow: Counter | undefined = undefined

  /** `limit` names the bound in the metric, `max` is the number of names. */
  constructor(
    scope: StatsScope,
    store: Pick<StatsStore, 'labelled'>,
    limit: string,
    max: number,
    overflowName = 'overflow',
  ) {
    this.#scope = scope
    this.#max = max
    this.#overflowName = overflowName
    this.#overflowed = overflowCounter(store, limit)
  }

  counter(name: string): Counter {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    if (this.#known.size >= this.#max) {
      this.#overflowed.inc()
      return (this.#overflow ??= this.#scope.counter(this.#overflowName))
    }
    const made = this.#scope.counter(name)
    this.#known.set(name, made)
    return made
  }
}

function resetCounter(entry: { readonly stat: Counter; wasUsed: boolean }): void {
  if (entry.stat.value !== 0) entry.wasUsed = true
  entry.stat.value = 0
}

function resetStat(stat: Counter | Gauge | LogLinearHistogram): void {
  if (stat instanceof LogLinearHistogram) stat.reset()
  else stat.value = 0
}
