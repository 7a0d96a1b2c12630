/**
 * The record on the wire: one member of the response's `proxy-status` list (RFC 9209), with parameters of ours.
 *
 *     c; error=connection_refused; failure-origin=d; failure-cause=connect_refused; failure-link="c>d";
 *        failure-path="d,c"; failure-confidence=exact; failure-id=ef2c09aa13e0b7d1; failure-span="<trace>-<span>"
 *
 * Ours is appended after foreign members, which are kept as they were. A sub-cause follows its cause after a colon, which
 * a token may hold: `failure-cause=tls:san_mismatch`. Members of plain Envoys are understood too ({@link foreignRecord}).
 */
import { ResponseFlag, responseFlagOfCode } from '../observability/response-flags.ts'
import type { MutableHeaders } from './contract.ts'
import { isServiceName } from './names.ts'
import { type Cause, type FailureRecord, isCause, isConfidence, MAX_PATH } from './record.ts'
import {
  MAX_FIELD,
  type Member,
  parseList,
  serialiseNumber,
  serialiseString,
  serialiseText,
  textOf,
} from './structured-field.ts'

export const PROXY_STATUS = 'proxy-status'
/** What an edge shows of a failure: enough to ask for it, nothing of the topology. */
export const FAILURE_ID = 'x-failure-id'

/** Nearly no message has either, and every message is asked. */
export function mentionsFailures(headers: MutableHeaders): boolean {
  const { list } = headers
  if (list === undefined) return headers.get(PROXY_STATUS) !== undefined || headers.get(FAILURE_ID) !== undefined
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]
    if (name === PROXY_STATUS || name === FAILURE_ID) return true
  }
  return false
}

const MAX_MEMBER = 512
const ID = /^[0-9a-f]{16}$/
const SPAN = /^[0-9a-f]{16}(?:[0-9a-f]{16})?-[0-9a-f]{16}$/
const SUB_CAUSE = /^[a-z0-9_]{0,40}$/

/** Error type of RFC 9209 §2.3 for each cause. */
const ERROR_OF_CAUSE: Record<Cause, string> = {
  connect_refused: 'connection_refused',
  connect_timeout: 'connection_timeout',
  unreachable: 'destination_ip_unroutable',
  app_down: 'connection_refused',
  dns: 'dns_error',
  tls: 'tls_protocol_error',
  timeout: 'http_response_timeout',
  per_try_timeout: 'http_response_timeout',
  app_timeout: 'http_response_timeout',
  stream_idle: 'connection_read_timeout',
  max_duration: 'http_response_timeout',
  deadline_exceeded: 'http_response_timeout',
  reset: 'connection_terminated',
  terminated: 'connection_terminated',
  partial_body: 'http_response_incomplete',
  protocol_error: 'http_protocol_error',
  app_error: '',
  circuit_open: 'connection_limit_reached',
  breaker_open: 'destination_unavailable',
  no_healthy: 'destination_unavailable',
  rate_limited: 'http_request_denied',
  overloaded: 'http_request_denied',
  fault_injected: 'proxy_internal_response',
  too_large: 'http_request_error',
  denied: 'http_request_denied',
  no_route: 'destination_not_found',
  no_cluster: 'proxy_configuration_error',
  cancelled: 'connection_terminated',
  unknown: 'proxy_internal_error',
}

/** The other way. `[cause, sub-cause]`; every type of RFC 9209 §2.3 is here. */
const CAUSE_OF_ERROR: Readonly<Record<string, readonly [Cause, string]>> = {
  dns_timeout: ['dns', 'timeout'],
  dns_error: ['dns', ''],
  destination_not_found: ['no_route', ''],
  destination_unavailable: ['no_healthy', ''],
  destination_ip_prohibited: ['denied', ''],
  destination_ip_unroutable: ['unreachable', ''],
  connection_refused: ['connect_refused', ''],
  connection_terminated: ['terminated', ''],
  connection_timeout: ['connect_timeout', ''],
  connection_read_timeout: ['timeout', ''],
  connection_write_timeout: ['timeout', ''],
  connection_limit_reached: ['circuit_open', ''],
  tls_protocol_error: ['tls', ''],
  tls_certificate_error: ['tls', 'certificate'],
  tls_alert_received: ['tls', 'alert'],
  http_request_error: ['too_large', 'request'],
  http_request_denied: ['denied', ''],
  http_response_incomplete: ['partial_body', ''],
  http_response_header_section_size: ['too_large', 'headers'],
  http_response_header_size: ['too_large', 'headers'],
  http_response_body_size: ['too_large', 'response'],
  http_response_trailer_section_size: ['too_large', 'headers'],
  http_response_trailer_size: ['too_large', 'headers'],
  http_response_transfer_coding: ['protocol_error', ''],
  http_response_content_coding: ['protocol_error', ''],
  http_response_timeout: ['timeout', ''],
  http_upgrade_failed: ['protocol_error', 'upgrade'],
  http_protocol_error: ['protocol_error', ''],
  proxy_internal_response: ['unknown', ''],
  proxy_internal_error: ['unknown', ''],
  proxy_configuration_error: ['no_cluster', ''],
  proxy_loop_detected: ['no_route', 'loop'],
}

/** Envoy puts its flags at the end of `details`; where they are finer than the error type, they win. */
const CAUSE_OF_FLAG: readonly (readonly [flag: number, cause: Cause, subCause: string])[] = [
  [ResponseFlag.NoHealthyUpstream, 'no_healthy', ''],
  [ResponseFlag.UpstreamOverflow, 'circuit_open', ''],
  [ResponseFlag.NoClusterFound, 'no_cluster', ''],
  [ResponseFlag.NoRouteFound, 'no_route', ''],
  [ResponseFlag.FaultInjected, 'fault_injected', 'abort'],
  [ResponseFlag.RateLimited, 'rate_limited', ''],
  [ResponseFlag.UnauthorizedExternalService, 'denied', 'ext_authz'],
  [ResponseFlag.StreamIdleTimeout, 'stream_idle', ''],
  [ResponseFlag.UpstreamMaxStreamDurationReached, 'max_duration', ''],
  [ResponseFlag.DurationTimeout, 'max_duration', ''],
  [ResponseFlag.OverloadManager, 'overloaded', ''],
  [ResponseFlag.DnsResolutionFailed, 'dns', ''],
  [ResponseFlag.UpstreamProtocolError, 'protocol_error', ''],
]

/** What a response says about its failure, split into ours and the rest. */
export interface ReceivedStatus {
  /** The last well-formed member with our parameters. */
  readonly record: FailureRecord | undefined
  /** What the last foreign member that names an error makes of it; only where there is no record. */
  readonly foreign: ForeignFailure | undefined
}

export interface ForeignFailure {
  /** The proxy that wrote the member. */
  readonly proxy: string
  /** Its `next-hop`, '' when it does not say (Envoy does not). */
  readonly nextHop: string
  readonly cause: Cause
  readonly subCause: string
  readonly details: string
}

/**
 * Reads the list and takes out of it everything with our parameters, true or forged: what goes on is written anew. Foreign
 * members stay as they were. `undefined` when there is no such header, which is how nearly every response is.
 */
export function takeProxyStatus(headers: MutableHeaders): ReceivedStatus | undefined {
  if (headers.get(PROXY_STATUS) === undefined) return undefined
  const fields = headers.getAll(PROXY_STATUS)
  let record: FailureRecord | undefined
  let foreign: ForeignFailure | undefined
  let mine = false
  const kept: string[] = []
  let size = 0
  for (const field of fields) {
    for (const member of parseList(field)) {
      if (isOurs(member)) {
        mine = true
        record = recordOf(member) ?? record
        continue
      }
      foreign = foreignRecord(member) ?? foreign
      size += member.text.length + 2
      if (size <= MAX_FIELD) kept.push(member.text)
    }
  }
  if (mine || fields.length > 1 || kept.length === 0) {
    if (kept.length === 0) headers.delete(PROXY_STATUS)
    else headers.set(PROXY_STATUS, kept.join(', '))
  }
  return { record, foreign: record === undefined ? foreign : undefined }
}

/** Appends the record to the list; `emitter` is the service that speaks. */
export function appendProxyStatus(headers: MutableHeaders, record: FailureRecord, emitter: string): void {
  const member = serialiseRecord(record, emitter)
  const before = headers.get(PROXY_STATUS) === undefined ? [] : headers.getAll(PROXY_STATUS)
  headers.set(PROXY_STATUS, [...before, member].join(', '))
}

/** A member that mentions any parameter of ours, or that is not understood but mentions one in its text. */
function isOurs(member: Member): boolean {
  if (member.item === undefined) return /failure-/i.test(member.text)
  for (const key of member.params.keys()) if (key.startsWith('failure-')) return true
  return false
}

export function recordOf(member: Member): FailureRecord | undefined {
  const text = (key: string) => textOf(member.params.get(key)) ?? ''
  const id = text('failure-id')
  const origin = text('failure-origin')
  const by = textOf(member.item) ?? ''
  const [cause = '', subCause = ''] = text('failure-cause').split(':', 2)
  const confidence = text('failure-confidence')
  // A member too long for both comes without them (see serialiseRecord).
  const link = text('failure-link') || origin
  const path = (text('failure-path') || (origin === by ? origin : `${origin},${by}`)).split(',')
  const span = text('failure-span')
  if (!ID.test(id) || !isServiceName(origin) || !isServiceName(by) || !isConfidence(confidence)) return undefined
  if (!isCause(cause) || !SUB_CAUSE.test(subCause)) return undefined
  if (path.length > MAX_PATH || !path.every(isServiceName)) return undefined
  const ends = link.split('>')
  if (ends.length > 2 || !ends.every(isServiceName)) return undefined
  const likelihood = member.params.get('failure-likelihood')
  const attempts = member.params.get('failure-attempts')
  return {
    id,
    origin,
    cause,
    subCause,
    by: ends[0]!,
    link,
    path,
    confidence,
    likelihood: likelihood?.kind === 'decimal' || likelihood?.kind === 'integer' ? clamp(likelihood.value, 0, 1) : 1,
    span: SPAN.test(span) ? span : '',
    at: 0,
    attempts: attempts?.kind === 'integer' ? clamp(attempts.value, 1, 1000) : 1,
    details: '',
  }
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value))
}

/** At most 512 bytes: what does not fit is left out, least needed first, and the path is cut in its middle. */
export function serialiseRecord(record: FailureRecord, emitter: string): string {
  const error = ERROR_OF_CAUSE[record.cause]
  let head = serialiseText(emitter)
  if (error !== '') head += `; error=${error}`
  head += `; failure-origin=${serialiseText(record.origin)}`
  head += `; failure-cause=${record.cause}${record.subCause === '' ? '' : `:${record.subCause}`}`
  let tail = `; failure-confidence=${record.confidence}; failure-id=${serialiseText(record.id)}`
  if (record.likelihood < 1) tail += `; failure-likelihood=${serialiseNumber(record.likelihood)}`
  if (record.attempts > 1) tail += `; failure-attempts=${record.attempts}`
  const link = `; failure-link=${serialiseString(record.link)}`
  const span = record.span === '' ? '' : `; failure-span=${serialiseString(record.span)}`
  let path = [...record.path]
  let text = ''
  for (;;) {
    text = `${head}${link}; failure-path=${serialiseString(path.join(','))}${tail}${span}`
    if (text.length <= MAX_MEMBER || path.length <= 2) break
    path = [...path.slice(0, -2), path.at(-1)!]
  }
  if (text.length > MAX_MEMBER) text = `${head}${link}; failure-path=${serialiseString(path.join(','))}${tail}`
  if (text.length <= MAX_MEMBER) return text
  // Only with names near their own limit: who and why are worth more than the way.
  return head + tail
}

/** What a proxy that is none of ours says about an error, undefined when it names none. */
export function foreignRecord(member: Member): ForeignFailure | undefined {
  const proxy = textOf(member.item)
  if (proxy === undefined) return undefined
  const error = textOf(member.params.get('error'))
  const details = (textOf(member.params.get('details')) ?? '').slice(0, 256)
  let [cause, subCause] = (error === undefined ? undefined : CAUSE_OF_ERROR[error]) ?? ['unknown' as Cause, '']
  const flags = flagsIn(details)
  for (const [flag, of, sub] of CAUSE_OF_FLAG) {
    if ((flags & flag) === 0) continue
    cause = of
    subCause = sub
    break
  }
  if (error === undefined && flags === 0) return undefined
  return { proxy, nextHop: textOf(member.params.get('next-hop')) ?? '', cause, subCause, details }
}

/** `…; UF` or `…; URX,UF`, as Envoy ends its details. */
function flagsIn(details: string): number {
  const last = details.slice(details.lastIndexOf(';') + 1).trim()
  let flags = 0
  for (const code of last.split(',', 8)) flags |= responseFlagOfCode(code.trim()) ?? 0
  return flags
}
