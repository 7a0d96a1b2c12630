/**
 * A tolerant HTTP/1.1 message reader for tests: it keeps the bytes as they came, so that a test can say what was on the
 * wire. It is deliberately not the proxy's codec (a bug there must not hide itself), and it reads what that would refuse.
 */

/** One message as it was on the wire. */
export interface RawMessage {
  /** First line without its CRLF: `GET / HTTP/1.1` or `HTTP/1.1 200 OK`. */
  readonly startLine: string
  /** Start line and header lines with their CRLFs and the empty line, byte for byte (latin1). */
  readonly head: string
  /** `[name, value]` in wire order and wire case. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  /** Sizes of the chunks of a chunked body, without the last one of size 0; undefined for other framings. */
  readonly chunkSizes: readonly number[] | undefined
  readonly trailers: readonly (readonly [name: string, value: string])[]
  /** How the body ended; `cut` means that the connection ended first. */
  readonly framing: 'none' | 'length' | 'chunked' | 'close' | 'cut' | 'http2' | `cut by ${number}`
}

/** How long the body of a message is; a response needs to know its request's method. */
export type BodyRule = (headers: RawMessage['headers'], startLine: string) => 'none' | 'chunked' | 'close' | number

export function headerValue(headers: RawMessage['headers'], name: string): string | undefined {
  const lower = name.toLowerCase()
  return headers.find(([key]) => key.toLowerCase() === lower)?.[1]
}

export const requestBodyRule: BodyRule = headers => {
  if (isChunked(headers)) return 'chunked'
  const length = headerValue(headers, 'content-length')
  return length === undefined ? 'none' : Number(length)
}

export function responseBodyRule(requestMethod: string): BodyRule {
  return (headers, startLine) => {
    const status = Number(startLine.split(' ')[1])
    if (requestMethod === 'HEAD' || status < 200 || status === 204 || status === 304) return 'none'
    if (requestMethod === 'CONNECT' && status < 300) return 'close'
    if (isChunked(headers)) return 'chunked'
    const length = headerValue(headers, 'content-length')
    return length === undefined ? 'close' : Number(length)
  }
}

function isChunked(headers: RawMessage['headers']): boolean {
  return headerValue(headers, 'transfer-encoding')?.toLowerCase().endsWith('chunked') ?? false
}

/**
 * Reads messages out of a growing buffer. `push` bytes, then `next` until it answers undefined (more bytes needed); after
 * the connection's end call `finish`, which gives what had begun as a `close` or `cut` message.
 */
export class MessageReader {
  /** What was read and is not taken, with room behind it: many megabytes in small pieces are not copied with each of them. */
  #buffer: Buffer = Buffer.alloc(0)
  #start = 0
  #end = 0
  /** The head of a message whose body is still coming, for tests that act in the middle of one. */
  #head: { startLine: string; head: string; headers: [string, string][]; length: number } | undefined

  push(bytes: Buffer): void {
    if (this.#buffer.length - this.#end < bytes.length) {
      const unread = this.#bytes
      this.#buffer = Buffer.alloc(2 * (unread.length + bytes.length))
      this.#start = 0
      this.#end = unread.copy(this.#buffer)
    }
    this.#end += bytes.copy(this.#buffer, this.#end)
  }

  get #bytes(): Buffer {
    return this.#buffer.subarray(this.#start, this.#end)
  }

  /** Bytes that belong to no message read so far. */
  get rest(): Buffer {
    return this.#bytes
  }

  /** Takes what is left over, e.g. after an upgrade. */
  takeRest(): Buffer {
    const rest = this.#bytes
    this.#start = this.#end
    return rest
  }

  /** The head of the message at the front, once it is complete; the body may still be on its way. */
  peekHead(): { startLine: string; headers: RawMessage['headers']; head: string } | undefined {
    if (this.#head !== undefined) return this.#head
    const end = this.#bytes.indexOf('\r\n\r\n')
    if (end < 0) return undefined
    const head = this.#bytes.toString('latin1', 0, end + 4)
    const lines = head.slice(0, -4).split('\r\n')
    this.#head = { startLine: lines[0]!, head, headers: lines.slice(1).map(splitHeader), length: end + 4 }
    return this.#head
  }

  next(rule: BodyRule): RawMessage | undefined {
    const head = this.peekHead()
    if (head === undefined) return undefined
    const { startLine, headers } = head
    const start = this.#head!.length
    const expected = rule(headers, startLine)
    if (expected === 'none') return this.#take(start, Buffer.alloc(0), 'none')
    if (expected === 'close') return undefined
    if (expected === 'chunked') return this.#chunked(start)
    if (this.#bytes.length < start + expected) return undefined
    return this.#take(start + expected, this.#bytes.subarray(start, start + expected), 'length')
  }

  /** After the end of the connection: the message under way, or undefined when there was none. */
  finish(rule: BodyRule): RawMessage | undefined {
    const whole = this.next(rule)
    if (whole !== undefined) return whole
    const head = this.peekHead()
    if (head === undefined) return undefined
    const expected = rule(head.headers, head.startLine)
    const start = this.#head!.length
    if (expected === 'chunked') return this.#chunked(start, true)
    return this.#take(this.#bytes.length, this.#bytes.subarray(start), expected === 'close' ? 'close' : 'cut')
  }

  #chunked(start: number, ended = false): RawMessage | undefined {
    const bytes = this.#bytes
    const parts: Buffer[] = []
    const sizes: number[] = []
    let at = start
    for (;;) {
      const lineEnd = bytes.indexOf('\r\n', at)
      if (lineEnd < 0) break
      const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
      at = lineEnd + 2
      if (size === 0) {
        const end = bytes.indexOf('\r\n', at) === at ? at : bytes.indexOf('\r\n\r\n', at)
        if (end < 0) break
        const trailers = end === at ? [] : bytes.toString('latin1', at, end).split('\r\n').map(splitHeader)
        return this.#take(end === at ? end + 2 : end + 4, Buffer.concat(parts), 'chunked', sizes, trailers)
      }
      if (Number.isNaN(size)) throw new Error(`bad chunk size line: ${bytes.toString('latin1', at - 20, at)}`)
      if (bytes.length < at + size + 2) {
        if (ended) parts.push(bytes.subarray(at, at + size))
        break
      }
      parts.push(bytes.subarray(at, at + size))
      sizes.push(size)
      at += size + 2
    }
    return ended ? this.#take(bytes.length, Buffer.concat(parts), 'cut', sizes) : undefined
  }

  #take(
    length: number,
    body: Buffer,
    framing: RawMessage['framing'],
    chunkSizes?: number[],
    trailers: [string, string][] = [],
  ): RawMessage {
    const { startLine, head, headers } = this.#head!
    const message: RawMessage = { startLine, head, headers, body: Buffer.from(body), chunkSizes, trailers, framing }
    this.#start += length
    this.#head = undefined
    return message
  }
}

function splitHeader(line: string): [string, string] {
  const colon = line.indexOf(':')
  return colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).trim()]
}
