import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FilterStatus } from '../../../../sidecar/filter-chain/http-filter.ts'
import { cors } from '../../../../sidecar/filters/http/cors.ts'
import { type BenchOptions, FilterBench } from '../../../kit/filter-bench.ts'

const policy = {
  allow_origin_string_match: [{ exact: 'http://a.test' }],
  allow_methods: 'GET',
  expose_headers: 'x-e',
  allow_credentials: true,
}
const corsBench = (options: BenchOptions) => new FilterBench(cors, {}, options)
const preflight = (origin: string) => ({
  method: 'OPTIONS',
  headers: { origin, 'access-control-request-method': 'PUT' },
})
const never = { default_value: { numerator: 0 } }

test('a preflight from an allowed origin is answered', () => {
  const bench = corsBench({ routeConfigs: [policy] })
  const stream = bench.stream(preflight('http://a.test'))
  assert.equal(stream.requestHeadersIn(), FilterStatus.Stop)
  assert.deepEqual([stream.reply?.status, stream.reply?.details], [200, 'cors_response'])
  assert.deepEqual(stream.responseHeaders?.list, [
    'access-control-allow-origin',
    'http://a.test',
    'access-control-allow-credentials',
    'true',
    'access-control-allow-methods',
    'GET',
    'access-control-expose-headers',
    'x-e',
  ])
  assert.equal(bench.counter('http.test.cors.origin_valid'), 1)
})

test('a preflight from elsewhere goes on, or is answered without an origin', () => {
  const bench = corsBench({ routeConfigs: [policy] })
  assert.equal(bench.stream(preflight('http://b.test')).requestHeadersIn(), FilterStatus.Continue)
  assert.equal(bench.counter('http.test.cors.origin_invalid'), 1)
  const strict = corsBench({ routeConfigs: [{ ...policy, forward_not_matching_preflights: false }] })
  const stream = strict.stream(preflight('http://b.test'))
  assert.equal(stream.requestHeadersIn(), FilterStatus.Stop)
  assert.equal(stream.responseHeaders?.get('access-control-allow-origin'), undefined)
})

test('responses name the origin that asked', () => {
  const stream = corsBench({ routeConfigs: [policy] }).stream({ headers: { origin: 'http://a.test' } })
  assert.equal(stream.requestHeadersIn(), FilterStatus.Continue)
  stream.responseHeadersIn(200, { 'access-control-allow-origin': '*' })
  assert.equal(stream.responseHeaders?.get('access-control-allow-origin'), 'http://a.test')
  assert.equal(stream.responseHeaders?.get('access-control-expose-headers'), 'x-e')
})

test('the most specific policy decides whether the filter is on, the others fill the gaps', () => {
  const off = corsBench({ routeConfigs: [policy, { filter_enabled: never }] })
  assert.equal(off.stream(preflight('http://a.test')).requestHeadersIn(), FilterStatus.Continue)
  const on = corsBench({ routeConfigs: [{ ...policy, filter_enabled: never }, { max_age: '5' }] })
  const stream = on.stream(preflight('http://a.test'))
  assert.equal(stream.requestHeadersIn(), FilterStatus.Stop)
  assert.equal(stream.responseHeaders?.get('access-control-max-age'), '5')
  assert.equal(stream.responseHeaders?.get('access-control-allow-methods'), 'GET')
})

test('in the shadow it counts and does nothing', () => {
  const shadow = { ...policy, filter_enabled: never, shadow_enabled: { default_value: { numerator: 100 } } }
  const bench = corsBench({ routeConfigs: [shadow] })
  const stream = bench.stream(preflight('http://a.test'))
  assert.equal(stream.requestHeadersIn(), FilterStatus.Continue)
  stream.responseHeadersIn()
  assert.equal(stream.responseHeaders?.size, 0)
  assert.equal(bench.counter('http.test.cors.origin_valid'), 1)
})

test('routes that answer by themselves, and requests without a route, are left alone', () => {
  for (const route of [null, { kind: 'direct_response' }]) {
    const bench = corsBench({ routeConfigs: [policy], route })
    assert.equal(bench.stream(preflight('http://a.test')).requestHeadersIn(), FilterStatus.Continue)
    assert.equal(bench.counter('http.test.cors.origin_valid'), 0)
  }
})

test('the old fields of route and virtual host serve where no policy is typed', () => {
  const old = {
    allowOriginStringMatch: [{ exact: 'http://a.test', ignoreCase: false }],
    allowMethods: '',
    allowHeaders: '*',
    exposeHeaders: '',
    maxAge: '7',
  }
  const bench = corsBench({ route: { cors: { ...old, maxAge: '' }, virtualHostCors: old } })
  for (let i = 0; i < 2; i++) {
    const asking = preflight('http://a.test')
    const stream = bench.stream({ ...asking, headers: { ...asking.headers, 'access-control-request-headers': 'x-q' } })
    assert.equal(stream.requestHeadersIn(), FilterStatus.Stop)
    assert.equal(stream.responseHeaders?.get('access-control-allow-headers'), 'x-q')
    assert.equal(stream.responseHeaders?.get('access-control-max-age'), '7')
  }
})

test('private networks are allowed to those who ask', () => {
  const bench = corsBench({ routeConfigs: [{ ...policy, allow_private_network_access: true }] })
  const asking = preflight('http://a.test')
  const answer = (headers: Record<string, string>) => {
    const stream = bench.stream({ ...asking, headers: { ...asking.headers, ...headers } })
    stream.requestHeadersIn()
    return stream.responseHeaders?.get('access-control-allow-private-network')
  }
  assert.equal(answer({ 'access-control-request-private-network': 'true' }), 'true')
  assert.equal(answer({}), undefined)
})
