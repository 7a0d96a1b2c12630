import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFileRegistry, fromBinary, toJson } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { frame, MessageReader } from '../../../../sidecar/codec/grpc/message.ts'
import { HeaderMap } from '../../../../sidecar/codec/header-map.ts'
import { FilterStatus } from '../../../../sidecar/filter-chain/http-filter.ts'
import { grpcJsonTranscoder } from '../../../../sidecar/filters/http/grpc-json-transcoder.ts'
import { FilterBench } from '../../../kit/filter-bench.ts'
import { shelfDescriptors } from '../../../kit/shelf-service.ts'

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, shelfDescriptors))
const bench = (fields: object = {}) =>
  new FilterBench(grpcJsonTranscoder, {
    proto_descriptor_bin: Buffer.from(shelfDescriptors).toString('base64'),
    services: ['lib.v1.Shelves'],
    ...fields,
  })
const grpc = { 'content-type': 'application/grpc' }
const shelf = Buffer.from('\x08\x05\x12\x04tall', 'latin1')

/** The messages that went upstream, read by the library that Hopwise itself does not use for Envoy's API. */
function sent(bytes: Buffer | undefined) {
  const query = registry.getMessage('lib.v1.Query')!
  return new MessageReader(1e6).read(bytes ?? Buffer.alloc(0)).map(({ data }) => toJson(query, fromBinary(query, data)))
}

test('path and query make the message, the last of several counts', () => {
  const stream = bench().stream({
    path: '/v1/shelves/5?name=x&deep=true&weight=1.5&kind=1&tags=a&tags=b&shelf.display_name=n&name=last',
  })
  assert.equal(stream.requestHeadersIn(true), FilterStatus.Continue)
  assert.deepEqual(sent(stream.appended), [
    {
      id: '5',
      name: 'last',
      deep: true,
      weight: 1.5,
      kind: 'KIND_TALL',
      tags: ['a', 'b'],
      shelf: { displayName: 'n' },
    },
  ])
  assert.equal(stream.requestHeaders.path, '/lib.v1.Shelves/Get')
  assert.equal(stream.requestHeaders.method, 'POST')
  assert.equal(stream.requestHeaders.get('x-envoy-original-path')?.startsWith('/v1/shelves/5?'), true)
  assert.equal(stream.routeCacheCleared, 1)
})

test('the body counts before the path, and both make one message', () => {
  const stream = bench().stream({ method: 'POST', path: '/v1/shelves/3' })
  stream.requestHeadersIn(false)
  stream.requestDataIn('{"id": 7, "na')
  assert.equal(stream.replaced?.length, 0)
  stream.requestDataIn('me":"n"}', true)
  assert.deepEqual(sent(stream.replaced), [{ id: '7', name: 'n' }])
})

test('a body that is nested deeper than protobuf reads is refused, whatever its size', () => {
  const body = (depth: number) => `{"shelf":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`
  for (const depth of [101, 200_000]) {
    const stream = bench().stream({ method: 'POST', path: '/v1/shelves:make' })
    stream.requestHeadersIn(false)
    assert.equal(stream.requestDataIn(body(depth), true), FilterStatus.Stop)
    assert.equal(stream.reply?.status, 400)
  }
})

test('truth may be written in words, numbers with a sign, and one value where several may stand', () => {
  const stream = bench().stream({ method: 'POST', path: '/v1/shelves:make?id=%2B5&deep=Yes' })
  stream.requestHeadersIn(false)
  stream.requestDataIn('{"tags":"a","shelf":{"open":"1","tags":[["a"],null,"b"]}}', true)
  assert.deepEqual(sent(stream.replaced), [
    { id: '5', deep: true, tags: ['a'], shelf: { open: true, tags: ['a', 'b'] } },
  ])
})

test('of a stream of messages each goes on as soon as it is whole; the path fills the first', () => {
  const stream = bench().stream({ method: 'POST', path: '/v1/upload?name=n' })
  stream.requestHeadersIn(false)
  stream.requestDataIn('[{"id":1},{"i')
  assert.deepEqual(sent(stream.replaced), [{ id: '1', name: 'n' }])
  stream.requestDataIn('d":2}]', true)
  assert.deepEqual(sent(stream.replaced), [{ id: '2' }])
})

test('what is no JSON, no value or too much is refused before it goes on', () => {
  for (const [body, status] of [
    ['{', 400],
    ['{"id":"x"}', 400],
    ['{"kind":"NO"}', 400],
    [`{"displayName":"${'x'.repeat(100)}"}`, 413],
  ] as const) {
    const stream = bench({ max_request_body_size: 50 }).stream({ method: 'POST', path: '/v1/shelves' })
    stream.requestHeadersIn(false)
    assert.equal(stream.requestDataIn(body, true), FilterStatus.Stop, body)
    assert.equal(stream.reply?.status, status, body)
    assert.equal(stream.requestDataIn('more', true), FilterStatus.Stop)
  }
})

test('a unary answer waits for its status', () => {
  const stream = bench().stream({ path: '/v1/shelves/5' })
  stream.requestHeadersIn(true)
  assert.equal(stream.responseHeadersIn(200, grpc), FilterStatus.HoldHead)
  stream.responseDataIn(frame(shelf))
  assert.equal(stream.replaced?.length, 0)
  stream.responseTrailersIn(new HeaderMap(['grpc-status', '0']))
  assert.equal(stream.responsesContinued, 1)
  assert.deepEqual(stream.injected.map(String), ['{"id":"5","displayName":"tall"}'])
  assert.equal(stream.responseHeaders?.get('content-length'), String(stream.injected[0]!.length))
})

test('a streamed answer goes out message by message', () => {
  const stream = bench().stream({ path: '/v1/watch' })
  stream.requestHeadersIn(true)
  assert.equal(stream.responseHeadersIn(200, grpc), FilterStatus.Continue)
  stream.responseDataIn(frame(shelf))
  assert.equal(String(stream.replaced), '[{"id":"5","displayName":"tall"}')
  stream.responseDataIn(frame(Buffer.alloc(0)))
  assert.equal(String(stream.replaced), ',{}')
  stream.responseTrailersIn(new HeaderMap(['grpc-status', '0']))
  assert.deepEqual(stream.injected.map(String), [']'])
})

test('an upstream that sends what is no message, or too long a one, gets the caller an answer', () => {
  for (const [bytes, details] of [
    [frame(Buffer.from('\x0a\xff', 'latin1')), 'grpc_json_transcode_failure{INTERNAL}'],
    [frame(Buffer.alloc(100)), 'grpc_json_transcode_failure{response_buffer_size_limit_reached}'],
  ] as const) {
    const stream = bench({ max_response_body_size: 50 }).stream({ path: '/v1/shelves/5' })
    stream.requestHeadersIn(true)
    stream.responseHeadersIn(200, grpc)
    assert.equal(stream.responseDataIn(bytes), FilterStatus.Stop)
    assert.equal(stream.reply?.details, details)
  }
})

test('mistakes of the configuration are named', () => {
  const fails = (fields: object) => {
    try {
      bench(fields)
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }
  assert.match(fails({ services: ['lib.v1.None'] }), /Could not find 'lib\.v1\.None' in the proto descriptor/)
  assert.match(fails({ proto_descriptor_bin: Buffer.from('x').toString('base64') }), /Unable to parse proto descriptor/)
  assert.match(fails({ proto_descriptor_bin: undefined, proto_descriptor: '/no/such/file' }), /cannot be read/)
  assert.equal(fails({ services: [] }), '')
})
