/**
 * What `http/` (the connection manager) and `router/` call, and when: the whole surface of failure location.
 *
 * One {@link StreamFailures} accompanies each HTTP stream. `http/` makes it, with `inboundStart` on an inbound listener and
 * with `egressStart` on an outbound one; every later call has the same name for both. On success all of them together cost
 * well under a microsecond (`test/bench/ledger.bench.ts`); records, ids and headers are made only when something failed.
 *
 *            stripRequest(headers)                         every request, before anything reads its headers
 *                   │
 *     inboundStart / egressStart                           ids known; before the span and x-request-id of an egress call
 *                   │        └─ inferred?  use it as parent, tag the span parent=inferred
 *     outcomes before the router (rate limit, RBAC, …) go straight to responseHead
 *                   │
 *         routed(target, …)                                router: cluster known, headers final
 *                   │
 *         limitTimeout(ms) ◄─ timer fires: timeoutFired() > 0 means start it again for that long, 0 means give up
 *                   │
 *        ┌──────────┴───────────┐  per attempt, one of
 *   attemptHead(headers, info)  attemptFailed(facts)       a response began │ reset, no host, overflow, timeout
 *        └──────────┬───────────┘
 *                   ├─ mayRetry() && another try ─► attemptRetried() ─► (next attempt)
 *                   │
 *   attemptTrailers(trailers, info)?                       upstream's trailers (gRPC), before they are passed on
 *                   │
 *   responseHead(info, headers)                            last thing before the head is encoded, local replies included
 *   responseTrailers(info, trailers)?                      the same for trailers
 *                   │
 *   attemptFailed(facts)?                                  cut after the head
 *                   │
 *   responseCut(info, trailers)?                           where the peer can be told why
 *                   │
 *               end(info)                                  once, in any case, with info.endMs and info.responseFlags set
 *
 * `responseHead`, `responseTrailers` and `end` fill `info.failure` themselves; access log, span and stats read it there.
 */
import type { FailureView, StreamInfo, TlsInfo } from '../observability/stream-info.ts'
import type { FailureRecord } from './record.ts'

/** The part of a header map that is used here (`codec/` is above this room). Names are in lower case. */
export interface MutableHeaders {
  /** `[name, value, …]`, where the map keeps one: then looking for several names is one scan instead of several. */
  readonly list?: readonly string[]
  get(name: string): string | undefined
  getAll(name: string): string[]
  set(name: string, value: string): void
  add(name: string, value: string): void
  delete(name: string): boolean
}

/** Whom calls go to: made once per cluster (and per host that names another service), never per request. */
export interface Callee {
  readonly clusterName: string
  /** By the spec's "Name of a callee", without the authenticated peer, which is known only per connection. */
  readonly serviceName: string
  /** `filter_metadata.hopwise.external`: its records are never believed. */
  readonly external: boolean
}

/** Opaque: holds the counters and what was learned of a callee. See {@link FailureOrigin.target}. */
export interface CallTarget {
  readonly serviceName: string
}

export interface InboundRequest {
  /** Monotonic, milliseconds: `info.startMs`. */
  readonly startMs: number
  /**
   * Ids as the application will see them: of this sidecar's span where it traces, otherwise what the request brought
   * along; '' where there are none.
   */
  readonly traceId: string
  readonly spanId: string
  readonly requestId: string
  readonly sampled: boolean
  /** Span id in the request as it arrived on the wire (the caller's egress span), '' when none. */
  readonly wireSpanId: string
  /** Path as it arrived, query included. */
  readonly path: string
  /** {@link FailureOrigin.budgetMs} of the headers as they arrived, before Envoy's stripping for outsiders. */
  readonly budgetMs: number
  /** Socket's peer, and its TLS session (undefined on plaintext): decide whether the budget is believed. */
  readonly peerIp: string
  readonly tls: TlsInfo | undefined
  /**
   * What the caller's sidecar calls itself (`x-envoy-downstream-service-cluster`, which `add_user_agent` sets), '' when it
   * does not say. Believed of mesh peers only.
   */
  readonly callerName: string
  readonly edge: boolean
}

export interface EgressRequest {
  readonly startMs: number
  /** Asked, while the call is under way, for what only shows later. */
  readonly info: StreamInfo
  /**
   * Ids as the application sent them, before this sidecar adds any; '' where there are none. A fresh x-request-id of ours
   * is harmless but costs a look-up that can find nothing.
   */
  readonly traceId: string
  /** The span the application names as its own (parent of ours). */
  readonly parentSpanId: string
  readonly requestId: string
  readonly edge: boolean
}

export interface TraceContext {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

/** Why an attempt has no (whole) answer: what the router knows beyond response flags. */
export interface AttemptFacts {
  /** `StreamFailure.kind`, or one of ours where no stream existed. */
  readonly kind: AttemptFailureKind
  /** The failure's own text (transport, TLS, resolver); '' for none. */
  readonly details: string
  /** What was wrong with TLS, where it was that. */
  readonly tlsCause?: string | undefined
  /** Which limit of the circuit breaker, for `overflow`. */
  readonly limit?: 'connections' | 'pending' | 'requests' | 'retries' | 'connection_pools' | 'error_rate' | undefined
  /** For `no_host`: why there was none. */
  readonly noHost?: 'dns' | 'eds_empty' | 'all_ejected' | 'health_failed' | undefined
  /** Last real failure of the callee (`Host.lastFailure`, `cluster.discoveryFailure`), copied into the record. */
  readonly lastFailure?: string | undefined
  /** What the upstream sent along with a cut. */
  readonly trailers?: MutableHeaders | undefined
  /** The connection had carried a request before: a keep-alive race is possible. */
  readonly reusedConnection?: boolean | undefined
  /** `10.0.0.7:8080`, '' where no host was chosen. */
  readonly host?: string | undefined
}

export type AttemptFailureKind =
  | 'connect_refused'
  | 'connect_timeout'
  | 'connect_failed'
  | 'unreachable'
  | 'tls'
  | 'overflow'
  | 'reset'
  | 'terminated'
  | 'protocol_error'
  | 'refused_stream'
  | 'headers_too_large'
  | 'payload_too_large'
  | 'timeout'
  | 'local_reset'
  | 'no_host'
  | 'no_cluster'
  | 'route_timeout'
  | 'per_try_timeout'
  | 'per_try_idle_timeout'
  | 'stream_idle_timeout'
  | 'max_duration'

/** Accompanies one HTTP stream; see the drawing above for the order of the calls. */
export interface StreamFailures {
  readonly direction: 'inbound' | 'outbound'
  /** Egress only: the inbound request's context, to be used as parent because the application sent none. */
  readonly inferred: TraceContext | undefined
  /** The record in play, once there is one: for span links (`record.span`) and human bodies (`describe(record)`). */
  readonly record: FailureRecord | undefined

  /**
   * Router: the cluster is known and the request is as it goes out: `requestId`, `path` and the span id on the wire ('' if
   * none) are what the other end will see. On an inbound listener only `target` matters.
   */
  routed(target: CallTarget, requestId: string, path: string, wireSpanId: string): void
  /** Router: the chosen host names another service than its cluster does (`Host.serviceName`). */
  retarget(target: CallTarget): void
  /**
   * The timeout to use in place of the route's, in milliseconds; 0 means none, as in Envoy. Inbound: at most what the
   * caller still waits for, less a margin. Egress: at most what the matched inbound has left, less a margin. A result
   * below 1 (but not 0) means that the budget is spent: answer 504 with details `deadline_exceeded` and make no call.
   */
  limitTimeout(routeTimeoutMs: number, nowMs: number): number
  /** The timer of `limitTimeout` fired: 0 to give up now, else the milliseconds to wait on. */
  timeoutFired(nowMs: number): number

  /** The head of the upstream's answer, before filters see it. Takes records of ours out of `headers`. */
  attemptHead(headers: MutableHeaders, status: number, info: StreamInfo): void
  attemptTrailers(trailers: MutableHeaders, info: StreamInfo): void
  attemptFailed(facts: AttemptFacts): void
  /** False when a record came along whose origin is not the callee: trying again would only multiply the load. */
  mayRetry(): boolean
  /** The attempt that just failed is being followed by another. `info.upstreamHost` etc. still are of the failed one. */
  attemptRetried(info: StreamInfo): void

  /**
   * Decides and writes `proxy-status` (at an edge: `x-failure-id`) when the response is a failure, with `info.responseCode`,
   * `localReply`, `responseCodeDetails` and flags set. Called again, it writes into the new headers what it has decided.
   */
  responseHead(info: StreamInfo, headers: MutableHeaders): FailureView | undefined
  responseTrailers(info: StreamInfo, trailers: MutableHeaders): FailureView | undefined
  /**
   * The response breaks off after its head, and whoever gets it can be told why: decides that now and writes the record.
   * Undefined when there is none, or when it is not for those out there (edge).
   */
  responseCut(info: StreamInfo, trailers: MutableHeaders): FailureView | undefined
  end(info: StreamInfo): FailureView | undefined
}

export interface FailureOrigin {
  /** Once per cluster, when it is built. The same callee gives the same object. */
  target(callee: Callee): CallTarget
  /** Removes everything of ours from a request, whoever sent it. */
  stripRequest(headers: MutableHeaders): void
  /** Milliseconds the caller still waits, by `grpc-timeout` or `x-envoy-expected-rq-timeout-ms`; 0 when not said. */
  budgetMs(headers: MutableHeaders): number
  /** There is a listener that takes requests for the application: calls that no request explains are its own work. */
  expectInbound(): void
  inboundStart(request: InboundRequest): StreamFailures
  egressStart(request: EgressRequest): StreamFailures
  /** From a timer, about once a second: forgets what can no longer matter. Cheap when nothing failed. */
  sweep(): void
}
