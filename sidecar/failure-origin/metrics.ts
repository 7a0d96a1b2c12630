/**
 * Counters of failure location. Names of services come from configuration and authenticated peers only, and of those at
 * most a bounded number become labels; the rest is `other`, so that a record from the wire cannot grow the output.
 */
import type { Confidence, FailureRecord, Role } from './record.ts'

export interface LabelledCounter {
  inc(): void
  add(n: number): void
}

/** A family of counters that differ in labels. Asking twice for the same values gives the same counter. */
export interface LabelledCounters {
  counter(...values: string[]): LabelledCounter
}

/** What is needed of the stats store; `observability/stats-store.ts` has it. */
export interface LabelledStats {
  labelled(name: string, labelNames: readonly string[], help: string): LabelledCounters
}

const OTHER = 'other'

export class FailureMetrics {
  readonly #service: string
  readonly #failures: LabelledCounters
  readonly #blocked: LabelledCounters
  readonly #calls: LabelledCounters
  readonly #failedCalls: LabelledCounters
  readonly #otherNames: LabelledCounters
  readonly #names = new Set<string>()
  readonly #maxNames: number
  /** Seconds of inbound requests that were not spent waiting for calls. */
  readonly ownSeconds: LabelledCounter
  /** Inbound requests that failed, by status or by gRPC status. */
  readonly requestsFailed: LabelledCounter
  /** Egress calls that came without any trace context. */
  readonly traceContextMissing: LabelledCounter
  readonly #overflow: LabelledCounters

  constructor(stats: LabelledStats, service: string, maxNames: number) {
    this.#service = service
    this.#maxNames = maxNames
    this.#names.add(service)
    this.#failures = stats.labelled(
      'hopwise_failures_total',
      ['service', 'role', 'origin', 'cause', 'link', 'confidence'],
      'Failures this sidecar had a part in, by the part and by where they began',
    )
    this.#blocked = stats.labelled(
      'hopwise_blocked_seconds_total',
      ['service', 'on'],
      'Seconds inbound requests spent waiting for a service',
    )
    this.#calls = stats.labelled('hopwise_calls_total', ['service', 'on'], 'Calls of a service to another')
    this.#failedCalls = stats.labelled(
      'hopwise_calls_failed_total',
      ['service', 'on'],
      'Calls that failed in the end, after what retries there were',
    )
    this.#otherNames = stats.labelled(
      'hopwise_callee_other_name_total',
      ['service', 'on', 'name'],
      'Failures that came from a service which calls itself otherwise than its caller does',
    )
    this.ownSeconds = stats
      .labelled('hopwise_own_seconds_total', ['service'], 'Seconds inbound requests spent in the service itself')
      .counter(service)
    this.requestsFailed = stats
      .labelled('hopwise_requests_failed_total', ['service'], 'Inbound requests that were answered with a failure')
      .counter(service)
    this.traceContextMissing = stats
      .labelled('hopwise_trace_context_missing_total', ['service'], 'Outgoing calls without any trace context')
      .counter(service)
    this.#overflow = stats.labelled(
      'hopwise_failure_ledger_overflow_total',
      ['service', 'limit'],
      'What failure location had to leave out because a limit was reached',
    )
  }

  failure(role: Role, record: FailureRecord, confidence: Confidence): void {
    const ends = record.link.split('>')
    const link = ends.map(end => this.label(end)).join('>')
    this.#failures.counter(this.#service, role, this.label(record.origin), record.cause, link, confidence).inc()
  }

  blockedOn(service: string): LabelledCounter {
    return this.#blocked.counter(this.#service, this.label(service))
  }

  /** Counters of calls to a service: all, and those that failed. */
  callsTo(service: string): readonly [all: LabelledCounter, failed: LabelledCounter] {
    const on = this.label(service)
    return [this.#calls.counter(this.#service, on), this.#failedCalls.counter(this.#service, on)]
  }

  /** One service has two names, and so two labels. */
  otherName(service: string, itsOwn: string): void {
    this.#otherNames.counter(this.#service, this.label(service), this.label(itsOwn)).inc()
  }

  overflow(limit: 'max_in_flight' | 'max_unclaimed' | 'worker_ring'): LabelledCounter {
    return this.#overflow.counter(this.#service, limit)
  }

  label(name: string): string {
    if (this.#names.has(name)) return name
    if (this.#names.size >= this.#maxNames) return OTHER
    this.#names.add(name)
    return name
  }
}

/** Counters in a map, for tests and for a proxy without a store. */
export class PlainLabelledStats implements LabelledStats {
  readonly values = new Map<string, { value: number; inc(): void; add(n: number): void }>()

  labelled(name: string, labelNames: readonly string[]): LabelledCounters {
    return {
      counter: (...values) => {
        const key = `${name}{${labelNames.map((label, i) => `${label}="${values[i]}"`).join(',')}}`
        let counter = this.values.get(key)
        if (counter === undefined) {
          counter = {
            value: 0,
            inc() {
              this.value++
            },
            add(n) {
              this.value += n
            },
          }
          this.values.set(key, counter)
        }
        return counter
      },
    }
  }

  /** Sum over the counters of `name` whose label text contains each of `parts` (`role="origin"`). */
  sum(name: string, ...parts: string[]): number {
    let sum = 0
    for (const [key, counter] of this.values) {
      if (key.startsWith(`${name}{`) && parts.every(part => key.includes(part))) sum += counter.value
    }
    return sum
  }
}
