/**
 * A downstream connection whose protocol is not known yet (`codec_type: AUTO`): what the TLS handshake agreed on counts, or
 * else what the client says first. HTTP/2 begins with a preface (RFC 9113 §3.4) that is no HTTP/1.1 request, so everything
 * else is HTTP/1.1; a part of the preface waits for the rest.
 */
import { Timer } from '../base/timer-wheel.ts'
import type { DownstreamConnectionInfo, Protocol } from '../observability/stream-info.ts'
import type { CloseReason, Connection, ConnectionHandler } from '../transport/connection.ts'
import type { ConnectionManager } from './connection-manager.ts'
import type { HttpConnection } from './http-connection.ts'

/** The part that tells; what follows must be right too, which is for the codec to see. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n')

/** Makes the connection that serves, of either protocol. */
export type MakeConnection = (manager: ConnectionManager, http2: boolean) => HttpConnection

export class UndecidedConnection implements ConnectionHandler {
  #manager: ConnectionManager
  readonly #connection: Connection
  readonly #make: MakeConnection
  readonly #onClosed: () => void
  readonly #startMs: number
  readonly #timer: Timer
  #begun: Buffer | undefined = undefined
  #decided: HttpConnection | undefined = undefined
  #draining = false

  constructor(
    manager: ConnectionManager,
    connection: Connection,
    info: DownstreamConnectionInfo,
    make: MakeConnection,
    onClosed: () => void,
  ) {
    this.#manager = manager
    this.#connection = connection
    this.#make = make
    this.#onClosed = onClosed
    this.#startMs = manager.clock.now()
    this.#timer = new Timer(() => this.#onTimer())
    const alpn = info.tls?.alpn ?? ''
    if (alpn !== '') this.#decide(alpn === 'h2')
    else this.#startTimer()
  }

  get protocol(): Protocol | '' {
    return this.#decided?.protocol ?? ''
  }

  get protocolError(): boolean {
    return this.#decided?.protocolError === true
  }

  adopt(next: ConnectionManager): boolean {
    if (this.#decided !== undefined) return this.#decided.adopt(next)
    if (this.#draining || !this.#manager.compatible(next, 'undecided')) return false
    this.#manager.stats.gauges.downstream_cx_active.dec()
    next.stats.gauges.downstream_cx_active.inc()
    this.#manager = next
    return true
  }

  drain(closeIdle: boolean): void {
    if (this.#decided !== undefined) this.#decided.drain(closeIdle)
    else if (closeIdle) this.#connection.closeAfterFlush(this.#manager.config.delayedCloseTimeoutMs)
    else this.#draining = true
  }

  destroy(): void {
    this.#connection.close()
  }

  onConnected(): void {}

  onData(chunk: Buffer): void {
    if (this.#decided !== undefined) {
      this.#decided.onData(chunk)
      return
    }
    const bytes = this.#begun === undefined ? chunk : Buffer.concat([this.#begun, chunk])
    const length = Math.min(bytes.length, PREFACE.length)
    const same = bytes.compare(PREFACE, 0, length, 0, length) === 0
    if (same && length < PREFACE.length) {
      this.#begun = Buffer.from(bytes)
      return
    }
    this.#begun = undefined
    this.#decide(same).onData(bytes)
  }

  onEnd(): void {
    if (this.#decided !== undefined) this.#decided.onEnd()
    else this.#connection.closeAfterFlush(0)
  }

  onBackpressure(above: boolean): void {
    this.#decided?.onBackpressure(above)
  }

  onClose(reason: CloseReason): void {
    if (this.#decided !== undefined) {
      this.#decided.onClose(reason)
      return
    }
    const { stats, timers, clock } = this.#manager
    timers.stop(this.#timer)
    stats.gauges.downstream_cx_active.dec()
    stats.chargeDestroy(reason, false)
    stats.cxLengthMs.record(clock.now() - this.#startMs)
    this.#onClosed()
  }

  #decide(http2: boolean): HttpConnection {
    this.#manager.timers.stop(this.#timer)
    const decided = this.#make(this.#manager, http2)
    this.#decided = decided
    this.#connection.handler = decided
    if (this.#draining) decided.drain(false)
    return decided
  }

  #startTimer(): void {
    const idle = this.#manager.config.connectionIdleTimeoutMs || Number.POSITIVE_INFINITY
    const limit = Math.min(idle, this.#manager.drawConnectionDuration())
    if (limit !== Number.POSITIVE_INFINITY) this.#manager.timers.start(this.#timer, limit)
  }

  #onTimer(): void {
    const { config, stats, clock } = this.#manager
    const age = clock.now() - this.#startMs
    if (config.connectionIdleTimeoutMs > 0 && age >= config.connectionIdleTimeoutMs) {
      stats.named.downstream_cx_idle_timeout.inc()
    } else stats.named.downstream_cx_max_duration_reached.inc()
    this.#connection.closeAfterFlush(0)
  }
}
