/**
 * Whether and when a failed attempt is tried again (Envoy: `RetryStateImpl`; features.md §2.5).
 *
 * One state per request that may be retried at all. It counts attempts against the policy, asks the cluster's circuit
 * breaker for a place among concurrent retries, and says how long to wait. What it retries on was compiled from the
 * route's policy; request headers may add to it where they are believed.
 */
import type { Random } from '../base/random.ts'
import type { Cluster, Priority } from '../cluster/cluster.ts'
import type { RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { StreamFailure } from '../codec/stream.ts'
import type { Host } from '../upstream/host.ts'
import { isConnectionFailure } from './reset-reasons.ts'
import type { ChargeTargets } from './response-charges.ts'
import { DEFAULT_RETRY_POLICY, parseGrpcRetryOn, parseRetryOn, RetryOn, type RetryPolicy } from './retry-policy.ts'

export const RetryVerdict = {
  /** Nothing in the policy asks for a retry. */
  No: 0,
  Yes: 1,
  /** It would, but the attempts are used up: flag URX. */
  LimitExceeded: 2,
  /** It would, but too many retries of this cluster are running: flag UO. */
  Overflow: 3,
} as const
export type RetryVerdict = (typeof RetryVerdict)[keyof typeof RetryVerdict]

export class RetryState {
  readonly #policy: RetryPolicy
  readonly #cluster: Cluster
  readonly #priority: Priority
  readonly #random: Random
  readonly #charges: ChargeTargets | undefined
  readonly #on: number
  #remaining: number
  #attempts = 0
  #holdsRetry = false
  readonly #codes: ReadonlySet<number>
  readonly #headerNames: readonly string[]
  /** Wait asked for by the upstream (`rate_limited_retry_back_off`), or -1. */
  #rateLimitedWaitMs = -1
  readonly #tried: Host[] = []

  private constructor(
    policy: RetryPolicy,
    on: number,
    retries: number,
    codes: ReadonlySet<number>,
    headerNames: readonly string[],
    cluster: Cluster,
    priority: Priority,
    random: Random,
    charges: ChargeTargets | undefined,
  ) {
    this.#charges = charges
    this.#policy = policy
    this.#on = on
    this.#remaining = retries
    this.#codes = codes
    this.#headerNames = headerNames
    this.#cluster = cluster
    this.#priority = priority
    this.#random = random
  }

  /**
   * The state for a request, or undefined when neither policy nor headers ask for retries. The steering headers are taken
   * off the request: the upstream has no business with them.
   */
  static create(
    policy: RetryPolicy | undefined,
    headers: RequestHeaders,
    cluster: Cluster,
    priority: Priority,
    { random }: { readonly random: Random },
    charges: ChargeTargets | undefined,
  ): RetryState | undefined {
    const steered = hasSteeringHeader(headers.list)
    if (policy === undefined && !steered) return undefined
    const base = policy ?? DEFAULT_RETRY_POLICY
    let on = base.retryOn
    let retries = base.numRetries
    let codes = base.retriableStatusCodes
    let names: readonly string[] = []
    // The connection manager has taken these off whoever may not send them.
    if (steered) {
      on |= parseRetryOn(headers.get('x-envoy-retry-on') ?? '')
      on |= parseGrpcRetryOn(headers.get('x-envoy-retry-grpc-on') ?? '')
      const maxRetries = headers.get('x-envoy-max-retries')
      if (maxRetries !== undefined && /^\d{1,9}$/.test(maxRetries)) retries = Number(maxRetries)
      const retriable = headers.get('x-envoy-retriable-status-codes')
      if (retriable !== undefined) {
        codes = new Set([...codes, ...retriable.split(',').map(Number).filter(Number.isInteger)])
      }
      names = (headers.get('x-envoy-retriable-header-names') ?? '').split(',').map(name => name.trim().toLowerCase())
      headers.deleteWhere(name => STEERING.has(name))
    }
    if (on === 0) return undefined
    const matchers = base.retriableRequestHeaders
    if (matchers.length > 0 && !matchers.some(matcher => matcher.matches(headers))) return undefined
    return new RetryState(base, on, retries, codes, names, cluster, priority, random, charges)
  }

  /** For responses that came: by status, by headers, by gRPC status in the headers. */
  onResponse(headers: ResponseHeaders): RetryVerdict {
    return this.#judge(this.#wantsResponse(headers))
  }

  /** For attempts that ended without a response. `requestSent`: any byte of the request had left. */
  onReset(failure: StreamFailure, requestSent: boolean): RetryVerdict {
    return this.#judge(this.#wantsReset(failure, requestSent))
  }

  /** For the per-try timeout, which counts as a gateway error. */
  onPerTryTimeout(): RetryVerdict {
    return this.#judge((this.#on & (RetryOn.FiveXx | RetryOn.GatewayError | RetryOn.Reset)) !== 0)
  }

  /** How long a head may wait for trailers that could be retried, in milliseconds; 0 where it must not. */
  get grpcTrailersWaitMs(): number {
    return (this.#on & RetryOn.AnyGrpc) !== 0 && this.#remaining > 0 ? this.#policy.grpcTrailersWaitMs : 0
  }

  /** Whether a response asks for another attempt by its head; {@link onResponse} decides and counts. */
  wantsHead(headers: ResponseHeaders): boolean {
    return this.#wantsResponse(headers)
  }

  /** A gRPC status that came in trailers before any message did. */
  onGrpcStatus(status: number): RetryVerdict {
    return this.#judge(this.#wantsGrpc(status))
  }

  /**
   * How long to wait before the retry just granted, in milliseconds, fully jittered: a uniform pick from 0 up to
   * `min(base * (2 ** n - 1), max)` for retry number n, or what the upstream asked for.
   */
  backOffMs(): number {
    if (this.#rateLimitedWaitMs >= 0) {
      this.#cluster.requestStats.retryBackoffRatelimited.inc()
      // Up to half as much again, so that those who were told the same moment do not come at once (Envoy).
      return this.#rateLimitedWaitMs * (1 + this.#random.next() / 2)
    }
    this.#cluster.requestStats.retryBackoffExponential.inc()
    const { backOffBaseMs, backOffMaxMs } = this.#policy
    const ceiling = Math.min(backOffBaseMs * (2 ** Math.min(this.#attempts, 30) - 1), backOffMaxMs)
    return this.#random.next() * ceiling
  }

  /** A retry succeeded or the request ended otherwise: its place among concurrent retries is free again. */
  release(): void {
    if (!this.#holdsRetry) return
    this.#holdsRetry = false
    this.#cluster.resources(this.#priority).retries.release()
  }

  get maxHostSelectionAttempts(): number {
    return this.#policy.hostSelectionMaxAttempts
  }

  onHostAttempted(host: Host): void {
    this.#tried.push(host)
  }

  /** Host predicates of the policy: true when another host should be looked for. */
  shouldSelectAnotherHost(host: Host): boolean {
    if (this.#tried.length === 0) return false
    for (const predicate of this.#policy.hostPredicates) {
      if (predicate.rejects(host, this.#tried)) return true
    }
    return false
  }

  #judge(wanted: boolean): RetryVerdict {
    // The place is given back even when no further retry follows: the attempt that held it is over.
    this.release()
    const { requestStats } = this.#cluster
    if (!wanted) {
      if (this.#attempts > 0) {
        requestStats.retrySuccess.inc()
        this.#charges?.virtualCluster?.retrySuccess.inc()
        this.#charges?.route?.retrySuccess.inc()
      }
      return RetryVerdict.No
    }
    if (this.#remaining === 0) {
      requestStats.retryLimitExceeded.inc()
      this.#charges?.virtualCluster?.retryLimitExceeded.inc()
      this.#charges?.route?.retryLimitExceeded.inc()
      return RetryVerdict.LimitExceeded
    }
    const { retries } = this.#cluster.resources(this.#priority)
    if (!retries.tryTake()) {
      requestStats.retryOverflow.inc()
      this.#charges?.virtualCluster?.retryOverflow.inc()
      this.#charges?.route?.retryOverflow.inc()
      return RetryVerdict.Overflow
    }
    this.#remaining--
    this.#attempts++
    this.#holdsRetry = true
    requestStats.retry.inc()
    this.#charges?.virtualCluster?.retry.inc()
    this.#charges?.route?.retry.inc()
    return RetryVerdict.Yes
  }

  #wantsResponse(headers: ResponseHeaders): boolean {
    const on = this.#on
    const status = headers.status
    this.#rateLimitedWaitMs = -1
    const wanted = this.#wantsStatus(status, headers)
    if (wanted) {
      for (const reset of this.#policy.rateLimitedResetHeaders) {
        const wait = reset.waitMs(headers)
        if (wait === undefined) continue
        if (wait <= this.#policy.rateLimitedMaxMs) this.#rateLimitedWaitMs = wait
        break
      }
      return true
    }
    if ((on & RetryOn.AnyGrpc) !== 0) {
      const grpc = headers.get('grpc-status')
      if (grpc !== undefined && this.#wantsGrpc(Number(grpc))) return true
    }
    return false
  }

  #wantsStatus(status: number, headers: ResponseHeaders): boolean {
    const on = this.#on
    // A rate-limited answer is retried only on demand, whatever else matches (Envoy: x-envoy-ratelimited).
    if (headers.has('x-envoy-ratelimited')) return (on & RetryOn.EnvoyRateLimited) !== 0
    if (on & RetryOn.FiveXx && status >= 500 && status < 600) return true
    if (on & RetryOn.GatewayError && status >= 502 && status <= 504) return true
    if (on & RetryOn.Retriable4xx && status === 409) return true
    if (on & RetryOn.RetriableStatusCodes && this.#codes.has(status)) return true
    if (on & RetryOn.RetriableHeaders) {
      for (const matcher of this.#policy.retriableHeaders) if (matcher.matches(headers)) return true
      for (const name of this.#headerNames) if (name !== '' && headers.has(name)) return true
    }
    return false
  }

  #wantsReset(failure: StreamFailure, requestSent: boolean): boolean {
    const on = this.#on
    // An overflow is the breaker saying stop; trying again would be the opposite.
    if (failure.kind === 'overflow') return false
    if (on & (RetryOn.FiveXx | RetryOn.GatewayError | RetryOn.Reset)) return true
    if (on & RetryOn.ResetBeforeRequest && !requestSent) return true
    if (on & RetryOn.RefusedStream && failure.kind === 'refused_stream') return true
    return (on & RetryOn.ConnectFailure) !== 0 && isConnectionFailure(failure.kind)
  }

  #wantsGrpc(status: number): boolean {
    const on = this.#on
    switch (status) {
      case 1:
        return (on & RetryOn.GrpcCancelled) !== 0
      case 4:
        return (on & RetryOn.GrpcDeadlineExceeded) !== 0
      case 8:
        return (on & RetryOn.GrpcResourceExhausted) !== 0
      case 13:
        return (on & RetryOn.GrpcInternal) !== 0
      case 14:
        return (on & RetryOn.GrpcUnavailable) !== 0
      default:
        return false
    }
  }
}

const STEERING: ReadonlySet<string> = new Set([
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
])

function hasSteeringHeader(list: readonly string[]): boolean {
  for (let i = 0; i < list.length; i += 2) {
    if (list[i]!.startsWith('x-envoy-') && STEERING.has(list[i]!)) return true
  }
  return false
}
