/**
 * HTTP/1.1 connections to one host for one priority (Envoy: `ConnPoolImplBase` with one stream per connection).
 *
 * A request takes the connection that was idle for the shortest time, because that one is the least likely to be closed
 * by the other side just now. Without one it waits in order of arrival, and a connection is opened unless enough are on
 * their way. The circuit breaker is asked where Envoy asks it:
 *
 *   idle connection?  ─yes─▶ max_requests free? ─yes─▶ the request is on its way
 *        │ no                     └─no─▶ overflow
 *        ▼
 *   max_pending_requests free? ─no─▶ overflow
 *        │ yes: wait
 *        ▼
 *   max_connections free, or no connection in this pool at all? ─yes─▶ open one
 *                └─no─▶ wait for one that is busy
 *
 * A connection that cannot be had fails everything that waits, so that routers can try another host at once.
 */
import type { ResponseDecoder, StreamFailure } from '../codec/stream.ts'
import type { CloseReason } from '../transport/connection.ts'
import type { PendingStream, PoolCallbacks, StreamOptions } from './connection-pool.ts'
import { connectionFailure, PENDING_OVERFLOW, POOL_CLOSED, REQUEST_OVERFLOW } from './failures.ts'
import type { Host } from './host.ts'
import { Http1Connection, type Http1ConnectionOwner } from './http1-connection.ts'
import type { ConnectionPool, PoolEnvironment } from './pool.ts'
import type { ResourceManager } from './resource.ts'

/** What a request gets that did not have to wait, or will not be served. */
const NOT_WAITING: PendingStream = { cancel() {} }

/** A request in the queue, which is a ring of these around the pool's `#queue`. */
class WaitingRequest implements PendingStream {
  readonly options: StreamOptions | undefined
  readonly decoder: ResponseDecoder | undefined
  readonly callbacks: PoolCallbacks | undefined
  readonly #pool: Http1Pool | undefined
  next: WaitingRequest = this
  previous: WaitingRequest = this
  waiting = false

  constructor(pool?: Http1Pool, options?: StreamOptions, decoder?: ResponseDecoder, callbacks?: PoolCallbacks) {
    this.options = options
    this.decoder = decoder
    this.callbacks = callbacks
    this.#pool = pool
  }

  cancel(): void {
    this.#pool?.cancel(this)
  }
}

export class Http1Pool implements ConnectionPool, Http1ConnectionOwner {
  readonly environment: PoolEnvironment
  readonly #host: Host
  readonly #resources: ResourceManager
  /** Idle connections; the last was used last. */
  readonly #ready: Http1Connection[] = []
  readonly #connections = new Set<Http1Connection>()
  readonly #queue = new WaitingRequest()
  #waiting = 0
  #connecting = 0
  #active = 0
  #retired = false
  #closed = false

  constructor(host: Host, environment: PoolEnvironment, resources: ResourceManager) {
    this.#host = host
    this.environment = environment
    this.#resources = resources
  }

  get size(): number {
    return this.#connections.size
  }

  get empty(): boolean {
    return this.#connections.size === 0 && this.#waiting === 0 && this.#active === 0
  }

  newStream(options: StreamOptions, decoder: ResponseDecoder, callbacks: PoolCallbacks): PendingStream {
    while (this.#ready.length > 0) {
      const connection = this.#ready.pop()!
      if (!connection.usable) continue
      if (!this.#attach(connection, options, decoder, callbacks)) this.#keep(connection)
      return NOT_WAITING
    }
    if (this.#closed) {
      callbacks.onPoolFailure(POOL_CLOSED, this.#host)
      return NOT_WAITING
    }
    const { stats } = this.environment
    if (!this.#resources.pendingRequests.canCreate()) {
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
    for (const connection of [...this.#connections]) {
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
    for (const connection of [...this.#connections]) connection.close()
    this.#failWaiting(POOL_CLOSED)
  }

  /** Called by a waiting request that nobody needs any longer. The connection being opened for it is kept. */
  cancel(request: WaitingRequest): void {
    if (!request.waiting) return
    this.#dequeue(request)
    this.environment.stats.rqCancelled.inc()
    this.#reportDrained()
  }

  // Connections report here.

  onConnected(connection: Http1Connection): void {
    this.#connecting--
    this.#offer(connection)
  }

  onIdle(connection: Http1Connection): void {
    if (this.#retired && this.#waiting === 0) connection.close()
    else this.#offer(connection)
  }

  onExchangeEnd(): void {
    this.#active--
    this.environment.stats.rqActive.dec()
    this.#host.stats.rqActive.dec()
    this.#resources.requests.release()
  }

  onUnusable(connection: Http1Connection): void {
    const index = this.#ready.lastIndexOf(connection)
    if (index >= 0) this.#ready.splice(index, 1)
  }

  onClosed(connection: Http1Connection, reason: CloseReason, connected: boolean): void {
    if (!this.#connections.delete(connection)) return
    const { stats } = this.environment
    stats.cxActive.dec()
    this.#host.stats.cxActive.dec()
    this.#resources.connections.release()
    if (!connected) {
      this.#connecting--
      stats.cxConnectFail.inc()
      this.#host.stats.cxConnectFail.inc()
      if (reason.kind === 'connect_timeout') stats.cxConnectTimeout.inc()
      this.#failWaiting(connectionFailure(reason))
    }
    // Whoever still waits was counting on this connection.
    if (!this.#closed) this.#connectAsNeeded()
    this.#reportDrained()
  }

  #offer(connection: Http1Connection): void {
    for (let request = this.#queue.next; request !== this.#queue; request = this.#queue.next) {
      this.#dequeue(request)
      if (!this.#attach(connection, request.options!, request.decoder!, request.callbacks!)) continue
      this.#connectAsNeeded()
      return
    }
    if (this.#retired) connection.close()
    else this.#keep(connection)
  }

  #keep(connection: Http1Connection): void {
    this.#ready.push(connection)
    connection.startIdleTimeout()
  }

  /** Gives the connection to a request; false when the circuit breaker forbids it, which fails the request. */
  #attach(
    connection: Http1Connection,
    options: StreamOptions,
    decoder: ResponseDecoder,
    callbacks: PoolCallbacks,
  ): boolean {
    const { stats } = this.environment
    const { requests } = this.#resources
    if (!requests.canCreate()) {
      stats.rqActiveOverflow.inc()
      callbacks.onPoolFailure(REQUEST_OVERFLOW, this.#host)
      return false
    }
    requests.take()
    this.#active++
    stats.rqTotal.inc()
    stats.rqActive.inc()
    const host = this.#host
    host.stats.rqTotal.inc()
    host.stats.rqActive.inc()
    const exchange = connection.begin(options, decoder)
    if (connection.remainingRequests === 0) stats.cxMaxRequests.inc()
    callbacks.onPoolReady(exchange, host, exchange)
    connection.announceBackpressure(exchange)
    return true
  }

  #connectAsNeeded(): void {
    while (this.#waiting > this.#connecting) {
      const allowed = this.#resources.connections.canCreate()
      if (!allowed) {
        this.environment.stats.cxOverflow.inc()
        // A pool may always open its first connection: other pools may hold all the others for good.
        if (this.#connections.size > 0) return
      }
      this.#connect()
    }
  }

  #connect(): void {
    const { stats, settings, timers } = this.environment
    const host = this.#host
    stats.cxTotal.inc()
    stats.cxActive.inc()
    stats.cxHttp1Total.inc()
    host.stats.cxTotal.inc()
    host.stats.cxActive.inc()
    this.#resources.connections.take()
    this.#connecting++
    const connection = new Http1Connection(this, handler => settings.connect(host.address, settings, handler, timers))
    this.#connections.add(connection)
  }

  #enqueue(request: WaitingRequest): void {
    const queue = this.#queue
    request.waiting = true
    request.previous = queue.previous
    request.next = queue
    queue.previous.next = request
    queue.previous = request
    this.#waiting++
    const { stats } = this.environment
    stats.rqPendingTotal.inc()
    stats.rqPendingActive.inc()
    this.#resources.pendingRequests.take()
  }

  #dequeue(request: WaitingRequest): void {
    request.waiting = false
    request.previous.next = request.next
    request.next.previous = request.previous
    this.#waiting--
    this.environment.stats.rqPendingActive.dec()
    this.#resources.pendingRequests.release()
  }

  /** Fails those that wait now; what their callers ask for meanwhile waits anew. */
  #failWaiting(failure: StreamFailure): void {
    const failed: WaitingRequest[] = []
    for (let request = this.#queue.next; request !== this.#queue; request = this.#queue.next) {
      this.#dequeue(request)
      failed.push(request)
    }
    if (failed.length > 0) this.environment.onFailure(failure)
    for (const request of failed) {
      this.environment.stats.rqPendingFailureEject.inc()
      request.callbacks!.onPoolFailure(failure, this.#host)
    }
  }

  #reportDrained(): void {
    if (this.#retired && this.empty) this.environment.onPoolDrained(this.#host)
  }
}
