/** Lending upstream connections: what the router asks for and what it is told. */
import type { Address } from '../base/address.ts'
import type { RequestEncoder, StreamFailure } from '../codec/stream.ts'
import type { Protocol, TlsInfo } from '../observability/stream-info.ts'
import type { Host } from './host.ts'

/** What is known of the connection a stream was given. */
export interface UpstreamConnectionInfo {
  readonly id: number
  readonly local: Address
  readonly protocol: Protocol
  readonly tls: TlsInfo | undefined
  /** The connection had carried another request before: a death before any answer may be a keep-alive race. */
  readonly reused: boolean
  bytesRead(): number
  bytesWritten(): number
}

export interface PoolCallbacks {
  /** A connection is ours; write the request. May be called before `newStream` returns. */
  onPoolReady(encoder: RequestEncoder, host: Host, connection: UpstreamConnectionInfo): void
  /** No connection could be had: overflow, connect failure or timeout. May be called before `newStream` returns. */
  onPoolFailure(failure: StreamFailure, host: Host): void
}

/** A request that waits for a connection. */
export interface PendingStream {
  /** Gives up waiting; neither callback follows. Nothing happens when one has been called. */
  cancel(): void
}

export interface StreamOptions {
  /** HTTP method, because a response parser must know whether a body follows; 'CONNECT' for tunnels. */
  readonly method: string
  /** Upgrade or tunnel: the connection is not re-used afterwards. */
  readonly upgrade: boolean
  /** No connection that has been idle: the one before was found dead, and others may be without our knowing it yet. */
  readonly fresh?: boolean
  /** Protocol of the request that this one serves, for clusters that speak what the downstream speaks. */
  readonly downstreamProtocol?: Protocol
  /** What the request asks of TLS, '' for nothing: `auto_sni`, `auto_san_validation`. Requests that differ share no connection. */
  readonly serverName?: string
  readonly wantedName?: string
}
