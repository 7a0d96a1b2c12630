/** How a cluster resolves names: from `cluster_type` envoy.clusters.dns, or from the older fields of the cluster. */
import type {
  Address,
  Bootstrap,
  CaresDnsResolverConfig,
  Cluster as ClusterMessage,
  DnsCluster,
  DnsLookupFamily,
  DnsResolutionConfig,
  DnsResolverOptions,
  GetAddrInfoDnsResolverConfig,
  TypedExtensionConfig,
} from '../config/schema/generated/types.ts'

export type LookupFamily = Exclude<DnsLookupFamily, 'UNSPECIFIED'>

export interface DnsSettings {
  readonly refreshRateMs: number
  readonly failureRefresh: { readonly baseMs: number; readonly maxMs: number } | undefined
  readonly respectTtl: boolean
  readonly jitterMs: number
  readonly minRefreshRateMs: number
  readonly family: LookupFamily
  readonly resolver: ResolverSettings
}

/** Which servers are asked and how long. */
export interface ResolverSettings {
  /** `ip:port` of each; empty for those of /etc/resolv.conf. */
  readonly servers: readonly string[]
  /** The servers above are asked only when those of the system did not answer. */
  readonly serversAsFallback: boolean
  readonly queryTimeoutMs: number
  readonly queryTries: number
  /** False: names are looked up as they stand, without the search list. */
  readonly useSearchList: boolean
}

const REFRESH_RATE_MS = 5000
/** c-ares as Envoy sets it. */
const QUERY_TIMEOUT_MS = 5000
const QUERY_TRIES = 4
/** A TTL of 0 must not make us ask without a pause. */
const MIN_REFRESH_RATE_MS = 1000
const GETADDRINFO = 'envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig'
const CARES = 'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig'

export const systemResolver: ResolverSettings = {
  servers: [],
  serversAsFallback: false,
  queryTimeoutMs: QUERY_TIMEOUT_MS,
  queryTries: QUERY_TRIES,
  useSearchList: true,
}

/** How clusters ask that say nothing of it themselves: `typed_dns_resolver_config` of the bootstrap, or what it replaces. */
export type DefaultResolver = Pick<Bootstrap, 'typedDnsResolverConfig' | 'dnsResolutionConfig'>

export function dnsSettings(message: ClusterMessage, defaults?: DefaultResolver): DnsSettings {
  const any = message.clusterType?.typedConfig
  const typed = any?.typeUrl.endsWith('envoy.extensions.clusters.dns.v3.DnsCluster')
    ? (any.value as DnsCluster)
    : undefined
  const failure = typed === undefined ? message.dnsFailureRefreshRate : typed.dnsFailureRefreshRate
  const refreshRateMs = (typed === undefined ? message.dnsRefreshRate : typed.dnsRefreshRate) ?? REFRESH_RATE_MS
  const family = typed === undefined ? message.dnsLookupFamily : typed.dnsLookupFamily
  return {
    refreshRateMs,
    failureRefresh: failure && {
      baseMs: failure.baseInterval ?? refreshRateMs,
      // Ten times the base unless it is said, as everywhere in Envoy.
      maxMs: failure.maxInterval ?? 10 * (failure.baseInterval ?? refreshRateMs),
    },
    respectTtl: typed === undefined ? message.respectDnsTtl : typed.respectDnsTtl,
    jitterMs: (typed === undefined ? message.dnsJitter : typed.dnsJitter) ?? 0,
    minRefreshRateMs: typed?.dnsMinRefreshRate ?? MIN_REFRESH_RATE_MS,
    family: family === 'UNSPECIFIED' ? 'AUTO' : family,
    resolver:
      ownResolver(message, typed?.typedDnsResolverConfig ?? message.typedDnsResolverConfig) ??
      typedResolver(defaults?.typedDnsResolverConfig) ??
      olderResolver(defaults?.dnsResolutionConfig) ??
      systemResolver,
  }
}

function ownResolver(message: ClusterMessage, typed: TypedExtensionConfig | undefined): ResolverSettings | undefined {
  if (typed !== undefined) return typedResolver(typed)
  if (message.dnsResolutionConfig !== undefined) return olderResolver(message.dnsResolutionConfig)
  const servers = serverNames(message.dnsResolvers)
  return servers.length === 0 ? undefined : { ...systemResolver, servers }
}

function typedResolver(typed: TypedExtensionConfig | undefined): ResolverSettings | undefined {
  const any = typed?.typedConfig
  if (any?.typeUrl.endsWith(CARES)) {
    const config = any.value as CaresDnsResolverConfig
    return {
      servers: serverNames(config.resolvers),
      serversAsFallback: config.useResolversAsFallback,
      queryTimeoutMs: config.queryTimeoutSeconds === undefined ? QUERY_TIMEOUT_MS : config.queryTimeoutSeconds * 1000,
      queryTries: config.queryTries ?? QUERY_TRIES,
      useSearchList: searches(config.dnsResolverOptions),
    }
  }
  if (any?.typeUrl.endsWith(GETADDRINFO)) {
    // Without a number it goes on for as long as it takes; the next refresh does that here.
    const { numRetries } = any.value as GetAddrInfoDnsResolverConfig
    return numRetries === undefined ? systemResolver : { ...systemResolver, queryTries: numRetries + 1 }
  }
  return typed && systemResolver
}

function olderResolver(message: DnsResolutionConfig | undefined): ResolverSettings | undefined {
  if (message === undefined) return undefined
  const { resolvers, dnsResolverOptions } = message
  return { ...systemResolver, servers: serverNames(resolvers), useSearchList: searches(dnsResolverOptions) }
}

function searches(options: DnsResolverOptions | undefined): boolean {
  return options?.noDefaultSearchDomain !== true
}

function serverNames(addresses: readonly Address[]): string[] {
  return addresses.flatMap(({ socketAddress }) => {
    if (socketAddress === undefined) return []
    const { address, portValue } = socketAddress
    return [`${address.includes(':') ? `[${address}]` : address}:${portValue ?? 53}`]
  })
}
