/** `RouteMatch`, compiled: a path and whatever else a request must be to take the route. */
import { isGrpcRequest } from '../codec/grpc/headers.ts'
import type { HeaderMap } from '../codec/header-map.ts'
import type { RouteMatch, RouteMatch_TlsContextMatchOptions } from '../config/schema/generated/types.ts'
import type { Runtime, RuntimeFraction } from '../filter-chain/runtime.ts'
import { headerMatchers } from './header-matcher.ts'
import type { MatchInput } from './match-input.ts'
import { MetadataMatcher } from './metadata-matcher.ts'
import type { Mistakes } from './mistakes.ts'
import { type PathMatch, pathMatch } from './path-match.ts'
import { CookieMatch, QueryMatcher } from './query-matcher.ts'
import { fractionText, runtimeFraction } from './runtime-fraction.ts'
import { quote } from './string-matcher.ts'

/** Something besides the path that must hold. */
interface Condition {
  matches(input: MatchInput): boolean
  explain(input: MatchInput): string
}

const NO_CONDITIONS: readonly Condition[] = []

export class CompiledMatch {
  readonly path: PathMatch
  readonly #conditions: readonly Condition[]

  constructor(path: PathMatch, conditions: readonly Condition[]) {
    this.path = path
    this.#conditions = conditions
  }

  /** Whether the path alone decides. */
  get unconditional(): boolean {
    return this.#conditions === NO_CONDITIONS
  }

  matches(input: MatchInput): boolean {
    if (input.headers.path === '' && !this.path.pathless) return false
    return this.path.matches(input) && this.conditionsHold(input)
  }

  conditionsHold(input: MatchInput): boolean {
    const conditions = this.#conditions
    for (let i = 0; i < conditions.length; i++) if (!conditions[i]!.matches(input)) return false
    return true
  }

  /** Why the request does not match, in words; undefined when it does. */
  explain(input: MatchInput): string | undefined {
    if (input.headers.path === '' && !this.path.pathless) return 'the request has no path'
    if (!this.path.matches(input)) return `path is ${quote(input.path)}; it ${this.path.wanted}`
    return this.#conditions.find(condition => !condition.matches(input))?.explain(input)
  }
}

/** Compiles the match that is the current message of `mistakes`. */
export function routeMatch(match: RouteMatch, runtime: Runtime, mistakes: Mistakes): CompiledMatch {
  const conditions: Condition[] = []
  // In Envoy's order, cheapest first.
  if (match.runtimeFraction !== undefined) {
    conditions.push(new FractionCondition(runtimeFraction(match.runtimeFraction), runtime))
  }
  if (match.grpc !== undefined) conditions.push(new GrpcCondition())
  for (const matcher of headerMatchers(match.headers, mistakes)) {
    conditions.push(new OnHeaders(matcher))
  }
  match.queryParameters.forEach((message, index) => {
    conditions.push(new OnTarget(new QueryMatcher(message, mistakes.below(`query_parameters[${index}]`, message))))
  })
  match.cookies.forEach((message, index) => {
    conditions.push(new OnHeaders(new CookieMatch(message, mistakes.below(`cookies[${index}]`, message))))
  })
  if (match.tlsContext !== undefined) conditions.push(new TlsCondition(match.tlsContext))
  match.dynamicMetadata.forEach((message, index) => {
    conditions.push(new OnMetadata(new MetadataMatcher(message, mistakes.below(`dynamic_metadata[${index}]`, message))))
  })
  match.filterState.forEach((message, index) => {
    conditions.push(new MissingFilterState(message.key))
    mistakes
      .below(`filter_state[${index}]`, message)
      .warning('key', 'no filter sets filter state yet: the route never matches')
  })
  return new CompiledMatch(pathMatch(match, mistakes), conditions.length === 0 ? NO_CONDITIONS : conditions)
}

class OnHeaders implements Condition {
  readonly #matcher: { matches(headers: HeaderMap): boolean; explain(headers: HeaderMap): string }
  constructor(matcher: { matches(headers: HeaderMap): boolean; explain(headers: HeaderMap): string }) {
    this.#matcher = matcher
  }
  matches(input: MatchInput): boolean {
    return this.#matcher.matches(input.headers)
  }
  explain(input: MatchInput): string {
    return this.#matcher.explain(input.headers)
  }
}

class OnTarget implements Condition {
  readonly #matcher: QueryMatcher
  constructor(matcher: QueryMatcher) {
    this.#matcher = matcher
  }
  matches(input: MatchInput): boolean {
    return this.#matcher.matches(input.headers.path)
  }
  explain(input: MatchInput): string {
    return this.#matcher.explain(input.headers.path)
  }
}

class OnMetadata implements Condition {
  readonly #matcher: MetadataMatcher
  constructor(matcher: MetadataMatcher) {
    this.#matcher = matcher
  }
  matches(input: MatchInput): boolean {
    return this.#matcher.matches(input.info)
  }
  explain(): string {
    return this.#matcher.explain()
  }
}

class FractionCondition implements Condition {
  readonly #fraction: RuntimeFraction
  readonly #runtime: Runtime
  constructor(fraction: RuntimeFraction, runtime: Runtime) {
    this.#fraction = fraction
    this.#runtime = runtime
  }
  matches(input: MatchInput): boolean {
    return this.#runtime.enabled(this.#fraction, input)
  }
  explain(): string {
    return `the request is not in the ${fractionText(this.#fraction)} that runtime_fraction takes`
  }
}

class GrpcCondition implements Condition {
  matches(input: MatchInput): boolean {
    return isGrpcRequest(input.headers)
  }
  explain(input: MatchInput): string {
    return `content-type is ${quote(input.headers.get('content-type') ?? '')}; it must be that of gRPC`
  }
}

class TlsCondition implements Condition {
  readonly #presented: boolean | undefined
  readonly #validated: boolean | undefined
  constructor(options: RouteMatch_TlsContextMatchOptions) {
    this.#presented = options.presented
    this.#validated = options.validated
  }
  matches(input: MatchInput): boolean {
    const { tls } = input.info.downstream
    const presented = tls !== undefined && tls.peerFingerprint256 !== ''
    if (this.#presented !== undefined && presented !== this.#presented) return false
    // Without a validation context, or with one that accepts what it does not trust, a certificate proves nothing.
    return this.#validated === undefined || (presented && tls.peerValidated !== false) === this.#validated
  }
  explain(): string {
    return 'the client certificate is not as tls_context asks'
  }
}

class MissingFilterState implements Condition {
  readonly #key: string
  constructor(key: string) {
    this.#key = key
  }
  matches(): boolean {
    return false
  }
  explain(): string {
    return `there is no filter state ${quote(this.#key)}`
  }
}
