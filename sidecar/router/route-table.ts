/**
 * A route configuration, compiled: which route a request takes. Everything is decided when the configuration is loaded;
 * a match looks the virtual host up by name, finds the first route that matches, and hands out an entry that was made
 * long before.
 */
import { type Clock, systemClock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { RouteConfiguration } from '../config/schema/generated/types.ts'
import type { RouteMatcher } from '../filter-chain/route.ts'
import type { Runtime } from '../filter-chain/runtime.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { RouteCompileContext } from './compiled-route.ts'
import { DomainTable } from './domain-table.ts'
import { explainMatch, type RouteExplanation } from './explain.ts'
import type { DecodeFilterConfig } from './filter-configs.ts'
import { MatchInput } from './match-input.ts'
import { type Mistake, Mistakes } from './mistakes.ts'
import type { RouteEntry } from './route-entry.ts'
import { compileVirtualHost, configurationLevel, type VirtualHost } from './virtual-host.ts'

export class RouteTable implements RouteMatcher {
  readonly name: string
  /** `internal_only_headers`, in lower case. */
  readonly internalOnlyHeaders: readonly string[]
  readonly virtualHosts: readonly VirtualHost[]
  readonly #domains: DomainTable<VirtualHost>
  readonly #input: MatchInput

  constructor(message: RouteConfiguration, virtualHosts: readonly VirtualHost[], domains: DomainTable<VirtualHost>) {
    this.name = message.name
    this.internalOnlyHeaders = message.internalOnlyHeaders.map(name => name.toLowerCase())
    this.virtualHosts = virtualHosts
    this.#domains = domains
    this.#input = new MatchInput(message.ignorePathParametersInPathMatching)
  }

  match(headers: RequestHeaders, info: StreamInfo, random: Random): RouteEntry | undefined {
    const host = this.#domains.find(headers)
    if (host === undefined) return undefined
    const input = this.#input
    input.start(headers, info, random)
    return host.match(input)
  }

  /** What {@link match} does, in words: which virtual host, which routes were tried, and why each did not match. */
  explain(headers: RequestHeaders, info: StreamInfo, random: Random): RouteExplanation {
    const input = this.#input
    input.start(headers, info, random)
    return explainMatch(this.#domains.find(headers), this.#domains.authorityOf(headers), input)
  }
}

/** What compiling a route configuration takes from outside. */
export interface RouteTableContext {
  readonly runtime: Runtime
  readonly decodeFilterConfig: DecodeFilterConfig
  /** Whether there is a cluster of this name; without it no name is checked. */
  readonly clusterExists?: ((name: string) => boolean) | undefined
  /**
   * What holds where `validate_clusters` does not say: true for a table within a listener (the default), false for one
   * that came over RDS, whose clusters may come later.
   */
  readonly validateClusters?: boolean | undefined
  readonly clock?: Clock | undefined
}

export interface CompiledRouteTable {
  /** Only to be used when there are no errors. */
  readonly table: RouteTable
  readonly errors: readonly Mistake[]
  readonly warnings: readonly Mistake[]
}

export function compileRouteConfiguration(message: RouteConfiguration, context: RouteTableContext): CompiledRouteTable {
  const mistakes = new Mistakes(message)
  const validates = message.validateClusters ?? context.validateClusters ?? true
  const compileContext: RouteCompileContext = {
    runtime: context.runtime,
    decodeFilterConfig: context.decodeFilterConfig,
    clusterExists: validates ? context.clusterExists : undefined,
    clock: context.clock ?? systemClock,
  }
  if (message.vhds !== undefined) mistakes.error('vhds', 'is not supported')
  const level = configurationLevel(message, compileContext, mistakes)
  const domains = new DomainTable<VirtualHost>(message.ignorePortInHostMatching, message.vhostHeader)
  const virtualHosts = message.virtualHosts.map((host, index) => {
    const place = mistakes.below(`virtual_hosts[${index}]`, host)
    const compiled = compileVirtualHost(host, index, level, compileContext, place)
    host.domains.forEach((domain, position) => {
      domains.add(domain, compiled, `domains[${position}]`, place)
    })
    return compiled
  })
  return { table: new RouteTable(message, virtualHosts, domains), errors: mistakes.errors, warnings: mistakes.warnings }
}
