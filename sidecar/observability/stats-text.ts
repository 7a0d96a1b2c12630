/**
 * The store as `/stats` prints it, in Envoy's text and JSON: text readouts, then counters and gauges sorted together,
 * then histograms. Families of our own come last, each series under its Prometheus name.
 */
import { type Bin, type LogLinearHistogram, QUANTILES } from './histogram.ts'
import { type Counter, Gauge } from './stats.ts'
import type { LabelledFamily } from './stats-labelled.ts'
import { counterUsed, type StatEntry, type StatsStore, shown } from './stats-store.ts'

export type StatType = 'All' | 'Counters' | 'Gauges' | 'Histograms' | 'TextReadouts'
export const STAT_TYPES: readonly StatType[] = ['All', 'Counters', 'Gauges', 'Histograms', 'TextReadouts']

/** `summary` is what Envoy prints without the parameter. */
export type BucketsMode = 'summary' | 'cumulative' | 'disjoint' | 'detailed'
export const BUCKETS_MODES: readonly BucketsMode[] = ['cumulative', 'disjoint', 'detailed', 'summary']

export interface StatsQuery {
  readonly usedOnly?: boolean
  readonly filter?: ((name: string) => boolean) | undefined
  readonly type?: StatType
  readonly buckets?: BucketsMode
}

interface Row {
  readonly name: string
  readonly value: number
}

const SUPPORTED = `[${QUANTILES.map(quantile => quantile * 100).join(',')}]`

/** One line per stat, `name: value`. */
export function statsText(store: StatsStore, query: StatsQuery): string {
  let out = ''
  for (const { name, stat } of textRows(store, query)) out += `${name}: "${stat.value}"\n`
  for (const { name, value } of numberRows(store, query)) out += `${name}: ${value}\n`
  for (const [name, histogram] of histogramRows(store, query)) {
    out += histogram.used ? histogramText(name, histogram, query.buckets) : `${name}: No recorded values\n`
  }
  return out
}

/** `{"stats":[{"name":…,"value":…},…,{"histograms":…}]}`, in the shape that Envoy gives each `histogram_buckets`. */
export function statsJson(store: StatsStore, query: StatsQuery): string {
  const stats: string[] = []
  for (const { name, stat } of textRows(store, query)) stats.push(nameValue(name, JSON.stringify(stat.value)))
  for (const { name, value } of numberRows(store, query)) stats.push(nameValue(name, jsonNumber(value)))
  const histograms = histogramRows(store, query)
  if (histograms.length > 0) stats.push(`{"histograms":${histogramsJson(histograms, query.buckets ?? 'summary')}}`)
  return `{"stats":[${stats.join(',')}]}`
}

function histogramText(name: string, histogram: LogLinearHistogram, mode: BucketsMode = 'summary'): string {
  if (mode === 'cumulative') {
    const interval = histogram.cumulativeIntervalBuckets()
    return `${name}: ${bucketsText(histogram.bounds, interval, histogram.cumulativeBuckets())}\n`
  }
  if (mode === 'disjoint') {
    const interval = histogram.disjointIntervalBuckets()
    return `${name}: ${bucketsText(histogram.bounds, interval, histogram.disjointBuckets())}\n`
  }
  if (mode === 'summary') return `${name}: ${quantilesText(histogram)}\n`
  const totals = binsText(histogram.totalBins())
  const intervals = binsText(histogram.intervalBins())
  return `${name}:\n  totals=${totals}\n  intervals=${intervals}\n  summary=${quantilesText(histogram)}\n`
}

/** `P0(nan,1) P25(nan,1.0251) …`: of the last interval, and since start. */
function quantilesText(histogram: LogLinearHistogram): string {
  const interval = histogram.intervalQuantiles()
  const total = histogram.quantiles()
  const text = (value: number) => (Number.isNaN(value) ? 'nan' : String(value))
  return QUANTILES.map((q, i) => `P${q * 100}(${text(interval[i]!)},${text(total[i]!)})`).join(' ')
}

function bucketsText(bounds: readonly number[], interval: readonly number[], total: readonly number[]): string {
  return bounds.map((bound, i) => `B${general(bound)}(${interval[i]!},${total[i]!})`).join(' ')
}

function binsText(bins: readonly Bin[]): string {
  return bins.map(([lower, width, count]) => `${lower},${width}:${count}`).join(', ')
}

function histogramsJson(rows: readonly (readonly [string, LogLinearHistogram])[], mode: BucketsMode): string {
  if (mode === 'summary') {
    const computed = rows.map(([name, histogram]) => {
      return `{"name":${JSON.stringify(name)},"values":${quantilesJson(histogram)}}`
    })
    return `{"supported_quantiles":${SUPPORTED},"computed_quantiles":[${computed.join(',')}]}`
  }
  if (mode === 'detailed') {
    const details = rows.map(([name, histogram]) => {
      const totals = binsJson(histogram.totalBins())
      const intervals = binsJson(histogram.intervalBins())
      const percentiles = quantilesJson(histogram)
      return `{"name":${JSON.stringify(name)},"totals":${totals},"intervals":${intervals},"percentiles":${percentiles}}`
    })
    return `{"supported_percentiles":${SUPPORTED},"details":[${details.join(',')}]}`
  }
  const list = rows.map(([name, histogram]) => {
    const whole = mode === 'cumulative'
    const interval = whole ? histogram.cumulativeIntervalBuckets() : histogram.disjointIntervalBuckets()
    const total = whole ? histogram.cumulativeBuckets() : histogram.disjointBuckets()
    const buckets = histogram.bounds.map((bound, i) => {
      return `{"upper_bound":${bound},"interval":${interval[i]!},"cumulative":${total[i]!}}`
    })
    return `{"name":${JSON.stringify(name)},"buckets":[${buckets.join(',')}]}`
  })
  return `[${list.join(',')}]`
}

function quantilesJson(histogram: LogLinearHistogram): string {
  const interval = histogram.intervalQuantiles()
  const values = histogram.quantiles().map((total, i) => {
    return `{"cumulative":${jsonNumber(total)},"interval":${jsonNumber(interval[i]!)}}`
  })
  return `[${values.join(',')}]`
}

function binsJson(bins: readonly Bin[]): string {
  return `[${bins.map(([lower, width, count]) => `{"lower_bound":${lower},"width":${width},"count":${count}}`).join(',')}]`
}

function textRows(store: StatsStore, { type = 'All', usedOnly, filter }: StatsQuery): StatEntry<TextValue>[] {
  if (type !== 'All' && type !== 'TextReadouts') return []
  return shown(store.texts)
    .filter(({ name, stat }) => (!usedOnly || stat.used) && (filter === undefined || filter(name)))
    .sort(byName)
}

interface TextValue {
  readonly value: string
}

function numberRows(store: StatsStore, { type = 'All', usedOnly, filter }: StatsQuery): Row[] {
  const rows: Row[] = []
  const own: Row[] = []
  if (type === 'All' || type === 'Counters') {
    for (const entry of shown(store.counters)) {
      if (!usedOnly || counterUsed(entry)) rows.push({ name: entry.name, value: entry.stat.value })
    }
  }
  if (type === 'All' || type === 'Gauges') {
    for (const { name, stat } of shown(store.gauges)) if (!usedOnly || stat.used) rows.push({ name, value: stat.value })
  }
  for (const family of store.families.values()) {
    const wanted = type === 'All' || type === (family.type === 'counter' ? 'Counters' : 'Gauges')
    if (!wanted || family.type === 'histogram') continue
    for (const { values, stat, wasUsed } of (family as LabelledFamily<Counter | Gauge>).series.values()) {
      const used = stat instanceof Gauge ? stat.used : wasUsed || stat.value !== 0
      if (!usedOnly || used) own.push({ name: seriesName(family, values), value: stat.value })
    }
  }
  const all = rows.sort(byName).concat(own.sort(byName))
  return filter === undefined ? all : all.filter(row => filter(row.name))
}

function histogramRows(
  store: StatsStore,
  { type = 'All', usedOnly, filter }: StatsQuery,
): (readonly [name: string, histogram: LogLinearHistogram])[] {
  if (type !== 'All' && type !== 'Histograms') return []
  const rows: (readonly [string, LogLinearHistogram])[] = shown(store.histograms)
    .sort(byName)
    .map(({ name, stat }) => [name, stat])
  for (const family of store.families.values()) {
    if (family.type !== 'histogram') continue
    for (const { values, stat } of (family as LabelledFamily<LogLinearHistogram>).series.values()) {
      rows.push([seriesName(family, values), stat])
    }
  }
  return rows.filter(([name, histogram]) => (!usedOnly || histogram.used) && (filter === undefined || filter(name)))
}

function seriesName(family: { readonly name: string; readonly labels: readonly string[] }, values: readonly string[]) {
  if (values.length === 0) return family.name
  return `${family.name}{${family.labels.map((label, i) => `${label}=${JSON.stringify(values[i]!)}`).join(',')}}`
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1
}

function nameValue(name: string, value: string): string {
  return `{"name":${JSON.stringify(name)},"value":${value}}`
}

function jsonNumber(value: number): string {
  return Number.isFinite(value) ? String(value) : 'null'
}

/** As C prints `%g`: six digits, an exponent from 10^6 on (`B1.8e+06`). */
function general(value: number): string {
  if (value < 1e6) return String(Number(value.toPrecision(6)))
  return Number(value.toPrecision(6))
    .toExponential()
    .replace(/e\+(\d)$/, 'e+0$1')
}
