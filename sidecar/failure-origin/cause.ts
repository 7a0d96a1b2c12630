/**
 * What is a failure, and from what the proxy knows of it to a cause and to whom it is blamed on.
 *
 * Facts of the router come first (they are exact), then response-code details, which name one reason each, then flags,
 * which several reasons share. Details are Envoy's words (features.md §2.2); texts of TLS libraries and resolvers are
 * searched for the few words that tell sub-causes apart, never compared.
 */
import { GrpcStatus, httpStatusOfGrpc } from '../base/grpc-status.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { AttemptFacts } from './contract.ts'
import type { Cause } from './record.ts'

/**
 * callee: the service called · self: this service's own sidecar, its policy or configuration · application: the process
 * beside this sidecar · downstream: whoever sent the request.
 */
export type Blame = 'callee' | 'self' | 'application' | 'downstream'

export interface Verdict {
  readonly cause: Cause
  readonly subCause: string
  readonly blame: Blame
}

/** gRPC statuses that are failures: UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const FAILED_GRPC = (1 << 2) | (1 << 4) | (1 << 8) | (1 << 13) | (1 << 14) | (1 << 15)

/** Local replies that refuse nothing: configured answers, whatever their status below 500. */
const CONFIGURED_ANSWERS = new Set(['direct_response', 'health_check_ok', 'health_check_cached', 'cors_response'])

/**
 * The spec's word "failure". `grpcStatus` is -1 where there is none; `cut` when the stream ended short of its end. An
 * application's own 4xx is none; a sidecar's is, unless the configuration asked for that answer.
 */
export function isFailure(
  status: number,
  grpcStatus: number,
  localReply: boolean,
  details: string,
  cut: boolean,
): boolean {
  if (cut || status >= 500) return true
  if (localReply) {
    if (CONFIGURED_ANSWERS.has(details)) return false
    return status >= 400 || grpcStatus > 0
  }
  return grpcStatus > 0 && grpcStatus < 16 && (FAILED_GRPC & (1 << grpcStatus)) !== 0
}

/** The verdict on an attempt that brought no (whole) answer. `toApplication`: the upstream is the local application. */
export function verdictOfFacts(facts: AttemptFacts, toApplication: boolean): Verdict {
  const blame: Blame = toApplication ? 'application' : 'callee'
  if (facts.tlsCause !== undefined) return { cause: 'tls', subCause: facts.tlsCause, blame }
  switch (facts.kind) {
    case 'connect_refused':
    case 'connect_timeout':
    case 'unreachable':
      if (toApplication)
        return { cause: 'app_down', subCause: facts.kind === 'connect_refused' ? 'refused' : facts.kind, blame }
      return { cause: facts.kind, subCause: '', blame }
    case 'connect_failed':
      if (toApplication) return { cause: 'app_down', subCause: '', blame }
      if (/\b(TLS|SSL|CERTIFICATE)/i.test(facts.details)) {
        return { cause: 'tls', subCause: tlsSubCause(facts.details), blame }
      }
      return { cause: /timed? ?out/i.test(facts.details) ? 'connect_timeout' : 'unreachable', subCause: '', blame }
    case 'tls':
      return { cause: 'tls', subCause: tlsSubCause(facts.details), blame }
    case 'overflow':
      if (facts.limit === 'error_rate') return { cause: 'breaker_open', subCause: '', blame: 'self' }
      return { cause: 'circuit_open', subCause: facts.limit ?? '', blame: 'self' }
    case 'reset':
    case 'refused_stream':
      return { cause: 'reset', subCause: reuse(facts, facts.kind === 'refused_stream' ? 'refused_stream' : ''), blame }
    case 'terminated':
      return { cause: 'terminated', subCause: reuse(facts, ''), blame }
    case 'protocol_error':
      return { cause: 'protocol_error', subCause: '', blame }
    case 'headers_too_large':
      return { cause: 'too_large', subCause: 'headers', blame }
    case 'payload_too_large':
      return { cause: 'too_large', subCause: 'response', blame }
    case 'no_cluster':
      return { cause: 'no_cluster', subCause: '', blame: 'self' }
    case 'no_host':
      if (facts.noHost === 'dns')
        return { cause: 'dns', subCause: dnsSubCause(facts.lastFailure ?? facts.details), blame }
      return { cause: 'no_healthy', subCause: facts.noHost ?? '', blame }
    case 'timeout':
    case 'route_timeout':
      return { cause: toApplication ? 'app_timeout' : 'timeout', subCause: '', blame }
    case 'per_try_timeout':
    case 'per_try_idle_timeout':
      return { cause: toApplication ? 'app_timeout' : 'per_try_timeout', subCause: '', blame }
    case 'stream_idle_timeout':
      return { cause: 'stream_idle', subCause: '', blame }
    case 'max_duration':
      return { cause: 'max_duration', subCause: '', blame }
    case 'local_reset':
      return { cause: 'unknown', subCause: 'local_reset', blame: 'self' }
  }
}

/** True for verdicts that say that somebody was waited for: only they may be handed on to whom *that* one waits for. */
export function isWaiting(cause: Cause): boolean {
  return (
    cause === 'timeout' ||
    cause === 'per_try_timeout' ||
    cause === 'app_timeout' ||
    cause === 'stream_idle' ||
    cause === 'max_duration'
  )
}

/** It was about time: somebody was waited for, or the call was held back. */
export function tookTime({ cause, subCause }: { readonly cause: Cause; readonly subCause: string }): boolean {
  return isWaiting(cause) || (cause === HELD_BACK.cause && subCause === HELD_BACK.subCause)
}

/** It failed for want of time, whoever may have taken that; a call for which nothing was left was not even made. */
export function hadNoTimeLeft(cause: Cause): boolean {
  return cause === 'deadline_exceeded' || isWaiting(cause)
}

/** A fault filter held the request back, and that took the time. */
export const HELD_BACK: Verdict = { cause: 'fault_injected', subCause: 'delay', blame: 'self' }

/** By details, exact or up to a bracket. What stands in `{…}` or `[…]` after the word is a reason, not another word. */
const BY_DETAILS: Readonly<Record<string, Verdict>> = {
  local_rate_limited: { cause: 'rate_limited', subCause: 'local', blame: 'self' },
  request_rate_limited: { cause: 'rate_limited', subCause: 'global', blame: 'self' },
  rate_limiter_error: { cause: 'rate_limited', subCause: 'service_error', blame: 'self' },
  fault_filter_abort: { cause: 'fault_injected', subCause: 'abort', blame: 'self' },
  fault_filter_overflow: { cause: 'fault_injected', subCause: 'overflow', blame: 'self' },
  request_payload_too_large: { cause: 'too_large', subCause: 'request', blame: 'downstream' },
  response_payload_too_large: { cause: 'too_large', subCause: 'response', blame: 'callee' },
  'http1.headers_too_large': { cause: 'too_large', subCause: 'headers', blame: 'downstream' },
  'http2.header_list_size_too_large': { cause: 'too_large', subCause: 'headers', blame: 'downstream' },
  'http2.too_many_headers': { cause: 'too_large', subCause: 'headers', blame: 'downstream' },
  rbac_access_denied_matched_policy: { cause: 'denied', subCause: 'rbac', blame: 'self' },
  rbac_access_denied: { cause: 'denied', subCause: 'rbac', blame: 'self' },
  ext_authz_denied: { cause: 'denied', subCause: 'ext_authz', blame: 'self' },
  ext_authz_error: { cause: 'denied', subCause: 'ext_authz_error', blame: 'self' },
  jwt_authn_access_denied: { cause: 'denied', subCause: 'jwt', blame: 'self' },
  upgrade_failed: { cause: 'denied', subCause: 'upgrade', blame: 'self' },
  csrf_origin_mismatch: { cause: 'denied', subCause: 'csrf', blame: 'self' },
  direct_response: { cause: 'no_route', subCause: 'direct_response', blame: 'self' },
  route_not_found: { cause: 'no_route', subCause: '', blame: 'self' },
  cluster_not_found: { cause: 'no_cluster', subCause: '', blame: 'self' },
  no_healthy_upstream: { cause: 'no_healthy', subCause: '', blame: 'callee' },
  maintenance_mode: { cause: 'breaker_open', subCause: 'maintenance', blame: 'self' },
  internal_error: { cause: 'unknown', subCause: 'internal_error', blame: 'self' },
  overload: { cause: 'overloaded', subCause: '', blame: 'self' },
  overload_manager: { cause: 'overloaded', subCause: '', blame: 'self' },
  response_timeout: { cause: 'timeout', subCause: '', blame: 'callee' },
  upstream_per_try_timeout: { cause: 'per_try_timeout', subCause: '', blame: 'callee' },
  upstream_per_try_idle_timeout: { cause: 'per_try_timeout', subCause: 'idle', blame: 'callee' },
  stream_idle_timeout: { cause: 'stream_idle', subCause: '', blame: 'callee' },
  max_duration_timeout: { cause: 'max_duration', subCause: '', blame: 'callee' },
  upstream_max_stream_duration_reached: { cause: 'max_duration', subCause: '', blame: 'callee' },
  request_overall_timeout: { cause: 'timeout', subCause: 'request', blame: 'downstream' },
  request_header_timeout: { cause: 'timeout', subCause: 'request', blame: 'downstream' },
  deadline_exceeded: { cause: 'deadline_exceeded', subCause: '', blame: 'downstream' },
  low_version: { cause: 'protocol_error', subCause: 'version', blame: 'downstream' },
  missing_host_header: { cause: 'protocol_error', subCause: 'host', blame: 'downstream' },
}

/** Over HTTP/2 a head that is not taken gets no answer: the stream is reset, with these details. */
export function isRefusedHead(details: string): boolean {
  return details === 'http2.header_list_size_too_large' || details === 'http2.too_many_headers'
}

const BY_FLAG: readonly (readonly [flag: number, verdict: Verdict])[] = [
  [ResponseFlag.FaultInjected, { cause: 'fault_injected', subCause: 'abort', blame: 'self' }],
  [ResponseFlag.RateLimited, { cause: 'rate_limited', subCause: '', blame: 'self' }],
  [ResponseFlag.RateLimitServiceError, { cause: 'rate_limited', subCause: 'service_error', blame: 'self' }],
  [ResponseFlag.UnauthorizedExternalService, { cause: 'denied', subCause: 'ext_authz', blame: 'self' }],
  [ResponseFlag.OverloadManager, { cause: 'overloaded', subCause: '', blame: 'self' }],
  [ResponseFlag.DropOverload, { cause: 'overloaded', subCause: 'drop', blame: 'self' }],
  [ResponseFlag.UnconditionalDropOverload, { cause: 'overloaded', subCause: 'drop', blame: 'self' }],
  [ResponseFlag.NoRouteFound, { cause: 'no_route', subCause: '', blame: 'self' }],
  [ResponseFlag.NoFilterConfigFound, { cause: 'no_route', subCause: 'filter_config', blame: 'self' }],
  [ResponseFlag.NoClusterFound, { cause: 'no_cluster', subCause: '', blame: 'self' }],
  [ResponseFlag.DnsResolutionFailed, { cause: 'dns', subCause: '', blame: 'callee' }],
  [ResponseFlag.NoHealthyUpstream, { cause: 'no_healthy', subCause: '', blame: 'callee' }],
  [ResponseFlag.UpstreamOverflow, { cause: 'circuit_open', subCause: '', blame: 'self' }],
  [ResponseFlag.UpstreamRequestTimeout, { cause: 'timeout', subCause: '', blame: 'callee' }],
  [ResponseFlag.StreamIdleTimeout, { cause: 'stream_idle', subCause: '', blame: 'callee' }],
  [ResponseFlag.UpstreamMaxStreamDurationReached, { cause: 'max_duration', subCause: '', blame: 'callee' }],
  [ResponseFlag.DurationTimeout, { cause: 'max_duration', subCause: '', blame: 'callee' }],
  [ResponseFlag.DownstreamProtocolError, { cause: 'protocol_error', subCause: '', blame: 'downstream' }],
  [ResponseFlag.InvalidEnvoyRequestHeaders, { cause: 'protocol_error', subCause: '', blame: 'downstream' }],
  [ResponseFlag.UpstreamProtocolError, { cause: 'protocol_error', subCause: '', blame: 'callee' }],
  [ResponseFlag.UpstreamConnectionFailure, { cause: 'connect_refused', subCause: '', blame: 'callee' }],
  [ResponseFlag.UpstreamConnectionTermination, { cause: 'terminated', subCause: '', blame: 'callee' }],
  [ResponseFlag.UpstreamRemoteReset, { cause: 'reset', subCause: '', blame: 'callee' }],
]

/** What is known of an answer that the router has left no facts of. */
export type Answered = Pick<StreamInfo, 'responseCodeDetails' | 'responseFlags' | 'responseCode' | 'grpcStatus'>

/** The verdict on a local reply or cut for which the router has left no facts. */
export function verdictOfDetails(answered: Answered, toApplication: boolean): Verdict {
  const { responseCodeDetails: details, responseFlags: flags } = answered
  const status = repliedStatus(answered)
  const word = /^[^{[]*/.exec(details)![0]
  const known = Object.hasOwn(BY_DETAILS, word) ? BY_DETAILS[word] : undefined
  // A timer that is answered with 408 has waited for the rest of a request: whoever sends that is late, and nobody else.
  if (known?.blame === 'callee' && status === 408) return { ...known, blame: 'downstream' }
  if (known !== undefined) return toApplication ? towardsApplication(known) : known
  for (const [flag, verdict] of BY_FLAG) {
    if ((flags & flag) !== 0) return toApplication ? towardsApplication(verdict) : verdict
  }
  if (status === 413) return { cause: 'too_large', subCause: 'request', blame: 'downstream' }
  if (status === 429) return { cause: 'rate_limited', subCause: '', blame: 'self' }
  if (status === 401 || status === 403) return { cause: 'denied', subCause: '', blame: 'self' }
  if (status === 404) return { cause: 'no_route', subCause: '', blame: 'self' }
  if (status >= 400 && status < 500) return { cause: 'protocol_error', subCause: '', blame: 'downstream' }
  return { cause: 'unknown', subCause: '', blame: 'self' }
}

/** Behind a reply in gRPC, whose own status is 200, the one that was meant; a 404 is UNIMPLEMENTED there (Envoy). */
function repliedStatus({ responseCode, grpcStatus }: Answered): number {
  if (grpcStatus <= 0) return responseCode
  return grpcStatus === GrpcStatus.Unimplemented ? 404 : httpStatusOfGrpc(grpcStatus)
}

/** The same word says something else where the upstream is the application beside us. */
function towardsApplication(verdict: Verdict): Verdict {
  if (verdict.blame !== 'callee') return verdict
  const { subCause } = verdict
  if (verdict.cause === 'connect_refused' || verdict.cause === 'no_healthy') {
    return { cause: 'app_down', subCause, blame: 'application' }
  }
  if (verdict.cause === 'timeout' || verdict.cause === 'per_try_timeout') {
    return { cause: 'app_timeout', subCause, blame: 'application' }
  }
  return { cause: verdict.cause, subCause, blame: 'application' }
}

/** A death on a connection that had served before may be the keep-alive race rather than a crash. */
function reuse(facts: AttemptFacts, otherwise: string): string {
  return facts.reusedConnection === true ? 'reused_connection' : otherwise
}

const TLS_WORDS: readonly (readonly [pattern: RegExp, subCause: string])[] = [
  [/expired|not yet valid|CERT_NOT_YET_VALID/i, 'expired'],
  [/SAN_matcher|altnames|hostname|ERR_TLS_CERT_ALTNAME/i, 'san_mismatch'],
  [/certificate.required|bad.certificate|peer did not return/i, 'client_cert_required'],
  [/unknown.ca|self.signed|unable to (get|verify)|CERTIFICATE_VERIFY_FAILED|issuer/i, 'unknown_ca'],
  [/alpn|no application protocol/i, 'alpn'],
  [/WRONG_VERSION|packet length too long|unsupported protocol|http request/i, 'plaintext_peer'],
]

export function tlsSubCause(text: string): string {
  return TLS_WORDS.find(([pattern]) => pattern.test(text))?.[1] ?? ''
}

export function dnsSubCause(text: string): string {
  if (/NXDOMAIN|ENOTFOUND|ENODATA|NODATA/i.test(text)) return 'nxdomain'
  if (/SERVFAIL|ESERVFAIL/i.test(text)) return 'servfail'
  if (/TIMEOUT|ETIMEOUT|EAI_AGAIN/i.test(text)) return 'timeout'
  return ''
}
