/**
 * JSON of a message as text, written as Envoy's library (protobuf's `JsonObjectWriter`) writes it: the shortest numbers that
 * C prints for a float or a double, and escapes for what a browser could take for markup or would not show.
 */
import type { DescField, DescMessage, JsonObject, JsonValue } from '@bufbuild/protobuf'

export interface JsonTextOptions {
  readonly whitespace: boolean
  /** Messages in an `Any`. */
  typeOf(name: string): DescMessage | undefined
}

const FLOAT = 2
const FLOAT_VALUE = 'google.protobuf.FloatValue'
const ANY = 'google.protobuf.Any'
const STRUCT_FILE = 'google/protobuf/struct'

/** `json` is what the protobuf library makes of a message of this type. */
export function jsonText(json: JsonValue, type: DescMessage, options: JsonTextOptions): string {
  const writer = new Writer(options)
  writer.message(json, type)
  return options.whitespace ? `${writer.text}\n` : writer.text
}

class Writer {
  text = ''
  #depth = 0
  readonly #options: JsonTextOptions

  constructor(options: JsonTextOptions) {
    this.#options = options
  }

  message(json: JsonValue, type: DescMessage | undefined): void {
    if (type?.typeName === FLOAT_VALUE && typeof json === 'number') this.#number(json, true)
    else if (typeof json !== 'object' || json === null) this.#scalar(json, false)
    else if (Array.isArray(json)) this.#list(json, item => this.message(item, undefined))
    else if (type?.typeName === ANY) this.#any(json)
    // The names in a Struct are no fields.
    else this.#fields(Object.entries(json), type?.file.name === STRUCT_FILE ? undefined : type)
  }

  /** With its type first. */
  #any(json: JsonObject): void {
    const { '@type': url, ...rest } = json
    if (url === undefined) this.#fields(Object.entries(rest), undefined)
    else {
      const type = this.#options.typeOf(String(url).replace(/^.*\//, ''))
      this.#fields([['@type', url], ...Object.entries(rest)], type)
    }
  }

  #fields(entries: readonly (readonly [name: string, value: JsonValue])[], type: DescMessage | undefined): void {
    this.#items('{', '}', entries, ([name, value]) => {
      this.text += `${quoted(name)}:${this.#options.whitespace ? ' ' : ''}`
      this.#field(
        value,
        type?.fields.find(field => field.jsonName === name || field.name === name),
      )
    })
  }

  #field(value: JsonValue, field: DescField | undefined): void {
    const single = (item: JsonValue) => {
      if (field?.message !== undefined) this.message(item, field.message)
      else if (typeof item === 'object' && item !== null) this.message(item, undefined)
      else this.#scalar(item, field?.scalar === FLOAT)
    }
    if (field?.fieldKind === 'list' && Array.isArray(value)) this.#list(value, single)
    else if (field?.fieldKind === 'map') {
      this.#items('{', '}', Object.entries(value as JsonObject), ([name, item]) => {
        this.text += `${quoted(name)}:${this.#options.whitespace ? ' ' : ''}`
        single(item)
      })
    } else single(value)
  }

  #list(items: readonly JsonValue[], write: (item: JsonValue) => void): void {
    this.#items('[', ']', items, write)
  }

  #items<Item>(open: string, close: string, items: readonly Item[], write: (item: Item) => void): void {
    this.text += open
    this.#depth++
    for (const [i, item] of items.entries()) {
      if (i > 0) this.text += ','
      this.#newLine()
      write(item)
    }
    this.#depth--
    if (items.length > 0) this.#newLine()
    this.text += close
  }

  #newLine(): void {
    if (this.#options.whitespace) this.text += `\n${' '.repeat(this.#depth)}`
  }

  #scalar(value: string | number | boolean | null, single: boolean): void {
    if (typeof value === 'string') this.text += quoted(value)
    else if (typeof value === 'number') this.#number(value, single)
    else this.text += String(value)
  }

  #number(value: number, single: boolean): void {
    this.text += single ? floatText(value) : doubleText(value)
  }
}

/** Markup, and characters of Unicode that are not seen (json_escaping.cc). */
const ESCAPED =
  /["\\<>\u0000-\u001f\u007f-\u009f\u00ad\u0600-\u0603\u06dd\u070f\u17b4\u17b5\u200b-\u200f\u2028-\u202e\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]/gu
const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
}

function quoted(text: string): string {
  return `"${text.replace(ESCAPED, char => SHORT[char] ?? char.split('').map(escaped).join(''))}"`
}

/** `\uXXXX`, one for each half of a character that has two. */
function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function doubleText(value: number): string {
  // What whole numbers of 32 bits are is the same in both forms.
  if (Number.isInteger(value) && Math.abs(value) < 1e15 && !Object.is(value, -0)) return String(value)
  const short = general(value, 15)
  return Number(short) === value ? short : general(value, 17)
}

function floatText(value: number): string {
  const short = general(value, 6)
  return Math.fround(Number(short)) === value ? short : general(value, 9)
}

/** C's `%.<digits>g`. */
function general(value: number, digits: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0'
  const [mantissa, exponentText] = value.toExponential(digits - 1).split('e') as [string, string]
  const exponent = Number(exponentText)
  const trimmed = (text: string) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text)
  if (exponent >= -4 && exponent < digits) return trimmed(value.toFixed(digits - 1 - exponent))
  const sign = exponent < 0 ? '-' : '+'
  return `${trimmed(mantissa)}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`
}
