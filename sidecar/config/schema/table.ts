/**
 * The schema table: what is generated (`generated/table.json`), and how the rest of `config/` sees it.
 *
 * The file stores arrays, not objects, because field names would be four fifths of it; a message's descriptor is built
 * from them when it is first asked for, so a small configuration pays only for the messages that it uses.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../../base/package-root.ts'
import { camelCase, type NativeForm, nativeForm } from './well-known.ts'

/** Bits of the flags column. */
export const FieldFlag = {
  Repeated: 1,
  Map: 2,
  /** proto3 `optional`: presence is told apart from the default. */
  Optional: 4,
  Packed: 8,
  Deprecated: 16,
  /** Envoy 1.40 refuses the field unless a runtime key allows it. */
  Disallowed: 32,
  /** Redacted in dumps. */
  Sensitive: 64,
} as const

/** [name, number, kind, type index, flags, oneof index + 1, rule index + 1, map key kind]; zeros at the end are cut. */
export type PackedField = readonly [string, number, number, number?, number?, number?, number?, number?]
/** [full name, fields, names of oneofs, those that must be set marked `!`] */
export type PackedMessage = readonly [string, readonly PackedField[], (readonly string[])?]
/** [full name, [name, number, name, number, …]] */
export type PackedEnum = readonly [string, readonly (string | number)[]]

export interface PackedTable {
  /** Hash of all the rest: a table that was edited by hand, or only half regenerated, shows. */
  readonly digest: string
  readonly source: string
  readonly messages: readonly PackedMessage[]
  /** Full names of messages that are referred to but left out; they are numbered after `messages`. */
  readonly omitted: readonly string[]
  readonly enums: readonly PackedEnum[]
  readonly rules: readonly object[]
}

/** protobuf's own numbers for field types. Envoy's API uses no group, no fixed and no zigzag kind but fixed32/64. */
export const Kind = {
  Double: 1,
  Float: 2,
  Int64: 3,
  UInt64: 4,
  Int32: 5,
  Fixed64: 6,
  Fixed32: 7,
  Bool: 8,
  String: 9,
  Group: 10,
  Message: 11,
  Bytes: 12,
  UInt32: 13,
  Enum: 14,
  SFixed32: 15,
  SFixed64: 16,
  SInt32: 17,
  SInt64: 18,
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

/** validate.rules of one field; see `generate/rules.ts` for the form and `rules.ts` for the meaning. */
export interface FieldRules {
  readonly [name: string]: unknown
}

export interface EnumDescriptor {
  readonly typeName: string
  readonly numbers: ReadonlyMap<string, number>
  readonly names: ReadonlyMap<number, string>
  /** By upper-cased name: Envoy takes enum values in any case. */
  readonly anyCase: ReadonlyMap<string, string>
  /** The proto3 default: the name of number 0. */
  readonly zero: string
}

export interface OneofDescriptor {
  readonly name: string
  readonly required: boolean
  readonly fields: readonly FieldDescriptor[]
}

export class FieldDescriptor {
  readonly name: string
  /** The name in TypeScript and in camelCase JSON. */
  readonly property: string
  readonly number: number
  /** For a map, the kind of its values. */
  readonly kind: Kind
  readonly flags: number
  readonly repeated: boolean
  readonly isMap: boolean
  readonly mapKey: Kind
  readonly rules: FieldRules | undefined
  readonly oneof: number
  readonly parent: string
  readonly #type: number
  readonly #schema: Schema

  constructor(schema: Schema, parent: string, packed: PackedField) {
    const [name, number, kind, type = 0, flags = 0, oneof = 0, rules = 0, mapKey = 0] = packed
    this.name = name
    this.property = camelCase(name)
    this.number = number
    this.kind = kind as Kind
    this.flags = flags
    this.repeated = (flags & FieldFlag.Repeated) !== 0
    this.isMap = (flags & FieldFlag.Map) !== 0
    this.mapKey = mapKey as Kind
    this.rules = rules ? schema.rules(rules - 1) : undefined
    this.oneof = oneof - 1
    this.parent = parent
    this.#type = type
    this.#schema = schema
  }

  /** Descriptor of the field's message type; undefined for scalars, and for a message that the table leaves out. */
  get message(): MessageDescriptor | undefined {
    return this.kind === Kind.Message ? this.#schema.messageAt(this.#type) : undefined
  }

  get messageName(): string {
    return this.#schema.messageName(this.#type)
  }

  get enumeration(): EnumDescriptor {
    return this.#schema.enumAt(this.#type)
  }

  /** Whether an absent field decodes to undefined, not to a default. */
  get hasPresence(): boolean {
    if (this.repeated || this.isMap) return false
    return this.kind === Kind.Message || this.oneof >= 0 || (this.flags & FieldFlag.Optional) !== 0
  }

  /** What an absent field decodes to. */
  get absent(): unknown {
    if (this.repeated) return emptyList
    if (this.isMap) return emptyMap
    return this.hasPresence ? undefined : this.zero
  }

  /** The proto3 default of one value. */
  get zero(): unknown {
    switch (this.kind) {
      case Kind.Bool:
        return false
      case Kind.String:
        return ''
      case Kind.Bytes:
        return emptyBytes
      case Kind.Enum:
        return this.enumeration.zero
      case Kind.Message:
        return undefined
      default:
        return 0
    }
  }
}

export const emptyList: readonly never[] = Object.freeze([])
export const emptyMap: ReadonlyMap<string, never> = new Map<string, never>()
const emptyBytes = new Uint8Array(0)

export class MessageDescriptor {
  readonly typeName: string
  readonly fields: readonly FieldDescriptor[]
  readonly oneofs: readonly OneofDescriptor[]
  /** How a message without an interface of its own looks in JSON and in TypeScript. */
  readonly native: NativeForm | undefined
  readonly #byName = new Map<string, FieldDescriptor>()
  readonly #byNumber = new Map<number, FieldDescriptor>()
  #template: object | undefined

  constructor(schema: Schema, [typeName, fields, oneofs = []]: PackedMessage) {
    this.typeName = typeName
    this.native = nativeForm(typeName)
    this.fields = fields.map(packed => new FieldDescriptor(schema, typeName, packed))
    this.oneofs = oneofs.map((name, index) => ({
      name: name.replace('!', ''),
      required: name.startsWith('!'),
      fields: this.fields.filter(field => field.oneof === index),
    }))
    for (const field of this.fields) {
      this.#byName.set(field.name, field)
      this.#byName.set(field.property, field)
      this.#byNumber.set(field.number, field)
    }
  }

  /** By proto name or camelCase name. */
  field(name: string): FieldDescriptor | undefined {
    return this.#byName.get(name)
  }

  fieldNumber(number: number): FieldDescriptor | undefined {
    return this.#byNumber.get(number)
  }

  /**
   * A new message with every field absent, ready to be filled in and frozen. Copies of one template share one hidden
   * class, which assigning forty computed keys to `{}` would not give (V8 falls back to a dictionary after twelve).
   */
  create(): Record<string, unknown> {
    this.#template ??= this.#makeTemplate()
    return { ...this.#template }
  }

  #makeTemplate(): object {
    const keys = this.fields.map(field => `${JSON.stringify(field.property)}:null`)
    const template = JSON.parse(`{${keys.join(',')}}`) as Record<string, unknown>
    for (const field of this.fields) template[field.property] = field.absent
    return template
  }
}

export class Schema {
  readonly #table: PackedTable
  readonly #indexes = new Map<string, number>()
  readonly #messages: (MessageDescriptor | undefined)[] = []
  readonly #enums: (EnumDescriptor | undefined)[] = []

  constructor(table: PackedTable) {
    this.#table = table
    for (const [index, [name]] of table.messages.entries()) this.#indexes.set(name, index)
  }

  message(typeName: string): MessageDescriptor | undefined {
    const index = this.#indexes.get(typeName)
    return index === undefined ? undefined : this.messageAt(index)
  }

  messageAt(index: number): MessageDescriptor | undefined {
    const packed = this.#table.messages[index]
    if (!packed) return undefined
    return (this.#messages[index] ??= new MessageDescriptor(this, packed))
  }

  messageName(index: number): string {
    const { messages, omitted } = this.#table
    return messages[index]?.[0] ?? omitted[index - messages.length] ?? ''
  }

  enumAt(index: number): EnumDescriptor {
    return (this.#enums[index] ??= enumDescriptor(this.#table.enums[index]!))
  }

  rules(index: number): FieldRules {
    return this.#table.rules[index] as FieldRules
  }

  get typeNames(): Iterable<string> {
    return this.#indexes.keys()
  }
}

function enumDescriptor([typeName, values]: PackedEnum): EnumDescriptor {
  const numbers = new Map<string, number>()
  const names = new Map<number, string>()
  const anyCase = new Map<string, string>()
  for (let i = 0; i < values.length; i += 2) {
    const name = values[i] as string
    const number = values[i + 1] as number
    numbers.set(name, number)
    anyCase.set(name.toUpperCase(), name)
    // With allow_alias the first name of a number is the one that is printed.
    if (!names.has(number)) names.set(number, name)
  }
  return { typeName, numbers, names, anyCase, zero: names.get(0) ?? (values[0] as string) }
}

let loaded: WeakRef<Schema> | undefined

/** Read on first use, 3 ms, and kept while somebody holds it: between two loads of configuration nobody needs its 4 MB. */
export function schema(): Schema {
  let found = loaded?.deref()
  if (found === undefined) {
    found = new Schema(readTable())
    loaded = new WeakRef(found)
  }
  return found
}

export function readTable(): PackedTable {
  return JSON.parse(
    readFileSync(join(packageRoot, 'sidecar/config/schema/generated/table.json'), 'utf8'),
  ) as PackedTable
}
