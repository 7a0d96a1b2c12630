/**
 * The store as Prometheus reads it: Envoy's names and labels exactly as Envoy 1.40 prints them, then our own families
 * (with HELP), then what `extra` gives (Node's process metrics).
 *
 * Two formats: text 0.0.4, and OpenMetrics 1.0 where the scraper asks for it, for the exemplars. Prometheus does ask, so
 * both must give one series one name: in OpenMetrics a counter may only be called `…_total`, so Envoy's counters that are
 * called otherwise are declared `unknown` there, and buckets keep Envoy's `le="1"` (not the canonical `1.0`).
 *
 * Names are sorted, grouped and labelled when the set of names changes; a scrape only joins prepared texts with values.
 * 5,000 lines block for some 1 ms (test/bench/scrape.bench.ts); larger pages are given in chunks, so that whoever writes
 * them can let the event loop run in between.
 */
import type { LogLinearHistogram } from './histogram.ts'
import { QUANTILES } from './histogram.ts'
import type { Counter, Gauge } from './stats.ts'
import type { LabelledFamily } from './stats-labelled.ts'
import { counterUsed, type StatEntry, type StatsStore, shown } from './stats-store.ts'
import type { Tag, TagExtractor } from './stats-tags.ts'

export const TEXT_FORMAT = 'text/plain; version=0.0.4; charset=utf-8'
export const OPEN_METRICS_FORMAT = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

/** Characters after which a chunk ends: some 1,000 lines, 0.3 ms. */
const CHUNK = 64 * 1024

export interface ScrapeOptions {
  readonly openMetrics?: boolean
  readonly usedOnly?: boolean
  /** Of stat names as `/stats` prints them, which is what Envoy filters by here too. */
  readonly filter?: ((name: string) => boolean) | undefined
  readonly textReadouts?: boolean
  /** Histograms as summaries (`?histogram_buckets=summary`). */
  readonly summary?: boolean
}

type Kind = 'counter' | 'gauge' | 'text' | 'histogram'

interface Member {
  readonly entry: StatEntry<unknown>
  /** `envoy_cluster_name="orders"`, without braces. */
  readonly labels: string
}

/** All series of one metric name. */
interface Group {
  readonly metric: string
  readonly kind: Kind
  readonly members: Member[]
  /** False when an earlier group of another type has the name already: a second TYPE line would be an error. */
  readonly declared: boolean
}

export class PrometheusWriter {
  readonly #store: StatsStore
  readonly #tags: TagExtractor
  #groups: Group[] = []
  #metrics = new Set<string>()
  #generation = -1

  constructor(store: StatsStore, tags: TagExtractor) {
    this.#store = store
    this.#tags = tags
  }

  /** The whole page. */
  text(options: ScrapeOptions = {}, extra = ''): string {
    let page = ''
    for (const chunk of this.chunks(options, extra)) page += chunk
    return page
  }

  /** The page in pieces of some {@link CHUNK} characters. */
  *chunks(options: ScrapeOptions = {}, extra = ''): Generator<string, void, undefined> {
    this.#prepare()
    const open = options.openMetrics === true
    let chunk = ''
    for (const group of this.#groups) {
      chunk += this.#group(group, options, open)
      if (chunk.length >= CHUNK) {
        yield chunk
        chunk = ''
      }
    }
    for (const family of this.#store.families.values()) {
      chunk += familyText(family as LabelledFamily<Counter>, options, open)
      if (chunk.length >= CHUNK) {
        yield chunk
        chunk = ''
      }
    }
    chunk += open ? openMetricsText(extra) : extra
    if (open) chunk += '# EOF\n'
    yield chunk
  }

  /** How many lines a page has, roughly: to decide whether to write it at once. */
  estimatedLines(): number {
    const { counters, gauges, histograms, families } = this.#store
    let lines = counters.size + gauges.size + histograms.size * 22
    for (const family of families.values()) lines += family.series.size * (family.type === 'histogram' ? 22 : 1)
    return lines
  }

  #group(group: Group, options: ScrapeOptions, open: boolean): string {
    const { metric, kind, members } = group
    let lines = ''
    for (const { entry, labels } of members) {
      if (options.filter !== undefined && !options.filter(entry.name)) continue
      if (kind === 'counter') {
        const counter = entry as StatEntry<Counter>
        if (options.usedOnly && !counterUsed(counter)) continue
        lines += `${metric}{${labels}} ${number(counter.stat.value)}\n`
      } else if (kind === 'gauge') {
        const { stat } = entry as StatEntry<Gauge>
        if (options.usedOnly && !stat.used) continue
        lines += `${metric}{${labels}} ${number(stat.value)}\n`
      } else if (kind === 'histogram') {
        const { stat } = entry as StatEntry<LogLinearHistogram>
        if (options.usedOnly && !stat.used) continue
        lines += options.summary ? summaryLines(metric, labels, stat) : histogramLines(metric, labels, stat, open)
      } else if (options.textReadouts) {
        const { stat } = entry as StatEntry<{ readonly value: string; readonly used: boolean }>
        if (options.usedOnly && !stat.used) continue
        lines += `${metric}{${labels === '' ? '' : `${labels},`}text_value="${escapeValue(stat.value)}"} 0\n`
      }
    }
    if (lines === '') return ''
    return group.declared ? this.#typeLine(metric, kind, options, open) + lines : lines
  }

  #typeLine(metric: string, kind: Kind, options: ScrapeOptions, open: boolean): string {
    if (kind === 'histogram') return `# TYPE ${metric} ${options.summary ? 'summary' : 'histogram'}\n`
    if (kind !== 'counter') return `# TYPE ${metric} gauge\n`
    if (!open) return `# TYPE ${metric} counter\n`
    const family = metric.endsWith('_total') ? metric.slice(0, -6) : ''
    return family === '' || this.#metrics.has(family) ? `# TYPE ${metric} unknown\n` : `# TYPE ${family} counter\n`
  }

  #prepare(): void {
    if (this.#generation === this.#store.generation) return
    this.#generation = this.#store.generation
    this.#metrics = new Set()
    const { counters, gauges, texts, histograms } = this.#store
    this.#groups = [
      ...this.#groupsOf('counter', counters),
      ...this.#groupsOf('gauge', gauges),
      ...this.#groupsOf('text', texts),
      ...this.#groupsOf('histogram', histograms),
    ]
  }

  #groupsOf<T>(kind: Kind, entries: ReadonlyMap<string, StatEntry<T>>): Group[] {
    const groups = new Map<string, Group>()
    for (const entry of shown(entries)) {
      const series = (entry.series ??= this.#seriesOf(entry)) as { readonly metric: string; readonly labels: string }
      const member = { entry, labels: series.labels }
      const group = groups.get(series.metric)
      if (group !== undefined) group.members.push(member)
      else {
        const declared = !this.#metrics.has(series.metric)
        groups.set(series.metric, { metric: series.metric, kind, members: [member], declared })
      }
    }
    for (const metric of groups.keys()) this.#metrics.add(metric)
    const sorted = [...groups.values()].sort((a, b) => (a.metric < b.metric ? -1 : 1))
    for (const group of sorted) group.members.sort((a, b) => (a.entry.name < b.entry.name ? -1 : 1))
    return sorted
  }

  #seriesOf({ name, explicit }: StatEntry<unknown>): { readonly metric: string; readonly labels: string } {
    const { name: extracted, tags } =
      explicit === undefined ? this.#tags.extract(name) : { name: explicit.extractedName, tags: explicit.tags }
    return { metric: `envoy_${sanitize(extracted)}`, labels: labelText(tags) }
  }
}

/** True when a scraper's Accept header prefers OpenMetrics, as Prometheus' does. */
export function wantsOpenMetrics(accept: string | undefined): boolean {
  return accept !== undefined && /application\/openmetrics-text/i.test(accept)
}

function familyText(family: LabelledFamily<Counter>, options: ScrapeOptions, open: boolean): string {
  const { name, type, labels: names, help } = family
  if (options.filter !== undefined && !options.filter(name)) return ''
  let lines = ''
  for (const { values, stat, wasUsed } of family.series.values()) {
    const labels = names.map((label, index) => `${label}="${escapeValue(values[index]!)}"`).join(',')
    if (type === 'histogram') {
      const histogram = stat as unknown as LogLinearHistogram
      if (options.usedOnly && !histogram.used) continue
      lines += options.summary ? summaryLines(name, labels, histogram) : histogramLines(name, labels, histogram, open)
      continue
    }
    if (options.usedOnly) {
      if (!(type === 'gauge' ? (stat as unknown as Gauge).used : wasUsed || stat.value !== 0)) continue
    }
    lines += labels === '' ? `${name} ${number(stat.value)}\n` : `${name}{${labels}} ${number(stat.value)}\n`
  }
  if (lines === '') return ''
  const shownType = type === 'histogram' && options.summary ? 'summary' : type
  const declaredName = open && type === 'counter' && name.endsWith('_total') ? name.slice(0, -6) : name
  return `# HELP ${declaredName} ${escapeHelp(help)}\n# TYPE ${declaredName} ${shownType}\n${lines}`
}

function histogramLines(metric: string, labels: string, histogram: LogLinearHistogram, open: boolean): string {
  const { bounds } = histogram
  const buckets = histogram.cumulativeBuckets()
  const head = labels === '' ? `${metric}_bucket{le="` : `${metric}_bucket{${labels},le="`
  let lines = ''
  for (let i = 0; i < bounds.length; i++) {
    lines += `${head}${bounds[i]!}"} ${buckets[i]!}${open ? exemplarText(histogram, i) : ''}\n`
  }
  lines += `${head}+Inf"} ${histogram.count}${open ? exemplarText(histogram, bounds.length) : ''}\n`
  return `${lines}${metric}_sum{${labels}} ${number(histogram.sum)}\n${metric}_count{${labels}} ${histogram.count}\n`
}

function summaryLines(metric: string, labels: string, histogram: LogLinearHistogram): string {
  const quantiles = histogram.intervalQuantiles()
  const head = labels === '' ? `${metric}{quantile="` : `${metric}{${labels},quantile="`
  let lines = ''
  for (let i = 0; i < QUANTILES.length; i++) lines += `${head}${QUANTILES[i]!}"} ${number(quantiles[i]!)}\n`
  return `${lines}${metric}_sum{${labels}} ${number(histogram.sum)}\n${metric}_count{${labels}} ${histogram.count}\n`
}

function exemplarText(histogram: LogLinearHistogram, bucket: number): string {
  const exemplar = histogram.exemplar(bucket)
  if (exemplar === undefined) return ''
  return ` # {trace_id="${escapeValue(exemplar.traceId)}"} ${exemplar.value} ${(exemplar.atMs / 1000).toFixed(3)}`
}

/** Text 0.0.4 as OpenMetrics wants it: the family of a counter (only of a counter) is named without `_total`. */
function openMetricsText(text: string): string {
  return text.replace(/^# HELP (\w+)_total (.*)\n# TYPE \1_total counter$/gm, '# HELP $1 $2\n# TYPE $1 counter')
}

function labelText(tags: readonly Tag[]): string {
  return tags.map(([name, value]) => `${sanitize(name)}="${escapeValue(value)}"`).join(',')
}

/** Every character that Prometheus does not allow becomes `_`. */
function sanitize(name: string): string {
  return name.replace(/[^a-zA-Z0-9_]/g, '_')
}

function escapeValue(value: string): string {
  return /["\\\n]/.test(value) ? value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n') : value
}

function escapeHelp(help: string): string {
  return help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')
}

function number(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}
