/** A filter with bugs, for `--extension`: throws where a request's `x-throw` says so. */
import type { RequestHeaders, ResponseHeaders } from '../../sidecar/codec/header-map.ts'
import {
  FilterStatus,
  type HttpFilter,
  type HttpFilterFactory,
  type HttpStream,
} from '../../sidecar/filter-chain/http-filter.ts'

class ThrowingFilter implements HttpFilter {
  #where = ''

  onRequestHeaders(_stream: HttpStream, headers: RequestHeaders): FilterStatus {
    this.#where = headers.get('x-throw') ?? ''
    return this.#pass('request headers')
  }
  onRequestData(): FilterStatus {
    return this.#pass('request data')
  }
  onResponseHeaders(_stream: HttpStream, _headers: ResponseHeaders): FilterStatus {
    return this.#pass('response headers')
  }
  onResponseData(): FilterStatus {
    return this.#pass('response data')
  }
  onStreamEnd(): void {
    this.#pass('end')
  }

  #pass(where: string): FilterStatus {
    if (this.#where === where) throw new TypeError(`a bug at ${where}`)
    return FilterStatus.Continue
  }
}

export const throwing: HttpFilterFactory<undefined> = {
  name: 'test.throwing',
  typeUrl: 'test.Throwing',
  decodeConfig: () => undefined,
  create: () => () => new ThrowingFilter(),
}
