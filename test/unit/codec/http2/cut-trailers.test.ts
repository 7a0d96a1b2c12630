import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeaderMap, RequestHeaders, ResponseHeaders } from '../../../../sidecar/codec/header-map.ts'
import { http2ClientConnection, http2ServerConnection } from '../../../../sidecar/codec/http2/connection.ts'
import {
  DEFAULT_HTTP2_OPTIONS,
  type Http2ServerStream,
  newHttp2Counters,
} from '../../../../sidecar/codec/http2/contract.ts'
import type { ResponseDecoder, StreamFailure } from '../../../../sidecar/codec/stream.ts'
import { QUIET } from './quiet-events.ts'

class Answer implements ResponseDecoder {
  readonly seen: string[] = []
  failure: StreamFailure | undefined
  trailers: HeaderMap | undefined
  onInformational(): void {}
  onResponseHeaders({ status }: ResponseHeaders): void {
    this.seen.push(String(status))
  }
  onResponseData(data: Buffer, endStream: boolean): void {
    this.seen.push(`${data}${endStream ? ' end' : ''}`)
  }
  onResponseTrailers(trailers: HeaderMap): void {
    this.seen.push('trailers')
    this.trailers = trailers
  }
  onReset(failure: StreamFailure): void {
    this.seen.push(`reset ${failure.kind}`)
    this.failure = failure
  }
  onRequestBackpressure(): void {}
}

/** A client and a server, joined; the client has asked and the server has begun its answer. */
function exchange({ cutTrailers, endsRequest = true }: { cutTrailers: boolean; endsRequest?: boolean }) {
  const toServer: Buffer[] = []
  const toClient: Buffer[] = []
  const into = (queue: Buffer[]) => ({ bufferedBytes: 0, write: (bytes: Buffer) => queue.push(Buffer.from(bytes)) > 0 })
  let stream: Http2ServerStream | undefined
  let requestReset: StreamFailure | undefined
  const onStream = (taken: Http2ServerStream) => {
    stream = taken
    taken.decoder = {
      onRequestHeaders() {},
      onRequestData() {},
      onRequestTrailers() {},
      onReset: failure => {
        requestReset = failure
      },
      onResponseBackpressure() {},
    }
  }
  const server = http2ServerConnection(
    DEFAULT_HTTP2_OPTIONS,
    { ...QUIET, onStream, onStreamRefused() {} },
    into(toClient),
    newHttp2Counters(),
  )
  const client = http2ClientConnection(
    { ...DEFAULT_HTTP2_OPTIONS, cutTrailers },
    QUIET,
    into(toServer),
    newHttp2Counters(),
  )
  const turn = () => {
    for (let i = 0; i < 4; i++) {
      client.flush()
      for (const bytes of toServer.splice(0)) server.receive(bytes)
      server.flush()
      for (const bytes of toClient.splice(0)) client.receive(bytes)
    }
  }
  turn()
  const answer = new Answer()
  const request = client.openStream(answer)
  request.encodeHeaders(new RequestHeaders('GET', '/', 'd', 'http'), endsRequest)
  turn()
  stream!.encodeHeaders(new ResponseHeaders(200, ['content-length', '100']), false)
  stream!.encodeData(Buffer.from('half'), false)
  turn()
  return { answer, server, client, request, stream: stream!, turn, requestReset: () => requestReset }
}

test('a response that breaks off ends with the reason, which its reader gets along with the reset', () => {
  const { answer, stream, client, server, turn } = exchange({ cutTrailers: true })
  assert.equal(stream.takesCut, true)
  stream.encodeCut(new HeaderMap(['proxy-status', 'd; failure-id=0']))
  turn()
  assert.deepEqual(answer.seen, ['200', 'half', 'reset reset'])
  assert.deepEqual(answer.failure!.trailers!.list, ['proxy-status', 'd; failure-id=0'])
  assert.deepEqual([client.failed, client.activeStreams, server.activeStreams], [false, 0, 0])
})

test('so it does when the request is still on its way, and both sides forget the stream', () => {
  const { answer, stream, client, server, turn } = exchange({ cutTrailers: true, endsRequest: false })
  stream.encodeCut(new HeaderMap([]))
  stream.reset()
  turn()
  assert.deepEqual(answer.seen, ['200', 'half', 'reset reset'])
  assert.deepEqual([client.failed, client.activeStreams, server.activeStreams], [false, 0, 0])
})

test('a client that does not know of it has said nothing, and a body that is too short stays an error', () => {
  const { answer, stream, client, turn } = exchange({ cutTrailers: false })
  assert.equal(stream.takesCut, false)
  stream.encodeCut(new HeaderMap([]))
  turn()
  assert.deepEqual(answer.seen, ['200', 'half', 'reset protocol_error'])
  assert.equal(client.failed, true)
})

test('an application that writes the mark into its own trailers breaks nothing', () => {
  const { answer, stream, turn } = exchange({ cutTrailers: true })
  stream.encodeData(Buffer.alloc(96, 'x'), false)
  stream.encodeTrailers(new HeaderMap(['x-hopwise-cut', '1', 'x-sum', '7']))
  turn()
  assert.equal(answer.seen.at(-1), 'trailers')
  assert.deepEqual(answer.trailers!.list, ['x-sum', '7'])
})
