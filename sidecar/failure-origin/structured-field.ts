/**
 * Lists of items with parameters, as RFC 9651 (8941) defines them: what `proxy-status` is made of.
 *
 * Members are split first and parsed one by one, so that a malformed member, which by the RFC would void the whole field,
 * costs only itself: it is kept as the text it was. Inner lists, byte sequences, dates and display strings, which
 * RFC 9209 does not use, are kept the same way. Every loop is bounded by the length of the field, and that by a limit.
 */

export type BareItem =
  | { readonly kind: 'token'; readonly value: string }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'integer' | 'decimal'; readonly value: number }
  | { readonly kind: 'boolean'; readonly value: boolean }

export interface Member {
  /** As it stood in the field, trimmed. */
  readonly text: string
  /** Undefined when the member is not understood; then only {@link text} is of use. */
  readonly item: BareItem | undefined
  readonly params: ReadonlyMap<string, BareItem>
}

/** More than this of one field is not read: what no proxy sends is not worth the time. */
export const MAX_FIELD = 8192
const MAX_MEMBERS = 32
const MAX_PARAMS = 32

const NO_PARAMS: ReadonlyMap<string, BareItem> = new Map()

/** The members of a field in order; [] for an empty one. What exceeds the limits is left out. */
export function parseList(field: string): Member[] {
  const members: Member[] = []
  if (field.length > MAX_FIELD) return members
  for (const part of splitMembers(field)) {
    if (members.length === MAX_MEMBERS) break
    members.push(parseMember(part))
  }
  return members
}

/** Cuts at commas outside of strings. A string that does not end takes the rest of the field with it. */
function splitMembers(field: string): string[] {
  const parts: string[] = []
  let start = 0
  let quoted = false
  for (let i = 0; i <= field.length; i++) {
    const char = field.charCodeAt(i)
    if (i === field.length || (char === COMMA && !quoted)) {
      const part = field.slice(start, i).trim()
      if (part !== '') parts.push(part)
      start = i + 1
    } else if (char === QUOTE) quoted = !quoted
    else if (char === BACKSLASH && quoted) i++
  }
  return parts
}

function parseMember(text: string): Member {
  const reader = new Reader(text)
  const item = reader.item()
  if (item === undefined) return { text, item: undefined, params: NO_PARAMS }
  let params: Map<string, BareItem> | undefined
  while (!reader.done) {
    if (!reader.take(SEMICOLON)) return { text, item: undefined, params: NO_PARAMS }
    reader.spaces()
    const key = reader.key()
    if (key === '' || (params !== undefined && params.size === MAX_PARAMS)) {
      return { text, item: undefined, params: NO_PARAMS }
    }
    let value: BareItem | undefined = { kind: 'boolean', value: true }
    if (reader.take(EQUALS)) value = reader.item()
    if (value === undefined) return { text, item: undefined, params: NO_PARAMS }
    params ??= new Map()
    params.set(key, value)
    reader.optionalSpaces()
  }
  return { text, item, params: params ?? NO_PARAMS }
}

const COMMA = 0x2c
const QUOTE = 0x22
const BACKSLASH = 0x5c
const SEMICOLON = 0x3b
const EQUALS = 0x3d

const KEY = /[a-z*][a-z0-9_\-.*]*/y
const TOKEN = /[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*/y
const NUMBER = /-?\d{1,15}(?:\.\d{1,3})?(?![!#$%&'*+\-.^_`|~0-9A-Za-z:/])/y
/** No structured field: a digit first. Read as a token, because ids in hex have been written so (see `newFailureId`). */
const DIGITS_FIRST = /[0-9][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*/y
const STRING = /"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/y
const BOOLEAN = /\?([01])/y

class Reader {
  readonly #text: string
  #at = 0
  constructor(text: string) {
    this.#text = text
  }

  get done(): boolean {
    return this.#at >= this.#text.length
  }

  take(char: number): boolean {
    if (this.#text.charCodeAt(this.#at) !== char) return false
    this.#at++
    return true
  }

  /** SP after a semicolon (RFC 9651 §4.2.3.2). */
  spaces(): void {
    while (this.#text.charCodeAt(this.#at) === 0x20) this.#at++
  }

  /** RFC 9209 has `proxy; error=x`; some write `proxy ; error=x`, which costs nothing to read. */
  optionalSpaces(): void {
    this.spaces()
  }

  key(): string {
    return this.#match(KEY)?.[0] ?? ''
  }

  item(): BareItem | undefined {
    const token = this.#match(TOKEN)
    if (token !== undefined) {
      this.optionalSpaces()
      return { kind: 'token', value: token[0] }
    }
    const string = this.#match(STRING)
    if (string !== undefined) {
      this.optionalSpaces()
      return { kind: 'string', value: string[1]!.replace(/\\(["\\])/g, '$1') }
    }
    const number = this.#match(NUMBER)
    if (number !== undefined) {
      this.optionalSpaces()
      const decimal = number[0].includes('.')
      return { kind: decimal ? 'decimal' : 'integer', value: Number(number[0]) }
    }
    const boolean = this.#match(BOOLEAN)
    if (boolean !== undefined) {
      this.optionalSpaces()
      return { kind: 'boolean', value: boolean[1] === '1' }
    }
    const loose = this.#match(DIGITS_FIRST)
    if (loose === undefined) return undefined
    this.optionalSpaces()
    return { kind: 'token', value: loose[0] }
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (match === null) return undefined
    this.#at = pattern.lastIndex
    return match
  }
}

const WHOLE_TOKEN = /^[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*$/

/** `text` as a token where it can be one, else as a string; what a string cannot hold is replaced by a space. */
export function serialiseText(text: string): string {
  return WHOLE_TOKEN.test(text) ? text : serialiseString(text)
}

export function serialiseString(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, ' ').replace(/["\\]/g, '\\$&')}"`
}

/** At most three decimals (RFC 9651 §4.1.5). */
export function serialiseNumber(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toFixed(3)))
}

/** The text of a token or string, undefined for anything else. */
export function textOf(item: BareItem | undefined): string | undefined {
  return item !== undefined && (item.kind === 'token' || item.kind === 'string') ? item.value : undefined
}
