/**
 * The head of a gRPC response that waits for the first message, so that a status in the trailers can still be retried.
 *
 * Envoy passes the head on at once; then a call that fails in its trailers, before it has said anything, has begun for the
 * caller and cannot be made again. Held is only what can be repeated: the policy has a condition for gRPC and attempts left,
 * and the request is whole, so that nobody waits for the head before sending more. Nothing but the head is kept (at most
 * what the codec allows a head to be), and for {@link RetryPolicy.grpcTrailersWaitMs} at most: a stream whose first message
 * is long in coming announces itself that much later.
 *
 *   head ─▶ HELD ── first byte of a message, end, or waited long enough ──▶ passed on
 *             └─── trailers: status in the policy? ─ yes ─▶ another attempt
 *                                                  └ no ──▶ passed on, trailers after it
 */
import { parseGrpcStatus } from '../base/grpc-status.ts'
import { Timer, type Timers } from '../base/timer-wheel.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { isGrpcResponse } from '../codec/grpc/headers.ts'
import type { HeaderMap, ResponseHeaders } from '../codec/header-map.ts'
import { type RetryState, RetryVerdict } from './retry-state.ts'
import type { UpstreamRequest } from './upstream-request.ts'

/** Whether this head is one to hold; that the request can be repeated is for the caller to know. */
export function holdsHead(retry: RetryState, headers: ResponseHeaders, endStream: boolean): boolean {
  if (endStream || retry.grpcTrailersWaitMs === 0 || !isGrpcResponse(headers, false)) return false
  // What can be judged by the head alone is.
  return !headers.has('grpc-status') && !retry.wantsHead(headers)
}

export class HeldHead {
  readonly upstream: UpstreamRequest
  readonly headers: ResponseHeaders
  readonly #cluster: Cluster
  readonly #timers: Timers
  readonly #timer: Timer

  /** `onWaitOver`: the time is up, the head is to be passed on. */
  constructor(
    upstream: UpstreamRequest,
    headers: ResponseHeaders,
    cluster: Cluster,
    timers: Timers,
    retry: RetryState,
    onWaitOver: () => void,
  ) {
    this.upstream = upstream
    this.headers = headers
    this.#cluster = cluster
    this.#timers = timers
    this.#timer = new Timer(() => {
      cluster.stats.counter('upstream_rq_grpc_trailers_wait_over').inc()
      onWaitOver()
    })
    timers.start(this.#timer, retry.grpcTrailersWaitMs)
  }

  stop(): void {
    this.#timers.stop(this.#timer)
  }

  /** What the policy says to these trailers. */
  judge(retry: RetryState | undefined, trailers: HeaderMap): RetryVerdict {
    const status = parseGrpcStatus(trailers.get('grpc-status'))
    if (retry === undefined || status === undefined || status <= 0) return RetryVerdict.No
    return retry.onGrpcStatus(status)
  }

  /** Another attempt has been granted because of the trailers. */
  countRetry(): void {
    this.#cluster.stats.counter('upstream_rq_retry_grpc_trailers').inc()
  }
}
