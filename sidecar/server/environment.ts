/** What everything that is built from configuration shares: time, chance, stats, clusters, and the state of the server. */
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { SharedBuckets } from '../base/shared-buckets.ts'
import type { TimerWheel } from '../base/timer-wheel.ts'
import type { ClusterManager } from '../cluster/cluster-manager.ts'
import type { Node } from '../config/schema/generated/types.ts'
import type { FailureLocator } from '../failure-origin/failure-origin.ts'
import type { LedgerShare } from '../failure-origin/ledger-sharing.ts'
import type { AnyHttpFilterFactory } from '../filter-chain/http-filter.ts'
import type { AnyListenerFilterFactory } from '../filter-chain/listener-filter.ts'
import type { RuntimeLayers } from '../filter-chain/runtime-layers.ts'
import type { StatsStore } from '../observability/stats-store.ts'
import type { Tap } from '../observability/tap.ts'
import type { AccessLogs } from './access-logs.ts'
import type { Condition } from './condition.ts'
import type { Secrets } from './secrets.ts'
import type { Tracers } from './tracers.ts'

/** This thread among the workers, and what they have in common. */
export interface WorkerPlace {
  readonly index: number
  readonly buckets: SharedBuckets
  readonly ledger: LedgerShare
}

export interface Environment {
  readonly clock: Clock
  readonly timers: TimerWheel
  readonly random: Random
  readonly runtime: RuntimeLayers
  readonly stats: StatsStore
  /** Root for the stats of what the control side does; in a worker one that nobody reads. */
  readonly controlStats: StatsStore
  /** Set in a worker thread. */
  readonly worker: WorkerPlace | undefined
  readonly clusters: ClusterManager
  readonly failures: FailureLocator
  readonly tap: Tap
  readonly condition: Condition
  readonly node: Node | undefined
  readonly serviceName: string
  readonly filters: ReadonlyMap<string, AnyHttpFilterFactory>
  readonly accessLogs: AccessLogs
  readonly tracers: Tracers
  readonly secrets: Secrets
  readonly listenerFilters: ReadonlyMap<string, AnyListenerFilterFactory>
}
