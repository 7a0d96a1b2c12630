/**
 * Turns an answer of our own into a response: the one place where that happens, for HTTP and for gRPC.
 *
 * A gRPC caller gets HTTP 200 with the status in the headers (a trailers-only response); everybody else a plain text.
 * `local_reply_config` may change status, body and headers before that (Envoy: `LocalReply::rewrite`).
 */
import { type RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { LocalReply } from '../filter-chain/http-filter.ts'
import type { StreamInfo } from '../observability/stream-info.ts'

/** `local_reply_config`, compiled: changes a reply before it is written. */
export interface LocalReplyRewriter {
  rewrite(reply: ReplyDraft, request: RequestHeaders | undefined, info: StreamInfo): void
}

export interface ReplyDraft {
  status: number
  body: string
  contentType: string
  readonly headers: [name: string, value: string][]
}

export interface FinishedReply {
  readonly headers: ResponseHeaders
  /** Body to send, '' for none (also for HEAD, whose headers still tell the length). */
  readonly body: string
}

export function isGrpcRequest(headers: RequestHeaders | undefined): boolean {
  const type = headers?.get('content-type')
  if (type === undefined || !type.startsWith('application/grpc')) return false
  return type.length === 16 || type[16] === '+' || type[16] === ';'
}

/** gRPC status for an HTTP status, as Envoy maps it (`Grpc::Utility::httpToGrpcStatus`). */
export function grpcStatusOfHttp(status: number): number {
  switch (status) {
    case 400:
      return 13
    case 401:
      return 16
    case 403:
      return 7
    case 404:
      return 12
    case 429:
    case 502:
    case 503:
    case 504:
      return 14
    default:
      return 2
  }
}

/** `grpc-message` is percent-encoded (gRPC over HTTP/2, "Responses"): printable ASCII except `%` stands for itself. */
export function grpcMessage(text: string): string {
  return text.replace(/[^\x20-\x7e]|%/gu, char =>
    [...Buffer.from(char)].map(byte => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
}

export function makeLocalReply(
  reply: LocalReply,
  request: RequestHeaders | undefined,
  info: StreamInfo,
  rewriter: LocalReplyRewriter | undefined,
): FinishedReply {
  const draft: ReplyDraft = {
    status: reply.status,
    body: reply.body ?? '',
    contentType: 'text/plain',
    headers: reply.headers?.map(([name, value]) => [name, value]) ?? [],
  }
  info.responseCode = reply.status
  rewriter?.rewrite(draft, request, info)
  info.localReplyBody = draft.body
  if (isGrpcRequest(request)) {
    const headers = new ResponseHeaders(200, ['content-type', 'application/grpc'])
    const status = reply.grpcStatus ?? grpcStatusOfHttp(draft.status)
    headers.add('grpc-status', String(status))
    if (draft.body !== '') headers.add('grpc-message', grpcMessage(draft.body))
    for (const [name, value] of draft.headers) headers.set(name, value)
    info.grpcStatus = status
    return { headers, body: '' }
  }
  const headers = new ResponseHeaders(draft.status)
  if (draft.body !== '') {
    headers.add('content-length', String(Buffer.byteLength(draft.body)))
    headers.add('content-type', draft.contentType)
  }
  for (const [name, value] of draft.headers) headers.set(name, value)
  const noBody = request?.method === 'HEAD' || draft.status === 204 || draft.status === 304 || draft.status < 200
  return { headers, body: noBody ? '' : draft.body }
}
