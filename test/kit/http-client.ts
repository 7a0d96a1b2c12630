/**
 * An HTTP/1.1 client on a raw socket: sends exactly the bytes it is given and shows exactly what came back.
 *
 *   const client = await TestClient.connect(port)
 *   const response = await client.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
 *   assert.equal(response.status, 200)
 */
import { connect, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { headerValue, MessageReader, type RawMessage, responseBodyRule } from './http1-message.ts'

export interface TestResponse extends RawMessage {
  readonly status: number
  readonly reason: string
  /** 1xx responses that came before. */
  readonly informational: readonly RawMessage[]
  readonly text: string
  /** First value of a header, by name in any case. */
  header(name: string): string | undefined
  trailer(name: string): string | undefined
}

export interface RequestOptions {
  method?: string
  path?: string
  /** Host header; `test.local` by default. */
  host?: string
  headers?: readonly (readonly [string, string])[] | Readonly<Record<string, string>>
  /** Sent with a Content-Length. */
  body?: string | Buffer
  /** Sent chunked, one chunk each; wins over `body`. */
  chunks?: readonly (string | Buffer)[]
  trailers?: readonly (readonly [string, string])[]
  /** The request stops behind its chunks: what ends it is never sent. */
  unfinished?: boolean
}

const DEADLINE_MS = 10_000

export class TestClient {
  readonly socket: Socket
  /** How the connection ended, once it has. */
  readonly closed: Promise<'end' | 'reset'>
  readonly #reader = new MessageReader()
  /** Methods of requests not yet answered: a response to HEAD has no body. */
  readonly #methods: string[] = []
  #over: 'end' | 'reset' | undefined
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.socket = socket
    this.closed = new Promise(resolve => {
      const over = (how: 'end' | 'reset') => {
        this.#over ??= how
        this.#wake?.()
        resolve(this.#over)
      }
      socket.on('end', () => over('end'))
      socket.on('error', () => over('reset'))
      socket.on('close', () => over('end'))
    })
    socket.on('data', (bytes: Buffer) => {
      this.#reader.push(bytes)
      this.#wake?.()
    })
  }

  /** `options.tls` makes it a TLS connection (certificates are not verified unless it says so). */
  static connect(
    port: number,
    options: { host?: string; localAddress?: string; tls?: ConnectionOptions } = {},
  ): Promise<TestClient> {
    const { host = '127.0.0.1', tls, localAddress } = options
    const base = { host, port, allowHalfOpen: true, ...(localAddress === undefined ? {} : { localAddress }) }
    return new Promise((resolve, reject) => {
      const socket = tls === undefined ? connect(base) : connectTls({ rejectUnauthorized: false, ...base, ...tls })
      socket.setNoDelay(true)
      socket.once('error', reject)
      socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
        socket.off('error', reject)
        resolve(new TestClient(socket))
      })
    })
  }

  /** Sends bytes as they are; a string is latin1. */
  write(bytes: string | Buffer): void {
    const text = typeof bytes === 'string' ? bytes : bytes.toString('latin1', 0, 16)
    const method = /^([A-Z]+) \S/.exec(text)?.[1]
    if (method !== undefined) this.#methods.push(method)
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** Tells the reader which methods the bytes written contain, where `write` cannot see it (pipelined in one write). */
  expectMethods(...methods: string[]): void {
    this.#methods.push(...methods)
  }

  /** Sends one request (bytes, or the parts of one) and reads its response. */
  async request(request: string | Buffer | RequestOptions, deadlineMs = DEADLINE_MS): Promise<TestResponse> {
    this.write(typeof request === 'string' || Buffer.isBuffer(request) ? request : requestBytes(request))
    return await this.readResponse(deadlineMs)
  }

  /** The next response. A connection that ends in the middle gives one with framing `cut`; before any head it throws. */
  async readResponse(deadlineMs = DEADLINE_MS): Promise<TestResponse> {
    const deadline = performance.now() + deadlineMs
    const informational: RawMessage[] = []
    const method = this.#methods[0] ?? 'GET'
    for (;;) {
      const rule = responseBodyRule(method)
      const message = this.#over === undefined ? this.#reader.next(rule) : this.#reader.finish(rule)
      if (message !== undefined) {
        const status = Number(message.startLine.split(' ')[1])
        if (status < 200 && status !== 101) {
          informational.push(message)
          continue
        }
        this.#methods.shift()
        return asResponse(message, informational)
      }
      if (this.#over !== undefined) {
        throw new Error(`connection ${this.#over === 'end' ? 'ended' : 'reset'} before a response${this.#rest()}`)
      }
      await this.#bytesOrEnd(deadline, `no response within ${deadlineMs} ms`)
    }
  }

  /** Waits until a response's head is here and gives it, while the body may still be on its way. */
  async readHead(deadlineMs = DEADLINE_MS): Promise<{ startLine: string; headers: RawMessage['headers'] }> {
    const deadline = performance.now() + deadlineMs
    for (;;) {
      const head = this.#reader.peekHead()
      if (head !== undefined) return head
      if (this.#over !== undefined) throw new Error(`connection ${this.#over} before a response head${this.#rest()}`)
      await this.#bytesOrEnd(deadline, `no response head within ${deadlineMs} ms`)
    }
  }

  /** Everything that came and belongs to no response read, after at least `atLeast` bytes or the end. */
  async readRaw(atLeast: number, deadlineMs = DEADLINE_MS): Promise<Buffer> {
    const deadline = performance.now() + deadlineMs
    while (this.#reader.rest.length < atLeast && this.#over === undefined) {
      await this.#bytesOrEnd(deadline, `${this.#reader.rest.length} of ${atLeast} bytes within ${deadlineMs} ms`)
    }
    return this.#reader.takeRest()
  }

  /** Half-closes: FIN, and still reads. */
  end(): void {
    this.socket.end()
  }

  /** RST. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  close(): void {
    this.socket.destroy()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #rest(): string {
    const rest = this.#reader.rest
    return rest.length === 0 ? '' : `; unread: ${JSON.stringify(rest.toString('latin1', 0, 200))}`
  }

  async #bytesOrEnd(deadline: number, message: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(() => reject(new Error(message + this.#rest())), Math.max(0, deadline - performance.now()))
    this.#wake = resolve
    try {
      await promise
    } finally {
      clearTimeout(timer)
      this.#wake = undefined
    }
  }
}

/** One request on a connection of its own. */
export async function fetchRaw(port: number, request: string | RequestOptions = {}): Promise<TestResponse> {
  using client = await TestClient.connect(port)
  return await client.request(request)
}

/** The bytes of a request from its parts. */
export function requestBytes(options: RequestOptions): Buffer {
  const { method = 'GET', path = '/', host = 'test.local', headers = [], body, chunks, trailers, unfinished } = options
  const lines = [`${method} ${path} HTTP/1.1`, `host: ${host}`]
  for (const [name, value] of Array.isArray(headers) ? headers : Object.entries(headers))
    lines.push(`${name}: ${value}`)
  const parts: Buffer[] = []
  if (chunks !== undefined) {
    lines.push('transfer-encoding: chunked')
    for (const chunk of chunks) {
      const bytes = Buffer.from(chunk as string)
      parts.push(Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n'))
    }
    if (unfinished !== true)
      parts.push(Buffer.from(`0\r\n${(trailers ?? []).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`))
  } else if (body !== undefined) {
    const bytes = Buffer.from(body as string)
    lines.push(`content-length: ${bytes.length}`)
    parts.push(bytes)
  }
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), ...parts])
}

function asResponse(message: RawMessage, informational: RawMessage[]): TestResponse {
  const [, status, ...reason] = message.startLine.split(' ')
  return {
    ...message,
    status: Number(status),
    reason: reason.join(' '),
    informational,
    text: message.body.toString(),
    header: name => headerValue(message.headers, name),
    trailer: name => headerValue(message.trailers, name),
  }
}
