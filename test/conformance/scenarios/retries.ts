/** When an attempt is made again, on which host, and what timeouts and mirrors do meanwhile (features.md §2.5, §2.6). */
import { type Json, typed } from './bootstrap.ts'
import { type ExchangeScenario, exchangeSuite, GRPC, hosts, httpOptions } from './exchange.ts'

const FAST: Json = { base_interval: '0.001s', max_interval: '0.002s' }
const INTERNAL = {
  use_remote_address: true,
  internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] },
}

/** A route that retries on the conditions given. */
const retry = (retryOn: string, fields: { readonly [key: string]: Json } = {}) => ({
  retry_policy: { retry_on: retryOn, num_retries: 1, retry_back_off: FAST, ...fields },
})

/** First an answer that may be retried, then a good one. */
const condition = (
  retryOn: string,
  answers: NonNullable<ExchangeScenario['upstreams']>['app'],
  fields: { readonly [key: string]: Json } = {},
): ExchangeScenario => ({
  name: `retry_on ${retryOn}: ${JSON.stringify(answers[0 as never] ?? '')}`,
  route: retry(retryOn, fields),
  upstreams: { app: answers },
  steps: [{}],
})

const OK = { status: 200, body: 'ok' }

export const retryScenarios: readonly ExchangeScenario[] = [
  condition('5xx', [{ status: 500 }, OK]),
  condition('5xx', [{ status: 404 }, OK]),
  condition('5xx', [{ end: 'close' }, OK]),
  condition('5xx', [{ end: 'reset' }, OK]),
  condition('5xx', [{ raw: 'garbage\r\n\r\n' }, OK]),
  condition('gateway-error', [{ status: 502 }, OK]),
  condition('gateway-error', [{ status: 500 }, OK]),
  condition('gateway-error', [{ end: 'close' }, OK]),
  condition('reset', [{ end: 'close' }, OK]),
  condition('reset', [{ status: 503 }, OK]),
  condition('reset-before-request', [{ end: 'close' }, OK]),
  condition('connect-failure', [{ end: 'close' }, OK]),
  condition('retriable-4xx', [{ status: 409 }, OK]),
  condition('retriable-4xx', [{ status: 404 }, OK]),
  condition('retriable-status-codes', [{ status: 418 }, OK], { retriable_status_codes: [418] }),
  condition('retriable-status-codes', [{ status: 419 }, OK], { retriable_status_codes: [418] }),
  condition('retriable-headers', [{ headers: { 'x-again': 'yes' } }, OK], {
    retriable_headers: [{ name: 'x-again', string_match: { exact: 'yes' } }],
  }),
  condition('retriable-headers', [{ headers: { 'x-again': 'no' } }, OK], {
    retriable_headers: [{ name: 'x-again', string_match: { exact: 'yes' } }],
  }),
  condition('envoy-ratelimited', [{ status: 429, headers: { 'x-envoy-ratelimited': 'true' } }, OK]),
  condition('5xx', [{ status: 503, headers: { 'x-envoy-ratelimited': 'true' } }, OK]),
  condition('5xx', [{ status: 503, headers: { 'x-envoy-overloaded': 'true' } }, OK]),
  condition('nonsense', [{ status: 503 }, OK]),
  condition('refused-stream', [{ end: 'reset' }, OK]),
  {
    name: 'gRPC statuses in headers are retried, those in trailers are not',
    route: retry('unavailable,cancelled'),
    upstreams: {
      app: [
        { headers: { 'content-type': 'application/grpc', 'grpc-status': '14' } },
        OK,
        { headers: { 'content-type': 'application/grpc', 'grpc-status': '13' } },
        { headers: { 'content-type': 'application/grpc' }, chunks: ['x'], trailers: [['grpc-status', '14']] },
      ],
    },
    steps: [
      { method: 'POST', headers: GRPC, body: 'x' },
      { method: 'POST', headers: GRPC, body: 'x' },
      { method: 'POST', headers: GRPC, body: 'x' },
    ],
  },
  {
    name: 'only requests that match retriable_request_headers',
    route: retry('5xx', { retriable_request_headers: [{ name: 'x-safe', present_match: true }] }),
    upstreams: { app: [{ status: 500 }, { status: 500 }, OK] },
    steps: [{}, { headers: { 'x-safe': '1' } }],
  },
  {
    name: 'a body is sent again whole',
    route: retry('5xx', { num_retries: 2 }),
    upstreams: { app: [{ status: 500 }, { status: 500 }, OK] },
    steps: [
      { method: 'POST', chunks: ['one', 'two', 'three'] },
      { method: 'PUT', body: 'with a length' },
    ],
  },
  {
    name: 'a body larger than the buffer is not sent again',
    route: retry('5xx'),
    cluster: { per_connection_buffer_limit_bytes: 1024 },
    listener: { per_connection_buffer_limit_bytes: 1024 },
    upstreams: { app: [{ status: 500 }, OK] },
    steps: [{ method: 'POST', body: 'x'.repeat(20_000) }],
    withoutStats: 'how often reading pauses depends on the moment',
  },
  {
    name: 'a body larger than per_request_buffer_limit_bytes is not sent again',
    virtualHost: { per_request_buffer_limit_bytes: 4 },
    route: retry('5xx'),
    upstreams: { app: [{ status: 500 }, OK] },
    steps: [
      { method: 'POST', body: 'more than four' },
      { method: 'POST', body: 'four' },
    ],
  },
  {
    name: 'a response that comes before the body is retried',
    route: retry('5xx'),
    upstreams: { app: [{ status: 500, early: 0 }, OK] },
    steps: [
      { raw: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc', later: [{ waitMs: 120, write: 'def' }] },
    ],
    withoutStats: 'whether the first attempt ends with its response depends on the moment',
  },
  {
    name: 'previous_hosts: another host than the one that failed',
    clusters: [hosts('{c}-two', ['{{upstream:a}}', '{{upstream:b}}'])],
    routes: [
      {
        match: { prefix: '/' },
        route: {
          cluster: '{c}-two',
          ...retry('5xx', {
            host_selection_retry_max_attempts: 5,
            retry_host_predicate: [
              {
                name: 'previous',
                typed_config: typed(
                  'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
                ),
              },
            ],
          }),
        },
      },
    ],
    virtualHost: { include_attempt_count_in_response: true },
    // The log would say which host it was.
    manager: { access_log: [] },
    upstreams: { a: [{ status: 500 }], b: [{ status: 500 }] },
    steps: [{}],
    withoutStats: 'which host comes first is a matter of chance',
  },
  {
    name: 'retry steering by an internal caller',
    manager: INTERNAL,
    upstreams: { app: [{ status: 500 }, OK] },
    steps: [{ headers: { 'x-envoy-retry-on': '5xx', 'x-envoy-max-retries': '3' } }],
  },
  {
    name: 'retry steering adds to the policy',
    manager: INTERNAL,
    route: retry('retriable-4xx'),
    upstreams: { app: [{ status: 418 }, OK] },
    steps: [{ headers: { 'x-envoy-retry-on': 'retriable-status-codes', 'x-envoy-retriable-status-codes': '418,419' } }],
  },
  {
    name: 'retriable header names of an internal caller',
    manager: INTERNAL,
    upstreams: { app: [{ headers: { 'x-again': '1' } }, OK] },
    steps: [
      { headers: { 'x-envoy-retry-on': 'retriable-headers', 'x-envoy-retriable-header-names': 'x-other, X-Again' } },
    ],
  },
  {
    name: 'x-envoy-max-retries: 0',
    manager: INTERNAL,
    route: retry('5xx'),
    upstreams: { app: [{ status: 500 }, OK] },
    steps: [{ headers: { 'x-envoy-max-retries': '0' } }],
  },
  {
    name: 'retry steering by an outsider is not heard',
    manager: { use_remote_address: true },
    upstreams: { app: [{ status: 500 }, OK] },
    steps: [{ headers: { 'x-envoy-retry-on': '5xx', 'x-envoy-max-retries': '3' } }],
  },
  {
    name: 'the back-off of a rate-limited answer',
    route: retry('5xx', {
      rate_limited_retry_back_off: { reset_headers: [{ name: 'retry-after', format: 'SECONDS' }], max_interval: '5s' },
    }),
    upstreams: { app: [{ status: 503, headers: { 'retry-after': '1' } }, OK] },
    steps: [{ expect: { status: 200, atLeastMs: 990, atMostMs: 3000 } }],
  },
  {
    name: 'include_is_timeout_retry_header',
    virtualHost: { include_is_timeout_retry_header: true, include_request_attempt_count: true },
    route: retry('5xx', { per_try_timeout: '0.1s', num_retries: 2 }),
    upstreams: { app: [{ status: 500 }, { delayMs: 400 }, OK] },
    steps: [{}],
  },
  {
    name: "a virtual host's retry policy",
    virtualHost: { retry_policy: { retry_on: '5xx', num_retries: 1, retry_back_off: FAST } },
    upstreams: { app: [{ status: 500 }, OK, { status: 500 }, OK] },
    routes: [
      { match: { path: '/own' }, route: { cluster: '{c}', retry_policy: { retry_on: 'reset' } } },
      { match: { prefix: '/' }, route: { cluster: '{c}' } },
    ],
    steps: [{}, { path: '/own' }],
  },
  {
    name: 'timeouts by headers of an internal caller',
    manager: INTERNAL,
    upstreams: { app: [{ end: 'hang' }] },
    steps: [
      { headers: { 'x-envoy-upstream-rq-timeout-ms': '150' }, expect: { status: 504 } },
      { headers: { 'x-envoy-upstream-rq-per-try-timeout-ms': '150' }, expect: { status: 504 } },
      {
        headers: { 'x-envoy-upstream-rq-timeout-ms': '150', 'x-envoy-upstream-rq-timeout-alt-response': '1' },
        expect: { status: 204 },
      },
      { headers: { 'x-envoy-upstream-stream-duration-ms': '150' } },
    ],
  },
  {
    name: 'respect_expected_rq_timeout',
    manager: {
      ...INTERNAL,
      http_filters: [
        {
          name: 'envoy.filters.http.router',
          typed_config: typed('http.router.v3.Router', { respect_expected_rq_timeout: true }),
        },
      ],
    },
    steps: [
      { headers: { 'x-envoy-expected-rq-timeout-ms': '4000', 'x-envoy-upstream-rq-timeout-ms': '9000' } },
      { headers: { 'x-envoy-upstream-rq-timeout-ms': '9000' } },
    ],
  },
  {
    name: 'per-try timeout above the route timeout',
    route: { timeout: '2s', retry_policy: { retry_on: '5xx', per_try_timeout: '9s' } },
    steps: [{}],
  },
  { name: 'no timeout at all', route: { timeout: '0s' }, steps: [{}] },
  {
    name: 'route timeout in the middle of a response',
    route: { timeout: '0.2s' },
    upstreams: { app: [{ raw: 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc' }] },
    steps: [{ expect: { status: 200, framing: 'cut' } }],
  },
  {
    name: 'the route timeout begins with the end of the request',
    route: { timeout: '0.3s' },
    steps: [
      {
        raw: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc',
        later: [{ waitMs: 450, write: 'def' }],
        expect: { status: 200 },
      },
    ],
  },
  {
    name: "the cluster's max_stream_duration",
    cluster: {
      typed_extension_protocol_options: httpOptions({ common_http_protocol_options: { max_stream_duration: '0.2s' } }),
    },
    upstreams: { app: [{ end: 'hang' }] },
    steps: [{ expect: { log: ' UMSDR ' } }, { method: 'POST', headers: GRPC, body: 'x' }],
  },
  {
    name: 'max_grpc_timeout bounds what the upstream is told',
    route: { max_grpc_timeout: '5s', grpc_timeout_offset: '0.5s' },
    steps: [
      { method: 'POST', headers: { ...GRPC, 'grpc-timeout': '9S' }, body: 'x' },
      { method: 'POST', headers: { ...GRPC, 'grpc-timeout': '2S' }, body: 'x' },
      { method: 'POST', headers: GRPC, body: 'x' },
    ],
  },
  {
    name: 'a mirror gets the request, host marked, and its answer is dropped',
    clusters: [hosts('{c}-mirror', ['{{upstream:b}}'])],
    route: { request_mirror_policies: [{ cluster: '{c}-mirror' }] },
    upstreams: { b: [{ status: 500, body: 'nobody sees this' }] },
    steps: [
      { host: 'a.local:8080', path: '/x?y', headers: { 'x-a': '1' } },
      { method: 'POST', body: 'mirrored', waitMs: 50 },
      { method: 'POST', chunks: ['a', 'b'], waitMs: 50 },
    ],
  },
  {
    name: 'internal redirect',
    logLines: 8,
    route: {
      internal_redirect_policy: {
        max_internal_redirects: 1,
        redirect_response_codes: [302],
        response_headers_to_copy: ['x-copied'],
      },
    },
    upstreams: {
      app: request =>
        request.target === '/start'
          ? { status: 302, headers: { location: 'http://test.local/next?q', 'x-copied': 'c' } }
          : request.target === '/loop'
            ? { status: 302, headers: { location: 'http://test.local/loop' } }
            : OK,
    },
    steps: [
      { path: '/start' },
      { path: '/loop' },
      { path: '/start', method: 'POST', body: 'x' },
      { path: '/start', headers: { 'x-envoy-internal': 'true' } },
    ],
  },
  {
    name: 'an upstream that says close',
    upstreams: { app: [{ headers: { connection: 'close' }, body: 'a', end: 'close-after' }] },
    steps: [{}, {}],
  },
  {
    name: 'max_requests_per_connection upstream',
    cluster: {
      typed_extension_protocol_options: httpOptions({
        common_http_protocol_options: { max_requests_per_connection: 2 },
      }),
    },
    steps: [{}, {}, {}],
  },
  {
    name: 'idle_timeout upstream',
    cluster: {
      typed_extension_protocol_options: httpOptions({ common_http_protocol_options: { idle_timeout: '0.3s' } }),
    },
    steps: [{}, { waitMs: 600 }],
  },
  {
    name: 'an idle connection that the upstream closed',
    steps: [{}, { waitMs: 50, dropUpstream: 'app' }, {}],
    withoutStats: 'whether the close is seen before the next request depends on the moment',
  },
  {
    name: 'max_connections: the second request waits',
    cluster: { circuit_breakers: { thresholds: [{ max_connections: 1 }] } },
    upstreams: { app: [{ status: 200, body: 'slow', delayMs: 200 }] },
    steps: [{ background: true }, { waitMs: 80, expect: { status: 200 } }],
  },
  {
    name: 'track_remaining',
    cluster: { circuit_breakers: { thresholds: [{ max_requests: 7, track_remaining: true }] } },
    steps: [{}],
  },
  {
    name: 'retry budget',
    cluster: {
      circuit_breakers: {
        thresholds: [{ retry_budget: { budget_percent: { value: 0 }, min_retry_concurrency: 1 } }],
      },
    },
    route: retry('5xx', { num_retries: 3 }),
    upstreams: { app: [{ status: 500 }, { status: 500 }, OK] },
    steps: [{}],
  },
]

export const retrySuite = exchangeSuite('tries', retryScenarios)
