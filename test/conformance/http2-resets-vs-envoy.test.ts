/**
 * Streams that are reset, beside the real Envoy: by an upstream at every point of a response, and by a client that resets
 * more of them than `stream_reset_burst` allows. What the client sees and what is counted are compared.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startEnvoy } from '../kit/envoy.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import {
  FrameReader,
  FrameType,
  getRequest,
  MADE_TO_RESET,
  PING,
  PREFACE,
  resetStream,
  SETTINGS,
} from '../kit/http2-frames.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'
import { assertSameFields } from './field-by-field.ts'
import { bootstrap, cluster, httpListener, typed } from './scenarios/bootstrap.ts'

const BURST = 5
/** Streams that come to nothing at once, after which a connection is closed. */
const PREMATURE = 5

const HTTP2_UPSTREAM = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
      'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      { explicit_http_config: { http2_protocol_options: {} } },
    ),
  },
}

/** What an upstream does with a request, by its path. */
const ENDS: Readonly<Record<string, (stream: http2.ServerHttp2Stream) => void>> = {
  '/early': stream => stream.respond({ ':status': 200 }, { endStream: true }),
  '/before': stream => stream.close(http2.constants.NGHTTP2_NO_ERROR),
  '/middle': stream => {
    stream.respond({ ':status': 200 })
    stream.write('x', () => stream.close(http2.constants.NGHTTP2_NO_ERROR))
  },
  '/cancel': stream => {
    stream.respond({ ':status': 200 })
    stream.write('x', () => stream.close(http2.constants.NGHTTP2_CANCEL))
  },
}

const upstream = http2.createServer()
upstream.on('session', session => session.on('error', () => {}))
upstream.on('stream', (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
  stream.on('error', () => {})
  ENDS[String(headers[':path'])]?.(stream)
})
before(async () => {
  upstream.listen(0, '127.0.0.1')
  await once(upstream, 'listening')
})
after(() => upstream.close())

/** The codes of the GOAWAY frames among the frames. */
function goAways(bytes: Buffer): number[] {
  const frames = new FrameReader().push(bytes).filter(({ type }) => type === FrameType.GoAway)
  return frames.map(({ payload }) => payload.readUInt32BE(4))
}

/** Opens and resets streams one after the other; tells how the connection ended. */
async function resetMany(port: number, streams: number): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const parts: Buffer[] = []
  let closed = false
  const over = new Promise<void>(resolve => {
    socket.on('close', () => {
      closed = true
      resolve()
    })
  })
  socket.on('data', part => parts.push(part as Buffer))
  socket.on('error', () => {})
  socket.write(Buffer.concat([PREFACE, SETTINGS]))
  for (let id = 1; id < 2 * streams && !closed; id += 2) {
    socket.write(Buffer.concat([getRequest(id), resetStream(id, http2.constants.NGHTTP2_CANCEL)]))
    await delay(20)
  }
  if (goAways(Buffer.concat(parts)).length > 0) await over
  const ended = closed ? `closed, GOAWAY ${goAways(Buffer.concat(parts))}` : 'open'
  socket.destroy()
  return ended
}

/** Status of the response and code of the reset. */
function exchange(port: number, path: string, bodyOpen: boolean): Promise<string> {
  return new Promise(resolve => {
    const session = http2.connect(`http://127.0.0.1:${port}`)
    session.on('error', () => {})
    const stream = session.request({ ':path': path, ':method': 'POST' }, { endStream: !bodyOpen })
    if (bodyOpen) stream.write('a')
    let status = 0
    stream.on('response', headers => {
      status = Number(headers[':status'])
    })
    stream.on('error', () => {})
    stream.on('close', () => {
      session.destroy()
      resolve(`${status}, reset with ${stream.rstCode}`)
    })
    stream.resume()
  })
}

type Start = (yaml: string, options: { adminPort: number }) => Promise<ProxyProcess>

async function observe(start: Start): Promise<Map<string, string>> {
  const [listen, adminPort] = (await freePorts(2)) as [number, number]
  const yaml = bootstrap({
    listeners: [
      httpListener({
        name: 'main',
        manager: {
          access_log: [],
          codec_type: 'HTTP2',
          http2_protocol_options: { stream_reset_burst: BURST, stream_reset_rate: 1 },
        },
      }),
    ],
    clusters: [cluster('app', String((upstream.address() as AddressInfo).port), HTTP2_UPSTREAM)],
  })
    .replaceAll('{{listen:main}}', String(listen))
    .replaceAll('{{admin}}', String(adminPort))
  await using proxy = await start(yaml, { adminPort })
  const fields = new Map<string, string>()
  let before = new Map<string, number>()
  const addChanges = async (what: string) => {
    // Not the codec's own counters: whether a reset finds its stream still there depends on what is read in one go.
    const now = await proxy.stats(
      '(rq_rx_reset|rq_rx_reset_no_error|rq_tx_reset|pending_failure_eject|rq_http2_total)$',
    )
    for (const [name, value] of now) {
      const change = value - (before.get(name) ?? 0)
      if (change !== 0) fields.set(`${what}: ${name}`, String(change))
    }
    before = now
  }
  for (const path of Object.keys(ENDS)) {
    for (const bodyOpen of [true, false]) {
      const what = `${path} ${bodyOpen ? 'while the body is open' : 'behind the request'}`
      fields.set(`${what}: response`, await exchange(listen, path, bodyOpen))
      await waitFor(async () => (await proxy.stat('cluster.app.upstream_rq_active')) === 0, { what: 'the end' })
      await addChanges(what)
    }
  }
  fields.set('as many as may be reset: end', await resetMany(listen, BURST))
  await addChanges('as many as may be reset')
  // How many more are opened before the client learns of the end is chance.
  fields.set('one more: end', await resetMany(listen, 3 * BURST))
  return fields
}

/** What is answered to one such request, and how a connection ends that goes on with them. */
async function makeReset(port: number, request: (streamId: number) => Buffer, streams: number): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const reader = new FrameReader()
  const answers = new Set<string>()
  let acks = 0
  let closed = false
  socket.on('error', () => {})
  socket.on('close', () => {
    closed = true
  })
  socket.on('data', bytes => {
    for (const { type, flags, payload } of reader.push(bytes as Buffer)) {
      if (type === FrameType.RstStream) answers.add(`RST_STREAM ${payload.readUInt32BE(0)}`)
      else if (type === FrameType.GoAway) answers.add(`GOAWAY ${payload.readUInt32BE(4)}`)
      else if (type === FrameType.Ping && flags === 1) acks++
    }
  })
  socket.write(Buffer.concat([PREFACE, SETTINGS]))
  let sent = 0
  for (; sent < streams && !closed; sent++) {
    socket.write(Buffer.concat([request(2 * sent + 1), PING]))
    await waitFor(() => closed || acks === sent + 1, { what: `an answer to PING ${sent + 1}` })
  }
  socket.destroy()
  return `${[...answers].join(', ')}; ${closed ? 'closed' : 'open'} after ${sent}`
}

async function observeMade(start: Start): Promise<Map<string, string>> {
  const [listen, adminPort] = (await freePorts(2)) as [number, number]
  const yaml = bootstrap({
    listeners: [httpListener({ name: 'main', manager: { access_log: [], codec_type: 'HTTP2' } })],
    clusters: [cluster('app', String((upstream.address() as AddressInfo).port), HTTP2_UPSTREAM)],
    more: `layered_runtime: {layers: [{name: s, static_layer: {overload.premature_reset_total_stream_count: ${2 * PREMATURE}}}]}\n`,
  })
    .replaceAll('{{listen:main}}', String(listen))
    .replaceAll('{{admin}}', String(adminPort))
  await using proxy = await start(yaml, { adminPort })
  const fields = new Map<string, string>()
  const counters = ['http.main.downstream_rq_too_many_premature_resets', 'http2.tx_reset', 'http2.rx_messaging_error']
  const before = new Map<string, number>()
  for (const [name, request] of Object.entries(MADE_TO_RESET)) {
    fields.set(`${name}: end`, await makeReset(listen, request, 2 * PREMATURE))
    await waitFor(async () => (await proxy.stat('http.main.downstream_cx_active')) === 0, { what: 'the end' })
    const now = await proxy.stats()
    for (const counter of counters) {
      const value = now.get(counter) ?? 0
      fields.set(`${name}: ${counter}`, String(value - (before.get(counter) ?? 0)))
      before.set(counter, value)
    }
  }
  return fields
}

test('a client that makes the proxy reset its streams is judged as in Envoy', async () => {
  const envoy = await observeMade(startEnvoy)
  const hopwise = await observeMade(startHopwise)
  assertSameFields('resets that are asked for', envoy, hopwise)
  for (const name of Object.keys(MADE_TO_RESET)) {
    assert.match(hopwise.get(`${name}: end`)!, new RegExp(`^RST_STREAM \\d; closed after ${PREMATURE}$`))
  }
})

test('resets are as in Envoy, from both sides', async () => {
  const envoy = await observe(startEnvoy)
  const hopwise = await observe(startHopwise)
  assertSameFields('resets', envoy, hopwise)
})
