/** The answers we make where the upstream gives none: the failure table of features.md §2.2. */
import type { RequestHeaders } from '../codec/header-map.ts'
import type { StreamFailure } from '../codec/stream.ts'
import type { LocalReply } from '../filter-chain/http-filter.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import { resetDetails, resetReason } from './reset-reasons.ts'
import type { RouteEntry } from './route-entry.ts'

type Headers = NonNullable<LocalReply['headers']>

/** Headers of answers that we make for the upstream; `attempt` is 0 where nobody wants to know. */
export function replyHeaders(overloaded: boolean, attempt: number): Headers {
  const headers: [string, string][] = []
  if (overloaded) headers.push(['x-envoy-overloaded', 'true'])
  if (attempt > 0) headers.push(['x-envoy-attempt-count', String(attempt)])
  return headers
}

export const NO_ROUTE: LocalReply = Object.freeze({
  status: 404,
  details: 'route_not_found',
  flag: ResponseFlag.NoRouteFound,
})

export function noClusterReply(status: number): LocalReply {
  return { status, details: 'cluster_not_found', flag: ResponseFlag.NoClusterFound }
}

export function noHostReply(headers: Headers): LocalReply {
  return {
    status: 503,
    details: 'no_healthy_upstream',
    body: 'no healthy upstream',
    flag: ResponseFlag.NoHealthyUpstream,
    headers,
  }
}

/** The caller has stopped waiting already: nothing is sent that nobody would read. */
export const DEADLINE_SPENT: LocalReply = Object.freeze({
  status: 504,
  details: 'deadline_exceeded',
  body: 'upstream request timeout',
  flag: ResponseFlag.UpstreamRequestTimeout,
  grpcStatus: 4,
})

export function timeoutReply(status: number, details: string, headers: Headers): LocalReply {
  const body = status === 504 ? 'upstream request timeout' : ''
  return { status, details, body, flag: ResponseFlag.UpstreamRequestTimeout, headers }
}

export function maxDurationReply(status: number, headers: Headers) {
  return {
    status,
    details: 'upstream_max_stream_duration_reached',
    body: 'upstream max stream duration reached',
    flag: ResponseFlag.UpstreamMaxStreamDurationReached,
    headers,
  } satisfies LocalReply
}

/** `retried`: there was more than one attempt. */
export function resetReply(failure: StreamFailure, retried: boolean, headers: Headers): LocalReply {
  const { flag, text } = resetReason(failure)
  const prefix = `upstream connect error or disconnect/reset before headers. ${retried ? 'retried and the latest ' : ''}`
  return {
    status: flag === ResponseFlag.UpstreamProtocolError ? 502 : 503,
    details: resetDetails(failure, false),
    body: `${prefix}reset reason: ${text}`,
    flag,
    headers,
  }
}

/** The answer of a redirect or direct response. */
export function routeReply(route: RouteEntry, headers: RequestHeaders, info: StreamInfo): LocalReply {
  const location = route.redirectLocation(headers, info)
  const { status, contentType } = route.directResponse
  return {
    status,
    details: 'direct_response',
    body: route.directResponseBody(headers, info),
    headers: location === undefined ? [] : [['location', location]],
    routeHeaders: true,
    ...(contentType !== '' && { contentType }),
  }
}
