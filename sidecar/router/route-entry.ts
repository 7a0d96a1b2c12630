/**
 * A route that matched: everything the router filter, the connection manager and the filters ask of it, decided when
 * the configuration was loaded. One object per route (per weighted cluster, where there are several) serves all
 * requests; only what depends on the request itself, a cluster named by a header or a gRPC deadline, makes another
 * entry.
 */
import type { Priority } from '../cluster/cluster.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { HedgePolicy, JsonObject, Metadata, RateLimit, RouteCorsPolicy } from '../config/schema/generated/types.ts'
import type { MatchedRoute, RouteTracing } from '../filter-chain/route.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import { bodyOf, type DirectResponse } from './direct-response.ts'
import type { FilterConfigs } from './filter-configs.ts'
import { formatView } from './format-view.ts'
import type { GrpcDeadlines } from './grpc-timeout.ts'
import type { HashPolicy, SetCookieSink } from './hash-policy.ts'
import type { HeaderMatcher } from './header-matcher.ts'
import { allMatch } from './header-matcher.ts'
import type { HeaderMutations } from './header-mutation.ts'
import { type HostRewrite, setAuthority } from './host-rewrite.ts'
import type { InternalRedirectPolicy } from './internal-redirect.ts'
import type { MirrorPolicy } from './mirror-policy.ts'
import type { PathRewrite } from './path-rewrite.ts'
import { ownLocation, type Redirect, type SslRedirect } from './redirect.ts'
import type { RetryPolicy } from './retry-policy.ts'

export type RouteKind = 'cluster' | 'redirect' | 'direct_response'

export interface VirtualCluster {
  readonly name: string
  readonly headers: readonly HeaderMatcher[]
}

/** What a route was compiled to. */
export interface RouteSettings {
  readonly kind: RouteKind
  readonly routeName: string
  readonly virtualHostName: string
  /** The cluster, '' where a request header names it or where there is none. */
  readonly clusterName: string
  readonly clusterNotFoundResponseCode: number
  readonly priority: Priority
  readonly timeoutMs: number
  readonly idleTimeoutMs: number | undefined
  readonly flushTimeoutMs: number | undefined
  readonly maxStreamDurationMs: number | undefined
  readonly grpcDeadlines: GrpcDeadlines | undefined
  readonly retryPolicy: RetryPolicy | undefined
  /** `filter_metadata.hopwise.retry_reused_connection`. */
  readonly retryReusedConnection: boolean | undefined
  readonly hedgePolicy: HedgePolicy | undefined
  readonly mirrorPolicies: readonly MirrorPolicy[]
  readonly metadataMatch: JsonObject | undefined
  readonly hashPolicy: HashPolicy | undefined
  readonly rateLimits: readonly RateLimit[]
  readonly virtualHostRateLimits: readonly RateLimit[]
  readonly includeVirtualHostRateLimits: boolean
  readonly upgrades: ReadonlyMap<string, boolean>
  readonly internalRedirectPolicy: InternalRedirectPolicy | undefined
  readonly includeAttemptCountInRequest: boolean
  readonly includeAttemptCountInResponse: boolean
  readonly includeIsTimeoutRetryHeader: boolean
  readonly autoHostRewrite: boolean
  readonly appendForwardedHost: boolean
  /** `host_rewrite_literal` of a weighted cluster. */
  readonly clusterHost: string
  readonly hostRewrite: HostRewrite | undefined
  readonly pathRewrite: PathRewrite | undefined
  /** In the order in which they apply; empty for most routes. */
  readonly requestMutations: readonly HeaderMutations[]
  readonly responseMutations: readonly HeaderMutations[]
  readonly requestBufferLimit: number | undefined
  readonly redirect: Redirect | SslRedirect | undefined
  readonly directResponse: DirectResponse
  readonly filterConfigs: FilterConfigs
  readonly operation: string
  readonly propagateOperation: boolean
  readonly tracing: RouteTracing | undefined
  readonly metadata: Metadata | undefined
  readonly virtualHostMetadata: Metadata | undefined
  readonly cors: RouteCorsPolicy | undefined
  readonly virtualHostCors: RouteCorsPolicy | undefined
  readonly virtualClusters: readonly VirtualCluster[]
  readonly statPrefix: string
}

export class RouteEntry implements MatchedRoute {
  readonly #settings: RouteSettings
  /** Cluster requests go to, chosen already; '' for redirects, direct responses and a header that is missing. */
  readonly clusterName: string
  readonly maxStreamDurationMs: number | undefined

  constructor(
    settings: RouteSettings,
    clusterName = settings.clusterName,
    maxStreamDurationMs = settings.maxStreamDurationMs,
  ) {
    this.#settings = settings
    this.clusterName = clusterName
    this.maxStreamDurationMs = maxStreamDurationMs
  }

  /** The entry for a request whose headers decide the cluster or the deadline; this one where they do not. */
  forRequest(headers: RequestHeaders, clusterHeader: string): RouteEntry {
    const { grpcDeadlines } = this.#settings
    const limit = grpcDeadlines?.streamDuration(headers)
    if (clusterHeader === '' && limit === undefined) return this
    const cluster = clusterHeader === '' ? this.clusterName : (headers.get(clusterHeader) ?? '')
    return new RouteEntry(this.#settings, cluster, limit ?? this.maxStreamDurationMs)
  }

  get kind(): RouteKind {
    return this.#settings.kind
  }
  get forwards(): boolean {
    return this.#settings.kind === 'cluster'
  }
  get routeName(): string {
    return this.#settings.routeName
  }
  get virtualHostName(): string {
    return this.#settings.virtualHostName
  }
  /** Status of the answer where there is no such cluster: 503 by default. */
  get clusterNotFoundResponseCode(): number {
    return this.#settings.clusterNotFoundResponseCode
  }
  get priority(): Priority {
    return this.#settings.priority
  }
  /** Route's, else virtual host's; whole, never mixed. */
  get retryReusedConnection(): boolean | undefined {
    return this.#settings.retryReusedConnection
  }
  get retryPolicy(): RetryPolicy | undefined {
    return this.#settings.retryPolicy
  }
  get hedgePolicy(): HedgePolicy | undefined {
    return this.#settings.hedgePolicy
  }
  /** Route's, else virtual host's, else the configuration's. */
  get mirrorPolicies(): readonly MirrorPolicy[] {
    return this.#settings.mirrorPolicies
  }
  /** `envoy.lb` metadata of the route and over it of the weighted cluster, for subsets. */
  get metadataMatch(): JsonObject | undefined {
    return this.#settings.metadataMatch
  }
  get rateLimits(): readonly RateLimit[] {
    return this.#settings.rateLimits
  }
  get virtualHostRateLimits(): readonly RateLimit[] {
    return this.#settings.virtualHostRateLimits
  }
  get includeVirtualHostRateLimits(): boolean {
    return this.#settings.includeVirtualHostRateLimits
  }
  get internalRedirectPolicy(): InternalRedirectPolicy | undefined {
    return this.#settings.internalRedirectPolicy
  }
  get includeAttemptCountInRequest(): boolean {
    return this.#settings.includeAttemptCountInRequest
  }
  get includeAttemptCountInResponse(): boolean {
    return this.#settings.includeAttemptCountInResponse
  }
  /** `x-envoy-is-timeout-retry` on attempts that follow a timeout. */
  get includeIsTimeoutRetryHeader(): boolean {
    return this.#settings.includeIsTimeoutRetryHeader
  }
  get autoHostRewrite(): boolean {
    return this.#settings.autoHostRewrite
  }
  /** Most bytes of a request that are kept for other attempts; undefined where the cluster's limit holds. */
  get requestBufferLimit(): number | undefined {
    return this.#settings.requestBufferLimit
  }
  /** The route's own `timeout`: 15 s by default, 0 for none. */
  get timeoutMs(): number {
    return this.#settings.timeoutMs
  }
  /** `max_grpc_timeout` is set: the upstream's `grpc-timeout` becomes what is left of ours. */
  get limitsGrpcTimeout(): boolean {
    return this.#settings.grpcDeadlines?.limitsResponse === true
  }
  get idleTimeoutMs(): number | undefined {
    return this.#settings.idleTimeoutMs
  }
  get flushTimeoutMs(): number | undefined {
    return this.#settings.flushTimeoutMs
  }
  get metadata(): Metadata | undefined {
    return this.#settings.metadata
  }
  get virtualHostMetadata(): Metadata | undefined {
    return this.#settings.virtualHostMetadata
  }
  get cors(): RouteCorsPolicy | undefined {
    return this.#settings.cors
  }
  get virtualHostCors(): RouteCorsPolicy | undefined {
    return this.#settings.virtualHostCors
  }
  get operation(): string {
    return this.#settings.operation
  }
  get propagateOperation(): boolean {
    return this.#settings.propagateOperation
  }
  /** Sampling in percent, tags and names of spans, where the route says something about them. */
  get tracing(): RouteTracing | undefined {
    return this.#settings.tracing
  }
  /** Name below which stats of this route are charged: `vhost.<v>.route.<stat_prefix>.`; '' for none. */
  get statPrefix(): string {
    return this.#settings.statPrefix
  }
  /** Redirects (their code, no body) and direct responses: status, and the body before `body_format`. */
  get directResponse(): DirectResponse {
    return this.#settings.directResponse
  }

  get hasFilterConfigs(): boolean {
    return !this.#settings.filterConfigs.isEmpty
  }
  filterConfig(filterName: string): unknown {
    return this.#settings.filterConfigs.mostSpecific(filterName)
  }
  filterConfigs(filterName: string): readonly unknown[] {
    return this.#settings.filterConfigs.all(filterName)
  }
  filterDisabled(filterName: string): boolean | undefined {
    return this.#settings.filterConfigs.disabled(filterName)
  }
  upgradeEnabled(type: string): boolean | undefined {
    return this.#settings.upgrades.get(type)
  }

  /**
   * The response timeout for this request: the route's, or `grpc-timeout` where `max_grpc_timeout` asks for it. 0:
   * none.
   */
  timeoutFor(headers: RequestHeaders): number {
    const { grpcDeadlines, timeoutMs } = this.#settings
    return grpcDeadlines?.responseTimeout(headers) ?? timeoutMs
  }

  /**
   * Applies the header mutations of weighted cluster, route, virtual host and configuration, then rewrites host and
   * path. `insertOriginal` keeps what was rewritten in `x-envoy-original-host` and `x-envoy-original-path`.
   */
  finalizeRequestHeaders(headers: RequestHeaders, info: StreamInfo, insertOriginal: boolean): void {
    const settings = this.#settings
    const mutations = settings.requestMutations
    const { hostRewrite, pathRewrite, clusterHost } = settings
    if (mutations.length === 0 && hostRewrite === undefined && pathRewrite === undefined && clusterHost === '') return
    const view = formatView(info, headers, undefined, settings)
    this.#apply(mutations, headers, view)
    if (clusterHost !== '') headers.authority = clusterHost
    if (hostRewrite !== undefined) {
      const host = hostRewrite(headers, view)
      if (host !== '') setAuthority(headers, host, settings.appendForwardedHost, insertOriginal)
    }
    if (pathRewrite !== undefined) {
      const path = pathRewrite.rewrite(headers, view)
      if (path !== '') {
        if (insertOriginal) headers.set('x-envoy-original-path', headers.path)
        headers.path = path
      }
    }
  }

  finalizeResponseHeaders(headers: ResponseHeaders, request: RequestHeaders, info: StreamInfo): void {
    const mutations = this.#settings.responseMutations
    if (mutations.length === 0) return
    this.#apply(mutations, headers, formatView(info, request, headers, this.#settings))
  }

  #apply(mutations: readonly HeaderMutations[], headers: HeaderMap, view: ReturnType<typeof formatView>): void {
    for (let i = 0; i < mutations.length; i++) mutations[i]!.apply(headers, view)
  }

  /** `auto_host_rewrite`, once the host is known. */
  rewriteHost(headers: RequestHeaders, hostname: string, insertOriginal = true): void {
    setAuthority(headers, hostname, this.#settings.appendForwardedHost, insertOriginal)
  }

  /**
   * `Location` of a redirect, or of a direct response whose status has one; undefined for other routes. A rewrite of
   * the path is done to the request as well, and what was there before is kept in `x-envoy-original-path`, for the
   * access log.
   */
  redirectLocation(headers: RequestHeaders, info: StreamInfo, insertOriginal = true): string | undefined {
    const settings = this.#settings
    const { redirect } = settings
    if (redirect === undefined) return ownLocation(settings.directResponse.status, headers)
    return redirect.location(headers, formatView(info, headers, undefined, settings), insertOriginal)
  }

  /** Body of a direct response, one character a byte. */
  directResponseBody(headers: RequestHeaders, info: StreamInfo): string {
    const settings = this.#settings
    const { directResponse } = settings
    if (directResponse.format === undefined) return directResponse.body
    return bodyOf(directResponse, formatView(info, headers, undefined, settings, directResponse.body))
  }

  /** 64-bit hash by the route's `hash_policy`, undefined where none applies. */
  hash(headers: RequestHeaders, info: StreamInfo, cookies?: SetCookieSink): bigint | undefined {
    return this.#settings.hashPolicy?.hash(headers, info, cookies)
  }

  /**
   * The virtual cluster the request belongs to, for stats below `vhost.<virtual host>.vcluster.<name>.`: `other` where
   * none matches, '' where the virtual host has none.
   */
  virtualCluster(headers: RequestHeaders): string {
    const clusters = this.#settings.virtualClusters
    if (clusters.length === 0) return ''
    for (const { name, headers: matchers } of clusters) if (allMatch(matchers, headers)) return name
    return 'other'
  }
}

export type { MirrorPolicy, SetCookieSink }
