/** Every message of a decoded configuration, through lists, maps and Any. */
import type { AnyMessage } from '../schema/generated/types.ts'
import { Kind, type MessageDescriptor, schema } from '../schema/table.ts'

export interface Visited {
  readonly typeName: string
  readonly message: object
  /** The message around it; through an Any, the one that holds the Any. */
  readonly parent: Visited | undefined
}

export function walkMessages(
  descriptor: MessageDescriptor,
  message: object,
  visit: (visited: Visited) => void,
  parent?: Visited,
): void {
  const visited: Visited = { typeName: descriptor.typeName, message, parent }
  visit(visited)
  const values = message as Readonly<Record<string, unknown>>
  for (const field of descriptor.fields) {
    if (field.kind !== Kind.Message) continue
    const type = field.message
    const value = values[field.property]
    if (!type || value === undefined || (type.native && type.native !== 'any')) continue
    const items = field.repeated || field.isMap ? (value as Iterable<unknown>) : [value]
    for (const item of items) walkValue(type, field.isMap ? (item as [string, unknown])[1] : item, visit, visited)
  }
}

function walkValue(type: MessageDescriptor, value: unknown, visit: (visited: Visited) => void, parent: Visited): void {
  if (type.native !== 'any') {
    walkMessages(type, value as object, visit, parent)
    return
  }
  const { typeUrl, value: inner } = value as AnyMessage
  const descriptor = schema().message(typeUrl)
  if (descriptor && !descriptor.native) walkMessages(descriptor, inner, visit, parent)
}
