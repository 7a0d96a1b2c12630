/** What is noted of a request's cluster and of its attempts: for logs, for outlier detection, for the stats of hosts. */
import { httpStatusOfGrpc, parseGrpcStatus } from '../base/grpc-status.ts'
import type { Cluster } from '../cluster/cluster.ts'
import type { HeaderMap, ResponseHeaders } from '../codec/header-map.ts'
import type { StreamFailure } from '../codec/stream.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { Host } from '../upstream/host.ts'
import { isConnectionFailure, resetReason } from './reset-reasons.ts'

/** An attempt begins on `host`. */
export function noteAttempt(info: StreamInfo, host: Host, attempt: number): void {
  info.attemptCount = attempt
  if (info.upstreamHost !== undefined) {
    info.upstreamHostsAttempted ??= []
    info.upstreamHostsAttempted.push(`${info.upstreamHost.ip}:${info.upstreamHost.port}`)
  }
  info.upstreamHost = host.address
  info.upstreamHostname = host.hostname
  info.upstreamHostMetadata = host.metadata
}

/** The route names `cluster`. */
export function noteCluster(info: StreamInfo, { name, statName, metadata }: Cluster): void {
  info.clusterName = name
  info.clusterAltStatName = statName
  info.clusterMetadata = metadata
}

/**
 * A response began. Outlier detection hears the HTTP status, or what a gRPC status in the head is in HTTP; whether a gRPC
 * call was a success is known by its status only, which may stand in the trailers (Envoy: `handleNon5xxResponseHeaders`).
 */
export function noteResponse(
  cluster: Cluster,
  host: Host,
  headers: ResponseHeaders,
  grpc: boolean,
  endStream: boolean,
): void {
  const grpcStatus = grpc ? parseGrpcStatus(headers.get('grpc-status')) : undefined
  const status = grpcStatus === undefined ? headers.status : httpStatusOfGrpc(grpcStatus)
  cluster.outlier.onResponse(host, status, headers)
  if (headers.status >= 500) host.stats.rqError.inc()
  else if (!grpc) host.stats.rqSuccess.inc()
  else if (endStream) chargeGrpc(host, grpcStatus)
}

export function noteTrailers(host: Host | undefined, trailers: HeaderMap, grpc: boolean): void {
  if (grpc && host !== undefined) chargeGrpc(host, parseGrpcStatus(trailers.get('grpc-status')))
}

function chargeGrpc(host: Host, status: number | undefined): void {
  if (status !== undefined && httpStatusOfGrpc(status) < 500) host.stats.rqSuccess.inc()
  else host.stats.rqError.inc()
}

/** An attempt on `host` ended without a response. */
export function noteFailure(info: StreamInfo, host: Host, failure: StreamFailure, wallMs: number): void {
  if (isConnectionFailure(failure.kind)) info.upstreamTransportFailure = failure.details
  // The queue was full before any host came into it.
  else if (failure.limit === 'pending') info.upstreamHost = undefined
  host.stats.rqError.inc()
  host.lastFailure = resetReason(failure).text + (failure.details === '' ? '' : `: ${failure.details}`)
  host.lastFailureAtMs = wallMs
}
