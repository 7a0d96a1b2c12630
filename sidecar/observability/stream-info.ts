/**
 * The record of one request, filled on the way and read once at its end by stats, access log, span and failure ledger.
 *
 * Every field is set in the constructor in one order (one hidden class); times are readings of the monotonic clock in
 * milliseconds, `0` where the moment has not come; texts that only some reader wants are built by the reader.
 */
import type { Address } from '../base/address.ts'

/** What is known of one end's TLS session; undefined on plaintext. Filled by `transport/`. */
export interface TlsInfo {
  readonly version: string
  readonly cipher: string
  readonly sni: string
  readonly alpn: string
  readonly peerUriSans: readonly string[]
  readonly peerDnsSans: readonly string[]
  readonly peerSubject: string
  readonly peerIssuer: string
  readonly peerFingerprint256: string
  readonly peerSerial: string
  readonly localUriSans: readonly string[]
  // Read by access-log operators only; absent where the transport did not look.
  readonly localDnsSans?: readonly string[]
  readonly localSubject?: string
  readonly peerIpSans?: readonly string[]
  readonly peerEmailSans?: readonly string[]
  readonly peerFingerprint1?: string
  readonly sessionId?: string
  readonly group?: string
  /** Validity of the peer's certificate, milliseconds since the epoch. */
  readonly peerValidFromMs?: number | undefined
  readonly peerValidToMs?: number | undefined
  /** The peer's certificate as URL-encoded PEM, and all it sent; functions because hardly anyone asks. */
  readonly peerCertificate?: () => string
  readonly peerCertificateChain?: () => string
  /** The peer's certificate was looked at and accepted; absent where every certificate that gets here was. */
  readonly peerValidated?: boolean
  /** Moment the handshake was done, on the monotonic clock. */
  readonly handshakeEndMs?: number
}

/** `metadata` of a listener, a cluster, …, as it was configured: by namespace. */
export interface ConfiguredMetadata {
  readonly filterMetadata: ReadonlyMap<string, Readonly<Record<string, unknown>>>
}

/** What is the same for every request of one downstream connection. */
export interface DownstreamConnectionInfo {
  readonly id: number
  /** The peer of the socket itself. */
  readonly directRemote: Address
  readonly local: Address
  readonly listenerName: string
  readonly filterChainName: string
  readonly tls: TlsInfo | undefined
  /** SNI as `tls_inspector` saw it, '' when there was none. */
  readonly requestedServerName: string
  /** Of the listener and of its filter chain. */
  readonly listenerMetadata?: ConfiguredMetadata | undefined
  readonly filterChainMetadata?: ConfiguredMetadata | undefined
}

/** `grpc-status` was there and no number. */
export const INVALID_GRPC_STATUS = -2

export type Protocol = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2'

export class StreamInfo {
  readonly downstream: DownstreamConnectionInfo
  protocol: Protocol
  /** Wall clock at the first byte of the request, milliseconds since the epoch. */
  startWallMs: number
  /** Monotonic reading at the first byte of the request; the others are readings of the same clock. */
  startMs: number
  lastRequestByteMs = 0
  upstreamConnectStartMs = 0
  upstreamConnectEndMs = 0
  upstreamTlsEndMs = 0
  /** How long the request waited for a connection of the pool, -1 while it has none. */
  upstreamPoolWaitMs = -1
  firstUpstreamTxByteMs = 0
  lastUpstreamTxByteMs = 0
  firstUpstreamRxByteMs = 0
  lastUpstreamRxByteMs = 0
  firstDownstreamTxByteMs = 0
  lastDownstreamTxByteMs = 0
  endMs = 0
  /** Until when a fault filter holds the request back; 0 where none does. */
  delayedUntilMs = 0
  /** The client after trusted `x-forwarded-for` hops; the socket's peer when no header is trusted. */
  remote: Address
  /** Status sent downstream; 0 when none was. */
  responseCode = 0
  /** Why the response is what it is: `via_upstream`, `route_not_found`, … (Envoy: `%RESPONSE_CODE_DETAILS%`). */
  responseCodeDetails = ''
  /** Set of {@link ResponseFlag}s. */
  responseFlags = 0
  /** Body bytes; heads and framing are counted in the wire fields. */
  bytesReceived = 0
  bytesSent = 0
  requestHeaderBytes = 0
  responseHeaderBytes = 0
  downstreamWireBytesReceived = 0
  downstreamWireBytesSent = 0
  upstreamWireBytesReceived = 0
  upstreamWireBytesSent = 0
  upstreamHeaderBytesReceived = 0
  upstreamHeaderBytesSent = 0
  routeName = ''
  virtualHostName = ''
  virtualClusterName = ''
  clusterName = ''
  /** `alt_stat_name` of the cluster, '' when it has none: what Envoy prints as `%UPSTREAM_CLUSTER%`. */
  clusterAltStatName = ''
  clusterMetadata: ConfiguredMetadata | undefined = undefined
  /** Host of the last attempt, with the name it was configured by. */
  upstreamHost: Address | undefined = undefined
  upstreamHostname = ''
  upstreamHostMetadata: ConfiguredMetadata | undefined = undefined
  upstreamLocal: Address | undefined = undefined
  upstreamProtocol: Protocol | '' = ''
  upstreamTls: TlsInfo | undefined = undefined
  upstreamTransportFailure = ''
  downstreamTransportFailure = ''
  upstreamConnectionId = 0
  /** Hosts of all attempts, in order, as text; empty while only one was tried. */
  upstreamHostsAttempted: string[] | undefined = undefined
  attemptCount = 0
  /** The request id as sent on, '' when there is none. */
  requestId = ''
  /** Ids of this sidecar's span for the request, '' when no tracing is configured. */
  traceId = ''
  spanId = ''
  sampled = false
  /** The trace that somebody can look at, '' for none. */
  get sampledTraceId(): string {
    return this.sampled ? this.traceId : ''
  }
  /** Why the request is traced or not (tracing/sampling.ts, `TraceReason`). */
  traceReason = 0
  /** gRPC status of the response, -1 when it is not gRPC or has none; see also {@link INVALID_GRPC_STATUS}. */
  grpcStatus = -1
  /** Answered by `sendLocalReply` rather than by the upstream. */
  localReply = false
  localReplyBody = ''
  /** Health-check request answered by the health_check filter: excluded by `not_health_check_filter`. */
  healthCheck = false
  connectionTerminationDetails = ''
  /** Filters' notes for access log and each other, by namespace; undefined until the first is written. */
  dynamicMetadata: Map<string, Record<string, unknown>> | undefined = undefined
  /** Objects of filters for access log and each other, by key; undefined until the first is set. */
  filterState: Map<string, FilterStateObject> | undefined = undefined
  /** The failure record of this request, if it failed (failure-origin.md); filled by `failure-origin/`. */
  failure: FailureView | undefined = undefined

  constructor(downstream: DownstreamConnectionInfo, protocol: Protocol, startMs: number, startWallMs: number) {
    this.downstream = downstream
    this.protocol = protocol
    this.startMs = startMs
    this.startWallMs = startWallMs
    this.remote = downstream.directRemote
  }

  setFilterState(key: string, object: FilterStateObject): void {
    this.filterState ??= new Map()
    this.filterState.set(key, object)
  }

  setDynamicMetadata(namespace: string, key: string, value: unknown): void {
    this.dynamicMetadata ??= new Map()
    const entry = this.dynamicMetadata.get(namespace)
    if (entry === undefined) this.dynamicMetadata.set(namespace, { [key]: value })
    else entry[key] = value
  }
}

/** What a filter leaves for the access log (Envoy: `FilterState::Object`). */
export interface FilterStateObject {
  /** As `%FILTER_STATE(key)%` prints it. */
  toJson(): Readonly<Record<string, unknown>>
  /** `%FILTER_STATE(key:PLAIN)%`. */
  toText(): string
  /** `%FILTER_STATE(key:FIELD:name)%`; undefined where there is no such field. */
  field(name: string): string | number | undefined
}

/** What readers of the record (log, span, metric) see of a failure; the whole is in `failure-origin/record.ts`. */
export interface FailureView {
  readonly id: string
  readonly role: string
  readonly origin: string
  readonly cause: string
  readonly link: string
  /** From origin to this service, joined by commas. */
  readonly path: string
  readonly confidence: string
}
