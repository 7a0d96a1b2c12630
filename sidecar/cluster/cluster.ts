/** A cluster as the router sees it: choose a host, count against the limits, borrow a connection, report the outcome. */
import type { ResponseHeaders } from '../codec/header-map.ts'
import type { ResponseDecoder, StreamFailure } from '../codec/stream.ts'
import type { Metadata } from '../config/schema/generated/types.ts'
import type { LoadBalancerContext } from '../load-balancer/policy.ts'
import type { Counter, Gauge, Histogram, StatsScope } from '../observability/stats.ts'
import type { PendingStream, PoolCallbacks, StreamOptions } from '../upstream/connection-pool.ts'
import type { Host } from '../upstream/host.ts'
import type { ResourceManager } from '../upstream/resource.ts'
import type { AutoNames } from './cluster-settings.ts'
import type { TrackedStats } from './tracked-stats.ts'

// Declared in the rooms below, which need them too; whoever sees clusters finds them here.
export type { LoadBalancerContext } from '../load-balancer/policy.ts'
export type { Resource, ResourceManager } from '../upstream/resource.ts'

/** Envoy's `RoutingPriority`. */
export const Priority = { Default: 0, High: 1 } as const
export type Priority = (typeof Priority)[keyof typeof Priority]

/** Stats the router charges (features.md §2.12); `responses` charges `upstream_rq_<code>` and `upstream_rq_<c>xx`. */
export interface ClusterRequestStats {
  readonly completed: Counter
  readonly time: Histogram
  readonly timeout: Counter
  readonly perTryTimeout: Counter
  readonly perTryIdleTimeout: Counter
  readonly maxDurationReached: Counter
  readonly retry: Counter
  readonly retrySuccess: Counter
  readonly retryOverflow: Counter
  readonly retryLimitExceeded: Counter
  readonly retryBackoffExponential: Counter
  readonly retryBackoffRatelimited: Counter
  readonly rxReset: Counter
  readonly txReset: Counter
  readonly cancelled: Counter
  readonly maintenanceMode: Counter
  readonly retryOrShadowAbandoned: Counter
  readonly pendingFailureEject: Counter
  readonly retryStateActive: Gauge
  /** Charges the counters of one response. `scopeName` is '' or 'retry', 'canary', 'internal', 'external', 'zone…'. */
  response(status: number, scopeName: string): void
  /**
   * Charges an answer to a caller as Envoy does, at its head or when it is made here: `upstream_rq_completed`, code and
   * class, in the cluster's own tree and in that of `internal.` or `external.` requests. In place of {@link completed} and
   * {@link response}.
   */
  chargeResponse(status: number, internal: boolean): void
  /** Records `upstream_rq_time` in both trees; `traceId` is an example of it, '' for none. */
  chargeTime(ms: number, internal: boolean, traceId: string): void
  /** Records `<scopeName>.upstream_rq_time`; scope '' is {@link time}. */
  responseTime(ms: number, scopeName: string): void
}

/** What outlier detection is told about a host (Envoy: `DetectorHostMonitor`). */
export interface OutlierReporter {
  /**
   * An answer of the host with this status came (the status an HTTP caller would see; gRPC is mapped). `headers` are
   * looked at where the cluster has an `error_matcher`.
   */
  onResponse(host: Host, status: number, headers?: ResponseHeaders): void
  /** No answer: connect failure, timeout, reset. Counts as a 5xx unless local-origin errors are split. */
  onLocalOriginFailure(host: Host, kind: 'connect_failed' | 'timeout' | 'reset'): void
  onLocalOriginSuccess(host: Host): void
}

export interface Cluster {
  readonly name: string
  /** `alt_stat_name`, else the name. */
  readonly statName: string
  /** Service name for failure records, by the rules of failure-origin.md ("Name of a callee"), never ''. */
  readonly serviceName: string
  /** `filter_metadata.hopwise.external`: outside the mesh, its records are never believed. */
  readonly external: boolean
  /** `filter_metadata.hopwise.retry_reused_connection`. */
  readonly retryReusedConnection?: boolean | undefined
  readonly metadata: Metadata | undefined
  readonly stats: StatsScope
  readonly requestStats: ClusterRequestStats
  /** `track_cluster_stats`, undefined for nearly every cluster. */
  readonly tracked?: TrackedStats | undefined
  readonly outlier: OutlierReporter
  /** `per_connection_buffer_limit_bytes`. */
  /** SNI and names for TLS that requests bring along; undefined where they bring none. */
  readonly autoNames?: AutoNames | undefined
  readonly bufferLimitBytes: number
  /** `max_stream_duration` of the cluster's protocol options, in milliseconds; 0 for none. */
  readonly maxStreamDurationMs: number
  readonly hosts: readonly Host[]
  /** `maintenance_mode` runtime etc. is not kept; why there may be no host at all: 'dns' with details, or ''. */
  readonly discoveryFailure: string
  resources(priority: Priority): ResourceManager
  /** The host for one attempt, or undefined when there is no healthy one. */
  chooseHost(context: LoadBalancerContext): Host | undefined
  /** Borrows a connection to `host`. The callbacks may run before this returns. */
  newStream(
    host: Host,
    priority: Priority,
    options: StreamOptions,
    decoder: ResponseDecoder,
    callbacks: PoolCallbacks,
  ): PendingStream
  /** Failures this cluster made itself, for messages: the last failure text of any host. */
  lastFailure(): StreamFailure | undefined
}

export interface Clusters {
  get(name: string): Cluster | undefined
}
