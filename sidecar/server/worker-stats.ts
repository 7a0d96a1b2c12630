/**
 * Stats of several threads as one store: values of the control side and of all workers added up, and what workers counted
 * that are no more, so that no counter ever falls.
 */
import { type StatsSnapshot, StatsStore } from '../observability/stats-store.ts'
import type { WorkerStats } from './worker-messages.ts'

export class WorkerStatsSum {
  /** What each worker said last. */
  readonly #last: (WorkerStats | undefined)[]
  readonly #merged = new StatsStore()
  #gone: StatsSnapshot | undefined = undefined

  constructor(workers: number) {
    this.#last = new Array<undefined>(workers).fill(undefined)
  }

  get connections(): number {
    return this.#last.reduce((sum, one) => sum + (one?.connections ?? 0), 0)
  }

  get heapBytes(): number {
    return this.#last.reduce((sum, one) => sum + (one?.heapBytes ?? 0), 0)
  }

  note(worker: number, stats: WorkerStats): void {
    this.#last[worker] = stats
  }

  /** The worker is no more: what it counted stays, what it had goes. */
  forget(worker: number): void {
    const last = this.#last[worker]?.stats
    this.#last[worker] = undefined
    if (last === undefined) return
    const store = new StatsStore()
    store.fillFrom(this.#gone === undefined ? [last] : [this.#gone, last])
    this.#gone = onlyCounted(store.snapshot(), () => true)
  }

  resetCounters(): void {
    const gone = this.#gone
    if (gone === undefined) return
    this.#gone = { ...gone, counters: [], families: gone.families.filter(({ type }) => type === 'histogram') }
  }

  /** The sum; always the same store, filled anew. */
  store(control: StatsSnapshot): StatsStore {
    const parts = [control, ...this.#last.flatMap(one => (one === undefined ? [] : [one.stats]))]
    if (this.#gone !== undefined) {
      // Names that no thread has any more (a cluster that was removed) shall not live on.
      const names = new Set(
        parts.flatMap(({ counters, histograms }) => [...counters, ...histograms].map(one => one[0])),
      )
      parts.push(onlyCounted(this.#gone, name => names.has(name)))
    }
    this.#merged.fillFrom(parts)
    return this.#merged
  }
}

function onlyCounted(
  { counters, histograms, families }: StatsSnapshot,
  keep: (name: string) => boolean,
): StatsSnapshot {
  return {
    counters: counters.filter(([name]) => keep(name)),
    histograms: histograms.filter(([name]) => keep(name)),
    gauges: [],
    texts: [],
    families: families.filter(({ type }) => type !== 'gauge'),
  }
}
