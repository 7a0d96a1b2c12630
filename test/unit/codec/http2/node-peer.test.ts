/** Against Node's own HTTP/2 (nghttp2) over real sockets: its Huffman coding, tables and windows are not ours. */
import assert from 'node:assert/strict'
import http2 from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import { after, test } from 'node:test'
import { HeaderMap, RequestHeaders, type ResponseHeaders } from '../../../../sidecar/codec/header-map.ts'
import { http2ClientConnection } from '../../../../sidecar/codec/http2/connection.ts'
import {
  DEFAULT_HTTP2_OPTIONS,
  type Http2ClientConnection,
  newHttp2Counters,
} from '../../../../sidecar/codec/http2/contract.ts'
import type { ResponseDecoder, StreamFailure } from '../../../../sidecar/codec/stream.ts'
import { startEchoServer } from '../../../kit/http2-echo-server.ts'

/** Every character that a value may have, in every position of a Huffman code; what repeats is found in the tables. */
function headersOf(i: number): Record<string, string> {
  const all = Array.from({ length: 95 }, (_, code) => String.fromCharCode(0x20 + code)).join('')
  const at = i % all.length
  const turned = (all.slice(at) + all.slice(0, at)).trim()
  return {
    'x-all': turned,
    'x-part': turned.slice(0, i % 40).trim(),
    'x-same': 'the same in every request',
    [`x-name-${i % 7}`]: String(i % 3),
    'x-latin': `caf\xe9 ${i}`,
    'x-large': 'y'.repeat((i % 5) * 700),
  }
}

const server = await startEchoServer()
after(() => server.close())

test('a client of Node gets back the headers, body and trailers that it sent', async () => {
  const session = http2.connect(`http://127.0.0.1:${server.port}`)
  const exchange = (i: number) =>
    new Promise<void>((resolve, reject) => {
      const sent = headersOf(i)
      const body = Buffer.alloc((i % 4) * 30_000, String(i % 10))
      const request = session.request({ ':path': `/${i}`, ':method': 'POST', ...sent }, { waitForTrailers: true })
      let headers: Record<string, unknown> = {}
      let trailers: Record<string, unknown> = {}
      const parts: Buffer[] = []
      request.on('wantTrailers', () => request.sendTrailers({ 'x-trailer': String(i) }))
      request.on('response', received => (headers = received))
      request.on('trailers', received => (trailers = received))
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('error', reject)
      request.on('close', () => {
        try {
          for (const [name, value] of Object.entries(sent)) assert.equal(headers[name], value, name)
          const received = Buffer.concat(parts)
          if (body.length === 0) assert.equal(received.toString(), 'no body came')
          else assert.ok(received.equals(body), `${received.length} of ${body.length} bytes`)
          assert.equal(trailers['x-trailer'], String(i))
          resolve()
        } catch (error) {
          reject(error as Error)
        }
      })
      request.end(body)
    })
  for (let round = 0; round < 20; round++) {
    await Promise.all(Array.from({ length: 10 }, (_, i) => exchange(round * 10 + i)))
  }
  await new Promise<void>(resolve => session.close(() => resolve()))
  assert.equal(server.counters.streams_active, 0)
  assert.equal(server.counters.pending_send_bytes, 0)
  assert.equal(server.counters.rx_messaging_error, 0)
})

class Answer implements ResponseDecoder {
  headers: ResponseHeaders | undefined
  trailers: HeaderMap | undefined
  readonly parts: Buffer[] = []
  readonly #done: (error: Error | undefined) => void
  constructor(done: (error: Error | undefined) => void) {
    this.#done = done
  }
  onInformational(): void {}
  onResponseHeaders(headers: ResponseHeaders, endStream: boolean): void {
    this.headers = headers
    if (endStream) this.#done(undefined)
  }
  onResponseData(data: Buffer, endStream: boolean): void {
    this.parts.push(Buffer.from(data))
    if (endStream) this.#done(undefined)
  }
  onResponseTrailers(trailers: HeaderMap): void {
    this.trailers = trailers
    this.#done(undefined)
  }
  onReset({ kind, details }: StreamFailure): void {
    this.#done(new Error(`${kind} ${details}`))
  }
  onRequestBackpressure(): void {}
}

/** A client of ours on a socket. */
async function connectTo(port: number): Promise<{ client: Http2ClientConnection; close(): void }> {
  const socket = connect(port, '127.0.0.1')
  await new Promise(resolve => socket.once('connect', resolve))
  let client: Http2ClientConnection | undefined
  const events = {
    onWantsFlush: () => queueMicrotask(() => client!.flush()),
    onSettings() {},
    onGoAway() {},
    onPingAck() {},
    onConnectionError: () => socket.destroy(),
    onStreamClosed() {},
  }
  const sink = {
    get bufferedBytes() {
      return socket.writableLength
    },
    write(bytes: Buffer) {
      socket.write(bytes)
      return socket.writableLength === 0
    },
  }
  const made = http2ClientConnection(DEFAULT_HTTP2_OPTIONS, events, sink, newHttp2Counters())
  client = made
  socket.on('data', chunk => made.receive(chunk as Buffer))
  return { client: made, close: () => socket.destroy() }
}

test('a server of Node understands our client, and is understood', async () => {
  const node = http2.createServer({ settings: { initialWindowSize: 20_000 } })
  node.on('stream', (stream: http2.ServerHttp2Stream, headers) => {
    const echoed = Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('x-')))
    const parts: Buffer[] = []
    stream.on('data', (part: Buffer) => parts.push(part))
    stream.on('end', () => {
      stream.respond({ ':status': 200, ...echoed }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-trailer': 'end' }))
      stream.end(Buffer.concat(parts))
    })
  })
  await new Promise<void>(resolve => node.listen(0, '127.0.0.1', resolve))
  const { client, close } = await connectTo((node.address() as AddressInfo).port)
  const exchange = async (i: number) => {
    const sent = headersOf(i)
    const body = Buffer.alloc((i % 4) * 30_000 + 1, String(i % 10))
    const answer = await new Promise<Answer>((resolve, reject) => {
      const decoder: Answer = new Answer(error => (error === undefined ? resolve(decoder) : reject(error)))
      const stream = client.openStream(decoder)
      stream.encodeHeaders(new RequestHeaders('POST', `/${i}`, 'a', 'http', Object.entries(sent).flat()), false)
      stream.encodeData(body, i % 2 === 0)
      if (i % 2 === 1) stream.encodeTrailers(new HeaderMap(['x-last', '1']))
    })
    for (const [name, value] of Object.entries(sent)) assert.equal(answer.headers!.get(name), value, name)
    assert.ok(Buffer.concat(answer.parts).equals(body))
    assert.equal(answer.trailers!.get('x-trailer'), 'end')
  }
  for (let round = 0; round < 20; round++) {
    await Promise.all(Array.from({ length: 10 }, (_, i) => exchange(round * 10 + i)))
  }
  assert.equal(client.activeStreams, 0)
  close()
  await new Promise(resolve => node.close(resolve))
})
