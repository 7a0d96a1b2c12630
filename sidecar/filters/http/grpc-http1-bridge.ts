/**
 * `envoy.filters.http.grpc_http1_bridge`: lets clients that know only HTTP/1.1 make unary gRPC calls. The answer is held
 * until its trailers are here, whose status then stands in the headers: HTTP 503 where it is not OK, and a Content-Length
 * so that the client can tell a whole answer.
 *
 * With `upgrade_protobuf_to_grpc` a client may leave the framing away, too: `application/x-protobuf` goes on as
 * `application/grpc`, with the five bytes of a message before the body, and comes back without them.
 *
 * Both bodies are held whole, at most the stream's buffer limit. It counts nothing: that is what `grpc_stats` is for.
 */
import { isGrpcRequest } from '../../codec/grpc/headers.ts'
import { frame, MESSAGE_HEADER_BYTES } from '../../codec/grpc/message.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../../codec/header-map.ts'
import type { BodyChunk } from '../../codec/stream.ts'
import type { GrpcHttp1BridgeConfig } from '../../config/schema/generated/types.ts'
import {
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpStream,
} from '../../filter-chain/http-filter.ts'

const EMPTY = Buffer.alloc(0)
const PROTOBUF = 'application/x-protobuf'

interface BridgeConfig {
  readonly upgradeProtobuf: boolean
  readonly ignoreQuery: boolean
}

export const grpcHttp1Bridge: HttpFilterFactory<BridgeConfig> = {
  name: 'envoy.filters.http.grpc_http1_bridge',
  typeUrl: 'envoy.extensions.filters.http.grpc_http1_bridge.v3.Config',
  decodeConfig: (message: GrpcHttp1BridgeConfig) => ({
    upgradeProtobuf: message.upgradeProtobufToGrpc,
    ignoreQuery: message.ignoreQueryParameters,
  }),
  create: config => () => new Bridge(config),
}

class Bridge implements HttpFilter {
  readonly #config: BridgeConfig
  #bridging = false
  /** Bodies have no framing on the client's side. */
  #framing = false
  #requestChunks: Buffer[] = []
  #requestBytes = 0
  #responseBytes = 0
  #headerLeft = 0
  #responseHeld = false

  constructor(config: BridgeConfig) {
    this.#config = config
  }

  onRequestHeaders(stream: HttpStream, headers: RequestHeaders, endStream: boolean): FilterStatus {
    const grpc = isGrpcRequest(headers)
    const http1 = stream.info.protocol !== 'HTTP/2'
    const upgrades = http1 && this.#config.upgradeProtobuf && headers.get('content-type') === PROTOBUF
    if (!grpc && !upgrades) return FilterStatus.Continue
    if (upgrades) {
      this.#framing = true
      headers.set('content-type', 'application/grpc')
      // A request without a body stays one, as in Envoy.
      if (!endStream) headers.delete('content-length')
    }
    if (http1) {
      this.#bridging = true
      const query = headers.path.indexOf('?')
      if (this.#config.ignoreQuery && query >= 0) headers.path = headers.path.slice(0, query)
    }
    if (upgrades) stream.clearRouteCache()
    return FilterStatus.Continue
  }

  onRequestData(stream: HttpStream, data: BodyChunk, endStream: boolean): FilterStatus {
    if (!this.#framing) return FilterStatus.Continue
    this.#requestChunks.push(Buffer.from(data))
    this.#requestBytes += data.length
    if (this.#requestBytes > stream.bufferLimitBytes) return stream.requestTooLarge()
    stream.replaceData(EMPTY)
    if (!endStream) return FilterStatus.Continue
    stream.replaceData(frame(Buffer.concat(this.#requestChunks)))
    this.#requestChunks = []
    return FilterStatus.Continue
  }

  onResponseHeaders(_stream: HttpStream, _headers: ResponseHeaders, endStream: boolean): FilterStatus {
    this.#responseHeld = this.#bridging && !endStream
    if (!this.#responseHeld) return FilterStatus.Continue
    this.#responseBytes = 0
    this.#headerLeft = this.#framing ? MESSAGE_HEADER_BYTES : 0
    return FilterStatus.HoldHead
  }

  onResponseData(stream: HttpStream, data: BodyChunk, endStream: boolean): FilterStatus {
    if (!this.#responseHeld) return FilterStatus.Continue
    const skipped = Math.min(this.#headerLeft, data.length)
    this.#headerLeft -= skipped
    this.#responseBytes += data.length - skipped
    if (skipped > 0) stream.replaceData(Buffer.from(data.subarray(skipped)))
    if (endStream) this.#continue(stream)
    return FilterStatus.Continue
  }

  onResponseTrailers(stream: HttpStream, trailers: HeaderMap): FilterStatus {
    if (!this.#responseHeld) return FilterStatus.Continue
    const headers = stream.responseHeaders!
    const status = trailers.get('grpc-status')
    if (status !== undefined) {
      if (status !== '0') headers.status = 503
      headers.set('grpc-status', status)
    }
    const message = trailers.get('grpc-message')
    if (message !== undefined) headers.set('grpc-message', message)
    headers.set('content-length', String(this.#responseBytes))
    this.#continue(stream)
    return FilterStatus.Continue
  }

  #continue(stream: HttpStream): void {
    this.#responseHeld = false
    stream.continueResponse()
  }
}
