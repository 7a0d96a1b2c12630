/** Bodies, trailers, 1xx, upgrades, and the lives of connections, in HTTP/1.1. */
import { type Json, typed } from './bootstrap.ts'
import { type ExchangeScenario, exchangeSuite, GRPC, httpOptions } from './exchange.ts'
import { overlongHttp1 } from './overlong.ts'

/** A connection that is to end gets this long, so that a busy machine is not taken for another behaviour. */
const LONG_MS = 10_000

const TRAILERS = {
  manager: { http_protocol_options: { enable_trailers: true } },
  cluster: {
    typed_extension_protocol_options: httpOptions({
      explicit_http_config: { http_protocol_options: { enable_trailers: true } },
    }),
  },
}

const WEBSOCKET = { upgrade_configs: [{ upgrade_type: 'websocket' }] }
const upgrade = (type = 'websocket') =>
  `GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: ${type}\r\nsec-websocket-key: k\r\n\r\n`
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-a: 1\r\n\r\n'

const localReplies: { readonly [key: string]: Json } = {
  mappers: [
    {
      filter: { status_code_filter: { comparison: { op: 'EQ', value: { default_value: 404, runtime_key: 'x' } } } },
      status_code: 410,
      body: { inline_string: 'gone: %LOCAL_REPLY_BODY%' },
      headers_to_add: [
        { header: { key: 'x-mapped', value: 'first' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
        { header: { key: 'x-path', value: '%REQ(:PATH)%' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
      ],
    },
    {
      filter: { response_flag_filter: { flags: ['UF'] } },
      body_format_override: {
        json_format: {
          code: '%RESPONSE_CODE%',
          body: '%LOCAL_REPLY_BODY%',
          flags: '%RESPONSE_FLAGS%',
          none: '%REQ(x-no)%',
        },
      },
    },
    {
      filter: { header_filter: { header: { name: 'x-html', present_match: true } } },
      body: { inline_string: '<b>caf\u00e9</b>' },
      body_format_override: {
        text_format_source: { inline_string: '%LOCAL_REPLY_BODY% (%RESPONSE_CODE%)\n' },
        content_type: 'text/html; charset=UTF-8',
      },
    },
  ],
  body_format: { text_format_source: { inline_string: '%LOCAL_REPLY_BODY%:%RESPONSE_CODE%:%REQ(:METHOD)%' } },
}

const DEAD: Json = {
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
}

export const http1Scenarios: readonly ExchangeScenario[] = [
  {
    name: 'methods and bodies',
    steps: [
      { method: 'GET' },
      { method: 'HEAD' },
      { method: 'POST' },
      { method: 'POST', body: '' },
      { method: 'POST', body: 'abc' },
      { method: 'PUT', chunks: ['a', 'bc'] },
      { method: 'DELETE' },
      { method: 'DELETE', body: 'x' },
      { method: 'GET', body: 'with a body' },
      { method: 'OPTIONS' },
      { method: 'PATCH', chunks: [] },
    ],
  },
  {
    name: 'responses without a body',
    upstreams: {
      app: [
        { status: 204 },
        { status: 304, headers: { etag: '"a"', 'content-length': '5' } },
        { status: 200, body: '' },
        { raw: 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n' },
        { raw: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n' },
        { status: 205 },
      ],
    },
    steps: [{}, {}, {}, { method: 'HEAD' }, { method: 'HEAD' }, {}],
  },
  {
    name: 'unusual statuses',
    upstreams: {
      app: [
        { status: 299, reason: 'Odd' },
        { status: 599 },
        { status: 999 },
        { raw: 'HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n' },
      ],
    },
    steps: [{}, {}, {}, {}],
    withoutStats: 'counters of statuses that are none',
  },
  {
    name: 'chunked bodies both ways',
    upstreams: { app: [{ chunks: ['a', 'b'.repeat(5000), 'c'], chunkDelayMs: 5 }] },
    steps: [{ method: 'POST', chunks: ['1', '2'.repeat(5000), '3'] }],
  },
  {
    name: 'trailers, off',
    upstreams: { app: [{ chunks: ['a'], trailers: [['x-sum', '1']] }] },
    steps: [{ method: 'POST', chunks: ['a'], trailers: [['x-in', '1']] }],
  },
  {
    name: 'trailers, on',
    ...TRAILERS,
    upstreams: { app: [{ chunks: ['a'], trailers: [['x-sum', '1']] }] },
    steps: [
      { method: 'POST', chunks: ['a'], trailers: [['x-in', '1']] },
      { method: 'POST', headers: GRPC, chunks: ['a'], trailers: [['x-in', '1']] },
    ],
  },
  {
    name: 'gRPC status in trailers',
    ...TRAILERS,
    upstreams: {
      app: [
        {
          headers: { 'content-type': 'application/grpc' },
          chunks: ['a'],
          trailers: [
            ['grpc-status', '5'],
            ['grpc-message', 'no'],
          ],
        },
      ],
    },
    steps: [{ method: 'POST', headers: GRPC, body: 'a' }],
  },
  {
    name: 'Expect: 100-continue',
    steps: [
      {
        raw: 'POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n',
        later: [{ waitMs: 100, write: 'abc' }],
        expect: { status: 200 },
      },
    ],
  },
  {
    name: 'Expect: 100-continue, proxied',
    manager: { proxy_100_continue: true },
    steps: [
      {
        raw: 'POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n',
        later: [{ waitMs: 150, write: 'abc' }],
        expect: { status: 200 },
      },
    ],
  },
  {
    name: 'another expectation',
    steps: [{ headers: { expect: 'something-else' } }],
  },
  {
    name: '1xx of the upstream',
    upstreams: {
      app: [
        { informational: [{ status: 103, headers: { link: '</a>' } }], body: 'a' },
        { informational: [{ status: 100 }, { status: 102 }], body: 'b' },
      ],
    },
    steps: [{}, {}],
  },
  {
    name: '100 of the upstream, proxied',
    manager: { proxy_100_continue: true },
    upstreams: { app: [{ informational: [{ status: 100, headers: { 'x-a': '1' } }], body: 'b' }] },
    steps: [{}],
  },
  {
    name: 'pipelined requests are answered in order',
    upstreams: { app: request => ({ body: request.target, delayMs: request.target === '/1' ? 80 : 0 }) },
    steps: [
      {
        raw:
          'GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n' +
          'POST /3 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nabGET /4 HTTP/1.1\r\nhost: a\r\n\r\n',
        responses: 4,
      },
    ],
  },
  {
    name: 'keep-alive and close',
    steps: [
      {},
      { sameConnection: true },
      { sameConnection: true, headers: { connection: 'close' }, connectionAfterMs: LONG_MS },
      { headers: { connection: 'keep-alive' }, connectionAfterMs: 100 },
    ],
  },
  {
    name: 'max_requests_per_connection downstream',
    manager: { common_http_protocol_options: { max_requests_per_connection: 2 } },
    steps: [{}, { sameConnection: true, connectionAfterMs: LONG_MS }],
    withoutStats: 'who closes first is a matter of the moment',
  },
  {
    name: 'idle_timeout downstream',
    manager: { common_http_protocol_options: { idle_timeout: '1s' }, drain_timeout: '0.1s' },
    steps: [{ connectionAfterMs: 120 }, { connectionAfterMs: LONG_MS }],
    withoutStats: 'who closes first is a matter of the moment',
  },
  {
    name: 'max_connection_duration',
    manager: { common_http_protocol_options: { max_connection_duration: '0.2s' }, drain_timeout: '0.1s' },
    steps: [{ connectionAfterMs: LONG_MS }],
    withoutStats: 'who closes first is a matter of the moment',
  },
  {
    name: 'HTTP/1.0, accepted',
    manager: { http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'default.local' } },
    upstreams: { app: [{ body: 'a' }, { chunks: ['a', 'b'] }, { body: 'c' }, { body: 'd' }] },
    steps: [
      { raw: 'GET / HTTP/1.0\r\n\r\n', connectionAfterMs: LONG_MS },
      { raw: 'GET / HTTP/1.0\r\nhost: a\r\n\r\n', connectionAfterMs: LONG_MS },
      { raw: 'GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n', connectionAfterMs: 100 },
      { raw: 'POST / HTTP/1.0\r\nhost: a\r\ncontent-length: 2\r\n\r\nab', connectionAfterMs: LONG_MS },
    ],
  },
  {
    name: 'HTTP/1.0, accepted, with no host to default to',
    manager: { http_protocol_options: { accept_http_10: true } },
    upstreams: { app: [{ body: 'a' }] },
    steps: [
      { raw: 'GET / HTTP/1.0\r\nhost: a\r\n\r\n', connectionAfterMs: LONG_MS, expect: { status: 200 } },
      { raw: 'GET / HTTP/1.0\r\n\r\n', connectionAfterMs: LONG_MS, expect: { status: 400 } },
    ],
    withoutStats: 'who closes first is a matter of the moment',
  },
  {
    name: 'a response while the body is still being uploaded',
    upstreams: { app: [{ status: 400, body: 'enough', early: 0 }] },
    steps: [
      {
        raw: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc',
        connectionAfterMs: LONG_MS,
        expect: { status: 400, body: 'enough' },
      },
    ],
    withoutStats: 'who closes first is a matter of the moment',
  },
  {
    name: 'a local reply while the body is still being uploaded',
    routes: [{ match: { prefix: '/' }, direct_response: { status: 403, body: { inline_string: 'no' } } }],
    steps: [{ raw: 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc', connectionAfterMs: LONG_MS }],
    withoutStats: 'who closes first is a matter of the moment',
  },
  {
    name: 'websocket',
    manager: WEBSOCKET,
    upstreams: { app: [{ raw: `${SWITCHED}hello` }] },
    steps: [{ raw: upgrade(), rawBytes: 5, expect: { status: 101, headers: { upgrade: 'websocket' } } }],
  },
  {
    name: 'an upgrade in another case',
    manager: WEBSOCKET,
    upstreams: { app: [{ raw: `${SWITCHED}hello` }] },
    steps: [{ raw: upgrade('WebSocket'), rawBytes: 5 }],
  },
  {
    name: 'websocket refused by the upstream',
    manager: WEBSOCKET,
    upstreams: { app: [{ status: 403, body: 'no' }] },
    steps: [{ raw: upgrade(), connectionAfterMs: LONG_MS }],
    withoutStats: 'who closes first is a matter of the moment',
  },
  {
    name: 'an upgrade switched off by the route',
    manager: WEBSOCKET,
    route: { upgrade_configs: [{ upgrade_type: 'websocket', enabled: false }] },
    steps: [{ raw: upgrade() }],
    withoutStats: 'who closes first is a matter of the moment',
  },
  {
    name: 'an upgrade switched on by the route',
    route: { upgrade_configs: [{ upgrade_type: 'websocket' }] },
    upstreams: { app: [{ raw: `${SWITCHED}hello` }] },
    steps: [{ raw: upgrade(), rawBytes: 5 }],
  },
  {
    name: 'CONNECT through a route for it',
    manager: { upgrade_configs: [{ upgrade_type: 'CONNECT' }] },
    routes: [{ match: { connect_matcher: {} }, route: { cluster: '{c}' } }],
    upstreams: { app: [{ raw: 'HTTP/1.1 200 OK\r\n\r\nhello' }] },
    steps: [{ raw: 'CONNECT b.local:443 HTTP/1.1\r\nhost: b.local:443\r\n\r\n', deadlineMs: 500 }],
    withoutStats: 'who closes first is a matter of the moment',
  },
  {
    name: 'CONNECT with a route for it and no upgrade',
    routes: [{ match: { connect_matcher: {} }, route: { cluster: '{c}' } }],
    steps: [{ raw: 'CONNECT b.local:443 HTTP/1.1\r\nhost: b.local:443\r\n\r\n', deadlineMs: 500 }],
    withoutStats: 'who closes first is a matter of the moment',
  },
  {
    name: 'local_reply_config',
    manager: { local_reply_config: localReplies },
    clusters: [DEAD],
    routes: [
      { match: { path: '/dead' }, route: { cluster: '{c}-dead' } },
      { match: { path: '/direct' }, direct_response: { status: 418, body: { inline_string: 'direct' } } },
      { match: { path: '/empty' }, direct_response: { status: 500 } },
    ],
    steps: [
      { path: '/none' },
      { path: '/none', method: 'POST', headers: GRPC, body: 'x' },
      { path: '/dead' },
      { path: '/direct' },
      { path: '/direct', method: 'HEAD' },
      { path: '/direct', headers: { 'x-html': '1' } },
      { path: '/empty' },
      { path: '/dead', method: 'POST', headers: GRPC, body: 'x' },
    ],
  },
  {
    name: 'direct responses with formats and bytes',
    routes: [
      { match: { path: '/utf8' }, direct_response: { status: 200, body: { inline_string: 'caf\u00e9 \u20ac' } } },
      {
        match: { path: '/json' },
        direct_response: { status: 200, body_format: { json_format: { path: '%REQ(:PATH)%' } } },
      },
      {
        match: { path: '/html' },
        direct_response: {
          status: 200,
          body_format: { text_format_source: { inline_string: '<i>%REQ(:PATH)%</i>' }, content_type: 'text/html' },
        },
      },
    ],
    steps: [{ path: '/utf8' }, { path: '/json' }, { path: '/html' }],
  },
  {
    name: 'a direct response to gRPC',
    routes: [{ match: { prefix: '/' }, direct_response: { status: 503, body: { inline_string: '100% caf\u00e9' } } }],
    steps: [{ method: 'POST', headers: { 'content-type': 'application/grpc+proto' }, body: 'x' }],
  },
  {
    name: '/healthcheck/fail closes connections',
    adminBefore: ['/healthcheck/fail'],
    adminAfter: ['/healthcheck/ok'],
    steps: [{ expect: { headers: { connection: 'close' } } }],
    withoutStats: 'who closes first is a matter of the moment',
  },
  {
    name: 'a header of weighted clusters',
    clusters: [
      {
        name: '{c}-b',
        load_assignment: {
          cluster_name: '{c}-b',
          endpoints: [
            {
              lb_endpoints: [
                { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: '{{upstream:b}}' } } } },
              ],
            },
          ],
        },
      },
    ],
    routes: [
      {
        match: { prefix: '/' },
        route: {
          weighted_clusters: {
            clusters: [
              { name: '{c}', weight: 0 },
              {
                name: '{c}-b',
                weight: 100,
                response_headers_to_add: [{ header: { key: 'x-chosen', value: 'b' } }],
                request_headers_to_remove: ['x-drop'],
              },
            ],
          },
        },
      },
    ],
    steps: [{ headers: { 'x-drop': '1' } }, {}],
  },
  {
    name: 'a large body both ways',
    upstreams: { app: [{ body: 'r'.repeat(300_000) }] },
    steps: [{ method: 'POST', body: 'q'.repeat(300_000) }],
    withoutStats: 'how often reading pauses depends on the moment',
  },
  {
    name: 'a fault of status 400',
    filters: [
      {
        name: 'envoy.filters.http.fault',
        typed_config: typed('http.fault.v3.HTTPFault', {
          abort: { http_status: 400, percentage: { numerator: 100 } },
        }),
      },
    ],
    steps: [{ connectionAfterMs: LONG_MS }],
    withoutStats: 'who closes first is a matter of the moment',
  },
]

export const http1Suite = exchangeSuite('messages', [...http1Scenarios, ...overlongHttp1])
