/**
 * What downstream HTTP connections have in common, whatever version they speak: the connection manager they belong to,
 * what they are counted as, and when they have been idle, or have lived, for too long.
 */
import { Timer } from '../base/timer-wheel.ts'
import type { DownstreamConnectionInfo, Protocol } from '../observability/stream-info.ts'
import type { CloseReason, Connection, ConnectionHandler } from '../transport/connection.ts'
import type { ConnectionManager } from './connection-manager.ts'

/** As {@link ConnectionManager.compatible} and the gauges of Envoy tell them apart. */
type HttpVersion = 'HTTP/1' | 'HTTP/2'

const ACTIVE_GAUGE = { 'HTTP/1': 'downstream_cx_http1_active', 'HTTP/2': 'downstream_cx_http2_active' } as const
const TOTAL = { 'HTTP/1': 'downstream_cx_http1_total', 'HTTP/2': 'downstream_cx_http2_total' } as const

export abstract class HttpConnection implements ConnectionHandler {
  readonly info: DownstreamConnectionInfo
  protected readonly connection: Connection
  protected readonly startMs: number
  /** When the last exchange ended, or the connection began. */
  protected idleSinceMs: number
  /** Its peer broke the protocol. */
  protocolError = false
  #manager: ConnectionManager
  #maxDurationMs: number
  readonly #version: HttpVersion
  readonly #onClosed: () => void
  /** Armed for the earliest time at which something may be overdue; looks at the clock when it fires. */
  readonly #timer = new Timer(() => this.#onTimer())
  /** The timer is that of {@link startDrainTimer} now. */
  #draining = false
  #bytesRead = 0
  #bytesWritten = 0

  protected constructor(
    version: HttpVersion,
    manager: ConnectionManager,
    connection: Connection,
    info: DownstreamConnectionInfo,
    startMs: number,
    onClosed: () => void,
  ) {
    this.#version = version
    this.#manager = manager
    this.#maxDurationMs = manager.drawConnectionDuration()
    this.connection = connection
    this.info = info
    this.startMs = startMs
    this.idleSinceMs = startMs
    this.#onClosed = onClosed
    manager.stats.named[TOTAL[version]].inc()
    manager.stats.gauges[ACTIVE_GAUGE[version]].inc()
  }

  get manager(): ConnectionManager {
    return this.#manager
  }

  /** What is spoken, '' while nothing has been understood. */
  abstract get protocol(): Protocol | ''
  /** No exchange is under way: `idle_timeout` counts. */
  protected abstract get quiet(): boolean
  /** It has been told that it will end; nothing is timed any longer but that end. */
  protected abstract get ending(): boolean
  /** First step of a graceful end: the connection has lived, or been idle, for as long as it may. */
  protected abstract startDraining(): void
  /** `drain_timeout` after {@link startDrainTimer}. */
  protected abstract onDrainTimeout(): void
  abstract onData(chunk: Buffer): void
  abstract onEnd(): void
  abstract onBackpressure(above: boolean): void
  /** The transport is gone. */
  protected abstract onTransportClosed(reason: CloseReason): void
  /** Takes no further request: closes now when idle and `closeIdle`, otherwise after what is under way. */
  abstract drain(closeIdle: boolean): void

  onConnected(): void {}

  /** Requests from now on are `next`'s; those under way keep the manager they began with. */
  adopt(next: ConnectionManager): boolean {
    if (this.ending || !this.#manager.compatible(next, this.#version)) return false
    const gauge = ACTIVE_GAUGE[this.#version]
    const before = this.#manager.stats.gauges
    const after = next.stats.gauges
    before.downstream_cx_active.dec()
    before[gauge].dec()
    after.downstream_cx_active.inc()
    after[gauge].inc()
    this.#manager = next
    this.#maxDurationMs = next.drawConnectionDuration()
    return true
  }

  destroy(): void {
    this.connection.close()
  }

  onClose(reason: CloseReason): void {
    this.stopTimer()
    this.onTransportClosed(reason)
    this.#onClosed()
  }

  /** `active`: requests were under way. */
  protected chargeClose(reason: CloseReason, active: boolean): void {
    const { stats, clock } = this.#manager
    stats.gauges.downstream_cx_active.dec()
    stats.gauges[ACTIVE_GAUGE[this.#version]].dec()
    stats.chargeDestroy(reason, active)
    stats.cxLengthMs.record(clock.now() - this.startMs)
    this.chargeBytes()
  }

  /** Charges what the connection has moved since it was last asked; at the end of a request, not at every write. */
  protected chargeBytes(): void {
    const { bytesRead, bytesWritten } = this.connection
    const { named } = this.#manager.stats
    named.downstream_cx_rx_bytes_total.add(bytesRead - this.#bytesRead)
    named.downstream_cx_tx_bytes_total.add(bytesWritten - this.#bytesWritten)
    this.#bytesRead = bytesRead
    this.#bytesWritten = bytesWritten
  }

  // Timers of the connection; those of a request are the stream's.

  /** When the version at hand has something to look at; Infinity for never. */
  protected nextDeadline(_now: number): number {
    return Number.POSITIVE_INFINITY
  }

  /** Looks at what {@link nextDeadline} was for. `true`: the connection is ending, nothing more is to be timed. */
  protected checkDeadlines(_now: number): boolean {
    return false
  }

  protected startTimer(): void {
    const { config, clock, timers } = this.#manager
    const now = clock.now()
    let next = this.nextDeadline(now)
    next = Math.min(next, this.startMs + this.#maxDurationMs)
    if (config.connectionIdleTimeoutMs > 0) {
      next = Math.min(next, (this.quiet ? this.idleSinceMs : now) + config.connectionIdleTimeoutMs)
    }
    if (next !== Number.POSITIVE_INFINITY) timers.start(this.#timer, Math.max(next - now, 1))
  }

  /** Requests may be on their way: for `drain_timeout` they are still taken. */
  protected startDrainTimer(): void {
    this.#draining = true
    this.#manager.timers.start(this.#timer, this.#manager.config.drainTimeoutMs)
  }

  protected stopTimer(): void {
    this.#manager.timers.stop(this.#timer)
  }

  #onTimer(): void {
    if (this.#draining) {
      this.onDrainTimeout()
      return
    }
    const { config, clock, stats } = this.#manager
    const now = clock.now()
    if (now >= this.startMs + this.#maxDurationMs && !this.ending) {
      stats.named.downstream_cx_max_duration_reached.inc()
      this.startDraining()
      return
    }
    if (this.checkDeadlines(now)) return
    if (this.quiet && config.connectionIdleTimeoutMs > 0 && now >= this.idleSinceMs + config.connectionIdleTimeoutMs) {
      stats.named.downstream_cx_idle_timeout.inc()
      this.startDraining()
      return
    }
    this.startTimer()
  }
}
