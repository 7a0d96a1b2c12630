import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import { ConfigError } from '../../../sidecar/filter-chain/http-filter.ts'
import { positionOf } from '../../../sidecar/router/explain.ts'
import { compile, decode, errorsOf, match, request, routesOf, streamInfo, tableOf } from './tables.ts'

const to = (cluster: string, match: object = { prefix: '/' }, more: object = {}) => ({
  match,
  route: { cluster },
  ...more,
})

test('a route that depends on nothing gives the same entry to every request', () => {
  const table = routesOf([to('app')])
  assert.equal(match(table, { path: '/a' }), match(table, { path: '/b' }))
})

test('an entry has names, defaults and what the virtual host says', () => {
  const table = tableOf({
    virtual_hosts: [
      {
        name: 'host',
        domains: ['*'],
        include_request_attempt_count: true,
        routes: [
          to(
            'app',
            { prefix: '/' },
            { name: 'route', decorator: { operation: 'op', propagate: false }, stat_prefix: 's' },
          ),
        ],
      },
    ],
  })
  const entry = match(table)!
  assert.deepEqual(
    [entry.kind, entry.routeName, entry.virtualHostName, entry.clusterName, entry.timeoutMs, entry.priority],
    ['cluster', 'route', 'host', 'app', 15_000, 0],
  )
  assert.deepEqual([entry.operation, entry.propagateOperation, entry.statPrefix], ['op', false, 's'])
  assert.deepEqual([entry.includeAttemptCountInRequest, entry.includeAttemptCountInResponse], [true, false])
  assert.deepEqual(
    [entry.idleTimeoutMs, entry.maxStreamDurationMs, entry.retryPolicy],
    [undefined, undefined, undefined],
  )
})

test('the route of a cluster header is made for the request', () => {
  const table = routesOf([{ match: { prefix: '/' }, route: { cluster_header: 'X-To' } }])
  assert.equal(match(table, { headers: { 'x-to': 'one' } })?.clusterName, 'one')
  assert.equal(match(table)?.clusterName, '')
})

test('request bodies are limited by the route, else by the virtual host', () => {
  const limited = (route: object, host: object) =>
    match(
      tableOf({ virtual_hosts: [{ name: 'h', domains: ['*'], routes: [to('a', { prefix: '/' }, route)], ...host }] }),
    )?.requestBufferLimit
  assert.equal(limited({}, {}), undefined)
  assert.equal(limited({}, { per_request_buffer_limit_bytes: 5 }), 5)
  assert.equal(limited({ per_request_buffer_limit_bytes: 6 }, { per_request_buffer_limit_bytes: 5 }), 6)
  assert.equal(limited({}, { request_body_buffer_limit: 7, per_request_buffer_limit_bytes: 5 }), 7)
  assert.equal(limited({ request_body_buffer_limit: 8 }, { request_body_buffer_limit: 7 }), 8)
})

test('metadata_match is that of the route and over it of the weighted cluster', () => {
  const lb = (fields: object) => ({ filter_metadata: { 'envoy.lb': fields } })
  const table = routesOf([
    {
      match: { prefix: '/' },
      route: {
        metadata_match: lb({ a: 1, b: 1 }),
        weighted_clusters: { clusters: [{ name: 'x', weight: 1, metadata_match: lb({ b: 2 }) }] },
      },
    },
  ])
  assert.deepEqual(match(table)?.metadataMatch, { a: 1, b: 2 })
})

test('upgrades are switched by the route, in any case of their names', () => {
  const upgrade_configs = [{ upgrade_type: 'WebSocket' }, { upgrade_type: 'CONNECT', enabled: false }]
  const entry = match(routesOf([{ match: { prefix: '/' }, route: { cluster: 'a', upgrade_configs } }]))!
  assert.deepEqual(
    ['websocket', 'connect', 'h2c'].map(type => entry.upgradeEnabled(type)),
    [true, false, undefined],
  )
})

test('a CONNECT request takes only routes for CONNECT', () => {
  const table = routesOf([to('prefix'), to('connect', { connect_matcher: {} })])
  assert.equal(match(table, { method: 'CONNECT', path: '' })?.clusterName, 'connect')
  assert.equal(match(table, { method: 'GET' })?.clusterName, 'prefix')
})

test('dynamic metadata is looked into along its path', () => {
  const value = (value: object) => ({ filter: 'f', path: [{ key: 'a' }, { key: 'b' }], value })
  const table = routesOf([
    to('text', { prefix: '/', dynamic_metadata: [value({ string_match: { prefix: 'x' } })] }),
    to('number', { prefix: '/', dynamic_metadata: [value({ double_match: { range: { start: 1, end: 2 } } })] }),
    to('list', { prefix: '/', dynamic_metadata: [value({ list_match: { one_of: { bool_match: true } } })] }),
    to('or', {
      prefix: '/',
      dynamic_metadata: [
        value({ or_match: { value_matchers: [{ null_match: {} }, { string_match: { exact: 'q' } }] } }),
      ],
    }),
    to('missing', { prefix: '/', dynamic_metadata: [value({ present_match: false })] }),
  ])
  const cluster = (b: unknown) => {
    const info = streamInfo()
    if (b !== undefined) info.setDynamicMetadata('f', 'a', { b })
    return table.match(request(), info, new SeededRandom(1))?.clusterName
  }
  assert.deepEqual(['xy', 1.5, [false, true], null, 'q', undefined, 7].map(cluster), [
    'text',
    'number',
    'list',
    'or',
    'or',
    'missing',
    undefined,
  ])
})

test('a client certificate is matched by its presence', () => {
  const table = routesOf([to('mtls', { prefix: '/', tls_context: { presented: true, validated: true } }), to('plain')])
  const tls = {
    version: '',
    cipher: '',
    sni: '',
    alpn: '',
    peerUriSans: [],
    peerDnsSans: [],
    peerSubject: '',
    peerIssuer: '',
    peerFingerprint256: 'ab',
    peerSerial: '',
    localUriSans: [],
  }
  const by = (fingerprint: string) => {
    const info = streamInfo({ ...streamInfo().downstream, tls: { ...tls, peerFingerprint256: fingerprint } } as never)
    return table.match(request(), info, new SeededRandom(1))?.clusterName
  }
  assert.deepEqual([by('ab'), by(''), match(table)?.clusterName], ['mtls', 'plain', 'plain'])
})

test('virtual clusters are found by headers, the rest is other', () => {
  const virtual_clusters = [
    {
      name: 'posts',
      headers: [
        { name: ':method', string_match: { exact: 'POST' } },
        { name: ':path', string_match: { prefix: '/a' } },
      ],
    },
    { name: 'all-a', headers: [{ name: ':path', string_match: { prefix: '/a' } }] },
  ]
  const entry = match(tableOf({ virtual_hosts: [{ name: 'v', domains: ['*'], virtual_clusters, routes: [to('a')] }] }))!
  assert.equal(entry.virtualCluster(request({ method: 'POST', path: '/a' })), 'posts')
  assert.equal(entry.virtualCluster(request({ path: '/a' })), 'all-a')
  assert.equal(entry.virtualCluster(request({ path: '/b' })), 'other')
  assert.equal(match(routesOf([to('a')]))?.virtualCluster(request()), '')
})

test('tracing of a route is in percent, whole where it does not say', () => {
  const tracing = {
    random_sampling: { numerator: 5, denominator: 'TEN_THOUSAND' },
    custom_tags: [{ tag: 't', literal: { value: 'v' } }],
  }
  const entry = match(routesOf([to('a', { prefix: '/' }, { tracing })]))!
  assert.deepEqual(entry.tracing?.rates, { clientSampling: 100, randomSampling: 0.05, overallSampling: 100 })
  assert.deepEqual(
    entry.tracing?.customTags.map(({ tag }) => tag),
    ['t'],
  )
  assert.equal(match(routesOf([to('a')]))?.tracing, undefined)
})

// Per-filter configuration.

const empty = { '@type': 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute', disabled: true }
const wrapped = (fields: object) => ({ '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', ...fields })

test('per-filter configuration is found at every level, the most specific first', () => {
  const level = (bytes: number) => ({
    typed_per_filter_config: { f: { ...empty, disabled: undefined, buffer: { max_request_bytes: bytes } } },
  })
  const table = tableOf({
    ...level(1),
    virtual_hosts: [
      {
        name: 'v',
        domains: ['*'],
        ...level(2),
        routes: [
          {
            match: { prefix: '/w' },
            route: { weighted_clusters: { clusters: [{ name: 'a', weight: 1, ...level(4) }] } },
            ...level(3),
          },
          to('a', { prefix: '/' }),
        ],
      },
    ],
  })
  const sizes = (path: string) => {
    const configs = match(table, { path })!.filterConfigs('f') as readonly { buffer: { maxRequestBytes: number } }[]
    return configs.map(({ buffer }) => buffer.maxRequestBytes)
  }
  assert.deepEqual(sizes('/w'), [1, 2, 3, 4])
  assert.deepEqual(sizes('/'), [1, 2])
  const entry = match(table, { path: '/w' })!
  assert.equal(entry.filterConfig('f'), entry.filterConfigs('f').at(-1))
  assert.deepEqual([entry.filterConfig('g'), entry.filterConfigs('g')], [undefined, []])
  assert.equal(entry.hasFilterConfigs, true)
  assert.equal(match(routesOf([to('a')]))?.hasFilterConfigs, false)
})

test('a filter is switched off and on by the most specific level', () => {
  const table = tableOf({
    typed_per_filter_config: { off: wrapped({ disabled: true }), on: wrapped({ disabled: true }) },
    virtual_hosts: [
      {
        name: 'v',
        domains: ['*'],
        routes: [to('a', { prefix: '/' }, { typed_per_filter_config: { on: wrapped({ config: empty }) } })],
      },
    ],
  })
  const entry = match(table)!
  assert.deepEqual(
    ['off', 'on', 'other'].map(name => entry.filterDisabled(name)),
    [true, false, undefined],
  )
  assert.notEqual(entry.filterConfig('on'), undefined)
})

test('an unknown filter is a mistake unless it is optional', () => {
  const unknown = { decodeFilterConfig: () => undefined }
  const route = (config: object) => to('a', { prefix: '/' }, { typed_per_filter_config: { f: config } })
  assert.deepEqual(errorsOf(route(empty), unknown), [
    'typed_per_filter_config["f"]: no HTTP filter takes settings of the type envoy.extensions.filters.http.buffer.v3.BufferPerRoute at a route',
  ])
  assert.deepEqual(errorsOf(route(wrapped({ config: empty, is_optional: true })), unknown), [])
  const throwing = {
    decodeFilterConfig() {
      throw new ConfigError('max_request_bytes', 'is too much')
    },
  }
  assert.deepEqual(errorsOf(route(empty), throwing), ['typed_per_filter_config["f"].max_request_bytes: is too much'])
})

// Timeouts.

test('max_stream_duration is that of the route, or of grpc-timeout within its bounds', () => {
  const limit = (duration: object, timeout?: string) => {
    const table = routesOf([{ match: { prefix: '/' }, route: { cluster: 'a', max_stream_duration: duration } }])
    return match(table, { headers: timeout === undefined ? {} : { 'grpc-timeout': timeout } })?.maxStreamDurationMs
  }
  assert.equal(limit({ max_stream_duration: '5s' }), 5000)
  assert.equal(limit({ max_stream_duration: '5s' }, '1S'), 5000)
  assert.equal(limit({ max_stream_duration: '5s', grpc_timeout_header_max: '2s' }), 5000)
  assert.equal(limit({ grpc_timeout_header_max: '2s' }, '1S'), 1000)
  assert.equal(limit({ grpc_timeout_header_max: '2s' }, '3S'), 2000)
  assert.equal(limit({ grpc_timeout_header_max: '0s' }, '3M'), 180_000)
  assert.equal(limit({ grpc_timeout_header_max: '2s', grpc_timeout_header_offset: '0.3s' }, '1S'), 700)
  assert.equal(limit({ grpc_timeout_header_max: '2s', grpc_timeout_header_offset: '3s' }, '1S'), 0.1)
  assert.equal(limit({ grpc_timeout_header_max: '2s' }, 'soon'), undefined)
  assert.equal(limit({ grpc_timeout_header_max: '2s' }, '1500u'), 2)
})

test('the legacy max_grpc_timeout bounds the response timeout of gRPC requests', () => {
  const timeout = (action: object, headers: Record<string, string>) => {
    const table = routesOf([{ match: { prefix: '/' }, route: { cluster: 'a', timeout: '9s', ...action } }])
    return match(table)!.timeoutFor(request({ headers }))
  }
  const grpc = { 'content-type': 'application/grpc' }
  assert.equal(timeout({}, { ...grpc, 'grpc-timeout': '1S' }), 9000)
  assert.equal(timeout({ max_grpc_timeout: '2s' }, { ...grpc, 'grpc-timeout': '1S' }), 1000)
  assert.equal(timeout({ max_grpc_timeout: '2s' }, { ...grpc, 'grpc-timeout': '5S' }), 2000)
  assert.equal(timeout({ max_grpc_timeout: '2s' }, grpc), 2000)
  assert.equal(timeout({ max_grpc_timeout: '0s' }, grpc), 0)
  assert.equal(timeout({ max_grpc_timeout: '2s', grpc_timeout_offset: '0.2s' }, { ...grpc, 'grpc-timeout': '1S' }), 800)
  assert.equal(timeout({ max_grpc_timeout: '2s' }, { 'grpc-timeout': '1S' }), 9000)
  assert.equal(timeout({ max_grpc_timeout: '2s', max_stream_duration: {} }, { ...grpc, 'grpc-timeout': '1S' }), 0)
})

// Explaining.

const explained = {
  virtual_hosts: [
    {
      name: 'one',
      domains: ['a.test'],
      routes: [
        to('x', { prefix: '/x' }, { name: 'x' }),
        to('y', { prefix: '/', headers: [{ name: 'x-k', string_match: { exact: 'v' } }] }, { name: 'y' }),
        to('z', { prefix: '/', query_parameters: [{ name: 'q' }] }, { name: 'z' }),
        to('rest', { prefix: '/' }, { name: 'rest' }),
      ],
    },
  ],
}

test('an explanation tells which routes were tried and why they did not match', () => {
  const table = tableOf(explained)
  const { virtualHost, tried, entry } = table.explain(
    request({ path: '/p', headers: { 'x-k': 'w' } }),
    streamInfo(),
    new SeededRandom(1),
  )
  assert.deepEqual(virtualHost, { name: 'one', field: 'virtual_hosts[0]' })
  assert.deepEqual(
    tried.map(({ name, field, reason }) => [name, field, reason]),
    [
      ['x', 'virtual_hosts[0].routes[0]', 'path is "/p"; it must begin with "/x"'],
      ['y', 'virtual_hosts[0].routes[1]', 'header x-k is "w"; it must be exactly "v"'],
      ['z', 'virtual_hosts[0].routes[2]', 'query parameter q is missing; it must be present'],
      ['rest', 'virtual_hosts[0].routes[3]', ''],
    ],
  )
  assert.equal(tried.at(-1)?.matched, true)
  assert.equal(entry?.clusterName, 'rest')
})

test('an explanation tells of hosts that nobody has', () => {
  const { virtualHost, note } = tableOf(explained).explain(
    request({ host: 'b.test' }),
    streamInfo(),
    new SeededRandom(1),
  )
  assert.deepEqual([virtualHost, note], [undefined, 'no virtual host has a domain for "b.test"'])
})

test('the fields of an explanation have places in the file', () => {
  const configuration = decode(explained)
  const position = positionOf(configuration, 'virtual_hosts[0].routes[1]')
  assert.equal(position?.file, 'test.yaml')
  assert.ok(position!.line > positionOf(configuration, 'virtual_hosts[0]')!.line)
  assert.equal(position!.path, 'virtual_hosts[0].routes[1]')
})

// Mistakes.

test('all mistakes of a configuration are told at once, with their fields', () => {
  const { errors } = compile(
    {
      request_headers_to_add: [{ header: { key: ':path', value: 'x' } }],
      virtual_hosts: [
        { name: 'a', domains: ['*'], routes: [to('nobody'), to('app')] },
        {
          name: 'b',
          domains: ['x.test'],
          routes: [
            { match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'x'.repeat(4097) } } },
            to('app', { prefix: '/' }, { response_headers_to_add: [{ header: { key: 'x', value: '%NONE%' } }] }),
          ],
        },
      ],
    },
    { clusterExists: name => name === 'app' },
  )
  assert.deepEqual(
    errors.map(({ field, reason }) => `${field}: ${reason}`),
    [
      'request_headers_to_add[0].header.key: :-prefixed or host headers may not be modified',
      'virtual_hosts[0].routes[0].route.cluster: there is no cluster "nobody"',
      'virtual_hosts[1].routes[0].direct_response.body: response body size is 4097 bytes; maximum is 4096',
      'virtual_hosts[1].routes[1].response_headers_to_add[0].header.value: Not supported field in StreamInfo: NONE (column 1)',
    ],
  )
  assert.ok(errors.every(({ message }) => message !== undefined))
})

test('a table that came over RDS may name clusters that come later', () => {
  const route = { virtual_hosts: [{ name: 'a', domains: ['*'], routes: [to('later')] }] }
  const errors = (validateClusters: boolean) =>
    compile(route, { clusterExists: () => false, validateClusters }).errors.length
  assert.deepEqual([errors(true), errors(false)], [1, 0])
})
