import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeaderMap } from '../../../../sidecar/codec/header-map.ts'
import { FilterStatus } from '../../../../sidecar/filter-chain/http-filter.ts'
import { headerMutation } from '../../../../sidecar/filters/http/header-mutation.ts'
import { type BenchOptions, FilterBench } from '../../../kit/filter-bench.ts'

const mutationBench = (mutations: object, options?: BenchOptions, more: object = {}) =>
  new FilterBench(headerMutation, { mutations, ...more }, options)
const append = (key: string, value: string, appendAction = 'APPEND_IF_EXISTS_OR_ADD', more: object = {}) => ({
  append: { header: { key, value }, append_action: appendAction, ...more },
})

test('headers are added, overwritten and removed', () => {
  const stream = mutationBench({
    request_mutations: [
      append('X-A', '2'),
      append('x-b', 'new', 'ADD_IF_ABSENT'),
      append('x-c', 'new', 'OVERWRITE_IF_EXISTS'),
      append('x-d', 'new', 'OVERWRITE_IF_EXISTS_OR_ADD'),
      { remove: 'X-E' },
      { remove_on_match: { key_matcher: { prefix: 'x-f' } } },
      append('x-empty', ''),
      append('x-kept', '', 'APPEND_IF_EXISTS_OR_ADD', { keep_empty_value: true }),
    ],
  }).stream({ headers: { 'x-a': '1', 'x-b': 'old', 'x-d': 'old', 'x-e': '1', 'x-f1': '1', 'x-f2': '1' } })
  assert.equal(stream.requestHeadersIn(), FilterStatus.Continue)
  const expected = { 'x-a': '1', 'x-b': 'old' }
  assert.deepEqual(stream.requestHeaders.list, [
    ...Object.entries(expected).flat(),
    'x-a',
    '2',
    'x-d',
    'new',
    'x-kept',
    '',
  ])
  assert.equal(stream.routeCacheCleared, 0)
})

test('the deprecated append is understood', () => {
  const deprecated = (key: string, flag: boolean) => ({ append: { header: { key, value: 'n' }, append: flag } })
  const stream = mutationBench({ request_mutations: [deprecated('x-a', true), deprecated('x-b', false)] }).stream({
    headers: { 'x-a': 'o', 'x-b': 'o' },
  })
  stream.requestHeadersIn()
  assert.deepEqual(stream.requestHeaders.list, ['x-a', 'o', 'x-a', 'n', 'x-b', 'n'])
})

test('values are formatted with what is known of the request', () => {
  const stream = mutationBench({
    request_mutations: [append('x-to', '%REQ(x-from)%/%PROTOCOL%'), append('x-none', '%REQ(x-missing)%')],
    response_mutations: [append('x-code', '%RESPONSE_CODE%')],
  }).stream({ headers: { 'x-from': 'b' } })
  stream.requestHeadersIn()
  assert.equal(stream.requestHeaders.get('x-to'), 'b/HTTP/1.1')
  assert.ok(!stream.requestHeaders.has('x-none'))
  stream.responseHeadersIn(418)
  assert.equal(stream.responseHeaders?.get('x-code'), '418')
})

test('trailers of both directions are changed', () => {
  const stream = mutationBench({
    request_trailers_mutations: [append('x-t', '1')],
    response_trailers_mutations: [{ remove: 'x-u' }],
  }).stream()
  const request = new HeaderMap()
  stream.requestTrailersIn(request)
  assert.deepEqual(request.list, ['x-t', '1'])
  const response = new HeaderMap(['x-u', '1', 'x-v', '2'])
  stream.responseTrailersIn(response)
  assert.deepEqual(response.list, ['x-v', '2'])
})

test('levels follow each other in the order asked for', () => {
  const level = (value: string) => ({ mutations: { request_mutations: [append('x-a', value)] } })
  const options = { routeConfigs: [level('vhost'), level('route')] }
  const valuesOf = (more: object) => {
    const stream = mutationBench(level('filter').mutations, options, more).stream()
    stream.requestHeadersIn()
    return stream.requestHeaders.getAll('x-a')
  }
  assert.deepEqual(valuesOf({}), ['filter', 'route', 'vhost'])
  assert.deepEqual(valuesOf({ most_specific_header_mutations_wins: true }), ['filter', 'vhost', 'route'])
})

test('query parameters are changed, and the others stay as they came', () => {
  const query = (key: string, value: string, action: string) => ({ append: { record: { key, value }, action } })
  const bench = mutationBench({
    query_parameter_mutations: [
      query('b', 'x&y', 'APPEND_IF_EXISTS_OR_ADD'),
      query('c', 'new', 'OVERWRITE_IF_EXISTS'),
      query('d', 'new', 'OVERWRITE_IF_EXISTS_OR_ADD'),
      query('e', 'new', 'ADD_IF_ABSENT'),
      { remove: 'f' },
    ],
  })
  const pathOf = (path: string) => {
    const stream = bench.stream({ path })
    stream.requestHeadersIn()
    return stream.requestHeaders.path
  }
  assert.equal(pathOf('/p?z=%0d%0a+%26&b=1&f=1&d=old&e=old'), '/p?b=1&b=x%26y&d=new&e=old&z=%0d%0a+%26')
  assert.equal(pathOf('/p'), '/p?b=x%26y&d=new&e=new')
  const removing = mutationBench({ query_parameter_mutations: [{ remove: 'a' }] }).stream({ path: '/p?a=1' })
  removing.requestHeadersIn()
  assert.equal(removing.requestHeaders.path, '/p')
})

test('a request without its path is refused', () => {
  const stream = mutationBench({ request_mutations: [{ remove: ':path' }] }).stream()
  assert.equal(stream.requestHeadersIn(), FilterStatus.Stop)
  assert.equal(stream.reply?.status, 503)
  assert.equal(stream.reply?.details, 'filter_removed_required_request_headers{missing_required_header:_:path}')
})

test('a pattern that matches pseudo-headers takes them too', () => {
  const everything = { remove_on_match: { key_matcher: { safe_regex: { regex: '.*' } } } }
  const stream = mutationBench({ request_mutations: [everything] }).stream({ headers: { 'x-a': '1' } })
  assert.equal(stream.requestHeadersIn(), FilterStatus.Stop)
  assert.equal(stream.requestHeaders.size, 0)
  assert.equal(stream.reply?.body, 'missing required header: :method')
})

test('a response without its status is replaced, once', () => {
  const stream = mutationBench({ response_mutations: [{ remove: ':status' }] }).stream()
  stream.requestHeadersIn()
  assert.equal(stream.responseHeadersIn(200), FilterStatus.Stop)
  assert.equal(stream.reply?.status, 502)
  assert.equal(stream.responseHeaders?.status, 502)
})

test('mistakes are told with their place', () => {
  const mistake = (mutations: object) => {
    try {
      mutationBench(mutations)
    } catch (error) {
      return `${(error as { field?: string }).field}: ${(error as Error).message}`
    }
    return 'none'
  }
  assert.equal(
    mistake({ request_mutations: [append('x-a', '1'), append(':path', '/')] }),
    'mutations.request_mutations[1].append.header.key: :-prefixed or host headers may not be modified',
  )
  assert.match(
    mistake({ response_mutations: [append('x-a', '%NOPE%')] }),
    /^mutations\.response_mutations\[0\]\.append\.header\.value: Not supported field in StreamInfo: NOPE/,
  )
  assert.match(mistake({ query_parameter_mutations: [{}] }), /query_parameter_mutations\[0\]: one of 'append'/)
  const both = { append: { record: { key: 'a', value: 'b' } }, remove: 'c' }
  assert.match(mistake({ query_parameter_mutations: [both] }), /only one of/)
  const number = { append: { record: { key: 'a', value: 1 } } }
  assert.match(mistake({ query_parameter_mutations: [number] }), /record\.value: must be a string/)
})
