/** Frozen messages to protobuf bytes, over the same table. Defaults are left out, as proto3 does. */
import { OpaqueMessage, wireTypeOf } from './binary-decode.ts'
import type { AnyMessage, JsonValue, MessageTypes } from './schema/generated/types.ts'
import { type FieldDescriptor, FieldFlag, Kind, type MessageDescriptor, schema } from './schema/table.ts'
import { WireType, WireWriter } from './wire.ts'

/** What a caller must give of a message: any of its fields. The rest is taken as absent. */
export type Encodable<T> = { readonly [K in keyof T]?: T[K] | undefined }

export function encodeBinary<Name extends keyof MessageTypes>(
  typeName: Name,
  message: Encodable<MessageTypes[Name]>,
): Uint8Array {
  const descriptor = schema().message(typeName)
  if (!descriptor) throw new Error(`the schema has no message ${typeName}`)
  return encodeMessage(descriptor, message)
}

/** As `google.protobuf.Any`: type URL and bytes, for a value that `AnyMessage` does not yet hold. */
export function encodeMessage(descriptor: MessageDescriptor, value: unknown): Uint8Array {
  const writer = new WireWriter()
  if (descriptor.native) writeNative(descriptor, value, writer)
  else writeFields(descriptor, value as Readonly<Record<string, unknown>>, writer)
  return writer.finish()
}

function writeFields(
  descriptor: MessageDescriptor,
  message: Readonly<Record<string, unknown>>,
  writer: WireWriter,
): void {
  for (const field of descriptor.fields) {
    const value = message[field.property]
    if (value === undefined) continue
    if (field.isMap) writeMap(field, value as ReadonlyMap<string, unknown>, writer)
    else if (field.repeated) writeList(field, value as readonly unknown[], writer)
    else if (field.hasPresence || !isZero(field, value)) writeField(field, value, writer)
  }
}

function isZero(field: FieldDescriptor, value: unknown): boolean {
  if (value instanceof Uint8Array) return value.length === 0
  // Negative zero is not the default: its sign is a bit that the reader would miss.
  return Object.is(value, field.zero)
}

function writeField(field: FieldDescriptor, value: unknown, writer: WireWriter): void {
  writer.tag(field.number, wireTypeOf(field.kind))
  writeValue(field, value, writer)
}

function writeList(field: FieldDescriptor, list: readonly unknown[], writer: WireWriter): void {
  if (list.length === 0) return
  if ((field.flags & FieldFlag.Packed) === 0) {
    for (const item of list) writeField(field, item, writer)
    return
  }
  const packed = new WireWriter()
  for (const item of list) writeValue(field, item, packed)
  writer.tag(field.number, WireType.Bytes)
  writer.bytes(packed.finish())
}

function writeMap(field: FieldDescriptor, map: ReadonlyMap<string, unknown>, writer: WireWriter): void {
  for (const [key, value] of map) {
    const entry = new WireWriter()
    entry.tag(1, wireTypeOf(field.mapKey))
    if (field.mapKey === Kind.String) entry.string(key)
    else entry.varint(field.mapKey === Kind.Bool ? Number(key === 'true') : BigInt(key))
    entry.tag(2, wireTypeOf(field.kind))
    writeValue(field, value, entry)
    writer.tag(field.number, WireType.Bytes)
    writer.bytes(entry.finish())
  }
}

function writeValue(field: FieldDescriptor, value: unknown, writer: WireWriter): void {
  switch (field.kind) {
    case Kind.Message:
      writer.bytes(field.message ? encodeMessage(field.message, value) : new Uint8Array(0))
      return
    case Kind.String:
      writer.string(value as string)
      return
    case Kind.Bytes:
      writer.bytes(value as Uint8Array)
      return
    case Kind.Bool:
      writer.varint(value ? 1 : 0)
      return
    case Kind.Enum:
      writer.varint(field.enumeration.numbers.get(value as string) ?? 0)
      return
    case Kind.Double:
      writer.double(value as number)
      return
    case Kind.Float:
      writer.float(value as number)
      return
    case Kind.Fixed32:
    case Kind.SFixed32:
      writer.fixed32(value as number)
      return
    case Kind.Fixed64:
    case Kind.SFixed64:
      writer.fixed64(value as number)
      return
    case Kind.SInt32:
    case Kind.SInt64: {
      const signed = BigInt(value as number)
      writer.varint((signed << 1n) ^ (signed >> 63n))
      return
    }
    default:
      writer.varint(value as number)
  }
}

function writeNative(descriptor: MessageDescriptor, value: unknown, writer: WireWriter): void {
  const field = (name: string) => descriptor.field(name)!
  switch (descriptor.native) {
    case 'any': {
      const { typeUrl, bytes } = anyBytes(value as AnyMessage)
      if (typeUrl !== '') writeField(field('type_url'), `type.googleapis.com/${typeUrl}`, writer)
      if (bytes.length > 0) writeField(field('value'), bytes, writer)
      return
    }
    case 'wrapper':
      if (!isZero(descriptor.fields[0]!, value)) writeField(descriptor.fields[0]!, value, writer)
      return
    case 'duration':
    case 'timestamp': {
      const { seconds, nanos } = secondsAndNanos(value as number, descriptor.native === 'timestamp')
      if (seconds !== 0) writeField(field('seconds'), seconds, writer)
      if (nanos !== 0) writeField(field('nanos'), nanos, writer)
      return
    }
    case 'fieldmask':
      writeList(field('paths'), value as readonly string[], writer)
      return
    case 'struct':
      writeMap(field('fields'), new Map(Object.entries(value as object)), writer)
      return
    case 'list':
      writeList(field('values'), value as readonly unknown[], writer)
      return
    default:
      writeJson(descriptor, value as JsonValue, writer)
  }
}

export function anyBytes({ typeUrl, value }: AnyMessage): { readonly typeUrl: string; readonly bytes: Uint8Array } {
  if (value instanceof OpaqueMessage) return { typeUrl, bytes: value.bytes }
  const descriptor = schema().message(typeUrl)
  if (!descriptor) throw new Error(`the schema has no message ${typeUrl} to encode`)
  return { typeUrl, bytes: encodeMessage(descriptor, value) }
}

/** Timestamps count nanos forward even before 1970; a negative duration has both parts negative. */
export function secondsAndNanos(ms: number, isTimestamp: boolean): { seconds: number; nanos: number } {
  let seconds = isTimestamp ? Math.floor(ms / 1000) : Math.trunc(ms / 1000)
  let nanos = Math.round((ms - seconds * 1000) * 1e6)
  if (Math.abs(nanos) >= 1e9) {
    seconds += Math.sign(nanos)
    nanos = 0
  }
  return { seconds: seconds + 0, nanos: nanos + 0 }
}

function writeJson(descriptor: MessageDescriptor, value: JsonValue, writer: WireWriter): void {
  const write = (name: string, content: unknown) => writeField(descriptor.field(name)!, content, writer)
  if (value === null) write('null_value', 'NULL_VALUE')
  else if (typeof value === 'number') write('number_value', value)
  else if (typeof value === 'string') write('string_value', value)
  else if (typeof value === 'boolean') write('bool_value', value)
  else if (Array.isArray(value)) write('list_value', value)
  else write('struct_value', value)
}
