/**
 * gRPC calls through the router: retries, deadlines, outlier detection, logs. Over HTTP/1.1 with trailers, which carries
 * them all, and over HTTP/2 on both sides.
 */
import type { Answer } from '../../kit/fake-upstream.ts'
import { type Json, typed } from './bootstrap.ts'
import { type ExchangeScenario, exchangeSuite, GRPC, HTTP2_CLUSTER, httpOptions } from './exchange.ts'
import { answer, message } from './filters-grpc.ts'

const FAST: Json = { base_interval: '0.001s', max_interval: '0.002s' }
const INTERNAL = {
  use_remote_address: true,
  internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] },
}
const TRAILERS = {
  cluster: {
    typed_extension_protocol_options: httpOptions({
      explicit_http_config: { http_protocol_options: { enable_trailers: true } },
    }),
  },
  manager: { http_protocol_options: { enable_trailers: true } },
} as const

const call = (headers: Readonly<Record<string, string>> = {}) => ({
  method: 'POST',
  path: '/shop.v1.Cart/Add',
  headers: { ...GRPC, ...headers },
  body: message('ping'),
})
const trailersOnly = (status: number | string): Answer => ({ headers: { ...GRPC, 'grpc-status': String(status) } })

const retry = (retryOn: string, fields: { readonly [key: string]: Json } = {}) => ({
  retry_policy: { retry_on: retryOn, num_retries: 1, retry_back_off: FAST, ...fields },
})

const condition = (retryOn: string, status: number | string): ExchangeScenario => ({
  name: `gRPC retry_on ${retryOn}: status ${status} in the head`,
  ...TRAILERS,
  route: retry(retryOn),
  upstreams: { app: [trailersOnly(status), answer(0)] },
  steps: [call()],
})

/** Retries by trailers are ours: here they are off, so that the rest can be compared. */
const likeEnvoy = (route: Json): Json => [
  {
    match: { prefix: '/' },
    route: { cluster: '{c}', ...(route as { [key: string]: Json }) },
    metadata: { filter_metadata: { hopwise: { retry_grpc_trailers: false } } },
  },
]

export const grpcScenarios: readonly ExchangeScenario[] = [
  condition('cancelled', 1),
  condition('deadline-exceeded', 4),
  condition('resource-exhausted', 8),
  condition('internal', 13),
  condition('unavailable', 14),
  condition('cancelled,deadline-exceeded,resource-exhausted,internal', 14),
  condition('unavailable', 2),
  condition('unavailable', 'x'),
  condition('5xx', 14),
  {
    name: 'a status in trailers is not retried by Envoy, nor where the route says so',
    ...TRAILERS,
    routes: likeEnvoy(retry('unavailable')) as readonly Json[],
    upstreams: { app: [answer(14, []), answer(14, ['x']), answer(0)] },
    steps: [call(), call()],
  },
  {
    name: 'an internal caller may ask for retries',
    ...TRAILERS,
    manager: { ...TRAILERS.manager, ...INTERNAL },
    upstreams: { app: [trailersOnly(14), answer(0)] },
    steps: [
      call({ 'x-envoy-retry-grpc-on': 'unavailable' }),
      call({ 'x-envoy-retry-grpc-on': 'cancelled', 'x-envoy-max-retries': '3' }),
    ],
  },
  {
    name: 'an external caller may not',
    ...TRAILERS,
    upstreams: { app: [trailersOnly(14), answer(0)] },
    steps: [call({ 'x-envoy-retry-grpc-on': 'unavailable' })],
  },
  {
    name: 'the limit of retries, reached by a gRPC status',
    ...TRAILERS,
    route: retry('unavailable'),
    upstreams: { app: [trailersOnly(14), trailersOnly(14)] },
    steps: [{ ...call(), expect: { log: ' URX ' } }],
  },
  {
    name: 'statuses in the head count for outlier detection as their HTTP likes',
    ...TRAILERS,
    cluster: {
      ...TRAILERS.cluster,
      outlier_detection: { consecutive_5xx: 2, interval: '60s', max_ejection_percent: 100 },
    },
    upstreams: { app: [trailersOnly(14), trailersOnly(5), trailersOnly(13), trailersOnly(14), answer(0)] },
    // Envoy's main thread hears of an ejection a moment later.
    steps: [call(), call(), call(), call(), { ...call(), waitMs: 300 }],
  },
  {
    name: 'statuses in trailers do not',
    ...TRAILERS,
    cluster: {
      ...TRAILERS.cluster,
      outlier_detection: { consecutive_5xx: 2, interval: '60s', max_ejection_percent: 100 },
    },
    upstreams: { app: [answer(14), answer(13), answer(14), answer(0)] },
    steps: [1, 2, 3, 4].map(() => call()),
  },
  ...(
    [
      ['the caller’s time, at most the route’s', { grpc_timeout_header_max: '0.3s' }, '9S'],
      [
        'the caller’s time, less the offset',
        { grpc_timeout_header_max: '9s', grpc_timeout_header_offset: '0.3s' },
        '600m',
      ],
      ['no maximum', { grpc_timeout_header_max: '0s' }, '300m'],
      ['a time that is none', { grpc_timeout_header_max: '9s', max_stream_duration: '0.3s' }, '300'],
      ['no time', { grpc_timeout_header_max: '9s', max_stream_duration: '0.3s' }, undefined],
      ['none of it asked for', { max_stream_duration: '0.3s' }, '9S'],
    ] as const
  ).map(
    ([name, duration, timeout]): ExchangeScenario => ({
      name: `grpc-timeout: ${name}`,
      route: { max_stream_duration: duration },
      upstreams: { app: [{ end: 'hang' }] },
      steps: [
        {
          ...call(timeout === undefined ? {} : { 'grpc-timeout': timeout }),
          expect: { headers: { 'grpc-status': '4' }, log: ' max_duration_timeout ' },
        },
      ],
    }),
  ),
  {
    name: 'grpc-timeout: an offset that leaves nothing',
    route: { max_stream_duration: { grpc_timeout_header_max: '9s', grpc_timeout_header_offset: '2s' } },
    upstreams: { app: [trailersOnly(0), { end: 'hang' }] },
    steps: [
      // The time is over at once: with a connection still to be made, the request might leave or not.
      call(),
      {
        ...call({ 'grpc-timeout': '300m' }),
        expect: { headers: { 'grpc-status': '4' }, log: ' max_duration_timeout ' },
      },
    ],
  },
  ...(
    [
      ['bounds the response', { max_grpc_timeout: '0.3s' }, '9S'],
      ['no maximum', { max_grpc_timeout: '0s' }, '300m'],
      ['with an offset', { max_grpc_timeout: '9s', grpc_timeout_offset: '0.3s' }, '600m'],
      ['an offset that leaves nothing', { max_grpc_timeout: '0.3s', grpc_timeout_offset: '2s' }, '200m'],
      ['a caller who says none', { max_grpc_timeout: '0.3s' }, undefined],
    ] as const
  ).map(
    ([name, route, timeout]): ExchangeScenario => ({
      name: `max_grpc_timeout ${name}`,
      route,
      upstreams: { app: [{ end: 'hang' }] },
      steps: [
        { ...call(timeout === undefined ? {} : { 'grpc-timeout': timeout }), expect: { log: ' response_timeout ' } },
      ],
    }),
  ),
  {
    name: 'what the upstream is told of the time',
    ...TRAILERS,
    route: { max_grpc_timeout: '0s' },
    upstreams: { app: [answer(0)] },
    steps: [
      call({ 'grpc-timeout': '1M' }),
      call({ 'grpc-timeout': '99999999S' }),
      call({ 'grpc-timeout': '5' }),
      call(),
      { method: 'POST', headers: { 'grpc-timeout': '1M' }, body: 'x' },
    ],
  },
  {
    name: 'what the upstream is told of max_stream_duration',
    ...TRAILERS,
    manager: { ...TRAILERS.manager, common_http_protocol_options: { max_stream_duration: '7s' } },
    routes: [
      { match: { prefix: '/none' }, route: { cluster: '{c}', max_stream_duration: { max_stream_duration: '0s' } } },
      { match: { prefix: '/own' }, route: { cluster: '{c}', max_stream_duration: { max_stream_duration: '5s' } } },
      { match: { prefix: '/' }, route: { cluster: '{c}' } },
    ],
    upstreams: { app: [answer(0)] },
    steps: ['/none', '/own', '/a.B/c'].flatMap(path => [
      { ...call({ 'grpc-timeout': '9S' }), path },
      { ...call(), path },
      { method: 'POST', path, headers: { 'grpc-timeout': '9S' }, body: 'x' },
    ]),
  },
  {
    name: 'without a rule grpc-timeout passes as it came',
    ...TRAILERS,
    upstreams: { app: [answer(0)] },
    steps: [call({ 'grpc-timeout': '1M' }), call({ 'grpc-timeout': 'nonsense' })],
  },
  {
    name: 'the access log filter by gRPC status',
    ...TRAILERS,
    manager: {
      ...TRAILERS.manager,
      access_log: [
        {
          name: 'envoy.access_loggers.file',
          filter: { grpc_status_filter: { statuses: ['OK', 'UNAVAILABLE'], exclude: true } },
          typed_config: typed('type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog', {
            path: '{{log}}',
            log_format: { text_format_source: { inline_string: '%GRPC_STATUS% %GRPC_STATUS_NUMBER%\n' } },
          }),
        },
      ],
    },
    upstreams: {
      app: [answer(0), answer(14), trailersOnly(14), answer(5), trailersOnly(7), { status: 404 }, answer(16)],
    },
    steps: [1, 2, 3, 4, 5, 6, 7].map(() => call()),
    logLines: 4,
  },
  {
    name: 'the health check filter answers gRPC in gRPC',
    filters: [
      {
        name: 'envoy.filters.http.health_check',
        typed_config: typed('http.health_check.v3.HealthCheck', {
          pass_through_mode: false,
          headers: [{ name: ':path', string_match: { exact: '/grpc.health.v1.Health/Check' } }],
        }),
      },
    ],
    steps: [
      { ...call(), path: '/grpc.health.v1.Health/Check' },
      { method: 'POST', path: '/grpc.health.v1.Health/Check', headers: GRPC },
    ],
  },
]

export const grpcSuite = exchangeSuite('grpc', grpcScenarios)
export const grpcHttp2Suite = exchangeSuite(
  'grpc-over-http2',
  grpcScenarios.map(scenario => ({ ...scenario, http2: true, cluster: { ...scenario.cluster, ...HTTP2_CLUSTER } })),
)
