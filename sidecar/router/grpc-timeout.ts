/** The deadline that gRPC callers send along (`grpc-timeout`), and what routes make of it. */
import { grpcTimeoutMs, isGrpcRequest } from '../codec/grpc/headers.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { RouteAction } from '../config/schema/generated/types.ts'

/** Rounds to `0m` where the next hop is told. */
const AT_ONCE_MS = 0.1

export class GrpcDeadlines {
  /** `max_stream_duration.grpc_timeout_header_max` and `…offset`. */
  readonly #streamMax: number | undefined
  readonly #streamOffset: number
  /** Their deprecated predecessors, `max_grpc_timeout` and `grpc_timeout_offset`. */
  readonly #responseMax: number | undefined
  readonly #responseOffset: number

  private constructor(action: RouteAction) {
    const duration = action.maxStreamDuration
    this.#streamMax = duration?.grpcTimeoutHeaderMax
    this.#streamOffset = duration?.grpcTimeoutHeaderOffset ?? 0
    this.#responseMax = duration === undefined ? action.maxGrpcTimeout : undefined
    this.#responseOffset = action.grpcTimeoutOffset ?? 0
  }

  /** Undefined where the route pays no heed to `grpc-timeout`. */
  static of(action: RouteAction): GrpcDeadlines | undefined {
    const heeds =
      action.maxStreamDuration === undefined
        ? action.maxGrpcTimeout !== undefined
        : action.maxStreamDuration.grpcTimeoutHeaderMax !== undefined
    return heeds ? new GrpcDeadlines(action) : undefined
  }

  /** Whether `grpc-timeout` bounds the response rather than the stream. */
  get limitsResponse(): boolean {
    return this.#responseMax !== undefined
  }

  /** How long the whole stream may last by its `grpc-timeout`; undefined where that does not count. */
  streamDuration(headers: RequestHeaders): number | undefined {
    const max = this.#streamMax
    if (max === undefined) return undefined
    const asked = grpcTimeoutMs(headers)
    if (asked === undefined) return undefined
    const capped = max !== 0 && asked > max ? max : asked
    // A deadline that is over at once is not the same as none, which 0 would mean.
    return Math.max(AT_ONCE_MS, capped - this.#streamOffset)
  }

  /** The response timeout by `max_grpc_timeout`; undefined where the route's own counts. 0 means none. */
  responseTimeout(headers: RequestHeaders): number | undefined {
    const max = this.#responseMax
    if (max === undefined || !isGrpcRequest(headers)) return undefined
    let timeout = grpcTimeoutMs(headers) ?? 0
    // An offset that would leave nothing is not applied: 0 would be no limit at all.
    if (this.#responseOffset < timeout) timeout -= this.#responseOffset
    return max !== 0 && (timeout === 0 || timeout > max) ? max : timeout
  }
}
