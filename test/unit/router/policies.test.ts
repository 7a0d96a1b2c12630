import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../sidecar/base/clock.ts'
import { ResponseHeaders } from '../../../sidecar/codec/header-map.ts'
import { parseGrpcRetryOn, parseRetryOn, RetryOn } from '../../../sidecar/router/retry-policy.ts'
import type { RouteEntry } from '../../../sidecar/router/route-entry.ts'
import { xxHash64 } from '../../../sidecar/router/xxhash64.ts'
import type { Host } from '../../../sidecar/upstream/host.ts'
import { downstream, match, request, routesOf, streamInfo, tableOf } from './tables.ts'

const forwarding = (action: object, context = {}): RouteEntry =>
  match(routesOf([{ match: { prefix: '/' }, route: { cluster: 'app', ...action } }], context))!
const extension = (name: string, type: string, fields: object = {}) => ({
  name,
  typed_config: { '@type': `type.googleapis.com/envoy.extensions.${type}`, ...fields },
})

// Retries.

test('retry_on takes HTTP and gRPC conditions and ignores what it does not know', () => {
  assert.equal(
    parseRetryOn('5xx, gateway-error,nonsense,retriable-4xx'),
    RetryOn.FiveXx | RetryOn.GatewayError | RetryOn.Retriable4xx,
  )
  assert.equal(parseGrpcRetryOn('cancelled,unavailable,5xx'), RetryOn.GrpcCancelled | RetryOn.GrpcUnavailable)
  const policy = forwarding({ retry_policy: { retry_on: 'reset,internal,unknown' } }).retryPolicy
  assert.equal(policy?.retryOn, RetryOn.Reset | RetryOn.GrpcInternal)
})

test('a retry policy has Envoy’s defaults', () => {
  const policy = forwarding({ retry_policy: { retry_on: '5xx' } }).retryPolicy!
  assert.deepEqual(
    [
      policy.numRetries,
      policy.perTryTimeoutMs,
      policy.backOffBaseMs,
      policy.backOffMaxMs,
      policy.hostSelectionMaxAttempts,
    ],
    [1, 0, 25, 250, 1],
  )
  const waits = forwarding({ retry_policy: { retry_on: '5xx', retry_back_off: { base_interval: '0.1s' } } })
    .retryPolicy!
  assert.deepEqual([waits.backOffBaseMs, waits.backOffMaxMs], [100, 1000])
})

test('the policy of a route replaces that of its virtual host as a whole', () => {
  const table = tableOf({
    virtual_hosts: [
      {
        name: 'v',
        domains: ['*'],
        retry_policy: { retry_on: '5xx', num_retries: 7 },
        routes: [
          { match: { prefix: '/own' }, route: { cluster: 'a', retry_policy: { retry_on: 'reset' } } },
          { match: { prefix: '/' }, route: { cluster: 'a' } },
        ],
      },
    ],
  })
  assert.deepEqual(
    [match(table, { path: '/own' })?.retryPolicy?.numRetries, match(table)?.retryPolicy?.numRetries],
    [1, 7],
  )
})

test('retry matchers look at headers', () => {
  const policy = forwarding({
    retry_policy: {
      retry_on: 'retriable-headers',
      retriable_headers: [{ name: 'x-retry', present_match: true }],
      retriable_request_headers: [{ name: ':method', string_match: { exact: 'GET' } }],
      retriable_status_codes: [404, 409],
    },
  }).retryPolicy!
  assert.equal(policy.retriableHeaders[0]!.matches(new ResponseHeaders(200, ['x-retry', ''])), true)
  assert.equal(policy.retriableHeaders[0]!.matches(new ResponseHeaders(200)), false)
  assert.equal(policy.retriableRequestHeaders[0]!.matches(request()), true)
  assert.deepEqual([...policy.retriableStatusCodes], [404, 409])
})

test('a response says how long to wait, in seconds or as a point in time', () => {
  const clock = new ManualClock(1_000_000)
  const reset_headers = [
    { name: 'Retry-After', format: 'SECONDS' },
    { name: 'x-reset', format: 'UNIX_TIMESTAMP' },
  ]
  const policy = forwarding(
    { retry_policy: { retry_on: '5xx', rate_limited_retry_back_off: { reset_headers } } },
    { clock },
  ).retryPolicy!
  const [seconds, timestamp] = policy.rateLimitedResetHeaders
  assert.equal(seconds!.waitMs(new ResponseHeaders(429, ['retry-after', '2'])), 2000)
  assert.equal(seconds!.waitMs(new ResponseHeaders(429, ['retry-after', 'Wed, 21 Oct'])), undefined)
  assert.equal(timestamp!.waitMs(new ResponseHeaders(429, ['x-reset', '1003'])), 3000)
  assert.equal(timestamp!.waitMs(new ResponseHeaders(429, ['x-reset', '900'])), undefined)
  assert.equal(policy.rateLimitedMaxMs, 300_000)
})

test('host predicates reject hosts tried before, canaries and hosts by metadata', () => {
  const retry_host_predicate = [
    extension('a', 'retry.host.previous_hosts.v3.PreviousHostsPredicate'),
    extension('b', 'retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate'),
    extension('c', 'retry.host.omit_host_metadata.v3.OmitHostMetadataConfig', {
      metadata_match: { filter_metadata: { 'envoy.lb': { old: true } } },
    }),
  ]
  const [previous, canary, metadata] = forwarding({ retry_policy: { retry_on: '5xx', retry_host_predicate } })
    .retryPolicy!.hostPredicates
  const host = (fields: object) => ({ canary: false, metadata: undefined, ...fields }) as Host
  const tried = host({})
  const old = host({
    metadata: { filterMetadata: new Map([['envoy.lb', { old: true, other: 1 }]]), typedFilterMetadata: new Map() },
  })
  assert.deepEqual([previous!.rejects(tried, [tried]), previous!.rejects(host({}), [tried])], [true, false])
  assert.deepEqual([canary!.rejects(host({ canary: true }), []), canary!.rejects(tried, [])], [true, false])
  assert.deepEqual([metadata!.rejects(old, []), metadata!.rejects(tried, [])], [true, false])
})

test('the retry priority of previous priorities has its frequency', () => {
  const retry_priority = extension('p', 'retry.priority.previous_priorities.v3.PreviousPrioritiesConfig', {
    update_frequency: 2,
  })
  assert.equal(
    forwarding({ retry_policy: { retry_on: '5xx', retry_priority } }).retryPolicy?.previousPrioritiesUpdateFrequency,
    2,
  )
})

// Hashes.

const hash = (policies: readonly object[], parts = {}, info = streamInfo()) => {
  const cookies: string[] = []
  const value = forwarding({ hash_policy: policies }).hash(request(parts), info, {
    addSetCookie: cookie => cookies.push(cookie),
  })
  return { value, cookies }
}

test('a hash is that of a header, a query parameter, a cookie or the client’s address', () => {
  assert.equal(hash([{ header: { header_name: 'X-K' } }], { headers: { 'x-k': 'v' } }).value, xxHash64('v'))
  assert.equal(hash([{ query_parameter: { name: 'q' } }], { path: '/?a&q=v' }).value, xxHash64('v'))
  assert.equal(hash([{ cookie: { name: 's' } }], { headers: { cookie: 'a=b; s="v"' } }).value, xxHash64('v'))
  assert.equal(hash([{ connection_properties: { source_ip: true } }]).value, xxHash64('10.1.2.3'))
  assert.equal(hash([{ header: { header_name: 'x-k' } }]).value, undefined)
  assert.equal(hash([{ cookie: { name: 's' } }]).value, undefined)
})

test('a header is hashed after its rewrite', () => {
  const regex_rewrite = { pattern: { regex: '^/([^/]+)/.*' }, substitution: '\\1' }
  const policy = [{ header: { header_name: ':path', regex_rewrite } }]
  assert.equal(hash(policy, { path: '/user/a' }).value, hash(policy, { path: '/user/b' }).value)
})

test('several headers of one name give the same hash in any order', () => {
  const entry = forwarding({ hash_policy: [{ header: { header_name: 'x' } }] })
  const of = (...values: string[]) => {
    const headers = request()
    for (const value of values) headers.add('x', value)
    return entry.hash(headers, streamInfo())
  }
  assert.equal(of('a', 'b'), of('b', 'a'))
})

test('hashes of several policies are mixed in their order; a terminal one ends it', () => {
  const [a, b] = [xxHash64('a'), xxHash64('b')]
  const headers = { 'x-a': 'a', 'x-b': 'b' }
  const by = (name: string, terminal = false) => ({ header: { header_name: name }, terminal })
  const rotated = ((a << 1n) & ((1n << 64n) - 1n)) | (a >> 63n)
  assert.equal(hash([by('x-a'), by('x-b')], { headers }).value, rotated ^ b)
  assert.equal(hash([by('x-a', true), by('x-b')], { headers }).value, a)
  assert.equal(hash([by('x-none', true), by('x-b')], { headers }).value, b)
})

test('a cookie with a time to live is made, the same for all requests of a connection', () => {
  const cookie = {
    name: 's',
    ttl: '60s',
    path: '/p',
    attributes: [
      { name: 'SameSite', value: 'Strict' },
      { name: 'Secure', value: '' },
    ],
  }
  const first = hash([{ cookie }])
  assert.deepEqual(first, hash([{ cookie }]))
  assert.match(first.cookies[0]!, /^s="[0-9a-f]+"; Max-Age=60; Path=\/p; SameSite=Strict; Secure; HttpOnly$/)
  const other = hash([{ cookie }], {}, streamInfo({ ...downstream, directRemote: { ip: '10.1.2.3', port: 40001 } }))
  assert.notEqual(first.value, other.value)
  assert.deepEqual(hash([{ cookie }], { headers: { cookie: 's=given' } }).cookies, [])
})

// Lots.

const split = (weights: Record<string, number>, more: object = {}) => ({
  match: { prefix: '/' },
  route: {
    weighted_clusters: { clusters: Object.entries(weights).map(([name, weight]) => ({ name, weight })), ...more },
  },
})

test('weighted clusters get their shares', () => {
  const table = routesOf([split({ a: 1, b: 3 })])
  let b = 0
  for (let seed = 0; seed < 4000; seed++) if (match(table, {}, seed)?.clusterName === 'b') b++
  assert.ok(Math.abs(b / 4000 - 0.75) < 0.03, String(b))
})

test('one lot decides all fractions of a request: 10 % and then 30 % take 10 % and 20 %', () => {
  const fraction = (cluster: string, numerator: number) => ({
    match: { prefix: '/', runtime_fraction: { default_value: { numerator } } },
    route: { cluster },
  })
  const table = routesOf([
    fraction('ten', 10),
    fraction('thirty', 30),
    { match: { prefix: '/' }, route: { cluster: 'rest' } },
  ])
  const counts: Record<string, number> = {}
  for (let seed = 0; seed < 10_000; seed++) {
    const { clusterName } = match(table, {}, seed)!
    counts[clusterName] = (counts[clusterName] ?? 0) + 1
  }
  const share = (name: string) => Math.round(counts[name]! / 100)
  assert.ok(Math.abs(share('ten') - 10) <= 1 && Math.abs(share('thirty') - 20) <= 1, JSON.stringify(counts))
})

test('weighted clusters by the route’s hash policy stay with one cluster', () => {
  const route = split({ a: 1, b: 1, c: 1 }, { use_hash_policy: true })
  const table = routesOf([
    { ...route, route: { ...route.route, hash_policy: [{ header: { header_name: 'x-user' } }] } },
  ])
  for (const user of ['one', 'two', 'three']) {
    const clusters = new Set(
      Array.from({ length: 20 }, (_, seed) => match(table, { headers: { 'x-user': user } }, seed)?.clusterName),
    )
    assert.equal(clusters.size, 1)
  }
})
