/**
 * What `cluster_manager.outlier_detection.event_log_path` logs: one JSON object per ejection and return, with the fields
 * of Envoy's `envoy.data.cluster.v3.OutlierDetectionEvent` in Envoy's order (measured).
 */
import type { OutlierMonitor, SuccessRate } from './outlier-monitor.ts'
import type { EjectionType } from './outlier-settings.ts'

export interface OutlierEvent {
  readonly type: string
  readonly timestamp: string
  /** Whole seconds since the last event of this host; left out of its first. A string, as int64 is in JSON. */
  readonly secs_since_last_action?: string
  readonly cluster_name: string
  readonly upstream_url: string
  readonly action: 'EJECT' | 'UNEJECT'
  readonly num_ejections: number
  readonly enforced: boolean
  readonly eject_consecutive_event?: object
  readonly eject_success_rate_event?: object
  readonly eject_failure_percentage_event?: object
}

/** What was found of success rates in the last interval; -1 when there was too little to judge by. */
export interface SuccessRateSummary {
  readonly average: number
  readonly ejectionThreshold: number
}

const NAMES: Readonly<Record<EjectionType, string>> = {
  consecutive_5xx: 'CONSECUTIVE_5XX',
  consecutive_gateway_failure: 'CONSECUTIVE_GATEWAY_FAILURE',
  consecutive_local_origin_failure: 'CONSECUTIVE_LOCAL_ORIGIN_FAILURE',
  success_rate: 'SUCCESS_RATE',
  local_origin_success_rate: 'SUCCESS_RATE_LOCAL_ORIGIN',
  failure_percentage: 'FAILURE_PERCENTAGE',
  local_origin_failure_percentage: 'FAILURE_PERCENTAGE_LOCAL_ORIGIN',
}

interface Moment {
  readonly wallMs: number
  /** Milliseconds since the last event of the host; undefined for its first. */
  readonly sinceLastMs: number | undefined
  readonly clusterName: string
}

export function ejectEvent(
  monitor: OutlierMonitor,
  type: EjectionType,
  enforced: boolean,
  moment: Moment,
  rate: SuccessRate,
  summary: SuccessRateSummary,
): OutlierEvent {
  const event = eventOf(monitor, NAMES[type], moment, 'EJECT', enforced)
  if (type.startsWith('consecutive')) return { ...event, eject_consecutive_event: {} }
  if (type.endsWith('failure_percentage')) {
    return { ...event, eject_failure_percentage_event: { host_success_rate: Math.floor(rate.percent) } }
  }
  return {
    ...event,
    eject_success_rate_event: {
      host_success_rate: Math.floor(rate.percent),
      cluster_average_success_rate: Math.floor(summary.average),
      cluster_success_rate_ejection_threshold: Math.floor(summary.ejectionThreshold),
    },
  }
}

/** A host is let in again. Envoy leaves `type` at its first value here. */
export function unejectEvent(monitor: OutlierMonitor, moment: Moment): OutlierEvent {
  return eventOf(monitor, NAMES.consecutive_5xx, moment, 'UNEJECT', false)
}

function eventOf(
  { host, ejections }: OutlierMonitor,
  type: string,
  { wallMs, sinceLastMs, clusterName }: Moment,
  action: 'EJECT' | 'UNEJECT',
  enforced: boolean,
): OutlierEvent {
  return {
    type,
    timestamp: new Date(wallMs).toISOString(),
    ...(sinceLastMs !== undefined && { secs_since_last_action: String(Math.floor(sinceLastMs / 1000)) }),
    cluster_name: clusterName,
    upstream_url: host.addressText,
    action,
    num_ejections: ejections,
    enforced,
  }
}
