/**
 * An embedded trace store: Zipkin's collector and query API (`/api/v2/…`) over SQLite, so that traces can be looked at
 * where no Zipkin runs. Answers are Zipkin's own, byte for byte where it says text (3.5.1 is the oracle of
 * test/conformance/trace-store-vs-zipkin.test.ts). It is a process of its own or a guest in one, never on the data path.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { serveAsset } from './assets.ts'
import { MeshPage } from './mesh-page.ts'
import type { SidecarAdmins } from './sidecar-admins.ts'
import { SpanDatabase, type StoreCounts } from './span-database.ts'
import { BadQuery, DEFAULT_LOOKBACK_MS, parseTraceQuery, positive } from './trace-query.ts'
import { InvalidSpans, normalTraceId, parseSpans } from './zipkin-span.ts'

export interface TraceStoreOptions {
  /** 0 for any free port. */
  readonly port: number
  /** 127.0.0.1 by default. */
  readonly host?: string | undefined
  /** Database file; without one everything is in memory. */
  readonly file?: string | undefined
  readonly maxSpans?: number | undefined
  readonly maxAgeMs?: number | undefined
  /** Tags whose values the page offers (Zipkin: `AUTOCOMPLETE_KEYS`). */
  readonly autocompleteKeys?: readonly string[] | undefined
  /** The page over these is served at `/`, with the traces of this store. */
  readonly sidecars?: SidecarAdmins | undefined
  /** Folder of another page, served at `/`. */
  readonly assetsDirectory?: string | undefined
}

export interface TraceStore {
  /** `http://127.0.0.1:9411`. */
  readonly url: string
  readonly counts: StoreCounts & { readonly reportsRefused: number }
  close(): Promise<void>
}

const DEFAULT_MAX_SPANS = 200_000
const DEFAULT_MAX_AGE_MS = 86_400_000
const MAX_REPORT_BYTES = 16 * 1024 * 1024
const EVICTION_INTERVAL_MS = 60_000
const DEFAULT_AUTOCOMPLETE_KEYS = ['failure.origin', 'failure.cause', 'failure.role', 'http.status_code']

const TRACE_PATH = '/api/v2/trace/'

class NotFound extends Error {
  override name = 'NotFound'
}

const unzip = promisify(gunzip)

/** Opens the database and listens. Rejects where either fails. */
export async function startTraceStore(options: TraceStoreOptions): Promise<TraceStore> {
  const handler = new TraceStoreHandler(options)
  const server = createServer((request, response) => void handler.handle(request, response))
  try {
    await listen(server, options.port, options.host ?? '127.0.0.1')
  } catch (error) {
    handler.close()
    throw error
  }
  const { address, port } = server.address() as AddressInfo
  return {
    url: `http://${address.includes(':') ? `[${address}]` : address}:${port}`,
    get counts() {
      return handler.counts
    },
    async close() {
      server.closeAllConnections()
      await new Promise<void>(resolve => server.close(() => resolve()))
      handler.close()
    },
  }
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => resolve())
  })
}

class TraceStoreHandler {
  readonly #database: SpanDatabase
  readonly #options: TraceStoreOptions
  readonly #eviction: NodeJS.Timeout
  readonly #page: MeshPage | undefined
  #reportsRefused = 0

  constructor(options: TraceStoreOptions) {
    this.#options = options
    this.#database = new SpanDatabase(options.file ?? ':memory:', {
      maxSpans: options.maxSpans ?? DEFAULT_MAX_SPANS,
      maxAgeMs: options.maxAgeMs ?? DEFAULT_MAX_AGE_MS,
    })
    this.#page = options.sidecars && new MeshPage({ sidecars: options.sidecars, trace: id => this.#trace(id) })
    this.#database.evictByAge()
    this.#eviction = setInterval(() => this.#database.evictByAge(), EVICTION_INTERVAL_MS).unref()
  }

  get counts() {
    return { ...this.#database.counts, reportsRefused: this.#reportsRefused }
  }

  close(): void {
    clearInterval(this.#eviction)
    this.#database.close()
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://store')
    try {
      if (request.method === 'POST' && url.pathname === '/api/v2/spans') await this.#collect(request, response)
      else if ((await this.#page?.handle(request, response)) === true) return
      else if (request.method === 'GET' || request.method === 'HEAD') this.#answer(url, response)
      else sendText(response, 405, 'Method Not Allowed')
    } catch (error) {
      // Texts of mistakes are Zipkin's; anything else is ours to repair.
      const refused = error instanceof BadQuery || error instanceof InvalidSpans || error instanceof URIError
      if (response.headersSent) response.destroy()
      else sendText(response, refused ? 400 : error instanceof NotFound ? 404 : 500, (error as Error).message)
    }
  }

  async #collect(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const body = await readBody(request)
      this.#database.add(parseSpans(body))
    } catch (error) {
      this.#reportsRefused++
      throw error
    }
    response.writeHead(202).end()
  }

  #answer(url: URL, response: ServerResponse): void {
    const { pathname, searchParams } = url
    const { assetsDirectory } = this.#options
    const answer = this.#query(pathname, searchParams)
    if (answer !== undefined) sendJson(response, answer)
    else if (assetsDirectory === undefined || pathname.startsWith('/api/')) sendText(response, 404, '404 Not Found')
    else serveAsset(assetsDirectory, pathname, response)
  }

  /** The answer to a query, undefined for a path that is none. */
  #query(pathname: string, parameters: URLSearchParams): unknown {
    const database = this.#database
    switch (pathname) {
      case '/api/v2/traces':
        return database.traces(parseTraceQuery(parameters, Date.now()))
      case '/api/v2/traceMany':
        return this.#traceMany(required(parameters, 'traceIds'))
      case '/api/v2/services':
        return database.services()
      case '/api/v2/spans':
        return database.spanNames(required(parameters, 'serviceName').toLowerCase())
      case '/api/v2/remoteServices':
        return database.remoteServices(required(parameters, 'serviceName').toLowerCase())
      case '/api/v2/dependencies': {
        required(parameters, 'endTs')
        const lookback = positive(parameters, 'lookback') ?? DEFAULT_LOOKBACK_MS
        return database.dependencies(positive(parameters, 'endTs')!, lookback)
      }
      case '/api/v2/autocompleteKeys':
        return this.#autocompleteKeys
      case '/api/v2/autocompleteValues': {
        const key = required(parameters, 'key')
        return this.#autocompleteKeys.includes(key) ? database.tagValues(key) : []
      }
      case '/health':
        return { status: 'UP', zipkin: { status: 'UP', details: { SQLite: { status: 'UP' } } } }
      case '/info':
        return { zipkin: { version: 'hopwise' }, counts: this.counts }
    }
    if (!pathname.startsWith(TRACE_PATH)) return undefined
    const traceId = normalTraceId(decodeURIComponent(pathname.slice(TRACE_PATH.length)))
    const spans = database.trace(traceId)
    if (spans.length === 0) throw new NotFound(`${traceId} not found`)
    return spans
  }

  #trace(id: string): readonly object[] | undefined {
    const spans = this.#database.trace(normalTraceId(id))
    return spans.length === 0 ? undefined : spans
  }

  get #autocompleteKeys(): readonly string[] {
    return this.#options.autocompleteKeys ?? DEFAULT_AUTOCOMPLETE_KEYS
  }

  #traceMany(ids: string) {
    const traceIds = new Set(ids.split(',').map(normalTraceId))
    if (traceIds.size === 1) {
      throw new BadQuery('Use /api/v2/trace/{traceId} endpoint to retrieve a single trace')
    }
    return [...traceIds].map(traceId => this.#database.trace(traceId)).filter(spans => spans.length > 0)
  }
}

function required(parameters: URLSearchParams, name: string): string {
  const value = parameters.get(name)
  if (value === null) throw new BadQuery(`Mandatory parameter/header/attribute is missing: ${name}`)
  return value
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_REPORT_BYTES) throw new InvalidSpans(`a report is at most ${MAX_REPORT_BYTES} bytes long`)
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks)
  if (request.headers['content-encoding'] !== 'gzip') return body.toString('utf8')
  try {
    return (await unzip(body, { maxOutputLength: MAX_REPORT_BYTES })).toString('utf8')
  } catch (error) {
    throw new InvalidSpans(`Cannot gunzip spans: ${(error as Error).message}`)
  }
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text)
}
