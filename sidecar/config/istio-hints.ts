/**
 * A Kubernetes or Istio resource handed to `run -c`, where an Envoy bootstrap belongs: say so, and say as well what is
 * wrong with the resource itself, since that is what its author will have to mend next.
 */
import type { Problems } from './problems.ts'
import type { SourceDocument } from './source.ts'
import { type ConfigNode, entryOf, isNull, type MapEntry } from './tree.ts'

export function isIstioResource(root: ConfigNode): boolean {
  return entryOf(root, 'apiVersion') !== undefined && entryOf(root, 'kind') !== undefined
}

export function reportIstioResource(root: ConfigNode, document: SourceDocument, problems: Problems): void {
  const version = entryOf(root, 'apiVersion')!
  const versionText = version.value.kind === 'scalar' ? version.value.text : ''
  const kind = entryOf(root, 'kind')!
  const kindText = kind.value.kind === 'scalar' ? kind.value.text : 'resource'
  const istio = /(^|\.)istio\.io\//.test(versionText)
  const what = istio ? `an Istio ${kindText}` : `a Kubernetes ${kindText}`
  const advice = istio
    ? 'reading Istio resources directly comes later, with "hopwise translate"'
    : 'give the Envoy configuration itself'
  problems.error(
    { document, offset: version.keyOffset, path: 'apiVersion' },
    'fragment',
    `this is ${what}, not an Envoy bootstrap (which has static_resources); ${advice}`,
  )
  if (istio) new IstioHints(document, problems).visit(root, '')
}

/** Slips that Istio itself refuses or, worse, ignores. */
class IstioHints {
  readonly #document: SourceDocument
  readonly #problems: Problems
  #visits = 0

  constructor(document: SourceDocument, problems: Problems) {
    this.#document = document
    this.#problems = problems
  }

  visit(node: ConfigNode, path: string): void {
    // Aliases can repeat a part of the file without end.
    if (++this.#visits > 100_000) return
    if (node.kind === 'list') {
      for (const [index, item] of node.items.entries()) this.visit(item, `${path}[${index}]`)
    }
    if (node.kind !== 'map') return
    for (const entry of node.entries) {
      const entryPath = path === '' ? entry.key : `${path}.${entry.key}`
      this.#check(entry, entryPath)
      this.visit(entry.value, entryPath)
    }
  }

  #check({ key, keyOffset, value }: MapEntry, path: string): void {
    const text = value.kind === 'scalar' && !isNull(value) ? value.text : undefined
    if (key === 'percentage' && text !== undefined && /\.fault\.(?:abort|delay)\.percentage$/.test(path)) {
      this.#error(value.offset, path, `must be a mapping: write "percentage: {value: ${text}}"`)
    }
    if (key === 'percent' && /\.fault\.(?:abort|delay)\.percent$/.test(path)) {
      this.#error(keyOffset, path, `was removed from Istio; write "percentage: {value: ${text ?? '…'}}"`)
    }
    if (key === 'consecutiveErrors' && path.endsWith('outlierDetection.consecutiveErrors')) {
      const message = `is deprecated and ignored by Istio; write "consecutive5xxErrors: ${text ?? '…'}"`
      this.#error(keyOffset, path, message)
    }
  }

  #error(offset: number, path: string, message: string): void {
    this.#problems.error({ document: this.#document, offset, path }, 'rule', message)
  }
}
