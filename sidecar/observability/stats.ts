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
  constructor(name: string) {
    this.name = name
  }
  inc(): void {
    this.value++
  }
  dec(): void {
    this.value--
  }
  add(n: number): void {
    this.value += n
  }
  set(value: number): void {
    this.value = value
  }
}

/** A distribution (Envoy's histograms). Times are milliseconds unless the name says otherwise. */
export interface Histogram {
  readonly name: string
  record(value: number): void
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
