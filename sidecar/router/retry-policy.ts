/**
 * `RetryPolicy`, compiled: what is tried again, how often, after which wait, and on which hosts not. The policy of a
 * route replaces that of its virtual host as a whole. `retry-state.ts` runs it.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../base/clock.ts'
import type { HeaderMap, ResponseHeaders } from '../codec/header-map.ts'
import type { HopwiseSettings } from '../config/hopwise-metadata.ts'
import type {
  JsonValue,
  OmitHostMetadataConfig,
  PreviousPrioritiesConfig,
  RetryPolicy_ResetHeader,
  RetryPolicy as RetryPolicyMessage,
} from '../config/schema/generated/types.ts'
import type { Host } from '../upstream/host.ts'
import { headerMatchers } from './header-matcher.ts'
import type { Mistakes } from './mistakes.ts'

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
  /**
   * How long the head of a gRPC response may wait for a status in its trailers, in milliseconds; 0 for not at all. Ours, see
   * `held-head.ts`: `filter_metadata.hopwise` of the route, `retry_grpc_trailers` and `retry_grpc_trailers_wait_ms`.
   */
  readonly grpcTrailersWaitMs: number
}

/** Long enough for a server that answers head and trailers apart, short beside what callers wait for. */
const GRPC_TRAILERS_WAIT_MS = 1000

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
  grpcTrailersWaitMs: GRPC_TRAILERS_WAIT_MS,
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

/** Whether every name of a list is a condition that exists, for `strict_check_headers`. */
export function knowsRetryOn(text: string): boolean {
  return text.split(',').every(name => HTTP_NAMES.has(name.trim()))
}

export function knowsGrpcRetryOn(text: string): boolean {
  return text.split(',').every(name => GRPC_NAMES.has(name.trim()))
}

function parse(text: string, names: ReadonlyMap<string, number>): number {
  let on = 0
  for (const name of text.split(',')) on |= names.get(name.trim()) ?? 0
  return on
}

/** Compiles a policy, the current message of `mistakes`. */
export function retryPolicy(message: RetryPolicyMessage, mistakes: Mistakes, clock: Clock): RetryPolicy {
  const limited = message.rateLimitedRetryBackOff
  return {
    // The same field takes names of both kinds.
    retryOn: parseRetryOn(message.retryOn) | parseGrpcRetryOn(message.retryOn),
    numRetries: message.numRetries ?? DEFAULT_RETRY_POLICY.numRetries,
    perTryTimeoutMs: message.perTryTimeout ?? 0,
    perTryIdleTimeoutMs: message.perTryIdleTimeout ?? 0,
    ...backOff(message, mistakes),
    rateLimitedResetHeaders: (limited?.resetHeaders ?? []).map(header => new TimedReset(header, clock)),
    rateLimitedMaxMs: Math.max(1, limited?.maxInterval ?? DEFAULT_RETRY_POLICY.rateLimitedMaxMs),
    retriableStatusCodes: new Set(message.retriableStatusCodes),
    retriableHeaders: headerMatchers(message.retriableHeaders, mistakes, 'retriable_headers'),
    retriableRequestHeaders: headerMatchers(message.retriableRequestHeaders, mistakes, 'retriable_request_headers'),
    hostPredicates: hostPredicates(message, mistakes),
    hostSelectionMaxAttempts: message.hostSelectionRetryMaxAttempts || DEFAULT_RETRY_POLICY.hostSelectionMaxAttempts,
    previousPrioritiesUpdateFrequency: previousPriorities(message, mistakes),
    refreshClusterOnRetry: message.refreshClusterOnRetry,
    grpcTrailersWaitMs: GRPC_TRAILERS_WAIT_MS,
  }
}

/**
 * The policy as the route's own settings have it. Where it has none, what requests may ask for by headers is bound by the
 * settings all the same.
 */
export function withHopwiseSettings(
  policy: RetryPolicy | undefined,
  { retryGrpcTrailers, retryGrpcTrailersWaitMs }: HopwiseSettings,
): RetryPolicy | undefined {
  const waitMs = retryGrpcTrailers === false ? 0 : retryGrpcTrailersWaitMs
  return waitMs === undefined ? policy : { ...(policy ?? DEFAULT_RETRY_POLICY), grpcTrailersWaitMs: waitMs }
}

/** Shorter waits than a millisecond are rounded up to one, as in Envoy. */
function backOff(message: RetryPolicyMessage, mistakes: Mistakes): { backOffBaseMs: number; backOffMaxMs: number } {
  const { retryBackOff } = message
  if (retryBackOff === undefined) {
    return { backOffBaseMs: DEFAULT_RETRY_POLICY.backOffBaseMs, backOffMaxMs: DEFAULT_RETRY_POLICY.backOffMaxMs }
  }
  const base = Math.max(1, retryBackOff.baseInterval ?? 0)
  const max = retryBackOff.maxInterval === undefined ? base * 10 : Math.max(1, retryBackOff.maxInterval)
  if (retryBackOff.baseInterval === undefined) mistakes.error('retry_back_off.base_interval', 'is required')
  if (max < base) mistakes.error('retry_back_off.max_interval', 'must be greater than or equal to the base_interval')
  return { backOffBaseMs: base, backOffMaxMs: max }
}

class TimedReset implements ResetHeader {
  readonly #name: string
  readonly #isTimestamp: boolean
  readonly #clock: Clock
  constructor(message: RetryPolicy_ResetHeader, clock: Clock) {
    this.#name = message.name.toLowerCase()
    this.#isTimestamp = message.format === 'UNIX_TIMESTAMP'
    this.#clock = clock
  }
  waitMs(headers: ResponseHeaders): number | undefined {
    const text = headers.get(this.#name)?.trim()
    if (text === undefined || !/^\d{1,15}$/.test(text)) return undefined
    const ms = Number(text) * 1000
    if (!this.#isTimestamp) return ms
    const wait = ms - this.#clock.wall()
    return wait < 0 ? undefined : wait
  }
}

const PREVIOUS_HOSTS: RetryHostPredicate = { rejects: (host, tried) => tried.includes(host) }
const OMIT_CANARY_HOSTS: RetryHostPredicate = { rejects: host => host.canary }

class OmitHostMetadata implements RetryHostPredicate {
  readonly #wanted: readonly (readonly [key: string, value: JsonValue])[]
  constructor(config: OmitHostMetadataConfig) {
    this.#wanted = Object.entries(config.metadataMatch?.filterMetadata.get('envoy.lb') ?? {})
  }
  rejects(host: Host): boolean {
    const metadata = host.metadata?.filterMetadata.get('envoy.lb')
    if (metadata === undefined || this.#wanted.length === 0) return false
    return this.#wanted.every(([key, value]) => isDeepStrictEqual(metadata[key], value))
  }
}

function hostPredicates(message: RetryPolicyMessage, mistakes: Mistakes): RetryHostPredicate[] {
  return message.retryHostPredicate.flatMap((predicate, index) => {
    switch (predicate.typedConfig?.typeUrl) {
      case 'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate':
        return [PREVIOUS_HOSTS]
      case 'envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate':
        return [OMIT_CANARY_HOSTS]
      case 'envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig':
        return [new OmitHostMetadata(predicate.typedConfig.value as OmitHostMetadataConfig)]
      default:
        mistakes.error(`retry_host_predicate[${index}]`, `"${predicate.name}" is not a supported predicate`)
        return []
    }
  })
}

function previousPriorities(message: RetryPolicyMessage, mistakes: Mistakes): number {
  const priority = message.retryPriority
  if (priority === undefined) return 0
  if (
    priority.typedConfig?.typeUrl !== 'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig'
  ) {
    mistakes.error('retry_priority', `"${priority.name}" is not a supported retry priority`)
    return 0
  }
  return (priority.typedConfig.value as PreviousPrioritiesConfig).updateFrequency
}
