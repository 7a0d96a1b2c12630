import type { ResponseHeaders } from '../codec/header-map.ts'
import { ConfigError, ConfigMistakes } from '../config/config-error.ts'
import type { MatchPredicate } from '../config/schema/generated/types.ts'
import { allMatch, headerMatchers } from '../router/header-matcher.ts'
import { Mistakes } from '../router/mistakes.ts'

/** A `MatchPredicate` over response headers, compiled (`HttpProtocolOptions.outlier_detection.error_matcher`). */
export function matchResponse(predicate: MatchPredicate): (headers: ResponseHeaders) => boolean {
  const { orMatch, andMatch, notMatch, anyMatch, httpResponseHeadersMatch } = predicate
  if (orMatch !== undefined) {
    const rules = allRules(orMatch.rules, 'or_match')
    return headers => rules.some(rule => rule(headers))
  }
  if (andMatch !== undefined) {
    const rules = allRules(andMatch.rules, 'and_match')
    return headers => rules.every(rule => rule(headers))
  }
  if (notMatch !== undefined) {
    const [rule] = allRules([notMatch], '', 'not_match')
    return headers => !rule!(headers)
  }
  if (anyMatch !== undefined) return () => true
  if (httpResponseHeadersMatch !== undefined) {
    const mistakes = new Mistakes(predicate, 'http_response_headers_match')
    const matchers = headerMatchers(httpResponseHeadersMatch.headers, mistakes, 'headers')
    mistakes.throwAll()
    return headers => allMatch(matchers, headers)
  }
  throw new ConfigError('', 'only response headers can be matched here')
}

function allRules(
  rules: readonly MatchPredicate[],
  list: string,
  field = '',
): readonly ((headers: ResponseHeaders) => boolean)[] {
  const mistakes = new ConfigMistakes()
  const made = rules.map((rule, i) => mistakes.attempt(field || `${list}.rules[${i}]`, () => matchResponse(rule)))
  mistakes.throwAll()
  return made.filter(rule => rule !== undefined)
}
