import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RequestHeaders, ResponseHeaders } from '../../../../sidecar/codec/header-map.ts'
import { http2ClientConnection, http2ServerConnection } from '../../../../sidecar/codec/http2/connection.ts'
import {
  DEFAULT_HTTP2_OPTIONS,
  type Http2Connection,
  type Http2Options,
  type Http2ServerEvents,
  type Http2ServerStream,
  newHttp2Counters,
} from '../../../../sidecar/codec/http2/contract.ts'
import { FrameType, PREFACE } from '../../../../sidecar/codec/http2/frame/frame-type.ts'
import type { RequestDecoder, ResponseDecoder, StreamFailure } from '../../../../sidecar/codec/stream.ts'
import { framesOf, printFrame, type ReadFrame, readFrames } from './frames.ts'
import { QUIET } from './quiet-events.ts'

const TERMINATED: StreamFailure = { origin: 'upstream', kind: 'terminated', flag: 0, details: '' }

/** What a stream's decoder was told, as one line of text each. */
class Log implements RequestDecoder, ResponseDecoder {
  readonly lines: string[] = []
  bytes = 0
  onRequestHeaders(_headers: RequestHeaders, endStream: boolean): void {
    this.lines.push(endStream ? 'head end' : 'head')
  }
  onResponseHeaders(headers: ResponseHeaders, endStream: boolean): void {
    this.lines.push(`${headers.status}${endStream ? ' end' : ''}`)
  }
  onInformational(): void {}
  onRequestData(data: Buffer, endStream: boolean): void {
    this.bytes += data.length
    this.lines.push(`data ${data.length}${endStream ? ' end' : ''}`)
  }
  onResponseData(data: Buffer, endStream: boolean): void {
    this.onRequestData(data, endStream)
  }
  onRequestTrailers(): void {
    this.lines.push('trailers')
  }
  onResponseTrailers(): void {
    this.lines.push('trailers')
  }
  onReset({ kind }: StreamFailure): void {
    this.lines.push(`reset ${kind}`)
  }
  onRequestBackpressure(above: boolean): void {
    this.lines.push(above ? 'above' : 'below')
  }
  onResponseBackpressure(above: boolean): void {
    this.onRequestBackpressure(above)
  }
}

class Wire {
  bufferedBytes = 0
  #written: Buffer[] = []
  write(bytes: Buffer): boolean {
    this.#written.push(Buffer.from(bytes))
    return true
  }
  take(): ReadFrame[] {
    const bytes = Buffer.concat(this.#written)
    this.#written = []
    return readFrames(bytes.subarray(0, PREFACE.length).equals(PREFACE) ? bytes.subarray(PREFACE.length) : bytes)
  }
}

interface Server {
  readonly connection: Http2Connection
  readonly wire: Wire
  readonly streams: Http2ServerStream[]
  readonly logs: Log[]
  /** Frames as text after a flush. */
  sent(): string[]
  receive(frames: string): void
}

function server(options: Partial<Http2Options> = {}, settings = 'SETTINGS'): Server {
  const wire = new Wire()
  const streams: Http2ServerStream[] = []
  const logs: Log[] = []
  const events: Http2ServerEvents = {
    ...QUIET,
    onStreamRefused() {},
    onStream(stream, headers, endStream) {
      const log = new Log()
      stream.decoder = log
      streams.push(stream)
      logs.push(log)
      log.onRequestHeaders(headers, endStream)
    },
  }
  const all = { ...DEFAULT_HTTP2_OPTIONS, ...options }
  const connection = http2ServerConnection(all, events, wire, newHttp2Counters())
  connection.receive(Buffer.concat([PREFACE, framesOf(settings)]))
  connection.flush()
  wire.take()
  return {
    connection,
    wire,
    streams,
    logs,
    receive: frames => connection.receive(framesOf(frames)),
    sent() {
      connection.flush()
      return wire.take().map(printFrame)
    },
  }
}

const head = (id: number, method = 'GET') =>
  `HEADERS ${id} end_headers${method === 'GET' ? ' end_stream' : ''}\n  :method: ${method}\n  :scheme: http\n  :path: /\n  :authority: a`

test('a body is sent as far as the window of the stream admits, and goes on with it', () => {
  const one = server({}, 'SETTINGS 4=10')
  one.receive(head(1))
  one.streams[0]!.encodeHeaders(new ResponseHeaders(200), false)
  one.streams[0]!.encodeData(Buffer.alloc(25), true)
  assert.deepEqual(one.sent(), ['HEADERS 1', 'DATA 1 10 bytes'])
  assert.equal(one.streams[0]!.pendingBytes, 15)
  one.receive('WINDOW_UPDATE 1 7')
  assert.deepEqual(one.sent(), ['DATA 1 7 bytes'])
  one.receive('WINDOW_UPDATE 1 100')
  assert.deepEqual(one.sent(), ['DATA 1 end_stream 8 bytes'])
  assert.equal(one.connection.activeStreams, 0)
  assert.equal(one.connection.counters.pending_send_bytes, 0)
})

test('a window that SETTINGS make negative has to be filled up first (RFC 9113 §6.9.2)', () => {
  const one = server({}, 'SETTINGS 4=10')
  one.receive(head(1))
  one.streams[0]!.encodeHeaders(new ResponseHeaders(200), false)
  one.streams[0]!.encodeData(Buffer.alloc(25), true)
  one.receive('SETTINGS 4=3')
  one.receive('WINDOW_UPDATE 1 7')
  assert.deepEqual(one.sent(), ['HEADERS 1', 'DATA 1 10 bytes', 'SETTINGS ack'])
  one.receive('WINDOW_UPDATE 1 2')
  assert.deepEqual(one.sent(), ['DATA 1 2 bytes'])
  one.receive('SETTINGS 4=100')
  assert.deepEqual(one.sent(), ['SETTINGS ack', 'DATA 1 end_stream 13 bytes'])
})

test('the end and trailers need no window', () => {
  const one = server({}, 'SETTINGS 4=0')
  one.receive(`${head(1)}\n${head(3)}\n${head(5)}`)
  for (const stream of one.streams) stream.encodeHeaders(new ResponseHeaders(200), false)
  one.streams[0]!.encodeData(Buffer.alloc(0), true)
  one.streams[1]!.encodeTrailers(new ResponseHeaders(200, ['t', 'u']))
  one.streams[2]!.encodeData(Buffer.alloc(1), false)
  one.streams[2]!.encodeTrailers(new ResponseHeaders(200, ['t', 'u']))
  const heads = ['HEADERS 1', 'HEADERS 3', 'HEADERS 5']
  assert.deepEqual(one.sent(), [...heads, 'DATA 1 end_stream 0 bytes', 'HEADERS 3 end_stream'])
  one.receive('WINDOW_UPDATE 5 1')
  assert.deepEqual(one.sent(), ['DATA 5 1 bytes', 'HEADERS 5 end_stream'])
})

test('streams that wait for the window of the connection take turns', () => {
  const one = server({}, 'SETTINGS 4=1000000')
  one.receive(`${head(1)}\n${head(3)}\n${head(5)}`)
  for (const stream of one.streams) stream.encodeHeaders(new ResponseHeaders(200), false)
  for (const stream of one.streams) stream.encodeData(Buffer.alloc(100_000), true)
  const first = one.sent().filter(frame => frame.startsWith('DATA'))
  // 65,535 bytes for the first that came, and nothing for the others yet.
  assert.deepEqual(first, ['DATA 1 16384 bytes', 'DATA 1 16384 bytes', 'DATA 1 16384 bytes', 'DATA 1 16383 bytes'])
  one.receive('WINDOW_UPDATE 0 65536')
  assert.deepEqual(one.sent(), ['DATA 1 16384 bytes', 'DATA 3 16384 bytes', 'DATA 5 16384 bytes', 'DATA 1 16384 bytes'])
  one.receive('WINDOW_UPDATE 0 1000000')
  assert.equal(one.sent().filter(frame => frame.includes('end_stream')).length, 3)
  assert.equal(one.connection.pendingBytes, 0)
})

test('a producer is told when its stream holds more than the limit, and when it holds less than half', () => {
  const one = server({ bufferLimitBytes: 100 }, 'SETTINGS 4=0')
  one.receive(head(1))
  const [stream] = one.streams
  stream!.encodeHeaders(new ResponseHeaders(200), false)
  stream!.encodeData(Buffer.alloc(100), false)
  assert.deepEqual(one.logs[0]!.lines, ['head end'])
  stream!.encodeData(Buffer.alloc(1), false)
  assert.deepEqual(one.logs[0]!.lines, ['head end', 'above'])
  one.receive('WINDOW_UPDATE 1 50')
  one.sent()
  assert.deepEqual(one.logs[0]!.lines, ['head end', 'above'])
  one.receive('WINDOW_UPDATE 1 1')
  one.sent()
  assert.deepEqual(one.logs[0]!.lines, ['head end', 'above', 'below'])
})

test('a full transport stops DATA and tells every producer; heads and answers to PING go on', () => {
  const one = server()
  one.receive(`${head(1)}\n${head(3)}`)
  one.connection.onTransportBackpressure(true)
  for (const stream of one.streams) stream.encodeHeaders(new ResponseHeaders(200), false)
  one.streams[0]!.encodeData(Buffer.alloc(10), false)
  one.receive('PING hex:0000000000000001')
  assert.deepEqual(one.sent(), ['HEADERS 1', 'HEADERS 3', 'PING ack 0000000000000001'])
  assert.deepEqual(
    one.logs.map(log => log.lines.at(-1)),
    ['above', 'above'],
  )
  one.connection.onTransportBackpressure(false)
  assert.deepEqual(one.sent(), ['DATA 1 10 bytes'])
  assert.deepEqual(
    one.logs.map(log => log.lines.at(-1)),
    ['below', 'below'],
  )
})

test('a reader that pauses gets nothing, its window stays taken, and all comes when it resumes', () => {
  const one = server({ initialStreamWindowSize: 65_535, initialConnectionWindowSize: 65_535 })
  one.receive(`${head(1, 'POST')}`)
  const [stream] = one.streams
  const [log] = one.logs
  stream!.pauseRequest()
  stream!.pauseRequest()
  one.receive(`*3 DATA 1 "${'x'.repeat(16_000)}"`)
  one.receive('DATA 1 end_stream "last"')
  stream!.resumeRequest()
  assert.deepEqual(one.sent(), [])
  assert.deepEqual(log!.lines, ['head'])
  stream!.resumeRequest()
  // Told at the flush, not from inside of resume.
  assert.deepEqual(log!.lines, ['head'])
  assert.deepEqual(one.sent(), ['WINDOW_UPDATE 0 48000'])
  assert.deepEqual(log!.lines, ['head', 'data 16000', 'data 16000', 'data 16000', 'data 4 end'])
})

test('a reader may pause again while it is given what was held', () => {
  const one = server()
  one.receive(head(1, 'POST'))
  const [stream] = one.streams
  const lines: string[] = []
  stream!.decoder = new (class extends Log {
    override onRequestData(data: Buffer, endStream: boolean): void {
      lines.push(`${data.latin1Slice()}${endStream ? ' end' : ''}`)
      stream!.pauseRequest()
    }
    override onRequestTrailers(): void {
      lines.push('trailers')
    }
  })()
  stream!.pauseRequest()
  one.receive('DATA 1 "a"\nDATA 1 "b"\nHEADERS 1 end_headers end_stream\n  t: u')
  for (const expected of [['a'], ['a', 'b'], ['a', 'b', 'trailers']]) {
    stream!.resumeRequest()
    one.connection.flush()
    assert.deepEqual(lines, expected)
  }
})

test('the window of the connection is given back for streams that are reset while they hold data', () => {
  const one = server({ initialConnectionWindowSize: 65_535, initialStreamWindowSize: 65_535 })
  one.receive(head(1, 'POST'))
  one.streams[0]!.pauseRequest()
  one.receive(`*3 DATA 1 "${'x'.repeat(16_000)}"\nRST_STREAM 1 CANCEL`)
  assert.deepEqual(one.sent(), ['WINDOW_UPDATE 0 48000'])
  assert.deepEqual(one.logs[0]!.lines, ['head', 'reset reset'])
})

test('a response that ends before its request is followed by RST_STREAM, behind what is held back', () => {
  const one = server({}, 'SETTINGS 4=5')
  one.receive(head(1, 'POST'))
  const [stream] = one.streams
  stream!.encodeHeaders(new ResponseHeaders(200), false)
  stream!.encodeData(Buffer.alloc(8), true)
  stream!.reset()
  one.receive('DATA 1 "ignored"')
  assert.deepEqual(one.sent(), ['HEADERS 1', 'DATA 1 5 bytes'])
  one.receive('WINDOW_UPDATE 1 5')
  assert.deepEqual(one.sent(), ['DATA 1 end_stream 3 bytes', 'RST_STREAM 1 NO_ERROR'])
  assert.deepEqual(one.logs[0]!.lines, ['head'])
  assert.equal(one.connection.activeStreams, 0)
})

test('a reset of a response that has not ended says so', () => {
  const one = server()
  one.receive(head(1))
  one.streams[0]!.encodeHeaders(new ResponseHeaders(200), false)
  one.streams[0]!.reset()
  assert.deepEqual(one.sent(), ['HEADERS 1', 'RST_STREAM 1 INTERNAL_ERROR'])
})

test('a second reset does not wait', () => {
  const one = server({}, 'SETTINGS 4=5')
  one.receive(head(1))
  one.streams[0]!.encodeHeaders(new ResponseHeaders(200), false)
  one.streams[0]!.encodeData(Buffer.alloc(8), true)
  one.streams[0]!.reset()
  one.streams[0]!.reset(8)
  assert.deepEqual(one.sent(), ['HEADERS 1', 'DATA 1 5 bytes', 'RST_STREAM 1 CANCEL'])
  assert.equal(one.connection.counters.pending_send_bytes, 0)
})

function client(options: Partial<Http2Options> = {}) {
  const wire = new Wire()
  const closed: number[] = []
  const events = { ...QUIET, onStreamClosed: (stream: { id: number }) => closed.push(stream.id) }
  const all = { ...DEFAULT_HTTP2_OPTIONS, ...options }
  const connection = http2ClientConnection(all, events, wire, newHttp2Counters())
  connection.receive(framesOf('SETTINGS'))
  connection.flush()
  wire.take()
  const open = (method = 'GET') => {
    const log = new Log()
    const stream = connection.openStream(log)
    stream.encodeHeaders(new RequestHeaders(method, '/', 'a', 'http'), method === 'GET')
    return { log, stream }
  }
  return { connection, wire, closed, open, receive: (frames: string) => connection.receive(framesOf(frames)) }
}

test('a response that has come whole is not lost with the connection', () => {
  const one = client()
  const { log, stream } = one.open()
  stream.pauseResponse()
  one.receive('HEADERS 1 end_headers\n  :status: 200\nDATA 1 end_stream "all of it"')
  const half = one.open()
  half.stream.pauseResponse()
  one.receive('HEADERS 3 end_headers\n  :status: 200\nDATA 3 "half"')
  assert.equal(one.connection.counters.deferred_stream_close, 1)
  one.connection.destroy(TERMINATED)
  assert.deepEqual(half.log.lines, ['200', 'reset terminated'])
  assert.deepEqual(log.lines, ['200'])
  assert.equal(one.connection.activeStreams, 1)
  stream.resumeResponse()
  one.connection.flush()
  assert.deepEqual(log.lines, ['200', 'data 9 end'])
  assert.deepEqual(one.closed, [3, 1])
  assert.equal(one.connection.counters.deferred_stream_close, 0)
})

test('streams are opened up to the lower of both limits', () => {
  const one = client({ maxConcurrentStreams: 3 })
  one.receive('SETTINGS 3=2')
  one.open()
  const unsent = one.connection.openStream(new Log())
  assert.equal(one.connection.canOpenStream, false)
  unsent.reset()
  assert.equal(one.connection.canOpenStream, true)
  one.receive('SETTINGS 3=100')
  one.open()
  one.open()
  assert.equal(one.connection.canOpenStream, false)
  one.receive('HEADERS 1 end_headers end_stream\n  :status: 200')
  assert.equal(one.connection.canOpenStream, true)
})

test('GOAWAY refuses what was opened and not sent, too', () => {
  const one = client()
  const log = new Log()
  const stream = one.connection.openStream(log)
  one.receive('GOAWAY 0 NO_ERROR ""')
  assert.deepEqual(log.lines, ['reset refused_stream'])
  stream.encodeHeaders(new RequestHeaders('GET', '/', 'a', 'http'), true)
  one.connection.flush()
  assert.deepEqual(one.wire.take(), [])
  assert.equal(one.connection.activeStreams, 0)
})

test('a request is given up at once, whatever of it is held back', () => {
  const one = client()
  one.receive('SETTINGS 4=5')
  const { stream, log } = one.open('POST')
  stream.encodeData(Buffer.alloc(100), true)
  stream.reset()
  one.connection.flush()
  const [, , data, reset] = one.wire.take()
  assert.equal(data!.type, FrameType.Data)
  assert.equal(printFrame(reset!), 'RST_STREAM 1 CANCEL')
  assert.deepEqual(log.lines, [])
})

test('the response of a stream that was opened without bounds of time is told only once', () => {
  const one = client()
  const { log } = one.open('POST')
  one.receive('HEADERS 1 end_headers end_stream\n  :status: 200')
  one.connection.destroy(TERMINATED)
  assert.deepEqual(log.lines, ['200 end'])
})

test('rapid reset: streams that are opened and reset leave nothing behind', () => {
  const one = server()
  for (let id = 1; id < 40_000; id += 2) {
    one.receive(`${head(id)}\nRST_STREAM ${id} CANCEL`)
    if (id % 1000 === 1) one.connection.flush()
    one.streams.length = 0
    one.logs.length = 0
  }
  assert.equal(one.connection.activeStreams, 0)
  assert.equal(one.connection.failed, false)
  assert.equal(one.connection.counters.rx_reset, 20_000)
})

test('a peer that does not read is cut off when too many frames are under way', () => {
  const one = server({ maxOutboundFrames: 50 })
  for (let id = 1; id < 400 && !one.connection.failed; id += 2) {
    one.receive(head(id))
    // What was written stays with the transport.
    one.wire.bufferedBytes += 100_000
    one.streams.at(-1)!.encodeHeaders(new ResponseHeaders(200), true)
    one.connection.flush()
  }
  assert.equal(one.connection.failed, true)
  assert.equal(one.connection.counters.outbound_flood, 1)
})

test('a peer that reads may cause any number of frames', () => {
  const one = server({ maxOutboundFrames: 50, maxOutboundControlFrames: 10 })
  for (let id = 1; id < 2000; id += 2) {
    one.receive(`${head(id)}\nPING hex:0000000000000000`)
    one.streams.at(-1)!.encodeHeaders(new ResponseHeaders(200), true)
    if (id % 10 === 1) one.connection.flush()
  }
  assert.equal(one.connection.failed, false)
})
