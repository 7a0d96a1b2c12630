/** A real Zipkin server takes our reports and shows the trace: JSON of our own writer, and the SDK's exporter. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../sidecar/base/clock.ts'
import { systemRandom } from '../../sidecar/base/random.ts'
import { TimerWheel } from '../../sidecar/base/timer-wheel.ts'
import { RequestHeaders } from '../../sidecar/codec/header-map.ts'
import { StatsStore } from '../../sidecar/observability/stats-store.ts'
import { type FailureView, StreamInfo } from '../../sidecar/observability/stream-info.ts'
import { outcomeOfStatus, SpanExporter } from '../../sidecar/observability/tracing/span-exporter.ts'
import { type SpanReporter, Tracer, ZIPKIN_TRACING } from '../../sidecar/observability/tracing/tracer.ts'
import { ZipkinEncoder } from '../../sidecar/observability/tracing/zipkin-encoder.ts'
import { waitFor } from '../kit/wait-for.ts'
import { startZipkin } from './zipkin-server.ts'

interface StoredSpan {
  readonly id: string
  readonly parentId?: string
  readonly kind: string
  readonly shared?: boolean
  readonly localEndpoint: { readonly serviceName: string }
  readonly tags: Readonly<Record<string, string>>
}

const FAILURE: FailureView = {
  id: '5f2c09aa13e0b7d1',
  role: 'origin',
  origin: 'c',
  cause: 'connect_refused',
  link: 'b>c',
  path: 'c,b',
  confidence: 'exact',
}

/** One hop: reads the context from `headers`, changes them for the next. */
function hop(
  service: string,
  operation: 'ingress' | 'egress',
  reporter: SpanReporter,
  headers: RequestHeaders,
  failure?: FailureView,
) {
  const tracer = new Tracer(
    { ...ZIPKIN_TRACING, operation, nodeId: service },
    { clock: systemClock, random: systemRandom, reporter },
  )
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
  const info = new StreamInfo(connection, 'HTTP/1.1', systemClock.now(), systemClock.wall())
  const span = tracer.start(headers, info)
  span.injectInto(headers)
  return {
    span,
    end: () => {
      info.endMs = systemClock.now()
      info.responseCode = failure === undefined ? 200 : 503
      info.failure = failure
      tracer.end(span, { info, requestHeaders: headers.clone() })
    },
  }
}

test('Zipkin takes our reports, joins the hops and counts the calls', { timeout: 300_000 }, async t => {
  const zipkin = await startZipkin(t)
  if (zipkin === undefined) return
  const timers = new TimerWheel(systemClock)
  t.after(() => timers.close())
  const stats = new StatsStore()
  const exporters = new Map(
    ['a', 'b'].map(serviceName => {
      const exporter = new SpanExporter({
        kind: 'zipkin',
        path: '/api/v2/spans',
        encoder: new ZipkinEncoder({ serviceName, ipv4: '127.0.0.1', ipv6: '', port: 0 }),
        sink: {
          send(path, contentType, body, done) {
            void fetch(zipkin + path, {
              method: 'POST',
              headers: { 'content-type': contentType },
              body: String(body),
            }).then(
              response => done(outcomeOfStatus('zipkin', response.status)),
              () => done('failed'),
            )
          },
        },
        timers,
        stats,
      })
      return [serviceName, exporter]
    }),
  )

  const headers = new RequestHeaders('GET', '/orders?ü="1"', 'shop', 'http', [
    'x-request-id',
    '11111111-2222-4333-8444-555555555555',
  ])
  const hops = [
    hop('a', 'ingress', exporters.get('a')!, headers),
    hop('a', 'egress', exporters.get('a')!, headers),
    hop('b', 'ingress', exporters.get('b')!, headers),
    hop('b', 'egress', exporters.get('b')!, headers, FAILURE),
  ]
  for (const { end } of hops.toReversed()) end()
  await Promise.all([...exporters.values()].map(exporter => exporter.close()))
  assert.equal(stats.counter('tracing.zipkin.reports_sent').value, 2)
  assert.equal(stats.counter('tracing.zipkin.spans_sent').value, 4)

  const { traceId } = hops[0]!.span
  const spans = await waitFor(async () => {
    const response = await fetch(`${zipkin}/api/v2/trace/${traceId}`)
    const found = response.ok ? ((await response.json()) as StoredSpan[]) : []
    return found.length === 4 ? found : undefined
  })
  const of = (service: string, kind: string) =>
    spans.find(span => span.localEndpoint.serviceName === service && span.kind === kind)!
  assert.equal(of('a', 'CLIENT').parentId, of('a', 'SERVER').id)
  assert.equal(of('b', 'SERVER').id, of('a', 'CLIENT').id)
  assert.equal(of('b', 'SERVER').shared, true)
  assert.equal(of('b', 'CLIENT').parentId, of('b', 'SERVER').id)
  assert.equal(of('b', 'CLIENT').tags['error'], 'connect_refused at c (b>c)')
  assert.equal(of('b', 'CLIENT').tags['failure.origin'], 'c')
  assert.equal(of('a', 'SERVER').tags['http.url'], 'http://shop/orders?ü="1"')

  const links = await (await fetch(`${zipkin}/api/v2/dependencies?endTs=${Date.now()}`)).json()
  assert.deepEqual(links, [{ parent: 'a', child: 'b', callCount: 1 }])
  const failed = await (
    await fetch(`${zipkin}/api/v2/traces?annotationQuery=${encodeURIComponent('failure.origin=c')}`)
  ).json()
  assert.equal((failed as unknown[]).length, 1)
})
