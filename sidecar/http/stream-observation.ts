/** What watches one stream from its start to its end: its span and its part in failure location. */
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { StreamFailures } from '../failure-origin/contract.ts'
import type { UpstreamSpans } from '../filter-chain/upstream-spans.ts'
import type { ActiveStream } from './active-stream.ts'

export interface StreamObservation {
  readonly failures: StreamFailures | undefined
  readonly spans: UpstreamSpans | undefined
  /** A local reply is about to walk back. Returns the body to send in place of `body` (the human or JSON form). */
  onLocalReply(headers: ResponseHeaders, body: string): string
  /** The response's head is about to be written; the failure record is added, or taken off at an edge. */
  onResponseHeaders(headers: ResponseHeaders): void
  onResponseTrailers(trailers: HeaderMap): void
  /** The end of the stream; `complete` when the response was written whole. */
  end(complete: boolean): void
}

export interface StreamObserver {
  /** Before the connection manager touches the headers: what the wire said is still there. */
  arrived(headers: RequestHeaders): void
  start(stream: ActiveStream, headers: RequestHeaders): StreamObservation
}
