/**
 * `envoy.filters.http.fault`: breaks a fraction of requests on purpose: delays them, answers them with an error, or slows
 * their response down. A delay may be followed by an abort.
 *
 * With `header_delay`, `header_abort` and `header_limit` the request says what is to happen to it
 * (`x-envoy-fault-delay-request` and so on); the configured percentage is then the most that the request may ask for.
 * Runtime keys override percentages, durations and statuses; a request with `x-envoy-downstream-service-cluster` is
 * governed by the keys of that cluster (`fault.http.<cluster>.…`).
 */
import type { SharedCount } from '../../base/shared-count.ts'
import { Timer, type Timers } from '../../base/timer-wheel.ts'
import type { RequestHeaders } from '../../codec/header-map.ts'
import type { FaultDelay, FaultRateLimit, HTTPFault, JsonObject } from '../../config/schema/generated/types.ts'
import {
  ConfigError,
  type FilterContext,
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpStream,
} from '../../filter-chain/http-filter.ts'
import type { RuntimeFraction } from '../../filter-chain/runtime.ts'
import { binaryText } from '../../observability/formatter/context.ts'
import { ResponseFlag } from '../../observability/response-flags.ts'
import type { Counter, Gauge, StatsScope } from '../../observability/stats.ts'
import { allMatch, type HeaderMatcher, headerMatchers } from '../../router/header-matcher.ts'
import { fractionOfKey } from './runtime-fraction.ts'
import { StreamRateLimiter } from './stream-rate-limiter.ts'

/** The header names a request may choose its fault by. */
const DELAY_HEADER = 'x-envoy-fault-delay-request'
const ABORT_HEADER = 'x-envoy-fault-abort-request'
const ABORT_GRPC_HEADER = 'x-envoy-fault-abort-grpc-request'
const THROUGHPUT_HEADER = 'x-envoy-fault-throughput-response'
const DOWNSTREAM_CLUSTER_HEADER = 'x-envoy-downstream-service-cluster'
const DOWNSTREAM_NODE_HEADER = 'x-envoy-downstream-service-node'

const METADATA_NAMESPACE = 'envoy.filters.http.fault'
const ABORT_BODY = 'fault filter abort'

/** Names of downstream clusters come from requests, so the stats made for them are bounded. */
const MAX_DOWNSTREAM_CLUSTERS = 100

interface Percentage {
  readonly fraction: RuntimeFraction
  /** Header that may lower the percentage, '' where the fault is not chosen by headers. */
  readonly header: string
}

interface FaultConfig {
  readonly delay: { readonly percentage: Percentage; readonly fixedMs: number | undefined } | undefined
  readonly abort:
    | {
        readonly percentage: Percentage
        readonly httpStatus: number | undefined
        readonly grpcStatus: number | undefined
        readonly byHeader: boolean
        readonly body: string
      }
    | undefined
  readonly rateLimit: { readonly percentage: Percentage; readonly fixedKbps: number | undefined } | undefined
  readonly upstreamCluster: string
  readonly downstreamNodes: ReadonlySet<string>
  readonly headers: readonly HeaderMatcher[]
  readonly maxActiveFaults: number
  readonly maxActiveFaultsKey: string
  readonly delayDurationKey: string
  readonly abortHttpStatusKey: string
  readonly abortGrpcStatusKey: string
  readonly downstreamClusterStats: boolean
  readonly metadata: JsonObject | undefined
}

export const fault: HttpFilterFactory<FaultConfig> = {
  name: 'envoy.filters.http.fault',
  typeUrl: 'envoy.extensions.filters.http.fault.v3.HTTPFault',
  decodeConfig: decodeFault,
  decodeRouteConfig: decodeFault,
  create(config, context) {
    const shared = new FaultState(config, context)
    return () => new Fault(shared)
  },
}

function decodeFault(message: HTTPFault): FaultConfig {
  const { abort } = message
  return {
    delay: message.delay && decodeDelay(message.delay, message.delayPercentRuntime),
    abort: abort && {
      percentage: percentageOf(
        fractionOfKey(message.abortPercentRuntime || 'fault.http.abort.abort_percent', abort.percentage),
        abort.headerAbort === undefined ? '' : `${ABORT_HEADER}-percentage`,
      ),
      httpStatus: abort.httpStatus,
      grpcStatus: abort.grpcStatus,
      byHeader: abort.headerAbort !== undefined,
      body: abort.responseBody === '' ? ABORT_BODY : binaryText(abort.responseBody),
    },
    rateLimit:
      message.responseRateLimit && decodeRateLimit(message.responseRateLimit, message.responseRateLimitPercentRuntime),
    upstreamCluster: message.upstreamCluster,
    downstreamNodes: new Set(message.downstreamNodes),
    headers: headerMatchers(message.headers),
    maxActiveFaults: message.maxActiveFaults ?? Number.MAX_SAFE_INTEGER,
    maxActiveFaultsKey: message.maxActiveFaultsRuntime || 'fault.http.max_active_faults',
    delayDurationKey: message.delayDurationRuntime || 'fault.http.delay.fixed_duration_ms',
    abortHttpStatusKey: message.abortHttpStatusRuntime || 'fault.http.abort.http_status',
    abortGrpcStatusKey: message.abortGrpcStatusRuntime || 'fault.http.abort.grpc_status',
    downstreamClusterStats: !message.disableDownstreamClusterStats,
    metadata: message.filterMetadata,
  }
}

function decodeDelay(delay: FaultDelay, key: string): NonNullable<FaultConfig['delay']> {
  if (delay.fixedDelay === undefined && delay.headerDelay === undefined) {
    throw new ConfigError('delay', 'needs fixed_delay or header_delay')
  }
  const fraction = fractionOfKey(key || 'fault.http.delay.fixed_delay_percent', delay.percentage)
  return {
    percentage: percentageOf(fraction, delay.headerDelay === undefined ? '' : `${DELAY_HEADER}-percentage`),
    fixedMs: delay.fixedDelay,
  }
}

function decodeRateLimit(limit: FaultRateLimit, key: string): NonNullable<FaultConfig['rateLimit']> {
  const fraction = fractionOfKey(key || 'fault.http.rate_limit.response_percent', limit.percentage)
  return {
    percentage: percentageOf(fraction, limit.headerLimit === undefined ? '' : `${THROUGHPUT_HEADER}-percentage`),
    fixedKbps: limit.fixedLimit?.limitKbps,
  }
}

function percentageOf(fraction: RuntimeFraction, header: string): Percentage {
  return { fraction, header }
}

/** What is the same for all streams of one filter. */
class FaultState {
  readonly config: FaultConfig
  readonly context: FilterContext
  readonly timers: Timers
  readonly delaysInjected: Counter
  readonly abortsInjected: Counter
  readonly responseRateLimitsInjected: Counter
  readonly faultsOverflow: Counter
  readonly activeFaults: Gauge
  /** Active faults of all worker threads; undefined where one thread serves everything. */
  readonly #sharedFaults: SharedCount | undefined
  readonly #stats: StatsScope
  readonly #byDownstreamCluster = new Map<string, StatsScope>()

  constructor(config: FaultConfig, context: FilterContext) {
    this.config = config
    this.context = context
    this.timers = context.timers
    this.#stats = context.stats.scope('fault')
    this.delaysInjected = this.#stats.counter('delays_injected')
    this.abortsInjected = this.#stats.counter('aborts_injected')
    this.responseRateLimitsInjected = this.#stats.counter('response_rl_injected')
    this.faultsOverflow = this.#stats.counter('faults_overflow')
    this.activeFaults = this.#stats.gauge('active_faults')
    this.#sharedFaults = context.shared?.count(this.activeFaults.name)
  }

  /** Counts one more fault in progress; false when there are `max` already. */
  tryBegin(max: number): boolean {
    const shared = this.#sharedFaults
    if (shared === undefined ? this.activeFaults.value >= max : !shared.tryTake(max)) return false
    this.activeFaults.inc()
    return true
  }

  end(): void {
    this.#sharedFaults?.release()
    this.activeFaults.dec()
  }

  /** Stats under the name of the downstream cluster; undefined past the bound. */
  ofDownstreamCluster(name: string): StatsScope | undefined {
    const known = this.#byDownstreamCluster.get(name)
    if (known !== undefined || this.#byDownstreamCluster.size >= MAX_DOWNSTREAM_CLUSTERS) return known
    const scope = this.#stats.scope(name)
    this.#byDownstreamCluster.set(name, scope)
    return scope
  }
}

class Fault implements HttpFilter {
  readonly #state: FaultState
  /** The route's settings, or the filter's own. */
  #config: FaultConfig
  #downstreamCluster = ''
  #active = false
  #limiter: StreamRateLimiter | undefined = undefined
  #stream: HttpStream | undefined = undefined
  #timer: Timer | undefined = undefined

  constructor(state: FaultState) {
    this.#state = state
    this.#config = state.config
  }

  onRequestHeaders(stream: HttpStream, headers: RequestHeaders): FilterStatus {
    const { context } = this.#state
    this.#config = stream.routeConfig<FaultConfig>(context.filterName) ?? this.#state.config
    const config = this.#config
    if (config.upstreamCluster !== '' && stream.route?.clusterName !== config.upstreamCluster) {
      return FilterStatus.Continue
    }
    if (config.downstreamNodes.size > 0 && !config.downstreamNodes.has(headers.get(DOWNSTREAM_NODE_HEADER) ?? '')) {
      return FilterStatus.Continue
    }
    if (!allMatch(config.headers, headers)) return FilterStatus.Continue
    this.#downstreamCluster = headers.get(DOWNSTREAM_CLUSTER_HEADER) ?? ''
    this.#stream = stream

    this.#limitResponse(headers)
    const delayMs = this.#delayMs(headers)
    if (delayMs > 0 && this.#begin()) {
      this.#count('delays_injected', this.#state.delaysInjected)
      this.#noteMetadata(stream)
      stream.info.responseFlags |= ResponseFlag.DelayInjected
      stream.info.delayedUntilMs = context.clock.now() + delayMs
      this.#timer = new Timer(() => this.#afterDelay())
      this.#state.timers.start(this.#timer, delayMs)
      return FilterStatus.Stop
    }
    return this.#abort(stream, headers) ? FilterStatus.Stop : FilterStatus.Continue
  }

  onResponseData(stream: HttpStream): FilterStatus {
    return this.#limiter === undefined ? FilterStatus.Continue : this.#limiter.take(stream)
  }

  onStreamEnd(): void {
    if (this.#timer !== undefined) this.#state.timers.stop(this.#timer)
    this.#limiter?.stop()
    if (this.#active) this.#end()
  }

  #afterDelay(): void {
    const stream = this.#stream!
    if (this.#abort(stream, stream.requestHeaders)) return
    // With no other fault to come, the request does not count as a fault any longer.
    if (this.#config.rateLimit === undefined) this.#end()
    stream.continueRequest()
  }

  #limitResponse(headers: RequestHeaders): void {
    const limit = this.#config.rateLimit
    if (limit === undefined || !this.#drawn(limit.percentage, headers, '')) return
    const kbps = limit.fixedKbps ?? positiveInteger(headers.get(THROUGHPUT_HEADER))
    if (kbps === undefined || !this.#begin()) return
    this.#state.responseRateLimitsInjected.inc()
    this.#limiter = new StreamRateLimiter(kbps, this.#state.context)
  }

  /** 0 for no delay. */
  #delayMs(headers: RequestHeaders): number {
    const { delay, delayDurationKey } = this.#config
    if (delay === undefined || !this.#drawn(delay.percentage, headers, 'delay.fixed_delay_percent')) return 0
    const configured = delay.fixedMs ?? unsignedInteger(headers.get(DELAY_HEADER))
    if (configured === undefined) return 0
    return this.#runtimeNumber(delayDurationKey, 'delay.fixed_duration_ms', configured)
  }

  /** Answers the request with the error it was given by lot; false when it was given none. */
  #abort(stream: HttpStream, headers: RequestHeaders): boolean {
    const { abort, abortHttpStatusKey, abortGrpcStatusKey } = this.#config
    if (abort === undefined || !this.#drawn(abort.percentage, headers, 'abort.abort_percent')) return false
    const httpStatus = abort.byHeader ? httpStatusOf(headers.get(ABORT_HEADER)) : abort.httpStatus
    const grpcStatus = abort.byHeader ? unsignedInteger(headers.get(ABORT_GRPC_HEADER)) : abort.grpcStatus
    if ((httpStatus === undefined && grpcStatus === undefined) || !this.#begin()) return false
    this.#count('aborts_injected', this.#state.abortsInjected)
    this.#noteMetadata(stream)
    const reply = { details: 'fault_filter_abort', body: abort.body, flag: ResponseFlag.FaultInjected }
    if (httpStatus !== undefined) {
      stream.sendLocalReply({
        ...reply,
        status: this.#runtimeNumber(abortHttpStatusKey, 'abort.http_status', httpStatus),
      })
    } else {
      const code = this.#runtimeNumber(abortGrpcStatusKey, 'abort.grpc_status', grpcStatus!)
      stream.sendLocalReply({ ...reply, status: 200, grpcStatus: code })
    }
    return true
  }

  /** Whether this request is one of the fraction. `clusterKey` is the end of the downstream cluster's own key. */
  #drawn(percentage: Percentage, headers: RequestHeaders, clusterKey: string): boolean {
    const { runtime, random } = this.#state.context
    let { fraction } = percentage
    if (percentage.header !== '') {
      const asked = unsignedInteger(headers.get(percentage.header))
      if (asked !== undefined) fraction = { ...fraction, numerator: Math.min(asked, fraction.numerator) }
    }
    if (this.#downstreamCluster !== '' && clusterKey !== '') {
      fraction = { ...fraction, key: `fault.http.${this.#downstreamCluster}.${clusterKey}` }
    }
    return runtime.enabled(fraction, random)
  }

  #runtimeNumber(key: string, clusterKey: string, configured: number): number {
    const { runtime } = this.#state.context
    const general = runtime.number(key, configured)
    if (this.#downstreamCluster === '') return general
    return runtime.number(`fault.http.${this.#downstreamCluster}.${clusterKey}`, general)
  }

  /** Several faults of one request count as one. False when there are too many at once. */
  #begin(): boolean {
    if (this.#active) return true
    const { context, faultsOverflow } = this.#state
    const most = context.runtime.number(this.#config.maxActiveFaultsKey, this.#config.maxActiveFaults)
    this.#active = this.#state.tryBegin(most)
    if (!this.#active) faultsOverflow.inc()
    return this.#active
  }

  #end(): void {
    this.#active = false
    this.#state.end()
  }

  #count(name: 'delays_injected' | 'aborts_injected', total: Counter): void {
    if (this.#downstreamCluster !== '' && this.#config.downstreamClusterStats) {
      this.#state.ofDownstreamCluster(this.#downstreamCluster)?.counter(name).inc()
    }
    total.inc()
  }

  #noteMetadata(stream: HttpStream): void {
    if (this.#config.metadata === undefined) return
    for (const [key, value] of Object.entries(this.#config.metadata)) {
      stream.info.setDynamicMetadata(METADATA_NAMESPACE, key, value)
    }
  }
}

/** A whole number as Envoy reads it from a header; undefined for anything else. */
function unsignedInteger(text: string | undefined): number | undefined {
  return text !== undefined && /^\s*\d{1,15}\s*$/.test(text) ? Number(text) : undefined
}

function positiveInteger(text: string | undefined): number | undefined {
  return unsignedInteger(text) || undefined
}

function httpStatusOf(text: string | undefined): number | undefined {
  const status = unsignedInteger(text)
  return status !== undefined && status >= 200 && status < 600 ? status : undefined
}
