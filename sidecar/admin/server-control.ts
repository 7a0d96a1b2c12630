/**
 * What the admin endpoints need of the server they speak for. `server/` implements it; tests fake it.
 *
 * Views are made when asked for and thrown away: nothing here is called on the path of a request.
 */
import type { LogLevels } from '../observability/logging.ts'
import type { StatsStore } from '../observability/stats-store.ts'
import type { TagExtractor } from '../observability/stats-tags.ts'
import type { TapQuery, TapSink } from '../observability/tap.ts'
import type { SidecarView } from './mesh-view.ts'
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

  /** Tells `sink` of requests as they pass, in every thread; call the result to stop. Undefined where too many watch. */
  tap(query: TapQuery, sink: TapSink): (() => void) | undefined
  /** What this sidecar has to say of itself in the mesh. */
  sidecar(): Promise<SidecarView>
  clusterDetails(): Promise<readonly ClusterDetails[]>
  rateLimits(): Promise<readonly RateLimitDetails[]>
  /** Where listeners, routes and clusters in service stand in the configuration files. */
  configSources(): readonly ConfigSource[]
  /** The spans of a trace as Zipkin's JSON, from the collector that the configuration names; or why there are none. */
  trace(id: string): Promise<Buffer | string>
  /** Asks every collector of spans whether it is there. */
  collectors(): Promise<readonly CollectorState[]>

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

/** What `/clusters` has no place for, in one document with what the page and `hopwise check` need beside it. */
export interface ClusterDetails {
  readonly name: string
  readonly service: string
  readonly external: boolean
  /** `STATIC`, `STRICT_DNS`, … */
  readonly type: string
  readonly lbPolicy: string
  readonly tls: boolean
  /** Why discovery found nothing, '' when it works. */
  readonly discoveryFailure: string
  /** Limits of the circuit breaker: what is in use, what may be, and how often it refused since the start. */
  readonly limits: readonly {
    readonly name: 'connections' | 'pending requests' | 'requests' | 'retries'
    readonly inUse: number
    readonly max: number
    readonly refused: number
  }[]
  readonly outlierDetection: boolean
  readonly warnings: readonly string[]
  readonly hosts: readonly HostDetails[]
}

/** A local rate limit: requests a second in the long run, and so many at once after a pause. */
export interface RateLimitDetails {
  /** `listener egress`, `virtual host outside`, `route outside/0`. */
  readonly where: string
  /** Its `stat_prefix`. */
  readonly name: string
  readonly perSecond: number
  readonly burst: number
  readonly passed: number
  readonly refused: number
}

export interface HostDetails {
  readonly address: string
  readonly hostname: string
  /** `draining` and `unhealthy` as discovery says, `failing` by health checks, `ejected` as an outlier. */
  readonly health: 'healthy' | 'degraded' | 'failing' | 'ejected' | 'unhealthy'
  readonly weight: number
  readonly priority: number
  readonly zone: string
  readonly requests: number
  readonly errors: number
  readonly active: number
  readonly connections: number
  readonly lastFailure: string
  /** Wall clock, milliseconds; 0 where there was none. */
  readonly lastFailureAt: number
}

export interface CollectorState {
  /** `zipkin`, `opentelemetry`. */
  readonly kind: string
  readonly cluster: string
  /** Why it does not answer, '' when it does, whatever its answer. */
  readonly failure: string
}

export interface ConfigSource {
  readonly kind: 'listener' | 'filter_chain' | 'route_config' | 'virtual_host' | 'route' | 'cluster'
  /** Of a filter chain, virtual host or route: the name of what it is in, then its own name or place. */
  readonly name: string
  readonly file: string
  /** From 1; 0 where the configuration has no lines. */
  readonly line: number
  readonly column: number
  /** In the names of the protos. */
  readonly path: string
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
