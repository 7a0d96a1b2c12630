/** Stats of a cluster that its connections and pools charge (features.md §2.12), looked up once. */
import type { Counter, Gauge, Histogram, StatsScope } from '../observability/stats.ts'
import { Http2Stats } from './http2-stats.ts'

export class ConnectionStats {
  readonly cxTotal: Counter
  readonly cxActive: Gauge
  readonly cxHttp1Total: Counter
  readonly cxHttp2Total: Counter
  readonly cxConnectFail: Counter
  readonly cxConnectTimeout: Counter
  readonly cxOverflow: Counter
  readonly cxIdleTimeout: Counter
  readonly cxMaxDurationReached: Counter
  readonly cxMaxRequests: Counter
  readonly cxProtocolError: Counter
  readonly cxCloseNotify: Counter
  readonly cxDestroy: Counter
  readonly cxDestroyLocal: Counter
  readonly cxDestroyRemote: Counter
  readonly cxDestroyWithActiveRq: Counter
  readonly cxDestroyLocalWithActiveRq: Counter
  readonly cxDestroyRemoteWithActiveRq: Counter
  readonly cxRxBytesTotal: Counter
  readonly cxTxBytesTotal: Counter
  readonly cxConnectMs: Histogram
  readonly cxLengthMs: Histogram
  readonly rqPerCx: Histogram
  readonly rqTotal: Counter
  readonly rqActive: Gauge
  readonly rqPendingTotal: Counter
  readonly rqPendingActive: Gauge
  readonly rqPendingOverflow: Counter
  readonly rqActiveOverflow: Counter
  readonly rqPendingFailureEject: Counter
  readonly rqCancelled: Counter
  readonly flowControlPausedReading: Counter
  readonly flowControlResumedReading: Counter
  readonly flowControlBackedUp: Counter
  readonly flowControlDrained: Counter
  readonly rqRxReset: Counter
  readonly rqTxReset: Counter
  readonly #scope: StatsScope
  #http2: Http2Stats | undefined = undefined

  constructor(scope: StatsScope) {
    this.#scope = scope
    this.cxTotal = scope.counter('upstream_cx_total')
    this.cxActive = scope.gauge('upstream_cx_active')
    this.cxHttp1Total = scope.counter('upstream_cx_http1_total')
    this.cxHttp2Total = scope.counter('upstream_cx_http2_total')
    this.cxConnectFail = scope.counter('upstream_cx_connect_fail')
    this.cxConnectTimeout = scope.counter('upstream_cx_connect_timeout')
    this.cxOverflow = scope.counter('upstream_cx_overflow')
    this.cxIdleTimeout = scope.counter('upstream_cx_idle_timeout')
    this.cxMaxDurationReached = scope.counter('upstream_cx_max_duration_reached')
    this.cxMaxRequests = scope.counter('upstream_cx_max_requests')
    this.cxProtocolError = scope.counter('upstream_cx_protocol_error')
    this.cxCloseNotify = scope.counter('upstream_cx_close_notify')
    this.cxDestroy = scope.counter('upstream_cx_destroy')
    this.cxDestroyLocal = scope.counter('upstream_cx_destroy_local')
    this.cxDestroyRemote = scope.counter('upstream_cx_destroy_remote')
    this.cxDestroyWithActiveRq = scope.counter('upstream_cx_destroy_with_active_rq')
    this.cxDestroyLocalWithActiveRq = scope.counter('upstream_cx_destroy_local_with_active_rq')
    this.cxDestroyRemoteWithActiveRq = scope.counter('upstream_cx_destroy_remote_with_active_rq')
    this.cxRxBytesTotal = scope.counter('upstream_cx_rx_bytes_total')
    this.cxTxBytesTotal = scope.counter('upstream_cx_tx_bytes_total')
    this.cxConnectMs = scope.histogram('upstream_cx_connect_ms')
    this.cxLengthMs = scope.histogram('upstream_cx_length_ms')
    this.rqPerCx = scope.histogram('upstream_rq_per_cx')
    this.rqTotal = scope.counter('upstream_rq_total')
    this.rqActive = scope.gauge('upstream_rq_active')
    this.rqPendingTotal = scope.counter('upstream_rq_pending_total')
    this.rqPendingActive = scope.gauge('upstream_rq_pending_active')
    this.rqPendingOverflow = scope.counter('upstream_rq_pending_overflow')
    this.rqActiveOverflow = scope.counter('upstream_rq_active_overflow')
    this.rqPendingFailureEject = scope.counter('upstream_rq_pending_failure_eject')
    this.rqCancelled = scope.counter('upstream_rq_cancelled')
    this.flowControlPausedReading = scope.counter('upstream_flow_control_paused_reading_total')
    this.flowControlResumedReading = scope.counter('upstream_flow_control_resumed_reading_total')
    this.flowControlBackedUp = scope.counter('upstream_flow_control_backed_up_total')
    this.flowControlDrained = scope.counter('upstream_flow_control_drained_total')
    this.rqRxReset = scope.counter('upstream_rq_rx_reset')
    this.rqTxReset = scope.counter('upstream_rq_tx_reset')
  }

  /** `http2.…`, made with the first connection that needs it, as in Envoy. */
  get http2(): Http2Stats {
    this.#http2 ??= new Http2Stats(this.#scope.scope('http2'))
    return this.#http2
  }

  /** The end of a connection. `active`: with requests under way. */
  chargeDestroy(local: boolean, active: boolean): void {
    this.cxDestroy.inc()
    if (local) this.cxDestroyLocal.inc()
    else this.cxDestroyRemote.inc()
    if (!active) return
    this.cxDestroyWithActiveRq.inc()
    if (local) this.cxDestroyLocalWithActiveRq.inc()
    else this.cxDestroyRemoteWithActiveRq.inc()
  }
}
