/**
 * Tags and annotations of a span, under Envoy's names and in its order (measured on 1.40; features.md §2.11), and those of
 * our own that tell where a failure began.
 */
import type { FormatContext, Formatter } from '../formatter/context.ts'
import { responseFlagsText } from '../response-flags.ts'
import type { FailureView } from '../stream-info.ts'
import { type CustomTag, readableText } from './custom-tags.ts'
import type { MirrorFacts, Span, UpstreamAttempt, UpstreamAttemptEnd } from './span.ts'

export interface TagSettings {
  readonly nodeId: string
  readonly zone: string
  /** Longest path in `http.url`, bytes. */
  readonly maxPathTagLength: number
  readonly verbose: boolean
  readonly customTags: readonly CustomTag[]
  readonly operationName: Formatter | undefined
  readonly upstreamOperationName: Formatter | undefined
}

/** gRPC statuses that Envoy marks as errors (measured): those a server is to blame for. */
const GRPC_ERRORS = new Set([2, 4, 8, 12, 13, 14, 15])

/** Fills `span.tags`, `span.annotations` and `span.error`; once, when the span is reported. */
export function fillTags(span: Span, settings: TagSettings): void {
  const { attempt, attemptEnd, mirror, view, route } = span
  if (mirror !== undefined) {
    fillMirrorTags(span, mirror)
    return
  }
  const name =
    attempt === undefined
      ? (route?.operationName ?? settings.operationName)
      : (route?.upstreamOperationName ?? settings.upstreamOperationName)
  if (name !== undefined && view !== undefined) span.name = readableText(name(view))
  if (attempt === undefined || attemptEnd === undefined) fillRequestTags(span, settings)
  else fillAttemptTags(span, attempt, attemptEnd, settings)
}

function fillRequestTags(span: Span, settings: TagSettings): void {
  const { info, tags, requestHeaders: request } = span
  tags.push('node_id', settings.nodeId, 'zone', settings.zone)
  if (request !== undefined) {
    const requestId = request.get('x-request-id')
    if (requestId !== undefined) tags.push('guid:x-request-id', readableText(requestId))
    tags.push(
      'http.url',
      urlOf(span, settings.maxPathTagLength),
      'http.method',
      request.get(':method') ?? '-',
      'downstream_cluster',
      headerTag(request.get('x-envoy-downstream-service-cluster')),
      'user_agent',
      headerTag(request.get('user-agent')),
      'http.protocol',
      info.protocol,
      'peer.address',
      info.downstream.directRemote.ip,
    )
    const clientTraceId = request.get('x-client-trace-id')
    if (clientTraceId !== undefined) tags.push('guid:x-client-trace-id', readableText(clientTraceId))
    pushGrpcRequestTags(span)
  }
  tags.push('request_size', String(info.bytesReceived), 'response_size', String(info.bytesSent), 'component', 'proxy')
  if (info.clusterName !== '') {
    tags.push('upstream_cluster', info.clusterName)
    tags.push('upstream_cluster.name', info.clusterAltStatName || info.clusterName)
  }
  tags.push('http.status_code', String(info.responseCode))
  if (info.grpcStatus >= 0) pushGrpcResponseTags(span)
  tags.push('response_flags', responseFlagsText(info.responseFlags))
  const failed = info.responseCode === 0 || info.responseCode >= 500 || GRPC_ERRORS.has(info.grpcStatus)
  span.refusedCall = span.kind === 'CLIENT' && (info.responseCode >= 400 || info.grpcStatus > 0)
  if (failed || info.failure !== undefined) pushError(span, info.failure, 'true')
  if (info.failure !== undefined) pushFailureTags(tags, info.failure)
  finish(span, settings)
  if (settings.verbose) annotateRequest(span)
}

function fillAttemptTags(span: Span, attempt: UpstreamAttempt, end: UpstreamAttemptEnd, settings: TagSettings): void {
  const { tags } = span
  tags.push(
    'component',
    'proxy',
    'upstream_cluster',
    attempt.clusterName,
    'upstream_cluster.name',
    span.info.clusterAltStatName || attempt.clusterName,
  )
  if (attempt.hostText !== '') tags.push('upstream_address', attempt.hostText, 'peer.address', attempt.hostText)
  if (attempt.attempt > 1) tags.push('retry.count', String(attempt.attempt - 1))
  tags.push('http.protocol', end.protocol || '-', 'http.status_code', String(end.statusCode))
  if (end.grpcStatus >= 0) tags.push('grpc.status_code', String(end.grpcStatus))
  if (end.grpcMessage !== '') tags.push('grpc.message', readableText(end.grpcMessage))
  tags.push('response_flags', responseFlagsText(end.responseFlags))
  if (end.canceled) tags.push('canceled', 'true')
  span.refusedCall = end.statusCode >= 400 || end.grpcStatus > 0
  const bad = end.statusCode === 0 || end.statusCode >= 500 || GRPC_ERRORS.has(end.grpcStatus)
  if (bad || end.errorReason !== '') {
    // The failure of the request tells about its last attempt only.
    const failure = attempt.attempt === span.info.attemptCount ? span.info.failure : undefined
    pushError(span, failure, 'true')
    if (end.errorReason !== '') tags.push('error.reason', end.errorReason)
  }
  finish(span, settings)
  if (settings.verbose) annotateAttempt(span, end)
}

function fillMirrorTags(span: Span, mirror: MirrorFacts): void {
  const { tags } = span
  tags.push('component', 'proxy', 'upstream_cluster', mirror.clusterName)
  tags.push('upstream_cluster.name', mirror.clusterStatName)
  if (mirror.hostText !== '') tags.push('upstream_address', mirror.hostText, 'peer.address', mirror.hostText)
  // Whatever the mirror speaks: what Envoy's client of its own says of every request.
  tags.push('http.protocol', 'HTTP/1.1', 'http.status_code', String(mirror.statusCode))
  tags.push('response_flags', responseFlagsText(mirror.responseFlags))
  if (mirror.canceled) tags.push('canceled', 'true')
  span.refusedCall = mirror.statusCode >= 400
  if (mirror.statusCode === 0 || mirror.statusCode >= 500) pushError(span, undefined, 'true')
  if (mirror.cut) tags.push('error.reason', 'Reset')
}

function finish(span: Span, settings: TagSettings): void {
  const { tags, extraTags, route } = span
  const context: FormatContext = span.view ?? { info: span.info }
  const own = route?.customTags
  for (const custom of settings.customTags) {
    if (own?.some(({ tag }) => tag === custom.tag) !== true) pushCustom(span, custom, context)
  }
  if (own !== undefined) for (const custom of own) pushCustom(span, custom, context)
  if (extraTags !== undefined) tags.push(...extraTags)
}

function pushCustom(span: Span, { tag, valueType, value }: CustomTag, context: FormatContext): void {
  const text = value(context)
  if (text === '') return
  span.tags.push(tag, text)
  if (valueType === 'STRING') return
  span.tagTypes ??= new Map()
  span.tagTypes.set(tag, valueType)
}

/** `true` as in Envoy, or what failed, where that is known: `connect_refused at d (c>d)`. */
function pushError(span: Span, failure: FailureView | undefined, otherwise: string): void {
  span.error = failure === undefined ? otherwise : failureText(failure)
  span.tags.push('error', span.error)
}

export function failureText(failure: FailureView): string {
  const where = failure.link === '' ? '' : ` (${failure.link})`
  return `${failure.cause} at ${failure.origin}${where}`
}

function pushFailureTags(tags: string[], failure: FailureView): void {
  tags.push('failure.id', failure.id, 'failure.role', failure.role, 'failure.origin', failure.origin)
  tags.push('failure.cause', failure.cause, 'failure.link', failure.link, 'failure.path', failure.path)
  tags.push('failure.confidence', failure.confidence)
}

function headerTag(value: string | undefined): string {
  return value === undefined ? '-' : readableText(value)
}

/** As the client asked: with the path before rewriting, cut to the length that configuration allows. */
function urlOf(span: Span, maxPathLength: number): string {
  const request = span.requestHeaders!
  const path = request.get('x-envoy-original-path') ?? request.get(':path') ?? ''
  const scheme = request.get('x-forwarded-proto') ?? request.get(':scheme') ?? ''
  const cut = path.length > maxPathLength ? path.slice(0, maxPathLength) : path
  return readableText(`${scheme}://${request.get(':authority') ?? ''}${cut}`)
}

function pushGrpcRequestTags(span: Span): void {
  const request = span.requestHeaders!
  const contentType = request.get('content-type')
  if (contentType === undefined || !contentType.startsWith('application/grpc')) return
  const path = request.get(':path')
  if (path !== undefined) span.tags.push('grpc.path', readableText(path))
  span.tags.push('grpc.authority', readableText(request.get(':authority') ?? ''))
  span.tags.push('grpc.content_type', readableText(contentType))
  const timeout = request.get('grpc-timeout')
  if (timeout !== undefined) span.tags.push('grpc.timeout', readableText(timeout))
}

function pushGrpcResponseTags(span: Span): void {
  span.tags.push('grpc.status_code', String(span.info.grpcStatus))
  const message = span.responseTrailers?.get('grpc-message') ?? span.responseHeaders?.get('grpc-message')
  if (message !== undefined) span.tags.push('grpc.message', readableText(message))
}

function annotateRequest(span: Span): void {
  const { info } = span
  annotate(span, 'last_downstream_rx_byte_received', info.lastRequestByteMs)
  annotate(span, 'first_upstream_tx_byte_sent', info.firstUpstreamTxByteMs)
  annotate(span, 'last_upstream_tx_byte_sent', info.lastUpstreamTxByteMs)
  annotate(span, 'first_upstream_rx_byte_received', info.firstUpstreamRxByteMs)
  annotate(span, 'last_upstream_rx_byte_received', info.lastUpstreamRxByteMs)
  annotate(span, 'first_downstream_tx_byte_sent', info.firstDownstreamTxByteMs)
  annotate(span, 'last_downstream_tx_byte_sent', info.lastDownstreamTxByteMs)
}

function annotateAttempt(span: Span, end: UpstreamAttemptEnd): void {
  annotate(span, 'first_upstream_tx_byte_sent', end.firstTxMs)
  annotate(span, 'last_upstream_tx_byte_sent', end.lastTxMs)
  annotate(span, 'first_upstream_rx_byte_received', end.firstRxMs)
  annotate(span, 'last_upstream_rx_byte_received', end.lastRxMs)
}

function annotate(span: Span, value: string, ms: number): void {
  if (ms !== 0) span.annotations.push({ timestampUs: span.wallUs(ms), value })
}
