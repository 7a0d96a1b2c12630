/**
 * A route that matched: everything the router filter, the connection manager and the filters ask of it, decided when the
 * configuration was loaded. One object per route (per weighted cluster, where there are several) serves all requests;
 * only what depends on the request itself, a cluster named by a header or a gRPC deadline, makes a copy.
 */
import type { Priority } from '../cluster/cluster.ts'
import type { RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type {
  CustomTag,
  HedgePolicy,
  JsonObject,
  Metadata,
  RateLimit,
  RouteCorsPolicy,
} from '../config/schema/generated/types.ts'
import type { MatchedRoute, RouteTracing } from '../filter-chain/route.ts'
import type { RuntimeFraction } from '../filter-chain/runtime.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { RetryPolicy } from './retry-policy.ts'

export type RouteKind = 'cluster' | 'redirect' | 'direct_response' | 'non_forwarding'

/** Where cookies go that a hash policy makes for requests that have none. */
export interface SetCookieSink {
  /** `value` is a whole `set-cookie` header value, to be added to the response. */
  addSetCookie(value: string): void
}

export interface InternalRedirectPolicy {
  /** Whether a response of this status is followed rather than handed downstream. */
  handles(status: number): boolean
  /**
   * Rewrites the request to where the response points and answers true; false where it may not be followed, and then the
   * request is as it was.
   */
  apply(request: RequestHeaders, response: ResponseHeaders, info: StreamInfo): boolean
}

export interface MirrorPolicy {
  /** Fraction of requests that are mirrored; ask `runtime.enabled`. Undefined: all of them. */
  readonly fraction: RuntimeFraction | undefined
  readonly traceSampled: boolean | undefined
  /** The cluster for this request, '' where a `cluster_header` is missing. */
  clusterFor(headers: RequestHeaders): string
  /** Makes of a copy of the request what the mirror is to see: mutations, host rewrite, `-shadow`. */
  prepare(headers: RequestHeaders, info: StreamInfo): void
}

/** Everything the router filter may ask of a matched route. */
export interface RouteEntry extends MatchedRoute {
  readonly kind: RouteKind
  readonly clusterNotFoundResponseCode: number
  readonly priority: Priority
  /** Route's, else virtual host's; whole, never mixed. */
  readonly retryPolicy: RetryPolicy | undefined
  readonly hedgePolicy: HedgePolicy | undefined
  readonly mirrorPolicies: readonly MirrorPolicy[]
  /** `envoy.lb` metadata of the route and the weighted cluster, for subsets. */
  readonly metadataMatch: JsonObject | undefined
  readonly rateLimits: readonly RateLimit[]
  readonly virtualHostRateLimits: readonly RateLimit[]
  readonly includeVirtualHostRateLimits: boolean
  readonly internalRedirectPolicy: InternalRedirectPolicy | undefined
  readonly includeAttemptCountInRequest: boolean
  readonly includeAttemptCountInResponse: boolean
  readonly includeIsTimeoutRetryHeader: boolean
  readonly autoHostRewrite: boolean
  /** `request_body_buffer_limit`, else `per_request_buffer_limit_bytes`: of the route, else of the virtual host. */
  readonly requestBufferLimit: number | undefined
  /** The route's own `timeout`, 15 s by default, 0 for none. */
  readonly timeoutMs: number
  readonly flushTimeoutMs: number | undefined
  readonly metadata: Metadata | undefined
  readonly cors: RouteCorsPolicy | undefined
  readonly virtualHostCors: RouteCorsPolicy | undefined
  readonly customTags: readonly CustomTag[]
  /** Name below which stats of this route are charged (`stat_prefix`), '' for none. */
  readonly statPrefix: string
  /** For `redirect` (the code, no body) and `direct_response`. */
  readonly directResponse: { readonly status: number; readonly body: string; readonly contentType: string }

  /** The response timeout for this request: the route's, or `grpc-timeout` where `max_grpc_timeout` asks for it. 0: none. */
  timeoutFor(headers: RequestHeaders): number
  /**
   * Rewrites path and host and applies the header mutations of weighted cluster, route, virtual host and configuration.
   * `insertOriginal`: keep what was rewritten in `x-envoy-original-path` and `x-envoy-original-host`.
   */
  finalizeRequestHeaders(headers: RequestHeaders, info: StreamInfo, insertOriginal: boolean): void
  finalizeResponseHeaders(headers: ResponseHeaders, request: RequestHeaders, info: StreamInfo): void
  /** `auto_host_rewrite`, once the host is known. */
  rewriteHost(headers: RequestHeaders, hostname: string): void
  /** `Location` of a redirect; undefined for other routes. */
  redirectLocation(headers: RequestHeaders, info: StreamInfo): string | undefined
  /** Body of a direct response for this request (`body_format` is filled in per request). */
  directResponseBody(headers: RequestHeaders, info: StreamInfo): string
  /** 64-bit hash by the route's `hash_policy`, undefined where none applies. */
  hash(headers: RequestHeaders, info: StreamInfo, cookies?: SetCookieSink): bigint | undefined
  /** Name of the virtual cluster the request belongs to, '' for none: stats `vhost.<v>.vcluster.<c>.`. */
  virtualCluster(headers: RequestHeaders): string
  /** Metadata namespaces, response header names etc. are in the parts above; tracing overrides here. */
  readonly tracing: RouteTracing | undefined
}
