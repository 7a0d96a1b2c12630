/**
 * `envoy.filters.http.cors` (Fetch standard, "CORS protocol"): answers preflight requests, and tells browsers on the other
 * responses whether their script may read them.
 *
 * The policy stands on routes and virtual hosts; what the more specific one does not say, the less specific one says,
 * except `filter_enabled` and `shadow_enabled`, which count only where they are most specific. Where no
 * `typed_per_filter_config` has a policy, the old `cors` fields of route and virtual host do. A preflight from an origin
 * that is not allowed goes on to the application unless `forward_not_matching_preflights` is false.
 */
import type { RequestHeaders, ResponseHeaders } from '../../codec/header-map.ts'
import type { CorsPolicy as CorsPolicyMessage, RouteCorsPolicy } from '../../config/schema/generated/types.ts'
import {
  type FilterContext,
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpStream,
} from '../../filter-chain/http-filter.ts'
import type { RuntimeFraction } from '../../filter-chain/runtime.ts'
import { binaryText } from '../../observability/formatter/context.ts'
import type { Counter } from '../../observability/stats.ts'
import { Mistakes } from '../../router/mistakes.ts'
import type { RouteEntry } from '../../router/route-entry.ts'
import { type StringMatch, stringMatch } from '../../router/string-matcher.ts'
import { fractionOr } from './runtime-fraction.ts'

/** '' and undefined mean that this level does not say. */
interface CorsPolicy {
  readonly origins: readonly StringMatch[]
  readonly allowMethods: string
  readonly allowHeaders: string
  readonly exposeHeaders: string
  readonly maxAge: string
  readonly allowCredentials: boolean | undefined
  readonly allowPrivateNetworkAccess: boolean | undefined
  readonly forwardNotMatchingPreflights: boolean | undefined
  readonly enabled: RuntimeFraction
  readonly shadowEnabled: RuntimeFraction
}

export const cors: HttpFilterFactory<object, CorsPolicy> = {
  name: 'envoy.filters.http.cors',
  typeUrl: 'envoy.extensions.filters.http.cors.v3.Cors',
  routeTypeUrl: 'envoy.extensions.filters.http.cors.v3.CorsPolicy',
  decodeConfig: (message: object) => message,
  decodeRouteConfig: decodePolicy,
  create(_config, context) {
    const state = new CorsState(context)
    return () => new Cors(state)
  },
}

function decodePolicy(message: CorsPolicyMessage | RouteCorsPolicy): CorsPolicy {
  const mistakes = new Mistakes(message)
  const policy: CorsPolicy = {
    origins: message.allowOriginStringMatch.map((matcher, i) =>
      stringMatch(matcher, `allow_origin_string_match[${i}]`, mistakes),
    ),
    allowMethods: binaryText(message.allowMethods),
    allowHeaders: binaryText(message.allowHeaders),
    exposeHeaders: binaryText(message.exposeHeaders),
    maxAge: binaryText(message.maxAge),
    allowCredentials: message.allowCredentials,
    allowPrivateNetworkAccess: message.allowPrivateNetworkAccess,
    forwardNotMatchingPreflights: message.forwardNotMatchingPreflights,
    enabled: fractionOr(message.filterEnabled, 100),
    shadowEnabled: fractionOr(message.shadowEnabled, 0),
  }
  mistakes.throwAll()
  return policy
}

class CorsState {
  readonly context: FilterContext
  readonly originValid: Counter
  readonly originInvalid: Counter
  /** Policies made of the old fields, each compiled once. */
  readonly #oldPolicies = new WeakMap<RouteCorsPolicy, CorsPolicy>()

  constructor(context: FilterContext) {
    this.context = context
    const stats = context.stats.scope('cors')
    this.originValid = stats.counter('origin_valid')
    this.originInvalid = stats.counter('origin_invalid')
  }

  /** Most specific first. */
  policiesOf(stream: HttpStream, route: RouteEntry): readonly CorsPolicy[] {
    const policies = stream.routeConfigs<CorsPolicy>(this.context.filterName)
    if (policies.length > 0) return policies.length === 1 ? policies : policies.toReversed()
    const old = [route.cors, route.virtualHostCors].filter(policy => policy !== undefined)
    return old.map(policy => this.#compiled(policy))
  }

  #compiled(message: RouteCorsPolicy): CorsPolicy {
    const known = this.#oldPolicies.get(message)
    if (known !== undefined) return known
    const policy = decodePolicy(message)
    this.#oldPolicies.set(message, policy)
    return policy
  }
}

class Cors implements HttpFilter {
  readonly #state: CorsState
  #policies: readonly CorsPolicy[] = []
  /** The origin to name in the response; '' where the request is none of ours. */
  #allowedOrigin = ''

  constructor(state: CorsState) {
    this.#state = state
  }

  onRequestHeaders(stream: HttpStream, headers: RequestHeaders): FilterStatus {
    const origin = headers.getJoined('origin')
    if (origin === undefined || origin === '') return FilterStatus.Continue
    const route = stream.route as RouteEntry | undefined
    if (route?.kind !== 'cluster') return FilterStatus.Continue
    const policies = this.#state.policiesOf(stream, route)
    const [first] = policies
    if (first === undefined) return FilterStatus.Continue
    const { runtime, random } = this.#state.context
    const enabled = runtime.enabled(first.enabled, random)
    if (!enabled && !runtime.enabled(first.shadowEnabled, random)) return FilterStatus.Continue
    this.#policies = policies

    const origins = policies.find(policy => policy.origins.length > 0)?.origins ?? []
    // A matcher that takes `*` allows everybody, so that `exact: "*"` means what it looks like.
    const allowed = origins.some(matcher => matcher.matches('*') || matcher.matches(origin))
    if (allowed) this.#state.originValid.inc()
    else this.#state.originInvalid.inc()
    if (!enabled) return FilterStatus.Continue
    if (allowed) this.#allowedOrigin = origin

    const requestedMethod = headers.get('access-control-request-method') ?? ''
    if (headers.method !== 'OPTIONS' || requestedMethod === '') return FilterStatus.Continue
    if (!allowed && (this.#said('forwardNotMatchingPreflights') ?? true)) return FilterStatus.Continue
    return stream.sendLocalReply({
      status: 200,
      details: 'cors_response',
      headers: this.#preflightHeaders(headers, requestedMethod),
    })
  }

  onResponseHeaders(_stream: HttpStream, headers: ResponseHeaders): FilterStatus {
    if (this.#allowedOrigin === '') return FilterStatus.Continue
    headers.set('access-control-allow-origin', this.#allowedOrigin)
    if (this.#said('allowCredentials') === true) headers.set('access-control-allow-credentials', 'true')
    const exposed = this.#text('exposeHeaders')
    if (exposed !== '') headers.set('access-control-expose-headers', exposed)
    return FilterStatus.Continue
  }

  #preflightHeaders(request: RequestHeaders, requestedMethod: string): [string, string][] {
    const reply: [string, string][] = []
    if (this.#allowedOrigin !== '') reply.push(['access-control-allow-origin', this.#allowedOrigin])
    if (this.#said('allowCredentials') === true) reply.push(['access-control-allow-credentials', 'true'])
    const methods = this.#text('allowMethods')
    if (methods !== '') reply.push(['access-control-allow-methods', methods === '*' ? requestedMethod : methods])
    const allowHeaders = this.#text('allowHeaders')
    if (allowHeaders !== '') {
      const asked = request.getJoined('access-control-request-headers') ?? ''
      reply.push(['access-control-allow-headers', allowHeaders === '*' ? asked : allowHeaders])
    }
    const maxAge = this.#text('maxAge')
    if (maxAge !== '') reply.push(['access-control-max-age', maxAge])
    const asksForPrivate = request.get('access-control-request-private-network') === 'true'
    if (asksForPrivate && this.#said('allowPrivateNetworkAccess') === true) {
      reply.push(['access-control-allow-private-network', 'true'])
    }
    return reply
  }

  #text(field: 'allowMethods' | 'allowHeaders' | 'exposeHeaders' | 'maxAge'): string {
    for (const policy of this.#policies) if (policy[field] !== '') return policy[field]
    return ''
  }

  #said(field: 'allowCredentials' | 'allowPrivateNetworkAccess' | 'forwardNotMatchingPreflights'): boolean | undefined {
    for (const policy of this.#policies) if (policy[field] !== undefined) return policy[field]
    return undefined
  }
}
