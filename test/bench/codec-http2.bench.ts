/**
 * What does HTTP/2 cost without sockets? `node test/bench/codec-http2.bench.ts [name]`; prints ns of CPU per message
 * (garbage collection included), the best of several rounds, since only interference makes a round slower.
 *
 * "proxied" is what a sidecar does for one request: a request is received, sent on, its response received, sent on, over
 * four tables, streams opened and closed; 16 requests to a read, as `h2load -m16` makes them.
 */
import { type HeaderMap, RequestHeaders, ResponseHeaders } from '../../sidecar/codec/header-map.ts'
import { http2ClientConnection, http2ServerConnection } from '../../sidecar/codec/http2/connection.ts'
import {
  DEFAULT_HTTP2_OPTIONS,
  type Http2ClientConnection,
  type Http2ClientStream,
  type Http2ServerConnection,
  type Http2ServerEvents,
  type Http2ServerStream,
  newHttp2Counters,
} from '../../sidecar/codec/http2/contract.ts'
import { HpackDecoder } from '../../sidecar/codec/http2/hpack/decoder.ts'
import { HpackEncoder } from '../../sidecar/codec/http2/hpack/encoder.ts'
import type { RequestDecoder, ResponseDecoder } from '../../sidecar/codec/stream.ts'
import { NOBODY, Wire } from '../unit/codec/http2/quiet-events.ts'

const SMALL_REQUEST: [string, string][] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/api/v1/items/42?full=true'],
  [':authority', 'items.default.svc:8080'],
  ['user-agent', 'grpc-go/1.60.0'],
  ['accept', 'application/json'],
  ['accept-encoding', 'gzip'],
]
/** What differs from request to request. */
const unique = (i: number): [string, string][] => [
  ['x-request-id', `3f1f6c1e-3b1a-4b8e-9d8e-${String(i).padStart(12, '0')}`],
  ['traceparent', `00-0af7651916cd43dd8448eb211c80319c-${String(i).padStart(16, '0')}-01`],
]
const SMALL_RESPONSE: [string, string][] = [
  [':status', '200'],
  ['content-type', 'application/json'],
  ['date', 'Thu, 21 Nov 2024 08:00:00 GMT'],
  ['content-length', '20'],
]

const ROUNDS = 100
const ROUND_MS = 4

function measure(name: string, per: number, once: () => void): void {
  if (process.argv[2] !== undefined && !name.includes(process.argv[2])) return
  for (let i = 0; i < 20_000; i += per) once()
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const started = process.cpuUsage()
    let count = 0
    let elapsed = 0
    while (elapsed < ROUND_MS * 1000) {
      for (let i = 0; i < 200; i += per) once()
      count += Math.ceil(200 / per) * per
      const used = process.cpuUsage(started)
      elapsed = used.user + used.system
    }
    best = Math.min(best, (elapsed * 1000) / count)
  }
  console.log(`${name.padEnd(52)} ${best.toFixed(0).padStart(7)} ns`)
}

/** Blocks as a peer with a table sends them once the connection is warm; 64 of them, each with its own ids. */
function warmBlocks(fields: readonly [string, string][], withIds: boolean): Buffer[] {
  const encoder = new HpackEncoder(4096)
  const encode = (i: number) => {
    encoder.begin(Buffer.alloc(1024), 0)
    for (const [name, value] of withIds ? [...fields, ...unique(i)] : fields) encoder.field(name, value)
    return Buffer.from(encoder.buffer.subarray(0, encoder.at))
  }
  for (let i = 0; i < 3; i++) warmUps.push(encode(i))
  return Array.from({ length: 64 }, (_, i) => encode(i))
}
let warmUps: Buffer[] = []

let turn = 0
const nothing = { onField() {} }

function decodeBlocks(name: string, fields: readonly [string, string][], withIds: boolean): void {
  warmUps = []
  const blocks = warmBlocks(fields, withIds)
  const decoder = new HpackDecoder(4096)
  for (const block of warmUps) decoder.decode(block, 0, block.length, nothing)
  measure(`decode ${name} (${blocks[0]!.length} bytes)`, 1, () => {
    const block = blocks[turn++ & 63]!
    decoder.decode(block, 0, block.length, nothing)
  })
}

function encodeLists(name: string, fields: readonly [string, string][], withIds: boolean): void {
  const encoder = new HpackEncoder(4096)
  const lists = Array.from({ length: 64 }, (_, i) => (withIds ? [...fields, ...unique(i)] : fields).flat())
  const buffer = Buffer.alloc(4096)
  measure(`encode ${name}`, 1, () => {
    encoder.begin(buffer, 0)
    encoder.fields(lists[turn++ & 63]!)
  })
}

decodeBlocks('request, all indexed', SMALL_REQUEST, false)
decodeBlocks('request with new ids', SMALL_REQUEST, true)
decodeBlocks('response', SMALL_RESPONSE, false)
encodeLists('request, all indexed', SMALL_REQUEST, false)
encodeLists('request with new ids', SMALL_REQUEST, true)

// A connection to feed: what a client would send, made by a client of ours.

const QUIET = {
  onWantsFlush() {},
  onSettings() {},
  onGoAway() {},
  onPingAck() {},
  onConnectionError(error: { message: string }) {
    throw new Error(error.message)
  },
  onStreamClosed() {},
}

const SMALL_BODY = Buffer.from('{"id":42,"name":"x"}')
const OPTIONS = DEFAULT_HTTP2_OPTIONS

/** One exchange on its way through: what the router is to both sides, with nothing in between. */
class Exchange implements RequestDecoder, ResponseDecoder {
  readonly down: Http2ServerStream
  up!: Http2ClientStream
  constructor(down: Http2ServerStream) {
    this.down = down
  }
  onRequestHeaders(headers: RequestHeaders, endStream: boolean): void {
    headers.add('x-envoy-expected-rq-timeout-ms', '15000')
    this.up.encodeHeaders(headers, endStream)
  }
  onRequestData(data: Buffer, endStream: boolean): void {
    this.up.encodeData(data, endStream)
  }
  onRequestTrailers(trailers: HeaderMap): void {
    this.up.encodeTrailers(trailers)
  }
  onReset(): void {
    throw new Error('reset')
  }
  onResponseBackpressure(): void {}
  onInformational(): void {}
  onResponseHeaders(headers: ResponseHeaders, endStream: boolean): void {
    headers.add('x-envoy-upstream-service-time', '1')
    headers.add('server', 'envoy')
    this.down.encodeHeaders(headers, endStream)
  }
  onResponseData(data: Buffer, endStream: boolean): void {
    this.down.encodeData(data, endStream)
  }
  onResponseTrailers(trailers: HeaderMap): void {
    this.down.encodeTrailers(trailers)
  }
  onRequestBackpressure(): void {}
}

/** A load generator, the two sides of a sidecar, and an upstream, joined by their bytes. */
class Chain {
  readonly loadWire = new Wire()
  readonly downWire = new Wire()
  readonly upWire = new Wire()
  readonly serviceWire = new Wire()
  readonly load: Http2ClientConnection
  readonly down: Http2ServerConnection
  readonly up: Http2ClientConnection
  readonly service: Http2ServerConnection

  constructor(body: Buffer) {
    this.load = http2ClientConnection(OPTIONS, QUIET, this.loadWire, newHttp2Counters())
    this.up = http2ClientConnection(OPTIONS, QUIET, this.upWire, newHttp2Counters())
    const proxy: Http2ServerEvents = {
      ...QUIET,
      onStreamRefused() {},
      onStream: (stream, headers, endStream) => {
        const exchange = new Exchange(stream)
        stream.decoder = exchange
        exchange.up = this.up.openStream(exchange)
        exchange.onRequestHeaders(headers, endStream)
      },
    }
    this.down = http2ServerConnection(OPTIONS, proxy, this.downWire, newHttp2Counters())
    const service: Http2ServerEvents = {
      ...QUIET,
      onStreamRefused() {},
      onStream(stream) {
        const list = [...SMALL_RESPONSE.slice(1, -1).flat(), 'content-length', String(body.length)]
        stream.encodeHeaders(new ResponseHeaders(200, list), false)
        stream.encodeData(body, true)
      },
    }
    this.service = http2ServerConnection(OPTIONS, service, this.serviceWire, newHttp2Counters())
    for (let i = 0; i < 4; i++) this.round(0)
  }

  /** Answers what the load generator and the upstream wrote, each as one read. */
  round(requests: number): { requests: Buffer; responses: Buffer } {
    for (let i = 0; i < requests; i++) {
      const headers = new RequestHeaders(
        'GET',
        SMALL_REQUEST[2]![1],
        SMALL_REQUEST[3]![1],
        'http',
        [...SMALL_REQUEST.slice(4), ...unique(i)].flat(),
      )
      this.load.openStream(NOBODY).encodeHeaders(headers, true)
    }
    this.load.flush()
    const asked = this.loadWire.take()
    this.down.receive(asked)
    this.up.flush()
    this.service.receive(this.upWire.take())
    this.service.flush()
    const answered = this.serviceWire.take()
    this.up.receive(answered)
    this.down.flush()
    this.up.flush()
    this.service.receive(this.upWire.take())
    this.load.receive(this.downWire.take())
    return { requests: asked, responses: answered }
  }
}

/**
 * Only the sidecar's part is measured: what the others send is recorded first. Streams have to count up, so each
 * recording is played into a new pair of connections, and making those is part of the time (a hundredth of it).
 */
function proxied(name: string, body: Buffer, perRead: number, reads: number): void {
  const chain = new Chain(body)
  const recorded = Array.from({ length: reads }, () => chain.round(perRead))
  measure(name, perRead * reads, () => {
    const up = http2ClientConnection(OPTIONS, QUIET, DROP, COUNTERS)
    const proxy: Http2ServerEvents = {
      ...QUIET,
      onStreamRefused() {},
      onStream(stream, headers, endStream) {
        const exchange = new Exchange(stream)
        stream.decoder = exchange
        exchange.up = up.openStream(exchange)
        exchange.onRequestHeaders(headers, endStream)
      },
    }
    const down = http2ServerConnection(OPTIONS, proxy, DROP, COUNTERS)
    down.receive(starts.down)
    up.receive(starts.up)
    for (const { requests, responses } of recorded) {
      down.receive(requests)
      up.flush()
      up.receive(responses)
      down.flush()
    }
  })
}

const COUNTERS = newHttp2Counters()
/** A kernel that takes everything at once. */
const DROP = { bufferedBytes: 0, write: () => true }

/** What a load generator and an upstream begin with. */
const starts = (() => {
  const load = new Wire()
  http2ClientConnection(OPTIONS, QUIET, load, COUNTERS).flush()
  const service = new Wire()
  http2ServerConnection(OPTIONS, { ...QUIET, onStream() {}, onStreamRefused() {} }, service, COUNTERS).flush()
  return { down: load.take(), up: service.take() }
})()

proxied('proxied, 20-byte body, 16 to a read', SMALL_BODY, 16, 100)
proxied('proxied, 20-byte body, 1 to a read', SMALL_BODY, 1, 400)
proxied('proxied, 64 KiB body, 1 to a read', Buffer.alloc(65_536, 'x'), 1, 60)
