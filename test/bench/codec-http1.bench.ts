/**
 * What do parsing and writing HTTP/1.1 cost? `node test/bench/codec-http1.bench.ts [name]`; prints ns of CPU per
 * message (garbage collection included), the best of several rounds, since only interference makes a round slower.
 */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../../sidecar/codec/header-map.ts'
import type { Http1Error } from '../../sidecar/codec/http1/error.ts'
import type { Http1Framing } from '../../sidecar/codec/http1/framing.ts'
import { Http1RequestParser, Http1ResponseParser } from '../../sidecar/codec/http1/parser.ts'
import {
  CHUNK_END,
  chunkHeader,
  LAST_CHUNK,
  requestFraming,
  responseFraming,
  writeRequestHead,
  writeResponseHead,
} from '../../sidecar/codec/http1/writer.ts'

const SMALL_REQUEST = [
  'GET /api/v1/items/42?full=true HTTP/1.1',
  'Host: items.default.svc:8080',
  'User-Agent: Go-http-client/1.1',
  'Accept: application/json',
  'Accept-Encoding: gzip',
  'X-Request-Id: 3f1f6c1e-3b1a-4b8e-9d8e-2f6f0c1a7b55',
  'Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
]
const BROWSER_REQUEST = [
  'GET /search?q=service+mesh&hl=en HTTP/1.1',
  'Host: www.example.com',
  'Connection: keep-alive',
  'Cache-Control: max-age=0',
  'sec-ch-ua: "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"',
  'sec-ch-ua-mobile: ?0',
  'sec-ch-ua-platform: "Linux"',
  'Upgrade-Insecure-Requests: 1',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Sec-Fetch-Site: none',
  'Sec-Fetch-Mode: navigate',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Accept-Language: en-GB,en;q=0.9,de;q=0.8',
  'Cookie: session=5f2b8c0d9e7a4c63b1d0a9f8e7c6b5a4; theme=dark; consent=1; _ga=GA1.1.123456789.1700000000',
]
const SMALL_RESPONSE = [
  'HTTP/1.1 200 OK',
  'Content-Type: application/json',
  'Date: Thu, 21 Nov 2024 08:00:00 GMT',
  'Content-Length: 20',
]

function message(lines: readonly string[], body = ''): Buffer {
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`, 'latin1')
}

class Sink {
  request: RequestHeaders | undefined
  response: ResponseHeaders | undefined
  bytes = 0
  ends = 0
  onBody(_chunk: Buffer, start: number, end: number): void {
    this.bytes += end - start
  }
  onTrailers(_trailers: HeaderMap): void {}
  onMessageEnd(): void {
    this.ends++
  }
  onError(error: Http1Error): void {
    throw new Error(error.message)
  }
}
class RequestSink extends Sink {
  onHead(headers: RequestHeaders, _framing: Http1Framing): void {
    this.request = headers
  }
}
class ResponseSink extends Sink {
  onHead(headers: ResponseHeaders, _framing: Http1Framing): void {
    this.response = headers
  }
}

const ROUNDS = 150
const ROUND_MS = 4

function measure(name: string, once: () => void): void {
  if (process.argv[2] !== undefined && !name.includes(process.argv[2])) return
  for (let i = 0; i < 20_000; i++) once()
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const started = process.cpuUsage()
    let count = 0
    let elapsed = 0
    while (elapsed < ROUND_MS * 1000) {
      for (let i = 0; i < 200; i++) once()
      count += 200
      const used = process.cpuUsage(started)
      elapsed = used.user + used.system
    }
    best = Math.min(best, (elapsed * 1000) / count)
  }
  console.log(`${name.padEnd(44)} ${best.toFixed(0).padStart(6)} ns`)
}

/** Like a connection: each read has another buffer, of which the message is a part. */
function copies(bytes: Buffer): Buffer[] {
  return Array.from({ length: 64 }, () => Buffer.from(bytes))
}

let turn = 0

function parseRequest(name: string, bytes: Buffer): void {
  const sink = new RequestSink()
  const parser = new Http1RequestParser(sink)
  const reads = copies(bytes)
  measure(`parse ${name} (${bytes.length} bytes)`, () => {
    const read = reads[turn++ & 63]!
    parser.execute(read, 0, read.length)
  })
}

function parseResponse(name: string, bytes: Buffer): void {
  const sink = new ResponseSink()
  const parser = new Http1ResponseParser(sink)
  const reads = copies(bytes)
  measure(`parse ${name} (${bytes.length} bytes)`, () => {
    const read = reads[turn++ & 63]!
    parser.expectResponse('GET')
    parser.execute(read, 0, read.length)
  })
}

/** What is written goes to a socket as latin1, which makes it flat; the write into a buffer stands for that. */
const wire = Buffer.alloc(65_536)

const small = message(SMALL_REQUEST)
const browser = message(BROWSER_REQUEST)
const response = message(SMALL_RESPONSE, '{"id":42,"name":"x"}')
const chunked = message(
  ['HTTP/1.1 200 OK', 'Content-Type: application/json', 'Transfer-Encoding: chunked'],
  `${'14\r\n{"id":42,"name":"x"}\r\n'.repeat(4)}0\r\n\r\n`,
)

parseRequest('GET with 6 headers', small)
parseRequest('GET of a browser, 14 headers', browser)
parseResponse('response with 3 headers', response)
parseResponse('response in 4 chunks', chunked)

function headOf(bytes: Buffer): RequestHeaders {
  const sink = new RequestSink()
  new Http1RequestParser(sink).execute(bytes, 0, bytes.length)
  return sink.request!
}

function writeRequest(name: string, bytes: Buffer): void {
  // Fresh heads, since a value once made flat stays so.
  const heads = copies(bytes).map(headOf)
  measure(`write ${name}`, () => {
    const headers = heads[turn++ & 63]!
    wire.latin1Write(writeRequestHead(headers, requestFraming(headers, true)), 0)
  })
}
writeRequest('GET with 6 headers', small)
writeRequest('GET of a browser, 14 headers', browser)

const browserHead = headOf(browser)
measure('look-up of a missing header among 14', () => {
  turn += browserHead.get('x-envoy-retry-on') === undefined ? 1 : 2
})

const responseSink = new ResponseSink()
const responseParser = new Http1ResponseParser(responseSink)
responseParser.expectResponse('GET')
responseParser.execute(response, 0, response.length)
const responseHeaders = responseSink.response!
measure('write response with 3 headers', () => {
  wire.latin1Write(writeResponseHead(responseHeaders, responseFraming(responseHeaders, false, 'GET')), 0)
})
measure('write 4 chunk headers and the last chunk', () => {
  let out = ''
  for (let i = 0; i < 4; i++) out += chunkHeader(20) + CHUNK_END
  wire.latin1Write(out + LAST_CHUNK, 0)
})

const requestSink = new RequestSink()
const requestParser = new Http1RequestParser(requestSink)
const requests = copies(small)
const responses = copies(response)
measure('one exchange: parse and write both', () => {
  const read = requests[turn++ & 63]!
  requestParser.execute(read, 0, read.length)
  const request = requestSink.request!
  wire.latin1Write(writeRequestHead(request, requestFraming(request, true)), 0)
  responseParser.expectResponse(request.method)
  const answer = responses[turn & 63]!
  responseParser.execute(answer, 0, answer.length)
  const headers = responseSink.response!
  wire.latin1Write(writeResponseHead(headers, responseFraming(headers, false, 'GET')), 0)
})
