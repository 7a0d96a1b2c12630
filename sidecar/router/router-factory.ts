/** The router as an HTTP filter: its configuration, its stats, and what it needs beyond other filters. */
import type { Cluster, Clusters } from '../cluster/cluster.ts'
import type { Router } from '../config/schema/generated/types.ts'
import type { CallTarget, FailureOrigin } from '../failure-origin/contract.ts'
import type { FilterContext, HttpFilterFactory } from '../filter-chain/http-filter.ts'
import type { StatsScope } from '../observability/stats.ts'
import type { Host } from '../upstream/host.ts'
import { REDIRECT_REFUSALS } from './internal-redirect.ts'
import { ResponseCharges } from './response-charges.ts'
import { RouterFilter } from './router-filter.ts'
import type { CallTargets, RouterConfig, RouterStats } from './router-settings.ts'

/** The context of a connection manager gives the router more than other filters get. */
export interface RouterContext extends FilterContext {
  readonly clusters: Clusters & FilterContext['clusters']
  readonly failureOrigin: FailureOrigin
  /** Zone of this node, '' where it has none. */
  readonly localZone: string
  readonly retryReusedConnection: boolean
}

export const router: HttpFilterFactory<RouterConfig> = {
  name: 'envoy.filters.http.router',
  typeUrl: 'envoy.extensions.filters.http.router.v3.Router',
  terminal: true,
  decodeConfig(message: Router): RouterConfig {
    return {
      suppressEnvoyHeaders: message.suppressEnvoyHeaders,
      respectExpectedRequestTimeout: message.respectExpectedRqTimeout,
      strictCheckHeaders: message.strictCheckHeaders.map(name => name.toLowerCase()),
      dynamicStats: message.dynamicStats ?? true,
    }
  },
  create(config, context) {
    const { clusters, failureOrigin, localZone, retryReusedConnection } = context as RouterContext
    const parts = {
      config,
      stats: routerStats(context.stats),
      targets: new Targets(failureOrigin),
      charges: new ResponseCharges(context.rootStats, config.dynamicStats, localZone),
      retryReusedConnection,
    }
    return () => new RouterFilter(parts, context, clusters)
  },
}

class Targets implements CallTargets {
  readonly #origin: FailureOrigin
  readonly #byCluster = new WeakMap<Cluster, CallTarget>()
  constructor(origin: FailureOrigin) {
    this.#origin = origin
  }
  ofCluster(cluster: Cluster): CallTarget {
    let target = this.#byCluster.get(cluster)
    if (target === undefined) {
      const { name: clusterName, serviceName, external } = cluster
      target = this.#origin.target({ clusterName, serviceName, external })
      this.#byCluster.set(cluster, target)
    }
    return target
  }
  ofHost(cluster: Cluster, host: Host): CallTarget {
    return this.#origin.target({ clusterName: cluster.name, serviceName: host.serviceName, external: cluster.external })
  }
}

function routerStats(scope: StatsScope): RouterStats {
  scope.counter('rq_retry_skipped_request_not_complete')
  scope.counter('rq_redirect')
  scope.counter('rq_overload_local_reply')
  return {
    noRoute: scope.counter('no_route'),
    noCluster: scope.counter('no_cluster'),
    rqTotal: scope.counter('rq_total'),
    rqDirectResponse: scope.counter('rq_direct_response'),
    rqResetAfterDownstreamResponseStarted: scope.counter('rq_reset_after_downstream_response_started'),
    redirectRefused: Object.fromEntries(
      REDIRECT_REFUSALS.map(why => [why, scope.counter(`passthrough_internal_redirect_${why}`)]),
    ) as RouterStats['redirectRefused'],
  }
}
