import type { Json } from './bootstrap.ts'
import type { RoutingScenario } from './routing.ts'
import { rest, to } from './routing-parts.ts'

const predicate = (name: string, fields: { readonly [key: string]: Json } = {}): Json => ({
  name,
  typed_config: {
    '@type': `type.googleapis.com/envoy.extensions.internal_redirect.${name}`,
    ...fields,
  },
})

/** A request to `/ir`, whose upstream redirects to these places one after the other and then answers `app`. */
function follows(
  name: string,
  policy: { readonly [key: string]: Json },
  locations: readonly string[],
  more: Partial<RoutingScenario> & { readonly status?: number } = {},
): RoutingScenario {
  const { status = 302, ...fields } = more
  return {
    name: `internal redirect: ${name}`,
    routes: [to('app', { prefix: '/ir' }, { internal_redirect_policy: policy }, { name: 'redirecting' }), rest],
    upstreams: {
      app: [
        ...locations.map(location => ({ status, headers: { location, 'x-copy': 'copied' }, body: 'moved' })),
        { status: 200, body: 'app' },
      ],
    },
    steps: [{ path: '/ir/a?b' }],
    ...fields,
  }
}

const safe = {
  allow_cross_scheme_redirect: true,
  predicates: [predicate('safe_cross_scheme.v3.SafeCrossSchemeConfig')],
}
const overTls = { steps: [{ path: '/ir', headers: { 'x-forwarded-proto': 'https' } }] }

export const internalRedirectScenarios: readonly RoutingScenario[] = [
  follows('one is followed', {}, ['http://other.test:81/new?x#fragment']),
  follows('a second one is not, by default', {}, ['http://other.test/ir/2', 'http://other.test/ir/3']),
  follows('as many as max_internal_redirects', { max_internal_redirects: 2 }, [
    'http://other.test/ir/2',
    'http://other.test/ir/3',
    'http://other.test/ir/4',
  ]),
  follows('only of the statuses asked for', { redirect_response_codes: [301, 999] }, ['http://other.test/new']),
  follows('of a status asked for', { redirect_response_codes: [307] }, ['http://other.test/new'], { status: 307 }),
  follows('a 303 makes a GET without a body', { redirect_response_codes: [303] }, ['http://other.test/new'], {
    status: 303,
    steps: [{ path: '/ir', method: 'POST', body: 'abc' }],
  }),
  follows('a relative location is not followed', {}, ['/new']),
  follows('a location without a path', {}, ['http://other.test']),
  follows('a location with a query only is not followed', {}, ['http://other.test?q']),
  follows('a location that is none', {}, ['http:///']),
  follows('another scheme is not followed', {}, ['https://other.test/']),
  follows('another scheme is followed on demand', { allow_cross_scheme_redirect: true }, ['https://other.test/']),
  follows(
    'from https to http, where that is allowed',
    { allow_cross_scheme_redirect: true },
    ['http://other.test/'],
    overTls,
  ),
  follows('from https to http, where it is not', {}, ['http://other.test/'], overTls),
  follows('safe_cross_scheme: from http to https', safe, ['https://other.test/']),
  follows('safe_cross_scheme: from https to http', safe, ['http://other.test/'], overTls),
  follows('safe_cross_scheme: from http to http', safe, ['http://other.test/']),
  follows(
    'headers of the response are copied',
    { response_headers_to_copy: ['x-copy', 'x-none'] },
    ['http://other.test/new'],
    {
      steps: [{ path: '/ir', headers: { 'x-none': 'was', 'x-copy': 'was' } }],
    },
  ),
  follows('nowhere to go', {}, ['http://other.test/ir/2'], {
    routes: [to('app', { path: '/ir/a' }, { internal_redirect_policy: {} })],
  }),
  follows(
    'only to routes that are allowed',
    {
      max_internal_redirects: 3,
      predicates: [
        predicate('allow_listed_routes.v3.AllowListedRoutesConfig', { allowed_route_names: ['redirecting'] }),
      ],
    },
    ['http://other.test/ir/2', 'http://other.test/elsewhere'],
  ),
  follows(
    'not to a route that has redirected before',
    { max_internal_redirects: 5, predicates: [predicate('previous_routes.v3.PreviousRoutesConfig')] },
    ['http://other.test/ir/2', 'http://other.test/ir/3'],
  ),
]
