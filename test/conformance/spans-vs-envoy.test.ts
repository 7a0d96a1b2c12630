/**
 * Finished spans against the real Envoy: one collector for both, one configuration, the same requests. Names, kinds,
 * parents, tags, annotations and statuses are compared; ids by the places they stand in, times not at all.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream, type Script } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { type KeptSpan, SpanCollector } from '../kit/span-collector.ts'
import { waitFor } from '../kit/wait-for.ts'
import { cluster, type Json, router, typed } from './scenarios/bootstrap.ts'

type Fields = { readonly [key: string]: Json }

interface Call {
  readonly name: string
  readonly script?: Script
  readonly headers?: Readonly<Record<string, string>>
  readonly method?: string
  readonly body?: string
  /** Of the route, and of its action. */
  readonly route?: Fields
  readonly action?: Fields
  /** Spans that come of it; 1 by default, and one more for an attempt where attempts have spans. */
  readonly spans?: number
}

interface Setting {
  readonly name: string
  readonly provider: 'zipkin' | 'opentelemetry'
  readonly direction: 'INBOUND' | 'OUTBOUND'
  /** Of `tracing`, and of the provider. */
  readonly tracing?: Fields
  readonly config?: Fields
  readonly calls: readonly Call[]
}

const grpc = { 'content-type': 'application/grpc', te: 'trailers' }
const CALLS: readonly Call[] = [
  { name: 'ok', script: [{ body: 'hello' }], headers: { 'user-agent': 'tester', 'x-client-trace-id': 'mine' } },
  { name: 'body', method: 'POST', body: 'four', script: [{ body: 'x' }] },
  { name: '404', script: [{ status: 404 }] },
  { name: '503', script: [{ status: 503 }] },
  // A POST, which Hopwise would not send again by itself when an idle connection dies.
  { name: 'closed', method: 'POST', body: 'four', script: [{ end: 'close' }] },
  { name: 'cut', script: [{ body: 'hello', end: 'close-mid-body' }] },
  { name: 'timeout', script: [{ end: 'hang' }], action: { timeout: '0.1s' } },
  {
    name: 'per-try',
    script: [{ end: 'hang' }, { body: 'x' }],
    action: { retry_policy: { retry_on: '5xx', per_try_timeout: '0.1s' } },
    spans: 2,
  },
  { name: 'retry', script: [{ status: 503 }, { body: 'x' }], action: { retry_policy: { retry_on: '5xx' } }, spans: 2 },
  { name: 'refused', action: { cluster: 'dead' } },
  { name: 'no-cluster', action: { cluster_header: 'x-nothing' }, spans: 0 },
  { name: 'direct', route: { direct_response: { status: 410 } }, spans: 0 },
  { name: 'decorated', route: { decorator: { operation: 'deco' } } },
  {
    name: 'grpc-ok',
    method: 'POST',
    headers: { ...grpc, 'grpc-timeout': '5S' },
    script: [{ headers: { 'content-type': 'application/grpc', 'grpc-status': '0' } }],
  },
  {
    name: 'grpc-14',
    method: 'POST',
    headers: grpc,
    script: [{ headers: { 'content-type': 'application/grpc', 'grpc-status': '14', 'grpc-message': 'no' } }],
  },
  {
    name: 'grpc-5',
    method: 'POST',
    headers: grpc,
    script: [{ headers: { 'content-type': 'application/grpc', 'grpc-status': '5' } }],
  },
]

const SETTINGS: readonly Setting[] = [
  { name: 'Zipkin, inbound', provider: 'zipkin', direction: 'INBOUND', calls: CALLS },
  { name: 'Zipkin, outbound', provider: 'zipkin', direction: 'OUTBOUND', calls: CALLS },
  {
    name: 'Zipkin, spans per attempt, verbose',
    provider: 'zipkin',
    direction: 'OUTBOUND',
    tracing: { spawn_upstream_span: true, verbose: true },
    calls: CALLS,
  },
  {
    name: 'OpenTelemetry, inbound, verbose',
    provider: 'opentelemetry',
    direction: 'INBOUND',
    tracing: { verbose: true },
    calls: CALLS,
  },
  { name: 'OpenTelemetry, outbound', provider: 'opentelemetry', direction: 'OUTBOUND', calls: CALLS },
  {
    name: 'OpenTelemetry, spans per attempt',
    provider: 'opentelemetry',
    direction: 'OUTBOUND',
    tracing: { spawn_upstream_span: true },
    calls: CALLS,
  },
]

class Side {
  readonly upstream: FakeUpstream
  readonly collector: SpanCollector
  readonly proxy: ProxyProcess
  readonly #ports: Readonly<Record<string, number>>

  private constructor(
    upstream: FakeUpstream,
    collector: SpanCollector,
    proxy: ProxyProcess,
    ports: Readonly<Record<string, number>>,
  ) {
    this.upstream = upstream
    this.collector = collector
    this.proxy = proxy
    this.#ports = ports
  }

  static async start(run: typeof startEnvoy, setting: Setting): Promise<Side> {
    const upstream = await FakeUpstream.start()
    const collector = await SpanCollector.start()
    const [listen, dead] = await freePorts(2)
    const ports = { listen: listen!, dead: dead!, app: upstream.port }
    const proxy = await run(configuration(setting, ports, collector.port))
    return new Side(upstream, collector, proxy, ports)
  }

  async call(call: Call, expected: number): Promise<object[]> {
    this.upstream.requests.length = 0
    this.upstream.script = call.script ?? [{ body: 'x' }]
    const before = this.collector.spans.length
    const { method, body, headers } = call
    const path = `/${call.name}`
    await fetchRaw(this.#ports['listen']!, {
      path,
      ...(method && { method }),
      ...(body !== undefined && { body }),
      headers: Object.entries({ ...headers }),
    }).catch(() => {})
    await waitFor(() => this.collector.spans.length >= before + expected, {
      what: `${expected} spans of ${path} from ${this.proxy.process.name}`,
      deadlineMs: 2000,
    })
    return comparable(this.collector.spans.slice(before), this.#ports)
  }

  async stop(): Promise<void> {
    await this.proxy.stop('SIGKILL')
    await this.upstream.close()
    this.collector.close()
  }
}

function configuration(setting: Setting, ports: Readonly<Record<string, number>>, collector: number): string {
  const { provider, direction, tracing, config, calls } = setting
  const providers: Record<Setting['provider'], Json> = {
    zipkin: typed('type.googleapis.com/envoy.config.trace.v3.ZipkinConfig', {
      collector_cluster: 'collector',
      collector_endpoint: '/api/v2/spans',
      collector_endpoint_version: 'HTTP_JSON',
      ...config,
    }),
    opentelemetry: typed('type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig', {
      http_service: { http_uri: { uri: 'http://c/v1/traces', cluster: 'collector', timeout: '1s' } },
      service_name: 'tested',
      ...config,
    }),
  }
  const routes = calls.map(({ name, route, action }) => {
    const to = action?.['cluster_header'] === undefined ? { cluster: 'app', ...action } : action
    return { match: { path: `/${name}` }, ...(route?.['direct_response'] === undefined && { route: to }), ...route }
  })
  const manager = typed('network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'm',
    delayed_close_timeout: '0.1s',
    tracing: { ...tracing, provider: { name: `envoy.tracers.${provider}`, typed_config: providers[provider] } },
    route_config: { virtual_hosts: [{ name: 'v', domains: ['*'], routes }] },
    http_filters: [router],
  })
  const port = (of: number | undefined) => of as unknown as string
  const listener = {
    name: 'main',
    traffic_direction: direction,
    address: { socket_address: { address: '127.0.0.1', port_value: ports['listen'] } },
    filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
  }
  const runtime = ['zipkin', 'opentelemetry'].flatMap(name => [
    [`tracing.${name}.min_flush_spans`, 1],
    [`tracing.${name}.flush_interval_ms`, 50],
  ])
  return `
node: {id: the-node, cluster: the-cluster, locality: {zone: the-zone}}
layered_runtime: ${JSON.stringify({ layers: [{ name: 'base', static_layer: Object.fromEntries(runtime) }] })}
static_resources: ${JSON.stringify({
    listeners: [listener],
    clusters: [
      cluster('app', port(ports['app'])),
      cluster('shadow', port(ports['app'])),
      cluster('dead', port(ports['dead'])),
      cluster('collector', port(collector)),
    ],
  })}
`
}

/** What is ours alone, and of design: where a failure began. */
const OURS = /^failure\.|^error\.type$/

/** Spans in one order, with ids as places, and without what two runs of one proxy differ in. */
function comparable(spans: readonly KeptSpan[], ports: Readonly<Record<string, number>>): object[] {
  const named = (text: string) => {
    for (const [name, port] of Object.entries(ports)) text = text.replaceAll(`:${port}`, `:<${name}>`)
    return text
  }
  const failed = spans.some(({ tags }) => Object.keys(tags).some(name => OURS.test(name)))
  return spans
    .map(span => {
      const parent = spans.find(({ id, traceId }) => id === span.parentId && traceId === span.traceId)
      const tags = Object.entries(span.tags)
        .filter(([name]) => !OURS.test(name))
        // A response that is cut in its middle is a failure here, whatever its status; Envoy marks its attempt only.
        .filter(([name]) => name !== 'error' || span.tags['failure.cause'] !== 'partial_body')
        .map(([name, value]) => {
          if (name === 'guid:x-request-id') return [name, '<id>']
          // What failed, in words, where Envoy says that something did.
          if (name === 'error') return [name, failed ? 'true' : value]
          return [name, named(value)]
        })
      return {
        name: named(span.name),
        kind: span.kind,
        shared: span.shared,
        parent: parent === undefined ? (span.parentId === '' ? '' : '<other>') : parent.name,
        tags: Object.fromEntries(tags.sort()),
        annotations: span.annotations,
        // Envoy derives it from the status alone; here whatever has the tag `error` is one, and the text says which.
        status: tags.some(([name]) => name === 'error') || /^ERROR$/.test(span.status) ? 'ERROR' : '',
      }
    })
    .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
}

for (const setting of SETTINGS) {
  const attempts = setting.tracing?.['spawn_upstream_span'] === true
  const sides: Side[] = []
  test(`${setting.name}`, async t => {
    // One after the other: two that look for free ports at once may find the same.
    for (const start of [startEnvoy, startHopwise]) sides.push(await Side.start(start, setting))
    for (const call of setting.calls) {
      if (process.env['DBG'] && call.name !== process.env['DBG']) continue
      await t.test(call.name, async () => {
        const expected = 1 + (attempts ? (call.spans ?? 1) : 0)
        const [theirs, ours] = await Promise.all(sides.map(side => side.call(call, expected)))
        assert.deepEqual(ours, theirs)
      })
    }
  })
  after(async () => {
    for (const side of sides) await side.stop()
  })
}
