/**
 * Connections to one host for one priority, and the requests that want them (Envoy: `ConnPoolImplBase`). How many requests
 * a connection carries at once is its own business: HTTP/1.1 carries one, HTTP/2 as many as both sides allow.
 *
 * A request takes the connection that became ready last, because with HTTP/1.1 that one is the least likely to be closed by
 * the other side just now, and with HTTP/2 it keeps the number of connections small. Without one it waits in order of
 * arrival, and connections are opened until those on their way can carry all that waits. The circuit breaker is asked where
 * Envoy asks it:
 *
 *   connection with room? ─yes─▶ max_requests free? ─yes─▶ the request is on its way
 *        │ no                     └─no─▶ overflow
 *        ▼
 *   max_pending_requests free? ─no─▶ overflow
 *        │ yes: wait
 *        ▼
 *   max_connections free, or no connection in this pool at all? ─yes─▶ open one
 *                └─no─▶ wait for one that is full
 *
 * A connection that cannot be had fails everything that waits, so that routers can try another host at once.
 */
import { Linked, LinkedSet } from '../base/linked-set.ts'
import type { ResponseDecoder, StreamFailure } from '../codec/stream.ts'
import type { CloseReason } from '../transport/connection.ts'
import type { PendingStream, PoolCallbacks, StreamOptions } from './connection-pool.ts'
import { connectionFailure, PENDING_OVERFLOW, POOL_CLOSED, REQUEST_OVERFLOW } from './failures.ts'
import type { Host } from './host.ts'
import type { ConnectionPool, ConnectTarget, PoolEnvironment, RequestedNames } from './pool.ts'
import type { ConnectionOwner, OpenConnection, PooledConnection } from './pooled-connection.ts'
import type { ResourceManager } from './resource.ts'

/** What a request gets that did not have to wait, or will not be served. */
const NOT_WAITING: PendingStream = { cancel() {} }

/** A request that waits for a connection. */
class WaitingRequest extends Linked implements PendingStream {
  readonly options: StreamOptions
  readonly decoder: ResponseDecoder
  readonly callbacks: PoolCallbacks
  readonly #pool: StreamPool

  constructor(pool: StreamPool, options: StreamOptions, decoder: ResponseDecoder, callbacks: PoolCallbacks) {
    super()
    this.options = options
    this.decoder = decoder
    this.callbacks = callbacks
    this.#pool = pool
  }

  cancel(): void {
    this.#pool.cancel(this)
  }
}

export class StreamPool implements ConnectionPool, ConnectionOwner {
  readonly environment: PoolEnvironment
  readonly #host: Host
  readonly #resources: ResourceManager
  readonly #names: RequestedNames
  readonly #open: OpenConnection
  /** Connections with room; the last became so last. */
  readonly #ready: PooledConnection[] = []
  readonly #connections = new LinkedSet<PooledConnection>()
  /** Streams that the connections being opened will carry. */
  #expected = 0
  /** In order of arrival. */
  readonly #waiting = new LinkedSet<WaitingRequest>()
  #active = 0
  #retired = false
  #closed = false

  constructor(
    host: Host,
    environment: PoolEnvironment,
    resources: ResourceManager,
    names: RequestedNames,
    open: OpenConnection,
  ) {
    this.#host = host
    this.#names = names
    this.environment = environment
    this.#resources = resources
    this.#open = open
  }

  get size(): number {
    return this.#connections.size
  }

  get empty(): boolean {
    return this.#connections.size === 0 && this.#waiting.size === 0 && this.#active === 0
  }

  newStream(options: StreamOptions, decoder: ResponseDecoder, callbacks: PoolCallbacks): PendingStream {
    const ready = this.#ready
    while (ready.length > 0 && options.fresh !== true) {
      const connection = ready[ready.length - 1]!
      if (!connection.usable) {
        ready.pop()
        connection.ready = false
        continue
      }
      this.#attach(connection, options, decoder, callbacks)
      return NOT_WAITING
    }
    if (this.#closed) {
      callbacks.onPoolFailure(POOL_CLOSED, this.#host)
      return NOT_WAITING
    }
    const { stats } = this.environment
    if (!this.#resources.pendingRequests.tryTake()) {
      stats.rqPendingOverflow.inc()
      callbacks.onPoolFailure(PENDING_OVERFLOW, this.#host)
      return NOT_WAITING
    }
    const request = new WaitingRequest(this, options, decoder, callbacks)
    this.#enqueue(request)
    this.#connectAsNeeded()
    return request
  }

  drain(): void {
    for (const connection of this.#connections.toArray()) {
      // One that is being opened belongs to those who wait for it.
      if (connection.usable || connection.busy) connection.drain()
    }
  }

  retire(): void {
    this.#retired = true
    this.drain()
    this.#reportDrained()
  }

  close(): void {
    this.#closed = true
    for (const connection of this.#connections.toArray()) connection.close()
    this.#failWaiting(POOL_CLOSED)
  }

  /** Called by a waiting request that nobody needs any longer. The connection being opened for it is kept. */
  cancel(request: WaitingRequest): void {
    if (!this.#dequeue(request)) return
    this.environment.stats.rqCancelled.inc()
    this.#reportDrained()
  }

  // Connections report here.

  onConnected(connection: PooledConnection): void {
    this.#endConnecting(connection)
    this.#offer(connection)
  }

  onUsable(connection: PooledConnection): void {
    this.#offer(connection)
  }

  onExchangeEnd(): void {
    this.#active--
    this.environment.stats.rqActive.dec()
    this.#host.stats.rqActive.dec()
    this.#resources.requests.release()
  }

  onUnusable(connection: PooledConnection): void {
    this.#unready(connection)
  }

  onReplaced(before: PooledConnection, connection: PooledConnection): void {
    if (!this.#connections.delete(before)) return
    this.#endConnecting(before)
    this.#connections.add(connection)
    this.#beginConnecting(connection)
  }

  onClosed(connection: PooledConnection, reason: CloseReason, connected: boolean): void {
    if (!this.#connections.delete(connection)) return
    const { stats } = this.environment
    stats.cxActive.dec()
    this.#host.stats.cxActive.dec()
    this.#host.sharedConnections?.release()
    this.#resources.connections.release()
    if (!connected) {
      this.#endConnecting(connection)
      stats.cxConnectFail.inc()
      this.#host.stats.cxConnectFail.inc()
      if (reason.kind === 'connect_timeout') stats.cxConnectTimeout.inc()
      this.#failWaiting(connectionFailure(reason))
    }
    // Whoever still waits was counting on this connection.
    if (!this.#closed) this.#connectAsNeeded()
    this.#reportDrained()
  }

  /** Serves those that wait from a connection with room, and keeps it while it has any. */
  #offer(connection: PooledConnection): void {
    while (connection.usable) {
      const request = this.#waiting.first
      if (request === undefined) break
      this.#dequeue(request)
      this.#attach(connection, request.options, request.decoder, request.callbacks)
    }
    if (this.#waiting.size > 0) this.#connectAsNeeded()
    if (!connection.usable) return
    if (this.#retired) connection.drain()
    else this.#keep(connection)
  }

  #keep(connection: PooledConnection): void {
    if (!connection.ready) {
      connection.ready = true
      this.#ready.push(connection)
    }
    if (!connection.busy) connection.startIdleTimeout()
  }

  #unready(connection: PooledConnection): void {
    if (!connection.ready) return
    connection.ready = false
    const ready = this.#ready
    if (ready[ready.length - 1] === connection) ready.pop()
    else ready.splice(ready.lastIndexOf(connection), 1)
  }

  /** Gives room on the connection to a request, or fails it where the circuit breaker forbids it. */
  #attach(
    connection: PooledConnection,
    options: StreamOptions,
    decoder: ResponseDecoder,
    callbacks: PoolCallbacks,
  ): void {
    const { stats } = this.environment
    const { requests } = this.#resources
    if (!requests.tryTake()) {
      stats.rqActiveOverflow.inc()
      callbacks.onPoolFailure(REQUEST_OVERFLOW, this.#host)
      return
    }
    this.#active++
    stats.rqTotal.inc()
    stats.rqActive.inc()
    const host = this.#host
    host.stats.rqTotal.inc()
    host.stats.rqActive.inc()
    const stream = connection.begin(options, decoder)
    if (connection.remainingRequests === 0) stats.cxMaxRequests.inc()
    // Before the request is told, because that may ask for the next one.
    if (!connection.usable) this.#unready(connection)
    callbacks.onPoolReady(stream, host, stream)
    connection.announceBackpressure(stream)
  }

  #connectAsNeeded(): void {
    while (this.#waiting.size > this.#expected) {
      if (!this.#tryTakeConnection()) {
        this.environment.stats.cxOverflow.inc()
        // A pool may always open its first connection: other pools may hold all the others for good.
        if (this.#connections.size > 0) return
        this.#resources.connections.take()
        this.#host.sharedConnections?.take()
      }
      this.#connect()
    }
  }

  /** Takes one more connection from the limits of the host and of the cluster; false when one of them is reached. */
  #tryTakeConnection(): boolean {
    const { connections, maxConnectionsPerHost } = this.#resources
    const { sharedConnections, stats } = this.#host
    const room =
      sharedConnections === undefined
        ? stats.cxActive.value < maxConnectionsPerHost
        : sharedConnections.tryTake(maxConnectionsPerHost)
    if (!room) return false
    if (connections.tryTake()) return true
    sharedConnections?.release()
    return false
  }

  /** The caller has taken a connection from the limits. */
  #connect(): void {
    const { stats, settings, timers } = this.environment
    const host = this.#host
    stats.cxTotal.inc()
    stats.cxActive.inc()
    host.stats.cxTotal.inc()
    host.stats.cxActive.inc()
    const { address, hostname, metadata } = host
    const { serverName, wantedName } = this.#names
    const target: ConnectTarget = { address, hostname, metadata, serverName, wantedName }
    const connection = this.#open(this, handler => settings.connect(target, settings, handler, timers))
    this.#connections.add(connection)
    this.#beginConnecting(connection)
  }

  #beginConnecting(connection: PooledConnection): void {
    connection.connecting = true
    this.#expected += connection.expectedStreams
  }

  #endConnecting(connection: PooledConnection): void {
    if (!connection.connecting) return
    connection.connecting = false
    this.#expected -= connection.expectedStreams
  }

  /** The caller has taken its place among the pending requests. */
  #enqueue(request: WaitingRequest): void {
    this.#waiting.add(request)
    const { stats } = this.environment
    stats.rqPendingTotal.inc()
    stats.rqPendingActive.inc()
  }

  /** False when the request does not wait any longer. */
  #dequeue(request: WaitingRequest): boolean {
    if (!this.#waiting.delete(request)) return false
    this.environment.stats.rqPendingActive.dec()
    this.#resources.pendingRequests.release()
    return true
  }

  /** Fails those that wait now; what their callers ask for meanwhile waits anew. */
  #failWaiting(failure: StreamFailure): void {
    const failed = this.#waiting.toArray()
    for (const request of failed) this.#dequeue(request)
    if (failed.length > 0) this.environment.onFailure(failure)
    for (const request of failed) {
      this.environment.stats.rqPendingFailureEject.inc()
      request.callbacks.onPoolFailure(failure, this.#host)
    }
  }

  #reportDrained(): void {
    if (this.#retired && this.empty) this.environment.onPoolDrained(this.#host)
  }
}
