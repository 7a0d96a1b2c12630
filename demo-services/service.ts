/**
 * One service of the demo: answers on its port, calls others through the egress listener of its own sidecar, and can be
 * made to misbehave. Knows nothing of the mesh: what it asks of `d` is sent to the sidecar, which knows where d is.
 *
 *   node service.ts '{"name": "c", "port": 1, "opsPort": 2, "egressPort": 3, "calls": [{"host": "d"}], …}'
 *
 * Ops port: `GET /ready`, `GET /metrics` (Prometheus), `POST /control` ({@link Behaviour} as JSON).
 */
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { type Behaviour, parseBehaviour, SPREE_AT_ONCE, SPREE_CALLS } from './behaviour.ts'
import { HttpCalls } from './calls.ts'
import type { Exchange } from './exchange.ts'
import type { ChainClient } from './grpc-chain.ts'
import { bodyOf, startHttpServer } from './http-server.ts'
import { noTracing, openTelemetry, type RequestTrace } from './tracing.ts'

export interface ServiceOptions {
  readonly name: string
  readonly port: number
  readonly opsPort: number
  /** Loopback only, unless others than this machine are to reach it. */
  readonly opsHost?: string
  /** The sidecar's; 0 for a service that calls nobody. */
  readonly egressPort: number
  /** What it is called by, and speaks on its port. */
  readonly serves: 'http' | 'grpc'
  /** Made in parallel, for every request. With several paths each request takes the next. */
  readonly calls: readonly ServiceCall[]
  /** Calls over HTTP leave in HTTP/2. */
  readonly http2: boolean
  /** A call that belongs to no request, made over and over. */
  readonly background?: { readonly host: string; readonly path: string; readonly everyMs: number } | undefined
  /** Time its own work takes. */
  readonly workMs: number
  /** Where spans go; '' for a service without tracing. */
  readonly zipkinUrl: string
  /** How the context travels: `b3multi`, `b3`, `tracecontext`, or several (`OTEL_PROPAGATORS`). */
  readonly propagators: string
}

export interface ServiceCall {
  readonly host: string
  /** None for a call over gRPC. */
  readonly paths?: readonly string[]
}

/** The sidecar keeps its connections, and so do those who read this port. */
const KEEP_ALIVE_MS = 120_000

const options = JSON.parse(process.argv[2] ?? '{}') as ServiceOptions
let behaviour: Behaviour = {}
let round = 0
/** What a fault makes it hold on to. */
const kept: Buffer[] = []

const registry = new Registry()
const overGrpc = options.calls.filter(({ paths }) => paths === undefined)
const grpc = options.serves === 'grpc' || overGrpc.length > 0 ? await import('./grpc-chain.ts') : undefined
const tracing =
  options.zipkinUrl === '' ? noTracing : await openTelemetry(options.name, options.zipkinUrl, options.propagators)
const http = new HttpCalls(options.egressPort, options.http2)
const chainClients = new Map<string, ChainClient>()
for (const { host } of overGrpc) chainClients.set(host, new grpc!.ChainClient(host, options.egressPort))

const startServer = options.serves === 'grpc' ? grpc!.startGrpcServer : startHttpServer
startServer(options.port, options.name, registry, tracing, serve)

const ops = createServer((req, res) => {
  if (req.method === 'POST' && req.url === '/control') {
    void bodyOf(req).then(text => {
      const parsed = parseBehaviour(text)
      if (typeof parsed === 'string') return void res.writeHead(400).end(`${parsed}\n`)
      behaviour = parsed
      res.end(`${JSON.stringify(behaviour)}\n`)
    })
  } else if (req.url === '/metrics') {
    void registry.metrics().then(text => res.setHeader('content-type', registry.contentType).end(text))
  } else if (req.url === '/ready') res.end('ready\n')
  else if (req.url === '/control') res.end(`${JSON.stringify(behaviour)}\n`)
  else res.writeHead(404).end('GET /ready, GET /metrics, GET or POST /control\n')
})
ops.keepAliveTimeout = KEEP_ALIVE_MS
ops.listen(options.opsPort, options.opsHost ?? '127.0.0.1')

if (options.background !== undefined) {
  const { host, path, everyMs } = options.background
  const again = () => {
    // What comes of it is nobody's concern: that is what makes it background work.
    http
      .send(host, path, 0, {}, undefined)
      .catch(() => {})
      .finally(() => setTimeout(again, everyMs))
  }
  setTimeout(again, everyMs)
}

async function serve(exchange: Exchange): Promise<void> {
  const { path, trace, gone, connection } = exchange
  const ill = behaviour.path === undefined || path.startsWith(behaviour.path) ? behaviour : {}
  if (ill.crash !== undefined) crash(ill.crash)
  for (let mib = 0; mib < (ill.memory ?? 0); mib++) kept.push(Buffer.alloc(1024 * 1024, 1))
  if (ill.hang) return
  await delay(options.workMs + (ill.delayMs ?? 0), undefined, { signal: gone })
  if (ill.stall) return exchange.stall()
  if (ill.reset) return exchange.reset()
  if (ill.close) return void connection?.destroy()
  // As HTTP/2 it is a frame that is far too long.
  if (ill.garbage) return void connection?.end('HTTP/1.1 two hundred\r\nthis is no header\r\n\r\n')

  const failures = await makeCalls(ill, trace, gone)
  if (failures.length > 0 && !ill.swallow) return exchange.answer(502, failures.join('; '))
  if (ill.cutBody !== undefined) return exchange.cutShort(ill.cutBody)
  const status = ill.status ?? 200
  exchange.answer(status, status === 200 ? undefined : 'made to fail', ill.answerHeadBytes)
}

/** Leaves word for `supervise.sh` of how long it is to stay away. */
function crash(downMs: number): never {
  writeFileSync(join(tmpdir(), 'down-ms'), String(downMs))
  process.exit(1)
}

/** Calls everybody this service needs; gives what went wrong. */
async function makeCalls(ill: Behaviour, trace: RequestTrace, gone: AbortSignal): Promise<string[]> {
  const turn = round++
  const made: Promise<void>[] = []
  const headers = { ...ill.headers }
  if (ill.sendHeadBytes !== undefined) headers['x-ballast'] = 'x'.repeat(ill.sendHeadBytes)
  // gRPC's own client says so by itself.
  const deadline = ill.deadlineMs === undefined ? {} : { 'grpc-timeout': `${ill.deadlineMs}m` }
  for (const [i, { host, paths }] of options.calls.entries()) {
    const times = i === 0 ? (ill.fanOut ?? 1) : 1
    const bytes = i === 0 ? (ill.sendBytes ?? 0) : 0
    const path = paths?.[turn % paths.length]
    for (let n = 0; n < times; n++) {
      made.push(
        call(host, trace, own => {
          const all = { ...own, ...headers }
          if (path === undefined) return chainClients.get(host)!.work(bytes, all, gone, ill.deadlineMs)
          return http.send(host, path, bytes, { ...all, ...deadline }, gone)
        }),
      )
    }
  }
  const get = (target: string) => {
    const [host, path] = splitTarget(target)
    return call(host, trace, own => http.send(host, path, 0, { ...own, ...headers }, gone))
  }
  if (ill.alsoCall !== undefined) made.push(get(ill.alsoCall))
  if (ill.upgrade !== undefined) {
    const [host, path] = splitTarget(ill.upgrade)
    made.push(call(host, trace, own => http.upgrade(host, path, { ...own, ...headers }, gone)))
  }
  const { spree } = ill
  if (spree !== undefined) {
    for (let lane = 0; lane < SPREE_AT_ONCE; lane++) {
      made.push(oneByOne(SPREE_CALLS / SPREE_AT_ONCE, () => get(spree)))
    }
  }
  const failures: string[] = []
  for (const result of await Promise.allSettled(made)) {
    if (result.status === 'rejected') failures.push((result.reason as Error).message)
  }
  return failures
}

/** `outside/feed`: whom, and what for. */
function splitTarget(target: string): [host: string, path: string] {
  const slash = target.indexOf('/')
  return slash < 0 ? [target, '/'] : [target.slice(0, slash), target.slice(slash)]
}

/** All of them, though some fail; rejects with the first failure then. */
async function oneByOne(times: number, make: () => Promise<void>): Promise<void> {
  let failure: unknown
  for (let n = 0; n < times; n++) {
    await make().catch(error => {
      failure ??= error
    })
  }
  if (failure !== undefined) throw failure
}

/** One call with its span; `send` is given the headers that carry it, and resolves with an answer that is no error. */
async function call(
  host: string,
  trace: RequestTrace,
  send: (headers: Readonly<Record<string, string>>) => Promise<void>,
): Promise<void> {
  const span = trace.call(host)
  try {
    await send(span.headers)
    span.end(undefined)
  } catch (error) {
    const { message } = error as Error
    span.end(message)
    throw new Error(`${host}: ${message}`)
  }
}
