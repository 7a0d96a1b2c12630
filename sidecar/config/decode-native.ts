/** Messages that are not written as messages: wrappers, durations, timestamps, free-form JSON, field masks. */
import type { TreeDecoder } from './decode.ts'
import {
  decodeDuration,
  decodeJsonScalar,
  decodeScalar,
  decodeTimestamp,
  Mismatch,
  maxDurationSeconds,
} from './scalars.ts'
import type { JsonValue } from './schema/generated/types.ts'
import { Kind, type MessageDescriptor } from './schema/table.ts'
import { type ConfigNode, describeNode, entryOf, isNull, type MapNode } from './tree.ts'

export function decodeNative(decoder: TreeDecoder, type: MessageDescriptor, node: ConfigNode, path: string): unknown {
  if (!decoder.enter(node, path)) return undefined
  const value = decode(decoder, type, node, path)
  if (!(value instanceof Mismatch)) return value
  decoder.error(node.offset, path, 'type', value.message)
  return undefined
}

function decode(decoder: TreeDecoder, type: MessageDescriptor, node: ConfigNode, path: string): unknown {
  switch (type.native) {
    case 'wrapper': {
      // `5`, and `{value: 5}` as well.
      const field = type.fields[0]!
      if (node.kind === 'map' && node.entries.length === 0) return field.zero
      const inner = node.kind === 'map' ? (entryOf(node, 'value')?.value ?? node) : node
      if (field.kind === Kind.String) decoder.checkMisread(inner, path)
      return decodeScalar(field.kind, inner)
    }
    case 'duration':
      if (node.kind === 'scalar') return decodeDuration(node)
      return node.kind === 'map' ? secondsAndNanos(node) : mustBe('a duration such as "1.5s"', node)
    case 'timestamp':
      if (node.kind === 'scalar') return decodeTimestamp(node)
      return node.kind === 'map' ? secondsAndNanos(node) : mustBe('a time such as "2026-01-31T12:00:00Z"', node)
    case 'fieldmask':
      return decodeFieldMask(node)
    case 'struct':
      return node.kind === 'map' ? decodeJson(decoder, node, path) : mustBe('a mapping', node)
    case 'list':
      return node.kind === 'list' ? decodeJson(decoder, node, path) : mustBe('a list', node)
    default:
      return decodeJson(decoder, node, path)
  }
}

function mustBe(what: string, node: ConfigNode): Mismatch {
  return new Mismatch(`must be ${what}, not ${describeNode(node)}`)
}

/** `{seconds: 1, nanos: 5}` in milliseconds. */
function secondsAndNanos(node: MapNode): number | Mismatch {
  let ms = 0
  for (const { key, value } of node.entries) {
    if (key !== 'seconds' && key !== 'nanos') return new Mismatch(`has no field "${key}", only seconds and nanos`)
    if (isNull(value)) continue
    const number = decodeScalar(Kind.Int64, value)
    if (number instanceof Mismatch) return new Mismatch(`${key} ${number.message}`)
    const amount = number as number
    if (key === 'seconds' && Math.abs(amount) > maxDurationSeconds)
      return new Mismatch(`seconds must be at most ${maxDurationSeconds}`)
    if (key === 'nanos' && Math.abs(amount) > 999_999_999) return new Mismatch('nanos must be less than 1000000000')
    ms += key === 'seconds' ? amount * 1000 : amount / 1e6
  }
  return ms
}

function decodeFieldMask(node: ConfigNode): readonly string[] | Mismatch {
  if (node.kind === 'scalar') return Object.freeze(node.text === '' ? [] : node.text.split(',').map(snakeCase))
  const paths = node.kind === 'map' ? entryOf(node, 'paths')?.value : node
  if (paths?.kind !== 'list') return mustBe('a list of field paths', node)
  return Object.freeze(paths.items.map(item => (item.kind === 'scalar' ? snakeCase(item.text) : '')))
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
}

/** Free-form values are bounded like all others: an alias bomb may stand in metadata too. */
const maxJsonDepth = 100

function decodeJson(decoder: TreeDecoder, node: ConfigNode, path: string, depth = 0): JsonValue | undefined {
  if (depth > maxJsonDepth) {
    decoder.error(node.offset, path, 'syntax', `nested more than ${maxJsonDepth} deep`)
    return undefined
  }
  if (node.kind === 'scalar') return decodeJsonScalar(node, decoder.context.isJson)
  if (node.kind === 'list') {
    const list: JsonValue[] = []
    for (const item of node.items) {
      const value = decoder.enter(item, path) ? decodeJson(decoder, item, path, depth + 1) : undefined
      if (value === undefined) return undefined
      list.push(value)
    }
    return Object.freeze(list)
  }
  // No prototype, so that a key named `__proto__` or `constructor` is a key like any other.
  const object: Record<string, JsonValue> = Object.create(null)
  for (const { key, value: child } of node.entries) {
    const value = decoder.enter(child, path) ? decodeJson(decoder, child, path, depth + 1) : undefined
    if (value === undefined) return undefined
    object[key] = value
  }
  return Object.freeze(object)
}
