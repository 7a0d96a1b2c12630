/**
 * The tree of a trace (`zipkin2.internal.SpanNode`). Ids alone do not make it: client and server may share one, so that
 * the child of a shared span is found by its id together with the endpoint it ran on.
 */
import { mergeTrace } from './trace-merge.ts'
import type { Endpoint, ZipkinSpan } from './zipkin-span.ts'

export class SpanNode {
  /** Undefined for the root of a trace whose first span is not known. */
  readonly span: ZipkinSpan | undefined
  parent: SpanNode | undefined = undefined
  readonly children: SpanNode[] = []
  constructor(span: ZipkinSpan | undefined) {
    this.span = span
  }

  add(child: SpanNode): void {
    if (child === this) return
    child.parent = this
    this.children.push(child)
  }

  /** Breadth first. */
  *traverse(): Generator<SpanNode> {
    const queue: SpanNode[] = [this]
    for (let i = 0; i < queue.length; i++) {
      yield queue[i]!
      queue.push(...queue[i]!.children)
    }
  }
}

export function buildSpanTree(spans: readonly ZipkinSpan[]): SpanNode {
  const cleaned = mergeTrace(spans)
  /** Key of a span to the key of its parent, '' for none. */
  const parents = new Map<string, string>()
  for (const span of cleaned) {
    const shared = span.shared === true
    parents.set(keyOf(span.id, shared, span.localEndpoint), shared ? span.id : (span.parentId ?? ''))
  }
  const nodes = new Map<string, SpanNode>()
  let root: SpanNode | undefined
  for (const span of cleaned) {
    const shared = span.shared === true
    const key = keyOf(span.id, shared, span.localEndpoint)
    const keyWithoutEndpoint = keyOf(span.id, shared, undefined)
    let parent = ''
    if (shared) parent = span.id
    else if (span.parentId !== undefined) {
      // The server side of a shared span on the same endpoint is the nearest there can be.
      const sharedParent = keyOf(span.parentId, true, span.localEndpoint)
      if (parents.has(sharedParent)) {
        parents.set(keyWithoutEndpoint, sharedParent)
        parent = sharedParent
      } else parent = span.parentId
    }
    const node = new SpanNode(span)
    if (parent === '' && root === undefined) {
      // The first span without a parent is the root, and takes all others whose parent is not known.
      root = node
      parents.delete(keyWithoutEndpoint)
    } else {
      if (shared) nodes.set(key, node)
      nodes.set(keyWithoutEndpoint, node)
    }
  }
  root ??= new SpanNode(undefined)
  for (const [key, parentKey] of parents) {
    const child = nodes.get(key)
    if (child === undefined || child.parent !== undefined) continue
    const parent = nodes.get(parentKey)
    if (parent === undefined || isBelow(parent, child)) root.add(child)
    else parent.add(child)
  }
  return root
}

/** Spans that name each other as parents would make a ring. */
function isBelow(node: SpanNode, ancestor: SpanNode): boolean {
  for (let above: SpanNode | undefined = node; above !== undefined; above = above.parent) {
    if (above === ancestor) return true
  }
  return false
}

function keyOf(id: string, shared: boolean, endpoint: Endpoint | undefined): string {
  if (!shared) return id
  return `${id} shared ${endpoint === undefined ? '' : JSON.stringify([endpoint.serviceName, endpoint.ipv4, endpoint.ipv6, endpoint.port])}`
}
