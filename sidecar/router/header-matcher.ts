/**
 * `HeaderMatcher` (envoy.config.route.v3), compiled. Of several headers of one name any may match (measured on Envoy
 * 1.40, which used to join them); a header that is missing matches nothing, inverted or not, unless the matcher asks
 * for its absence or takes it for empty.
 */
import { type HeaderMap, internHeaderName } from '../codec/header-map.ts'
import type { HeaderMatcher as HeaderMatcherMessage, Int64Range } from '../config/schema/generated/types.ts'
import { Mistakes } from './mistakes.ts'
import {
  containsMatch,
  exactMatch,
  prefixMatch,
  quote,
  regexMatch,
  type StringMatch,
  stringMatch,
  suffixMatch,
} from './string-matcher.ts'

export interface HeaderMatcher {
  readonly name: string
  matches(headers: HeaderMap): boolean
  /** Why the headers do not match, in words. */
  explain(headers: HeaderMap): string
}

/** Value of a header with all of its entries joined by commas; pseudo-headers by their names. */
export function joinedValue(headers: HeaderMap, name: string): string | undefined {
  const value = headers.get(name)
  if (value === undefined || name.charCodeAt(0) === COLON || name === 'host') return value
  const list = headers.list
  let first = 0
  while (list[first] !== name) first += 2
  for (let i = first + 2; i < list.length; i += 2) if (list[i] === name) return headers.getJoined(name)
  return value
}

const COLON = 0x3a

class ValueMatcher implements HeaderMatcher {
  readonly name: string
  readonly #match: StringMatch
  readonly #invert: boolean
  /** Whether a request without the header matches. */
  readonly #missingMatches: boolean
  /** Not in the list of headers, but a field of the request. */
  readonly #isPseudo: boolean

  constructor(message: HeaderMatcherMessage, match: StringMatch) {
    this.name = internHeaderName(message.name)
    this.#match = match
    this.#invert = message.invertMatch
    this.#missingMatches = message.treatMissingHeaderAsEmpty && match.matches('') !== message.invertMatch
    this.#isPseudo = this.name.charCodeAt(0) === COLON || this.name === 'host'
  }

  matches(headers: HeaderMap): boolean {
    const { name } = this
    if (this.#isPseudo) {
      const value = headers.get(name)
      return value === undefined ? this.#missingMatches : this.#match.matches(value) !== this.#invert
    }
    const { list } = headers
    let found = false
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] !== name) continue
      if (this.#match.matches(list[i + 1]!)) return !this.#invert
      found = true
    }
    return found ? this.#invert : this.#missingMatches
  }

  explain(headers: HeaderMap): string {
    const value = joinedValue(headers, this.name)
    const is = value === undefined ? 'is missing' : `is ${quote(value)}`
    return `header ${this.name} ${is}; it must ${this.#invert ? 'not ' : ''}${verb(this.#match.wanted)}`
  }
}

class PresenceMatcher implements HeaderMatcher {
  readonly name: string
  /** Whether the header must be there. */
  readonly #present: boolean
  readonly #missingIsEmpty: boolean

  constructor(message: HeaderMatcherMessage, present: boolean) {
    this.name = internHeaderName(message.name)
    this.#present = present !== message.invertMatch
    this.#missingIsEmpty = message.treatMissingHeaderAsEmpty
  }

  matches(headers: HeaderMap): boolean {
    return (this.#missingIsEmpty || headers.get(this.name) !== undefined) === this.#present
  }

  explain(): string {
    return `header ${this.name} ${this.#present ? 'is missing; it must be present' : 'is present; it must not be'}`
  }
}

/** Whole numbers from `start` up to but without `end`; what is no whole number does not match. */
class Range implements StringMatch {
  readonly wanted: string
  readonly #start: number
  readonly #end: number
  constructor(range: Int64Range) {
    this.#start = Number(range.start)
    this.#end = Number(range.end)
    this.wanted = `be a number from ${range.start} to below ${range.end}`
  }
  matches(value: string): boolean {
    if (!WHOLE_NUMBER.test(value)) return false
    const number = Number(value)
    return number >= this.#start && number < this.#end
  }
}

const WHOLE_NUMBER = /^\s*[+-]?\d{1,19}\s*$/

/** The legacy `exact_match: ""`, which matches any value. */
class AnyValue implements StringMatch {
  readonly wanted = 'be anything'
  matches(): boolean {
    return true
  }
}

/** Compiles the matcher that is the current message of `mistakes`. */
export function headerMatcher(message: HeaderMatcherMessage, mistakes: Mistakes): HeaderMatcher {
  const match = valueMatch(message, mistakes)
  return match === undefined
    ? new PresenceMatcher(message, message.presentMatch ?? true)
    : new ValueMatcher(message, match)
}

function valueMatch(message: HeaderMatcherMessage, mistakes: Mistakes): StringMatch | undefined {
  if (message.stringMatch !== undefined) return stringMatch(message.stringMatch, 'string_match', mistakes)
  if (message.exactMatch !== undefined)
    return message.exactMatch === '' ? new AnyValue() : exactMatch(message.exactMatch)
  if (message.prefixMatch !== undefined) return prefixMatch(message.prefixMatch)
  if (message.suffixMatch !== undefined) return suffixMatch(message.suffixMatch)
  if (message.containsMatch !== undefined) return containsMatch(message.containsMatch)
  if (message.rangeMatch !== undefined) return new Range(message.rangeMatch)
  if (message.safeRegexMatch !== undefined) return regexMatch(message.safeRegexMatch, 'safe_regex_match', mistakes)
  return undefined
}

/**
 * Compiles the matchers in `field` of the current message. Without `mistakes` the first mistake is thrown as a
 * `ConfigError`, which is what filters' decoders do.
 */
export function headerMatchers(
  messages: readonly HeaderMatcherMessage[],
  mistakes?: Mistakes,
  field = 'headers',
): readonly HeaderMatcher[] {
  const notes = mistakes ?? new Mistakes()
  const matchers = messages.map((message, index) => headerMatcher(message, notes.below(`${field}[${index}]`, message)))
  if (mistakes === undefined) notes.throwAll()
  return matchers
}

export function allMatch(matchers: readonly HeaderMatcher[], headers: HeaderMap): boolean {
  for (let i = 0; i < matchers.length; i++) if (!matchers[i]!.matches(headers)) return false
  return true
}

/** `exactly "a"` is no verb; the others are. */
function verb(wanted: string): string {
  return wanted.startsWith('exactly') ? `be ${wanted}` : wanted
}
