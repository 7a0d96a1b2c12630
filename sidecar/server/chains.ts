/**
 * Filter chains from configuration: network filters, the HTTP connection manager and its HTTP filters, made of decoded
 * messages. Everything that can be wrong is found here, before anything of the running proxy is touched.
 */
import type { Address } from '../base/address.ts'
import { hopwiseMetadata, nodeHopwiseSettings } from '../config/hopwise-metadata.ts'
import type {
  AnyMessage,
  FilterChain as FilterChainMessage,
  HttpConnectionManager,
  HttpFilter as HttpFilterMessage,
  Listener as ListenerMessage,
  Metadata,
} from '../config/schema/generated/types.ts'
import { FilterChain } from '../filter-chain/filter-manager.ts'
import { ConfigError, type FilterContext, type SharedState } from '../filter-chain/http-filter.ts'
import { ConnectionManager, type ServerCondition } from '../http/connection-manager.ts'
import { Http1Connection } from '../http/http1-connection.ts'
import { Http2Connection } from '../http/http2-connection.ts'
import { ConnectionManagerStats } from '../http/stats.ts'
import { type ObservationPolicy, StreamObserver } from '../http/stream-observation.ts'
import { UndecidedConnection } from '../http/undecided-connection.ts'
import type { ServedConnection, ServingChain } from '../listener/listener.ts'
import type { StatsScope } from '../observability/stats.ts'
import { overflowCounter } from '../observability/stats-store.ts'
import type { DownstreamConnectionInfo } from '../observability/stream-info.ts'
import { compileRouteConfiguration, type RouteTable } from '../router/route-table.ts'
import type { Connection } from '../transport/connection.ts'
import type { DownstreamTls } from '../transport/tls/downstream-tls.ts'
import type { BuildErrors } from './build-errors.ts'
import { connectionManagerConfig } from './connection-manager-config.ts'
import type { Environment } from './environment.ts'
import { localReplyRewriter } from './local-reply-config.ts'
import { downstreamTransport } from './transport-sockets.ts'

const HTTP_CONNECTION_MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'

/** A chain that serves HTTP. */
export class HttpServingChain implements ServingChain {
  readonly name: string
  readonly manager: ConnectionManager
  readonly routes: RouteTable | undefined
  readonly tls: DownstreamTls | undefined
  readonly metadata: Metadata | undefined
  readonly close: () => void

  constructor(
    { name, metadata }: Partial<Pick<FilterChainMessage, 'name' | 'metadata'>>,
    manager: ConnectionManager,
    routes: RouteTable | undefined,
    tls?: DownstreamTls,
    close = () => {},
  ) {
    this.name = name ?? ''
    this.metadata = metadata
    this.manager = manager
    this.routes = routes
    this.tls = tls
    this.close = close
  }

  /** Envoy makes its connection manager before the handshake, so failed ones count as connections of it. */
  onHandshakeFailed(): void {
    const { named } = this.manager.stats
    named.downstream_cx_total.inc()
    named.downstream_cx_ssl_total.inc()
    named.downstream_cx_destroy.inc()
    named.downstream_cx_destroy_local.inc()
  }

  serve(connection: Connection, info: DownstreamConnectionInfo, onClosed: () => void): ServedConnection {
    const { manager } = this
    const { codecType } = manager.config
    const startMs = manager.clock.now()
    manager.stats.chargeNewConnection()
    const ended = info.tls === undefined ? onClosed : this.#countTls(onClosed)
    if (codecType === 'HTTP1') return new ServedHttp1Connection(manager, connection, info, startMs, ended)
    if (codecType === 'HTTP2') return new ServedHttp2Connection(manager, connection, info, startMs, ended)
    // By ALPN where the handshake has settled it (Envoy: `AutoCodec`); else the first bytes tell.
    if (info.tls?.alpn === 'h2') return new ServedHttp2Connection(manager, connection, info, startMs, ended)
    if (info.tls !== undefined && info.tls.alpn !== '') {
      return new ServedHttp1Connection(manager, connection, info, startMs, ended)
    }
    const make = (chosen: ConnectionManager, http2: boolean) =>
      http2
        ? new Http2Connection(chosen, connection, info, startMs, ended)
        : new Http1Connection(chosen, connection, info, startMs, ended)
    return new ServedUndecidedConnection(manager, connection, info, make, ended)
  }

  /** Counts a connection as TLS; what is returned is called when it closes. */
  #countTls(onClosed: () => void): () => void {
    const { named, gauges } = this.manager.stats
    named.downstream_cx_ssl_total.inc()
    gauges.downstream_cx_ssl_active.inc()
    return () => {
      gauges.downstream_cx_ssl_active.dec()
      onClosed()
    }
  }
}

class ServedHttp1Connection extends Http1Connection implements ServedConnection {
  adoptChain(chain: ServingChain): boolean {
    return chain instanceof HttpServingChain && this.adopt(chain.manager)
  }
}

class ServedHttp2Connection extends Http2Connection implements ServedConnection {
  adoptChain(chain: ServingChain): boolean {
    return chain instanceof HttpServingChain && this.adopt(chain.manager)
  }
}

class ServedUndecidedConnection extends UndecidedConnection implements ServedConnection {
  adoptChain(chain: ServingChain): boolean {
    return chain instanceof HttpServingChain && this.adopt(chain.manager)
  }
}

/** What of a listener its chains want to know. */
export interface ListenerFacts {
  readonly message: ListenerMessage
  readonly condition: ServerCondition
  readonly address: Address
  readonly statName: string
  readonly bufferLimitBytes: number
  readonly scope: StatsScope
  /** What its filters share with those of other worker threads. */
  readonly shared: SharedState | undefined
}

export function buildChain(
  chain: FilterChainMessage,
  path: string,
  listener: ListenerFacts,
  env: Environment,
  errors: BuildErrors,
): ServingChain | undefined {
  const last = chain.filters.at(-1)
  if (last === undefined || last.typedConfig === undefined) {
    errors.add(`${path}.filters`, 'a filter chain needs a terminal network filter', chain)
    return undefined
  }
  if (last.typedConfig.typeUrl !== HTTP_CONNECTION_MANAGER) {
    errors.add(`${path}.filters`, `network filter ${last.name} is not supported yet`, last)
    return undefined
  }
  const tls = errors.attempt(path, chain, () => downstreamTransport(chain, listener.scope, env))
  return buildConnectionManager(
    tls,
    last.typedConfig.value as HttpConnectionManager,
    `${path}.filters[${chain.filters.length - 1}].typed_config`,
    chain,
    listener,
    env,
    errors,
  )
}

function buildConnectionManager(
  tls: DownstreamTls | undefined,
  message: HttpConnectionManager,
  path: string,
  chain: FilterChainMessage,
  listener: ListenerFacts,
  env: Environment,
  errors: BuildErrors,
): HttpServingChain | undefined {
  const before = errors.errors.length
  const scope = listener.scope.scope(`http.${message.statPrefix}`)
  const routeConfig = message.routeConfig
  const managerScope = env.stats.scope(`http.${message.statPrefix}`)
  const rewriter = localReplyRewriter(message, `${path}.local_reply_config`, env, errors)
  const config = errors.attempt(path, message, () =>
    connectionManagerConfig(message, {
      node: env.node,
      localAddress: listener.address,
      bufferLimitBytes: listener.bufferLimitBytes,
      localReplyRewriter: rewriter,
      internalOnlyHeaders: routeConfig?.internalOnlyHeaders ?? [],
    }),
  )
  const filters = buildFilters(message.httpFilters, path, managerScope, listener.shared, env, errors)
  let routes: RouteTable | undefined
  if (routeConfig !== undefined) {
    const compiled = compileRouteConfiguration(routeConfig, {
      runtime: env.runtime,
      decodeFilterConfig: (name, any) => decodeRouteFilterConfig(name, any, message.httpFilters, env),
      clusterExists: name => env.clusters.get(name) !== undefined || errors.brokenClusters.has(name),
    })
    for (const { severity, field, reason, message: at } of [...compiled.errors, ...compiled.warnings])
      errors[severity === 'error' ? 'add' : 'warn'](`${path}.route_config.${field}`, reason, at)
    routes = compiled.table
  }
  const policy = observationPolicy(listener.message, message, nodeHopwiseSettings(env.node?.metadata).bodies)
  const tracer = env.tracers.tracerOf(message, `${path}.tracing`, policy, managerScope, errors)
  const loggers = env.accessLogs.loggersOf(message.accessLog, `${path}.access_log`, errors)
  const close = () => tracer && env.tracers.release(tracer)
  if (errors.errors.length > before || filters === undefined || config === undefined) {
    close()
    return undefined
  }
  const manager = new ConnectionManager({
    config,
    filterChain: new FilterChain(filters),
    disabledByDefault: message.httpFilters.map(filter => filter.disabled),
    routes,
    stats: new ConnectionManagerStats(managerScope, scope, {
      http1: env.stats.scope('http1'),
      http2: env.stats.scope('http2'),
    }),
    clock: env.clock,
    timers: env.timers,
    random: env.random,
    runtime: env.runtime,
    observer: new StreamObserver(policy, env.failures, tracer, env.tap),
    condition: listener.condition,
    loggers,
  })
  return new HttpServingChain(chain, manager, routes, tls, close)
}

/** Which way a listener faces, and whether its peers are outside the mesh (failure-origin.md, "Words"). */
export function observationPolicy(
  listener: ListenerMessage,
  message: HttpConnectionManager,
  bodiesOfNode?: 'envoy' | 'human',
): ObservationPolicy {
  const settings = hopwiseMetadata(listener.metadata)
  const direction =
    listener.trafficDirection === 'UNSPECIFIED' ? (settings.direction ?? 'OUTBOUND') : listener.trafficDirection
  return {
    direction: direction === 'INBOUND' ? 'inbound' : 'outbound',
    edge: settings.edge ?? message.useRemoteAddress === true,
    humanBodies: (settings.bodies ?? bodiesOfNode) === 'human',
  }
}

/** What some filters want to know of this node. */
function nodeFacts({ node }: Environment) {
  return {
    localCluster: node?.cluster ?? '',
    localZone: node?.locality?.zone ?? '',
    retryReusedConnection: nodeHopwiseSettings(node?.metadata).retryReusedConnection ?? true,
  }
}

function buildFilters(
  messages: readonly HttpFilterMessage[],
  path: string,
  stats: StatsScope,
  shared: SharedState | undefined,
  env: Environment,
  errors: BuildErrors,
) {
  const before = errors.errors.length
  const filters = messages.map((filter, i) => {
    const at = `${path}.http_filters[${i}]`
    const factory = env.filters.get(filter.typedConfig?.typeUrl ?? '') ?? env.filters.get(filter.name)
    if (factory === undefined) {
      if (!filter.isOptional) errors.add(at, `HTTP filter '${filter.name}' is not known`, filter)
      return undefined
    }
    const last = i === messages.length - 1
    if (factory.terminal === true && !last) {
      errors.add(at, `terminal filter named ${filter.name} must be the last filter in a http filter chain.`, filter)
    } else if (factory.terminal !== true && last) {
      errors.add(at, `non-terminal filter named ${filter.name} is the last filter in a http filter chain.`, filter)
    }
    return errors.attempt(`${at}.typed_config`, filter, () => {
      const context: FilterContext & Record<'failureOrigin' | 'health' | keyof ReturnType<typeof nodeFacts>, unknown> =
        {
          filterName: filter.name,
          clock: env.clock,
          timers: env.timers,
          random: env.random,
          runtime: env.runtime,
          stats,
          rootStats: env.stats,
          clusters: env.clusters,
          statsOverflow: limit => overflowCounter(env.stats, limit),
          shared,
          failureOrigin: env.failures,
          health: env.condition,
          ...nodeFacts(env),
        }
      const config = factory.decodeConfig((filter.typedConfig?.value ?? {}) as never)
      return { name: filter.name, instance: factory.create(config, context) }
    })
  })
  if (errors.errors.length > before) return undefined
  return filters.filter(filter => filter !== undefined)
}

function decodeRouteFilterConfig(
  name: string,
  message: AnyMessage,
  filters: readonly HttpFilterMessage[],
  env: Environment,
): unknown {
  const listed = filters.find(filter => filter.name === name)
  const factory =
    env.filters.get(listed?.typedConfig?.typeUrl ?? '') ??
    [...env.filters.values()].find(one => (one.routeTypeUrl ?? one.typeUrl) === message.typeUrl) ??
    env.filters.get(name)
  if (factory === undefined) return undefined
  if ((factory.routeTypeUrl ?? factory.typeUrl) !== message.typeUrl) {
    throw new ConfigError(
      '',
      `filter ${name} takes ${factory.routeTypeUrl ?? factory.typeUrl} here, not ${message.typeUrl}`,
    )
  }
  const decode = factory.decodeRouteConfig ?? factory.decodeConfig
  return decode.call(factory, message.value as never)
}
