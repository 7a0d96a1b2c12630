/**
 * `envoy.filters.http.health_check`: answers health checks of a load balancer in place of the application, or lets them
 * through and remembers the answer for `cache_time`.
 *
 * A request that matches `headers` is a health check: marked in the record (so that logs can leave it out) and not
 * traced. Every other response says `x-envoy-immediate-health-check-fail` while the operator has failed this proxy
 * (`/healthcheck/fail`, draining), so that callers stop sending at once.
 *
 * A health check with a body is answered when the body has come, as by Envoy, so that the connection can be kept.
 */

import type { Clock } from '../../base/clock.ts'
import type { RequestHeaders, ResponseHeaders } from '../../codec/header-map.ts'
import type { HttpHealthCheck } from '../../config/schema/generated/types.ts'
import {
  type ClusterView,
  ConfigError,
  type FilterContext,
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpStream,
} from '../../filter-chain/http-filter.ts'
import { ResponseFlag } from '../../observability/response-flags.ts'
import type { Counter } from '../../observability/stats.ts'
import { allMatch, type HeaderMatcher, headerMatchers } from '../../router/header-matcher.ts'
import { type ProxyState, proxyStateOf } from './proxy-state.ts'

/** Health checks have no body to speak of; what is longer is answered with 413. */
const MAX_BODY_BYTES = 1024 * 1024

interface HealthCheckConfig {
  readonly passThrough: boolean
  /** 0 for no cache. */
  readonly cacheTimeMs: number
  readonly minHealthyPercentages: readonly (readonly [cluster: string, percent: number])[]
  readonly headers: readonly HeaderMatcher[]
}

export const healthCheck: HttpFilterFactory<HealthCheckConfig> = {
  name: 'envoy.filters.http.health_check',
  typeUrl: 'envoy.extensions.filters.http.health_check.v3.HealthCheck',
  decodeConfig: decodeHealthCheck,
  create(config, context) {
    const shared = new HealthCheckState(config, context)
    return () => new HealthCheck(shared)
  },
}

function decodeHealthCheck(message: HttpHealthCheck): HealthCheckConfig {
  const passThrough = message.passThroughMode
  if (passThrough === undefined) throw new ConfigError('pass_through_mode', 'is required')
  const cacheTimeMs = message.cacheTime ?? 0
  if (!passThrough && cacheTimeMs > 0) {
    throw new ConfigError('cache_time', 'needs pass_through_mode: there is nothing to cache without it')
  }
  return {
    passThrough,
    cacheTimeMs,
    minHealthyPercentages: [...message.clusterMinHealthyPercentages].map(([name, { value }]) => [name, value]),
    headers: headerMatchers(message.headers),
  }
}

/** `http.<stat_prefix>.health_check.*`: of the checks that were answered here. */
const COUNTERS = [
  'request_total',
  'ok',
  'failed',
  'cached_response',
  'degraded',
  'failed_cluster_not_found',
  'failed_cluster_empty',
  'failed_cluster_unhealthy',
] as const
type HealthCheckStats = Readonly<Record<(typeof COUNTERS)[number], Counter>>

/** What is the same for all streams. */
class HealthCheckState {
  readonly config: HealthCheckConfig
  readonly clusters: ClusterView
  readonly stats: HealthCheckStats
  readonly proxy: ProxyState
  readonly #clock: Clock
  readonly #startMs: number
  /** Number of the cache period the answer below belongs to, -1 for none. */
  #cachedPeriod = -1
  cachedStatus = 0
  cachedDegraded = false

  constructor(config: HealthCheckConfig, context: FilterContext) {
    this.config = config
    this.proxy = proxyStateOf(context)
    this.clusters = context.clusters
    const stats = context.stats.scope('health_check')
    this.stats = Object.fromEntries(COUNTERS.map(name => [name, stats.counter(name)])) as unknown as HealthCheckStats
    this.#clock = context.clock
    this.#startMs = context.clock.now()
  }

  /** The cache is emptied at fixed moments, `cache_time` apart, as by Envoy's timer. */
  get #period(): number {
    return Math.floor((this.#clock.now() - this.#startMs) / this.config.cacheTimeMs)
  }

  get hasCachedResponse(): boolean {
    return this.config.cacheTimeMs > 0 && this.#cachedPeriod === this.#period
  }

  cache(status: number, degraded: boolean): void {
    if (this.config.cacheTimeMs === 0) return
    this.#cachedPeriod = this.#period
    this.cachedStatus = status
    this.cachedDegraded = degraded
  }
}

class HealthCheck implements HttpFilter {
  readonly #state: HealthCheckState
  #isHealthCheck = false

  constructor(state: HealthCheckState) {
    this.#state = state
  }

  onRequestHeaders(stream: HttpStream, headers: RequestHeaders, endStream: boolean): FilterStatus {
    const { config, proxy, hasCachedResponse } = this.#state
    if (!allMatch(config.headers, headers)) return FilterStatus.Continue
    this.#isHealthCheck = true
    stream.info.healthCheck = true
    stream.info.sampled = false
    if (config.passThrough && !proxy.health.failed && !hasCachedResponse) return FilterStatus.Continue
    return endStream ? this.#answer(stream) : stream.bufferRequest(MAX_BODY_BYTES)
  }

  onRequestBuffered(stream: HttpStream): void {
    this.#answer(stream)
  }

  onResponseHeaders(_stream: HttpStream, headers: ResponseHeaders): FilterStatus {
    const { proxy } = this.#state
    if (this.#isHealthCheck) {
      this.#state.cache(headers.status, headers.has('x-envoy-degraded'))
      headers.set('x-envoy-upstream-healthchecked-cluster', proxy.localCluster)
    }
    if (proxy.health.failed) headers.set('x-envoy-immediate-health-check-fail', 'true')
    return FilterStatus.Continue
  }

  #answer(stream: HttpStream): FilterStatus {
    const { config, clusters, proxy, stats } = this.#state
    stats.request_total.inc()
    if (proxy.health.failed) return this.#reply(stream, 503, 'health_check_failed')
    if (config.cacheTimeMs > 0) {
      stats.cached_response.inc()
      if (this.#state.cachedDegraded) stats.degraded.inc()
      return this.#reply(stream, this.#state.cachedStatus, 'health_check_cached', this.#state.cachedDegraded)
    }
    let details = 'health_check_ok'
    for (const [cluster, required] of config.minHealthyPercentages) {
      const membership = clusters.membershipOf(cluster)
      if (membership === undefined) return this.#fail(stream, 'failed_cluster_not_found', 'no_cluster_found')
      const { hosts, healthy, degraded } = membership
      if (hosts === 0 && required > 0) return this.#fail(stream, 'failed_cluster_empty', 'cluster_empty')
      if (100 * (healthy + degraded) < hosts * required)
        return this.#fail(stream, 'failed_cluster_unhealthy', 'cluster_unhealthy')
      details = 'health_check_ok_cluster_healthy'
    }
    return this.#reply(stream, 200, details)
  }

  #fail(stream: HttpStream, counter: keyof HealthCheckStats, why: string): FilterStatus {
    this.#state.stats[counter].inc()
    return this.#reply(stream, 503, `health_check_failed_${why}`)
  }

  #reply(stream: HttpStream, status: number, details: string, degraded = false): FilterStatus {
    const { stats } = this.#state
    if (status >= 200 && status < 300) stats.ok.inc()
    else stats.failed.inc()
    return stream.sendLocalReply({
      status,
      details,
      flag: status >= 200 && status < 300 ? ResponseFlag.None : ResponseFlag.FailedLocalHealthCheck,
      headers: degraded ? [['x-envoy-degraded', '']] : [],
    })
  }
}
