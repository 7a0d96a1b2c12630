/**
 * What tracing wants to know of the calls a stream makes upstream. The connection manager implements it, the router
 * reports to it; a stream without one is not traced.
 */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'

export interface UpstreamAttempt {
  readonly clusterName: string
  /** Host and port, `10.0.0.7:8080`. */
  readonly hostText: string
  /** 1 for the first. */
  readonly attempt: number
}

export interface AttemptOutcome {
  /** What came of a response. */
  readonly response: ResponseHeaders | undefined
  readonly trailers: HeaderMap | undefined
  /** Of this attempt alone. */
  readonly responseFlags: number
  /** Envoy's words for why it failed (`connection termination`), '' where it did not. */
  readonly errorReason: string
  /** It was given up from this side. */
  readonly canceled: boolean
  /** Moments of the monotonic clock, 0 where they have not come. */
  readonly firstTxMs: number
  readonly lastTxMs: number
  readonly firstRxMs: number
  readonly lastRxMs: number
}

export interface UpstreamSpans {
  /** Id of the span that the next hop will see as its parent, '' where the request is not traced. */
  readonly wireSpanId: string
  /** Attempts have spans of their own; where not, nobody wants to hear how they end. */
  readonly perAttempt: boolean
  /** An attempt's head is about to be written: the trace context goes into it. */
  attemptStarted(headers: RequestHeaders, attempt: UpstreamAttempt): void
  /** The attempt is over: its response is complete, it has failed, or it was given up. */
  attemptEnded(outcome: AttemptOutcome): void
}
