/** Where the hosts of a cluster come from. */
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { Timers } from '../base/timer-wheel.ts'
import type { Endpoint } from '../upstream/running-host.ts'
import type { ClusterSettings } from './cluster-settings.ts'
import type { ClusterStats } from './cluster-stats.ts'
import { DnsDiscovery } from './dns-discovery.ts'
import type { DnsResolver } from './dns-resolver.ts'
import type { ResolverSettings } from './dns-settings.ts'
import { endpointsOf } from './endpoints.ts'

export interface Discovery {
  /** Begins; resolves when the first answer, or failure, is in. */
  start(): Promise<void>
  close(): void
}

/** The cluster, as its discovery sees it. */
export interface DiscoveryTarget {
  readonly clusterStats: ClusterStats
  /** The hosts from now on. False when nothing has changed. */
  setEndpoints(endpoints: readonly Endpoint[]): boolean
  /** Why there are no hosts, or '' when discovery works. */
  noteDiscoveryFailure(failure: string): void
}

export interface DiscoveryContext {
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  /** One resolver for each set of servers; shared by clusters with the same. */
  readonly resolver: (settings: ResolverSettings) => DnsResolver
}

export function createDiscovery(
  settings: ClusterSettings,
  target: DiscoveryTarget,
  context: DiscoveryContext,
): Discovery {
  if (settings.discovery === 'STATIC') return new StaticDiscovery(settings, target)
  return new DnsDiscovery(settings, target, context)
}

/** STATIC: what the configuration lists. */
class StaticDiscovery implements Discovery {
  readonly #settings: ClusterSettings
  readonly #target: DiscoveryTarget

  constructor(settings: ClusterSettings, target: DiscoveryTarget) {
    this.#settings = settings
    this.#target = target
  }

  start(): Promise<void> {
    this.#target.setEndpoints(endpointsOf(this.#settings.message.loadAssignment))
    return Promise.resolve()
  }

  close(): void {}
}
