import assert from 'node:assert/strict'
import { test } from 'node:test'
import { frame } from '../../../../sidecar/codec/grpc/message.ts'
import { HeaderMap } from '../../../../sidecar/codec/header-map.ts'
import { FilterStatus } from '../../../../sidecar/filter-chain/http-filter.ts'
import { grpcHttp1Bridge } from '../../../../sidecar/filters/http/grpc-http1-bridge.ts'
import { MAX_METHODS } from '../../../../sidecar/filters/http/grpc-method-stats.ts'
import { grpcStats } from '../../../../sidecar/filters/http/grpc-stats.ts'
import { grpcWeb } from '../../../../sidecar/filters/http/grpc-web.ts'
import { FilterBench } from '../../../kit/filter-bench.ts'

const grpc = { 'content-type': 'application/grpc' }
const web = (type: string) => ({ 'content-type': `application/grpc-web${type}`, accept: `application/grpc-web${type}` })

test('callers who invent methods make no stats beyond the bound', () => {
  const bench = new FilterBench(grpcStats, { stats_for_all_methods: true })
  for (let i = 0; i < MAX_METHODS + 5; i++) {
    const stream = bench.stream({ path: `/a.B/m${i}`, headers: grpc })
    stream.requestHeadersIn()
    stream.responseHeadersIn(200, { 'grpc-status': '0' }, true)
  }
  assert.equal(bench.counter(`cluster.app.grpc.a.B.m${MAX_METHODS - 1}.total`), 1)
  assert.equal(bench.stats.counters.has(`cluster.app.grpc.a.B.m${MAX_METHODS}.total`), false)
  assert.equal(bench.counter('cluster.app.grpc.total'), 5)
})

test('upstreams that invent statuses make no more than a few counters', () => {
  const bench = new FilterBench(grpcStats, { stats_for_all_methods: true })
  for (let status = 0; status < 200; status++) {
    const stream = bench.stream({ path: '/a.B/c', headers: grpc })
    stream.requestHeadersIn()
    stream.responseHeadersIn(200, { 'grpc-status': String(status) }, true)
  }
  const made = [...bench.stats.counters.keys()].filter(name => /^cluster\.app\.grpc\.a\.B\.c\.\d+$/.test(name))
  assert.equal(made.length, 17 + 8)
  assert.equal(bench.counter('cluster.app.grpc.a.B.c.total'), 200)
})

test('the time of the upstream is from the last byte out to the last byte in', () => {
  const bench = new FilterBench(grpcStats, { stats_for_all_methods: true, enable_upstream_stats: true })
  const stream = bench.stream({ path: '/a.B/c', headers: grpc })
  stream.requestHeadersIn(false)
  stream.info.lastUpstreamTxByteMs = 10
  stream.info.lastUpstreamRxByteMs = 25
  stream.responseHeadersIn(200, grpc)
  stream.responseTrailersIn(new HeaderMap(['grpc-status', '0']))
  const histogram = bench.stats.histograms.get('cluster.app.grpc.a.B.c.upstream_rq_time')
  assert.ok(histogram !== undefined)
})

test('text of gRPC-Web is decoded in any split', () => {
  const text = Buffer.from(frame(Buffer.from('ping')).toString('base64') + frame(Buffer.from('p')).toString('base64'))
  for (let size = 1; size <= text.length; size++) {
    const stream = new FilterBench(grpcWeb, {}).stream({ path: '/a.B/c', headers: web('-text') })
    stream.requestHeadersIn(false)
    const decoded: Buffer[] = []
    for (let at = 0; at < text.length; at += size) {
      assert.equal(stream.requestDataIn(text.subarray(at, at + size), at + size >= text.length), FilterStatus.Continue)
      decoded.push(stream.replaced!)
    }
    assert.deepEqual(Buffer.concat(decoded), Buffer.concat([frame(Buffer.from('ping')), frame(Buffer.from('p'))]))
  }
})

test('each message of an answer in text is encoded by itself, once it is whole', () => {
  const stream = new FilterBench(grpcWeb, {}).stream({ path: '/a.B/c', headers: web('-text') })
  stream.requestHeadersIn(true)
  stream.responseHeadersIn(200, grpc)
  stream.responseDataIn(frame(Buffer.from('pong')).subarray(0, 7))
  assert.equal(stream.replaced?.length, 0)
  stream.responseDataIn(frame(Buffer.from('pong')).subarray(7))
  assert.equal(stream.replaced?.toString(), frame(Buffer.from('pong')).toString('base64'))
})

test('trailers become the last message, and none are left', () => {
  const stream = new FilterBench(grpcWeb, {}).stream({ path: '/a.B/c', headers: web('') })
  stream.requestHeadersIn(true)
  stream.responseHeadersIn(200, grpc)
  const trailers = new HeaderMap(['grpc-status', '5', 'grpc-message', 'a%20b'])
  stream.responseTrailersIn(trailers)
  assert.deepEqual(stream.injected, [frame(Buffer.from('grpc-status:5\r\ngrpc-message:a%20b\r\n'), 0x80)])
  assert.equal(trailers.size, 0)
  assert.equal(stream.info.grpcStatus, 5)
})

test('a message too long to encode cuts the answer', () => {
  const stream = new FilterBench(grpcWeb, {}).stream({ path: '/a.B/c', headers: web('-text') })
  stream.requestHeadersIn(true)
  stream.responseHeadersIn(200, grpc)
  assert.equal(stream.responseDataIn(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])), FilterStatus.Stop)
})

test('of an answer that is not gRPC the message is bounded', () => {
  const stream = new FilterBench(grpcWeb, {}).stream({ path: '/a.B/c', headers: web('') })
  stream.requestHeadersIn(true)
  assert.equal(stream.responseHeadersIn(503, { 'content-type': 'text/html' }), FilterStatus.HoldHead)
  for (let i = 0; i < 20; i++) stream.responseDataIn('x'.repeat(1000))
  stream.responseDataIn('', true)
  assert.equal(stream.responseHeaders?.get('grpc-status'), '14')
  assert.equal(stream.responseHeaders?.get('grpc-message')?.length, 16_384)
  assert.equal(stream.responsesContinued, 1)
})

test('the bridge keeps no more of a body than a connection may buffer', () => {
  const bench = new FilterBench(grpcHttp1Bridge, { upgrade_protobuf_to_grpc: true })
  const stream = bench.stream({ path: '/a.B/c', headers: { 'content-type': 'application/x-protobuf' } })
  stream.bufferLimitBytes = 10
  stream.requestHeadersIn(false)
  assert.equal(stream.requestDataIn('12345678'), FilterStatus.Continue)
  assert.equal(stream.requestDataIn('90ab'), FilterStatus.Stop)
  assert.equal(stream.reply?.status, 413)
})

test('the bridge puts the status into the head: 503 unless it is OK', () => {
  for (const [status, expected] of [
    ['0', 200],
    ['7', 503],
  ] as const) {
    const stream = new FilterBench(grpcHttp1Bridge, {}).stream({ path: '/a.B/c', headers: grpc })
    stream.requestHeadersIn(true)
    assert.equal(stream.responseHeadersIn(200, grpc), FilterStatus.HoldHead)
    stream.responseDataIn('12345')
    stream.responseTrailersIn(new HeaderMap(['grpc-status', status, 'grpc-message', 'm']))
    assert.equal(stream.responseHeaders?.status, expected)
    assert.equal(stream.responseHeaders?.get('content-length'), '5')
    assert.equal(stream.responseHeaders?.get('grpc-status'), status)
    assert.equal(stream.responsesContinued, 1)
  }
})
