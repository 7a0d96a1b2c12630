/**
 * Spans as OTLP: protobuf (`application/x-protobuf`) or JSON of `ExportTraceServiceRequest`.
 * https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
 */
import { booleanOf } from '../../base/boolean-text.ts'
import type { TagValueType } from './custom-tags.ts'
import { longTraceId } from './propagation.ts'
import { ProtobufWriter } from './protobuf-writer.ts'
import type { Span } from './span.ts'
import type { SpanEncoder } from './span-encoder.ts'

const SPAN_KIND_SERVER = 2
const SPAN_KIND_CLIENT = 3
const STATUS_ERROR = 2
const FLAG_SAMPLED = 1

/** Field numbers of the messages, by message. */
const REQUEST = { resourceSpans: 1 } as const
const RESOURCE_SPANS = { resource: 1, scopeSpans: 2 } as const
const RESOURCE = { attributes: 1 } as const
const SCOPE_SPANS = { scope: 1, spans: 2 } as const
const SCOPE = { name: 1, version: 2 } as const
const SPAN = {
  traceId: 1,
  spanId: 2,
  parentSpanId: 4,
  name: 5,
  kind: 6,
  startTimeUnixNano: 7,
  endTimeUnixNano: 8,
  attributes: 9,
  events: 11,
  links: 13,
  status: 15,
} as const
const EVENT = { timeUnixNano: 1, name: 2 } as const
const LINK = { traceId: 1, spanId: 2 } as const
const STATUS = { message: 2, code: 3 } as const
const KEY_VALUE = { key: 1, value: 2 } as const
const ANY_VALUE = { stringValue: 1, boolValue: 2, intValue: 3, doubleValue: 4 } as const

export interface OtlpIdentity {
  readonly resource: Readonly<Record<string, string>>
  readonly version: string
  /** `set_instrumentation_scope`, true by default. */
  readonly withScope?: boolean | undefined
}

const SCOPE_NAME = 'hopwise'

export class OtlpProtobufEncoder implements SpanEncoder {
  readonly contentType = 'application/x-protobuf'
  /** Resource and scope: the same in every report. */
  readonly #resource: Buffer
  readonly #scope: Buffer
  /** `ScopeSpans.spans`, ready to be put behind the scope. */
  readonly #spans = new ProtobufWriter()

  constructor({ resource, version, withScope = true }: OtlpIdentity) {
    const writer = new ProtobufWriter()
    for (const [key, value] of Object.entries(resource)) writeAttribute(writer, RESOURCE.attributes, key, value)
    this.#resource = writer.take()
    if (withScope) {
      writer.stringField(SCOPE.name, SCOPE_NAME)
      writer.stringField(SCOPE.version, version)
    }
    this.#scope = writer.take()
  }

  add(span: Span): void {
    const writer = this.#spans
    const start = writer.begin(SCOPE_SPANS.spans)
    writer.hexField(SPAN.traceId, longTraceId(span.traceId))
    writer.hexField(SPAN.spanId, span.spanId)
    if (span.parentSpanId !== '') writer.hexField(SPAN.parentSpanId, span.parentSpanId)
    writer.stringField(SPAN.name, span.name)
    writer.varintField(SPAN.kind, span.kind === 'SERVER' ? SPAN_KIND_SERVER : SPAN_KIND_CLIENT)
    const startUs = span.startUs
    writer.nanosecondsField(SPAN.startTimeUnixNano, startUs)
    writer.nanosecondsField(SPAN.endTimeUnixNano, startUs + span.durationUs)
    const { tags } = span
    for (let i = 0; i < tags.length; i += 2) {
      writeAttribute(writer, SPAN.attributes, tags[i]!, typed(tags[i + 1]!, span.tagTypes?.get(tags[i]!)))
    }
    const { failure } = span.info
    if (failure !== undefined) writeAttribute(writer, SPAN.attributes, 'error.type', failure.cause)
    for (const { timestampUs, value } of span.annotations) {
      const event = writer.begin(SPAN.events)
      writer.nanosecondsField(EVENT.timeUnixNano, timestampUs)
      writer.stringField(EVENT.name, value)
      writer.end(event)
    }
    for (const link of span.links ?? []) {
      const linkStart = writer.begin(SPAN.links)
      writer.hexField(LINK.traceId, longTraceId(link.traceId))
      writer.hexField(LINK.spanId, link.spanId)
      writer.end(linkStart)
    }
    if (span.error !== '' || span.refusedCall) {
      const status = writer.begin(SPAN.status)
      if (span.error !== 'true' && span.error !== '') writer.stringField(STATUS.message, span.error)
      writer.varintField(STATUS.code, STATUS_ERROR)
      writer.end(status)
    }
    writer.end(start)
  }

  take(): Buffer {
    const spans = this.#spans.take()
    const writer = new ProtobufWriter(spans.length + this.#resource.length + this.#scope.length + 64)
    const resourceSpans = writer.begin(REQUEST.resourceSpans)
    writer.bytesField(RESOURCE_SPANS.resource, this.#resource)
    const scopeSpans = writer.begin(RESOURCE_SPANS.scopeSpans)
    writer.bytesField(SCOPE_SPANS.scope, this.#scope)
    writer.raw(spans)
    writer.end(scopeSpans)
    writer.end(resourceSpans)
    return writer.take()
  }
}

type AttributeValue = string | bigint | number | boolean

/** The value of a tag that is no text by configuration; what does not read as one stays a text. */
function typed(text: string, type: TagValueType | undefined): AttributeValue {
  if (type === undefined) return text
  if (type === 'BOOL') return booleanOf(text) ?? text
  if (type === 'INT') return /^[+-]?\d{1,19}$/.test(text) ? BigInt.asIntN(64, BigInt(text.replace('+', ''))) : text
  const value = text.trim() === '' ? Number.NaN : Number(text)
  return Number.isNaN(value) ? text : value
}

function writeAttribute(writer: ProtobufWriter, field: number, key: string, value: AttributeValue): void {
  const start = writer.begin(field)
  writer.stringField(KEY_VALUE.key, key)
  const any = writer.begin(KEY_VALUE.value)
  if (typeof value === 'string') writer.alwaysStringField(ANY_VALUE.stringValue, value)
  else if (typeof value === 'boolean') writer.bigintField(ANY_VALUE.boolValue, value ? 1n : 0n)
  else if (typeof value === 'bigint') writer.bigintField(ANY_VALUE.intValue, value)
  else writer.doubleField(ANY_VALUE.doubleValue, value)
  writer.end(any)
  writer.end(start)
}

function nanoseconds(microseconds: number): bigint {
  return BigInt(microseconds) * 1000n
}

export class OtlpJsonEncoder implements SpanEncoder {
  readonly contentType = 'application/json'
  readonly #head: string
  #spans: string[] = []

  constructor({ resource, version }: OtlpIdentity) {
    const attributes = Object.entries(resource).map(([key, value]) => attribute(key, value))
    this.#head =
      `{"resourceSpans":[{"resource":{"attributes":${JSON.stringify(attributes)}},` +
      `"scopeSpans":[{"scope":${JSON.stringify({ name: SCOPE_NAME, version })},"spans":[`
  }

  add(span: Span): void {
    const { tags, info } = span
    const attributes = []
    for (let i = 0; i < tags.length; i += 2)
      attributes.push(attribute(tags[i]!, typed(tags[i + 1]!, span.tagTypes?.get(tags[i]!))))
    if (info.failure !== undefined) attributes.push(attribute('error.type', info.failure.cause))
    const startUs = span.startUs
    this.#spans.push(
      JSON.stringify({
        traceId: longTraceId(span.traceId),
        spanId: span.spanId,
        parentSpanId: span.parentSpanId || undefined,
        flags: span.sampled ? FLAG_SAMPLED : undefined,
        name: span.name,
        kind: span.kind === 'SERVER' ? SPAN_KIND_SERVER : SPAN_KIND_CLIENT,
        // 64-bit numbers are texts in protobuf's JSON.
        startTimeUnixNano: String(nanoseconds(startUs)),
        endTimeUnixNano: String(nanoseconds(startUs + span.durationUs)),
        attributes,
        events: span.annotations.map(({ timestampUs, value }) => ({
          timeUnixNano: String(nanoseconds(timestampUs)),
          name: value,
        })),
        links: span.links?.map(link => ({ traceId: longTraceId(link.traceId), spanId: link.spanId })),
        status:
          span.error === '' && !span.refusedCall
            ? {}
            : { code: STATUS_ERROR, message: span.error === 'true' || span.error === '' ? undefined : span.error },
      }),
    )
  }

  take(): string {
    const body = `${this.#head}${this.#spans.join(',')}]}]}]}`
    this.#spans = []
    return body
  }
}

function attribute(key: string, value: AttributeValue) {
  if (typeof value === 'string') return { key, value: { stringValue: value } }
  if (typeof value === 'boolean') return { key, value: { boolValue: value } }
  return { key, value: typeof value === 'bigint' ? { intValue: String(value) } : { doubleValue: value } }
}
