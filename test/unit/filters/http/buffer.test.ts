import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FilterStatus } from '../../../../sidecar/filter-chain/http-filter.ts'
import { buffer } from '../../../../sidecar/filters/http/buffer.ts'
import { FilterBench } from '../../../kit/filter-bench.ts'

test('a request with a body is held up to the limit', () => {
  const stream = new FilterBench(buffer, { max_request_bytes: 5 }).stream({ method: 'POST' })
  assert.equal(stream.requestHeadersIn(false), FilterStatus.Stop)
  assert.equal(stream.bufferLimit, 5)
})

test('a request without a body passes', () => {
  const stream = new FilterBench(buffer, { max_request_bytes: 5 }).stream()
  assert.equal(stream.requestHeadersIn(true), FilterStatus.Continue)
  assert.equal(stream.bufferLimit, -1)
})

test('a body of unknown length gets its length, a known one keeps it', () => {
  const bench = new FilterBench(buffer, { max_request_bytes: 5 })
  const chunked = bench.stream({ method: 'POST', headers: { 'transfer-encoding': 'chunked' } })
  chunked.requestHeadersIn(false)
  chunked.requestBuffered(3)
  assert.deepEqual(chunked.requestHeaders.list, ['content-length', '3'])
  const known = bench.stream({ method: 'POST', headers: { 'content-length': '4' } })
  known.requestHeadersIn(false)
  known.requestBuffered(4)
  assert.deepEqual(known.requestHeaders.list, ['content-length', '4'])
})

test('a route has its own limit, or none', () => {
  const limited = new FilterBench(
    buffer,
    { max_request_bytes: 5 },
    { routeConfigs: [{ buffer: { max_request_bytes: 9 } }] },
  )
  const stream = limited.stream({ method: 'POST' })
  assert.equal(stream.requestHeadersIn(false), FilterStatus.Stop)
  assert.equal(stream.bufferLimit, 9)
  const off = new FilterBench(buffer, { max_request_bytes: 5 }, { routeConfigs: [{ disabled: true }] })
  assert.equal(off.stream({ method: 'POST' }).requestHeadersIn(false), FilterStatus.Continue)
})
