/**
 * The contract of listener filters: they look at a connection's first bytes before a filter chain is chosen, and say what
 * they found on the {@link InspectedSocket}, by which the chain is chosen.
 *
 * A filter is asked with all the bytes there are, again whenever there are more, until it is done. Filters run in the order
 * of `listener_filters`; each starts with the first byte.
 */
import type { Address } from '../base/address.ts'
import type { StatsScope } from '../observability/stats.ts'

/** A connection before it has a filter chain. */
export interface InspectedSocket {
  readonly local: Address
  readonly remote: Address
  /** `tls` or `raw_buffer`; '' while nobody has looked. */
  transportProtocol: string
  /** SNI in lower case, '' when there is none. */
  serverName: string
  /** What the client asks for by ALPN, or what its first bytes are (`http/1.1`, `h2c`). */
  applicationProtocols: readonly string[]
}

export const ListenerFilterStatus = {
  /** The next filter's turn. */
  Done: 0,
  /** Ask again when there are more bytes. */
  More: 1,
  /** The connection is not wanted. */
  Close: 2,
} as const
export type ListenerFilterStatus = (typeof ListenerFilterStatus)[keyof typeof ListenerFilterStatus]

export interface ListenerFilter {
  /** `bytes` is all that has come, lent until this returns. */
  inspect(bytes: Buffer, socket: InspectedSocket): ListenerFilterStatus
}

export interface ListenerFilterContext {
  /** The root: these filters count for the whole process, as in Envoy. */
  readonly stats: StatsScope
}

export interface ListenerFilterFactory<Config> {
  /** Envoy's name, e.g. `envoy.filters.listener.tls_inspector`. */
  readonly name: string
  readonly typeUrl: string
  /** Throws `ConfigError` for mistakes. */
  decodeConfig(message: never): Config
  /** One filter serves all connections of a listener: what it finds is kept on the socket. */
  create(config: Config, context: ListenerFilterContext): ListenerFilter
}

export type AnyListenerFilterFactory = ListenerFilterFactory<never>
