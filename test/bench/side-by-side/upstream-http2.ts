/**
 * The HTTP/2 upstream of the benchmarks, on the codec of the sidecar: answers every request with as little work as
 * possible, so that the proxy is what is measured.
 *
 *   node upstream-http2.ts PORT
 *
 * A path that ends in `/<n>k` is answered with n KiB, every other with 20 bytes; request bodies are skipped. A gRPC call is
 * answered with one message of that size, and of `/stream/<n>` with n messages of 100 bytes, each in a frame of its own, some
 * of them in a turn: as many as a server has ready when its connection can be written to.
 */
import net from 'node:net'
import { HeaderMap, type RequestHeaders, ResponseHeaders } from '../../../sidecar/codec/header-map.ts'
import { http2ServerConnection } from '../../../sidecar/codec/http2/connection.ts'
import {
  DEFAULT_HTTP2_OPTIONS,
  type Http2ServerConnection,
  type Http2ServerStream,
  newHttp2Counters,
} from '../../../sidecar/codec/http2/contract.ts'
import type { RequestDecoder } from '../../../sidecar/codec/stream.ts'

const bodies = new Map<string, Buffer>()

function bodyOf(path: string): Buffer {
  const size = /\/(\d+)k$/.exec(path)?.[1] ?? ''
  let body = bodies.get(size)
  if (body === undefined) {
    body = Buffer.alloc(size === '' ? 20 : Number(size) * 1024, 'x')
    bodies.set(size, body)
  }
  return body
}

const PREFIX_BYTES = 5
const STREAM_MESSAGE_BYTES = 100
const MESSAGES_IN_A_TURN = 16

const messages = new Map<Buffer, Buffer>()

/** Not compressed, so many bytes (gRPC over HTTP/2, "Length-Prefixed-Message"). */
function messageOf(body: Buffer): Buffer {
  let message = messages.get(body)
  if (message === undefined) {
    message = Buffer.concat([Buffer.alloc(PREFIX_BYTES), body])
    message.writeUInt32BE(body.length, 1)
    messages.set(body, message)
  }
  return message
}

const STREAM_MESSAGE = messageOf(Buffer.alloc(STREAM_MESSAGE_BYTES, 'x'))

/** A new one each time: whoever is given headers may change them. */
const grpcHead = () => new ResponseHeaders(200, ['content-type', 'application/grpc'])
const grpcOk = () => new HeaderMap(['grpc-status', '0'])

class GrpcAnswer implements RequestDecoder {
  readonly #stream: Http2ServerStream
  #path = ''
  #left = 0
  #paused = false
  #over = false

  constructor(stream: Http2ServerStream) {
    this.#stream = stream
  }
  onRequestHeaders(headers: RequestHeaders): void {
    this.#path = headers.path
  }
  onRequestData(_data: Buffer, endStream: boolean): void {
    if (endStream) this.#answer()
  }
  onRequestTrailers(): void {
    this.#answer()
  }
  onReset(): void {
    this.#over = true
  }
  onResponseBackpressure(above: boolean): void {
    this.#paused = above
    if (!above) setImmediate(this.#turn)
  }
  #answer(): void {
    this.#stream.encodeHeaders(grpcHead(), false)
    const count = /\/stream\/(\d+)$/.exec(this.#path)?.[1]
    if (count === undefined) {
      this.#stream.encodeData(messageOf(bodyOf(this.#path)), false)
      this.#stream.encodeTrailers(grpcOk())
      return
    }
    this.#left = Number(count)
    this.#turn()
  }
  #turn = (): void => {
    if (this.#over || this.#paused || this.#left === 0) return
    for (let i = 0; i < MESSAGES_IN_A_TURN && this.#left > 0; i++) {
      this.#left--
      this.#stream.encodeData(STREAM_MESSAGE, false)
    }
    if (this.#left === 0) this.#stream.encodeTrailers(grpcOk())
    else setImmediate(this.#turn)
  }
}

class Answer implements RequestDecoder {
  readonly #stream: Http2ServerStream
  #body: Buffer | undefined
  constructor(stream: Http2ServerStream) {
    this.#stream = stream
  }
  onRequestHeaders(headers: RequestHeaders, endStream: boolean): void {
    this.#body = bodyOf(headers.path)
    if (endStream) this.#answer()
  }
  onRequestData(_data: Buffer, endStream: boolean): void {
    if (endStream) this.#answer()
  }
  onRequestTrailers(): void {
    this.#answer()
  }
  onReset(): void {}
  onResponseBackpressure(): void {}
  #answer(): void {
    const body = this.#body!
    const list = ['content-type', 'application/octet-stream', 'content-length', String(body.length)]
    this.#stream.encodeHeaders(new ResponseHeaders(200, list), false)
    this.#stream.encodeData(body, true)
  }
}

const counters = newHttp2Counters()

net
  .createServer({ noDelay: true }, socket => {
    let connection: Http2ServerConnection | undefined
    const flush = () => connection!.flush()
    const made = http2ServerConnection(
      DEFAULT_HTTP2_OPTIONS,
      {
        onWantsFlush: () => queueMicrotask(flush),
        onSettings() {},
        onGoAway() {},
        onPingAck() {},
        onConnectionError: () => queueMicrotask(() => socket.end()),
        onStreamClosed() {},
        onStreamRefused() {},
        onStream(stream, headers, endStream) {
          const grpc = headers.get('content-type') === 'application/grpc'
          const answer = grpc ? new GrpcAnswer(stream) : new Answer(stream)
          stream.decoder = answer
          answer.onRequestHeaders(headers, endStream)
        },
      },
      {
        get bufferedBytes() {
          return socket.writableLength
        },
        write(bytes) {
          if (!socket.write(bytes)) made.onTransportBackpressure(true)
          return socket.writableLength === 0
        },
      },
      counters,
    )
    connection = made
    socket.on('error', () => {})
    socket.on('drain', () => made.onTransportBackpressure(false))
    socket.on('data', data => made.receive(data as Buffer))
    socket.on('close', () => made.destroy({ origin: 'downstream', kind: 'terminated', flag: 0, details: '' }))
  })
  .listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 })
