/**
 * @bufbuild/protobuf as oracle: its own reading of the messages in our table, for comparing what goes over the wire and
 * what JSON looks like. The table is turned back into descriptors here; that it says what Envoy's descriptors say is
 * checked where Go is at hand (test/conformance/schema-table.test.ts).
 */
import { create, createFileRegistry, type FileRegistry } from '@bufbuild/protobuf'
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  type EnumDescriptorProto,
  EnumDescriptorProtoSchema,
  FieldDescriptorProto_Label,
  FieldDescriptorProtoSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  OneofDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt'
import {
  FieldFlag,
  Kind,
  type PackedEnum,
  type PackedMessage,
  readTable,
} from '../../../sidecar/config/schema/table.ts'

const table = readTable()
const nameOfMessage = (index: number) => table.messages[index]?.[0] ?? table.omitted[index - table.messages.length]!

/**
 * A file for each message, or for those that refer to one another in a circle, those it needs first. (Envoy's own files
 * would do as well, but the table does not keep them.)
 */
export function oracleRegistry(): FileRegistry {
  const files: FileDescriptorProto[] = table.enums
    .filter(([name]) => !isNested(name))
    .map(packed => fileOf(packed[0], { enumType: [enumOf(packed)] }))
  const topLevel = [...table.messages.map(([name]) => name), ...table.omitted].filter(name => !isNested(name))
  for (const circle of inDependencyOrder(topLevel, name => [...referredTo(name)])) {
    files.push(fileOf(circle[0]!, { messageType: circle.map(name => messageOf(name)) }))
  }
  return createFileRegistry(create(FileDescriptorSetSchema, { file: files }))
}

function fileOf(
  typeName: string,
  content: Partial<Pick<FileDescriptorProto, 'messageType' | 'enumType'>>,
): FileDescriptorProto {
  const name = `${typeName.replaceAll('.', '/')}.proto`
  return create(FileDescriptorProtoSchema, { name, package: scopeOf(typeName), syntax: 'proto3', ...content })
}

const byName = new Map<string, PackedMessage>([
  ...table.messages.map((packed): [string, PackedMessage] => [packed[0], packed]),
  ...table.omitted.map((name): [string, PackedMessage] => [name, [name, []]]),
])

function scopeOf(name: string): string {
  return name.slice(0, name.lastIndexOf('.'))
}

function isNested(name: string): boolean {
  return /[A-Z]/.test(scopeOf(name))
}

/** The message at the top that a name stands in: packages are lower case, messages are not. */
function topOf(name: string): string {
  return isNested(name) ? topOf(scopeOf(name)) : name
}

function nestedIn(name: string): string[] {
  return [...byName.keys()].filter(other => scopeOf(other) === name)
}

function referredTo(name: string): Set<string> {
  const found = new Set<string>()
  for (const [, , kind, type = 0] of byName.get(name)?.[1] ?? [])
    if (kind === Kind.Message) found.add(topOf(nameOfMessage(type)))
  for (const nested of nestedIn(name)) for (const top of referredTo(nested)) found.add(top)
  return found
}

/** Tarjan's strongly connected components, which come out with dependencies first. */
function inDependencyOrder(names: readonly string[], dependencies: (name: string) => string[]): string[][] {
  const order: string[][] = []
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const visit = (name: string): void => {
    index.set(name, index.size)
    low.set(name, index.get(name)!)
    stack.push(name)
    for (const next of dependencies(name)) {
      if (!index.has(next)) visit(next)
      if (stack.includes(next)) low.set(name, Math.min(low.get(name)!, low.get(next)!))
    }
    if (low.get(name) === index.get(name)) order.push(stack.splice(stack.indexOf(name)))
  }
  for (const name of names) if (!index.has(name)) visit(name)
  return order
}

function enumOf([name, values]: PackedEnum): EnumDescriptorProto {
  const value = Array.from({ length: values.length / 2 }, (_, i) => ({
    name: String(values[2 * i]),
    number: Number(values[2 * i + 1]),
  }))
  const hasAlias = new Set(value.map(({ number }) => number)).size < value.length
  const options = hasAlias ? { options: { allowAlias: true } } : {}
  return create(EnumDescriptorProtoSchema, { name: name.slice(scopeOf(name).length + 1), value, ...options })
}

function messageOf(name: string): DescriptorProto {
  const [, fields, oneofs = []] = byName.get(name)!
  const message = create(DescriptorProtoSchema, {
    name: name.slice(scopeOf(name).length + 1),
    nestedType: nestedIn(name).map(messageOf),
    enumType: table.enums.filter(([enumName]) => scopeOf(enumName) === name).map(enumOf),
    oneofDecl: oneofs.map(oneof => ({ name: oneof.replace('!', '') })),
  })
  for (const packed of fields) {
    const [fieldName, number, kind, type = 0, flags = 0, oneof = 0, , mapKey = 0] = packed
    if (flags & FieldFlag.Map) {
      const entryName = `${pascal(fieldName)}Entry`
      const entry = create(DescriptorProtoSchema, {
        name: entryName,
        options: { mapEntry: true },
        field: [fieldOf('key', 1, mapKey, ''), fieldOf('value', 2, kind, typeName(kind, type))],
      })
      message.nestedType.push(entry)
      const field = fieldOf(fieldName, number, Kind.Message, `.${name}.${entryName}`)
      field.label = FieldDescriptorProto_Label.REPEATED
      message.field.push(field)
      continue
    }
    const field = fieldOf(fieldName, number, kind, typeName(kind, type))
    if (flags & FieldFlag.Repeated) field.label = FieldDescriptorProto_Label.REPEATED
    if (oneof > 0) field.oneofIndex = oneof - 1
    if (flags & FieldFlag.Optional) {
      field.proto3Optional = true
      field.oneofIndex = message.oneofDecl.push(create(OneofDescriptorProtoSchema, { name: `_${fieldName}` })) - 1
    }
    message.field.push(field)
  }
  return message
}

function fieldOf(name: string, number: number, kind: number, type: string) {
  return create(FieldDescriptorProtoSchema, {
    name,
    number,
    type: kind,
    label: FieldDescriptorProto_Label.OPTIONAL,
    jsonName: name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
    ...(type === '' ? {} : { typeName: type }),
  })
}

function typeName(kind: number, type: number): string {
  if (kind === Kind.Message) return `.${nameOfMessage(type)}`
  return kind === Kind.Enum ? `.${table.enums[type]![0]}` : ''
}

function pascal(name: string): string {
  return name.replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase())
}
