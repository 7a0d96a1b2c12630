/**
 * The stats store: counters, gauges and histograms under Envoy's names.
 *
 * What the path touches are plain objects with a number in them, resolved once when configuration loads; an increment is
 * an addition. Reading (admin, Prometheus, sinks) walks the store. One store per thread, without atomics; readers add up.
 */

export class Counter {
  readonly name: string
  value = 0
  constructor(name: string) {
    this.name = name
  }
  inc(): void {
    this.value++
  }
  add(n: number): void {
    this.value += n
  }
}

export class Gauge {
  readonly name: string
  value = 0
  /** Written since start, be it with 0: what `usedonly` asks. A counter needs no such mark, its value tells. */
  used = false
  constructor(name: string) {
    this.name = name
  }
  inc(): void {
    this.value++
    this.used = true
  }
  dec(): void {
    this.value--
    this.used = true
  }
  add(n: number): void {
    this.value += n
    this.used = true
  }
  set(value: number): void {
    this.value = value
    this.used = true
  }
}

/** A stat whose value is a text (Envoy's text readouts: versions of configuration, names of control planes). */
export class TextReadout {
  readonly name: string
  value = ''
  used = false
  constructor(name: string) {
    this.name = name
  }
  set(value: string): void {
    this.value = value
    this.used = true
  }
}

/** A distribution (Envoy's histograms). Times are milliseconds unless the name says otherwise. */
export interface Histogram {
  readonly name: string
  record(value: number): void
  /** Records, and keeps `traceId` as the example of its bucket (OpenMetrics exemplar) unless it is ''. */
  recordWithExemplar(value: number, traceId: string): void
}

/**
 * Where a part of the proxy makes its stats: every name is prefixed (`cluster.orders.` + `upstream_rq_total`).
 * Asking twice for one name gives the same object. A scope is released when its owner goes; what no scope holds any
 * longer disappears from the output.
 */
export interface StatsScope {
  counter(name: string): Counter
  gauge(name: string): Gauge
  histogram(name: string): Histogram
  /** A scope below this one; `name` without a dot at its end. */
  scope(name: string): StatsScope
  release(): void
}
