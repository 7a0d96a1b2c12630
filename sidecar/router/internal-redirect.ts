/**
 * `internal_redirect_policy`: redirects that the proxy follows itself. The router filter asks whether a response is one
 * and whether it may be followed; the request is rewritten here and sent through the filter chain anew.
 */
import type { Cluster } from '../cluster/cluster.ts'
import type { RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type {
  AllowListedRoutesConfig,
  InternalRedirectPolicy as InternalRedirectPolicyMessage,
  RouteAction,
} from '../config/schema/generated/types.ts'
import type { HttpStream } from '../filter-chain/http-filter.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { Mistakes } from './mistakes.ts'
import type { RouterStats } from './router-settings.ts'
import { quote } from './string-matcher.ts'

const FOLLOWED = new Set([301, 302, 303, 307, 308])
const DEFAULT_STATUSES: ReadonlySet<number> = new Set([302])

/** Why a redirect goes to the caller: the names of Envoy's counters. */
export type RedirectRefusal = (typeof REDIRECT_REFUSALS)[number]
export const REDIRECT_REFUSALS = [
  'bad_location',
  'unsafe_scheme',
  'too_many_redirects',
  'no_route',
  'predicate',
] as const

/** Decides by the route that redirected and the one it leads to. */
type Predicate = (from: string, to: string, visited: readonly string[]) => boolean

/** What a stream remembers of the redirects it has followed. */
interface History {
  count: number
  readonly routes: string[]
}

/** Kept beside the request's headers, which go on from one run through the filter chain to the next. */
const histories = new WeakMap<RequestHeaders, History>()

export class InternalRedirectPolicy {
  readonly #statuses: ReadonlySet<number>
  readonly #max: number
  readonly #allowCrossScheme: boolean
  readonly #onlySafeSchemes: boolean
  readonly #copied: readonly string[]
  readonly #predicates: readonly Predicate[]
  readonly #routeName: string

  /** `message` is the current message of `mistakes`. */
  constructor(message: InternalRedirectPolicyMessage, routeName: string, mistakes: Mistakes) {
    this.#statuses =
      message.redirectResponseCodes.length === 0
        ? DEFAULT_STATUSES
        : new Set(message.redirectResponseCodes.filter(status => FOLLOWED.has(status)))
    this.#max = message.maxInternalRedirects ?? 1
    this.#allowCrossScheme = message.allowCrossSchemeRedirect
    this.#copied = message.responseHeadersToCopy.map(name => name.toLowerCase())
    this.#routeName = routeName
    let onlySafeSchemes = false
    const predicates: Predicate[] = []
    message.predicates.forEach((predicate, index) => {
      switch (predicate.typedConfig?.typeUrl) {
        case 'envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig': {
          const { allowedRouteNames } = predicate.typedConfig.value as AllowListedRoutesConfig
          const allowed = new Set(allowedRouteNames)
          predicates.push((_from, to) => allowed.has(to))
          break
        }
        case 'envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig':
          predicates.push((_from, to, visited) => !visited.includes(to))
          break
        case 'envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig':
          onlySafeSchemes = true
          break
        default:
          mistakes.error(`predicates[${index}]`, `${quote(predicate.name)} is not a supported predicate`)
      }
    })
    this.#onlySafeSchemes = onlySafeSchemes
    this.#predicates = predicates
  }

  /** Whether a response of this status is followed rather than handed downstream. */
  handles(status: number): boolean {
    return this.#statuses.has(status)
  }

  /**
   * Rewrites the request to where the response points and answers ''; else why that may not be followed, and then the
   * request is as it was. `matchRoute` finds the route of the rewritten request, for the predicates; without it
   * they see no route name.
   */
  apply(
    request: RequestHeaders,
    response: ResponseHeaders,
    _info: StreamInfo,
    matchRoute?: (headers: RequestHeaders) => { readonly routeName: string } | undefined,
  ): '' | RedirectRefusal {
    const target = absoluteUrl(response.get('location'))
    if (target === undefined) return 'bad_location'
    if (!this.#schemeAllowed(request.scheme, target.scheme)) return 'unsafe_scheme'
    const history = histories.get(request) ?? { count: 0, routes: [] }
    if (history.count >= this.#max) return 'too_many_redirects'
    const before = { ...request, list: request.list.slice() }
    if (response.status === 303 && request.method !== 'GET' && request.method !== 'HEAD') {
      request.method = 'GET'
      request.delete('content-length')
      request.delete('transfer-encoding')
    }
    request.set('x-envoy-original-url', `${request.scheme}://${request.authority}${request.path}`)
    for (const name of this.#copied) {
      const value = response.get(name)
      if (value === undefined) request.delete(name)
      else request.set(name, value)
    }
    request.scheme = target.scheme
    request.authority = target.authority
    request.path = target.path
    if (this.#predicates.length > 0 || matchRoute !== undefined) {
      const route = matchRoute?.(request)
      const accepted = this.#predicates.every(predicate =>
        predicate(this.#routeName, route?.routeName ?? '', history.routes),
      )
      const routed = matchRoute === undefined || route !== undefined
      if (!routed || !accepted) {
        restore(request, before)
        return routed ? 'predicate' : 'no_route'
      }
    }
    history.count++
    history.routes.push(this.#routeName)
    histories.set(request, history)
    return ''
  }

  #schemeAllowed(from: string, to: string): boolean {
    if (to !== 'http' && to !== 'https') return false
    if (from === to) return true
    // Safe by Envoy's words: who came in clear text is not to speak for others over TLS.
    return this.#allowCrossScheme && (!this.#onlySafeSchemes || from === 'https')
  }
}

/**
 * Whether the redirect in `response` is followed; then `request` leads to where it points. `repeatable`: the request can be
 * sent again. Charges why it cannot be followed.
 */
export function followsRedirect(
  policy: InternalRedirectPolicy,
  request: RequestHeaders,
  response: ResponseHeaders,
  stream: HttpStream,
  repeatable: boolean,
  cluster: Cluster,
  stats: RouterStats,
): boolean {
  let followed = false
  if (repeatable) {
    const refusal = policy.apply(request, response, stream.info, target => stream.matchRoute(target))
    if (refusal === '') followed = true
    else stats.redirectRefused[refusal].inc()
  }
  cluster.stats.counter(`upstream_internal_redirect_${followed ? 'succeeded' : 'failed'}_total`).inc()
  return followed
}

interface Before {
  readonly method: string
  readonly scheme: string
  readonly authority: string
  readonly path: string
  readonly list: readonly string[]
}

function restore(request: RequestHeaders, before: Before): void {
  request.method = before.method
  request.scheme = before.scheme
  request.authority = before.authority
  request.path = before.path
  request.list.length = 0
  request.list.push(...before.list)
}

/** Envoy follows absolute locations only. */
function absoluteUrl(location: string | undefined): { scheme: string; authority: string; path: string } | undefined {
  const parts = /^(https?):\/\/([^/?#]+)([^#]*)/i.exec(location ?? '')
  if (parts === null) return undefined
  const path = parts[3] === '' ? '/' : parts[3]!
  // `http://host?query` names no path that a route could match.
  if (!path.startsWith('/')) return undefined
  return { scheme: parts[1]!.toLowerCase(), authority: parts[2]!, path }
}

/** Compiles the policy of a `RouteAction`, the current message of `mistakes`, in its new form or its old one. */
export function internalRedirectPolicy(
  action: RouteAction,
  routeName: string,
  mistakes: Mistakes,
): InternalRedirectPolicy | undefined {
  const message = action.internalRedirectPolicy
  if (message !== undefined) {
    return new InternalRedirectPolicy(message, routeName, mistakes.below('internal_redirect_policy', message))
  }
  if (action.internalRedirectAction !== 'HANDLE_INTERNAL_REDIRECT') return undefined
  const legacy: InternalRedirectPolicyMessage = {
    maxInternalRedirects: action.maxInternalRedirects,
    redirectResponseCodes: [],
    predicates: [],
    allowCrossSchemeRedirect: false,
    responseHeadersToCopy: [],
  }
  return new InternalRedirectPolicy(legacy, routeName, mistakes)
}
