/** The local rate limits of the configuration and how often each refused, for the page. */
import type { RateLimitDetails } from '../admin/server-control.ts'
import type {
  AnyMessage,
  HttpConnectionManager,
  HttpLocalRateLimit,
  Listener,
} from '../config/schema/generated/types.ts'
import type { StatsStore } from '../observability/stats-store.ts'

const LOCAL_RATE_LIMIT = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit'

/** Filters first, then what virtual hosts and routes have of their own; those without a bucket limit nothing. */
export function rateLimitDetails(
  managers: readonly { readonly listener: Listener; readonly manager: HttpConnectionManager }[],
  stats: StatsStore,
): RateLimitDetails[] {
  const found: RateLimitDetails[] = []
  const add = (where: string, config: AnyMessage | undefined) => {
    if (config?.typeUrl !== LOCAL_RATE_LIMIT) return
    const { statPrefix, tokenBucket } = config.value as HttpLocalRateLimit
    if (tokenBucket === undefined) return
    const { maxTokens, tokensPerFill = 1, fillInterval = 0 } = tokenBucket
    const counter = (name: string) => stats.counters.get(`${statPrefix}.http_local_rate_limit.${name}`)?.stat.value ?? 0
    found.push({
      where,
      name: statPrefix,
      burst: maxTokens,
      perSecond: fillInterval > 0 ? (tokensPerFill * 1000) / fillInterval : 0,
      passed: counter('ok'),
      refused: counter('enforced'),
    })
  }
  for (const { listener, manager } of managers) {
    for (const { typedConfig } of manager.httpFilters) add(`listener ${listener.name}`, typedConfig)
    for (const host of manager.routeConfig?.virtualHosts ?? []) {
      for (const config of host.typedPerFilterConfig.values()) add(`virtual host ${host.name}`, config)
      for (const [i, route] of host.routes.entries()) {
        for (const config of route.typedPerFilterConfig.values()) add(`route ${host.name}/${route.name || i}`, config)
      }
    }
  }
  return found
}
