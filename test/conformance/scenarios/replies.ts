/** The failure table: what a caller gets when there is no answer to pass on (features.md §2.2). */
import { type Json, typed } from './bootstrap.ts'
import { type ExchangeScenario, exchangeSuite, GRPC } from './exchange.ts'

/** One request as HTTP, one as gRPC: the two columns of the table. */
const both = (status: number, log: string, body: string, grpcStatus: string): ExchangeScenario['steps'] => [
  { expect: { status, log, body } },
  {
    method: 'POST',
    headers: GRPC,
    body: 'x',
    expect: {
      status: 200,
      headers: {
        'grpc-status': grpcStatus,
        'grpc-message': body === '' ? null : body,
        'content-type': 'application/grpc',
      },
    },
  },
]

const BEFORE_HEADERS = 'upstream connect error or disconnect/reset before headers.'
const DEAD = {
  load_assignment: {
    cluster_name: '{c}',
    endpoints: [
      {
        lb_endpoints: [
          { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: '{{dead:a}}' } } } },
        ],
      },
    ],
  },
}
const HOLE = {
  connect_timeout: '0.25s',
  load_assignment: {
    cluster_name: '{c}',
    endpoints: [
      {
        lb_endpoints: [
          { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: '{{hole:a}}' } } } },
        ],
      },
    ],
  },
}
const FAST = { base_interval: '0.001s', max_interval: '0.002s' }
const abort: Json = {
  name: 'envoy.filters.http.fault',
  typed_config: typed('http.fault.v3.HTTPFault', {
    abort: { http_status: 555, percentage: { numerator: 100 } },
  }),
}
const buffer: Json = {
  name: 'envoy.filters.http.buffer',
  typed_config: typed('http.buffer.v3.Buffer', { max_request_bytes: 10 }),
}

export const replyScenarios: readonly ExchangeScenario[] = [
  {
    name: 'connection refused',
    cluster: DEAD,
    steps: both(503, ' UF ', `${BEFORE_HEADERS} reset reason: remote connection failure`, '14'),
  },
  {
    name: 'connection refused, after two retries',
    cluster: DEAD,
    route: { retry_policy: { retry_on: 'connect-failure', num_retries: 2, retry_back_off: FAST } },
    steps: both(
      503,
      ' URX,UF ',
      `${BEFORE_HEADERS} retried and the latest reset reason: remote connection failure`,
      '14',
    ),
  },
  {
    name: 'connect timeout',
    cluster: HOLE,
    steps: both(503, '{connection_timeout}', `${BEFORE_HEADERS} reset reason: connection timeout`, '14'),
  },
  {
    name: 'no endpoints',
    cluster: { load_assignment: { cluster_name: '{c}' } },
    steps: both(503, ' UH no_healthy_upstream', 'no healthy upstream', '14'),
  },
  {
    name: 'a name that does not resolve',
    cluster: {
      type: 'STRICT_DNS',
      load_assignment: {
        cluster_name: '{c}',
        endpoints: [
          {
            lb_endpoints: [
              { endpoint: { address: { socket_address: { address: 'no-such-host.invalid', port_value: 80 } } } },
            ],
          },
        ],
      },
    },
    steps: both(503, ' UH no_healthy_upstream', 'no healthy upstream', '14'),
    withoutStats: 'discovery goes on by the clock',
  },
  {
    name: 'route timeout',
    route: { timeout: '0.2s' },
    upstreams: { app: [{ end: 'hang' }] },
    steps: both(504, ' UT response_timeout', 'upstream request timeout', '14'),
  },
  {
    name: 'route timeout with a retry policy: no retry',
    route: { timeout: '0.2s', retry_policy: { retry_on: '5xx', num_retries: 2, retry_back_off: FAST } },
    upstreams: { app: [{ end: 'hang' }] },
    steps: [{ expect: { status: 504, log: ' UT response_timeout' } }],
  },
  {
    name: 'per-try timeout, retries used up',
    route: { retry_policy: { retry_on: '5xx', num_retries: 1, per_try_timeout: '0.15s', retry_back_off: FAST } },
    upstreams: { app: [{ end: 'hang' }] },
    steps: both(504, ' URX,UT upstream_per_try_timeout', 'upstream request timeout', '14'),
  },
  {
    name: 'per-try timeout without a retry condition',
    route: { retry_policy: { retry_on: 'retriable-4xx', per_try_timeout: '0.15s' } },
    upstreams: { app: [{ end: 'hang' }] },
    steps: both(504, ' UT upstream_per_try_timeout', 'upstream request timeout', '14'),
  },
  {
    name: 'per-try idle timeout',
    route: { retry_policy: { retry_on: '5xx', num_retries: 1, per_try_idle_timeout: '0.15s', retry_back_off: FAST } },
    upstreams: { app: [{ end: 'hang' }] },
    steps: [{ expect: { status: 504 } }],
  },
  {
    name: 'per-try idle timeout in the middle of a body',
    route: { retry_policy: { retry_on: '5xx', per_try_idle_timeout: '0.15s' } },
    upstreams: { app: [{ raw: 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc' }] },
    steps: [{}],
  },
  {
    name: 'route idle timeout',
    route: { idle_timeout: '0.2s' },
    upstreams: { app: [{ end: 'hang' }] },
    steps: both(504, ' SI stream_idle_timeout', 'stream timeout', '14'),
  },
  {
    name: 'stream idle timeout with a body that does not come',
    manager: { stream_idle_timeout: '0.2s' },
    steps: [{ raw: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc', expect: { status: 408 } }],
  },
  {
    name: 'stream idle timeout in the middle of a response',
    manager: { stream_idle_timeout: '0.2s' },
    upstreams: { app: [{ raw: 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc' }] },
    steps: [{ connectionAfterMs: 100 }],
  },
  {
    name: 'max_stream_duration of the manager',
    manager: { common_http_protocol_options: { max_stream_duration: '0.2s' } },
    upstreams: { app: [{ end: 'hang' }] },
    steps: [{ expect: { status: 504, log: ' max_duration_timeout' } }, { method: 'POST', headers: GRPC, body: 'x' }],
  },
  {
    name: 'max_stream_duration of the route',
    route: { max_stream_duration: { max_stream_duration: '0.2s' } },
    upstreams: { app: [{ end: 'hang' }] },
    steps: [{ expect: { status: 504, body: 'downstream duration timeout' } }],
  },
  {
    name: 'max_stream_duration in the middle of a response',
    route: { max_stream_duration: { max_stream_duration: '0.2s' } },
    upstreams: { app: [{ raw: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n' }] },
    steps: [{ connectionAfterMs: 100 }],
  },
  {
    name: 'grpc-timeout with grpc_timeout_header_max',
    route: { max_stream_duration: { grpc_timeout_header_max: '1s' } },
    upstreams: { app: [{ end: 'hang' }] },
    steps: [
      {
        method: 'POST',
        headers: { ...GRPC, 'grpc-timeout': '200m' },
        body: 'x',
        expect: { status: 200, headers: { 'grpc-status': '4', 'grpc-message': 'downstream duration timeout' } },
      },
    ],
  },
  {
    name: 'max_grpc_timeout',
    route: { max_grpc_timeout: '1s' },
    upstreams: { app: [{ end: 'hang' }] },
    steps: [{ method: 'POST', headers: { ...GRPC, 'grpc-timeout': '200m' }, body: 'x', expect: { status: 200 } }],
  },
  {
    name: 'the upstream closes before it answers',
    upstreams: { app: [{ end: 'close' }] },
    steps: both(503, ' UC ', `${BEFORE_HEADERS} reset reason: connection termination`, '14'),
  },
  {
    name: 'the upstream resets before it answers',
    upstreams: { app: [{ end: 'reset' }] },
    steps: both(503, '{connection_termination}', `${BEFORE_HEADERS} reset reason: connection termination`, '14'),
  },
  {
    name: 'the upstream closes in the middle of its head',
    upstreams: { app: [{ status: 200, body: 'abcdef', end: 'close-mid-head' }] },
    steps: [{}],
  },
  {
    name: 'the upstream resets in the middle of its head',
    upstreams: { app: [{ status: 200, body: 'abcdef', end: 'reset-mid-head' }] },
    steps: [{}],
  },
  {
    name: 'the upstream speaks garbage',
    upstreams: { app: [{ raw: 'this is not HTTP\r\n\r\n' }] },
    steps: both(502, ' UPE ', `${BEFORE_HEADERS} reset reason: protocol error`, '14'),
  },
  {
    name: 'the upstream sends both lengths',
    upstreams: {
      app: [{ raw: 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n' }],
    },
    steps: [{}],
  },
  {
    name: 'the upstream closes in the middle of a body of known length',
    upstreams: { app: [{ status: 200, body: 'abcdef', end: 'close-mid-body' }] },
    steps: [
      {
        connectionAfterMs: 100,
        expect: { framing: 'cut', log: '200 UPE upstream_reset_after_response_started{protocol_error}' },
      },
    ],
  },
  {
    name: 'the upstream resets in the middle of a body of known length',
    upstreams: { app: [{ status: 200, body: 'abcdef', end: 'reset-mid-body' }] },
    steps: [{ connectionAfterMs: 100 }],
  },
  {
    name: 'the upstream closes in the middle of a chunked body',
    upstreams: { app: [{ status: 200, chunks: ['abc', 'def'], end: 'close-mid-body' }] },
    steps: [{ connectionAfterMs: 100, expect: { framing: 'cut' } }],
  },
  {
    name: 'a bad chunk size in the middle of a body',
    upstreams: { app: [{ raw: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n' }] },
    steps: [{ connectionAfterMs: 100 }],
  },
  {
    name: 'a body that ends with the connection',
    upstreams: { app: [{ raw: 'HTTP/1.1 200 OK\r\nx-a: b\r\n\r\nabcdef', end: 'close-after' }] },
    steps: [{ connectionAfterMs: 100, expect: { status: 200, body: 'abcdef', framing: 'chunked' } }],
  },
  {
    name: 'a body that ends with a reset of the connection',
    upstreams: { app: [{ raw: 'HTTP/1.1 200 OK\r\nx-a: b\r\n\r\nabcdef', end: 'reset-after' }] },
    steps: [{ connectionAfterMs: 100 }],
  },
  {
    name: 'no such cluster',
    routes: [{ match: { prefix: '/' }, route: { cluster_header: 'x-cluster' } }],
    steps: both(503, ' NC cluster_not_found', '', '14'),
  },
  {
    name: 'a cluster_header without such a cluster, status 404',
    routes: [
      { match: { prefix: '/' }, route: { cluster_header: 'x-cluster', cluster_not_found_response_code: 'NOT_FOUND' } },
    ],
    steps: [{ headers: { 'x-cluster': 'none' }, expect: { status: 404, log: ' NC cluster_not_found' } }],
  },
  {
    name: 'no route',
    routes: [{ match: { prefix: '/only' }, route: { cluster: '{c}' } }],
    steps: both(404, ' NR route_not_found', '', '12'),
  },
  {
    name: 'fault abort',
    filters: [abort],
    steps: both(555, ' FI fault_filter_abort', 'fault filter abort', '2'),
  },
  {
    name: 'more body than the buffer filter takes',
    filters: [buffer],
    steps: [
      { method: 'POST', body: 'more than ten bytes', expect: { status: 413, body: 'Payload Too Large' } },
      { method: 'POST', headers: GRPC, body: 'more than ten bytes' },
      { method: 'POST', chunks: ['more than', 'ten bytes'] },
    ],
  },
  {
    name: 'the client goes away',
    upstreams: { app: [{ end: 'hang' }] },
    steps: [{ leaveAfterMs: 150 }],
  },
  {
    name: 'the client goes away in the middle of its body',
    steps: [{ raw: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc', leaveAfterMs: 150 }],
  },
  {
    name: 'the client goes away in the middle of the response',
    upstreams: { app: [{ raw: 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc' }] },
    steps: [{ leaveAfterMs: 150 }],
  },
  {
    name: "the application's own 5xx, retries used up",
    route: { retry_policy: { retry_on: '5xx', num_retries: 1, retry_back_off: FAST } },
    upstreams: { app: [{ status: 500, body: 'broken' }] },
    steps: [
      { expect: { status: 500, body: 'broken', log: '500 URX via_upstream' } },
      { method: 'POST', headers: GRPC, body: 'x' },
    ],
  },
  {
    name: 'HTTP/1.0',
    steps: [
      {
        raw: 'GET / HTTP/1.0\r\nhost: a\r\n\r\n',
        connectionAfterMs: 100,
        expect: { status: 426, log: ' DPE low_version' },
      },
    ],
  },
  {
    name: 'headers of more than 60 KiB',
    steps: [
      {
        raw: `GET / HTTP/1.1\r\nhost: a\r\nx-long: ${'a'.repeat(61 * 1024)}\r\n\r\n`,
        connectionAfterMs: 100,
        expect: { status: 431, log: ' DPE http1.headers_too_large' },
      },
    ],
  },
  {
    name: 'more than 100 headers',
    steps: [
      {
        raw: `GET / HTTP/1.1\r\nhost: a\r\n${Array.from({ length: 101 }, (_, i) => `x-${i}: 1\r\n`).join('')}\r\n`,
        connectionAfterMs: 100,
      },
    ],
  },
  {
    name: 'bytes that are no request',
    steps: [{ raw: 'what is this\r\n\r\n', connectionAfterMs: 100, expect: { status: 400 } }],
  },
  {
    name: 'both lengths in a request',
    steps: [
      {
        raw: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
        connectionAfterMs: 100,
      },
    ],
  },
  {
    name: 'a bad chunk in the middle of a request',
    steps: [
      {
        raw: 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n\r\n',
        connectionAfterMs: 100,
      },
    ],
  },
  {
    name: 'an unknown method',
    steps: [{ raw: 'FROB / HTTP/1.1\r\nhost: a\r\n\r\n', connectionAfterMs: 100 }],
  },
  {
    name: 'no host',
    steps: [{ raw: 'GET / HTTP/1.1\r\n\r\n', connectionAfterMs: 100 }],
  },
  {
    name: 'an unsupported transfer coding',
    steps: [{ raw: 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n', connectionAfterMs: 100 }],
  },
  {
    name: 'direct response',
    routes: [{ match: { prefix: '/' }, direct_response: { status: 418, body: { inline_string: 'short and stout' } } }],
    steps: [
      { expect: { status: 418, log: ' - direct_response', body: 'short and stout' } },
      { method: 'POST', body: 'abc' },
      { method: 'HEAD' },
      { method: 'POST', headers: GRPC, body: 'x' },
    ],
  },
  {
    name: 'redirect',
    routes: [{ match: { prefix: '/' }, redirect: { host_redirect: 'other.local' } }],
    steps: [{ path: '/a?b=c', expect: { status: 301, headers: { location: 'http://other.local/a?b=c' } } }],
  },
  {
    name: 'request_timeout',
    manager: { request_timeout: '0.2s' },
    steps: [
      {
        raw: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc',
        connectionAfterMs: 100,
        expect: { status: 408, body: 'request timeout' },
      },
      {
        raw: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 10\r\n\r\nabc',
      },
    ],
  },
  {
    name: 'request_headers_timeout',
    manager: { request_headers_timeout: '0.2s' },
    steps: [{ raw: 'GET / HTTP/1.1\r\nhost: a\r\n', connectionAfterMs: 100, expect: { status: 408 } }],
  },
  {
    name: 'an upgrade that is not allowed',
    steps: [
      {
        raw: 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
        connectionAfterMs: 100,
        expect: { status: 403 },
      },
    ],
  },
  {
    name: 'CONNECT that is not allowed',
    steps: [{ raw: 'CONNECT a.local:80 HTTP/1.1\r\nhost: a.local:80\r\n\r\n', connectionAfterMs: 100 }],
  },
  {
    name: 'too many requests at once',
    cluster: { circuit_breakers: { thresholds: [{ max_requests: 1 }] } },
    upstreams: { app: [{ status: 200, body: 'slow', delayMs: 400 }] },
    steps: [
      { background: true },
      { waitMs: 150, expect: { status: 503, headers: { 'x-envoy-overloaded': 'true' } } },
      { method: 'POST', headers: GRPC, body: 'x' },
    ],
  },
  {
    name: 'too many requests waiting',
    cluster: { circuit_breakers: { thresholds: [{ max_pending_requests: 1, max_connections: 1 }] } },
    upstreams: { app: [{ status: 200, body: 'slow', delayMs: 400 }] },
    steps: [
      { background: true },
      { waitMs: 100, background: true },
      { waitMs: 100, expect: { status: 503, body: `${BEFORE_HEADERS} reset reason: overflow` } },
    ],
  },
  {
    name: 'no retry while too many retries run',
    cluster: { circuit_breakers: { thresholds: [{ max_retries: 0 }] } },
    route: { retry_policy: { retry_on: '5xx', num_retries: 2, retry_back_off: FAST } },
    upstreams: { app: [{ status: 503, body: 'no' }] },
    steps: [{ expect: { status: 503, log: ' UO via_upstream' } }],
  },
  {
    name: 'high priority has limits of its own',
    cluster: { circuit_breakers: { thresholds: [{ priority: 'HIGH', max_requests: 0 }] } },
    routes: [
      { match: { prefix: '/high' }, route: { cluster: '{c}', priority: 'HIGH' } },
      { match: { prefix: '/' }, route: { cluster: '{c}' } },
    ],
    steps: [{ path: '/high' }, { path: '/' }],
  },
  {
    name: 'all hosts ejected after consecutive 5xx',
    cluster: {
      outlier_detection: {
        consecutive_5xx: 2,
        max_ejection_percent: 100,
        base_ejection_time: '30s',
        interval: '100s',
      },
      common_lb_config: { healthy_panic_threshold: { value: 0 } },
    },
    upstreams: { app: [{ status: 500, body: 'broken' }] },
    steps: [{}, {}, { waitMs: 150, expect: { status: 503, log: ' UH no_healthy_upstream' } }],
  },
  {
    name: 'an ejected host in panic mode',
    cluster: { outlier_detection: { consecutive_5xx: 2, max_ejection_percent: 100, interval: '100s' } },
    upstreams: { app: [{ status: 500, body: 'broken' }] },
    steps: [{}, {}, { waitMs: 150, expect: { status: 500 } }],
  },
  {
    name: 'a response with more headers than a response may have',
    upstreams: {
      app: [{ raw: `HTTP/1.1 200 OK\r\n${Array.from({ length: 101 }, (_, i) => `x-${i}: 1\r\n`).join('')}\r\n` }],
    },
    steps: [{}],
  },
  {
    name: 'a response whose headers are too large',
    upstreams: { app: [{ raw: `HTTP/1.1 200 OK\r\nx-long: ${'a'.repeat(70_000)}\r\ncontent-length: 0\r\n\r\n` }] },
    steps: [{}],
  },
  {
    name: 'a missing path of an absolute target and other schemes',
    steps: [
      { raw: 'GET http://other.local HTTP/1.1\r\nhost: a\r\n\r\n' },
      { raw: 'GET http://other.local/x?y HTTP/1.1\r\nhost: a\r\n\r\n' },
      { raw: 'GET ftp://other.local/ HTTP/1.1\r\nhost: a\r\n\r\n' },
      { raw: 'GET relative HTTP/1.1\r\nhost: a\r\n\r\n' },
      { raw: 'OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n' },
    ],
  },
]

export const replySuite = exchangeSuite('replies', replyScenarios)
