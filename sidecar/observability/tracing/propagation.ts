/**
 * Trace contexts in headers: B3 in its two spellings and W3C Trace Context.
 *
 * Ids are lower-case hex as they are written; nothing is turned into numbers. What does not follow its specification is
 * ignored, and the request then counts as one without a context (Envoy gives up tracing such a request altogether).
 *
 * Sources: https://github.com/openzipkin/b3-propagation, https://www.w3.org/TR/trace-context/
 */
import type { HeaderView } from '../formatter/context.ts'

/** Headers that a context is read from and written to: the header maps of `codec/`. */
export interface TraceHeaders extends HeaderView {
  set(name: string, value: string): void
  delete(name: string): boolean
  getJoined?(name: string): string | undefined
}

export type PropagationFormat = 'b3' | 'w3c'

/** What came with a request. */
export interface IncomingContext {
  /** 16 or 32 digits, '' where only a sampling decision was sent. */
  readonly traceId: string
  readonly spanId: string
  /** '' for none. */
  readonly parentSpanId: string
  /** Undefined leaves the decision to us. */
  readonly sampled: boolean | undefined
  /** B3's debug flag: sampled whatever the settings say. */
  readonly debug: boolean
  readonly format: PropagationFormat
  /** The context came in the single `b3` header and is passed on in it. */
  readonly single: boolean
}

/** What goes out with a request. */
export interface OutgoingContext {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly sampled: boolean
  readonly debug: boolean
}

/** The first context found, in the order of `formats`. */
export function extractContext(
  headers: HeaderView,
  formats: readonly PropagationFormat[],
): IncomingContext | undefined {
  for (const format of formats) {
    const context = format === 'b3' ? extractB3(headers) : extractW3c(headers)
    if (context !== undefined) return context
  }
  return undefined
}

export function extractB3(headers: HeaderView): IncomingContext | undefined {
  const single = headers.get('b3')
  // A `b3` header that cannot be read does not hide the others.
  return (single === undefined ? undefined : parseB3Single(single)) ?? extractB3Multi(headers)
}

/** `{trace}-{span}[-{0|1|d}[-{parent}]]`, or a decision alone. */
export function parseB3Single(text: string): IncomingContext | undefined {
  if (text.length === 1) return isDecision(text) ? b3Context('', '', '', text, true) : undefined
  const [trace = '', span = '', decision = '', parent = '', ...rest] = text.split('-')
  if (rest.length > 0 || trace.length < 16 || span.length !== 16 || (decision !== '' && !isDecision(decision))) {
    return undefined
  }
  // The decision may be missing before a parent, but only as a whole.
  const traceId = traceIdOf(trace)
  const spanId = idOf(span)
  const parentId = parent === '' ? '' : idOf(parent)
  if (traceId === undefined || spanId === undefined || parentId === undefined) return undefined
  if (text.endsWith('-')) return undefined
  return b3Context(traceId, spanId, parentId, decision, true)
}

function isDecision(text: string): boolean {
  return text === '0' || text === '1' || text === 'd'
}

function extractB3Multi(headers: HeaderView): IncomingContext | undefined {
  const trace = headers.get('x-b3-traceid')
  const sampled = headers.get('x-b3-sampled')
  // The debug flag says more than the decision. Old tracers write the decision in letters.
  const flags = headers.get('x-b3-flags')
  const decision = flags === '1' ? 'd' : sampled === '1' || sampled === 'true' ? '1' : sampled === undefined ? '' : '0'
  if (trace === undefined) return decision === '' ? undefined : b3Context('', '', '', decision, false)
  const span = headers.get('x-b3-spanid')
  const parent = headers.get('x-b3-parentspanid')
  const traceId = traceIdOf(trace)
  const spanId = span === undefined ? undefined : idOf(span)
  if (traceId === undefined || spanId === undefined) return undefined
  return b3Context(traceId, spanId, (parent === undefined ? '' : idOf(parent)) ?? '', decision, false)
}

function b3Context(
  traceId: string,
  spanId: string,
  parentSpanId: string,
  decision: string,
  single: boolean,
): IncomingContext {
  const sampled = decision === '' ? undefined : decision !== '0'
  return { traceId, spanId, parentSpanId, sampled, debug: decision === 'd', format: 'b3', single }
}

/** Length of `00-{32}-{16}-{2}`. */
const TRACEPARENT_LENGTH = 55

export function extractW3c(headers: HeaderView): IncomingContext | undefined {
  const text = headers.get('traceparent')
  return text === undefined ? undefined : parseTraceparent(text)
}

/** Later versions may say more behind what is known; version ff is forbidden, and so are upper case and zero ids. */
export function parseTraceparent(text: string): IncomingContext | undefined {
  if (text.length < TRACEPARENT_LENGTH || text[2] !== '-' || text[35] !== '-' || text[52] !== '-') return undefined
  const version = text.slice(0, 2)
  if (version === 'ff' || !isHex(version, 0, 2, false)) return undefined
  if (text.length > TRACEPARENT_LENGTH && (version === '00' || text[TRACEPARENT_LENGTH] !== '-')) return undefined
  if (!isHex(text, 3, 35, false) || !isHex(text, 36, 52, false) || !isHex(text, 53, 55, false)) return undefined
  const traceId = text.slice(3, 35)
  const spanId = text.slice(36, 52)
  if (isZero(traceId) || isZero(spanId)) return undefined
  const sampled = (Number.parseInt(text.slice(53, 55), 16) & 1) === 1
  return { traceId, spanId, parentSpanId: '', sampled, debug: false, format: 'w3c', single: false }
}

/** Writes `context` in every one of `formats`; B3 in the single header where it came in it, as Envoy does. */
export function injectContext(
  headers: TraceHeaders,
  context: OutgoingContext,
  formats: readonly PropagationFormat[],
  single: boolean,
): void {
  for (const format of formats) {
    if (format === 'w3c') headers.set('traceparent', traceparentOf(context))
    else if (single) headers.set('b3', b3SingleOf(context))
    else injectB3Multi(headers, context)
  }
}

function injectB3Multi(headers: TraceHeaders, context: OutgoingContext): void {
  headers.set('x-b3-traceid', context.traceId)
  headers.set('x-b3-spanid', context.spanId)
  if (context.parentSpanId !== '') headers.set('x-b3-parentspanid', context.parentSpanId)
  else headers.delete('x-b3-parentspanid')
  headers.set('x-b3-sampled', context.sampled ? '1' : '0')
}

/** `00-…-…-01`; a trace id of 64 bits is filled up with zeros. */
export function traceparentOf(context: OutgoingContext): string {
  return `00-${longTraceId(context.traceId)}-${context.spanId}-${context.sampled ? '01' : '00'}`
}

export function b3SingleOf(context: OutgoingContext): string {
  const decision = context.debug ? 'd' : context.sampled ? '1' : '0'
  const text = `${context.traceId}-${context.spanId}-${decision}`
  return context.parentSpanId === '' ? text : `${text}-${context.parentSpanId}`
}

/** A trace id with 32 digits. */
export function longTraceId(traceId: string): string {
  return traceId.length === 32 ? traceId : `0000000000000000${traceId}`
}

/** Up to 16 digits are 64 bits, filled up as in Envoy; 32 digits are 128 bits. */
function traceIdOf(text: string): string | undefined {
  if (text.length !== 32) return idOf(text)
  return isHex(text, 0, 32, true) && !isZero(text) ? text.toLowerCase() : undefined
}

function idOf(text: string): string | undefined {
  if (text.length === 0 || text.length > 16 || !isHex(text, 0, text.length, true) || isZero(text)) return undefined
  const lower = text.toLowerCase()
  return lower.length === 16 ? lower : lower.padStart(16, '0')
}

function isHex(text: string, start: number, end: number, upperCase: boolean): boolean {
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i)
    const digit = (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66)
    if (!digit && !(upperCase && code >= 0x41 && code <= 0x46)) return false
  }
  return true
}

function isZero(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== 0x30) return false
  return true
}
