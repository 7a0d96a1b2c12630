/**
 * google.protobuf.Any as Envoy's users write it: `"@type"` beside the fields; a TypedStruct (both kinds) around them; or
 * nothing but the extension's name, which Envoy refuses and Hopwise understands.
 */

import { didYouMean } from '../base/suggest.ts'
import type { TreeDecoder } from './decode.ts'
import { decodeNative } from './decode-native.ts'
import { categoriesOf, fitsCategory, namesInCategory } from './extension-points.ts'
import type { ProblemCode } from './problems.ts'
import type { AnyMessage } from './schema/generated/types.ts'
import type { MessageDescriptor } from './schema/table.ts'
import { recordSource } from './source.ts'
import { type ConfigNode, describeNode, entryOf, isNull, type MapNode } from './tree.ts'

/** An extension that says its name and no type. */
export interface NamedExtension {
  readonly name: string
  /** What the name means here, if it means anything. */
  readonly typeUrl: string | undefined
  readonly offset: number
}

export function decodeAny(
  decoder: TreeDecoder,
  node: ConfigNode | undefined,
  path: string,
  category: string | undefined,
  named?: NamedExtension,
): AnyMessage | undefined {
  if (node === undefined || isNull(node)) return named && decodeNamed(decoder, undefined, path, category, named)
  if (!decoder.enter(node, path)) return undefined
  if (node.kind !== 'map') {
    decoder.error(node.offset, path, 'type', `must be a mapping with an "@type", not ${describeNode(node)}`)
    return undefined
  }
  const type = entryOf(node, '@type')
  if (!type) {
    const message = 'needs an "@type", such as "type.googleapis.com/envoy.…", that says what is configured here'
    decoder.error(node.offset, path, 'extension', message)
    return undefined
  }
  if (type.value.kind !== 'scalar') {
    decoder.error(type.value.offset, `${path}.@type`, 'type', `must be a string, not ${describeNode(type.value)}`)
    return undefined
  }
  const url = type.value.text
  if (!url.includes('/')) {
    const place = decoder.place(type.value.offset, `${path}.@type`)
    decoder.context.problems.pedantry(
      `type url ${url}`,
      place,
      `write "type.googleapis.com/${url}"`,
      '@type must contain at least one / and a nonempty host',
    )
  }
  const typeName = messageName(url)
  if (typeName === 'udpa.type.v1.TypedStruct' || typeName === 'xds.type.v3.TypedStruct') {
    const inner = entryOf(node, 'type_url') ?? entryOf(node, 'typeUrl')
    const innerName = inner?.value.kind === 'scalar' ? messageName(inner.value.text) : ''
    const descriptor = decoder.context.schema.message(innerName)
    if (inner && descriptor) {
      const value = entryOf(node, 'value')?.value ?? { kind: 'map', offset: node.offset, entries: [] }
      return decodeAs(decoder, descriptor, value, `${path}.value`, category, inner.value.offset)
    }
    if (inner && decoder.context.ownTypes?.has(innerName)) {
      const value = entryOf(node, 'value')?.value ?? { kind: 'map', offset: node.offset, entries: [] }
      return decodeOwn(decoder, innerName, value, `${path}.value`)
    }
    return refuse(
      decoder,
      inner?.value.offset ?? node.offset,
      `${path}.type_url`,
      'extension',
      unknownType(decoder, innerName),
    )
  }
  if (decoder.context.ownTypes?.has(typeName)) {
    const fields = node.entries.filter(entry => entry !== type)
    return decodeOwn(decoder, typeName, { ...node, entries: fields }, path)
  }
  const descriptor = decoder.context.schema.message(typeName)
  if (!descriptor) {
    return refuse(decoder, type.value.offset, `${path}.@type`, 'extension', unknownType(decoder, typeName))
  }
  return decodeAs(decoder, descriptor, node, path, category, type.value.offset)
}

/** A type of an extension of the user's own: no schema knows its fields, so it is plain JSON, checked by the extension. */
function decodeOwn(decoder: TreeDecoder, typeName: string, node: ConfigNode, path: string): AnyMessage | undefined {
  const struct = decoder.context.schema.message('google.protobuf.Struct')!
  const value = decodeNative(decoder, struct, node, path)
  return value === undefined ? undefined : anyOf(decoder, typeName, value, path, node)
}

/** What we do not know is left out, with a warning, where the configuration says that it may be. */
function refuse(decoder: TreeDecoder, offset: number, path: string, code: ProblemCode, message: string): undefined {
  if (!decoder.isOptional) decoder.error(offset, path, code, message)
  else decoder.context.problems.warning(decoder.place(offset, path), code, `left out, as it is optional: ${message}`)
  return undefined
}

/** The full name of the message: what stands behind the last slash. */
function messageName(url: string): string {
  return url.slice(url.lastIndexOf('/') + 1)
}

function unknownType(decoder: TreeDecoder, typeName: string): string {
  if (typeName === '') return 'must name a message'
  const hint = didYouMean(typeName, decoder.context.schema.typeNames)
  if (hint) return `unknown type "${typeName}"${hint}`
  if (/\.v2(?:alpha\d*)?\./.test(typeName))
    return `"${typeName}" is of Envoy's v2 API, which ended in 2021; use its v3 successor`
  if (typeName.startsWith('envoy.')) return `"${typeName}" is not supported yet by Hopwise`
  return `unknown type "${typeName}"`
}

function decodeAs(
  decoder: TreeDecoder,
  descriptor: MessageDescriptor,
  node: ConfigNode,
  path: string,
  category: string | undefined,
  typeOffset: number,
): AnyMessage | undefined {
  const { typeName } = descriptor
  if (category !== undefined && !fitsCategory(typeName, category) && typeName !== 'google.protobuf.Any') {
    const place = categoriesOf(typeName)
    const is = place.length > 0 ? `, it is for ${place.join(', ')}` : ''
    decoder.error(typeOffset, path, 'extension', `"${typeName}" does not belong here (${category})${is}`)
    return undefined
  }
  const decode = (): unknown => {
    if (!descriptor.native) return decoder.message(descriptor, node, path)
    // Scalars and their like stand under "value".
    const inner = entryOf(node, 'value')?.value ?? { kind: 'map', offset: node.offset, entries: [] }
    return decodeNative(decoder, descriptor, inner, `${path}.value`)
  }
  const class_ = decoder.isQuiet ? undefined : decoder.context.support.message(typeName)
  if (class_?.kind === 'refused') {
    refuse(decoder, typeOffset, path, 'unsupported', `${shortName(typeName)} ${class_.reason}`)
    if (decoder.isOptional) return undefined
  }
  if (class_?.kind === 'accepted') {
    const text = `${shortName(typeName)} has no effect here: ${class_.reason}`
    decoder.context.problems.warnOnce(`no-effect ${typeName}`, decoder.place(typeOffset, path), 'no-effect', text)
  }
  const quiet = class_ !== undefined && class_.kind !== 'supported'
  const value = quiet ? decoder.quietly(decode) : decode()
  return value === undefined ? undefined : anyOf(decoder, typeName, value, path, node)
}

function anyOf(decoder: TreeDecoder, typeUrl: string, value: unknown, path: string, node: ConfigNode): AnyMessage {
  const any: AnyMessage = Object.freeze({ typeUrl, value: value as object })
  recordSource(any, { document: decoder.context.document, path, node })
  return any
}

function shortName(typeName: string): string {
  return typeName.slice(typeName.lastIndexOf('.') + 1)
}

function decodeNamed(
  decoder: TreeDecoder,
  node: MapNode | undefined,
  path: string,
  category: string | undefined,
  { name, typeUrl, offset }: NamedExtension,
): AnyMessage | undefined {
  if (typeUrl !== undefined && decoder.context.ownTypes?.has(typeUrl)) {
    return decodeOwn(decoder, typeUrl, node ?? { kind: 'map', offset, entries: [] }, path)
  }
  const envoysWords = `Didn't find a registered implementation for '${name}' with type URL: ''`
  const descriptor = typeUrl === undefined ? undefined : decoder.context.schema.message(typeUrl)
  if (!descriptor) {
    // Without a category the name may be a label for something that needs no configuration.
    if (category === undefined) return undefined
    const cure = didYouMean(name, namesInCategory(category))
    decoder.error(
      offset,
      path,
      'extension',
      `needs a typed_config, since "${name}" is not a name that says what it is${cure}`,
    )
    return undefined
  }
  const { problems } = decoder.context
  const fix = `"${name}" has no typed_config; add: typed_config: {"@type": type.googleapis.com/${descriptor.typeName}}`
  problems.pedantry(`name ${name}`, decoder.place(offset, path), fix, envoysWords)
  const empty: MapNode = node ?? { kind: 'map', offset, entries: [] }
  return decodeAs(decoder, descriptor, empty, path, category, offset)
}
