import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeGrpcMessage } from '../../../sidecar/codec/grpc/headers.ts'
import { RequestHeaders } from '../../../sidecar/codec/header-map.ts'
import { makeLocalReply } from '../../../sidecar/http/local-reply.ts'
import { StreamInfo } from '../../../sidecar/observability/stream-info.ts'

const address = { ip: '127.0.0.1', port: 1 }
const info = () =>
  new StreamInfo(
    {
      id: 1,
      directRemote: address,
      local: address,
      listenerName: '',
      filterChainName: '',
      tls: undefined,
      requestedServerName: '',
    },
    'HTTP/1.1',
    0,
    0,
  )
const request = (method = 'GET', ...list: string[]) => new RequestHeaders(method, '/', 'a', 'http', list)

test('an answer has its length and type, and HEAD gets no body', () => {
  const reply = { status: 503, details: 'd', body: 'no healthy upstream' }
  const { headers, body } = makeLocalReply(reply, request(), info(), undefined, false)
  assert.equal(body, 'no healthy upstream')
  assert.deepEqual(headers.list, ['content-length', '19', 'content-type', 'text/plain'])
  const head = makeLocalReply(reply, request('HEAD'), info(), undefined, false)
  assert.equal(head.body, '')
  assert.equal(head.headers.get('content-length'), '19')
})

test('gRPC gets status 200, trailers only, with the status mapped as Envoy maps it', () => {
  const grpc = request('POST', 'content-type', 'application/grpc+proto')
  const mapped = { 400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14, 413: 2, 500: 2 }
  for (const [status, expected] of Object.entries(mapped)) {
    const { headers, body } = makeLocalReply(
      { status: Number(status), details: 'd', body: 'a%' },
      grpc,
      info(),
      undefined,
      true,
    )
    assert.equal(headers.status, 200)
    assert.equal(headers.get('grpc-status'), String(expected))
    assert.equal(headers.get('grpc-message'), 'a%25')
    assert.equal(body, '')
  }
})

test('a grpc-message holds nothing but printable ASCII', () => {
  assert.equal(encodeGrpcMessage('50%\r\n\u00e9'), '50%25%0D%0A%E9')
})

test('the route has its say before the reply, and the mapper after it', () => {
  const { headers, body } = makeLocalReply(
    { status: 404, details: 'd', body: 'x', headers: [['x-a', 'reply']] },
    request(),
    info(),
    {
      rewrite(draft) {
        assert.equal(draft.headers.get('x-a'), 'reply')
        draft.headers.status = 410
        draft.body = 'gone'
        draft.contentType = 'text/html'
      },
    },
    false,
    route => route.set('x-a', 'route'),
  )
  assert.equal(headers.status, 410)
  assert.equal(body, 'gone')
  assert.equal(headers.get('content-type'), 'text/html')
})
