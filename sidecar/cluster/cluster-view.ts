/** What the admin page shows of clusters: plain values, taken at one moment. */
import type { Metadata } from '../config/schema/generated/types.ts'
import type { Resource } from '../upstream/resource.ts'
import type { RunningHost } from '../upstream/running-host.ts'
import type { CircuitBreaker } from './circuit-breaker.ts'
import { ejectionWarnings } from './outlier-settings.ts'
import type { RunningCluster } from './running-cluster.ts'

/** Limits in force. */
export type LimitsView = CircuitBreaker['limits']

export interface ClusterView {
  readonly name: string
  readonly observabilityName: string
  /** Whose failures those of its hosts are (failure-origin.md, "Name of a callee"). */
  readonly serviceName: string
  readonly external: boolean
  /** `STATIC`, `STRICT_DNS`, …; and the name of the load-balancing policy. */
  readonly type: string
  readonly lbPolicy: string
  readonly tls: boolean
  readonly addedViaApi: boolean
  /** Limits of the two priorities of routes. */
  readonly circuitBreakers: readonly [normal: LimitsView, high: LimitsView]
  /** What routes of normal priority have taken of their limits. */
  readonly usage: UsageView
  readonly hasOutlierDetection: boolean
  /** Numbers of it that eject nobody. */
  readonly ejectionWarnings: readonly string[]
  /** -1 where the algorithm is off or has had too few requests. */
  readonly successRate: SuccessRateView
  readonly localOriginSuccessRate: SuccessRateView
  /** Why discovery found nothing, '' when it works. */
  readonly discoveryFailure: string
  /** In percent. */
  readonly overprovisioningFactor: number
  readonly hosts: readonly HostView[]
}

/** Each `[in use, limit]`. */
export interface UsageView {
  readonly connections: readonly [number, number]
  readonly pendingRequests: readonly [number, number]
  readonly requests: readonly [number, number]
  readonly retries: readonly [number, number]
}

export interface SuccessRateView {
  readonly average: number
  readonly ejectionThreshold: number
}

export interface HostView {
  readonly address: string
  readonly ip: string
  /** 0 for a pipe. */
  readonly port: number
  readonly hostname: string
  readonly weight: number
  readonly priority: number
  readonly region: string
  readonly zone: string
  readonly subZone: string
  readonly metadata: Metadata | undefined
  /** 0 where localities have no weights. */
  readonly localityWeight: number
  readonly canary: boolean
  /** `HostHealth` bits. */
  readonly health: number
  readonly successRate: number
  readonly localOriginSuccessRate: number
  /** In the order and under the names of Envoy's `/clusters`. */
  readonly counters: readonly (readonly [name: string, value: number])[]
  readonly lastFailure: string
  readonly lastFailureAtMs: number
}

export function viewOf(cluster: RunningCluster): ClusterView {
  const { settings, outlier } = cluster
  const { message } = settings
  const { connections, pendingRequests, requests, retries } = cluster.breakers[0]
  return {
    name: cluster.name,
    observabilityName: cluster.statName,
    serviceName: settings.serviceName,
    external: settings.external,
    type: settings.discovery,
    lbPolicy: message.loadBalancingPolicy?.policies[0]?.typedExtensionConfig?.name ?? message.lbPolicy,
    tls: message.transportSocket !== undefined,
    addedViaApi: false,
    circuitBreakers: [cluster.breakers[0].limits, cluster.breakers[1].limits],
    usage: {
      connections: usageOf(connections),
      pendingRequests: usageOf(pendingRequests),
      requests: usageOf(requests),
      retries: usageOf(retries),
    },
    hasOutlierDetection: message.outlierDetection !== undefined,
    ejectionWarnings: ejectionWarnings(settings),
    successRate: outlier.successRate,
    localOriginSuccessRate: outlier.localOriginSuccessRate,
    discoveryFailure: cluster.discoveryFailure,
    overprovisioningFactor: settings.overprovisioningFactor,
    hosts: cluster.hosts.map(host => hostView(host, cluster)),
  }
}

function usageOf({ inUse, max }: Resource): readonly [number, number] {
  return [inUse, max]
}

function hostView(host: RunningHost, { outlier }: RunningCluster): HostView {
  const { stats, locality } = host
  return {
    address: host.addressText,
    ip: host.address.ip,
    port: host.address.port,
    hostname: host.hostname,
    weight: host.weight,
    priority: host.priority,
    region: locality.region,
    zone: locality.zone,
    subZone: locality.subZone,
    metadata: host.metadata,
    localityWeight: host.localityWeight,
    canary: host.canary,
    health: host.health,
    successRate: outlier.successRateOf(host),
    localOriginSuccessRate: outlier.localOriginSuccessRateOf(host),
    counters: [
      ['cx_active', stats.cxActive.value],
      ['cx_connect_fail', stats.cxConnectFail.value],
      ['cx_total', stats.cxTotal.value],
      ['rq_active', stats.rqActive.value],
      ['rq_error', stats.rqError.value],
      ['rq_success', stats.rqSuccess.value],
      ['rq_timeout', stats.rqTimeout.value],
      ['rq_total', stats.rqTotal.value],
    ],
    lastFailure: host.lastFailure,
    lastFailureAtMs: host.lastFailureAtMs,
  }
}

/** `views` with the counters of their hosts made the sums of those in `others`, the same clusters in other threads. */
export function withCountersOf(
  views: readonly ClusterView[],
  others: readonly (readonly ClusterView[])[],
): readonly ClusterView[] {
  const sums = new Map<string, Map<string, number>>()
  for (const view of others.flat()) {
    for (const [key, { counters }] of hostsByKey(view)) {
      const sum = sums.get(key) ?? new Map<string, number>()
      sums.set(key, sum)
      for (const [counter, value] of counters) sum.set(counter, (sum.get(counter) ?? 0) + value)
    }
  }
  return views.map(view => ({
    ...view,
    hosts: [...hostsByKey(view)].map(([key, host]) => {
      const sum = sums.get(key)
      return { ...host, counters: host.counters.map(([name, value]) => [name, value + (sum?.get(name) ?? 0)] as const) }
    }),
  }))
}

/** An address may stand twice in a cluster, and is then two hosts. */
function hostsByKey({ name, hosts }: ClusterView): Map<string, HostView> {
  const found = new Map<string, HostView>()
  for (const host of hosts) {
    let key = `${name} ${host.address}`
    while (found.has(key)) key += ' again'
    found.set(key, host)
  }
  return found
}
