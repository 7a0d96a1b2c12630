/**
 * `envoy.filters.http.buffer`: holds a request until its body is complete, so that the upstream gets it at once and with
 * a Content-Length. A body beyond `max_request_bytes` is answered with 413 (`request_payload_too_large`), by the chain.
 * Requests without a body pass through.
 */

import type { RequestHeaders } from '../../codec/header-map.ts'
import type { Buffer as BufferMessage, BufferPerRoute } from '../../config/schema/generated/types.ts'
import {
  ConfigError,
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpStream,
} from '../../filter-chain/http-filter.ts'

interface BufferConfig {
  readonly maxRequestBytes: number
}

interface BufferRouteConfig {
  readonly disabled: boolean
  readonly maxRequestBytes: number
}

export const buffer: HttpFilterFactory<BufferConfig, BufferRouteConfig> = {
  name: 'envoy.filters.http.buffer',
  typeUrl: 'envoy.extensions.filters.http.buffer.v3.Buffer',
  routeTypeUrl: 'envoy.extensions.filters.http.buffer.v3.BufferPerRoute',
  decodeConfig: (message: BufferMessage) => ({ maxRequestBytes: maxRequestBytes(message, 'max_request_bytes') }),
  decodeRouteConfig: (message: BufferPerRoute) => ({
    disabled: message.disabled === true,
    maxRequestBytes: message.buffer === undefined ? 0 : maxRequestBytes(message.buffer, 'buffer.max_request_bytes'),
  }),
  create(config, context) {
    const filter = new Buffering(config, context.filterName)
    return () => filter // No per-stream state.
  },
}

function maxRequestBytes(message: BufferMessage, field: string): number {
  if (message.maxRequestBytes === undefined) throw new ConfigError(field, 'is required')
  return message.maxRequestBytes
}

class Buffering implements HttpFilter {
  readonly #maxRequestBytes: number
  readonly #filterName: string

  constructor(config: BufferConfig, filterName: string) {
    this.#maxRequestBytes = config.maxRequestBytes
    this.#filterName = filterName
  }

  onRequestHeaders(stream: HttpStream, _headers: RequestHeaders, endStream: boolean): FilterStatus {
    if (endStream) return FilterStatus.Continue
    const route = stream.routeConfig<BufferRouteConfig>(this.#filterName)
    if (route?.disabled === true) return FilterStatus.Continue
    return stream.bufferRequest(route === undefined ? this.#maxRequestBytes : route.maxRequestBytes)
  }

  onRequestBuffered(stream: HttpStream, size: number): void {
    const headers = stream.requestHeaders
    if (headers.has('content-length')) return
    // The length is known now, and a message must not have both (RFC 9112 §6.2).
    headers.delete('transfer-encoding')
    headers.add('content-length', String(size))
  }
}
