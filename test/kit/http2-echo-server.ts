/** A minimal server on the HTTP/2 codec and `node:net`: the codec alone before a real peer, without a proxy around it. */
import { createServer, type Server, type Socket } from 'node:net'
import { type HeaderMap, type RequestHeaders, ResponseHeaders } from '../../sidecar/codec/header-map.ts'
import { http2ServerConnection } from '../../sidecar/codec/http2/connection.ts'
import {
  DEFAULT_HTTP2_OPTIONS,
  type Http2Counters,
  type Http2Options,
  type Http2ServerConnection,
  type Http2ServerEvents,
  type Http2ServerStream,
  newHttp2Counters,
} from '../../sidecar/codec/http2/contract.ts'
import type { RequestDecoder } from '../../sidecar/codec/stream.ts'

export interface EchoServer {
  readonly port: number
  readonly counters: Http2Counters
  /** Open connections. */
  readonly connections: ReadonlySet<Http2ServerConnection>
  close(): Promise<void>
}

/**
 * Answers each request when it is complete: 200, `content-type: text/plain`, its headers that begin with `x-`, its body and
 * trailers again, or `no body came` where it had no body. `/large/N` gets N bytes.
 */
export async function startEchoServer(options: Partial<Http2Options> = {}): Promise<EchoServer> {
  const counters = newHttp2Counters()
  const connections = new Set<Http2ServerConnection>()
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true, allowHalfOpen: true }, socket => {
    sockets.add(socket)
    const connection = serve(socket, { ...DEFAULT_HTTP2_OPTIONS, ...options }, counters)
    connections.add(connection)
    socket.on('close', () => {
      sockets.delete(socket)
      connections.delete(connection)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: portOf(server),
    counters,
    connections,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

function portOf(server: Server): number {
  return (server.address() as { port: number }).port
}

function serve(socket: Socket, options: Http2Options, counters: Http2Counters): Http2ServerConnection {
  let connection: Http2ServerConnection | undefined
  const flush = () => connection!.flush()
  const events: Http2ServerEvents = {
    onWantsFlush: () => queueMicrotask(flush),
    onSettings() {},
    onGoAway() {},
    onPingAck() {},
    onConnectionError: () => queueMicrotask(() => socket.end()),
    onStreamClosed() {},
    onStreamRefused() {},
    onStream(stream, headers, endStream) {
      const echo = new Echo(stream, headers)
      stream.decoder = echo
      echo.onRequestHeaders(headers, endStream)
    },
  }
  const sink = {
    write(bytes: Buffer): boolean {
      socket.write(bytes)
      return socket.writableLength === 0
    },
    get bufferedBytes(): number {
      return socket.writableLength
    },
  }
  connection = http2ServerConnection(options, events, sink, counters)
  const made = connection
  socket.on('data', chunk => made.receive(chunk as Buffer))
  socket.on('drain', () => made.onTransportBackpressure(false))
  socket.on('end', () => socket.end())
  socket.on('error', () => {})
  socket.on('close', () => made.destroy({ origin: 'downstream', kind: 'terminated', flag: 0, details: '' }))
  return made
}

class Echo implements RequestDecoder {
  readonly #stream: Http2ServerStream
  readonly #path: string
  readonly #head: boolean
  readonly #headers: string[] = []
  readonly #body: Buffer[] = []
  constructor(stream: Http2ServerStream, headers: RequestHeaders) {
    this.#stream = stream
    this.#path = headers.path
    this.#head = headers.method === 'HEAD'
    const { list } = headers
    for (let i = 0; i < list.length; i += 2) if (list[i]!.startsWith('x-')) this.#headers.push(list[i]!, list[i + 1]!)
  }
  onRequestHeaders(_headers: RequestHeaders, endStream: boolean): void {
    if (endStream) this.#answer(undefined)
  }
  onRequestData(data: Buffer, endStream: boolean): void {
    this.#body.push(Buffer.from(data))
    if (endStream) this.#answer(undefined)
  }
  onRequestTrailers(trailers: HeaderMap): void {
    this.#answer(trailers)
  }
  onReset(): void {}
  onResponseBackpressure(): void {}

  #answer(trailers: HeaderMap | undefined): void {
    const large = /^\/large\/(\d+)$/.exec(this.#path)
    let body = Buffer.concat(this.#body)
    if (large !== null) body = Buffer.alloc(Number(large[1]), 'x')
    else if (body.length === 0) body = Buffer.from('no body came')
    const list = ['content-type', 'text/plain', 'content-length', String(body.length), ...this.#headers]
    if (this.#head) {
      this.#stream.encodeHeaders(new ResponseHeaders(200, list), true)
      return
    }
    this.#stream.encodeHeaders(new ResponseHeaders(200, list), false)
    this.#stream.encodeData(body, trailers === undefined)
    if (trailers !== undefined) this.#stream.encodeTrailers(trailers)
  }
}
