import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvariantError } from '../../../../sidecar/base/invariant.ts'
import { HeaderMap, RequestHeaders, ResponseHeaders } from '../../../../sidecar/codec/header-map.ts'
import {
  CHUNK_END,
  CONTINUE,
  chunkHeader,
  LAST_CHUNK,
  reasonPhrase,
  requestFraming,
  responseFraming,
  WriteFraming,
  writeRequestHead,
  writeResponseHead,
  writeTrailers,
} from '../../../../sidecar/codec/http1/writer.ts'

function request(method: string, path: string, list: string[] = []): RequestHeaders {
  return new RequestHeaders(method, path, 'a.example', 'http', list)
}

test('a request begins with its line and Host, then its headers in order', () => {
  const head = writeRequestHead(request('GET', '/x?y', ['accept', '*/*', 'x-a', '1', 'x-a', '2']), WriteFraming.None)
  assert.equal(head, 'GET /x?y HTTP/1.1\r\nhost: a.example\r\naccept: */*\r\nx-a: 1\r\nx-a: 2\r\n\r\n')
})

test('CONNECT is written in authority-form', () => {
  const headers = new RequestHeaders('CONNECT', '', 'b:443', 'http')
  assert.equal(requestFraming(headers, false), WriteFraming.Raw)
  assert.equal(writeRequestHead(headers, WriteFraming.Raw), 'CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n')
})

test('a body of unknown length goes in chunks, and no other framing header stays beside', () => {
  const headers = request('POST', '/', ['transfer-encoding', 'chunked', 'x-a', '1'])
  assert.equal(requestFraming(headers, false), WriteFraming.Chunked)
  const head = writeRequestHead(headers, WriteFraming.Chunked)
  assert.equal(head, 'POST / HTTP/1.1\r\nhost: a.example\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\n')
  const both = request('POST', '/', ['content-length', '5', 'transfer-encoding', 'chunked'])
  assert.equal(requestFraming(both, false), WriteFraming.Length)
  assert.doesNotMatch(writeRequestHead(both, WriteFraming.Length), /transfer-encoding/)
  assert.doesNotMatch(writeRequestHead(both, WriteFraming.Chunked), /content-length/)
})

test('how a request without body says so depends on its method', () => {
  assert.equal(requestFraming(request('GET', '/'), true), WriteFraming.None)
  for (const method of ['POST', 'PUT', 'PATCH', 'OPTIONS', 'PURGE']) {
    assert.equal(requestFraming(request(method, '/'), true), WriteFraming.Empty, method)
  }
  assert.match(writeRequestHead(request('POST', '/'), WriteFraming.Empty), /\r\ncontent-length: 0\r\n\r\n$/)
  assert.equal(requestFraming(request('POST', '/', ['content-length', '0']), true), WriteFraming.Length)
})

test('an upgrade is raw', () => {
  const headers = request('GET', '/', ['connection', 'upgrade', 'upgrade', 'websocket'])
  headers.protocol = 'websocket'
  assert.equal(requestFraming(headers, false), WriteFraming.Raw)
  assert.match(writeRequestHead(headers, WriteFraming.Raw), /upgrade: websocket\r\n\r\n$/)
})

test('a response begins with the status line as Envoy prints it', () => {
  const head = (status: number, version: 10 | 11 = 11) =>
    writeResponseHead(new ResponseHeaders(status, ['x-a', '1']), WriteFraming.None, version)
  assert.equal(head(200), 'HTTP/1.1 200 OK\r\nx-a: 1\r\n\r\n')
  assert.equal(head(200, 10), 'HTTP/1.0 200 OK\r\nx-a: 1\r\n\r\n')
  assert.equal(head(431), 'HTTP/1.1 431 Request Header Fields Too Large\r\nx-a: 1\r\n\r\n')
  assert.equal(head(299), 'HTTP/1.1 299 Unknown\r\nx-a: 1\r\n\r\n')
  assert.equal(head(799), 'HTTP/1.1 799 Unknown\r\nx-a: 1\r\n\r\n')
  assert.equal(reasonPhrase(418), 'Unknown')
  assert.equal(CONTINUE, writeResponseHead(new ResponseHeaders(100), WriteFraming.None))
})

const framings: readonly [
  status: number,
  list: string[],
  end: boolean,
  method: string,
  version: 10 | 11,
  WriteFraming,
][] = [
  [200, ['content-length', '5'], false, 'GET', 11, WriteFraming.Length],
  [200, [], false, 'GET', 11, WriteFraming.Chunked],
  [200, [], false, 'GET', 10, WriteFraming.Raw],
  [200, [], true, 'GET', 11, WriteFraming.Empty],
  [204, [], true, 'GET', 11, WriteFraming.None],
  [204, ['content-length', '0'], true, 'GET', 11, WriteFraming.None],
  [304, ['content-length', '5'], true, 'GET', 11, WriteFraming.Length],
  [304, [], true, 'GET', 11, WriteFraming.None],
  [103, [], false, 'GET', 11, WriteFraming.None],
  [101, [], false, 'GET', 11, WriteFraming.Raw],
  [200, [], false, 'CONNECT', 11, WriteFraming.Raw],
  [403, [], true, 'CONNECT', 11, WriteFraming.Empty],
  [200, ['content-length', '5'], true, 'HEAD', 11, WriteFraming.Length],
  [200, [], true, 'HEAD', 11, WriteFraming.ChunkedNoBody],
  [200, [], true, 'HEAD', 10, WriteFraming.None],
  [304, [], true, 'HEAD', 11, WriteFraming.None],
]
for (const [status, list, endStream, method, version, expected] of framings) {
  const name = `${status} to ${method}${list.length > 0 ? ' with length' : ''}${endStream ? ', ended' : ''}, 1.${version - 10}`
  test(`framing of ${name}`, () => {
    assert.equal(responseFraming(new ResponseHeaders(status, list), endStream, method, version), expected)
  })
}

test('chunks and their end', () => {
  assert.equal(`${chunkHeader(500)}…${CHUNK_END}${LAST_CHUNK}`, '1f4\r\n…\r\n0\r\n\r\n')
  assert.throws(() => chunkHeader(0), InvariantError)
  assert.equal(writeTrailers(new HeaderMap(['grpc-status', '0'])), '0\r\ngrpc-status: 0\r\n\r\n')
  assert.equal(writeTrailers(new HeaderMap()), LAST_CHUNK)
})

test('names can be written in another case', () => {
  const headerCase = { format: (name: string) => name.toUpperCase() }
  const headers = request('POST', '/', ['x-a', '1'])
  const expected = 'POST / HTTP/1.1\r\nHOST: a.example\r\nX-A: 1\r\nTRANSFER-ENCODING: chunked\r\n\r\n'
  assert.equal(writeRequestHead(headers, WriteFraming.Chunked, headerCase), expected)
})

test('nothing that splits a message can be written', () => {
  for (const bad of ['\r', '\n', '\0', 'a\r\nx: y']) {
    const head = (headers: RequestHeaders) => () => writeRequestHead(headers, WriteFraming.None)
    assert.throws(head(request('GET', '/', ['x', bad])), InvariantError)
    assert.throws(head(request('GET', '/', [`x${bad}`, 'y'])), InvariantError)
    // A name is checked once and then known: it has to stay refused.
    assert.throws(head(request('GET', '/', [`x${bad}`, 'y'])), InvariantError)
    assert.throws(head(request('GET', `/${bad}`)), InvariantError)
    assert.throws(head(request(`GET${bad}`, '/')), InvariantError)
    assert.throws(head(new RequestHeaders('GET', '/', bad, 'http')), InvariantError)
    const response = new ResponseHeaders(200, ['x', bad])
    assert.throws(() => writeResponseHead(response, WriteFraming.None), InvariantError)
    assert.throws(() => writeTrailers(new HeaderMap(['x', bad])), InvariantError)
  }
  assert.throws(() => writeRequestHead(request('GET', '/a b'), WriteFraming.None), InvariantError)
  assert.throws(() => writeRequestHead(request('GET', '/', ['x: y\u0020z', '1']), WriteFraming.None), InvariantError)
  assert.throws(() => writeResponseHead(new ResponseHeaders(1000), WriteFraming.None), InvariantError)
  // Written as latin1, U+010A would lose its upper byte and be LF.
  assert.throws(() => writeRequestHead(request('GET', '/\u010a'), WriteFraming.None), InvariantError)
  assert.throws(() => writeRequestHead(request('GET', '/', ['\u010a', 'y']), WriteFraming.None), InvariantError)
})

test('a value beyond latin1 goes out in UTF-8', () => {
  const head = writeRequestHead(request('GET', '/', ['x', '\u010ay: z ✓']), WriteFraming.None)
  assert.equal(Buffer.from(head, 'latin1').toString('utf8').split('\r\n')[2], 'x: \u010ay: z ✓')
  assert.equal(head.split('\n').length, 5)
})
