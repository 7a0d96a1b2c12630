/**
 * The stats of a cluster below `cluster.<name>.`, made when the cluster is, so that what never happened reads 0 and is not
 * missing, as in Envoy.
 */
import type { Counter, Gauge, Histogram, StatsScope } from '../observability/stats.ts'
import type { ClusterRequestStats } from './cluster.ts'

/** Names that Envoy lists for every cluster and nothing in Hopwise charges (yet); dashboards ask for them. */
const LISTED_COUNTERS = [
  'assignment_stale',
  'assignment_timeout_received',
  'assignment_use_cached',
  'bind_errors',
  'http1.dropped_headers_with_underscores',
  'http1.metadata_not_supported_error',
  'http1.requests_rejected_with_underscores_in_headers',
  'http1.response_flood',
  'lb_local_cluster_not_ok',
  'lb_recalculate_zone_structures',
  'lb_subsets_created',
  'lb_subsets_fallback',
  'lb_subsets_fallback_panic',
  'lb_subsets_removed',
  'lb_subsets_selected',
  'lb_zone_cluster_too_small',
  'lb_zone_no_capacity_left',
  'lb_zone_routing_all_directly',
  'lb_zone_routing_cross_zone',
  'lb_zone_routing_sampled',
  'original_dst_host_invalid',
  'upstream_cx_connect_attempts_exceeded',
  'upstream_cx_connect_with_0_rtt',
  'upstream_cx_http3_total',
  'upstream_cx_none_healthy',
  'upstream_cx_pool_overflow',
  'upstream_cx_preconnect_skipped',
  'upstream_http3_broken',
  'upstream_internal_redirect_failed_total',
  'upstream_internal_redirect_succeeded_total',
  'upstream_queue_overloaded',
  'upstream_rq_0rtt',
  'upstream_rq_rx_reset_no_error',
]
const LISTED_GAUGES = ['lb_subsets_active', 'membership_excluded', 'version', 'warming_state']

/** Stats of discovery, membership and balancing. */
export class ClusterStats {
  readonly membershipChange: Counter
  readonly membershipTotal: Gauge
  readonly membershipHealthy: Gauge
  readonly maxHostWeight: Gauge
  readonly membershipDegraded: Gauge
  readonly updateAttempt: Counter
  readonly updateSuccess: Counter
  readonly updateFailure: Counter
  readonly updateEmpty: Counter
  readonly updateNoRebuild: Counter
  readonly healthyPanic: Counter
  readonly warmingState: Gauge

  /** `control`: the scope of what the control side alone counts; another one in a worker thread. */
  constructor(scope: StatsScope, control: StatsScope = scope) {
    for (const name of LISTED_COUNTERS) scope.counter(name)
    for (const name of LISTED_GAUGES) scope.gauge(name)
    this.membershipChange = control.counter('membership_change')
    this.membershipTotal = control.gauge('membership_total')
    this.membershipHealthy = control.gauge('membership_healthy')
    this.maxHostWeight = control.gauge('max_host_weight')
    this.membershipDegraded = control.gauge('membership_degraded')
    this.updateAttempt = control.counter('update_attempt')
    this.updateSuccess = control.counter('update_success')
    this.updateFailure = control.counter('update_failure')
    this.updateEmpty = control.counter('update_empty')
    this.updateNoRebuild = control.counter('update_no_rebuild')
    this.healthyPanic = scope.counter('lb_healthy_panic')
    this.warmingState = control.gauge('warming_state')
  }
}

export class RequestStats implements ClusterRequestStats {
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
  readonly #scope: StatsScope
  readonly #own: ResponseCounters
  #internal: ResponseCounters | undefined = undefined
  #external: ResponseCounters | undefined = undefined
  /** `external.`, `retry.` and the like, made when first charged. */
  readonly #below = new Map<string, ResponseCounters>()

  constructor(scope: StatsScope) {
    this.#scope = scope
    this.completed = scope.counter('upstream_rq_completed')
    this.time = scope.histogram('upstream_rq_time')
    this.timeout = scope.counter('upstream_rq_timeout')
    this.perTryTimeout = scope.counter('upstream_rq_per_try_timeout')
    this.perTryIdleTimeout = scope.counter('upstream_rq_per_try_idle_timeout')
    this.maxDurationReached = scope.counter('upstream_rq_max_duration_reached')
    this.retry = scope.counter('upstream_rq_retry')
    this.retrySuccess = scope.counter('upstream_rq_retry_success')
    this.retryOverflow = scope.counter('upstream_rq_retry_overflow')
    this.retryLimitExceeded = scope.counter('upstream_rq_retry_limit_exceeded')
    this.retryBackoffExponential = scope.counter('upstream_rq_retry_backoff_exponential')
    this.retryBackoffRatelimited = scope.counter('upstream_rq_retry_backoff_ratelimited')
    this.rxReset = scope.counter('upstream_rq_rx_reset')
    this.txReset = scope.counter('upstream_rq_tx_reset')
    this.cancelled = scope.counter('upstream_rq_cancelled')
    this.maintenanceMode = scope.counter('upstream_rq_maintenance_mode')
    this.retryOrShadowAbandoned = scope.counter('retry_or_shadow_abandoned')
    this.pendingFailureEject = scope.counter('upstream_rq_pending_failure_eject')
    this.retryStateActive = scope.gauge('upstream_rq_retry_active')
    this.#own = new ResponseCounters(scope)
  }

  response(status: number, scopeName: string): void {
    if (scopeName === '') this.#own.charge(status)
    else {
      const counters = this.#of(scopeName)
      counters.completed.inc()
      counters.charge(status)
    }
  }

  chargeResponse(status: number, internal: boolean): void {
    this.completed.inc()
    this.#own.charge(status)
    const tree = this.#treeOf(internal)
    tree.completed.inc()
    tree.charge(status)
  }

  chargeTime(ms: number, internal: boolean, traceId: string): void {
    this.time.recordWithExemplar(ms, traceId)
    this.#treeOf(internal).time.record(ms)
  }

  responseTime(ms: number, scopeName: string): void {
    if (scopeName === '') this.time.record(ms)
    else this.#of(scopeName).time.record(ms)
  }

  #treeOf(internal: boolean): ResponseCounters {
    if (internal) return (this.#internal ??= this.#of('internal'))
    return (this.#external ??= this.#of('external'))
  }

  #of(scopeName: string): ResponseCounters {
    let counters = this.#below.get(scopeName)
    if (counters === undefined) {
      counters = new ResponseCounters(this.#scope.scope(scopeName))
      this.#below.set(scopeName, counters)
    }
    return counters
  }
}

/** `upstream_rq_200`, `upstream_rq_2xx` and so on of one scope; each made when first charged. */
class ResponseCounters {
  readonly #scope: StatsScope
  readonly #codes: (Counter | undefined)[] = []
  readonly #classes: (Counter | undefined)[] = []
  #completed: Counter | undefined = undefined
  #time: Histogram | undefined = undefined

  constructor(scope: StatsScope) {
    this.#scope = scope
  }

  get completed(): Counter {
    this.#completed ??= this.#scope.counter('upstream_rq_completed')
    return this.#completed
  }

  get time(): Histogram {
    this.#time ??= this.#scope.histogram('upstream_rq_time')
    return this.#time
  }

  charge(status: number): void {
    // A status is three digits, so both tables are bounded; a parser lets nothing else through.
    const ofCode = this.#codes[status]
    if (ofCode !== undefined) ofCode.inc()
    else (this.#codes[status] = this.#scope.counter(`upstream_rq_${status}`)).inc()
    const digit = Math.floor(status / 100)
    const ofClass = this.#classes[digit]
    if (ofClass !== undefined) ofClass.inc()
    else (this.#classes[digit] = this.#scope.counter(`upstream_rq_${digit}xx`)).inc()
  }
}
