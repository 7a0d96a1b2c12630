/**
 * What a cluster is configured to be: the decoded message with every default filled in, the deprecated fields folded into
 * their successors, and frozen. The running cluster swaps the whole of it on a reload.
 */

import { isDeepStrictEqual } from 'node:util'
import type { ResponseHeaders } from '../codec/header-map.ts'
import { ConfigError, ConfigMistakes } from '../config/config-error.ts'
import { hopwiseMetadata } from '../config/hopwise-metadata.ts'
import type {
  AnyMessage,
  ClusterHttpProtocolOptions,
  Cluster as ClusterMessage,
  DnsCluster,
  Http2ProtocolOptions,
  HttpProtocolOptions,
  MatchPredicate,
  Metadata,
  OutlierDetection,
  UpstreamHttpProtocolOptions,
} from '../config/schema/generated/types.ts'
import type { HostPickerFactory, LoadBalancingPolicy } from '../load-balancer/policy.ts'
import type { BalancerSettings } from '../load-balancer/priority-balancer.ts'
import type { StatsScope } from '../observability/stats.ts'
import { connectPlaintext } from '../transport/plaintext.ts'
import { tcpKeepalive } from '../transport/tcp-keepalive.ts'
import type { TlsContext } from '../transport/tls/tls-context.ts'
import { http2Settings } from '../upstream/http2-settings.ts'
import type { Connect, ConnectionSettings } from '../upstream/pool.ts'
import { PoolKind } from '../upstream/pool-kind.ts'
import { type Limits, limitsOf } from './circuit-breaker.ts'
import { type DefaultResolver, type DnsSettings, dnsSettings } from './dns-settings.ts'
import { serviceNameOf } from './service-name.ts'

/** Defaults of Envoy (features.md §2.4, §2.6). */
const CONNECT_TIMEOUT_MS = 5000
const BUFFER_LIMIT_BYTES = 1024 * 1024
const IDLE_TIMEOUT_MS = 3_600_000
const MAX_HEADERS = 100
/** Envoy allows upstreams more than downstreams, whose limit is 60. */
const MAX_RESPONSE_HEADERS_KB = 80
const PANIC_THRESHOLD_PERCENT = 50
const OVERPROVISIONING_FACTOR = 140
const UPDATE_MERGE_WINDOW_MS = 1000

const HTTP_PROTOCOL_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions'
const DNS_CLUSTER = 'envoy.extensions.clusters.dns.v3.DnsCluster'

export interface ClusterSettings {
  readonly message: ClusterMessage
  readonly name: string
  readonly statName: string
  readonly serviceName: string
  readonly external: boolean
  readonly retryReusedConnection: boolean | undefined
  readonly metadata: Metadata | undefined
  readonly discovery: DiscoveryKind
  readonly dns: DnsSettings | undefined
  readonly connection: ConnectionSettings
  readonly transport: ClusterTransport
  /** SNI and wanted names that requests bring along (`upstream_http_protocol_options`); undefined where they bring none. */
  readonly autoNames: AutoNames | undefined
  /** `max_stream_duration` of the protocol options, 0 for none. */
  readonly maxStreamDurationMs: number
  readonly poolKind: PoolKind
  /** Requests are sent on in the protocol they came in; those of our own are HTTP/1.1 then. */
  readonly followsDownstream: boolean
  /** Limits by priority. */
  readonly limits: readonly [normal: Limits, high: Limits]
  readonly policy: HostPickerFactory
  readonly balancer: BalancerSettings
  /** Percent, 140 by default. */
  readonly overprovisioningFactor: number
  readonly updateMergeWindowMs: number
  readonly closeConnectionsOnHostSetChange: boolean
  readonly closeConnectionsOnHostHealthFailure: boolean
  readonly outlierDetection: OutlierDetection | undefined
  /** What outlier detection takes for an error, where it is not the status (`error_matcher`). */
  readonly isErrorResponse: ((headers: ResponseHeaders) => boolean) | undefined
  readonly perEndpointStats: boolean
  readonly waitForWarmOnInit: boolean
  /** Mistakes that Envoy refuses and that are understood here all the same. */
  readonly warnings: readonly string[]
}

export interface AutoNames {
  readonly autoSni: boolean
  readonly autoSanValidation: boolean
  /** Header to take the name from, '' for the host. */
  readonly header: string
}

/** How a cluster's endpoints are connected to. */
export interface ClusterTransport {
  /** TLS may be spoken. */
  readonly secure: boolean
  readonly connect: Connect
  /** What it holds of certificates, for `/certs`. */
  readonly contexts: readonly TlsContext[]
  /** Counts in the scope of the cluster from now on. */
  useStats(scope: StatsScope): void
  /** All that {@link matchName} may say: `default`, and the names of `transport_socket_matches`. */
  readonly matchNames: readonly string[]
  /** Which socket an endpoint with that metadata gets, for the counter of that name. */
  matchName(metadata: Metadata | undefined): string
}

/** Of a transport that is the same for every endpoint. */
export const ONE_SOCKET = { matchNames: ['default'], matchName: () => 'default' } as const

export const PLAINTEXT: ClusterTransport = {
  secure: false,
  contexts: [],
  connect: (target, options, handler, timers) => connectPlaintext(target.address, options, handler, timers),
  useStats() {},
  ...ONE_SOCKET,
}

export type DiscoveryKind = 'STATIC' | 'STRICT_DNS' | 'LOGICAL_DNS'

/** What the process gives to every cluster. */
export interface ClusterContext {
  readonly policies: readonly LoadBalancingPolicy[]
  /** The transport of a cluster, by its `transport_socket`. */
  readonly transport: (message: ClusterMessage) => ClusterTransport
  /** Compiles a predicate over a response's headers. */
  readonly matchResponse: (predicate: MatchPredicate) => (headers: ResponseHeaders) => boolean
  /** For clusters that say nothing of DNS resolvers. */
  readonly defaultResolver?: DefaultResolver | undefined
}

/** Throws {@link ConfigError} for what cannot be run. */
export function clusterSettings(
  message: ClusterMessage,
  context: ClusterContext,
  before?: ClusterSettings,
): ClusterSettings {
  const warnings: string[] = []
  const mistakes = new ConfigMistakes()
  const discovery = mistakes.attempt('', () => discoveryKind(message, warnings)) ?? 'STATIC'
  const http = httpOptions(message)
  // What has not changed goes on, with its sessions and secrets.
  const transport =
    before !== undefined && sameTransport(before.message, message)
      ? before.transport
      : mistakes.attempt('', () => context.transport(message))
  if (http?.autoConfig !== undefined && transport?.secure === false) {
    mistakes.add(
      'typed_extension_protocol_options',
      `ALPN configured for cluster ${message.name} which has a non-ALPN transport socket: auto_config needs TLS`,
    )
  }
  const errorMatcher = http?.outlierDetection?.errorMatcher
  const hopwise = hopwiseMetadata(message.metadata)
  const dns =
    discovery === 'STATIC' ? undefined : mistakes.attempt('', () => dnsSettings(message, context.defaultResolver))
  const connection = connectionSettings(message, http, transport ?? PLAINTEXT, mistakes)
  const policy = mistakes.attempt('', () => hostPolicy(message, context.policies))
  const isErrorResponse =
    errorMatcher &&
    mistakes.attempt(`${optionsField(message)}.outlier_detection.error_matcher`, () =>
      context.matchResponse(errorMatcher),
    )
  mistakes.throwAll()
  return Object.freeze({
    message,
    name: message.name,
    statName: message.altStatName === '' ? message.name : message.altStatName,
    serviceName: serviceNameOf(message.name, message.metadata),
    external: hopwise.external ?? false,
    retryReusedConnection: hopwise.retryReusedConnection,
    metadata: message.metadata,
    discovery,
    dns,
    connection: connection!,
    transport: transport!,
    autoNames: autoNamesOf(http?.upstreamHttpProtocolOptions ?? message.upstreamHttpProtocolOptions),
    maxStreamDurationMs: (http?.commonHttpProtocolOptions ?? message.commonHttpProtocolOptions)?.maxStreamDuration ?? 0,
    ...upstreamProtocol(message, http),
    limits: [limitsOf(message.circuitBreakers, 'DEFAULT'), limitsOf(message.circuitBreakers, 'HIGH')] as const,
    policy: policy!,
    balancer: {
      panicThresholdPercent: message.commonLbConfig?.healthyPanicThreshold?.value ?? PANIC_THRESHOLD_PERCENT,
      localityWeighted: localityWeighted(message),
    },
    overprovisioningFactor: message.loadAssignment?.policy?.overprovisioningFactor ?? OVERPROVISIONING_FACTOR,
    updateMergeWindowMs: message.commonLbConfig?.updateMergeWindow ?? UPDATE_MERGE_WINDOW_MS,
    closeConnectionsOnHostSetChange: message.commonLbConfig?.closeConnectionsOnHostSetChange ?? false,
    closeConnectionsOnHostHealthFailure: message.closeConnectionsOnHostHealthFailure,
    outlierDetection: message.outlierDetection,
    isErrorResponse,
    perEndpointStats: message.trackClusterStats?.perEndpointStats ?? false,
    waitForWarmOnInit: message.waitForWarmOnInit ?? true,
    warnings,
  })
}

function sameTransport(a: ClusterMessage, b: ClusterMessage): boolean {
  return (
    isDeepStrictEqual(a.transportSocket, b.transportSocket) &&
    isDeepStrictEqual(a.transportSocketMatches, b.transportSocketMatches)
  )
}

function autoNamesOf(options: UpstreamHttpProtocolOptions | undefined): AutoNames | undefined {
  if (options === undefined || !(options.autoSni || options.autoSanValidation)) return undefined
  return {
    autoSni: options.autoSni,
    autoSanValidation: options.autoSanValidation,
    header: options.overrideAutoSniHeader.toLowerCase(),
  }
}

/** The message inside an `Any`, when it is of that type. */
export function unpack<T>(any: AnyMessage | undefined, typeName: string): T | undefined {
  if (any === undefined || any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1) !== typeName) return undefined
  return any.value as T
}

function discoveryKind(message: ClusterMessage, warnings: string[]): DiscoveryKind {
  const kind = namedDiscovery(message)
  const endpoints = (message.loadAssignment?.endpoints ?? []).reduce((sum, group) => sum + group.lbEndpoints.length, 0)
  if (kind !== 'LOGICAL_DNS' || endpoints === 1) return kind
  warnings.push(
    `cluster "${message.name}": LOGICAL_DNS is for exactly one endpoint; with ${endpoints} it runs as STRICT_DNS: ` +
      'write "type: STRICT_DNS"',
  )
  return 'STRICT_DNS'
}

function namedDiscovery(message: ClusterMessage): DiscoveryKind {
  const custom = message.clusterType
  if (custom !== undefined) {
    const dns = unpack<DnsCluster>(custom.typedConfig, DNS_CLUSTER)
    if (dns === undefined) throw new ConfigError('cluster_type', `"${custom.name}" is not supported yet by Hopwise`)
    return dns.allAddressesInSingleEndpoint ? 'LOGICAL_DNS' : 'STRICT_DNS'
  }
  const type = message.type ?? 'STATIC'
  if (type === 'STATIC' || type === 'STRICT_DNS' || type === 'LOGICAL_DNS') return type
  throw new ConfigError('type', `${type} is not supported yet by Hopwise`)
}

/** Under which name {@link httpOptions} stand; undefined for nowhere. */
function optionsName(message: ClusterMessage): string | undefined {
  const all = [...message.typedExtensionProtocolOptions]
  return all.find(([, any]) => unpack(any, HTTP_PROTOCOL_OPTIONS) !== undefined)?.[0]
}

function optionsField(message: ClusterMessage): string {
  return `typed_extension_protocol_options["${optionsName(message)}"]`
}

function httpOptions(message: ClusterMessage): ClusterHttpProtocolOptions | undefined {
  const name = optionsName(message)
  return name === undefined
    ? undefined
    : unpack<ClusterHttpProtocolOptions>(message.typedExtensionProtocolOptions.get(name), HTTP_PROTOCOL_OPTIONS)
}

/** Envoy: `ClusterInfoImpl::upstreamHttpProtocol`. */
function upstreamProtocol(
  message: ClusterMessage,
  http: ClusterHttpProtocolOptions | undefined,
): Pick<ClusterSettings, 'poolKind' | 'followsDownstream'> {
  if (http?.autoConfig !== undefined) return { poolKind: PoolKind.Alpn, followsDownstream: false }
  const poolKind = http2Options(message, http) === undefined ? PoolKind.Http1 : PoolKind.Http2
  const followsDownstream =
    http === undefined
      ? message.protocolSelection === 'USE_DOWNSTREAM_PROTOCOL'
      : http.useDownstreamProtocolConfig !== undefined
  return { poolKind, followsDownstream }
}

function http2Options(
  message: ClusterMessage,
  http: ClusterHttpProtocolOptions | undefined,
): Http2ProtocolOptions | undefined {
  if (http === undefined) return message.http2ProtocolOptions
  const { explicitHttpConfig, useDownstreamProtocolConfig, autoConfig } = http
  return (explicitHttpConfig ?? useDownstreamProtocolConfig ?? autoConfig)?.http2ProtocolOptions
}

/** Where {@link http2Options} stand. */
function http2Field(message: ClusterMessage, http: ClusterHttpProtocolOptions | undefined): string {
  if (http === undefined) return 'http2_protocol_options'
  const of =
    http.explicitHttpConfig !== undefined
      ? 'explicit_http_config'
      : http.useDownstreamProtocolConfig !== undefined
        ? 'use_downstream_protocol_config'
        : 'auto_config'
  return `${optionsField(message)}.${of}.http2_protocol_options`
}

/** What a handshake offers where the TLS context does not say. */
function offeredProtocols(kind: PoolKind): readonly string[] {
  if (kind === PoolKind.Alpn) return ['h2', 'http/1.1']
  return kind === PoolKind.Http2 ? ['h2'] : ['http/1.1']
}

function connectionSettings(
  message: ClusterMessage,
  http: ClusterHttpProtocolOptions | undefined,
  transport: ClusterTransport,
  mistakes: ConfigMistakes,
): ConnectionSettings | undefined {
  const common: HttpProtocolOptions | undefined = http?.commonHttpProtocolOptions ?? message.commonHttpProtocolOptions
  const http1 =
    http?.explicitHttpConfig?.httpProtocolOptions ??
    http?.autoConfig?.httpProtocolOptions ??
    http?.useDownstreamProtocolConfig?.httpProtocolOptions ??
    message.httpProtocolOptions
  const bufferLimitBytes = message.perConnectionBufferLimitBytes ?? BUFFER_LIMIT_BYTES
  const maxResponseHeadBytes = (common?.maxResponseHeadersKb ?? MAX_RESPONSE_HEADERS_KB) * 1024
  const maxResponseHeaders = common?.maxHeadersCount ?? MAX_HEADERS
  const http2 = mistakes.attempt(http2Field(message, http), () =>
    http2Settings(http2Options(message, http), {
      cutTrailers: hopwiseMetadata(message.metadata).external !== true,
      maxHeaderBytes: maxResponseHeadBytes,
      maxHeaders: maxResponseHeaders,
      underscoresInHeaders: 'ALLOW',
      bufferLimitBytes,
      scheme: 'http',
    }),
  )
  if (http2 === undefined) return undefined
  return Object.freeze({
    connectTimeoutMs: message.connectTimeout ?? CONNECT_TIMEOUT_MS,
    bufferLimitBytes,
    keepAlive: tcpKeepalive(message.upstreamConnectionOptions?.tcpKeepalive),
    idleTimeoutMs: common?.idleTimeout ?? IDLE_TIMEOUT_MS,
    maxConnectionDurationMs: common?.maxConnectionDuration ?? 0,
    maxRequestsPerConnection: common?.maxRequestsPerConnection ?? message.maxRequestsPerConnection ?? 0,
    maxResponseHeadBytes,
    maxResponseHeaders,
    sendTrailers: http1?.enableTrailers ?? false,
    allowChunkedLength: http1?.allowChunkedLength ?? false,
    properCaseHeaders: http1?.headerKeyFormat?.properCaseWords !== undefined,
    http2,
    alpn: offeredProtocols(upstreamProtocol(message, http).poolKind),
    connect: transport.connect,
  })
}

function hostPolicy(message: ClusterMessage, policies: readonly LoadBalancingPolicy[]): HostPickerFactory {
  const listed = message.loadBalancingPolicy?.policies ?? []
  if (message.loadBalancingPolicy !== undefined) {
    // The first that is known here; the others are there for proxies that know more or less.
    for (const entry of listed) {
      const config = entry.typedExtensionConfig
      for (const policy of policies) {
        const typed = unpack<object>(config?.typedConfig, policy.typeUrl)
        if (typed !== undefined) return policy.fromMessage(typed)
      }
    }
    const names = listed.map(entry => `"${entry.typedExtensionConfig?.name ?? ''}"`).join(', ')
    throw new ConfigError('load_balancing_policy', `none of its policies is supported yet by Hopwise: ${names}`)
  }
  const policy = policies.find(candidate => candidate.lbPolicy === message.lbPolicy)
  if (policy === undefined) throw new ConfigError('lb_policy', `${message.lbPolicy} is not supported yet by Hopwise`)
  return policy.fromCluster(message)
}

interface WithLocalityConfig {
  readonly localityLbConfig?: { readonly localityWeightedLbConfig: object | undefined } | undefined
}

function localityWeighted(message: ClusterMessage): boolean {
  if (message.commonLbConfig?.localityWeightedLbConfig !== undefined) return true
  const typed = message.loadBalancingPolicy?.policies[0]?.typedExtensionConfig?.typedConfig?.value as
    | WithLocalityConfig
    | undefined
  return typed?.localityLbConfig?.localityWeightedLbConfig !== undefined
}
