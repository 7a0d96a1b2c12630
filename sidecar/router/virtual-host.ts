/** `VirtualHost`, compiled: its routes in order, or the tree that leads to one. */
import { Priority } from '../cluster/cluster.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { RouteConfiguration, VirtualHost as VirtualHostMessage } from '../config/schema/generated/types.ts'
import { type CompiledRoute, compileRoute, type RouteCompileContext, type RouteParent } from './compiled-route.ts'
import { DEFAULT_MAX_BODY_BYTES } from './direct-response.ts'
import { type FilterConfigLevel, FilterConfigs, filterConfigLevel } from './filter-configs.ts'
import { headerMatchers } from './header-matcher.ts'
import { type HeaderMutations, headerMutations } from './header-mutation.ts'
import type { MatchInput } from './match-input.ts'
import { compileMatcherTree, type RouteTree } from './matcher-tree.ts'
import { type MirrorPolicy, mirrorPolicies } from './mirror-policy.ts'
import type { Mistakes } from './mistakes.ts'
import { SslRedirect } from './redirect.ts'
import { retryPolicy } from './retry-policy.ts'
import { RouteEntry, type RouteSettings } from './route-entry.ts'
import { RouteIndex } from './route-index.ts'

/** From how many routes on an index is made over them; see route-index.ts for the measurement. */
export const INDEX_FROM = 4

/** What the route configuration gives all of its virtual hosts. */
export interface ConfigurationLevel {
  readonly request: HeaderMutations | undefined
  readonly response: HeaderMutations | undefined
  readonly filters: FilterConfigLevel | undefined
  readonly mirrors: readonly MirrorPolicy[]
  readonly mostSpecificWins: boolean
  readonly maxDirectResponseBodyBytes: number
}

/** Compiles the configuration's own level; `configuration` is the current message of `mistakes`. */
export function configurationLevel(
  configuration: RouteConfiguration,
  context: RouteCompileContext,
  mistakes: Mistakes,
): ConfigurationLevel {
  return {
    request: headerMutations(
      configuration.requestHeadersToAdd,
      configuration.requestHeadersToRemove,
      'request_headers',
      mistakes,
    ),
    response: headerMutations(
      configuration.responseHeadersToAdd,
      configuration.responseHeadersToRemove,
      'response_headers',
      mistakes,
    ),
    filters: filterConfigLevel(configuration.typedPerFilterConfig, context.decodeFilterConfig, mistakes),
    mirrors: mirrorPolicies(configuration.requestMirrorPolicies, context.clusterExists, mistakes),
    mostSpecificWins: configuration.mostSpecificHeaderMutationsWins,
    maxDirectResponseBodyBytes: configuration.maxDirectResponseBodySizeBytes ?? DEFAULT_MAX_BODY_BYTES,
  }
}

export class VirtualHost {
  readonly name: string
  /** Position in the configuration. */
  readonly position: number
  /** In order of configuration; empty where a tree leads to the routes. */
  readonly routes: readonly CompiledRoute[]
  readonly tree: RouteTree | undefined
  readonly #index: RouteIndex | undefined
  readonly #requireTls: VirtualHostMessage['requireTls']
  readonly #sslRedirect: RouteEntry | undefined

  constructor(
    message: VirtualHostMessage,
    position: number,
    routes: readonly CompiledRoute[],
    tree: RouteTree | undefined,
    sslRedirect: RouteEntry | undefined,
  ) {
    this.name = message.name
    this.position = position
    this.routes = routes
    this.tree = tree
    this.#index = routes.length >= INDEX_FROM ? new RouteIndex(routes) : undefined
    this.#requireTls = message.requireTls
    this.#sslRedirect = sslRedirect
  }

  /** The entry for a request to this host, or undefined when no route matches. */
  match(input: MatchInput): RouteEntry | undefined {
    if (this.#sslRedirect !== undefined && this.needsTls(input.headers)) return this.#sslRedirect
    return this.find(input)?.entry(input)
  }

  find(input: MatchInput): CompiledRoute | undefined {
    if (this.#index !== undefined) return this.#index.find(input)
    if (this.tree !== undefined) return this.tree.find(input)
    const routes = this.routes
    for (let i = 0; i < routes.length; i++) if (routes[i]!.match.matches(input)) return routes[i]
    return undefined
  }

  /** `require_tls` is not met: the request is redirected to https. */
  needsTls(headers: RequestHeaders): boolean {
    if (this.#requireTls === 'NONE' || (headers.get('x-forwarded-proto') ?? headers.scheme) === 'https') return false
    return this.#requireTls === 'ALL' || headers.get('x-envoy-internal') !== 'true'
  }
}

/** Compiles a virtual host, the current message of `mistakes`. */
export function compileVirtualHost(
  message: VirtualHostMessage,
  position: number,
  level: ConfigurationLevel,
  context: RouteCompileContext,
  mistakes: Mistakes,
): VirtualHost {
  const parent = routeParent(message, level, context, mistakes)
  if (message.matcher !== undefined && message.routes.length > 0) {
    mistakes.error('matcher', 'cannot set both matcher and routes on virtual host')
  }
  const routes = message.routes.map((route, index) =>
    compileRoute(route, parent, context, mistakes.below(`routes[${index}]`, route)),
  )
  const tree =
    message.matcher && compileMatcherTree(message.matcher, parent, context, mistakes.below('matcher', message.matcher))
  const sslRedirect = message.requireTls === 'NONE' ? undefined : new RouteEntry(sslRedirectSettings(parent.settings))
  return new VirtualHost(message, position, routes, tree, sslRedirect)
}

function routeParent(
  message: VirtualHostMessage,
  level: ConfigurationLevel,
  context: RouteCompileContext,
  mistakes: Mistakes,
): RouteParent {
  const mirrors = mirrorPolicies(message.requestMirrorPolicies, context.clusterExists, mistakes)
  const filters = filterConfigLevel(message.typedPerFilterConfig, context.decodeFilterConfig, mistakes)
  const virtualClusters = message.virtualClusters.map((cluster, index) => {
    const place = mistakes.below(`virtual_clusters[${index}]`, cluster)
    if (cluster.headers.length === 0) place.error('headers', "virtual clusters must define 'headers'")
    return { name: cluster.name, headers: headerMatchers(cluster.headers, place) }
  })
  const retry = message.retryPolicy
  const settings: RouteSettings = {
    kind: 'cluster',
    retryReusedConnection: undefined,
    routeName: '',
    virtualHostName: message.name,
    clusterName: '',
    clusterNotFoundResponseCode: 503,
    priority: Priority.Default,
    timeoutMs: 0,
    idleTimeoutMs: undefined,
    flushTimeoutMs: undefined,
    maxStreamDurationMs: undefined,
    grpcDeadlines: undefined,
    retryPolicy: retry && retryPolicy(retry, mistakes.below('retry_policy', retry), context.clock),
    hedgePolicy: message.hedgePolicy,
    mirrorPolicies: mirrors.length > 0 ? mirrors : level.mirrors,
    metadataMatch: undefined,
    hashPolicy: undefined,
    rateLimits: [],
    virtualHostRateLimits: message.rateLimits,
    includeVirtualHostRateLimits: false,
    upgrades: new Map(),
    internalRedirectPolicy: undefined,
    includeAttemptCountInRequest: message.includeRequestAttemptCount,
    includeAttemptCountInResponse: message.includeAttemptCountInResponse,
    includeIsTimeoutRetryHeader: message.includeIsTimeoutRetryHeader,
    autoHostRewrite: false,
    appendForwardedHost: false,
    clusterHost: '',
    hostRewrite: undefined,
    pathRewrite: undefined,
    requestMutations: [],
    responseMutations: [],
    requestBufferLimit: undefined,
    redirect: undefined,
    directResponse: { status: 0, body: '', contentType: '', format: undefined },
    filterConfigs: new FilterConfigs([level.filters, filters]),
    operation: '',
    propagateOperation: true,
    tracing: undefined,
    metadata: undefined,
    virtualHostMetadata: message.metadata,
    cors: undefined,
    virtualHostCors: message.cors,
    virtualClusters,
    statPrefix: '',
  }
  return {
    settings,
    filterLevels: [level.filters, filters],
    requestMutations: {
      virtualHost: headerMutations(
        message.requestHeadersToAdd,
        message.requestHeadersToRemove,
        'request_headers',
        mistakes,
      ),
      configuration: level.request,
    },
    responseMutations: {
      virtualHost: headerMutations(
        message.responseHeadersToAdd,
        message.responseHeadersToRemove,
        'response_headers',
        mistakes,
      ),
      configuration: level.response,
    },
    mostSpecificWins: level.mostSpecificWins,
    maxDirectResponseBodyBytes: level.maxDirectResponseBodyBytes,
    perRequestBufferLimit: message.perRequestBufferLimitBytes,
    requestBodyBufferLimit: message.requestBodyBufferLimit,
  }
}

function sslRedirectSettings(settings: RouteSettings): RouteSettings {
  const redirect = new SslRedirect()
  const answer = { status: redirect.status, body: '', contentType: '', format: undefined }
  return { ...settings, kind: 'redirect', redirect, directResponse: answer }
}
