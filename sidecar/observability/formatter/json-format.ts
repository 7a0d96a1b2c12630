/**
 * JSON formats. The struct is taken apart when it is compiled, so that a request costs one pass over ready-made pieces:
 * `{"code":` value `,"path":` value `}`.
 */
import { isUtf8 } from 'node:buffer'
import {
  binaryText,
  type Compiled,
  type Extractor,
  type FormatContext,
  type FormatError,
  type FormatNeed,
  type FormatOptions,
  type Formatter,
  type FormatValue,
  type OperatorOptions,
} from './context.ts'
import { operatorOptions, withNeeds } from './operator.ts'
import { sortedKeys } from './operators-metadata.ts'
import { parseFormat, type Segment } from './parse.ts'

type Write = (context: FormatContext) => string
/** Writes a value, or undefined where it is left out (`omit_empty_values`). */
type WriteOrOmit = (context: FormatContext) => string | undefined

/**
 * A JSON object per request, by the struct of `json_format`: texts are formats, a text that is one operator keeps the
 * operator's type, other values are printed as they are. Keys come out in their order, as in Envoy. Ends with a line
 * break, as Envoy's access log does; `newline: false` leaves it out (`local_reply_config`).
 */
export function compileJsonFormat(
  format: Readonly<Record<string, unknown>>,
  options: FormatOptions & { readonly newline?: boolean } = {},
): Compiled<Formatter> {
  const needs = new Set<FormatNeed>()
  const omitEmpty = options.omitEmptyValues === true
  const builder = new Builder(operatorOptions(options), omitEmpty, needs)
  const write = builder.object(format, '')
  if (builder.errors.length > 0) return { errors: builder.errors }
  const end = options.newline === false ? '' : '\n'
  return { value: withNeeds(context => (write(context) ?? '{}') + end, needs) }
}

class Builder {
  readonly errors: FormatError[] = []
  readonly #options: OperatorOptions
  readonly #omitEmpty: boolean
  readonly #needs: Set<FormatNeed>

  constructor(options: OperatorOptions, omitEmpty: boolean, needs: Set<FormatNeed>) {
    this.#options = options
    this.#omitEmpty = omitEmpty
    this.#needs = needs
  }

  /** A struct of which nothing is left is left out itself. */
  object(struct: Readonly<Record<string, unknown>>, path: string): WriteOrOmit {
    const fields = Object.entries(struct)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({
        key: `${jsonText(binaryText(key))}:`,
        write: this.#value(value, path === '' ? key : `${path}.${key}`),
      }))
    const omitEmpty = this.#omitEmpty
    return context => {
      let out = ''
      for (let i = 0; i < fields.length; i++) {
        const { key, write } = fields[i]!
        const text = write(context)
        if (text === undefined) continue
        out += (out === '' ? '{' : ',') + key + text
      }
      if (out !== '') return `${out}}`
      return omitEmpty ? undefined : '{}'
    }
  }

  #value(value: unknown, path: string): WriteOrOmit {
    if (typeof value === 'string') return this.#text(value, path)
    if (Array.isArray(value)) return this.#list(value, path)
    if (typeof value === 'object' && value !== null) return this.object(value as Record<string, unknown>, path)
    if (value === null || value === undefined) return this.#omitEmpty ? () => undefined : () => 'null'
    const constant = JSON.stringify(value)
    return () => constant
  }

  #list(values: readonly unknown[], path: string): WriteOrOmit {
    const writers = values.map((value, index) => this.#value(value, `${path}[${index}]`))
    return context => {
      let out = ''
      for (const write of writers) {
        const text = write(context)
        if (text !== undefined) out += (out === '' ? '' : ',') + text
      }
      return `[${out}]`
    }
  }

  #text(format: string, path: string): WriteOrOmit {
    const { segments, errors } = parseFormat(format, this.#options, this.#needs, path)
    this.errors.push(...errors)
    const [only] = segments
    if (segments.length === 1 && typeof only === 'function') return typed(only, this.#omitEmpty)
    return joined(segments, this.#omitEmpty ? '' : '-')
  }
}

function typed(extractor: Extractor, omitEmpty: boolean): WriteOrOmit {
  const missing = omitEmpty ? undefined : 'null'
  return context => {
    const value = extractor(context)
    return value === undefined || value === null ? missing : jsonValue(value)
  }
}

function joined(segments: readonly Segment[], empty: string): Write {
  if (segments.every(segment => typeof segment === 'string')) {
    const constant = jsonText(segments.join(''))
    return () => constant
  }
  return context => {
    let text = ''
    for (const segment of segments) {
      if (typeof segment === 'string') text += segment
      else text += segment(context) ?? empty
    }
    return jsonText(text)
  }
}

function jsonValue(value: NonNullable<FormatValue>): string {
  if (typeof value === 'string') return jsonText(value)
  if (typeof value !== 'object') return String(value)
  const inner = 'toJSON' in value ? (value.toJSON as () => unknown)() : value
  return binaryText(JSON.stringify(sortedKeys(inner)))
}

/**
 * A text of bytes as JSON. What is not UTF-8 cannot be JSON as it is: then Envoy writes every byte out of the ordinary as
 * `\u00xx` (measured), so that no log line is lost to a strange header.
 */
export function jsonText(text: string): string {
  if (isPlain(text)) return '"' + text + '"'
  if (!/[^\0-\x7f]/.test(text) || isUtf8(Buffer.from(text, 'latin1'))) return JSON.stringify(text)
  const escaped = text.replace(
    /[\0-\x1f"\\\x7f-\xff]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return `"${escaped}"`
}

/** All of it may stand in a JSON text as it is. A look at each character costs less than a regular expression. */
function isPlain(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) return false
  }
  return true
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
