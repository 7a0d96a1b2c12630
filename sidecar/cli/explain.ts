/**
 * `hopwise explain`: which listener, virtual host, route, cluster and host would serve a request, what was tried before,
 * and why it did not match; each with its place in the file.
 */
import { parseArgs } from 'node:util'
import { systemRandom } from '../base/random.ts'
import type { CliIo } from '../base/verb.ts'
import { RequestHeaders } from '../codec/header-map.ts'
import { loadBootstrap } from '../config/bootstrap.ts'
import { ConfigMistakes } from '../config/config-error.ts'
import { formatProblem } from '../config/problems.ts'
import type {
  Bootstrap,
  HttpConnectionManager,
  Listener,
  Route,
  RouteConfiguration,
} from '../config/schema/generated/types.ts'
import { type SourcePosition, sourceOf } from '../config/source.ts'
import { RuntimeLayers } from '../filter-chain/runtime-layers.ts'
import { type DownstreamConnectionInfo, StreamInfo } from '../observability/stream-info.ts'
import { positionOf, routeAt } from '../router/explain.ts'
import type { RouteEntry } from '../router/route-entry.ts'
import { compileRouteConfiguration } from '../router/route-table.ts'

export const explainHelp = `usage: hopwise explain -c FILE [--listener NAME] METHOD URL [-H 'name: value' …] [--json]

Says which route and cluster would serve a request, and why the routes before it would not. A header 'host' takes the
place of the URL's.

  hopwise explain -c envoy.yaml GET http://orders/v1/list
  hopwise explain -c envoy.yaml --listener egress POST http://payments/pay -H 'x-canary: yes'

Exit codes: 0 some listener has a route for it, 1 none has, 2 wrong command line.
`

interface Step {
  readonly listener: string
  readonly place: string
  readonly virtualHost: string
  readonly note: string
  readonly tried: readonly { name: string; place: string; matched: boolean; reason: string }[]
  /** Some route would serve the request. */
  readonly served: boolean
  /** What would come of it; '' where its routes have errors. */
  readonly outcome: string
}

export async function explain(args: string[], io: CliIo): Promise<number> {
  const options = readOptions(args)
  if (typeof options === 'string') {
    io.error(`hopwise explain: ${options}\n\n${explainHelp}`)
    return 2
  }
  if (options.help) {
    io.out(explainHelp)
    return 0
  }
  const { bootstrap, errors } = loadBootstrap({ file: options.file })
  if (bootstrap === undefined) {
    for (const error of errors) io.error(`${formatProblem(error)}\n`)
    return 1
  }
  const listeners = bootstrap.staticResources?.listeners ?? []
  const chosen = listeners.filter(one => options.listener === undefined || one.name === options.listener)
  if (chosen.length === 0) {
    const names = listeners.map(one => one.name).join(', ')
    const wanted = options.listener === undefined ? '' : `no listener '${options.listener}', `
    const found = names === '' ? `${options.file} has no listeners` : `there are: ${names}`
    io.error(`hopwise explain: ${wanted}${found}\n`)
    return 1
  }
  const steps = chosen.flatMap(listener => explainListener(listener, bootstrap, options.headers))
  if (options.json) io.out(`${JSON.stringify(steps, undefined, 2)}\n`)
  else for (const step of steps) print(step, io)
  return steps.some(({ served }) => served) ? 0 : 1
}

function explainListener(listener: Listener, bootstrap: Bootstrap, headers: RequestHeaders): Step[] {
  const steps: Step[] = []
  const { filterChains, defaultFilterChain } = listener
  for (const chain of [...filterChains, ...(defaultFilterChain === undefined ? [] : [defaultFilterChain])]) {
    const manager = chain.filters.at(-1)?.typedConfig?.value as HttpConnectionManager | undefined
    const routes = manager?.routeConfig
    if (routes !== undefined) steps.push(explainRoutes(listener, routes, bootstrap, headers.clone()))
  }
  return steps
}

function explainRoutes(
  listener: Listener,
  configuration: RouteConfiguration,
  bootstrap: Bootstrap,
  headers: RequestHeaders,
): Step {
  const { table } = compileRouteConfiguration(configuration, {
    // What is wrong with the runtime is told where the file is checked.
    runtime: RuntimeLayers.from(bootstrap.layeredRuntime, new ConfigMistakes()),
    decodeFilterConfig: (_name, message) => message,
  })
  const common = placeOf(listener)
  if (table === undefined) {
    return { ...common, virtualHost: '', note: 'its routes have errors', tried: [], served: false, outcome: '' }
  }
  const found = table.explain(headers, new StreamInfo(NOBODY, 'HTTP/1.1', 0, 0), systemRandom)
  const tried = found.tried.map(route => ({
    name: route.name,
    place: placeText(positionOf(configuration, route.field)),
    matched: route.matched,
    reason: route.reason,
  }))
  const { entry } = found
  const matched = found.tried.find(route => route.matched)
  const message = matched && routeAt(configuration, matched.field)
  return {
    ...common,
    virtualHost: found.virtualHost?.name ?? '',
    note: found.note,
    tried,
    served: entry !== undefined,
    outcome: entry === undefined ? 'no route: 404 (NR route_not_found)' : outcomeOf(entry, message, bootstrap, headers),
  }
}

function outcomeOf(
  entry: RouteEntry,
  message: Route | undefined,
  bootstrap: Bootstrap,
  headers: RequestHeaders,
): string {
  if (entry.kind === 'redirect') {
    const location = entry.redirectLocation(headers, new StreamInfo(NOBODY, 'HTTP/1.1', 0, 0))
    return `redirect ${entry.directResponse.status} to ${location}`
  }
  if (entry.kind !== 'cluster') return `direct response ${entry.directResponse.status}`
  const notFound = `${entry.clusterNotFoundResponseCode} (NC cluster_not_found)`
  const cluster = (name: string) => clusterText(name, bootstrap, notFound)
  const { weightedClusters, clusterHeader = '' } = message?.route ?? {}
  if (weightedClusters !== undefined) {
    const shares = weightedClusters.clusters.map(({ name, clusterHeader: header, weight = 0 }) => {
      return `${header === '' ? cluster(name) : cluster(headers.get(header.toLowerCase()) ?? '')}, weight ${weight}`
    })
    return `one of ${shares.length} clusters:\n      ${shares.join('\n      ')}`
  }
  if (clusterHeader !== '' && entry.clusterName === '')
    return `no cluster: header ${clusterHeader} is missing: ${notFound}`
  if (message?.nonForwardingAction !== undefined) return `no cluster, non_forwarding_action: ${notFound}`
  return cluster(entry.clusterName)
}

function clusterText(name: string, bootstrap: Bootstrap, notFound: string): string {
  const cluster = bootstrap.staticResources?.clusters.find(one => one.name === name)
  if (cluster === undefined) return `cluster '${name}', which does not exist: ${notFound}`
  const hosts = cluster.loadAssignment?.endpoints.flatMap(locality =>
    locality.lbEndpoints.map(({ endpoint }) => {
      const address = endpoint?.address?.socketAddress
      return address === undefined ? 'another address' : `${address.address}:${address.portValue}`
    }),
  )
  const text = hosts === undefined || hosts.length === 0 ? 'no hosts in this file' : `hosts ${hosts.join(', ')}`
  return `cluster '${name}' (${placeText(sourceOf(cluster))}), ${text}`
}

function placeOf(listener: Listener): { readonly listener: string; readonly place: string } {
  return { listener: listener.name, place: placeText(sourceOf(listener)) }
}

const NOBODY: DownstreamConnectionInfo = {
  id: 0,
  directRemote: { ip: '127.0.0.1', port: 0 },
  local: { ip: '127.0.0.1', port: 0 },
  listenerName: '',
  filterChainName: '',
  tls: undefined,
  requestedServerName: '',
}

function placeText(place: SourcePosition | undefined): string {
  return place === undefined ? '' : `${place.file}:${place.line}:${place.column}`
}

function print(step: Step, io: CliIo): void {
  io.out(`listener ${step.listener} (${step.place})\n`)
  if (step.virtualHost !== '') io.out(`  virtual host ${step.virtualHost}\n`)
  if (step.note !== '') io.out(`  ${step.note}\n`)
  for (const route of step.tried) {
    const name = route.name === '' ? 'route' : `route ${route.name}`
    io.out(`  ${route.matched ? '√' : '×'} ${name} (${route.place})${route.reason === '' ? '' : `: ${route.reason}`}\n`)
  }
  if (step.outcome !== '') io.out(`  → ${step.outcome}\n`)
}

interface Options {
  readonly help: boolean
  readonly file: string
  readonly listener: string | undefined
  readonly headers: RequestHeaders
  readonly json: boolean
}

function readOptions(args: readonly string[]): Options | string {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args)
  } catch (error) {
    return (error as Error).message
  }
  const { values, positionals } = parsed
  const empty = new RequestHeaders('GET', '/', '', 'http')
  if (values.help === true) return { help: true, file: '', listener: undefined, headers: empty, json: false }
  if (values['config-path'] === undefined) return 'no configuration: give one with -c FILE'
  const [method, target] = positionals.length === 1 ? ['GET', positionals[0]!] : positionals
  if (method === undefined || target === undefined || positionals.length > 2) return 'give a method and a URL'
  let url: URL
  try {
    url = new URL(target)
  } catch {
    return `'${target}' is no URL; it needs scheme and host, as in http://orders/v1`
  }
  const headers = new RequestHeaders(
    method.toUpperCase(),
    url.pathname + url.search,
    url.host,
    url.protocol.slice(0, -1),
  )
  for (const line of values.header ?? []) {
    const colon = line.indexOf(':')
    if (colon <= 0) return `'${line}' is no header; write 'name: value'`
    const [name, value] = [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]
    if (name === 'host') headers.authority = value
    else headers.add(name, value)
  }
  return {
    help: false,
    file: values['config-path'],
    listener: values.listener,
    headers,
    json: values.json === true,
  }
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      'config-path': { type: 'string', short: 'c' },
      listener: { type: 'string' },
      header: { type: 'string', short: 'H', multiple: true },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  })
}
