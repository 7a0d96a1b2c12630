/**
 * `request_headers_to_add` and its kin, compiled: what one level (weighted cluster, route, virtual host, configuration)
 * adds to, overwrites in and removes from a message's headers.
 *
 * Removing comes first; then all values are computed from the headers as they are; then what overwrites is written, and
 * last what is added. So one addition never sees another of the same level (Envoy: `HeaderParser::evaluateHeaders`).
 */
import { type HeaderMap, internHeaderName } from '../codec/header-map.ts'
import type { HeaderMutation, HeaderValueOption } from '../config/schema/generated/types.ts'
import type { FormatContext } from '../observability/formatter/context.ts'
import { type FormattedValue, formattedValue } from './formatted-value.ts'
import type { Mistakes } from './mistakes.ts'
import { SINGLE_ENTRY_IN_REQUESTS, SINGLE_ENTRY_IN_RESPONSES } from './single-entry-headers.ts'
import { type StringMatch, stringMatch } from './string-matcher.ts'

type Action = HeaderValueOption['appendAction']

interface Addition {
  readonly name: string
  readonly value: FormattedValue
  readonly action: Action
  readonly keepEmpty: boolean
  /** Appending makes a list of values in the one entry there is. */
  readonly singleEntry: boolean
}

export class HeaderMutations {
  readonly #remove: readonly string[]
  readonly #add: readonly Addition[]

  constructor(remove: readonly string[], add: readonly Addition[]) {
    this.#remove = remove
    this.#add = add
  }

  /** `headers` is what is changed; `context` what operators read. */
  apply(headers: HeaderMap, context: FormatContext): void {
    const remove = this.#remove
    for (let i = 0; i < remove.length; i++) headers.delete(remove[i]!)
    const add = this.#add
    if (add.length === 0) return
    if (add.length === 1) {
      const addition = add[0]!
      const value = addition.value.constant ?? addition.value.format(context)
      if (takes(addition, value, headers)) write(addition, value, headers)
      return
    }
    const values: (string | undefined)[] = []
    for (let i = 0; i < add.length; i++) {
      const addition = add[i]!
      const value = addition.value.constant ?? addition.value.format(context)
      values.push(takes(addition, value, headers) ? value : undefined)
    }
    for (let i = 0; i < add.length; i++) {
      const value = values[i]
      if (value !== undefined && overwrites(add[i]!)) write(add[i]!, value, headers)
    }
    for (let i = 0; i < add.length; i++) {
      const value = values[i]
      if (value !== undefined && !overwrites(add[i]!)) write(add[i]!, value, headers)
    }
  }
}

function takes(addition: Addition, value: string, headers: HeaderMap): boolean {
  if (value === '' && !addition.keepEmpty) return false
  switch (addition.action) {
    case 'ADD_IF_ABSENT':
      return !headers.has(addition.name)
    case 'OVERWRITE_IF_EXISTS':
      return headers.has(addition.name)
    default:
      return true
  }
}

function overwrites({ action }: Addition): boolean {
  return action === 'OVERWRITE_IF_EXISTS' || action === 'OVERWRITE_IF_EXISTS_OR_ADD'
}

function write(addition: Addition, value: string, headers: HeaderMap): void {
  const { name } = addition
  if (overwrites(addition)) headers.set(name, value)
  else if (addition.singleEntry) headers.appendJoined(name, value)
  else headers.add(name, value)
}

/**
 * Compiles one level; undefined where it changes nothing. `kind` is the beginning of the fields' names,
 * `request_headers` or `response_headers`, where `addField` does not say otherwise.
 */
export function headerMutations(
  add: readonly HeaderValueOption[],
  remove: readonly string[],
  kind: 'request_headers' | 'response_headers',
  mistakes: Mistakes,
  addField = `${kind}_to_add`,
): HeaderMutations | undefined {
  if (add.length === 0 && remove.length === 0) return undefined
  const singleEntry = kind === 'request_headers' ? SINGLE_ENTRY_IN_REQUESTS : SINGLE_ENTRY_IN_RESPONSES
  const removals = remove.map((name, index) => {
    const lower = name.toLowerCase()
    if (lower.startsWith(':') || lower === 'host') {
      mistakes.error(`${kind}_to_remove[${index}]`, ':-prefixed or host headers may not be removed')
    }
    checkName(lower, `${kind}_to_remove[${index}]`, mistakes)
    return internHeaderName(lower)
  })
  const additions = add.flatMap((option, index) => {
    const field = `${addField}[${index}]`
    const addition = compileAddition(option, singleEntry, mistakes.below(field, option))
    return addition === undefined ? [] : [addition]
  })
  return new HeaderMutations(removals, additions)
}

function compileAddition(
  option: HeaderValueOption,
  singleEntry: ReadonlySet<string>,
  mistakes: Mistakes,
): Addition | undefined {
  const { header, append, appendAction, keepEmptyValue } = option
  if (header === undefined || header.key === '') {
    mistakes.error('header', 'needs a key')
    return undefined
  }
  const name = header.key.toLowerCase()
  if (name.startsWith(':') || name === 'host') {
    mistakes.error('header.key', ':-prefixed or host headers may not be modified')
  }
  checkName(name, 'header.key', mistakes)
  if (header.value !== '' && header.rawValue.length > 0) {
    mistakes.error('header.raw_value', 'only one of value and raw_value may be given')
  }
  const text = header.rawValue.length > 0 ? Buffer.from(header.rawValue).toString('utf8') : header.value
  if (/[\r\n\0]/.test(text)) mistakes.error('header.value', 'must not hold CR, LF or NUL')
  if (append !== undefined && appendAction !== 'APPEND_IF_EXISTS_OR_ADD') {
    mistakes.error('append', 'both append and append_action are set; keep append_action')
  }
  const action = append === undefined ? appendAction : append ? 'APPEND_IF_EXISTS_OR_ADD' : 'OVERWRITE_IF_EXISTS_OR_ADD'
  return {
    name: internHeaderName(name),
    value: formattedValue(text, 'header.value', mistakes),
    action,
    keepEmpty: keepEmptyValue,
    singleEntry: singleEntry.has(name),
  }
}

function checkName(name: string, property: string, mistakes: Mistakes): void {
  if (/[\r\n\0]/.test(name)) mistakes.error(property, 'must not hold CR, LF or NUL')
}

/** `HeaderMutation` lists, as mirror policies have them: each step sees what the steps before it did. */
export class HeaderMutationSteps {
  readonly #steps: readonly (HeaderMutations | StringMatch)[]

  private constructor(steps: readonly (HeaderMutations | StringMatch)[]) {
    this.#steps = steps
  }

  static compile(
    mutations: readonly HeaderMutation[],
    field: string,
    mistakes: Mistakes,
  ): HeaderMutationSteps | undefined {
    if (mutations.length === 0) return undefined
    const steps = mutations.flatMap((mutation, index): readonly (HeaderMutations | StringMatch)[] => {
      const place = mistakes.below(`${field}[${index}]`, mutation)
      if (mutation.append !== undefined) {
        const addition = compileAddition(
          mutation.append,
          SINGLE_ENTRY_IN_REQUESTS,
          place.below('append', mutation.append),
        )
        return addition === undefined ? [] : [new HeaderMutations([], [addition])]
      }
      if (mutation.remove !== undefined) {
        if (mutation.remove.startsWith(':') || mutation.remove.toLowerCase() === 'host') {
          place.error('remove', ':-prefixed or host headers may not be removed')
        }
        return [new HeaderMutations([internHeaderName(mutation.remove.toLowerCase())], [])]
      }
      const matcher = mutation.removeOnMatch?.keyMatcher
      if (matcher !== undefined) return [stringMatch(matcher, 'remove_on_match.key_matcher', place)]
      place.error('', 'needs one of append, remove, remove_on_match')
      return []
    })
    return new HeaderMutationSteps(steps)
  }

  apply(headers: HeaderMap, context: FormatContext): void {
    for (const step of this.#steps) {
      if (step instanceof HeaderMutations) step.apply(headers, context)
      else headers.deleteWhere(name => step.matches(name))
    }
  }
}
