/**
 * The HTTP/2 half of {@link FakeUpstream}: plays the same scripts on `node:http2`. What ends a connection in HTTP/1.1 ends
 * the stream here; the `connection` variants below end the whole connection.
 */
import { constants, createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Answer } from './fake-upstream.ts'
import type { RawMessage } from './http1-message.ts'

/** A request as HTTP/2 carried it: pseudo-headers first, under their own names. */
export interface Http2Message extends RawMessage {
  readonly method: string
  readonly target: string
}

export interface Http2Handler {
  /** The answer to the next request, where it may come before the body does. */
  early(): Answer | undefined
  /** Records the request and says how to answer. */
  onRequest(message: Http2Message, connection: number): Promise<Answer>
  /** The body of an early answered request came. */
  onBody(early: Http2Message, whole: Http2Message, connection: number): void
}

export interface Http2Settings {
  readonly maxConcurrentStreams?: number
}

export class Http2Half {
  readonly #server: Http2Server
  readonly #handler: Http2Handler
  /** Numbers of connections by the port of their other end. */
  readonly #connections = new Map<number, number>()

  constructor(handler: Http2Handler, settings: Http2Settings) {
    this.#handler = handler
    this.#server = createServer({ settings: { enableConnectProtocol: true, ...settings } })
    this.#server.on('stream', (stream: ServerHttp2Stream, _headers: unknown, _flags: unknown, raw: string[]) => {
      stream.on('error', () => {})
      const connection = this.#connections.get(stream.session?.socket.remotePort ?? 0) ?? 0
      this.#serve(stream, raw, connection).catch(() => stream.destroy())
    })
    this.#server.on('sessionError', () => {})
    this.#server.on('session', session => session.on('error', () => {}))
  }

  /** Takes over an accepted socket of which `begun` has been read. */
  take(socket: Socket, begun: Buffer, connection: number): void {
    this.#connections.set(socket.remotePort!, connection)
    // Bytes that flow are nobody's: the session reads what is there when it takes the socket.
    socket.pause()
    socket.unshift(begun)
    this.#server.emit('connection', socket)
  }

  async #serve(stream: ServerHttp2Stream, raw: string[], connection: number): Promise<void> {
    const headers: [string, string][] = []
    for (let i = 0; i < raw.length; i += 2) headers.push([raw[i]!, raw[i + 1]!])
    const pseudo = (name: string) => headers.find(([key]) => key === name)?.[1] ?? ''
    const startLine = `${pseudo(':method')} ${pseudo(':path')} HTTP/2`
    const message = (body: Buffer, trailers: [string, string][], framing: RawMessage['framing']): Http2Message => ({
      startLine,
      head: '',
      headers,
      body,
      chunkSizes: undefined,
      trailers,
      framing,
      method: pseudo(':method'),
      target: pseudo(':path'),
    })
    const trailers: [string, string][] = []
    stream.on('trailers', (_block: unknown, _flags: unknown, list: string[]) => {
      for (let i = 0; i < list.length; i += 2) trailers.push([list[i]!, list[i + 1]!])
    })
    const parts: Buffer[] = []
    stream.on('data', (part: Buffer) => parts.push(part))
    const ended = new Promise<boolean>(resolve => {
      stream.on('end', () => resolve(true))
      stream.on('close', () => resolve(false))
    })
    const early = this.#handler.early()
    const tunnel = pseudo(':method') === 'CONNECT'
    if (early?.early !== undefined || tunnel) {
      await Promise.race([bytesOf(stream, early?.early ?? 0), ended])
      const begun = message(Buffer.alloc(0), [], 'none')
      const answer = await this.#handler.onRequest(begun, connection)
      if (tunnel && (answer.status ?? 200) === 200) {
        stream.respond({ ':status': 200 })
        stream.on('data', (part: Buffer) => stream.write(part))
        stream.on('end', () => stream.end())
        return
      }
      await answerStream(stream, answer, begun.method)
      await ended
      this.#handler.onBody(begun, message(Buffer.concat(parts), trailers, 'http2'), connection)
      return
    }
    const whole = await ended
    // The trailers event comes after the end of the readable side.
    await delay(0)
    const answer = await this.#handler.onRequest(
      message(Buffer.concat(parts), trailers, whole ? 'http2' : 'cut'),
      connection,
    )
    if (!stream.destroyed) await answerStream(stream, answer, pseudo(':method'))
  }
}

/** Resolves when so many bytes of the body are here. */
function bytesOf(stream: ServerHttp2Stream, atLeast: number): Promise<void> {
  let missing = atLeast
  return new Promise(resolve => {
    if (missing <= 0) resolve()
    stream.on('data', (part: Buffer) => {
      missing -= part.length
      if (missing <= 0) resolve()
    })
  })
}

async function answerStream(stream: ServerHttp2Stream, answer: Answer, method: string): Promise<void> {
  if (answer.delayMs !== undefined) await delay(answer.delayMs)
  const { end = '', status = 200, headers = [], chunks, trailers = [] } = answer
  const socket = stream.session?.socket
  if (end === 'hang') return
  if (answer.http2Reset !== undefined && end === '') {
    stream.close(answer.http2Reset)
    return
  }
  if (end === 'close') {
    socket?.end()
    stream.session?.destroy()
    return
  }
  if (end === 'reset') {
    stream.close(constants.NGHTTP2_CANCEL)
    return
  }
  for (const { status, headers = {} } of answer.informational ?? [])
    stream.additionalHeaders({ ':status': status, ...headers })
  const pairs: (readonly [string, string])[] = Array.isArray(headers) ? [...headers] : Object.entries(headers)
  const out: Record<string, string | string[] | number> = { ':status': status }
  for (const [name, value] of pairs) {
    const known = out[name]
    out[name] = known === undefined ? value : [...(Array.isArray(known) ? known : [String(known)]), value]
  }
  const body = chunks ?? [answer.body ?? '']
  const bodiless = status === 204 || status === 304 || method === 'HEAD'
  if (chunks === undefined && !bodiless && status >= 200 && out['content-length'] === undefined) {
    out['content-length'] = String(Buffer.byteLength(body[0] as string))
  }
  const cut = end.endsWith('mid-body')
  if (stream.sentHeaders === undefined && !stream.destroyed) {
    const empty =
      chunks === undefined && Buffer.byteLength(body[0] as string) === 0 && trailers.length === 0 && end === ''
    stream.respond(out, { endStream: empty || bodiless, waitForTrailers: trailers.length > 0 })
    if (empty || bodiless) return
  }
  stream.on('wantTrailers', () => {
    const list: Record<string, string> = {}
    for (const [name, value] of trailers) list[name] = value
    stream.sendTrailers(list)
  })
  if (end.endsWith('after-head')) {
    // The head is on its way before the connection ends.
    await delay(20)
    if (end === 'close-after-head') stream.session?.destroy()
    return
  }
  const parts =
    cut && body.length === 1 ? [Buffer.from(body[0] as string).subarray(0, 1)] : cut ? body.slice(0, -1) : body
  for (const [i, part] of parts.entries()) {
    if (answer.chunkDelayMs !== undefined) await delay(answer.chunkDelayMs)
    if (stream.destroyed) return
    const bytes = Buffer.from(part as string)
    // The end goes with the last bytes: a caller that counts them would leave before a frame of its own came.
    if (i === parts.length - 1 && !cut) stream.end(bytes)
    else await new Promise<void>(resolve => stream.write(bytes, () => resolve()))
  }
  if (cut) {
    await delay(20)
    if (end.startsWith('reset')) stream.close(answer.http2Reset ?? constants.NGHTTP2_INTERNAL_ERROR)
    else stream.session?.destroy()
    return
  }
  if (parts.length === 0) stream.end()
}
