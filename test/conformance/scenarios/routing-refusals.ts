/**
 * Route configurations that are wrong, or look as if they were: what Envoy 1.40 says of each, and the field that our
 * error names. Those without a field load in both.
 */
import { type HttpListener, type Json, typed } from './bootstrap.ts'
import { addHeader, header, to } from './routing-parts.ts'

export interface RoutingConfigCase extends Omit<HttpListener, 'name'> {
  readonly name: string
  /** Field below the route configuration, or undefined where it loads. */
  readonly field?: string
  /** We refuse what Envoy loads, or the other way round, and this is why. */
  readonly differs?: string
}

interface Fields {
  readonly [key: string]: Json
}

const FIRST = 'virtual_hosts[0].routes[0]'
const regex = (pattern: string, substitution = ''): Json => ({ pattern: { regex: pattern }, substitution })

/** A case of one route, whose wrong field is below it. */
function route(name: string, field: string | undefined, route: Json, differs?: string): RoutingConfigCase {
  return {
    name,
    routes: [route],
    ...(field !== undefined && { field: `${FIRST}.${field}` }),
    ...(differs !== undefined && { differs }),
  }
}

const match = (name: string, field: string | undefined, condition: Fields, differs?: string) =>
  route(name, field, to('app', condition), differs)
const action = (name: string, field: string | undefined, fields: Fields, differs?: string) =>
  route(name, field && `route.${field}`, { match: { prefix: '/' }, route: { cluster: 'app', ...fields } }, differs)
const more = (name: string, field: string | undefined, fields: Fields, differs?: string) =>
  route(name, field, to('app', { prefix: '/' }, {}, fields), differs)
const redirect = (name: string, field: string | undefined, fields: Fields) =>
  route(name, field && `redirect.${field}`, { match: { prefix: '/' }, redirect: fields })
const host = (name: string, domains: readonly string[]): Json => ({
  name,
  domains,
  routes: [to('app', { prefix: '/' })],
})

const template = (path: string): Json => ({
  name: 'envoy.path.match.uri_template.uri_template_matcher',
  typed_config: typed('type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig', {
    path_template: path,
  }),
})
const templateRewrite = (path: string): Json => ({
  name: 'envoy.path.rewrite.uri_template.uri_template_rewriter',
  typed_config: typed('type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig', {
    path_template_rewrite: path,
  }),
})
const templateCase = (path: string, valid: boolean): RoutingConfigCase =>
  match(`template ${path}`, valid ? undefined : 'match.path_match_policy.typed_config.path_template', {
    path_match_policy: template(path),
  })

export const routingConfigCases: readonly RoutingConfigCase[] = [
  {
    name: 'duplicate domains',
    routeConfig: { virtual_hosts: [host('a', ['x.test']), host('b', ['X.Test'])] },
    field: 'virtual_hosts[1].domains[0]',
  },
  {
    name: 'duplicate suffix wildcards',
    routeConfig: { virtual_hosts: [host('a', ['*.test', '*.test'])] },
    field: 'virtual_hosts[0].domains[1]',
  },
  {
    name: 'two * domains',
    routeConfig: { virtual_hosts: [host('a', ['*']), host('b', ['*'])] },
    field: 'virtual_hosts[1].domains[0]',
  },
  match('a regex that is none', 'match.safe_regex.regex', { safe_regex: { regex: '(' } }),
  match('a regex with look-ahead', 'match.safe_regex.regex', { safe_regex: { regex: '/(?=a).*' } }),
  match('a regex with look-behind', 'match.safe_regex.regex', { safe_regex: { regex: '/(?<=a).*' } }),
  match('a regex with a back-reference', 'match.safe_regex.regex', { safe_regex: { regex: '(a)\\1' } }),
  match('a regex that repeats too often', 'match.safe_regex.regex', { safe_regex: { regex: 'a{1001}' } }),
  match('a regex with a possessive quantifier', 'match.safe_regex.regex', { safe_regex: { regex: 'a++' } }),
  match('a regex with a named group', undefined, { safe_regex: { regex: '/(?P<name>a)(?<other>b)' } }),
  match('a regex with a unicode class', undefined, { safe_regex: { regex: '/\\pL+[[:digit:]]\\Q.\\E' } }),
  match(
    'a large regex',
    undefined,
    { safe_regex: { regex: 'a{900}' } },
    'Envoy counts the instructions of its own compiler, which nobody can foresee; a warning tells of it',
  ),
  match('a header regex that is none', 'match.headers[0].string_match.safe_regex.regex', {
    prefix: '/',
    headers: [header('x', { safe_regex: { regex: '[' } })],
  }),
  match('ignore_case for a regex', 'match.headers[0].string_match.ignore_case', {
    prefix: '/',
    headers: [header('x', { safe_regex: { regex: 'a' }, ignore_case: true })],
  }),
  match('a query parameter regex that is none', 'match.query_parameters[0].string_match.safe_regex.regex', {
    prefix: '/',
    query_parameters: [{ name: 'q', string_match: { safe_regex: { regex: '[' } } }],
  }),
  templateCase('/a/{b}/{c=**}', true),
  templateCase('/a/*/b', true),
  templateCase('/**', true),
  templateCase('/{a=x/*/y}/z', true),
  templateCase('/a/**/b', true),
  templateCase('/{a=**}/b.c', true),
  templateCase('/a{b}c', true),
  templateCase('/x/**.m3u8', true),
  templateCase('/{a}x/b', true),
  templateCase('/a=b', true),
  templateCase('/a/', true),
  templateCase('/', true),
  templateCase('/a*', true),
  templateCase('/a{b}{c}', false),
  templateCase('/a}b', false),
  templateCase('/*{b}', false),
  templateCase('/**x/y', false),
  templateCase('/{b', false),
  templateCase('/{a}/{a}', false),
  templateCase('a', false),
  templateCase('/a//b', false),
  templateCase('/**/**', false),
  templateCase('/**/*', false),
  templateCase('/{a=**}/{b}', false),
  templateCase('/{a={b}}', false),
  templateCase('/{}', false),
  templateCase('/{1a}', false),
  templateCase('/{a}/{b}/{c}/{d}/{e}/{f}', false),
  templateCase('/a b', false),
  templateCase('/{a=}', false),
  templateCase('/{abcdefghijklmnopq}', false),
  route('a template rewrite without a template', 'route.path_rewrite_policy', {
    match: { prefix: '/' },
    route: { cluster: 'app', path_rewrite_policy: templateRewrite('/x') },
  }),
  route(
    'a template rewrite with a variable nobody has',
    'route.path_rewrite_policy.typed_config.path_template_rewrite',
    {
      match: { path_match_policy: template('/{a}') },
      route: { cluster: 'app', path_rewrite_policy: templateRewrite('/{b}') },
    },
  ),
  route('prefix_rewrite of a template', 'route.prefix_rewrite', {
    match: { path_match_policy: template('/{a}') },
    route: { cluster: 'app', prefix_rewrite: '/x' },
  }),
  action('prefix_rewrite and regex_rewrite', 'regex_rewrite', { prefix_rewrite: '/a', regex_rewrite: regex('a') }),
  action('prefix_rewrite and path_rewrite', 'path_rewrite', { prefix_rewrite: '/a', path_rewrite: '/b' }),
  action('a regex_rewrite that is none', 'regex_rewrite.pattern.regex', { regex_rewrite: regex('(') }),
  action('a substitution with a group the pattern has not', undefined, { regex_rewrite: regex('a', '\\1') }),
  action('a substitution with a backslash at its end', undefined, { regex_rewrite: regex('a', 'x\\') }),
  action('path_rewrite with an operator nobody knows', 'path_rewrite', { path_rewrite: '/%NONE%' }),
  action('an unknown cluster', 'cluster', { cluster: 'nobody' }),
  {
    name: 'an unknown cluster, not validated',
    routeConfig: { validate_clusters: false },
    routes: [to('nobody', { prefix: '/' })],
  },
  action('an unknown mirror cluster', 'request_mirror_policies[0].cluster', {
    request_mirror_policies: [{ cluster: 'nobody' }],
  }),
  action('a mirror without a cluster', 'request_mirror_policies[0].cluster', { request_mirror_policies: [{}] }),
  action('a mirror with two clusters', 'request_mirror_policies[0].cluster_header', {
    request_mirror_policies: [{ cluster: 'app', cluster_header: 'x' }],
  }),
  action('duplicate upgrades', 'upgrade_configs[1].upgrade_type', {
    upgrade_configs: [{ upgrade_type: 'websocket' }, { upgrade_type: 'WebSocket' }],
  }),
  action('a retry policy with an unknown condition', undefined, { retry_policy: { retry_on: '5xx,nonsense' } }),
  action('a back-off whose maximum is below its base', 'retry_policy.retry_back_off.max_interval', {
    retry_policy: { retry_on: '5xx', retry_back_off: { base_interval: '1s', max_interval: '0.5s' } },
  }),
  action('a retry header regex that is none', 'retry_policy.retriable_headers[0].string_match.safe_regex.regex', {
    retry_policy: { retry_on: 'retriable-headers', retriable_headers: [header('x', { safe_regex: { regex: '[' } })] },
  }),
  action('a hash policy regex that is none', 'hash_policy[0].header.regex_rewrite.pattern.regex', {
    hash_policy: [{ header: { header_name: 'x', regex_rewrite: regex('[') } }],
  }),
  route('weights that sum up to nothing', 'route.weighted_clusters.clusters', {
    match: { prefix: '/' },
    route: { weighted_clusters: { clusters: [{ name: 'app', weight: 0 }] } },
  }),
  route('weights beyond 32 bits', 'route.weighted_clusters.clusters', {
    match: { prefix: '/' },
    route: {
      weighted_clusters: {
        clusters: [
          { name: 'app', weight: 4294967295 },
          { name: 'blue', weight: 1 },
        ],
      },
    },
  }),
  route('an unknown weighted cluster', 'route.weighted_clusters.clusters[0].name', {
    match: { prefix: '/' },
    route: { weighted_clusters: { clusters: [{ name: 'nobody', weight: 1 }] } },
  }),
  route('a weighted cluster with a name and a header', 'route.weighted_clusters.clusters[0].cluster_header', {
    match: { prefix: '/' },
    route: { weighted_clusters: { clusters: [{ name: 'app', cluster_header: 'x', weight: 1 }] } },
  }),
  route('a weighted cluster with neither', 'route.weighted_clusters.clusters[0].name', {
    match: { prefix: '/' },
    route: { weighted_clusters: { clusters: [{ weight: 1 }] } },
  }),
  more('adding a pseudo-header', 'request_headers_to_add[0].header.key', {
    request_headers_to_add: [addHeader(':path', '/')],
  }),
  more('adding the host header', 'request_headers_to_add[0].header.key', {
    request_headers_to_add: [addHeader('Host', 'a')],
  }),
  more('removing a pseudo-header', 'request_headers_to_remove[0]', { request_headers_to_remove: [':path'] }),
  more('removing the host header', 'request_headers_to_remove[0]', { request_headers_to_remove: ['HOST'] }),
  more('removing :status from responses', 'response_headers_to_remove[0]', { response_headers_to_remove: [':status'] }),
  more('a header value with an operator nobody knows', 'request_headers_to_add[0].header.value', {
    request_headers_to_add: [addHeader('x', '%NONE%')],
  }),
  more('a header value with a lone percent sign', 'request_headers_to_add[0].header.value', {
    request_headers_to_add: [addHeader('x', '50% off')],
  }),
  more('append together with append_action', 'request_headers_to_add[0].append', {
    request_headers_to_add: [addHeader('x', 'y', 'ADD_IF_ABSENT', { append: true })],
  }),
  redirect('a redirect regex that is none', 'regex_rewrite.pattern.regex', { regex_rewrite: regex('(') }),
  redirect('a redirect path with an operator nobody knows', 'path_rewrite', { path_rewrite: '/%NONE%' }),
  redirect('strip_query with a query in path_redirect', undefined, { strip_query: true, path_redirect: '/a?b' }),
  route('a body that is too long', 'direct_response.body', {
    match: { prefix: '/' },
    direct_response: { status: 200, body: { inline_string: 'x'.repeat(4097) } },
  }),
  route('a body of just the maximum', undefined, {
    match: { prefix: '/' },
    direct_response: { status: 200, body: { inline_string: 'x'.repeat(4096) } },
  }),
  {
    name: 'a body that is too long for max_direct_response_body_size_bytes',
    routeConfig: { max_direct_response_body_size_bytes: 4 },
    routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'hello' } } }],
    field: `${FIRST}.direct_response.body`,
  },
  route('a body file that is not there', 'direct_response.body.filename', {
    match: { prefix: '/' },
    direct_response: { status: 200, body: { filename: '/nonexistent/body' } },
  }),
  {
    name: 'a virtual cluster without headers',
    virtualHost: { virtual_clusters: [{ name: 'v' }] },
    field: 'virtual_hosts[0].virtual_clusters[0].headers',
  },
  {
    name: 'keep_matching in a matcher',
    routes: [],
    virtualHost: {
      matcher: {
        on_no_match: {
          keep_matching: true,
          action: {
            name: 'r',
            typed_config: typed(
              'type.googleapis.com/envoy.config.route.v3.Route',
              to('app', { prefix: '/' }) as Fields,
            ),
          },
        },
      },
    },
    field: 'virtual_hosts[0].matcher.on_no_match.keep_matching',
  },
  {
    name: 'a matcher and routes',
    virtualHost: {
      matcher: {
        on_no_match: {
          action: {
            name: 'r',
            typed_config: typed(
              'type.googleapis.com/envoy.config.route.v3.Route',
              to('app', { prefix: '/' }) as Fields,
            ),
          },
        },
      },
    },
    field: 'virtual_hosts[0].matcher',
  },
]
