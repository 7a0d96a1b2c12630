/** `track_cluster_stats`: what a cluster measures of its requests only where it is asked to. */
import type { RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { TrackClusterStats } from '../config/schema/generated/types.ts'
import type { Histogram, StatsScope } from '../observability/stats.ts'

/** Bytes of the names of pseudo headers, which Envoy counts with the others. */
const REQUEST_PSEUDO_BYTES = ':method:authority:scheme:path'.length
const REQUEST_PSEUDO_COUNT = 4
const RESPONSE_PSEUDO_BYTES = ':status200'.length

export class TrackedStats {
  readonly #budgets: { readonly used: Histogram; readonly usedPerTry: Histogram } | undefined
  readonly #sizes: SizeHistograms | undefined

  /** Undefined where the cluster tracks nothing of this. */
  static of(message: TrackClusterStats | undefined, scope: StatsScope): TrackedStats | undefined {
    if (message === undefined || !(message.timeoutBudgets || message.requestResponseSizes)) return undefined
    return new TrackedStats(message, scope)
  }

  private constructor({ timeoutBudgets, requestResponseSizes }: TrackClusterStats, scope: StatsScope) {
    this.#budgets = timeoutBudgets
      ? {
          used: scope.histogram('upstream_rq_timeout_budget_percent_used'),
          usedPerTry: scope.histogram('upstream_rq_timeout_budget_per_try_percent_used'),
        }
      : undefined
    this.#sizes = requestResponseSizes ? new SizeHistograms(scope) : undefined
  }

  /** A request is over, `ms` after it was complete. */
  request(ms: number, timeoutMs: number): void {
    this.#budgets?.used.record(percent(ms, timeoutMs))
  }

  /** An attempt is over; the request was complete `ms` before. */
  attempt(ms: number, perTryTimeoutMs: number): void {
    this.#budgets?.usedPerTry.record(percent(ms, perTryTimeoutMs))
  }

  /** The head of a response, as it came: filters have not been at it. */
  responseHead(response: ResponseHeaders): void {
    this.#sizes?.responseHeaders.record(RESPONSE_PSEUDO_BYTES + response.byteSize())
    this.#sizes?.responseCount.record(1 + response.size)
  }

  /** What an attempt has sent, and the body it has received, -1 where there was no response. */
  sizes(request: RequestHeaders, sentBytes: number, receivedBytes: number): void {
    const sizes = this.#sizes
    if (sizes === undefined) return
    const { method, authority, scheme, path } = request
    const pseudo = method.length + authority.length + scheme.length + path.length
    sizes.requestHeaders.record(REQUEST_PSEUDO_BYTES + pseudo + request.byteSize())
    sizes.requestCount.record(REQUEST_PSEUDO_COUNT + request.size)
    sizes.requestBody.record(sentBytes)
    if (receivedBytes >= 0) sizes.responseBody.record(receivedBytes)
  }
}

class SizeHistograms {
  readonly requestHeaders: Histogram
  readonly requestCount: Histogram
  readonly requestBody: Histogram
  readonly responseHeaders: Histogram
  readonly responseCount: Histogram
  readonly responseBody: Histogram
  constructor(scope: StatsScope) {
    this.requestHeaders = scope.histogram('upstream_rq_headers_size')
    this.requestCount = scope.histogram('upstream_rq_headers_count')
    this.requestBody = scope.histogram('upstream_rq_body_size')
    this.responseHeaders = scope.histogram('upstream_rs_headers_size')
    this.responseCount = scope.histogram('upstream_rs_headers_count')
    this.responseBody = scope.histogram('upstream_rs_body_size')
  }
}

/** Without a timeout none of it is used. */
function percent(ms: number, timeoutMs: number): number {
  return timeoutMs > 0 ? (100 * ms) / timeoutMs : 0
}
