/** Stats of one connection manager: `http.<stat_prefix>.…` and `listener.<address>.http.<stat_prefix>.…` (Envoy's names). */
import type { Counter, Histogram, StatsScope } from '../observability/stats.ts'
import type { CloseReason } from '../transport/connection.ts'
import { Http2Stats } from '../upstream/http2-stats.ts'

/** `downstream_rq_1xx` to `downstream_rq_5xx` and `downstream_rq_completed`. */
export class ResponseCodeStats {
  readonly completed: Counter
  readonly #classes: readonly Counter[]
  constructor(scope: StatsScope) {
    this.completed = scope.counter('downstream_rq_completed')
    this.#classes = [1, 2, 3, 4, 5].map(digit => scope.counter(`downstream_rq_${digit}xx`))
  }
  charge(status: number): void {
    this.completed.inc()
    this.#classes[((status / 100) | 0) - 1]?.inc()
  }
}

function counters<const Names extends readonly string[]>(scope: StatsScope, names: Names) {
  return Object.fromEntries(names.map(name => [name, scope.counter(name)])) as Record<Names[number], Counter>
}

function gauges<const Names extends readonly string[]>(scope: StatsScope, names: Names) {
  return Object.fromEntries(names.map(name => [name, scope.gauge(name)])) as Record<
    Names[number],
    ReturnType<StatsScope['gauge']>
  >
}

const COUNTERS = [
  'downstream_cx_delayed_close_timeout',
  'downstream_cx_destroy',
  'downstream_cx_destroy_active_rq',
  'downstream_cx_destroy_local',
  'downstream_cx_destroy_local_active_rq',
  'downstream_cx_destroy_remote',
  'downstream_cx_destroy_remote_active_rq',
  'downstream_cx_drain_close',
  'downstream_cx_http1_total',
  'downstream_cx_http2_total',
  'downstream_cx_http3_total',
  'downstream_cx_idle_timeout',
  'downstream_cx_max_duration_reached',
  'downstream_cx_max_requests_reached',
  'downstream_cx_overload_disable_keepalive',
  'downstream_cx_protocol_error',
  'downstream_cx_rx_bytes_total',
  'downstream_cx_ssl_total',
  'downstream_cx_total',
  'downstream_cx_tx_bytes_total',
  'downstream_cx_upgrades_total',
  'downstream_flow_control_paused_reading_total',
  'downstream_flow_control_resumed_reading_total',
  'downstream_rq_failed_path_normalization',
  'downstream_rq_header_timeout',
  'downstream_rq_http1_total',
  'downstream_rq_http2_total',
  'downstream_rq_http3_total',
  'downstream_rq_idle_timeout',
  'downstream_rq_max_duration_reached',
  'downstream_rq_non_relative_path',
  'downstream_rq_overload_close',
  'downstream_rq_redirected_with_normalized_path',
  'downstream_rq_rejected_via_ip_detection',
  'downstream_rq_response_before_rq_complete',
  'downstream_rq_rx_reset',
  'downstream_rq_timeout',
  'downstream_rq_too_large',
  'downstream_rq_too_many_premature_resets',
  'downstream_rq_total',
  'downstream_rq_tx_reset',
  'downstream_rq_ws_on_non_ws_route',
  'rs_too_large',
] as const

const GAUGES = [
  'downstream_cx_active',
  'downstream_cx_http1_active',
  'downstream_cx_http1_soft_drain',
  'downstream_cx_http2_active',
  'downstream_cx_http3_active',
  'downstream_cx_ssl_active',
  'downstream_cx_upgrades_active',
  'downstream_rq_active',
] as const

const TRACING = ['random_sampling', 'service_forced', 'client_enabled', 'not_traceable', 'health_check'] as const

export class ConnectionManagerStats {
  readonly named: Readonly<Record<(typeof COUNTERS)[number], Counter>>
  readonly gauges: Readonly<Record<(typeof GAUGES)[number], ReturnType<StatsScope['gauge']>>>
  readonly tracing: Readonly<Record<(typeof TRACING)[number], Counter>>
  readonly cxLengthMs: Histogram
  readonly rqTime: Histogram
  readonly codes: ResponseCodeStats
  /** The same under the listener's own scope. */
  readonly listenerCodes: ResponseCodeStats
  /** Of the whole process, as in Envoy: `http1.…`. */
  readonly droppedUnderscores: Counter
  readonly rejectedUnderscores: Counter

  readonly http2: Http2Stats

  /** `codecScopes`: of the process. */
  constructor(
    scope: StatsScope,
    listenerScope: StatsScope,
    codecScopes: { readonly http1: StatsScope; readonly http2: StatsScope },
  ) {
    const codecScope = codecScopes.http1
    this.http2 = new Http2Stats(codecScopes.http2)
    this.droppedUnderscores = codecScope.counter('dropped_headers_with_underscores')
    this.rejectedUnderscores = codecScope.counter('requests_rejected_with_underscores_in_headers')
    for (const name of ['metadata_not_supported_error', 'response_flood']) codecScope.counter(name)
    this.named = counters(scope, COUNTERS)
    this.gauges = gauges(scope, GAUGES)
    this.tracing = counters(scope.scope('tracing'), TRACING)
    this.cxLengthMs = scope.histogram('downstream_cx_length_ms')
    this.rqTime = scope.histogram('downstream_rq_time')
    this.codes = new ResponseCodeStats(scope)
    this.listenerCodes = new ResponseCodeStats(listenerScope)
  }

  chargeNewConnection(): void {
    this.named.downstream_cx_total.inc()
    this.gauges.downstream_cx_active.inc()
  }

  /** The end of a connection. `active`: with requests under way. */
  chargeDestroy(reason: CloseReason, active: boolean): void {
    const { named } = this
    const local = reason.kind === 'local'
    named.downstream_cx_destroy.inc()
    if (local) named.downstream_cx_destroy_local.inc()
    else named.downstream_cx_destroy_remote.inc()
    if (reason.details === 'delayed_close_timeout') named.downstream_cx_delayed_close_timeout.inc()
    if (!active) return
    named.downstream_cx_destroy_active_rq.inc()
    if (local) named.downstream_cx_destroy_local_active_rq.inc()
    else named.downstream_cx_destroy_remote_active_rq.inc()
  }
}
