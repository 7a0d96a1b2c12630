/**
 * Raw HTTP/2 frames sent to both proxies, by clients and by upstreams: floods, oversized and malformed heads, frames out of
 * place. What is answered (status, RST_STREAM, GOAWAY), what the access log says of the requests and which of the codec's
 * counters move are compared with the real Envoy.
 *
 * Cases run one after the other, since the counters of downstream connections are those of the process. Those of one
 * configuration share a listener, and a cluster.
 */
import { existsSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startEnvoy } from '../kit/envoy.ts'
import { FramePeer } from '../kit/frame-peer.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { TestClient } from '../kit/http-client.ts'
import { FrameType, ok, SETTINGS } from '../kit/http2-frames.ts'
import { type ProxyProcess, temporaryFolder } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'
import { framesOf } from '../unit/codec/http2/frames.ts'
import { assertSameFields } from './field-by-field.ts'
import { bootstrap, cluster, httpListener, type Json, typed } from './scenarios/bootstrap.ts'
import { httpOptions } from './scenarios/exchange.ts'
import {
  type DownstreamCase,
  type DownstreamSetting,
  downstreamCases,
  type UpstreamCase,
  type UpstreamSetting,
  upstreamCases,
} from './scenarios/http2-frames.ts'

const FORMAT = '%REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% rx=%BYTES_RECEIVED%\n'

const common: { readonly [key: string]: Json } = {
  access_log: [
    {
      name: 'envoy.access_loggers.file',
      typed_config: typed('type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog', {
        path: '{{log}}',
        log_format: { text_format_source: { inline_string: FORMAT } },
      }),
    },
  ],
  delayed_close_timeout: '0.05s',
}

/** A request is answered here once it is complete, for which the buffer filter waits. */
function downstreamListener(
  name: string,
  { options = {}, manager, body, maxRequestBytes = 1 << 20 }: DownstreamSetting,
): Json {
  const answer = { status: 200, ...(body !== undefined && { body: { inline_string: body } }) }
  return httpListener({
    name,
    routes: [{ match: { prefix: '/' }, direct_response: answer }],
    filters: [
      {
        name: 'envoy.filters.http.buffer',
        typed_config: typed('http.buffer.v3.Buffer', { max_request_bytes: maxRequestBytes }),
      },
    ],
    manager: { ...common, codec_type: 'HTTP2', http2_protocol_options: options, ...manager },
  })
}

function upstreamListener(name: string): Json {
  return httpListener({ name, routes: [{ match: { prefix: '/' }, route: { cluster: name } }], manager: common })
}

function upstreamCluster(name: string, port: number, { options = {}, protocol }: UpstreamSetting): Json {
  return cluster(name, String(port), {
    // To upstreams that may be sidecars we send a SETTINGS parameter of our own.
    metadata: { filter_metadata: { hopwise: { external: true } } },
    typed_extension_protocol_options: httpOptions({
      ...protocol,
      explicit_http_config: { http2_protocol_options: options },
    }),
  })
}

/** Cases by their configuration, each with a name. */
function grouped<C>(cases: readonly C[], prefix: string, setting: (one: C) => unknown): Map<string, C[]> {
  const groups = Map.groupBy(cases, one => JSON.stringify(setting(one)))
  return new Map([...groups.values()].map((group, i) => [`${prefix}${i}`, group]))
}

const downstreamGroups = grouped(downstreamCases, 'd', ({ options, manager, body, maxRequestBytes }) => {
  return { options, manager, body, maxRequestBytes }
})
const upstreamGroups = grouped(upstreamCases, 'u', ({ options, protocol }) => ({ options, protocol }))

const GAUGES = /_active$|pending_send_bytes|deferred_stream_close|(ng|og)http2_\w+_connections/

const countersOf = (id: string) =>
  String.raw`^(http2\.|cluster\.${id}\.(http2\.|upstream_cx_protocol_error|upstream_rq_(rx|tx)_reset|upstream_cx_active)|` +
  String.raw`http\.${id}\.downstream_(rq_(total|active|rx_reset|tx_reset|too_many\w*)|cx_(protocol_error|active)))`

class Side {
  readonly fields = new Map<string, string>()
  readonly #proxy: ProxyProcess
  readonly #log: string
  #before: ReadonlyMap<string, number> = new Map()
  /** Lines of the log that requests so far must have made, and those that were told of. */
  #expected = 0
  #logged = 0

  constructor(proxy: ProxyProcess, log: string) {
    this.#proxy = proxy
    this.#log = log
  }

  /** Before the cases of the listener `id`. */
  async begin(id: string): Promise<void> {
    this.#before = await this.#proxy.stats(countersOf(id))
  }

  /** Runs one case on the listener `id`. */
  async observe(name: string, id: string, run: () => Promise<readonly string[]>): Promise<void> {
    const story = await run()
    this.fields.set(`${name}: answer`, story.filter(line => !line.startsWith('GOAWAY')).join('; '))
    const goAways = story.filter(line => line.startsWith('GOAWAY'))
    if (goAways.length > 0) this.fields.set(`${name}: goaway`, goAways.join('; '))
    const after = await waitFor(
      async () => {
        const stats = await this.#proxy.stats(countersOf(id))
        const gauges = [...stats].filter(([stat]) => stat.includes(`.${id}.`) && stat.endsWith('_active'))
        return gauges.every(([, value]) => value === 0) ? stats : undefined
      },
      { what: `the end of ${name}` },
    )
    const total = `http.${id}.downstream_rq_total`
    this.#expected += (after.get(total) ?? 0) - (this.#before.get(total) ?? 0)
    for (const [stat, value] of after) {
      const change = value - (this.#before.get(stat) ?? 0)
      if (change !== 0 && !GAUGES.test(stat)) {
        this.fields.set(`${name}: stat ${stat.replace(`.${id}.`, '.')}`, String(change))
      }
    }
    this.#before = after
    const read = () => (existsSync(this.#log) ? readFileSync(this.#log, 'latin1').split('\n').slice(0, -1) : [])
    await waitFor(() => read().length >= this.#expected, { what: `the log of ${name}` })
    const lines = read()
    this.fields.set(`${name}: log`, lines.slice(this.#logged).join('; '))
    this.#logged = lines.length
  }
}

async function runDownstream(port: number, { name, frames, until }: DownstreamCase): Promise<string[]> {
  using peer = FramePeer.connect(port)
  for (const part of [frames].flat()) {
    peer.send(framesOf(part))
    if (until === undefined) await peer.settled()
  }
  if (until === 'PING') await waitFor(() => peer.pingsBehind.length > 0, { what: 'a PING' })
  if (until === 'over') await waitFor(() => peer.over, { what: 'the end of the connection' })
  const greeting = name.startsWith('option ') ? [peer.greeting] : []
  return [...greeting, ...peer.pingsBehind.slice(0, 1), ...peer.story()]
}

/** A server that answers the first request of a connection with frames. */
class FrameUpstream {
  frames: Buffer = Buffer.alloc(0)
  peer: FramePeer | undefined
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(): Promise<FrameUpstream> {
    const server = createServer({ noDelay: true })
    const upstream = new FrameUpstream(server)
    server.on('connection', socket => {
      const peer = new FramePeer(socket, ({ type, streamId, flags }) => {
        if (type === FrameType.Settings && flags === 0) peer.acknowledgeSettings()
        if (type !== FrameType.Headers) return
        peer.send(streamId === 1 ? upstream.frames : ok(streamId))
      })
      peer.send(SETTINGS)
      upstream.peer = peer
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return upstream
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.peer?.socket.destroy()
    await new Promise(resolve => this.#server.close(resolve))
  }
}

async function runUpstream(port: number, upstream: FrameUpstream, one: UpstreamCase): Promise<string[]> {
  const { name, frames, secondAfterMs } = one
  upstream.frames = framesOf(frames)
  const client = await TestClient.connect(port)
  let answer: string
  try {
    const { status, text, trailers, framing } = await client.request({ path: '/' })
    answer = `client: ${status} ${framing} ${JSON.stringify(text)} ${JSON.stringify(trailers)}`
  } catch (error) {
    answer = `client: ${(error as Error).message}`
  }
  using peer = upstream.peer!
  if (secondAfterMs !== undefined) {
    await delay(secondAfterMs)
    answer += `, then ${(await client.request({ path: '/' })).status}`
  }
  await peer.settled()
  client.close()
  const greeting = name.startsWith('upstream, option ') ? [peer.greeting] : []
  return [answer, ...greeting, ...peer.pingsBehind, ...peer.story()]
}

type Start = (yaml: string, options: { adminPort: number; args: readonly string[] }) => Promise<ProxyProcess>

async function observe(start: Start): Promise<Map<string, string>> {
  await using stack = new AsyncDisposableStack()
  const upstreams = new Map<string, FrameUpstream>()
  for (const id of upstreamGroups.keys()) upstreams.set(id, stack.use(await FrameUpstream.start()))
  const ids = [...downstreamGroups.keys(), ...upstreamGroups.keys()]
  const [adminPort, ...ports] = (await freePorts(ids.length + 1)) as [number, ...number[]]
  const log = join(temporaryFolder(), 'access.log')
  let yaml = bootstrap({
    listeners: [
      ...[...downstreamGroups].map(([id, [one]]) => downstreamListener(id, one!)),
      ...[...upstreamGroups.keys()].map(upstreamListener),
    ],
    clusters: [...upstreamGroups].map(([id, [one]]) => upstreamCluster(id, upstreams.get(id)!.port, one!)),
  })
  for (const [i, id] of ids.entries()) yaml = yaml.replaceAll(`{{listen:${id}}}`, String(ports[i]))
  yaml = yaml.replaceAll('{{admin}}', String(adminPort)).replaceAll('{{log}}', log)
  const side = new Side(stack.use(await start(yaml, { adminPort, args: ['--file-flush-interval-msec', '5'] })), log)
  for (const [i, id] of ids.entries()) {
    await side.begin(id)
    for (const one of downstreamGroups.get(id) ?? []) {
      await side.observe(one.name, id, () => runDownstream(ports[i]!, one))
    }
    for (const one of upstreamGroups.get(id) ?? []) {
      await side.observe(one.name, id, () => runUpstream(ports[i]!, upstreams.get(id)!, one))
    }
  }
  return side.fields
}

test('frames of clients and upstreams get the same answers as from Envoy', async () => {
  const [envoy, hopwise] = await Promise.all([observe(startEnvoy), observe(startHopwise)])
  // Where Envoy closes without a word, we say why.
  for (const name of hopwise.keys()) if (name.endsWith(': goaway') && !envoy.has(name)) hopwise.delete(name)
  assertSameFields('http2 frames', envoy, hopwise)
})
