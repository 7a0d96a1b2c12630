/** The HTTP/1.1 side of a service of the demo. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Counter, Histogram, type Registry } from 'prom-client'
import { type Exchange, HEAD_FIRST_MS, type Serve } from './exchange.ts'
import type { RequestTrace, Tracing } from './tracing.ts'

const MAX_BODY = 1024 * 1024
/** A sidecar keeps its connections; closing an idle one just as it is used again would look like a failure. */
const KEEP_ALIVE_MS = 120_000

export function startHttpServer(port: number, name: string, registry: Registry, tracing: Tracing, serve: Serve): void {
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
  const server = createServer((req, res) => {
    const started = performance.now()
    const method = req.method ?? 'GET'
    const path = req.url ?? '/'
    const attributes = { 'http.request.method': method, 'url.path': path }
    const trace = tracing.request(`${method} ${path}`, attributes, req.headers)
    const exchange = new HttpExchange(name, path, trace, res)
    res.on('close', () => {
      const status = res.writableFinished ? res.statusCode : 0
      requests.inc({ status })
      seconds.observe((performance.now() - started) / 1000)
      trace.end(status >= 500 || status === 0, { 'http.response.status_code': status })
    })
    bodyOf(req)
      .then(() => serve(exchange))
      .catch((error: Error) => {
        if (res.headersSent || res.destroyed) res.destroy()
        else exchange.answer(502, error.message)
      })
  })
  server.keepAliveTimeout = KEEP_ALIVE_MS
  server.listen(port, '127.0.0.1')
}

class HttpExchange implements Exchange {
  readonly path: string
  readonly trace: RequestTrace
  readonly gone: AbortSignal
  readonly connection: Socket | undefined
  readonly #name: string
  readonly #response: ServerResponse

  constructor(name: string, path: string, trace: RequestTrace, response: ServerResponse) {
    this.#name = name
    this.path = path
    this.trace = trace
    this.#response = response
    this.connection = response.socket ?? undefined
    const gone = new AbortController()
    this.gone = gone.signal
    response.on('close', () => gone.abort())
  }

  answer(status: number, error: string | undefined, headBytes = 0): void {
    const response = this.#response
    if (response.destroyed) return
    if (headBytes > 0) response.setHeader('x-ballast', 'x'.repeat(headBytes))
    const body = `${JSON.stringify({ service: this.#name, ...(error !== undefined && { error }) })}\n`
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    response.end(body)
  }

  reset(): void {
    this.connection?.resetAndDestroy()
  }

  stall(): void {
    this.#response.writeHead(200, { 'content-type': 'text/plain' })
    this.#response.write('x'.repeat(1000))
  }

  cutShort(how: 'length' | 'chunked'): void {
    const response = this.#response
    response.writeHead(200, { 'content-type': 'text/plain', ...(how === 'length' && { 'content-length': 4096 }) })
    response.write('x'.repeat(1000), () => setTimeout(() => response.socket?.resetAndDestroy(), HEAD_FIRST_MS))
  }
}

export async function bodyOf(req: IncomingMessage): Promise<string> {
  let text = ''
  for await (const part of req) {
    if (text.length < MAX_BODY) text += part
  }
  return text
}
