import type { RoutingScenario } from './routing.ts'
import { answered, get, none, rest, to } from './routing-parts.ts'

const host = (name: string, domains: readonly string[], cluster: string) => ({
  name,
  domains,
  routes: [to(cluster, { prefix: '/' })],
})
const at = (name: string, upstream: string) => get('/', upstream, { host: name })
const nowhere = (name: string) => none('/', { host: name })

export const hostScenarios: readonly RoutingScenario[] = [
  {
    name: 'hosts: exact, then the longest suffix, then the longest prefix, then *',
    routeConfig: {
      virtual_hosts: [
        host('fallback', ['*'], 'app'),
        host('prefix', ['www.*', 'www.b.*'], 'green'),
        host('suffix', ['*.b.test', '*-x.b.test'], 'blue'),
        host('exact', ['www.b.test'], 'app'),
        host('longer-suffix', ['*.c.b.test'], 'green'),
      ],
    },
    steps: [
      at('www.b.test', 'app'),
      at('a.b.test', 'blue'),
      at('a.c.b.test', 'green'),
      at('www.c.test', 'green'),
      at('www.b.example', 'green'),
      at('a-x.b.test', 'blue'),
      at('.b.test', 'app'),
      at('b.test', 'app'),
      at('www.', 'app'),
      at('other', 'app'),
    ],
  },
  {
    name: 'hosts: without * a host nobody has is not found',
    routeConfig: { virtual_hosts: [host('one', ['a.test'], 'app'), host('two', ['*.b.test'], 'blue')] },
    steps: [at('a.test', 'app'), at('x.b.test', 'blue'), nowhere('b.test'), nowhere('xa.test')],
  },
  {
    name: 'hosts: ASCII case does not matter',
    routeConfig: { virtual_hosts: [host('one', ['A.Test', '*.Suffix'], 'app')] },
    steps: [at('a.TEST', 'app'), at('X.SUFFIX', 'app')],
  },
  {
    name: 'hosts: a port is part of the name',
    routeConfig: {
      virtual_hosts: [host('with', ['a.test:8080', '*.b.test:81'], 'app'), host('without', ['a.test'], 'blue')],
    },
    steps: [
      at('a.test:8080', 'app'),
      at('a.test', 'blue'),
      at('x.b.test:81', 'app'),
      nowhere('a.test:81'),
      nowhere('x.b.test'),
    ],
  },
  {
    name: 'hosts: ignore_port_in_host_matching',
    routeConfig: {
      ignore_port_in_host_matching: true,
      virtual_hosts: [host('one', ['a.test', '[::1]'], 'app'), host('two', ['*.b.test'], 'blue')],
    },
    steps: [
      at('a.test:8080', 'app'),
      at('a.test', 'app'),
      at('x.b.test:1', 'blue'),
      at('[::1]:80', 'app'),
      at('[::1]', 'app'),
    ],
  },
  {
    name: 'hosts: vhost_header is asked instead of the authority',
    routeConfig: {
      vhost_header: 'x-host',
      virtual_hosts: [host('one', ['a.test'], 'app'), host('two', ['b.test'], 'blue')],
    },
    steps: [
      get('/', 'blue', { host: 'a.test', headers: { 'x-host': 'b.test' } }),
      none('/', { host: 'a.test' }),
      none('/', { host: 'a.test', headers: { 'x-host': '' } }),
    ],
  },
  {
    name: 'hosts: require_tls redirects to https',
    virtualHost: { require_tls: 'ALL' },
    routes: [rest],
    steps: [
      answered('/a?b', { status: 301, headers: { location: 'https://test.local/a?b' } }),
      answered('/', { status: 301, headers: { location: 'https://test.local:8080/' } }, { host: 'test.local:8080' }),
      get('/', 'app', { headers: { 'x-forwarded-proto': 'https' } }),
    ],
  },
  {
    name: 'hosts: require_tls for those from outside',
    virtualHost: { require_tls: 'EXTERNAL_ONLY' },
    routes: [rest],
    steps: [
      answered('/', { status: 301, headers: { location: 'https://test.local/' } }),
      get('/', 'app', { headers: { 'x-forwarded-proto': 'https' } }),
    ],
  },
]
