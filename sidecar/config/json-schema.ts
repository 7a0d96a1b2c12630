/**
 * A JSON schema (draft 7, what editors read) of the bootstrap, from the same table as the decoder: completion and
 * squiggles for what Hopwise supports, `if`/`then` on "@type" for extensions. Looser than `hopwise validate` where JSON
 * schema has no words for a rule, never stricter than needed for snake_case YAML.
 */
import { hopwiseSettings } from './hopwise-metadata.ts'
import { type FieldDescriptor, type FieldRules, Kind, type MessageDescriptor, schema } from './schema/table.ts'
import { hopwiseSupport, type Support } from './support.ts'

export type JsonSchema = { [key: string]: unknown }

const bootstrapType = 'envoy.config.bootstrap.v3.Bootstrap'

export function jsonSchema(support: Support = hopwiseSupport): JsonSchema {
  return new SchemaWriter(support).write()
}

class SchemaWriter {
  readonly #support: Support
  readonly #definitions = new Map<string, JsonSchema>()
  readonly #extensions: string[]

  constructor(support: Support) {
    this.#support = support
    this.#extensions = [...schema().typeNames].filter(name => {
      const isExtension =
        /^envoy\.extensions\.|^envoy\.config\.trace\.v3\.\w+Config$|^envoy\.config\.route\.v3\.FilterConfig$/
      return isExtension.test(name) && support.message(name).kind !== 'refused'
    })
  }

  write(): JsonSchema {
    const root = this.#reference(schema().message(bootstrapType)!)
    const any = this.#any()
    return {
      $schema: 'http://json-schema.org/draft-07/schema#',
      title: 'Envoy bootstrap, as far as Hopwise supports it',
      ...root,
      definitions: { Any: any, ...Object.fromEntries([...this.#definitions].sort(([a], [b]) => (a < b ? -1 : 1))) },
    }
  }

  #reference(descriptor: MessageDescriptor): JsonSchema {
    const { typeName } = descriptor
    if (!this.#definitions.has(typeName)) {
      // Set before it is filled, since messages refer to themselves.
      const definition: JsonSchema = {}
      this.#definitions.set(typeName, definition)
      Object.assign(definition, this.#message(descriptor))
    }
    return { $ref: `#/definitions/${typeName}` }
  }

  #message(descriptor: MessageDescriptor): JsonSchema {
    const { typeName } = descriptor
    const properties: JsonSchema = { '@type': { type: 'string' } }
    const required: string[] = []
    for (const field of descriptor.fields) {
      if (this.#support.field(typeName, field.name).kind === 'refused') continue
      properties[field.name] = this.#field(descriptor, field)
      if (isRequired(field)) required.push(field.name)
    }
    const choices = descriptor.oneofs
      .filter(oneof => oneof.required && oneof.fields.length > 0)
      .map(oneof => ({ anyOf: oneof.fields.map(field => ({ required: [field.name] })) }))
    return {
      type: ['object', 'null'],
      description: typeName,
      properties,
      additionalProperties: false,
      ...(required.length > 0 ? { required } : {}),
      ...(choices.length > 0 ? { allOf: choices } : {}),
    }
  }

  #field(descriptor: MessageDescriptor, field: FieldDescriptor): JsonSchema {
    if (descriptor.typeName === 'envoy.config.core.v3.Metadata' && field.name === 'filter_metadata')
      return metadataSchema()
    const rules = field.rules ?? {}
    if (field.isMap) return { type: 'object', additionalProperties: this.#value(descriptor, field, {}) }
    if (!field.repeated) return this.#value(descriptor, field, rules)
    const items = this.#value(descriptor, field, (rules['items'] as FieldRules | undefined) ?? {})
    const bounds: JsonSchema = {}
    if (typeof rules['min_items'] === 'number') bounds['minItems'] = rules['min_items']
    if (typeof rules['max_items'] === 'number') bounds['maxItems'] = rules['max_items']
    return { type: 'array', items, ...bounds }
  }

  #value(descriptor: MessageDescriptor, field: FieldDescriptor, rules: FieldRules): JsonSchema {
    if (field.kind !== Kind.Message) return this.#scalar(descriptor.typeName, field, field.kind, rules)
    const message = field.message
    if (!message) return {}
    switch (message.native) {
      case undefined:
        return this.#reference(message)
      case 'any':
        return { $ref: '#/definitions/Any' }
      case 'wrapper':
        return this.#scalar(descriptor.typeName, field, message.fields[0]!.kind, rules)
      case 'duration':
        return durationSchema
      case 'struct':
        return { type: 'object' }
      case 'list':
        return { type: 'array' }
      case 'timestamp':
        return { type: ['string', 'object'] }
      default:
        return {}
    }
  }

  #scalar(typeName: string, field: FieldDescriptor, kind: Kind, rules: FieldRules): JsonSchema {
    switch (kind) {
      case Kind.Bool:
        return { type: 'boolean' }
      case Kind.String: {
        const minLength = (rules['min_len'] ?? rules['min_bytes']) as number | undefined
        return { type: ['string', 'number', 'boolean'], ...(minLength === undefined ? {} : { minLength }) }
      }
      case Kind.Bytes:
        return { type: 'string' }
      case Kind.Enum: {
        const names = [...field.enumeration.numbers.keys()]
        return { enum: names.filter(name => this.#support.value(typeName, field.name, name).kind !== 'refused') }
      }
      default:
        return numberSchema(kind, rules)
    }
  }

  #any(): JsonSchema {
    const prefix = 'type.googleapis.com/'
    const types = this.#extensions.map(name => prefix + name)
    return {
      type: ['object', 'null'],
      required: ['@type'],
      properties: { '@type': { anyOf: [{ enum: types }, { type: 'string', pattern: '/.+' }] } },
      allOf: this.#extensions.map(name => ({
        if: { properties: { '@type': { const: prefix + name } }, required: ['@type'] },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON schema, not a promise
        then: this.#reference(schema().message(name)!),
      })),
    }
  }
}

/** What cannot be left out: a message that must be there, a list or a text that must not be empty. */
function isRequired({ rules, oneof, kind }: FieldDescriptor): boolean {
  if (!rules || oneof >= 0 || rules['ignore_empty']) return false
  if (rules['required']) return true
  const least = [rules['min_len'], rules['min_bytes'], rules['min_items'], rules['min_pairs']]
  return kind !== Kind.Message && least.some(value => typeof value === 'number' && value > 0)
}

const durationSchema: JsonSchema = {
  anyOf: [
    { type: 'string', pattern: '^-?\\d+(\\.\\d{1,9})?s$', description: 'seconds, such as "1.5s"' },
    { type: 'object', properties: { seconds: {}, nanos: {} }, additionalProperties: false },
  ],
}

function numberSchema(kind: Kind, rules: FieldRules): JsonSchema {
  const whole = kind !== Kind.Double && kind !== Kind.Float
  const bounds: JsonSchema = {}
  const words = { gte: 'minimum', gt: 'exclusiveMinimum', lte: 'maximum', lt: 'exclusiveMaximum' } as const
  for (const [rule, word] of Object.entries(words)) if (typeof rules[rule] === 'number') bounds[word] = rules[rule]
  // A number may stand in quotes, where bounds cannot be told.
  return { anyOf: [{ type: whole ? 'integer' : 'number', ...bounds }, { type: 'string' }] }
}

function metadataSchema(): JsonSchema {
  const properties = Object.fromEntries(Object.keys(hopwiseSettings).map(name => [name, {}]))
  return {
    type: 'object',
    additionalProperties: { type: ['object', 'null'] },
    properties: { hopwise: { type: 'object', properties, additionalProperties: false } },
  }
}
