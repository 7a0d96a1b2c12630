/**
 * Who is charged for an answer (Envoy: `CodeStatsImpl`): the cluster, its trees for internal or external callers, for
 * canary hosts and for pairs of zones, the name a caller asked for (`x-envoy-upstream-alt-stat-name`), and the virtual
 * cluster and route the request belongs to (`vhost.<v>.vcluster.<n>.`, `vhost.<v>.route.<prefix>.`).
 */
import type { Cluster } from '../cluster/cluster.ts'
import type { RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { Counter, Histogram, StatsScope } from '../observability/stats.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { Host } from '../upstream/host.ts'
import type { RouteEntry } from './route-entry.ts'

/** Names that callers invent are kept up to here; the rest is charged to the cluster alone. */
const MAX_ALTERNATIVE_NAMES = 100

/** What a router needs to know to charge: one per request, only where there is more than the cluster to charge. */
export interface ChargeTargets {
  /** `x-envoy-upstream-alt-stat-name`, '' for none. */
  readonly alternative: string
  readonly virtualCluster: RouteStats | undefined
  readonly route: RouteStats | undefined
}

export class ResponseCharges {
  readonly #stats: StatsScope
  readonly #enabled: boolean
  /** Zone of this node, '' where it has none. */
  readonly #zone: string
  readonly #routeStats = new Map<string, RouteStats>()
  readonly #alternatives = new Set<string>()

  constructor(rootStats: StatsScope, enabled: boolean, zone: string) {
    this.#stats = rootStats
    this.#enabled = enabled
    this.#zone = zone
  }

  /** What of a request is charged beside its cluster, counted as begun; undefined for most. Takes the steering header off. */
  targets(route: RouteEntry, headers: RequestHeaders): ChargeTargets | undefined {
    const alternative = headers.get('x-envoy-upstream-alt-stat-name') ?? ''
    if (alternative !== '') headers.delete('x-envoy-upstream-alt-stat-name')
    const virtualCluster = route.virtualCluster(headers)
    const { statPrefix } = route
    if (alternative === '' && virtualCluster === '' && statPrefix === '') return undefined
    const host = `vhost.${statName(route.virtualHostName)}`
    const targets = {
      alternative: this.#alternative(alternative),
      virtualCluster: virtualCluster === '' ? undefined : this.#statsOf(`${host}.vcluster.${statName(virtualCluster)}`),
      route: statPrefix === '' ? undefined : this.#statsOf(`${host}.route.${statName(statPrefix)}`),
    }
    targets.virtualCluster?.total.inc()
    targets.route?.total.inc()
    return targets
  }

  /** Charges a status that goes to the caller, from the upstream or from us for it. */
  response(
    status: number,
    cluster: Cluster,
    host: Host | undefined,
    response: ResponseHeaders | undefined,
    internal: boolean,
    targets: ChargeTargets | undefined,
  ): void {
    if (!this.#enabled) return
    const { requestStats } = cluster
    requestStats.chargeResponse(status, internal)
    const canary = host?.canary === true || response?.get('x-envoy-upstream-canary') === 'true'
    if (canary) requestStats.response(status, 'canary')
    const zone = this.#zoneTree(host)
    if (zone !== '') requestStats.response(status, zone)
    if (targets === undefined) return
    if (targets.alternative !== '') {
      requestStats.response(status, targets.alternative)
      requestStats.response(status, `${targets.alternative}.${internal ? 'internal' : 'external'}`)
    }
    targets.virtualCluster?.response(status)
    targets.route?.response(status)
  }

  /** Records how long a whole response took, from the end of the request. A sampled trace is the example of its bucket. */
  time(
    ms: number,
    { sampledTraceId }: StreamInfo,
    cluster: Cluster,
    host: Host,
    internal: boolean,
    targets: ChargeTargets | undefined,
  ): void {
    if (!this.#enabled) return
    const { requestStats } = cluster
    requestStats.chargeTime(ms, internal, sampledTraceId)
    if (host.canary) requestStats.responseTime(ms, 'canary')
    const zone = this.#zoneTree(host)
    if (zone !== '') requestStats.responseTime(ms, zone)
    if (targets === undefined) return
    if (targets.alternative !== '') {
      requestStats.responseTime(ms, targets.alternative)
      requestStats.responseTime(ms, `${targets.alternative}.${internal ? 'internal' : 'external'}`)
    }
    targets.virtualCluster?.time(ms)
    targets.route?.time(ms)
  }

  /** A response that a retry takes the place of: `retry.upstream_rq_<code>`. */
  retried(status: number, cluster: Cluster): void {
    if (this.#enabled) cluster.requestStats.response(status, 'retry')
  }

  #zoneTree(host: Host | undefined): string {
    if (this.#zone === '' || host === undefined || host.locality.zone === '') return ''
    return `zone.${this.#zone}.${statName(host.locality.zone)}`
  }

  #alternative(name: string): string {
    if (name === '' || this.#alternatives.has(name)) return name
    if (this.#alternatives.size >= MAX_ALTERNATIVE_NAMES || !/^[\w.-]+$/.test(name)) return ''
    this.#alternatives.add(name)
    return name
  }

  #statsOf(scope: string): RouteStats {
    let stats = this.#routeStats.get(scope)
    if (stats === undefined) {
      stats = new RouteStats(this.#stats.scope(scope))
      this.#routeStats.set(scope, stats)
    }
    return stats
  }
}

/** The time of a whole request is over. */
export function countTimeout(targets: ChargeTargets | undefined): void {
  targets?.virtualCluster?.timeout.inc()
  targets?.route?.timeout.inc()
}

/** Stats of a virtual cluster or of a route with a `stat_prefix`. */
export class RouteStats {
  readonly total: Counter
  readonly timeout: Counter
  readonly retry: Counter
  readonly retrySuccess: Counter
  readonly retryOverflow: Counter
  readonly retryLimitExceeded: Counter
  readonly #scope: StatsScope
  readonly #completed: Counter
  readonly #time: Histogram
  readonly #codes = new Map<number, readonly [code: Counter, family: Counter]>()

  constructor(scope: StatsScope) {
    this.#scope = scope
    this.total = scope.counter('upstream_rq_total')
    this.timeout = scope.counter('upstream_rq_timeout')
    this.retry = scope.counter('upstream_rq_retry')
    this.retrySuccess = scope.counter('upstream_rq_retry_success')
    this.retryOverflow = scope.counter('upstream_rq_retry_overflow')
    this.retryLimitExceeded = scope.counter('upstream_rq_retry_limit_exceeded')
    this.#completed = scope.counter('upstream_rq_completed')
    this.#time = scope.histogram('upstream_rq_time')
  }

  response(status: number): void {
    let counters = this.#codes.get(status)
    if (counters === undefined) {
      const family = this.#scope.counter(`upstream_rq_${Math.floor(status / 100)}xx`)
      counters = [this.#scope.counter(`upstream_rq_${status}`), family]
      this.#codes.set(status, counters)
    }
    this.#completed.inc()
    counters[0].inc()
    counters[1].inc()
  }

  time(ms: number): void {
    this.#time.record(ms)
  }
}

function statName(name: string): string {
  return name.replaceAll(':', '_')
}
