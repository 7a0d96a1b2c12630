/**
 * Turns an answer of our own into a response: the one place where that happens, for HTTP and for gRPC.
 *
 * A gRPC caller gets HTTP 200 with the status in the headers (a trailers-only response); everybody else a plain text.
 * `local_reply_config` may change status, body and headers before that (Envoy: `LocalReply::rewrite`).
 */
import { grpcStatusOfHttp } from '../base/grpc-status.ts'
import { encodeGrpcMessage } from '../codec/grpc/headers.ts'
import { type RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { LocalReply } from '../filter-chain/http-filter.ts'
import type { StreamInfo } from '../observability/stream-info.ts'

/** `local_reply_config`, compiled: changes a reply before it is written. */
export interface LocalReplyRewriter {
  rewrite(reply: ReplyDraft, request: RequestHeaders | undefined, info: StreamInfo): void
}

export interface ReplyDraft {
  readonly headers: ResponseHeaders
  /** One character a byte. */
  body: string
  contentType: string
}

const PLAIN = 'text/plain'

export interface FinishedReply {
  readonly headers: ResponseHeaders
  /** Body to send, '' for none (also for HEAD, whose headers still tell the length). */
  readonly body: string
}

/**
 * `isGrpc`: the request was gRPC when it arrived, whatever a filter has made of it since (Envoy).
 * `finalize` may change the headers before the reply's own are put into them: a route has its say on every answer.
 */
export function makeLocalReply(
  reply: LocalReply,
  request: RequestHeaders | undefined,
  info: StreamInfo,
  rewriter: LocalReplyRewriter | undefined,
  isGrpc: boolean,
  finalize?: (headers: ResponseHeaders) => void,
): FinishedReply {
  const headers = new ResponseHeaders(reply.status)
  info.responseCode = reply.status
  finalize?.(headers)
  for (const [name, value] of reply.headers ?? []) headers.set(name, value)
  const draft: ReplyDraft = { headers, body: reply.body ?? '', contentType: reply.contentType ?? PLAIN }
  rewriter?.rewrite(draft, request, info)
  const { body } = draft
  info.localReplyBody = body
  if (isGrpc) {
    const status = reply.grpcStatus ?? grpcStatusOfHttp(headers.status)
    headers.status = 200
    headers.set('content-type', 'application/grpc')
    headers.set('grpc-status', String(status))
    // Made JSON ends with a line break, which has no place in a header.
    const message = draft.contentType === 'application/json' ? body.replace(/\n$/, '') : body
    if (message !== '') headers.set('grpc-message', encodeGrpcMessage(message))
    info.grpcStatus = status
    return { headers, body: '' }
  }
  if (body !== '') {
    headers.set('content-length', String(body.length))
    // A type that route or reply have set stands, unless the body was made into something else.
    if (draft.contentType !== PLAIN || !headers.has('content-type')) headers.set('content-type', draft.contentType)
  }
  const { status } = headers
  const noBody = request?.method === 'HEAD' || status === 204 || status === 304 || status < 200
  return { headers, body: noBody ? '' : body }
}
