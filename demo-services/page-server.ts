/**
 * The page of the demo: files of `observability/trace-store/page/`, one JSON document that puts the sidecars' answers
 * together (`/api/mesh`), one failure (`/api/failure/<id>`), and the trace store's queries handed through.
 */
import { readFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { FailureEntry } from '../sidecar/failure-origin/failure-log.ts'
import { locate } from './judge.ts'
import { type MeshView, meshView, summaryOf } from './mesh-view.ts'
import { type Counters, fetchText, parseExposition } from './sidecar-output.ts'
import { describe, evidenceText, type Told } from './terminal.ts'

export interface Page {
  readonly url: string
  close(): Promise<void>
}

/** What the demo does right now, for the page. */
export class DemoState {
  current = ''
  readonly told: object[] = []

  begin(title: string): void {
    this.current = title
  }

  end({ fault, callersSaw, named, verdict }: Told): void {
    this.current = ''
    this.told.unshift({
      at: Date.now(),
      title: fault.title,
      callersSaw,
      named: describe(named),
      evidence: evidenceText(named),
      failureId: named?.failureId ?? '',
      right: verdict.right,
      why: verdict.why,
    })
  }
}

const assets = join(import.meta.dirname, '..', 'observability', 'trace-store', 'page')
const FILES: Readonly<Record<string, readonly [file: string, type: string]>> = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/page.css': ['page.css', 'text/css; charset=utf-8'],
  '/page.js': ['page.js', 'text/javascript; charset=utf-8'],
  '/topology.js': ['topology.js', 'text/javascript; charset=utf-8'],
  '/waterfall.js': ['waterfall.js', 'text/javascript; charset=utf-8'],
  '/elements.js': ['elements.js', 'text/javascript; charset=utf-8'],
}
/** However many look at the page, the sidecars are asked this often. */
const SAMPLE_MS = 900
/** Rates are over the time between two samples, at most this many ago. */
const MAX_SAMPLES = 4
const FAILURES_MS = 600_000
const MAX_FAILURES = 300
const FILTER = '^(cluster\\..*\\.upstream_rq_(total|completed|[1-5]xx)$|hopwise_own_seconds)'

interface Sample {
  readonly at: number
  readonly counters: Counters
}

export async function startPage(options: {
  readonly port: number
  readonly traceStoreUrl: string
  readonly admin: ReadonlyMap<string, number>
  readonly state: DemoState
}): Promise<Page> {
  const mesh = new MeshReader(options.admin)
  const server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? '/', 'http://page')
    answer(pathname, search, response).catch((error: Error) => {
      if (response.headersSent) response.destroy()
      else response.writeHead(502, { 'content-type': 'text/plain' }).end(`${error.message}\n`)
    })
  })

  async function answer(path: string, search: string, response: ServerResponse): Promise<void> {
    const file = FILES[path]
    if (file !== undefined) {
      // Nothing from elsewhere, and nothing inline: what a failure's text contains stays text.
      response.setHeader('content-security-policy', "default-src 'self'; img-src 'self' data:")
      response.writeHead(200, { 'content-type': file[1], 'cache-control': 'no-cache' })
      response.end(readFileSync(join(assets, file[0])))
    } else if (path === '/api/mesh') {
      const { current, told } = options.state
      sendJson(response, { ...(await mesh.view()), demo: { current, told } })
    } else if (path.startsWith('/api/failure/')) {
      const failure = await mesh.failure(decodeURIComponent(path.slice('/api/failure/'.length)))
      if (failure === undefined) response.writeHead(404, { 'content-type': 'text/plain' }).end('no such failure\n')
      else sendJson(response, failure)
    } else if (path.startsWith('/api/v2/')) {
      const answer = await fetch(`${options.traceStoreUrl}${path}${search}`)
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' })
      response.end(await answer.text())
    } else response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n')
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, '127.0.0.1', resolve)
  })
  // The first look is for a rate, which takes two.
  await mesh.view()
  return {
    url: `http://127.0.0.1:${options.port}/`,
    async close() {
      server.closeAllConnections()
      await new Promise<void>(resolve => server.close(() => resolve()))
    },
  }
}

class MeshReader {
  readonly #admin: ReadonlyMap<string, number>
  readonly #samples: Sample[] = []
  #entries: readonly FailureEntry[] = []
  #reading: Promise<MeshView> | undefined
  #view: MeshView | undefined

  constructor(admin: ReadonlyMap<string, number>) {
    this.#admin = admin
  }

  async view(): Promise<MeshView> {
    if (this.#view !== undefined && Date.now() - this.#view.at < SAMPLE_MS) return this.#view
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return await this.#reading
  }

  /** Looked for at the sidecars themselves: it may be older than what the page lists. */
  async failure(id: string): Promise<object | undefined> {
    if (!/^[\w-]{1,64}$/.test(id)) return undefined
    const first = await this.#failures(`/failures?format=json&limit=${MAX_FAILURES}&id=${id}`)
    const ids = new Set(first.flatMap(entry => [entry.id, ...entry.aliases]))
    ids.delete(id)
    const more = await Promise.all(
      [...ids].slice(0, 8).map(each => this.#failures(`/failures?format=json&limit=${MAX_FAILURES}&id=${each}`)),
    )
    const entries = new Map(
      [...first, ...more.flat()].map(entry => [`${entry.service} ${entry.span} ${entry.seq}`, entry]),
    )
    const located = locate([...entries.values()]).find(({ merged }) => merged.ids.includes(id))
    return located && { ...summaryOf(located), entries: located.merged.entries }
  }

  async #read(): Promise<MeshView> {
    const counters = new Map<string, ReadonlyMap<string, number>>()
    const path = `/stats/prometheus?filter=${encodeURIComponent(FILTER)}`
    const [entries] = await Promise.all([
      this.#failures(`/failures?format=json&limit=${MAX_FAILURES}`),
      Promise.allSettled(
        [...this.#admin].map(async ([instance, port]) => {
          counters.set(instance, parseExposition(await fetchText(port, path)))
        }),
      ),
    ])
    const at = Date.now()
    this.#entries = entries.filter(entry => at - entry.at < FAILURES_MS)
    const before = this.#samples[0] ?? { at: at - 1000, counters }
    this.#samples.push({ at, counters })
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift()
    const seconds = Math.max(0.1, (at - before.at) / 1000)
    this.#view = meshView(this.#entries, before.counters, counters, seconds, at)
    return this.#view
  }

  async #failures(path: string): Promise<FailureEntry[]> {
    const answers = await Promise.allSettled([...this.#admin.values()].map(port => fetchText(port, path)))
    return answers
      .filter(answer => answer.status === 'fulfilled')
      .flatMap(answer => (JSON.parse(answer.value) as { failures: FailureEntry[] }).failures)
  }
}

function sendJson(response: ServerResponse, value: unknown): void {
  response
    .writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(JSON.stringify(value))
}
