/** Settings of outlier detection with every default filled in (features.md §2.4), and what is likely wrong with them. */
import type { OutlierDetection } from '../config/schema/generated/types.ts'
import type { ClusterSettings } from './cluster-settings.ts'

export interface OutlierSettings {
  readonly consecutive5xx: number
  readonly consecutiveGatewayFailure: number
  readonly consecutiveLocalOriginFailure: number
  readonly intervalMs: number
  readonly baseEjectionTimeMs: number
  readonly maxEjectionTimeMs: number
  readonly maxEjectionTimeJitterMs: number
  readonly maxEjectionPercent: number
  readonly alwaysEjectOneHost: boolean
  readonly splitLocalOrigin: boolean
  readonly successRateMinimumHosts: number
  readonly successRateRequestVolume: number
  /** In thousandths. */
  readonly successRateStdevFactor: number
  readonly failurePercentageThreshold: number
  readonly failurePercentageMinimumHosts: number
  readonly failurePercentageRequestVolume: number
  readonly successfulHealthCheckUnejects: boolean
  /** Percent of detected outliers that are really ejected, by what was detected. */
  readonly enforcing: Readonly<Record<EjectionType, number>>
}

export type EjectionType =
  | 'consecutive_5xx'
  | 'consecutive_gateway_failure'
  | 'consecutive_local_origin_failure'
  | 'success_rate'
  | 'local_origin_success_rate'
  | 'failure_percentage'
  | 'local_origin_failure_percentage'

export const EJECTION_TYPES: readonly EjectionType[] = [
  'consecutive_5xx',
  'consecutive_gateway_failure',
  'consecutive_local_origin_failure',
  'success_rate',
  'local_origin_success_rate',
  'failure_percentage',
  'local_origin_failure_percentage',
]

const MAX_EJECTION_TIME_MS = 300_000

export function outlierSettings(config: OutlierDetection): OutlierSettings {
  const baseEjectionTimeMs = config.baseEjectionTime ?? 30_000
  return {
    consecutive5xx: config.consecutive5xx ?? 5,
    consecutiveGatewayFailure: config.consecutiveGatewayFailure ?? 5,
    consecutiveLocalOriginFailure: config.consecutiveLocalOriginFailure ?? 5,
    intervalMs: config.interval ?? 10_000,
    baseEjectionTimeMs,
    // A base above the default maximum is a maximum of its own, as in Envoy.
    maxEjectionTimeMs: config.maxEjectionTime ?? Math.max(MAX_EJECTION_TIME_MS, baseEjectionTimeMs),
    maxEjectionTimeJitterMs: config.maxEjectionTimeJitter ?? 0,
    maxEjectionPercent: config.maxEjectionPercent ?? 10,
    alwaysEjectOneHost: config.alwaysEjectOneHost ?? false,
    splitLocalOrigin: config.splitExternalLocalOriginErrors,
    successRateMinimumHosts: config.successRateMinimumHosts ?? 5,
    successRateRequestVolume: config.successRateRequestVolume ?? 100,
    successRateStdevFactor: config.successRateStdevFactor ?? 1900,
    failurePercentageThreshold: config.failurePercentageThreshold ?? 85,
    failurePercentageMinimumHosts: config.failurePercentageMinimumHosts ?? 5,
    failurePercentageRequestVolume: config.failurePercentageRequestVolume ?? 50,
    successfulHealthCheckUnejects: config.successfulActiveHealthCheckUnejectHost ?? true,
    enforcing: {
      consecutive_5xx: config.enforcingConsecutive5xx ?? 100,
      consecutive_gateway_failure: config.enforcingConsecutiveGatewayFailure ?? 0,
      consecutive_local_origin_failure: config.enforcingConsecutiveLocalOriginFailure ?? 100,
      success_rate: config.enforcingSuccessRate ?? 100,
      local_origin_success_rate: config.enforcingLocalOriginSuccessRate ?? 100,
      failure_percentage: config.enforcingFailurePercentage ?? 0,
      local_origin_failure_percentage: config.enforcingFailurePercentageLocalOrigin ?? 0,
    },
  }
}

/** Whether one more host may be ejected (features.md §2.4, measured): `100 * (ejected + 1) / hosts` must not exceed the limit. */
export function mayEject(
  ejected: number,
  hosts: number,
  settings: OutlierSettings,
  maxEjectionPercent: number,
): boolean {
  if (settings.alwaysEjectOneHost && ejected === 0) return true
  return (100 * (ejected + 1)) / hosts <= Math.min(100, maxEjectionPercent)
}

/** Numbers that can eject nobody: nearly every tutorial has them, and nothing else would ever say so. */
export function ejectionWarnings(cluster: ClusterSettings): string[] {
  const { outlierDetection, message, name } = cluster
  if (outlierDetection === undefined) return []
  const settings = outlierSettings(outlierDetection)
  if (EJECTION_TYPES.every(type => settings.enforcing[type] === 0)) {
    return [`cluster "${name}": outlier_detection ejects nobody, because every enforcing_… is 0`]
  }
  // How many hosts discovery will find is not known yet; what a file lists is.
  if (cluster.discovery !== 'STATIC' && cluster.discovery !== 'LOGICAL_DNS') return []
  const listed = (message.loadAssignment?.endpoints ?? []).reduce((sum, group) => sum + group.lbEndpoints.length, 0)
  // LOGICAL_DNS makes one host of its name, however many addresses that has.
  const hosts = cluster.discovery === 'LOGICAL_DNS' ? 1 : listed
  if (hosts === 0 || mayEject(0, hosts, settings, settings.maxEjectionPercent)) return []
  const enough = Math.ceil(100 / hosts)
  return [
    `cluster "${name}": max_ejection_percent ${settings.maxEjectionPercent} % of ${hosts} ` +
      `${hosts === 1 ? 'host' : 'hosts'} ejects nobody; set max_ejection_percent to ${enough} or more, ` +
      'or always_eject_one_host: true',
  ]
}
