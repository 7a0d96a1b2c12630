/**
 * Zipkin's span, and how it is read from JSON: the rules and the texts of mistakes are those of `zipkin2.Span` (measured
 * on Zipkin 3.5.1), because collectors are told apart by what they refuse.
 */
import { isIPv4, isIPv6 } from 'node:net'

export const SPAN_KINDS = ['CLIENT', 'SERVER', 'PRODUCER', 'CONSUMER'] as const
export type SpanKind = (typeof SPAN_KINDS)[number]

export interface Endpoint {
  serviceName?: string
  ipv4?: string
  ipv6?: string
  port?: number
}

export interface Annotation {
  readonly timestamp: number
  readonly value: string
}

/** Fields that are not known are absent. Times are microseconds. */
export interface ZipkinSpan {
  traceId: string
  parentId?: string
  id: string
  kind?: SpanKind
  name?: string
  timestamp?: number
  duration?: number
  localEndpoint?: Endpoint
  remoteEndpoint?: Endpoint
  annotations?: Annotation[]
  tags?: Record<string, string>
  debug?: boolean
  shared?: boolean
}

/** What was sent cannot be stored: 400 with this text. */
export class InvalidSpans extends Error {
  override name = 'InvalidSpans'
}

const WHILE_READING = ' reading List<Span> from json'

/** The spans of a report. An empty body is an empty report. */
export function parseSpans(body: string): ZipkinSpan[] {
  if (body.trim() === '') return []
  let parsed: unknown
  if (body.trimStart()[0] !== '[') throw new InvalidSpans('Expected a JSON_V2 encoded list\n')
  try {
    parsed = JSON.parse(body)
  } catch (error) {
    throw new InvalidSpans(`Malformed${WHILE_READING}: ${(error as Error).message}`)
  }
  return (parsed as unknown[]).map(readSpan)
}

function readSpan(value: unknown): ZipkinSpan {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('Expected an object')
  const raw = value as Record<string, unknown>
  const missing = ['traceId', 'id'].filter(field => raw[field] === undefined || raw[field] === null)
  if (missing.length > 0) throw invalid(`Missing : ${missing.join(' ')}`)
  const span: ZipkinSpan = { traceId: readTraceId(text(raw, 'traceId')!), id: readId('id', text(raw, 'id')!) }
  const parentId = text(raw, 'parentId')
  if (parentId !== undefined && !/^0+$/.test(parentId)) {
    const parent = readId('parentId', parentId)
    // A span that names itself as its parent is one without.
    if (parent !== span.id) span.parentId = parent
  }
  const kind = text(raw, 'kind')
  if (kind !== undefined) {
    if (!(SPAN_KINDS as readonly string[]).includes(kind)) throw invalid(`No enum constant zipkin2.Span.Kind.${kind}`)
    span.kind = kind as SpanKind
  }
  const name = text(raw, 'name')
  if (name) span.name = name.toLowerCase()
  const timestamp = micros(raw, 'timestamp')
  if (timestamp > 0) span.timestamp = timestamp
  const duration = micros(raw, 'duration')
  if (duration > 0) span.duration = duration
  const local = readEndpoint(raw['localEndpoint'])
  if (local !== undefined) span.localEndpoint = local
  const remote = readEndpoint(raw['remoteEndpoint'])
  if (remote !== undefined) span.remoteEndpoint = remote
  const annotations = readAnnotations(raw['annotations'])
  if (annotations.length > 0) span.annotations = annotations
  const tags = readTags(raw['tags'])
  if (tags !== undefined) span.tags = tags
  if (raw['debug'] === true) span.debug = true
  if (raw['shared'] === true) span.shared = true
  return span
}

/** Lower-case hex filled up to 16 or 32 digits. */
export function normalTraceId(traceId: string): string {
  if (traceId.length > 32) throw new InvalidSpans('traceId.length > 32')
  const digits = requireHex(traceId)
  return digits.padStart(digits.length > 16 ? 32 : 16, '0')
}

function readTraceId(traceId: string): string {
  try {
    if (/^0+$/.test(traceId)) throw new InvalidSpans('traceId is all zeros')
    return normalTraceId(traceId)
  } catch (error) {
    throw invalid((error as Error).message)
  }
}

function readId(field: string, id: string): string {
  if (id.length > 16) throw invalid(`${field}.length > 16`)
  if (/^0+$/.test(id)) throw invalid(`${field} is all zeros`)
  try {
    return requireHex(id).padStart(16, '0')
  } catch (error) {
    throw invalid((error as Error).message)
  }
}

function requireHex(id: string): string {
  if (!/^[0-9a-f]+$/i.test(id)) throw new InvalidSpans(`${id} should be lower-hex encoded with no prefix`)
  return id.toLowerCase()
}

function text(raw: Record<string, unknown>, field: string): string | undefined {
  const value = raw[field]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw invalid(`Expected a string but was ${typeof value} at ${field}`)
  return value
}

function micros(raw: Record<string, unknown>, field: string): number {
  const value = raw[field] ?? 0
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid(`For input string: ${JSON.stringify(value)}`)
  return Math.floor(value)
}

function readEndpoint(value: unknown): Endpoint | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const raw = value as Record<string, unknown>
  const endpoint: Endpoint = {}
  const name = text(raw, 'serviceName')
  if (name) endpoint.serviceName = name.toLowerCase()
  for (const ip of [text(raw, 'ipv4'), text(raw, 'ipv6')]) {
    if (ip === undefined) continue
    const mapped = /^::ffff:([\d.]+)$/i.exec(ip)?.[1] ?? ip
    if (isIPv4(mapped)) endpoint.ipv4 = mapped
    else if (isIPv6(ip)) endpoint.ipv6 = ip.toLowerCase()
  }
  const port = raw['port']
  if (typeof port === 'number' && port > 0) {
    if (port > 0xffff) throw invalid(`invalid port ${port}`)
    endpoint.port = port
  }
  return Object.keys(endpoint).length === 0 ? undefined : endpoint
}

/** In the order of time, each once. */
function readAnnotations(value: unknown): Annotation[] {
  if (!Array.isArray(value)) return []
  const unique = new Map<string, Annotation>()
  for (const raw of value as Record<string, unknown>[]) {
    const note = text(raw, 'value')
    const timestamp = micros(raw, 'timestamp')
    if (note === undefined || timestamp === 0) throw invalid('Incomplete annotation at $.annotations')
    unique.set(`${timestamp} ${note}`, { timestamp, value: note })
  }
  return [...unique.values()].sort((a, b) => a.timestamp - b.timestamp || (a.value < b.value ? -1 : 1))
}

function readTags(value: unknown): Record<string, string> | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  if (entries.length === 0) return undefined
  for (const [key, tag] of entries) {
    if (tag === null) throw invalid(`No value at $.tags.${key}`)
  }
  return Object.fromEntries(entries.map(([key, tag]) => [key, String(tag)]))
}

function invalid(message: string): InvalidSpans {
  return new InvalidSpans(message + WHILE_READING)
}
