/** gRPC over HTTP/1.1 with trailers: what the filters for statistics, gRPC-Web and the HTTP/1.1 bridge do. */
import type { Answer } from '../../kit/fake-upstream.ts'
import { type Json, percent, typed } from './bootstrap.ts'
import type { FilterScenario } from './filters.ts'

/** A length-prefixed message, one character a byte. */
export function message(text: string, flags = 0): string {
  const header = Buffer.alloc(5)
  header[0] = flags
  header.writeUInt32BE(text.length, 1)
  return header.toString('latin1') + text
}

export const grpcStats = (fields: { readonly [key: string]: Json } = {}): Json => ({
  name: 'envoy.filters.http.grpc_stats',
  typed_config: typed('http.grpc_stats.v3.FilterConfig', fields),
})
const grpcWeb: Json = { name: 'envoy.filters.http.grpc_web', typed_config: typed('http.grpc_web.v3.GrpcWeb') }
const bridge = (fields: { readonly [key: string]: Json } = {}): Json => ({
  name: 'envoy.filters.http.grpc_http1_bridge',
  typed_config: typed('http.grpc_http1_bridge.v3.Config', fields),
})

export const delayed: Json = {
  name: 'envoy.filters.http.fault',
  typed_config: typed('http.fault.v3.HTTPFault', { delay: { fixed_delay: '0.2s', percentage: percent(100) } }),
}

/** The cluster takes trailers from its upstream; `trailers` on the listener lets them through to the client. */
export const trailing = {
  routes: [{ match: { prefix: '/' }, route: { cluster: 'trailing' } }],
  manager: { http_protocol_options: { enable_trailers: true } },
} as const

const GRPC = { 'content-type': 'application/grpc', te: 'trailers' }
/** An answer of one or more messages with a status behind. */
export const answer = (status: number, messages: readonly string[] = ['pong'], more: Partial<Answer> = {}): Answer => ({
  status: 200,
  headers: { 'content-type': 'application/grpc' },
  chunks: messages.map(text => Buffer.from(message(text), 'latin1')),
  trailers: [['grpc-status', String(status)]],
  ...more,
})
const trailersOnly = (status: string): Answer => ({
  status: 200,
  headers: { 'content-type': 'application/grpc', 'grpc-status': status, 'grpc-message': 'no' },
})

const call = (path = '/shop.v1.Cart/Add', messages: readonly string[] = ['ping']) => ({
  method: 'POST',
  path,
  headers: GRPC,
  chunks: messages.map(text => message(text)),
})

const STATS = ['cluster.trailing.grpc', 'cluster.trailing.grpc-web']

export const grpcScenarios: readonly FilterScenario[] = [
  {
    name: 'grpc_stats: without a list all methods count together',
    filters: [grpcStats()],
    ...trailing,
    upstreams: { app: [answer(0, ['a', 'b', 'c'])] },
    steps: [{ ...call('/shop.v1.Cart/Add', ['x', 'y']), expect: { status: 200, trailers: { 'grpc-status': '0' } } }],
    statPrefixes: STATS,
    expectStats: { 'cluster.trailing.grpc.total': 1, 'cluster.trailing.grpc.response_message_count': 3 },
  },
  {
    name: 'grpc_stats: every method by its name',
    filters: [grpcStats({ stats_for_all_methods: true, enable_upstream_stats: true })],
    ...trailing,
    upstreams: { app: [answer(0), answer(5), trailersOnly('14'), trailersOnly('99'), trailersOnly('x')] },
    steps: [1, 2, 3, 4, 5].map(() => call('/all.v1.Cart/Add')),
    statPrefixes: STATS,
    expectStats: { 'cluster.trailing.grpc.all.v1.Cart.Add.total': 5 },
  },
  {
    name: 'grpc_stats: dots of the service replaced',
    filters: [grpcStats({ stats_for_all_methods: true, replace_dots_in_grpc_service_name: true })],
    ...trailing,
    upstreams: { app: [answer(0)] },
    steps: [call('/shop.v1.Cart/Add')],
    statPrefixes: STATS,
    expectStats: { 'cluster.trailing.grpc.shop_v1_Cart.Add.success': 1 },
  },
  {
    name: 'grpc_stats: a list names methods, others count together',
    filters: [
      grpcStats({
        individual_method_stats_allowlist: { services: [{ name: 'listed.v1.Cart', method_names: ['Add'] }] },
        replace_dots_in_grpc_service_name: true,
      }),
    ],
    ...trailing,
    upstreams: { app: [answer(0), answer(2)] },
    steps: [call('/listed.v1.Cart/Add'), call('/listed.v1.Cart/Drop')],
    statPrefixes: STATS,
    expectStats: { 'cluster.trailing.grpc.listed.v1.Cart.Add.0': 1, 'cluster.trailing.grpc.2': 1 },
  },
  {
    name: 'grpc_stats: paths of another form and requests that are not gRPC',
    filters: [grpcStats({ stats_for_all_methods: true })],
    ...trailing,
    upstreams: { app: [answer(0)] },
    steps: [
      call('/a/b/c'),
      call('/a'),
      call('/a/'),
      call('//b'),
      call('/a.B/c?d=e'),
      { ...call('/forms.v1.Cart/Add'), headers: { 'content-type': 'application/json' } },
      { ...call('/forms.v1.Cart/Add'), headers: { 'content-type': 'application/grpc+proto' } },
      { ...call('/forms.v1.Cart/Add'), headers: { 'content-type': 'application/grpc;x=y' } },
    ],
    statPrefixes: STATS,
  },
  {
    name: 'grpc_stats: local replies count where there is a cluster',
    filters: [grpcStats({ stats_for_all_methods: true })],
    routes: [
      { match: { prefix: '/a.B/none' }, route: { cluster: 'empty' } },
      { match: { prefix: '/a.B/direct' }, direct_response: { status: 503 } },
    ],
    steps: [call('/a.B/none'), call('/a.B/direct'), call('/a.B/unrouted')],
    statPrefixes: ['cluster.empty.grpc'],
  },
  {
    name: 'grpc_stats: message counts in the access log',
    filters: [grpcStats({ emit_filter_state: true })],
    ...trailing,
    manager: {
      ...trailing.manager,
      access_log: [
        {
          name: 'envoy.access_loggers.file',
          typed_config: typed('type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog', {
            path: '{{log}}',
            log_format: {
              text_format_source: {
                inline_string:
                  '%FILTER_STATE(envoy.filters.http.grpc_stats)% %FILTER_STATE(envoy.filters.http.grpc_stats:PLAIN)% ' +
                  '%FILTER_STATE(envoy.filters.http.grpc_stats:FIELD:request_message_count)% ' +
                  '%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%\n',
              },
            },
          }),
        },
      ],
    },
    upstreams: { app: [answer(0, ['a', 'b', 'c']), trailersOnly('7'), answer(14), { status: 200, body: 'no gRPC' }] },
    steps: [call('/a.B/c', ['x', 'y']), call(), call('/a.B/c', []), call()],
  },

  {
    name: 'grpc_web: binary, trailers at the end of the body',
    filters: [grpcWeb],
    ...trailing,
    upstreams: {
      app: [
        answer(0, ['pong', 'pang'], {
          trailers: [
            ['grpc-status', '0'],
            ['x-more', 'a b'],
          ],
        }),
      ],
    },
    steps: [
      { ...call(), headers: { 'content-type': 'application/grpc-web+proto' }, expect: { status: 200 } },
      { method: 'POST', path: '/a.B/c', body: message('ping'), headers: { 'content-type': 'application/grpc-web' } },
    ],
    statPrefixes: STATS,
  },
  {
    name: 'grpc_web: text both ways',
    filters: [grpcWeb],
    ...trailing,
    upstreams: { app: [answer(3, ['pong', '', 'a longer message'])] },
    steps: [
      {
        method: 'POST',
        path: '/a.B/c',
        chunks: [btoa(message('ping')).slice(0, 3), btoa(message('ping')).slice(3)],
        headers: { 'content-type': 'application/grpc-web-text', accept: 'application/grpc-web-text' },
      },
      {
        method: 'POST',
        path: '/a.B/c',
        // Each message may end with padding of its own.
        chunks: [btoa(message('ping')), btoa(message('p'))],
        headers: {
          'content-type': 'application/grpc-web-text+proto',
          accept: 'application/grpc-web-text+proto',
          'grpc-accept-encoding': 'gzip',
        },
      },
      {
        method: 'POST',
        path: '/a.B/c',
        chunks: [btoa(message('ping'))],
        headers: { 'content-type': 'application/grpc-web-text' },
      },
    ],
    statPrefixes: STATS,
  },
  {
    name: 'grpc_web: base64 that is none',
    // The delay keeps the request from its upstream until the body has been seen.
    filters: [grpcWeb, delayed],
    ...trailing,
    steps: ['AAA', 'AA*A', '====', 'A==='].map(text => ({
      method: 'POST',
      path: '/a.B/c',
      body: text,
      headers: { 'content-type': 'application/grpc-web-text' },
    })),
    statPrefixes: STATS,
  },
  {
    name: 'grpc_web: trailers-only',
    filters: [grpcWeb],
    ...trailing,
    upstreams: { app: [trailersOnly('12')] },
    steps: [{ ...call(), headers: { 'content-type': 'application/grpc-web' } }],
    statPrefixes: STATS,
  },
  {
    name: 'grpc_web: an answer that is not gRPC becomes a status',
    filters: [grpcWeb],
    ...trailing,
    upstreams: {
      app: [
        { status: 503, body: 'over % capacity\n' },
        { status: 200, chunks: ['one ', 'two'] },
        { status: 404, body: '' },
        { status: 200, headers: { 'content-type': 'text/plain' }, chunks: ['x'], trailers: [['a', 'b']] },
        { status: 200, headers: { 'content-type': 'application/grpc-web+proto' }, body: message('web') },
      ],
    },
    steps: [1, 2, 3, 4, 5].map(() => ({ ...call(), headers: { 'content-type': 'application/grpc-web' } })),
    statPrefixes: STATS,
  },
  {
    name: 'grpc_web: local replies',
    filters: [grpcWeb],
    routes: [
      { match: { prefix: '/a.B/none' }, route: { cluster: 'empty' } },
      { match: { prefix: '/a.B/direct' }, direct_response: { status: 418, body: { inline_string: 'teapot' } } },
    ],
    steps: ['/a.B/none', '/a.B/direct', '/a.B/unrouted'].map(path => ({
      ...call(path),
      headers: { 'content-type': 'application/grpc-web' },
    })),
  },
  {
    name: 'gRPC: what counts as its content type',
    routes: [
      { match: { prefix: '/matched', grpc: {} }, direct_response: { status: 418 } },
      { match: { prefix: '/' }, route: { cluster: 'empty' } },
    ],
    steps: ['', '+x', ';x=y', '; x', 'x', '-web', ', x'].flatMap(more =>
      ['/any', '/matched'].map(path => ({
        method: 'POST',
        path,
        headers: { 'content-type': `application/grpc${more}` },
      })),
    ),
  },
  {
    name: 'grpc_web: other requests pass untouched',
    filters: [grpcWeb],
    ...trailing,
    upstreams: { app: [answer(0)] },
    steps: [
      call(),
      { ...call(), headers: { 'content-type': 'application/grpc-web+json' } },
      { ...call(), headers: { 'content-type': 'application/grpc-web; charset=utf-8' } },
    ],
  },

  {
    name: 'grpc_http1_bridge: the status in the headers, the body with its length',
    filters: [bridge()],
    ...trailing,
    upstreams: {
      app: [
        answer(0, ['pong', 'pang']),
        answer(9, [], {
          trailers: [
            ['grpc-status', '9'],
            ['grpc-message', 'too%20late'],
          ],
        }),
        answer(9, ['partly']),
        trailersOnly('9'),
        { status: 200, body: 'no gRPC' },
        answer(0, ['x'], { trailers: [['a', 'b']] }),
      ],
    },
    steps: [1, 2, 3, 4, 5, 6].map(() => call('/bridged.v1.Cart/Add')),
    statPrefixes: STATS,
  },
  {
    name: 'grpc_http1_bridge: protobuf gets its framing, and loses it on the way back',
    filters: [bridge({ upgrade_protobuf_to_grpc: true, ignore_query_parameters: true })],
    ...trailing,
    upstreams: { app: [answer(0, ['pong'], { chunkDelayMs: 5 }), answer(0, ['pong']), answer(0, ['']), answer(4, [])] },
    steps: [
      {
        method: 'POST',
        path: '/framed.B/c?x=y',
        chunks: ['pi', 'ng'],
        headers: { 'content-type': 'application/x-protobuf' },
      },
      { method: 'POST', path: '/framed.B/c', body: 'ping', headers: { 'content-type': 'application/x-protobuf' } },
      { method: 'POST', path: '/framed.B/c', body: '', headers: { 'content-type': 'application/x-protobuf' } },
      { ...call('/framed.B/c?x=y') },
      { method: 'POST', path: '/framed.B/c?x=y', body: 'ping', headers: { 'content-type': 'text/plain' } },
    ],
    statPrefixes: STATS,
  },
]
