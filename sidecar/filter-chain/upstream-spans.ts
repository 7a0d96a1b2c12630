/**
 * What tracing wants to know of the calls a stream makes upstream. The connection manager implements it, the router
 * reports to it; a stream without one is not traced.
 */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { AttemptEnding, MirrorFacts, UpstreamAttempt } from '../observability/tracing/span.ts'

export interface AttemptOutcome extends AttemptEnding {
  /** What came of a response. */
  readonly response: ResponseHeaders | undefined
  readonly trailers: HeaderMap | undefined
}

/** The span of a mirror, which may end after the request that it copies. */
export interface MirrorSpan {
  /** Once. */
  end(facts: MirrorFacts): void
}

export interface UpstreamSpans {
  /** Id of the span that the next hop will see as its parent, '' where the request is not traced. */
  readonly wireSpanId: string
  /** Attempts have spans of their own; where not, nobody wants to hear how they end. */
  readonly perAttempt: boolean
  /** An attempt's head is about to be written: the trace context goes into it. */
  attemptStarted(headers: RequestHeaders, attempt: UpstreamAttempt): void
  /** A copy of the request is about to be sent: its trace context goes into its head. `sampled`: the policy's own word. */
  mirrorStarted(headers: RequestHeaders, sampled: boolean | undefined): MirrorSpan
  /** The attempt is over: its response is complete, it has failed, or it was given up. */
  attemptEnded(outcome: AttemptOutcome): void
}
