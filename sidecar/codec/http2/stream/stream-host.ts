/** The connection, as its streams see it. */
import type { HeaderMap } from '../../header-map.ts'
import type { StreamFailure } from '../../stream.ts'
import type { Http2Counters, Http2Options } from '../contract.ts'
import type { ErrorCode } from '../frame/error-code.ts'
import type { Stream } from './stream.ts'

export interface StreamHost {
  readonly options: Http2Options
  readonly counters: Http2Counters
  /** The peer's SETTINGS_INITIAL_WINDOW_SIZE. */
  readonly peerInitialWindow: number
  readonly transportAbove: boolean

  /** Bytes that the stream may send now in one DATA frame; none while others that came before it wait. */
  admits(stream: Stream): number
  writeData(stream: Stream, data: Buffer, start: number, end: number, endStream: boolean): void
  /** Answers the bytes written. */
  writeTrailers(stream: Stream, trailers: HeaderMap): number
  writeReset(stream: Stream, code: ErrorCode): void
  writeWindowUpdate(stream: Stream, increment: number): void
  /** The stream holds data back: it takes its place in the queue. */
  wait(stream: Stream): void
  addPending(bytes: number): void
  /** Calls `stream.deliverHeld()` at the next flush. */
  deliverLater(stream: Stream): void
  /** DATA was taken off the connection's window for good. */
  consumed(bytes: number): void
  /** The stream is over. Told to the decoder first when it failed, then to the owner. */
  streamClosed(stream: Stream, failure: StreamFailure | undefined): void
}
