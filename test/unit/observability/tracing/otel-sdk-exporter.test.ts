/** Spans through the OpenTelemetry SDK: real exporters, a collector of the test's own. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { ManualClock } from '../../../../sidecar/base/clock.ts'
import { SeededRandom } from '../../../../sidecar/base/random.ts'
import { RequestHeaders } from '../../../../sidecar/codec/header-map.ts'
import { StreamInfo } from '../../../../sidecar/observability/stream-info.ts'
import {
  otelExportersWanted,
  startOtelSdkExporter,
} from '../../../../sidecar/observability/tracing/otel-sdk-exporter.ts'
import { OPENTELEMETRY_TRACING, Tracer } from '../../../../sidecar/observability/tracing/tracer.ts'

test('the environment says which exporters are wanted', () => {
  assert.deepEqual(otelExportersWanted({}), [])
  assert.deepEqual(otelExportersWanted({ OTEL_TRACES_EXPORTER: 'none' }), [])
  assert.deepEqual(otelExportersWanted({ OTEL_TRACES_EXPORTER: 'zipkin, otlp' }), ['zipkin', 'otlp'])
  assert.deepEqual(otelExportersWanted({ OTEL_TRACES_EXPORTER: 'zipkin', OTEL_SDK_DISABLED: 'TRUE' }), [])
})

test('a span leaves through exporter-zipkin and the OTLP exporter with our ids, times and tags', async t => {
  const received: { url: string; type: string; body: Buffer }[] = []
  const collector = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      received.push({ url: request.url!, type: request.headers['content-type'] ?? '', body: Buffer.concat(chunks) })
      response.writeHead(request.url === '/v1/traces' ? 200 : 202).end()
    })
  })
  await new Promise<void>(resolve => collector.listen(0, '127.0.0.1', resolve))
  t.after(() => collector.close())
  const base = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
  const settings = {
    OTEL_TRACES_EXPORTER: 'zipkin,otlp',
    OTEL_EXPORTER_ZIPKIN_ENDPOINT: `${base}/api/v2/spans`,
    OTEL_EXPORTER_OTLP_ENDPOINT: base,
    OTEL_SERVICE_NAME: 'from-environment',
    OTEL_NODE_RESOURCE_DETECTORS: 'env',
  }
  // The SDK reads the environment of the process and nothing else.
  Object.assign(process.env, settings)
  t.after(() => {
    for (const name of Object.keys(settings)) delete process.env[name]
  })

  const exporter = await startOtelSdkExporter({ serviceName: 'configured', version: '1.2' })
  const clock = new ManualClock()
  clock.advance(0.123)
  const tracer = new Tracer(
    { ...OPENTELEMETRY_TRACING, nodeId: 'n' },
    { clock, random: new SeededRandom(3), reporter: exporter },
  )
  const headers = new RequestHeaders('GET', '/', 'h', 'http', [
    'x-request-id',
    '11111111-2222-4333-8444-555555555555',
    'traceparent',
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  ])
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
  const info = new StreamInfo(connection, 'HTTP/1.1', clock.now(), clock.wall())
  const span = tracer.start(headers, info)
  span.link('463ac35c9f6413ad48485a3953bb6124', 'a2fb4a1d1a96d312')
  info.endMs = info.startMs + 2.5
  info.responseCode = 503
  info.failure = { id: '5f', role: 'origin', origin: 'd', cause: 'app_error', link: '', path: 'd', confidence: 'exact' }
  tracer.end(span, { info: span.info, requestHeaders: headers })
  await exporter.close()

  const zipkin = received.find(({ url }) => url === '/api/v2/spans')!
  const [sent] = JSON.parse(zipkin.body.toString())
  assert.deepEqual(
    [sent.traceId, sent.parentId, sent.id, sent.kind, sent.name, sent.duration],
    ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', span.spanId, 'SERVER', 'ingress', 2500],
  )
  assert.equal(sent.timestamp, span.startUs)
  assert.equal(sent.localEndpoint.serviceName, 'from-environment')
  assert.equal(sent.tags['http.url'], 'http://h/')
  assert.equal(sent.tags['failure.origin'], 'd')
  assert.equal(sent.tags['error.type'], 'app_error')

  const otlp = received.find(({ url }) => url === '/v1/traces')!
  assert.equal(otlp.type, 'application/x-protobuf')
  for (const id of [
    '0af7651916cd43dd8448eb211c80319c',
    span.spanId,
    'b7ad6b7169203331',
    '463ac35c9f6413ad48485a3953bb6124',
  ]) {
    assert.ok(otlp.body.includes(Buffer.from(id, 'hex')), id)
  }
  assert.ok(otlp.body.includes('app_error at d'))
})
