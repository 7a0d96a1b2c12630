/**
 * How long a request may take, by its route and by the headers of callers who may say so (Envoy:
 * `FilterUtility::finalTimeout`), and what the upstream is told of it. The connection manager has taken these headers off
 * callers who may not steer.
 */
import { grpcTimeoutText, isGrpcRequest } from '../codec/grpc/headers.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { LocalReply } from '../filter-chain/http-filter.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import { knowsGrpcRetryOn, knowsRetryOn } from './retry-policy.ts'
import type { RouteEntry } from './route-entry.ts'
import type { RouterConfig } from './router-settings.ts'

/** Timeouts of one request in milliseconds, 0 for none. */
export interface Timeouts {
  /** From the end of the request to the end of the response. */
  response: number
  perTry: number
  perTryIdle: number
  /** Of the whole attempt, by `x-envoy-upstream-stream-duration-ms`; undefined where the cluster's holds. */
  streamDuration: number | undefined
  /** Status of the answer when time is up: 504, or 204 where the caller asked for that. */
  status: number
}

export const NO_TIMEOUTS: Timeouts = Object.freeze({
  response: 0,
  perTry: 0,
  perTryIdle: 0,
  streamDuration: undefined,
  status: 504,
})

const MILLISECONDS = /^\d{1,12}$/

/** Reads the timeouts and takes the headers that gave them off the request. */
export function timeoutsFor(headers: RequestHeaders, route: RouteEntry, config: RouterConfig): Timeouts {
  const policy = route.retryPolicy
  const timeouts: Timeouts = {
    response: route.timeoutFor(headers),
    perTry: policy?.perTryTimeoutMs ?? 0,
    perTryIdle: policy?.perTryIdleTimeoutMs ?? 0,
    streamDuration: undefined,
    status: 504,
  }
  const { list } = headers
  let steered = false
  for (let i = 0; i < list.length && !steered; i += 2) steered = list[i]!.startsWith('x-envoy-')
  if (steered) {
    const expected = config.respectExpectedRequestTimeout ? headers.get('x-envoy-expected-rq-timeout-ms') : undefined
    // A sidecar before this one has settled it already.
    if (expected !== undefined) timeouts.response = milliseconds(expected) ?? timeouts.response
    else timeouts.response = taken(headers, 'x-envoy-upstream-rq-timeout-ms') ?? timeouts.response
    timeouts.perTry = taken(headers, 'x-envoy-upstream-rq-per-try-timeout-ms') ?? timeouts.perTry
    timeouts.streamDuration = taken(headers, 'x-envoy-upstream-stream-duration-ms')
    // Hedging is not done; the wish is not passed on either.
    headers.delete('x-envoy-hedge-on-per-try-timeout')
    if (headers.delete('x-envoy-upstream-rq-timeout-alt-response')) timeouts.status = 204
  }
  if (timeouts.response > 0 && timeouts.perTry >= timeouts.response) timeouts.perTry = 0
  return timeouts
}

function taken(headers: RequestHeaders, name: string): number | undefined {
  const text = headers.get(name)
  const value = text === undefined ? undefined : milliseconds(text)
  if (value !== undefined) headers.delete(name)
  return value
}

function milliseconds(text: string): number | undefined {
  return MILLISECONDS.test(text) ? Number(text) : undefined
}

/** What of the headers depends on the host and the number of the attempt. */
export function addressAttempt(headers: RequestHeaders, route: RouteEntry, hostname: string, attempt: number): void {
  if (route.autoHostRewrite && hostname !== '') route.rewriteHost(headers, hostname)
  if (route.includeAttemptCountInRequest) headers.set('x-envoy-attempt-count', String(attempt))
}

/** Tells the upstream what is left of the time, `elapsedMs` after the end of the request. */
export function announceTimeout(
  headers: RequestHeaders,
  route: RouteEntry,
  timeouts: Timeouts,
  elapsedMs: number,
  insertExpected: boolean,
): void {
  let expected = timeouts.perTry > 0 ? timeouts.perTry : timeouts.response
  if (expected === 0) return
  // 0 would mean no limit at all; the timer of the response is about to fire.
  if (timeouts.response > 0) expected = Math.max(1, Math.min(expected, timeouts.response - elapsedMs))
  const text = String(Math.round(expected))
  if (insertExpected) headers.set('x-envoy-expected-rq-timeout-ms', text)
  if (route.limitsGrpcTimeout && isGrpcRequest(headers)) headers.set('grpc-timeout', grpcTimeoutText(expected))
}

/** The answer to a request whose `x-envoy-…` headers make no sense (`strict_check_headers`). */
export function strictCheck(headers: RequestHeaders, names: readonly string[]): LocalReply | undefined {
  for (const name of names) {
    const value = headers.get(name)
    if (value === undefined || isWellFormed(name, value)) continue
    return {
      status: 400,
      details: `request_headers_failed_strict_check{${name}}`,
      body: `invalid header '${name}' with value '${value}'`,
      flag: ResponseFlag.InvalidEnvoyRequestHeaders,
    }
  }
  return undefined
}

function isWellFormed(name: string, value: string): boolean {
  switch (name) {
    case 'x-envoy-retry-on':
      return knowsRetryOn(value)
    case 'x-envoy-retry-grpc-on':
      return knowsGrpcRetryOn(value)
    default:
      return MILLISECONDS.test(value)
  }
}
