/** The configuration of one sidecar of the chain: an ordinary Envoy bootstrap, with a route for each thing to break. */
import { stringify } from 'yaml'
import { calleeOf, type Hop } from './faults.ts'

export interface ServicePorts {
  readonly app: number
  readonly ingress: number
  readonly egress: number
  readonly admin: number
}

export interface MeshPorts {
  readonly of: Readonly<Record<Hop, ServicePorts>>
  /** Nobody listens. */
  readonly closed: number
  /** Lets nobody connect. */
  readonly blackHole: number
  /** Accepts and says nothing. */
  readonly silent: number
  readonly dns: number
  /** Speaks TLS, as somebody that nobody has called. */
  readonly impostor: number
  /** Takes spans. */
  readonly collector: number
  /** A service outside of the mesh that forges what it can. */
  readonly outside: number
  readonly control: number
}

/** Route timeouts a request may ask for (`x-budget`), and the one it has else. */
export const BUDGETS_MS = [50, 400, 1000, 3000, 15_000] as const
const DEFAULT_MS = 10_000
/** How long the timers of faults take. */
const SHORT = '0.15s'
const MAX_BODY = 65_536
/** What the impostor's certificate says. */
export const IMPOSTOR = 'impostor.test'
/** Calls that are given up by the hundred would be taken for a rapid reset attack, and cost whoever made them a connection. */
const MANY = 1_000_000_000

const type = (name: string) => `type.googleapis.com/envoy.${name}`
const seconds = (ms: number) => `${ms / 1000}s`

export interface Spoken {
  /** Sidecars speak HTTP/2 with each other. */
  readonly http2?: boolean | undefined
  /** Applications speak gRPC, but for the first of the chain, which is asked over HTTP. Wants `http2`. */
  readonly grpc?: boolean | undefined
  /** The filter of `door.ts` stands before the application, which only Hopwise has. */
  readonly door?: boolean | undefined
}

/** Certificates of authorities, in PEM: the one that the impostor's certificate is of, and one that it is not of. */
export interface Authorities {
  readonly impostors: string
  readonly other: string
}

export function sidecarConfig(
  name: Hop,
  ports: MeshPorts,
  authorities: Authorities,
  { http2 = false, grpc = false, door = false }: Spoken = {},
): string {
  const own = ports.of[name]
  const next = calleeOf(name)
  return stringify({
    node: { id: name, cluster: name },
    admin: { address: address(own.admin) },
    layered_runtime: {
      layers: [{ name: 'static', static_layer: { 'overload.premature_reset_total_stream_count': MANY } }],
    },
    static_resources: {
      listeners: [ingress(name, own.ingress, door), egress(name, own.egress, next)],
      clusters: [
        cluster('app', own.app, {}, grpc && name !== 'a' ? ONE_STREAM : {}),
        cluster('app_down', ports.closed),
        cluster('zipkin', ports.collector, { external: true }),
        cluster('dead', ports.closed),
        cluster('poll', ports.silent, { external: true }),
        cluster('outside', ports.outside, { external: true }),
        ...(next === undefined
          ? []
          : clustersOf(next, ports, authorities).map(one => (http2 ? { ...one, ...HTTP2 } : one))),
      ],
    },
  })
}

const speaksHttp2 = (options: object) => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: { http2_protocol_options: options },
    },
  },
})
const HTTP2 = speaksHttp2({})
/** An application that ends a connection does so to one request, as with HTTP/1.1. */
const ONE_STREAM = speaksHttp2({ max_concurrent_streams: 1 })

function ingress(name: Hop, port: number, door: boolean): object {
  const limited = {
    'envoy.filters.http.local_ratelimit': {
      '@type': type('extensions.filters.http.local_ratelimit.v3.LocalRateLimit'),
      stat_prefix: 'limited',
      token_bucket: { max_tokens: 1, tokens_per_fill: 1, fill_interval: '3600s' },
      filter_enabled: { default_value: { numerator: 100 } },
      filter_enforced: { default_value: { numerator: 100 } },
    },
  }
  const routes = [
    { match: broken(name, 'rate_limited'), route: { cluster: 'app' }, typed_per_filter_config: limited },
    { match: broken(name, 'app_down'), route: { cluster: 'app_down', timeout: seconds(DEFAULT_MS) } },
    ...routesTo('app'),
  ]
  const filters = [
    ...(door ? [{ name: 'truth.door', typed_config: { '@type': 'type.googleapis.com/truth.Door', hop: name } }] : []),
    {
      name: 'envoy.filters.http.fault',
      typed_config: {
        '@type': type('extensions.filters.http.fault.v3.HTTPFault'),
        abort: { http_status: 503, percentage: { numerator: 100 } },
        headers: [{ name: 'x-fault', string_match: { contains: `;${name}:fault_injected;` } }],
      },
    },
    {
      name: 'envoy.filters.http.local_ratelimit',
      typed_config: {
        '@type': type('extensions.filters.http.local_ratelimit.v3.LocalRateLimit'),
        stat_prefix: 'unlimited',
      },
    },
    {
      name: 'envoy.filters.http.buffer',
      typed_config: { '@type': type('extensions.filters.http.buffer.v3.Buffer'), max_request_bytes: MAX_BODY },
    },
  ]
  return {
    name: 'ingress',
    traffic_direction: 'INBOUND',
    address: address(port),
    ...(name === 'a' && { metadata: { filter_metadata: { hopwise: { edge: true } } } }),
    ...connectionManager('ingress', [{ name: 'app', domains: ['*'], routes }], filters),
  }
}

function egress(name: Hop, port: number, next: Hop | undefined): object {
  const hosts: object[] = [
    { name: 'dead', domains: ['dead'], routes: routesTo('dead') },
    {
      name: 'poll',
      domains: ['poll'],
      routes: [{ match: { prefix: '/' }, route: { cluster: 'poll', timeout: '0s' } }],
    },
    { name: 'outside', domains: ['outside'], routes: routesTo('outside') },
  ]
  if (next !== undefined) {
    const to = (kind: string, route: object) => ({ match: broken(next, kind), route })
    const patient = { timeout: seconds(DEFAULT_MS) }
    const backOff = { base_interval: '0.002s', max_interval: '0.004s' }
    const routes = [
      to('connect_refused', { cluster: `${next}_refused`, ...patient }),
      to('connect_timeout', { cluster: `${next}_hole`, ...patient }),
      to('unreachable', { cluster: `${next}_beyond`, ...patient }),
      to('no_healthy', { cluster: `${next}_sick`, ...patient }),
      to('dns', { cluster: `${next}_nameless`, ...patient }),
      to('tls_name', { cluster: `${next}_misnamed`, ...patient }),
      to('tls_authority', { cluster: `${next}_stranger`, ...patient }),
      to('timeout', { cluster: `${next}_silent`, timeout: SHORT }),
      to('per_try_timeout', {
        cluster: `${next}_silent`,
        ...patient,
        retry_policy: {
          retry_on: 'gateway-error,reset',
          num_retries: 1,
          per_try_timeout: '0.1s',
          retry_back_off: backOff,
        },
      }),
      to('stream_idle', { cluster: `${next}_silent`, timeout: '0s', idle_timeout: SHORT }),
      to('max_duration', {
        cluster: `${next}_silent`,
        timeout: '0s',
        max_stream_duration: { max_stream_duration: SHORT },
      }),
      to('retry_exhausted', {
        cluster: next,
        ...patient,
        retry_policy: { retry_on: '5xx,unavailable', num_retries: 1, retry_back_off: backOff },
      }),
      { match: broken(name, 'circuit_open'), route: { cluster: `${next}_full`, ...patient } },
      { match: broken(name, 'no_cluster'), route: { cluster: 'nowhere', ...patient } },
      ...routesTo(next),
    ]
    hosts.push({ name: next, domains: [next], routes })
  }
  return {
    name: 'egress',
    traffic_direction: 'OUTBOUND',
    address: address(port),
    ...connectionManager('egress', hosts, []),
  }
}

function broken(hop: Hop, kind: string): object {
  return { prefix: '/', headers: [{ name: 'x-fault', string_match: { contains: `;${hop}:${kind};` } }] }
}

function routesTo(name: string): object[] {
  return [
    ...BUDGETS_MS.map(ms => ({
      match: { prefix: '/', headers: [{ name: 'x-budget', string_match: { exact: String(ms) } }] },
      route: { cluster: name, timeout: seconds(ms) },
    })),
    { match: { prefix: '/' }, route: { cluster: name, timeout: seconds(DEFAULT_MS) } },
  ]
}

function connectionManager(prefix: string, hosts: readonly object[], filters: readonly object[]): object {
  return {
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
              stat_prefix: prefix,
              codec_type: 'AUTO',
              http2_protocol_options: { stream_reset_burst: MANY, stream_reset_rate: MANY },
              tracing: {
                // Ids are handed on all the same, and spans of failures leave.
                random_sampling: { value: 0 },
                provider: {
                  name: 'envoy.tracers.zipkin',
                  typed_config: {
                    '@type': type('config.trace.v3.ZipkinConfig'),
                    collector_cluster: 'zipkin',
                    collector_endpoint: '/api/v2/spans',
                    collector_endpoint_version: 'HTTP_JSON',
                    trace_id_128bit: true,
                    shared_span_context: false,
                  },
                },
              },
              route_config: { name: prefix, validate_clusters: false, virtual_hosts: hosts },
              http_filters: [
                ...filters,
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': type('extensions.filters.http.router.v3.Router') },
                },
              ],
            },
          },
        ],
      },
    ],
  }
}

function clustersOf(service: Hop, ports: MeshPorts, authorities: Authorities): object[] {
  return [
    cluster(service, ports.of[service].ingress),
    cluster(`${service}_refused`, ports.closed, { service }),
    cluster(`${service}_hole`, ports.blackHole, { service }, { connect_timeout: '0.1s' }),
    // No kernel opens a connection to everybody.
    cluster(`${service}_beyond`, 9, { service }, {}, '255.255.255.255'),
    cluster(`${service}_silent`, ports.silent, { service }),
    cluster(`${service}_misnamed`, ports.impostor, { service }, secured(authorities.impostors, `${service}.test`)),
    cluster(`${service}_stranger`, ports.impostor, { service }, secured(authorities.other, IMPOSTOR)),
    cluster(
      `${service}_full`,
      ports.of[service].ingress,
      { service },
      { circuit_breakers: { thresholds: [{ max_requests: 0 }] } },
    ),
    {
      ...cluster(`${service}_sick`, ports.closed, { service }),
      common_lb_config: { healthy_panic_threshold: { value: 0 } },
      load_assignment: {
        cluster_name: `${service}_sick`,
        endpoints: [{ lb_endpoints: [{ health_status: 'UNHEALTHY', endpoint: { address: address(ports.closed) } }] }],
      },
    },
    {
      ...cluster(`${service}_nameless`, 80, { service }, { type: 'STRICT_DNS' }, `${service}.invalid`),
      dns_lookup_family: 'V4_ONLY',
      typed_dns_resolver_config: {
        name: 'envoy.network.dns_resolver.cares',
        typed_config: {
          '@type': type('extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig'),
          resolvers: [address(ports.dns)],
        },
      },
    },
  ]
}

/** Accepts one name alone, of one authority. */
function secured(authority: string, name: string): object {
  return {
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': type('extensions.transport_sockets.tls.v3.UpstreamTlsContext'),
        common_tls_context: {
          validation_context: {
            trusted_ca: { inline_string: authority },
            match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: name } }],
          },
        },
      },
    },
  }
}

function cluster(name: string, port: number, hopwise: object = {}, more: object = {}, host = '127.0.0.1'): object {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '2s',
    metadata: { filter_metadata: { hopwise } },
    // Of Envoy's 1024 each: a run must not meet them.
    circuit_breakers: { thresholds: [{ max_connections: 4096, max_pending_requests: 4096, max_requests: 4096 }] },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port, host) } }] }],
    },
    ...more,
  }
}

function address(port: number, host = '127.0.0.1'): object {
  return { socket_address: { address: host, port_value: port } }
}
