/**
 * The path part of a route's match: which requests it takes, and which part of their path a prefix rewrite replaces.
 */
import type { Regex } from '../base/regex.ts'
import { textToBytes } from '../base/regex.ts'
import type { RouteMatch, UriTemplateMatchConfig } from '../config/schema/generated/types.ts'
import { type MatchInput, pathOnly } from './match-input.ts'
import type { Mistakes } from './mistakes.ts'
import { asciiLowerCase, compileRegex, quote } from './string-matcher.ts'
import { UriTemplate } from './uri-template.ts'

export interface PathMatch {
  matches(input: MatchInput): boolean
  /** The part of the path (without query) that was matched: what `prefix_rewrite` replaces. */
  matched(target: string): string
  /** What the path must be, for `explain`. */
  readonly wanted: string
  /**
   * For the index over many routes: how the path must begin. Undefined where that is not all there is to the match, and
   * the route has to be tried in its turn.
   */
  readonly indexed: { readonly text: string; readonly kind: 'prefix' | 'exact' | 'separated' } | undefined
  /** Takes CONNECT requests, which have no path. */
  readonly pathless: boolean
  readonly template: UriTemplate | undefined
}

abstract class TextMatch implements PathMatch {
  readonly pathless = false
  readonly template = undefined
  abstract readonly indexed: PathMatch['indexed']
  abstract readonly wanted: string
  protected readonly text: string
  readonly #configured: string
  protected readonly ignoreCase: boolean

  constructor(text: string, ignoreCase: boolean) {
    this.#configured = textToBytes(text)
    this.text = ignoreCase ? asciiLowerCase(this.#configured) : this.#configured
    this.ignoreCase = ignoreCase
  }

  abstract matches(input: MatchInput): boolean

  matched(): string {
    return this.#configured
  }

  protected path(input: MatchInput): string {
    return this.ignoreCase ? asciiLowerCase(input.path) : input.path
  }
}

class PrefixMatch extends TextMatch {
  readonly indexed: PathMatch['indexed']
  readonly wanted: string
  /** A prefix without `?`, `#` and `;` need not care where the path ends and the query begins. */
  readonly #plain: boolean
  /** The prefix's last character, and where it stands. */
  readonly #lastAt: number
  readonly #last: number

  constructor(prefix: string, ignoreCase: boolean) {
    super(prefix, ignoreCase)
    this.#plain = !ignoreCase && !/[?#;]/.test(prefix)
    this.#lastAt = this.text.length - 1
    this.#last = this.text.charCodeAt(this.#lastAt)
    this.indexed = this.#plain ? { text: this.text, kind: 'prefix' } : undefined
    this.wanted = `must begin with ${quote(prefix)}${ignoreCase ? ', ignoring case' : ''}`
  }

  matches(input: MatchInput): boolean {
    const path = this.#plain ? input.headers.path : this.path(input)
    // Most prefixes of a table do not match, and one character tells so at a tenth of the call's cost.
    return (path.charCodeAt(this.#lastAt) === this.#last || this.#lastAt < 0) && path.startsWith(this.text)
  }
}

class ExactMatch extends TextMatch {
  readonly indexed: PathMatch['indexed']
  readonly wanted: string

  constructor(path: string, ignoreCase: boolean) {
    super(path, ignoreCase)
    this.indexed = ignoreCase || /[?#;]/.test(path) ? undefined : { text: this.text, kind: 'exact' }
    this.wanted = `must be ${quote(path)}${ignoreCase ? ', ignoring case' : ''}`
  }

  matches(input: MatchInput): boolean {
    return this.path(input) === this.text
  }
}

class SeparatedPrefixMatch extends TextMatch {
  readonly indexed: PathMatch['indexed']
  readonly wanted: string

  constructor(prefix: string, ignoreCase: boolean) {
    super(prefix, ignoreCase)
    this.indexed = ignoreCase || /[?#;]/.test(prefix) ? undefined : { text: this.text, kind: 'separated' }
    this.wanted = `must be ${quote(prefix)} or go on below it${ignoreCase ? ', ignoring case' : ''}`
  }

  matches(input: MatchInput): boolean {
    const path = this.path(input)
    return (
      path.startsWith(this.text) && (path.length === this.text.length || path.charCodeAt(this.text.length) === SLASH)
    )
  }
}

const SLASH = 0x2f

class RegexPathMatch implements PathMatch {
  readonly pathless = false
  readonly indexed = undefined
  readonly template = undefined
  readonly wanted: string
  readonly #regex: Regex
  constructor(regex: Regex) {
    this.#regex = regex
    this.wanted = `must match the regex ${quote(regex.pattern)} as a whole`
  }
  matches(input: MatchInput): boolean {
    return this.#regex.matchesBytes(input.path)
  }
  matched(target: string): string {
    return pathOnly(target)
  }
}

class ConnectMatch implements PathMatch {
  readonly pathless = true
  readonly indexed = undefined
  readonly template = undefined
  readonly wanted = 'must be a CONNECT request'
  matches(input: MatchInput): boolean {
    const { method, protocol } = input.headers
    return method === 'CONNECT' || protocol === 'connect-udp'
  }
  matched(target: string): string {
    return pathOnly(target)
  }
}

class TemplateMatch implements PathMatch {
  readonly pathless = false
  readonly indexed = undefined
  readonly wanted: string
  readonly template: UriTemplate
  constructor(template: UriTemplate) {
    this.template = template
    this.wanted = `must match the template ${quote(template.pattern)}`
  }
  matches(input: MatchInput): boolean {
    return this.template.matches(pathOnly(input.headers.path))
  }
  matched(target: string): string {
    return pathOnly(target)
  }
}

class NoPathMatch implements PathMatch {
  readonly pathless = false
  readonly indexed = undefined
  readonly template = undefined
  readonly wanted = 'cannot match'
  matches(): boolean {
    return false
  }
  matched(): string {
    return ''
  }
}

/** Compiles the path specifier of `match`, the current message of `mistakes`. */
export function pathMatch(match: RouteMatch, mistakes: Mistakes): PathMatch {
  const ignoreCase = match.caseSensitive === false
  if (match.prefix !== undefined) return new PrefixMatch(match.prefix, ignoreCase)
  if (match.path !== undefined) return new ExactMatch(match.path, ignoreCase)
  if (match.pathSeparatedPrefix !== undefined) return new SeparatedPrefixMatch(match.pathSeparatedPrefix, ignoreCase)
  if (match.connectMatcher !== undefined) return new ConnectMatch()
  if (match.safeRegex !== undefined) {
    const regex = compileRegex(match.safeRegex, 'safe_regex', mistakes)
    return regex === undefined ? new NoPathMatch() : new RegexPathMatch(regex)
  }
  if (match.pathMatchPolicy !== undefined) return templateMatch(match.pathMatchPolicy, mistakes)
  mistakes.error('', 'needs one of prefix, path, safe_regex, path_separated_prefix, connect_matcher, path_match_policy')
  return new NoPathMatch()
}

function templateMatch(policy: NonNullable<RouteMatch['pathMatchPolicy']>, mistakes: Mistakes): PathMatch {
  const any = policy.typedConfig
  if (any?.typeUrl !== 'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig') {
    mistakes.error('path_match_policy', `${quote(policy.name)} is not a supported way to match paths`)
    return new NoPathMatch()
  }
  const { pathTemplate } = any.value as UriTemplateMatchConfig
  const template = mistakes.attempt('path_match_policy.typed_config.path_template', () =>
    UriTemplate.parse(pathTemplate),
  )
  return template === undefined ? new NoPathMatch() : new TemplateMatch(template)
}
