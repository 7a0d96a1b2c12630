/**
 * `envoy.filters.http.grpc_web`: lets browsers call gRPC services. They cannot read trailers, so that these come as the
 * last message of the body, and some can send and receive text only, so that the body is base64 (grpc/doc/PROTOCOL-WEB.md).
 *
 *   browser                              upstream
 *   application/grpc-web(-text)+proto ─▶ application/grpc, te: trailers; text decoded
 *   messages, then 0x80 + trailers    ◀─ messages, trailers; text encoded, each message by itself
 *
 * An answer that is not gRPC becomes a status: its HTTP status mapped, its body (at most 16 KiB) the message. Per-stream
 * memory: three bytes of base64 on the way in, one message on the way out where the answer is text.
 */
import { grpcStatusOfHttp, parseGrpcStatus } from '../../base/grpc-status.ts'
import { encodeGrpcMessage, isGrpcResponse, serviceAndMethod } from '../../codec/grpc/headers.ts'
import { frame, MessageReader, TRAILERS } from '../../codec/grpc/message.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../../codec/header-map.ts'
import type { BodyChunk } from '../../codec/stream.ts'
import {
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpStream,
} from '../../filter-chain/http-filter.ts'
import { type GrpcMethodStats, GrpcMethods } from './grpc-method-stats.ts'

const BINARY = 'application/grpc-web'
const BINARY_PROTO = 'application/grpc-web+proto'
const TEXT = 'application/grpc-web-text'
const TEXT_PROTO = 'application/grpc-web-text+proto'

/** Of an answer that is not gRPC, so much becomes `grpc-message` (Envoy: MAX_BUFFERED_PLAINTEXT_LENGTH). */
const MAX_MESSAGE_TEXT_BYTES = 16_384
/** Text answers are encoded message by message; a longer one is not gathered. Envoy has no limit here. */
const MAX_TEXT_MESSAGE_BYTES = 64 * 1024 * 1024

const EMPTY = Buffer.alloc(0)

export const grpcWeb: HttpFilterFactory<null> = {
  name: 'envoy.filters.http.grpc_web',
  typeUrl: 'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb',
  decodeConfig: () => null,
  create(_config, context) {
    const methods = new GrpcMethods(context, 'grpc-web')
    return () => new GrpcWeb(methods)
  },
}

class GrpcWeb implements HttpFilter {
  readonly #methods: GrpcMethods
  #active = false
  #textRequest = false
  #textResponse = false
  #stats: GrpcMethodStats | undefined = undefined
  /** The end of the request's text that is no whole group of four yet. */
  #carried = EMPTY
  #reader: MessageReader | undefined = undefined
  /** Body of an answer that is not gRPC, gathered for its message; undefined for all others. */
  #foreignBody: Buffer | undefined = undefined

  constructor(methods: GrpcMethods) {
    this.#methods = methods
  }

  onRequestHeaders(stream: HttpStream, headers: RequestHeaders): FilterStatus {
    const type = headers.get('content-type')
    if (headers.path === '' || type === undefined || !isWebType(type)) return FilterStatus.Continue
    this.#active = true
    // The length is that of another body. On HTTP/1.1 it goes on chunked.
    headers.delete('content-length')
    const names = serviceAndMethod(headers.path)
    if (names !== undefined) this.#stats = this.#methods.of(stream, names.join('.'))
    this.#textRequest = isTextType(type)
    const accept = headers.get('accept')
    this.#textResponse = accept !== undefined && isTextType(accept)
    headers.set('content-type', 'application/grpc')
    headers.set('te', 'trailers')
    if (!headers.has('grpc-accept-encoding')) headers.set('grpc-accept-encoding', 'identity')
    return FilterStatus.Continue
  }

  onRequestData(stream: HttpStream, data: BodyChunk, endStream: boolean): FilterStatus {
    if (!this.#textRequest) return FilterStatus.Continue
    const text = this.#carried.length === 0 ? data : Buffer.concat([this.#carried, data])
    if (endStream && text.length % 4 !== 0) return this.#refuse(stream, 'grpc_base_64_decode_failed_bad_size')
    const whole = text.length - (text.length % 4)
    // What is left is part of a chunk that is lent.
    this.#carried = Buffer.from(text.subarray(whole))
    if (whole === 0) {
      stream.replaceData(EMPTY)
      return FilterStatus.Continue
    }
    const decoded = decodeBase64(text.latin1Slice(0, whole))
    if (decoded === undefined) return this.#refuse(stream, 'grpc_base_64_decode_failed')
    stream.replaceData(decoded)
    return FilterStatus.Continue
  }

  onResponseHeaders(stream: HttpStream, headers: ResponseHeaders, endStream: boolean): FilterStatus {
    if (!this.#active) return FilterStatus.Continue
    this.#stats?.chargeStatus(headers)
    this.#note(stream, headers)
    const foreign = !isGrpcResponse(headers, endStream) && !isWebResponse(headers)
    headers.delete('content-length')
    headers.set('content-type', this.#textResponse ? TEXT_PROTO : BINARY_PROTO)
    this.#foreignBody = undefined
    if (endStream || !foreign) return FilterStatus.Continue
    this.#foreignBody = EMPTY
    return FilterStatus.HoldHead
  }

  onResponseData(stream: HttpStream, data: BodyChunk, endStream: boolean): FilterStatus {
    if (!this.#active) return FilterStatus.Continue
    if (this.#foreignBody !== undefined) {
      // A body in one piece becomes the message whole, as in Envoy.
      const whole = this.#foreignBody.length === 0 && endStream
      const room = whole ? data.length : MAX_MESSAGE_TEXT_BYTES - this.#foreignBody.length
      this.#foreignBody = Buffer.concat([this.#foreignBody, data.subarray(0, Math.max(0, room))])
      if (endStream) this.#finishForeign(stream)
      stream.replaceData(EMPTY)
      return FilterStatus.Continue
    }
    if (!this.#textResponse) return FilterStatus.Continue
    this.#reader ??= new MessageReader(MAX_TEXT_MESSAGE_BYTES)
    const messages = this.#reader.read(data)
    if (this.#reader.tooLarge) {
      stream.resetResponse({
        origin: 'local',
        kind: 'payload_too_large',
        flag: 0,
        details: 'grpc_web_message_too_large',
      })
      return FilterStatus.Stop
    }
    const text = messages.map(({ flags, data }) => frame(data, flags).toString('base64')).join('')
    stream.replaceData(Buffer.from(text, 'latin1'))
    return FilterStatus.Continue
  }

  onResponseTrailers(stream: HttpStream, trailers: HeaderMap): FilterStatus {
    if (!this.#active) return FilterStatus.Continue
    this.#stats?.chargeStatus(trailers)
    this.#note(stream, trailers)
    if (this.#foreignBody !== undefined) {
      this.#finishForeign(stream)
      return FilterStatus.Continue
    }
    const { list } = trailers
    let lines = ''
    for (let i = 0; i < list.length; i += 2) lines += `${list[i]}:${list[i + 1]}\r\n`
    const message = frame(Buffer.from(lines, 'latin1'), TRAILERS)
    stream.injectResponseData(this.#textResponse ? Buffer.from(message.toString('base64'), 'latin1') : message)
    // They stand in the body now.
    list.length = 0
    return FilterStatus.Continue
  }

  #finishForeign(stream: HttpStream): void {
    const headers = stream.responseHeaders!
    const status = grpcStatusOfHttp(headers.status)
    headers.set('grpc-message', encodeGrpcMessage(this.#foreignBody!.latin1Slice()))
    headers.set('grpc-status', String(status))
    headers.set('content-length', '0')
    stream.info.grpcStatus = status
    this.#foreignBody = undefined
    stream.continueResponse()
  }

  /** The caller asked for gRPC, whatever its content type: log and failure records want the status. */
  #note(stream: HttpStream, headers: HeaderMap): void {
    const status = parseGrpcStatus(headers.get('grpc-status'))
    if (status !== undefined && status >= 0) stream.info.grpcStatus = status
  }

  #refuse(stream: HttpStream, details: string): FilterStatus {
    return stream.sendLocalReply({ status: 400, details, body: 'Bad gRPC-web request, invalid base64 data.' })
  }
}

function isTextType(type: string): boolean {
  return type === TEXT || type === TEXT_PROTO
}

function isWebType(type: string): boolean {
  return type === BINARY || type === BINARY_PROTO || isTextType(type)
}

/** The upstream speaks gRPC-Web itself. */
function isWebResponse(headers: ResponseHeaders): boolean {
  if (headers.status !== 200) return false
  const type = /^[^;]*/
    .exec(headers.get('content-type') ?? '')![0]
    .trimEnd()
    .toLowerCase()
  return type === BINARY || type === BINARY_PROTO
}

const GROUPS = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Whole groups of base64; padding stands only at the end, so that each piece of a stream ends with its own. */
function decodeBase64(text: string): Buffer | undefined {
  return GROUPS.test(text) ? Buffer.from(text, 'base64') : undefined
}
