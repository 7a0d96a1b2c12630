/** Taps of the whole process: who watches requests, in this thread or in the workers, and what was lost on the way. */
import type { Gauge } from '../observability/stats.ts'
import type { LabelledCounters } from '../observability/stats-labelled.ts'
import type { StatsStore } from '../observability/stats-store.ts'
import type { Tap, TapEvent, TapLoss, TapQuery, TapSink } from '../observability/tap.ts'
import type { FromWorker } from './worker-messages.ts'
import type { WorkerPool } from './worker-pool.ts'

/** Watchers at a time: each costs the path something for every request. */
const MAX_TAPS = 16
/** What a worker gathers before it tells the control side, and for how long. */
const MAX_BATCH = 1000
const BATCH_MS = 20

export class Taps {
  readonly #tap: Tap
  readonly #workers: WorkerPool | undefined
  readonly #service: string
  readonly #open: Gauge
  readonly #lost: LabelledCounters
  readonly #refused: { inc(): void }

  constructor(tap: Tap, workers: WorkerPool | undefined, stats: StatsStore, service: string) {
    this.#tap = tap
    this.#workers = workers
    this.#open = stats
      .labelledGauges('hopwise_taps_open', ['service'], 'Watchers of requests (`hopwise tap`)')
      .gauge(service)
    this.#lost = stats.labelled(
      'hopwise_tap_lost_total',
      ['service', 'reason'],
      'Requests that a watcher did not get to see: more than it asked for in a second, or it read too slowly',
    )
    this.#service = service
    for (const reason of ['rate', 'slow_reader'] satisfies TapLoss[]) this.#lost.counter(service, reason)
    this.#refused = stats
      .labelled('hopwise_tap_refused_total', ['service'], 'Watchers refused because there were too many')
      .counter(service)
  }

  /** Call the result to stop. Undefined where too many watch already. */
  open(query: TapQuery, sink: TapSink): (() => void) | undefined {
    if (this.#open.value >= MAX_TAPS) {
      this.#refused.inc()
      return undefined
    }
    this.#open.inc()
    const counted: TapSink = {
      event: event => sink.event(event),
      lost: (requests, why) => {
        this.#lost.counter(this.#service, why).add(requests)
        sink.lost(requests, why)
      },
    }
    const stop = this.#workers === undefined ? this.#tap.watch(query, counted) : this.#workers.tap(query, counted)
    let stopped = false
    return () => {
      if (stopped) return
      stopped = true
      this.#open.dec()
      stop()
    }
  }
}

/** The watchers of the control side, in a worker: tells their events in batches. */
export class WorkerTaps {
  readonly #tap: Tap
  readonly #send: (message: FromWorker) => void
  readonly #stops = new Map<number, () => void>()

  constructor(tap: Tap, send: (message: FromWorker) => void) {
    this.#tap = tap
    this.#send = send
  }

  open(id: number, query: TapQuery): void {
    if (this.#stops.has(id)) return
    let events: TapEvent[] = []
    let lost: [requests: number, why: TapLoss][] = []
    let timer: NodeJS.Timeout | undefined
    const flush = () => {
      timer = undefined
      this.#send({ type: 'tapped', tap: id, events, lost })
      events = []
      lost = []
    }
    const soon = () => {
      timer ??= setTimeout(flush, BATCH_MS)
    }
    const stop = this.#tap.watch(query, {
      event: event => {
        if (events.length < MAX_BATCH) events.push(event)
        else if (event.kind === 'end') lost.push([1, 'slow_reader'])
        soon()
      },
      lost: (requests, why) => {
        const last = lost.at(-1)
        if (last?.[1] === why) last[0] += requests
        else lost.push([requests, why])
        soon()
      },
    })
    this.#stops.set(id, () => {
      clearTimeout(timer)
      stop()
    })
  }

  close(id: number): void {
    this.#stops.get(id)?.()
    this.#stops.delete(id)
  }
}
