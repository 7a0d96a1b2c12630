/**
 * Clients that open streams for nothing: whoever does it in a row, whoever takes care not to be cut off, and whoever has us
 * reset the streams. Memory stays flat, the others are served, and nothing stays behind.
 *
 * Counted is what the sidecar has looked at, by its own counters: what is sent on a connection that has been cut off is
 * never read.
 */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePort } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { Http2TestClient } from '../kit/http2-client.ts'
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
import { HTTP2_UPSTREAM, localCluster, oneListener } from '../kit/one-listener.ts'
import { COLLECTS, FLAT_BYTES, residentBytes } from '../kit/resident-memory.ts'
import { waitFor } from '../kit/wait-for.ts'

// The upstream (nghttp2) has a guard of its own and ends connections; what it has not answered may be sent again.
const configuration = (listen: number, upstream: number) =>
  oneListener({
    port: listen,
    clusters: [localCluster('app', upstream, HTTP2_UPSTREAM)],
    route: { retry_policy: { retry_on: 'refused-stream,reset', num_retries: 3 } },
  })

/** Streams after which everything is compiled and every buffer as large as it gets: the least, and as a share of what follows. */
const WARM = 8000
const WARM_SHARE = 0.5

/** So many premature ends cut a connection off, half of `overload.premature_reset_total_stream_count`. */
const GUARD = 250
const CANCEL = 8

function attacker(port: number): Socket {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(Buffer.concat([PREFACE, SETTINGS]))
  return socket
}

/** Odd numbers: what a client calls its streams. */
const streams = (count: number, first = 0) => Array.from({ length: count }, (_, i) => 2 * (first + i) + 1)

/** Until it is cut off. */
async function inARow(port: number, request: (streamId: number) => Buffer): Promise<void> {
  const socket = attacker(port)
  socket.resume()
  const cutOff = new Promise(resolve => socket.on('close', resolve))
  socket.write(Buffer.concat(streams(2 * GUARD).map(request)))
  await cutOff
}

const openedAndReset = (streamId: number) => Buffer.concat([getRequest(streamId), resetStream(streamId, CANCEL)])

/**
 * A few more requests that are answered than are reset, so that never half of them have come to nothing; and fewer resets
 * than `stream_reset_burst` allows. Waits for each portion to be worked off, then leaves of itself.
 */
async function underTheGuard(port: number): Promise<void> {
  const ANSWERED = 51
  const RESET = 50
  const socket = attacker(port)
  const reader = new FrameReader()
  let acks = 0
  let answers = 0
  let closed = false
  socket.on('close', () => {
    closed = true
  })
  socket.on('data', bytes => {
    for (const { type, flags } of reader.push(bytes as Buffer)) {
      if (type === FrameType.Ping && flags === 1) acks++
      else if (type === FrameType.Headers) answers++
    }
  })
  for (let portion = 0; portion < 16; portion++) {
    const first = (ANSWERED + RESET) * portion
    socket.write(Buffer.concat(streams(ANSWERED, first).map(getRequest)))
    await waitFor(() => closed || answers === ANSWERED * (portion + 1), { what: `answers to portion ${portion + 1}` })
    socket.write(Buffer.concat([...streams(RESET, first + ANSWERED).map(openedAndReset), PING]))
    await waitFor(() => closed || acks === portion + 1, { what: `the end of portion ${portion + 1}` })
  }
  assert.ok(!closed, 'it was not cut off')
  socket.destroy()
}

const made = Object.values(MADE_TO_RESET)
let turn = 0

const ATTACKS = [
  {
    who: 'a client that opens and resets streams in a row, and comes back when it is cut off',
    attack: (port: number) => inARow(port, openedAndReset),
    counter: 'http2.rx_reset',
    total: 100_000,
    cutOff: true,
  },
  {
    who: 'a client that resets as many streams as it may',
    attack: underTheGuard,
    counter: 'http2.rx_reset',
    total: 12_000,
    cutOff: false,
  },
  {
    who: 'a client that has its streams reset, by frames that are errors of a stream',
    attack: (port: number) => inARow(port, made[turn++ % made.length]!),
    counter: 'http2.tx_reset',
    total: 12_000,
    cutOff: true,
  },
]

for (const { who, attack, counter, total, cutOff } of ATTACKS) {
  test(`${who}: ${total} streams leave memory flat and others served`, { timeout: 240_000 }, async () => {
    await using upstream = await FakeUpstream.start([{ status: 200, body: 'ok' }])
    const listen = await freePort()
    await using proxy = await startHopwise(configuration(listen, upstream.port), { env: COLLECTS })
    let running = true
    const served = { http1: 0, http2: 0 }
    const others = async () => {
      using client = await Http2TestClient.connect(listen)
      while (running) {
        assert.equal((await client.request({})).text, 'ok')
        served.http2++
        assert.equal((await fetchRaw(listen)).text, 'ok')
        served.http1++
      }
    }
    let connections = 0
    const attackUntil = async (count: number) => {
      while ((await proxy.stat(counter)) < count) {
        // Looked at now and then: a client that is cut off gets less far.
        const portion = cutOff ? 8 : 2
        for (let i = 0; i < portion; i++) await attack(listen)
        connections += portion
        upstream.requests.length = 0
      }
    }
    const serving = others()
    serving.catch(() => {})
    const warm = Math.max(WARM, total * WARM_SHARE)
    await attackUntil(warm)
    const before = await residentBytes(proxy)
    await attackUntil(warm + total)
    const after = await residentBytes(proxy)
    running = false
    await serving
    assert.ok(served.http1 > 20 && served.http2 > 20, JSON.stringify(served))
    assert.ok(after - before < FLAT_BYTES, `${before} bytes when warm, ${after} after ${total} streams`)

    const stats = await proxy.stats()
    assert.equal(stats.get('http.out.downstream_rq_too_many_premature_resets'), cutOff ? connections : 0)
    // What comes behind the one that was too many is not looked at.
    if (cutOff) assert.ok(stats.get(counter)! <= connections * (GUARD + 1), `${stats.get(counter)}, ${connections}`)
    const left = [
      'http.out.downstream_rq_active',
      'cluster.app.upstream_rq_active',
      'cluster.app.upstream_rq_pending_active',
      'cluster.app.circuit_breakers.default.rq_pending_open',
    ]
    for (const name of left) assert.equal(stats.get(name), 0, name)
  })
}
