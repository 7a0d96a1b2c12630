/**
 * The page over several sidecars: the same modules as on a sidecar's admin listener, and the same paths, answered from what
 * each sidecar says of itself (`/mesh/part`). However many look, the sidecars are asked once a second.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { failureView, type MeshPart, type MeshView, meshView } from '../../sidecar/admin/mesh-view.ts'
import { pageFile } from '../../sidecar/admin/page-files.ts'
import type { FailureEntry } from '../../sidecar/failure-origin/failure-log.ts'
import { askAll, fetchText, type SidecarAdmins } from './sidecar-admins.ts'

export interface MeshPageOptions {
  readonly sidecars: SidecarAdmins
  /** The spans of a trace; undefined where there is none of that id. */
  readonly trace: (id: string) => Promise<readonly object[] | undefined> | readonly object[] | undefined
  /** Put beside the mesh, for who has more to tell. */
  readonly more?: (() => object) | undefined
}

const SAMPLE_MS = 900
const MAX_ENTRIES = 300
/** Names by which a failure is looked for, beside the one asked for. */
const MAX_ALIASES = 8

export class MeshPage {
  readonly #options: MeshPageOptions
  #reading: Promise<void> | undefined
  #parts: readonly MeshPart[] = []
  #at = 0

  constructor(options: MeshPageOptions) {
    this.#options = options
  }

  /** Answers a request for the page or its data; false, and nothing is done, for any other. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://page')
    if (request.method !== 'GET' && request.method !== 'HEAD') return false
    const file = pageFile(pathname)
    if (file !== undefined) {
      response.writeHead(200, [...file.headers.flat(), 'content-type', file.contentType]).end(file.body as Buffer)
      return true
    }
    if (pathname !== '/mesh' && !pathname.startsWith('/mesh/')) return false
    try {
      const [, , what = '', id = ''] = pathname.split('/')
      const answer = await this.#answer(what, decodeURIComponent(id), searchParams.get('sidecar'))
      if (typeof answer === 'string') sendText(response, 404, answer)
      else sendJson(response, answer)
    } catch (error) {
      sendText(response, 502, (error as Error).message)
    }
    return true
  }

  /** The mesh as it is now, or was up to a second ago. */
  async view(): Promise<MeshView> {
    if (Date.now() - this.#at >= SAMPLE_MS) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined
      })
      await this.#reading
    }
    return meshView(this.#parts, 'mesh', this.#at)
  }

  /** What a path asks for, or, as text, why it is not to be had. */
  async #answer(what: string, id: string, sidecar: string | null): Promise<object | string> {
    switch (what) {
      case '':
        return { ...(await this.view()), ...this.#options.more?.() }
      case 'clusters':
      case 'config': {
        const [first = ''] = this.#options.sidecars.keys()
        const url = this.#options.sidecars.get(sidecar ?? first)
        if (url === undefined) return `there is no sidecar '${sidecar}'`
        return JSON.parse(await fetchText(`${url}/mesh/${what}`)) as object
      }
      case 'failure':
        return (await this.#failure(id)) ?? `no failure ${id} among those remembered`
      case 'trace': {
        if (!/^[0-9a-f]{16,32}$/i.test(id)) return 'a trace id is 16 to 32 hexadecimal digits'
        const spans = await this.#options.trace(id.toLowerCase())
        return spans === undefined ? { spans: [], why: `there is no trace ${id}` } : { spans }
      }
      default:
        return `there is no /mesh/${what}`
    }
  }

  async #read(): Promise<void> {
    const parts = await askAll(this.#options.sidecars, async (url, name) => {
      const part = JSON.parse(await fetchText(`${url}/mesh/part`)) as MeshPart
      return { ...part, sidecar: { ...part.sidecar, node: name } }
    })
    if (parts.length === 0) throw new Error(`none of ${this.#options.sidecars.size} sidecars answers`)
    this.#parts = parts
    this.#at = Date.now()
  }

  /** Looked for at the sidecars themselves: it may be older than what the page lists. */
  async #failure(id: string): Promise<object | undefined> {
    if (!/^[\w-]{1,64}$/.test(id)) return undefined
    const first = await this.#entries(id)
    const names = new Set(first.flatMap(entry => [entry.id, ...entry.aliases]))
    names.delete(id)
    const more = await Promise.all([...names].slice(0, MAX_ALIASES).map(name => this.#entries(name)))
    const entries = new Map(
      [...first, ...more.flat()].map(entry => [`${entry.service} ${entry.span} ${entry.at} ${entry.seq}`, entry]),
    )
    await this.view()
    const sidecars = this.#parts.map(part => part.sidecar)
    return failureView([...entries.values()], id, sidecars, 'mesh')
  }

  async #entries(id: string): Promise<FailureEntry[]> {
    const path = `/failures?format=json&limit=${MAX_ENTRIES}&id=${encodeURIComponent(id)}`
    const answers = await askAll(
      this.#options.sidecars,
      async url => (JSON.parse(await fetchText(url + path)) as { failures: FailureEntry[] }).failures,
    )
    return answers.flat()
  }
}

function sendJson(response: ServerResponse, value: object): void {
  response
    .writeHead(200, {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    })
    .end(JSON.stringify(value))
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`)
}
