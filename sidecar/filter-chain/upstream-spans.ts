/**
 * What tracing wants to know of the calls a stream makes upstream. The connection manager implements it, the router
 * reports to it; a stream without one is not traced.
 */
import type { RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { StreamFailure } from '../codec/stream.ts'

export interface UpstreamAttempt {
  readonly clusterName: string
  /** Host and port, `10.0.0.7:8080`. */
  readonly hostText: string
  /** 1 for the first. */
  readonly attempt: number
}

export interface UpstreamSpans {
  /** Id of the span that the next hop will see as its parent, '' where the request is not traced. */
  readonly wireSpanId: string
  /** An attempt's head is about to be written: the trace context goes into it. */
  attemptStarted(headers: RequestHeaders, attempt: UpstreamAttempt): void
  /** The attempt is over for the router: a response's head, a failure, or neither when it was given up. */
  attemptEnded(response: ResponseHeaders | undefined, failure: StreamFailure | undefined): void
}
