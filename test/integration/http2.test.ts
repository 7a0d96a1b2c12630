import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { FakeUpstream, type Script } from '../kit/fake-upstream.ts'
import { freePort } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { Http2TestClient } from '../kit/http2-client.ts'
import {
  type Frame,
  FrameReader,
  FrameType,
  getRequest,
  PREFACE,
  resetStream,
  SETTINGS,
  settings,
} from '../kit/http2-frames.ts'
import { localCluster, oneListener, upstreamProtocol } from '../kit/one-listener.ts'
import { type ProxyProcess, withAdmin } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

interface Variant {
  readonly generation?: number
  /** More of the connection manager. */
  readonly manager?: { readonly [key: string]: unknown }
}

const configuration = (listen: number, upstream: number, { generation = 0, manager = {} }: Variant = {}) =>
  oneListener({
    port: listen,
    clusters: [
      localCluster(
        'app',
        upstream,
        upstreamProtocol({ use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} } }),
      ),
    ],
    routes: { response_headers_to_add: [{ header: { key: 'x-generation', value: String(generation) } }] },
    manager,
  })

async function start(script: Script, manager: { readonly [key: string]: unknown } = {}, args: readonly string[] = []) {
  const upstream = await FakeUpstream.start(script)
  const listen = await freePort()
  const proxy = await startHopwise(configuration(listen, upstream.port, { manager }), { args })
  return {
    upstream,
    listen,
    proxy,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await upstream.close()
    },
  }
}

/** A client of raw frames. */
class FrameClient {
  readonly socket: Socket
  readonly frames: Frame[] = []
  closed = false

  constructor(port: number) {
    const reader = new FrameReader()
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('data', (bytes: Buffer) => this.frames.push(...reader.push(bytes)))
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.closed = true
    })
  }

  of(type: number): Frame[] {
    return this.frames.filter(frame => frame.type === type)
  }

  async until(type: number, count = 1): Promise<void> {
    await waitFor(() => this.of(type).length >= count, { what: `${count} frames of type ${type}` })
  }

  /** Last streams that GOAWAY frames named. */
  get promised(): number[] {
    return this.of(FrameType.GoAway).map(({ payload }) => payload.readUInt32BE(0))
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

test('a connection is HTTP/2 by its preface, in whatever pieces that comes; all else is HTTP/1.1', async () => {
  await using running = await start([{ status: 200, body: 'ok' }])
  using client = new FrameClient(running.listen)
  client.socket.setNoDelay(true)
  for (const byte of PREFACE.subarray(0, 20)) {
    client.socket.write(Buffer.from([byte]))
    await delay(1)
  }
  client.socket.write(Buffer.concat([PREFACE.subarray(20), SETTINGS, getRequest(1)]))
  await client.until(FrameType.Headers)
  assert.equal((await fetchRaw(running.listen)).text, 'ok')
  const refused = await fetchRaw(running.listen, 'PRI * HTTP/1.1\r\nhost: a\r\n\r\n')
  assert.equal(refused.status, 400)
  const stats = await running.proxy.stats('^http.out.downstream_cx_http')
  assert.equal(stats.get('http.out.downstream_cx_http1_total'), 2)
  assert.equal(stats.get('http.out.downstream_cx_http2_total'), 1)
  assert.deepEqual(
    running.upstream.requests.map(({ startLine }) => startLine.split(' ').at(-1)),
    ['HTTP/2', 'HTTP/1.1'],
  )
})

test('codec_type HTTP1 does not take a preface, HTTP2 takes nothing else', async () => {
  await using one = await start([{ status: 200 }], { codec_type: 'HTTP1' })
  using preface = new FrameClient(one.listen)
  preface.socket.write(Buffer.concat([PREFACE, SETTINGS]))
  await waitFor(() => preface.closed)
  assert.equal(await one.proxy.stat('http.out.downstream_cx_http2_total'), 0)
  await using two = await start([{ status: 200 }], { codec_type: 'HTTP2' })
  await assert.rejects(fetchRaw(two.listen))
  assert.equal(await two.proxy.stat('http.out.downstream_cx_protocol_error'), 1)
})

test('who resets more streams than stream_reset_rate allows is told so', async () => {
  await using running = await start([], { http2_protocol_options: { stream_reset_burst: 1, stream_reset_rate: 1 } })
  using client = new FrameClient(running.listen)
  const reset = [1, 3].flatMap(streamId => [getRequest(streamId), resetStream(streamId, 8)])
  client.socket.write(Buffer.concat([PREFACE, SETTINGS, ...reset]))
  await client.until(FrameType.GoAway)
  const [{ payload }] = client.of(FrameType.GoAway) as [Frame]
  assert.equal(payload.toString('utf8', 8), 'more streams are reset than stream_reset_rate allows')
})

async function reload(proxy: ProxyProcess, yaml: string): Promise<void> {
  writeFileSync(proxy.configPath, withAdmin(yaml, proxy.adminPort))
  proxy.process.signal('SIGHUP')
  const done = async () => (await proxy.stat('listener_manager.listener_modified')) >= 1
  await proxy.process.waitUntil(done, 'the reload', 10_000)
}

test('a reload hands HTTP/2 connections over, streams under way and all', async () => {
  await using running = await start([{ delayMs: 600, body: 'slow' }, { body: 'ok' }])
  using client = await Http2TestClient.connect(running.listen)
  const slow = client.request({})
  await running.upstream.request(0)
  await reload(running.proxy, configuration(running.listen, running.upstream.port, { generation: 1 }))
  const next = await client.request({})
  assert.equal(next.header('x-generation'), '1')
  assert.equal((await slow).header('x-generation'), '0')
  assert.equal((await slow).text, 'slow')
  assert.equal(client.goaway, undefined)
})

test('a reload that changes what the codec was told ends HTTP/2 connections in two steps', async () => {
  await using running = await start([{ body: 'ok' }], {}, ['--drain-strategy', 'immediate'])
  using client = new FrameClient(running.listen)
  client.socket.write(Buffer.concat([PREFACE, SETTINGS, getRequest(1)]))
  await client.until(FrameType.Headers)
  const manager = { http2_protocol_options: { max_concurrent_streams: 7 } }
  await reload(running.proxy, configuration(running.listen, running.upstream.port, { manager }))
  await client.until(FrameType.GoAway)
  // What was on its way is still taken.
  client.socket.write(getRequest(3))
  await client.until(FrameType.Headers, 2)
  await client.until(FrameType.GoAway, 2)
  assert.deepEqual(client.promised, [2 ** 31 - 1, 3])
  await waitFor(() => client.closed, { deadlineMs: 10_000 })
})

test('SIGTERM: the streams that run are served to the end', async () => {
  await using running = await start([{ delayMs: 500, body: 'late' }])
  using client = await Http2TestClient.connect(running.listen)
  const answer = client.request({})
  await running.upstream.request(0)
  running.proxy.process.signal('SIGTERM')
  assert.equal((await answer).text, 'late')
  await client.closed
})

test('a response that its client does not let in is given up after stream_flush_timeout', async () => {
  await using running = await start([{ body: 'x'.repeat(1000) }], { stream_flush_timeout: '0.3s' })
  using client = new FrameClient(running.listen)
  const INITIAL_WINDOW_SIZE = 4
  client.socket.write(Buffer.concat([PREFACE, settings({ [INITIAL_WINDOW_SIZE]: 10 }), getRequest(1), getRequest(3)]))
  await client.until(FrameType.RstStream, 2)
  assert.deepEqual(
    client.of(FrameType.Data).map(({ payload }) => payload.length),
    [10, 10],
  )
  const INTERNAL_ERROR = 2
  assert.equal(client.of(FrameType.RstStream)[0]!.payload.readUInt32BE(0), INTERNAL_ERROR)
  const stats = await running.proxy.stats('^http2.')
  assert.equal(stats.get('http2.tx_flush_timeout'), 2)
  assert.equal(stats.get('http2.streams_active'), 0)
  assert.equal(stats.get('http2.pending_send_bytes'), 0)
})
