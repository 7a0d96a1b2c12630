/**
 * A span: the ids, name and times of one request here, or of one attempt upstream.
 *
 * Every request has one, also when it is not sampled: its ids are passed on, the failure ledger matches by them, and a
 * request that fails is reported after all. So making one costs ids and an object; tags are made when it is reported,
 * from what the span points at.
 */
import type { FormatContext, HeaderView } from '../formatter/context.ts'
import { StreamInfo } from '../stream-info.ts'
import type { TagValueType } from './custom-tags.ts'
import { injectContext, type OutgoingContext, type PropagationFormat, type TraceHeaders } from './propagation.ts'
import type { RouteTracing } from './tracer.ts'

export type SpanKind = 'SERVER' | 'CLIENT'

export interface SpanLink {
  readonly traceId: string
  readonly spanId: string
}

export interface SpanAnnotation {
  /** Microseconds since the epoch. */
  readonly timestampUs: number
  readonly value: string
}

/** What of an attempt upstream its span tells. */
export interface UpstreamAttempt {
  readonly clusterName: string
  /** Host and port, `10.0.0.7:8080`; '' when no host was chosen. */
  readonly hostText: string
  /** 1 for the first. */
  readonly attempt: number
}

/** What only whoever made the attempt knows of its end. */
export interface AttemptEnding {
  /** Of this attempt alone. */
  readonly responseFlags: number
  /** Envoy's words for why it failed (`remote connection failure`), '' where it did not. */
  readonly errorReason: string
  /** It was given up from this side. */
  readonly canceled: boolean
  /** Moments of the monotonic clock, 0 where they have not come. */
  readonly firstTxMs: number
  readonly lastTxMs: number
  readonly firstRxMs: number
  readonly lastRxMs: number
}

/** How an attempt ended. */
export interface UpstreamAttemptEnd extends AttemptEnding {
  readonly endMs: number
  /** 0 without a response. */
  readonly statusCode: number
  /** `HTTP/1.1`, '' when nothing was sent. */
  readonly protocol: string
  /** -1 for none. */
  readonly grpcStatus: number
  readonly grpcMessage: string
}

/** What the span of a mirror tells: Envoy's say little, and nothing that configuration could add (measured on 1.40). */
export interface MirrorFacts {
  readonly clusterName: string
  /** `alt_stat_name` of the cluster, else its name. */
  readonly clusterStatName: string
  /** Host and port, '' when no host was chosen. */
  readonly hostText: string
  /** Of the response, or of the local reply that stands for it; 0 where there is neither. */
  readonly statusCode: number
  readonly responseFlags: number
  /** The response was cut after its head. */
  readonly cut: boolean
  /** It was given up from this side. */
  readonly canceled: boolean
}

export class Span implements OutgoingContext {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly kind: SpanKind
  /** Shares its id with the caller's client span (Zipkin). */
  readonly shared: boolean
  readonly sampled: boolean
  readonly debug: boolean
  /** The context came in the single `b3` header. */
  readonly single: boolean
  readonly inject: readonly PropagationFormat[]
  name: string
  /** Wall clock at the start, milliseconds with a fraction. */
  readonly startWallMs: number
  readonly startMs: number
  endMs = 0
  /** The request; shared by the spans of its attempts. Says nothing once the span is detached. */
  info: StreamInfo
  /** Of a request's own span, from its end on. */
  requestHeaders: HeaderView | undefined = undefined
  responseHeaders: HeaderView | undefined = undefined
  responseTrailers: HeaderView | undefined = undefined
  /** What tags and names from configuration are read of; undefined while nothing is at its end. */
  view: FormatContext | undefined = undefined
  route: RouteTracing | undefined = undefined
  /** Types of tags that are no texts. */
  tagTypes: Map<string, TagValueType> | undefined = undefined
  /** Of an attempt's span. */
  attempt: UpstreamAttempt | undefined = undefined
  attemptEnd: UpstreamAttemptEnd | undefined = undefined
  /** Of a mirror's span, from its end on. */
  mirror: MirrorFacts | undefined = undefined
  /** Id that the span of the next attempt will have, '' where none has been drawn. */
  nextAttemptSpanId = ''
  links: SpanLink[] | undefined = undefined
  /** Tags that others have set, `[name, value, …]`. */
  extraTags: string[] | undefined = undefined
  /** Filled when the span is reported or detached: `[name, value, …]`. */
  tags: string[] = []
  annotations: SpanAnnotation[] = []
  /** Text of the error, '' for none. */
  error = ''
  /** A call that was answered with what is an error to the caller, though none of the server's (OTLP's status). */
  refusedCall = false
  reported = false

  constructor(
    ids: { readonly traceId: string; readonly spanId: string; readonly parentSpanId: string },
    flags: { readonly sampled: boolean; readonly debug: boolean; readonly single: boolean; readonly shared: boolean },
    kind: SpanKind,
    name: string,
    startWallMs: number,
    startMs: number,
    info: StreamInfo,
    inject: readonly PropagationFormat[],
  ) {
    this.traceId = ids.traceId
    this.spanId = ids.spanId
    this.parentSpanId = ids.parentSpanId
    this.kind = kind
    this.shared = flags.shared
    this.sampled = flags.sampled
    this.debug = flags.debug
    this.single = flags.single
    this.inject = inject
    this.name = name
    this.startWallMs = startWallMs
    this.startMs = startMs
    this.info = info
  }

  /** Microseconds since the epoch. */
  get startUs(): number {
    return Math.round(this.startWallMs * 1000)
  }

  /** At least 1: Zipkin takes 0 for "not known". */
  get durationUs(): number {
    return Math.max(1, Math.round((this.endMs - this.startMs) * 1000))
  }

  /** A moment of the monotonic clock as microseconds since the epoch. */
  wallUs(ms: number): number {
    return Math.round((this.startWallMs + ms - this.startMs) * 1000)
  }

  /** Lets go of the request, whose tags it has by now, so that keeping the span does not keep the request. */
  detach(): void {
    this.tags = this.tags.slice()
    this.info = NO_REQUEST
    this.requestHeaders = this.responseHeaders = this.responseTrailers = this.view = undefined
  }

  /** Puts the context into the headers of a request to be sent on. */
  injectInto(headers: TraceHeaders): void {
    injectContext(headers, this, this.inject, this.single)
  }

  /** A tag of one's own (`parent` = `inferred`). */
  setTag(name: string, value: string): void {
    this.extraTags ??= []
    this.extraTags.push(name, value)
  }

  link(traceId: string, spanId: string): void {
    this.links ??= []
    this.links.push({ traceId, spanId })
  }
}

const NOWHERE = { ip: '', port: 0 }

const NO_REQUEST = new StreamInfo(
  {
    id: 0,
    directRemote: NOWHERE,
    local: NOWHERE,
    listenerName: '',
    filterChainName: '',
    tls: undefined,
    requestedServerName: '',
  },
  'HTTP/1.1',
  0,
  0,
)
