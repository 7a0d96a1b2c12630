/** What everything that is built from configuration shares: time, chance, stats, clusters, and the state of the server. */
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { SharedBuckets } from '../base/shared-buckets.ts'
import type { TimerWheel } from '../base/timer-wheel.ts'
import type { ClusterManager } from '../cluster/cluster-manager.ts'
import type { Listener, Node } from '../config/schema/generated/types.ts'
import type { FailureLocator } from '../failure-origin/failure-origin.ts'
import type { LedgerShare } from '../failure-origin/ledger-sharing.ts'
import type { AnyHttpFilterFactory } from '../filter-chain/http-filter.ts'
import type { AnyListenerFilterFactory } from '../filter-chain/listener-filter.ts'
import type { RuntimeLayers } from '../filter-chain/runtime-layers.ts'
import type { ServerCondition } from '../http/connection-manager.ts'
import type { StatsStore } from '../observability/stats-store.ts'
import type { Tap } from '../observability/tap.ts'
import type { AccessLogs } from './access-logs.ts'
import type { Secrets } from './secrets.ts'
import type { Tracers } from './tracers.ts'

export class Condition {
  /** Shutting down. */
  leaving = false
  /** Listeners that the operator drains (`/drain_listeners`): health checks go on being answered as before. */
  drained: ListenerChoice | undefined = undefined
  /** The operator said so (`/healthcheck/fail`). */
  healthCheckFailed = false

  /** What the connection managers of a listener see of it. */
  of(listener: Pick<Listener, 'trafficDirection' | 'drainType'>): ServerCondition {
    return new ListenerCondition(this, listener)
  }

  /** For the health_check filter: failed by the operator, or on the way out. */
  get failed(): boolean {
    return this.healthCheckFailed || this.leaving
  }

  /** As other threads are told it. */
  get state(): ConditionState {
    const { leaving, drained, healthCheckFailed } = this
    return { leaving, drained, healthCheckFailed }
  }
}

export interface ConditionState {
  readonly leaving: boolean
  readonly drained: ListenerChoice | undefined
  readonly healthCheckFailed: boolean
}

/** Which listeners are meant: those with `traffic_direction: INBOUND`, or all. */
export type ListenerChoice = 'inbound' | 'all'

class ListenerCondition implements ServerCondition {
  readonly overloaded = false
  readonly #condition: Condition
  readonly #isInbound: boolean
  /** With `drain_type: MODIFY_ONLY` a health check that fails closes no connection. */
  readonly #heedsHealth: boolean

  constructor(condition: Condition, { trafficDirection, drainType }: Pick<Listener, 'trafficDirection' | 'drainType'>) {
    this.#condition = condition
    this.#isInbound = trafficDirection === 'INBOUND'
    this.#heedsHealth = drainType !== 'MODIFY_ONLY'
  }

  /** Failing the health check closes connections too, as in Envoy. */
  get draining(): boolean {
    const { leaving, healthCheckFailed, drained } = this.#condition
    if (leaving || (healthCheckFailed && this.#heedsHealth)) return true
    return drained === 'all' || (drained === 'inbound' && this.#isInbound)
  }
}

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
