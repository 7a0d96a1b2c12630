import type { Json } from './bootstrap.ts'
import type { RoutingScenario } from './routing.ts'
import { addHeader, get, to } from './routing-parts.ts'

const ACTIONS = [
  'APPEND_IF_EXISTS_OR_ADD',
  'ADD_IF_ABSENT',
  'OVERWRITE_IF_EXISTS_OR_ADD',
  'OVERWRITE_IF_EXISTS',
] as const

/** Every action, on headers x-0 to x-3 that exist and x-4 to x-7 that do not. */
const allActions = [...ACTIONS, ...ACTIONS].map((action, index) => addHeader(`x-${index}`, 'new', action))
const existing = { 'x-0': 'old', 'x-1': 'old', 'x-2': 'old', 'x-3': 'old' }
const afterAll = {
  'x-0': 'old, new',
  'x-1': 'old',
  'x-2': 'new',
  'x-3': 'new',
  'x-4': 'new',
  'x-5': 'new',
  'x-6': 'new',
  'x-7': null,
}

const levels = (field: string, action: string): Record<string, Json> => ({
  configuration: { [field]: [addHeader('x-level', 'configuration', action)] },
  virtualHost: { [field]: [addHeader('x-level', 'host', action)] },
  route: { [field]: [addHeader('x-level', 'route', action)] },
  cluster: { [field]: [addHeader('x-level', 'cluster', action)] },
})

/** All four levels set or add one header. */
function order(what: 'request' | 'response', action: string, mostSpecificWins: boolean): RoutingScenario {
  const all = levels(`${what}_headers_to_add`, action) as Record<string, { readonly [key: string]: Json }>
  return {
    name: `headers: ${what} levels, ${action}${mostSpecificWins ? ', most specific wins' : ''}`,
    routeConfig: { ...all['configuration'], most_specific_header_mutations_wins: mostSpecificWins },
    virtualHost: all['virtualHost']!,
    routes: [
      {
        match: { prefix: '/' },
        route: { weighted_clusters: { clusters: [{ name: 'app', weight: 1, ...all['cluster'] }] } },
        ...all['route'],
      },
    ],
    steps: [get('/', 'app')],
    exactHeaders: false,
  }
}

/** What the route adds to requests, with what arrives for each request sent. */
function adds(
  name: string,
  toAdd: readonly Json[],
  sent: Readonly<Record<string, string>>,
  arrived: Readonly<Record<string, string | null>>,
  more: { readonly [key: string]: Json } = {},
): RoutingScenario {
  return {
    name: `headers: ${name}`,
    routes: [to('app', { prefix: '/' }, {}, { request_headers_to_add: toAdd, ...more })],
    steps: [get('/p?q', 'app', { headers: sent })],
    expectUpstream: [{ headers: arrived }],
  }
}

export const headerMutationScenarios: readonly RoutingScenario[] = [
  adds('every append_action on a request', allActions, existing, afterAll),
  {
    name: 'headers: every append_action on a response',
    routes: [to('app', { prefix: '/' }, {}, { response_headers_to_add: allActions })],
    upstreams: { app: [{ status: 200, headers: existing, body: 'app' }] },
    steps: [{ expect: { headers: afterAll } }],
  },
  ...(['request', 'response'] as const).flatMap(what =>
    (['APPEND_IF_EXISTS_OR_ADD', 'ADD_IF_ABSENT', 'OVERWRITE_IF_EXISTS_OR_ADD'] as const).flatMap(action => [
      order(what, action, false),
      order(what, action, true),
    ]),
  ),
  adds(
    'the legacy append: true and false',
    [addHeader('x-a', 'n', undefined, { append: true }), addHeader('x-b', 'n', undefined, { append: false })],
    { 'x-a': 'o', 'x-b': 'o' },
    { 'x-a': 'o, n', 'x-b': 'n' },
  ),
  adds(
    'an empty value is dropped unless kept',
    [
      addHeader('x-a', ''),
      addHeader('x-b', '', undefined, { keep_empty_value: true }),
      addHeader('x-c', '%REQ(x-none)%'),
    ],
    {},
    { 'x-a': null, 'x-b': '', 'x-c': null },
  ),
  adds(
    'operators',
    [
      addHeader('x-a', '%REQ(:method)% %REQ(:path)%'),
      addHeader('x-b', '100%% of %REQ(x-none?x-given)%'),
      addHeader('x-c', '%PROTOCOL%'),
      addHeader('x-d', '[%REQ(x-none)%]'),
      addHeader('x-e', '%REQ(x-given):2%'),
    ],
    { 'x-given': 'given' },
    { 'x-a': 'GET /p?q', 'x-b': '100% of given', 'x-c': 'HTTP/1.1', 'x-d': '[]', 'x-e': 'gi' },
  ),
  adds(
    'values are computed before anything is written',
    [
      addHeader('x-a', 'new', 'OVERWRITE_IF_EXISTS_OR_ADD'),
      addHeader('x-b', '%REQ(x-a)%'),
      addHeader('x-c', 'one', 'ADD_IF_ABSENT'),
      addHeader('x-c', 'two', 'ADD_IF_ABSENT'),
    ],
    { 'x-a': 'old' },
    { 'x-a': 'new', 'x-b': 'old', 'x-c': 'one, two' },
  ),
  adds(
    'removing comes first',
    [addHeader('x-a', 'added'), addHeader('x-b', '%REQ(x-c)%', undefined, { keep_empty_value: true })],
    { 'x-a': 'old', 'x-c': 'gone' },
    { 'x-a': 'added', 'x-b': '', 'x-c': null },
    { request_headers_to_remove: ['X-A', 'x-c'] },
  ),
  adds('names are written in lower case', [addHeader('X-Mixed-Case', 'v')], {}, { 'x-mixed-case': 'v' }),
  {
    name: 'headers: the path is rewritten after header values are computed',
    routes: [
      to(
        'app',
        { prefix: '/old' },
        { prefix_rewrite: '/new', host_rewrite_header: 'x-added' },
        { request_headers_to_add: [addHeader('x-p', '%REQ(:path)%'), addHeader('x-added', 'h.test')] },
      ),
    ],
    steps: [get('/old/a', 'app')],
    expectUpstream: [{ target: '/new/a', headers: { 'x-p': '/old/a', host: 'h.test' } }],
  },
  {
    name: 'headers: response values may read request and response',
    routes: [
      to(
        'app',
        { prefix: '/' },
        {},
        {
          response_headers_to_add: [
            addHeader('x-a', '%REQ(x-q)% %RESP(x-r)% %RESPONSE_CODE%'),
            addHeader('x-b', '%UPSTREAM_CLUSTER%'),
            addHeader('x-c', '%RESP(x-none)%'),
          ],
          response_headers_to_remove: ['x-gone'],
        },
      ),
    ],
    upstreams: { app: [{ status: 201, headers: { 'x-r': 'r', 'x-gone': 'g' }, body: 'app' }] },
    steps: [
      { headers: { 'x-q': 'q' }, expect: { headers: { 'x-a': 'q r 201', 'x-b': 'app', 'x-c': null, 'x-gone': null } } },
    ],
  },
  {
    name: 'headers: appending to headers of one entry makes one list',
    routes: [
      to(
        'app',
        { prefix: '/' },
        {},
        {
          request_headers_to_add: [
            'user-agent',
            'content-type',
            'accept',
            'authorization',
            'x-forwarded-for',
            'x-client-trace-id',
            'via',
            'cookie',
            'accept-encoding',
            'origin',
            'cache-control',
            'referer',
            'x-envoy-decorator-operation',
          ].map(name => addHeader(name, 'added')),
          response_headers_to_add: [
            'content-type',
            'cache-control',
            'server',
            'set-cookie',
            'via',
            'vary',
            'etag',
            'location',
            'content-encoding',
            'access-control-allow-origin',
          ].map(name => addHeader(name, 'added')),
        },
      ),
    ],
    upstreams: {
      app: [
        {
          status: 200,
          headers: {
            'content-type': 'a',
            'cache-control': 'a',
            server: 'a',
            'set-cookie': 'a',
            via: 'a',
            vary: 'a',
            etag: 'a',
            location: 'a',
            'content-encoding': 'a',
            'access-control-allow-origin': 'a',
          },
          body: 'app',
        },
      ],
    },
    steps: [
      {
        headers: {
          'user-agent': 'a',
          'content-type': 'a',
          accept: 'a',
          authorization: 'a',
          'x-forwarded-for': '1.2.3.4',
          'x-client-trace-id': 'a',
          via: 'a',
          cookie: 'a=b',
          'accept-encoding': 'a',
          origin: 'a',
          'cache-control': 'a',
          referer: 'a',
        },
      },
    ],
  },
  {
    name: 'headers: bytes beyond ASCII are those of UTF-8',
    routes: [
      to(
        'app',
        { prefix: '/' },
        {},
        { request_headers_to_add: [addHeader('x-a', 'é'), addHeader('x-b', '%REQ(x-raw)%é')] },
      ),
    ],
    steps: [get('/', 'app', { headers: { 'x-raw': '\xc3\xbc' } })],
    expectUpstream: [{ headers: { 'x-a': '\xc3\xa9', 'x-b': '\xc3\xbc\xc3\xa9' } }],
  },
  {
    name: 'headers: x-envoy-attempt-count on demand',
    virtualHost: { include_request_attempt_count: true, include_attempt_count_in_response: true },
    routes: [to('app', { prefix: '/' })],
    steps: [get('/', 'app')],
    expectUpstream: [{ headers: { 'x-envoy-attempt-count': '1' } }],
  },
]
