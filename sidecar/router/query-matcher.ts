/**
 * `QueryParameterMatcher` and `CookieMatcher` of routes, compiled. Nothing is decoded: `%20` is compared as it came.
 */

import { textToBytes } from '../base/regex.ts'
import type { HeaderMap } from '../codec/header-map.ts'
import type { CookieMatcher, QueryParameterMatcher } from '../config/schema/generated/types.ts'
import type { Mistakes } from './mistakes.ts'
import { neverMatches, quote, type StringMatch, stringMatch } from './string-matcher.ts'

/**
 * First value of a parameter in the query of a request target, '' for one without `=`; undefined where it is missing.
 */
export function queryParameter(target: string, name: string): string | undefined {
  let at = target.indexOf('?') + 1
  if (at === 0) return undefined
  while (at < target.length) {
    let end = target.indexOf('&', at)
    if (end < 0) end = target.length
    if (target.startsWith(name, at)) {
      const afterName = at + name.length
      if (afterName === end) return ''
      if (afterName < end && target.charCodeAt(afterName) === EQUALS) return target.slice(afterName + 1, end)
    }
    at = end + 1
  }
  return undefined
}

const EQUALS = 0x3d

export class QueryMatcher {
  readonly name: string
  readonly #match: StringMatch | undefined
  readonly #present: boolean

  constructor(message: QueryParameterMatcher, mistakes: Mistakes) {
    this.name = textToBytes(message.name)
    this.#match =
      message.stringMatch === undefined ? undefined : stringMatch(message.stringMatch, 'string_match', mistakes)
    this.#present = message.presentMatch ?? true
  }

  matches(target: string): boolean {
    const value = queryParameter(target, this.name)
    if (this.#match === undefined) return (value !== undefined) === this.#present
    return value !== undefined && this.#match.matches(value)
  }

  explain(target: string): string {
    const value = queryParameter(target, this.name)
    const is = value === undefined ? 'is missing' : `is ${quote(value)}`
    const must = this.#match?.wanted ?? (this.#present ? 'be present' : 'be missing')
    return `query parameter ${this.name} ${is}; it must ${must.startsWith('exactly') ? `be ${must}` : must}`
  }
}

/** First value of a cookie, without surrounding quotes; undefined where it is missing. */
export function cookieValue(headers: HeaderMap, name: string): string | undefined {
  const list = headers.list
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== 'cookie') continue
    for (const cookie of list[i + 1]!.split(';')) {
      const equals = cookie.indexOf('=')
      if (equals < 0) continue
      let start = 0
      while (cookie.charCodeAt(start) === SPACE) start++
      if (cookie.slice(start, equals) !== name) continue
      const value = cookie.slice(equals + 1)
      return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
    }
  }
  return undefined
}

const SPACE = 0x20

export class CookieMatch {
  readonly name: string
  readonly #match: StringMatch
  readonly #invert: boolean

  constructor(message: CookieMatcher, mistakes: Mistakes) {
    this.name = textToBytes(message.name)
    this.#match =
      message.stringMatch === undefined ? neverMatches : stringMatch(message.stringMatch, 'string_match', mistakes)
    if (message.stringMatch === undefined) mistakes.error('string_match', 'is required')
    this.#invert = message.invertMatch
  }

  matches(headers: HeaderMap): boolean {
    const value = cookieValue(headers, this.name)
    return (value !== undefined && this.#match.matches(value)) !== this.#invert
  }

  explain(headers: HeaderMap): string {
    const value = cookieValue(headers, this.name)
    const is = value === undefined ? 'is missing' : `is ${quote(value)}`
    const must = this.#match.wanted
    const verb = must.startsWith('exactly') ? `be ${must}` : must
    return `cookie ${this.name} ${is}; it must ${this.#invert ? 'not ' : ''}${verb}`
  }
}
