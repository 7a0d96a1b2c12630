/**
 * An HTTP/2 client on `node:http2` that takes the same requests as {@link TestClient} and shows the same responses, so that
 * a scenario can be run over either protocol.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import type { ConnectionOptions } from 'node:tls'
import type { RequestOptions, TestResponse } from './http-client.ts'
import { headerValue, type RawMessage } from './http1-message.ts'

export interface Http2RequestOptions extends RequestOptions {
  /** Extended CONNECT (RFC 8441), with what is sent through the tunnel and how many bytes must come back. */
  protocol?: string
  tunnel?: string
  rawBytes?: number
}

export class Http2TestClient {
  readonly session: ClientHttp2Session
  /** How the connection ended, once it has. */
  readonly closed: Promise<'end' | 'reset'>
  /** Last GOAWAY: code and last stream. */
  goaway: { code: number; lastStreamId: number } | undefined

  private constructor(session: ClientHttp2Session) {
    this.session = session
    session.on('goaway', (code, lastStreamId) => {
      this.goaway = { code, lastStreamId }
    })
    this.closed = new Promise(resolve => {
      session.on('error', () => resolve('reset'))
      session.on('close', () => resolve('end'))
    })
  }

  /** With `tls` it is agreed on by ALPN (certificates are not verified unless it says so). */
  static connect(port: number, tls?: ConnectionOptions): Promise<Http2TestClient> {
    return new Promise((resolve, reject) => {
      const session =
        tls === undefined
          ? connect(`http://127.0.0.1:${port}`)
          : connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, ...tls })
      session.once('error', reject)
      session.once('connect', () => {
        session.off('error', reject)
        resolve(new Http2TestClient(session))
      })
    })
  }

  /** Begins a request; the stream is the caller's. */
  open(options: Http2RequestOptions, endStream: boolean): ClientHttp2Stream {
    const { method = 'GET', path = '/', host = 'test.local', headers = [] } = options
    const list: Record<string, string | string[]> = {
      ':method': method,
      ':authority': host,
      ':scheme': this.session.encrypted === true ? 'https' : 'http',
      ':path': path,
    }
    if (options.protocol !== undefined) {
      list[':method'] = 'CONNECT'
      list[':protocol'] = options.protocol
    } else if (method === 'CONNECT') {
      delete list[':scheme']
      delete list[':path']
    }
    for (const [name, value] of Array.isArray(headers) ? headers : Object.entries(headers)) {
      const key = name.toLowerCase()
      // What speaks of one HTTP/1.1 connection has no place here (RFC 9113 §8.2.2).
      if (key === 'connection' || key === 'keep-alive' || key === 'proxy-connection' || key === 'upgrade') continue
      if (key === 'te' && value !== 'trailers') continue
      if (key === 'transfer-encoding') continue
      const known = list[key]
      list[key] = known === undefined ? value : [...(Array.isArray(known) ? known : [known]), value]
    }
    if (options.body !== undefined && options.chunks === undefined) {
      list['content-length'] = String(Buffer.byteLength(options.body as string))
    }
    const trailers = options.trailers ?? []
    const stream = this.session.request(list, { endStream, waitForTrailers: trailers.length > 0 })
    stream.on('wantTrailers', () => stream.sendTrailers(Object.fromEntries(trailers)))
    stream.on('error', () => {})
    return stream
  }

  /** Sends one request and reads its response; rejects with `connection ended` or `connection reset`, as the other does. */
  async request(options: Http2RequestOptions, deadlineMs = 10_000, resetAfterMs?: number): Promise<TestResponse> {
    if (options.protocol !== undefined) return await this.#tunnel(options, deadlineMs)
    const body = options.chunks ?? (options.body === undefined ? [] : [options.body])
    const hasBody = options.chunks !== undefined || options.body !== undefined
    const stream = this.open(options, !hasBody && options.trailers === undefined)
    const response = readStream(stream, deadlineMs)
    response.catch(() => {})
    if (resetAfterMs !== undefined) setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), resetAfterMs)
    for (const part of options.unfinished === true ? body : body.slice(0, -1)) {
      if (stream.destroyed) break
      await new Promise<void>(resolve => stream.write(part, () => resolve()))
    }
    // The end goes with the last bytes: in a frame of its own it would race with the answer to them.
    if (hasBody && options.unfinished !== true && !stream.destroyed) stream.end(body.at(-1))
    return await response
  }

  /** Extended CONNECT: sends `tunnel` once it is accepted, and ends when `rawBytes` have come. */
  async #tunnel(options: Http2RequestOptions, deadlineMs: number): Promise<TestResponse> {
    if (this.session.remoteSettings.enableConnectProtocol !== true) {
      await new Promise<void>(resolve => this.session.once('remoteSettings', () => resolve()))
    }
    const stream = this.open(options, false)
    const response = readStream(stream, deadlineMs)
    stream.on('response', block => {
      if (block[':status'] === 200 && options.tunnel !== undefined) stream.write(options.tunnel)
    })
    let received = 0
    stream.on('data', (part: Buffer) => {
      received += part.length
      if (received >= (options.rawBytes ?? 1)) stream.end()
    })
    return await response
  }

  close(): void {
    this.session.destroy()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

export function readStream(stream: ClientHttp2Stream, deadlineMs = 10_000): Promise<TestResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<TestResponse>()
  const timer = setTimeout(() => reject(new Error(`no response within ${deadlineMs} ms`)), deadlineMs)
  const informational: RawMessage[] = []
  let status = 0
  let headers: [string, string][] = []
  const trailers: [string, string][] = []
  const parts: Buffer[] = []
  let ended = false
  const pairs = (raw: string[]): [string, string][] => {
    const list: [string, string][] = []
    for (let i = 0; i < raw.length; i += 2) if (!raw[i]!.startsWith(':')) list.push([raw[i]!, raw[i + 1]!])
    return list
  }
  stream.on('headers', (block: Record<string, unknown>) => {
    informational.push(message(`HTTP/2 ${block[':status']}`, [], Buffer.alloc(0), [], 'none'))
  })
  stream.on('response', (block: Record<string, unknown>, _flags: number, raw: string[]) => {
    status = Number(block[':status'])
    headers = pairs(raw)
  })
  stream.on('trailers', (_block: unknown, _flags: number, raw: string[]) => trailers.push(...pairs(raw)))
  stream.on('data', (part: Buffer) => parts.push(part))
  stream.on('end', () => {
    ended = true
  })
  stream.on('close', () => {
    clearTimeout(timer)
    const code = stream.rstCode
    if (status === 0) {
      const how = code === constants.NGHTTP2_NO_ERROR || stream.session?.destroyed ? 'ended' : 'reset'
      reject(new Error(`connection ${how} before a response; code ${code}`))
      return
    }
    const cut = !ended || (code !== constants.NGHTTP2_NO_ERROR && code !== undefined)
    const framing = cut ? (`cut by ${code ?? 0}` as const) : 'http2'
    const whole = message(`HTTP/2 ${status}`, headers, Buffer.concat(parts), trailers, framing)
    resolve({
      ...whole,
      status,
      reason: '',
      informational,
      text: whole.body.toString(),
      header: name => headerValue(headers, name),
      trailer: name => headerValue(trailers, name),
    })
  })
  return promise
}

function message(
  startLine: string,
  headers: [string, string][],
  body: Buffer,
  trailers: [string, string][],
  framing: RawMessage['framing'],
): RawMessage {
  return { startLine, head: '', headers, body, chunkSizes: undefined, trailers, framing }
}
