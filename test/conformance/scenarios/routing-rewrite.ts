import { type Json, typed } from './bootstrap.ts'
import type { RoutingScenario } from './routing.ts'
import { get, to } from './routing-parts.ts'

const original = (path: string) => ({ 'x-envoy-original-path': path })
const regex = (pattern: string, substitution: string): Json => ({ pattern: { regex: pattern }, substitution })

/** One route to app with this action; each path with the target that arrives. */
function rewrites(
  name: string,
  match: { readonly [key: string]: Json },
  action: { readonly [key: string]: Json },
  targets: Readonly<Record<string, string>>,
): RoutingScenario {
  return {
    name: `rewrite: ${name}`,
    routes: [to('app', match, action)],
    steps: Object.keys(targets).map(path => get(path, 'app')),
    expectUpstream: Object.entries(targets).map(([path, target]) => ({
      target,
      headers: { 'x-envoy-original-path': target === path && action['regex_rewrite'] === undefined ? null : path },
    })),
  }
}

const pathScenarios: readonly RoutingScenario[] = [
  rewrites(
    'prefix_rewrite replaces the prefix',
    { prefix: '/old' },
    { prefix_rewrite: '/new' },
    {
      '/old': '/new',
      '/old/a?b=c': '/new/a?b=c',
      '/older': '/newer',
    },
  ),
  rewrites(
    'prefix_rewrite to / leaves a double slash',
    { prefix: '/old' },
    { prefix_rewrite: '/' },
    {
      '/old/a': '//a',
      '/old': '/',
    },
  ),
  rewrites('prefix_rewrite of a path', { path: '/old' }, { prefix_rewrite: '/new' }, { '/old?x': '/new?x' }),
  rewrites(
    'prefix_rewrite of a regex replaces the whole path',
    { safe_regex: { regex: '/o.*' } },
    { prefix_rewrite: '/new' },
    {
      '/old/x?y': '/new?y',
    },
  ),
  rewrites(
    'prefix_rewrite of a separated prefix',
    { path_separated_prefix: '/old' },
    { prefix_rewrite: '/new' },
    {
      '/old/x': '/new/x',
      '/old': '/new',
    },
  ),
  rewrites(
    'prefix_rewrite ignoring case',
    { prefix: '/OLD', case_sensitive: false },
    { prefix_rewrite: '/new' },
    { '/oLd/x': '/new/x' },
  ),
  rewrites(
    'regex_rewrite with groups keeps the query',
    { prefix: '/' },
    { regex_rewrite: regex('^/service/([^/]+)(/.*)$', '\\2/instance/\\1') },
    { '/service/foo/v1/api?x=/service/a/b': '/v1/api/instance/foo?x=/service/a/b' },
  ),
  rewrites(
    'regex_rewrite replaces every match',
    { prefix: '/' },
    { regex_rewrite: regex('one', 'two') },
    {
      '/xxx/one/yyy/one/zzz?one': '/xxx/two/yyy/two/zzz?one',
    },
  ),
  rewrites(
    'regex_rewrite replaces each match once, from the left',
    { prefix: '/' },
    { regex_rewrite: regex('^(.*?)one(.*)$', '\\1two\\2') },
    {
      '/xxx/one/yyy/one/zzz': '/xxx/two/yyy/one/zzz',
    },
  ),
  rewrites(
    'regex_rewrite ignoring case',
    { prefix: '/' },
    { regex_rewrite: regex('(?i)/xxx/', '/yyy/') },
    {
      '/aaa/XxX/bbb': '/aaa/yyy/bbb',
    },
  ),
  rewrites(
    'regex_rewrite with empty matches',
    { prefix: '/' },
    { regex_rewrite: regex('a*', 'x') },
    { '/baac': 'x/xbxcx' },
  ),
  rewrites(
    'regex_rewrite with the whole match and a backslash',
    { prefix: '/' },
    { regex_rewrite: regex('b+', '[\\0\\\\]') },
    {
      '/abba': '/a[bb\\]a',
    },
  ),
  rewrites(
    'regex_rewrite with an unmatched group',
    { prefix: '/' },
    { regex_rewrite: regex('/a(b)?c', '/<\\1>') },
    {
      '/ac': '/<>',
      '/abc': '/<b>',
    },
  ),
  {
    name: 'rewrite: regex_rewrite that matches nothing still notes the original path',
    routes: [to('app', { prefix: '/' }, { regex_rewrite: regex('nothing', 'x') })],
    steps: [get('/a?b', 'app')],
    expectUpstream: [{ target: '/a?b', headers: original('/a?b') }],
  },
  {
    name: 'rewrite: regex_rewrite with a group that the pattern has not',
    routes: [to('app', { prefix: '/' }, { regex_rewrite: regex('a(b)', '/x\\2') })],
    steps: [get('/ab', 'app')],
    expectUpstream: [{ target: '/ab' }],
  },
  {
    name: 'rewrite: regex_rewrite to an empty path changes nothing',
    routes: [to('app', { prefix: '/' }, { regex_rewrite: regex('.*', '') })],
    steps: [get('/a?b', 'app')],
    expectUpstream: [{ target: '/a?b', headers: { 'x-envoy-original-path': null } }],
  },
  rewrites(
    'path_rewrite with operators',
    { prefix: '/' },
    { path_rewrite: '/fixed/%REQ(x-tenant)%/end' },
    { '/a?b=c': '/fixed//end?b=c' },
  ),
  {
    name: 'rewrite: path_rewrite that comes out empty changes nothing',
    routes: [to('app', { prefix: '/' }, { path_rewrite: '%REQ(x-path)%' })],
    steps: [get('/a?b', 'app'), get('/a?b', 'app', { headers: { 'x-path': '/given' } })],
    expectUpstream: [{ target: '/a?b' }, { target: '/given?b' }],
  },
  {
    name: 'rewrite: a uri template',
    routes: [
      to(
        'app',
        {
          path_match_policy: {
            name: 'envoy.path.match.uri_template.uri_template_matcher',
            typed_config: typed(
              'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig',
              {
                path_template: '/videos/{id}/{rest=**}',
              },
            ),
          },
        },
        {
          path_rewrite_policy: {
            name: 'envoy.path.rewrite.uri_template.uri_template_rewriter',
            typed_config: typed(
              'type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig',
              {
                path_template_rewrite: '/{rest}/of/{id}',
              },
            ),
          },
        },
      ),
    ],
    steps: [get('/videos/42/a/b?q', 'app')],
    expectUpstream: [{ target: '/a/b/of/42?q', headers: original('/videos/42/a/b?q') }],
  },
  {
    name: 'rewrite: suppress_envoy_headers keeps the original path to itself',
    routes: [to('app', { prefix: '/old' }, { prefix_rewrite: '/new', host_rewrite_literal: 'h' })],
    manager: {
      http_filters: [
        {
          name: 'envoy.filters.http.router',
          typed_config: typed('http.router.v3.Router', { suppress_envoy_headers: true }),
        },
      ],
    },
    steps: [get('/old', 'app')],
    expectUpstream: [{ target: '/new', headers: { 'x-envoy-original-path': null, 'x-envoy-original-host': null } }],
  },
]

const hostScenarios: readonly RoutingScenario[] = [
  {
    name: 'host: a literal',
    routes: [to('app', { prefix: '/' }, { host_rewrite_literal: 'new.test:81' })],
    steps: [get('/', 'app')],
    expectUpstream: [
      { headers: { host: 'new.test:81', 'x-envoy-original-host': 'test.local', 'x-forwarded-host': null } },
    ],
  },
  {
    name: 'host: of a header, where it has a value',
    routes: [to('app', { prefix: '/' }, { host_rewrite_header: 'X-Host' })],
    steps: [
      get('/', 'app', { headers: { 'x-host': 'h.test' } }),
      get('/', 'app', { headers: { 'x-host': '' } }),
      get('/', 'app'),
    ],
    expectUpstream: [
      { headers: { host: 'h.test', 'x-envoy-original-host': 'test.local' } },
      { headers: { host: 'test.local', 'x-envoy-original-host': null } },
      { headers: { host: 'test.local', 'x-envoy-original-host': null } },
    ],
  },
  {
    name: 'host: from the path by a regex',
    routes: [to('app', { prefix: '/' }, { host_rewrite_path_regex: regex('^/(.+)/(.+)$', '\\1.test') })],
    steps: [get('/svc/x?a/b', 'app')],
    expectUpstream: [{ headers: { host: 'svc.test' }, target: '/svc/x?a/b' }],
  },
  {
    name: 'host: from the path before it is rewritten',
    routes: [
      to('app', { prefix: '/' }, { host_rewrite_path_regex: regex('^/(.+)/(.+)$', '\\1.test'), prefix_rewrite: '/n/' }),
    ],
    steps: [get('/svc/x', 'app')],
    expectUpstream: [{ headers: { host: 'svc.test' }, target: '/n/svc/x' }],
  },
  {
    name: 'host: a value with operators',
    routes: [to('app', { prefix: '/' }, { host_rewrite: '%REQ(x-t)%.tenants.test' })],
    steps: [get('/', 'app', { headers: { 'x-t': 'one' } }), get('/', 'app')],
    expectUpstream: [{ headers: { host: 'one.tenants.test' } }, { headers: { host: '-.tenants.test' } }],
  },
  {
    name: 'host: auto_host_rewrite has no name to take from a static endpoint',
    routes: [to('app', { prefix: '/' }, { auto_host_rewrite: true })],
    steps: [get('/', 'app')],
    expectUpstream: [{ headers: { host: 'test.local' } }],
  },
  {
    name: 'host: append_x_forwarded_host keeps the old one, once',
    routes: [to('app', { prefix: '/' }, { host_rewrite_literal: 'new.test', append_x_forwarded_host: true })],
    steps: [
      get('/', 'app'),
      get('/', 'app', { headers: { 'x-forwarded-host': 'first.test' } }),
      get('/', 'app', { headers: { 'x-forwarded-host': 'first.test,test.local' } }),
    ],
    expectUpstream: [
      { headers: { host: 'new.test', 'x-forwarded-host': 'test.local' } },
      { headers: { 'x-forwarded-host': 'first.test,test.local' } },
      { headers: { 'x-forwarded-host': 'first.test,test.local' } },
    ],
  },
  {
    name: 'host: of a weighted cluster',
    routes: [
      {
        match: { prefix: '/' },
        route: { weighted_clusters: { clusters: [{ name: 'blue', weight: 1, host_rewrite_literal: 'blue.test' }] } },
      },
    ],
    steps: [get('/', 'blue')],
    expectUpstream: [{ headers: { host: 'blue.test' } }],
  },
  {
    name: 'host: of a weighted cluster and of its route',
    routes: [
      {
        match: { prefix: '/' },
        route: {
          host_rewrite_literal: 'route.test',
          append_x_forwarded_host: true,
          weighted_clusters: { clusters: [{ name: 'blue', weight: 1, host_rewrite_literal: 'blue.test' }] },
        },
      },
    ],
    steps: [get('/', 'blue')],
  },
]

export const rewriteScenarios: readonly RoutingScenario[] = [...pathScenarios, ...hostScenarios]
