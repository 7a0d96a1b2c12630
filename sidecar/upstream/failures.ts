/** How connections and exchanges with an upstream fail, as the values that routers and failure records read. */
import type { Http1Error } from '../codec/http1/error.ts'
import { ErrorCode, errorCodeName } from '../codec/http2/frame/error-code.ts'
import type { FailureKind, StreamFailure } from '../codec/stream.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { CloseReason } from '../transport/connection.ts'

function upstream(kind: FailureKind, flag: ResponseFlag, details: string): StreamFailure {
  return Object.freeze({ origin: 'upstream', kind, flag, details })
}

/** FIN before anything of the response had come. */
export const TERMINATED = upstream('terminated', ResponseFlag.UpstreamConnectionTermination, '')
/** RST before anything of the response had come. Envoy does not tell it from {@link TERMINATED}: the flag is the same. */
export const RESET = upstream('reset', ResponseFlag.UpstreamConnectionTermination, 'connection_reset')
/** RST, or FIN, after the head and before the end: Envoy calls a body that is cut short a protocol error (measured). */
export const RESET_IN_BODY = upstream('protocol_error', ResponseFlag.UpstreamProtocolError, 'connection_reset_in_body')
/** Too many requests wait for a connection. */
export const PENDING_OVERFLOW: StreamFailure = Object.freeze({
  origin: 'local',
  kind: 'overflow',
  flag: ResponseFlag.UpstreamOverflow,
  details: '',
  limit: 'pending',
})
/** There is a connection, but too many requests run. */
export const REQUEST_OVERFLOW: StreamFailure = Object.freeze({ ...PENDING_OVERFLOW, limit: 'requests' })
export const POOL_CLOSED: StreamFailure = Object.freeze({
  origin: 'local',
  kind: 'connect_failed',
  flag: ResponseFlag.UpstreamConnectionFailure,
  details: 'pool_closed',
})

const CONNECT_KINDS: Readonly<Record<CloseReason['kind'], FailureKind>> = {
  refused: 'connect_refused',
  connect_timeout: 'connect_timeout',
  unreachable: 'unreachable',
  tls: 'tls',
  remote: 'connect_failed',
  reset: 'connect_failed',
  error: 'connect_failed',
  local: 'connect_failed',
}

/** Why a connection never stood. `details` are the transport's words, which Envoy puts into the response details. */
export function connectionFailure(reason: CloseReason): StreamFailure {
  const failure = upstream(CONNECT_KINDS[reason.kind], ResponseFlag.UpstreamConnectionFailure, reason.details)
  return reason.tlsCause === undefined ? failure : { ...failure, tlsCause: reason.tlsCause }
}

/**
 * Why the streams of a connection that stood are over. An alert may come after the handshake: TLS 1.3 lets a server refuse
 * our certificate then. Envoy says no more than that the connection ended. `goodbye`: what the upstream said of it
 * ({@link goodbyeOf}), for failure records; '' for nothing.
 */
export function endedByUpstream(tlsCause: CloseReason['tlsCause'], goodbye: string): StreamFailure {
  return tlsCause === undefined && goodbye === '' ? TERMINATED : { ...TERMINATED, tlsCause, details: goodbye }
}

const MAX_GOODBYE = 256

/**
 * What a GOAWAY says of the error that made the peer end the connection (RFC 9113 §6.8), such as the `too_many_pings` of
 * gRPC servers; '' for an ordinary end. Its text is whatever the peer likes: of it is kept what can be printed.
 */
export function goodbyeOf(code: number, debug: string): string {
  if (code === ErrorCode.NoError) return ''
  const text = debug
    .slice(0, MAX_GOODBYE)
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
  return `GOAWAY ${errorCodeName(code)}${text === '' ? '' : `: ${text}`}`
}

const parseFailures = new Map<string, StreamFailure>()

/** What a response that cannot be read means; one constant per kind of mistake. */
export function parseFailure(error: Http1Error): StreamFailure {
  if (error.kind === 'ended_before_message') return TERMINATED
  let failure = parseFailures.get(error.details + error.kind)
  if (failure === undefined) {
    const kind: FailureKind = error.kind === 'headers_too_large' ? 'headers_too_large' : 'protocol_error'
    const details = error.kind.startsWith('ended_') ? error.kind : error.details
    failure = upstream(kind, ResponseFlag.UpstreamProtocolError, details)
    parseFailures.set(error.details + error.kind, failure)
  }
  return failure
}
