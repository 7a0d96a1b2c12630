/**
 * What a stream and its filters know of the route that matched. The routes themselves are compiled and matched in
 * `router/`; the chain sees this much of them.
 */
import type { Random } from '../base/random.ts'
import type { RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { Metadata } from '../config/schema/generated/types.ts'
import type { Formatter } from '../observability/formatter/context.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { CustomTag } from '../observability/tracing/custom-tags.ts'
import type { SamplingRates } from '../observability/tracing/sampling.ts'

/** A route that matched one request, with what was decided by lot (the weighted cluster) already decided. */
export interface MatchedRoute {
  readonly routeName: string
  readonly virtualHostName: string
  /** Cluster requests go to; '' for redirects, direct responses, and routes that name none that exists. */
  readonly clusterName: string
  /** Whether the route has any per-filter configuration at all; nearly none has, and then nobody asks further. */
  readonly hasFilterConfigs: boolean
  /** Most specific per-filter configuration by filter name. */
  filterConfig(filterName: string): unknown
  /** Least specific first: virtual host, route, weighted cluster. */
  filterConfigs(filterName: string): readonly unknown[]
  /** Whether the filter is switched off here (`FilterConfig.disabled`), or on where it is off by default. */
  filterDisabled(filterName: string): boolean | undefined
  /** `decorator.operation`, '' when there is none, and whether it is propagated. */
  readonly operation: string
  readonly propagateOperation: boolean
  /** `filter_metadata` of the route and of its virtual host. */
  readonly metadata?: Metadata | undefined
  readonly virtualHostMetadata?: Metadata | undefined
  /** Tracing overrides of the route, undefined where the connection manager's hold. */
  readonly tracing: RouteTracing | undefined
  /** Overrides the connection manager's `stream_idle_timeout`; undefined where the route says nothing, 0 for none. */
  readonly idleTimeoutMs: number | undefined
  /** `max_stream_duration`, resolved for this request; undefined where the connection manager's holds, 0 for none. */
  readonly maxStreamDurationMs: number | undefined
  /** It forwards to a cluster, rather than answering by itself. */
  readonly forwards: boolean
  /** Puts the route's own headers into a response. */
  finalizeResponseHeaders(headers: ResponseHeaders, request: RequestHeaders, info: StreamInfo): void
  /** Upgrade types the route switches on or off, in lower case. */
  upgradeEnabled(type: string): boolean | undefined
}

export interface RouteTracing {
  readonly rates: SamplingRates
  /** They replace the connection manager's of the same names. */
  readonly customTags: readonly CustomTag[]
  /** Formats of the names of the request's span and of those of its attempts. */
  readonly operation: Formatter | undefined
  readonly upstreamOperation: Formatter | undefined
}

/** An immutable, compiled route configuration. */
export interface RouteMatcher {
  readonly name: string
  /** The first route that matches, in Envoy's order; undefined when none does. */
  match(headers: RequestHeaders, info: StreamInfo, random: Random): MatchedRoute | undefined
}
