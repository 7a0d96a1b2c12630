/**
 * A tree of YAML or JSON to frozen messages, directed by the schema table.
 *
 * Every mistake is gathered with its place; decoding goes on past each, so one run shows them all. A message that holds
 * an error is still built (its caller throws it away), so that what stands beside the error is checked too.
 */

import { nearest } from '../base/suggest.ts'
import { decodeAny } from './decode-any.ts'
import { decodeNative } from './decode-native.ts'
import { type ExtensionNames, extensionPoints } from './extension-points.ts'
import type { Place, Problems } from './problems.ts'
import { checkRules } from './rules.ts'
import { decodeScalar, isMisreadString, Mismatch } from './scalars.ts'
import { type FieldDescriptor, FieldFlag, Kind, type MessageDescriptor, type Schema } from './schema/table.ts'
import { recordSource, type SourceDocument } from './source.ts'
import type { Support } from './support.ts'
import { type ConfigNode, describeNode, isNull, type MapEntry, type MapNode } from './tree.ts'

export interface DecodeContext {
  readonly schema: Schema
  readonly document: SourceDocument
  readonly problems: Problems
  readonly support: Support
  readonly extensionNames: ExtensionNames
  /** Message types of extensions that the user brings along (`--extension`); their fields are plain JSON. */
  readonly ownTypes?: ReadonlySet<string> | undefined
  /** JSON files type their scalars themselves. */
  readonly isJson: boolean
}

/** How deep messages may nest: protobuf's own bound, which keeps recursion off the stack's end. */
const maxDepth = 100
/**
 * How many nodes one load may visit. An ordinary file is visited once; aliases may repeat a part of it, and a "billion
 * laughs" file repeats it 10^9 times.
 */
const maxVisits = 1_000_000

interface Ancestor {
  readonly descriptor: MessageDescriptor
  readonly path: string
  readonly isOptional: boolean
}

/** The field that an unknown key stands for: one that is written alike, or one that it belongs into. */
function meantField(descriptor: MessageDescriptor, key: string): FieldDescriptor | undefined {
  const close = nearest(
    key,
    descriptor.fields.map(({ name }) => name),
  )
  const below = descriptor.fields.find(({ message }) => message && !message.native && message.field(key))
  return below ?? (close === undefined ? undefined : descriptor.field(close))
}

/** Fields of Envoy's v2 API that old tutorials still have, and what took their place. */
const SUCCESSORS: Readonly<Record<string, string>> = { hosts: 'load_assignment', tls_context: 'transport_socket' }

export class TreeDecoder {
  readonly context: DecodeContext
  /** Messages being decoded, outermost first: where a misplaced field might have been meant to go. */
  readonly #ancestors: Ancestor[] = []
  /** Above 0 inside what is refused or without effect as a whole: its parts need no word of their own. */
  #quiet = 0
  #visits = 0

  constructor(context: DecodeContext) {
    this.context = context
  }

  /** Decodes one message that has an interface of its own. */
  message(descriptor: MessageDescriptor, node: ConfigNode, path: string, category?: string): object | undefined {
    if (!this.enter(node, path)) return undefined
    if (node.kind !== 'map') {
      const cure = node.kind === 'list' && node.items.length === 1 ? '; remove the "- "' : ''
      this.error(node.offset, path, 'type', `must be a mapping, not ${describeNode(node)}${cure}`)
      return undefined
    }
    this.#ancestors.push({ descriptor, path, isOptional: isOptional(node) })
    const message = descriptor.create()
    const failed = this.#fields(descriptor, node, path, category, message)
    if (category !== undefined || descriptor.field('typed_config'))
      this.#byName(descriptor, node, path, category, message)
    this.#checkRules(descriptor, node, path, message, failed)
    this.#ancestors.pop()
    recordSource(message, { document: this.context.document, path, node })
    return Object.freeze(message)
  }

  /** Decodes one field of a message that is not there as a whole, without asking for its other fields. */
  loneField(descriptor: MessageDescriptor, entry: MapEntry): unknown {
    const field = descriptor.field(entry.key)
    return field && this.#supportedField(descriptor, field, entry, field.name, undefined)
  }

  /** Counts a visit and refuses what is too deep or too much; the bound on aliases. */
  enter(node: ConfigNode, path: string): boolean {
    this.#visits++
    if (this.#visits === maxVisits + 1) {
      this.error(node.offset, path, 'syntax', `the file grows beyond ${maxVisits} values through its aliases`)
    }
    if (this.#visits > maxVisits) return false
    if (this.#ancestors.length < maxDepth) return true
    this.error(node.offset, path, 'syntax', `nested more than ${maxDepth} messages deep`)
    return false
  }

  error(offset: number, path: string, code: Parameters<Problems['error']>[1], message: string): void {
    this.context.problems.error(this.place(offset, path), code, message)
  }

  place(offset: number, path: string): Place {
    return { document: this.context.document, offset, path }
  }

  get isQuiet(): boolean {
    return this.#quiet > 0
  }

  /** Whether the message being decoded says `is_optional`: whoever does not know its extension may leave it out. */
  get isOptional(): boolean {
    return this.#ancestors.at(-1)?.isOptional ?? false
  }

  /** Runs `decode` without complaints about what is unsupported, deprecated or without effect inside. */
  quietly<T>(decode: () => T): T {
    this.#quiet++
    try {
      return decode()
    } finally {
      this.#quiet--
    }
  }

  #fields(
    descriptor: MessageDescriptor,
    node: MapNode,
    path: string,
    category: string | undefined,
    message: Record<string, unknown>,
  ): Set<FieldDescriptor> | undefined {
    let failed: Set<FieldDescriptor> | undefined
    const seen = new Map<FieldDescriptor, MapEntry>()
    for (const entry of node.entries) {
      const field = descriptor.field(entry.key)
      if (!field) {
        // What a message carried by an Any is called stands beside its fields.
        if (entry.key !== '@type') {
          this.#unknownField(descriptor, entry, path)
          // Whoever misspells a field need not hear that it is missing, too.
          const meant = meantField(descriptor, entry.key)
          if (meant !== undefined) (failed ??= new Set()).add(meant)
        }
        continue
      }
      const fieldPath = path === '' ? field.name : `${path}.${field.name}`
      const earlier = seen.get(field)
      if (earlier) this.#duplicate(fieldPath, earlier, entry)
      if (isNull(entry.value) && !(field.kind === Kind.Message && field.message?.native === 'value')) continue
      seen.set(field, entry)
      const value = this.#supportedField(descriptor, field, entry, fieldPath, category)
      if (value === undefined) (failed ??= new Set()).add(field)
      else message[field.property] = value
    }
    this.#checkOneofs(descriptor, seen, path)
    return failed
  }

  #duplicate(path: string, earlier: MapEntry, entry: MapEntry): void {
    const { document, problems } = this.context
    const { line } = document.position(earlier.keyOffset)
    problems.warning(this.place(entry.keyOffset, path), 'duplicate', `given twice; this one counts, not line ${line}`)
  }

  #checkOneofs(descriptor: MessageDescriptor, seen: ReadonlyMap<FieldDescriptor, MapEntry>, path: string): void {
    for (const oneof of descriptor.oneofs) {
      const given = oneof.fields.filter(field => seen.has(field))
      if (given.length < 2) continue
      const names = given.map(field => `"${field.name}"`).join(' and ')
      this.error(seen.get(given[1]!)!.keyOffset, path, 'oneof', `${names} exclude each other; keep one of them`)
    }
  }

  /** Decodes a field and says what its class of support asks to be said. Undefined if it could not be decoded. */
  #supportedField(
    descriptor: MessageDescriptor,
    field: FieldDescriptor,
    entry: MapEntry,
    path: string,
    category: string | undefined,
  ): unknown {
    const { support, problems } = this.context
    if (this.isQuiet) return this.#field(descriptor, field, entry, path, category)
    const place = this.place(entry.keyOffset, path)
    const key = `${descriptor.typeName}.${field.name}`
    if (field.flags & FieldFlag.Disallowed) {
      problems.error(place, 'deprecated', 'is deprecated, and Envoy 1.40 refuses it')
      return this.quietly(() => this.#field(descriptor, field, entry, path, category))
    }
    const class_ = support.field(descriptor.typeName, field.name)
    if (class_.kind === 'supported') {
      if (field.flags & FieldFlag.Deprecated) {
        problems.warnOnce(`deprecated ${key}`, place, 'deprecated', 'is deprecated in Envoy; it still works')
      }
      return this.#field(descriptor, field, entry, path, category)
    }
    const value = this.quietly(() => this.#field(descriptor, field, entry, path, category))
    // Saying the default out loud asks for nothing.
    if (value !== undefined && isDefault(field, value)) return value
    if (class_.kind === 'refused') problems.error(place, 'unsupported', class_.reason)
    else problems.warnOnce(`no-effect ${key}`, place, 'no-effect', `has no effect here: ${class_.reason}`)
    return value
  }

  #field(
    descriptor: MessageDescriptor,
    field: FieldDescriptor,
    { value: node }: MapEntry,
    path: string,
    inherited: string | undefined,
  ): unknown {
    const category = categoryOf(descriptor, field, inherited)
    if (field.isMap) return this.#map(descriptor, field, node, path, category)
    if (!field.repeated) return this.#value(descriptor, field, node, path, category)
    // Envoy takes a single value for a list of one.
    const items = node.kind === 'list' ? node.items : [node]
    const list: unknown[] = []
    let complete = true
    items.forEach((item, index) => {
      if (isNull(item) && field.message?.native !== 'value') return
      const value = this.#value(descriptor, field, item, `${path}[${index}]`, category)
      if (value === undefined) complete = false
      else list.push(value)
    })
    return complete ? Object.freeze(list) : undefined
  }

  #map(
    descriptor: MessageDescriptor,
    field: FieldDescriptor,
    node: ConfigNode,
    path: string,
    category: string | undefined,
  ): ReadonlyMap<string, unknown> | undefined {
    if (node.kind !== 'map') {
      this.error(node.offset, path, 'type', `must be a mapping of names to values, not ${describeNode(node)}`)
      return undefined
    }
    const map = new Map<string, unknown>()
    let complete = true
    for (const entry of node.entries) {
      const entryPath = `${path}["${entry.key}"]`
      if (map.has(entry.key)) {
        this.context.problems.warning(
          this.place(entry.keyOffset, entryPath),
          'duplicate',
          'given twice; this one counts',
        )
      }
      const empty = isNull(entry.value) && field.message !== undefined && field.message.native !== 'value'
      const value = empty
        ? this.#value(descriptor, field, { kind: 'map', offset: entry.keyOffset, entries: [] }, entryPath, category)
        : this.#value(descriptor, field, entry.value, entryPath, category)
      if (value === undefined) complete = false
      else map.set(entry.key, value)
    }
    return complete ? map : undefined
  }

  /** One value: of a singular field, of a list's item, of a map's entry. */
  #value(
    descriptor: MessageDescriptor,
    field: FieldDescriptor,
    node: ConfigNode,
    path: string,
    category: string | undefined,
  ): unknown {
    if (field.kind === Kind.Message) {
      const type = field.message
      if (!type) return {} // Left out of the table, hence always refused; its content is not looked at.
      if (type.native === 'any') return decodeAny(this, node, path, category)
      return type.native ? decodeNative(this, type, node, path) : this.message(type, node, path, category)
    }
    if (!this.enter(node, path)) return undefined
    const value = decodeScalar(field.kind, node, field.kind === Kind.Enum ? field.enumeration : undefined)
    if (value instanceof Mismatch) {
      this.error(node.offset, path, 'type', value.message)
      return undefined
    }
    if (field.kind === Kind.String) this.checkMisread(node, path)
    if (field.kind === Kind.Enum && !this.isQuiet) {
      const class_ = this.context.support.value(descriptor.typeName, field.name, value as string)
      if (class_.kind === 'refused') this.error(node.offset, path, 'unsupported', `${String(value)} ${class_.reason}`)
    }
    return value
  }

  /** `id: n` is false to Envoy, and refused. The string is what anybody means. */
  checkMisread(node: ConfigNode, path: string): void {
    const { problems, isJson } = this.context
    if (problems.strict && !isJson && isMisreadString(node)) {
      problems.error(
        this.place(node.offset, path),
        'pedantry',
        `Envoy reads ${describeNode(node)} as no string; put it in quotes`,
      )
    }
  }

  /** An extension that is given by its name only, which Envoy wants spelled out. */
  #byName(
    descriptor: MessageDescriptor,
    node: MapNode,
    path: string,
    inherited: string | undefined,
    message: Record<string, unknown>,
  ): void {
    const field = descriptor.field('typed_config')
    const name = message['name']
    if (!field || typeof name !== 'string' || name === '' || message['typedConfig'] !== undefined) return
    if (
      message['configDiscovery'] !== undefined ||
      node.entries.some(({ key, value }) => key === 'typed_config' && !isNull(value))
    )
      return
    const category = categoryOf(descriptor, field, inherited)
    const typeUrl = this.context.extensionNames(name, category)
    const nameOffset = node.entries.find(entry => entry.key === 'name')?.value.offset ?? node.offset
    const value = decodeAny(this, undefined, `${path}.typed_config`, category, { name, typeUrl, offset: nameOffset })
    if (value !== undefined) message[field.property] = value
  }

  #checkRules(
    descriptor: MessageDescriptor,
    node: MapNode,
    path: string,
    message: Readonly<Record<string, unknown>>,
    failed: ReadonlySet<FieldDescriptor> | undefined,
  ): void {
    checkRules(descriptor, message, failed, (field, text, index) => {
      if (!field) return this.error(node.offset, path, 'rule', text)
      const entry = node.entries.find(({ key }) => descriptor.field(key) === field)
      const item = index === undefined ? '' : typeof index === 'number' ? `[${index}]` : `["${index}"]`
      const fieldPath = `${path === '' ? '' : `${path}.`}${field.name}${item}`
      this.error(entry ? offsetOf(entry, index) : node.offset, fieldPath, 'rule', text)
    })
  }

  #unknownField(descriptor: MessageDescriptor, { key, keyOffset }: MapEntry, path: string): void {
    const fieldPath = path === '' ? key : `${path}.${key}`
    this.error(keyOffset, fieldPath, 'unknown-field', `unknown field${this.#cureForUnknown(descriptor, key)}`)
  }

  #cureForUnknown(descriptor: MessageDescriptor, key: string): string {
    if (key === '<<') return '; Envoy knows no YAML merge keys, repeat the fields or use an alias for the whole value'
    if (key === 'config' && descriptor.field('typed_config')) return '; since v3 it is "typed_config", with an "@type"'
    const successor = SUCCESSORS[key]
    if (successor !== undefined && descriptor.field(successor)) return `; since v3 it is "${successor}"`
    if (/^[\u2013\u2014\u2212]/.test(key)) return '; write a plain hyphen for a list item'
    // Names of one letter off come first, then the right name in the wrong place.
    const names = descriptor.fields.map(field => field.name)
    const close = nearest(key, names)
    const below = descriptor.fields.find(field => field.message && !field.message.native && field.message.field(key))
    const above = this.#ancestors.slice(0, -1).findLast(({ descriptor: ancestor }) => ancestor.field(key))
    if (close !== undefined && !below && !above) return `, did you mean "${close}"?`
    if (above)
      return `; it belongs under "${above.path === '' ? 'the top level' : lastName(above.path)}", so check the indentation`
    if (below) return `; it belongs under "${below.name}"`
    if (close !== undefined) return `, did you mean "${close}"?`
    if (descriptor.typeName === 'envoy.config.bootstrap.v3.Bootstrap')
      return '; a bootstrap has node, admin, static_resources and more'
    return names.length > 0 && names.length <= 10 ? `; the fields here are ${names.join(', ')}` : ''
  }
}

function isOptional(node: MapNode): boolean {
  const entry = node.entries.find(({ key }) => key === 'is_optional' || key === 'isOptional')
  return entry !== undefined && decodeScalar(Kind.Bool, entry.value) === true
}

function lastName(path: string): string {
  return /([\w@]+)(?:\[[^\]]*\])*$/.exec(path)?.[1] ?? path
}

function offsetOf(entry: MapEntry, index: number | string | undefined): number {
  const { value } = entry
  if (typeof index === 'number' && value.kind === 'list') return value.items[index]?.offset ?? value.offset
  if (typeof index === 'string' && value.kind === 'map') {
    return value.entries.find(({ key }) => key === index)?.keyOffset ?? value.offset
  }
  return isNull(value) ? entry.keyOffset : value.offset
}

function isDefault(field: FieldDescriptor, value: unknown): boolean {
  if (field.repeated) return (value as readonly unknown[]).length === 0
  if (field.isMap) return (value as ReadonlyMap<string, unknown>).size === 0
  return !field.hasPresence && value === field.zero
}

/** The category of extensions for what a field holds: its own, or the one handed down to a message's `typed_config`. */
function categoryOf(
  descriptor: MessageDescriptor,
  field: FieldDescriptor,
  inherited: string | undefined,
): string | undefined {
  return (
    extensionPoints[`${descriptor.typeName}.${field.name}`] ?? (field.name === 'typed_config' ? inherited : undefined)
  )
}
