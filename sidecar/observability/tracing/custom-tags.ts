/** Tags that configuration adds to spans (`custom_tags`). */
import type { FormatContext, Formatter, HeaderView, MetadataKind } from '../formatter/context.ts'
import { metadataText } from '../formatter/operators-metadata.ts'

/** What a tag is in formats that know types; a text that is no such value stays a text. */
export type TagValueType = 'STRING' | 'INT' | 'DOUBLE' | 'BOOL'

export type CustomTagConfig = { readonly tag: string; readonly valueType?: TagValueType } & (
  | { readonly type: 'literal'; readonly value: string }
  | { readonly type: 'environment'; readonly name: string; readonly defaultValue: string }
  | { readonly type: 'request_header'; readonly name: string; readonly defaultValue: string }
  | {
      readonly type: 'metadata'
      readonly kind: MetadataKind | 'DYNAMIC'
      readonly namespace: string
      readonly path: readonly string[]
      readonly defaultValue: string
    }
  /** A format, compiled. */
  | { readonly type: 'value'; readonly format: Formatter }
)

/** A tag with how its value is found: '' leaves it out. */
export interface CustomTag {
  readonly tag: string
  readonly valueType: TagValueType
  value(context: FormatContext): string
}

/** By name: a route's tag replaces the connection manager's. */
export function compileCustomTags(
  configs: readonly CustomTagConfig[],
  environment: Readonly<Record<string, string | undefined>> = process.env,
): CustomTag[] {
  const byName = new Map(configs.map(config => [config.tag, config]))
  return [...byName.values()].map(config => ({
    tag: config.tag,
    valueType: config.valueType ?? 'STRING',
    value: valueReader(config, environment),
  }))
}

function valueReader(
  config: CustomTagConfig,
  environment: Readonly<Record<string, string | undefined>>,
): CustomTag['value'] {
  switch (config.type) {
    case 'literal':
      return () => config.value
    case 'environment': {
      const value = environment[config.name] ?? config.defaultValue
      return () => value
    }
    case 'request_header': {
      const name = config.name.toLowerCase()
      return ({ requestHeaders }) => readHeader(requestHeaders, name) ?? config.defaultValue
    }
    case 'metadata':
      return context => readMetadata(context, config) ?? config.defaultValue
    case 'value':
      return context => readableText(config.format(context))
  }
}

function readHeader(headers: HeaderView | undefined, name: string): string | undefined {
  const value = headers?.get(name)
  return value === undefined ? undefined : readableText(value)
}

function readMetadata(
  context: FormatContext,
  config: Extract<CustomTagConfig, { type: 'metadata' }>,
): string | undefined {
  const { kind, namespace, path } = config
  let value: unknown =
    kind === 'DYNAMIC' ? context.info.dynamicMetadata?.get(namespace) : context.metadata?.(kind)?.[namespace]
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value === undefined || value === null ? undefined : readableText(metadataText(value))
}

/** Bytes of a header as text: UTF-8 where they are that, else every byte as the character of its number. */
export function readableText(bytes: string): string {
  if (!/[^\0-\x7f]/.test(bytes)) return bytes
  const text = Buffer.from(bytes, 'latin1').toString('utf8')
  return text.includes('\ufffd') ? bytes : text
}
