/**
 * Trace contexts against the real Envoy: what a request carries on to the upstream, for every kind of context it comes
 * with. Ids that are drawn are told apart by where else they stand, not by their digits.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../sidecar/base/clock.ts'
import { systemRandom } from '../../sidecar/base/random.ts'
import { RequestHeaders } from '../../sidecar/codec/header-map.ts'
import { StreamInfo } from '../../sidecar/observability/stream-info.ts'
import {
  OPENTELEMETRY_TRACING,
  Tracer,
  type TracingConfig,
  ZIPKIN_TRACING,
} from '../../sidecar/observability/tracing/tracer.ts'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePort } from '../kit/free-port.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { partOrSkip } from '../kit/parts.ts'

const TYPES = 'type.googleapis.com/envoy'
const ID = '11111111-2222-4333-8444-555555555555'
const IDS = { 'x-b3-traceid': '463ac35c9f6413ad', 'x-b3-spanid': 'a2fb4a1d1a96d312' }
const LONG = '463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312'
const W3C = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331'

const REQUESTS: readonly Readonly<Record<string, string>>[] = [
  {},
  { ...IDS, 'x-b3-sampled': '1' },
  { ...IDS, 'x-b3-sampled': '0' },
  { ...IDS, 'x-b3-parentspanid': '1112223334445556', 'x-b3-sampled': 'true' },
  IDS,
  { ...IDS, 'x-b3-traceid': '12' },
  { ...IDS, 'x-b3-traceid': 'ABCDEF3a9f6413ad' },
  { 'x-b3-sampled': '0' },
  { b3: `${LONG}-1-b2fb4a1d1a96d312` },
  { b3: LONG },
  { b3: '0' },
  { traceparent: `${W3C}-01`, tracestate: 'a=b' },
  { traceparent: `${W3C}-00` },
  { 'x-request-id': 'abc' },
  { 'x-request-id': '11111111-2222-9333-8444-555555555555' },
  { 'x-client-trace-id': 'c' },
]

interface Setting {
  readonly name: string
  readonly provider: 'zipkin' | 'opentelemetry'
  readonly ours: Partial<TracingConfig>
  readonly envoy?: Readonly<Record<string, unknown>>
  readonly randomSampling?: number
}

const SETTINGS: readonly Setting[] = [
  { name: 'Zipkin, inbound', provider: 'zipkin', ours: {} },
  { name: 'Zipkin, outbound', provider: 'zipkin', ours: { operation: 'egress' } },
  { name: 'Zipkin, spans per attempt', provider: 'zipkin', ours: { spawnUpstreamSpan: true } },
  { name: 'Zipkin, unsampled', provider: 'zipkin', ours: {}, randomSampling: 0.0001 },
  {
    name: 'Zipkin, not shared',
    provider: 'zipkin',
    ours: { sharedSpanContext: false },
    envoy: { shared_span_context: false },
  },
  { name: 'Zipkin, 128 bits', provider: 'zipkin', ours: { traceId128Bit: true }, envoy: { trace_id_128bit: true } },
  {
    name: 'Zipkin, split spans',
    provider: 'zipkin',
    ours: { operation: 'egress', splitSpansForRequest: true },
    envoy: { split_spans_for_request: true },
  },
  {
    name: 'Zipkin with W3C',
    provider: 'zipkin',
    ours: { extract: ['b3', 'w3c'], inject: ['b3', 'w3c'] },
    envoy: { trace_context_option: 'USE_B3_WITH_W3C_PROPAGATION' },
  },
  { name: 'OpenTelemetry', provider: 'opentelemetry', ours: {} },
  {
    name: 'OpenTelemetry, spans per attempt',
    provider: 'opentelemetry',
    ours: { spawnUpstreamSpan: true, operation: 'egress' },
  },
]

function envoyConfig(setting: Setting, port: number, upstreamPort: number): string {
  const { ours, provider, envoy } = setting
  const typed =
    provider === 'zipkin'
      ? {
          '@type': `${TYPES}.config.trace.v3.ZipkinConfig`,
          collector_cluster: 'collector',
          collector_endpoint: '/api/v2/spans',
          collector_endpoint_version: 'HTTP_JSON',
          ...envoy,
        }
      : {
          '@type': `${TYPES}.config.trace.v3.OpenTelemetryConfig`,
          http_service: { http_uri: { uri: 'http://c/v1/traces', cluster: 'collector', timeout: '1s' } },
        }
  const manager = {
    '@type': `${TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'x',
    tracing: {
      provider: { name: `envoy.tracers.${provider}`, typed_config: typed },
      random_sampling: { value: setting.randomSampling ?? 100 },
      ...(ours.spawnUpstreamSpan ? { spawn_upstream_span: true } : {}),
    },
    route_config: {
      virtual_hosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'up' } }] }],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': `${TYPES}.extensions.filters.http.router.v3.Router` } }],
  }
  const address = (value: number) => ({ socket_address: { address: '127.0.0.1', port_value: value } })
  const listener = {
    name: 'l',
    traffic_direction: ours.operation === 'egress' ? 'OUTBOUND' : 'INBOUND',
    address: address(port),
    filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
  }
  const clusters = ['up', 'collector'].map(name => ({
    name,
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(name === 'up' ? upstreamPort : 9) } }] }],
    },
  }))
  return `static_resources: ${JSON.stringify({ listeners: [listener], clusters })}\n`
}

function oursSends(setting: Setting, request: Readonly<Record<string, string>>): [string, string][] {
  const base = setting.provider === 'zipkin' ? ZIPKIN_TRACING : OPENTELEMETRY_TRACING
  const rates = { ...base.sampling.rates, randomSampling: setting.randomSampling ?? 100 }
  const config = { ...base, ...setting.ours, sampling: { ...base.sampling, rates } }
  const tracer = new Tracer(config, { clock: systemClock, random: systemRandom, reporter: undefined })
  const headers = new RequestHeaders('GET', '/', 'h', 'http', Object.entries({ 'x-request-id': ID, ...request }).flat())
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
  tracer.startAttempt(tracer.start(headers, info), headers, { clusterName: 'up', hostText: '127.0.0.1:1', attempt: 1 })
  return Array.from({ length: headers.size }, (_, i) => [headers.list[2 * i]!, headers.list[2 * i + 1]!])
}

/** Trace headers by name; ids that the request did not bring become `<new 1>`, `<new 2>` in the order of their names. */
function comparable(sent: readonly (readonly [string, string])[], request: Readonly<Record<string, string>>) {
  const known = Object.values(request).join(' ').toLowerCase()
  const drawn = new Map<string, string>()
  const entries = sent
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    // Envoy sends an empty tracestate along; we send none.
    .filter(
      ([name, value]) =>
        /^(x-b3-.*|b3|traceparent|tracestate|x-request-id|x-client-trace-id)$/.test(name) && value !== '',
    )
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => {
      if (name === 'x-request-id') return [name, value]
      const shown = value.replaceAll(/[0-9a-f]{16}/g, id => {
        if (known.includes(id) || id === '0'.repeat(16)) return id
        if (!drawn.has(id)) drawn.set(id, `<new ${drawn.size + 1}>`)
        return drawn.get(id)!
      })
      return [name, shown]
    })
  return Object.fromEntries(entries)
}

for (const setting of SETTINGS) {
  test(`${setting.name}: what goes on is what Envoy sends on`, { timeout: 60_000 }, async t => {
    if ((await partOrSkip(t, 'envoy')) === undefined) return
    const upstream = await FakeUpstream.start()
    t.after(() => upstream.close())
    const port = await freePort()
    const envoy = await startEnvoy(envoyConfig(setting, port, upstream.port), { logLevel: 'critical' })
    t.after(() => envoy.stop('SIGKILL'))
    for (const request of REQUESTS) {
      upstream.requests.length = 0
      await fetchRaw(port, { path: '/', headers: Object.entries({ 'x-request-id': ID, ...request }) })
      const theirs = comparable(upstream.requests[0]!.headers, request)
      assert.deepEqual(comparable(oursSends(setting, request), request), theirs, JSON.stringify(request))
    }
  })
}
