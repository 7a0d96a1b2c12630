import type { HeaderMap, RequestHeaders } from '../codec/header-map.ts'
import type { DownstreamConnectionInfo, StreamInfo } from '../observability/stream-info.ts'
import type { ActiveStream } from './active-stream.ts'

/** What a stream needs of the connection it came on. */
export interface DownstreamConnection {
  readonly info: DownstreamConnectionInfo
  /** One exchange at a time: a response that ends before its request has to close the connection. */
  readonly multiplexed: boolean
  /** The request asked for the connection to be closed after the response, or the connection is to be closed anyway. */
  readonly closing: boolean
  /** From now on the connection takes no more requests and is closed after this response. */
  beginClosing(): void
  /** The stream is over and may be forgotten. */
  onStreamEnd(stream: ActiveStream): void
  /** Makes another stream for the same exchange and starts it with these headers (internal redirect). */
  recreate(
    headers: RequestHeaders,
    body: readonly Buffer[],
    trailers: HeaderMap | undefined,
    previous: StreamInfo,
  ): void
}
