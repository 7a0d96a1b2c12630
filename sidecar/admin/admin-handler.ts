/**
 * The operator's endpoints, as Envoy 1.40 has them: same paths, verbs, parameters, texts and JSON (measured beside it by
 * test/conformance/admin-vs-envoy.test.ts), plus `/live`, `/healthz/ready`, `/failures`, `/mesh`, `/config_sources` and `/tap`.
 *
 * Knows no socket: a request is a value, the response another. Whatever carries it (our own data path) writes the
 * response and adds `date` and `server`.
 */
import { readableStack } from '../base/readable-stack.ts'
import { nearest } from '../base/suggest.ts'
import { type StringMatch, stringMatch } from '../observability/stats-config.ts'
import { clusterEndpoints } from './cluster-endpoints.ts'
import { compressed } from './compressed.ts'
import { configDumpEndpoints } from './config-dump.ts'
import { failureEndpoints } from './failure-endpoints.ts'
import { homePage } from './home-page.ts'
import { loggingEndpoints } from './logging-endpoint.ts'
import { meshEndpoints } from './mesh-endpoints.ts'
import { type AdminRequest, type AdminResponse, type Endpoint, HTML, respond, text } from './message.ts'
import { profilingEndpoints } from './profiling.ts'
import { runtimeEndpoints } from './runtime-endpoints.ts'
import type { AdminPages, ServerControl } from './server-control.ts'
import { serverEndpoints } from './server-endpoints.ts'
import { statsEndpoints } from './stats-endpoints.ts'
import { tapEndpoints } from './tap-endpoint.ts'

export interface AdminOptions {
  /** `admin.allow_paths`: when there are any, no other path is answered. */
  readonly allowPaths?: readonly StringMatch[]
  /** The page for people; without it `/` is the list of endpoints. */
  readonly pages?: AdminPages
  /** Node's own metrics on `/stats/prometheus`, by prom-client: 12.6 MB from the first scrape on. Default false. */
  readonly processMetrics?: boolean
  /** Further endpoints, of whoever has some (a tap, the route explainer). */
  readonly endpoints?: readonly Endpoint[]
}

export class AdminHandler {
  readonly #endpoints: readonly Endpoint[]
  readonly #byPath: ReadonlyMap<string, Endpoint>
  readonly #allowed: readonly ((path: string) => boolean)[]
  readonly #pages: AdminPages | undefined

  constructor(control: ServerControl, options: AdminOptions = {}) {
    const endpoints: Endpoint[] = [
      { path: '/', help: 'Admin home page', handle: () => respond(200, HTML, homePage(this.#endpoints)) },
      {
        path: '/endpoints',
        help: 'the list of all endpoints for a browser',
        handle: () => respond(200, HTML, homePage(this.#endpoints)),
      },
      {
        path: '/help',
        help: 'print out list of admin commands',
        handle: () => text(`admin commands are:\n${this.#help()}`),
      },
      ...serverEndpoints(control),
      ...statsEndpoints(control, options.processMetrics === true),
      ...clusterEndpoints(control),
      ...configDumpEndpoints(control),
      ...loggingEndpoints(control),
      ...runtimeEndpoints(control),
      ...failureEndpoints(control),
      ...meshEndpoints(control),
      ...tapEndpoints(control),
      ...profilingEndpoints(),
      ...(options.endpoints ?? []),
    ]
    this.#endpoints = endpoints.sort((a, b) => (a.path < b.path ? -1 : 1))
    this.#byPath = new Map(endpoints.map(endpoint => [endpoint.path, endpoint]))
    this.#allowed = (options.allowPaths ?? []).map(stringMatch)
    this.#pages = options.pages
  }

  handle(request: AdminRequest): AdminResponse | Promise<AdminResponse> {
    const { method, path } = request
    if (this.#allowed.length > 0 && !this.#allowed.some(matches => matches(path))) {
      return text(`request to path ${path} not allowed`, 403)
    }
    const page = method === 'GET' ? this.#pages?.page(path) : undefined
    if (page !== undefined) return compressed(request, page)
    const endpoint = this.#byPath.get(path) ?? this.#endpoints.find(one => one.below && path.startsWith(`${one.path}/`))
    if (endpoint === undefined) return this.#notFound(path)
    if (endpoint.mutates && method !== 'POST') return text(`Method ${method} not allowed, POST required.`, 405)
    try {
      const response = endpoint.handle(request)
      return response instanceof Promise ? response.catch(failed) : response
    } catch (error) {
      return failed(error)
    }
  }

  #notFound(path: string): AdminResponse {
    const near = nearest(path, this.#byPath.keys())
    const hint = near === undefined ? '' : `did you mean ${near}?\n`
    return text(`invalid path. admin commands are:\n${this.#help()}${hint}`, 404)
  }

  #help(): string {
    let out = ''
    for (const { path, help, params = [], mutates } of this.#endpoints) {
      out += `  ${path}${mutates ? ' (POST)' : ''}: ${help}\n`
      for (const param of params) {
        out += `      ${param.name}: ${param.help}${param.choices ? `; One of (${param.choices.join(', ')})` : ''}\n`
      }
    }
    return out
  }
}

/** A bug in one page is that page's failure; the operator needs the others all the more. */
function failed(error: unknown): AdminResponse {
  return text(`${error instanceof Error ? readableStack(error) : String(error)}\n`, 500)
}
