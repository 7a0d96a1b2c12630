/**
 * Messages as Envoy prints them in /config_dump: proto3 JSON with the protos' own snake_case names. Fields at their
 * default are left out, 64-bit numbers and bytes are strings, an Any has its "@type", and what is marked sensitive
 * (private keys, passwords) is redacted when asked.
 */
import { OpaqueMessage } from './binary-decode.ts'
import { secondsAndNanos } from './binary-encode.ts'
import type { AnyMessage, JsonValue, MessageTypes } from './schema/generated/types.ts'
import { type FieldDescriptor, FieldFlag, Kind, type MessageDescriptor, schema } from './schema/table.ts'

export interface JsonEncoding {
  /** Put "[redacted]" for what the protos mark as sensitive, and redact whole messages below such a field. */
  readonly redact?: boolean
}

export function encodeJson<Name extends keyof MessageTypes>(
  typeName: Name,
  message: MessageTypes[Name],
  encoding: JsonEncoding = {},
): JsonValue {
  const descriptor = schema().message(typeName)
  if (!descriptor) throw new Error(`the schema has no message ${typeName}`)
  return encodeMessage(descriptor, message, encoding, false)
}

/** An `AnyMessage` with its "@type", as a list of configs in a dump holds it. */
export function encodeAnyJson(any: AnyMessage, encoding: JsonEncoding = {}): JsonValue {
  return encodeAny(any, encoding, false)
}

type Json = Record<string, JsonValue>

function encodeMessage(
  descriptor: MessageDescriptor,
  value: unknown,
  encoding: JsonEncoding,
  isSecret: boolean,
): JsonValue {
  switch (descriptor.native) {
    case undefined:
      return encodeFields(descriptor, value as Readonly<Record<string, unknown>>, encoding, isSecret)
    case 'any':
      return encodeAny(value as AnyMessage, encoding, isSecret)
    case 'wrapper':
      return encodeScalar(descriptor.fields[0]!, value, isSecret)
    case 'duration':
      return encodeDuration(value as number)
    case 'timestamp':
      return encodeTimestamp(value as number)
    case 'fieldmask':
      return (value as readonly string[]).join(',')
    default:
      return isSecret ? redactJson(value as JsonValue) : (value as JsonValue)
  }
}

function encodeFields(
  descriptor: MessageDescriptor,
  message: Readonly<Record<string, unknown>>,
  encoding: JsonEncoding,
  isSecret: boolean,
): Json {
  const result: Json = {}
  for (const field of descriptor.fields) {
    const value = message[field.property]
    if (value === undefined || isAbsent(field, value)) continue
    const secret = isSecret || (encoding.redact === true && (field.flags & FieldFlag.Sensitive) !== 0)
    result[field.name] = encodeField(field, value, encoding, secret)
  }
  return result
}

function isAbsent(field: FieldDescriptor, value: unknown): boolean {
  if (field.repeated) return (value as readonly unknown[]).length === 0
  if (field.isMap) return (value as ReadonlyMap<string, unknown>).size === 0
  if (field.hasPresence) return false
  return value instanceof Uint8Array ? value.length === 0 : value === field.zero
}

function encodeField(field: FieldDescriptor, value: unknown, encoding: JsonEncoding, isSecret: boolean): JsonValue {
  const one = (item: unknown): JsonValue => {
    if (field.kind !== Kind.Message) return encodeScalar(field, item, isSecret)
    return field.message ? encodeMessage(field.message, item, encoding, isSecret) : {}
  }
  if (field.repeated) return (value as readonly unknown[]).map(one)
  if (!field.isMap) return one(value)
  return Object.fromEntries([...(value as ReadonlyMap<string, unknown>)].map(([key, item]) => [key, one(item)]))
}

function encodeScalar(field: FieldDescriptor, value: unknown, isSecret: boolean): JsonValue {
  if (isSecret) return redactScalar(field.kind)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  switch (field.kind) {
    case Kind.Int64:
    case Kind.UInt64:
    case Kind.Fixed64:
    case Kind.SFixed64:
    case Kind.SInt64:
      return String(value)
    case Kind.Enum:
      return value === 'NULL_VALUE' ? null : (value as string)
    case Kind.Double:
    case Kind.Float:
      return Number.isFinite(value as number) ? (value as number) : String(value)
    default:
      return value as JsonValue
  }
}

/** As Envoy's MessageUtil::redact does it. */
function redactScalar(kind: Kind): JsonValue {
  if (kind === Kind.String) return '[redacted]'
  if (kind === Kind.Bytes) return Buffer.from('[redacted]').toString('base64')
  if (kind === Kind.Bool) return false
  return 0
}

function redactJson(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return (value as readonly JsonValue[]).map(redactJson)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redactJson(item)]))
  }
  return typeof value === 'string' ? '[redacted]' : null
}

function encodeAny({ typeUrl, value }: AnyMessage, encoding: JsonEncoding, isSecret: boolean): JsonValue {
  if (typeUrl === '') return {}
  const type = { '@type': `type.googleapis.com/${typeUrl}` }
  if (value instanceof OpaqueMessage) return { ...type, value: Buffer.from(value.bytes).toString('base64') }
  const descriptor = schema().message(typeUrl)
  if (!descriptor) throw new Error(`the schema has no message ${typeUrl} to print`)
  const encoded = encodeMessage(descriptor, value, encoding, isSecret)
  return descriptor.native ? { ...type, value: encoded } : { ...type, ...(encoded as Json) }
}

/** `1.500s`: protobuf prints a fraction with 3, 6 or 9 digits. */
export function encodeDuration(ms: number): string {
  const { seconds, nanos } = secondsAndNanos(ms, false)
  const sign = seconds < 0 || nanos < 0 ? '-' : ''
  return `${sign}${Math.abs(seconds)}${fraction(Math.abs(nanos))}s`
}

function encodeTimestamp(ms: number): string {
  const { seconds, nanos } = secondsAndNanos(ms, true)
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}${fraction(nanos)}Z`
}

function fraction(nanos: number): string {
  if (nanos === 0) return ''
  const digits = String(nanos).padStart(9, '0')
  if (digits.endsWith('000000')) return `.${digits.slice(0, 3)}`
  return digits.endsWith('000') ? `.${digits.slice(0, 6)}` : `.${digits}`
}
