/** Who called whom, and how often in vain (`zipkin2.internal.DependencyLinker`). */
import { buildSpanTree, type SpanNode } from './span-tree.ts'
import type { ZipkinSpan } from './zipkin-span.ts'

export interface DependencyLink {
  readonly parent: string
  readonly child: string
  callCount: number
  errorCount?: number
}

export class DependencyLinker {
  readonly #links = new Map<string, DependencyLink>()

  get links(): DependencyLink[] {
    return [...this.#links.values()]
  }

  putTrace(spans: readonly ZipkinSpan[]): void {
    if (spans.length === 0) return
    const root = buildSpanTree(spans)
    for (const node of root.traverse()) this.#putNode(node, root)
  }

  #putNode(node: SpanNode, root: SpanNode): void {
    const { span } = node
    if (span === undefined) return
    const service = span.localEndpoint?.serviceName
    const remote = span.remoteEndpoint?.serviceName
    let kind = span.kind
    // A client with children says less than the server below it.
    if (kind === 'CLIENT' && node.children.length > 0) return
    if (kind === undefined) {
      if (service === undefined || remote === undefined) return
      kind = 'CLIENT'
    }
    const serves = kind === 'SERVER' || kind === 'CONSUMER'
    let parent = serves ? remote : service
    const child = serves ? service : remote
    // Nobody is known to have called the root.
    if (serves && node === root && parent === undefined) return

    let failed = span.tags?.['error'] !== undefined
    if (kind === 'PRODUCER' || kind === 'CONSUMER') {
      if (parent !== undefined && child !== undefined) this.#add(parent, child, failed)
      return
    }
    const above = remoteAncestor(node)
    const aboveService = above?.localEndpoint?.serviceName
    if (above !== undefined && aboveService !== undefined) {
      // Between two sidecars or libraries a call may have left no span: the nearest known caller made it.
      if (kind === 'CLIENT' && service !== undefined && aboveService !== service)
        this.#add(aboveService, service, false)
      if (kind === 'SERVER' || parent === undefined) parent = aboveService
      // The error may be known to the client's side only.
      if (!failed && above.kind === 'CLIENT' && span.parentId !== undefined && span.parentId === above.id) {
        failed = above.tags?.['error'] !== undefined
      }
    }
    if (parent !== undefined && child !== undefined) this.#add(parent, child, failed)
  }

  #add(parent: string, child: string, failed: boolean): void {
    const key = JSON.stringify([parent, child])
    let link = this.#links.get(key)
    if (link === undefined) {
      link = { parent, child, callCount: 0 }
      this.#links.set(key, link)
    }
    link.callCount++
    if (failed) link.errorCount = (link.errorCount ?? 0) + 1
  }
}

/** The nearest span above that belongs to a call: local spans may lie between. */
function remoteAncestor(node: SpanNode): ZipkinSpan | undefined {
  for (let above = node.parent; above !== undefined; above = above.parent) {
    if (above.span?.kind !== undefined) return above.span
  }
  return undefined
}
