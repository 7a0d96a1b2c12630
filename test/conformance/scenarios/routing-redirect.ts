import type { Json } from './bootstrap.ts'
import type { RoutingScenario } from './routing.ts'
import { addHeader, answered, rest } from './routing-parts.ts'

/** One redirect; each request, a path or a host with a path, with the location that comes back. */
function redirects(
  name: string,
  redirect: { readonly [key: string]: Json },
  locations: Readonly<Record<string, string>>,
  match: { readonly [key: string]: Json } = { prefix: '/' },
): RoutingScenario {
  return {
    name: `redirect: ${name}`,
    routes: [{ match, redirect }],
    steps: Object.entries(locations).map(([request, location]) => {
      const [, host = 'test.local', path = '/'] = /^([^/]*)(\/.*)$/.exec(request) ?? []
      return answered(
        path,
        { status: 301, body: '', headers: { location } },
        { host: host === '' ? 'test.local' : host },
      )
    }),
  }
}

const regex = (pattern: string, substitution: string): Json => ({ pattern: { regex: pattern }, substitution })

const locationScenarios: readonly RoutingScenario[] = [
  redirects(
    'https_redirect',
    { https_redirect: true },
    {
      '/a?b': 'https://test.local/a?b',
      'test.local:80/': 'https://test.local/',
      'test.local:8080/': 'https://test.local:8080/',
      '[::1]:80/': 'https://[::1]/',
      '[::1]:81/': 'https://[::1]:81/',
      '[::1]/': 'https://[::1]/',
    },
  ),
  redirects('scheme_redirect', { scheme_redirect: 'HTTPS' }, { '/a': 'HTTPS://test.local/a' }),
  redirects(
    'host_redirect',
    { host_redirect: 'new.test' },
    {
      '/a?b': 'http://new.test/a?b',
      'old.test:8080/': 'http://new.test/',
    },
  ),
  redirects(
    'port_redirect',
    { port_redirect: 8443 },
    {
      '/': 'http://test.local:8443/',
      'test.local:81/': 'http://test.local:8443/',
      '[::1]:81/': 'http://[::1]:8443/',
    },
  ),
  redirects(
    'https and port',
    { https_redirect: true, port_redirect: 8443 },
    { 'a.test:80/x': 'https://a.test:8443/x' },
  ),
  redirects('host and port', { host_redirect: 'new.test', port_redirect: 81 }, { '/x': 'http://new.test:81/x' }),
  redirects(
    'path_redirect keeps the query',
    { path_redirect: '/new' },
    {
      '/a': 'http://test.local/new',
      '/a?b': 'http://test.local/new?b',
    },
  ),
  redirects(
    'path_redirect with a query of its own',
    { path_redirect: '/new?own' },
    {
      '/a': 'http://test.local/new?own',
      '/a?b': 'http://test.local/new?own',
    },
  ),
  redirects('path_redirect without a slash', { path_redirect: 'new' }, { '/a?b': 'http://test.local/new?b' }),
  redirects('strip_query', { strip_query: true, host_redirect: 'n' }, { '/a?b?c': 'http://n/a', '/a': 'http://n/a' }),
  redirects(
    'strip_query does not strip what path_redirect brings',
    { strip_query: true, path_redirect: '/n?o' },
    {
      '/a?b': 'http://test.local/n?o',
    },
  ),
  redirects(
    'strip_query and path_redirect',
    { strip_query: true, path_redirect: '/n' },
    { '/a?b': 'http://test.local/n' },
  ),
  redirects(
    'prefix_rewrite',
    { prefix_rewrite: '/new' },
    { '/old/a?b': 'http://test.local/new/a?b' },
    { prefix: '/old' },
  ),
  redirects(
    'prefix_rewrite to a path without slash',
    { prefix_rewrite: 'new' },
    { '/old/a': 'http://test.local/new/a' },
    { prefix: '/old' },
  ),
  redirects(
    'regex_rewrite',
    { regex_rewrite: regex('^/old/(.*)$', '/new/\\1/x') },
    { '/old/a?b': 'http://test.local/new/a/x?b' },
  ),
  redirects(
    'regex_rewrite and strip_query',
    { regex_rewrite: regex('a', 'b'), strip_query: true },
    {
      '/aa?a': 'http://test.local/bb',
    },
  ),
  redirects('path_rewrite with operators', { path_rewrite: '/to%REQ(:path)%' }, { '/a?b': 'http://test.local/to/a?b' }),
  redirects('path_rewrite with a constant', { path_rewrite: '/to' }, { '/a?b': 'http://test.local/to?b' }),
]

export const redirectScenarios: readonly RoutingScenario[] = [
  ...locationScenarios,
  {
    name: 'redirect: the response code',
    routes: [
      ['/1', 'MOVED_PERMANENTLY'],
      ['/2', 'FOUND'],
      ['/3', 'SEE_OTHER'],
      ['/4', 'TEMPORARY_REDIRECT'],
      ['/5', 'PERMANENT_REDIRECT'],
    ].map(([path, code]) => ({ match: { path: path! }, redirect: { host_redirect: 'n', response_code: code! } })),
    steps: [301, 302, 303, 307, 308].map((status, index) => answered(`/${index + 1}`, { status })),
  },
  {
    name: 'redirect: https does not remove :80 from a host that came over https',
    routes: [{ match: { prefix: '/' }, redirect: { https_redirect: true } }],
    steps: [
      answered('/', { status: 301 }, { host: 'a.test:80', headers: { 'x-forwarded-proto': 'https' } }),
      answered('/', { status: 301 }, { host: 'a.test:443', headers: { 'x-forwarded-proto': 'https' } }),
    ],
  },
  {
    name: 'redirect: response headers of the route come along',
    routes: [
      {
        match: { prefix: '/' },
        redirect: { host_redirect: 'n' },
        response_headers_to_add: [addHeader('x-a', 'b'), addHeader('x-path', '%REQ(:path)%')],
      },
    ],
    steps: [answered('/p', { status: 301, headers: { 'x-a': 'b', 'x-path': '/p' } })],
  },
  {
    name: 'direct response: status and body',
    routes: [
      { match: { path: '/1' }, direct_response: { status: 200, body: { inline_string: 'hello' } } },
      { match: { path: '/2' }, direct_response: { status: 403 } },
      { match: { path: '/3' }, direct_response: { status: 201, body: { inline_bytes: 'Ynl0ZXM=' } } },
      { match: { path: '/4' }, direct_response: { status: 599, body: { inline_string: 'é' } } },
      { match: { path: '/5' }, direct_response: { status: 204 } },
      { match: { path: '/6' }, direct_response: { status: 302 } },
      rest,
    ],
    steps: [
      answered('/1', { status: 200, body: 'hello', headers: { 'content-type': 'text/plain', 'content-length': '5' } }),
      answered('/2', { status: 403, body: '' }),
      answered('/3', { status: 201, body: 'bytes' }),
      answered('/4', { status: 599, body: 'é' }),
      answered('/5', { status: 204, body: '' }),
      answered('/6?q', { status: 302, body: '', headers: { location: 'http://test.local/6?q' } }),
      answered('/1', { status: 200, body: '' }, { method: 'HEAD' }),
    ],
  },
  {
    name: 'direct response: response headers and removal',
    virtualHost: { response_headers_to_add: [addHeader('x-v', 'v')] },
    routes: [
      {
        match: { prefix: '/' },
        direct_response: { status: 200, body: { inline_string: '{}' } },
        response_headers_to_add: [
          addHeader('content-type', 'application/json', 'OVERWRITE_IF_EXISTS_OR_ADD'),
          addHeader('x-r', 'r'),
        ],
        response_headers_to_remove: ['x-none'],
      },
    ],
    steps: [answered('/', { status: 200, headers: { 'content-type': 'application/json', 'x-r': 'r', 'x-v': 'v' } })],
  },
  {
    name: 'direct response: body_format',
    routes: [
      {
        match: { path: '/1' },
        direct_response: {
          status: 200,
          body: { inline_string: 'inner' },
          body_format: {
            text_format_source: { inline_string: '<%LOCAL_REPLY_BODY%> %REQ(:path)% %RESPONSE_CODE% %REQ(x-none)%' },
          },
        },
      },
      {
        match: { path: '/2' },
        direct_response: { status: 200, body_format: { json_format: { path: '%REQ(:path)%', none: '%REQ(x-none)%' } } },
      },
      {
        match: { path: '/3' },
        direct_response: {
          status: 200,
          body_format: { text_format_source: { inline_string: '<p>' }, content_type: 'text/html' },
        },
      },
    ],
    steps: [answered('/1', { status: 200 }), answered('/2', { status: 200 }), answered('/3', { status: 200 })],
  },
]
