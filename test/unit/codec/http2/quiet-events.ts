import type { Http2ClientEvents } from '../../../../sidecar/codec/http2/contract.ts'

/** For tests that look at streams and not at their connection. */
export const QUIET = {
  onWantsFlush() {},
  onSettings() {},
  onGoAway() {},
  onPingAck() {},
  onConnectionError() {},
  onStreamClosed() {},
} satisfies Http2ClientEvents
