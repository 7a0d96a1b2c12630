/** Configurations for the tests of `config/`: one that loads, with places to put what a test is about. */
import { type LoadedBootstrap, type LoadOptions, loadBootstrap } from '../../../sidecar/config/bootstrap.ts'
import { formatProblem } from '../../../sidecar/config/problems.ts'
import type {
  AnyMessage,
  Bootstrap,
  Cluster,
  HttpConnectionManager,
  Listener,
  RouteAction,
} from '../../../sidecar/config/schema/generated/types.ts'

export interface Parts {
  readonly node?: string
  readonly listener?: string
  readonly manager?: string
  readonly domains?: string
  readonly virtualHost?: string
  readonly match?: string
  readonly route?: string
  readonly filters?: string
  readonly cluster?: string
  readonly type?: string
  readonly timeout?: string
  readonly endpoints?: string
  readonly rest?: string
}

export const router =
  '{name: envoy.filters.http.router, ' +
  'typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}'

export function extension(type: string, fields = ''): string {
  return `{"@type": type.googleapis.com/envoy.extensions.${type}${fields}}`
}

export function assignment(...addresses: string[]): string {
  const endpoints = addresses.map(
    address => `{endpoint: {address: {socket_address: {address: ${address}, port_value: 80}}}}`,
  )
  return `load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [${endpoints.join(', ')}]}]}`
}

/** Line 1 is `node:`; a test that asserts a position puts its part where the line is plain. */
export function config(parts: Parts = {}): string {
  return `node: ${parts.node ?? '{id: i, cluster: c}'}
static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 10000}}
    ${parts.listener ?? ''}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: p
          ${parts.manager ?? ''}
          route_config:
            virtual_hosts:
            - name: v
              domains: ${parts.domains ?? '["*"]'}
              ${parts.virtualHost ?? ''}
              routes:
              - match: ${parts.match ?? '{prefix: /}'}
                route: ${parts.route ?? '{cluster: c}'}
          http_filters: ${parts.filters ?? `[${router}]`}
  clusters:
  - name: c
    type: ${parts.type ?? 'STATIC'}
    connect_timeout: ${parts.timeout ?? '1s'}
    ${parts.cluster ?? ''}
    ${parts.endpoints ?? assignment('127.0.0.1')}
${parts.rest ?? ''}`
}

export interface Loaded extends LoadedBootstrap {
  /** As the command line prints them. */
  readonly errorTexts: readonly string[]
  readonly warningTexts: readonly string[]
}

export function load(text: string, options: LoadOptions = {}): Loaded {
  const loaded = loadBootstrap({ text, file: 'envoy.yaml', ...options })
  return {
    ...loaded,
    errorTexts: loaded.errors.map(formatProblem),
    warningTexts: loaded.warnings.map(formatProblem),
  }
}

/** The bootstrap, or a failure that shows every error. */
export function loadOk(parts: Parts, options: LoadOptions = {}): Bootstrap {
  const { bootstrap, errorTexts } = load(config(parts), options)
  if (!bootstrap) throw new Error(`does not load:\n${errorTexts.join('\n')}`)
  return bootstrap
}

/** Errors without their place and path. */
export function errorsOf(parts: Parts, options: LoadOptions = {}): string[] {
  return load(config(parts), options).errors.map(({ message }) => message)
}

export function warningsOf(parts: Parts, options: LoadOptions = {}): string[] {
  return load(config(parts), options).warnings.map(({ message }) => message)
}

export const clusterOf = (bootstrap: Bootstrap): Cluster => bootstrap.staticResources!.clusters[0]!
export const listenerOf = (bootstrap: Bootstrap): Listener => bootstrap.staticResources!.listeners[0]!
export const managerAnyOf = (bootstrap: Bootstrap): AnyMessage =>
  listenerOf(bootstrap).filterChains[0]!.filters[0]!.typedConfig!
export const managerOf = (bootstrap: Bootstrap): HttpConnectionManager =>
  managerAnyOf(bootstrap).value as HttpConnectionManager
export const routeOf = (bootstrap: Bootstrap): RouteAction =>
  managerOf(bootstrap).routeConfig!.virtualHosts[0]!.routes[0]!.route!
