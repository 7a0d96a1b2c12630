/**
 * Puts the pieces of spans together that were reported apart, and gives client and server of a shared span their order
 * (`zipkin2.internal.Trace.merge`): several reports of one span become one, a server span that forgot to say `shared` is
 * set right, and so is a shared one that was not told its parent.
 */
import type { Endpoint, ZipkinSpan } from './zipkin-span.ts'

export function mergeTrace(spans: readonly ZipkinSpan[]): ZipkinSpan[] {
  if (spans.length <= 1) return [...spans]
  const sorted = spans.map(span => ({ ...span })).sort(bySpan)
  const traceId = sorted.reduce((longest, span) => (span.traceId.length > longest.length ? span.traceId : longest), '')
  const merged: ZipkinSpan[] = []
  for (let i = 0; i < sorted.length; i++) {
    const span = sorted[i]!
    span.traceId = traceId
    const endpoint: Endpoint = {}
    tryMergeEndpoint(endpoint, span.localEndpoint)
    for (let next = sorted[i + 1]; next?.id === span.id; next = sorted[i + 1]) {
      if ((next.shared === true) !== (span.shared === true) || !tryMergeEndpoint(endpoint, next.localEndpoint)) break
      mergeInto(span, next)
      i++
    }
    const last = merged.at(-1)
    if (last?.id === span.id) {
      if (last.kind === 'CLIENT' && span.kind === 'SERVER') span.shared = true
      if (span.shared === true && span.parentId === undefined && last.parentId !== undefined) {
        span.parentId = last.parentId
      }
    }
    merged.push(span)
  }
  return merged
}

/** By id; of one id the client's part first, then by endpoint. */
function bySpan(a: ZipkinSpan, b: ZipkinSpan): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1
  if ((a.shared === true) !== (b.shared === true)) return a.shared === true ? 1 : -1
  if (a.shared !== true && (a.kind === 'CLIENT') !== (b.kind === 'CLIENT')) return a.kind === 'CLIENT' ? -1 : 1
  return compareEndpoints(a.localEndpoint, b.localEndpoint)
}

function compareEndpoints(a: Endpoint | undefined, b: Endpoint | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1
  return (
    compare(a.serviceName, b.serviceName) ||
    compare(a.ipv4, b.ipv4) ||
    compare(a.ipv6, b.ipv6) ||
    compare(a.port, b.port)
  )
}

function compare(a: string | number | undefined, b: string | number | undefined): number {
  if (a === b) return 0
  if (a === undefined) return -1
  return b === undefined || a > b ? 1 : -1
}

/** Adds what `other` knows, unless the two contradict each other. */
function tryMergeEndpoint(endpoint: Endpoint, other: Endpoint | undefined): boolean {
  if (other === undefined) return true
  for (const field of ['serviceName', 'ipv4', 'ipv6', 'port'] as const) {
    if (endpoint[field] !== undefined && other[field] !== undefined && endpoint[field] !== other[field]) return false
  }
  Object.assign(endpoint, other)
  return true
}

function mergeInto(span: ZipkinSpan, other: ZipkinSpan): void {
  for (const field of ['parentId', 'kind', 'name'] as const) {
    if (span[field] === undefined && other[field] !== undefined) Object.assign(span, { [field]: other[field] })
  }
  if (span.timestamp === undefined || (other.timestamp !== undefined && other.timestamp < span.timestamp)) {
    if (other.timestamp !== undefined) span.timestamp = other.timestamp
  }
  if (other.duration !== undefined && other.duration > (span.duration ?? 0)) span.duration = other.duration
  if (other.localEndpoint !== undefined) span.localEndpoint = { ...other.localEndpoint, ...span.localEndpoint }
  if (other.remoteEndpoint !== undefined) span.remoteEndpoint = { ...other.remoteEndpoint, ...span.remoteEndpoint }
  if (other.annotations !== undefined) {
    span.annotations = [...(span.annotations ?? []), ...other.annotations].sort((a, b) => a.timestamp - b.timestamp)
  }
  if (other.tags !== undefined) span.tags = { ...span.tags, ...other.tags }
  if (other.debug === true) span.debug = true
}
