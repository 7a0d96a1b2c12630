import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { HeaderMap, RequestHeaders, ResponseHeaders } from '../../../sidecar/codec/header-map.ts'
import type { BodyChunk } from '../../../sidecar/codec/stream.ts'
import { FilterChain, FilterManager } from '../../../sidecar/filter-chain/filter-manager.ts'
import { FilterStatus, type HttpFilter, type HttpStream } from '../../../sidecar/filter-chain/http-filter.ts'

/** A stream without a connection: what leaves the chain is written down. */
class Stream extends FilterManager {
  readonly log: string[] = []
  readonly requestHeaders = new RequestHeaders('GET', '/', 'a', 'http')
  responseHeaders = new ResponseHeaders(200)
  disabledFilters: readonly boolean[] | undefined = undefined
  limit = 1000

  protected get stream(): HttpStream {
    return this as unknown as HttpStream
  }
  get bufferLimitBytes(): number {
    return this.limit
  }
  protected get currentRequestHeaders(): RequestHeaders {
    return this.requestHeaders
  }
  protected get currentResponseHeaders(): ResponseHeaders {
    return this.responseHeaders
  }
  protected headersOut(headers: ResponseHeaders, endStream: boolean): void {
    this.log.push(`out ${headers.status}${endStream ? ' end' : ''}`)
  }
  protected dataOut(data: BodyChunk, endStream: boolean): void {
    this.log.push(`out ${data}${endStream ? ' end' : ''}`)
  }
  protected trailersOut(trailers: HeaderMap): void {
    this.log.push(`out trailers ${trailers.list.join('=')}`)
  }
  protected informationalOut(headers: ResponseHeaders): void {
    this.log.push(`out ${headers.status}`)
  }
  protected onException(error: unknown): void {
    throw error
  }
  protected onRequestTooLarge(): void {
    this.log.push('request too large')
  }
  protected onResponseTooLarge(): void {
    this.log.push('response too large')
  }
  protected holdRequestSource(hold: boolean): void {
    this.log.push(`request source ${hold ? 'held' : 'runs'}`)
  }
  protected holdResponseSource(hold: boolean): void {
    this.log.push(`response source ${hold ? 'held' : 'runs'}`)
  }

  request(endStream = false): void {
    this.decodeHeaders(this.requestHeaders, endStream)
  }
  data(text: string, endStream = false): void {
    this.decodeData(Buffer.from(text), endStream)
  }
  trailers(name: string, value: string): void {
    this.decodeTrailers(new HeaderMap([name, value]))
  }
  respond(endStream = false): void {
    this.encodeHeaders(this.responseHeaders, endStream)
  }
  respondData(text: string, endStream = false): void {
    this.encodeData(Buffer.from(text), endStream)
  }
  respondTrailers(name: string, value: string): void {
    this.encodeTrailers(new HeaderMap([name, value]))
  }
  end(): void {
    this.destroyFilters()
  }
}

type Callbacks = Partial<Record<keyof HttpFilter, (...args: never[]) => unknown>>

/** A filter that writes down what it sees and otherwise does as it is told. */
function recording(name: string, stream: () => Stream, does: Callbacks = {}): HttpFilter {
  const note = (what: string) => stream().log.push(`${name} ${what}`)
  const or = (key: keyof HttpFilter, ...args: unknown[]) =>
    (does[key] as ((...args: unknown[]) => FilterStatus | undefined) | undefined)?.(...args) ?? FilterStatus.Continue
  return {
    onRequestHeaders(s, headers, end) {
      note(`request${end ? ' end' : ''}`)
      return or('onRequestHeaders', s, headers, end)
    },
    onRequestData(s, data, end) {
      note(`${data}${end ? ' end' : ''}`)
      return or('onRequestData', s, data, end)
    },
    onRequestTrailers(s, trailers) {
      note(`trailers ${trailers.list.join('=')}`)
      return or('onRequestTrailers', s, trailers)
    },
    onRequestBuffered(_s, size) {
      note(`buffered ${size}`)
    },
    onResponseHeaders(s, headers, end) {
      note(`response${end ? ' end' : ''}`)
      return or('onResponseHeaders', s, headers, end)
    },
    onResponseData(s, data, end) {
      note(`${data}${end ? ' end' : ''}`)
      return or('onResponseData', s, data, end)
    },
    onResponseTrailers(s, trailers) {
      note(`trailers ${trailers.list.join('=')}`)
      return or('onResponseTrailers', s, trailers)
    },
    onStreamEnd() {
      note('ends')
    },
  }
}

/** A stream over filters `a`, `b`, … with the behaviour given, and a terminal filter that stops. */
function streamOf(...behaviours: Callbacks[]): Stream {
  let stream: Stream | undefined
  const names = ['a', 'b', 'c', 'd']
  const filters = behaviours.map((does, i) => ({
    name: names[i]!,
    instance: () => recording(names[i]!, () => stream!, does),
  }))
  const terminal = recording('t', () => stream!, {
    onRequestHeaders: () => FilterStatus.Stop,
    onRequestData: () => FilterStatus.Stop,
  })
  delete terminal.onResponseHeaders
  delete terminal.onResponseData
  delete terminal.onResponseTrailers
  stream = new Stream(new FilterChain([...filters, { name: 't', instance: () => terminal }]))
  return stream
}

const hold = () => FilterStatus.Stop

describe('the filter manager', () => {
  test('requests pass the filters in order, responses in reverse', () => {
    const stream = streamOf({}, {})
    stream.request()
    stream.data('x', true)
    stream.respond()
    stream.respondData('y', true)
    assert.deepEqual(stream.log, [
      ...['a request', 'b request', 't request', 'a x end', 'b x end', 't x end'],
      ...['b response', 'a response', 'out 200', 'b y end', 'a y end', 'out y end'],
    ])
  })

  test('what comes while a filter holds goes on in order after it continues, and no filter sees it twice', () => {
    const stream = streamOf({}, { onRequestHeaders: hold }, {})
    stream.request()
    stream.data('1')
    stream.data('2')
    stream.trailers('x', 'y')
    // The filter before the one that holds sees what comes at once, as in Envoy.
    assert.deepEqual(stream.log, ['a request', 'b request', 'a 1', 'a 2', 'a trailers x=y'])
    stream.log.length = 0
    stream.continueRequest()
    assert.deepEqual(stream.log, [
      ...['c request', 't request', 'b 1', 'c 1', 't 1', 'b 2', 'c 2', 't 2'],
      ...['b trailers x=y', 'c trailers x=y', 't trailers x=y'],
    ])
  })

  test('a filter that meters a response lets so many bytes go at a time, the end with the last of them', () => {
    const meter = {}
    const stream = streamOf({}, { onResponseData: (s: HttpStream) => s.meterResponse(meter) })
    stream.request(true)
    stream.respond()
    stream.log.length = 0
    stream.respondData('12345')
    stream.respondData('678', true)
    // What comes while something waits is not shown to the filter that meters.
    assert.deepEqual(stream.log, ['b 12345'])
    assert.equal(stream.passResponse({}, 10), 0)
    assert.equal(stream.passResponse(meter, 0), 8)
    assert.equal(stream.passResponse(meter, 4), 4)
    assert.equal(stream.passResponse(meter, 10), 0)
    assert.deepEqual(stream.log, ['b 12345', 'a 1234', 'out 1234', 'a 5678 end', 'out 5678 end'])
  })

  test('trailers wait for the body that is metered before them, and the source while too much of it waits', () => {
    const meter = {}
    const stream = streamOf({ onResponseData: (s: HttpStream) => s.meterResponse(meter) })
    stream.limit = 4
    stream.request(true)
    stream.respond()
    stream.log.length = 0
    stream.respondData('123456')
    stream.respondTrailers('x', 'y')
    assert.deepEqual(stream.log, ['a 123456', 'response source held'])
    stream.passResponse(meter, 3)
    assert.deepEqual(stream.log.slice(2), ['out 123'])
    stream.passResponse(meter, 1)
    assert.deepEqual(stream.log.slice(3), ['out 4', 'response source runs'])
    stream.passResponse(meter, 2)
    assert.deepEqual(stream.log.slice(5), ['out 56', 'a trailers x=y', 'out trailers x=y'])
  })

  test('an empty end is metered like any other part', () => {
    const meter = {}
    const stream = streamOf({ onResponseData: (s: HttpStream) => s.meterResponse(meter) })
    stream.request(true)
    stream.respond()
    stream.respondData('', true)
    assert.equal(stream.passResponse(meter, 0), 0)
    assert.equal(stream.log.at(-1), 'out  end')
  })

  test('continuing twice, or without a hold, does nothing', () => {
    const stream = streamOf({ onRequestHeaders: hold })
    stream.continueRequest()
    stream.request(true)
    stream.continueRequest()
    stream.continueRequest()
    assert.deepEqual(stream.log, ['a request end', 't request end'])
  })

  test('a filter that asks for the whole body gets it whole', () => {
    const stream = streamOf({ onRequestHeaders: (s: HttpStream) => s.bufferRequest(10) })
    stream.request()
    stream.data('123')
    stream.data('456', true)
    assert.deepEqual(stream.log.slice(0, 3), ['a request', 'a buffered 6', 't request'])
    assert.equal(stream.log.at(-1), 't 456 end')
  })

  test('more than the filter wants to buffer is too large', () => {
    const stream = streamOf({ onRequestHeaders: (s: HttpStream) => s.bufferRequest(4) })
    stream.request()
    stream.data('12345')
    assert.deepEqual(stream.log, ['a request', 'request too large'])
  })

  test('the source is held while much waits, and runs again once it has gone on', () => {
    const stream = streamOf({ onRequestHeaders: hold })
    stream.limit = 4
    stream.request()
    stream.data('12345')
    assert.deepEqual(stream.log, ['a request', 'request source held'])
    stream.continueRequest()
    assert.equal(stream.log.at(-1), 'request source runs')
  })

  test('a filter that is switched off sees nothing but the end', () => {
    const stream = streamOf({}, {})
    stream.disabledFilters = [true, false, false]
    stream.request(true)
    stream.respond(true)
    stream.end()
    assert.deepEqual(
      stream.log.filter(line => line.startsWith('a ')),
      ['a ends'],
    )
  })

  test('bytes put in come before what follows, and only later filters see them', () => {
    const stream = streamOf(
      {
        onRequestData: (s: HttpStream, _data: BodyChunk, end: boolean) =>
          end ? s.injectRequestData(Buffer.from('+')) : 0,
      },
      {},
    )
    stream.request()
    stream.data('1')
    stream.data('2', true)
    assert.deepEqual(
      stream.log.filter(line => line.startsWith('b ')),
      ['b request', 'b 1', 'b +', 'b 2 end'],
    )
  })

  test('trailers that a filter adds end the response in place of its last bytes', () => {
    const stream = streamOf({ onResponseHeaders: (s: HttpStream) => s.addResponseTrailers().add('x-sum', '1') })
    stream.request(true)
    stream.respond()
    stream.respondData('body', true)
    assert.deepEqual(stream.log.slice(-3), ['a body', 'out body', 'out trailers x-sum=1'])
  })

  test('a response that is held waits whole', () => {
    const stream = streamOf({}, { onResponseHeaders: hold })
    stream.request(true)
    stream.respond()
    stream.respondData('1')
    stream.respondTrailers('x', 'y')
    assert.equal(stream.log.at(-1), 'b response')
    stream.continueResponse()
    assert.deepEqual(
      stream.log.filter(line => line.startsWith('out')),
      ['out 200', 'out 1', 'out trailers x=y'],
    )
  })

  test('a filter that holds the head alone makes the head of what it reads in the body', () => {
    const stream = streamOf(
      {},
      {
        onResponseHeaders: () => FilterStatus.HoldHead,
        onResponseTrailers(s: HttpStream) {
          stream.responseHeaders.status = 503
          s.continueResponse()
        },
      },
    )
    stream.request(true)
    stream.log.length = 0
    stream.respond()
    stream.respondData('1')
    stream.respondData('2')
    assert.deepEqual(stream.log, ['b response', 'b 1', 'b 2'])
    stream.log.length = 0
    stream.respondTrailers('x', 'y')
    assert.deepEqual(stream.log, [
      ...['b trailers x=y', 'a response', 'out 503', 'a 1', 'out 1', 'a 2', 'out 2', 'a trailers x=y'],
      'out trailers x=y',
    ])
  })

  test('a filter may put other bytes in the place of a chunk, or none yet', () => {
    const stream = streamOf(
      {
        onRequestData: (s: HttpStream, _data: BodyChunk, end: boolean) =>
          s.replaceData(end ? Buffer.from('all') : Buffer.alloc(0)),
      },
      { onRequestData: (s: HttpStream, data: BodyChunk) => s.replaceData(Buffer.from(`<${data}>`)) },
    )
    stream.request()
    stream.data('1')
    stream.data('2', true)
    assert.deepEqual(
      stream.log.filter(line => /^[bt] [^r]/.test(line)),
      ['b all end', 't <all> end'],
    )
  })

  test('a message that ended with its head gets a body from a filter, which later filters see', () => {
    const stream = streamOf(
      { onResponseHeaders: () => FilterStatus.HoldHead, onResponseData: (s: HttpStream) => s.continueResponse() },
      {
        onRequestHeaders: (s: HttpStream) => s.appendRequestData(Buffer.from('asked')),
        onResponseHeaders: (s: HttpStream) => s.appendResponseData(Buffer.from('said')),
      },
    )
    stream.request(true)
    assert.deepEqual(stream.log, ['a request end', 'b request end', 't request', 't asked end'])
    stream.log.length = 0
    stream.respond(true)
    assert.deepEqual(stream.log, ['b response end', 'a response', 'a said end', 'out 200', 'out said end'])
  })

  test('two filters may hold one direction, each with what waits there', () => {
    let holding = true
    const stream = streamOf(
      { onResponseHeaders: hold },
      { onResponseData: () => (holding ? FilterStatus.Stop : FilterStatus.Continue) },
    )
    stream.request(true)
    stream.respond()
    stream.respondData('1')
    stream.respondData('2', true)
    assert.deepEqual(stream.log.slice(2), ['t request end', 'b response', 'a response', 'b 1'])
    stream.log.length = 0
    holding = false
    stream.continueResponse()
    assert.deepEqual(stream.log, ['b 2 end'])
    stream.continueResponse()
    assert.deepEqual(stream.log.slice(1), ['out 200', 'a 1', 'out 1', 'a 2 end', 'out 2 end'])
  })

  test('a body that waits for a head longer than the limit is too large', () => {
    const stream = streamOf({ onResponseHeaders: () => FilterStatus.HoldHead })
    stream.limit = 3
    stream.request(true)
    stream.respond()
    stream.respondData('12')
    stream.respondData('34')
    assert.equal(stream.log.at(-1), 'response too large')
  })

  test('another response takes the place of one that is held', () => {
    const stream = streamOf({ onResponseHeaders: () => (stream.responseHeaders.status === 200 ? 1 : 0) })
    stream.request(true)
    stream.respond()
    stream.respondData('held')
    stream.responseHeaders = new ResponseHeaders(500)
    stream.respond(true)
    stream.continueResponse()
    assert.deepEqual(
      stream.log.filter(line => line.startsWith('out')),
      ['out 500 end'],
    )
  })

  test('a stream that ended in a callback runs no further filter', () => {
    const stream: Stream = streamOf({ onRequestHeaders: () => stream.end() }, {})
    stream.request()
    assert.deepEqual(stream.log, ['a request', 'a ends', 'b ends', 't ends'])
  })
})
