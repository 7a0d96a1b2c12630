/** Questions for traces (`zipkin2.storage.QueryRequest`): how they are asked in a URL and which traces answer them. */
import type { ZipkinSpan } from './zipkin-span.ts'

export const DEFAULT_LIMIT = 10
/** Zipkin's `QUERY_LOOKBACK`: a day. */
export const DEFAULT_LOOKBACK_MS = 86_400_000

export interface TraceQuery {
  readonly serviceName: string | undefined
  readonly remoteServiceName: string | undefined
  readonly spanName: string | undefined
  /** Tags with the value they must have; '' asks for the tag, or an annotation, with any. */
  readonly annotations: ReadonlyMap<string, string>
  /** Microseconds. */
  readonly minDuration: number | undefined
  readonly maxDuration: number | undefined
  readonly endTsMs: number
  readonly lookbackMs: number
  readonly limit: number
}

/** 400 with this text. */
export class BadQuery extends Error {
  override name = 'BadQuery'
}

export function parseTraceQuery(parameters: URLSearchParams, nowMs: number): TraceQuery {
  const minDuration = positive(parameters, 'minDuration')
  const maxDuration = positive(parameters, 'maxDuration')
  if (maxDuration !== undefined && minDuration === undefined) {
    throw new BadQuery('maxDuration is only valid with minDuration')
  }
  if (minDuration !== undefined && maxDuration !== undefined && maxDuration < minDuration) {
    throw new BadQuery('maxDuration < minDuration')
  }
  const spanName = name(parameters, 'spanName')
  return {
    serviceName: name(parameters, 'serviceName'),
    remoteServiceName: name(parameters, 'remoteServiceName'),
    // `all` asks for every name: the page of old Zipkins sends it. For services it is a name like any other.
    spanName: spanName === 'all' ? undefined : spanName,
    annotations: parseAnnotationQuery(parameters.get('annotationQuery') ?? ''),
    minDuration,
    maxDuration,
    endTsMs: positive(parameters, 'endTs') ?? nowMs,
    lookbackMs: positive(parameters, 'lookback') ?? DEFAULT_LOOKBACK_MS,
    limit: positive(parameters, 'limit') ?? DEFAULT_LIMIT,
  }
}

function name(parameters: URLSearchParams, parameter: string): string | undefined {
  const value = parameters.get(parameter)?.toLowerCase()
  return value === '' ? undefined : value
}

export function positive(parameters: URLSearchParams, parameter: string): number | undefined {
  const text = parameters.get(parameter)
  if (text === null) return undefined
  if (!/^-?\d+$/.test(text)) throw new BadQuery(`For input string: "${text}"`)
  const value = Number(text)
  if (value <= 0) throw new BadQuery(`${parameter} <= 0`)
  return value
}

/** `error and http.method=GET`. */
export function parseAnnotationQuery(text: string): Map<string, string> {
  const wanted = new Map<string, string>()
  for (const part of text.split(' and ')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    if (equals < 0) {
      if (!wanted.has(part)) wanted.set(part, '')
    } else wanted.set(part.slice(0, equals), part.slice(equals + 1))
  }
  return wanted
}

/**
 * Whether a trace answers: each condition may be met by another of its spans, but where a service is named only by spans
 * of that service.
 */
export function matchesQuery(query: TraceQuery, spans: readonly ZipkinSpan[]): boolean {
  if (!inTime(query, spans)) return false
  let serviceFound = query.serviceName === undefined
  let remoteFound = query.remoteServiceName === undefined
  let nameFound = query.spanName === undefined
  let durationFound = query.minDuration === undefined
  const wanted = new Map(query.annotations)
  for (const span of spans) {
    const service = span.localEndpoint?.serviceName
    if (query.serviceName !== undefined && query.serviceName !== service) continue
    serviceFound = true
    for (const { value } of span.annotations ?? []) if (wanted.get(value) === '') wanted.delete(value)
    for (const [key, value] of Object.entries(span.tags ?? {})) {
      const expected = wanted.get(key)
      if (expected === '' || expected === value) wanted.delete(key)
    }
    if (query.remoteServiceName === span.remoteEndpoint?.serviceName) remoteFound = true
    if (query.spanName === span.name) nameFound = true
    const duration = span.duration ?? 0
    if (!durationFound && duration >= query.minDuration!) {
      durationFound = query.maxDuration === undefined || duration <= query.maxDuration
    }
  }
  return serviceFound && remoteFound && nameFound && durationFound && wanted.size === 0
}

/** A trace has the time of its root, or of its first span where the root is not known. */
function inTime(query: TraceQuery, spans: readonly ZipkinSpan[]): boolean {
  let timestamp = 0
  for (const span of spans) {
    if (span.timestamp === undefined) continue
    if (span.parentId === undefined) {
      timestamp = span.timestamp
      break
    }
    if (timestamp === 0 || span.timestamp < timestamp) timestamp = span.timestamp
  }
  return timestamp > 0 && timestamp >= (query.endTsMs - query.lookbackMs) * 1000 && timestamp <= query.endTsMs * 1000
}
