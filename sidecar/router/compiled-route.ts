/** `Route`, compiled: what it matches, and the entry that a request gets which takes it. */

import type { Clock } from '../base/clock.ts'
import { textToBytes } from '../base/regex.ts'
import { Priority } from '../cluster/cluster.ts'
import { hopwiseMetadata } from '../config/hopwise-metadata.ts'
import type {
  JsonObject,
  Metadata,
  Route,
  RouteAction,
  WeightedCluster_ClusterWeight,
} from '../config/schema/generated/types.ts'
import type { Runtime } from '../filter-chain/runtime.ts'
import { directResponse } from './direct-response.ts'
import { type DecodeFilterConfig, type FilterConfigLevel, FilterConfigs, filterConfigLevel } from './filter-configs.ts'
import { GrpcDeadlines } from './grpc-timeout.ts'
import { HashPolicy } from './hash-policy.ts'
import { type HeaderMutations, headerMutations } from './header-mutation.ts'
import { hostRewrite } from './host-rewrite.ts'
import { internalRedirectPolicy } from './internal-redirect.ts'
import type { MatchInput } from './match-input.ts'
import { mirrorPolicies } from './mirror-policy.ts'
import type { Mistakes } from './mistakes.ts'
import { pathRewrite } from './path-rewrite.ts'
import { Redirect } from './redirect.ts'
import { retryPolicy, withHopwiseSettings } from './retry-policy.ts'
import { RouteEntry, type RouteSettings } from './route-entry.ts'
import { type CompiledMatch, routeMatch } from './route-match.ts'
import { routeTracing } from './route-tracing.ts'
import { quote } from './string-matcher.ts'
import { WeightedClusters } from './weighted-clusters.ts'

/** Envoy's default response timeout. */
export const DEFAULT_TIMEOUT_MS = 15_000

/** What compiling needs besides the configuration. */
export interface RouteCompileContext {
  readonly runtime: Runtime
  readonly decodeFilterConfig: DecodeFilterConfig
  /** Given where routes may only name clusters that exist (`validate_clusters`). */
  readonly clusterExists?: ((name: string) => boolean) | undefined
  readonly clock: Clock
}

/** What the levels above a route give it. */
export interface RouteParent {
  /** Settings of a route that says nothing itself. */
  readonly settings: RouteSettings
  /** Of the configuration and of the virtual host. */
  readonly filterLevels: readonly (FilterConfigLevel | undefined)[]
  readonly requestMutations: ParentMutations
  readonly responseMutations: ParentMutations
  /** `most_specific_header_mutations_wins`. */
  readonly mostSpecificWins: boolean
  readonly maxDirectResponseBodyBytes: number
  readonly perRequestBufferLimit: number | undefined
  readonly requestBodyBufferLimit: number | undefined
}

export interface ParentMutations {
  readonly virtualHost: HeaderMutations | undefined
  readonly configuration: HeaderMutations | undefined
}

export class CompiledRoute {
  readonly name: string
  readonly match: CompiledMatch
  /** One, or one for each weighted cluster. */
  readonly #entries: readonly RouteEntry[]
  readonly #weighted: WeightedClusters | undefined
  /** Headers that name the cluster, by entry; '' for none. */
  readonly #clusterHeaders: readonly string[]
  /** Whether an entry may depend on the request. */
  readonly #perRequest: boolean

  constructor(
    name: string,
    match: CompiledMatch,
    entries: readonly RouteEntry[],
    weighted: WeightedClusters | undefined,
    clusterHeaders: readonly string[],
    perRequest: boolean,
  ) {
    this.name = name
    this.match = match
    this.#entries = entries
    this.#weighted = weighted
    this.#clusterHeaders = clusterHeaders
    this.#perRequest = perRequest
  }

  /** The entry for a request that matched. */
  entry(input: MatchInput): RouteEntry {
    const index = this.#weighted === undefined ? 0 : this.#weighted.choose(input)
    const entry = this.#entries[index]!
    return this.#perRequest ? entry.forRequest(input.headers, this.#clusterHeaders[index]!) : entry
  }
}

/** Compiles a route, the current message of `mistakes`. */
export function compileRoute(
  route: Route,
  parent: RouteParent,
  context: RouteCompileContext,
  mistakes: Mistakes,
): CompiledRoute {
  const matchMistakes = mistakes.below('match', route.match)
  if (route.match === undefined) mistakes.error('match', 'is required')
  const match = routeMatch(route.match ?? NO_MATCH, context.runtime, matchMistakes)
  const common = commonSettings(route, parent, mistakes)
  const level = new RouteLevel(route, parent, context, mistakes)
  const action = route.route
  if (action === undefined) {
    const settings = { ...common, ...level.settings(undefined), ...answerSettings(route, match, parent, mistakes) }
    return new CompiledRoute(route.name, match, [new RouteEntry(settings)], undefined, [''], false)
  }
  const actionMistakes = mistakes.below('route', action)
  const forward = { ...common, ...forwardSettings(action, route, match, parent, context, actionMistakes) }
  const perRequest = forward.grpcDeadlines !== undefined
  const weighted = action.weightedClusters
  if (weighted === undefined) {
    const header = action.clusterHeader?.toLowerCase() ?? ''
    if (action.cluster !== undefined) checkCluster(action.cluster, 'cluster', context, actionMistakes)
    const entry = new RouteEntry({ ...forward, ...level.settings(undefined) })
    return new CompiledRoute(route.name, match, [entry], undefined, [header], perRequest || header !== '')
  }
  const weightedMistakes = actionMistakes.below('weighted_clusters', weighted)
  const choice = new WeightedClusters(weighted, context.runtime, forward.hashPolicy, weightedMistakes)
  const entries = weighted.clusters.map((cluster, index) => {
    const clusterMistakes = weightedMistakes.below(`clusters[${index}]`, cluster)
    if (cluster.name !== '') checkCluster(cluster.name, 'name', context, clusterMistakes)
    const settings = {
      ...forward,
      ...level.settings(cluster, clusterMistakes),
      clusterName: cluster.name,
      clusterHost: textToBytes(cluster.hostRewriteLiteral ?? ''),
      metadataMatch: mergedMetadata(forward.metadataMatch, cluster.metadataMatch),
    }
    return new RouteEntry(settings)
  })
  const headers = weighted.clusters.map(({ clusterHeader }) => clusterHeader.toLowerCase())
  return new CompiledRoute(route.name, match, entries, choice, headers, perRequest || headers.some(name => name !== ''))
}

const NO_MATCH: NonNullable<Route['match']> = {
  prefix: '/',
  path: undefined,
  safeRegex: undefined,
  connectMatcher: undefined,
  pathSeparatedPrefix: undefined,
  pathMatchPolicy: undefined,
  caseSensitive: undefined,
  runtimeFraction: undefined,
  headers: [],
  queryParameters: [],
  cookies: [],
  grpc: undefined,
  tlsContext: undefined,
  dynamicMetadata: [],
  filterState: [],
}

/** Header mutations and filter settings, which a weighted cluster has as well as its route. */
class RouteLevel {
  readonly #parent: RouteParent
  readonly #context: RouteCompileContext
  readonly #request: HeaderMutations | undefined
  readonly #response: HeaderMutations | undefined
  readonly #filters: FilterConfigLevel | undefined

  constructor(route: Route, parent: RouteParent, context: RouteCompileContext, mistakes: Mistakes) {
    this.#parent = parent
    this.#context = context
    this.#request = headerMutations(
      route.requestHeadersToAdd,
      route.requestHeadersToRemove,
      'request_headers',
      mistakes,
    )
    this.#response = headerMutations(
      route.responseHeadersToAdd,
      route.responseHeadersToRemove,
      'response_headers',
      mistakes,
    )
    this.#filters = filterConfigLevel(route.typedPerFilterConfig, context.decodeFilterConfig, mistakes)
  }

  settings(
    cluster: WeightedCluster_ClusterWeight | undefined,
    mistakes?: Mistakes,
  ): Pick<RouteSettings, 'requestMutations' | 'responseMutations' | 'filterConfigs'> {
    let request: HeaderMutations | undefined
    let response: HeaderMutations | undefined
    let filters: FilterConfigLevel | undefined
    if (cluster !== undefined && mistakes !== undefined) {
      request = headerMutations(
        cluster.requestHeadersToAdd,
        cluster.requestHeadersToRemove,
        'request_headers',
        mistakes,
      )
      response = headerMutations(
        cluster.responseHeadersToAdd,
        cluster.responseHeadersToRemove,
        'response_headers',
        mistakes,
      )
      filters = filterConfigLevel(cluster.typedPerFilterConfig, this.#context.decodeFilterConfig, mistakes)
    }
    const { requestMutations, responseMutations, filterLevels } = this.#parent
    return {
      requestMutations: this.#ordered(request, this.#request, requestMutations),
      responseMutations: this.#ordered(response, this.#response, responseMutations),
      filterConfigs: new FilterConfigs([...filterLevels, this.#filters, filters]),
    }
  }

  /** The later one wins: by default the configuration's, else the route's. A weighted cluster's always come first. */
  #ordered(
    cluster: HeaderMutations | undefined,
    route: HeaderMutations | undefined,
    { virtualHost, configuration }: ParentMutations,
  ): HeaderMutations[] {
    const levels = this.#parent.mostSpecificWins
      ? [cluster, configuration, virtualHost, route]
      : [cluster, route, virtualHost, configuration]
    return levels.filter(level => level !== undefined)
  }
}

/** What every kind of route has. */
function commonSettings(route: Route, parent: RouteParent, mistakes: Mistakes): RouteSettings {
  const { decorator, tracing } = route
  if (decorator !== undefined && decorator.operation === '') {
    mistakes.error('decorator.operation', 'must not be empty')
  }
  return {
    ...parent.settings,
    routeName: route.name,
    metadata: route.metadata,
    operation: decorator?.operation ?? '',
    propagateOperation: decorator?.propagate ?? true,
    tracing: tracing && mistakes.attempt('tracing', () => routeTracing(tracing)),
    statPrefix: route.statPrefix,
    requestBufferLimit:
      route.requestBodyBufferLimit ??
      parent.requestBodyBufferLimit ??
      route.perRequestBufferLimitBytes ??
      parent.perRequestBufferLimit,
  }
}

/** Routes that answer by themselves, and those that lead nowhere. */
function answerSettings(
  route: Route,
  match: CompiledMatch,
  parent: RouteParent,
  mistakes: Mistakes,
): Partial<RouteSettings> {
  if (route.redirect !== undefined) {
    const redirect = new Redirect(route.redirect, match.path, mistakes.below('redirect', route.redirect))
    const answer = { status: redirect.status, body: '', contentType: '', format: undefined }
    return { kind: 'redirect', redirect, directResponse: answer }
  }
  if (route.directResponse !== undefined) {
    const place = mistakes.below('direct_response', route.directResponse)
    const answer = directResponse(route.directResponse, parent.maxDirectResponseBodyBytes, place)
    return { kind: 'direct_response', directResponse: answer }
  }
  // Envoy treats it as a route to a cluster that does not exist (measured): 503, NC.
  if (route.nonForwardingAction !== undefined) return { kind: 'cluster' }
  if (route.filterAction !== undefined) mistakes.error('filter_action', 'is not supported')
  else mistakes.error('', 'needs one of route, redirect, direct_response, non_forwarding_action')
  return {}
}

/** Routes to clusters. */
function forwardSettings(
  action: RouteAction,
  route: Route,
  match: CompiledMatch,
  parent: RouteParent,
  context: RouteCompileContext,
  mistakes: Mistakes,
): Partial<RouteSettings> & Pick<RouteSettings, 'metadataMatch' | 'hashPolicy' | 'grpcDeadlines'> {
  const specifiers = [action.cluster, action.clusterHeader, action.weightedClusters]
  if (action.clusterSpecifierPlugin !== undefined || action.inlineClusterSpecifierPlugin !== undefined) {
    mistakes.error('cluster_specifier_plugin', 'is not supported')
  } else if (specifiers.every(specifier => specifier === undefined || specifier === '')) {
    mistakes.error('', 'needs one of cluster, cluster_header, weighted_clusters')
  }
  const mirrors = mirrorPolicies(action.requestMirrorPolicies, context.clusterExists, mistakes)
  const retry = action.retryPolicy
  const hopwise = hopwiseMetadata(route.metadata)
  return {
    kind: 'cluster',
    clusterName: action.cluster ?? '',
    clusterNotFoundResponseCode: NOT_FOUND_STATUS[action.clusterNotFoundResponseCode],
    priority: action.priority === 'HIGH' ? Priority.High : Priority.Default,
    // With `max_stream_duration` the connection manager sees to the time, and the router has no timeout (Envoy).
    timeoutMs: action.maxStreamDuration === undefined ? (action.timeout ?? DEFAULT_TIMEOUT_MS) : 0,
    idleTimeoutMs: action.idleTimeout,
    flushTimeoutMs: action.flushTimeout,
    maxStreamDurationMs: action.maxStreamDuration?.maxStreamDuration,
    grpcDeadlines: GrpcDeadlines.of(action),
    retryPolicy: withHopwiseSettings(
      retry === undefined
        ? parent.settings.retryPolicy
        : retryPolicy(retry, mistakes.below('retry_policy', retry), context.clock),
      hopwise,
    ),
    retryReusedConnection: hopwise.retryReusedConnection,
    hedgePolicy: action.hedgePolicy ?? parent.settings.hedgePolicy,
    mirrorPolicies: mirrors.length > 0 ? mirrors : parent.settings.mirrorPolicies,
    metadataMatch: action.metadataMatch?.filterMetadata.get('envoy.lb'),
    hashPolicy: HashPolicy.compile(action.hashPolicy, mistakes),
    rateLimits: action.rateLimits,
    includeVirtualHostRateLimits: action.includeVhRateLimits ?? false,
    upgrades: upgrades(action, mistakes),
    internalRedirectPolicy: internalRedirectPolicy(action, route.name, mistakes),
    autoHostRewrite: action.autoHostRewrite ?? false,
    appendForwardedHost: action.appendXForwardedHost,
    hostRewrite: hostRewrite(action, mistakes),
    pathRewrite: pathRewrite(action, match.path, mistakes),
    cors: action.cors,
  }
}

const NOT_FOUND_STATUS = { SERVICE_UNAVAILABLE: 503, NOT_FOUND: 404, INTERNAL_SERVER_ERROR: 500 } as const

function upgrades(action: RouteAction, mistakes: Mistakes): ReadonlyMap<string, boolean> {
  const enabled = new Map<string, boolean>()
  action.upgradeConfigs.forEach((upgrade, index) => {
    const type = upgrade.upgradeType.toLowerCase()
    const field = `upgrade_configs[${index}]`
    if (enabled.has(type)) mistakes.error(`${field}.upgrade_type`, `Duplicate upgrade ${upgrade.upgradeType}`)
    enabled.set(type, upgrade.enabled ?? true)
  })
  return enabled
}

function checkCluster(
  name: string,
  property: string,
  { clusterExists }: RouteCompileContext,
  mistakes: Mistakes,
): void {
  if (name === '' || clusterExists === undefined || clusterExists(name)) return
  mistakes.error(property, `there is no cluster ${quote(name)}`)
}

function mergedMetadata(route: JsonObject | undefined, cluster: Metadata | undefined): JsonObject | undefined {
  const more = cluster?.filterMetadata.get('envoy.lb')
  return more === undefined ? route : { ...route, ...more }
}
