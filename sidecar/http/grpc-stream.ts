/** What the connection manager does for gRPC beyond HTTP. */
import { parseGrpcStatus } from '../base/grpc-status.ts'
import { grpcTimeoutText } from '../codec/grpc/headers.ts'
import type { HeaderMap, RequestHeaders } from '../codec/header-map.ts'
import { INVALID_GRPC_STATUS, type StreamInfo } from '../observability/stream-info.ts'

/** Notes the status in the head or the trailers of a response, if there is one. */
export function noteGrpcStatus(info: StreamInfo, headers: HeaderMap): void {
  const status = parseGrpcStatus(headers.get('grpc-status'))
  if (status !== undefined) info.grpcStatus = status < 0 ? INVALID_GRPC_STATUS : status
}

/** Tells the next hop what this one waits by its route, or that it waits as long as it takes (Envoy: `toGrpcTimeout`). */
export function tellGrpcTimeout(headers: RequestHeaders, durationMs: number): void {
  if (durationMs > 0) headers.set('grpc-timeout', grpcTimeoutText(durationMs))
  else headers.delete('grpc-timeout')
}
