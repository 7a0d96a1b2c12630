import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FilterStatus } from '../../../../sidecar/filter-chain/http-filter.ts'
import { localRateLimit } from '../../../../sidecar/filters/http/local-rate-limit.ts'
import { ResponseFlag } from '../../../../sidecar/observability/response-flags.ts'
import { type BenchOptions, type BenchRequest, benchConnection, FilterBench } from '../../../kit/filter-bench.ts'

const always = { default_value: { numerator: 100 } }
const on = { stat_prefix: 'rl', filter_enabled: always, filter_enforced: always }
const bucket = (tokens: number, seconds = 1000) => ({
  max_tokens: tokens,
  tokens_per_fill: Math.max(1, tokens),
  fill_interval: `${seconds}s`,
})
const byWho = [{ actions: [{ request_headers: { header_name: 'x-who', descriptor_key: 'who' } }] }]
const descriptor = (who: string, tokens: number, more: object = {}) => ({
  entries: [{ key: 'who', value: who }],
  token_bucket: bucket(tokens),
  ...more,
})
const limitBench = (config: object, options?: BenchOptions) =>
  new FilterBench(localRateLimit, { ...on, ...config }, options)

/** `true` for each request that passes. */
function passes(bench: FilterBench, ...requests: BenchRequest[]): boolean[] {
  return requests.map(request => bench.stream(request).requestHeadersIn() === FilterStatus.Continue)
}
const who = (name: string, more: Record<string, string> = {}) => ({ headers: { 'x-who': name, ...more } })

test('as many requests pass as there are tokens', () => {
  const bench = limitBench({ token_bucket: bucket(2) })
  assert.deepEqual(passes(bench, {}, {}), [true, true])
  const refused = bench.stream()
  assert.equal(refused.requestHeadersIn(), FilterStatus.Stop)
  assert.deepEqual(
    [refused.reply?.status, refused.reply?.body, refused.reply?.details],
    [429, 'local_rate_limited', 'local_rate_limited'],
  )
  assert.equal(refused.info.responseFlags, ResponseFlag.RateLimited)
  const stats = ['enabled', 'ok', 'rate_limited', 'enforced'].map(name =>
    bench.counter(`rl.http_local_rate_limit.${name}`),
  )
  assert.deepEqual(stats, [3, 2, 1, 1])
  bench.advance(500_000)
  assert.deepEqual(passes(bench, {}, {}), [true, false])
})

test('without filter_enabled nothing is limited', () => {
  const bench = new FilterBench(localRateLimit, { stat_prefix: 'rl', token_bucket: bucket(0) })
  assert.deepEqual(passes(bench, {}, {}), [true, true])
  assert.equal(bench.counter('rl.http_local_rate_limit.enabled'), 0)
})

test('what is not enforced is marked on its way up', () => {
  const bench = limitBench({
    filter_enforced: { default_value: { numerator: 0 } },
    token_bucket: bucket(0),
    request_headers_to_add_when_not_enforced: [{ header: { key: 'x-limited', value: '%REQ(:path)%' } }],
  })
  const stream = bench.stream({ path: '/a' })
  assert.equal(stream.requestHeadersIn(), FilterStatus.Continue)
  assert.equal(stream.requestHeaders.get('x-limited'), '/a')
  assert.equal(bench.counter('rl.http_local_rate_limit.rate_limited'), 1)
})

test('refusals and answers carry the headers asked for', () => {
  const bench = limitBench({
    token_bucket: bucket(1, 100),
    enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
    enable_retry_after_header: true,
    response_headers_to_add: [{ header: { key: 'x-why', value: 'a' } }, { header: { key: 'x-why', value: 'b' } }],
  })
  const ok = bench.stream()
  ok.requestHeadersIn()
  ok.responseHeadersIn()
  const limits = ['x-ratelimit-limit', '1', 'x-ratelimit-remaining', '0', 'x-ratelimit-reset', '100']
  assert.deepEqual(ok.responseHeaders?.list, limits)
  const refused = bench.stream()
  refused.requestHeadersIn()
  assert.deepEqual(refused.responseHeaders?.list, ['x-why', 'a', 'x-why', 'b', 'retry-after', '100', ...limits])
})

test('gRPC callers may be told RESOURCE_EXHAUSTED', () => {
  const stream = limitBench({ token_bucket: bucket(0), rate_limited_as_resource_exhausted: true }).stream()
  stream.requestHeadersIn()
  assert.equal(stream.reply?.grpcStatus, 8)
})

test('the status may be another error, but no success', () => {
  for (const [code, status] of [
    ['ServiceUnavailable', 503],
    ['OK', 429],
  ] as const) {
    const stream = limitBench({ token_bucket: bucket(0), status: { code } }).stream()
    stream.requestHeadersIn()
    assert.equal(stream.reply?.status, status)
  }
})

test('descriptors have buckets of their own', () => {
  const bench = limitBench({ token_bucket: bucket(100), rate_limits: byWho, descriptors: [descriptor('a', 1)] })
  assert.deepEqual(passes(bench, who('a'), who('a'), who('b'), who('b'), {}), [true, false, true, true, true])
})

test('the slowest bucket is asked first, so that its refusal costs the others nothing', () => {
  const bench = limitBench({
    token_bucket: bucket(100),
    rate_limits: [...byWho, { actions: [{ generic_key: { descriptor_value: 'all' } }] }],
    descriptors: [{ entries: [{ key: 'generic_key', value: 'all' }], token_bucket: bucket(3) }, descriptor('a', 1)],
  })
  assert.deepEqual(passes(bench, who('a'), who('a'), who('a'), who('b'), who('b')), [true, false, false, true, true])
  assert.deepEqual(passes(bench, who('b')), [false])
})

test('a descriptor without a value has a bucket per value, the least recently used go', () => {
  const config = { rate_limits: byWho, descriptors: [descriptor('', 1)], max_dynamic_descriptors: 2 }
  const bench = limitBench({ token_bucket: bucket(100), ...config })
  assert.deepEqual(passes(bench, who('a'), who('b'), who('a'), who('c'), who('a'), who('b')), [
    true,
    true,
    false,
    true,
    false,
    true,
  ])
})

test('a value that is said wins over one that is not', () => {
  const bench = limitBench({
    token_bucket: bucket(100),
    rate_limits: byWho,
    descriptors: [descriptor('', 100), descriptor('a', 0)],
  })
  assert.deepEqual(passes(bench, who('a'), who('b')), [false, true])
})

test('a descriptor in shadow mode only counts', () => {
  const config = { rate_limits: byWho, descriptors: [descriptor('a', 0, { shadow_mode: true })] }
  const bench = limitBench({ token_bucket: bucket(100), ...config })
  assert.deepEqual(passes(bench, who('a')), [true])
  const stats = ['rate_limited', 'shadow_mode', 'enforced'].map(name =>
    bench.counter(`rl.http_local_rate_limit.${name}`),
  )
  assert.deepEqual(stats, [1, 1, 0])
})

test('hits are taken all at once, or given back', () => {
  const hits = (more: object) => [{ ...byWho[0], hits_addend: { format: '%REQ(x-hits)%', ...more } }]
  const limits = { token_bucket: bucket(100), descriptors: [descriptor('a', 5)] }
  const bench = limitBench({ ...limits, rate_limits: hits({}) })
  const of = (count: string) => who('a', { 'x-hits': count })
  assert.deepEqual(passes(bench, of('4'), of('2'), of('1'), of('1')), [true, false, true, false])
  // Not a number: the descriptor does not apply. None at all: refused, as in Envoy.
  assert.deepEqual(passes(bench, of('many'), who('a'), of('-1'), of('0')), [true, true, true, false])
  const giving = limitBench({ ...limits, rate_limits: hits({ is_negative_hits: true }) })
  assert.deepEqual(passes(giving, of('3')), [true])
})

test('every connection may have its own buckets', () => {
  const bench = limitBench({ token_bucket: bucket(1), local_rate_limit_per_downstream_connection: true })
  const [one, two] = [benchConnection(), benchConnection()]
  assert.deepEqual(passes(bench, { connection: one }, { connection: one }, { connection: two }), [true, false, true])
})

test('a route has buckets and stats of its own', () => {
  const own = { ...on, stat_prefix: 'route', token_bucket: bucket(1) }
  const bench = new FilterBench(localRateLimit, { stat_prefix: 'rl' }, { routeConfigs: [own] })
  assert.deepEqual(passes(bench, {}, {}), [true, false])
  assert.equal(bench.counter('route.http_local_rate_limit.enabled'), 2)
  assert.throws(() => new FilterBench(localRateLimit, on, { routeConfigs: [on] }), /is required on routes/)
})

test('rate limits of route and virtual host', () => {
  const generic = (value: string, more: object = {}) => ({
    stage: 0,
    disableKey: '',
    applyOnStreamDone: false,
    actions: [{ genericKey: { descriptorKey: '', descriptorValue: value } }],
    ...more,
  })
  const refuses = (route: object, config: object = {}) =>
    !passes(
      limitBench(
        {
          token_bucket: bucket(100),
          descriptors: ['route', 'vhost'].map(value => ({
            entries: [{ key: 'generic_key', value }],
            token_bucket: bucket(0),
          })),
          ...config,
        },
        { route },
      ),
      {},
    )[0]
  const vhost = { virtualHostRateLimits: [generic('vhost')] }
  assert.ok(refuses({ rateLimits: [generic('route')] }))
  assert.ok(!refuses({ rateLimits: [generic('route', { stage: 1 })] }))
  assert.ok(refuses({ rateLimits: [generic('route', { stage: 1 })] }, { stage: 1 }))
  assert.ok(!refuses({ rateLimits: [generic('route', { disableKey: 'off' })] }))
  assert.ok(refuses(vhost))
  assert.ok(!refuses({ ...vhost, rateLimits: [generic('other')] }))
  assert.ok(refuses({ ...vhost, rateLimits: [generic('other')], includeVirtualHostRateLimits: true }))
  assert.ok(refuses({ ...vhost, rateLimits: [generic('other')] }, { vh_rate_limits: 'INCLUDE' }))
  assert.ok(!refuses(vhost, { vh_rate_limits: 'IGNORE' }))
})

const actionCases: readonly (readonly [action: object, entry: readonly [string, string] | undefined])[] = [
  [{ generic_key: { descriptor_value: 'v' } }, ['generic_key', 'v']],
  [{ generic_key: { descriptor_key: 'k', descriptor_value: '%REQ(x-who)%' } }, ['k', '%REQ(x-who)%']],
  [{ source_cluster: {} }, ['source_cluster', 'mine']],
  [{ destination_cluster: {} }, ['destination_cluster', 'app']],
  [{ remote_address: {} }, ['remote_address', '192.0.2.7']],
  [{ masked_remote_address: { v4_prefix_mask_len: 24 } }, ['masked_remote_address', '192.0.2.0/24']],
  [{ masked_remote_address: {} }, ['masked_remote_address', '192.0.2.7/32']],
  [{ query_parameters: { query_parameter_name: 'q', descriptor_key: 'k' } }, ['k', 'a b']],
  [{ query_parameters: { query_parameter_name: 'none', descriptor_key: 'k' } }, undefined],
  [{ request_headers: { header_name: ':path', descriptor_key: 'k' } }, ['k', '/p?q=a%20b&q=2']],
  [
    { header_value_match: { descriptor_value: 'v', headers: [{ name: 'x-who', present_match: true }] } },
    ['header_match', 'v'],
  ],
  [
    {
      header_value_match: {
        descriptor_value: 'v',
        expect_match: false,
        headers: [{ name: 'x-who', present_match: true }],
      },
    },
    undefined,
  ],
  [
    { query_parameter_value_match: { descriptor_value: 'v', query_parameters: [{ name: 'q', present_match: true }] } },
    ['query_match', 'v'],
  ],
  [
    {
      remote_address_match: {
        descriptor_value: '%REQ(x-who)%',
        address_matcher: { ranges: [{ address_prefix: '192.0.2.0', prefix_len: 24 }] },
      },
    },
    ['remote_address_match', 'me'],
  ],
  [
    {
      remote_address_match: {
        descriptor_value: 'v',
        address_matcher: { ranges: [{ address_prefix: '192.0.2.0', prefix_len: 24 }], invert_match: true },
      },
    },
    undefined,
  ],
  [
    { metadata: { descriptor_key: 'k', source: 'ROUTE_ENTRY', metadata_key: { key: 'ns', path: [{ key: 'tier' }] } } },
    ['k', 'gold'],
  ],
  [
    { metadata: { descriptor_key: 'k', metadata_key: { key: 'ns', path: [{ key: 'x' }] }, default_value: 'd' } },
    ['k', 'd'],
  ],
  [{ metadata: { descriptor_key: 'k', metadata_key: { key: 'ns', path: [{ key: 'x' }] } } }, undefined],
]

for (const [action, entry] of actionCases) {
  test(`action ${JSON.stringify(action)} gives ${JSON.stringify(entry)}`, () => {
    const [key, value] = entry ?? ['never', 'x']
    const bench = limitBench(
      {
        token_bucket: bucket(100),
        rate_limits: [{ actions: [action] }],
        descriptors: [{ entries: [{ key, value }], token_bucket: bucket(0) }],
      },
      {
        context: { localCluster: 'mine' },
        route: { metadata: { filterMetadata: new Map([['ns', { tier: 'gold' }]]) } },
      },
    )
    assert.deepEqual(passes(bench, { path: '/p?q=a%20b&q=2', ...who('me') }), [entry === undefined])
  })
}

test('IPv6 addresses are masked and written short', () => {
  const masked = (ip: string, length: number, value: string) => {
    const bench = limitBench({
      token_bucket: bucket(100),
      rate_limits: [{ actions: [{ masked_remote_address: { v6_prefix_mask_len: length } }] }],
      descriptors: [{ entries: [{ key: 'masked_remote_address', value }], token_bucket: bucket(0) }],
    })
    return passes(bench, { remote: ip })[0] === false
  }
  assert.ok(masked('2001:db8:1:2:3:4:5:6', 48, '2001:db8:1::/48'))
  assert.ok(masked('2001:db8::1', 128, '2001:db8::1/128'))
  assert.ok(masked('fe80::1', 0, '::/0'))
  assert.ok(masked('::1', 128, '::1/128'))
  assert.ok(masked('1:0:0:2:0:0:0:3', 128, '1:0:0:2::3/128'))
})

test('mistakes are refused with their place', () => {
  const mistake = (config: object) => {
    try {
      limitBench(config)
    } catch (error) {
      return `${(error as { field?: string }).field}: ${(error as Error).message}`
    }
    return 'none'
  }
  const short = { max_tokens: 1, fill_interval: '0.04s' }
  assert.match(mistake({ token_bucket: short }), /token_bucket\.fill_interval: must be at least 50 ms/)
  const twice = [descriptor('a', 1), descriptor('a', 2)]
  assert.match(mistake({ token_bucket: bucket(1), descriptors: twice }), /descriptors\[1\]: is there twice/)
  const staged = [{ ...byWho[0], stage: 1 }]
  assert.match(mistake({ token_bucket: bucket(1), rate_limits: staged }), /rate_limits\[0\]\.stage: is not supported/)
  const both = [{ ...byWho[0], hits_addend: { number: 1, format: '%REQ(a)%' } }]
  assert.match(mistake({ token_bucket: bucket(1), rate_limits: both }), /rate_limits\[0\]\.hits_addend: must have/)
})
