import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { HeaderMap, RequestHeaders } from '../../../sidecar/codec/header-map.ts'
import type { RequestEncoder } from '../../../sidecar/codec/stream.ts'
import { ResponseFlag } from '../../../sidecar/observability/response-flags.ts'
import { waitFor } from '../../kit/wait-for.ts'
import { Exchange, ManagerFixture } from '../cluster/cluster-fixture.ts'
import { OK, ScriptedServer } from './scripted-server.ts'

function request(method: string, endStream: boolean, headers: string[] = []) {
  return (encoder: RequestEncoder) =>
    encoder.encodeHeaders(new RequestHeaders(method, '/', 'c', 'http', headers), endStream)
}

const once = (act: (socket: Socket) => void) => (socket: Socket) => void socket.once('data', () => act(socket))

// How exchanges end. Kinds and flags are those that real Envoy 1.40 gave for the same bytes.

interface Ending {
  readonly fact: string
  readonly answer: string
  readonly end?: 'fin' | 'rst'
  readonly events: readonly string[]
  readonly flag?: number
  readonly protocolErrors?: number
}

const endings: readonly Ending[] = [
  {
    fact: 'FIN before a response is a termination',
    answer: '',
    end: 'fin',
    events: ['reset:terminated'],
    flag: ResponseFlag.UpstreamConnectionTermination,
  },
  {
    fact: 'RST before a response is a reset, with the flag of a termination',
    answer: '',
    end: 'rst',
    events: ['reset:reset'],
    flag: ResponseFlag.UpstreamConnectionTermination,
  },
  {
    fact: 'FIN inside the head is a protocol error',
    answer: 'HTTP/1.1 200 OK\r\nconte',
    end: 'fin',
    events: ['reset:protocol_error'],
    flag: ResponseFlag.UpstreamProtocolError,
    protocolErrors: 1,
  },
  {
    fact: 'FIN between a 1xx and the response is a termination',
    answer: 'HTTP/1.1 100 Continue\r\n\r\n',
    end: 'fin',
    events: ['100', 'reset:terminated'],
    flag: ResponseFlag.UpstreamConnectionTermination,
  },
  {
    fact: 'FIN inside a body of known length is a protocol error',
    answer: 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok',
    end: 'fin',
    events: ['200', 'data:2', 'reset:protocol_error'],
    flag: ResponseFlag.UpstreamProtocolError,
    protocolErrors: 1,
  },
  {
    fact: 'RST inside a body of known length is a protocol error',
    answer: 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok',
    end: 'rst',
    events: ['200', 'data:2', 'reset:protocol_error'],
    flag: ResponseFlag.UpstreamProtocolError,
    protocolErrors: 1,
  },
  {
    fact: 'FIN inside a chunked body is a protocol error',
    answer: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n',
    end: 'fin',
    events: ['200', 'data:2', 'reset:protocol_error'],
    flag: ResponseFlag.UpstreamProtocolError,
    protocolErrors: 1,
  },
  {
    fact: 'FIN ends a body without length',
    answer: 'HTTP/1.1 200 OK\r\n\r\nok',
    end: 'fin',
    events: ['200', 'data:2', 'end'],
  },
  {
    fact: 'RST does not end a body without length: who knows what is missing (RFC 9112 §8; Envoy takes it for whole)',
    answer: 'HTTP/1.1 200 OK\r\n\r\nok',
    end: 'rst',
    events: ['200', 'data:2', 'reset:protocol_error'],
    flag: ResponseFlag.UpstreamProtocolError,
    protocolErrors: 1,
  },
  {
    fact: 'bytes that are no response are a protocol error',
    answer: 'garbage\r\n\r\n',
    events: ['reset:protocol_error'],
    flag: ResponseFlag.UpstreamProtocolError,
    protocolErrors: 1,
  },
  {
    fact: 'a head beyond the limit has a kind of its own',
    answer: `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(90_000)}\r\n\r\n`,
    events: ['reset:headers_too_large'],
    flag: ResponseFlag.UpstreamProtocolError,
    protocolErrors: 1,
  },
]

for (const { fact, answer, end, events, flag = 0, protocolErrors = 0 } of endings) {
  test(fact, async () => {
    await using server = await ScriptedServer.start(
      once(socket => {
        if (answer !== '') socket.write(answer)
        if (end === 'fin') socket.end()
        // An RST overtakes what has not been read yet.
        if (end === 'rst') setTimeout(() => socket.resetAndDestroy(), answer === '' ? 0 : 30)
      }),
    )
    using fixture = new ManagerFixture()
    const exchange = await new Exchange().start(fixture.cluster('{name: c}', [server.port])).finished()
    assert.deepEqual(exchange.events, events)
    assert.equal(exchange.failure?.flag ?? 0, flag)
    assert.equal(fixture.counter('cluster.c.upstream_cx_protocol_error'), protocolErrors)
    assert.equal(fixture.gauge('cluster.c.upstream_rq_active'), 0)
    await waitFor(() => fixture.gauge('cluster.c.upstream_cx_active') === 0, { what: 'the connection to be gone' })
    assert.equal(fixture.counter('cluster.c.upstream_cx_destroy'), 1)
  })
}

// Which connections are used again.

interface Reuse {
  readonly fact: string
  readonly answer: string
  readonly method?: string
  readonly reused: boolean
  readonly closeNotify?: number
}

const reuses: readonly Reuse[] = [
  { fact: 'a connection is used again after a response of known length', answer: OK, reused: true },
  {
    fact: 'a connection is used again after a chunked response',
    answer: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    reused: true,
  },
  {
    fact: 'a 204 has no body and leaves the connection usable',
    answer: 'HTTP/1.1 204 No Content\r\n\r\n',
    reused: true,
  },
  {
    fact: 'a 304 has no body whatever its content-length',
    answer: 'HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n',
    reused: true,
  },
  {
    fact: 'the answer to HEAD has no body whatever its content-length',
    answer: 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n',
    method: 'HEAD',
    reused: true,
  },
  {
    fact: 'a connection that says close is not used again',
    answer: 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok',
    reused: false,
    closeNotify: 1,
  },
  {
    fact: 'an HTTP/1.0 connection is not used again',
    answer: 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok',
    reused: false,
    closeNotify: 1,
  },
  { fact: 'a connection with bytes after the response is not used again', answer: `${OK}extra`, reused: false },
]

for (const { fact, answer, method = 'GET', reused, closeNotify = 0 } of reuses) {
  test(fact, async () => {
    await using server = await ScriptedServer.answering(answer)
    using fixture = new ManagerFixture()
    const cluster = fixture.cluster('{name: c}', [server.port])
    const first = await new Exchange(request(method, true)).start(cluster, { method }).finished()
    const second = await new Exchange(request(method, true)).start(cluster, { method }).finished()
    assert.equal(first.connection?.reused, false)
    assert.equal(second.connection?.reused, reused)
    assert.equal(fixture.counter('cluster.c.upstream_cx_close_notify'), 2 * closeNotify)
    for (const exchange of [first, second]) assert.equal(exchange.events.at(-1), 'end')
  })
}

const WITH_TRAILERS = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n'

test('trailers of a response end it', async () => {
  await using server = await ScriptedServer.answering(WITH_TRAILERS)
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c, http_protocol_options: {enable_trailers: true}}', [server.port])
  const exchange = await new Exchange().start(cluster).finished()
  assert.deepEqual(exchange.events, ['200', 'data:2', 'trailers:x-sum,7'])
})

test('without enable_trailers a response ends with its body', async () => {
  await using server = await ScriptedServer.answering(WITH_TRAILERS)
  using fixture = new ManagerFixture()
  const exchange = await new Exchange().start(fixture.cluster('{name: c}', [server.port])).finished()
  assert.deepEqual(exchange.events, ['200', 'data:2', 'end'])
})

test('informational responses come before the final one', async () => {
  await using server = await ScriptedServer.answering(`HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n${OK}`)
  using fixture = new ManagerFixture()
  const exchange = await new Exchange().start(fixture.cluster('{name: c}', [server.port])).finished()
  assert.deepEqual(exchange.events, ['103', '200', 'data:2', 'end'])
})

test('a head and a small body leave in one write', async () => {
  const reads: string[] = []
  await using server = await ScriptedServer.start(socket =>
    socket.on('data', bytes => {
      reads.push(bytes.toString('latin1'))
      socket.write(OK)
    }),
  )
  using fixture = new ManagerFixture()
  const exchange = new Exchange(encoder => {
    encoder.encodeHeaders(new RequestHeaders('POST', '/x', 'c', 'http', ['content-length', '5']), false)
    encoder.encodeData(Buffer.from('hello'), true)
  })
  await exchange.start(fixture.cluster('{name: c}', [server.port]), { method: 'POST' }).finished()
  assert.deepEqual(reads, ['POST /x HTTP/1.1\r\nhost: c\r\ncontent-length: 5\r\n\r\nhello'])
  assert.equal(exchange.connection!.bytesWritten(), reads[0]!.length)
  assert.equal(exchange.connection!.bytesRead(), OK.length)
})

test('a body of unknown length is chunked, and its trailers are dropped unless enable_trailers is set', async () => {
  const write = (encoder: RequestEncoder) => {
    encoder.encodeHeaders(new RequestHeaders('POST', '/', 'c', 'http'), false)
    encoder.encodeData(Buffer.from('hello'), false)
    encoder.encodeTrailers(new HeaderMap(['x-sum', '7']))
  }
  for (const [options, trailers] of [
    ['', ''],
    [', http_protocol_options: {enable_trailers: true}', 'x-sum: 7\r\n'],
  ]) {
    let body = ''
    await using server = await ScriptedServer.start(socket =>
      socket.on('data', bytes => {
        body += bytes.toString('latin1')
        if (body.endsWith('\r\n\r\n') && body.includes('\r\n0\r\n')) socket.write(OK)
      }),
    )
    using fixture = new ManagerFixture()
    const cluster = fixture.cluster(`{name: c${options}}`, [server.port])
    await new Exchange(write).start(cluster, { method: 'POST' }).finished()
    assert.equal(body.slice(body.indexOf('\r\n\r\n') + 4), `5\r\nhello\r\n0\r\n${trailers}\r\n`)
  }
})

test('header names are written in proper case where header_key_format asks for it', async () => {
  await using server = await ScriptedServer.answering(OK)
  using fixture = new ManagerFixture()
  const options = 'http_protocol_options: {header_key_format: {proper_case_words: {}}}'
  const cluster = fixture.cluster(`{name: c, ${options}}`, [server.port])
  await new Exchange(request('GET', true, ['x-request-id', '1'])).start(cluster).finished()
  assert.equal(server.received[0], 'GET / HTTP/1.1\r\nHost: c\r\nX-Request-Id: 1\r\n\r\n')
})

test('an answer that is complete before the request is delivered, and its connection closed', async () => {
  await using server = await ScriptedServer.answering(OK)
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [server.port])
  const exchange = await new Exchange(request('POST', false, ['content-length', '100']))
    .start(cluster, { method: 'POST' })
    .finished()
  assert.deepEqual(exchange.events, ['200', 'data:2', 'end'])
  // Whoever has not noticed yet writes into the void.
  exchange.encoder!.encodeData(Buffer.from('late'), false)
  await waitFor(() => fixture.gauge('cluster.c.upstream_cx_active') === 0)
  assert.equal(fixture.counter('cluster.c.upstream_cx_destroy_local_with_active_rq'), 1)
  assert.ok(!server.received[0]!.includes('late'))
})

test('a request given up closes its connection and hears nothing more', async () => {
  await using server = await ScriptedServer.start(() => {})
  using fixture = new ManagerFixture()
  const exchange = new Exchange().start(fixture.cluster('{name: c}', [server.port]))
  await waitFor(() => exchange.encoder)
  exchange.encoder!.reset()
  await waitFor(() => fixture.gauge('cluster.c.upstream_cx_active') === 0)
  assert.deepEqual(exchange.events, [])
  assert.equal(fixture.gauge('cluster.c.upstream_rq_active'), 0)
  assert.equal(fixture.counter('cluster.c.upstream_cx_destroy_local_with_active_rq'), 1)
})

test('an encoder kept beyond the end of its request cannot touch the next one', async () => {
  await using server = await ScriptedServer.answering(OK)
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [server.port])
  const first = await new Exchange().start(cluster).finished()
  await delay(5)
  const second = new Exchange().start(cluster)
  const stale = first.encoder!
  stale.reset()
  stale.pauseResponse()
  stale.encodeData(Buffer.from('GET /smuggled'), true)
  await second.finished()
  assert.deepEqual(second.events, ['200', 'data:2', 'end'])
  assert.equal(second.connection!.reused, true)
  assert.ok(!server.received[0]!.includes('smuggled'))
})

test('a paused response stops coming, and goes on after as many resumes as pauses', async () => {
  const total = 8 * 1024 * 1024
  await using server = await ScriptedServer.start(
    once(socket =>
      socket.write(
        Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${total}\r\n\r\n`), Buffer.alloc(total)]),
      ),
    ),
  )
  using fixture = new ManagerFixture()
  const exchange = new Exchange()
  exchange.onEvent = event => {
    if (event !== '200') return
    exchange.encoder!.pauseResponse()
    exchange.encoder!.pauseResponse()
  }
  exchange.start(fixture.cluster('{name: c}', [server.port]))
  await waitFor(() => exchange.status)
  await delay(50)
  const stopped = exchange.body.length
  assert.ok(stopped < total / 4, `${stopped} bytes came`)
  exchange.encoder!.resumeResponse()
  await delay(50)
  assert.equal(exchange.body.length, stopped)
  exchange.encoder!.resumeResponse()
  await exchange.finished()
  assert.equal(exchange.body.length, total)
  assert.equal(fixture.counter('cluster.c.upstream_flow_control_paused_reading_total'), 1)
  assert.equal(fixture.counter('cluster.c.upstream_flow_control_resumed_reading_total'), 1)
})

test('a connection given back while paused reads again for the next request', async () => {
  await using server = await ScriptedServer.answering(OK)
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [server.port])
  const first = new Exchange()
  first.onEvent = event => event === '200' && first.encoder!.pauseResponse()
  await first.start(cluster).finished()
  await delay(5)
  const second = await new Exchange().start(cluster).finished()
  assert.equal(second.connection!.reused, true)
})

test('an upstream that does not read makes back-pressure at the limit of the buffer, and lets go when it reads', async () => {
  let socket: Socket | undefined
  await using server = await ScriptedServer.start(accepted => {
    accepted.pause()
    socket = accepted
  })
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c, per_connection_buffer_limit_bytes: 32768}', [server.port])
  const exchange = new Exchange(request('POST', false)).start(cluster, { method: 'POST' })
  await waitFor(() => exchange.encoder)
  let sent = 0
  while (!exchange.events.includes('above')) {
    exchange.encoder!.encodeData(Buffer.alloc(65536), false)
    sent += 65536
    assert.ok(sent < 64 * 1024 * 1024, 'no back-pressure after 64 MiB')
    await delay(0)
  }
  socket!.resume()
  await waitFor(() => exchange.events.includes('below'))
  assert.equal(fixture.counter('cluster.c.upstream_flow_control_backed_up_total'), 1)
  assert.equal(fixture.counter('cluster.c.upstream_flow_control_drained_total'), 1)
})

test('after 101 bytes go both ways as they are, until the connection ends', async () => {
  await using server = await ScriptedServer.start(socket =>
    socket.on('data', bytes => {
      const text = bytes.toString('latin1')
      if (text.startsWith('GET'))
        socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nwelcome')
      else if (text === 'bye') socket.end('farewell')
      else socket.write(`<${text}>`)
    }),
  )
  using fixture = new ManagerFixture()
  const exchange = new Exchange(encoder => {
    const headers = new RequestHeaders('GET', '/', 'c', 'http', ['upgrade', 'echo', 'connection', 'upgrade'])
    headers.protocol = 'echo'
    encoder.encodeHeaders(headers, false)
  })
  exchange.start(fixture.cluster('{name: c}', [server.port]), { upgrade: true })
  await waitFor(() => exchange.body === 'welcome')
  exchange.encoder!.encodeData(Buffer.from('0\r\n\r\n'), false)
  await waitFor(() => exchange.body.endsWith('>'))
  exchange.encoder!.encodeData(Buffer.from('bye'), false)
  await exchange.finished()
  assert.equal(exchange.status, 101)
  assert.equal(exchange.body, 'welcome<0\r\n\r\n>farewell')
  await waitFor(() => fixture.gauge('cluster.c.upstream_cx_active') === 0)
})

test('CONNECT becomes a tunnel with 200', async () => {
  await using server = await ScriptedServer.start(socket =>
    socket.on('data', bytes => {
      const text = bytes.toString('latin1')
      if (text.startsWith('CONNECT')) socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      else socket.end(text.toUpperCase())
    }),
  )
  using fixture = new ManagerFixture()
  const exchange = new Exchange(encoder =>
    encoder.encodeHeaders(new RequestHeaders('CONNECT', '', 'far:443', 'http'), false),
  )
  exchange.start(fixture.cluster('{name: c}', [server.port]), { method: 'CONNECT', upgrade: true })
  await waitFor(() => exchange.status === 200)
  exchange.encoder!.encodeData(Buffer.from('abc'), false)
  await exchange.finished()
  assert.equal(exchange.body, 'ABC')
  assert.match(server.received[0]!, /^CONNECT far:443 HTTP\/1\.1\r\n/)
})

test('an upgrade that is refused is an ordinary response', async () => {
  await using server = await ScriptedServer.answering('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno')
  using fixture = new ManagerFixture()
  const exchange = new Exchange(encoder => {
    const headers = new RequestHeaders('GET', '/', 'c', 'http', ['upgrade', 'websocket', 'connection', 'upgrade'])
    headers.protocol = 'websocket'
    encoder.encodeHeaders(headers, false)
  })
  await exchange.start(fixture.cluster('{name: c}', [server.port]), { upgrade: true }).finished()
  assert.deepEqual(exchange.events, ['403', 'data:2', 'end'])
})

test('a re-used connection that dies before any byte of the answer says that it was re-used', async () => {
  await using server = await ScriptedServer.start(socket => {
    let requests = 0
    socket.on('data', () => (++requests === 1 ? socket.write(OK) : socket.end()))
  })
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [server.port])
  await new Exchange().start(cluster).finished()
  await delay(5)
  const second = await new Exchange().start(cluster).finished()
  assert.deepEqual(second.events, ['reset:terminated'])
  assert.equal(second.connection!.reused, true)
  assert.equal(second.connection!.bytesRead(), 0)
  assert.equal(cluster.lastFailure()?.kind, 'terminated')
})
