/**
 * A cluster as it runs: its hosts and their pools, its limits, its balancer, and what watches over its hosts.
 *
 * It lives as long as its name stays configured. A reload swaps its settings and lets discovery start anew; hosts whose
 * address is still there keep their identity, and with it connections, counters and ejections. The list of hosts is never
 * changed but replaced, so whoever iterates over it sees one state.
 */
import { isDeepStrictEqual } from 'node:util'
import { addressText } from '../base/address.ts'
import type { Clock } from '../base/clock.ts'
import { invariant } from '../base/invariant.ts'
import type { Random } from '../base/random.ts'
import { SharedCount, sharedCounts } from '../base/shared-count.ts'
import type { Timers } from '../base/timer-wheel.ts'
import type { ResponseDecoder, StreamFailure } from '../codec/stream.ts'
import type { Metadata } from '../config/schema/generated/types.ts'
import type { Membership } from '../filter-chain/http-filter.ts'
import type { Runtime } from '../filter-chain/runtime.ts'
import type { LoadBalancerContext } from '../load-balancer/policy.ts'
import { type HostSet, PriorityBalancer } from '../load-balancer/priority-balancer.ts'
import type { Counter, StatsScope } from '../observability/stats.ts'
import { StoreScope } from '../observability/stats-store.ts'
import type { PendingStream, PoolCallbacks, StreamOptions } from '../upstream/connection-pool.ts'
import { ConnectionStats } from '../upstream/connection-stats.ts'
import type { Host } from '../upstream/host.ts'
import {
  type ConnectionPool,
  type ConnectionSettings,
  NO_NAMES,
  type PoolEnvironment,
  type RequestedNames,
} from '../upstream/pool.ts'
import { createPool, PoolKind } from '../upstream/pool-kind.ts'
import type { ResourceManager } from '../upstream/resource.ts'
import { type Endpoint, isDegraded, isHealthy, RunningHost } from '../upstream/running-host.ts'
import { type BreakerMemory, breakerMemory, CircuitBreaker, type Limits, limitsNow } from './circuit-breaker.ts'
import type { Cluster, Priority } from './cluster.ts'
import type { AutoNames, ClusterSettings } from './cluster-settings.ts'
import type { ClusterSharing, PublishedCluster } from './cluster-sharing.ts'
import { ClusterStats, RequestStats } from './cluster-stats.ts'
import { createDiscovery, type Discovery, type DiscoveryContext, type DiscoveryTarget } from './discovery.ts'
import { OutlierDetector } from './outlier-detection.ts'
import type { OutlierEvent } from './outlier-event.ts'
import { TlsAdvice } from './tls-advice.ts'
import { TrackedStats } from './tracked-stats.ts'

/** What every cluster of a process shares. */
export interface ClusterEnvironment extends DiscoveryContext {
  readonly runtime: Runtime | undefined
  readonly onOutlierEvent: ((event: OutlierEvent) => void) | undefined
  /** Where worker threads share the work; undefined where one thread does it all. */
  readonly sharing: ClusterSharing | undefined
  /** Root of the stats of what the control side alone does; in a worker one that nobody reads. */
  readonly controlStats: StatsScope
  /** Hosts of a cluster, or their health, have changed. */
  onMembershipChange(cluster: RunningCluster): void
  /** Why discovery finds nothing has changed. */
  onDiscoveryFailure(cluster: RunningCluster): void
  /** A removed cluster has no connection and no request left. */
  onClusterDrained(cluster: RunningCluster): void
}

export class RunningCluster implements Cluster, DiscoveryTarget {
  readonly name: string
  readonly statName: string
  readonly stats: StatsScope
  readonly requestStats: RequestStats
  tracked: TrackedStats | undefined
  readonly clusterStats: ClusterStats
  readonly outlier: OutlierDetector
  readonly breakers: readonly [normal: CircuitBreaker, high: CircuitBreaker]
  hosts: readonly RunningHost[] = []
  discoveryFailure = ''
  settings: ClusterSettings
  readonly #environment: ClusterEnvironment
  readonly #controlScope: StatsScope
  readonly #memory: BreakerMemory | undefined
  readonly #pools: ClusterPools
  readonly #balancer: PriorityBalancer
  #discovery: Discovery
  #byIdentity = new Map<string, RunningHost>()
  /** Hosts that have left and still have requests or connections. */
  readonly #leaving = new Set<RunningHost>()
  #removed = false

  constructor(settings: ClusterSettings, rootStats: StatsScope, environment: ClusterEnvironment) {
    this.name = settings.name
    this.statName = settings.statName
    this.settings = settings
    this.#environment = environment
    this.stats = rootStats.scope(`cluster.${statName(settings.statName)}`)
    const { sharing, controlStats } = environment
    this.#controlScope =
      controlStats === rootStats ? this.stats : controlStats.scope(`cluster.${statName(settings.statName)}`)
    const control = this.#controlScope
    this.requestStats = new RequestStats(this.stats)
    this.tracked = TrackedStats.of(settings.message.trackClusterStats, this.stats)
    this.clusterStats = new ClusterStats(this.stats, control)
    const breakers = control.scope('circuit_breakers')
    this.#memory = memoryOf(settings.name, sharing)
    this.breakers = [
      new CircuitBreaker(this.#limits(0), breakers.scope('default'), this.#memory, 0),
      new CircuitBreaker(this.#limits(1), breakers.scope('high'), this.#memory, 1),
    ]
    this.#pools = new ClusterPools(this, new ConnectionStats(this.stats), environment)
    this.#balancer = new PriorityBalancer(
      settings.policy,
      settings.balancer,
      environment.random,
      this.clusterStats.healthyPanic,
    )
    const judging = {
      clock: environment.clock,
      timers: environment.timers,
      random: environment.random,
      runtime: environment.runtime,
      onOutlierEvent: environment.onOutlierEvent,
      sharedCounts: sharing !== undefined,
      reportRow: sharing?.side === 'worker' ? sharing.reportRow : undefined,
    }
    this.outlier = new OutlierDetector(settings, control, judging, {
      hosts: () => this.hosts,
      onHealthChange: host => this.#onHealthChange(host),
    })
    this.#useTransport(settings)
    this.#discovery = this.#createDiscovery()
    this.#updateBalancer()
  }

  #useTransport({ transport }: ClusterSettings): void {
    transport.useStats(this.stats)
    for (const name of transport.matchNames) this.#matched(name)
  }

  /** Hosts that were given the transport socket of that name. */
  #matched(name: string): Counter {
    return this.#controlScope.counter(`${name}.total_match_count`)
  }

  #limits(priority: 0 | 1): Limits {
    const { settings } = this
    const keyPrefix = `circuit_breakers.${settings.name}.${priority === 0 ? 'default' : 'high'}`
    return limitsNow(settings.limits[priority], this.#environment.runtime, keyPrefix)
  }

  /** Works out the limits anew: the settings or the runtime have changed. */
  applyLimits(): void {
    for (const priority of [0, 1] as const) this.breakers[priority].configure(this.#limits(priority))
  }

  /** Begins discovery; resolves when the cluster is warm. */
  start(): Promise<void> {
    return this.#discovery.start()
  }

  /** Takes other settings in place of its own. Resolves when the new discovery has its first answer. */
  update(settings: ClusterSettings): Promise<void> {
    const before = this.settings
    this.settings = settings
    if (settings.transport !== before.transport) this.#useTransport(settings)
    this.tracked = TrackedStats.of(settings.message.trackClusterStats, this.stats)
    this.applyLimits()
    this.#balancer.configure(settings.policy, settings.balancer)
    this.outlier.configure(settings)
    // Connections that were made to another order are not used for new requests.
    if (!sameConnections(before, settings)) for (const host of this.hosts) host.drainPools()
    this.#updateBalancer()
    this.#discovery.close()
    this.#discovery = this.#createDiscovery()
    return this.#discovery.start()
  }

  /** Leaves the configuration: running requests finish, idle connections close. */
  remove(): void {
    this.#removed = true
    this.#discovery.close()
    this.outlier.close()
    for (const host of this.hosts) this.#retire(host)
    this.#reportDrained()
  }

  close(): void {
    this.#discovery.close()
    this.outlier.close()
    for (const host of [...this.hosts, ...this.#leaving]) host.closePools()
  }

  /** Nothing of it runs any more. */
  releaseStats(): void {
    this.stats.release()
    this.#controlScope.release()
  }

  get serviceName(): string {
    return this.settings.serviceName
  }
  get retryReusedConnection(): boolean | undefined {
    return this.settings.retryReusedConnection
  }
  get external(): boolean {
    return this.settings.external
  }
  get metadata(): Metadata | undefined {
    return this.settings.metadata
  }
  get autoNames(): AutoNames | undefined {
    return this.settings.autoNames
  }
  get bufferLimitBytes(): number {
    return this.settings.connection.bufferLimitBytes
  }

  get maxStreamDurationMs(): number {
    return this.settings.maxStreamDurationMs
  }

  /** How many hosts there are, and how many of them are in which health. */
  get membership(): Membership {
    const { hosts } = this
    return {
      hosts: hosts.length,
      healthy: hosts.filter(isHealthy).length,
      degraded: hosts.filter(isDegraded).length,
    }
  }

  resources(priority: Priority): ResourceManager {
    return this.breakers[priority]
  }

  chooseHost(context: LoadBalancerContext): Host | undefined {
    return this.#balancer.chooseHost(context)
  }

  newStream(
    host: Host,
    priority: Priority,
    options: StreamOptions,
    decoder: ResponseDecoder,
    callbacks: PoolCallbacks,
  ): PendingStream {
    const { poolKind, followsDownstream, autoNames } = this.settings
    let kind = poolKind
    if (followsDownstream) kind = options.downstreamProtocol === 'HTTP/2' ? PoolKind.Http2 : PoolKind.Http1
    const running = host as RunningHost
    const pool =
      autoNames === undefined
        ? (running.pools[kind * 2 + priority] ??= this.#createPool(kind, running, priority, NO_NAMES))
        : this.#poolByNames(kind, running, priority, options)
    return pool.newStream(options, decoder, callbacks)
  }

  lastFailure(): StreamFailure | undefined {
    return this.#pools.lastFailure
  }

  // Discovery.

  setEndpoints(endpoints: readonly Endpoint[]): boolean {
    const before = this.#byIdentity
    const after = new Map<string, RunningHost>()
    let added = false
    let changed = false
    let moved = false
    for (const endpoint of endpoints) {
      const identity = identityOf(endpoint, after)
      const known = before.get(identity)
      if (known === undefined) {
        added = true
        const scope = this.#endpointScope(endpoint, this.stats)
        const control = this.#controlScope
        const host = new RunningHost(
          endpoint,
          scope,
          control === this.stats ? scope : this.#endpointScope(endpoint, control),
        )
        host.identity = identity
        this.#shareConnections(host, endpoint)
        this.#matched(this.settings.transport.matchName(endpoint.metadata)).inc()
        this.outlier.watch(host)
        after.set(identity, host)
      } else {
        const address = known.addressText
        this.#shareConnections(known, endpoint)
        changed = known.update(endpoint) || changed
        // A worker learns where the counts of a host are only now, where outlier detection is new to the cluster.
        if (known.monitor === undefined) this.outlier.watch(known)
        moved = moved || known.addressText !== address
        after.set(identity, known)
      }
    }
    const gone = [...before].filter(([identity]) => !after.has(identity)).map(([, host]) => host)
    if (!added && !changed && !moved && gone.length === 0) return false
    this.#byIdentity = after
    this.hosts = Object.freeze([...after.values()])
    for (const host of gone) this.#retire(host)
    if (added || moved || gone.length > 0) {
      this.clusterStats.membershipChange.inc()
      if (this.settings.closeConnectionsOnHostSetChange) for (const host of this.hosts) host.drainPools()
    }
    this.#updateBalancer()
    this.#environment.onMembershipChange(this)
    return true
  }

  noteDiscoveryFailure(failure: string): void {
    if (this.discoveryFailure === failure) return
    this.discoveryFailure = failure
    this.#environment.onDiscoveryFailure(this)
  }

  // Between the control side and the workers.

  /** The cluster as it is now, for workers. Only where there are any. */
  publish(): PublishedCluster {
    const { sharing } = this.#environment
    if (sharing?.side === 'control' && this.settings.limits.some(limitsHosts)) {
      for (const host of this.hosts) host.connectionMemory ??= sharedCounts(sharing.workers)
    }
    const hosts = this.hosts.map(host => ({
      identity: host.identity,
      address: host.address,
      hostname: host.hostname,
      serviceName: host.serviceName,
      metadata: host.metadata,
      locality: host.locality,
      localityWeight: host.localityWeight,
      priority: host.priority,
      weight: host.weight,
      health: host.health,
      canary: host.canary,
      outlierMemory: host.outlierMemory,
      connectionMemory: host.connectionMemory,
    }))
    return { breakers: this.#memory!.memory, hosts, discoveryFailure: this.discoveryFailure }
  }

  /** Takes over what the control side has published. */
  adopt({ hosts, discoveryFailure }: PublishedCluster): void {
    this.setEndpoints(hosts)
    this.discoveryFailure = discoveryFailure
    for (const [i, host] of this.hosts.entries()) {
      if (host.health === hosts[i]!.health) continue
      host.health = hosts[i]!.health
      this.#onHealthChange(host)
    }
  }

  /** A worker learns where connections to a host are counted, be it with a limit that is new to the cluster. */
  #shareConnections(host: RunningHost, { connectionMemory }: Endpoint): void {
    if (this.#memory === undefined || connectionMemory === undefined || host.sharedConnections !== undefined) return
    host.shareConnections(SharedCount.of(connectionMemory, 0, this.#memory.worker))
  }

  // Pools.

  /** Called by {@link ClusterPools} when the pools of a host that left are empty. */
  onPoolDrained(host: RunningHost): void {
    if (!this.#leaving.has(host) || !host.drained) return
    this.#leaving.delete(host)
    host.releaseStats()
    this.#reportDrained()
  }

  /** Requests that ask for different names of the server do not share connections. */
  #poolByNames(kind: PoolKind, host: RunningHost, priority: Priority, options: StreamOptions): ConnectionPool {
    const { serverName = '', wantedName = '' } = options
    return host.namedPool(`${kind} ${priority} ${serverName} ${wantedName}`, () =>
      this.#createPool(kind, host, priority, { serverName, wantedName }),
    )
  }

  #createPool(kind: PoolKind, host: RunningHost, priority: Priority, names: RequestedNames) {
    const pool = createPool(kind, host, this.#pools, this.breakers[priority], names)
    // A host may leave between being chosen and being used.
    if (this.#removed || !this.hosts.includes(host)) {
      this.#leaving.add(host)
      pool.retire()
    }
    return pool
  }

  #retire(host: RunningHost): void {
    this.outlier.forget(host)
    this.#leaving.add(host)
    host.retirePools()
    this.onPoolDrained(host)
  }

  #reportDrained(): void {
    if (!this.#removed || this.#leaving.size > 0) return
    this.#environment.onClusterDrained(this)
  }

  #onHealthChange(host: RunningHost): void {
    host.noteHealth()
    // New connections may reach another process behind the same address, and old ones should not outlive the verdict.
    if (host.unhealthy) host.drainPools()
    this.#updateBalancer()
    this.#environment.onMembershipChange(this)
  }

  #createDiscovery(): Discovery {
    const { sharing } = this.#environment
    if (sharing?.side !== 'worker') return createDiscovery(this.settings, this, this.#environment)
    const start = () => {
      const published = sharing.published(this.name)
      if (published !== undefined) this.adopt(published)
      return Promise.resolve()
    }
    return { start, close() {} }
  }

  #updateBalancer(): void {
    const { hosts, clusterStats, settings } = this
    const byPriority: RunningHost[][] = [[]]
    for (const host of hosts) {
      while (byPriority.length <= host.priority) byPriority.push([])
      byPriority[host.priority]!.push(host)
    }
    const { overprovisioningFactor } = settings
    this.#balancer.update(byPriority.map((list): HostSet => ({ hosts: list, overprovisioningFactor })))
    clusterStats.membershipTotal.set(hosts.length)
    // Envoy looks at weights where it compares hosts with those before.
    if (settings.discovery === 'STRICT_DNS') {
      clusterStats.maxHostWeight.set(hosts.reduce((most, { weight }) => Math.max(most, weight), 0))
    }
    clusterStats.membershipHealthy.set(hosts.filter(isHealthy).length)
    clusterStats.membershipDegraded.set(hosts.filter(isDegraded).length)
  }

  #endpointScope(endpoint: Endpoint, above: StatsScope): StatsScope | undefined {
    if (!this.settings.perEndpointStats) return undefined
    const address = statName(addressText(endpoint.address))
    if (!(above instanceof StoreScope)) return above.scope(`endpoint.${address}`)
    // The address has dots in it, so the label cannot be found by taking the name apart.
    return above.taggedScope(`endpoint.${address}`, 'cluster.endpoint', [
      ['envoy.cluster_name', this.statName],
      ['envoy.endpoint_address', address],
    ])
  }
}

/** What the pools of one cluster share; the settings are always those of the cluster now. */
class ClusterPools implements PoolEnvironment {
  readonly stats: ConnectionStats
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  lastFailure: StreamFailure | undefined = undefined
  readonly #cluster: RunningCluster
  readonly #tlsAdvice: TlsAdvice

  constructor(cluster: RunningCluster, stats: ConnectionStats, environment: ClusterEnvironment) {
    this.#cluster = cluster
    this.stats = stats
    this.clock = environment.clock
    this.timers = environment.timers
    this.random = environment.random
    this.#tlsAdvice = new TlsAdvice(environment.clock)
  }

  get settings(): ConnectionSettings {
    return this.#cluster.settings.connection
  }

  onFailure(failure: StreamFailure): void {
    this.lastFailure = failure
    if (failure.tlsCause !== undefined) this.#tlsAdvice.tell(this.#cluster.settings.message, failure)
  }

  onPoolDrained(host: Host): void {
    this.#cluster.onPoolDrained(host as RunningHost)
  }
}

/** The counts of a cluster's limits: made by the control side, looked up by workers. */
function memoryOf(clusterName: string, sharing: ClusterSharing | undefined): BreakerMemory | undefined {
  if (sharing === undefined) return undefined
  if (sharing.side === 'control') return { memory: breakerMemory(sharing.workers), worker: undefined }
  const published = sharing.published(clusterName)
  invariant(published !== undefined, 'the control side publishes a cluster before a worker is told of it')
  return { memory: published.breakers, worker: sharing.worker }
}

function limitsHosts({ maxConnectionsPerHost }: Limits): boolean {
  return Number.isFinite(maxConnectionsPerHost)
}

/** One name may stand twice in a file, and then counts twice; the second is recognised as the second. */
function identityOf(endpoint: Endpoint, taken: ReadonlyMap<string, unknown>): string {
  const identity = endpoint.identity === '' ? addressText(endpoint.address) : endpoint.identity
  if (!taken.has(identity)) return identity
  for (let occurrence = 2; ; occurrence++)
    if (!taken.has(`${identity}#${occurrence}`)) return `${identity}#${occurrence}`
}

/** Envoy puts underscores for colons into names of stats, because a colon ends a name in statsd. */
function statName(name: string): string {
  return name.replaceAll(':', '_')
}

function sameConnections(before: ClusterSettings, after: ClusterSettings): boolean {
  const a = before.connection
  const b = after.connection
  return (
    before.poolKind === after.poolKind &&
    before.followsDownstream === after.followsDownstream &&
    a.connect === b.connect &&
    a.bufferLimitBytes === b.bufferLimitBytes &&
    a.idleTimeoutMs === b.idleTimeoutMs &&
    a.maxConnectionDurationMs === b.maxConnectionDurationMs &&
    a.maxRequestsPerConnection === b.maxRequestsPerConnection &&
    a.maxResponseHeadBytes === b.maxResponseHeadBytes &&
    a.maxResponseHeaders === b.maxResponseHeaders &&
    a.sendTrailers === b.sendTrailers &&
    a.allowChunkedLength === b.allowChunkedLength &&
    a.properCaseHeaders === b.properCaseHeaders &&
    isDeepStrictEqual(a.http2, b.http2) &&
    isDeepStrictEqual(a.alpn, b.alpn) &&
    isDeepStrictEqual(a.keepAlive, b.keepAlive)
  )
}
