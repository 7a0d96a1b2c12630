/**
 * The contract of HTTP filters, and what they see of the stream they work on.
 *
 * A filter answers each callback with one of two statuses. `Continue` hands on to the next filter. `Stop` holds this
 * direction of the stream here: later filters see nothing, what arrives is kept (and reading paused when much is kept)
 * until the filter calls `continueRequest()` / `continueResponse()`. A local reply also stops: `sendLocalReply` returns
 * the status, so that replying and stopping are one expression.
 *
 * Request callbacks run in the order of `http_filters`, response callbacks in reverse. The last filter is terminal (the
 * router) and produces the response.
 */
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { SharedCount } from '../base/shared-count.ts'
import type { Timers } from '../base/timer-wheel.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { BodyChunk, StreamFailure } from '../codec/stream.ts'
import type { StreamFailures } from '../failure-origin/contract.ts'
import type { Counter, StatsScope } from '../observability/stats.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { MatchedRoute } from './route.ts'
import type { Runtime } from './runtime.ts'
import type { UpstreamSpans } from './upstream-spans.ts'

export const FilterStatus = {
  Continue: 0,
  Stop: 1,
  /**
   * For heads only: the head waits here, but data and trailers still come to this filter. What it lets pass waits with the
   * head (at most the stream's buffer limit, beyond which it is 413 or 500, as in Envoy) until it continues.
   */
  HoldHead: 2,
} as const
export type FilterStatus = (typeof FilterStatus)[keyof typeof FilterStatus]

/** Implement only the callbacks that do something: a chain calls no others. */
export interface HttpFilter {
  onRequestHeaders?(stream: HttpStream, headers: RequestHeaders, endStream: boolean): FilterStatus
  /** Not called while the request is held or buffered; the chunk is lent until the call returns. */
  onRequestData?(stream: HttpStream, data: BodyChunk, endStream: boolean): FilterStatus
  onRequestTrailers?(stream: HttpStream, trailers: HeaderMap): FilterStatus
  /** After `bufferRequest`: the whole body is here (`size` bytes) and will go on when this returns. */
  onRequestBuffered?(stream: HttpStream, size: number): void
  onInformational?(stream: HttpStream, headers: ResponseHeaders): void
  onResponseHeaders?(stream: HttpStream, headers: ResponseHeaders, endStream: boolean): FilterStatus
  onResponseData?(stream: HttpStream, data: BodyChunk, endStream: boolean): FilterStatus
  onResponseTrailers?(stream: HttpStream, trailers: HeaderMap): FilterStatus
  onResponseBuffered?(stream: HttpStream, size: number): void
  /** The downstream's write buffer rose above its high watermark or fell back: for the terminal filter. */
  onResponseBackpressure?(stream: HttpStream, above: boolean): void
  /** Once, at the end of the stream, however it came: cancel timers, give back what is held. */
  onStreamEnd?(stream: HttpStream): void
}

/** Makes the filter of one stream; a filter without per-stream state is one object for all. */
export type HttpFilterInstance = () => HttpFilter

/** What a filter ships: one per file in `filters/http/`, listed in `extensions.ts`. */
export interface HttpFilterFactory<Config, RouteConfig = Config> {
  /** Envoy's name, e.g. `envoy.filters.http.buffer`. */
  readonly name: string
  /** Full name of the configuration message, e.g. `envoy.extensions.filters.http.buffer.v3.Buffer`. */
  readonly typeUrl: string
  /** Full name of the message allowed in `typed_per_filter_config`; the same message where a filter has no other. */
  readonly routeTypeUrl?: string
  /** True for the router: must be last, and only last. */
  readonly terminal?: boolean
  /** Checks and shapes a decoded message, once per configuration update. Throws {@link ConfigError} for mistakes. */
  decodeConfig(message: never): Config
  decodeRouteConfig?(message: never): RouteConfig
  create(config: Config, context: FilterContext): HttpFilterInstance
}

/** A factory whose configuration types are its own business. */
export type AnyHttpFilterFactory = HttpFilterFactory<never, never>

export { ConfigError } from '../config/config-error.ts'

/** What a filter gets when it is made. */
export interface FilterContext {
  /** Name of this filter in `http_filters`: the key of its per-route configuration. */
  readonly filterName: string
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  readonly runtime: Runtime
  /** Scope of the connection manager, `http.<stat_prefix>`. */
  readonly stats: StatsScope
  /** Scope without a prefix, for filters whose stats stand on their own (`<p>.http_local_rate_limit.…`). */
  readonly rootStats: StatsScope
  /** Clusters, for filters that look at them (health_check's minimum healthy percentages). */
  readonly clusters: ClusterView
  /** Tells that a bound on stats whose names come from traffic was reached; `limit` names it in the metric. */
  statsOverflow(limit: string): Counter
  /** State that worker threads have in common; undefined where one thread serves everything. */
  readonly shared?: SharedState | undefined
}

export interface SharedState {
  /**
   * Memory for one `TokenBucket`, the same for the same text in all threads, among filters of this listener. Undefined
   * when there is no room: the bucket is then this thread's own.
   */
  bucket(text: string): BigInt64Array | undefined
  /** The count of that text, the same in all threads and listeners. Undefined when there is no room, as for buckets. */
  count(text: string): SharedCount | undefined
  /** Where a message stands in the listener's configuration: the same in all threads. */
  place(message: object): string
}

export interface Membership {
  readonly hosts: number
  readonly healthy: number
  readonly degraded: number
}

export interface ClusterView {
  /** The hosts of a cluster and how many of them may be sent to, or undefined where there is no such cluster. */
  membershipOf(cluster: string): Membership | undefined
  /** Where stats of a cluster stand (`cluster.<name>`), or undefined where there is no such cluster. */
  scopeOf(cluster: string): StatsScope | undefined
}

/** One request and its response, as filters see it. */
export interface HttpStream {
  readonly info: StreamInfo
  readonly requestHeaders: RequestHeaders
  /** Undefined until the response has begun. */
  readonly responseHeaders: ResponseHeaders | undefined
  /** The route matched, or undefined when none does. Matched on first use and kept; see {@link clearRouteCache}. */
  readonly route: MatchedRoute | undefined
  /** True once the response's head is on its way to the peer. */
  readonly responseStarted: boolean
  /** The stream is over; whatever is called on it does nothing. */
  readonly ended: boolean

  /** Forgets the matched route, for filters that change what routes match on. */
  clearRouteCache(): void
  /** The most specific `typed_per_filter_config` of the filter (weighted cluster, route, virtual host). */
  routeConfig<T>(filterName: string): T | undefined
  /** All of them, least specific first, for filters that combine levels. */
  routeConfigs<T>(filterName: string): readonly T[]

  /** Answers from here. All filters see the response on its way back, also those the request has not reached (as in Envoy). */
  sendLocalReply(reply: LocalReply): typeof FilterStatus.Stop
  continueRequest(): void
  continueResponse(): void
  /** Holds the request until its whole body is here: at most `maxBytes`, beyond which the answer is 413. */
  bufferRequest(maxBytes: number): typeof FilterStatus.Stop
  bufferResponse(maxBytes: number): typeof FilterStatus.Stop
  /**
   * In a data callback: what comes of the body waits from here on, and goes on as {@link passResponse} lets it, by the same
   * `meter`. The source is stopped when more waits than a connection may buffer.
   */
  meterResponse(meter: object): typeof FilterStatus.Stop
  /** Lets so many bytes go on; answers how many still wait. With the last of them the metering is over, and trailers go. */
  passResponse(meter: object, bytes: number): number
  /** `per_connection_buffer_limit_bytes` of the listener: the most that a filter should keep of a body. */
  readonly bufferLimitBytes: number
  /** More of the body came than can be kept: 413, or 500 for a response (which is cut where it has begun). */
  requestTooLarge(): typeof FilterStatus.Stop
  responseTooLarge(): typeof FilterStatus.Stop
  /** Puts bytes into the body at this point, for filters that transform. Copied. */
  injectRequestData(data: Buffer): void
  injectResponseData(data: Buffer): void
  /** In a data callback: what goes on in place of the chunk; nothing does yet where it is empty. Handed over, not copied. */
  replaceData(data: Buffer): void
  /** In a head callback with `endStream`: the message gets this body. Handed over, not copied. */
  appendRequestData(data: Buffer): void
  appendResponseData(data: Buffer): void
  addRequestTrailers(): HeaderMap
  addResponseTrailers(): HeaderMap

  // For the terminal filter.

  /** This stream's part in failure location; undefined where it takes none (admin). */
  readonly failures: StreamFailures | undefined
  /** This stream's part in its trace; undefined where tracing is off. */
  readonly upstreamSpans: UpstreamSpans | undefined
  /** Stops reading the request's body (the upstream is slow), counted. */
  pauseRequest(): void
  resumeRequest(): void
  respondInformational(headers: ResponseHeaders): void
  respondHeaders(headers: ResponseHeaders, endStream: boolean): void
  respondData(data: BodyChunk, endStream: boolean): void
  respondTrailers(trailers: HeaderMap): void
  /** The response cannot be completed: the downstream sees it cut short. */
  resetResponse(failure: StreamFailure): void
  /** Runs the request through the chain again from the start, with the headers as they are now (internal redirect). */
  recreate(body: readonly Buffer[], trailers: HeaderMap | undefined): void
  /** The route that a request with these headers would take; what this stream's own route is stays as it is. */
  matchRoute(headers: RequestHeaders): MatchedRoute | undefined
}

export interface LocalReply {
  readonly status: number
  /** `%RESPONSE_CODE_DETAILS%`. */
  readonly details: string
  /** Body, one character a byte, '' for none. `local_reply_config` may change it. */
  readonly body?: string
  /** `text/plain` by default. */
  readonly contentType?: string
  readonly flag?: number
  /** gRPC status for gRPC requests; by default mapped from the HTTP status as Envoy maps it. */
  readonly grpcStatus?: number
  /** Adds or changes headers of the reply before the filters see it. */
  readonly headers?: readonly (readonly [name: string, value: string])[]
  /** The route's own response headers are put in although the route leads to no cluster. */
  readonly routeHeaders?: boolean
  /** The connection is closed after the reply. */
  readonly close?: boolean
}
