/**
 * The `matcher` of a virtual host (xds.type.matcher.v3): a tree of conditions on the request that ends in routes. The
 * route it ends in must match as well; if it does not, no other is looked for (Envoy has it so).
 */
import { textToBytes } from '../base/regex.ts'
import type {
  HttpRequestHeaderMatchInput,
  HttpRequestQueryParamMatchInput,
  Route,
  XdsMatcher,
  XdsMatcher_MatcherList_Predicate,
  XdsMatcher_MatcherList_Predicate_SinglePredicate,
  XdsMatcher_MatcherTree,
  XdsMatcher_OnMatch,
  XdsTypedExtensionConfig,
} from '../config/schema/generated/types.ts'
import { type CompiledRoute, compileRoute, type RouteCompileContext, type RouteParent } from './compiled-route.ts'
import { joinedValue } from './header-matcher.ts'
import type { MatchInput } from './match-input.ts'
import type { Mistakes } from './mistakes.ts'
import { queryParameter } from './query-matcher.ts'
import { quote, stringMatch } from './string-matcher.ts'

/** The text a condition is about, or undefined where the request has none. */
type Input = (input: MatchInput) => string | undefined
type Predicate = (input: MatchInput) => boolean
/** What follows a condition that holds: a route, or another tree, which may come to nothing. */
type OnMatch = (input: MatchInput) => CompiledRoute | undefined

export class RouteTree {
  readonly #select: OnMatch
  constructor(select: OnMatch) {
    this.#select = select
  }

  /** The route that the tree leads to, whether or not its own match holds. */
  select(input: MatchInput): CompiledRoute | undefined {
    return this.#select(input)
  }

  find(input: MatchInput): CompiledRoute | undefined {
    const route = this.#select(input)
    return route?.match.matches(input) === true ? route : undefined
  }
}

/** Compiles a tree, the current message of `mistakes`. */
export function compileMatcherTree(
  matcher: XdsMatcher,
  parent: RouteParent,
  context: RouteCompileContext,
  mistakes: Mistakes,
): RouteTree {
  return new RouteTree(new TreeCompiler(parent, context).matcher(matcher, mistakes, 0))
}

const NOTHING: OnMatch = () => undefined
/** How deep trees may nest: configuration is bounded already, this bounds the stack. */
const MAX_DEPTH = 100

class TreeCompiler {
  readonly #parent: RouteParent
  readonly #context: RouteCompileContext

  constructor(parent: RouteParent, context: RouteCompileContext) {
    this.#parent = parent
    this.#context = context
  }

  matcher(matcher: XdsMatcher, mistakes: Mistakes, depth: number): OnMatch {
    if (depth > MAX_DEPTH) {
      mistakes.error('', `nested more than ${MAX_DEPTH} deep`)
      return NOTHING
    }
    const otherwise =
      matcher.onNoMatch === undefined ? NOTHING : this.#onMatch(matcher.onNoMatch, 'on_no_match', mistakes, depth)
    let first: OnMatch = NOTHING
    if (matcher.matcherList !== undefined) first = this.#list(matcher.matcherList.matchers, mistakes, depth)
    else if (matcher.matcherTree !== undefined) {
      first = this.#tree(matcher.matcherTree, mistakes.below('matcher_tree', matcher.matcherTree), depth)
    } else if (matcher.onNoMatch === undefined) mistakes.error('', 'needs matcher_list, matcher_tree or on_no_match')
    return input => first(input) ?? otherwise(input)
  }

  #list(matchers: NonNullable<XdsMatcher['matcherList']>['matchers'], mistakes: Mistakes, depth: number): OnMatch {
    const steps = matchers.map((field, index) => {
      const place = mistakes.below(`matcher_list.matchers[${index}]`, field)
      return {
        holds: this.#predicate(field.predicate, place.below('predicate', field.predicate), depth),
        next: this.#onMatch(field.onMatch, 'on_match', place, depth),
      }
    })
    return input => {
      for (const { holds, next } of steps) {
        if (!holds(input)) continue
        const route = next(input)
        // A subtree that comes to nothing lets the list go on.
        if (route !== undefined) return route
      }
      return undefined
    }
  }

  #tree(tree: XdsMatcher_MatcherTree, mistakes: Mistakes, depth: number): OnMatch {
    const read = this.#input(tree.input, 'input', mistakes)
    const map = tree.exactMatchMap ?? tree.prefixMatchMap
    if (map === undefined) {
      mistakes.error(
        '',
        tree.customMatch === undefined ? 'needs exact_match_map or prefix_match_map' : 'custom_match is not supported',
      )
      return NOTHING
    }
    const field = tree.exactMatchMap === undefined ? 'prefix_match_map' : 'exact_match_map'
    const branches = new Map<string, OnMatch>()
    for (const [key, onMatch] of map.map) {
      branches.set(textToBytes(key), this.#onMatch(onMatch, `${field}.map["${key}"]`, mistakes, depth))
    }
    if (field === 'exact_match_map') {
      return input => {
        const value = read(input)
        return value === undefined ? undefined : branches.get(value)?.(input)
      }
    }
    // The longest prefix that comes to something wins.
    const prefixes = [...branches].sort(([a], [b]) => b.length - a.length)
    return input => {
      const value = read(input)
      if (value === undefined) return undefined
      for (const [prefix, then] of prefixes) {
        if (!value.startsWith(prefix)) continue
        const route = then(input)
        if (route !== undefined) return route
      }
      return undefined
    }
  }

  #predicate(predicate: XdsMatcher_MatcherList_Predicate | undefined, mistakes: Mistakes, depth: number): Predicate {
    if (depth > MAX_DEPTH) {
      mistakes.error('', `nested more than ${MAX_DEPTH} deep`)
      return () => false
    }
    if (predicate?.singlePredicate !== undefined) {
      return this.#single(predicate.singlePredicate, mistakes.below('single_predicate', predicate.singlePredicate))
    }
    if (predicate?.notMatcher !== undefined) {
      const inner = this.#predicate(
        predicate.notMatcher,
        mistakes.below('not_matcher', predicate.notMatcher),
        depth + 1,
      )
      return input => !inner(input)
    }
    const list = predicate?.orMatcher ?? predicate?.andMatcher
    if (list === undefined) {
      mistakes.error('', 'needs one of single_predicate, or_matcher, and_matcher, not_matcher')
      return () => false
    }
    const field = predicate?.orMatcher === undefined ? 'and_matcher' : 'or_matcher'
    if (list.predicate.length < 2) mistakes.error(`${field}.predicate`, 'must hold at least 2 predicates')
    const parts = list.predicate.map((part, index) =>
      this.#predicate(part, mistakes.below(`${field}.predicate[${index}]`, part), depth + 1),
    )
    return field === 'or_matcher' ? input => parts.some(part => part(input)) : input => parts.every(part => part(input))
  }

  #single(predicate: XdsMatcher_MatcherList_Predicate_SinglePredicate, mistakes: Mistakes): Predicate {
    const read = this.#input(predicate.input, 'input', mistakes)
    if (predicate.valueMatch === undefined) {
      mistakes.error(
        predicate.customMatch === undefined ? '' : 'custom_match',
        predicate.customMatch === undefined ? 'needs value_match' : 'is not supported',
      )
      return () => false
    }
    const match = stringMatch(predicate.valueMatch, 'value_match', mistakes)
    return input => {
      const value = read(input)
      return value !== undefined && match.matches(value)
    }
  }

  #input(config: XdsTypedExtensionConfig | undefined, property: string, mistakes: Mistakes): Input {
    const any = config?.typedConfig
    switch (any?.typeUrl) {
      case 'envoy.type.matcher.v3.HttpRequestHeaderMatchInput': {
        const name = (any.value as HttpRequestHeaderMatchInput).headerName.toLowerCase()
        return input => joinedValue(input.headers, name)
      }
      case 'envoy.type.matcher.v3.HttpRequestQueryParamMatchInput': {
        const name = textToBytes((any.value as HttpRequestQueryParamMatchInput).queryParam)
        return input => queryParameter(input.headers.path, name)
      }
      default:
        mistakes.error(
          property,
          `Route table can only match on request headers, saw ${any?.typeUrl ?? config?.name ?? 'nothing'}`,
        )
        return () => undefined
    }
  }

  #onMatch(onMatch: XdsMatcher_OnMatch | undefined, field: string, mistakes: Mistakes, depth: number): OnMatch {
    // Refused by Envoy as well: a route that is found and not taken would do nothing.
    if (onMatch?.keepMatching === true) mistakes.error(`${field}.keep_matching`, 'is not supported in this context')
    if (onMatch?.matcher !== undefined) {
      return this.matcher(onMatch.matcher, mistakes.below(`${field}.matcher`, onMatch.matcher), depth + 1)
    }
    const any = onMatch?.action?.typedConfig
    if (any?.typeUrl !== 'envoy.config.route.v3.Route') {
      mistakes.error(
        field,
        `must end in a route (envoy.config.route.v3.Route), not in ${quote(any?.typeUrl ?? 'nothing')}`,
      )
      return NOTHING
    }
    const place = mistakes.below(`${field}.action.typed_config`, any.value)
    const route = compileRoute(any.value as Route, this.#parent, this.#context, place)
    return () => route
  }
}
