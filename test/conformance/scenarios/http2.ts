/**
 * The same exchanges over every pair of protocols that has HTTP/2 at one end or both: what the upstream sees, what the
 * caller gets, which counters move and what the access log says.
 */
import { CertificateAuthority, type IssuedCertificate } from '../../../demo-services/certificate-authority.ts'
import type { Suite } from '../../kit/side-by-side.ts'
import { type Json, typed } from './bootstrap.ts'
import { type ExchangeScenario, exchangeSuite, GRPC, httpOptions } from './exchange.ts'
import { overlongHttp1, overlongHttp2 } from './overlong.ts'

type Options = { readonly [key: string]: Json }

const big = 'x'.repeat(200_000)
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-a: 1\r\n\r\npong'
const UPGRADE =
  'GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n'
const H2C =
  'GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n'
const websocket = { upgrade_configs: [{ upgrade_type: 'websocket' }] }

const common: readonly ExchangeScenario[] = [
  {
    name: 'methods and bodies',
    steps: [
      { method: 'GET' },
      { method: 'HEAD' },
      { method: 'POST', body: 'abc' },
      { method: 'PUT', chunks: ['a', 'bc'] },
      { method: 'DELETE' },
      { method: 'OPTIONS' },
    ],
  },
  {
    name: 'responses without a body',
    upstreams: { app: [{ status: 204 }, { status: 304, headers: { etag: '"a"' } }, { status: 200, body: '' }] },
    steps: [{}, {}, {}],
  },
  {
    name: 'bodies in parts both ways',
    upstreams: { app: [{ chunks: ['a', 'b'.repeat(5000), 'c'], chunkDelayMs: 5 }] },
    steps: [{ method: 'POST', chunks: ['1', '2'.repeat(5000), '3'] }],
  },
  {
    name: 'large bodies both ways',
    upstreams: { app: [{ body: big }] },
    steps: [{ method: 'POST', body: big }],
  },
  {
    name: 'trailers both ways',
    upstreams: { app: [{ chunks: ['a'], trailers: [['x-sum', '1']] }] },
    steps: [{ method: 'POST', chunks: ['a'], trailers: [['x-in', '1']], headers: { te: 'trailers' } }],
  },
  {
    name: 'headers of one connection',
    upstreams: {
      app: [
        {
          headers: [
            ['set-cookie', 'a=1'],
            ['set-cookie', 'b=2'],
            ['x-two', '1'],
            ['x-two', '2'],
            ['vary', 'te'],
          ],
        },
      ],
    },
    steps: [
      {
        headers: [
          ['te', 'trailers'],
          ['cookie', 'a=1; b=2'],
          ['cookie', 'c=3'],
          ['x-two', '1'],
          ['x-two', '2'],
          ['accept', ''],
        ],
      },
    ],
  },
  {
    name: '100-continue is answered here',
    steps: [{ method: 'POST', body: 'abc', headers: { expect: '100-continue' } }],
  },
  {
    name: '100-continue is passed on',
    manager: { proxy_100_continue: true },
    upstreams: { app: [{ informational: [{ status: 100 }], body: 'ok' }] },
    steps: [{ method: 'POST', body: 'abc', headers: { expect: '100-continue' } }],
  },
  {
    name: 'other 1xx are dropped',
    upstreams: { app: [{ informational: [{ status: 103, headers: { link: '</a>' } }], body: 'ok' }] },
    steps: [{}],
  },
  {
    name: 'no route, no host',
    routes: [
      { match: { prefix: '/direct' }, direct_response: { status: 418, body: { inline_string: 'tea' } } },
      { match: { prefix: '/dead' }, route: { cluster: '{c}-dead' } },
    ],
    clusters: [
      {
        name: '{c}-dead',
        load_assignment: {
          cluster_name: '{c}-dead',
          endpoints: [
            {
              lb_endpoints: [
                { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: '{{dead:a}}' } } } },
              ],
            },
          ],
        },
      },
    ],
    steps: [
      { path: '/x' },
      { path: '/direct' },
      { path: '/direct', method: 'HEAD' },
      { path: '/dead' },
      { path: '/dead', method: 'POST', headers: GRPC },
    ],
  },
  {
    name: 'the route’s time is over',
    route: { timeout: '0.1s' },
    upstreams: { app: [{ end: 'hang' }] },
    steps: [{}, { method: 'POST', body: 'abc', headers: GRPC }],
  },
  {
    name: 'time is over in the middle of the body',
    route: { timeout: '1s' },
    upstreams: { app: [{ chunks: ['a', 'b', 'c'], chunkDelayMs: 700 }] },
    steps: [{}],
  },
  {
    name: 'the upstream ends the connection before it answers',
    upstreams: { app: [{ end: 'close' }] },
    steps: [{ method: 'POST', body: 'abc' }],
  },
  {
    name: 'the upstream ends the connection in the body',
    upstreams: { app: [{ chunks: ['a', 'b'], end: 'close-mid-body' }] },
    steps: [{}],
  },
  {
    name: 'the upstream cuts its body',
    upstreams: { app: [{ chunks: ['a', 'b'], end: 'reset-mid-body' }] },
    steps: [{}],
  },
  {
    name: 'an early answer',
    upstreams: { app: [{ status: 403, body: 'no', early: 1 }] },
    steps: [{ method: 'POST', chunks: ['a'], unfinished: true, expect: { status: 403, body: 'no' } }],
  },
  {
    name: 'the caller leaves',
    upstreams: { app: [{ body: 'ok' }, { end: 'hang' }] },
    // The first request opens the connection to the upstream, which may take longer than the caller stays.
    steps: [{}, { leaveAfterMs: 80 }],
  },
  {
    name: 'retries',
    route: { retry_policy: { retry_on: '5xx', num_retries: 2 } },
    upstreams: { app: [{ status: 503 }, { status: 500 }, { body: 'ok' }] },
    steps: [{ method: 'POST', body: 'abc' }],
  },
  {
    name: 'gRPC',
    upstreams: {
      app: [
        {
          headers: GRPC,
          chunks: ['\0\0\0\0\x01a'],
          trailers: [
            ['grpc-status', '5'],
            ['grpc-message', 'gone'],
          ],
        },
      ],
    },
    steps: [{ method: 'POST', body: '\0\0\0\0\x01a', headers: { ...GRPC, te: 'trailers' } }],
  },
]

/** What only an HTTP/2 upstream can do. */
const http2Upstream: readonly ExchangeScenario[] = [
  {
    name: 'a stream is reset before the answer',
    upstreams: { app: [{ http2Reset: 2 }, { http2Reset: 8 }, { http2Reset: 0 }, { http2Reset: 1 }] },
    steps: [{}, {}, {}, {}],
  },
  {
    name: 'a stream is refused',
    upstreams: { app: [{ http2Reset: 7 }] },
    steps: [{}],
  },
  {
    name: 'a refused stream is tried again',
    route: { retry_policy: { retry_on: 'refused-stream' } },
    upstreams: { app: [{ http2Reset: 7 }, { body: 'ok' }] },
    steps: [{ method: 'POST', body: 'abc' }],
  },
  {
    name: 'a reset is tried again',
    route: { retry_policy: { retry_on: 'reset' } },
    upstreams: { app: [{ http2Reset: 2 }, { body: 'ok' }] },
    steps: [{ method: 'POST', body: 'abc' }],
  },
  {
    name: 'several requests at once share a connection',
    upstreams: { app: [{ delayMs: 50, body: 'ok' }] },
    steps: [{}, { background: true, waitMs: 5 }, { background: true }, { background: true }],
  },
  {
    name: 'max_requests',
    cluster: { circuit_breakers: { thresholds: [{ max_requests: 1 }] } },
    upstreams: { app: [{ body: 'first' }, { delayMs: 1200, body: 'ok' }] },
    steps: [{}, { background: true }, { waitMs: 400 }],
    withoutStats: 'a counter that Envoy has twice',
  },
  {
    name: 'max_requests_per_connection',
    cluster: {
      typed_extension_protocol_options: httpOptions({
        explicit_http_config: { http2_protocol_options: {} },
        common_http_protocol_options: { max_requests_per_connection: 2 },
      }),
    },
    steps: [{}, {}, {}],
  },
]

/** Upgrades of HTTP/1.1 callers. */
const http1Downstream: readonly ExchangeScenario[] = [
  {
    name: 'an upgrade to h2c is not taken',
    steps: [{ raw: H2C }],
  },
  {
    name: 'an upgrade',
    steps: [{ raw: UPGRADE, tunnel: 'ping', rawBytes: 4 }],
    withoutStats: 'how the tunnel ends is a race',
  },
]

/** What only an HTTP/2 caller can do. */
const http2Downstream: readonly ExchangeScenario[] = [
  {
    name: 'extended CONNECT',
    manager: { http2_protocol_options: { allow_connect: true } },
    upstreams: { app: [{ raw: SWITCHED, end: 'close-after' }] },
    steps: [{ protocol: 'websocket', path: '/ws', tunnel: 'ping', rawBytes: 4 }],
    withoutStats: 'how the tunnel ends is a race',
  },
  {
    name: 'extended CONNECT that nobody allows',
    manager: { http2_protocol_options: { allow_connect: true }, upgrade_configs: [] },
    steps: [{ protocol: 'websocket', path: '/ws' }],
  },
  {
    name: 'a refused upgrade',
    manager: { http2_protocol_options: { allow_connect: true } },
    upstreams: { app: [{ status: 403, body: 'no' }] },
    steps: [{ protocol: 'websocket', path: '/ws' }],
    withoutStats: 'how the tunnel ends is a race',
  },
  {
    name: 'the caller resets its stream',
    upstreams: { app: [{ body: 'ok' }, { end: 'hang' }, { body: 'ok' }] },
    steps: [{}, { sameConnection: true, resetStreamAfterMs: 80 }, { sameConnection: true }],
  },
  {
    name: 'a connection that has carried all it may',
    manager: { common_http_protocol_options: { max_requests_per_connection: 2 }, drain_timeout: '0.1s' },
    steps: [{}, { sameConnection: true }, { waitMs: 300 }],
  },
  {
    name: 'an idle connection is ended',
    manager: { common_http_protocol_options: { idle_timeout: '0.2s' }, drain_timeout: '0.1s' },
    steps: [{ connectionAfterMs: 1500 }],
  },
  {
    name: 'a request that is too large',
    filters: [
      {
        name: 'envoy.filters.http.buffer',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer',
          max_request_bytes: 10,
        },
      },
    ],
    steps: [
      { method: 'POST', body: 'short' },
      { method: 'POST', chunks: ['longer than ten'], unfinished: true, expect: { status: 413 } },
    ],
  },
  {
    name: 'a connection that is old enough',
    manager: { common_http_protocol_options: { max_connection_duration: '0.3s' }, drain_timeout: '0.1s' },
    steps: [{ connectionAfterMs: 1500 }],
  },
  {
    name: 'a stream that idles',
    manager: { stream_idle_timeout: '0.3s' },
    route: { timeout: '0s' },
    upstreams: { app: [{ end: 'hang' }] },
    steps: [{}],
  },
  {
    name: 'draining',
    adminBefore: ['/healthcheck/fail'],
    adminAfter: ['/healthcheck/ok'],
    manager: { drain_timeout: '0.1s' },
    steps: [{ connectionAfterMs: 1500 }],
  },
]

const trailers: Options = { enable_trailers: true }

function pair(
  name: string,
  downstream: 1 | 2,
  upstream: 1 | 2,
  change: (scenario: ExchangeScenario) => ExchangeScenario | undefined = scenario => scenario,
): Suite {
  const options: Json =
    upstream === 2
      ? httpOptions({ explicit_http_config: { http2_protocol_options: { allow_connect: true } } })
      : httpOptions({ explicit_http_config: { http_protocol_options: trailers } })
  const scenarios = [
    ...common,
    ...(upstream === 2 ? [...http2Upstream, ...overlongHttp2] : overlongHttp1),
    ...(downstream === 2 ? http2Downstream : http1Downstream),
  ].map(
    (scenario): ExchangeScenario => ({
      ...scenario,
      http2: downstream === 2,
      manager: { http_protocol_options: trailers, ...websocket, ...scenario.manager },
      cluster: { typed_extension_protocol_options: options, ...scenario.cluster },
    }),
  )
  return exchangeSuite(
    name,
    scenarios.map(change).filter(scenario => scenario !== undefined),
  )
}

/** Scenarios for which the transport may matter; the others are the codec's business alone. */
const OVER_TLS = [
  'methods and bodies',
  'large bodies both ways',
  'trailers both ways',
  'no route, no host',
  'the upstream ends the connection before it answers',
  'the upstream cuts its body',
  'the caller leaves',
  'gRPC',
  'several requests at once share a connection',
  'extended CONNECT',
  'the caller resets its stream',
]

const authority = new CertificateAuthority('test authority')
const serverCertificate = authority.issue({ subject: { CN: 'server.test' }, dns: ['server.test'], ips: ['127.0.0.1'] })
const clientCertificate = authority.issue({ subject: { CN: 'client.test' }, uris: ['spiffe://test/client'] })

const inline = ({ chain, key }: IssuedCertificate): Json => ({
  certificate_chain: { inline_string: chain },
  private_key: { inline_string: key },
})
const trusted: Json = { trusted_ca: { inline_string: authority.certificate } }
const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3'

function downstreamTls(mutual: boolean): Json {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: typed(`${TLS}.DownstreamTlsContext`, {
      common_tls_context: {
        alpn_protocols: ['h2', 'http/1.1'],
        tls_certificates: [inline(serverCertificate)],
        ...(mutual && { validation_context: trusted }),
      },
      require_client_certificate: mutual,
    }),
  }
}

/** ALPN is the business of `auto_config`; where the protocol is fixed, it has to be said. */
function upstreamTls(mutual: boolean, alpn: readonly string[]): Json {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: typed(`${TLS}.UpstreamTlsContext`, {
      sni: 'server.test',
      common_tls_context: {
        ...(alpn.length > 0 && { alpn_protocols: alpn }),
        validation_context: trusted,
        ...(mutual && { tls_certificates: [inline(clientCertificate)] }),
      },
    }),
  }
}

interface TlsPair {
  readonly downstream: 1 | 2
  /** What the upstream agrees on. */
  readonly upstream: 1 | 2
  /** `HttpProtocolOptions` of the cluster. */
  readonly protocol: Options
  /** What the cluster's TLS context offers by itself. */
  readonly alpn?: readonly string[]
  /** Both sides show certificates, on both connections. */
  readonly mutual?: boolean
}

function overTls(name: string, { downstream, upstream, protocol, alpn = [], mutual = false }: TlsPair): Suite {
  const certificates = mutual ? { key: clientCertificate.key, cert: clientCertificate.chain } : {}
  const options = httpOptions({ explicit_http_config: undefined, ...protocol })
  const suite = pair(name, downstream, upstream, scenario =>
    OVER_TLS.includes(scenario.name)
      ? {
          ...scenario,
          ...(scenario.name === 'large bodies both ways' && {
            withoutStats: 'whether a body has to wait depends on the pieces in which TLS gives it',
          }),
          tls: certificates,
          transportSocket: downstreamTls(mutual),
          cluster: {
            ...scenario.cluster,
            typed_extension_protocol_options: options,
            transport_socket: upstreamTls(mutual, alpn),
          },
        }
      : undefined,
  )
  const { key, chain } = serverCertificate
  return {
    ...suite,
    upstreamTls: {
      app: {
        key,
        cert: chain,
        ALPNProtocols: [upstream === 2 ? 'h2' : 'http/1.1'],
        ...(mutual && { ca: authority.certificate, requestCert: true, rejectUnauthorized: true }),
      },
    },
  }
}

const auto: Options = {
  auto_config: { http_protocol_options: trailers, http2_protocol_options: { allow_connect: true } },
}

/** The upstream is spoken to as the caller speaks: the same scenarios from either kind of caller. */
function asDownstream(): Suite {
  const options = httpOptions({
    explicit_http_config: undefined,
    use_downstream_protocol_config: {
      http_protocol_options: trailers,
      http2_protocol_options: { allow_connect: true },
    },
  })
  const chosen = common.filter(({ name }) => OVER_TLS.includes(name))
  return exchangeSuite(
    'as-downstream',
    [false, true].flatMap(http2 =>
      chosen.map(
        (scenario): ExchangeScenario => ({
          ...scenario,
          name: `${http2 ? 'HTTP/2' : 'HTTP/1.1'}: ${scenario.name}`,
          http2,
          manager: { http_protocol_options: trailers, ...scenario.manager },
          cluster: { ...scenario.cluster, typed_extension_protocol_options: options },
        }),
      ),
    ),
  )
}

export const http2Suites: readonly Suite[] = [
  pair('h1-to-h2', 1, 2),
  pair('h2-to-h1', 2, 1),
  pair('h2-to-h2', 2, 2),
  overTls('mutual-tls-h2-to-h2', {
    downstream: 2,
    upstream: 2,
    protocol: { explicit_http_config: { http2_protocol_options: { allow_connect: true } } },
    alpn: ['h2'],
    mutual: true,
  }),
  overTls('tls-h1-to-auto-h2', { downstream: 1, upstream: 2, protocol: auto }),
  overTls('tls-h2-to-auto-h1', { downstream: 2, upstream: 1, protocol: auto }),
  asDownstream(),
]
