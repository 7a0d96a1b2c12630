/** Retry policies, compiled. First the shape that `retry-state.ts` reads; decoding follows below. */
import type { HeaderMap, ResponseHeaders } from '../codec/header-map.ts'
import type { Host } from '../upstream/host.ts'

/** What to retry on, as a set of bits. */
export const RetryOn = {
  FiveXx: 1 << 0,
  GatewayError: 1 << 1,
  ConnectFailure: 1 << 2,
  Retriable4xx: 1 << 3,
  RefusedStream: 1 << 4,
  GrpcCancelled: 1 << 5,
  GrpcDeadlineExceeded: 1 << 6,
  GrpcResourceExhausted: 1 << 7,
  GrpcUnavailable: 1 << 8,
  GrpcInternal: 1 << 9,
  RetriableStatusCodes: 1 << 10,
  Reset: 1 << 11,
  RetriableHeaders: 1 << 12,
  EnvoyRateLimited: 1 << 13,
  Http3PostConnectFailure: 1 << 14,
  ResetBeforeRequest: 1 << 15,
  /** Any of the gRPC bits. */
  AnyGrpc: (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 9),
} as const

export interface HeaderPredicate {
  matches(headers: HeaderMap): boolean
}

export interface RetryHostPredicate {
  /** True when another host should be looked for; `tried` are the hosts of earlier attempts. */
  rejects(host: Host, tried: readonly Host[]): boolean
}

export interface ResetHeader {
  /** How long this response asks to wait, in milliseconds; undefined when it does not say. */
  waitMs(headers: ResponseHeaders): number | undefined
}

export interface RetryPolicy {
  /** Set of {@link RetryOn} bits. */
  readonly retryOn: number
  readonly numRetries: number
  /** 0 for none. */
  readonly perTryTimeoutMs: number
  /** 0 for none. */
  readonly perTryIdleTimeoutMs: number
  readonly backOffBaseMs: number
  readonly backOffMaxMs: number
  /** `rate_limited_retry_back_off`, in order; empty where there is none. */
  readonly rateLimitedResetHeaders: readonly ResetHeader[]
  readonly rateLimitedMaxMs: number
  readonly retriableStatusCodes: ReadonlySet<number>
  readonly retriableHeaders: readonly HeaderPredicate[]
  readonly retriableRequestHeaders: readonly HeaderPredicate[]
  readonly hostPredicates: readonly RetryHostPredicate[]
  readonly hostSelectionMaxAttempts: number
  /** `update_frequency` of `previous_priorities`, or 0 where there is no retry priority. */
  readonly previousPrioritiesUpdateFrequency: number
  readonly refreshClusterOnRetry: boolean
}

const NO_CODES: ReadonlySet<number> = new Set()

/** What holds where a request asks for retries by headers and its route has no policy. */
export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  retryOn: 0,
  numRetries: 1,
  perTryTimeoutMs: 0,
  perTryIdleTimeoutMs: 0,
  backOffBaseMs: 25,
  backOffMaxMs: 250,
  rateLimitedResetHeaders: [],
  rateLimitedMaxMs: 300_000,
  retriableStatusCodes: NO_CODES,
  retriableHeaders: [],
  retriableRequestHeaders: [],
  hostPredicates: [],
  hostSelectionMaxAttempts: 1,
  previousPrioritiesUpdateFrequency: 0,
  refreshClusterOnRetry: false,
}

const HTTP_NAMES: ReadonlyMap<string, number> = new Map([
  ['5xx', RetryOn.FiveXx],
  ['gateway-error', RetryOn.GatewayError],
  ['connect-failure', RetryOn.ConnectFailure],
  ['envoy-ratelimited', RetryOn.EnvoyRateLimited],
  ['retriable-4xx', RetryOn.Retriable4xx],
  ['refused-stream', RetryOn.RefusedStream],
  ['retriable-status-codes', RetryOn.RetriableStatusCodes],
  ['retriable-headers', RetryOn.RetriableHeaders],
  ['reset', RetryOn.Reset],
  ['reset-before-request', RetryOn.ResetBeforeRequest],
  ['http3-post-connect-failure', RetryOn.Http3PostConnectFailure],
])

const GRPC_NAMES: ReadonlyMap<string, number> = new Map([
  ['cancelled', RetryOn.GrpcCancelled],
  ['deadline-exceeded', RetryOn.GrpcDeadlineExceeded],
  ['resource-exhausted', RetryOn.GrpcResourceExhausted],
  ['unavailable', RetryOn.GrpcUnavailable],
  ['internal', RetryOn.GrpcInternal],
])

/** HTTP conditions of a comma-separated list; names it does not know are ignored, as in Envoy. */
export function parseRetryOn(text: string): number {
  return parse(text, HTTP_NAMES)
}

/** gRPC conditions of a comma-separated list. */
export function parseGrpcRetryOn(text: string): number {
  return parse(text, GRPC_NAMES)
}

function parse(text: string, names: ReadonlyMap<string, number>): number {
  let on = 0
  for (const name of text.split(',')) on |= names.get(name.trim()) ?? 0
  return on
}
