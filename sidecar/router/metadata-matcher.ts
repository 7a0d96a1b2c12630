/** `MetadataMatcher` and `ValueMatcher` (envoy.type.matcher.v3): conditions on the dynamic metadata of a stream. */
import type { MetadataMatcher as MetadataMatcherMessage, ValueMatcher } from '../config/schema/generated/types.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { Mistakes } from './mistakes.ts'
import { stringMatch } from './string-matcher.ts'

type ValueMatch = (value: unknown) => boolean

export class MetadataMatcher {
  readonly #namespace: string
  readonly #path: readonly string[]
  readonly #matches: ValueMatch
  readonly #invert: boolean

  constructor(message: MetadataMatcherMessage, mistakes: Mistakes) {
    this.#namespace = message.filter
    this.#path = message.path.map(segment => segment.key ?? '')
    this.#matches = message.value === undefined ? () => false : valueMatch(message.value, 'value', mistakes)
    this.#invert = message.invert
  }

  matches(info: StreamInfo): boolean {
    let value: unknown = info.dynamicMetadata?.get(this.#namespace)
    for (const key of this.#path) {
      if (typeof value !== 'object' || value === null) {
        value = undefined
        break
      }
      value = Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
    }
    return this.#matches(value) !== this.#invert
  }

  explain(): string {
    return `dynamic metadata ${[this.#namespace, ...this.#path].join('/')} does not match`
  }
}

/** What is missing is undefined, and matches only `present_match: false`. */
export function valueMatch(message: ValueMatcher, property: string, mistakes: Mistakes): ValueMatch {
  if (message.nullMatch !== undefined) return value => value === null
  if (message.doubleMatch !== undefined) {
    const { range, exact } = message.doubleMatch
    if (range === undefined) return value => value === exact
    return value => typeof value === 'number' && value >= range.start && value < range.end
  }
  if (message.stringMatch !== undefined) {
    const match = stringMatch(message.stringMatch, `${property}.string_match`, mistakes)
    return value => typeof value === 'string' && match.matches(value)
  }
  if (message.boolMatch !== undefined) return value => value === message.boolMatch
  if (message.presentMatch !== undefined) return value => (value !== undefined) === message.presentMatch
  if (message.listMatch?.oneOf !== undefined) {
    const oneOf = valueMatch(message.listMatch.oneOf, `${property}.list_match.one_of`, mistakes)
    return value => Array.isArray(value) && value.some(oneOf)
  }
  if (message.orMatch !== undefined) {
    const matches = message.orMatch.valueMatchers.map((matcher, index) =>
      valueMatch(matcher, `${property}.or_match.value_matchers[${index}]`, mistakes),
    )
    return value => matches.some(match => match(value))
  }
  mistakes.error(property, 'needs one way to match')
  return () => false
}
