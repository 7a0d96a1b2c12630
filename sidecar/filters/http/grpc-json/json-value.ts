/**
 * What callers may write for a field, in a body or in a query, in the one form that the protobuf library takes. Envoy's
 * library is older and takes more: truth in words, one value where several may stand, well-known types by their fields.
 */
import type { DescEnum, DescField, DescMessage, JsonObject, JsonValue } from '@bufbuild/protobuf'
import { booleanOf } from '../../../base/boolean-text.ts'

/** The caller's mistake: its text goes into the answer. */
export class RequestMistake extends Error {
  override name = 'RequestMistake'
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function fieldOf(message: DescMessage, name: string): DescField | undefined {
  return message.fields.find(field => field.name === name || field.jsonName === name)
}

const WRAPPED = /^google\.protobuf\.(?:Bool|String|Bytes|Float|Double|U?Int(?:32|64))Value$/
const AS_TEXT = new Set(['Timestamp', 'Duration', 'FieldMask', 'Value'].map(name => `google.protobuf.${name}`))
/** JSON of any form: nothing to be checked by fields. */
const ANY_JSON = new Set(['Any', 'Struct', 'Value', 'ListValue'].map(name => `google.protobuf.${name}`))
/** Types for which null is a value. */
const NULLABLE = new Set(['google.protobuf.Value', 'google.protobuf.NullValue'])
/** By `ScalarType` of @bufbuild/protobuf, which has the numbers of `FieldDescriptorProto.Type`. */
const SCALAR_NAMES: Readonly<Record<number, string>> = {
  1: 'DOUBLE',
  2: 'FLOAT',
  3: 'INT64',
  4: 'UINT64',
  5: 'INT32',
  6: 'FIXED64',
  7: 'FIXED32',
  8: 'BOOL',
  9: 'STRING',
  12: 'BYTES',
  13: 'UINT32',
  15: 'SFIXED32',
  16: 'SFIXED64',
  17: 'SINT32',
  18: 'SINT64',
}

/** The JSON of a value that came in a path or a query. */
export function bindingValue(field: DescField, text: string, anyCase: boolean): JsonValue {
  const wrong = (type: string): never => {
    throw new RequestMistake(`${field.name}: invalid value "${text}" for type ${type}`)
  }
  if (field.enum !== undefined) {
    return enumValue(field.enum, text, anyCase) ?? wrong(`type.googleapis.com/${field.enum.typeName}`)
  }
  const { message } = field
  if (message === undefined || WRAPPED.test(message.typeName)) {
    const scalar = message === undefined ? field.scalar : message.fields[0]!.scalar
    return scalarValue(scalar, text) ?? wrong(`TYPE_${SCALAR_NAMES[scalar ?? 0] ?? 'MESSAGE'}`)
  }
  return AS_TEXT.has(message.typeName) ? text : wrong(`type.googleapis.com/${message.typeName}`)
}

/** Undefined where the text is no such value. */
function scalarValue(scalar: number | undefined, text: string): JsonValue | undefined {
  const name = SCALAR_NAMES[scalar ?? 0]
  if (name === 'STRING') return text
  if (name === 'BYTES') return isBase64(text) ? text : undefined
  if (name === 'BOOL') return booleanOf(text)
  if (name === 'DOUBLE' || name === 'FLOAT') {
    return /^(?:NaN|-?Infinity)$/.test(text) || (text.trim() !== '' && Number.isFinite(Number(text))) ? text : undefined
  }
  return /^[+-]?\d+$/.test(text) ? text.replace('+', '') : undefined
}

/** Of either alphabet, with all of its padding or without. */
function isBase64(text: string): boolean {
  const padding = text.length - text.replace(/=+$/, '').length
  return padding === 0 || text.length % 4 === 0
}

/** A number in a text must be one of the enum's; a number may be any. */
function enumValue(type: DescEnum, text: string, anyCase: boolean): string | number | undefined {
  if (/^-?\d+$/.test(text)) return type.values.find(({ number }) => number === Number(text))?.number
  const same = anyCase ? text.toUpperCase().replaceAll('-', '_') : text
  return type.values.find(({ name }) => (anyCase ? name.toUpperCase() : name) === same)?.name
}

/** `above`: where the message stands, with a dot behind. */
export function messageValue(json: JsonValue, type: DescMessage, anyCase: boolean, above: string): JsonValue {
  const { typeName } = type
  if (WRAPPED.test(typeName)) {
    const value = isObject(json) ? (json['value'] ?? null) : json
    return singleValue(value, type.fields[0]!, anyCase, above.slice(0, -1))
  }
  if (typeName === 'google.protobuf.FieldMask') {
    const paths = isObject(json) && Array.isArray(json['paths']) ? json['paths'].join(',') : json
    return typeof paths === 'string' ? paths.replace(/_([a-z])/g, (_, char: string) => char.toUpperCase()) : paths
  }
  if (typeName === 'google.protobuf.ListValue' && isObject(json) && Object.keys(json).length === 0) return []
  if (ANY_JSON.has(typeName) || !isObject(json)) return json
  const result: JsonObject = {}
  for (const [key, value] of Object.entries(json)) {
    const field = fieldOf(type, key)
    // The last one counts where both names of a field are there.
    result[field?.name ?? key] = field === undefined ? value : fieldValue(value, field, anyCase, `${above}${key}`)
  }
  if (typeName === 'google.protobuf.Timestamp') return timestampText(result)
  return typeName === 'google.protobuf.Duration' ? durationText(result) : result
}

function fieldValue(value: JsonValue, field: DescField, anyCase: boolean, path: string): JsonValue {
  if (field.fieldKind === 'map' && isObject(value)) {
    const entries = Object.entries(value).map(([key, item]) => [
      field.mapKey === 8 ? String(booleanOf(key) ?? key) : key,
      item === null && !nullable(field) ? zeroOf(field) : singleValue(item, field, anyCase, path),
    ])
    return Object.fromEntries(entries)
  }
  if (field.fieldKind !== 'list' || value === null) return singleValue(value, field, anyCase, path)
  const anyForm = field.message !== undefined && ANY_JSON.has(field.message.typeName)
  const items = anyForm && Array.isArray(value) ? value : flattened(value)
  return items.filter(item => item !== null || nullable(field)).map(item => singleValue(item, field, anyCase, path))
}

/** One value is a list of one, and lists in lists are one list. */
function flattened(value: JsonValue): readonly JsonValue[] {
  return Array.isArray(value) ? value.flatMap(flattened) : [value]
}

/** One value of a field, whatever the field's kind. */
function singleValue(item: JsonValue, field: DescField, anyCase: boolean, path: string): JsonValue {
  if (field.message !== undefined) return messageValue(item, field.message, anyCase, `${path}.`)
  if (typeof item !== 'string') return item
  const value = field.enum === undefined ? scalarValue(field.scalar, item) : enumValue(field.enum, item, anyCase)
  if (value !== undefined) return value
  const type =
    field.enum === undefined ? `TYPE_${SCALAR_NAMES[field.scalar ?? 0]}` : `type.googleapis.com/${field.enum.typeName}`
  throw new RequestMistake(`${path}: invalid value "${item}" for type ${type}`)
}

function nullable(field: DescField): boolean {
  return NULLABLE.has((field.message ?? field.enum)?.typeName ?? '')
}

/** What a map's entry without a value has. */
function zeroOf({ message, enum: type, scalar }: DescField): JsonValue {
  if (message !== undefined) return {}
  if (type !== undefined) return type.values[0]!.number
  const name = SCALAR_NAMES[scalar ?? 0]
  return name === 'BOOL' ? false : name === 'STRING' || name === 'BYTES' ? '' : 0
}

function timestampText({ seconds = 0, nanos = 0 }: JsonObject): string {
  const date = new Date(Number(seconds) * 1000)
  if (Number.isNaN(date.getTime())) throw new RequestMistake(`invalid timestamp of ${String(seconds)} seconds`)
  return `${date.toISOString().slice(0, 19)}.${String(nanos).padStart(9, '0')}Z`
}

function durationText({ seconds = 0, nanos = 0 }: JsonObject): string {
  const sign = String(seconds).startsWith('-') || Number(nanos) < 0 ? '-' : ''
  const whole = String(seconds).replace('-', '')
  return `${sign}${whole}.${String(Math.abs(Number(nanos))).padStart(9, '0')}s`
}
