/**
 * One service of the demo: answers on its port, calls others through the egress listener of its own sidecar, and can be
 * made to misbehave. Knows nothing of the mesh: `http://d/` is sent to the sidecar, which knows where d is.
 *
 *   node service.ts '{"name": "c", "port": 1, "opsPort": 2, "egressPort": 3, "calls": [{"host": "d"}], …}'
 *
 * Ops port: `GET /ready`, `GET /metrics` (Prometheus), `POST /control` ({@link Behaviour} as JSON).
 */
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { Counter, Histogram, Registry } from 'prom-client'
import { type Behaviour, parseBehaviour } from './behaviour.ts'
import { noTracing, openTelemetry, type RequestTrace } from './tracing.ts'

export interface ServiceOptions {
  readonly name: string
  readonly port: number
  readonly opsPort: number
  /** The sidecar's; 0 for a service that calls nobody. */
  readonly egressPort: number
  /** Made in parallel, for every request. With several paths each request takes the next. */
  readonly calls: readonly { readonly host: string; readonly paths: readonly string[] }[]
  /** A call that belongs to no request, made over and over. */
  readonly background?: { readonly host: string; readonly path: string; readonly everyMs: number } | undefined
  /** Time its own work takes. */
  readonly workMs: number
  /** Where spans go; '' for a service without tracing. */
  readonly zipkinUrl: string
  /** How the context travels: `b3multi`, `b3`, `tracecontext`, or several (`OTEL_PROPAGATORS`). */
  readonly propagators: string
}

const MAX_BODY = 1024 * 1024

const options = JSON.parse(process.argv[2] ?? '{}') as ServiceOptions
let behaviour: Behaviour = {}
let round = 0

const registry = new Registry()
const requests = new Counter({
  name: 'http_requests_total',
  help: 'Requests by status',
  labelNames: ['status'],
  registers: [registry],
})
const seconds = new Histogram({
  name: 'http_request_duration_seconds',
  help: 'Time from request to answer',
  registers: [registry],
})

// A sidecar keeps its connections; closing an idle one just as it is used again would look like a failure.
const agent = new Agent({ keepAlive: true, maxSockets: 1000 })
const tracing =
  options.zipkinUrl === '' ? noTracing : await openTelemetry(options.name, options.zipkinUrl, options.propagators)

const server = createServer((req, res) => {
  const started = performance.now()
  const trace = tracing.request(req.method ?? 'GET', req.url ?? '/', req.headers)
  const gone = new AbortController()
  // Whoever waited has gone, or has its answer: in both cases the calls made for it are of no more use.
  res.on('close', () => {
    gone.abort()
    const status = res.writableFinished ? res.statusCode : 0
    requests.inc({ status })
    seconds.observe((performance.now() - started) / 1000)
    trace.end(status)
  })
  serve(req, res, trace, gone.signal).catch((error: Error) => {
    if (res.headersSent || res.destroyed) res.destroy()
    else answer(res, 502, { service: options.name, error: error.message })
  })
})
server.keepAliveTimeout = 120_000
server.listen(options.port, '127.0.0.1')

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
ops.keepAliveTimeout = 120_000
ops.listen(options.opsPort, '127.0.0.1')

if (options.background !== undefined) {
  const { host, path, everyMs } = options.background
  const again = () => {
    // What comes of it is nobody's concern: that is what makes it background work.
    call(host, path, noTracing.request('GET', path, {}), undefined, 0, {})
      .catch(() => {})
      .finally(() => setTimeout(again, everyMs))
  }
  setTimeout(again, everyMs)
}

async function serve(req: IncomingMessage, res: ServerResponse, trace: RequestTrace, gone: AbortSignal): Promise<void> {
  await bodyOf(req)
  const ill = behaviour.path === undefined || req.url?.startsWith(behaviour.path) ? behaviour : {}
  if (ill.hang) return
  await delay(options.workMs + (ill.delayMs ?? 0), undefined, { signal: gone })
  if (ill.reset) return void res.socket?.resetAndDestroy()
  if (ill.close) return void res.socket?.destroy()
  if (ill.garbage) return void res.socket?.end('HTTP/1.1 two hundred\r\nthis is no header\r\n\r\n')

  const failures = await makeCalls(ill, trace, gone)
  if (failures.length > 0 && !ill.swallow) {
    return answer(res, 502, { service: options.name, error: failures.join('; ') })
  }
  if (ill.cutBody !== undefined) return cutShort(res, ill.cutBody)
  const status = ill.status ?? 200
  answer(res, status, { service: options.name, ...(status !== 200 && { error: 'made to fail' }) })
}

/** Calls everybody this service needs; gives what went wrong. */
async function makeCalls(ill: Behaviour, trace: RequestTrace, gone: AbortSignal): Promise<string[]> {
  const turn = round++
  const made: Promise<void>[] = []
  for (const [i, { host, paths }] of options.calls.entries()) {
    const times = i === 0 ? (ill.fanOut ?? 1) : 1
    const bytes = i === 0 ? (ill.sendBytes ?? 0) : 0
    const path = paths[turn % paths.length]!
    for (let n = 0; n < times; n++) made.push(call(host, path, trace, gone, bytes, ill.headers ?? {}))
  }
  if (ill.alsoCall !== undefined) made.push(call(ill.alsoCall, '/', trace, gone, 0, ill.headers ?? {}))
  const failures: string[] = []
  for (const result of await Promise.allSettled(made)) {
    if (result.status === 'rejected') failures.push((result.reason as Error).message)
  }
  return failures
}

/** Resolves when the whole answer is there and is none of an error. */
function call(
  host: string,
  path: string,
  trace: RequestTrace,
  gone: AbortSignal | undefined,
  bytes: number,
  more: Readonly<Record<string, string>>,
): Promise<void> {
  const span = trace.call(host)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const method = bytes > 0 ? 'POST' : 'GET'
  const headers = { host, ...span.headers, ...more }
  const outgoing = request(
    { host: '127.0.0.1', port: options.egressPort, agent, method, path, headers, ...(gone && { signal: gone }) },
    response => {
      response.resume()
      response.on('error', reject)
      response.on('close', () => {
        if (!response.complete) reject(new Error(`${host}: broke off its answer`))
        else if ((response.statusCode ?? 0) >= 400) reject(new Error(`${host}: ${response.statusCode}`))
        else resolve()
      })
    },
  )
  outgoing.on('error', error => reject(new Error(`${host}: ${error.message}`)))
  outgoing.end(bytes > 0 ? Buffer.alloc(bytes, 'x') : undefined)
  promise.then(
    () => span.end(undefined),
    (error: Error) => span.end(error.message),
  )
  return promise
}

function answer(res: ServerResponse, status: number, body: object): void {
  if (res.destroyed) return
  res.writeHead(status, { 'content-type': 'application/json' })
  res.end(`${JSON.stringify(body)}\n`)
}

/** A head and a part of the body, seen by the other end before the connection goes. */
function cutShort(res: ServerResponse, how: 'length' | 'chunked'): void {
  res.writeHead(200, { 'content-type': 'text/plain', ...(how === 'length' && { 'content-length': 4096 }) })
  res.write('x'.repeat(1000), () => setTimeout(() => res.socket?.resetAndDestroy(), 20))
}

async function bodyOf(req: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of req) {
    if (text.length < MAX_BODY) text += part
  }
  return text
}
