import { always, type Json, never } from './bootstrap.ts'
import type { FilterScenario } from './filters.ts'
import { actions, bucket, descriptor, limit, limitMessage as message, name, on } from './local-rate-limit-config.ts'
import { rateLimitActionScenarios } from './rate-limit-actions.ts'

const header = (name: string, key: string, more: Record<string, Json> = {}): Json => ({
  request_headers: { header_name: name, descriptor_key: key, ...more },
})

const ok = { expect: { status: 200 } }
const limited = { expect: { status: 429 } }
const times = <T>(count: number, step: T): T[] => Array.from({ length: count }, () => step)
const STATS = ['enabled', 'enforced', 'ok', 'rate_limited'].map(stat => `rl.http_local_rate_limit.${stat}`)

export const localRateLimitScenarios: readonly FilterScenario[] = [
  {
    name: 'local_ratelimit: by default it limits nothing',
    filters: [limit({ token_bucket: bucket(1) })],
    steps: times(3, ok),
    stats: STATS,
    expectStats: { 'rl.http_local_rate_limit.enabled': 0 },
  },
  {
    name: 'local_ratelimit: as many requests as tokens',
    filters: [limit({ ...on, token_bucket: bucket(2) })],
    steps: [
      ...times(2, ok),
      {
        expect: {
          status: 429,
          body: 'local_rate_limited',
          headers: { 'content-type': 'text/plain', 'x-envoy-ratelimited': null },
          log: '429 RL local_rate_limited',
        },
      },
    ],
    stats: STATS,
    expectStats: {
      'rl.http_local_rate_limit.enabled': 3,
      'rl.http_local_rate_limit.ok': 2,
      'rl.http_local_rate_limit.rate_limited': 1,
      'rl.http_local_rate_limit.enforced': 1,
    },
    expectUpstream: [{}, {}],
  },
  {
    name: 'local_ratelimit: tokens come back',
    filters: [limit({ ...on, token_bucket: { max_tokens: 1, tokens_per_fill: 1, fill_interval: '1s' } })],
    steps: [ok, limited, { waitMs: 1050, ...ok }, limited],
  },
  {
    name: 'local_ratelimit: tokens come back one by one',
    filters: [limit({ ...on, token_bucket: { max_tokens: 4, tokens_per_fill: 4, fill_interval: '8s' } })],
    steps: [...times(4, ok), limited, { waitMs: 2100, ...ok }, limited],
  },
  {
    name: 'local_ratelimit: counted but not enforced',
    filters: [
      limit({
        filter_enabled: always,
        filter_enforced: never,
        token_bucket: bucket(1),
        request_headers_to_add_when_not_enforced: [
          { header: { key: 'x-limited', value: '%REQ(x-who)%' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
        ],
      }),
    ],
    steps: times(2, { headers: { 'x-who': 'me' }, expect: { status: 200 } }),
    stats: STATS,
    expectStats: { 'rl.http_local_rate_limit.rate_limited': 1, 'rl.http_local_rate_limit.enforced': 0 },
    expectUpstream: [{ headers: { 'x-limited': null } }, { headers: { 'x-limited': 'me' } }],
  },
  {
    name: 'local_ratelimit: headers of the refusal',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(1),
        response_headers_to_add: [
          { header: { key: 'x-why', value: '%REQ(:path)%' } },
          { header: { key: 'content-type', value: 'text/odd' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
          { header: { key: 'x-code', value: '%RESPONSE_CODE%' } },
        ],
      }),
    ],
    steps: [
      { expect: { status: 200, headers: { 'x-why': null } } },
      { path: '/p', expect: { status: 429, headers: { 'x-why': '/p' } } },
    ],
  },
  {
    name: 'local_ratelimit: x-ratelimit headers',
    filters: [limit({ ...on, token_bucket: bucket(2, '100s'), enable_x_ratelimit_headers: 'DRAFT_VERSION_03' })],
    steps: [
      { expect: { headers: { 'x-ratelimit-limit': '2', 'x-ratelimit-remaining': '1' } } },
      { expect: { headers: { 'x-ratelimit-limit': '2', 'x-ratelimit-remaining': '0' } } },
      { expect: { status: 429, headers: { 'x-ratelimit-limit': '2', 'x-ratelimit-remaining': '0' } } },
    ],
  },
  {
    name: 'local_ratelimit: retry-after',
    filters: [limit({ ...on, token_bucket: bucket(1, '100s'), enable_retry_after_header: true })],
    steps: [{ expect: { headers: { 'retry-after': null } } }, { expect: { status: 429 } }],
  },
  {
    name: 'local_ratelimit: retry-after below a second',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(1, '0.9s'),
        enable_retry_after_header: true,
        enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
      }),
    ],
    steps: [{ expect: { headers: { 'retry-after': null } } }, { expect: { status: 429 } }],
  },
  {
    name: 'local_ratelimit: another status',
    filters: [limit({ ...on, token_bucket: bucket(1), status: { code: 'ServiceUnavailable' } })],
    steps: [ok, { expect: { status: 503 } }],
  },
  {
    name: 'local_ratelimit: a status that is no error',
    filters: [limit({ ...on, token_bucket: bucket(1), status: { code: 'OK' } })],
    steps: [ok, { expect: { status: 429 } }],
  },
  {
    name: 'local_ratelimit: gRPC',
    filters: [limit({ ...on, token_bucket: bucket(0) })],
    steps: [
      {
        method: 'POST',
        headers: { 'content-type': 'application/grpc' },
        expect: { status: 200, headers: { 'grpc-status': '14', 'grpc-message': 'local_rate_limited' } },
      },
    ],
  },
  {
    name: 'local_ratelimit: gRPC resource exhausted',
    filters: [limit({ ...on, token_bucket: bucket(0), rate_limited_as_resource_exhausted: true })],
    steps: [
      {
        method: 'POST',
        headers: { 'content-type': 'application/grpc' },
        expect: { status: 200, headers: { 'grpc-status': '8' } },
      },
    ],
  },
  {
    name: 'local_ratelimit: a bucket per connection',
    filters: [limit({ ...on, token_bucket: bucket(1), local_rate_limit_per_downstream_connection: true })],
    steps: [ok, { sameConnection: true, ...limited }, ok],
  },
  {
    name: "local_ratelimit: a route's own bucket",
    filters: [limit({})],
    routes: [
      {
        match: { prefix: '/one' },
        route: { cluster: 'app' },
        typed_per_filter_config: { [name]: message({ ...on, token_bucket: bucket(1) }) },
      },
      { match: { prefix: '/' }, route: { cluster: 'app' } },
    ],
    steps: [{ path: '/one', ...ok }, { path: '/one', ...limited }, ok, ok],
  },
  {
    name: 'local_ratelimit: descriptors by rate_limits of the filter',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        rate_limits: [actions(header('x-who', 'who'))],
        descriptors: [descriptor({ who: 'a' }, 1), descriptor({ who: 'b' }, 2)],
      }),
    ],
    steps: [
      { headers: { 'x-who': 'a' }, ...ok },
      { headers: { 'x-who': 'a' }, ...limited },
      ...times(2, { headers: { 'x-who': 'b' }, ...ok }),
      { headers: { 'x-who': 'b' }, ...limited },
      ...times(3, { headers: { 'x-who': 'c' }, ...ok }),
      ...times(3, ok),
    ],
  },
  {
    name: 'local_ratelimit: a descriptor needs all its entries in order',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        rate_limits: [actions(header('x-a', 'a'), header('x-b', 'b', { skip_if_absent: true }))],
        descriptors: [descriptor({ a: '1', b: '2' }, 0), descriptor({ a: '9' }, 0)],
      }),
    ],
    steps: [
      { headers: { 'x-a': '1', 'x-b': '2' }, ...limited },
      { headers: { 'x-a': '1' }, ...ok },
      { headers: { 'x-b': '2' }, ...ok },
      { headers: { 'x-a': '9' }, ...limited },
      { headers: { 'x-a': '9', 'x-b': '2' }, ...ok },
    ],
  },
  {
    name: 'local_ratelimit: a descriptor without a value has a bucket per value',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        rate_limits: [actions(header('x-who', 'who'))],
        descriptors: [descriptor({ who: '' }, 1)],
        max_dynamic_descriptors: 2,
      }),
    ],
    steps: [
      { headers: { 'x-who': 'a' }, ...ok },
      { headers: { 'x-who': 'b' }, ...ok },
      { headers: { 'x-who': 'a' }, ...limited },
      { headers: { 'x-who': 'c' }, ...ok },
      { headers: { 'x-who': 'a' }, ...limited },
      { headers: { 'x-who': 'b' }, ...ok },
    ],
  },
  {
    name: 'local_ratelimit: the default bucket is consumed too',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(2),
        rate_limits: [actions(header('x-who', 'who'))],
        descriptors: [descriptor({ who: 'a' }, 10)],
        enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
      }),
    ],
    steps: [...times(2, { headers: { 'x-who': 'a' }, ...ok }), { headers: { 'x-who': 'a' }, ...limited }],
  },
  {
    name: 'local_ratelimit: or only where no descriptor matches',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(1),
        rate_limits: [actions(header('x-who', 'who'))],
        descriptors: [descriptor({ who: 'a' }, 3)],
        always_consume_default_token_bucket: false,
      }),
    ],
    steps: [...times(3, { headers: { 'x-who': 'a' }, ...ok }), { headers: { 'x-who': 'a' }, ...limited }, ok, limited],
  },
  {
    name: 'local_ratelimit: a descriptor in shadow mode',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        rate_limits: [actions(header('x-who', 'who'))],
        descriptors: [descriptor({ who: 'a' }, 1, { shadow_mode: true })],
        enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
      }),
    ],
    steps: times(3, { headers: { 'x-who': 'a' } }),
    stats: [...STATS, 'rl.http_local_rate_limit.shadow_mode'],
  },
  {
    name: 'local_ratelimit: hits of a request',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        rate_limits: [{ ...(actions(header('x-who', 'who')) as object), hits_addend: { number: 2 } }],
        descriptors: [descriptor({ who: 'a' }, 3)],
      }),
    ],
    steps: [
      { headers: { 'x-who': 'a' }, ...ok },
      { headers: { 'x-who': 'a' }, ...limited },
    ],
  },
  {
    name: 'local_ratelimit: hits said by a header',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        rate_limits: [{ ...(actions(header('x-who', 'who')) as object), hits_addend: { format: '%REQ(x-hits)%' } }],
        descriptors: [descriptor({ who: 'a' }, 3)],
      }),
    ],
    steps: [
      { headers: { 'x-who': 'a', 'x-hits': '3' }, ...ok },
      { headers: { 'x-who': 'a', 'x-hits': '1' }, ...limited },
      { headers: { 'x-who': 'a', 'x-hits': '0' } },
      { headers: { 'x-who': 'a', 'x-hits': 'many' } },
      { headers: { 'x-who': 'a' } },
    ],
  },
  {
    name: 'local_ratelimit: rate_limits of route and virtual host',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        descriptors: [descriptor({ r: 'route' }, 1), descriptor({ v: 'vhost' }, 1)],
      }),
    ],
    virtualHost: { rate_limits: [actions({ generic_key: { descriptor_key: 'v', descriptor_value: 'vhost' } })] },
    routes: [
      {
        match: { prefix: '/own' },
        route: {
          cluster: 'app',
          rate_limits: [actions({ generic_key: { descriptor_key: 'r', descriptor_value: 'route' } })],
        },
      },
      {
        match: { prefix: '/both' },
        route: {
          cluster: 'app',
          include_vh_rate_limits: true,
          rate_limits: [actions({ generic_key: { descriptor_key: 'r', descriptor_value: 'other' } })],
        },
      },
      { match: { prefix: '/' }, route: { cluster: 'app' } },
    ],
    steps: [{ path: '/own', ...ok }, { path: '/own', ...limited }, ok, limited, { path: '/both', ...limited }],
  },
  {
    name: 'local_ratelimit: rate_limits of another stage are for others',
    filters: [
      limit({ ...on, stage: 2, token_bucket: bucket(100), descriptors: [descriptor({ generic_key: 'x' }, 0)] }),
    ],
    routes: [
      {
        match: { prefix: '/two' },
        route: {
          cluster: 'app',
          rate_limits: [{ stage: 2, actions: [{ generic_key: { descriptor_value: 'x' } }] }],
        },
      },
      {
        match: { prefix: '/' },
        route: { cluster: 'app', rate_limits: [actions({ generic_key: { descriptor_value: 'x' } })] },
      },
    ],
    steps: [ok, { path: '/two', ...limited }],
  },
  {
    name: 'local_ratelimit: vh_rate_limits IGNORE',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        vh_rate_limits: 'IGNORE',
        descriptors: [descriptor({ generic_key: 'x' }, 0)],
      }),
    ],
    virtualHost: { rate_limits: [actions({ generic_key: { descriptor_value: 'x' } })] },
    steps: [ok],
  },
  {
    name: 'local_ratelimit: a request of no hits is refused',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        rate_limits: [{ ...(actions(header('x-who', 'who')) as object), hits_addend: { format: '%REQ(x-hits)%' } }],
        descriptors: [descriptor({ who: 'a' }, 50)],
        enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
        enable_retry_after_header: true,
      }),
    ],
    steps: [
      { headers: { 'x-who': 'a', 'x-hits': '0' }, expect: { status: 429, headers: { 'retry-after': '1' } } },
      { headers: { 'x-who': 'a', 'x-hits': '-1' }, expect: { status: 200, headers: { 'x-ratelimit-limit': '100' } } },
      ...['1e1', '0x5', ' 3', '+3', '1.9'].map(hits => ({ headers: { 'x-who': 'a', 'x-hits': hits }, ...ok })),
      { headers: { 'x-who': 'a', 'x-hits': '99999999999' }, ...ok },
    ],
  },
  {
    name: 'local_ratelimit: hits that are given back',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        rate_limits: [
          {
            ...(actions(header('x-who', 'who')) as object),
            hits_addend: { format: '%REQ(x-hits)%', is_negative_hits: true },
          },
        ],
        descriptors: [descriptor({ who: 'a' }, 5)],
        enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
      }),
    ],
    steps: [{ headers: { 'x-who': 'a', 'x-hits': '2' }, expect: { headers: { 'x-ratelimit-remaining': '5' } } }],
  },
  {
    name: 'local_ratelimit: x-ratelimit headers by descriptor',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(10),
        enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
        rate_limits: [{ ...(actions(header('x-who', 'who')) as object), x_ratelimit_option: 'OFF' }],
        descriptors: [descriptor({ who: 'a' }, 1)],
      }),
    ],
    steps: [
      { headers: { 'x-who': 'a' }, expect: { headers: { 'x-ratelimit-limit': null } } },
      { headers: { 'x-who': 'b' }, expect: { headers: { 'x-ratelimit-limit': '10' } } },
    ],
  },
  {
    name: 'local_ratelimit: a bucket that is always empty tells nothing',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(0),
        enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
        enable_retry_after_header: true,
      }),
    ],
    steps: [{ expect: { status: 429, headers: { 'x-ratelimit-limit': null, 'retry-after': null } } }],
  },
  {
    name: 'local_ratelimit: without a default bucket only descriptors limit',
    filters: [
      limit({
        ...on,
        enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
        rate_limits: [actions(header('x-who', 'who'))],
        descriptors: [descriptor({ who: 'a' }, 1)],
      }),
    ],
    steps: [
      { headers: { 'x-who': 'a' }, ...ok },
      { headers: { 'x-who': 'a' }, ...limited },
      { headers: { 'x-who': 'b' }, expect: { status: 200, headers: { 'x-ratelimit-limit': null } } },
    ],
  },
  {
    name: 'local_ratelimit: the slowest of several descriptors is told',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
        enable_retry_after_header: true,
        rate_limits: [actions(header('x-who', 'who')), actions(header('x-b', 'b'))],
        descriptors: [descriptor({ who: 'a' }, 3), descriptor({ b: '1' }, 2)],
      }),
    ],
    steps: [
      ...times(2, { headers: { 'x-who': 'a', 'x-b': '1' }, expect: { headers: { 'x-ratelimit-limit': '2' } } }),
      { headers: { 'x-who': 'a', 'x-b': '1' }, expect: { status: 429, headers: { 'retry-after': '500' } } },
      { headers: { 'x-who': 'a' }, expect: { headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '334' } } },
    ],
  },
  {
    name: 'local_ratelimit: limits for the end of the stream are for others',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        rate_limits: [{ ...(actions(header('x-who', 'who')) as object), apply_on_stream_done: true }],
        descriptors: [descriptor({ who: 'a' }, 0)],
      }),
    ],
    steps: [{ headers: { 'x-who': 'a' }, ...ok }],
  },
  {
    name: 'local_ratelimit: the first of several headers counts',
    filters: [
      limit({
        ...on,
        token_bucket: bucket(100),
        rate_limits: [actions(header('x-who', 'who'))],
        descriptors: [descriptor({ who: 'a,b' }, 0), descriptor({ who: 'a' }, 1)],
      }),
    ],
    steps: times(2, {
      headers: [
        ['x-who', 'a'],
        ['x-who', 'b'],
      ] as [string, string][],
    }).map((step, i) => ({ ...step, expect: { status: i === 0 ? 200 : 429 } })),
  },
  {
    name: 'local_ratelimit: a refused request with a body closes the connection',
    filters: [limit({ ...on, token_bucket: bucket(0) })],
    steps: [
      { method: 'POST', chunks: ['abc'], expect: { status: 429, headers: { connection: 'close' } } },
      { method: 'HEAD', expect: { status: 429, body: '' } },
    ],
  },
  ...rateLimitActionScenarios,
]
