/**
 * What the connections to an upstream have in common, whatever they speak: how long they live, when they may be lent, and
 * what their beginning and their end are counted as.
 */
import { Timer } from '../base/timer-wheel.ts'
import type { CloseReason, Connection, ConnectionHandler } from '../transport/connection.ts'
import type { PoolEnvironment } from './pool.ts'
import { type ConnectionOwner, PooledConnection } from './pooled-connection.ts'

export abstract class UpstreamConnection extends PooledConnection implements ConnectionHandler {
  /** Requests begun on this connection. */
  requests = 0
  /** Requests it may still begin (`max_requests_per_connection`); Infinity without a limit. */
  remainingRequests: number
  readonly environment: PoolEnvironment
  protected readonly owner: ConnectionOwner
  protected connected = false
  /** Never to be lent again. */
  protected unusable = false
  readonly #idleTimeoutMs: number
  readonly #idleTimer = new Timer(() => this.#onIdleTimeout())
  readonly #maxDurationMs: number
  readonly #durationTimer: Timer | undefined
  readonly #startedMs: number
  #sentBytesCharged = 0
  #destroyCharged = false

  protected constructor(owner: ConnectionOwner) {
    super()
    const { environment } = owner
    const { settings, clock } = environment
    this.owner = owner
    this.environment = environment
    this.#startedMs = clock.now()
    this.#idleTimeoutMs = settings.idleTimeoutMs
    this.#maxDurationMs = settings.maxConnectionDurationMs
    this.#durationTimer = this.#maxDurationMs > 0 ? new Timer(() => this.#onMaxDuration()) : undefined
    this.remainingRequests =
      settings.maxRequestsPerConnection > 0 ? settings.maxRequestsPerConnection : Number.POSITIVE_INFINITY
  }

  abstract readonly transport: Connection
  abstract onData(chunk: Buffer): void
  abstract onEnd(): void
  abstract onBackpressure(above: boolean): void
  /** The transport is gone, and with it the requests under way. */
  protected abstract failStreams(reason: CloseReason): void

  /** Starts the clock of `idle_timeout`. Called by the pool when it keeps the connection without a request. */
  startIdleTimeout(): void {
    if (this.#idleTimeoutMs > 0) this.environment.timers.start(this.#idleTimer, this.#idleTimeoutMs)
  }

  /** Closes once the requests under way are over; now when there are none. */
  drain(): void {
    this.becomeUnusable()
    if (!this.busy) this.close()
  }

  close(): void {
    this.becomeUnusable()
    this.transport.close('fin')
  }

  onConnected(): void {
    const { stats, clock, timers } = this.environment
    this.connected = true
    stats.cxConnectMs.record(Math.round(clock.now() - this.#startedMs))
    if (this.#durationTimer !== undefined) timers.start(this.#durationTimer, this.#maxDurationMs)
    this.owner.onConnected(this)
  }

  onClose(reason: CloseReason): void {
    const { stats, clock, timers } = this.environment
    timers.stop(this.#idleTimer)
    if (this.#durationTimer !== undefined) timers.stop(this.#durationTimer)
    this.chargeSentBytes()
    this.chargeDestroy(reason.kind === 'local' || reason.kind === 'connect_timeout', this.busy)
    if (this.connected) {
      stats.cxLengthMs.record(Math.round(clock.now() - this.#startedMs))
      stats.rqPerCx.record(this.requests)
    }
    // First, because those who hear of it ask for another at once.
    this.becomeUnusable()
    this.failStreams(reason)
    this.owner.onClosed(this, reason, this.connected)
  }

  protected becomeUnusable(): void {
    if (this.unusable) return
    this.unusable = true
    this.owner.onUnusable(this)
  }

  /** Bytes are counted when a request ends and when the connection does, not at every write. */
  protected chargeSentBytes(): void {
    const sent = this.transport.bytesWritten
    this.environment.stats.cxTxBytesTotal.add(sent - this.#sentBytesCharged)
    this.#sentBytesCharged = sent
  }

  /** Charged once: when an exchange fails for what the peer did, or when the connection closes for another reason. */
  protected chargeDestroy(local: boolean, active: boolean): void {
    if (this.#destroyCharged) return
    this.#destroyCharged = true
    this.environment.stats.chargeDestroy(local, active)
  }

  #onIdleTimeout(): void {
    if (this.busy || this.unusable) return
    this.environment.stats.cxIdleTimeout.inc()
    this.close()
  }

  #onMaxDuration(): void {
    if (this.unusable) return
    this.environment.stats.cxMaxDurationReached.inc()
    this.drain()
  }
}
