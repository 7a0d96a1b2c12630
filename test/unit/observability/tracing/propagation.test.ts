/** Contexts in headers, checked against the OpenTelemetry SDK's propagators. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ROOT_CONTEXT, type SpanContext, trace } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { B3InjectEncoding, B3Propagator } from '@opentelemetry/propagator-b3'
import fc from 'fast-check'
import { RequestHeaders } from '../../../../sidecar/codec/header-map.ts'
import {
  extractB3,
  extractContext,
  extractW3c,
  injectContext,
  longTraceId,
  parseB3Single,
  parseTraceparent,
} from '../../../../sidecar/observability/tracing/propagation.ts'

const TRACE = '463ac35c9f6413ad48485a3953bb6124'
const SHORT_TRACE = '463ac35c9f6413ad'
const SPAN = 'a2fb4a1d1a96d312'
const PARENT = 'b2fb4a1d1a96d312'

function headers(entries: Record<string, string>): RequestHeaders {
  return new RequestHeaders('GET', '/', 'h', 'http', Object.entries(entries).flat())
}

const getter = {
  get: (carrier: RequestHeaders, key: string) => carrier.get(key),
  keys: (carrier: RequestHeaders) => carrier.list.filter((_, index) => index % 2 === 0),
}

type Propagator = W3CTraceContextPropagator | B3Propagator

function sdkExtracts(propagator: Propagator, carrier: RequestHeaders): SpanContext | undefined {
  return trace.getSpanContext(propagator.extract(ROOT_CONTEXT, carrier, getter))
}

const hex = (length: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: length, maxLength: length })
    .map(digits => digits.join(''))
    .filter(text => !/^0+$/.test(text))

test('what we inject, the SDK extracts: W3C, B3 single and multi', () => {
  const w3c = new W3CTraceContextPropagator()
  const b3 = new B3Propagator()
  fc.assert(
    fc.property(
      fc.oneof(hex(16), hex(32)),
      hex(16),
      fc.option(hex(16)),
      fc.boolean(),
      (traceId, spanId, parent, sampled) => {
        const context = { traceId, spanId, parentSpanId: parent ?? '', sampled, debug: false }
        for (const [propagator, format, single] of [
          [w3c, 'w3c', false],
          [b3, 'b3', true],
          [b3, 'b3', false],
        ] as const) {
          const carrier = headers({})
          injectContext(carrier, context, [format], single)
          const read = sdkExtracts(propagator, carrier)
          assert.equal(read?.traceId, longTraceId(traceId), format)
          assert.equal(read?.spanId, spanId)
          assert.equal(read?.traceFlags, sampled ? 1 : 0)
        }
      },
    ),
  )
})

test('what the SDK injects, we extract', () => {
  fc.assert(
    fc.property(hex(32), hex(16), fc.boolean(), (traceId, spanId, sampled) => {
      for (const [propagator, extract] of [
        [new W3CTraceContextPropagator(), extractW3c],
        [new B3Propagator(), extractB3],
        [new B3Propagator({ injectEncoding: B3InjectEncoding.MULTI_HEADER }), extractB3],
      ] as const) {
        const carrier = headers({})
        const context = trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: sampled ? 1 : 0 })
        propagator.inject(context, carrier, { set: (to, key, value) => to.set(key.toLowerCase(), value) })
        const read = extract(carrier)
        assert.equal(read?.traceId, traceId)
        assert.equal(read?.spanId, spanId)
        assert.equal(read?.sampled, sampled)
      }
    }),
  )
})

test('a traceparent is refused or read as the SDK does', () => {
  const propagator = new W3CTraceContextPropagator()
  const good = `00-${TRACE}-${SPAN}-01`
  const mutated = fc
    .tuple(fc.nat(good.length - 1), fc.constantFrom(...'0123456789abcdefABCDEFg-'))
    .map(([position, character]) => good.slice(0, position) + character + good.slice(position + 1))
  const texts = fc.oneof(
    mutated,
    fc.constantFrom(good, `${good}-x`, `01${good.slice(2)}-x`, `ff${good.slice(2)}`, '', 'x'),
  )
  fc.assert(
    fc.property(texts, text => {
      const read = sdkExtracts(propagator, headers({ traceparent: text }))
      const ours = parseTraceparent(text)
      assert.equal(ours?.traceId, read?.traceId, text)
      assert.equal(ours?.spanId, read?.spanId, text)
      if (ours !== undefined) assert.equal(ours.sampled, (read!.traceFlags & 1) === 1, text)
    }),
    { numRuns: 2000 },
  )
})

const B3_SINGLE: readonly (readonly [text: string, expected: string | undefined])[] = [
  [`${TRACE}-${SPAN}-1-${PARENT}`, `${TRACE} ${SPAN} ${PARENT} true`],
  [`${SHORT_TRACE}-${SPAN}-0`, `${SHORT_TRACE} ${SPAN}  false`],
  [`${TRACE}-${SPAN}`, `${TRACE} ${SPAN}  undefined`],
  [`${TRACE}-${SPAN}-d`, `${TRACE} ${SPAN}  true debug`],
  ['0', '   false'],
  ['1', '   true'],
  ['d', '   true debug'],
  ['', undefined],
  ['x', undefined],
  ['junk', undefined],
  [`${TRACE}-${SPAN}-`, undefined],
  [`${TRACE}-${SPAN}-2`, undefined],
  [`${TRACE}-${SPAN}-1-${PARENT}-x`, undefined],
  [`${TRACE.replace('4', 'g')}-${SPAN}-1`, undefined],
  [`${'0'.repeat(32)}-${SPAN}-1`, undefined],
  [`${TRACE}-${SPAN.slice(1)}-1`, undefined],
]

for (const [text, expected] of B3_SINGLE) {
  test(`b3: ${text || '(empty)'} is ${expected === undefined ? 'ignored' : 'read'}`, () => {
    const context = parseB3Single(text)
    const read =
      context &&
      `${context.traceId} ${context.spanId} ${context.parentSpanId} ${context.sampled}${context.debug ? ' debug' : ''}`
    assert.equal(read, expected)
  })
}

test('B3 in several headers: decision in digits or letters, flags, short and upper-case ids', () => {
  const read = (entries: Record<string, string>) => extractB3(headers(entries))
  const ids = { 'x-b3-traceid': SHORT_TRACE, 'x-b3-spanid': SPAN }
  assert.equal(read({ ...ids })?.sampled, undefined)
  assert.equal(read({ ...ids, 'x-b3-sampled': '1' })?.sampled, true)
  assert.equal(read({ ...ids, 'x-b3-sampled': 'true' })?.sampled, true)
  assert.equal(read({ ...ids, 'x-b3-sampled': '0' })?.sampled, false)
  assert.equal(read({ ...ids, 'x-b3-flags': '1' })?.debug, true)
  assert.equal(read({ ...ids, 'x-b3-parentspanid': PARENT })?.parentSpanId, PARENT)
  assert.equal(read({ ...ids, 'x-b3-traceid': '12' })?.traceId, '0000000000000012')
  assert.equal(read({ ...ids, 'x-b3-traceid': 'ABCDEF3a9f6413ad' })?.traceId, 'abcdef3a9f6413ad')
  assert.equal(read({ ...ids, 'x-b3-traceid': 'nothex' }), undefined)
  assert.equal(read({ ...ids, 'x-b3-traceid': '0'.repeat(16) }), undefined)
  assert.equal(read({ ...ids, 'x-b3-traceid': '1'.repeat(20) }), undefined)
  assert.equal(read({ 'x-b3-traceid': TRACE }), undefined)
  assert.equal(read({ 'x-b3-sampled': '0' })?.sampled, false)
})

test('a b3 header that cannot be read does not hide the others', () => {
  const context = extractB3(headers({ b3: 'junk', 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN }))
  assert.equal(context?.traceId, TRACE)
  assert.equal(context?.single, false)
})

test('formats are tried in their order', () => {
  const both = headers({ traceparent: `00-${TRACE}-${SPAN}-01`, b3: `${SHORT_TRACE}-${PARENT}-0` })
  assert.equal(extractContext(both, ['w3c', 'b3'])?.traceId, TRACE)
  assert.equal(extractContext(both, ['b3', 'w3c'])?.traceId, SHORT_TRACE)
  assert.equal(
    extractContext(headers({ traceparent: 'x', b3: `${SHORT_TRACE}-${PARENT}-0` }), ['w3c', 'b3'])?.traceId,
    SHORT_TRACE,
  )
})

test('a parent of an earlier hop does not stay behind', () => {
  const carrier = headers({ 'x-b3-parentspanid': PARENT })
  injectContext(carrier, { traceId: TRACE, spanId: SPAN, parentSpanId: '', sampled: true, debug: false }, ['b3'], false)
  assert.deepEqual(carrier.list, ['x-b3-traceid', TRACE, 'x-b3-spanid', SPAN, 'x-b3-sampled', '1'])
})
