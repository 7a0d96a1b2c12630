/**
 * What the admin endpoints need of the server they speak for. `server/` implements it; tests fake it.
 *
 * Views are made when asked for and thrown away: nothing here is called on the path of a request.
 */
import type { LogLevels } from '../observability/logging.ts'
import type { StatsStore } from '../observability/stats-store.ts'
import type { TagExtractor } from '../observability/stats-tags.ts'
import type { AdminResponse } from './message.ts'

/** Envoy: `envoy.admin.v3.ServerInfo.State`. */
export type ServerState = 'LIVE' | 'DRAINING' | 'PRE_INITIALIZING' | 'INITIALIZING'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
export type JsonRecord = { readonly [key: string]: Json }

export interface ServerControl {
  /** DRAINING also while `/healthcheck/fail` holds, as in Envoy. */
  state(): ServerState
  /** Since this process started, and since the first of the processes that restarted each other. */
  uptimeMs(): { readonly currentEpoch: number; readonly allEpochs: number }
  /** `command_line_options` of `/server_info`, with the names of the proto. */
  commandLineOptions(): JsonRecord
  /** The node as configured, in proto JSON. */
  node(): JsonRecord
  /** `disabled`, or the protocol of the processes that hand over to each other. */
  readonly hotRestartVersion: string

  /** The stats to show, added up over all threads. */
  stats(): StatsStore | Promise<StatsStore>
  readonly tags: TagExtractor
  /** In every thread. */
  resetCounters(): void

  listeners(): readonly ListenerView[]
  /** With the counters of all threads. */
  clusters(): readonly ClusterView[] | Promise<readonly ClusterView[]>
  certificates(): readonly CertificateView[]
  /** Sections in Envoy's order (Bootstrap, Clusters, Listeners, ScopedRoutes, Routes, Secrets, …), secrets redacted. */
  configDump(includeEndpoints: boolean): readonly ConfigDumpSection[]
  /** What initialization still waits for: `{unready_targets_dumps: […]}`; `{}` when all is done. */
  initDump(mask: string | undefined): JsonRecord

  readonly logs: LogLevels
  readonly runtime: RuntimeView
  readonly failures: FailureLog

  drainListeners(options: DrainOptions): void
  quit(): void
  /** Makes `/ready` and the health_check filter fail, until it is set right again. */
  setHealthCheckFailed(failed: boolean): void
  reopenLogs(): void
}

export interface DrainOptions {
  /** Wait for the drain time before the listeners close. */
  readonly graceful: boolean
  readonly inboundOnly: boolean
  /** Drain connections and leave the listeners open. */
  readonly skipExit: boolean
}

export interface SocketAddressView {
  /** An IP and a port, or the path of a pipe with port 0. */
  readonly ip: string
  readonly port: number
}

export interface ListenerView {
  readonly name: string
  readonly local: SocketAddressView
  readonly additional?: readonly SocketAddressView[]
}

export interface ThresholdsView {
  readonly maxConnections: number
  readonly maxPendingRequests: number
  readonly maxRequests: number
  readonly maxRetries: number
}

export interface ClusterView {
  readonly name: string
  /** `alt_stat_name`, else the name. */
  readonly observabilityName: string
  readonly addedViaApi: boolean
  readonly edsServiceName: string
  readonly defaultPriority: ThresholdsView
  readonly highPriority: ThresholdsView
  /** Where outlier detection is configured; -1 for what is not known yet. */
  readonly outlier: OutlierView | undefined
  readonly hosts: readonly HostView[]
}

export interface OutlierView {
  readonly successRateAverage: number
  readonly successRateEjectionThreshold: number
  readonly localOriginSuccessRateAverage: number
  readonly localOriginSuccessRateEjectionThreshold: number
}

export interface HostView {
  readonly address: SocketAddressView
  readonly hostname: string
  readonly counters: HostCounters
  readonly health: HostHealthView
  readonly weight: number
  readonly region: string
  readonly zone: string
  readonly subZone: string
  readonly canary: boolean
  readonly priority: number
  /** Per cent, -1 when not known. */
  readonly successRate: number
  readonly localOriginSuccessRate: number
}

export interface HostCounters {
  readonly cxConnectFail: number
  readonly cxTotal: number
  readonly rqError: number
  readonly rqSuccess: number
  readonly rqTimeout: number
  readonly rqTotal: number
  readonly cxActive: number
  readonly rqActive: number
  readonly rqPendingActive: number
}

export interface HostHealthView {
  readonly failedActiveHealthCheck?: boolean
  readonly failedOutlierCheck?: boolean
  readonly failedEds?: boolean
  readonly degradedActive?: boolean
  readonly degradedEds?: boolean
  readonly pendingDynamicRemoval?: boolean
  readonly pendingActive?: boolean
  readonly excludedViaImmediateHealthCheckFail?: boolean
  readonly activeHealthCheckTimeout?: boolean
  readonly draining?: boolean
  /** Envoy: `envoy.config.core.v3.HealthStatus`. */
  readonly edsStatus: 'UNKNOWN' | 'HEALTHY' | 'UNHEALTHY' | 'DRAINING' | 'TIMEOUT' | 'DEGRADED'
}

export interface CertificateView {
  readonly caCertificates: readonly CertificateDetails[]
  readonly chain: readonly CertificateDetails[]
}

export interface CertificateDetails {
  /** File it came from; '' for one from the configuration or SDS. */
  readonly path: string
  /** Lower-case hex. */
  readonly serialNumber: string
  readonly subjectAltNames: readonly { readonly kind: 'dns' | 'uri' | 'ip_address'; readonly value: string }[]
  readonly validFromMs: number
  readonly expiresMs: number
}

/** One of the messages of `/config_dump`, in proto JSON with snake_case names. */
export interface ConfigDumpSection {
  /** Without the package: `ClustersConfigDump`. */
  readonly type: ConfigDumpType
  readonly message: JsonRecord
}

export type ConfigDumpType =
  | 'BootstrapConfigDump'
  | 'ClustersConfigDump'
  | 'EndpointsConfigDump'
  | 'ListenersConfigDump'
  | 'ScopedRoutesConfigDump'
  | 'RoutesConfigDump'
  | 'SecretsConfigDump'
  | 'EcdsConfigDump'

export interface RuntimeView {
  /** Names of the layers, lowest first. */
  layers(): readonly string[]
  /** Each key with its value per layer ('' where a layer has none). */
  entries(): ReadonlyMap<string, readonly string[]>
  /** Writes to the admin layer; '' takes a key out of it. A text when that cannot be done: there is no such layer. */
  modify(values: ReadonlyMap<string, string>): string | undefined
}

/** The failures this sidecar has seen (failure-origin.md), newest last. */
export interface FailureLog {
  list(query: {
    readonly since?: number | undefined
    readonly id?: string | undefined
    readonly limit: number
  }): readonly object[]
}

/** Paths that are not endpoints of the proxy: the page for people and what it loads. */
export interface AdminPages {
  page(path: string): AdminResponse | undefined
}
