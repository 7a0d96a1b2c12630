/** Decisions, ids and tags; the expected values are what Envoy 1.40 was seen to do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../../sidecar/base/clock.ts'
import { SeededRandom } from '../../../../sidecar/base/random.ts'
import { RequestHeaders, ResponseHeaders } from '../../../../sidecar/codec/header-map.ts'
import { StatsStore } from '../../../../sidecar/observability/stats-store.ts'
import { type FailureView, StreamInfo } from '../../../../sidecar/observability/stream-info.ts'
import { FULL_SAMPLING, SamplingStats, TraceReason } from '../../../../sidecar/observability/tracing/sampling.ts'
import type { Span } from '../../../../sidecar/observability/tracing/span.ts'
import {
  OPENTELEMETRY_TRACING,
  type SpanStart,
  Tracer,
  type TracingConfig,
  ZIPKIN_TRACING,
} from '../../../../sidecar/observability/tracing/tracer.ts'

const B3 = { 'x-b3-traceid': '463ac35c9f6413ad', 'x-b3-spanid': 'a2fb4a1d1a96d312' }
const ID = '11111111-2222-4333-8444-555555555555'
const NO_SAMPLING = { clientSampling: 100, randomSampling: 0, overallSampling: 100 }

function setUp(change: Partial<TracingConfig> & { rates?: typeof FULL_SAMPLING } = {}, base = ZIPKIN_TRACING) {
  const { rates, ...rest } = change
  const reported: Span[] = []
  const clock = new ManualClock()
  const stats = new StatsStore()
  const config = { ...base, ...rest, sampling: { ...base.sampling, rates: rates ?? FULL_SAMPLING, ...rest.sampling } }
  const tracer = new Tracer(config, {
    clock,
    random: new SeededRandom(7),
    reporter: { report: span => reported.push(span) },
    stats: new SamplingStats(stats.scope('http.x')),
    environment: { HOME: '/root' },
  })
  const begin = (entries: Record<string, string> = {}, start: SpanStart = {}) => {
    const headers = new RequestHeaders(
      'GET',
      '/a?x=1',
      'h:1',
      'http',
      Object.entries({ 'x-request-id': ID, ...entries }).flat(),
    )
    const address = { ip: '127.0.0.1', port: 5 }
    const info = new StreamInfo(
      {
        id: 1,
        directRemote: address,
        local: address,
        listenerName: '',
        filterChainName: '',
        tls: undefined,
        requestedServerName: '',
      },
      'HTTP/1.1',
      clock.now(),
      clock.wall(),
    )
    return { headers, info, span: tracer.start(headers, info, start) }
  }
  return { tracer, reported, clock, stats, begin }
}

function tags(span: Span): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: span.tags.length / 2 }, (_, i) => [span.tags[2 * i]!, span.tags[2 * i + 1]!]),
  )
}

const FAILURE: FailureView = {
  id: '5f',
  role: 'origin',
  origin: 'd',
  cause: 'connect_refused',
  link: 'c>d',
  path: 'd,c',
  confidence: 'exact',
}

const DECISIONS: readonly (readonly [
  name: string,
  request: Record<string, string>,
  rates: typeof FULL_SAMPLING,
  reason: TraceReason,
  id: string,
])[] = [
  ['all are sampled by default', {}, FULL_SAMPLING, TraceReason.Sampling, '11111111-2222-9333-8444-555555555555'],
  ['none at a rate of 0', {}, NO_SAMPLING, TraceReason.NotTraceable, ID],
  [
    'a client asks',
    { 'x-client-trace-id': 'c' },
    NO_SAMPLING,
    TraceReason.ClientForced,
    '11111111-2222-b333-8444-555555555555',
  ],
  [
    'a service forces',
    { 'x-envoy-force-trace': '1' },
    NO_SAMPLING,
    TraceReason.ServiceForced,
    '11111111-2222-a333-8444-555555555555',
  ],
  [
    'the id says so',
    { 'x-request-id': '11111111-2222-9333-8444-555555555555' },
    NO_SAMPLING,
    TraceReason.Sampling,
    '11111111-2222-9333-8444-555555555555',
  ],
  [
    'the overall rate takes it back',
    { 'x-envoy-force-trace': '1' },
    { ...FULL_SAMPLING, overallSampling: 0 },
    TraceReason.NotTraceable,
    ID,
  ],
  [
    'an id that is no number is never traced',
    { 'x-request-id': 'abc' },
    FULL_SAMPLING,
    TraceReason.NotTraceable,
    'abc',
  ],
]

for (const [name, request, rates, reason, id] of DECISIONS) {
  test(`decision: ${name}`, () => {
    const { begin, stats } = setUp({ rates })
    const { headers, info } = begin(request)
    assert.equal(info.traceReason, reason)
    assert.equal(headers.get('x-request-id'), id)
    assert.equal(info.requestId, id)
    const counted = [...stats.counters.values()].filter(({ stat }) => stat.value > 0).map(entry => entry.name)
    const names = ['not_traceable', 'health_check', 'random_sampling', 'service_forced', 'client_enabled']
    assert.deepEqual(counted, [`http.x.tracing.${names[reason]}`])
  })
}

test('the request id is the lot: the same id is decided alike everywhere, one percent of ids is sampled at 1 %', () => {
  const { begin } = setUp({ rates: { ...FULL_SAMPLING, randomSampling: 1 } })
  const sampled = (lot: number) =>
    begin({ 'x-request-id': `${lot.toString(16).padStart(8, '0')}-2222-4333-8444-555555555555` }).span.sampled
  assert.equal(sampled(99), true)
  assert.equal(sampled(100), false)
  assert.equal(sampled(10_099), true)
})

test('pack_trace_reason off leaves the id alone', () => {
  const { begin } = setUp({ sampling: { rates: FULL_SAMPLING, packTraceReason: false, useRequestIdForSampling: true } })
  const { headers, span } = begin()
  assert.equal(headers.get('x-request-id'), ID)
  assert.equal(span.sampled, true)
})

test('a decision that came along wins over ours, either way, and its absence leaves it to us', () => {
  assert.equal(setUp({ rates: NO_SAMPLING }).begin({ ...B3, 'x-b3-sampled': '1' }).span.sampled, true)
  assert.equal(setUp().begin({ ...B3, 'x-b3-sampled': '0' }).span.sampled, false)
  assert.equal(setUp().begin({ 'x-b3-sampled': '0' }).span.sampled, false)
  assert.equal(setUp({ rates: NO_SAMPLING }).begin(B3).span.sampled, false)
  assert.equal(setUp().begin(B3).span.sampled, true)
  assert.equal(setUp({ rates: NO_SAMPLING }).begin({ ...B3, 'x-b3-flags': '1' }).span.sampled, true)
})

test('inbound, shared: the caller’s span id is ours, and is passed on', () => {
  const { begin } = setUp()
  const { headers, span } = begin({ ...B3, 'x-b3-parentspanid': '1112223334445556', 'x-b3-sampled': '1' })
  assert.deepEqual(
    [span.traceId, span.spanId, span.parentSpanId],
    ['463ac35c9f6413ad', 'a2fb4a1d1a96d312', '1112223334445556'],
  )
  assert.deepEqual([span.kind, span.shared, span.name], ['SERVER', true, 'h:1'])
  span.injectInto(headers)
  assert.equal(headers.get('x-b3-spanid'), 'a2fb4a1d1a96d312')
})

test('inbound without sharing, and outbound: a child of the caller’s span', () => {
  for (const change of [{ sharedSpanContext: false }, { operation: 'egress' }] as const) {
    const { begin } = setUp(change)
    const { headers, span } = begin({ ...B3, 'x-b3-sampled': '1' })
    assert.equal(span.parentSpanId, 'a2fb4a1d1a96d312')
    assert.notEqual(span.spanId, 'a2fb4a1d1a96d312')
    assert.deepEqual([span.kind, span.shared], ['operation' in change ? 'CLIENT' : 'SERVER', false])
    span.injectInto(headers)
    assert.equal(headers.get('x-b3-parentspanid'), 'a2fb4a1d1a96d312')
  }
})

test('a trace that begins here is called by its first span, with 64 or 128 bits', () => {
  const short = setUp().begin().span
  assert.equal(short.traceId, short.spanId)
  const long = setUp({ traceId128Bit: true }).begin().span
  assert.equal(long.traceId.length, 32)
  assert.ok(long.traceId.endsWith(long.spanId))
})

test('B3 goes on in the spelling it came in', () => {
  const { begin } = setUp()
  const { headers, span } = begin({ b3: '463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1-b2fb4a1d1a96d312' })
  span.injectInto(headers)
  assert.equal(headers.get('b3'), '463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1-b2fb4a1d1a96d312')
  assert.equal(headers.get('x-b3-traceid'), undefined)
})

test('OpenTelemetry: W3C in and out, 128 bits, names by operation', () => {
  const { begin } = setUp({}, OPENTELEMETRY_TRACING)
  const { headers, span } = begin({ traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00' })
  assert.equal(span.sampled, false)
  assert.equal(span.name, 'ingress')
  span.injectInto(headers)
  assert.equal(headers.get('traceparent'), `00-0af7651916cd43dd8448eb211c80319c-${span.spanId}-00`)
  assert.equal(setUp({ operation: 'egress' }, OPENTELEMETRY_TRACING).begin().span.name, 'egress h:1')
})

test('a parent found by failure location is used where the application passed none on', () => {
  const inferred = { traceId: '463ac35c9f6413ad', spanId: 'b7ad6b7169203331', sampled: true }
  const { begin, tracer, reported } = setUp({ operation: 'egress', rates: NO_SAMPLING })
  const { span, headers } = begin({}, { inferred })
  assert.deepEqual([span.traceId, span.parentSpanId, span.sampled], ['463ac35c9f6413ad', 'b7ad6b7169203331', true])
  tracer.end(span, { info: span.info, requestHeaders: headers })
  assert.equal(tags(reported[0]!)['parent'], 'inferred')
  assert.equal(begin(B3, { inferred }).span.parentSpanId, 'a2fb4a1d1a96d312')
})

test('the tags of a request are Envoy’s', () => {
  const { begin, tracer, reported } = setUp({
    nodeId: 'nid',
    zone: 'z1',
    maxPathTagLength: 4,
    customTags: [
      { tag: 'lit', type: 'literal', value: 'L' },
      { tag: 'rh', type: 'request_header', name: 'X-Miss', defaultValue: 'dflt' },
      { tag: 'rh2', type: 'request_header', name: 'x-miss', defaultValue: '' },
      { tag: 'env', type: 'environment', name: 'HOME', defaultValue: '' },
      { tag: 'md', type: 'metadata', kind: 'DYNAMIC', namespace: 'r', path: ['l'], defaultValue: 'x' },
      { tag: 'md2', type: 'metadata', kind: 'ROUTE', namespace: 'r', path: ['l'], defaultValue: 'x' },
    ],
  })
  const { span, headers, info } = begin({
    'user-agent': 'u',
    'x-forwarded-proto': 'https',
    'x-envoy-original-path': '/original',
  })
  info.responseCode = 503
  info.clusterName = 'up'
  info.clusterAltStatName = 'up_alt'
  info.bytesSent = 5
  info.setDynamicMetadata('r', 'l', [1, 'a'])
  tracer.end(span, { info: span.info, requestHeaders: headers })
  assert.deepEqual(tags(reported[0]!), {
    node_id: 'nid',
    zone: 'z1',
    'guid:x-request-id': '11111111-2222-9333-8444-555555555555',
    'http.url': 'https://h:1/ori',
    'http.method': 'GET',
    downstream_cluster: '-',
    user_agent: 'u',
    'http.protocol': 'HTTP/1.1',
    'peer.address': '127.0.0.1',
    request_size: '0',
    response_size: '5',
    component: 'proxy',
    upstream_cluster: 'up',
    'upstream_cluster.name': 'up_alt',
    'http.status_code': '503',
    response_flags: '-',
    error: 'true',
    lit: 'L',
    rh: 'dflt',
    env: '/root',
    md: '[1,"a"]',
    md2: 'x',
  })
})

test('gRPC has tags of its own, and its server errors are errors', () => {
  for (const [status, failed] of [
    [0, false],
    [1, false],
    [2, true],
    [4, true],
    [5, false],
    [8, true],
    [12, true],
    [13, true],
    [14, true],
    [15, true],
    [16, false],
  ] as const) {
    const { begin, tracer, reported } = setUp()
    const { span, headers, info } = begin({ 'content-type': 'application/grpc+proto', 'grpc-timeout': '1S' })
    info.responseCode = 200
    info.grpcStatus = status
    tracer.end(span, {
      info: span.info,
      requestHeaders: headers,
      responseHeaders: new ResponseHeaders(200, ['grpc-message', 'm%20x']),
    })
    const { error, ...rest } = tags(reported[0]!)
    assert.equal(error, failed ? 'true' : undefined, String(status))
    assert.equal(rest['grpc.status_code'], String(status))
    assert.deepEqual(
      ['grpc.path', 'grpc.authority', 'grpc.content_type', 'grpc.timeout', 'grpc.message'].map(name => rest[name]),
      ['/a?x=1', 'h:1', 'application/grpc+proto', '1S', 'm%20x'],
    )
  }
})

test('attempts have spans of their own where they shall, with Envoy’s tags', () => {
  const { begin, tracer, reported, clock } = setUp({ spawnUpstreamSpan: true, operation: 'egress', verbose: true })
  const { span, headers, info } = begin()
  assert.equal(span.kind, 'SERVER')
  clock.advance(3)
  const next = tracer.wireSpanId(span)
  const child = tracer.startAttempt(span, headers, { clusterName: 'dead', hostText: '127.0.0.1:9', attempt: 2 })!
  assert.equal(child.spanId, next)
  assert.equal(headers.get('x-b3-spanid'), child.spanId)
  assert.equal(headers.get('x-b3-parentspanid'), span.spanId)
  clock.advance(4)
  info.firstUpstreamTxByteMs = clock.now()
  tracer.endAttempt(child, {
    endMs: clock.now(),
    firstTxMs: clock.now(),
    lastTxMs: 0,
    firstRxMs: 0,
    lastRxMs: 0,
    statusCode: 0,
    protocol: '',
    responseFlags: 0b100000,
    grpcStatus: -1,
    grpcMessage: '',
    errorReason: 'remote connection failure',
    canceled: false,
  })
  const attempt = reported[0]!
  assert.deepEqual(
    [attempt.kind, attempt.name, attempt.parentSpanId, attempt.durationUs],
    ['CLIENT', 'router dead egress', span.spanId, 4000],
  )
  assert.equal(attempt.startUs, span.startUs + 3000)
  assert.deepEqual(attempt.annotations, [{ value: 'first_upstream_tx_byte_sent', timestampUs: span.startUs + 7000 }])
  assert.deepEqual(tags(attempt), {
    component: 'proxy',
    upstream_cluster: 'dead',
    'upstream_cluster.name': 'dead',
    upstream_address: '127.0.0.1:9',
    'peer.address': '127.0.0.1:9',
    'retry.count': '1',
    'http.protocol': '-',
    'http.status_code': '0',
    response_flags: 'UF',
    error: 'true',
    'error.reason': 'remote connection failure',
  })
})

test('a mirror has a span of its own, reported by what its policy says where that says anything', () => {
  const { begin, tracer, reported } = setUp()
  const facts = {
    clusterName: 'shadow',
    clusterStatName: 'alt',
    hostText: '10.0.0.7:80',
    statusCode: 200,
    responseFlags: 0,
    cut: false,
    canceled: false,
  }
  const { span, headers } = begin()
  const mirror = tracer.startMirror(span, headers, undefined)
  assert.equal(headers.get('x-b3-spanid'), mirror.spanId)
  assert.equal(mirror.parentSpanId, span.spanId)
  tracer.endMirror(mirror, facts)
  assert.equal(reported[0]!.name, 'mirror')
  assert.deepEqual(reported[0]!.tags, [
    ...['component', 'proxy', 'upstream_cluster', 'shadow', 'upstream_cluster.name', 'alt'],
    ...['upstream_address', '10.0.0.7:80', 'peer.address', '10.0.0.7:80'],
    ...['http.protocol', 'HTTP/1.1', 'http.status_code', '200', 'response_flags', '-'],
  ])

  const silent = tracer.startMirror(span, headers, false)
  assert.equal(headers.get('x-b3-sampled'), '0')
  tracer.endMirror(silent, facts)
  assert.equal(reported.length, 1)

  const unsampled = setUp({ rates: NO_SAMPLING })
  const request = unsampled.begin()
  const loud = unsampled.tracer.startMirror(request.span, request.headers, true)
  assert.equal(request.headers.get('x-b3-sampled'), '1')
  unsampled.tracer.endMirror(loud, { ...facts, statusCode: 0, canceled: true })
  assert.deepEqual(unsampled.reported[0]!.tags.slice(-6), [
    ...['response_flags', '-', 'canceled', 'true', 'error', 'true'],
  ])
})

test('nothing leaves of an unsampled request, and its span does not hold on to it', () => {
  const { begin, tracer, reported } = setUp({ rates: NO_SAMPLING })
  const { span, headers, info } = begin()
  info.responseCode = 503
  tracer.end(span, { info: span.info, requestHeaders: headers })
  assert.deepEqual(reported, [])
  assert.notEqual(span.info, info)
  assert.equal(span.requestHeaders, undefined)
})

test('a span that was kept is reported as it was when it ended', () => {
  const { begin, tracer, reported } = setUp({ rates: NO_SAMPLING })
  const { span, headers, info } = begin(B3)
  info.responseCode = 418
  tracer.end(span, { info: span.info, requestHeaders: headers })
  headers.set('user-agent', 'somebody else')
  info.responseCode = 200
  assert.equal(tracer.promote(span.traceId), 1)
  assert.deepEqual(reported, [span])
  const { 'http.status_code': status, user_agent, 'http.url': url } = tags(span)
  assert.deepEqual({ status, user_agent }, { status: '418', user_agent: '-' })
  assert.match(url!, /^http:/)
})

test('a failed request is reported though unsampled, with the spans of its trace that ended before it', () => {
  const { begin, tracer, reported } = setUp({ rates: NO_SAMPLING, operation: 'egress' })
  const earlier = begin(B3)
  tracer.end(earlier.span, { info: earlier.span.info, requestHeaders: earlier.headers })
  const other = begin()
  tracer.end(other.span, { info: other.span.info, requestHeaders: other.headers })
  const { span, headers, info } = begin(B3)
  info.responseCode = 503
  info.failure = FAILURE
  span.link('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331')
  tracer.end(span, { info: span.info, requestHeaders: headers })
  assert.deepEqual(reported, [earlier.span, span])
  const { error, ...rest } = tags(span)
  assert.equal(error, 'connect_refused at d (c>d)')
  assert.deepEqual(
    ['id', 'role', 'origin', 'cause', 'link', 'path', 'confidence'].map(field => rest[`failure.${field}`]),
    ['5f', 'origin', 'd', 'connect_refused', 'c>d', 'd,c', 'exact'],
  )
  assert.equal(tracer.promote(span.traceId), 0)
})

test('the ring of unsampled spans forgets the oldest', () => {
  const { begin, tracer, clock } = setUp({ rates: NO_SAMPLING, ringSize: 3 })
  for (let i = 0; i < 5; i++) {
    const { span, headers } = begin(i < 3 ? B3 : {})
    tracer.end(span, { info: span.info, requestHeaders: headers })
    clock.advance(100)
  }
  assert.equal(tracer.promote(B3['x-b3-traceid']), 1)
})

test('when spans come faster than the ring turns, the first are kept for a while', () => {
  const { begin, tracer, clock } = setUp({ rates: NO_SAMPLING, ringSize: 3 })
  for (let i = 0; i < 5; i++) {
    const { span, headers } = begin(i < 3 ? B3 : {})
    tracer.end(span, { info: span.info, requestHeaders: headers })
    clock.advance(10)
  }
  assert.equal(tracer.promote(B3['x-b3-traceid']), 3)
})

test('decorators name spans on both sides of a call', () => {
  const route = { operation: 'checkout' }
  const egress = setUp({ operation: 'egress' })
  const call = egress.begin({}, { route })
  assert.equal(call.span.name, 'checkout')
  assert.equal(call.headers.get('x-envoy-decorator-operation'), 'checkout')
  const ingress = setUp()
  const served = ingress.begin({ 'x-envoy-decorator-operation': 'checkout' })
  assert.equal(served.span.name, 'checkout')
  assert.equal(served.headers.get('x-envoy-decorator-operation'), undefined)
  const response = new ResponseHeaders(200)
  ingress.tracer.decorateResponse(served.span, response, { operation: 'pay' })
  assert.equal(response.get('x-envoy-decorator-operation'), 'pay')
  egress.tracer.decorateResponse(call.span, response)
  assert.equal(call.span.name, 'pay')
  assert.equal(response.get('x-envoy-decorator-operation'), undefined)
})
