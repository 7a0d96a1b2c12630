import type { Step } from '../../kit/side-by-side.ts'
import { always, type Json, never, percent, typed } from './bootstrap.ts'
import type { RoutingScenario } from './routing.ts'
import { blueIf, get, header, none, rest, to } from './routing-parts.ts'

const withHeader = (value: string) => ({ headers: { 'x-k': value } })
const twice: Partial<Step> = {
  headers: [
    ['x-k', 'a'],
    ['x-k', 'b'],
    ['x-k', '1'],
  ],
}
const grpcType = { headers: { 'content-type': 'application/grpc' } }

const uriTemplate = (template: string): Json => ({
  name: 'envoy.path.match.uri_template.uri_template_matcher',
  typed_config: typed('type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig', {
    path_template: template,
  }),
})
const headerInput = (name: string): Json => ({
  name: 'request-headers',
  typed_config: typed('type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput', { header_name: name }),
})
const action = (cluster: string, match: { readonly [key: string]: Json } = { prefix: '/' }): Json => ({
  action: {
    name: 'route',
    typed_config: typed('type.googleapis.com/envoy.config.route.v3.Route', { match, route: { cluster } }),
  },
})
const single = (name: string, value_match: Json): Json => ({
  single_predicate: { input: headerInput(name), value_match },
})

const pathScenarios: readonly RoutingScenario[] = [
  {
    name: 'match: a prefix takes what begins with it, query or not',
    routes: [to('blue', { prefix: '/api' })],
    steps: [
      get('/api', 'blue'),
      get('/apiary', 'blue'),
      get('/api/x?y=/z', 'blue'),
      get('/api?x', 'blue'),
      none('/ap'),
      none('/API'),
      none('/x/api'),
      none('/?/api'),
    ],
  },
  {
    name: 'match: a path is the whole path, without the query',
    routes: [to('blue', { path: '/a/b' })],
    steps: [get('/a/b', 'blue'), get('/a/b?c=d', 'blue'), none('/a/b/'), none('/a/bc'), none('/a'), none('/A/b')],
  },
  {
    name: 'match: case_sensitive false folds ASCII in prefix and path',
    routes: [
      to('blue', { prefix: '/Api', case_sensitive: false }),
      to('green', { path: '/Exact', case_sensitive: false }),
      to('blue', { path_separated_prefix: '/Sep', case_sensitive: false }),
    ],
    steps: [get('/aPI/x', 'blue'), get('/EXACT?q', 'green'), none('/EXACT/'), get('/sEP/x', 'blue'), none('/sepx')],
  },
  {
    name: 'match: a regex matches the whole path without the query',
    routes: [to('blue', { safe_regex: { regex: '/v[0-9]+/.*' } }), to('green', { safe_regex: { regex: '/x|/y' } })],
    steps: [
      get('/v1/a', 'blue'),
      get('/v1/?q', 'blue'),
      none('/v1'),
      none('/w/v1/a'),
      get('/y', 'green'),
      none('/xx'),
      none('/v1?/a'),
    ],
  },
  {
    name: 'match: case_sensitive does not change a regex, (?i) does',
    routes: [
      to('blue', { safe_regex: { regex: '/abc' }, case_sensitive: false }),
      to('green', { safe_regex: { regex: '(?i)/def' } }),
    ],
    steps: [none('/ABC'), get('/DeF', 'green')],
  },
  {
    name: 'match: a path_separated_prefix ends at a slash',
    routes: [to('blue', { path_separated_prefix: '/api' })],
    steps: [get('/api', 'blue'), get('/api/', 'blue'), get('/api/x', 'blue'), get('/api?x', 'blue'), none('/apix')],
  },
  {
    name: 'match: the first route wins, not the longest',
    routes: [to('blue', { prefix: '/a' }), to('green', { prefix: '/a/b' }), to('green', { path: '/a/b' }), rest],
    steps: [get('/a/b', 'blue'), get('/b', 'app')],
  },
  {
    name: 'match: a uri template takes one segment or many',
    routes: [
      to('blue', { path_match_policy: uriTemplate('/one/{id}/end') }),
      to('green', { path_match_policy: uriTemplate('/many/{rest=**}') }),
      to('blue', { path_match_policy: uriTemplate('/lit/*/x') }),
    ],
    steps: [
      get('/one/a/end', 'blue'),
      get('/one/a/end?q', 'blue'),
      none('/one//end'),
      none('/one/a/b/end'),
      get('/many/', 'green'),
      get('/many/a/b/c.d', 'green'),
      none('/many'),
      get('/lit/q/x', 'blue'),
    ],
  },
  {
    name: 'match: a uri template with text around variables and behind operators',
    routes: [
      to('blue', { path_match_policy: uriTemplate('/v{id}.json') }),
      to('green', { path_match_policy: uriTemplate('/x/**.m3u8') }),
      to('blue', { path_match_policy: uriTemplate('/{a=y/*/z}/end') }),
      to('green', { path_match_policy: uriTemplate('/slash/') }),
      to('blue', { path_match_policy: uriTemplate('/stars*') }),
      to('green', { path_match_policy: uriTemplate('/one/{a}/{b=**}/') }),
    ],
    steps: [
      get('/v12.json', 'blue'),
      none('/v.json'),
      none('/v12xjson'),
      get('/x/a/b.m3u8', 'green'),
      get('/x/.m3u8', 'green'),
      none('/x/a.m3u8/b'),
      get('/y/q/z/end', 'blue'),
      none('/y/z/end'),
      get('/slash/', 'green'),
      none('/slash'),
      get('/starsss', 'blue'),
      get('/star', 'blue'),
      get('/one/a%20b=*/c/d/', 'green'),
      none('/one/"/c/'),
    ],
  },
  {
    name: 'match: ignore_path_parameters_in_path_matching ends the path at a semicolon',
    routeConfig: { ignore_path_parameters_in_path_matching: true },
    routes: [to('blue', { path: '/a' }), to('green', { safe_regex: { regex: '/b/[a-z]+' } })],
    steps: [get('/a;v=1', 'blue'), get('/a;v=1?x', 'blue'), get('/b/c;d', 'green'), none('/ab;c')],
  },
  {
    name: 'match: without it a semicolon is part of the path',
    routes: [to('blue', { path: '/a' })],
    steps: [none('/a;v=1')],
  },
  {
    name: 'match: a table of many routes keeps the order of the configuration',
    routes: [
      ...Array.from({ length: 20 }, (_, i) => to('app', { path: `/p/${i}` })),
      to('blue', { prefix: '/p/1' }),
      to('green', { safe_regex: { regex: '/p/2.*' } }),
      to('app', { prefix: '/p/2' }),
      to('green', { path_separated_prefix: '/p/3' }),
      to('blue', { prefix: '/p' }),
    ],
    steps: [
      get('/p/1', 'app'),
      get('/p/19?x', 'app'),
      get('/p/100', 'blue'),
      get('/p/20', 'green'),
      get('/p/3/x', 'green'),
      get('/p/33', 'blue'),
      get('/p', 'blue'),
      none('/q'),
    ],
  },
]

const headerScenarios: readonly RoutingScenario[] = [
  ...(
    [
      ['exact', { exact: 'a' }, 'a', 'ab'],
      ['exact of an empty text', { exact: '' }, '', 'a'],
      ['prefix', { prefix: 'ab' }, 'abc', 'xab'],
      ['suffix', { suffix: 'bc' }, 'abc', 'bcd'],
      ['contains', { contains: 'b' }, 'abc', 'ac'],
      ['safe_regex', { safe_regex: { regex: 'a+' } }, 'aaa', 'aab'],
      ['exact, ignoring case', { exact: 'Ab', ignore_case: true }, 'aB', 'abc'],
      ['prefix, ignoring case', { prefix: 'Ab', ignore_case: true }, 'aBc', 'bab'],
      ['suffix, ignoring case', { suffix: 'Ab', ignore_case: true }, 'xaB', 'abx'],
      ['contains, ignoring case', { contains: 'Ab', ignore_case: true }, 'xaBx', 'xbax'],
    ] as const
  ).map(
    ([kind, match, yes, no]): RoutingScenario => ({
      name: `match: a header by ${kind}`,
      routes: blueIf({ headers: [header('x-k', match)] }),
      steps: [get('/', 'blue', withHeader(yes)), get('/', 'app', withHeader(no)), get('/', 'app')],
    }),
  ),
  {
    name: 'match: a header is matched without regard to the case of its name',
    routes: blueIf({ headers: [header('X-Kind', { exact: 'a' })] }),
    steps: [get('/', 'blue', { headers: { 'x-KIND': 'a' } })],
  },
  {
    name: 'match: of several headers of one name any may match',
    routes: [
      to('blue', { prefix: '/1', headers: [header('x-k', { exact: 'b' })] }),
      to('blue', { prefix: '/2', headers: [header('x-k', { exact: 'a,b' })] }),
      to('blue', { prefix: '/3', headers: [header('x-k', { exact: 'b' }, { invert_match: true })] }),
      to('blue', { prefix: '/4', headers: [{ name: 'x-k', range_match: { start: 1, end: 2 } }] }),
      rest,
    ],
    steps: [get('/1', 'blue', twice), get('/2', 'app', twice), get('/3', 'app', twice), get('/4', 'blue', twice)],
  },
  {
    name: 'match: a tree sees several headers of one name as one, joined',
    virtualHost: {
      routes: [],
      matcher: {
        matcher_list: { matchers: [{ predicate: single('x-k', { exact: 'a,b,1' }), on_match: action('blue') }] },
      },
    },
    steps: [get('/', 'blue', twice)],
  },
  {
    name: 'match: an inverted header match needs the header to be there',
    routes: blueIf({ headers: [header('x-k', { exact: 'a' }, { invert_match: true })] }),
    steps: [get('/', 'app', withHeader('a')), get('/', 'blue', withHeader('b')), get('/', 'app')],
  },
  {
    name: 'match: treat_missing_header_as_empty',
    routes: [
      to('blue', {
        prefix: '/',
        headers: [header('x-k', { exact: 'a' }, { invert_match: true, treat_missing_header_as_empty: true })],
      }),
      to('green', { prefix: '/', headers: [header('x-l', { exact: '' }, { treat_missing_header_as_empty: true })] }),
      rest,
    ],
    steps: [
      get('/', 'blue'),
      get('/', 'green', withHeader('a')),
      get('/', 'app', { headers: { 'x-k': 'a', 'x-l': 'b' } }),
    ],
  },
  {
    name: 'match: a header that is present, absent, or either way round',
    routes: [
      to('blue', { prefix: '/1', headers: [{ name: 'x-k', present_match: true }] }),
      to('blue', { prefix: '/2', headers: [{ name: 'x-k', present_match: false }] }),
      to('blue', { prefix: '/3', headers: [{ name: 'x-k', present_match: true, invert_match: true }] }),
      to('blue', { prefix: '/4', headers: [{ name: 'x-k', present_match: false, invert_match: true }] }),
      to('blue', { prefix: '/5', headers: [{ name: 'x-k' }] }),
      to('blue', { prefix: '/6', headers: [{ name: 'x-k', invert_match: true }] }),
      to('blue', {
        prefix: '/7',
        headers: [{ name: 'x-k', present_match: true, treat_missing_header_as_empty: true }],
      }),
      to('blue', {
        prefix: '/8',
        headers: [{ name: 'x-k', present_match: false, treat_missing_header_as_empty: true }],
      }),
      rest,
    ],
    steps: [1, 2, 3, 4, 5, 6, 7, 8].flatMap(n => {
      const there = n === 1 || n === 4 || n === 5 || n === 7
      const missing = n === 2 || n === 3 || n === 6 || n === 7
      return [get(`/${n}`, there ? 'blue' : 'app', withHeader('')), get(`/${n}`, missing ? 'blue' : 'app')]
    }),
  },
  {
    name: 'match: a header by a range of whole numbers',
    routes: blueIf({ headers: [{ name: 'x-k', range_match: { start: -10, end: 5 } }] }),
    steps: [
      ...['-10', '0', '4', '+3', '04'].map(value => get('/', 'blue', withHeader(value))),
      ...['5', '-11', '1.5', 'a', '4x', ''].map(value => get('/', 'app', withHeader(value))),
    ],
  },
  {
    name: 'match: the legacy kinds of header match still work',
    routes: [
      to('blue', { prefix: '/1', headers: [{ name: 'x-k', exact_match: 'a' }] }),
      to('blue', { prefix: '/2', headers: [{ name: 'x-k', prefix_match: 'a' }] }),
      to('blue', { prefix: '/3', headers: [{ name: 'x-k', suffix_match: 'a' }] }),
      to('blue', { prefix: '/4', headers: [{ name: 'x-k', contains_match: 'a' }] }),
      to('blue', { prefix: '/5', headers: [{ name: 'x-k', safe_regex_match: { regex: 'a|b' } }] }),
      rest,
    ],
    steps: [1, 2, 3, 4, 5].flatMap(n => [
      get(`/${n}`, 'blue', withHeader('a')),
      get(`/${n}`, 'app', withHeader('c')),
      get(`/${n}`, 'app'),
    ]),
  },
  {
    name: 'match: pseudo-headers can be matched on',
    routes: [
      to('blue', { prefix: '/', headers: [header(':method', { exact: 'POST' })] }),
      to('green', { prefix: '/', headers: [header(':authority', { prefix: 'g.' })] }),
      to('green', { prefix: '/', headers: [header(':path', { suffix: '?x=1' })] }),
      rest,
    ],
    steps: [
      get('/', 'blue', { method: 'POST' }),
      get('/', 'green', { host: 'g.test' }),
      get('/a?x=1', 'green'),
      get('/a?x=2', 'app'),
    ],
  },
  {
    name: 'match: all headers of a match must match',
    routes: blueIf({ headers: [header('x-k', { exact: 'a' }), header('x-l', { exact: 'b' })] }),
    steps: [get('/', 'app', withHeader('a')), get('/', 'blue', { headers: { 'x-k': 'a', 'x-l': 'b' } })],
  },
]

const otherScenarios: readonly RoutingScenario[] = [
  {
    name: 'match: query parameters',
    routes: [
      to('blue', { prefix: '/1', query_parameters: [{ name: 'a', string_match: { exact: 'b' } }] }),
      to('blue', { prefix: '/2', query_parameters: [{ name: 'a', present_match: true }] }),
      to('blue', { prefix: '/3', query_parameters: [{ name: 'a' }] }),
      to('blue', {
        prefix: '/4',
        query_parameters: [{ name: 'a', string_match: { safe_regex: { regex: '[0-9]+' } } }],
      }),
      rest,
    ],
    steps: [
      get('/1?a=b', 'blue'),
      get('/1?x=y&a=b&c', 'blue'),
      get('/1?a=b&a=c', 'blue'),
      get('/1?a=c&a=b', 'app'),
      get('/1?a=%62', 'app'),
      get('/1?aa=b', 'app'),
      get('/1?A=b', 'app'),
      get('/1?a', 'app'),
      get('/1', 'app'),
      get('/1?x?a=b', 'app'),
      get('/2?a', 'blue'),
      get('/2?a=', 'blue'),
      get('/2?b=a', 'app'),
      get('/3?a=x', 'blue'),
      get('/3', 'app'),
      get('/4?a=12', 'blue'),
      get('/4?a=1b', 'app'),
    ],
  },
  {
    name: 'match: present_match false of a query parameter',
    routes: blueIf({ query_parameters: [{ name: 'a', present_match: false }] }),
    steps: [get('/', 'blue'), get('/?a', 'app')],
  },
  {
    name: 'match: cookies',
    routes: [
      to('blue', { prefix: '/', cookies: [{ name: 'session', string_match: { prefix: 'a' } }] }),
      to('green', { prefix: '/', cookies: [{ name: 'kind', string_match: { exact: 'x' } }] }),
      rest,
    ],
    steps: [
      get('/', 'blue', { headers: { cookie: 'session=abc' } }),
      get('/', 'blue', { headers: { cookie: 'x=y; session="abc"; z' } }),
      get('/', 'app', { headers: { cookie: 'session=b; session=a' } }),
      get('/', 'green', { headers: { cookie: 'kind=x;session=q' } }),
      get('/', 'app', { headers: { cookie: 'Session=abc' } }),
      get('/', 'app'),
    ],
  },
  {
    name: 'match: an inverted cookie match',
    routes: blueIf({ cookies: [{ name: 'a', string_match: { exact: 'b' }, invert_match: true }] }),
    steps: [
      get('/', 'app', { headers: { cookie: 'a=b' } }),
      get('/', 'blue', { headers: { cookie: 'a=c' } }),
      get('/', 'blue'),
    ],
  },
  {
    name: 'match: runtime_fraction of none and of all',
    routes: [
      to('blue', { prefix: '/1', runtime_fraction: always }),
      to('blue', { prefix: '/2', runtime_fraction: never }),
      to('blue', { prefix: '/3', runtime_fraction: { default_value: percent(0), runtime_key: 'routing.on' } }),
      to('blue', { prefix: '/4', runtime_fraction: { default_value: percent(100), runtime_key: 'routing.off' } }),
      to('blue', { prefix: '/5', runtime_fraction: { default_value: percent(100), runtime_key: 'routing.unset' } }),
      rest,
    ],
    steps: [get('/1', 'blue'), get('/2', 'app'), get('/3', 'blue'), get('/4', 'app'), get('/5', 'blue')],
  },
  {
    name: 'match: grpc goes by the content type',
    routes: [to('blue', { prefix: '/', grpc: {} }), rest],
    steps: [
      get('/', 'blue', { method: 'POST', ...grpcType }),
      get('/', 'blue', { method: 'POST', headers: { 'content-type': 'application/grpc+proto' } }),
      get('/', 'app', { method: 'POST', headers: { 'content-type': 'application/grpc-web' } }),
      get('/', 'app'),
    ],
  },
  {
    name: 'match: tls_context on a plaintext connection',
    routes: [
      to('blue', { prefix: '/1', tls_context: { presented: true } }),
      to('blue', { prefix: '/2', tls_context: { presented: false } }),
      to('blue', { prefix: '/3', tls_context: { validated: false } }),
      to('blue', { prefix: '/4', tls_context: { validated: true } }),
      rest,
    ],
    steps: [get('/1', 'app'), get('/2', 'blue'), get('/3', 'blue'), get('/4', 'app')],
  },
  {
    name: 'match: dynamic metadata that nobody has set',
    routes: [
      to('blue', {
        prefix: '/1',
        dynamic_metadata: [{ filter: 'f', path: [{ key: 'k' }], value: { string_match: { exact: 'v' } } }],
      }),
      to('blue', {
        prefix: '/2',
        dynamic_metadata: [{ filter: 'f', path: [{ key: 'k' }], value: { present_match: true }, invert: true }],
      }),
      rest,
    ],
    steps: [get('/1', 'app'), get('/2', 'blue')],
  },
  {
    name: 'match: weighted clusters by weights of all and none',
    routes: [
      {
        match: { prefix: '/1' },
        route: {
          weighted_clusters: {
            clusters: [
              { name: 'app', weight: 0 },
              { name: 'blue', weight: 7 },
            ],
          },
        },
      },
      {
        match: { prefix: '/2' },
        route: {
          weighted_clusters: {
            runtime_key_prefix: 'routing.weights',
            clusters: [
              { name: 'app', weight: 100 },
              { name: 'blue', weight: 0 },
              { name: 'green', weight: 0 },
            ],
          },
        },
      },
    ],
    steps: [get('/1', 'blue'), get('/1', 'blue'), get('/2', 'blue'), get('/2', 'blue')],
  },
  {
    name: 'match: weighted clusters by the number in a header',
    routes: [
      {
        match: { prefix: '/' },
        route: {
          weighted_clusters: {
            header_name: 'x-lot',
            clusters: [
              { name: 'app', weight: 10 },
              { name: 'blue', weight: 20 },
              { name: 'green', weight: 70 },
            ],
          },
        },
      },
    ],
    steps: [
      get('/', 'app', { headers: { 'x-lot': '9' } }),
      get('/', 'blue', { headers: { 'x-lot': '10' } }),
      get('/', 'blue', { headers: { 'x-lot': '129' } }),
      get('/', 'blue', { headers: { 'x-lot': '18446744073709551615' } }),
    ],
  },
  {
    name: 'match: the cluster by a header',
    routes: [
      { match: { prefix: '/1' }, route: { cluster_header: 'X-Cluster' } },
      {
        match: { prefix: '/2' },
        route: { weighted_clusters: { clusters: [{ cluster_header: 'x-cluster', weight: 1 }] } },
      },
    ],
    steps: [
      get('/1', 'blue', { headers: { 'x-cluster': 'blue' } }),
      { path: '/1', headers: { 'x-cluster': 'nobody' }, expect: { status: 503, body: '' } },
      { path: '/1', expect: { status: 503, body: '' } },
      get('/2', 'green', { headers: { 'x-cluster': 'green' } }),
      { path: '/2', expect: { status: 503, body: '' } },
    ],
  },
  {
    name: 'match: cluster_not_found_response_code',
    routeConfig: { validate_clusters: false },
    routes: [
      to('nobody', { prefix: '/1' }),
      to('nobody', { prefix: '/2' }, { cluster_not_found_response_code: 'NOT_FOUND' }),
      to('nobody', { prefix: '/3' }, { cluster_not_found_response_code: 'INTERNAL_SERVER_ERROR' }),
    ],
    steps: [
      { path: '/1', expect: { status: 503 } },
      { path: '/2', expect: { status: 404 } },
      { path: '/3', expect: { status: 500 } },
    ],
  },
  {
    name: 'match: a non_forwarding_action is a route to nowhere',
    routes: [{ match: { prefix: '/' }, non_forwarding_action: {} }],
    steps: [{ expect: { status: 503, body: '' } }],
  },
  {
    name: 'match: a tree of exact values',
    virtualHost: {
      routes: [],
      matcher: {
        matcher_tree: {
          input: headerInput('x-k'),
          exact_match_map: { map: { a: action('blue'), b: action('green', { prefix: '/b' }) } },
        },
        on_no_match: action('app'),
      },
    },
    steps: [
      get('/', 'blue', withHeader('a')),
      get('/b', 'green', withHeader('b')),
      none('/c', withHeader('b')),
      get('/', 'app', withHeader('c')),
      get('/', 'app'),
    ],
  },
  {
    name: 'match: a tree of prefixes, the longest first',
    virtualHost: {
      routes: [],
      matcher: {
        matcher_tree: {
          input: headerInput('x-k'),
          prefix_match_map: { map: { a: action('blue'), ab: action('green') } },
        },
      },
    },
    steps: [
      get('/', 'blue', withHeader('ax')),
      get('/', 'green', withHeader('abx')),
      none('/', withHeader('x')),
      none('/'),
    ],
  },
  {
    name: 'match: a list of predicates',
    virtualHost: {
      routes: [],
      matcher: {
        matcher_list: {
          matchers: [
            { predicate: single('x-k', { exact: 'a' }), on_match: action('blue') },
            {
              predicate: {
                and_matcher: {
                  predicate: [single('x-k', { prefix: 'b' }), { not_matcher: single('x-l', { exact: 'no' }) }],
                },
              },
              on_match: action('green'),
            },
            {
              predicate: {
                or_matcher: { predicate: [single('x-k', { suffix: 'z' }), single('x-l', { contains: 'q' })] },
              },
              on_match: action('app'),
            },
          ],
        },
      },
    },
    steps: [
      get('/', 'blue', withHeader('a')),
      get('/', 'green', { headers: { 'x-k': 'bc' } }),
      get('/', 'green', { headers: { 'x-k': 'bc', 'x-l': 'yes' } }),
      none('/', { headers: { 'x-k': 'bc', 'x-l': 'no' } }),
      get('/', 'app', { headers: { 'x-k': 'yz' } }),
      get('/', 'app', { headers: { 'x-l': 'aqa' } }),
      none('/'),
    ],
  },
]

export const matchScenarios: readonly RoutingScenario[] = [...pathScenarios, ...headerScenarios, ...otherScenarios]
