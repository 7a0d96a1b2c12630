/** What becomes of headers between caller and upstream, and back (features.md §2.9). */
import { type Json, typed } from './bootstrap.ts'
import { type ExchangeScenario, exchangeSuite, httpOptions } from './exchange.ts'

/** Everything that an internal caller may steer with, and what only proxies may say. */
const STEERING: Readonly<Record<string, string>> = {
  'x-envoy-retry-on': '5xx',
  'x-envoy-retry-grpc-on': 'cancelled',
  'x-envoy-max-retries': '0',
  'x-envoy-upstream-rq-timeout-ms': '9000',
  'x-envoy-upstream-rq-per-try-timeout-ms': '8000',
  'x-envoy-upstream-rq-timeout-alt-response': '1',
  'x-envoy-upstream-alt-stat-name': 'alternative',
  'x-envoy-retriable-status-codes': '499',
  'x-envoy-retriable-header-names': 'x-again',
  'x-envoy-hedge-on-per-try-timeout': 'false',
  'x-envoy-expected-rq-timeout-ms': '7000',
  'x-envoy-force-trace': 'true',
  'x-envoy-internal': 'true',
  'x-envoy-external-address': '9.9.9.9',
  'x-envoy-original-path': '/was',
  'x-envoy-original-host': 'was.local',
  'x-envoy-original-url': 'http://was.local/',
  'x-envoy-decorator-operation': 'op',
  'x-envoy-downstream-service-cluster': 'caller',
  'x-envoy-downstream-service-node': 'node',
  'x-envoy-ip-tags': 'tag',
  'x-envoy-attempt-count': '7',
  'x-envoy-is-timeout-retry': 'true',
  'x-envoy-upstream-stream-duration-ms': '5000',
  'x-envoy-degraded': '1',
  'x-envoy-overloaded': '1',
  'x-forwarded-client-cert': 'By=x',
  'x-client-trace-id': 'abc',
  'x-ot-span-context': 'abc',
}

const LOOPBACK = { internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] } }
const EDGE = { use_remote_address: true }
const UUID = '6f1e1a1c-6f0a-4d4e-8a51-3c1b2c1d5e6f'

const xffSteps: ExchangeScenario['steps'] = [
  {},
  { headers: { 'x-forwarded-for': '1.2.3.4' } },
  { headers: { 'x-forwarded-for': '1.2.3.4, 5.6.7.8' } },
  { headers: { 'x-forwarded-for': '1.2.3.4,5.6.7.8,10.0.0.1' } },
  {
    headers: [
      ['x-forwarded-for', '1.2.3.4'],
      ['x-forwarded-for', '5.6.7.8'],
    ],
  },
  { headers: { 'x-forwarded-for': '127.0.0.9' } },
  { headers: { 'x-forwarded-for': 'not an address' } },
  { headers: { 'x-forwarded-for': '1.2.3.4:5678, [2001:db8::1]:99' } },
  { headers: { 'x-forwarded-for': '2001:db8::1' } },
  { headers: { 'x-forwarded-for': '1.2.3.4', 'x-forwarded-proto': 'https', 'x-forwarded-port': '77' } },
  { headers: { 'x-forwarded-proto': 'ftp' } },
  { headers: { 'x-forwarded-host': 'was.local', 'x-forwarded-scheme': 'https' } },
  { headers: { 'x-forwarded-for': '' } },
]

const modes: readonly (readonly [string, { readonly [key: string]: Json }])[] = [
  ['by default', {}],
  ['use_remote_address', EDGE],
  ['use_remote_address, loopback is internal', { ...EDGE, ...LOOPBACK }],
  ['loopback is internal', LOOPBACK],
  ['use_remote_address, 1 trusted hop', { ...EDGE, xff_num_trusted_hops: 1 }],
  ['use_remote_address, 2 trusted hops', { ...EDGE, xff_num_trusted_hops: 2 }],
  ['1 trusted hop', { xff_num_trusted_hops: 1 }],
  ['skip_xff_append', { ...EDGE, skip_xff_append: true }],
  ['append_x_forwarded_port', { ...EDGE, append_x_forwarded_port: true }],
  [
    'the detection extension xff',
    {
      original_ip_detection_extensions: [
        {
          name: 'xff',
          typed_config: typed('type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig', {
            xff_num_trusted_hops: 1,
          }),
        },
      ],
    },
  ],
  [
    'the detection extension xff with trusted CIDRs',
    {
      original_ip_detection_extensions: [
        {
          name: 'xff',
          typed_config: typed('type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig', {
            xff_trusted_cidrs: {
              cidrs: [
                { address_prefix: '127.0.0.0', prefix_len: 8 },
                { address_prefix: '10.0.0.0', prefix_len: 8 },
              ],
            },
            skip_xff_append: false,
          }),
        },
      ],
    },
  ],
]

const customHeader = (fields: { readonly [key: string]: Json }): { readonly [key: string]: Json } => ({
  original_ip_detection_extensions: [
    {
      name: 'header',
      typed_config: typed(
        'type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig',
        { header_name: 'x-real-ip', ...fields },
      ),
    },
  ],
})

const paths = [
  '/a/./b/../c',
  '/a//b///c',
  '/a%2fb%5Cc',
  '/a%2Fb/../c?x=%2f/../y',
  '/%61%2e%2e/b',
  '/a\\b',
  '/..',
  '/a/..',
  '/a/.',
  '/a%00b',
  '/a/%zz',
  '/a;p/../b',
  '//a',
  '/a?b//c#frag',
]
const pathSteps = paths.map(path => ({ path }))

export const headerScenarios: readonly ExchangeScenario[] = [
  ...modes.map(
    ([mode, manager]): ExchangeScenario => ({
      name: `x-forwarded headers, ${mode}`,
      manager,
      steps: xffSteps,
    }),
  ),
  ...modes.slice(0, 4).map(
    ([mode, manager]): ExchangeScenario => ({
      name: `x-envoy headers of the caller, ${mode}`,
      manager,
      steps: [{ headers: STEERING, expect: { status: 200 } }],
    }),
  ),
  {
    name: 'an address in a header of its own',
    manager: customHeader({}),
    steps: [{ headers: { 'x-real-ip': '1.2.3.4' } }, { headers: { 'x-real-ip': 'nonsense' } }, {}],
  },
  {
    name: 'an address in a header of its own, trusted, and a refusal without it',
    manager: {
      ...customHeader({
        allow_extension_to_set_address_as_trusted: true,
        reject_with_status: { code: 'Forbidden' },
      }),
      internal_address_config: { cidr_ranges: [{ address_prefix: '1.2.3.0', prefix_len: 24 }] },
    },
    steps: [
      { headers: { 'x-real-ip': '1.2.3.4', ...STEERING } },
      { headers: { 'x-real-ip': '9.9.9.9', ...STEERING } },
      { headers: { 'x-real-ip': 'nonsense' }, expect: { status: 403 } },
    ],
  },
  ...[
    ['by default', {}],
    ['at the edge', EDGE],
    ['at the edge, preserved', { ...EDGE, preserve_external_request_id: true }],
    ['not generated', { generate_request_id: false }],
    ['always in the response', { always_set_request_id_in_response: true }],
    [
      'not packed with the trace reason',
      {
        request_id_extension: {
          typed_config: typed('type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig', {
            pack_trace_reason: false,
          }),
        },
      },
    ],
  ].map(
    ([mode, manager]): ExchangeScenario => ({
      name: `x-request-id, ${mode as string}`,
      manager: manager as { readonly [key: string]: Json },
      steps: [{}, { headers: { 'x-request-id': UUID } }, { headers: { 'x-request-id': 'mine' } }],
    }),
  ),
  {
    name: 'via',
    manager: { via: 'proxy' },
    upstreams: { app: [{ headers: { via: '1.1 app' } }] },
    steps: [{}, { headers: { via: '1.0 before' } }],
  },
  ...['OVERWRITE', 'APPEND_IF_ABSENT', 'PASS_THROUGH'].map(
    (mode): ExchangeScenario => ({
      name: `server header, ${mode}`,
      manager: { server_header_transformation: mode, server_name: 'mine' },
      upstreams: { app: [{ headers: { server: 'app' } }, {}] },
      routes: [
        { match: { prefix: '/direct' }, direct_response: { status: 200 } },
        { match: { prefix: '/' }, route: { cluster: '{c}' } },
      ],
      steps: [{}, {}, { path: '/direct' }],
      serverHeader: true,
    }),
  ),
  { name: 'server header by default', steps: [{}], serverHeader: true },
  {
    name: 'add_user_agent',
    manager: { add_user_agent: true, use_remote_address: true },
    steps: [{}, { headers: { 'user-agent': 'curl', 'x-envoy-downstream-service-cluster': 'spoof' } }],
  },
  {
    name: 'the scheme is overwritten',
    manager: { scheme_header_transformation: { scheme_to_overwrite: 'https' } },
    routes: [{ match: { prefix: '/' }, redirect: { path_redirect: '/new' } }],
    steps: [{}],
  },
  ...[false, true].map(
    (remote): ExchangeScenario => ({
      name: `the scheme is overwritten, and what was forwarded, ${remote ? 'at the edge' : 'inside'}`,
      manager: { scheme_header_transformation: { scheme_to_overwrite: 'https' }, use_remote_address: remote },
      steps: [{}, { headers: { 'x-forwarded-proto': 'http' } }],
    }),
  ),
  {
    name: 'strip_any_host_port',
    manager: { strip_any_host_port: true },
    steps: [{ host: 'a.local:8080' }, { host: 'a.local' }, { host: '[::1]:80' }],
  },
  {
    name: 'strip_matching_host_port',
    manager: { strip_matching_host_port: true },
    steps: [{ host: 'a.local:8080' }, { host: 'a.local:80' }],
  },
  {
    name: 'strip_trailing_host_dot',
    manager: { strip_trailing_host_dot: true },
    steps: [{ host: 'a.local.' }, { host: 'a.local.:80' }, { host: 'a.local' }],
  },
  { name: 'paths as they come', steps: pathSteps },
  { name: 'normalize_path', manager: { normalize_path: true }, steps: pathSteps },
  { name: 'merge_slashes', manager: { merge_slashes: true }, steps: pathSteps },
  {
    name: 'normalize_path and merge_slashes',
    manager: { normalize_path: true, merge_slashes: true },
    steps: pathSteps,
  },
  ...['REJECT_REQUEST', 'UNESCAPE_AND_REDIRECT', 'UNESCAPE_AND_FORWARD'].map(
    (action): ExchangeScenario => ({
      name: `escaped slashes, ${action}`,
      manager: { path_with_escaped_slashes_action: action },
      steps: pathSteps.slice(0, 5),
    }),
  ),
  ...['ALLOW', 'REJECT_REQUEST', 'DROP_HEADER'].map(
    (action): ExchangeScenario => ({
      name: `names with underscores, ${action}`,
      manager: { common_http_protocol_options: { headers_with_underscores_action: action } },
      steps: [{ headers: { x_a: '1', 'x-b': '2' } }, {}],
    }),
  ),
  {
    name: 'hop-by-hop headers',
    upstreams: {
      app: [
        {
          headers: {
            connection: 'keep-alive, x-private',
            'keep-alive': 'timeout=5',
            'proxy-connection': 'x',
            'x-private': '1',
            upgrade: 'h2c',
          },
        },
      ],
    },
    steps: [
      {
        headers: {
          connection: 'keep-alive',
          'keep-alive': 'timeout=5',
          'proxy-connection': 'keep-alive',
          'proxy-authorization': 'Basic x',
          te: 'trailers, deflate',
        },
      },
      { headers: { connection: 'close, x-private', 'x-private': '1' } },
      { headers: { connection: 'te', te: 'trailers' } },
      { headers: { te: 'gzip' } },
      { headers: { connection: 'x-forwarded-for', 'x-forwarded-for': '1.2.3.4' } },
    ],
  },
  {
    name: 'repeated and empty headers, order and case',
    upstreams: {
      app: [
        {
          headers: [
            ['X-Mixed-Case', 'A'],
            ['set-cookie', 'a=1'],
            ['Set-Cookie', 'b=2'],
            ['x-empty', ''],
          ],
        },
      ],
    },
    steps: [
      {
        headers: [
          ['X-Mixed', 'A'],
          ['x-two', '1'],
          ['x-two', '2'],
          ['cookie', 'a=1'],
          ['cookie', 'b=2'],
          ['x-empty', ''],
          ['x-blank', '  spaced  out  '],
          ['x-latin', 'caf\u00e9'],
          ['accept', 'a'],
          ['accept', 'b'],
        ],
      },
    ],
  },
  {
    name: 'proper_case_words',
    manager: { http_protocol_options: { header_key_format: { proper_case_words: {} } } },
    cluster: {
      typed_extension_protocol_options: httpOptions({
        explicit_http_config: { http_protocol_options: { header_key_format: { proper_case_words: {} } } },
      }),
    },
    steps: [{ headers: { 'x-mixed-case': '1' } }],
    exactHeaders: true,
  },
  {
    name: 'header order',
    upstreams: { app: [{ headers: { 'x-b': '1', 'x-a': '2', date: 'Mon, 01 Jan 2024 00:00:00 GMT' } }] },
    steps: [{ headers: { 'x-b': '1', 'x-a': '2', accept: '*/*' } }],
    exactHeaders: true,
  },
  {
    name: 'attempt counts',
    virtualHost: { include_request_attempt_count: true, include_attempt_count_in_response: true },
    route: {
      retry_policy: { retry_on: '5xx', num_retries: 2, retry_back_off: { base_interval: '0.001s' } },
    },
    upstreams: { app: [{ status: 500 }, { status: 200 }] },
    steps: [{ headers: { 'x-envoy-attempt-count': '9' } }],
  },
  {
    name: 'attempt count on an answer of the proxy',
    virtualHost: { include_attempt_count_in_response: true },
    route: {
      retry_policy: { retry_on: 'reset', num_retries: 1, retry_back_off: { base_interval: '0.001s' } },
    },
    upstreams: { app: [{ end: 'close' }] },
    steps: [{}],
  },
  {
    name: 'headers of routes and virtual hosts on answers of the proxy',
    virtualHost: { response_headers_to_add: [{ header: { key: 'x-vhost', value: '%RESPONSE_FLAGS%' } }] },
    routeConfig: { response_headers_to_remove: ['x-remove'] },
    routes: [
      {
        match: { path: '/direct' },
        direct_response: { status: 200, body: { inline_string: 'd' } },
        response_headers_to_add: [{ header: { key: 'x-route', value: '%RESPONSE_CODE%' } }],
      },
      {
        match: { path: '/gone' },
        route: { cluster_header: 'x-none' },
        response_headers_to_add: [{ header: { key: 'x-route', value: '%RESPONSE_CODE%' } }],
      },
      {
        match: { path: '/timeout' },
        route: { cluster: '{c}', timeout: '0.1s' },
        response_headers_to_add: [{ header: { key: 'x-route', value: '%RESPONSE_CODE_DETAILS%' } }],
      },
    ],
    upstreams: { app: [{ end: 'hang' }] },
    steps: [{ path: '/direct' }, { path: '/gone' }, { path: '/timeout' }, { path: '/none' }],
  },
  {
    name: 'suppress_envoy_headers',
    manager: {
      http_filters: [
        {
          name: 'envoy.filters.http.router',
          typed_config: typed('http.router.v3.Router', { suppress_envoy_headers: true }),
        },
      ],
    },
    route: { prefix_rewrite: '/new' },
    steps: [{ path: '/old' }],
  },
  {
    name: 'strict_check_headers',
    manager: {
      ...LOOPBACK,
      use_remote_address: true,
      http_filters: [
        {
          name: 'envoy.filters.http.router',
          typed_config: typed('http.router.v3.Router', {
            strict_check_headers: [
              'x-envoy-upstream-rq-timeout-ms',
              'x-envoy-upstream-rq-per-try-timeout-ms',
              'x-envoy-max-retries',
              'x-envoy-retry-grpc-on',
              'x-envoy-retry-on',
            ],
          }),
        },
      ],
    },
    steps: [
      { headers: { 'x-envoy-upstream-rq-timeout-ms': 'soon' }, expect: { status: 400, log: ' IH ' } },
      { headers: { 'x-envoy-retry-on': '5xx,nonsense' } },
      { headers: { 'x-envoy-retry-on': '5xx, reset' } },
      { headers: { 'x-envoy-retry-grpc-on': 'cancelled,5xx' } },
      { headers: { 'x-envoy-max-retries': '-1' } },
      { headers: { 'x-envoy-max-retries': '1' } },
    ],
  },
  {
    name: 'dynamic_stats off',
    manager: {
      http_filters: [
        {
          name: 'envoy.filters.http.router',
          typed_config: typed('http.router.v3.Router', { dynamic_stats: false }),
        },
      ],
    },
    steps: [{}],
  },
  {
    name: 'early header mutation',
    manager: {
      early_header_mutation_extensions: [
        {
          name: 'mutation',
          typed_config: typed(
            'type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation',
            {
              mutations: [
                { remove: 'x-remove' },
                {
                  append: {
                    header: { key: 'x-early', value: '%REQ(x-in)%' },
                    append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
                  },
                },
                {
                  append: {
                    header: { key: 'x-forwarded-for', value: '5.6.7.8' },
                    append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
                  },
                },
              ],
            },
          ),
        },
      ],
    },
    steps: [{ headers: { 'x-remove': '1', 'x-in': 'abc', 'x-forwarded-for': '1.2.3.4' } }],
  },
  {
    name: 'internal-only headers of the route configuration',
    manager: { ...EDGE },
    routeConfig: { internal_only_headers: ['x-secret'] },
    steps: [{ headers: { 'x-secret': '1' } }],
  },
  {
    name: 'forward_proto_config',
    manager: {
      use_remote_address: true,
      forward_proto_config: { https_destination_ports: [1], http_destination_ports: [2] },
    },
    steps: [{}, { headers: { 'x-forwarded-proto': 'https' } }],
  },
  {
    name: 'a response that Envoy would not have written',
    upstreams: {
      app: [
        {
          headers: {
            'x-envoy-upstream-service-time': '999',
            'x-envoy-attempt-count': '9',
            'x-envoy-upstream-canary': 'true',
          },
        },
        { headers: { 'x-envoy-immediate-health-check-fail': '1', 'x-envoy-decorator-operation': 'x' } },
      ],
    },
    steps: [{}, {}],
  },
  {
    name: 'virtual clusters and route stats',
    virtualHost: {
      virtual_clusters: [{ name: 'users', headers: [{ name: ':path', string_match: { prefix: '/users' } }] }],
    },
    routes: [
      { match: { prefix: '/slow' }, route: { cluster: '{c}', timeout: '0.1s' }, stat_prefix: 'slow' },
      { match: { prefix: '/' }, route: { cluster: '{c}' }, stat_prefix: 'main' },
    ],
    upstreams: { app: request => (request.target === '/slow' ? { end: 'hang' } : { status: 201 }) },
    steps: [{ path: '/users/1' }, { path: '/other' }, { path: '/slow' }],
    stats: [
      'vhost.app.vcluster.users.upstream_rq_total',
      'vhost.app.vcluster.users.upstream_rq_201',
      'vhost.app.vcluster.users.upstream_rq_2xx',
      'vhost.app.vcluster.users.upstream_rq_completed',
      'vhost.app.vcluster.other.upstream_rq_total',
      'vhost.app.vcluster.other.upstream_rq_timeout',
      'vhost.app.vcluster.other.upstream_rq_504',
      'vhost.app.route.slow.upstream_rq_timeout',
      'vhost.app.route.slow.upstream_rq_5xx',
      'vhost.app.route.main.upstream_rq_total',
      'vhost.app.route.main.upstream_rq_2xx',
    ],
  },
]

export const headerSuite = exchangeSuite('headers', headerScenarios)
