/**
 * A host: a running endpoint of a cluster, whom a load balancer may choose. Configured endpoints become hosts when the
 * cluster is built or its discovery answers; a host keeps its identity (and its pools, counters and ejections) for as
 * long as its address stays in the cluster.
 */
import type { Address } from '../base/address.ts'
import type { SharedCount } from '../base/shared-count.ts'
import type { Metadata } from '../config/schema/generated/types.ts'
import type { Counter, Gauge } from '../observability/stats.ts'

/** Why a host is out of rotation; several reasons may hold at once, so each is a bit. */
export const HostHealth = {
  Healthy: 0,
  FailedActiveHealthCheck: 1 << 0,
  FailedOutlierCheck: 1 << 1,
  /** Configured or announced as UNHEALTHY, DRAINING or TIMEOUT. */
  FailedEds: 1 << 2,
  Degraded: 1 << 3,
} as const

export interface Locality {
  readonly region: string
  readonly zone: string
  readonly subZone: string
}

/** Counters that `/clusters` shows for every host. */
export interface HostStats {
  readonly cxTotal: Counter
  readonly cxActive: Gauge
  readonly cxConnectFail: Counter
  readonly rqTotal: Counter
  readonly rqActive: Gauge
  readonly rqSuccess: Counter
  readonly rqError: Counter
  readonly rqTimeout: Counter
}

export interface Host {
  readonly address: Address
  /** `10.0.0.7:8080`, ready made for logs and for `/clusters`. */
  readonly addressText: string
  /** The name it was configured by (a DNS name, or `endpoint.hostname`); '' when only an address was given. */
  readonly hostname: string
  /** Service name for failure records: `filter_metadata.hopwise.service` of the endpoint, or ''. */
  readonly serviceName: string
  readonly metadata: Metadata | undefined
  readonly locality: Locality
  readonly priority: number
  readonly stats: HostStats
  /** Connections of all worker threads, where `per_host_thresholds` limit them; undefined where this thread is alone. */
  readonly sharedConnections: SharedCount | undefined
  weight: number
  canary: boolean
  /** Set of {@link HostHealth} bits. */
  health: number
  /** Text of the last failure seen on this host and when (wall ms), for messages and `no_healthy` records. */
  lastFailure: string
  lastFailureAtMs: number
}
