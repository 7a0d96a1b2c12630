/** How a failed attempt reads to the caller: status, flag, details and the words Envoy uses (features.md §2.2). */
import type { FailureKind, StreamFailure } from '../codec/stream.ts'
import { ResponseFlag } from '../observability/response-flags.ts'

interface ResetReason {
  /** Words in the body of the local reply. */
  readonly text: string
  readonly flag: number
}

const UNKNOWN: ResetReason = { text: 'connection failure', flag: ResponseFlag.UpstreamConnectionFailure }

const REASONS: Readonly<Record<FailureKind, ResetReason>> = {
  connect_refused: { text: 'remote connection failure', flag: ResponseFlag.UpstreamConnectionFailure },
  connect_failed: { text: 'remote connection failure', flag: ResponseFlag.UpstreamConnectionFailure },
  unreachable: { text: 'remote connection failure', flag: ResponseFlag.UpstreamConnectionFailure },
  tls: { text: 'remote connection failure', flag: ResponseFlag.UpstreamConnectionFailure },
  connect_timeout: { text: 'connection timeout', flag: ResponseFlag.UpstreamConnectionFailure },
  overflow: { text: 'overflow', flag: ResponseFlag.UpstreamOverflow },
  reset: { text: 'remote reset', flag: ResponseFlag.UpstreamRemoteReset },
  refused_stream: { text: 'remote refused stream reset', flag: ResponseFlag.UpstreamRemoteReset },
  terminated: { text: 'connection termination', flag: ResponseFlag.UpstreamConnectionTermination },
  protocol_error: { text: 'protocol error', flag: ResponseFlag.UpstreamProtocolError },
  headers_too_large: { text: 'protocol error', flag: ResponseFlag.UpstreamProtocolError },
  payload_too_large: { text: 'protocol error', flag: ResponseFlag.UpstreamProtocolError },
  timeout: { text: 'connection timeout', flag: ResponseFlag.UpstreamRequestTimeout },
  local_reset: { text: 'local reset', flag: ResponseFlag.LocalReset },
}

export function resetReason(failure: StreamFailure): ResetReason {
  // An RST on HTTP/1.1 ends the connection and with it the request; only HTTP/2 can reset a stream alone.
  if (failure.kind === 'reset' && failure.flag === ResponseFlag.UpstreamConnectionTermination) return REASONS.terminated
  // Headers that are too large end an HTTP/1.1 connection; in HTTP/2 they reset the stream.
  if (failure.kind === 'headers_too_large' && failure.flag === ResponseFlag.UpstreamRemoteReset) return REASONS.reset
  return REASONS[failure.kind] ?? UNKNOWN
}

/** `upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}`. */
export function resetDetails(failure: StreamFailure, responseStarted: boolean): string {
  const reason = resetReason(failure).text.replaceAll(' ', '_')
  // The transport's own words are part of connection failures only.
  const transport = failure.details !== '' && isConnectionFailure(failure.kind) ? `|${failure.details}` : ''
  return `upstream_reset_${responseStarted ? 'after' : 'before'}_response_started{${reason}${transport}}`
}

/** The failure of an attempt whose response had begun, as the downstream's log tells it. */
export function cutAfterHead(failure: StreamFailure): StreamFailure {
  return { ...failure, flag: resetReason(failure).flag as ResponseFlag, details: resetDetails(failure, true) }
}

export function isConnectionFailure(kind: FailureKind): boolean {
  return (
    kind === 'connect_refused' ||
    kind === 'connect_failed' ||
    kind === 'connect_timeout' ||
    kind === 'unreachable' ||
    kind === 'tls'
  )
}
