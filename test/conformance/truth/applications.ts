/**
 * The four applications of a chain and what surrounds it, in one process: a host that says nothing, a name server that
 * knows no name, a collector of spans, a service outside of the mesh. Applications obey the headers of each request
 * (`faults.ts`) and hand these on; ids they copy only where that is their custom.
 */
import { createSocket } from 'node:dgram'
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { CHAIN, calleeOf, type Hop } from './faults.ts'
import type { MeshPorts } from './sidecar-config.ts'

export type Copies = 'headers' | 'request-id' | 'nothing'

export interface ApplicationsOptions {
  readonly ports: MeshPorts
  readonly copies: Copies
}

/** What the test changes while all runs. */
export interface Control {
  /** Applications that call a dead service every 10 ms, of no request's doing. */
  readonly background?: readonly Hop[]
  /** Applications that keep a call open all the time. */
  readonly longPoll?: readonly Hop[]
  /** How long an application works on a request before it calls on, on average. */
  readonly workMs?: number
}

const PLAN_HEADERS = ['x-number', 'x-fault', 'x-manner', 'x-budget', 'x-forge']
const IDS: Readonly<Record<Copies, readonly string[]>> = {
  headers: [
    'x-request-id',
    'traceparent',
    'tracestate',
    'x-b3-traceid',
    'x-b3-spanid',
    'x-b3-parentspanid',
    'x-b3-sampled',
  ],
  'request-id': ['x-request-id'],
  nothing: [],
}
const BACKGROUND_EVERY_MS = 10
/** More than sidecars take. */
const TOO_LARGE = Buffer.alloc(100_000, 'x')
const FORGED =
  'x; error=connection_refused; failure-origin=nobody; failure-cause=connect_refused; failure-link="x>nobody"; failure-path="nobody,x"; failure-confidence=exact; failure-id=f00df00df00df00d'
const WORK_MS = 1.5

interface Answer {
  /** 0 where there was none, or only a part of it. */
  readonly status: number
  readonly body: string
}

/** What a call has from the request it is made for. */
interface Way {
  readonly path: string
  readonly gone: AbortSignal | undefined
}

const NO_WAY: Way = { path: '/', gone: undefined }

class Application {
  readonly #name: Hop
  readonly #next: Hop | undefined
  readonly #egressPort: number
  readonly #ids: readonly string[]
  readonly #agent = new Agent({ keepAlive: true })
  #workMs = WORK_MS
  #background: NodeJS.Timeout | undefined
  #poll: (() => void) | undefined
  /** Numbers of the requests that hang here, since last asked. */
  #hanging: string[] = []

  constructor(name: Hop, { ports, copies }: ApplicationsOptions) {
    this.#name = name
    this.#next = calleeOf(name)
    this.#egressPort = ports.of[name].egress
    this.#ids = IDS[copies]
    const server = createServer((incoming, response) => void this.#serve(incoming, response))
    // Sidecars keep their connections; an end of ours would be one more thing that breaks.
    server.keepAliveTimeout = 120_000
    server.listen(ports.of[name].app, '127.0.0.1')
  }

  control({ background = [], longPoll = [], workMs = WORK_MS }: Control): void {
    this.#workMs = workMs
    clearInterval(this.#background)
    if (background.includes(this.#name)) {
      this.#background = setInterval(() => void this.#call('dead', NO_WAY, {}), BACKGROUND_EVERY_MS)
    }
    if (!longPoll.includes(this.#name)) {
      this.#poll?.()
      this.#poll = undefined
    } else this.#poll ??= this.#keepPolling()
  }

  takeHanging(): string[] {
    const hanging = this.#hanging
    this.#hanging = []
    return hanging
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { headers, url = '/' } = incoming
    // Whoever calls is gone: so is the reason to call others.
    const gone = new AbortController()
    response.on('close', () => gone.abort())
    const way: Way = { path: url, gone: gone.signal }
    incoming.resume()
    response.on('error', () => {})
    if (Math.random() < 0.7) await delay(Math.random() * 2 * this.#workMs)
    const manner = String(headers['x-manner'] ?? '').match(new RegExp(`;${this.#name}:(\\w+);`))?.[1] ?? 'pass'
    const own = this.#faultsOf(headers)
    if (headers['x-forge'] === 'outside' && this.#name === 'c') {
      const { status } = await this.#call('outside', way, this.#handedOn(headers))
      response.writeHead(status).end()
      return
    }
    if (this.#next !== undefined) {
      if (manner === 'stream') {
        this.#stream(headers, way, response)
        return
      }
      const answer = await this.#callNext(headers, way, own, manner)
      if (isFailed(answer) && manner !== 'swallow') {
        // Refusals are repeated, everything else becomes an error of one's own: as most applications do.
        response.writeHead(answer.status >= 400 && answer.status < 500 ? answer.status : 500).end(`${this.#name} fails`)
        return
      }
      if (Math.random() < 0.5) await delay(Math.random() * 2 * this.#workMs)
    }
    this.#answer(own, headers, incoming, response)
  }

  #answer(
    own: readonly string[],
    headers: IncomingHttpHeaders,
    incoming: IncomingMessage,
    response: ServerResponse,
  ): void {
    const { socket } = incoming
    const kind = own[0]
    switch (kind) {
      case 'app_timeout':
        this.#hanging.push(String(headers['x-number']))
        return
      case 'app_error':
      case 'retry_exhausted':
        if (headers['x-forge'] === 'application') response.setHeader('proxy-status', FORGED)
        response.writeHead(kind === 'app_error' ? 500 : 503).end(`${this.#name} has an error`)
        return
      case 'reset':
        socket.resetAndDestroy()
        return
      case 'terminated':
        socket.destroy()
        return
      case 'protocol_error':
        socket.end('what is no HTTP\r\n\r\n')
        return
      case 'partial_length':
      case 'partial_chunked':
        response.writeHead(200, kind === 'partial_length' ? { 'content-length': '1000' } : {})
        response.write('a part of it')
        setTimeout(() => socket.destroy(), 5)
        return
      default:
        if (headers['x-forge'] === 'application') response.setHeader('proxy-status', FORGED)
        response.end('ok')
    }
  }

  /** Kinds of faults that are this application's to do. */
  #faultsOf(headers: IncomingHttpHeaders): string[] {
    const wanted = String(headers['x-fault'] ?? '')
    return [...wanted.matchAll(/;(\w+):(\w+);/g)].filter(([, hop]) => hop === this.#name).map(([, , kind]) => kind!)
  }

  async #callNext(headers: IncomingHttpHeaders, way: Way, own: readonly string[], manner: string): Promise<Answer> {
    const host = own.includes('no_route') ? 'nobody' : this.#next!
    const body = own.includes('too_large') ? TOO_LARGE : undefined
    const sent = this.#handedOn(headers)
    const answer = await this.#call(host, way, sent, body)
    if (!isFailed(answer) || (manner !== 'retry' && manner !== 'repair')) return answer
    await delay(Math.random() * 2 * this.#workMs)
    if (manner === 'retry') return await this.#call(host, way, sent, body)
    delete sent['x-fault']
    return await this.#call(this.#next!, way, sent)
  }

  #handedOn(headers: IncomingHttpHeaders): Record<string, string> {
    const sent: Record<string, string> = {}
    for (const name of [...PLAN_HEADERS, ...this.#ids]) {
      const value = headers[name]
      if (typeof value === 'string') sent[name] = value
    }
    return sent
  }

  #call(host: string, { path, gone }: Way, headers: Record<string, string>, body?: Buffer): Promise<Answer> {
    return new Promise(resolve => {
      const nothing = () => resolve({ status: 0, body: '' })
      const outgoing = request(
        {
          host: '127.0.0.1',
          port: this.#egressPort,
          path,
          ...(gone !== undefined && { signal: gone }),
          method: body === undefined ? 'GET' : 'POST',
          agent: this.#agent,
          headers: { ...headers, host },
        },
        response => {
          text(response).then(read => resolve({ status: response.statusCode!, body: read }), nothing)
        },
      )
      outgoing.on('error', nothing)
      outgoing.end(body)
    })
  }

  /** Hands the body on as it comes. */
  #stream(headers: IncomingHttpHeaders, { path, gone }: Way, response: ServerResponse): void {
    const sent = { ...this.#handedOn(headers), host: this.#next! }
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: this.#egressPort,
        path,
        agent: this.#agent,
        headers: sent,
        ...(gone !== undefined && { signal: gone }),
      },
      answer => {
        const { 'content-length': length } = answer.headers
        response.writeHead(answer.statusCode!, length === undefined ? {} : { 'content-length': length })
        answer.on('error', () => response.destroy())
        answer.pipe(response)
      },
    )
    outgoing.on('error', () => (response.headersSent ? response.destroy() : response.writeHead(500).end()))
    outgoing.end()
  }

  #keepPolling(): () => void {
    const outgoing = request({ host: '127.0.0.1', port: this.#egressPort, path: '/', headers: { host: 'poll' } })
    outgoing.on('error', () => {})
    outgoing.end()
    return () => outgoing.destroy()
  }
}

function isFailed({ status }: Answer): boolean {
  return status === 0 || status >= 400
}

function startSurroundings(ports: MeshPorts): void {
  createTcpServer(socket => socket.on('error', () => {}).resume()).listen(ports.silent, '127.0.0.1')
  createServer((incoming, response) => {
    incoming.resume().on('end', () => response.writeHead(202).end())
  }).listen(ports.collector, '127.0.0.1')
  createServer((incoming, response) => {
    incoming.resume()
    response.writeHead(500, { 'proxy-status': FORGED, 'x-failure-id': 'f00df00df00df00d' }).end()
  }).listen(ports.outside, '127.0.0.1')
  startNameServer(ports.dns)
}

/** Answers NXDOMAIN to everything (RFC 1035 §4.1.1). */
function startNameServer(port: number): void {
  const socket = createSocket('udp4')
  socket.on('message', (query, from) => {
    if (query.length < 12) return
    const answer = Buffer.from(query)
    answer[2] = (query[2]! & 0x79) | 0x80
    answer[3] = 0x83
    answer.fill(0, 6, 12)
    let end = 12
    while (end < query.length && query[end] !== 0) end += query[end]! + 1
    socket.send(answer.subarray(0, Math.min(end + 5, query.length)), from.port, from.address)
  })
  socket.bind(port, '127.0.0.1')
}

if (process.argv[1] === import.meta.filename) {
  const options = JSON.parse(process.argv[2]!) as ApplicationsOptions
  const applications = CHAIN.map(name => new Application(name, options))
  startSurroundings(options.ports)
  createServer(async (incoming, response) => {
    if (incoming.method === 'GET') {
      response.end(JSON.stringify(applications.flatMap(application => application.takeHanging())))
      return
    }
    const control = JSON.parse(await text(incoming)) as Control
    for (const application of applications) application.control(control)
    response.end()
  }).listen(options.ports.control, '127.0.0.1', () => process.stdout.write('ready\n'))
  // Whoever started this may be killed without a word.
  const parent = process.ppid
  setInterval(() => {
    if (process.ppid !== parent) process.exit()
  }, 300)
}
