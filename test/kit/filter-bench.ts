/**
 * One HTTP filter by itself: decoded from the configuration a user would write, made with a context whose clock, timers,
 * runtime and randomness the test sets, and given streams that note what the filter does to them.
 *
 *   const bench = new FilterBench(buffer, { max_request_bytes: 5 })
 *   const stream = bench.stream({ method: 'POST' })
 *   assert.equal(stream.requestHeadersIn(false), FilterStatus.Stop)
 */
import { ManualClock } from '../../sidecar/base/clock.ts'
import { SeededRandom } from '../../sidecar/base/random.ts'
import { TimerWheel } from '../../sidecar/base/timer-wheel.ts'
import { HeaderMap, RequestHeaders, ResponseHeaders } from '../../sidecar/codec/header-map.ts'
import { decodeResource } from '../../sidecar/config/bootstrap.ts'
import type { MessageTypes } from '../../sidecar/config/schema/generated/types.ts'
import {
  type FilterContext,
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpFilterInstance,
  type HttpStream,
  type LocalReply,
} from '../../sidecar/filter-chain/http-filter.ts'
import type { MatchedRoute } from '../../sidecar/filter-chain/route.ts'
import type { Runtime, RuntimeFraction } from '../../sidecar/filter-chain/runtime.ts'
import { overflowCounter, StatsStore } from '../../sidecar/observability/stats-store.ts'
import { type DownstreamConnectionInfo, StreamInfo } from '../../sidecar/observability/stream-info.ts'

/** Runtime values by key; fractions nobody set are decided by the numbers of the random source. */
export class FakeRuntime implements Runtime {
  readonly values = new Map<string, number | boolean>()

  number(key: string, fallback: number): number {
    const value = this.values.get(key)
    return typeof value === 'number' ? value : fallback
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.values.get(key)
    return typeof value === 'boolean' ? value : fallback
  }

  enabled({ key, numerator, denominator }: RuntimeFraction, random: { next(): number }): boolean {
    const value = this.values.get(key)
    if (typeof value === 'number') return random.next() * 100 < value
    return random.next() * denominator < numerator
  }
}

export interface BenchOptions {
  /** Per-route configurations, least specific first. */
  routeConfigs?: readonly object[]
  /** Fields of the matched route; `null` for no route at all. */
  route?: object | null
  /** Fields that replace those of the filter's context. */
  context?: object
}

/** Anything with the methods of a factory, whatever its configuration types. */
type AnyFactory = Pick<HttpFilterFactory<never, never>, 'name' | 'typeUrl'> & {
  readonly routeTypeUrl?: string
  decodeConfig(message: never): unknown
  decodeRouteConfig?(message: never): unknown
  create(config: never, context: never): HttpFilterInstance
}

export class FilterBench {
  readonly clock = new ManualClock()
  readonly timers = new TimerWheel(this.clock)
  readonly runtime = new FakeRuntime()
  readonly random = new SeededRandom(1)
  readonly stats = new StatsStore()
  readonly route: MatchedRoute | undefined
  readonly #instance: HttpFilterInstance
  readonly #cluster = this.stats.scope('cluster.app')

  constructor(factory: AnyFactory, config: object, options: BenchOptions = {}) {
    const filterName = factory.name
    const context: FilterContext = {
      filterName,
      clock: this.clock,
      timers: this.timers,
      random: this.random,
      runtime: this.runtime,
      stats: this.stats.scope('http.test'),
      rootStats: this.stats,
      clusters: {
        membershipOf: () => undefined,
        scopeOf: name => (name === 'app' ? this.#cluster : undefined),
      },
      statsOverflow: limit => overflowCounter(this.stats, limit),
      ...options.context,
    }
    this.#instance = factory.create(factory.decodeConfig(decoded(factory.typeUrl, config)) as never, context as never)
    const routeType = factory.routeTypeUrl ?? factory.typeUrl
    const routeConfigs = (options.routeConfigs ?? []).map(message =>
      factory.decodeRouteConfig!(decoded(routeType, message)),
    )
    this.route =
      options.route === null
        ? undefined
        : ({
            kind: 'cluster',
            routeName: '',
            virtualHostName: 'app',
            clusterName: 'app',
            hasFilterConfigs: routeConfigs.length > 0,
            filterConfig: () => routeConfigs.at(-1),
            filterConfigs: () => routeConfigs,
            filterDisabled: () => undefined,
            rateLimits: [],
            virtualHostRateLimits: [],
            includeVirtualHostRateLimits: false,
            ...options.route,
          } as unknown as MatchedRoute)
  }

  /** A stream with a filter of its own. */
  stream(request: BenchRequest = {}): BenchStream {
    return new BenchStream(this, this.#instance(), request)
  }

  counter(name: string): number {
    return this.stats.counters.get(name)?.stat.value ?? 0
  }

  gauge(name: string): number {
    return this.stats.gauges.get(name)?.stat.value ?? 0
  }

  /** Lets time pass and fires what is due. */
  advance(ms: number): void {
    this.clock.advance(ms)
    this.timers.advance()
  }
}

export interface BenchRequest {
  method?: string
  path?: string
  headers?: Readonly<Record<string, string>>
  /** Address of the client. */
  remote?: string
  /** Streams of one connection share this. */
  connection?: DownstreamConnectionInfo
}

export function benchConnection(remote = '192.0.2.7'): DownstreamConnectionInfo {
  return {
    id: 1,
    directRemote: { ip: remote, port: 40_000 },
    local: { ip: '127.0.0.1', port: 8080 },
    listenerName: 'main',
    filterChainName: '',
    tls: undefined,
    requestedServerName: '',
  }
}

/** What a filter sees of a stream, with everything it did noted. */
export class BenchStream implements HttpStream {
  readonly info: StreamInfo
  readonly requestHeaders: RequestHeaders
  responseHeaders: ResponseHeaders | undefined = undefined
  responseStarted = false
  ended = false
  /** Noted: what the filter did. */
  reply: LocalReply | undefined = undefined
  requestsContinued = 0
  responsesContinued = 0
  /** Bytes of the response that a filter which meters it has been shown and has not let go on yet, and what it let go on. */
  waiting = 0
  readonly passed: number[] = []
  metered: object | undefined = undefined
  bufferLimit = -1
  routeCacheCleared = 0
  readonly injected: Buffer[] = []
  replaced: Buffer | undefined = undefined
  appended: Buffer | undefined = undefined
  readonly failures = undefined
  readonly upstreamSpans = undefined
  readonly #bench: FilterBench
  readonly #filter: HttpFilter

  constructor(bench: FilterBench, filter: HttpFilter, request: BenchRequest) {
    const { method = 'GET', path = '/', headers = {}, remote, connection = benchConnection(remote) } = request
    this.#bench = bench
    this.#filter = filter
    this.requestHeaders = new RequestHeaders(method, path, 'test.local', 'http', Object.entries(headers).flat())
    this.info = new StreamInfo(connection, 'HTTP/1.1', bench.clock.now(), bench.clock.wall())
  }

  get route(): MatchedRoute | undefined {
    return this.#bench.route
  }

  // The test drives the filter by these.

  requestHeadersIn(endStream = true): FilterStatus {
    return this.#filter.onRequestHeaders?.(this, this.requestHeaders, endStream) ?? FilterStatus.Continue
  }

  requestDataIn(data: string | Buffer, endStream = false): FilterStatus {
    return this.#filter.onRequestData?.(this, Buffer.from(data), endStream) ?? FilterStatus.Continue
  }

  requestBuffered(size: number): void {
    this.#filter.onRequestBuffered?.(this, size)
  }

  requestTrailersIn(trailers: HeaderMap): FilterStatus {
    return this.#filter.onRequestTrailers?.(this, trailers) ?? FilterStatus.Continue
  }

  responseHeadersIn(status = 200, headers: Readonly<Record<string, string>> = {}, endStream = false): FilterStatus {
    this.responseHeaders = new ResponseHeaders(status, Object.entries(headers).flat())
    this.info.responseCode = status
    return this.#filter.onResponseHeaders?.(this, this.responseHeaders, endStream) ?? FilterStatus.Continue
  }

  responseDataIn(data: string | Buffer, endStream = false): FilterStatus {
    this.waiting += data.length
    return this.#filter.onResponseData?.(this, Buffer.from(data), endStream) ?? FilterStatus.Continue
  }

  responseTrailersIn(trailers: HeaderMap): FilterStatus {
    return this.#filter.onResponseTrailers?.(this, trailers) ?? FilterStatus.Continue
  }

  end(): void {
    this.ended = true
    this.#filter.onStreamEnd?.(this)
  }

  // The filter uses these.

  clearRouteCache(): void {
    this.routeCacheCleared++
  }

  routeConfig<T>(filterName: string): T | undefined {
    return this.route?.filterConfig(filterName) as T | undefined
  }

  routeConfigs<T>(filterName: string): readonly T[] {
    return (this.route?.filterConfigs(filterName) ?? []) as readonly T[]
  }

  /** Like the chain, shows the reply to the filter on its way back. */
  sendLocalReply(reply: LocalReply): typeof FilterStatus.Stop {
    this.reply = reply
    this.info.responseFlags |= reply.flag ?? 0
    this.responseHeadersIn(reply.status, Object.fromEntries(reply.headers ?? []), (reply.body ?? '') === '')
    return FilterStatus.Stop
  }

  continueRequest(): void {
    this.requestsContinued++
  }

  continueResponse(): void {
    this.responsesContinued++
  }

  bufferRequest(maxBytes: number): typeof FilterStatus.Stop {
    this.bufferLimit = maxBytes
    return FilterStatus.Stop
  }

  bufferResponse(maxBytes: number): typeof FilterStatus.Stop {
    this.bufferLimit = maxBytes
    return FilterStatus.Stop
  }

  meterResponse(meter: object): typeof FilterStatus.Stop {
    this.metered = meter
    return FilterStatus.Stop
  }

  passResponse(meter: object, bytes: number): number {
    if (meter !== this.metered) return 0
    const size = Math.min(bytes, this.waiting)
    if (size > 0) this.passed.push(size)
    this.waiting -= size
    if (this.waiting === 0) this.metered = undefined
    return this.waiting
  }

  injectRequestData(data: Buffer): void {
    this.injected.push(data)
  }

  injectResponseData(data: Buffer): void {
    this.injected.push(data)
  }

  bufferLimitBytes = 1024 * 1024

  requestTooLarge(): typeof FilterStatus.Stop {
    return this.sendLocalReply({ status: 413, details: 'request_payload_too_large' })
  }

  responseTooLarge(): typeof FilterStatus.Stop {
    return this.sendLocalReply({ status: 500, details: 'response_payload_too_large' })
  }

  replaceData(data: Buffer): void {
    this.replaced = data
  }

  appendRequestData(data: Buffer): void {
    this.appended = data
  }

  appendResponseData(data: Buffer): void {
    this.appended = data
  }

  addRequestTrailers(): HeaderMap {
    return new HeaderMap()
  }

  addResponseTrailers(): HeaderMap {
    return new HeaderMap()
  }

  pauseRequest(): void {}
  resumeRequest(): void {}
  respondInformational(): void {}
  respondHeaders(): void {}
  respondData(): void {}
  respondTrailers(): void {}
  resetResponse(): void {}
  matchRoute(): undefined {
    return undefined
  }
  recreate(): void {}
}

function decoded(typeUrl: string, config: object): never {
  const { value, errors } = decodeResource(typeUrl as keyof MessageTypes, JSON.stringify(config), {
    source: 'test.json',
  })
  if (value === undefined) throw new Error(errors.map(error => `${error.path}: ${error.message}`).join('\n'))
  return value as never
}
