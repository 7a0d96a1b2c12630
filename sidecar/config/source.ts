/**
 * Where a decoded value came from. Positions live beside the values, in a WeakMap, so that a value stays the plain data
 * that its type says and a snapshot that is dropped takes its positions along.
 */
import { type ConfigNode, entryOf, type MapEntry } from './tree.ts'

export interface SourcePosition {
  readonly file: string
  /** From 1; 0 where the configuration came as protobuf (xDS) and has no lines. */
  readonly line: number
  readonly column: number
  readonly path: string
}

/** A file, or a resource that came over xDS, and how offsets in it turn into lines. */
export class SourceDocument {
  readonly file: string
  readonly #lineStarts: readonly number[]
  /** Offsets are those of the repaired text; see `yaml.ts`. */
  readonly #originalOffset: (offset: number) => number

  constructor(file: string, text?: string, originalOffset: (offset: number) => number = offset => offset) {
    this.file = file
    this.#lineStarts = text === undefined ? [] : lineStartsOf(text)
    this.#originalOffset = originalOffset
  }

  position(offset: number): { readonly line: number; readonly column: number } {
    if (this.#lineStarts.length === 0) return { line: 0, column: 0 }
    const original = this.#originalOffset(offset)
    let low = 0
    let high = this.#lineStarts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#lineStarts[middle]! <= original) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: original - this.#lineStarts[low]! + 1 }
  }
}

function lineStartsOf(text: string): number[] {
  const starts = [0]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return starts
}

export interface SourceRecord {
  readonly document: SourceDocument
  readonly path: string
  /** Undefined for what came as protobuf. */
  readonly node: ConfigNode | undefined
}

const records = new WeakMap<object, SourceRecord>()

export function recordSource(message: object, record: SourceRecord): void {
  records.set(message, record)
}

export function sourceRecord(message: object): SourceRecord | undefined {
  return records.get(message)
}

/**
 * Where a decoded message, or one of its fields (by property or proto name), stands in the configuration. A field that
 * the file does not set is placed at its message. Undefined for objects that no decoder made.
 */
export function sourceOf(message: object, field?: string): SourcePosition | undefined {
  const place = placeOf(message, field)
  if (!place) return undefined
  return { file: place.document.file, ...place.document.position(place.offset), path: place.path }
}

/** As `sourceOf`, in the form that `Problems` takes. */
export function placeOf(
  message: object,
  field?: string,
): { readonly document: SourceDocument; readonly offset: number; readonly path: string } | undefined {
  const record = records.get(message)
  if (!record) return undefined
  const { document, path, node } = record
  if (field === undefined) return { document, offset: node?.offset ?? 0, path }
  const name = snakeCase(field)
  const entry =
    node?.kind === 'map'
      ? node.entries.find(({ key }) => key === name || key === field || snakeCase(key) === name)
      : undefined
  return {
    document,
    offset: entry?.keyOffset ?? node?.offset ?? 0,
    path: path === '' ? name : `${path}.${name}`,
  }
}

/**
 * Where a field stands that is any number of steps below a message, by its whole path (`static_resources.clusters[0].name`).
 * Where a step is not in the file, the last one that is. Undefined for objects that no decoder made.
 */
export function sourceAtPath(message: object, path: string): SourcePosition | undefined {
  const record = records.get(message)
  if (!record) return undefined
  const { document, node } = record
  let offset = node?.offset ?? 0
  let here = node
  for (const step of path.startsWith(record.path) ? stepsOf(path.slice(record.path.length)) : []) {
    if (here?.kind === 'list') {
      here = here.items[Number(step)]
      offset = here?.offset ?? offset
      continue
    }
    // A single value stands for a list of one.
    if (step === '0') continue
    const entry = entryBelow(here, step)
    if (entry === undefined) break
    offset = entry.keyOffset
    here = entry.value
  }
  return { file: document.file, ...document.position(offset), path }
}

/** `a`, `0` and `b.c` of `.a[0]["b.c"]`. */
function stepsOf(path: string): string[] {
  return [...path.matchAll(/\["?(.*?)"?\]|[^.[\]]+/g)].map(match => match[1] ?? match[0])
}

function entryBelow(node: ConfigNode | undefined, step: string): MapEntry | undefined {
  if (node?.kind !== 'map') return undefined
  const named = node.entries.find(({ key }) => key === step || snakeCase(key) === step)
  if (named !== undefined) return named
  // The fields of a TypedStruct are one level deeper than the path says.
  const { value } = entryOf(node, 'value') ?? {}
  return value?.kind === 'map' ? entryBelow(value, step) : undefined
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
}
