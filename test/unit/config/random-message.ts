/** Random messages of any type in the decoded form, the same for the same seed. */
import { type FieldDescriptor, Kind, type MessageDescriptor, schema } from '../../../sidecar/config/schema/table.ts'

export class RandomMessages {
  #state: number
  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  message(descriptor: MessageDescriptor, depth = 0): unknown {
    if (descriptor.native) return this.#native(descriptor, depth)
    const message = descriptor.create()
    const chosen = descriptor.oneofs.map(oneof => oneof.fields[this.#below(oneof.fields.length + 1)])
    for (const field of descriptor.fields) {
      if (field.kind === Kind.Message && !field.message) continue
      if (field.oneof >= 0 ? chosen[field.oneof] !== field : this.#below(3) > 0) continue
      if (depth > 4 && field.kind === Kind.Message) continue
      message[field.property] = this.#field(field, depth)
    }
    return Object.freeze(message)
  }

  #field(field: FieldDescriptor, depth: number): unknown {
    const values = () => Array.from({ length: this.#below(4) }, () => this.#value(field, depth))
    if (field.repeated) return Object.freeze(values())
    if (!field.isMap) return this.#value(field, depth)
    const key = () => (field.mapKey === Kind.String ? this.#string() : String(this.#below(1000)))
    return new Map(values().map(value => [key(), value]))
  }

  #value(field: FieldDescriptor, depth: number): unknown {
    switch (field.kind) {
      case Kind.Message:
        return this.message(field.message!, depth + 1)
      case Kind.Bool:
        return this.#below(2) === 1
      case Kind.String:
        return this.#string()
      case Kind.Bytes:
        return Uint8Array.from({ length: this.#below(6) }, () => this.#below(256))
      case Kind.Enum:
        return field.enumeration.names.get(
          [...field.enumeration.names.keys()][this.#below(field.enumeration.names.size)]!,
        )
      case Kind.Double:
        return this.#pick([0, 1.5, -2.25, 1e100, 123456789])
      case Kind.Float:
        return this.#pick([0, 1.5, -2.25, 1024])
      case Kind.Int64:
        return this.#pick([0, 1, -1, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER, 300])
      case Kind.Int32:
        return this.#pick([0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 300])
      case Kind.UInt64:
        return this.#pick([0, 1, 127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER])
      default:
        return this.#pick([0, 1, 127, 128, 16384, 2 ** 32 - 1])
    }
  }

  #native(descriptor: MessageDescriptor, depth: number): unknown {
    switch (descriptor.native) {
      case 'any': {
        const types = [
          'envoy.config.route.v3.CookieMatcher',
          'google.protobuf.Duration',
          'envoy.config.core.v3.Address',
        ]
        const typeUrl = this.#pick(types)
        return Object.freeze({ typeUrl, value: this.message(schema().message(typeUrl)!, depth + 1) })
      }
      case 'wrapper':
        return this.#value(descriptor.fields[0]!, depth)
      case 'duration':
        return this.#pick([0, 1500, -1500, 0.000001, 86_400_000])
      case 'timestamp':
        return this.#pick([0, 1_700_000_000_123, -1500])
      case 'fieldmask':
        return Object.freeze(['a', 'b_c.d'])
      case 'struct':
        return this.#json(depth, 'object')
      case 'list':
        return this.#json(depth, 'list')
      default:
        return this.#json(depth)
    }
  }

  #json(depth: number, kind = this.#pick(['null', 'bool', 'number', 'string', 'list', 'object'])): unknown {
    if (kind === 'null') return null
    if (kind === 'bool') return this.#below(2) === 1
    if (kind === 'number') return this.#pick([0, 1, -1.5, 1e300])
    if (kind === 'string') return this.#string()
    const length = depth > 6 ? 0 : this.#below(3)
    const items = Array.from({ length }, () => this.#json(depth + 1))
    if (kind === 'list') return Object.freeze(items)
    const object = Object.create(null) as Record<string, unknown>
    for (const item of items) object[this.#string()] = item
    return Object.freeze(object)
  }

  #string(): string {
    return this.#pick(['', 'a', 'name', 'é\u0000ü', '😀', 'x'.repeat(130), '__proto__'])
  }

  #pick<T>(values: readonly T[]): T {
    return values[this.#below(values.length)]!
  }

  /** Mulberry32: enough for tests, and the same everywhere. */
  #below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) % limit
  }
}
