import { always, type Json, never, typed } from './bootstrap.ts'
import type { FilterScenario } from './filters.ts'

const name = 'envoy.filters.http.cors'
const cors: Json = { name, typed_config: typed('http.cors.v3.Cors') }
const policy = (fields: Record<string, Json>): Record<string, Json> => ({
  typed_per_filter_config: { [name]: typed('http.cors.v3.CorsPolicy', fields) },
})
const route = (fields: Record<string, Json>): Json => ({ match: { prefix: '/' }, route: { cluster: 'app' }, ...fields })

const origins = [{ exact: 'http://a.test' }, { safe_regex: { regex: 'https?://[^.]+\\.b\\.test' } }]
const full = {
  allow_origin_string_match: origins,
  allow_methods: 'GET, PUT',
  allow_headers: 'x-one, x-two',
  expose_headers: 'x-three',
  max_age: '600',
  allow_credentials: true,
}

const preflight = (origin: string, more: Record<string, string> = {}) => ({
  method: 'OPTIONS',
  headers: { origin, 'access-control-request-method': 'PUT', ...more },
})
const STATS = ['http.{prefix}.cors.origin_valid', 'http.{prefix}.cors.origin_invalid']

export const corsScenarios: readonly FilterScenario[] = [
  {
    name: 'cors: a preflight is answered',
    filters: [cors],
    routes: [route(policy(full))],
    steps: [
      {
        ...preflight('http://a.test'),
        expect: {
          status: 200,
          body: '',
          headers: {
            'access-control-allow-origin': 'http://a.test',
            'access-control-allow-credentials': 'true',
            'access-control-allow-methods': 'GET, PUT',
            'access-control-allow-headers': 'x-one, x-two',
            'access-control-max-age': '600',
            'access-control-expose-headers': 'x-three',
          },
          log: '200 - cors_response',
        },
      },
      { ...preflight('https://x.b.test'), expect: { headers: { 'access-control-allow-origin': 'https://x.b.test' } } },
    ],
    stats: STATS,
    expectStats: { 'http.{prefix}.cors.origin_valid': 2 },
    expectUpstream: [],
  },
  {
    name: 'cors: a preflight from elsewhere goes to the application',
    filters: [cors],
    routes: [route(policy(full))],
    steps: [
      { ...preflight('http://evil.test'), expect: { body: 'ok', headers: { 'access-control-allow-origin': null } } },
    ],
    stats: STATS,
    expectStats: { 'http.{prefix}.cors.origin_invalid': 1 },
    expectUpstream: [{}],
  },
  {
    name: 'cors: a preflight from elsewhere may be answered',
    filters: [cors],
    routes: [route(policy({ ...full, forward_not_matching_preflights: false }))],
    steps: [
      {
        ...preflight('http://evil.test'),
        expect: {
          status: 200,
          headers: { 'access-control-allow-origin': null, 'access-control-allow-methods': 'GET, PUT' },
        },
      },
    ],
    expectUpstream: [],
  },
  {
    name: 'cors: OPTIONS without a requested method is an ordinary request',
    filters: [cors],
    routes: [route(policy(full))],
    steps: [
      { method: 'OPTIONS', headers: { origin: 'http://a.test' }, expect: { body: 'ok' } },
      { method: 'OPTIONS', headers: { 'access-control-request-method': 'PUT' }, expect: { body: 'ok' } },
    ],
    stats: STATS,
  },
  {
    name: 'cors: a response to an allowed origin says so',
    filters: [cors],
    routes: [route(policy(full))],
    upstreams: { app: [{ headers: { 'access-control-allow-origin': 'http://wrong.test' } }] },
    steps: [
      {
        headers: { origin: 'http://a.test' },
        expect: {
          headers: {
            'access-control-allow-origin': 'http://a.test',
            'access-control-allow-credentials': 'true',
            'access-control-expose-headers': 'x-three',
            'access-control-allow-methods': null,
          },
        },
      },
    ],
    stats: STATS,
  },
  {
    name: 'cors: a response to another origin is left alone',
    filters: [cors],
    routes: [route(policy(full))],
    upstreams: { app: [{ headers: { 'access-control-allow-origin': 'http://own.test' } }] },
    steps: [
      {
        headers: { origin: 'http://evil.test' },
        expect: { headers: { 'access-control-allow-origin': 'http://own.test' } },
      },
      { expect: { headers: { 'access-control-allow-origin': 'http://own.test' } } },
    ],
    stats: STATS,
  },
  {
    name: 'cors: stars',
    filters: [cors],
    routes: [route(policy({ allow_origin_string_match: [{ exact: '*' }], allow_methods: '*', allow_headers: '*' }))],
    steps: [
      {
        ...preflight('http://any.test', { 'access-control-request-headers': 'x-p, x-q' }),
        expect: {
          headers: {
            'access-control-allow-origin': 'http://any.test',
            'access-control-allow-methods': 'PUT',
            'access-control-allow-headers': 'x-p, x-q',
            'access-control-allow-credentials': null,
          },
        },
      },
      { ...preflight('http://any.test') },
    ],
  },
  {
    name: 'cors: private network access',
    filters: [cors],
    routes: [route(policy({ ...full, allow_private_network_access: true }))],
    steps: [
      {
        ...preflight('http://a.test', { 'access-control-request-private-network': 'true' }),
        expect: { headers: { 'access-control-allow-private-network': 'true' } },
      },
      { ...preflight('http://a.test'), expect: { headers: { 'access-control-allow-private-network': null } } },
    ],
  },
  {
    name: 'cors: switched off it does nothing',
    filters: [cors],
    routes: [route(policy({ ...full, filter_enabled: never }))],
    steps: [{ ...preflight('http://a.test'), expect: { body: 'ok' } }],
    stats: STATS,
    expectStats: { 'http.{prefix}.cors.origin_valid': 0 },
  },
  {
    name: 'cors: in the shadow it only counts',
    filters: [cors],
    routes: [route(policy({ ...full, filter_enabled: never, shadow_enabled: always }))],
    steps: [
      { ...preflight('http://a.test'), expect: { body: 'ok' } },
      { headers: { origin: 'http://a.test' }, expect: { headers: { 'access-control-allow-origin': null } } },
      { headers: { origin: 'http://evil.test' } },
    ],
    stats: STATS,
    expectStats: { 'http.{prefix}.cors.origin_valid': 2, 'http.{prefix}.cors.origin_invalid': 1 },
  },
  {
    name: 'cors: what the route does not say the virtual host says',
    filters: [cors],
    virtualHost: policy({ ...full, allow_methods: 'DELETE' }),
    routes: [route(policy({ allow_origin_string_match: [{ prefix: 'http://' }], max_age: '1' }))],
    steps: [
      {
        ...preflight('http://c.test'),
        expect: {
          headers: {
            'access-control-allow-origin': 'http://c.test',
            'access-control-allow-methods': 'DELETE',
            'access-control-max-age': '1',
          },
        },
      },
    ],
  },
  {
    name: 'cors: without a policy nothing happens',
    filters: [cors],
    steps: [{ ...preflight('http://a.test'), expect: { body: 'ok' } }],
    stats: STATS,
  },
  {
    name: 'cors: routes that answer by themselves are left alone',
    filters: [cors],
    virtualHost: policy(full),
    routes: [{ match: { prefix: '/' }, direct_response: { status: 202 } }],
    steps: [{ ...preflight('http://a.test') }, { headers: { origin: 'http://a.test' } }],
    stats: STATS,
  },
  {
    name: 'cors: the old fields of the route',
    envoyOnly: 'config/ refuses route.cors and names the field to use instead; the filter itself understands it',
    filters: [cors],
    routes: [{ match: { prefix: '/' }, route: { cluster: 'app', cors: full } }],
    steps: [{ ...preflight('http://a.test') }, { headers: { origin: 'http://a.test' } }],
    stats: STATS,
  },
  {
    name: 'cors: odd origins',
    filters: [cors],
    routes: [route(policy({ allow_origin_string_match: [{ safe_regex: { regex: '.*' } }], allow_methods: 'GET' }))],
    steps: [
      { headers: { origin: '' }, expect: { headers: { 'access-control-allow-origin': null } } },
      {
        method: 'OPTIONS',
        headers: [
          ['origin', 'http://a'],
          ['origin', 'http://b'],
          ['access-control-request-method', 'GET'],
        ],
        expect: { headers: { 'access-control-allow-origin': 'http://a,http://b' } },
      },
      { headers: { origin: 'null' }, expect: { headers: { 'access-control-allow-origin': 'null' } } },
    ],
    stats: STATS,
  },
]
