/**
 * A scripted upstream on a port of its own; it speaks HTTP/1.1, and HTTP/2 with whoever begins with its preface. It records what it was sent byte for byte, and answers as the
 * script says: a list of answers (one per request, the last one repeats) or a function of the request.
 *
 *   await using upstream = await FakeUpstream.start([{ status: 503 }, { status: 200, body: 'ok' }])
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { headerValue, MessageReader, type RawMessage, requestBodyRule } from './http1-message.ts'
import { Http2Half, type Http2Settings } from './http2-upstream.ts'
import { waitFor } from './wait-for.ts'

export interface Answer {
  status?: number
  reason?: string
  headers?: readonly (readonly [string, string])[] | Readonly<Record<string, string>>
  /** Sent with a Content-Length, unless `headers` has one already. */
  body?: string | Buffer
  /** Sent chunked, one write each, `chunkDelayMs` apart; wins over `body`. */
  chunks?: readonly (string | Buffer)[]
  chunkDelayMs?: number
  trailers?: readonly (readonly [string, string])[]
  /** 1xx heads to send before, e.g. `{ status: 103, headers: { link: '…' } }`. */
  informational?: readonly { status: number; headers?: Readonly<Record<string, string>> }[]
  /** Waits before the answer. */
  delayMs?: number
  /** Answers as soon as the request's head and so many bytes behind it are here; by default all of the body is awaited. */
  early?: number
  /** HTTP/2: the stream is reset with this code, at once or where `end` says. */
  http2Reset?: number
  /** Bytes sent instead of all the above. */
  raw?: string | Buffer
  /**
   * What happens to the connection: `hang` answers nothing; `close`/`reset` end it without an answer (FIN or RST);
   * `…-mid-head` after half of the head; `…-after-head` after the head and nothing of the body; `…-mid-body` after the
   * head and half of the body (or all chunks but the last);
   * `close-after`/`reset-after` after the whole answer.
   */
  end?:
    | 'hang'
    | 'close'
    | 'reset'
    | 'close-mid-head'
    | 'reset-mid-head'
    | 'hang-after-head'
    | 'close-after-head'
    | 'close-mid-body'
    | 'reset-mid-body'
    | 'close-after'
    | 'reset-after'
}

export interface RecordedRequest extends RawMessage {
  readonly method: string
  readonly target: string
  readonly text: string
  /** Number of the connection it came on, from 1. */
  readonly connection: number
  header(name: string): string | undefined
}

export type Script = readonly Answer[] | ((request: RecordedRequest, index: number) => Answer | Promise<Answer>)

export class FakeUpstream {
  /** Requests whose body is complete (or whose answer is `early`), in order. */
  readonly requests: RecordedRequest[] = []
  script: Script
  /** Connections accepted so far. */
  connections = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #http2: Http2Half

  private constructor(server: Server, script: Script, http2: Http2Settings) {
    this.#server = server
    this.script = script
    this.#http2 = new Http2Half(
      {
        early: () => (Array.isArray(this.script) ? this.#answerAt(this.requests.length) : undefined),
        onRequest: async (message, connection) => {
          const request = recorded(message, connection)
          const index = this.requests.push(request) - 1
          return typeof this.script === 'function' ? await this.script(request, index) : (this.#answerAt(index) ?? {})
        },
        onBody: (early, whole, connection) => {
          const index = this.requests.findIndex(request => request.headers === early.headers)
          if (index >= 0) this.requests[index] = recorded(whole, connection)
        },
      },
      http2,
    )
  }

  static async start(
    script: Script = [{ status: 200, body: 'ok' }],
    options: { port?: number; host?: string; tls?: TlsOptions; http2?: Http2Settings } = {},
  ): Promise<FakeUpstream> {
    const server =
      options.tls === undefined
        ? createServer({ allowHalfOpen: true, noDelay: true })
        : createTlsServer({ ...options.tls, allowHalfOpen: true, noDelay: true })
    const upstream = new FakeUpstream(server, script, options.http2 ?? {})
    server.on(options.tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      upstream.#serve(socket).catch(() => socket.destroy())
    })
    server.on('tlsClientError', () => {})
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(options.port ?? 0, options.host ?? '127.0.0.1', () => resolve())
    })
    return upstream
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Connections open now. */
  get openConnections(): number {
    return this.#sockets.size
  }

  /** The request with the given index (0 is the first), once it is here. */
  async request(index = 0, deadlineMs = 5000): Promise<RecordedRequest> {
    await waitFor(() => this.requests.length > index, { deadlineMs, what: `request ${index + 1} at the upstream` })
    return this.requests[index]!
  }

  /** Ends every open connection; new ones are still accepted. */
  dropConnections(how: 'close' | 'reset' = 'close'): void {
    for (const socket of this.#sockets) how === 'close' ? socket.destroy() : socket.resetAndDestroy()
  }

  async close(): Promise<void> {
    this.dropConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #serve(socket: Socket): Promise<void> {
    const connection = ++this.connections
    const reader = new MessageReader()
    this.#sockets.add(socket)
    let ended = false
    let wake = () => {}
    const over = () => {
      ended = true
      wake()
    }
    socket.on('data', (bytes: Buffer) => {
      reader.push(bytes)
      wake()
    })
    socket.on('end', over)
    socket.on('error', over)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      over()
    })
    const more = () => new Promise<void>(resolve => (wake = resolve))

    while (!ended && reader.rest.length === 0) await more()
    if (reader.rest.toString('latin1', 0, 3) === 'PRI') {
      for (const event of ['data', 'end', 'error']) socket.removeAllListeners(event)
      this.#http2.take(socket, reader.takeRest(), connection)
      return
    }

    while (!ended || reader.rest.length > 0) {
      const head = reader.peekHead()
      if (head === undefined) {
        if (ended) break
        await more()
        continue
      }
      const index = this.requests.length
      const early = Array.isArray(this.script) ? this.#answerAt(index) : undefined
      if (early?.early !== undefined) {
        while (!ended && reader.rest.length < head.head.length + early.early) await more()
        // Recorded with the head alone now, and once more with the body when that has come.
        const request = recorded(
          { ...head, body: Buffer.alloc(0), chunkSizes: undefined, trailers: [], framing: 'cut' },
          connection,
        )
        this.requests.push(request)
        if (!(await sendAnswer(socket, early, request))) return
      } else if (headerValue(head.headers, 'expect')?.toLowerCase() === '100-continue') {
        socket.write('HTTP/1.1 100 Continue\r\n\r\n')
      }
      let message = reader.next(requestBodyRule)
      while (message === undefined && !ended) {
        await more()
        message = reader.next(requestBodyRule)
      }
      message ??= reader.finish(requestBodyRule)
      if (message === undefined) break
      const request = recorded(message, connection)
      if (early?.early !== undefined) {
        this.requests[index] = request
        continue
      }
      this.requests.push(request)
      if (message.framing === 'cut') break
      const answer =
        typeof this.script === 'function' ? await this.script(request, index) : (this.#answerAt(index) ?? {})
      if (!(await sendAnswer(socket, answer, request))) return
    }
    socket.end()
  }

  #answerAt(index: number): Answer | undefined {
    const script = this.script as readonly Answer[]
    return script[Math.min(index, script.length - 1)]
  }
}

function recorded(message: RawMessage, connection: number): RecordedRequest {
  const [method, target] = message.startLine.split(' ')
  return {
    ...message,
    method: method!,
    target: target ?? '',
    text: message.body.toString(),
    connection,
    header: name => headerValue(message.headers, name),
  }
}

/** False when the connection is done with (or left hanging). */
async function sendAnswer(socket: Socket, answer: Answer, request: RecordedRequest): Promise<boolean> {
  if (answer.delayMs !== undefined) await delay(answer.delayMs)
  if (answer.end === 'hang') return false
  if (answer.end === 'close' || answer.end === 'reset') return stop(socket, answer.end)
  for (const { status, headers = {} } of answer.informational ?? []) {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`HTTP/1.1 ${status} Informational\r\n${lines.join('')}\r\n`)
  }
  if (answer.raw !== undefined) {
    await flushed(socket, typeof answer.raw === 'string' ? Buffer.from(answer.raw, 'latin1') : answer.raw)
  } else {
    const { head, body } = answerBytes(answer, request)
    if (answer.end?.endsWith('mid-head')) {
      await flushed(socket, head.subarray(0, head.length >> 1))
      return stop(socket, answer.end)
    }
    if (answer.end?.endsWith('after-head')) {
      await flushed(socket, head)
      return answer.end === 'hang-after-head' ? false : stop(socket, answer.end)
    }
    const cut = answer.end?.endsWith('mid-body') === true
    const parts = cut ? (body.length === 1 ? [body[0]!.subarray(0, body[0]!.length >> 1)] : body.slice(0, -1)) : body
    await flushed(socket, answer.chunkDelayMs === undefined ? Buffer.concat([head, ...parts]) : head)
    if (answer.chunkDelayMs !== undefined) {
      for (const part of parts) {
        await delay(answer.chunkDelayMs)
        await flushed(socket, part)
      }
    }
  }
  return answer.end === undefined ? true : stop(socket, answer.end)
}

async function flushed(socket: Socket, bytes: Buffer): Promise<void> {
  await new Promise<void>(resolve => socket.write(bytes, () => resolve()))
}

/** An RST overtakes what the other side has not read yet, so it comes a moment after the bytes before it. */
async function stop(socket: Socket, how: string): Promise<false> {
  if (how.startsWith('close')) socket.end()
  else {
    if (how !== 'reset') await delay(20)
    socket.resetAndDestroy()
  }
  return false
}

function answerBytes(answer: Answer, request: RecordedRequest): { head: Buffer; body: Buffer[] } {
  const { status = 200, reason = 'OK', headers = [], chunks, trailers = [] } = answer
  const lines = [`HTTP/1.1 ${status} ${reason}`]
  const pairs: (readonly [string, string])[] = Array.isArray(headers) ? [...headers] : Object.entries(headers)
  const body: Buffer[] = []
  if (chunks !== undefined) {
    pairs.push(['transfer-encoding', 'chunked'])
    for (const chunk of chunks) {
      const bytes = Buffer.from(chunk as string)
      body.push(Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]))
    }
    body.push(Buffer.from(`0\r\n${trailers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`))
  } else {
    const bytes = Buffer.from((answer.body ?? '') as string)
    const bodiless = status < 200 || status === 204 || status === 304
    if (!bodiless && !pairs.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name))) {
      pairs.push(['content-length', String(bytes.length)])
    }
    if (request.method !== 'HEAD' && !bodiless) body.push(bytes)
  }
  for (const [name, value] of pairs) lines.push(`${name}: ${value}`)
  return { head: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body }
}
