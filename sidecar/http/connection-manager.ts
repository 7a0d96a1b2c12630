/**
 * The HTTP connection manager of one filter chain: what all its connections and streams share.
 *
 * `ConnectionManagerConfig` is what a configuration update made of the message, immutable; a stream keeps the manager it
 * started with, so an update never changes a request in flight.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { Timers } from '../base/timer-wheel.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { HeaderCase } from '../codec/http1/writer.ts'
import type { FilterChain } from '../filter-chain/filter-manager.ts'
import type { MatchedRoute, RouteMatcher } from '../filter-chain/route.ts'
import type { Runtime } from '../filter-chain/runtime.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { Http2Settings } from '../upstream/http2-settings.ts'
import type { ActiveStream } from './active-stream.ts'
import type { LocalReplyRewriter } from './local-reply.ts'
import type { PathNormalization } from './path-normalization.ts'
import type { RequestHeaderPolicy } from './request-headers.ts'
import type { ResponseHeaderPolicy } from './response-headers.ts'
import type { ConnectionManagerStats } from './stats.ts'
import type { StreamObserver } from './stream-observation.ts'

export interface ConnectionManagerConfig {
  readonly statPrefix: string
  readonly codecType: 'AUTO' | 'HTTP1' | 'HTTP2' | 'HTTP3'
  readonly requestHeaders: RequestHeaderPolicy
  readonly responseHeaders: ResponseHeaderPolicy
  readonly pathNormalization: PathNormalization
  /** `strip_matching_host_port`, `strip_any_host_port`, `strip_trailing_host_dot`; undefined when none is on. */
  readonly stripHostPort: ((headers: RequestHeaders) => void) | undefined
  readonly localReplyRewriter: LocalReplyRewriter | undefined
  /** In order; empty for nearly everybody. */
  readonly earlyMutations: readonly EarlyMutation[]
  /** Upgrade types allowed where a route does not say otherwise, in lower case. */
  readonly upgrades: ReadonlySet<string>
  readonly alwaysSetRequestIdInResponse: boolean
  readonly proxy100Continue: boolean
  readonly underscoresInHeaders: 'ALLOW' | 'REJECT_REQUEST' | 'DROP_HEADER'
  /** `header_key_format`: how names of response headers are written; undefined for lower case. */
  readonly headerCase: HeaderCase | undefined
  readonly maxRequestHeadBytes: number
  readonly maxRequestHeaders: number
  readonly acceptHttp10: boolean
  readonly defaultHostForHttp10: string
  readonly enableTrailers: boolean
  readonly allowChunkedLength: boolean
  readonly allowCustomMethods: boolean
  readonly bufferLimitBytes: number
  readonly http2: Http2Settings
  /** Timeouts in milliseconds; 0 is off. */
  readonly streamIdleTimeoutMs: number
  readonly streamFlushTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly requestHeadersTimeoutMs: number
  readonly maxStreamDurationMs: number
  readonly connectionIdleTimeoutMs: number
  readonly maxConnectionDurationMs: number
  /** By which part of itself that is lengthened at most, for each connection by lot. */
  readonly maxConnectionDurationJitter: number
  readonly maxRequestsPerConnection: number
  readonly drainTimeoutMs: number
  readonly delayedCloseTimeoutMs: number
}

/** Changes a request's headers before the connection manager looks at them. */
export type EarlyMutation = (headers: RequestHeaders, info: StreamInfo) => void

/** What the server tells all managers: whether to drain, whether to take more. */
export interface ServerCondition {
  /** Whether the connection of the response at hand is to end with it: asked once for each. */
  readonly draining: boolean
  readonly overloaded: boolean
}

/** Writes the access log entry of a finished stream. */
export interface StreamLogger {
  log(stream: ActiveStream): void
}

export class ConnectionManager {
  readonly config: ConnectionManagerConfig
  readonly filterChain: FilterChain
  readonly stats: ConnectionManagerStats
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  readonly observer: StreamObserver | undefined
  readonly #runtime: Runtime | undefined
  readonly #condition: ServerCondition
  readonly #loggers: readonly StreamLogger[]
  /** Filters switched off unless a route switches them on, by index; undefined where there is none. */
  readonly #disabledByDefault: readonly boolean[] | undefined
  /** The routes of new streams; replaced whole when they change. */
  routes: RouteMatcher | undefined

  constructor(parts: {
    config: ConnectionManagerConfig
    filterChain: FilterChain
    disabledByDefault: readonly boolean[]
    routes: RouteMatcher | undefined
    stats: ConnectionManagerStats
    clock: Clock
    timers: Timers
    random: Random
    runtime?: Runtime | undefined
    observer: StreamObserver | undefined
    condition: ServerCondition
    loggers: readonly StreamLogger[]
  }) {
    this.config = parts.config
    this.filterChain = parts.filterChain
    this.stats = parts.stats
    this.clock = parts.clock
    this.timers = parts.timers
    this.random = parts.random
    this.observer = parts.observer
    this.#runtime = parts.runtime
    this.routes = parts.routes
    this.#condition = parts.condition
    this.#loggers = parts.loggers
    this.#disabledByDefault = parts.disabledByDefault.includes(true) ? parts.disabledByDefault : undefined
  }

  get draining(): boolean {
    return this.#condition.draining
  }

  /** How long a connection may live, drawn for it; Infinity where there is no limit. */
  drawConnectionDuration(): number {
    const { maxConnectionDurationMs, maxConnectionDurationJitter } = this.config
    if (maxConnectionDurationMs === 0) return Number.POSITIVE_INFINITY
    if (maxConnectionDurationJitter === 0) return maxConnectionDurationMs
    return maxConnectionDurationMs * (1 + maxConnectionDurationJitter * this.random.next())
  }

  get overloaded(): boolean {
    return this.#condition.overloaded
  }

  /**
   * Whether a connection made for this manager can go on with `next`: what its codec was told must not differ. One whose
   * protocol is not known yet has told nothing to any codec.
   */
  compatible(next: ConnectionManager, protocol: 'HTTP/1' | 'HTTP/2' | 'undecided'): boolean {
    if (this.config.codecType !== next.config.codecType) return false
    if (protocol === 'undecided') return true
    if (protocol === 'HTTP/2') return isDeepStrictEqual(this.config.http2, next.config.http2)
    return HTTP1_SETTINGS.every(setting => this.config[setting] === next.config[setting])
  }

  /** Of the guard against rapid reset: requests after which a connection is judged, and seconds that tell early ones. */
  prematureResetLimits(): { readonly total: number; readonly minLifetimeSeconds: number } {
    const runtime = this.#runtime
    if (runtime === undefined) return DEFAULT_PREMATURE_RESETS
    return {
      total: runtime.number('overload.premature_reset_total_stream_count', DEFAULT_PREMATURE_RESETS.total),
      minLifetimeSeconds: runtime.number(
        'overload.premature_reset_min_stream_lifetime_seconds',
        DEFAULT_PREMATURE_RESETS.minLifetimeSeconds,
      ),
    }
  }

  log(stream: ActiveStream): void {
    for (const logger of this.#loggers) logger.log(stream)
  }

  /** Which filters a route switches off, by index; undefined where all run. */
  disabledFilters(route: MatchedRoute | undefined): readonly boolean[] | undefined {
    if (route === undefined || !route.hasFilterConfigs) return this.#disabledByDefault
    const names = this.filterChain.names
    let disabled: boolean[] | undefined
    for (let i = 0; i < names.length; i++) {
      const off = route.filterDisabled(names[i]!) ?? this.#disabledByDefault?.[i] ?? false
      if (!off) continue
      disabled ??= new Array<boolean>(names.length).fill(false)
      disabled[i] = true
    }
    return disabled
  }
}

/** Envoy: `ConnectionManagerImpl::PrematureResetTotalStreamCountKey`, `PrematureResetMinStreamLifetimeSecondsKey`. */
const DEFAULT_PREMATURE_RESETS = Object.freeze({ total: 500, minLifetimeSeconds: 1 })

/** Settings that an HTTP/1 connection takes over when it is made. */
const HTTP1_SETTINGS = [
  'maxRequestHeadBytes',
  'maxRequestHeaders',
  'acceptHttp10',
  'allowChunkedLength',
  'allowCustomMethods',
  'bufferLimitBytes',
] as const satisfies readonly (keyof ConnectionManagerConfig)[]
