/**
 * `StringMatcher` (envoy.type.matcher.v3 and its twin in xds.type.matcher.v3), compiled. What it is asked about are
 * values from the wire: strings whose characters are bytes; the configured texts are brought into the same form at
 * load.
 */
import { DEFAULT_MAX_PROGRAM_SIZE, Regex, textToBytes } from '../base/regex.ts'
import { fieldBelow } from '../config/config-error.ts'
import type { StringMatcher, XdsStringMatcher } from '../config/schema/generated/types.ts'
import type { Mistakes } from './mistakes.ts'

export interface StringMatch {
  matches(value: string): boolean
  /** What the value must be, for `explain`: `exactly "a"`, `begin with "a"`. */
  readonly wanted: string
}

/** ASCII only, as Envoy folds case; the rest of the bytes is left alone. */
export function asciiLowerCase(text: string): string {
  if (!UPPER.test(text)) return text
  return WIDE.test(text) ? text.replace(/[A-Z]+/g, run => run.toLowerCase()) : text.toLowerCase()
}

const UPPER = /[A-Z]/
const WIDE = /[^\0-\x7f]/

class Exact implements StringMatch {
  readonly wanted: string
  readonly #value: string
  constructor(value: string) {
    this.#value = textToBytes(value)
    this.wanted = `exactly ${quote(value)}`
  }
  matches(value: string): boolean {
    return value === this.#value
  }
}

class Prefix implements StringMatch {
  readonly wanted: string
  readonly #prefix: string
  constructor(prefix: string) {
    this.#prefix = textToBytes(prefix)
    this.wanted = `begin with ${quote(prefix)}`
  }
  matches(value: string): boolean {
    return value.startsWith(this.#prefix)
  }
}

class Suffix implements StringMatch {
  readonly wanted: string
  readonly #suffix: string
  constructor(suffix: string) {
    this.#suffix = textToBytes(suffix)
    this.wanted = `end with ${quote(suffix)}`
  }
  matches(value: string): boolean {
    return value.endsWith(this.#suffix)
  }
}

class Contains implements StringMatch {
  readonly wanted: string
  readonly #part: string
  constructor(part: string) {
    this.#part = textToBytes(part)
    this.wanted = `contain ${quote(part)}`
  }
  matches(value: string): boolean {
    return value.includes(this.#part)
  }
}

class RegexMatch implements StringMatch {
  readonly wanted: string
  readonly #regex: Regex
  constructor(regex: Regex) {
    this.#regex = regex
    this.wanted = `match the regex ${quote(regex.pattern)}`
  }
  matches(value: string): boolean {
    return this.#regex.matchesBytes(value)
  }
}

class IgnoringCase implements StringMatch {
  readonly wanted: string
  readonly #match: StringMatch
  constructor(match: StringMatch) {
    this.#match = match
    this.wanted = `${match.wanted}, ignoring case`
  }
  matches(value: string): boolean {
    return this.#match.matches(asciiLowerCase(value))
  }
}

class Never implements StringMatch {
  readonly wanted = 'be something that could not be compiled'
  matches(): boolean {
    return false
  }
}

/** What stands in for a matcher that has a mistake: the configuration is refused, so it never runs. */
export const neverMatches: StringMatch = new Never()

export function exactMatch(value: string): StringMatch {
  return new Exact(value)
}

export function prefixMatch(value: string): StringMatch {
  return new Prefix(value)
}

export function suffixMatch(value: string): StringMatch {
  return new Suffix(value)
}

export function containsMatch(value: string): StringMatch {
  return new Contains(value)
}

/** `RegexMatcher`; its twin in xds.type.matcher.v3 has no limit. */
interface RegexSource {
  readonly regex: string
  readonly googleRe2?: { readonly maxProgramSize?: number | undefined } | undefined
}

/** Compiles a pattern; a mistake is noted at `property` of the current message. */
export function compileRegex(
  message: RegexSource | undefined,
  property: string,
  mistakes: Mistakes,
): Regex | undefined {
  const pattern = message?.regex ?? ''
  const regex = mistakes.attempt(`${property}.regex`, () => Regex.compile(pattern))
  const own = message?.googleRe2?.maxProgramSize
  if (regex !== undefined && regex.programSize > (own ?? DEFAULT_MAX_PROGRAM_SIZE)) {
    const limit = own ?? `${DEFAULT_MAX_PROGRAM_SIZE} by default (re2.max_program_size.error_level)`
    mistakes.warning(
      `${property}.regex`,
      `compiles to ${regex.programSize} instructions; Envoy refuses more than ${limit}`,
    )
  }
  return regex
}

export function regexMatch(message: RegexSource, property: string, mistakes: Mistakes): StringMatch {
  const regex = compileRegex(message, property, mistakes)
  return regex === undefined ? neverMatches : new RegexMatch(regex)
}

/** Compiles a matcher that stands in `property` of the current message. */
export function stringMatch(
  message: StringMatcher | XdsStringMatcher,
  property: string,
  mistakes: Mistakes,
): StringMatch {
  const fold = (text: string): string => (message.ignoreCase ? asciiLowerCase(textToBytes(text)) : text)
  let match: StringMatch
  if (message.exact !== undefined) match = new Exact(fold(message.exact))
  else if (message.prefix !== undefined) match = new Prefix(fold(message.prefix))
  else if (message.suffix !== undefined) match = new Suffix(fold(message.suffix))
  else if (message.contains !== undefined) match = new Contains(fold(message.contains))
  else if (message.safeRegex !== undefined) {
    if (message.ignoreCase)
      mistakes.error(
        fieldBelow(property, 'ignore_case'),
        'ignore_case has no effect for safe_regex; use (?i) in the pattern',
      )
    return regexMatch(message.safeRegex, fieldBelow(property, 'safe_regex'), mistakes)
  } else {
    mistakes.error(property, 'custom string matchers are not supported')
    return neverMatches
  }
  return message.ignoreCase ? new IgnoringCase(match) : match
}

/** A list that matches when any of its patterns does. */
export class AnyOf implements StringMatch {
  readonly wanted: string
  readonly #matches: readonly StringMatch[]
  constructor(matches: readonly StringMatch[]) {
    this.#matches = matches
    this.wanted = matches.map(({ wanted }) => wanted).join(', or ')
  }
  matches(value: string): boolean {
    for (const match of this.#matches) if (match.matches(value)) return true
    return false
  }
}

export function quote(text: string): string {
  return JSON.stringify(text)
}
