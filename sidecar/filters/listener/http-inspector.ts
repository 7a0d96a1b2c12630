/**
 * `envoy.filters.listener.http_inspector`: finds out whether a plaintext connection begins with an HTTP request, and of
 * which version, so that a filter chain can be chosen by `application_protocols`. Nothing is consumed.
 */
import {
  type InspectedSocket,
  type ListenerFilter,
  type ListenerFilterContext,
  type ListenerFilterFactory,
  ListenerFilterStatus,
} from '../../filter-chain/listener-filter.ts'
import type { Counter } from '../../observability/stats.ts'

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
/** Envoy reads no further than this for the end of the first line. */
const MAX_LINE = 64 * 1024
/** `METHOD SP target SP HTTP/1.x` (RFC 9112 §3). Envoy passes over empty lines before it, as a server should (§2.2). */
const REQUEST_LINE = /^(?:\r?\n)*[!#$%&'*+\-.^_`|~0-9A-Za-z]+ +[^ \r\n]+ +HTTP\/(1\.[01])\r?\n/
/** What may still become one. */
const BEGINNING =
  /^(?:\r?\n)*\r?$|^(?:\r?\n)*[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?: +[^ \r\n]*(?: +(?:H(?:T(?:T(?:P(?:\/(?:1(?:\.(?:[01]\r?)?)?)?)?)?)?)?)?)?)?$/

export const httpInspector: ListenerFilterFactory<object> = {
  name: 'envoy.filters.listener.http_inspector',
  typeUrl: 'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector',
  decodeConfig: (message: object) => message,
  create: (_config, context) => new HttpInspector(context),
}

class HttpInspector implements ListenerFilter {
  readonly #http10Found: Counter
  readonly #http11Found: Counter
  readonly #http2Found: Counter
  readonly #httpNotFound: Counter

  constructor({ stats }: ListenerFilterContext) {
    const scope = stats.scope('http_inspector')
    scope.counter('read_error')
    this.#http10Found = scope.counter('http10_found')
    this.#http11Found = scope.counter('http11_found')
    this.#http2Found = scope.counter('http2_found')
    this.#httpNotFound = scope.counter('http_not_found')
  }

  inspect(bytes: Buffer, socket: InspectedSocket): ListenerFilterStatus {
    // Under TLS the request cannot be seen; ALPN has told what comes.
    if (socket.transportProtocol === 'tls') return ListenerFilterStatus.Done
    const text = bytes.toString('latin1', 0, Math.min(bytes.length, MAX_LINE))
    if (PREFACE.startsWith(text.slice(0, PREFACE.length))) {
      if (text.length < PREFACE.length) return ListenerFilterStatus.More
      this.#http2Found.inc()
      socket.applicationProtocols = ['h2c']
      return ListenerFilterStatus.Done
    }
    const version = REQUEST_LINE.exec(text)?.[1]
    if (version !== undefined) {
      if (version === '1.0') this.#http10Found.inc()
      else this.#http11Found.inc()
      socket.applicationProtocols = [`http/${version}`]
      return ListenerFilterStatus.Done
    }
    if (bytes.length < MAX_LINE && BEGINNING.test(text)) return ListenerFilterStatus.More
    this.#httpNotFound.inc()
    return ListenerFilterStatus.Done
  }
}
