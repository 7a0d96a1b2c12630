/**
 * Sends finished spans to a collector, in reports: Envoy's rules (`ReporterImpl`), with a bound.
 *
 * A report goes out when `min_flush_spans` have come, or with the timer. While `MAX_REPORTS_IN_FLIGHT` are on their way
 * spans wait, so that reports grow with the load instead of their number; beyond `MAX_WAITING_SPANS` they are dropped.
 * `spans_sent` counts what was handed over, as Envoy's does; `spans_dropped` what no collector took, for whatever reason.
 */
import { Timer, type Timers } from '../../base/timer-wheel.ts'
import type { Counter, StatsScope } from '../stats.ts'
import type { RuntimeNumbers } from './sampling.ts'
import type { Span } from './span.ts'
import type { SpanEncoder } from './span-encoder.ts'
import type { SpanReporter } from './tracer.ts'

/** What became of a report. */
export type ReportOutcome = 'sent' | 'dropped' | 'failed' | 'no_cluster'

/** Where reports go: `server/` wires it to the collector's cluster. Calls `done` once: see {@link outcomeOfStatus}. */
export interface SpanSink {
  send(path: string, contentType: string, body: Buffer | string, done: (outcome: ReportOutcome) => void): void
}

/** `tracing.zipkin` and `tracing.opentelemetry` differ in what they count as a success. */
export type CollectorKind = 'zipkin' | 'opentelemetry'

/** Envoy takes 202 from Zipkin and nothing else; an OTLP collector answers 200. */
export function outcomeOfStatus(kind: CollectorKind, status: number): ReportOutcome {
  if (kind === 'zipkin') return status === 202 ? 'sent' : 'dropped'
  return status >= 200 && status < 300 ? 'sent' : 'dropped'
}

const DEFAULT_MIN_FLUSH_SPANS = 5
const DEFAULT_FLUSH_INTERVAL_MS = 5000
const MAX_REPORTS_IN_FLIGHT = 4
const MAX_WAITING_SPANS = 4096

export interface SpanExporterOptions {
  readonly kind: CollectorKind
  /** `collector_endpoint`, or the path of the collector's URI. */
  readonly path: string
  readonly encoder: SpanEncoder
  readonly sink: SpanSink
  readonly timers: Timers
  /** Scope without a prefix. */
  readonly stats: StatsScope
  readonly runtime?: RuntimeNumbers | undefined
  /** Spans that wait at most; more are dropped. */
  readonly maxWaitingSpans?: number | undefined
}

export class SpanExporter implements SpanReporter {
  readonly #path: string
  readonly #encoder: SpanEncoder
  readonly #sink: SpanSink
  readonly #timers: Timers
  readonly #timer: Timer
  readonly #runtime: RuntimeNumbers | undefined
  readonly #maxWaitingSpans: number
  readonly #prefix: string
  readonly #spansSent: Counter
  readonly #spansDropped: Counter
  readonly #timerFlushed: Counter
  readonly #outcomes: Readonly<Record<ReportOutcome, Counter>>
  #closed = false
  #waiting = 0
  #inFlight = 0
  #idle: (() => void)[] = []

  constructor(options: SpanExporterOptions) {
    const { kind, path, encoder, sink, timers, stats, runtime, maxWaitingSpans = MAX_WAITING_SPANS } = options
    this.#path = path
    this.#encoder = encoder
    this.#sink = sink
    this.#timers = timers
    this.#runtime = runtime
    this.#maxWaitingSpans = maxWaitingSpans
    this.#prefix = `tracing.${kind}`
    const scope = stats.scope(this.#prefix)
    this.#spansSent = scope.counter('spans_sent')
    this.#spansDropped = scope.counter('spans_dropped')
    this.#timerFlushed = scope.counter('timer_flushed')
    this.#outcomes = {
      sent: scope.counter('reports_sent'),
      dropped: scope.counter('reports_dropped'),
      failed: scope.counter('reports_failed'),
      no_cluster: scope.counter('reports_skipped_no_cluster'),
    }
    this.#timer = new Timer(() => this.#onTimer())
    this.#startTimer()
  }

  /** Spans that have not been sent. */
  get waiting(): number {
    return this.#waiting
  }

  report(span: Span): void {
    if (this.#waiting >= this.#maxWaitingSpans) {
      this.#spansDropped.inc()
      return
    }
    this.#encoder.add(span)
    this.#waiting++
    // No timer comes any more for what is late.
    if (this.#closed) this.#send()
    else if (this.#waiting >= this.#setting('min_flush_spans', DEFAULT_MIN_FLUSH_SPANS)) this.#flush()
  }

  /** Sends what waits, whatever is on its way; resolves when all reports have been answered. */
  async flush(): Promise<void> {
    if (this.#waiting > 0) this.#send()
    if (this.#inFlight > 0) await new Promise<void>(resolve => this.#idle.push(resolve))
  }

  /** Sends the rest and stops the timer; a request that ends later still sends its spans. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timers.stop(this.#timer)
    await this.flush()
  }

  #onTimer(): void {
    this.#timerFlushed.inc()
    this.#flush()
    this.#startTimer()
  }

  #startTimer(): void {
    this.#timers.start(this.#timer, this.#setting('flush_interval_ms', DEFAULT_FLUSH_INTERVAL_MS))
  }

  #setting(name: string, fallback: number): number {
    return this.#runtime === undefined ? fallback : this.#runtime.number(`${this.#prefix}.${name}`, fallback)
  }

  #flush(): void {
    if (this.#waiting > 0 && this.#inFlight < MAX_REPORTS_IN_FLIGHT) this.#send()
  }

  #send(): void {
    const count = this.#waiting
    this.#spansSent.add(count)
    this.#waiting = 0
    this.#inFlight++
    let answered = false
    this.#sink.send(this.#path, this.#encoder.contentType, this.#encoder.take(), outcome => {
      if (answered) return
      answered = true
      this.#inFlight--
      this.#outcomes[outcome].inc()
      if (outcome !== 'sent') this.#spansDropped.add(count)
      if (this.#waiting >= this.#setting('min_flush_spans', DEFAULT_MIN_FLUSH_SPANS)) this.#flush()
      if (this.#inFlight > 0) return
      for (const resolve of this.#idle.splice(0)) resolve()
    })
  }
}
