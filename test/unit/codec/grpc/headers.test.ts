import assert from 'node:assert/strict'
import { test } from 'node:test'
import { grpcStatusOfHttp, httpStatusOfGrpc, parseGrpcStatus } from '../../../../sidecar/base/grpc-status.ts'
import {
  decodeGrpcMessage,
  encodeGrpcMessage,
  grpcTimeoutMs,
  grpcTimeoutText,
  hasGrpcContentType,
  isGrpcResponse,
  serviceAndMethod,
} from '../../../../sidecar/codec/grpc/headers.ts'
import { HeaderMap, ResponseHeaders } from '../../../../sidecar/codec/header-map.ts'

const headers = (...list: string[]) => new HeaderMap(list)

test('the content type is gRPC alone or with a codec', () => {
  for (const type of ['application/grpc', 'application/grpc+proto', 'application/grpc+json']) {
    assert.ok(hasGrpcContentType(headers('content-type', type)), type)
  }
  for (const type of ['application/grpc-web', 'application/grpcx', 'application/grpc;a=b', 'application/json', '']) {
    assert.ok(!hasGrpcContentType(headers('content-type', type)), type)
  }
  assert.ok(!hasGrpcContentType(headers()))
  assert.ok(!hasGrpcContentType(undefined))
})

test('a response is gRPC by its type at 200, or by its status where it has no body', () => {
  const response = (status: number, ...list: string[]) => new ResponseHeaders(status, list)
  assert.ok(isGrpcResponse(response(200, 'content-type', 'application/grpc'), false))
  assert.ok(!isGrpcResponse(response(503, 'content-type', 'application/grpc'), false))
  assert.ok(!isGrpcResponse(response(200, 'content-type', 'application/grpc'), true))
  assert.ok(isGrpcResponse(response(200, 'grpc-status', '0'), true))
})

test('a path is service and method, or nothing', () => {
  assert.deepEqual(serviceAndMethod('/a.b.C/d'), ['a.b.C', 'd'])
  assert.deepEqual(serviceAndMethod('/a/b?c=/d'), ['a', 'b'])
  for (const path of ['', '/', '/a', '/a/', '//b', 'a/b', '/a/b/c', '/a?/b']) {
    assert.equal(serviceAndMethod(path), undefined, path)
  }
})

test('a message survives encoding, and a broken escape stands for itself', () => {
  const text = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join('')
  const encoded = encodeGrpcMessage(text)
  assert.match(encoded, /^[\x20-\x7e]*$/)
  assert.equal(decodeGrpcMessage(encoded), text)
  assert.equal(decodeGrpcMessage('100% of %zz'), '100% of %zz')
})

test('grpc-timeout is read in all units, rounded up, and no other form', () => {
  const ms = (text: string) => grpcTimeoutMs(headers('grpc-timeout', text))
  assert.deepEqual(
    ['1H', '2M', '3S', '4m', '5u', '6n', '0m', '99999999n'].map(ms),
    [3_600_000, 120_000, 3000, 4, 1, 1, 0, 100],
  )
  for (const text of ['', '5', 'm', '5x', '-1S', '1.5S', '123456789m', ' 5m']) assert.equal(ms(text), undefined, text)
})

test('grpc-timeout is written with at most eight digits', () => {
  assert.equal(grpcTimeoutText(1500.4), '1500m')
  assert.equal(grpcTimeoutText(99_999_999), '99999999m')
  assert.equal(grpcTimeoutText(100_000_000), '100000S')
  assert.equal(grpcTimeoutText(100_000_000_000), '1666666M')
  assert.equal(grpcTimeoutText(1e18), '99999999H')
})

test('statuses of gRPC and HTTP are each other as in Envoy', () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17].map(httpStatusOfGrpc),
    [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401, 500],
  )
  assert.deepEqual([200, 400, 401, 403, 404, 429, 500, 502, 503, 504].map(grpcStatusOfHttp), [
    ...[2, 13, 16, 7, 12, 14, 2, 14, 14, 14],
  ])
  assert.deepEqual([undefined, '0', '14', '', 'x', '-1'].map(parseGrpcStatus), [undefined, 0, 14, -1, -1, -1])
})
