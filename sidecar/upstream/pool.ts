/**
 * A pool of connections to one host for one priority: what the cluster asks of it, whichever protocol it speaks, and what
 * it is given by the cluster. HTTP/1 lends a connection to one request at a time, HTTP/2 to many.
 */
import type { Address } from '../base/address.ts'
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import type { Timers } from '../base/timer-wheel.ts'
import type { ResponseDecoder, StreamFailure } from '../codec/stream.ts'
import type { Metadata } from '../config/schema/generated/types.ts'
import type { Connection, ConnectionHandler } from '../transport/connection.ts'
import type { TcpKeepalive } from '../transport/tcp-keepalive.ts'
import type { PendingStream, PoolCallbacks, StreamOptions } from './connection-pool.ts'
import type { ConnectionStats } from './connection-stats.ts'
import type { Host } from './host.ts'
import type { Http2Settings } from './http2-settings.ts'

export interface ConnectionPool {
  newStream(options: StreamOptions, decoder: ResponseDecoder, callbacks: PoolCallbacks): PendingStream
  /** Connections open or being opened. */
  readonly size: number
  /** No connection, no request, nothing waiting. */
  readonly empty: boolean
  /** Closes what is idle now and each other connection once its requests are done. New requests get new connections. */
  drain(): void
  /** The host is gone: drains, and keeps no connection from now on. Who still waits is served. */
  retire(): void
  /** Closes everything now; requests in flight see a local reset. */
  close(): void
}

/** What all requests of one pool ask of TLS: part of {@link ConnectTarget}. */
export type RequestedNames = Pick<ConnectTarget, 'serverName' | 'wantedName'>

export const NO_NAMES: RequestedNames = Object.freeze({ serverName: '', wantedName: '' })

export interface ConnectOptions {
  readonly connectTimeoutMs: number
  readonly bufferLimitBytes: number
  readonly bindAddress?: Address | undefined
  readonly keepAlive?: TcpKeepalive | undefined
  /** What a TLS handshake offers where its context names no protocols (RFC 7301). */
  readonly alpn: readonly string[]
}

/** Whom to connect to. */
export interface ConnectTarget {
  readonly address: Address
  /** The name the endpoint was configured by, '' where it has none. */
  readonly hostname: string
  /** By which a transport may be chosen (`transport_socket_matches`). */
  readonly metadata: Metadata | undefined
  /** SNI that the request asks for (`auto_sni`), and the name it wants the peer to have (`auto_san_validation`); or ''. */
  readonly serverName: string
  readonly wantedName: string
}

/** Begins to connect. Each transport socket has one; plaintext is the plainest. */
export type Connect = (
  target: ConnectTarget,
  options: ConnectOptions,
  handler: ConnectionHandler,
  timers: Timers,
) => Connection

/** What a connection is made and kept by; decoded once per configuration and never changed. */
export interface ConnectionSettings extends ConnectOptions {
  /** A connection without requests is closed after this time; 0 for never. Envoy: `idle_timeout`, 1 h. */
  readonly idleTimeoutMs: number
  /** A connection is closed once it is this old and has no request; 0 for never. */
  readonly maxConnectionDurationMs: number
  /** Requests after which a connection is closed; 0 for no limit. */
  readonly maxRequestsPerConnection: number
  readonly maxResponseHeadBytes: number
  readonly maxResponseHeaders: number
  /** HTTP/1: send request trailers (`enable_trailers`); they are dropped otherwise, as in Envoy. */
  readonly sendTrailers: boolean
  /** HTTP/1: accept a response with both Content-Length and chunked (`allow_chunked_length`). */
  readonly allowChunkedLength: boolean
  /** HTTP/1: write header names as `Content-Type` rather than `content-type`. */
  readonly properCaseHeaders: boolean
  readonly http2: Http2Settings
  readonly connect: Connect
}

/** What all pools of a cluster share. `settings` is replaced whole when the configuration changes. */
export interface PoolEnvironment {
  readonly settings: ConnectionSettings
  readonly stats: ConnectionStats
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  /** Told of every exchange and connect that failed, for messages. */
  onFailure(failure: StreamFailure): void
  /** A retired pool has become empty. */
  onPoolDrained(host: Host): void
}
