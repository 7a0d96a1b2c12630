/**
 * A route table asked directly, without a proxy around it: what it would do with the requests of a scenario, written
 * down in the fields of an `Observation`, so that it can be compared with what Envoy did.
 */
import { SeededRandom } from '../../sidecar/base/random.ts'
import { RequestHeaders, ResponseHeaders } from '../../sidecar/codec/header-map.ts'
import { loadBootstrap } from '../../sidecar/config/bootstrap.ts'
import type {
  Bootstrap,
  HttpConnectionManager,
  RouteConfiguration,
} from '../../sidecar/config/schema/generated/types.ts'
import { RuntimeLayers } from '../../sidecar/filter-chain/runtime-layers.ts'
import { type DownstreamConnectionInfo, StreamInfo } from '../../sidecar/observability/stream-info.ts'
import type { RouteEntry } from '../../sidecar/router/route-entry.ts'
import { compileRouteConfiguration, type RouteTable } from '../../sidecar/router/route-table.ts'
import type { Answer } from '../kit/fake-upstream.ts'
import type { Scenario, Step, Suite } from '../kit/side-by-side.ts'

const DOWNSTREAM: DownstreamConnectionInfo = {
  id: 1,
  directRemote: { ip: '127.0.0.1', port: 40000 },
  local: { ip: '127.0.0.1', port: 10000 },
  listenerName: '',
  filterChainName: '',
  tls: undefined,
  requestedServerName: '',
}

/** Headers that come of the proxy around the table, not of the table. */
const OF_THE_PROXY = new Set([
  'connection',
  'content-length',
  'date',
  'server',
  'x-envoy-attempt-count',
  'x-envoy-internal',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-upstream-service-time',
  'x-forwarded-proto',
  'x-request-id',
])

type Fields = Record<string, string>

/** The fields of an observation that a table alone decides. */
export function decidedByTable(scenario: Scenario, fields: Readonly<Fields>): Fields {
  const kept: Fields = {}
  // Mirrored requests come from the proxy itself, whose address stands there.
  const isMirrored = scenario.name.startsWith('mirror:')
  for (const [field, value] of Object.entries(fields)) {
    if (!/^(?:response \d+ (?:status|header|body)|upstream \w+ (?:requests|request \d+ (?:line|header)))/.test(field))
      continue
    const header = / header (\S+)$/.exec(field)?.[1]
    if (header !== undefined && OF_THE_PROXY.has(header)) continue
    if (isMirrored && header === 'x-forwarded-for') continue
    kept[field] = / status$/.test(field) ? value.slice(0, 3) : value
  }
  return kept
}

export class TableSide {
  readonly #tables = new Map<string, RouteTable>()
  /** `suppress_envoy_headers` of the router, by listener. */
  readonly #suppressed = new Set<string>()
  readonly #clusters: ReadonlySet<string>
  readonly #runtime: RuntimeLayers

  constructor(suite: Suite) {
    let port = 10_000
    const text = suite.config.replaceAll(/\{\{(\w+)(?::[^}]+)?\}\}/g, (_, kind: string) => {
      return kind === 'log' ? '/dev/null' : String(port++)
    })
    const { bootstrap, errors } = loadBootstrap({ text, file: 'routing.yaml' })
    if (bootstrap === undefined) {
      throw new Error(errors.map(({ path, message }) => `${path}: ${message}`).join('\n'))
    }
    const runtime = RuntimeLayers.from(bootstrap.layeredRuntime)
    this.#runtime = runtime
    this.#clusters = new Set(bootstrap.staticResources?.clusters.map(({ name }) => name))
    for (const [name, manager] of managers(bootstrap)) {
      const compiled = compileRouteConfiguration(manager.routeConfig as RouteConfiguration, {
        runtime,
        decodeFilterConfig: (_name, message) => message.value,
        clusterExists: cluster => this.#clusters.has(cluster),
      })
      if (compiled.errors.length > 0) {
        throw new Error(compiled.errors.map(({ field, reason }) => `${name}: ${field}: ${reason}`).join('\n'))
      }
      this.#tables.set(name, compiled.table)
      const router = manager.httpFilters.at(-1)?.typedConfig?.value as { suppressEnvoyHeaders?: boolean } | undefined
      if (router?.suppressEnvoyHeaders === true) this.#suppressed.add(name)
    }
  }

  table(listener: string): RouteTable {
    return this.#tables.get(listener)!
  }

  observe(scenario: Scenario): Fields {
    const fields: Fields = {}
    const counts = new Map<string, number>(Object.keys(scenario.upstreams ?? {}).map(name => [name, 0]))
    for (const [index, step] of scenario.steps.entries())
      this.#step(scenario, step, `response ${index + 1}`, fields, counts)
    for (const [name, count] of counts) fields[`upstream ${name} requests`] = String(count)
    return decidedByTable(scenario, fields)
  }

  #step(scenario: Scenario, step: Step, prefix: string, fields: Fields, counts: Map<string, number>): void {
    const info = new StreamInfo(DOWNSTREAM, 'HTTP/1.1', 0, 0)
    this.#route(scenario, step, requestOf(step), info, prefix, fields, counts)
  }

  #route(
    scenario: Scenario,
    step: Step,
    headers: RequestHeaders,
    info: StreamInfo,
    prefix: string,
    fields: Fields,
    counts: Map<string, number>,
  ): void {
    const insertOriginal = !this.#suppressed.has(scenario.listen!)
    const table = this.#tables.get(scenario.listen!)!
    const entry = table.match(headers, info, new SeededRandom(1))
    if (entry === undefined) {
      answer(fields, prefix, new ResponseHeaders(404), '')
      return
    }
    if (entry.kind !== 'cluster') {
      answerOf(entry, headers, info, step, prefix, fields, insertOriginal)
      return
    }
    if (!this.#clusters.has(entry.clusterName)) {
      answer(fields, prefix, new ResponseHeaders(entry.clusterNotFoundResponseCode), '')
      return
    }
    info.clusterName = entry.clusterName
    entry.finalizeRequestHeaders(headers, info, insertOriginal)
    const count = arrive(entry.clusterName, headers, fields, counts)
    for (const policy of entry.mirrorPolicies) {
      if (policy.fraction !== undefined && !this.#runtime.enabled(policy.fraction, new SeededRandom(1))) continue
      const cluster = policy.clusterFor(headers)
      if (!this.#clusters.has(cluster)) continue
      const copy = headers.clone()
      policy.prepare(copy, info)
      arrive(cluster, copy, fields, counts)
    }
    const script = scenario.upstreams![entry.clusterName] as readonly Answer[]
    const { status = 200, headers: added = {}, body = '' } = script[Math.min(count, script.length) - 1]!
    const response = new ResponseHeaders(status, Object.entries(added).flat())
    const redirects = entry.internalRedirectPolicy
    const target = (request: RequestHeaders) => table.match(request, info, new SeededRandom(1))
    if (redirects?.handles(status) === true && redirects.apply(headers, response, info, target) === '') {
      headers.delete('x-envoy-expected-rq-timeout-ms')
      this.#route(scenario, step, headers, info, prefix, fields, counts)
      return
    }
    info.responseCode = status
    entry.finalizeResponseHeaders(response, headers, info)
    answer(fields, prefix, response, String(body))
  }
}

/** A request that reaches an upstream. */
function arrive(cluster: string, headers: RequestHeaders, fields: Fields, counts: Map<string, number>): number {
  const count = (counts.get(cluster) ?? 0) + 1
  counts.set(cluster, count)
  const request = `upstream ${cluster} request ${count}`
  fields[`${request} line`] = `${headers.method} ${headers.path} HTTP/1.1`
  writeHeaders(fields, request, ['host', headers.authority, ...headers.list])
  return count
}

/** A redirect or a direct response, as the router filter and the local reply make them. */
function answerOf(
  entry: RouteEntry,
  headers: RequestHeaders,
  info: StreamInfo,
  step: Step,
  prefix: string,
  fields: Fields,
  insertOriginal: boolean,
): void {
  const location = entry.redirectLocation(headers, info, insertOriginal)
  const { status, contentType } = entry.directResponse
  // Before the response has begun: `%RESPONSE_CODE%` is 0 there.
  const body = entry.directResponseBody(headers, info)
  info.responseCode = status
  const response = new ResponseHeaders(status)
  if (body !== '') response.add('content-type', contentType === '' ? 'text/plain' : contentType)
  if (location !== undefined) response.add('location', location)
  entry.finalizeResponseHeaders(response, headers, info)
  answer(fields, prefix, response, step.method === 'HEAD' ? '' : body)
}

function answer(fields: Fields, prefix: string, headers: ResponseHeaders, body: string): void {
  fields[`${prefix} status`] = String(headers.status)
  writeHeaders(fields, prefix, headers.list)
  fields[`${prefix} body`] = body
}

function writeHeaders(fields: Fields, prefix: string, list: readonly string[]): void {
  for (let i = 0; i < list.length; i += 2) {
    const key = `${prefix} header ${list[i]}`
    fields[key] = fields[key] === undefined ? list[i + 1]! : `${fields[key]} | ${list[i + 1]}`
  }
}

/** A step as the connection manager hands it to the table. */
function requestOf(step: Step): RequestHeaders {
  const { method = 'GET', path = '/', host = 'test.local', headers = [] } = step
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers)
  const list = pairs.flatMap(([name, value]) => [name.toLowerCase(), value])
  const request = new RequestHeaders(method, path, host, 'http', list)
  if (!request.has('x-forwarded-proto')) request.add('x-forwarded-proto', 'http')
  return request
}

function managers(bootstrap: Bootstrap): [string, HttpConnectionManager][] {
  return (bootstrap.staticResources?.listeners ?? []).map(({ name, filterChains }) => {
    return [name, filterChains[0]!.filters[0]!.typedConfig!.value as HttpConnectionManager]
  })
}
