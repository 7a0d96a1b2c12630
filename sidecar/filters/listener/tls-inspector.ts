/**
 * `envoy.filters.listener.tls_inspector`: finds out whether a connection is TLS, and what the client asks for in clear
 * text (SNI, ALPN), so that a filter chain can be chosen by it. Nothing is consumed.
 */
import type { TlsInspector as TlsInspectorMessage } from '../../config/schema/generated/types.ts'
import {
  type InspectedSocket,
  type ListenerFilter,
  type ListenerFilterContext,
  type ListenerFilterFactory,
  ListenerFilterStatus,
} from '../../filter-chain/listener-filter.ts'
import type { Counter, Histogram } from '../../observability/stats.ts'
import { parseClientHello } from '../../transport/tls/client-hello.ts'

/** Envoy's default and upper bound. */
const MAX_CLIENT_HELLO = 16 * 1024

export interface TlsInspectorConfig {
  readonly maxClientHelloBytes: number
  readonly closeOnParsingErrors: boolean
}

export const tlsInspector: ListenerFilterFactory<TlsInspectorConfig> = {
  name: 'envoy.filters.listener.tls_inspector',
  typeUrl: 'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
  decodeConfig: (message: TlsInspectorMessage) => ({
    maxClientHelloBytes: message.maxClientHelloSize ?? MAX_CLIENT_HELLO,
    closeOnParsingErrors: message.closeConnectionOnClientHelloParsingErrors,
  }),
  create: (config, context) => new TlsInspector(config, context),
}

class TlsInspector implements ListenerFilter {
  readonly #config: TlsInspectorConfig
  readonly #tlsFound: Counter
  readonly #tlsNotFound: Counter
  readonly #alpnFound: Counter
  readonly #alpnNotFound: Counter
  readonly #sniFound: Counter
  readonly #sniNotFound: Counter
  readonly #tooLarge: Counter
  readonly #bytesProcessed: Histogram

  constructor(config: TlsInspectorConfig, { stats }: ListenerFilterContext) {
    const scope = stats.scope('tls_inspector')
    this.#config = config
    this.#tlsFound = scope.counter('tls_found')
    this.#tlsNotFound = scope.counter('tls_not_found')
    this.#alpnFound = scope.counter('alpn_found')
    this.#alpnNotFound = scope.counter('alpn_not_found')
    this.#sniFound = scope.counter('sni_found')
    this.#sniNotFound = scope.counter('sni_not_found')
    this.#tooLarge = scope.counter('client_hello_too_large')
    this.#bytesProcessed = scope.histogram('bytes_processed')
  }

  inspect(bytes: Buffer, socket: InspectedSocket): ListenerFilterStatus {
    const hello = parseClientHello(bytes, this.#config.maxClientHelloBytes)
    if (hello === 'more') return ListenerFilterStatus.More
    this.#bytesProcessed.record(bytes.length)
    if (hello === 'too_large') {
      this.#tooLarge.inc()
      return ListenerFilterStatus.Close
    }
    if (hello === 'not_tls' || hello === 'malformed') {
      this.#tlsNotFound.inc()
      const close = hello === 'malformed' && this.#config.closeOnParsingErrors
      return close ? ListenerFilterStatus.Close : ListenerFilterStatus.Done
    }
    this.#tlsFound.inc()
    socket.transportProtocol = 'tls'
    socket.serverName = hello.serverName
    socket.applicationProtocols = hello.alpn
    if (hello.serverName === '') this.#sniNotFound.inc()
    else this.#sniFound.inc()
    if (hello.alpn.length === 0) this.#alpnNotFound.inc()
    else this.#alpnFound.inc()
    return ListenerFilterStatus.Done
  }
}
