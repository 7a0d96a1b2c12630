/**
 * The tracer of a connection manager: decides whether a request is traced, reads and writes its context, makes its spans
 * and hands the finished ones to a reporter. It knows no socket; the reporter makes bytes for a sink.
 *
 * As in Envoy (measured on 1.40), a span is a SERVER span when the listener is inbound, when `spawn_upstream_span` makes
 * attempts CLIENT spans of their own, or when `split_spans_for_request` asks for it. With Zipkin's shared span model the
 * SERVER span takes the id of the caller's CLIENT span; otherwise each has its own.
 *
 * Unsampled requests get ids too, because the failure ledger matches by them; their spans are reported when the request
 * fails.
 */
import type { Clock } from '../../base/clock.ts'
import { hex64, type Random } from '../../base/random.ts'
import type { FormatContext, Formatter, HeaderView } from '../formatter/context.ts'
import type { StreamInfo } from '../stream-info.ts'
import { type CustomTag, type CustomTagConfig, compileCustomTags } from './custom-tags.ts'
import {
  extractContext,
  type IncomingContext,
  longTraceId,
  type PropagationFormat,
  type TraceHeaders,
} from './propagation.ts'
import {
  decideTrace,
  FULL_SAMPLING,
  type RuntimeNumbers,
  type SamplingRates,
  type SamplingSettings,
  type SamplingStats,
  TraceReason,
} from './sampling.ts'
import { type MirrorFacts, Span, type UpstreamAttempt, type UpstreamAttemptEnd } from './span.ts'
import { fillTags, type TagSettings } from './span-tags.ts'
import { DEFAULT_RING_SIZE, UnsampledRing } from './unsampled-ring.ts'

export interface TracingConfig {
  /** `ingress` for an inbound listener. */
  readonly operation: 'ingress' | 'egress'
  /** Envoy's Zipkin tracer calls a span by the request's host, its OpenTelemetry tracer `ingress` or `egress <host>`. */
  readonly spanNames: 'host' | 'operation'
  readonly nodeId: string
  readonly zone: string
  readonly sampling: SamplingSettings
  readonly maxPathTagLength: number
  readonly verbose: boolean
  readonly customTags: readonly CustomTagConfig[]
  /** Formats of the names of spans, which win over everything else that names them. */
  readonly operationName: Formatter | undefined
  readonly upstreamOperationName: Formatter | undefined
  /** `no_context_propagation`: nothing is written into the requests that go upstream. */
  readonly propagateContext: boolean
  /**
   * `envoy.tracers.opentelemetry.samplers.always_on`: a decision that comes with the request does not count; what the
   * connection manager decides does, in Envoy too.
   */
  readonly alwaysSampled: boolean
  /** `timestamp_trace_ids`: ids of new traces begin with the second they began in. */
  readonly timestampTraceIds: boolean
  readonly traceId128Bit: boolean
  /** The first span of a trace has the last 64 bits of the trace's id (Envoy's Zipkin tracer). */
  readonly rootSpanNamesTrace: boolean
  readonly sharedSpanContext: boolean
  readonly splitSpansForRequest: boolean
  readonly spawnUpstreamSpan: boolean
  /** Where a context is looked for, in this order, and in which formats it is passed on. */
  readonly extract: readonly PropagationFormat[]
  readonly inject: readonly PropagationFormat[]
  /** Unsampled spans kept for a failure of their request; 0 turns it off. */
  readonly ringSize: number
}

const COMMON_DEFAULTS = {
  operation: 'ingress',
  nodeId: '',
  zone: '',
  sampling: { rates: FULL_SAMPLING, packTraceReason: true, useRequestIdForSampling: true },
  maxPathTagLength: 256,
  verbose: false,
  customTags: [],
  operationName: undefined,
  upstreamOperationName: undefined,
  propagateContext: true,
  alwaysSampled: false,
  timestampTraceIds: false,
  splitSpansForRequest: false,
  spawnUpstreamSpan: false,
  ringSize: DEFAULT_RING_SIZE,
} as const

/** What `envoy.tracers.zipkin` does where its configuration is silent. `USE_B3_WITH_W3C_PROPAGATION` adds `w3c` to both lists. */
export const ZIPKIN_TRACING: TracingConfig = {
  ...COMMON_DEFAULTS,
  spanNames: 'host',
  traceId128Bit: false,
  rootSpanNamesTrace: true,
  sharedSpanContext: true,
  extract: ['b3'],
  inject: ['b3'],
}

/** What `envoy.tracers.opentelemetry` does where its configuration is silent. */
export const OPENTELEMETRY_TRACING: TracingConfig = {
  ...COMMON_DEFAULTS,
  spanNames: 'operation',
  traceId128Bit: true,
  rootSpanNamesTrace: false,
  sharedSpanContext: false,
  extract: ['w3c'],
  inject: ['w3c'],
}

/** Without a tracing provider: nothing is reported, and any context is followed so that failures can be matched. */
export const IDS_ONLY_TRACING: TracingConfig = {
  ...COMMON_DEFAULTS,
  sampling: { ...COMMON_DEFAULTS.sampling, rates: { clientSampling: 0, randomSampling: 0, overallSampling: 0 } },
  spanNames: 'host',
  traceId128Bit: true,
  rootSpanNamesTrace: false,
  sharedSpanContext: false,
  extract: ['w3c', 'b3'],
  inject: ['w3c'],
}

/** A route's `tracing` and `decorator`, where it has them. */
export interface RouteTracing {
  readonly rates?: SamplingRates | undefined
  readonly customTags?: readonly CustomTag[] | undefined
  /** `decorator.operation`, '' for none. */
  readonly operation?: string | undefined
  /** `decorator.propagate`, true by default. */
  readonly propagateOperation?: boolean | undefined
  /** `tracing.operation` and `tracing.upstream_operation`. */
  readonly operationName?: Formatter | undefined
  readonly upstreamOperationName?: Formatter | undefined
}

/** Takes finished spans with their tags filled in. Must not throw. */
export interface SpanReporter {
  report(span: Span): void
}

export interface TracerDependencies {
  readonly clock: Clock
  readonly random: Random
  readonly reporter: SpanReporter | undefined
  readonly runtime?: RuntimeNumbers | undefined
  readonly stats?: SamplingStats | undefined
  /** For `environment` tags. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
}

/** What is known besides headers when a span starts. */
export interface SpanStart {
  readonly route?: RouteTracing | undefined
  /** The parent that failure location found where the application passed no context on. */
  readonly inferred?: { readonly traceId: string; readonly spanId: string; readonly sampled: boolean } | undefined
}

/** What a request's span reads at its end. */
export interface RequestView extends FormatContext {
  readonly requestHeaders: HeaderView
}

export const DECORATOR_HEADER = 'x-envoy-decorator-operation'

export class Tracer {
  readonly config: TracingConfig
  readonly #clock: Clock
  readonly #random: Random
  readonly #reporter: SpanReporter | undefined
  readonly #runtime: RuntimeNumbers | undefined
  readonly #stats: SamplingStats | undefined
  readonly #tags: TagSettings
  readonly #ring: UnsampledRing
  readonly #isServer: boolean

  constructor(config: TracingConfig, dependencies: TracerDependencies) {
    this.config = config
    this.#clock = dependencies.clock
    this.#random = dependencies.random
    this.#reporter = dependencies.reporter
    this.#runtime = dependencies.runtime
    this.#stats = dependencies.stats
    this.#ring = new UnsampledRing(dependencies.reporter === undefined ? 0 : config.ringSize)
    this.#isServer = config.operation === 'ingress' || config.splitSpansForRequest || config.spawnUpstreamSpan
    this.#tags = {
      nodeId: config.nodeId,
      zone: config.zone,
      maxPathTagLength: config.maxPathTagLength,
      verbose: config.verbose,
      customTags: compileCustomTags(config.customTags, dependencies.environment),
      operationName: config.operationName,
      upstreamOperationName: config.upstreamOperationName,
    }
  }

  /**
   * Starts the span of a request, before it is routed on: decides, changes `x-request-id` accordingly, reads the context
   * and notes ids and decision in `info`. A decision that came with the context wins over ours.
   * Nothing is written to the headers for the upstream yet: {@link Span.injectInto}.
   */
  start(headers: TraceHeaders, info: StreamInfo, { route, inferred }: SpanStart = {}): Span {
    const { config } = this
    const rates = route?.rates ?? config.sampling.rates
    const decided = decideTrace(headers, config.sampling, rates, this.#runtime, this.#random)
    const reason = info.healthCheck ? TraceReason.HealthCheck : decided
    this.#stats?.count(reason)
    info.traceReason = reason
    info.requestId = headers.get('x-request-id') ?? ''
    const span = this.#makeSpan(headers, info, reason >= TraceReason.Sampling, inferred)
    span.route = route
    this.#decorate(span, headers, route)
    info.traceId = span.traceId
    info.spanId = span.spanId
    info.sampled = span.sampled
    return span
  }

  #makeSpan(headers: TraceHeaders, info: StreamInfo, traced: boolean, inferred: SpanStart['inferred']): Span {
    const { config } = this
    const found = extractContext(headers, config.extract)
    const useInferred = inferred !== undefined && (found === undefined || found.traceId === '')
    const context = useInferred ? inferredContext(inferred, found) : found
    const host = headers.get(':authority') ?? ''
    const name = config.spanNames === 'host' ? host : config.operation === 'ingress' ? 'ingress' : `egress ${host}`
    const known = context !== undefined && context.traceId !== ''
    const shared = this.#isServer && config.sharedSpanContext
    const flags = {
      sampled: config.alwaysSampled ? traced : (context?.sampled ?? traced),
      debug: context?.debug ?? false,
      single: context?.single ?? false,
      shared,
    }
    const ids = known ? this.#continued(context, shared) : this.#fresh()
    const kind = this.#isServer ? 'SERVER' : 'CLIENT'
    const span = new Span(ids, flags, kind, name, info.startWallMs, info.startMs, info, config.inject)
    if (useInferred) span.setTag('parent', 'inferred')
    return span
  }

  #continued(context: IncomingContext, shared: boolean) {
    const traceId = this.config.traceId128Bit && !shared ? longTraceId(context.traceId) : context.traceId
    if (shared) return { traceId, spanId: context.spanId, parentSpanId: context.parentSpanId }
    return { traceId, spanId: hex64(this.#random), parentSpanId: context.spanId }
  }

  #fresh() {
    const { rootSpanNamesTrace, traceId128Bit, timestampTraceIds } = this.config
    const spanId = hex64(this.#random)
    if (!traceId128Bit && timestampTraceIds) return { traceId: this.#firstHalf(), spanId, parentSpanId: '' }
    const low = rootSpanNamesTrace ? spanId : hex64(this.#random)
    return { traceId: traceId128Bit ? this.#firstHalf() + low : low, spanId, parentSpanId: '' }
  }

  #firstHalf(): string {
    const drawn = hex64(this.#random)
    if (!this.config.timestampTraceIds) return drawn
    const seconds = Math.floor(this.#clock.wall() / 1000)
    return seconds.toString(16).padStart(8, '0').slice(-8) + drawn.slice(8)
  }

  /**
   * The route's name for the operation. An inbound sidecar takes the name the caller's sidecar sent and keeps the header
   * from the application; an outbound one sends its own on.
   */
  #decorate(span: Span, headers: TraceHeaders, route: RouteTracing | undefined): void {
    const operation = route?.operation ?? ''
    if (operation !== '') span.name = operation
    if (this.config.operation === 'egress') {
      if (operation !== '' && route?.propagateOperation !== false) headers.set(DECORATOR_HEADER, operation)
      return
    }
    const sent = headers.get(DECORATOR_HEADER)
    if (sent === undefined) return
    if (sent !== '') span.name = sent
    headers.delete(DECORATOR_HEADER)
  }

  /**
   * The same for the response: an inbound sidecar tells its operation, an outbound one renames its span by what it is told
   * and keeps the header from the application.
   */
  decorateResponse(span: Span, headers: TraceHeaders, route?: RouteTracing): void {
    if (this.config.operation === 'ingress') {
      const operation = route?.operation ?? ''
      if (operation !== '' && route?.propagateOperation !== false) headers.set(DECORATOR_HEADER, operation)
      return
    }
    const told = headers.get(DECORATOR_HEADER)
    if (told === undefined) return
    if (told !== '') span.name = told
    headers.delete(DECORATOR_HEADER)
  }

  /** The id that the upstream of the next attempt will see as its parent. */
  wireSpanId(span: Span): string {
    if (!this.config.spawnUpstreamSpan) return span.spanId
    if (span.nextAttemptSpanId === '') span.nextAttemptSpanId = hex64(this.#random)
    return span.nextAttemptSpanId
  }

  /**
   * An attempt upstream is about to be sent with `headers`: writes the context into them. Returns the attempt's own span
   * where `spawn_upstream_span` asks for one, to be given to {@link endAttempt}.
   */
  startAttempt(span: Span, headers: TraceHeaders, attempt: UpstreamAttempt): Span | undefined {
    if (!this.config.spawnUpstreamSpan) {
      if (this.config.propagateContext) span.injectInto(headers)
      return undefined
    }
    const now = this.#clock.now()
    const ids = { traceId: span.traceId, spanId: this.wireSpanId(span), parentSpanId: span.spanId }
    span.nextAttemptSpanId = ''
    const flags = { sampled: span.sampled, debug: span.debug, single: span.single, shared: false }
    const name = `router ${span.info.clusterAltStatName || attempt.clusterName} egress`
    const wall = span.startWallMs + now - span.startMs
    const child = new Span(ids, flags, 'CLIENT', name, wall, now, span.info, span.inject)
    child.attempt = attempt
    child.route = span.route
    if (this.config.propagateContext) child.injectInto(headers)
    return child
  }

  /**
   * A copy of the request is about to be sent with `headers`: writes into them the context of the copy's own span, which
   * {@link endMirror} ends. `sampled` is the mirror policy's word on whether it is reported; else the request's decides.
   */
  startMirror(span: Span, headers: TraceHeaders, sampled: boolean | undefined): Span {
    const now = this.#clock.now()
    const ids = { traceId: span.traceId, spanId: hex64(this.#random), parentSpanId: span.spanId }
    const flags = { sampled: sampled ?? span.sampled, debug: span.debug, single: span.single, shared: false }
    const wall = span.startWallMs + now - span.startMs
    const mirror = new Span(ids, flags, 'CLIENT', 'mirror', wall, now, span.info, span.inject)
    // It outlives the request, whose failure is not its own.
    mirror.detach()
    if (this.config.propagateContext) mirror.injectInto(headers)
    return mirror
  }

  endMirror(mirror: Span, facts: MirrorFacts): void {
    mirror.mirror = facts
    mirror.endMs = this.#clock.now()
    this.#end(mirror)
  }

  endAttempt(child: Span, end: UpstreamAttemptEnd, view?: FormatContext): void {
    child.attemptEnd = end
    child.view = view
    child.endMs = end.endMs
    this.#end(child)
  }

  /** The request is over; `info` is complete. Its failure, if it has one, sends the unsampled spans of its trace too. */
  end(span: Span, view: RequestView): void {
    const { info } = span
    span.endMs = info.endMs === 0 ? this.#clock.now() : info.endMs
    span.requestHeaders = view.requestHeaders
    span.responseHeaders = view.responseHeaders
    span.responseTrailers = view.responseTrailers
    span.view = view
    if (info.failure !== undefined && !span.sampled) {
      this.promote(span.traceId)
      this.#report(span)
    } else this.#end(span)
  }

  /** Reports the unsampled spans of a trace that are still known; returns how many. */
  promote(traceId: string): number {
    const spans = this.#ring.take(traceId)
    for (const span of spans) this.#report(span)
    return spans.length
  }

  #end(span: Span): void {
    if (span.sampled) this.#report(span)
    else if (this.#ring.accepts(span.endMs)) {
      // An attempt has no headers to hold on to, and tells about the failure of its request, which is yet to come.
      if (span.attempt === undefined) {
        this.#fillTags(span)
        span.detach()
      }
      this.#ring.add(span)
    }
  }

  #report(span: Span): void {
    if (this.#reporter === undefined || span.reported) return
    span.reported = true
    this.#fillTags(span)
    this.#reporter.report(span)
  }

  #fillTags(span: Span): void {
    if (span.tags.length === 0) fillTags(span, this.#tags)
  }
}

/** A decision that the application did pass on holds, also where its ids are missing. */
function inferredContext(
  inferred: NonNullable<SpanStart['inferred']>,
  found: IncomingContext | undefined,
): IncomingContext {
  const { traceId, spanId, sampled } = inferred
  return {
    traceId,
    spanId,
    parentSpanId: '',
    sampled: found?.sampled ?? sampled,
    debug: found?.debug ?? false,
    format: found?.format ?? 'w3c',
    single: found?.single ?? false,
  }
}
