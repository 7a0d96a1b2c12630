/**
 * Protobuf bytes to the same frozen messages that YAML gives, over the same table; for xDS and the gRPC services we
 * call. Unknown fields are skipped, as protobuf asks, groups among them; a repeated scalar is read packed and unpacked;
 * of a singular field the last value counts, and a message that comes in parts is merged.
 */
import type { ProblemCode, Problems } from './problems.ts'
import { checkRules } from './rules.ts'
import type { AnyMessage, JsonValue } from './schema/generated/types.ts'
import { type FieldDescriptor, FieldFlag, Kind, type MessageDescriptor, type Schema } from './schema/table.ts'
import { recordSource, type SourceDocument } from './source.ts'
import type { Support } from './support.ts'
import { WireReader, WireType } from './wire.ts'

export interface BinaryContext {
  readonly schema: Schema
  readonly document: SourceDocument
  readonly problems: Problems
  readonly support: Support
  /**
   * Leave every `Any` as bytes. For responses of a control plane, whose resources are then judged one by one.
   */
  readonly anyAsBytes?: boolean
  /** Decodes JSON, which is what a TypedStruct holds. */
  readonly decodeJson: (descriptor: MessageDescriptor, json: JsonValue, path: string) => object | undefined
}

/** The value of an `Any` that was not decoded: its type is unknown, or the caller asked for the bytes. */
export class OpaqueMessage {
  readonly bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

const maxDepth = 100

export class BinaryDecoder {
  readonly #context: BinaryContext
  #quiet = 0
  #depth = 0
  /** Whether the message being decoded says `is_optional`: whoever does not know its extension may leave it out. */
  #optional = false

  constructor(context: BinaryContext) {
    this.#context = context
  }

  /** Undefined, with an error reported, if the bytes are no such message. */
  message(descriptor: MessageDescriptor, bytes: Uint8Array, path: string): object | undefined {
    return this.#decode(path, () => this.#message(descriptor, [bytes], path) as object)
  }

  #decode<T>(path: string, decode: () => T): T | undefined {
    try {
      return decode()
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.#error(path, 'syntax', `the bytes are not valid protobuf: ${error.message}`)
      return undefined
    }
  }

  /** `parts` are the bytes of the message, or of its pieces when it came in several. */
  #message(descriptor: MessageDescriptor, parts: readonly Uint8Array[], path: string): unknown {
    if (++this.#depth > maxDepth) throw new RangeError(`nested more than ${maxDepth} messages deep`)
    const raw = new RawMessage()
    for (const part of parts) raw.read(descriptor, part)
    const value = descriptor.native ? this.#native(descriptor, raw, path) : this.#build(descriptor, raw, path)
    this.#depth--
    return value
  }

  #build(descriptor: MessageDescriptor, raw: RawMessage, path: string): object {
    const message = descriptor.create()
    const outer = this.#optional
    const optional = descriptor.field('is_optional')
    this.#optional = optional !== undefined && raw.fields.get(optional)?.at(-1) === true
    let failed: Set<FieldDescriptor> | undefined
    for (const [field, values] of raw.fields) {
      const fieldPath = path === '' ? field.name : `${path}.${field.name}`
      const value = this.#supported(descriptor, field, values, fieldPath)
      if (value === undefined) (failed ??= new Set()).add(field)
      else message[field.property] = value
    }
    this.#optional = outer
    checkRules(descriptor, message, failed, (field, text, index) => {
      const item = index === undefined ? '' : typeof index === 'number' ? `[${index}]` : `["${index}"]`
      const name = field ? `${path === '' ? '' : `${path}.`}${field.name}${item}` : path
      this.#error(name, 'rule', text)
    })
    recordSource(message, { document: this.#context.document, path, node: undefined })
    return Object.freeze(message)
  }

  #supported(
    descriptor: MessageDescriptor,
    field: FieldDescriptor,
    values: readonly RawValue[],
    path: string,
  ): unknown {
    if (this.#quiet > 0) return this.#field(descriptor, field, values, path)
    if (field.flags & FieldFlag.Disallowed) {
      this.#error(path, 'deprecated', 'is deprecated, and Envoy 1.40 refuses it')
      return this.#quietly(() => this.#field(descriptor, field, values, path))
    }
    const class_ = this.#context.support.field(descriptor.typeName, field.name)
    if (class_.kind === 'supported') return this.#field(descriptor, field, values, path)
    const value = this.#quietly(() => this.#field(descriptor, field, values, path))
    if (!field.hasPresence && !field.repeated && !field.isMap && value === field.zero) return value
    if (class_.kind === 'refused') this.#error(path, 'unsupported', class_.reason)
    else {
      const { problems, document } = this.#context
      const key = `no-effect ${descriptor.typeName}.${field.name}`
      problems.warnOnce(key, { document, offset: 0, path }, 'no-effect', `has no effect here: ${class_.reason}`)
    }
    return value
  }

  #field(descriptor: MessageDescriptor, field: FieldDescriptor, values: readonly RawValue[], path: string): unknown {
    if (field.isMap) return this.#map(descriptor, field, values, path)
    if (!field.repeated) {
      if (field.kind === Kind.Message) return this.#submessage(field, values as readonly Uint8Array[], path)
      return this.#scalar(descriptor, field, values.at(-1)!, path)
    }
    const list: unknown[] = []
    let complete = true
    values.forEach((value, index) => {
      const itemPath = `${path}[${index}]`
      const item =
        field.kind === Kind.Message
          ? this.#submessage(field, [value as Uint8Array], itemPath)
          : this.#scalar(descriptor, field, value, itemPath)
      if (item === undefined) complete = false
      else list.push(item)
    })
    return complete ? Object.freeze(list) : undefined
  }

  #map(descriptor: MessageDescriptor, field: FieldDescriptor, values: readonly RawValue[], path: string): unknown {
    const map = new Map<string, unknown>()
    let complete = true
    for (const bytes of values) {
      const { key, value } = readMapEntry(field, bytes as Uint8Array)
      const entryPath = `${path}["${key}"]`
      const decoded =
        field.kind === Kind.Message
          ? this.#submessage(field, [(value as Uint8Array | undefined) ?? noBytes], entryPath)
          : value === undefined
            ? field.zero
            : this.#scalar(descriptor, field, value, entryPath)
      if (decoded === undefined) complete = false
      else map.set(key, decoded)
    }
    return complete ? map : undefined
  }

  #submessage(field: FieldDescriptor, parts: readonly Uint8Array[], path: string): unknown {
    const type = field.message
    return type ? this.#message(type, parts, path) : {}
  }

  #scalar(descriptor: MessageDescriptor, field: FieldDescriptor, value: RawValue, path: string): unknown {
    if (field.kind !== Kind.Enum) {
      if (typeof value !== 'bigint') return value
      const tooLarge = 'is beyond 2^53, which Hopwise does not take'
      this.#error(path, 'type', tooLarge)
      return undefined
    }
    const name = field.enumeration.names.get(value as number)
    if (name === undefined) {
      this.#error(path, 'type', `has no value ${String(value)} in ${field.enumeration.typeName}`)
      return undefined
    }
    const class_ = this.#quiet > 0 ? undefined : this.#context.support.value(descriptor.typeName, field.name, name)
    if (class_?.kind === 'refused') this.#error(path, 'unsupported', `${name} ${class_.reason}`)
    return name
  }

  #native(descriptor: MessageDescriptor, raw: RawMessage, path: string): unknown {
    const last = (name: string): RawValue | undefined => raw.fields.get(descriptor.field(name)!)?.at(-1)
    switch (descriptor.native) {
      case 'any':
        return this.#any((last('type_url') as string) ?? '', (last('value') as Uint8Array) ?? noBytes, path)
      case 'wrapper': {
        const field = descriptor.fields[0]!
        const value = last('value')
        return value === undefined ? field.zero : this.#scalar(descriptor, field, value, path)
      }
      case 'duration':
      case 'timestamp':
        return Number(last('seconds') ?? 0) * 1000 + Number(last('nanos') ?? 0) / 1e6
      case 'fieldmask':
        return Object.freeze([...(raw.fields.get(descriptor.field('paths')!) ?? [])])
      default:
        return this.#json(descriptor, raw)
    }
  }

  #json(descriptor: MessageDescriptor, raw: RawMessage): JsonValue {
    if (descriptor.native === 'list') {
      const field = descriptor.field('values')!
      const values = raw.fields.get(field) ?? []
      return Object.freeze(values.map(bytes => this.#submessage(field, [bytes as Uint8Array], '') as JsonValue))
    }
    if (descriptor.native === 'struct') {
      const field = descriptor.field('fields')!
      // No prototype, so that a key named `__proto__` is a key like any other.
      const object: Record<string, JsonValue> = Object.create(null)
      for (const bytes of raw.fields.get(field) ?? []) {
        const { key, value } = readMapEntry(field, bytes as Uint8Array)
        object[key] = this.#submessage(field, [(value as Uint8Array | undefined) ?? noBytes], '') as JsonValue
      }
      return Object.freeze(object)
    }
    // A Value is a oneof: the last one given counts.
    const [field, values] = raw.last ? [raw.last, raw.fields.get(raw.last)!] : []
    if (!field || !values || field.kind === Kind.Enum) return null
    if (field.kind === Kind.Message) return this.#submessage(field, values as readonly Uint8Array[], '') as JsonValue
    return values.at(-1) as JsonValue
  }

  #any(url: string, bytes: Uint8Array, path: string): AnyMessage | undefined {
    const typeName = url.slice(url.lastIndexOf('/') + 1)
    if (typeName === '' || this.#context.anyAsBytes) return anyOf(typeName, new OpaqueMessage(bytes))
    const descriptor = this.#context.schema.message(typeName)
    if (!descriptor) return this.#unknownType(typeName, bytes, path)
    if (typeName === 'udpa.type.v1.TypedStruct' || typeName === 'xds.type.v3.TypedStruct') {
      return this.#typedStruct(descriptor, bytes, path)
    }
    const class_ = this.#quiet > 0 ? undefined : this.#context.support.message(typeName)
    if (class_?.kind === 'refused') {
      this.#refuse(path, 'unsupported', `${typeName.slice(typeName.lastIndexOf('.') + 1)} ${class_.reason}`)
      if (this.#optional) return undefined
    }
    const decode = () => this.#message(descriptor, [bytes], path)
    const value = class_ && class_.kind !== 'supported' ? this.#quietly(decode) : decode()
    return this.#recorded(anyOf(typeName, value), path)
  }

  /** A TypedStruct holds the inner message as JSON, so it takes the tree's way through the inner type. */
  #typedStruct(descriptor: MessageDescriptor, bytes: Uint8Array, path: string): AnyMessage | undefined {
    const raw = new RawMessage()
    raw.read(descriptor, bytes)
    const url = (raw.fields.get(descriptor.field('type_url')!)?.at(-1) as string | undefined) ?? ''
    const typeName = url.slice(url.lastIndexOf('/') + 1)
    const inner = this.#context.schema.message(typeName)
    if (!inner) return this.#unknownType(typeName, bytes, path)
    const field = descriptor.field('value')!
    const parts = (raw.fields.get(field) as readonly Uint8Array[] | undefined) ?? [noBytes]
    const json = this.#submessage(field, parts, path) as JsonValue
    const value = this.#context.decodeJson(inner, json, `${path}.value`)
    return value === undefined ? undefined : this.#recorded(anyOf(typeName, value), path)
  }

  #unknownType(typeName: string, bytes: Uint8Array, path: string): AnyMessage | undefined {
    if (this.#quiet > 0) return anyOf(typeName, new OpaqueMessage(bytes))
    this.#refuse(path, 'extension', `"${typeName}" is not supported yet by Hopwise`)
    return this.#optional ? undefined : anyOf(typeName, new OpaqueMessage(bytes))
  }

  /** What we do not know is left out, with a warning, where the resource says that it may be. */
  #refuse(path: string, code: ProblemCode, message: string): void {
    const { problems, document } = this.#context
    if (!this.#optional) this.#error(path, code, message)
    else problems.warning({ document, offset: 0, path }, code, `left out, as it is optional: ${message}`)
  }

  #recorded(any: AnyMessage, path: string): AnyMessage {
    recordSource(any, { document: this.#context.document, path, node: undefined })
    return any
  }

  #quietly<T>(decode: () => T): T {
    this.#quiet++
    try {
      return decode()
    } finally {
      this.#quiet--
    }
  }

  #error(path: string, code: ProblemCode, message: string): void {
    this.#context.problems.error({ document: this.#context.document, offset: 0, path }, code, message)
  }
}

function anyOf(typeUrl: string, value: unknown): AnyMessage {
  return Object.freeze({ typeUrl, value: value as object })
}

const noBytes = new Uint8Array(0)

/** What stands on the wire for one value: numbers and strings decoded, messages still bytes. Bigint: beyond 2^53. */
type RawValue = number | bigint | string | boolean | Uint8Array

/** The values of each known field in the order they came. */
class RawMessage {
  readonly fields = new Map<FieldDescriptor, RawValue[]>()
  last: FieldDescriptor | undefined

  read(descriptor: MessageDescriptor, bytes: Uint8Array): void {
    const reader = new WireReader(bytes)
    while (!reader.done) {
      const { number, wireType } = reader.tag()
      const field = descriptor.fieldNumber(number)
      if (!field) reader.skip(wireType, number)
      else if (!this.#readField(field, reader, wireType)) reader.skip(wireType, number)
    }
  }

  /** False if the wire type is not the field's: protobuf treats that as an unknown field. */
  #readField(field: FieldDescriptor, reader: WireReader, wireType: number): boolean {
    const expected = field.isMap ? WireType.Bytes : wireTypeOf(field.kind)
    const isPacked = field.repeated && wireType === WireType.Bytes && expected !== WireType.Bytes
    if (wireType !== expected && !isPacked) return false
    let values = this.fields.get(field)
    // A later member of a oneof replaces the earlier one.
    if (!values) {
      if (field.oneof >= 0) this.#clearOneof(field)
      this.fields.set(field, (values = []))
    }
    this.last = field
    if (field.isMap) values.push(reader.bytes())
    else if (!isPacked) values.push(readScalar(field.kind, reader))
    else {
      const packed = new WireReader(reader.bytes())
      while (!packed.done) values.push(readScalar(field.kind, packed))
    }
    return true
  }

  #clearOneof(field: FieldDescriptor): void {
    for (const other of this.fields.keys()) if (other.oneof === field.oneof) this.fields.delete(other)
  }
}

function readMapEntry(field: FieldDescriptor, bytes: Uint8Array): { key: string; value: RawValue | undefined } {
  const reader = new WireReader(bytes)
  let key = field.mapKey === Kind.String ? '' : '0'
  let value: RawValue | undefined
  while (!reader.done) {
    const { number, wireType } = reader.tag()
    if (number === 1 && wireType === wireTypeOf(field.mapKey)) key = String(readScalar(field.mapKey, reader))
    else if (number === 2 && wireType === wireTypeOf(field.kind)) value = readScalar(field.kind, reader)
    else reader.skip(wireType, number)
  }
  return { key, value }
}

export function wireTypeOf(kind: Kind): number {
  switch (kind) {
    case Kind.Double:
    case Kind.Fixed64:
    case Kind.SFixed64:
      return WireType.Fixed64
    case Kind.Float:
    case Kind.Fixed32:
    case Kind.SFixed32:
      return WireType.Fixed32
    case Kind.String:
    case Kind.Bytes:
    case Kind.Message:
      return WireType.Bytes
    default:
      return WireType.Varint
  }
}

function readScalar(kind: Kind, reader: WireReader): RawValue {
  switch (kind) {
    case Kind.String:
      return reader.string()
    case Kind.Bytes:
      return reader.bytes().slice()
    case Kind.Message:
      return reader.bytes()
    case Kind.Bool:
      return reader.varint() !== 0
    case Kind.Double:
      return reader.double()
    case Kind.Float:
      return reader.float()
    case Kind.UInt32:
      return Number(BigInt.asUintN(32, BigInt(reader.varint())))
    case Kind.Int32:
    case Kind.Enum:
      return reader.int32()
    case Kind.Int64:
      return reader.int64()
    case Kind.UInt64:
      return reader.varint()
    default:
      return reader.other(kind)
  }
}
