/**
 * What the applications of the chain speak: HTTP/1.1, or gRPC on frames of our own making, so that a stream can be reset, a
 * connection ended and a message broken off at will.
 */
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http'
import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
} from 'node:http2'
import { createServer as createTcpServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'

export interface Answer {
  /** In the words of HTTP; 0 where there was none, or only a part of it. */
  readonly status: number
  readonly body: string
}

/** What a call has from the request it is made for. */
export interface Way {
  readonly path: string
  readonly gone: AbortSignal | undefined
}

export interface Call extends Way {
  readonly host: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Buffer | undefined
}

/** A request to be answered. */
export interface Asked {
  readonly headers: IncomingHttpHeaders
  readonly path: string
  /** Whoever asked is gone, or has its answer. */
  readonly gone: AbortSignal
  /** Stands in the head of whatever is answered. */
  setHeader(name: string, value: string): void
  answer(status: number, body: string): void
  /** The head of a good answer; `length` of its body where that is said. */
  begin(length: number | undefined): void
  write(part: Buffer | string): void
  end(): void
  /** Something else than the end comes after what was written. */
  fail(): void
  reset(): void
  /** The connection ends, whatever was to come. */
  terminate(): void
  garbage(): void
}

export interface Server {
  listen(port: number, serve: (asked: Asked) => void): void
}

export interface Caller {
  call(call: Call): Promise<Answer>
  /** Hands the body on as it comes. */
  stream(call: Call, to: Asked): void
}

const GARBAGE = 'what is no HTTP\r\n\r\n'
/** Sidecars keep their connections; an end of ours would be one more thing that breaks. */
const KEEP_ALIVE_MS = 120_000

export const httpServer: Server = {
  listen(port, serve) {
    const server = createServer((incoming, response) => {
      incoming.resume()
      response.on('error', () => {})
      serve(new HttpAsked(incoming, response))
    })
    server.keepAliveTimeout = KEEP_ALIVE_MS
    server.listen(port, '127.0.0.1')
  },
}

class HttpAsked implements Asked {
  readonly headers: IncomingHttpHeaders
  readonly path: string
  readonly gone: AbortSignal
  readonly #socket: Socket
  readonly #response: ServerResponse

  constructor(incoming: IncomingMessage, response: ServerResponse) {
    this.headers = incoming.headers
    this.path = incoming.url ?? '/'
    this.#socket = incoming.socket
    this.#response = response
    this.gone = closeSignal(response)
  }

  setHeader(name: string, value: string): void {
    this.#response.setHeader(name, value)
  }
  answer(status: number, body: string): void {
    this.#response.writeHead(status).end(body)
  }
  begin(length: number | undefined): void {
    this.#response.writeHead(200, length === undefined ? {} : { 'content-length': String(length) })
  }
  write(part: Buffer | string): void {
    this.#response.write(part)
  }
  end(): void {
    this.#response.end()
  }
  fail(): void {
    if (this.#response.headersSent) this.#response.destroy()
    else this.answer(500, '')
  }
  reset(): void {
    this.#socket.resetAndDestroy()
  }
  terminate(): void {
    this.#socket.destroy()
  }
  garbage(): void {
    this.#socket.end(GARBAGE)
  }
}

export class HttpCaller implements Caller {
  readonly #port: number
  readonly #agent = new Agent({ keepAlive: true })

  constructor(port: number) {
    this.#port = port
  }

  call(call: Call): Promise<Answer> {
    return new Promise(resolve => {
      const nothing = () => resolve({ status: 0, body: '' })
      const outgoing = this.#begin(call, response => {
        text(response).then(read => resolve({ status: response.statusCode!, body: read }), nothing)
      })
      outgoing.on('error', nothing)
      outgoing.end(call.body)
    })
  }

  stream(call: Call, to: Asked): void {
    const outgoing = this.#begin(call, answer => {
      const { 'content-length': length } = answer.headers
      if (answer.statusCode !== 200) {
        answer.resume()
        to.answer(answer.statusCode!, '')
        return
      }
      to.begin(length === undefined ? undefined : Number(length))
      answer.on('error', () => to.fail())
      answer.on('data', (part: Buffer) => to.write(part))
      answer.on('end', () => to.end())
    })
    outgoing.on('error', () => to.fail())
    outgoing.end()
  }

  #begin({ host, path, gone, headers, body }: Call, onResponse: (response: IncomingMessage) => void) {
    return request(
      {
        host: '127.0.0.1',
        port: this.#port,
        path,
        agent: this.#agent,
        method: body === undefined ? 'GET' : 'POST',
        headers: { ...headers, host },
        ...(gone !== undefined && { signal: gone }),
      },
      onResponse,
    )
  }
}

const GRPC = { 'content-type': 'application/grpc' }
const OK = 0
const INTERNAL = 13
const UNAVAILABLE = 14

/** Length-Prefixed-Message of gRPC over HTTP/2, not compressed. */
function message(content: Buffer | string): Buffer {
  const body = Buffer.from(content)
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(body.length, 1)
  return Buffer.concat([prefix, body])
}

export const grpcServer: Server = {
  listen(port, serve) {
    const sockets = new WeakMap<Http2Session, Socket>()
    let accepted: Socket
    const server = createHttp2Server()
    server.on('session', session => sockets.set(session, accepted))
    server.on('sessionError', () => {})
    server.on('request', (incoming, response) => {
      incoming.resume()
      response.stream.on('error', () => {})
      serve(new GrpcAsked(incoming, response, sockets.get(response.stream.session!)!))
    })
    createTcpServer({ noDelay: true }, socket => {
      accepted = socket
      socket.on('error', () => {})
      server.emit('connection', socket)
    }).listen(port, '127.0.0.1')
  },
}

class GrpcAsked implements Asked {
  readonly headers: IncomingHttpHeaders
  readonly path: string
  readonly gone: AbortSignal
  readonly #socket: Socket
  readonly #response: Http2ServerResponse
  /** Stands in the trailers as well, where records of gRPC are. */
  readonly #said: Record<string, string> = {}

  constructor(incoming: Http2ServerRequest, response: Http2ServerResponse, socket: Socket) {
    this.headers = incoming.headers
    this.path = incoming.url
    this.#socket = socket
    this.#response = response
    this.gone = closeSignal(response)
  }

  setHeader(name: string, value: string): void {
    this.#said[name] = value
    this.#response.setHeader(name, value)
  }
  answer(status: number, body: string): void {
    if (status === 200) {
      this.begin(undefined)
      this.write(message(body))
      this.end()
      return
    }
    this.setHeader('content-type', 'application/grpc')
    this.setHeader('grpc-status', String(status === 503 ? UNAVAILABLE : INTERNAL))
    this.setHeader('grpc-message', body)
    this.#response.end()
  }
  begin(_length: number | undefined): void {
    this.#response.writeHead(200, GRPC)
  }
  write(part: Buffer | string): void {
    this.#response.write(part)
  }
  end(): void {
    this.#response.addTrailers({ ...this.#said, 'grpc-status': String(OK) })
    this.#response.end()
  }
  fail(): void {
    if (!this.#response.headersSent) this.answer(500, '')
    else {
      this.#response.addTrailers({ 'grpc-status': String(UNAVAILABLE) })
      this.#response.end()
    }
  }
  reset(): void {
    this.#response.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }
  terminate(): void {
    this.#socket.destroy()
  }
  garbage(): void {
    this.#socket.end(GARBAGE)
  }
}

export class GrpcCaller implements Caller {
  readonly #port: number
  #session: ClientHttp2Session | undefined

  constructor(port: number) {
    this.#port = port
  }

  call(call: Call): Promise<Answer> {
    // As with HTTP: nothing is asked for somebody who has gone meanwhile.
    if (call.gone?.aborted) return Promise.resolve({ status: 0, body: '' })
    return new Promise(resolve => {
      let body = ''
      const stream = this.#begin(call, status => {
        if (status === undefined) resolve({ status: 0, body: '' })
        else resolve({ status: status === OK ? 200 : 500, body })
      })
      stream.on('data', (part: Buffer) => {
        body += part
      })
    })
  }

  stream(call: Call, to: Asked): void {
    if (call.gone?.aborted) return
    const stream = this.#begin(call, status => (status === OK ? to.end() : to.fail()))
    stream.once('data', () => to.begin(undefined))
    stream.on('data', (part: Buffer) => to.write(part))
  }

  /** `onEnd`: with the status of the call, undefined where it ended without one. */
  #begin({ host, path, gone, headers, body = Buffer.alloc(0) }: Call, onEnd: (status: number | undefined) => void) {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = connect(`http://127.0.0.1:${this.#port}`)
      this.#session.on('error', () => {})
    }
    const stream = this.#session.request({
      ...headers,
      ...GRPC,
      ':method': 'POST',
      ':path': path,
      ':authority': host,
      te: 'trailers',
    })
    let status: number | undefined
    const read = (fields: { readonly [name: string]: unknown }) => {
      if (fields['grpc-status'] !== undefined) status = Number(fields['grpc-status'])
    }
    stream.on('response', read)
    stream.on('trailers', read)
    stream.on('error', () => {})
    const giveUp = () => stream.close(constants.NGHTTP2_CANCEL)
    stream.on('close', () => {
      gone?.removeEventListener('abort', giveUp)
      onEnd(status)
    })
    gone?.addEventListener('abort', giveUp)
    stream.end(message(body))
    return stream
  }
}

function closeSignal(response: { on(event: 'close', listener: () => void): unknown }): AbortSignal {
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  return gone.signal
}
