/** What this sidecar tells of itself to the page and to `hopwise check`: plain values, made when somebody asks. */
import type { SidecarView } from '../admin/mesh-view.ts'
import type { ClusterDetails, ConfigSource, HostDetails } from '../admin/server-control.ts'
import { addressText } from '../base/address.ts'
import { VERSION } from '../base/version.ts'
import type { ClusterView, HostView } from '../cluster/cluster-view.ts'
import type {
  Bootstrap,
  HttpConnectionManager,
  Listener,
  RouteConfiguration,
} from '../config/schema/generated/types.ts'
import { sourceOf } from '../config/source.ts'
import { episodes } from '../failure-origin/episodes.ts'
import { listenerStatName } from '../listener/listener.ts'
import { Counter } from '../observability/stats.ts'
import type { StatsStore } from '../observability/stats-store.ts'
import { HostHealth } from '../upstream/host.ts'
import { observationPolicy } from './chains.ts'
import { addressOf } from './listeners.ts'
import type { Server } from './server.ts'

const MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'

export async function sidecarView(server: Server, stats: StatsStore): Promise<SidecarView> {
  const { env } = server
  const at = env.clock.wall()
  const taken = takenRequests(server.listeners.messages, stats)
  const external = new Set(
    env.clusters
      .view()
      .filter(cluster => cluster.external)
      .map(({ serviceName }) => serviceName),
  )
  const failed = family(stats, 'hopwise_calls_failed_total')
  return {
    at,
    service: env.serviceName,
    node: env.node?.id ?? '',
    version: VERSION,
    state: server.condition.healthCheckFailed ? 'DRAINING' : server.state,
    uptimeMs: at - server.startedMs,
    ...taken,
    ownSeconds: family(stats, 'hopwise_own_seconds_total').reduce((sum, { value }) => sum + value, 0),
    calls: family(stats, 'hopwise_calls_total').map(({ values: [, service = ''], value }) => ({
      service,
      external: external.has(service),
      total: value,
      failed: failed.find(({ values }) => values[1] === service)?.value ?? 0,
    })),
    otherNames: family(stats, 'hopwise_callee_other_name_total').map(({ values: [, service = '', name = ''] }) => ({
      service,
      name,
    })),
    episodes: episodes(env.failures.log.entries(), at),
  }
}

/** The series of a family of counters, with their label values. */
function family(stats: StatsStore, name: string): { readonly values: readonly string[]; readonly value: number }[] {
  const found = stats.families.get(name)
  if (found === undefined) return []
  return [...found.series.values()].flatMap(({ values, stat }) =>
    stat instanceof Counter ? [{ values, value: stat.value }] : [],
  )
}

/** What came in for the application, or from outside the mesh. */
function takenRequests(
  listeners: readonly Listener[],
  stats: StatsStore,
): Pick<SidecarView, 'edge' | 'requests' | 'failed'> {
  let edge = false
  let requests = 0
  let failed = 0
  let inbound = false
  for (const listener of listeners) {
    const addresses = [addressOf(listener.address), ...listener.additionalAddresses.map(one => addressOf(one.address))]
    const prefix = `listener.${listenerStatName({ statPrefix: listener.statPrefix, addresses })}.http`
    const counted = new Set<string>()
    for (const manager of managersOf(listener)) {
      const policy = observationPolicy(listener, manager)
      edge ||= policy.edge
      if (counted.has(manager.statPrefix) || (policy.direction === 'outbound' && !policy.edge)) continue
      counted.add(manager.statPrefix)
      requests += stats.counters.get(`${prefix}.${manager.statPrefix}.downstream_rq_completed`)?.stat.value ?? 0
      // Of inbound ones failure location knows better: those that fail by their gRPC status only, too.
      if (policy.direction === 'inbound') inbound = true
      else failed += stats.counters.get(`${prefix}.${manager.statPrefix}.downstream_rq_5xx`)?.stat.value ?? 0
    }
  }
  if (inbound) failed += family(stats, 'hopwise_requests_failed_total')[0]?.value ?? 0
  return { edge, requests, failed }
}

export function managersOf(listener: Listener): HttpConnectionManager[] {
  const { filterChains, defaultFilterChain } = listener
  return [...filterChains, ...(defaultFilterChain === undefined ? [] : [defaultFilterChain])].flatMap(({ filters }) =>
    filters.flatMap(({ typedConfig }) =>
      typedConfig?.typeUrl === MANAGER ? [typedConfig.value as HttpConnectionManager] : [],
    ),
  )
}

export function clusterDetails(clusters: readonly ClusterView[], stats: StatsStore): ClusterDetails[] {
  return clusters.map(cluster => {
    const { name, observabilityName, serviceName, external, type, lbPolicy, tls, usage, discoveryFailure } = cluster
    const counter = (stat: string) =>
      stats.counters.get(`cluster.${observabilityName.replaceAll(':', '_')}.${stat}`)?.stat.value ?? 0
    const limit = (
      named: ClusterDetails['limits'][number]['name'],
      [inUse, max]: readonly [number, number],
      refused: number,
    ) => ({ name: named, inUse, max, refused })
    return {
      name,
      service: serviceName,
      external,
      type,
      lbPolicy,
      tls,
      discoveryFailure,
      limits: [
        limit('connections', usage.connections, counter('upstream_cx_overflow')),
        limit('pending requests', usage.pendingRequests, counter('upstream_rq_pending_overflow')),
        limit('requests', usage.requests, counter('upstream_rq_active_overflow')),
        limit('retries', usage.retries, counter('upstream_rq_retry_overflow')),
      ],
      outlierDetection: cluster.hasOutlierDetection,
      warnings: cluster.ejectionWarnings,
      hosts: cluster.hosts.map(hostDetails),
    }
  })
}

function hostDetails(host: HostView): HostDetails {
  const counter = (name: string) => host.counters.find(([known]) => known === name)?.[1] ?? 0
  return {
    address: addressText(host),
    hostname: host.hostname,
    health: healthOf(host.health),
    weight: host.weight,
    priority: host.priority,
    zone: host.zone,
    requests: counter('rq_total'),
    errors: counter('rq_error'),
    active: counter('rq_active'),
    connections: counter('cx_active'),
    lastFailure: host.lastFailure,
    lastFailureAt: host.lastFailureAtMs,
  }
}

function healthOf(health: number): HostDetails['health'] {
  if ((health & HostHealth.FailedOutlierCheck) !== 0) return 'ejected'
  if ((health & HostHealth.FailedActiveHealthCheck) !== 0) return 'failing'
  if ((health & HostHealth.FailedEds) !== 0) return 'unhealthy'
  return (health & HostHealth.Degraded) === 0 ? 'healthy' : 'degraded'
}

export function configSources(bootstrap: Bootstrap, listeners: readonly Listener[]): ConfigSource[] {
  const sources: ConfigSource[] = []
  const add = (kind: ConfigSource['kind'], name: string, message: object) => {
    const source = sourceOf(message)
    if (source !== undefined) sources.push({ kind, name, ...source })
  }
  for (const listener of listeners) {
    add('listener', listener.name, listener)
    for (const [i, chain] of listener.filterChains.entries())
      add('filter_chain', `${listener.name}/${chain.name || i}`, chain)
    for (const { routeConfig } of managersOf(listener)) if (routeConfig !== undefined) addRoutes(routeConfig, add)
  }
  for (const cluster of bootstrap.staticResources?.clusters ?? []) add('cluster', cluster.name, cluster)
  return sources
}

function addRoutes(
  routes: RouteConfiguration,
  add: (kind: ConfigSource['kind'], name: string, message: object) => void,
): void {
  add('route_config', routes.name, routes)
  for (const host of routes.virtualHosts) {
    add('virtual_host', `${routes.name}/${host.name}`, host)
    for (const [i, route] of host.routes.entries()) add('route', `${routes.name}/${host.name}/${i}`, route)
  }
}
