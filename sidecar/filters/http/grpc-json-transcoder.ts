/**
 * `envoy.filters.http.grpc_json_transcoder`: lets clients that speak JSON over HTTP call gRPC services, by the
 * `google.api.http` rules of their descriptors.
 *
 *   GET /shelves/5?theme=x  ─▶  POST /lib.Shelves/Get, {shelf: 5, theme: "x"} as a message
 *   JSON                    ◀─  message; the status in the head: HTTP's like of it
 *
 * A unary answer is held until its trailers are here, because the status belongs into the head. Answers of streams go out
 * message by message: a JSON array, lines (`stream_newline_delimited`) or events (`stream_sse_style_delimited`). Requests
 * that no rule is for pass as they are, unless `request_validation_options` refuses them.
 *
 * What is kept is bounded by `max_request_body_size` and `max_response_body_size`, else by the stream's buffer limit.
 */
import { httpStatusOfGrpc, parseGrpcStatus } from '../../base/grpc-status.ts'
import { decodeGrpcMessage, isGrpcRequest, isGrpcResponse } from '../../codec/grpc/headers.ts'
import { frame, MessageReader } from '../../codec/grpc/message.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../../codec/header-map.ts'
import type { BodyChunk } from '../../codec/stream.ts'
import type { GrpcJsonTranscoder } from '../../config/schema/generated/types.ts'
import {
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpStream,
} from '../../filter-chain/http-filter.ts'
import { JsonArraySplitter } from './grpc-json/json-array.ts'
import { RequestMistake } from './grpc-json/json-value.ts'
import { type TranscodedCall, type TranscodedMethod, Transcoder } from './grpc-json/transcoder.ts'

const EMPTY = Buffer.alloc(0)
const JSON_TYPE = 'application/json'

type Config = Transcoder | undefined

export const grpcJsonTranscoder: HttpFilterFactory<{ readonly transcoder: Config }> = {
  name: 'envoy.filters.http.grpc_json_transcoder',
  typeUrl: 'envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder',
  decodeConfig: (message: GrpcJsonTranscoder) => ({ transcoder: Transcoder.compile(message) }),
  create(config, { filterName }) {
    return () => new JsonTranscoding(config.transcoder, filterName)
  },
}

class JsonTranscoding implements HttpFilter {
  readonly #default: Config
  readonly #filterName: string
  #transcoder!: Transcoder
  #call: TranscodedCall | undefined = undefined
  /** The request was refused here: the answer is not one of the upstream. */
  #refused = false
  #contentType = ''
  #chunks: Buffer[] = []
  #bytes = 0
  #splitter: JsonArraySplitter | undefined = undefined
  /** Messages sent so far: bindings belong to the first. */
  #sent = 0
  #reader: MessageReader | undefined = undefined
  /** JSON of a unary answer, '' while there is none. */
  #answer: Buffer = EMPTY
  #received = 0
  #headWaits = false

  constructor(transcoder: Config, filterName: string) {
    this.#default = transcoder
    this.#filterName = filterName
  }

  onRequestHeaders(stream: HttpStream, headers: RequestHeaders, endStream: boolean): FilterStatus {
    const own = stream.routeConfig<{ readonly transcoder: Config }>(this.#filterName)
    const transcoder = own === undefined ? this.#default : own.transcoder
    if (transcoder === undefined || isGrpcRequest(headers)) return FilterStatus.Continue
    const call = transcoder.callOf(headers.method, headers.path)
    if ('why' in call) {
      const validation = transcoder.message.requestValidationOptions
      if (call.why === 'unknown_method' && validation?.rejectUnknownMethod === true) {
        return this.#refuse(stream, 404, call.text, 'early_grpc_json_transcode_failure{NOT_FOUND}')
      }
      if (call.why === 'unknown_parameter' && validation?.rejectUnknownQueryParameters === true) {
        return this.#refuse(stream, 400, call.text, 'early_grpc_json_transcode_failure{INVALID_ARGUMENT}')
      }
      return FilterStatus.Continue
    }
    this.#transcoder = transcoder
    this.#call = call
    this.#contentType = headers.get('content-type') ?? ''
    headers.delete('content-length')
    headers.set('content-type', 'application/grpc')
    headers.set('x-envoy-original-path', headers.path)
    headers.set('x-envoy-original-method', headers.method)
    headers.path = call.method.path
    headers.method = 'POST'
    headers.set('te', 'trailers')
    if (!transcoder.message.matchIncomingRequestRoute) stream.clearRouteCache()
    if (call.method.clientStreaming && !call.method.requestIsHttpBody && call.method.bodyPath !== undefined) {
      this.#splitter = new JsonArraySplitter(this.#requestLimit(stream))
    }
    if (!endStream) return FilterStatus.Continue
    return this.#translate(stream, 'early_grpc_json_transcode_failure', () => {
      const body = this.#lastMessages()
      if (body.length > 0) stream.appendRequestData(body)
    })
  }

  onRequestData(stream: HttpStream, data: BodyChunk, endStream: boolean): FilterStatus {
    const call = this.#call
    if (call === undefined) return FilterStatus.Continue
    if (this.#refused) return FilterStatus.Stop
    return this.#translate(stream, 'grpc_json_transcode_failure', () => {
      const out: Buffer[] = []
      const { method } = call
      if (this.#splitter !== undefined) {
        for (const element of this.#splitter.push(data)) out.push(this.#message(element))
        if (this.#splitter.problem !== '') throw new RequestMistake(this.#splitter.problem)
        if (this.#splitter.tooLarge) throw TOO_LARGE
      } else if (method.requestIsHttpBody && method.clientStreaming) {
        if (data.length > 0) out.push(this.#message(data))
      } else if (method.bodyPath !== undefined) {
        this.#bytes += data.length
        if (this.#bytes > this.#requestLimit(stream)) throw TOO_LARGE
        this.#chunks.push(Buffer.from(data))
      }
      if (endStream) out.push(this.#lastMessages())
      stream.replaceData(Buffer.concat(out))
    })
  }

  onRequestTrailers(stream: HttpStream): FilterStatus {
    if (this.#call === undefined) return FilterStatus.Continue
    if (this.#refused) return FilterStatus.Stop
    return this.#translate(stream, 'grpc_json_transcode_failure', () => {
      const last = this.#lastMessages()
      if (last.length > 0) stream.injectRequestData(last)
    })
  }

  onResponseHeaders(stream: HttpStream, headers: ResponseHeaders, endStream: boolean): FilterStatus {
    const method = this.#call?.method
    this.#headWaits = false
    this.#reader = undefined
    if (method === undefined || this.#refused || !isGrpcResponse(headers, endStream)) return FilterStatus.Continue
    if (endStream) {
      if (method.serverStreaming) headers.set('content-type', JSON_TYPE)
      const body = this.#finish(stream, headers, headers)
      if (body.length > 0) stream.appendResponseData(body)
      return FilterStatus.Continue
    }
    const { maxResponseBodySize, printOptions } = this.#transcoder.message
    this.#reader = new MessageReader(maxResponseBodySize ?? stream.bufferLimitBytes)
    headers.set('content-type', printOptions?.streamSseStyleDelimited === true ? 'text/event-stream' : JSON_TYPE)
    headers.delete('content-length')
    if (method.serverStreaming && !method.responseIsHttpBody) return FilterStatus.Continue
    this.#headWaits = true
    return FilterStatus.HoldHead
  }

  onResponseData(stream: HttpStream, data: BodyChunk, endStream: boolean): FilterStatus {
    const method = this.#call?.method
    if (this.#reader === undefined || method === undefined) return FilterStatus.Continue
    const out: Buffer[] = []
    for (const { data: message } of this.#reader.read(data)) {
      const json = this.#json(stream, method, message)
      if (json === undefined) return this.#failResponse(stream, 502, NOT_ITS_TYPE, 'INTERNAL')
      if (method.serverStreaming) out.push(json)
      else this.#answer = json
      this.#received++
    }
    if (this.#reader.tooLarge) {
      return this.#failResponse(stream, 500, RESPONSE_TOO_LARGE, 'response_buffer_size_limit_reached')
    }
    if (endStream) {
      // An answer without trailers: what there is goes out.
      out.push(method.serverStreaming ? this.#endOfStream() : this.#answer)
      if (this.#headWaits) this.#releaseHead(stream)
    }
    stream.replaceData(Buffer.concat(out))
    return FilterStatus.Continue
  }

  onResponseTrailers(stream: HttpStream, trailers: HeaderMap): FilterStatus {
    if (this.#reader === undefined) return FilterStatus.Continue
    const body = this.#finish(stream, stream.responseHeaders!, trailers)
    if (this.#headWaits) this.#releaseHead(stream)
    if (body.length > 0) stream.injectResponseData(body)
    return FilterStatus.Continue
  }

  // Requests.

  #requestLimit(stream: HttpStream): number {
    return this.#transcoder.message.maxRequestBodySize ?? stream.bufferLimitBytes
  }

  /** What is left to send when the request has ended. */
  #lastMessages(): Buffer {
    const { method } = this.#call!
    if (this.#splitter !== undefined) {
      if (this.#splitter.end()) return EMPTY
      throw new RequestMistake(this.#splitter.problem)
    }
    // A stream of bodies has sent what there was.
    if (method.requestIsHttpBody && method.clientStreaming && this.#sent > 0) return EMPTY
    const body = Buffer.concat(this.#chunks)
    this.#chunks = []
    return this.#message(body)
  }

  /** One message, framed. */
  #message(body: Buffer): Buffer {
    const { descriptors, message } = this.#transcoder
    const { method, bindings, unknown } = this.#call!
    const { input, bodyPath } = method
    const first = this.#sent++ === 0
    const own = first ? bindings : []
    if (method.requestIsHttpBody) {
      const type = first ? this.#contentType : ''
      return frame(descriptors.encodeHttpBody(input, bodyPath ?? [], type, body, own, first ? unknown : undefined))
    }
    const text = bodyPath === undefined ? undefined : body.toString('utf8')
    const reject = message.requestValidationOptions?.rejectBindingBodyFieldCollisions === true
    return frame(descriptors.encode(input, text, bodyPath ?? [], own, reject))
  }

  #translate(stream: HttpStream, details: string, work: () => void): FilterStatus {
    try {
      work()
      return FilterStatus.Continue
    } catch (error) {
      if (error === TOO_LARGE) {
        const details = 'grpc_json_transcode_failure{request_buffer_size_limit_reached}'
        return this.#refuse(stream, 413, REQUEST_TOO_LARGE, details)
      }
      if (!(error instanceof RequestMistake)) throw error
      return this.#refuse(stream, 400, error.message, `${details}{INVALID_ARGUMENT}`)
    }
  }

  #refuse(stream: HttpStream, status: number, text: string, details: string): FilterStatus {
    this.#refused = true
    return stream.sendLocalReply({ status, details, body: Buffer.from(text).toString('latin1') })
  }

  // Responses.

  #json(stream: HttpStream, method: TranscodedMethod, message: Buffer): Buffer | undefined {
    const { descriptors } = this.#transcoder
    if (method.responseIsHttpBody) {
      const body = descriptors.decodeHttpBody(message)
      if (body === undefined) return undefined
      if (this.#headWaits && this.#received === 0) {
        stream.responseHeaders!.set('content-type', body.contentType)
        if (method.serverStreaming) this.#releaseHead(stream)
      }
      return body.data
    }
    const text = descriptors.decode(method.output, message)
    if (text === undefined) return undefined
    if (!method.serverStreaming) return Buffer.from(text)
    const { printOptions } = this.#transcoder.message
    if (printOptions?.streamSseStyleDelimited === true) return Buffer.from(`data: ${text}\n\n`)
    if (printOptions?.streamNewlineDelimited === true) return Buffer.from(`${text}\n`)
    return Buffer.from(`${this.#received === 0 ? '[' : ','}${text}`)
  }

  #endOfStream(): Buffer {
    const { printOptions } = this.#transcoder.message
    const delimited = printOptions?.streamNewlineDelimited === true || printOptions?.streamSseStyleDelimited === true
    if (delimited || this.#call!.method.responseIsHttpBody) return EMPTY
    return Buffer.from(this.#received === 0 ? '[]' : ']')
  }

  /** Puts the status into the head, if it is still here, and gives what is left of the body. */
  #finish(stream: HttpStream, head: ResponseHeaders, trailers: HeaderMap): Buffer {
    const { method } = this.#call!
    const status = parseGrpcStatus(trailers.get('grpc-status'))
    if (status !== undefined && status >= 0) stream.info.grpcStatus = status
    const trailersOnly = head === trailers
    const converted = this.#convertStatus(head, trailers, status)
    if (converted !== undefined) return converted
    if (method.serverStreaming && !trailersOnly && !this.#headWaits) return this.#endOfStream()
    const body = method.serverStreaming && !trailersOnly ? this.#endOfStream() : this.#answer
    if (status === undefined || status < 0) head.status = 503
    else {
      head.status = httpStatusOfGrpc(status)
      head.set('grpc-status', String(status))
    }
    const message = trailers.get('grpc-message')
    if (message !== undefined) head.set('grpc-message', message)
    if (stream.info.protocol !== 'HTTP/2') head.delete('trailer')
    head.set('content-length', String(body.length))
    return body
  }

  /** `convert_grpc_status`: a status without a message becomes the JSON of a `google.rpc.Status`. */
  #convertStatus(head: ResponseHeaders, trailers: HeaderMap, status: number | undefined): Buffer | undefined {
    const convert = this.#transcoder.message.convertGrpcStatus
    if (!convert || this.#received > 0 || status === undefined || status <= 0) return undefined
    const text = Buffer.from(decodeGrpcMessage(trailers.get('grpc-message') ?? ''), 'latin1').toString('utf8')
    const details = trailers.get('grpc-status-details-bin')
    const bytes = details === undefined ? undefined : Buffer.from(details, 'base64')
    const json = this.#transcoder.descriptors.statusJson(bytes, status, text)
    if (json === undefined) return undefined
    head.status = httpStatusOfGrpc(status)
    // Trailers keep it, and pass where the protocol lets them: over HTTP/2.
    for (const name of ['grpc-status', 'grpc-message', 'grpc-status-details-bin']) head.delete(name)
    head.set('content-type', JSON_TYPE)
    const body = Buffer.from(json)
    head.set('content-length', String(body.length))
    return body
  }

  #releaseHead(stream: HttpStream): void {
    this.#headWaits = false
    stream.continueResponse()
  }

  #failResponse(stream: HttpStream, status: number, body: string, why: string): FilterStatus {
    this.#reader = undefined
    return stream.sendLocalReply({ status, details: `grpc_json_transcode_failure{${why}}`, body })
  }
}

const REQUEST_TOO_LARGE = "Request rejected because the transcoder's internal buffer size exceeds the configured limit."
const RESPONSE_TOO_LARGE =
  "Response not transcoded because the transcoder's internal buffer size exceeds the configured limit."
const NOT_ITS_TYPE = 'the response is no message of the type that its method has'
const TOO_LARGE = Symbol('the request is larger than it may be')
