import type { ResponseHeaders } from '../codec/header-map.ts'
import type { MatchPredicate } from '../config/schema/generated/types.ts'
import { ConfigError } from '../filter-chain/http-filter.ts'
import { allMatch, headerMatchers } from '../router/header-matcher.ts'
import { Mistakes } from '../router/mistakes.ts'

/** A `MatchPredicate` over response headers, compiled (`HttpProtocolOptions.outlier_detection.error_matcher`). */
export function matchResponse(predicate: MatchPredicate): (headers: ResponseHeaders) => boolean {
  const { orMatch, andMatch, notMatch, anyMatch, httpResponseHeadersMatch } = predicate
  if (orMatch !== undefined) {
    const rules = orMatch.rules.map(matchResponse)
    return headers => rules.some(rule => rule(headers))
  }
  if (andMatch !== undefined) {
    const rules = andMatch.rules.map(matchResponse)
    return headers => rules.every(rule => rule(headers))
  }
  if (notMatch !== undefined) {
    const rule = matchResponse(notMatch)
    return headers => !rule(headers)
  }
  if (anyMatch !== undefined) return () => true
  if (httpResponseHeadersMatch !== undefined) {
    const mistakes = new Mistakes(predicate)
    const matchers = headerMatchers(httpResponseHeadersMatch.headers, mistakes, 'headers')
    mistakes.throwAll()
    return headers => allMatch(matchers, headers)
  }
  throw new ConfigError('', 'only response headers can be matched here')
}
