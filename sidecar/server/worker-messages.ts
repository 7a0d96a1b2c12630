/**
 * What the control side (main thread) and its workers tell each other. Plain data that is cloned, and shared memory.
 * Configuration travels decoded: cloning it takes 0.2 to 0.5 ms where decoding its text again takes 50, and a worker needs
 * neither `yaml` nor the file, which may have changed meanwhile.
 */
import type { WORKER_ROLE } from '../base/worker-role.ts'
import type { PublishedCluster } from '../cluster/cluster-sharing.ts'
import type { ClusterView } from '../cluster/cluster-view.ts'
import type { EjectionType } from '../cluster/outlier-settings.ts'
import type { Bootstrap } from '../config/schema/generated/types.ts'
import type { FailureEntry } from '../failure-origin/failure-log.ts'
import type { LogLevel } from '../observability/logging.ts'
import type { StatsSnapshot } from '../observability/stats-store.ts'
import type { TapEvent, TapLoss, TapQuery } from '../observability/tap.ts'
import type { ConditionState, ListenerChoice } from './condition.ts'
import type { BoundAddresses } from './listeners.ts'
import type { ServerOptions } from './options.ts'

export type PublishedClusters = ReadonlyMap<string, PublishedCluster>

/** With what a worker starts (`workerData`). */
export interface WorkerStart {
  readonly role: typeof WORKER_ROLE
  readonly index: number
  readonly options: ServerOptions
  readonly serviceName: string
  readonly bootstrap: Bootstrap
  readonly published: PublishedClusters
  /** Where the other workers listen. */
  readonly bound: BoundAddresses
  readonly buckets: SharedArrayBuffer
  /** Where each worker tells the others of its requests and calls (failure location). */
  readonly rings: readonly SharedArrayBuffer[]
  /** What operators have set since the start (`/runtime_modify`, `/logging`). */
  readonly runtime: ReadonlyMap<string, string>
  readonly logLevels: readonly (readonly [component: string, level: LogLevel])[]
  readonly condition: ConditionState
  /** Who watches requests. */
  readonly taps: ReadonlyMap<number, TapQuery>
}

/** Questions to a worker, by name, with what they are given and what they answer. */
export interface WorkerCalls {
  /** Builds and binds; answers with what is wrong, and where it listens. */
  stage: {
    readonly given: {
      readonly bootstrap: Bootstrap
      readonly published: PublishedClusters
      readonly bound: BoundAddresses
    }
    readonly answer: { readonly problems: readonly string[]; readonly bound: BoundAddresses }
  }
  commit: { readonly given: undefined; readonly answer: undefined }
  abort: { readonly given: PublishedClusters; readonly answer: undefined }
  drain: { readonly given: { readonly which: ListenerChoice; readonly closeIdle: boolean }; readonly answer: undefined }
  stats: { readonly given: undefined; readonly answer: WorkerStats }
  clusters: { readonly given: undefined; readonly answer: readonly ClusterView[] }
  close: { readonly given: undefined; readonly answer: undefined }
}

export type WorkerCall = keyof WorkerCalls

export interface WorkerStats {
  readonly stats: StatsSnapshot
  readonly connections: number
  /** Bytes of this thread's heap. */
  readonly heapBytes: number
}

export type ToWorker =
  | { readonly type: 'call'; readonly id: number; readonly call: WorkerCall; readonly given: unknown }
  | { readonly type: 'published'; readonly clusters: PublishedClusters }
  | { readonly type: 'condition'; readonly state: ConditionState }
  | { readonly type: 'stop-accepting'; readonly which: ListenerChoice }
  | { readonly type: 'runtime'; readonly values: ReadonlyMap<string, string> }
  | { readonly type: 'log-level'; readonly component: string; readonly level: LogLevel }
  | { readonly type: 'reset-counters' }
  | { readonly type: 'tap'; readonly tap: number; readonly query: TapQuery }
  | { readonly type: 'untap'; readonly tap: number }
  | { readonly type: 'reopen-logs' }
  /** Other workers have told much of their requests. */
  | { readonly type: 'read-ledger' }
  | { readonly type: 'worker-gone'; readonly worker: number; readonly atMs: number }

export type FromWorker =
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown; readonly error?: string }
  /** Started: what was wrong, and where it listens. */
  | { readonly type: 'started'; readonly problems: readonly string[]; readonly bound: BoundAddresses }
  | { readonly type: 'stats'; readonly stats: WorkerStats }
  | { readonly type: 'row'; readonly cluster: string; readonly host: string; readonly ejection: EjectionType }
  | { readonly type: 'failure'; readonly entry: FailureEntry }
  | {
      readonly type: 'tapped'
      readonly tap: number
      readonly events: readonly TapEvent[]
      readonly lost: readonly (readonly [requests: number, why: TapLoss])[]
    }
  /** Another worker should read what this one has told it. */
  | { readonly type: 'lagging'; readonly worker: number }
