import type { Http2ClientEvents } from '../../../../sidecar/codec/http2/contract.ts'
import type { RequestDecoder, ResponseDecoder } from '../../../../sidecar/codec/stream.ts'

/** For tests that look at streams and not at their connection. */
export const QUIET = {
  onWantsFlush() {},
  onSettings() {},
  onGoAway() {},
  onPingAck() {},
  onConnectionError() {},
  onStreamClosed() {},
} satisfies Http2ClientEvents

/** For tests that look at streams and not at what they bring. */
export const NOBODY = {
  onRequestHeaders() {},
  onRequestData() {},
  onRequestTrailers() {},
  onInformational() {},
  onResponseHeaders() {},
  onResponseData() {},
  onResponseTrailers() {},
  onReset() {},
  onRequestBackpressure() {},
  onResponseBackpressure() {},
} satisfies RequestDecoder & ResponseDecoder

/** Keeps what a connection writes until it is taken. */
export class Wire {
  readonly bufferedBytes = 0
  #parts: Buffer[] = []
  write(bytes: Buffer): boolean {
    this.#parts.push(Buffer.from(bytes))
    return true
  }
  take(): Buffer {
    const bytes = Buffer.concat(this.#parts)
    this.#parts = []
    return bytes
  }
}
