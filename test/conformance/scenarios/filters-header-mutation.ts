import { type Json, typed } from './bootstrap.ts'
import type { FilterScenario } from './filters.ts'

const name = 'envoy.filters.http.header_mutation'
const mutation = (mutations: Record<string, Json>, fields: Record<string, Json> = {}): Json => ({
  name,
  typed_config: typed('http.header_mutation.v3.HeaderMutation', { mutations, ...fields }),
})
const perRoute = (mutations: Record<string, Json>): Record<string, Json> => ({
  typed_per_filter_config: { [name]: typed('http.header_mutation.v3.HeaderMutationPerRoute', { mutations }) },
})

const append = (
  key: string,
  value: string,
  action = 'APPEND_IF_EXISTS_OR_ADD',
  more: Record<string, Json> = {},
): Json => ({
  append: { header: { key, value }, append_action: action, ...more },
})
const query = (key: string, value: string, action = 'APPEND_IF_EXISTS_OR_ADD'): Json => ({
  append: { record: { key, value }, action },
})

/** Every action on a header that exists and on one that does not. */
const allActions: readonly Json[] = [
  append('x-a', 'new'),
  append('x-b', 'new', 'ADD_IF_ABSENT'),
  append('x-c', 'new', 'OVERWRITE_IF_EXISTS_OR_ADD'),
  append('x-d', 'new', 'OVERWRITE_IF_EXISTS'),
  append('x-e', 'new'),
  append('x-f', 'new', 'ADD_IF_ABSENT'),
  append('x-g', 'new', 'OVERWRITE_IF_EXISTS_OR_ADD'),
  append('x-h', 'new', 'OVERWRITE_IF_EXISTS'),
  { remove: 'x-i' },
  { remove: 'x-j' },
]
const present = { 'x-a': 'old', 'x-b': 'old', 'x-c': 'old', 'x-d': 'old', 'x-i': 'old' }
const mutated = {
  'x-a': 'old, new',
  'x-b': 'old',
  'x-c': 'new',
  'x-d': 'new',
  'x-e': 'new',
  'x-f': 'new',
  'x-g': 'new',
  'x-h': null,
  'x-i': null,
}

export const headerMutationScenarios: readonly FilterScenario[] = [
  {
    name: 'header_mutation: every action on request headers',
    filters: [mutation({ request_mutations: allActions })],
    steps: [{ headers: present, expect: { status: 200 } }],
    expectUpstream: [{ headers: mutated }],
    exactHeaders: true,
  },
  {
    name: 'header_mutation: every action on response headers',
    filters: [mutation({ response_mutations: allActions })],
    upstreams: { app: [{ headers: present }] },
    steps: [{ expect: { status: 200, headers: mutated } }],
  },
  {
    name: 'header_mutation: overwriting and removing headers sent twice',
    filters: [
      mutation({
        request_mutations: [
          append('x-a', 'new', 'OVERWRITE_IF_EXISTS_OR_ADD'),
          { remove: 'x-b' },
          append('x-c', 'new'),
        ],
      }),
    ],
    steps: [
      {
        headers: [
          ['x-a', '1'],
          ['x-a', '2'],
          ['x-b', '1'],
          ['x-b', '2'],
          ['x-c', '1'],
          ['x-c', '2'],
        ],
      },
    ],
    expectUpstream: [{ headers: { 'x-a': 'new', 'x-b': null, 'x-c': '1, 2, new' } }],
  },
  {
    name: 'header_mutation: values are formatted',
    filters: [
      mutation({
        request_mutations: [
          append('x-from', '%REQ(x-source)%-%PROTOCOL%-%%'),
          append('x-peer', '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'),
          append('x-missing', '%REQ(x-none)%'),
          append('x-alternative', '%REQ(x-none?x-source)%'),
          append('x-short', '%REQ(x-source):3%'),
        ],
        response_mutations: [append('x-code', '%RESPONSE_CODE%'), append('x-path', '%REQ(:path)%')],
      }),
    ],
    steps: [{ path: '/p?q=1', headers: { 'x-source': 'source' }, expect: { headers: { 'x-path': '/p?q=1' } } }],
    expectUpstream: [{ headers: { 'x-from': 'source-HTTP/1.1-%', 'x-peer': '127.0.0.1', 'x-short': 'sou' } }],
  },
  {
    name: 'header_mutation: empty values',
    filters: [
      mutation({
        request_mutations: [
          append('x-dropped', ''),
          append('x-kept', '', 'APPEND_IF_EXISTS_OR_ADD', { keep_empty_value: true }),
          append('x-a', '', 'OVERWRITE_IF_EXISTS_OR_ADD'),
          append('x-b', '', 'OVERWRITE_IF_EXISTS_OR_ADD', { keep_empty_value: true }),
        ],
      }),
    ],
    steps: [{ headers: { 'x-a': 'old', 'x-b': 'old' } }],
    expectUpstream: [{ headers: { 'x-dropped': null, 'x-kept': '' } }],
  },
  {
    name: 'header_mutation: query parameters',
    filters: [
      mutation({
        query_parameter_mutations: [
          query('a', 'new'),
          query('b', 'new', 'ADD_IF_ABSENT'),
          query('c', 'new', 'OVERWRITE_IF_EXISTS_OR_ADD'),
          query('d', 'new', 'OVERWRITE_IF_EXISTS'),
          query('e', 'two words'),
          query('f', 'new', 'OVERWRITE_IF_EXISTS'),
          query('g', '%REQ(x-source)%', 'ADD_IF_ABSENT'),
          { remove: 'i' },
        ],
      }),
    ],
    steps: [{ path: '/p?i=1&d=old&a=old&b=old&c=1&c=2&z=%20%2F&i=2', headers: { 'x-source': 'a&b' } }, { path: '/p' }],
  },
  {
    name: 'header_mutation: trailers of both directions',
    manager: { http_protocol_options: { enable_trailers: true } },
    routes: [{ match: { prefix: '/' }, route: { cluster: 'trailing' } }],
    filters: [
      mutation({
        request_trailers_mutations: [append('x-t', 'new'), { remove: 'x-u' }],
        response_trailers_mutations: [append('x-v', '%RESP(x-w)%'), { remove: 'x-u' }],
      }),
    ],
    upstreams: {
      app: [
        {
          headers: { 'x-w': 'head' },
          chunks: ['abc'],
          trailers: [
            ['x-u', '1'],
            ['x-z', '2'],
          ],
        },
      ],
    },
    steps: [
      {
        method: 'POST',
        chunks: ['abc'],
        trailers: [
          ['x-u', '1'],
          ['x-z', '2'],
        ],
        expect: { status: 200 },
      },
    ],
  },
  {
    name: 'header_mutation: remove_on_match',
    filters: [
      mutation({
        request_mutations: [{ remove_on_match: { key_matcher: { prefix: 'x-secret-' } } }],
        response_mutations: [{ remove_on_match: { key_matcher: { exact: 'X-Inner', ignore_case: true } } }],
      }),
    ],
    upstreams: { app: [{ headers: { 'x-inner': '1', 'x-outer': '2' } }] },
    steps: [
      {
        headers: { 'x-secret-a': '1', 'x-secret-b': '2', 'x-public': '3' },
        expect: { headers: { 'x-inner': null, 'x-outer': '2' } },
      },
    ],
    expectUpstream: [{ headers: { 'x-secret-a': null, 'x-secret-b': null, 'x-public': '3' } }],
  },
  {
    name: 'header_mutation: route before virtual host before filter',
    filters: [
      mutation({ request_mutations: [append('x-a', 'filter')], response_mutations: [append('x-b', 'filter')] }),
    ],
    virtualHost: perRoute({
      request_mutations: [append('x-a', 'vhost')],
      response_mutations: [append('x-b', 'vhost')],
    }),
    routes: [
      {
        match: { prefix: '/' },
        route: { cluster: 'app' },
        ...perRoute({ request_mutations: [append('x-a', 'route')], response_mutations: [append('x-b', 'route')] }),
      },
    ],
    steps: [{ expect: { headers: { 'x-b': 'filter, route, vhost' } } }],
    expectUpstream: [{ headers: { 'x-a': 'filter, route, vhost' } }],
  },
  {
    name: 'header_mutation: the most specific comes last where asked',
    filters: [
      mutation(
        { request_mutations: [append('x-a', 'filter', 'OVERWRITE_IF_EXISTS_OR_ADD')] },
        { most_specific_header_mutations_wins: true },
      ),
    ],
    virtualHost: perRoute({ request_mutations: [append('x-a', 'vhost', 'OVERWRITE_IF_EXISTS_OR_ADD')] }),
    routes: [
      {
        match: { prefix: '/' },
        route: { cluster: 'app' },
        ...perRoute({ request_mutations: [append('x-a', 'route', 'OVERWRITE_IF_EXISTS_OR_ADD')] }),
      },
    ],
    steps: [{}],
    expectUpstream: [{ headers: { 'x-a': 'route' } }],
  },
  {
    name: 'header_mutation: local replies are mutated too',
    filters: [mutation({ response_mutations: [append('x-a', '%RESPONSE_FLAGS%')] })],
    routes: [{ match: { prefix: '/direct' }, direct_response: { status: 403, body: { inline_string: 'no' } } }],
    steps: [
      { path: '/direct', expect: { status: 403 } },
      { path: '/nowhere', expect: { status: 404 } },
    ],
  },
  {
    name: 'header_mutation: the route is chosen again after a change',
    filters: [mutation({ request_mutations: [append('x-route', 'b', 'OVERWRITE_IF_EXISTS_OR_ADD')] })],
    routes: [
      {
        match: { prefix: '/', headers: [{ name: 'x-route', string_match: { exact: 'b' } }] },
        direct_response: { status: 201 },
      },
      { match: { prefix: '/' }, direct_response: { status: 202 } },
    ],
    steps: [{ headers: { 'x-route': 'a' } }],
  },
  {
    name: 'header_mutation: the deprecated append',
    filters: [
      mutation({
        request_mutations: [
          { append: { header: { key: 'x-a', value: 'n' }, append: true } },
          { append: { header: { key: 'x-b', value: 'n' }, append: false } },
        ],
      }),
    ],
    steps: [{ headers: { 'x-a': 'o', 'x-b': 'o' } }],
    expectUpstream: [{ headers: { 'x-a': 'o, n', 'x-b': 'n' } }],
  },
  {
    name: 'header_mutation: a request that loses its path is refused',
    filters: [mutation({ request_mutations: [{ remove: ':path' }] })],
    steps: [
      {
        expect: {
          status: 503,
          body: 'missing required header: :path',
          log: '503 DPE filter_removed_required_request_headers{missing_required_header:_:path}',
        },
      },
    ],
    expectUpstream: [],
  },
  {
    name: 'header_mutation: removing the length makes a body chunked',
    filters: [
      mutation({
        request_mutations: [{ remove: 'content-length' }],
        response_mutations: [{ remove: 'Content-Length' }],
      }),
    ],
    steps: [{ method: 'POST', body: 'abc', expect: { status: 200, framing: 'chunked' } }],
    expectUpstream: [{ body: 'abc', headers: { 'transfer-encoding': 'chunked', 'content-length': null } }],
  },
  {
    name: 'header_mutation: filters in order, and back in reverse',
    filters: [
      mutation({ request_mutations: [append('x-a', '1')], response_mutations: [append('x-a', '1')] }),
      {
        ...(mutation({ request_mutations: [append('x-a', '2')], response_mutations: [append('x-a', '2')] }) as object),
        name: 'second',
      },
    ],
    steps: [{ expect: { headers: { 'x-a': '2, 1' } } }],
    expectUpstream: [{ headers: { 'x-a': '1, 2' } }],
  },
  {
    name: 'header_mutation: keys of query parameters',
    filters: [mutation({ query_parameter_mutations: [query('a', '%REQ(x-v)%'), { remove: 'b' }] })],
    steps: [
      { path: '/?b=1&A=3&b=2', headers: { 'x-v': '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~ aZ9' } },
      { path: '/?', headers: {} },
      { path: '/p?c', headers: {} },
    ],
  },
]
