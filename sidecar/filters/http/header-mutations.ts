/**
 * Changes of headers as configuration writes them (`HeaderValueOption`, `HeaderMutation`), compiled: what is constant is
 * made into bytes at load, what has `%OPERATORS%` in it is formatted for each request.
 */
import type { HeaderMap } from '../../codec/header-map.ts'
import type {
  HeaderValueOption_HeaderAppendAction as AppendAction,
  HeaderMutation as HeaderMutationMessage,
  HeaderValueOption,
} from '../../config/schema/generated/types.ts'
import type { FormatContext } from '../../observability/formatter/context.ts'
import { binaryText } from '../../observability/formatter/context.ts'
import { compileTextFormat } from '../../observability/formatter/text-format.ts'
import type { Mistakes } from '../../router/mistakes.ts'
import { type StringMatch, stringMatch } from '../../router/string-matcher.ts'

/** A configured value with its operators filled in; what is missing prints as nothing. */
export type ValueFormat = (context: FormatContext) => string

/** Compiles a value that stands in `property` of the current message. */
export function compileValue(text: string, property: string, mistakes: Mistakes): ValueFormat {
  if (!text.includes('%')) {
    const constant = binaryText(text)
    return () => constant
  }
  const { value, errors } = compileTextFormat(text, { omitEmptyValues: true })
  for (const error of errors ?? []) mistakes.error(property, error.message + error.hint)
  return value ?? (() => '')
}

type Mutation = (headers: HeaderMap, context: FormatContext) => void

export class HeaderMutations {
  readonly #mutations: readonly Mutation[]

  private constructor(mutations: readonly Mutation[]) {
    this.#mutations = mutations
  }

  get empty(): boolean {
    return this.#mutations.length === 0
  }

  /** Headers to add, listed in `field` of the current message. */
  static adding(options: readonly HeaderValueOption[], mistakes: Mistakes, field: string): HeaderMutations {
    return new HeaderMutations(options.map((option, i) => append(option, mistakes.below(`${field}[${i}]`, option))))
  }

  /** Headers to add and to remove, listed in `field` of the current message. */
  static of(messages: readonly HeaderMutationMessage[], mistakes: Mistakes, field: string): HeaderMutations {
    return new HeaderMutations(
      messages.map((message, i) => mutation(message, mistakes.below(`${field}[${i}]`, message))),
    )
  }

  apply(headers: HeaderMap, context: FormatContext): void {
    for (let i = 0; i < this.#mutations.length; i++) this.#mutations[i]!(headers, context)
  }
}

function mutation(message: HeaderMutationMessage, mistakes: Mistakes): Mutation {
  if (message.append !== undefined) return append(message.append, mistakes.below('append', message.append))
  if (message.remove !== undefined) {
    const name = message.remove.toLowerCase()
    return name.startsWith(':') ? headers => headers.set(name, '') : headers => void headers.delete(name)
  }
  if (message.removeOnMatch?.keyMatcher !== undefined) {
    return removeMatching(stringMatch(message.removeOnMatch.keyMatcher, 'remove_on_match.key_matcher', mistakes))
  }
  mistakes.error('', 'must have append, remove or remove_on_match')
  return () => {}
}

const PSEUDO_HEADERS = [':method', ':path', ':scheme', ':authority', ':status']

function removeMatching(matcher: StringMatch): Mutation {
  const pseudo = PSEUDO_HEADERS.filter(name => matcher.matches(name))
  return headers => {
    headers.deleteWhere(name => matcher.matches(name))
    for (const name of pseudo) if (headers.has(name)) headers.set(name, '')
  }
}

function append(option: HeaderValueOption, mistakes: Mistakes): Mutation {
  if (option.header === undefined) {
    mistakes.error('header', 'is required')
    return () => {}
  }
  const name = option.header.key.toLowerCase()
  if (name.startsWith(':') || name === 'host') {
    mistakes.error('header.key', ':-prefixed or host headers may not be modified')
  }
  const format = compileValue(option.header.value, 'header.value', mistakes)
  const keepsEmpty = option.keepEmptyValue
  const action = appendAction(option)
  return (headers, context) => {
    if (action === 'ADD_IF_ABSENT' && headers.has(name)) return
    if (action === 'OVERWRITE_IF_EXISTS' && !headers.has(name)) return
    const value = format(context)
    if (value === '' && !keepsEmpty) return
    // Overwritten headers go to the end, as in Envoy.
    if (action === 'OVERWRITE_IF_EXISTS' || action === 'OVERWRITE_IF_EXISTS_OR_ADD') headers.delete(name)
    headers.add(name, value)
  }
}

/** The deprecated `append` says less than `append_action`, and wins where it is set. */
function appendAction(option: HeaderValueOption): AppendAction {
  if (option.append === undefined) return option.appendAction
  return option.append ? 'APPEND_IF_EXISTS_OR_ADD' : 'OVERWRITE_IF_EXISTS_OR_ADD'
}
