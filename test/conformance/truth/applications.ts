/**
 * The four applications of a chain and what surrounds it, in one process: a host that says nothing, a name server that
 * knows no name, a collector of spans, a service outside of the mesh. Applications obey the headers of each request
 * (`faults.ts`) and hand these on; ids they copy only where that is their custom.
 */
import { createSocket } from 'node:dgram'
import { createServer, type IncomingHttpHeaders, request } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import { CHAIN, calleeOf, type Hop } from './faults.ts'
import type { MeshPorts } from './sidecar-config.ts'
import {
  type Answer,
  type Asked,
  type Call,
  type Caller,
  GrpcCaller,
  grpcServer,
  HttpCaller,
  httpServer,
  type Way,
} from './speech.ts'
import { wallMs } from './wall-clock.ts'

export type Copies = 'headers' | 'request-id' | 'nothing'

export interface ApplicationsOptions {
  readonly ports: MeshPorts
  readonly copies: Copies
  /** With what the impostor among them shows itself. */
  readonly impostor: { readonly chain: string; readonly key: string }
  /** They ask each other over gRPC. */
  readonly grpc?: boolean
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

/** A request has come to an application, or hangs there from then on. */
export interface Reached {
  readonly number: string
  readonly hop: Hop
  /** {@link wallMs}. */
  readonly atMs: number
  readonly hangs: boolean
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

const DEAD: Call = { host: 'dead', path: '/', gone: undefined, headers: {} }

class Application {
  readonly #name: Hop
  readonly #next: Hop | undefined
  readonly #egressPort: number
  readonly #ids: readonly string[]
  /** Calls the next service. */
  readonly #caller: Caller
  /** Calls everybody else. */
  readonly #http: HttpCaller
  #workMs = WORK_MS
  #background: NodeJS.Timeout | undefined
  #poll: (() => void) | undefined
  /** Requests somebody is to hang on that have come here, since last asked. */
  #reached: Reached[] = []

  constructor(name: Hop, { ports, copies, grpc = false }: ApplicationsOptions) {
    this.#name = name
    this.#next = calleeOf(name)
    this.#egressPort = ports.of[name].egress
    this.#ids = IDS[copies]
    this.#http = new HttpCaller(this.#egressPort)
    this.#caller = grpc ? new GrpcCaller(this.#egressPort) : this.#http
    // Clients of the chain speak HTTP in any case.
    const server = grpc && name !== 'a' ? grpcServer : httpServer
    server.listen(ports.of[name].app, asked => void this.#serve(asked))
  }

  control({ background = [], longPoll = [], workMs = WORK_MS }: Control): void {
    this.#workMs = workMs
    clearInterval(this.#background)
    if (background.includes(this.#name)) {
      this.#background = setInterval(() => void this.#http.call(DEAD), BACKGROUND_EVERY_MS)
    }
    if (!longPoll.includes(this.#name)) {
      this.#poll?.()
      this.#poll = undefined
    } else this.#poll ??= this.#keepPolling()
  }

  takeReached(): Reached[] {
    const reached = this.#reached
    this.#reached = []
    return reached
  }

  async #serve(asked: Asked): Promise<void> {
    const { headers, path, gone } = asked
    const way: Way = { path, gone }
    if (String(headers['x-fault']).includes(':app_timeout;')) {
      this.#note(headers, false)
    }
    if (Math.random() < 0.7) await delay(Math.random() * 2 * this.#workMs)
    const manner = String(headers['x-manner'] ?? '').match(new RegExp(`;${this.#name}:(\\w+);`))?.[1] ?? 'pass'
    const own = this.#faultsOf(headers)
    if (headers['x-forge'] === 'outside' && this.#name === 'c') {
      const { status } = await this.#http.call({ ...way, host: 'outside', headers: this.#handedOn(headers) })
      asked.answer(status, '')
      return
    }
    if (this.#next !== undefined) {
      if (manner === 'stream') {
        this.#caller.stream({ ...way, host: this.#next, headers: this.#handedOn(headers) }, asked)
        return
      }
      const answer = await this.#callNext(headers, way, own, manner)
      if (isFailed(answer) && manner !== 'swallow') {
        // Refusals are repeated, everything else becomes an error of one's own: as most applications do.
        asked.answer(answer.status >= 400 && answer.status < 500 ? answer.status : 500, `${this.#name} fails`)
        return
      }
      if (Math.random() < 0.5) await delay(Math.random() * 2 * this.#workMs)
    }
    this.#answer(own, asked)
  }

  #note(headers: IncomingHttpHeaders, hangs: boolean): void {
    this.#reached.push({ number: String(headers['x-number']), hop: this.#name, atMs: wallMs(), hangs })
  }

  #answer(own: readonly string[], asked: Asked): void {
    const { headers } = asked
    const kind = own[0]
    switch (kind) {
      case 'app_timeout':
        this.#note(headers, true)
        return
      case 'app_error':
      case 'retry_exhausted':
        if (headers['x-forge'] === 'application') asked.setHeader('proxy-status', FORGED)
        asked.answer(kind === 'app_error' ? 500 : 503, `${this.#name} has an error`)
        return
      case 'reset':
        asked.reset()
        return
      case 'terminated':
        asked.terminate()
        return
      case 'protocol_error':
        asked.garbage()
        return
      case 'partial_length':
      case 'partial_chunked':
        asked.begin(kind === 'partial_length' ? 1000 : undefined)
        asked.write('a part of it')
        setTimeout(() => asked.terminate(), 5)
        return
      default:
        if (headers['x-forge'] === 'application') asked.setHeader('proxy-status', FORGED)
        asked.answer(200, 'ok')
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
    const call: Call = { ...way, host, headers: sent, body }
    const answer = await this.#caller.call(call)
    if (!isFailed(answer) || (manner !== 'retry' && manner !== 'repair')) return answer
    await delay(Math.random() * 2 * this.#workMs)
    if (manner === 'retry') return await this.#caller.call(call)
    delete sent['x-fault']
    return await this.#caller.call({ ...way, host: this.#next!, headers: sent })
  }

  #handedOn(headers: IncomingHttpHeaders): Record<string, string> {
    const sent: Record<string, string> = {}
    for (const name of [...PLAN_HEADERS, ...this.#ids]) {
      const value = headers[name]
      if (typeof value === 'string') sent[name] = value
    }
    return sent
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

function startSurroundings({ ports, impostor }: ApplicationsOptions): void {
  createTcpServer(socket => socket.on('error', () => {}).resume()).listen(ports.silent, '127.0.0.1')
  const { chain: cert, key } = impostor
  createTlsServer({ cert, key }, socket => socket.on('error', () => {}).resume())
    .on('tlsClientError', () => {})
    .listen(ports.impostor, '127.0.0.1')
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
  // Every call that is given up is an error, of which nobody reads where: a seventh of what these cost when most are.
  Error.stackTraceLimit = 0
  const options = JSON.parse(process.argv[2]!) as ApplicationsOptions
  const applications = CHAIN.map(name => new Application(name, options))
  startSurroundings(options)
  createServer(async (incoming, response) => {
    if (incoming.method === 'GET') {
      response.end(JSON.stringify(applications.flatMap(application => application.takeReached())))
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
