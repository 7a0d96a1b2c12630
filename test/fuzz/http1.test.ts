/**
 * Mutates the corpus of `test/corpus/http1/` and checks what must hold for every input: no exception, nothing consumed or
 * told beyond the end or after an error (all of that inside `eventLog`), the same events at any split, what was accepted
 * survives being written and parsed again, and Node's own strict parser sees the same messages in what we accept.
 *
 * `HOPWISE_FUZZ_SEED` repeats a run, `HOPWISE_FUZZ_MS` lengthens it (for each of the tests).
 */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { HeaderMap, type RequestHeaders, type ResponseHeaders } from '../../sidecar/codec/header-map.ts'
import type { Http1Error } from '../../sidecar/codec/http1/error.ts'
import type { Http1Framing } from '../../sidecar/codec/http1/framing.ts'
import { Http1RequestParser, Http1ResponseParser } from '../../sidecar/codec/http1/parser.ts'
import {
  CHUNK_END,
  chunkHeader,
  requestFraming,
  responseFraming,
  WriteFraming,
  writeRequestHead,
  writeResponseHead,
  writeTrailers,
} from '../../sidecar/codec/http1/writer.ts'
import { type CorpusCase, readCorpus } from '../unit/codec/http1/corpus.ts'
import { eventLog } from '../unit/codec/http1/event-log.ts'

const seed = Number(process.env['HOPWISE_FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const budgetMs = Number(process.env['HOPWISE_FUZZ_MS'] ?? 1500)
console.log(`HOPWISE_FUZZ_SEED=${seed}`)

/** mulberry32: small, and the same everywhere. */
class Dice {
  #state: number
  constructor(state: number) {
    this.#state = state
  }
  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % bound
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }
}

const corpus = readCorpus().filter(one => one.bytes.length < 2000)

/** Pieces that mean something to a parser of HTTP. */
const TOKENS = [
  ...[
    '\r\n',
    '\n',
    '\r',
    '\r\n\r\n',
    '\0',
    ' ',
    '\t',
    ':',
    ';',
    ',',
    '\r\n ',
    '0\r\n\r\n',
    '5\r\nhello\r\n',
    '0',
    'f',
    '/',
  ],
  ...['Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n', 'Connection: close\r\n', 'Host: b\r\n', 'X: y\r\n'],
  ...[
    'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.0',
    'HTTP/1.1',
    '\x80',
    '\xff',
    '\x7f',
    '\x0b',
  ],
]

function mutate(dice: Dice, original: Buffer): Buffer {
  let bytes = original
  for (let changes = dice.below(4); changes > 0; changes--) {
    const at = dice.below(bytes.length + 1)
    const length = Math.min(dice.below(8), bytes.length - at)
    const before = bytes.subarray(0, at)
    switch (dice.below(6)) {
      case 0:
        bytes = Buffer.concat([before, Buffer.from(dice.pick(TOKENS), 'latin1'), bytes.subarray(at)])
        break
      case 1:
        bytes = Buffer.concat([before, bytes.subarray(at + length)])
        break
      case 2:
        bytes = Buffer.concat([before, Buffer.from([dice.below(256)]), bytes.subarray(at + 1)])
        break
      case 3:
        bytes = Buffer.concat([before, bytes.subarray(at, at + length), bytes.subarray(at)])
        break
      case 4: {
        const other = dice.pick(corpus).bytes
        bytes = Buffer.concat([before, other.subarray(dice.below(other.length + 1))])
        break
      }
      case 5:
        bytes = Buffer.concat([before, Buffer.from(dice.pick(TOKENS), 'latin1'), bytes.subarray(at + length)])
        break
    }
  }
  return bytes
}

function pieces(dice: Dice, bytes: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + dice.below(dice.pick([1, 4, 40, 400]))
    parts.push(bytes.subarray(at, at + length))
    at += length
  }
  return parts
}

/** So many inputs are given to a check that has not had enough, however busy the machine is. */
const MOST_INPUTS = 100_000

/** Runs `check` on mutants until the time is up and it has had `enough`; a failure tells the input. */
function forMutants(
  name: string,
  check: (one: CorpusCase, bytes: Buffer, dice: Dice) => void | Promise<void>,
  enough: () => boolean = () => true,
): void {
  test(name, async () => {
    const dice = new Dice(seed)
    const deadline = performance.now() + budgetMs
    let count = 0
    while (performance.now() < deadline || (!enough() && count < MOST_INPUTS)) {
      const one = dice.pick(corpus)
      const bytes = mutate(dice, one.bytes)
      try {
        await check(one, bytes, dice)
      } catch (error) {
        throw new Error(`${one.file}: ${one.name}, changed to ${JSON.stringify(bytes.latin1Slice())}`, { cause: error })
      }
      count++
    }
    console.log(`${name}: ${count} inputs`)
  })
}

forMutants('any split gives the same events', ({ kind, setting }, bytes, dice) => {
  const whole = eventLog(kind, [bytes], setting, true)
  assert.deepEqual(eventLog(kind, pieces(dice, bytes), setting, true), whole)
  const single = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
  assert.deepEqual(eventLog(kind, single, setting), whole)
})

/** Everything of one message, comparable. */
interface Message {
  start: string
  headers: string[]
  body: string
  trailers: string[]
  framing: Http1Framing
  head: RequestHeaders | ResponseHeaders
}

class Collector {
  readonly messages: Message[] = []
  failed = false
  #current: Message | undefined
  onHead(head: RequestHeaders | ResponseHeaders, framing: Http1Framing): void {
    const start =
      'status' in head ? String(head.status) : `${head.method} ${head.path} ${head.authority} ${head.protocol}`
    this.#current = { start, headers: comparable(head), body: '', trailers: [], framing, head }
  }
  onBody(chunk: Buffer, start: number, end: number): void {
    this.#current!.body += chunk.latin1Slice(start, end)
  }
  onTrailers(trailers: HeaderMap): void {
    this.#current!.trailers = trailers.list
  }
  onMessageEnd(): void {
    this.messages.push(this.#current!)
  }
  onError(_error: Http1Error): void {
    this.failed = true
  }
}

/** Headers about framing are the writer's own. */
function comparable(headers: HeaderMap): string[] {
  return headers.list.filter((_, i) => !/^(content-length|transfer-encoding)$/.test(headers.list[i & ~1]!))
}

function collect(one: CorpusCase, bytes: Buffer): Message[] {
  const collector = new Collector()
  const answers = [...(one.setting.answers ?? ['GET'])]
  const parser =
    one.kind === 'request'
      ? new Http1RequestParser(collector, one.setting.options, one.setting.limits)
      : new Http1ResponseParser(collector, one.setting.options, one.setting.limits)
  for (let at = 0; at < bytes.length && !collector.failed; ) {
    if (parser instanceof Http1ResponseParser && parser.idle) {
      const next = answers.shift()?.split('+')
      if (next === undefined) break
      parser.expectResponse(next[0]!, next[1] === 'upgrade')
    }
    at = parser.execute(bytes, at, bytes.length)
  }
  return collector.messages
}

/** As a proxy would send it on. */
function write(one: CorpusCase, message: Message, method: string): Buffer {
  const { head, body, trailers } = message
  const ended = body === '' && trailers.length === 0 && message.framing.bodyKind !== 'chunked'
  const isRequest = 'method' in head
  const framing = isRequest ? requestFraming(head, ended) : responseFraming(head, ended, method)
  let out = isRequest ? writeRequestHead(head, framing) : writeResponseHead(head, framing)
  if (framing === WriteFraming.Chunked) {
    if (body !== '') out += chunkHeader(body.length) + body + CHUNK_END
    out += writeTrailers(new HeaderMap(trailers))
  } else out += body
  assert.equal(one.kind, isRequest ? 'request' : 'response')
  return Buffer.from(out, 'latin1')
}

forMutants('what was accepted says the same after being written and parsed again', (one, bytes) => {
  const method = one.setting.answers?.[0]?.split('+')[0] ?? 'GET'
  for (const message of collect(one, bytes)) {
    const { bodyKind, upgrade } = message.framing
    if (bodyKind === 'tunnel' || bodyKind === 'until_close' || upgrade !== '') continue
    const written = write(one, message, method)
    // The writer may have added a header to a hundred.
    const setting = { answers: [method], options: { allowCustomMethods: true }, limits: { maxHeaders: 200 } }
    const again = collect({ ...one, setting }, written)
    assert.equal(again.length, 1, written.latin1Slice())
    const { start, headers, body, trailers } = again[0]!
    assert.deepEqual([start, headers, body, trailers], [message.start, message.headers, message.body, message.trailers])
    // For the second answer of a connection the method may be another.
    if (one.kind === 'response') break
  }
})

/** What Node's server makes of the bytes: one line per request, its body included. */
function nodeReads(bytes: Buffer, expected: number): Promise<string[]> {
  return new Promise(resolve => {
    const seen: string[] = []
    const server = createServer({ insecureHTTPParser: false, requireHostHeader: false, maxHeaderSize: 100_000 })
    const finish = () => resolve(seen)
    const read = (request: IncomingMessage, answer?: { end(): void }) => {
      let body = ''
      request.on('data', (chunk: Buffer) => {
        body += chunk.latin1Slice()
      })
      request.on('end', () => {
        seen.push(`${request.method} ${request.url} ${body}`)
        answer?.end()
        if (seen.length === expected) finish()
      })
      request.on('error', finish)
    }
    server.on('request', read)
    server.on('checkContinue', read)
    server.on('checkExpectation', read)
    server.on('clientError', finish)
    const socket = new Duplex({
      read() {},
      write(_chunk, _encoding, done) {
        done()
      },
    })
    server.emit('connection', socket)
    socket.push(bytes)
    setImmediate(() => setImmediate(finish))
  })
}

/** Fewer would prove little. */
const LEAST_COMPARED = 100
let compared = 0
const comparedEnough = () => compared > LEAST_COMPARED
forMutants(
  "Node's own parser sees the requests that we see",
  async (one, bytes) => {
    if (one.kind !== 'request' || one.setting.options?.['acceptHttp10'] === true) return
    const strict: CorpusCase = { ...one, setting: {} }
    const ours = collect(strict, bytes).filter(message => message.framing.bodyKind !== 'tunnel')
    // Upgrades end the HTTP for Node.
    if (
      ours.length === 0 ||
      /upgrade/i.test(bytes.latin1Slice()) ||
      ours.some(message => message.head.get('connection') !== undefined)
    )
      return
    const theirs = await nodeReads(bytes, ours.length)
    // Absolute-form comes out of ours as path, whichever request of several has it.
    if (theirs.some(request => !/^\S+ [/*]/.test(request))) return
    const mine = ours.map(
      ({ head, body }) => `${(head as RequestHeaders).method} ${(head as RequestHeaders).path} ${body}`,
    )
    // Whoever stops early refuses what the other takes (a request without Host, a method of Envoy's): nobody misreads.
    const both = Math.min(theirs.length, mine.length)
    assert.deepEqual(theirs.slice(0, both), mine.slice(0, both))
    compared += both
  },
  comparedEnough,
)

test('the comparison with Node compared something', () => {
  console.log(`requests compared: ${compared}`)
  assert.ok(comparedEnough())
})
