/**
 * One resource to its frozen message: protobuf bytes as xDS delivers them, or YAML or JSON text of a watched file.
 */
import { BinaryDecoder } from './binary-decode.ts'
import { TreeDecoder } from './decode.ts'
import { type ExtensionNames, knownExtensionNames } from './extension-points.ts'
import { type ConfigProblem, Problems } from './problems.ts'
import { checkResource } from './references/bootstrap.ts'
import type { JsonValue, MessageTypes } from './schema/generated/types.ts'
import { type MessageDescriptor, schema } from './schema/table.ts'
import { SourceDocument } from './source.ts'
import { hopwiseSupport, type Support } from './support.ts'
import { nodeOfJson } from './tree.ts'
import { type ParsedText, parseText } from './yaml.ts'

export interface DecodeResourceOptions {
  /** How messages name the resource: `xds:cluster/b`, or a file. */
  readonly source: string
  readonly strict?: boolean | undefined
  readonly extensionNames?: ExtensionNames | undefined
  /** `everythingSupported` for messages of services, which are not configuration. */
  readonly support?: Support | undefined
  /**
   * Leave every `Any` of protobuf bytes undecoded, as an `OpaqueMessage`: a discovery response is read first, and its
   * resources are then judged one by one.
   */
  readonly anyAsBytes?: boolean | undefined
}

export interface DecodedResource<T> {
  /** Undefined if there is any error. */
  readonly value: T | undefined
  readonly errors: readonly ConfigProblem[]
  readonly warnings: readonly ConfigProblem[]
}

/**
 * Clusters, listeners and route tables are also checked in themselves (domains, filter order, addresses, expressions);
 * names of other resources are not, since those may come later.
 */
export function decodeResource<Name extends keyof MessageTypes>(
  typeName: Name,
  content: Uint8Array | string | ParsedText,
  options: DecodeResourceOptions,
): DecodedResource<MessageTypes[Name]> {
  const descriptor = schema().message(typeName)
  if (!descriptor) throw new Error(`the schema has no message ${typeName}`)
  const problems = new Problems(options.strict)
  const value =
    content instanceof Uint8Array
      ? decodeBytes(descriptor, content, options, problems)
      : decodeText(descriptor, content, options, problems)
  if (value) checkResource(typeName, value, problems)
  const { errors, warnings } = problems
  return { value: errors.length === 0 ? (value as MessageTypes[Name]) : undefined, errors, warnings }
}

function decodeBytes(
  descriptor: MessageDescriptor,
  bytes: Uint8Array,
  options: DecodeResourceOptions,
  problems: Problems,
): object | undefined {
  const document = new SourceDocument(options.source)
  const context = { ...contextOf(options, document, problems), anyAsBytes: options.anyAsBytes === true }
  const jsonDecoder = new TreeDecoder(context)
  const decodeJson = (inner: MessageDescriptor, json: JsonValue, path: string) =>
    jsonDecoder.message(inner, nodeOfJson(json), path)
  return new BinaryDecoder({ ...context, decodeJson }).message(descriptor, bytes, '')
}

function decodeText(
  descriptor: MessageDescriptor,
  content: string | ParsedText,
  options: DecodeResourceOptions,
  problems: Problems,
): object | undefined {
  const { document, root } = typeof content === 'string' ? parseText(options.source, content, problems) : content
  const isJson = options.source.endsWith('.json')
  return root && new TreeDecoder({ ...contextOf(options, document, problems), isJson }).message(descriptor, root, '')
}

function contextOf(options: DecodeResourceOptions, document: SourceDocument, problems: Problems) {
  return {
    schema: schema(),
    document,
    problems,
    support: options.support ?? hopwiseSupport,
    extensionNames: options.extensionNames ?? knownExtensionNames,
    isJson: true,
  }
}
