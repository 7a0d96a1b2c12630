/**
 * All clusters of a data plane (Envoy: `ClusterManagerImpl`): made from decoded messages, looked up by name, changed by
 * reloads without touching what did not change, and let go of without losing a request.
 *
 *   add ─▶ WARMING ─ first answer of discovery ─▶ ACTIVE ─ remove ─▶ DRAINING ─ last request done ─▶ gone
 *
 * A new cluster is found by `get` from the start, as in Envoy at start-up; {@link ClusterManager.initialize} tells when
 * all have warmed. An update is applied in place: it has hosts all along.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { Timers } from '../base/timer-wheel.ts'
import type { ResponseHeaders } from '../codec/header-map.ts'
import type { Cluster as ClusterMessage, MatchPredicate } from '../config/schema/generated/types.ts'
import { ConfigError, type Membership } from '../filter-chain/http-filter.ts'
import type { Runtime } from '../filter-chain/runtime.ts'
import type { LoadBalancingPolicy } from '../load-balancer/policy.ts'
import type { Counter, Gauge, StatsScope } from '../observability/stats.ts'
import type { TlsContext } from '../transport/tls/tls-context.ts'
import type { Clusters } from './cluster.ts'
import { type ClusterSettings, type ClusterTransport, clusterSettings, PLAINTEXT } from './cluster-settings.ts'
import type { ClusterSharing, PublishedCluster } from './cluster-sharing.ts'
import { type ClusterView, viewOf } from './cluster-view.ts'
import { type DnsResolver, SystemDnsResolver } from './dns-resolver.ts'
import type { DefaultResolver, ResolverSettings } from './dns-settings.ts'
import type { OutlierEvent } from './outlier-event.ts'
import { ejectionWarnings } from './outlier-settings.ts'
import { type ClusterEnvironment, RunningCluster } from './running-cluster.ts'

export interface ClusterManagerOptions {
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  /** Overrides limits of outlier detection by their runtime keys; none where it is missing. */
  readonly runtime?: Runtime
  /** The root of all stats. */
  readonly stats: StatsScope
  /** Load-balancing policies that ship (`extensions.ts`). */
  readonly policies: readonly LoadBalancingPolicy[]
  /** Transport of a cluster; plaintext where this is missing. */
  readonly transport?: (message: ClusterMessage) => ClusterTransport
  /** Compiles `outlier_detection.error_matcher`; the rooms above know how headers are matched. */
  readonly matchResponse?: (predicate: MatchPredicate) => (headers: ResponseHeaders) => boolean
  /** Told of every ejection and return; the event is what Envoy writes to `event_log_path` as one line of JSON. */
  readonly onOutlierEvent?: (event: OutlierEvent) => void
  /** For clusters that say nothing of DNS resolvers. */
  readonly defaultResolver?: DefaultResolver | undefined
  /** Replaces the DNS, in tests. */
  readonly resolver?: (settings: ResolverSettings) => DnsResolver
  /** Told when hosts of a cluster, or their health, or why there are none, change. */
  readonly onMembershipChange?: (clusterName: string) => void
  /** Where worker threads share the work. */
  readonly sharing?: ClusterSharing | undefined
  /** In a worker: the root for stats of what the control side does. Default: `stats`. */
  readonly controlStats?: StatsScope | undefined
}

/** What a reload did. */
export interface ClusterChanges {
  readonly added: readonly string[]
  readonly modified: readonly string[]
  readonly removed: readonly string[]
  readonly warnings: readonly string[]
}

class ManagerStats {
  readonly added: Counter
  readonly modified: Counter
  readonly removed: Counter
  readonly updated: Counter
  readonly active: Gauge
  readonly warming: Gauge
  constructor(scope: StatsScope) {
    this.added = scope.counter('cluster_added')
    this.modified = scope.counter('cluster_modified')
    this.removed = scope.counter('cluster_removed')
    this.updated = scope.counter('cluster_updated')
    // Updates of hosts take effect at once and are never merged; Envoy lists these all the same.
    for (const name of ['cluster_updated_via_merge', 'update_merge_cancelled', 'update_out_of_merge_window']) {
      scope.counter(name)
    }
    this.active = scope.gauge('active_clusters')
    this.warming = scope.gauge('warming_clusters')
    this.active.set(0)
    this.warming.set(0)
  }
}

export class ClusterManager implements Clusters, ClusterEnvironment {
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  readonly runtime: Runtime | undefined
  readonly onOutlierEvent: ((event: OutlierEvent) => void) | undefined
  readonly sharing: ClusterSharing | undefined
  readonly controlStats: StatsScope
  readonly #options: ClusterManagerOptions
  readonly #stats: ManagerStats
  readonly #clusters = new Map<string, RunningCluster>()
  readonly #draining = new Set<RunningCluster>()
  /** Clusters that are waited for, each with the promise of its latest discovery. */
  readonly #warming = new Map<RunningCluster, Promise<void>>()
  #awaitingWarm: (() => void)[] = []
  /** Clusters that have had their first hosts: only what changes after that counts as an update. */
  readonly #initialized = new WeakSet<RunningCluster>()
  readonly #resolvers = new Map<string, DnsResolver>()

  constructor(options: ClusterManagerOptions) {
    this.#options = options
    this.clock = options.clock
    this.timers = options.timers
    this.random = options.random
    this.runtime = options.runtime
    this.onOutlierEvent = options.onOutlierEvent
    this.sharing = options.sharing
    this.controlStats = options.controlStats ?? options.stats
    this.#stats = new ManagerStats(this.controlStats.scope('cluster_manager'))
    this.runtime?.onModified?.(() => {
      for (const cluster of this.#clusters.values()) cluster.applyLimits()
    })
  }

  get(name: string): RunningCluster | undefined {
    return this.#clusters.get(name)
  }

  get names(): string[] {
    return [...this.#clusters.keys()]
  }

  /**
   * Checks a message without running anything; returns warnings. Throws `ConfigError` for what cannot be run, so that a
   * reload can be refused whole before the first cluster has changed.
   */
  check(message: ClusterMessage): string[] {
    return warningsOf(this.#settings(message))
  }

  /** Adds a cluster, or updates the one of that name; returns warnings. Nothing happens when it is the same. */
  add(message: ClusterMessage): string[] {
    const settings = this.#settings(message)
    const known = this.#clusters.get(message.name)
    if (known !== undefined && isDeepStrictEqual(known.settings.message, message)) return warningsOf(settings)
    if (known !== undefined && known.statName === settings.statName) {
      this.#stats.modified.inc()
      this.#warm(known, known.update(settings), settings)
      return warningsOf(settings)
    }
    // Under another `alt_stat_name` it is another cluster as far as stats go, and they are asked for all over.
    if (known !== undefined) this.#drain(known)
    const cluster = new RunningCluster(settings, this.#options.stats, this)
    this.#clusters.set(message.name, cluster)
    if (known === undefined) this.#stats.added.inc()
    else this.#stats.modified.inc()
    this.#warm(cluster, cluster.start(), settings)
    this.#countClusters()
    return warningsOf(settings)
  }

  /** As {@link add}; the name of what happens in a reload. */
  update(message: ClusterMessage): string[] {
    return this.add(message)
  }

  /** Takes a cluster out; its running requests finish. False when there is none of that name. */
  remove(name: string): boolean {
    const cluster = this.#clusters.get(name)
    if (cluster === undefined) return false
    this.#clusters.delete(name)
    this.#stats.removed.inc()
    this.#drain(cluster)
    this.#countClusters()
    return true
  }

  /** Makes `messages` all the clusters there are. Throws before anything has changed. */
  replaceAll(messages: readonly ClusterMessage[]): ClusterChanges {
    for (const message of messages) this.#settings(message)
    const changes = {
      added: [] as string[],
      modified: [] as string[],
      removed: [] as string[],
      warnings: [] as string[],
    }
    const kept = new Set(messages.map(message => message.name))
    for (const message of messages) {
      const known = this.#clusters.get(message.name)
      if (known === undefined) changes.added.push(message.name)
      else if (!isDeepStrictEqual(known.settings.message, message)) changes.modified.push(message.name)
      changes.warnings.push(...this.add(message))
    }
    for (const name of this.names) {
      if (kept.has(name)) continue
      this.remove(name)
      changes.removed.push(name)
    }
    return changes
  }

  /** Resolves when every cluster that is to be waited for has its first hosts, or has failed to get any. */
  initialize(): Promise<void> {
    return new Promise(resolve => {
      if (this.#warming.size === 0) resolve()
      else this.#awaitingWarm.push(resolve)
    })
  }

  /** Certificates of all clusters, by TLS context. */
  get tlsContexts(): readonly TlsContext[] {
    return [...this.#clusters.values()].flatMap(({ settings }) => settings.transport.contexts)
  }

  scopeOf(name: string): StatsScope | undefined {
    return this.#clusters.get(name)?.stats
  }

  membershipOf(name: string): Membership | undefined {
    return this.#clusters.get(name)?.membership
  }

  /** All clusters with their hosts as they are now, for `/clusters`. */
  view(): ClusterView[] {
    return [...this.#clusters.values()].map(viewOf)
  }

  /** All clusters as workers need them. */
  publish(): Map<string, PublishedCluster> {
    return new Map([...this.#clusters].map(([name, cluster]) => [name, cluster.publish()]))
  }

  /** Sets gauges that depend on what other threads have done since. */
  refreshGauges(): void {
    for (const { breakers } of this.#clusters.values()) for (const breaker of breakers) breaker.refresh()
  }

  /** Ends everything at once: connections are closed, requests in flight are cut. */
  close(): void {
    for (const cluster of [...this.#clusters.values(), ...this.#draining]) cluster.close()
    for (const resolver of this.#resolvers.values()) resolver.close()
    this.#clusters.clear()
  }

  // What clusters ask for and report.

  resolver = (settings: ResolverSettings): DnsResolver => {
    const key = JSON.stringify(settings)
    let resolver = this.#resolvers.get(key)
    if (resolver === undefined) {
      resolver = this.#options.resolver?.(settings) ?? new SystemDnsResolver(settings)
      this.#resolvers.set(key, resolver)
    }
    return resolver
  }

  onMembershipChange(cluster: RunningCluster): void {
    if (this.#initialized.has(cluster)) this.#stats.updated.inc()
    this.#options.onMembershipChange?.(cluster.name)
  }

  onDiscoveryFailure(cluster: RunningCluster): void {
    this.#options.onMembershipChange?.(cluster.name)
  }

  onClusterDrained(cluster: RunningCluster): void {
    if (this.#draining.delete(cluster)) cluster.releaseStats()
  }

  #settings(message: ClusterMessage): ClusterSettings {
    const { policies, transport = () => PLAINTEXT, matchResponse = cannotMatch, defaultResolver } = this.#options
    const before = this.#clusters.get(message.name)?.settings
    return clusterSettings(message, { policies, transport, matchResponse, defaultResolver }, before)
  }

  #drain(cluster: RunningCluster): void {
    this.#warming.delete(cluster)
    this.#draining.add(cluster)
    cluster.remove()
  }

  #warm(cluster: RunningCluster, warm: Promise<void>, settings: ClusterSettings): void {
    if (settings.discovery === 'STATIC') {
      this.#initialized.add(cluster)
      return
    }
    const { warmingState } = cluster.clusterStats
    warmingState.set(1)
    const done = warm.then(() => {
      this.#initialized.add(cluster)
      if (this.#warming.get(cluster) !== done) return
      this.#warming.delete(cluster)
      warmingState.set(0)
      this.#countClusters()
    })
    if (settings.waitForWarmOnInit) this.#warming.set(cluster, done)
    this.#countClusters()
  }

  #countClusters(): void {
    this.#stats.active.set(this.#clusters.size - this.#warming.size)
    this.#stats.warming.set(this.#warming.size)
    if (this.#warming.size > 0) return
    const waiting = this.#awaitingWarm
    this.#awaitingWarm = []
    for (const resolve of waiting) resolve()
  }
}

function cannotMatch(): never {
  throw new ConfigError('typed_extension_protocol_options', 'error_matcher is not supported here')
}

function warningsOf(settings: ClusterSettings): string[] {
  return [...settings.warnings, ...ejectionWarnings(settings)]
}
