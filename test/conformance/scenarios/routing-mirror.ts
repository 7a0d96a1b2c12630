import { always, type Json, never } from './bootstrap.ts'
import type { RoutingScenario } from './routing.ts'
import { addHeader, get, rest, to } from './routing-parts.ts'

/** A request to `/m` is mirrored to blue; the second one only gives the mirror time to arrive. */
function mirrors(
  name: string,
  policy: { readonly [key: string]: Json },
  host: string,
  more: Partial<RoutingScenario> = {},
): RoutingScenario {
  return {
    name: `mirror: ${name}`,
    routes: [to('app', { prefix: '/m' }, { request_mirror_policies: [{ cluster: 'blue', ...policy }] }), rest],
    steps: [
      { ...get('/m', 'app'), host, headers: { 'x-gone': 'g', 'x-a': 'a' } },
      { ...get('/wait', 'app'), waitMs: 100 },
    ],
    ...more,
  }
}

export const mirrorScenarios: readonly RoutingScenario[] = [
  mirrors('the host gets -shadow', {}, 'a.test'),
  mirrors('the host gets -shadow before its port', {}, 'a.test:8080'),
  mirrors('an IPv6 address too', {}, '[::1]:8080'),
  mirrors('an IPv6 address without a port too', {}, '[::1]'),
  mirrors('without -shadow', { disable_shadow_host_suffix_append: true }, 'a.test'),
  mirrors('with a host of its own', { host_rewrite_literal: 'mirror.test' }, 'a.test'),
  mirrors(
    'with mutations of its own',
    {
      request_headers_mutations: [
        { append: addHeader('x-mirror', 'yes') },
        { remove: 'x-gone' },
        { append: addHeader('x-a', '%REQ(x-mirror)%', 'OVERWRITE_IF_EXISTS_OR_ADD') },
      ],
    },
    'a.test',
  ),
  mirrors('none of the requests', { runtime_fraction: never }, 'a.test'),
  mirrors('all of the requests', { runtime_fraction: always }, 'a.test'),
  mirrors('after the route has rewritten the request', {}, 'a.test', {
    routes: [
      to(
        'app',
        { prefix: '/m' },
        { prefix_rewrite: '/new', host_rewrite_literal: 'new.test', request_mirror_policies: [{ cluster: 'blue' }] },
        { request_headers_to_add: [addHeader('x-route', 'r')] },
      ),
      rest,
    ],
  }),
  mirrors('by the virtual host, where the route has none', {}, 'a.test', {
    virtualHost: { request_mirror_policies: [{ cluster: 'blue' }] },
    routes: [
      to('app', { prefix: '/m' }),
      to('app', { prefix: '/' }, { request_mirror_policies: [{ cluster: 'green' }] }),
    ],
  }),
  mirrors('by the configuration, where the others have none', {}, 'a.test', {
    routeConfig: { request_mirror_policies: [{ cluster: 'green' }] },
    routes: [to('app', { prefix: '/' })],
  }),
  mirrors('to the cluster that a header names', {}, 'a.test', {
    routes: [to('app', { prefix: '/m' }, { request_mirror_policies: [{ cluster_header: 'x-to' }] }), rest],
    steps: [
      { ...get('/m', 'app'), headers: { 'x-to': 'green' } },
      { ...get('/m', 'app'), headers: { 'x-to': 'nobody' } },
      get('/m', 'app'),
      { ...get('/wait', 'app'), waitMs: 100 },
    ],
  }),
]
