/**
 * The spans of a running sidecar, by every way they may leave: through the configured collector cluster as Zipkin JSON or
 * OTLP/HTTP, and, where the environment asks for exporters, through the OpenTelemetry SDK (zipkin, otlp, console).
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePort, freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { localCluster, oneListener, zipkinProvider } from '../kit/one-listener.ts'
import { withAdmin } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

const TYPE = 'type.googleapis.com/envoy'
const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'

const ZIPKIN = zipkinProvider({ trace_id_128bit: true, shared_span_context: false })
const OTLP = {
  name: 'envoy.tracers.opentelemetry',
  typed_config: {
    '@type': `${TYPE}.config.trace.v3.OpenTelemetryConfig`,
    service_name: 'orders',
    http_service: {
      http_uri: { uri: 'http://collector.local/v1/traces', cluster: 'collector', timeout: '1s' },
      request_headers_to_add: [{ header: { key: 'x-token', value: 't' } }],
    },
  },
}

const configuration = (listen: number, upstream: number, collector: number, provider: object) =>
  oneListener({
    service: 'orders',
    direction: 'INBOUND',
    name: 'in',
    port: listen,
    clusters: [localCluster('app', upstream), localCluster('collector', collector)],
    manager: { tracing: { random_sampling: { value: 100 }, provider } },
  })

interface Outcome {
  readonly collector: FakeUpstream
  readonly app: FakeUpstream
  readonly output: () => string
  readonly stats: () => Promise<Map<string, number>>
}

async function traced(
  provider: object,
  environment: (collectorPort: number) => Readonly<Record<string, string>>,
  check: (outcome: Outcome) => Promise<void>,
): Promise<void> {
  await using app = await FakeUpstream.start()
  await using collector = await FakeUpstream.start()
  collector.script = [{ status: 202 }]
  const listen = await freePort()
  await using proxy = await startHopwise(configuration(listen, app.port, collector.port, provider), {
    env: { OTEL_BSP_SCHEDULE_DELAY: '50', ...environment(collector.port) },
  })
  const headers = {
    traceparent: `00-${TRACE}-${PARENT}-01`,
    'x-b3-traceid': TRACE,
    'x-b3-spanid': PARENT,
    'x-b3-sampled': '1',
  }
  assert.equal((await fetchRaw(listen, { headers })).status, 200)
  await check({ app, collector, output: () => proxy.process.output, stats: () => proxy.stats('^tracing') })
}

const arrived = ({ collector }: Outcome) =>
  waitFor(() => collector.requests[0], { deadlineMs: 20_000, what: 'a report of spans' })

function isOurZipkinSpan(body: Buffer, app: FakeUpstream): void {
  const [span] = JSON.parse(body.toString())
  assert.deepEqual([span.traceId, span.parentId, span.kind], [TRACE, PARENT, 'SERVER'])
  assert.equal(span.localEndpoint.serviceName, 'orders')
  assert.equal(span.tags['http.status_code'], '200')
  // The application got the context of this very span.
  const passed = app.requests[0]!.headers.find(([name]) => /^x-b3-spanid$/i.test(name))
  assert.equal(passed?.[1], span.id)
}

function isOurOtlpSpan(body: Buffer): void {
  for (const id of [TRACE, PARENT]) assert.ok(body.includes(Buffer.from(id, 'hex')), id)
  assert.ok(body.includes('orders'))
}

test('Zipkin JSON through the collector cluster', () =>
  traced(
    ZIPKIN,
    () => ({}),
    async outcome => {
      const { target, headers, body } = await arrived(outcome)
      assert.equal(target, '/api/v2/spans')
      assert.ok(headers.some(([name, value]) => name === 'content-type' && value === 'application/json'))
      isOurZipkinSpan(body, outcome.app)
      await waitFor(async () => (await outcome.stats()).get('tracing.zipkin.reports_sent') === 1)
    },
  ))

test('OTLP/HTTP through the collector cluster', () =>
  traced(
    OTLP,
    () => ({}),
    async outcome => {
      const { startLine, headers, body } = await arrived(outcome)
      assert.match(startLine, /^POST \/v1\/traces /)
      const of = (name: string) => headers.find(([key]) => key === name)?.[1]
      assert.deepEqual(
        [of('content-type'), of('host'), of('x-token')],
        ['application/x-protobuf', 'collector.local', 't'],
      )
      isOurOtlpSpan(body)
    },
  ))

test('OTEL_TRACES_EXPORTER=zipkin', () =>
  traced(
    ZIPKIN,
    port => ({
      OTEL_TRACES_EXPORTER: 'zipkin',
      OTEL_EXPORTER_ZIPKIN_ENDPOINT: `http://127.0.0.1:${port}/from/the/sdk`,
    }),
    async outcome => {
      const { target, body } = await arrived(outcome)
      assert.equal(target, '/from/the/sdk')
      isOurZipkinSpan(body, outcome.app)
    },
  ))

test('OTEL_TRACES_EXPORTER=otlp', () =>
  traced(
    ZIPKIN,
    port => ({ OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` }),
    async outcome => {
      const { target, body } = await arrived(outcome)
      assert.equal(target, '/v1/traces')
      isOurOtlpSpan(body)
    },
  ))

test('OTEL_TRACES_EXPORTER=console', () =>
  traced(
    ZIPKIN,
    () => ({ OTEL_TRACES_EXPORTER: 'console' }),
    async outcome => {
      await waitFor(() => outcome.output().includes(TRACE), { deadlineMs: 20_000, what: 'a span on the console' })
      assert.equal(outcome.collector.requests.length, 0)
    },
  ))

test('a reload that changes the collector closes the one before, with its last spans; one that fails changes nothing', async () => {
  await using app = await FakeUpstream.start()
  await using collector = await FakeUpstream.start()
  collector.script = [{ status: 202 }]
  const [listen, admin] = await freePorts(2)
  const to = (cluster: string, manager = {}) =>
    withAdmin(
      oneListener({
        port: listen!,
        clusters: [localCluster('app', app.port), localCluster(cluster, collector.port)],
        manager: { tracing: { provider: zipkinProvider({ collector_cluster: cluster }) }, ...manager },
      }),
      admin!,
    )
  await using proxy = await startHopwise(to('first'), { adminPort: admin!, args: ['--no-watch'] })
  const collectors = async () => {
    const answer = JSON.parse(await proxy.admin('/mesh/collectors')) as { collectors: { cluster: string }[] }
    return answer.collectors.map(({ cluster }) => cluster)
  }
  const reload = async (yaml: string, line: string) => {
    writeFileSync(proxy.configPath, yaml)
    proxy.process.signal('SIGHUP')
    await proxy.process.waitForLine(line)
  }
  const format = { text_format_source: { inline_string: '%NONSENSE%' } }
  const log = { '@type': `${TYPE}.extensions.access_loggers.stream.v3.StdoutAccessLog`, log_format: format }
  const broken = { access_log: [{ name: 'stdout', typed_config: log }] }
  await reload(to('second', broken), 'configuration not reloaded')
  assert.deepEqual(await collectors(), ['first'])
  // One span waits for others, or for five seconds.
  assert.equal((await fetchRaw(listen!, {})).status, 200)
  const spans = () => collector.requests.filter(({ target }) => target === '/api/v2/spans')
  assert.equal(spans().length, 0)
  await reload(to('second'), 'configuration reloaded')
  await waitFor(() => spans().length === 1, { what: 'the span that waited' })
  assert.deepEqual(await collectors(), ['second'])
  assert.equal((await proxy.stats('^tracing')).get('tracing.zipkin.reports_skipped_no_cluster'), 0)
})
