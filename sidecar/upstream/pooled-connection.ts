/** What a pool and its connections know of each other. */
import { Linked } from '../base/linked-set.ts'
import type { RequestEncoder, ResponseDecoder } from '../codec/stream.ts'
import type { CloseReason, Connection, ConnectionHandler } from '../transport/connection.ts'
import type { StreamOptions, UpstreamConnectionInfo } from './connection-pool.ts'
import type { PoolEnvironment } from './pool.ts'

/** A request and its response on a connection. */
export type LentStream = RequestEncoder & UpstreamConnectionInfo

/** A connection as its pool sees it. */
export abstract class PooledConnection extends Linked {
  /** Kept by the pool: it is among those with room. */
  ready = false
  /** Kept by the pool: it is being opened. */
  connecting = false
  /** Streams expected of it while it is being opened; never changes. */
  abstract readonly expectedStreams: number
  /** A stream may begin: connected, with room, and not about to close. */
  abstract readonly usable: boolean
  /** Some stream is under way. */
  abstract readonly busy: boolean
  /** Streams it may still begin in its life (`max_requests_per_connection`); Infinity without a limit. */
  abstract readonly remainingRequests: number
  abstract begin(options: StreamOptions, decoder: ResponseDecoder): LentStream
  /** Tells a new stream that the connection still holds bytes of others. */
  abstract announceBackpressure(stream: LentStream): void
  /** Starts the clock of `idle_timeout`: it is kept without a request. */
  abstract startIdleTimeout(): void
  /** Closes once nothing is under way; now when nothing is. */
  abstract drain(): void
  abstract close(): void
}

/** The pool, as its connections see it. */
export interface ConnectionOwner {
  readonly environment: PoolEnvironment
  onConnected(connection: PooledConnection): void
  /** The connection can carry another stream: one has ended, or its limit has risen. */
  onUsable(connection: PooledConnection): void
  /** A stream is over, however it went; called once per {@link PooledConnection.begin}. */
  onExchangeEnd(): void
  /** No new stream may begin: the connection is closed or about to be. Called once. */
  onUnusable(connection: PooledConnection): void
  /** The connection is gone. `connected` tells whether it ever stood. */
  onClosed(connection: PooledConnection, reason: CloseReason, connected: boolean): void
  /** What was being opened has turned out to speak this: `connection` takes the place of `before`. */
  onReplaced(before: PooledConnection, connection: PooledConnection): void
}

/** Makes a connection of the pool's protocol over the transport that `connect` opens. */
export type OpenConnection = (
  owner: ConnectionOwner,
  connect: (handler: ConnectionHandler) => Connection,
) => PooledConnection
