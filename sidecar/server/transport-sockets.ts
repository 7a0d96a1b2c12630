/** Transport sockets from configuration: how a filter chain, or an endpoint of a cluster, is spoken to. */
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../base/clock.ts'
import { type ClusterTransport, ONE_SOCKET, PLAINTEXT } from '../cluster/cluster-settings.ts'
import { ConfigError, ConfigMistakes, within } from '../config/config-error.ts'
import type {
  Cluster,
  DownstreamTlsContext,
  FilterChain,
  JsonObject,
  JsonValue,
  Metadata,
  StringMatcher,
  TransportSocket,
  UpstreamTlsContext,
} from '../config/schema/generated/types.ts'
import type { StatsScope } from '../observability/stats.ts'
import { Mistakes } from '../router/mistakes.ts'
import { stringMatch } from '../router/string-matcher.ts'
import { DownstreamTls } from '../transport/tls/downstream-tls.ts'
import type { SecretProvider } from '../transport/tls/secret.ts'
import type { TlsContext, TlsEnvironment } from '../transport/tls/tls-context.ts'
import { UpstreamTls } from '../transport/tls/upstream-tls.ts'
import type { Connect } from '../upstream/pool.ts'

const RAW_BUFFER = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer'
const DOWNSTREAM_TLS = 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'
const UPSTREAM_TLS = 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'
/** Endpoint metadata that `transport_socket_matches` looks at. */
const MATCH_METADATA = 'envoy.transport_socket_match'
/** Envoy's default where nothing is configured. */
const HANDSHAKE_TIMEOUT_MS = 0

export interface TransportSocketContext {
  readonly clock: Clock
  readonly secrets: SecretProvider
}

/** TLS of a filter chain; undefined in plaintext. Throws {@link ConfigError} with the path below the chain. */
export function downstreamTransport(
  chain: FilterChain,
  scope: StatsScope,
  context: TransportSocketContext,
): DownstreamTls | undefined {
  const any = chain.transportSocket?.typedConfig
  if (chain.transportSocket === undefined || any?.typeUrl === RAW_BUFFER) return undefined
  if (any?.typeUrl !== DOWNSTREAM_TLS) throw unsupported('transport_socket', chain.transportSocket)
  const handshakeTimeoutMs = chain.transportSocketConnectTimeout ?? HANDSHAKE_TIMEOUT_MS
  return within(
    'transport_socket.typed_config',
    () =>
      new DownstreamTls(any.value as DownstreamTlsContext, tlsEnvironment(context), scope, {
        handshakeTimeoutMs,
        clock: context.clock,
      }),
  )
}

/** How the endpoints of a cluster are connected to. Throws {@link ConfigError} with the path below the cluster. */
export function upstreamTransport(cluster: Cluster, context: TransportSocketContext): ClusterTransport {
  const mistakes = new ConfigMistakes()
  const socketOf = (socket: TransportSocket | undefined, field: string) =>
    mistakes.attempt('', () => upstreamSocket(socket, field, context)) ?? PLAINTEXT
  const general = socketOf(cluster.transportSocket, 'transport_socket')
  const candidates = cluster.transportSocketMatches.map(({ name, match, transportSocket }, i) => ({
    name,
    match: match ?? {},
    transport: socketOf(transportSocket, `transport_socket_matches[${i}].transport_socket`),
  }))
  mistakes.throwAll()
  return candidates.length === 0 ? general : new MatchingTransport(candidates, general)
}

function upstreamSocket(
  socket: TransportSocket | undefined,
  field: string,
  context: TransportSocketContext,
): ClusterTransport {
  const any = socket?.typedConfig
  if (socket === undefined || any?.typeUrl === RAW_BUFFER) return PLAINTEXT
  if (any?.typeUrl !== UPSTREAM_TLS) throw unsupported(field, socket)
  const tls = within(
    `${field}.typed_config`,
    () => new UpstreamTls(any.value as UpstreamTlsContext, tlsEnvironment(context), context.clock),
  )
  return {
    secure: true,
    contexts: [tls.context],
    connect: (target, options, handler, timers) => tls.connect(target, options, handler, timers),
    useStats: scope => tls.useStats(scope),
    ...ONE_SOCKET,
  }
}

interface Candidate {
  readonly name: string
  readonly match: JsonObject
  readonly transport: ClusterTransport
}

/** The first candidate whose metadata the endpoint has; the cluster's own socket where none fits. */
class MatchingTransport implements ClusterTransport {
  readonly secure: boolean
  readonly contexts: readonly TlsContext[]
  readonly #candidates: readonly Candidate[]
  readonly #general: ClusterTransport
  readonly matchNames: readonly string[]

  constructor(candidates: readonly Candidate[], general: ClusterTransport) {
    this.#candidates = candidates
    this.#general = general
    this.matchNames = [...candidates.map(({ name }) => name), 'default']
    this.contexts = [...candidates.flatMap(({ transport }) => transport.contexts), ...general.contexts]
    this.secure = general.secure || candidates.some(({ transport }) => transport.secure)
  }

  readonly connect: Connect = (target, options, handler, timers) => {
    const { transport } = this.#candidateFor(target.metadata) ?? { transport: this.#general }
    return transport.connect(target, options, handler, timers)
  }

  useStats(scope: StatsScope): void {
    this.#general.useStats(scope)
    for (const { transport } of this.#candidates) transport.useStats(scope)
  }

  matchName(metadata: Metadata | undefined): string {
    return this.#candidateFor(metadata)?.name ?? 'default'
  }

  #candidateFor(metadata: Metadata | undefined): Candidate | undefined {
    return this.#candidates.find(({ match }) => fits(match, metadata))
  }
}

function fits(match: JsonObject, endpoint: Metadata | undefined): boolean {
  const wanted = Object.entries(match)
  if (wanted.length === 0) return true
  const metadata = valuesOf(endpoint)
  return metadata !== undefined && wanted.every(([key, value]) => isDeepStrictEqual(metadata[key], value))
}

function valuesOf(metadata: Metadata | undefined): Readonly<Record<string, JsonValue>> | undefined {
  return metadata?.filterMetadata.get(MATCH_METADATA) as Readonly<Record<string, JsonValue>> | undefined
}

function unsupported(field: string, socket: TransportSocket): ConfigError {
  return new ConfigError(field, `"${socket.name}" is not supported by Hopwise`)
}

function tlsEnvironment({ secrets }: TransportSocketContext): TlsEnvironment {
  return { secrets, compileMatcher }
}

function compileMatcher(message: StringMatcher): (text: string) => boolean {
  const mistakes = new Mistakes(message)
  const match = stringMatch(message, '', mistakes)
  mistakes.throwAll()
  return text => match.matches(text)
}
