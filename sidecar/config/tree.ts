/**
 * A configuration as text gives it, before any type is known: mappings, lists and scalars, each with its offset.
 *
 * Scalars keep their text and whether they were quoted, because what `yes`, `017` or `1.5s` means depends on the field
 * that receives it. An alias is the very node of its anchor, so the tree is a graph without cycles whose size is that of
 * the file; whoever walks it must bound how much it visits.
 */
import type { JsonValue } from './schema/generated/types.ts'

export type ConfigNode = ScalarNode | MapNode | ListNode

export interface ScalarNode {
  readonly kind: 'scalar'
  readonly offset: number
  readonly text: string
  /** Quoted and block scalars are always strings to Envoy. */
  readonly quoted: boolean
}

export interface MapEntry {
  readonly key: string
  readonly keyOffset: number
  readonly value: ConfigNode
}

export interface MapNode {
  readonly kind: 'map'
  readonly offset: number
  readonly entries: readonly MapEntry[]
}

export interface ListNode {
  readonly kind: 'list'
  readonly offset: number
  readonly items: readonly ConfigNode[]
}

/** `~`, `null` and nothing at all: Envoy leaves the field unset. */
export function isNull(node: ConfigNode): boolean {
  return node.kind === 'scalar' && !node.quoted && /^(?:~|null|Null|NULL|)$/.test(node.text)
}

export function entryOf(node: ConfigNode | undefined, key: string): MapEntry | undefined {
  return node?.kind === 'map' ? node.entries.find(entry => entry.key === key) : undefined
}

/** Envoy replaces nothing either. */
export const unreplacedVariable =
  'environment variables are not replaced in a configuration; put their values in first (envsubst)'

export function describeNode(node: ConfigNode): string {
  if (node.kind === 'map') return 'a mapping'
  if (node.kind === 'list') return 'a list'
  if (isNull(node)) return 'nothing'
  const text = node.text.length > 40 ? `${node.text.slice(0, 40)}…` : node.text
  const isVariable = /^\$(\{\w[^}]*\}|[A-Z_]+)$/.test(node.text)
  return isVariable ? `${JSON.stringify(text)}: ${unreplacedVariable}` : JSON.stringify(text)
}

/** JSON that did not come as text (a TypedStruct in protobuf) in the form that decoders take. */
export function nodeOfJson(json: JsonValue): ConfigNode {
  if (Array.isArray(json)) return { kind: 'list', offset: 0, items: (json as readonly JsonValue[]).map(nodeOfJson) }
  if (typeof json === 'object' && json !== null) {
    const entries = Object.entries(json).map(([key, value]) => ({ key, keyOffset: 0, value: nodeOfJson(value) }))
    return { kind: 'map', offset: 0, entries }
  }
  return { kind: 'scalar', offset: 0, text: String(json), quoted: typeof json === 'string' }
}
