/**
 * Descriptors in, table out: the messages that `roots.ts` names and all they reach, each field cut down to what
 * decoding, encoding, checking and the editors' schema need. `../table.ts` explains the layout and reads it.
 */

import { createHash } from 'node:crypto'
import type { DescEnum, DescExtension, FileRegistry } from '@bufbuild/protobuf'
import { createFileRegistry, type DescField, type DescMessage, fromBinary, getOption } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { FieldFlag, type PackedEnum, type PackedField, type PackedMessage, type PackedTable } from '../table.ts'
import { omitted, roots } from './roots.ts'
import { type Rules, type RuleValue, rulesOf } from './rules.ts'

export interface Reduced {
  readonly messages: readonly DescMessage[]
  readonly enums: readonly DescEnum[]
  readonly table: PackedTable
}

export function readRegistry(descriptorSet: Uint8Array): FileRegistry {
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptorSet))
}

export function reduce(descriptorSet: Uint8Array, source: string): Reduced {
  const registry = readRegistry(descriptorSet)
  const messages = reachable(registry)
  const messageIndex = new Map(messages.map((message, index) => [message.typeName, index]))
  const enums = uniqueEnums(messages)
  const enumIndex = new Map(enums.map((desc, index) => [desc.typeName, index]))
  const rules: Rules[] = []
  const ruleIndex = new Map<string, number>()
  const options = new OptionReader(registry)
  const further: string[] = []

  /** Many fields share a rule (`min_len: 1` stands 300 times), so rules are stored once and named by index. */
  const internRules = (found: Rules | undefined): number => {
    if (!found) return 0
    const text = JSON.stringify(found)
    let index = ruleIndex.get(text)
    if (index === undefined) {
      index = rules.push(found)
      ruleIndex.set(text, index)
    }
    return index
  }

  const typeOf = (message: DescMessage | undefined, enumeration: DescEnum | undefined): number => {
    if (enumeration) return enumIndex.get(enumeration.typeName)!
    if (!message) return 0
    const index = messageIndex.get(message.typeName)
    if (index !== undefined) return index
    // Omitted messages are numbered after the real ones.
    if (!further.includes(message.typeName)) further.push(message.typeName)
    return messages.length + further.indexOf(message.typeName)
  }

  const packField = (field: DescField): PackedField => {
    const isMap = field.fieldKind === 'map'
    const enumeration = field.enum
    let flags = 0
    if (field.fieldKind === 'list') flags |= FieldFlag.Repeated
    if (isMap) flags |= FieldFlag.Map
    if (field.proto.proto3Optional) flags |= FieldFlag.Optional
    if (field.fieldKind === 'list' && field.packed) flags |= FieldFlag.Packed
    if (field.proto.options?.deprecated) flags |= FieldFlag.Deprecated
    if (options.flag(field, 'envoy.annotations.disallowed_by_default')) flags |= FieldFlag.Disallowed
    if (options.flag(field, 'udpa.annotations.sensitive')) flags |= FieldFlag.Sensitive
    const packed: (string | number)[] = [
      field.name,
      field.number,
      isMap ? mapValueKind(field) : kindOf(field),
      typeOf(field.message, enumeration),
      flags,
      field.oneof ? field.parent.oneofs.indexOf(field.oneof) + 1 : 0,
      internRules(withEnumNames(options.rules(field), enumeration)),
      isMap ? field.mapKey : 0,
    ]
    while (packed.at(-1) === 0) packed.pop()
    return packed as unknown as PackedField
  }

  const packedMessages: PackedMessage[] = messages.map(message => {
    const oneofs = message.oneofs.map(oneof => (options.requiredOneof(oneof) ? '!' : '') + oneof.name)
    const fields = message.fields.map(packField)
    return oneofs.length ? [message.typeName, fields, oneofs] : [message.typeName, fields]
  })
  const packedEnums: PackedEnum[] = enums.map(desc => [
    desc.typeName,
    desc.values.flatMap(value => [value.name, value.number]),
  ])
  const content = { source, messages: packedMessages, omitted: further, enums: packedEnums, rules }
  const digest = createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16)
  return { messages, enums, table: { digest, ...content } }
}

function reachable(registry: FileRegistry): DescMessage[] {
  const found = new Map<string, DescMessage>()
  const visit = (message: DescMessage) => {
    if (found.has(message.typeName) || omitted.includes(message.typeName)) return
    found.set(message.typeName, message)
    for (const field of message.fields) if (field.message) visit(field.message)
  }
  const byPackage = Map.groupBy(topLevelMessages(registry), message => message.file.proto.package)
  for (const root of roots) {
    const named = root.endsWith('.*') ? byPackage.get(root.slice(0, -2)) : asList(registry.getMessage(root))
    if (!named?.length) throw new Error(`no such message or package in the descriptors: ${root}`)
    named.forEach(visit)
  }
  return [...found.values()].sort((a, b) => (a.typeName < b.typeName ? -1 : 1))
}

function topLevelMessages(registry: FileRegistry): DescMessage[] {
  return [...registry].filter(type => type.kind === 'message' && !type.parent) as DescMessage[]
}

function asList<T>(value: T | undefined): T[] {
  return value === undefined ? [] : [value]
}

function uniqueEnums(messages: readonly DescMessage[]): DescEnum[] {
  const found = new Map<string, DescEnum>()
  for (const message of messages) {
    for (const field of message.fields) if (field.enum) found.set(field.enum.typeName, field.enum)
  }
  return [...found.values()].sort((a, b) => (a.typeName < b.typeName ? -1 : 1))
}

/** The kind is the number protobuf itself gives to a field type: 1 double … 18 sint64. */
function kindOf(field: DescField): number {
  return field.proto.type
}

function mapValueKind(field: DescField & { fieldKind: 'map' }): number {
  if (field.mapKind === 'message') return 11
  if (field.mapKind === 'enum') return 14
  return field.scalar
}

/** Decoded enums are names, so rules about them name values too; that a value must be defined needs no rule then. */
function withEnumNames(rules: Rules | undefined, enumeration: DescEnum | undefined): Rules | undefined {
  if (!rules || !enumeration) return rules
  const nameOf = (number: unknown) => enumeration.value[number as number]?.name ?? String(number)
  const named: Record<string, RuleValue> = {}
  for (const [name, value] of Object.entries(rules)) {
    if (name === 'defined_only') continue
    if (name === 'items') {
      const items = withEnumNames(value as Rules, enumeration)
      if (items) named[name] = items
    } else if (name === 'in' || name === 'not_in') named[name] = (value as readonly number[]).map(nameOf)
    else if (name === 'const') named[name] = nameOf(value)
    else named[name] = value
  }
  return Object.keys(named).length ? named : undefined
}

/** Options that Envoy's protos attach to fields, read through the extensions that the descriptors themselves declare. */
class OptionReader {
  readonly #registry: FileRegistry
  constructor(registry: FileRegistry) {
    this.#registry = registry
  }
  flag(field: DescField, name: string): boolean {
    return getOption(field, this.#extension(name)) === true
  }
  rules(field: DescField): Rules | undefined {
    return rulesOf(getOption(field, this.#extension('validate.rules')))
  }
  requiredOneof(oneof: DescMessage['oneofs'][number]): boolean {
    return getOption(oneof, this.#extension('validate.required')) === true
  }
  // biome-ignore lint/suspicious/noExplicitAny: the extension's type is only known to the descriptors
  #extension(name: string): DescExtension & any {
    const extension = this.#registry.getExtension(name)
    if (!extension) throw new Error(`the descriptors do not declare ${name}`)
    return extension
  }
}
