/**
 * Messages of services that are known only by their descriptors: JSON to bytes and back.
 *
 * The sidecar's own binary codec reads a table that is made when the sidecar is built; descriptors that come with a
 * configuration need what proto3's JSON mapping has in full (well-known types, Any, maps, enums by name), so here
 * @bufbuild/protobuf does it. It is loaded when a configuration has a transcoder and not before: 14 MB and 80 ms that no
 * other sidecar pays for (measured on Node 26.10).
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type {
  DescField,
  DescMessage,
  DescMethod,
  DescService,
  FileRegistry,
  JsonObject,
  JsonValue,
} from '@bufbuild/protobuf'
import { packageRoot } from '../../../base/package-root.ts'
import { ConfigError } from '../../../filter-chain/http-filter.ts'
import { HTTP_EXTENSION, type HttpRule, readHttpRules } from './http-rule.ts'
import { jsonText } from './json-text.ts'
import { bindingValue, fieldOf, isObject, messageValue, RequestMistake } from './json-value.ts'
import type { Binding } from './path-template.ts'

type Protobuf = typeof import('@bufbuild/protobuf')
type WellKnown = typeof import('@bufbuild/protobuf/wkt')

let loaded: { readonly protobuf: Protobuf; readonly wellKnown: WellKnown } | undefined

function load() {
  const require = createRequire(join(packageRoot, 'package.json'))
  loaded ??= {
    protobuf: require('@bufbuild/protobuf') as Protobuf,
    wellKnown: require('@bufbuild/protobuf/wkt') as WellKnown,
  }
  return loaded
}

export interface PrintOptions {
  readonly whitespace: boolean
  readonly allPrimitives: boolean
  readonly enumsAsNumbers: boolean
  readonly protoNames: boolean
}

const HTTP_BODY = 'google.api.HttpBody'

export class Descriptors {
  readonly #registry: FileRegistry
  readonly #protobuf: Protobuf
  readonly #print: PrintOptions
  readonly #anyCaseEnums: boolean

  /** `bytes`: a `FileDescriptorSet` with all that its files import. Throws {@link ConfigError}. */
  constructor(bytes: Uint8Array, field: string, print: PrintOptions, anyCaseEnums: boolean) {
    const { protobuf, wellKnown } = load()
    this.#protobuf = protobuf
    this.#print = print
    this.#anyCaseEnums = anyCaseEnums
    const set = attempt(field, 'Unable to parse proto descriptor', () =>
      protobuf.fromBinary(wellKnown.FileDescriptorSetSchema, bytes),
    )
    const has = (name: string) => set.file.some(file => file.name === name)
    if (!has('google/protobuf/any.proto')) set.file.unshift(wellKnown.file_google_protobuf_any.proto)
    if (!has('google/rpc/status.proto')) set.file.push(statusFile(protobuf, wellKnown))
    this.#registry = attempt(field, 'Unable to build proto descriptor pool', () => protobuf.createFileRegistry(set))
  }

  service(name: string): DescService | undefined {
    return this.#registry.getService(name)
  }

  /** The HTTP rules of a method; undefined where it has none, or where they cannot be read. */
  rulesOf(method: DescMethod): readonly HttpRule[] | undefined {
    const unknown = method.proto.options?.$unknown?.filter(({ no }) => no === HTTP_EXTENSION) ?? []
    if (unknown.length === 0) return undefined
    // An extension in several pieces is one message (protobuf: merging).
    return readHttpRules(Buffer.concat(unknown.map(({ data }) => withoutLength(data))))
  }

  isHttpBody(message: DescMessage): boolean {
    return message.typeName === HTTP_BODY
  }

  /** The field at the end of a path, or a text that says where the path breaks. */
  resolve(message: DescMessage, path: readonly string[]): DescField | string {
    let at: DescMessage | undefined = message
    let field: DescField | undefined
    for (const name of path) {
      if (at === undefined) return `Cannot resolve "${path.join('.')}" in "${message.typeName}"`
      field = fieldOf(at, name)
      if (field === undefined) return `Could not find field "${name}" in the type "${at.typeName}".`
      at = field.fieldKind === 'map' ? undefined : field.message
    }
    return field ?? 'Empty field path'
  }

  /** The bytes of a request. `body` is JSON text for the field at `bodyPath`. Throws {@link RequestMistake}. */
  encode(
    message: DescMessage,
    body: string | undefined,
    bodyPath: readonly string[],
    bindings: readonly Binding[],
    rejectCollisions: boolean,
  ): Uint8Array {
    let json: JsonObject = {}
    if (body !== undefined) {
      const value = parseJson(body)
      if (bodyPath.length > 0) place(json, message, bodyPath, value)
      else if (isObject(value)) json = value
      else throw new RequestMistake('Proto field is not an object')
    }
    const bound = new Set<string>()
    for (const { path, value } of bindings) this.#bind(json, message, path, value, bound, rejectCollisions)
    const canonical = messageValue(json, message, this.#anyCaseEnums, '')
    try {
      const read = this.#protobuf.fromJson(message, canonical, { registry: this.#registry, ignoreUnknownFields: true })
      return this.#protobuf.toBinary(message, read)
    } catch (error) {
      throw new RequestMistake((error as Error).message)
    }
  }

  /** JSON text of a message; undefined where the bytes are none. */
  decode(message: DescMessage, bytes: Uint8Array): string | undefined {
    const { whitespace, allPrimitives, enumsAsNumbers, protoNames } = this.#print
    try {
      const json = this.#protobuf.toJson(message, this.#protobuf.fromBinary(message, bytes), {
        alwaysEmitImplicit: allPrimitives,
        enumAsInteger: enumsAsNumbers,
        useProtoFieldName: protoNames,
        registry: this.#registry,
      })
      return jsonText(json, message, { whitespace, typeOf: name => this.#registry.getMessage(name) })
    } catch {
      return undefined
    }
  }

  /** `google.rpc.Status` as JSON, from `grpc-status-details-bin` or made of code and message; undefined where it cannot. */
  statusJson(details: Uint8Array | undefined, code: number, text: string): string | undefined {
    const status = this.#registry.getMessage('google.rpc.Status')!
    if (details !== undefined) return this.decode(status, details)
    const made = this.#protobuf.fromJson(status, { code, message: text })
    return this.decode(status, this.#protobuf.toBinary(status, made))
  }

  /**
   * `HttpBody` in the field at `path` (the message itself where it is empty), beside the fields of the bindings. Fields of
   * one message may be written one after the other (protobuf: merging), so that a large body is copied and not parsed.
   */
  encodeHttpBody(
    message: DescMessage,
    path: readonly string[],
    contentType: string,
    data: Uint8Array,
    bindings: readonly Binding[],
    unknown: ReadonlyMap<string, readonly string[]> | undefined,
  ): Uint8Array {
    let body: Buffer = Buffer.concat([
      contentType === '' ? NOTHING : delimited(1, Buffer.from(contentType)),
      unknown === undefined ? NOTHING : delimited(3, unknownParameters(unknown)),
      data.length === 0 ? NOTHING : delimited(2, data),
    ])
    for (let depth = path.length; depth > 0; depth--) {
      const field = this.resolve(message, path.slice(0, depth))
      if (typeof field === 'string') throw new RequestMistake(field)
      body = delimited(field.number, body)
    }
    return Buffer.concat([this.encode(message, undefined, [], bindings, false), body])
  }

  decodeHttpBody(bytes: Uint8Array): { readonly contentType: string; readonly data: Buffer } | undefined {
    const message = this.#registry.getMessage(HTTP_BODY)
    if (message === undefined) return undefined
    try {
      const read = this.#protobuf.fromBinary(message, bytes) as unknown as { contentType: string; data: Uint8Array }
      return { contentType: read.contentType, data: Buffer.from(read.data) }
    } catch {
      return undefined
    }
  }

  #bind(
    json: JsonObject,
    message: DescMessage,
    path: readonly string[],
    text: string,
    bound: Set<string>,
    rejectCollisions: boolean,
  ): void {
    const field = this.resolve(message, path)
    if (typeof field === 'string') throw new RequestMistake(field)
    const value = bindingValue(field, text, this.#anyCaseEnums)
    const parent = parentOf(json, message, path)
    // As in Envoy, what the body says under the JSON name of a field is not seen here, and so does not count before this.
    const key = field.fieldKind === 'list' ? keyOf(parent, field) : field.name
    const there = parent[key]
    if (field.fieldKind === 'list') parent[key] = [...(Array.isArray(there) ? there : []), value]
    // The last binding counts, but before all what the body says, as in Envoy.
    else if (there === undefined || bound.has(path.join('.'))) parent[key] = value
    else if (rejectCollisions && String(there) !== text) {
      throw new RequestMistake(
        `The binding value "${text}" of the field ${path.join('.')} is conflicting with the value ${JSON.stringify(there)} in the body.`,
      )
    }
    if (there === undefined) bound.add(path.join('.'))
  }
}

function attempt<T>(field: string, reason: string, work: () => T): T {
  try {
    return work()
  } catch {
    throw new ConfigError(field, `transcoding_filter: ${reason}`)
  }
}

const NOTHING = Buffer.alloc(0)

/** A field of wire type 2. */
function delimited(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80)
  bytes.push(rest)
  return Buffer.from(bytes)
}

/** An `Any` with Envoy's `UnknownQueryParams`, for `HttpBody.extensions`. */
function unknownParameters(parameters: ReadonlyMap<string, readonly string[]>): Buffer {
  const entries = [...parameters]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, values]) => {
      const list = Buffer.concat(values.map(value => delimited(1, Buffer.from(value))))
      return delimited(1, Buffer.concat([delimited(1, Buffer.from(key)), delimited(2, list)]))
    })
  return Buffer.concat([delimited(1, Buffer.from(UNKNOWN_PARAMETERS)), delimited(2, Buffer.concat(entries))])
}

const UNKNOWN_PARAMETERS =
  'type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.UnknownQueryParams'

/** Unknown fields of wire type 2 keep their length. */
function withoutLength(data: Uint8Array): Uint8Array {
  let at = 0
  while (at < data.length && data[at]! >= 0x80) at++
  return data.subarray(at + 1)
}

/** Callers may write either name of a field. */
function keyOf(object: JsonObject, field: DescField): string {
  return field.jsonName in object ? field.jsonName : field.name
}

/** Objects and arrays in one another, as many as protobuf takes. Whatever walks through JSON here has a stack that ends. */
const MAX_DEPTH = 100

function isTooDeep(text: string): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === '\\') i++
    } else if (char === '{' || char === '[') {
      if (++depth > MAX_DEPTH) return true
    } else if (char === '}' || char === ']') depth--
  }
  return false
}

function parseJson(text: string): JsonValue {
  if (text.trim() === '') return {}
  if (isTooDeep(text)) throw new RequestMistake('Message too deep. Max recursion depth reached')
  try {
    return JSON.parse(text) as JsonValue
  } catch (error) {
    throw new RequestMistake((error as Error).message)
  }
}

/** The object that holds the last field of `path`, made where it is missing. */
function parentOf(json: JsonObject, message: DescMessage, path: readonly string[]): JsonObject {
  let at = json
  let type: DescMessage | undefined = message
  for (const name of path.slice(0, -1)) {
    const field: DescField | undefined = type === undefined ? undefined : fieldOf(type, name)
    if (field?.message === undefined) throw new RequestMistake(`Cannot resolve "${path.join('.')}"`)
    const key = keyOf(at, field)
    const there = at[key]
    // Of a repeated message it is the last one.
    const next = Array.isArray(there) ? there.at(-1) : there
    if (isObject(next)) at = next
    else {
      const made: JsonObject = {}
      at[key] = field.fieldKind === 'list' ? [made] : made
      at = made
    }
    type = field.message
  }
  return at
}

function place(json: JsonObject, message: DescMessage, path: readonly string[], value: JsonValue): void {
  const parent = parentOf(json, message, path)
  parent[path.at(-1)!] = value
}

/** `google.rpc.Status`, for descriptor sets that have it not. */
function statusFile(protobuf: Protobuf, wellKnown: WellKnown) {
  const { FieldDescriptorProto_Label: Label, FieldDescriptorProto_Type: Type } = wellKnown
  return protobuf.create(wellKnown.FileDescriptorProtoSchema, {
    name: 'google/rpc/status.proto',
    package: 'google.rpc',
    syntax: 'proto3',
    dependency: ['google/protobuf/any.proto'],
    messageType: [
      {
        name: 'Status',
        field: [
          { name: 'code', number: 1, label: Label.OPTIONAL, type: Type.INT32, jsonName: 'code' },
          { name: 'message', number: 2, label: Label.OPTIONAL, type: Type.STRING, jsonName: 'message' },
          {
            name: 'details',
            number: 3,
            label: Label.REPEATED,
            type: Type.MESSAGE,
            typeName: '.google.protobuf.Any',
            jsonName: 'details',
          },
        ],
      },
    ],
  })
}
