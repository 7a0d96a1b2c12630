/** What the router filter is made with: its configuration, its stats, and whom it may call. */
import type { Cluster } from '../cluster/cluster.ts'
import type { CallTarget } from '../failure-origin/contract.ts'
import type { Counter } from '../observability/stats.ts'
import type { Host } from '../upstream/host.ts'
import type { RedirectRefusal } from './internal-redirect.ts'
import type { ResponseCharges } from './response-charges.ts'

export interface RouterConfig {
  /** `suppress_envoy_headers`: adds none of the `x-envoy-…` headers. */
  readonly suppressEnvoyHeaders: boolean
  readonly respectExpectedRequestTimeout: boolean
  readonly strictCheckHeaders: readonly string[]
  /** Off: nothing is charged per response code and zone (`dynamic_stats`). */
  readonly dynamicStats: boolean
}

/** Stats below `http.<stat_prefix>.` that the router charges. */
export interface RouterStats {
  readonly noRoute: Counter
  readonly noCluster: Counter
  readonly rqTotal: Counter
  readonly rqDirectResponse: Counter
  readonly rqResetAfterDownstreamResponseStarted: Counter
  /** `passthrough_internal_redirect_<why>`: redirects that went to the caller. */
  readonly redirectRefused: Readonly<Record<RedirectRefusal, Counter>>
}

/** Callees as failure location knows them: looked up once per cluster and per host that has a name of its own. */
export interface CallTargets {
  ofCluster(cluster: Cluster): CallTarget
  /** For a host that names a service of its own. */
  ofHost(cluster: Cluster, host: Host): CallTarget
}

/** Everything that the routers of one connection manager share. */
export interface RouterParts {
  readonly config: RouterConfig
  readonly stats: RouterStats
  readonly targets: CallTargets
  readonly charges: ResponseCharges
  /** Where neither route nor cluster say it: `retry_reused_connection` of the node's metadata, else on. */
  readonly retryReusedConnection: boolean
}
