/**
 * Outlier detection (Envoy: `DetectorImpl`): hosts that answer conspicuously worse are taken out of rotation for a while.
 *
 * Rows of failures are judged as they happen; success rates and failure percentages once per interval, over the interval
 * that has just ended. A host stays out for the base time multiplied by how often it was ejected lately, and comes back at
 * the first interval after that. Never more than `max_ejection_percent` of the hosts are out at once.
 */
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import { Timer, type Timers } from '../base/timer-wheel.ts'
import type { ResponseHeaders } from '../codec/header-map.ts'
import type { Runtime } from '../filter-chain/runtime.ts'
import type { Counter, Gauge, StatsScope } from '../observability/stats.ts'
import { type Host, HostHealth } from '../upstream/host.ts'
import type { RunningHost } from '../upstream/running-host.ts'
import type { OutlierReporter } from './cluster.ts'
import type { ClusterSettings } from './cluster-settings.ts'
import { ejectEvent, type OutlierEvent, type SuccessRateSummary, unejectEvent } from './outlier-event.ts'
import { type OutlierJudge, OutlierMonitor, type SuccessRate } from './outlier-monitor.ts'
import {
  EJECTION_TYPES,
  type EjectionType,
  mayEject,
  type OutlierSettings,
  outlierSettings,
} from './outlier-settings.ts'
import { outlierMemory, SharedOutlierMonitor } from './shared-outlier.ts'

const NO_SUMMARY: SuccessRateSummary = { average: -1, ejectionThreshold: -1 }

export interface OutlierEnvironment {
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  readonly runtime: Runtime | undefined
  /** Logs ejections (`event_log_path`); undefined where nobody asks for it. */
  readonly onOutlierEvent: ((event: OutlierEvent) => void) | undefined
  /** With worker threads: hosts count in memory that all threads share. */
  readonly sharedCounts?: boolean | undefined
  /** In a worker: rows of failures are reported to the control side, which alone decides. */
  readonly reportRow?: ((clusterName: string, hostIdentity: string, type: EjectionType) => void) | undefined
}

export interface OutlierHosts {
  hosts(): readonly RunningHost[]
  /** A host was ejected or let back in; its health bits have been changed. */
  onHealthChange(host: RunningHost): void
}

export class OutlierDetector implements OutlierReporter, OutlierJudge {
  readonly #environment: OutlierEnvironment
  readonly #cluster: OutlierHosts
  readonly #stats: OutlierStats
  readonly #monitors = new Map<RunningHost, OutlierMonitor>()
  readonly #timer: Timer
  readonly #clusterName: string
  #settings: OutlierSettings | undefined
  #isError: ((headers: ResponseHeaders) => boolean) | undefined
  successRate = NO_SUMMARY
  localOriginSuccessRate = NO_SUMMARY

  constructor(settings: ClusterSettings, scope: StatsScope, environment: OutlierEnvironment, cluster: OutlierHosts) {
    this.#environment = environment
    this.#clusterName = settings.name
    this.#cluster = cluster
    this.#stats = new OutlierStats(scope)
    this.#timer = new Timer(() => this.#onInterval())
    this.#settings = undefined
    this.#isError = undefined
    this.configure(settings)
  }

  configure(settings: ClusterSettings): void {
    const config = settings.outlierDetection
    this.#isError = settings.isErrorResponse
    this.#settings = config && outlierSettings(config)
    if (this.#settings === undefined) {
      this.close()
      for (const host of [...this.#monitors.keys()]) this.forget(host)
      return
    }
    this.#stats.list()
    for (const host of this.#cluster.hosts()) if (!this.#monitors.has(host)) this.watch(host)
    this.#startInterval()
  }

  watch(host: RunningHost): void {
    if (this.#settings === undefined) return
    let monitor: OutlierMonitor
    if (this.#environment.sharedCounts === true) {
      // A worker waits until it is told where the others count.
      if (this.#environment.reportRow !== undefined && host.outlierMemory === undefined) return
      host.outlierMemory ??= outlierMemory()
      monitor = new SharedOutlierMonitor(host, this, host.outlierMemory)
    } else monitor = new OutlierMonitor(host, this)
    host.monitor = monitor
    this.#monitors.set(host, monitor)
  }

  /** The host has left, or nobody watches any more. */
  forget(host: RunningHost): void {
    const monitor = this.#monitors.get(host)
    if (monitor === undefined) return
    this.#monitors.delete(host)
    host.monitor = undefined
    if (!monitor.ejected) return
    this.#stats.active.dec()
    host.health &= ~HostHealth.FailedOutlierCheck
    this.#cluster.onHealthChange(host)
  }

  close(): void {
    this.#environment.timers.stop(this.#timer)
  }

  // Reports of the router. They go to the monitor that the host carries, because a look-up per response would cost more.

  onResponse(host: Host, status: number, headers?: ResponseHeaders): void {
    const { monitor } = host as RunningHost
    if (monitor === undefined) return
    if (this.#isError === undefined || headers === undefined) monitor.onResponse(status)
    else monitor.onResponse(this.#isError(headers) ? 500 : 200)
  }

  onLocalOriginFailure(host: Host, kind: 'connect_failed' | 'timeout' | 'reset'): void {
    ;(host as RunningHost).monitor?.onLocalOriginFailure(kind)
  }

  onLocalOriginSuccess(host: Host): void {
    ;(host as RunningHost).monitor?.onLocalOriginSuccess()
  }

  /** An active health check has found the host well. */
  onHealthCheckSuccess(host: Host): void {
    const monitor = this.#monitors.get(host as RunningHost)
    if (monitor?.ejected && this.#settings?.successfulHealthCheckUnejects) this.#uneject(monitor)
  }

  successRateOf(host: RunningHost): number {
    return this.#monitors.get(host)?.external.shown ?? -1
  }

  localOriginSuccessRateOf(host: RunningHost): number {
    return this.#monitors.get(host)?.localOrigin.shown ?? -1
  }

  // What monitors ask.

  get consecutive5xx(): number {
    return this.#number('consecutive_5xx', this.#settings!.consecutive5xx)
  }
  get consecutiveGatewayFailure(): number {
    return this.#number('consecutive_gateway_failure', this.#settings!.consecutiveGatewayFailure)
  }
  get consecutiveLocalOriginFailure(): number {
    return this.#number('consecutive_local_origin_failure', this.#settings!.consecutiveLocalOriginFailure)
  }
  get splitLocalOrigin(): boolean {
    return this.#settings!.splitLocalOrigin
  }

  /** A worker has seen a row of failures that is long enough. */
  onReportedRow(host: RunningHost, type: EjectionType): void {
    const monitor = this.#monitors.get(host)
    if (monitor !== undefined) this.onConsecutive(monitor, type)
  }

  onConsecutive(monitor: OutlierMonitor, type: EjectionType): void {
    const { reportRow } = this.#environment
    if (reportRow !== undefined) {
      reportRow(this.#clusterName, monitor.host.identity, type)
      return
    }
    // Requests that were under way when the host was ejected still come in.
    if (monitor.ejected) return
    this.#stats.detected[type].inc()
    this.#eject(monitor, type)
    if (type === 'consecutive_5xx') this.#stats.consecutive5xx.inc()
    monitor.reset(type)
  }

  #eject(monitor: OutlierMonitor, type: EjectionType): void {
    const settings = this.#settings!
    const stats = this.#stats
    const { clock, random } = this.#environment
    const maxPercent = this.#number('max_ejection_percent', settings.maxEjectionPercent)
    if (!mayEject(stats.active.value, this.#monitors.size, settings, maxPercent)) {
      stats.overflow.inc()
      return
    }
    if (type === 'consecutive_5xx' || type === 'success_rate') stats.total.inc()
    const enforced = random.next() * 100 < this.#number(`enforcing_${runtimeName(type)}`, settings.enforcing[type])
    if (enforced) {
      stats.active.inc()
      stats.enforcedTotal.inc()
      stats.enforced[type].inc()
      monitor.ejected = true
      monitor.ejections++
      monitor.ejectedAtMs = clock.now()
      monitor.jitterMs = random.next() * this.#number('max_ejection_time_jitter_ms', settings.maxEjectionTimeJitterMs)
      // Grows once past the maximum, so that a host that keeps failing comes back to it and not below.
      if (monitor.backOff * this.#baseMs < this.#maxMs + this.#baseMs) monitor.backOff++
      monitor.host.health |= HostHealth.FailedOutlierCheck
      this.#cluster.onHealthChange(monitor.host)
    }
    const local = type.startsWith('local_origin')
    const summary = local ? this.localOriginSuccessRate : this.successRate
    const rate = local ? monitor.localOrigin : monitor.external
    this.#log(monitor, moment => ejectEvent(monitor, type, enforced, moment, rate, summary))
  }

  #uneject(monitor: OutlierMonitor): void {
    monitor.ejected = false
    monitor.resetAll()
    this.#stats.active.dec()
    monitor.host.health &= ~HostHealth.FailedOutlierCheck
    this.#cluster.onHealthChange(monitor.host)
    this.#log(monitor, moment => unejectEvent(monitor, moment))
  }

  #log(monitor: OutlierMonitor, event: (moment: Parameters<typeof unejectEvent>[1]) => OutlierEvent): void {
    const { clock, onOutlierEvent } = this.#environment
    const now = clock.now()
    const sinceLastMs = monitor.lastActionMs === undefined ? undefined : now - monitor.lastActionMs
    monitor.lastActionMs = now
    onOutlierEvent?.(event({ wallMs: clock.wall(), sinceLastMs, clusterName: this.#clusterName }))
  }

  #onInterval(): void {
    const now = this.#environment.clock.now()
    for (const monitor of this.#monitors.values()) {
      monitor.justReturned = false
      if (monitor.ejected) {
        const outMs = Math.min(this.#baseMs * monitor.backOff, this.#maxMs) + monitor.jitterMs
        if (outMs <= now - monitor.ejectedAtMs) {
          monitor.justReturned = true
          this.#uneject(monitor)
        }
      }
      monitor.external.rotate()
      monitor.localOrigin.rotate()
    }
    this.#judgeRates(false)
    this.#judgeRates(true)
    // A host that has just come back has proved nothing yet: its multiplier stays for another interval (measured).
    for (const monitor of this.#monitors.values()) {
      if (!monitor.ejected && !monitor.justReturned && monitor.backOff > 0) monitor.backOff--
    }
    this.#startInterval()
  }

  /** Judges the interval that has just ended: of answers, or of failures of our own side (`local`). */
  #judgeRates(local: boolean): void {
    const rateType: EjectionType = local ? 'local_origin_success_rate' : 'success_rate'
    const percentageType: EjectionType = local ? 'local_origin_failure_percentage' : 'failure_percentage'
    const rateOf = (monitor: OutlierMonitor): SuccessRate => (local ? monitor.localOrigin : monitor.external)
    this.#setSummary(local, NO_SUMMARY)
    const settings = this.#settings!
    const rateMinimumHosts = this.#number('success_rate_minimum_hosts', settings.successRateMinimumHosts)
    const rateVolume = this.#number('success_rate_request_volume', settings.successRateRequestVolume)
    const percentageMinimumHosts = this.#number(
      'failure_percentage_minimum_hosts',
      settings.failurePercentageMinimumHosts,
    )
    const percentageVolume = this.#number('failure_percentage_request_volume', settings.failurePercentageRequestVolume)
    const hosts = this.#monitors.size
    if (hosts < rateMinimumHosts && hosts < percentageMinimumHosts) return
    const busy = [...this.#monitors.values()].filter(monitor => !monitor.ejected && rateOf(monitor).volume > 0)
    for (const monitor of busy) {
      const rate = rateOf(monitor)
      if (rate.volume >= Math.min(rateVolume, percentageVolume)) rate.shown = rate.percent
    }
    const rated = busy.filter(monitor => rateOf(monitor).volume >= rateVolume)
    if (rated.length > 0 && rated.length >= rateMinimumHosts) {
      const factor = this.#number('success_rate_stdev_factor', settings.successRateStdevFactor) / 1000
      const rates = rated.map(monitor => rateOf(monitor).percent)
      const summary = successRateThreshold(rates, factor)
      this.#setSummary(local, summary)
      for (const monitor of rated) {
        if (rateOf(monitor).percent >= summary.ejectionThreshold) continue
        this.#stats.successRate.inc()
        this.#stats.detected[rateType].inc()
        this.#eject(monitor, rateType)
      }
    }
    const measured = busy.filter(monitor => rateOf(monitor).volume >= percentageVolume)
    if (measured.length > 0 && measured.length >= percentageMinimumHosts) {
      const threshold = this.#number('failure_percentage_threshold', settings.failurePercentageThreshold)
      for (const monitor of measured) {
        if (monitor.ejected || 100 - rateOf(monitor).percent < threshold) continue
        this.#stats.detected[percentageType].inc()
        this.#eject(monitor, percentageType)
      }
    }
  }

  #setSummary(local: boolean, summary: SuccessRateSummary): void {
    if (local) this.localOriginSuccessRate = summary
    else this.successRate = summary
  }

  #startInterval(): void {
    if (this.#environment.reportRow !== undefined) return
    this.#environment.timers.start(this.#timer, this.#number('interval_ms', this.#settings!.intervalMs))
  }

  get #baseMs(): number {
    return this.#number('base_ejection_time_ms', this.#settings!.baseEjectionTimeMs)
  }

  get #maxMs(): number {
    return this.#number('max_ejection_time_ms', this.#settings!.maxEjectionTimeMs)
  }

  #number(key: string, fallback: number): number {
    const { runtime } = this.#environment
    return runtime === undefined ? fallback : runtime.number(`outlier_detection.${key}`, fallback)
  }
}

/** Envoy's runtime keys name the local-origin failure percentage the other way round than its stats do. */
function runtimeName(type: EjectionType): string {
  return type === 'local_origin_failure_percentage' ? 'failure_percentage_local_origin' : type
}

/** Mean, and mean less `factor` standard deviations (of the population), as Envoy reckons them. */
export function successRateThreshold(rates: readonly number[], factor: number): SuccessRateSummary {
  const average = rates.reduce((sum, rate) => sum + rate, 0) / rates.length
  const variance = rates.reduce((sum, rate) => sum + (rate - average) ** 2, 0) / rates.length
  return { average, ejectionThreshold: average - factor * Math.sqrt(variance) }
}

/** `cluster.<name>.outlier_detection.`; listed only where outlier detection is configured, as in Envoy. */
class OutlierStats {
  readonly #scope: StatsScope
  active!: Gauge
  enforcedTotal!: Counter
  overflow!: Counter
  /** Deprecated by Envoy, and still there. */
  total!: Counter
  consecutive5xx!: Counter
  successRate!: Counter
  detected!: Readonly<Record<EjectionType, Counter>>
  enforced!: Readonly<Record<EjectionType, Counter>>
  #listed = false

  constructor(cluster: StatsScope) {
    this.#scope = cluster.scope('outlier_detection')
  }

  list(): void {
    if (this.#listed) return
    this.#listed = true
    const scope = this.#scope
    const each = (prefix: string) =>
      Object.fromEntries(EJECTION_TYPES.map(type => [type, scope.counter(prefix + type)])) as Record<
        EjectionType,
        Counter
      >
    this.active = scope.gauge('ejections_active')
    this.active.set(0)
    this.enforcedTotal = scope.counter('ejections_enforced_total')
    this.overflow = scope.counter('ejections_overflow')
    this.total = scope.counter('ejections_total')
    this.consecutive5xx = scope.counter('ejections_consecutive_5xx')
    this.successRate = scope.counter('ejections_success_rate')
    this.detected = each('ejections_detected_')
    this.enforced = each('ejections_enforced_')
    scope.counter('ejections_detected_degradation')
  }
}
