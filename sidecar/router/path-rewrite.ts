/**
 * What a route does to the path of a request: `prefix_rewrite`, `regex_rewrite`, `path_rewrite` (a value with
 * operators), `path_rewrite_policy` (a template). At most one of them; the query stays.
 */
import { type Regex, Substitution, textToBytes } from '../base/regex.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type {
  RegexMatchAndSubstitute,
  RouteAction,
  UriTemplateRewriteConfig,
} from '../config/schema/generated/types.ts'
import type { FormatContext } from '../observability/formatter/context.ts'
import { type FormattedValue, formattedValue } from './formatted-value.ts'
import { pathOnly } from './match-input.ts'
import type { Mistakes } from './mistakes.ts'
import type { PathMatch } from './path-match.ts'
import { asciiLowerCase, compileRegex, quote } from './string-matcher.ts'
import { UriTemplateRewrite } from './uri-template.ts'

export interface PathRewrite {
  /** The new request target, or '' where the request keeps the one it has. */
  rewrite(headers: RequestHeaders, context: FormatContext): string
}

/** Replaces the path by `path` and keeps what follows it in the target. */
function withQuery(target: string, length: number, path: string): string {
  return length === target.length ? path : path + target.slice(length)
}

class PrefixRewrite implements PathRewrite {
  readonly #match: PathMatch
  readonly #prefix: string
  constructor(match: PathMatch, prefix: string) {
    this.#match = match
    this.#prefix = textToBytes(prefix)
  }
  rewrite(headers: RequestHeaders): string {
    const target = headers.path
    const matched = this.#match.matched(target)
    // A filter may have changed the path since the route matched.
    const still =
      target.startsWith(matched) || asciiLowerCase(target.slice(0, matched.length)) === asciiLowerCase(matched)
    return still ? this.#prefix + target.slice(matched.length) : ''
  }
}

export class RegexRewrite implements PathRewrite {
  readonly #regex: Regex
  readonly #substitution: Substitution
  constructor(regex: Regex, substitution: Substitution) {
    this.#regex = regex
    this.#substitution = substitution
  }

  rewrite(headers: RequestHeaders): string {
    const target = headers.path
    const path = pathOnly(target)
    const rewritten = this.#regex.replaceAllBytes(path, this.#substitution)
    return rewritten === '' ? '' : withQuery(target, path.length, rewritten)
  }

  /** The text with every match replaced. */
  replace(bytes: string): string {
    return this.#regex.replaceAllBytes(bytes, this.#substitution)
  }
}

class FormattedRewrite implements PathRewrite {
  readonly #path: FormattedValue
  constructor(path: FormattedValue) {
    this.#path = path
  }
  rewrite(headers: RequestHeaders, context: FormatContext): string {
    const path = this.#path.format(context)
    return path === '' ? '' : withQuery(headers.path, pathOnly(headers.path).length, path)
  }
}

class TemplateRewrite implements PathRewrite {
  readonly #match: PathMatch
  readonly #template: UriTemplateRewrite
  constructor(match: PathMatch, template: UriTemplateRewrite) {
    this.#match = match
    this.#template = template
  }
  rewrite(headers: RequestHeaders): string {
    const path = pathOnly(headers.path)
    const values = this.#match.template?.values(path)
    return values === undefined ? '' : withQuery(headers.path, path.length, this.#template.write(values))
  }
}

/** Compiles a pattern and its substitution in `property` of the current message. */
export function regexRewrite(
  message: RegexMatchAndSubstitute,
  property: string,
  mistakes: Mistakes,
): RegexRewrite | undefined {
  const regex = compileRegex(message.pattern, `${property}.pattern`, mistakes)
  const substitution = new Substitution(message.substitution)
  if (regex === undefined) return undefined
  // Envoy loads both and then rewrites nothing, or half of it.
  if (substitution.mistake !== undefined) mistakes.warning(`${property}.substitution`, substitution.mistake)
  else if (substitution.maxGroup > regex.groupCount) {
    const has = regex.groupCount === 1 ? '1 group' : `${regex.groupCount} groups`
    mistakes.warning(
      `${property}.substitution`,
      `refers to group ${substitution.maxGroup}, but the pattern has ${has}: nothing will be rewritten`,
    )
  }
  return new RegexRewrite(regex, substitution)
}

/** Prefix and regex rewrites, which redirects have as well. */
export function textRewrite(
  message: { readonly prefixRewrite: string | undefined; readonly regexRewrite: RegexMatchAndSubstitute | undefined },
  match: PathMatch,
  mistakes: Mistakes,
): PathRewrite | undefined {
  if (message.prefixRewrite) return new PrefixRewrite(match, message.prefixRewrite)
  if (message.regexRewrite !== undefined) return regexRewrite(message.regexRewrite, 'regex_rewrite', mistakes)
  return undefined
}

/** Compiles the rewrite of a `RouteAction`, the current message of `mistakes`. */
export function pathRewrite(action: RouteAction, match: PathMatch, mistakes: Mistakes): PathRewrite | undefined {
  const given = [
    action.prefixRewrite !== '' && 'prefix_rewrite',
    action.regexRewrite !== undefined && 'regex_rewrite',
    action.pathRewritePolicy !== undefined && 'path_rewrite_policy',
    action.pathRewrite !== '' && 'path_rewrite',
  ].filter(name => name !== false)
  if (given.length > 1) {
    mistakes.error(
      given[1]!,
      `only one of prefix_rewrite, regex_rewrite, path_rewrite_policy, path_rewrite may be given; here are ${given.join(' and ')}`,
    )
  }
  if (action.prefixRewrite !== '' && match.template !== undefined) {
    mistakes.error('prefix_rewrite', 'cannot be used with path_match_policy')
  }
  if (action.pathRewrite !== '')
    return new FormattedRewrite(formattedValue(action.pathRewrite, 'path_rewrite', mistakes))
  if (action.pathRewritePolicy !== undefined) return templateRewrite(action.pathRewritePolicy, match, mistakes)
  return textRewrite(action, match, mistakes)
}

function templateRewrite(
  policy: NonNullable<RouteAction['pathRewritePolicy']>,
  match: PathMatch,
  mistakes: Mistakes,
): PathRewrite | undefined {
  const any = policy.typedConfig
  if (any?.typeUrl !== 'envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig') {
    mistakes.error('path_rewrite_policy', `${quote(policy.name)} is not a supported way to rewrite paths`)
    return undefined
  }
  if (match.template === undefined) {
    mistakes.error('path_rewrite_policy', 'needs a path_match_policy of the kind uri_template in the match')
    return undefined
  }
  const { variables } = match.template
  const { pathTemplateRewrite } = any.value as UriTemplateRewriteConfig
  const template = mistakes.attempt('path_rewrite_policy.typed_config.path_template_rewrite', () =>
    UriTemplateRewrite.parse(pathTemplateRewrite, variables),
  )
  return template === undefined ? undefined : new TemplateRewrite(match, template)
}
