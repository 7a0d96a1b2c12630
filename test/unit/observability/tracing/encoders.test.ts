/** Wire formats of spans. Oracle of OTLP: the serializers of the OpenTelemetry SDK, given the same spans. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JsonTraceSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import fc from 'fast-check'
import { StreamInfo } from '../../../../sidecar/observability/stream-info.ts'
import { OtlpJsonEncoder, OtlpProtobufEncoder } from '../../../../sidecar/observability/tracing/otlp-encoder.ts'
import { otlpResource, parseResourceAttributes } from '../../../../sidecar/observability/tracing/otlp-resource.ts'
import { longTraceId } from '../../../../sidecar/observability/tracing/propagation.ts'
import { ProtobufWriter } from '../../../../sidecar/observability/tracing/protobuf-writer.ts'
import { Span } from '../../../../sidecar/observability/tracing/span.ts'
import { ZipkinEncoder } from '../../../../sidecar/observability/tracing/zipkin-encoder.ts'

const START_MS = 1_795_250_377_459.123

function makeSpan(
  change: Partial<Span> = {},
  kind: 'SERVER' | 'CLIENT' = 'SERVER',
  parentSpanId = 'b2fb4a1d1a96d312',
): Span {
  const address = { ip: '127.0.0.1', port: 1 }
  const connection = {
    id: 1,
    directRemote: address,
    local: address,
    listenerName: '',
    filterChainName: '',
    tls: undefined,
    requestedServerName: '',
  }
  const info = new StreamInfo(connection, 'HTTP/1.1', 10, START_MS)
  const ids = { traceId: '463ac35c9f6413ad', spanId: 'a2fb4a1d1a96d312', parentSpanId }
  const span = new Span(
    ids,
    { sampled: true, debug: false, single: false, shared: kind === 'SERVER' },
    kind,
    'h:1',
    START_MS,
    10,
    info,
    ['b3'],
  )
  span.endMs = 12.5
  return Object.assign(span, change)
}

const SPANS = [
  makeSpan({ tags: ['http.url', 'http://h:1/ü', 'empty', '', 'long', 'x'.repeat(300)] }),
  makeSpan(
    { annotations: [{ timestampUs: 1_795_250_377_460_001, value: 'first_upstream_tx_byte_sent' }] },
    'CLIENT',
    '',
  ),
  makeSpan({ error: 'true', tags: ['error', 'true'] }),
  makeSpan({
    error: 'connect_refused at d (c>d)',
    links: [{ traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }],
  }),
]

const resource = { 'service.name': 'orders', 'telemetry.sdk.name': 'hopwise' }

// One object each: the SDK tells resources and scopes apart by identity.
const sdkResource = resourceFromAttributes(resource)
const sdkScope = { name: 'hopwise', version: '1.2' }

/** The same span in the SDK's words. */
function readable(span: Span) {
  const hrTime = (us: number): [number, number] => [Math.floor(us / 1e6), (us % 1e6) * 1000]
  const context = (spanId: string, traceId = span.traceId) => ({ traceId: longTraceId(traceId), spanId, traceFlags: 1 })
  const attributes = Object.fromEntries(
    Array.from({ length: span.tags.length / 2 }, (_, i) => [span.tags[2 * i]!, span.tags[2 * i + 1]!]),
  )
  return {
    name: span.name,
    kind: span.kind === 'SERVER' ? 1 : 2,
    spanContext: () => context(span.spanId),
    ...(span.parentSpanId === '' ? {} : { parentSpanContext: context(span.parentSpanId) }),
    startTime: hrTime(span.startUs),
    endTime: hrTime(span.startUs + span.durationUs),
    status: span.error === '' ? { code: 0 } : { code: 2, ...(span.error === 'true' ? {} : { message: span.error }) },
    attributes,
    links: (span.links ?? []).map(link => ({ context: context(link.spanId, link.traceId) })),
    events: span.annotations.map(({ value, timestampUs }) => ({ name: value, time: hrTime(timestampUs) })),
    duration: [0, 0] as [number, number],
    ended: true,
    resource: sdkResource,
    instrumentationScope: sdkScope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}

type Field = readonly [number: number, value: string | readonly Field[]]

/** Messages within messages, by field number of each level. */
interface Shape {
  readonly [field: number]: Shape
}
const KEY_VALUE: Shape = { 2: {} }
const REQUEST: Shape = {
  1: { 1: { 1: KEY_VALUE }, 2: { 1: {}, 2: { 9: KEY_VALUE, 11: {}, 13: {}, 15: {} } } },
}

/** Protobuf as a tree. Left out: flags, which the SDK adds, and zeros, which need not be written. */
function decode(bytes: Uint8Array, shape: Shape): Field[] {
  const fields: Field[] = []
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const [field, wire] = [tag >>> 3, tag & 7]
    if (wire === 0) {
      const value = varint()
      if (value !== 0n) fields.push([field, String(value)])
      continue
    }
    const length = wire === 2 ? Number(varint()) : wire === 1 ? 8 : 4
    const content = bytes.subarray(at, at + length)
    at += length
    assert.ok(at <= bytes.length)
    if (wire === 5) continue
    const inner = shape[field]
    const value = wire === 2 && inner !== undefined ? decode(content, inner) : Buffer.from(content).toString('hex')
    // A status without anything in it says no more than none.
    if (field !== 15 || value.length > 0) fields.push([field, value])
  }
  return fields.sort((a, b) => a[0] - b[0])
}

test('OTLP protobuf says what the SDK says of the same spans', () => {
  const encoder = new OtlpProtobufEncoder({ resource, version: '1.2' })
  for (const span of SPANS) encoder.add(span)
  const theirs = ProtobufTraceSerializer.serializeRequest(SPANS.map(readable))
  assert.deepEqual(decode(encoder.take(), REQUEST), decode(theirs!, REQUEST))
  encoder.add(SPANS[0]!)
  assert.deepEqual(
    decode(encoder.take(), REQUEST),
    decode(ProtobufTraceSerializer.serializeRequest([readable(SPANS[0]!)])!, REQUEST),
  )
})

test('OTLP JSON says what the SDK says of the same spans', () => {
  const encoder = new OtlpJsonEncoder({ resource, version: '1.2' })
  for (const span of SPANS) encoder.add(span)
  const dropped = /^(flags|dropped.*|schemaUrl|traceState|kind_)$/
  const plain = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(plain)
    if (typeof value !== 'object' || value === null) return value
    const entries = Object.entries(value)
      .filter(([key, inner]) => !dropped.test(key) && !(Array.isArray(inner) && inner.length === 0))
      .map(([key, inner]) => [key, key === 'status' && inner.code === 0 ? {} : plain(inner)])
    return Object.fromEntries(entries)
  }
  const comparable = (json: string) => plain(JSON.parse(json))
  const theirs = Buffer.from(JsonTraceSerializer.serializeRequest(SPANS.map(readable))!).toString()
  assert.deepEqual(comparable(encoder.take()), comparable(theirs))
})

test('protobuf lengths of every size are right', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 400, unit: 'binary' }), { maxLength: 60 }), texts => {
      const writer = new ProtobufWriter(16)
      const outer = writer.begin(1)
      for (const text of texts) writer.alwaysStringField(2, text)
      writer.end(outer)
      const [message] = decode(writer.take(), { 1: {} })
      assert.deepEqual(
        message?.[1],
        texts.map(text => [2, Buffer.from(text).toString('hex')]),
      )
    }),
  )
})

test('Zipkin JSON is shaped as Envoy’s', () => {
  const encoder = new ZipkinEncoder({ serviceName: 'ncl', ipv4: '192.0.2.2', ipv6: '', port: 0 })
  encoder.add(makeSpan({ tags: ['component', 'proxy', 'odd "key"', 'tab\there é'] }))
  encoder.add(SPANS[1]!)
  encoder.add(makeSpan({ links: SPANS[3]!.links }, 'CLIENT'))
  const localEndpoint = { serviceName: 'ncl', ipv4: '192.0.2.2', port: 0 }
  const [server, client, linked] = JSON.parse(encoder.take())
  assert.deepEqual(server, {
    traceId: '463ac35c9f6413ad',
    parentId: 'b2fb4a1d1a96d312',
    id: 'a2fb4a1d1a96d312',
    kind: 'SERVER',
    name: 'h:1',
    shared: true,
    timestamp: 1_795_250_377_459_123,
    duration: 2500,
    localEndpoint,
    annotations: [{ timestamp: 1_795_250_377_461_623, value: 'ss' }],
    tags: { component: 'proxy', 'odd "key"': 'tab\there é' },
  })
  assert.equal(client.parentId, undefined)
  assert.equal(client.shared, undefined)
  assert.deepEqual(
    client.annotations.map((annotation: { value: string }) => annotation.value),
    ['first_upstream_tx_byte_sent', 'cr'],
  )
  assert.deepEqual(linked.tags, { links: '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331' })
  assert.equal(encoder.take(), ']')
})

test('resources: configuration before environment before service_name', () => {
  const environment = { OTEL_RESOURCE_ATTRIBUTES: 'service.name=env,zone=a%20b,bad,=x' }
  assert.deepEqual(parseResourceAttributes(environment.OTEL_RESOURCE_ATTRIBUTES), {
    'service.name': 'env',
    zone: 'a b',
  })
  const names = (config: object) =>
    otlpResource({ serviceName: 'svc', version: '1', ...config }, environment)['service.name']
  assert.equal(names({}), 'svc')
  assert.equal(names({ fromEnvironment: true }), 'env')
  assert.equal(names({ fromEnvironment: true, attributes: { 'service.name': 'static' } }), 'static')
  assert.equal(otlpResource({ serviceName: '', version: '1' }, {})['service.name'], 'unknown_service:envoy')
})
