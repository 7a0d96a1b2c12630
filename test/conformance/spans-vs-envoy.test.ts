/**
 * Finished spans against the real Envoy: one collector for both, one configuration, the same requests. Names, kinds,
 * parents, tags, annotations and statuses are compared; ids by the places they stand in, times not at all.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream, type RecordedRequest, type Script } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { type KeptSpan, SpanCollector } from '../kit/span-collector.ts'
import { waitFor } from '../kit/wait-for.ts'
import { cluster, type Json, router, typed } from './scenarios/bootstrap.ts'
import { HTTP2_CLUSTER } from './scenarios/exchange.ts'

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
  /** Spans of attempts, where attempts have spans; 1 by default. */
  readonly spans?: number
  /** Spans of mirrors, and of the request itself, which is 1 by default. */
  readonly mirrors?: number
  readonly own?: number
  /** Requests upstream to wait for, where spans do not tell that they have come. */
  readonly received?: number
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

const TAGS: readonly Json[] = [
  { tag: 'literal', literal: { value: 'l' } },
  { tag: 'header', request_header: { name: 'x-a', default_value: 'none' } },
  { tag: 'environment', environment: { name: 'NOT_SET_AT_ALL', default_value: 'e' } },
  { tag: 'value', value: '%REQ(:METHOD)% %RESPONSE_CODE% %UPSTREAM_CLUSTER%' },
  {
    tag: 'route',
    metadata: { kind: { route: {} }, metadata_key: { key: 'ns', path: [{ key: 'k' }] }, default_value: 'm' },
  },
  { tag: 'int', literal: { value: '42' }, value_type: 'INT' },
  { tag: 'double', literal: { value: '0.5' }, value_type: 'DOUBLE' },
  { tag: 'bool', literal: { value: 'true' }, value_type: 'BOOL' },
  { tag: 'no int', literal: { value: 'many' }, value_type: 'INT' },
  { tag: 'no bool', literal: { value: 'yes' }, value_type: 'BOOL' },
  { tag: 'text', literal: { value: '7' }, value_type: 'STRING' },
]
const routeTracing = {
  random_sampling: { numerator: 100 },
  custom_tags: [
    { tag: 'literal', literal: { value: 'of the route' } },
    { tag: 'more', literal: { value: 'r' } },
  ],
}
const NAMING: readonly Call[] = [
  { name: 'plain', headers: { 'x-a': 'a' } },
  { name: 'with-metadata', route: { metadata: { filter_metadata: { ns: { k: 'v' } } } } },
  { name: 'decorated', route: { decorator: { operation: 'deco' } } },
  { name: 'retry', script: [{ status: 503 }, { body: 'x' }], action: { retry_policy: { retry_on: '5xx' } }, spans: 2 },
  { name: 'route', route: { tracing: routeTracing } },
  {
    name: 'route-names',
    route: {
      tracing: { ...routeTracing, operation: 'route %REQ(:PATH)%', upstream_operation: 'route up %REQ(X-NONE)%' },
    },
  },
  {
    name: 'route-and-decorator',
    route: { decorator: { operation: 'deco' }, tracing: { ...routeTracing, operation: 'route op' } },
  },
  { name: 'direct', route: { direct_response: { status: 410 } }, spans: 0 },
]
const NOTHING: Fields = { numerator: 0 }
/** Requests that are copied: what the span of the copy is, and whose child the copy's receiver becomes. */
const MIRRORED: readonly Call[] = [
  { name: 'mirrored', action: { request_mirror_policies: [{ cluster: 'shadow' }] }, mirrors: 1 },
  {
    name: 'with-body',
    method: 'POST',
    body: 'four',
    action: { request_mirror_policies: [{ cluster: 'shadow' }] },
    mirrors: 1,
  },
  {
    name: 'without-suffix',
    action: { request_mirror_policies: [{ cluster: 'shadow', disable_shadow_host_suffix_append: true }] },
    mirrors: 1,
  },
  {
    name: 'sampled',
    action: { request_mirror_policies: [{ cluster: 'shadow', trace_sampled: true }] },
    mirrors: 1,
  },
  {
    name: 'not-sampled',
    action: { request_mirror_policies: [{ cluster: 'shadow', trace_sampled: false }] },
    received: 2,
  },
  {
    name: 'sampled-alone',
    route: { tracing: { random_sampling: NOTHING, overall_sampling: NOTHING } },
    action: { request_mirror_policies: [{ cluster: 'shadow', trace_sampled: true }] },
    own: 0,
    mirrors: 1,
  },
  {
    name: 'none-sampled',
    route: { tracing: { random_sampling: NOTHING, overall_sampling: NOTHING } },
    action: { request_mirror_policies: [{ cluster: 'shadow' }] },
    own: 0,
    received: 2,
  },
  {
    name: 'twice',
    action: { request_mirror_policies: [{ cluster: 'shadow' }, { cluster: 'shadow' }] },
    mirrors: 2,
  },
  { name: 'refused', action: { request_mirror_policies: [{ cluster: 'dead' }] }, mirrors: 1 },
  { name: 'over-http2', action: { request_mirror_policies: [{ cluster: 'shadow-http2' }] }, mirrors: 1 },
  { name: 'no-host', action: { request_mirror_policies: [{ cluster: 'empty' }] }, mirrors: 1 },
  {
    name: 'unknown',
    action: { request_mirror_policies: [{ cluster_header: 'x-nothing' }] },
  },
  { name: '503', script: [{ status: 503 }], action: { request_mirror_policies: [{ cluster: 'shadow' }] }, mirrors: 1 },
  { name: '404', script: [{ status: 404 }], action: { request_mirror_policies: [{ cluster: 'shadow' }] }, mirrors: 1 },
  {
    name: 'timeout',
    script: [{ end: 'hang' }],
    action: { timeout: '0.1s', request_mirror_policies: [{ cluster: 'shadow' }] },
    mirrors: 1,
  },
  {
    name: 'closed',
    method: 'POST',
    body: 'four',
    script: [{ end: 'close' }],
    action: { request_mirror_policies: [{ cluster: 'shadow' }] },
    mirrors: 1,
  },
  {
    name: 'cut',
    script: [{ body: 'hello', end: 'close-mid-body' }],
    action: { request_mirror_policies: [{ cluster: 'shadow' }] },
    mirrors: 1,
  },
  {
    name: 'grpc-14',
    method: 'POST',
    headers: grpc,
    script: [{ headers: { 'content-type': 'application/grpc', 'grpc-status': '14', 'grpc-message': 'no' } }],
    action: { request_mirror_policies: [{ cluster: 'shadow' }] },
    mirrors: 1,
  },
  {
    name: 'named',
    route: { decorator: { operation: 'deco' }, tracing: { ...routeTracing, upstream_operation: 'route up' } },
    action: { request_mirror_policies: [{ cluster: 'shadow' }] },
    mirrors: 1,
  },
]
const NAMED: Fields = {
  spawn_upstream_span: true,
  operation: 'op %REQ(:METHOD)% %RESPONSE_CODE%|%REQ(X-NONE)%',
  upstream_operation: 'up %UPSTREAM_CLUSTER% %RESPONSE_CODE%',
  custom_tags: TAGS,
}

const SETTINGS: readonly Setting[] = [
  { name: 'Zipkin, mirrors', provider: 'zipkin', direction: 'OUTBOUND', calls: MIRRORED },
  { name: 'Zipkin, mirrors, inbound', provider: 'zipkin', direction: 'INBOUND', calls: MIRRORED },
  {
    name: 'Zipkin, mirrors beside spans per attempt, verbose',
    provider: 'zipkin',
    direction: 'OUTBOUND',
    tracing: { ...NAMED, verbose: true },
    calls: MIRRORED,
  },
  { name: 'OpenTelemetry, mirrors', provider: 'opentelemetry', direction: 'OUTBOUND', calls: MIRRORED },
  {
    name: 'OpenTelemetry, mirrors beside spans per attempt',
    provider: 'opentelemetry',
    direction: 'INBOUND',
    tracing: NAMED,
    calls: MIRRORED,
  },
  { name: 'Zipkin, names and tags', provider: 'zipkin', direction: 'OUTBOUND', tracing: NAMED, calls: NAMING },
  { name: 'Zipkin, names and tags, inbound', provider: 'zipkin', direction: 'INBOUND', tracing: NAMED, calls: NAMING },
  {
    name: 'OpenTelemetry, names and tags',
    provider: 'opentelemetry',
    direction: 'OUTBOUND',
    tracing: NAMED,
    calls: NAMING,
  },
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

  async call(call: Call, expected: number): Promise<(object | string)[]> {
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
    await waitFor(() => this.upstream.requests.length >= (call.received ?? 0), {
      what: `${call.received} requests of ${path} from ${this.proxy.process.name}`,
      deadlineMs: 2000,
    })
    const spans = this.collector.spans.slice(before)
    return [
      ...comparable(spans, this.#ports),
      ...this.upstream.requests.map(request => receiver(request, spans)).sort(),
    ]
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
      { name: 'empty' },
      cluster('shadow-http2', port(ports['app']), HTTP2_CLUSTER),
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

/** Whose child the receiver of a request becomes, and whether it is to be traced. */
function receiver(request: RecordedRequest, spans: readonly KeptSpan[]): string {
  const [, , parent, flags] = request.header('traceparent')?.split('-') ?? []
  const id = parent ?? request.header('x-b3-spanid') ?? ''
  const sampled = flags === undefined ? request.header('x-b3-sampled') : flags.slice(1)
  const span = spans.find(span => span.id === id)
  const below = span === undefined ? (id === '' ? 'nobody' : 'an unknown span') : span.name
  return `${request.header('host')} is below ${below}, sampled ${sampled}`
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
        const own = call.own ?? 1
        const expected = own + (attempts && own > 0 ? (call.spans ?? 1) : 0) + (call.mirrors ?? 0)
        const [theirs, ours] = await Promise.all(sides.map(side => side.call(call, expected)))
        assert.deepEqual(ours, theirs)
      })
    }
  })
  after(async () => {
    for (const side of sides) await side.stop()
  })
}

/** Both sides with a setting of one call, and what `look` finds after it on each. */
async function onBoth<T>(setting: Omit<Setting, 'name' | 'calls'>, call: Call, look: (side: Side) => T): Promise<T[]> {
  const found: T[] = []
  for (const start of [startEnvoy, startHopwise]) {
    const side = await Side.start(start, { ...setting, name: '', calls: [call] })
    try {
      await side.call(call, 1)
      found.push(look(side))
    } finally {
      await side.stop()
    }
  }
  return found
}

const detector = (name: string, type: string, fields: Fields = {}): Json => ({
  name,
  typed_config: typed(`type.googleapis.com/envoy.extensions.tracers.opentelemetry.${type}`, fields),
})

for (const [name, config] of Object.entries<Fields>({
  'with its defaults': {},
  'of detectors, whatever they are called': {
    resource_detectors: [
      detector('one', 'resource_detectors.v3.EnvironmentResourceDetectorConfig'),
      detector('two', 'resource_detectors.v3.StaticConfigResourceDetectorConfig', {
        attributes: { a: 'static', c: 'd' },
      }),
    ],
  },
  'without what is switched off': {
    set_telemetry_sdk_resource_attributes: false,
    set_service_name_resource_attribute: false,
    set_instrumentation_scope: false,
  },
})) {
  test(`the resource ${name}`, async () => {
    process.env['OTEL_RESOURCE_ATTRIBUTES'] = 'a=b,e=f'
    const seen = await onBoth(
      { provider: 'opentelemetry', direction: 'INBOUND', config },
      { name: 'a' },
      ({ collector }) => {
        const { resource, scope } = collector.spans[0]!
        // The names of the two programs.
        const own = Object.entries(resource).map(([key, value]) => [key, key.startsWith('telemetry.sdk.') ? '' : value])
        return { resource: Object.fromEntries(own.sort()), hasScope: scope !== '' }
      },
    )
    delete process.env['OTEL_RESOURCE_ATTRIBUTES']
    assert.deepEqual(seen[1], seen[0])
  })
}

test('the sampler always_on does not ask whether the caller samples', async () => {
  const config = { sampler: detector('s', 'samplers.v3.AlwaysOnSamplerConfig') }
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'
  const sent = await onBoth(
    { provider: 'opentelemetry', direction: 'INBOUND', config },
    { name: 'a', headers: { traceparent } },
    ({ upstream }) => upstream.requests[0]!.header('traceparent')!.replace(/-[0-9a-f]{16}-/, '-<span>-'),
  )
  assert.equal(sent[0], '00-0af7651916cd43dd8448eb211c80319c-<span>-01')
  assert.equal(sent[1], sent[0])
})

test('no_context_propagation keeps the context from the upstream', async () => {
  const contexts = /^x-b3-|^b3$|^traceparent$/i
  const sent = await onBoth(
    { provider: 'zipkin', direction: 'INBOUND', tracing: { no_context_propagation: true } },
    { name: 'a' },
    ({ upstream }) => upstream.requests[0]!.headers.filter(([name]) => contexts.test(name)),
  )
  assert.deepEqual(sent, [[], []])
})

for (const long of [false, true]) {
  test(`timestamp_trace_ids puts the time into ids of ${long ? 128 : 64} bits`, async () => {
    const before = Math.floor(Date.now() / 1000)
    const config = { timestamp_trace_ids: true, trace_id_128bit: long }
    const ids = await onBoth(
      { provider: 'zipkin', direction: 'INBOUND', config },
      { name: 'a' },
      ({ collector }) => collector.spans[0]!,
    )
    const after = Math.floor(Date.now() / 1000)
    for (const { traceId, id } of ids) {
      const seconds = Number.parseInt(traceId.slice(0, 8), 16)
      assert.ok(seconds >= before && seconds <= after, `${traceId} at ${before}`)
      assert.equal(traceId.length, long ? 32 : 16)
      assert.equal(traceId.endsWith(id), long, `${traceId} ${id}`)
    }
  })
}
