/**
 * Keep-alive of one HTTP/2 connection (`connection_keepalive`): a PING every interval and, if asked for, before a stream on
 * a connection that has been silent; a connection whose PING is not answered in time is dead.
 */
import type { Clock } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import { Timer, type Timers } from '../base/timer-wheel.ts'
import type { KeepAliveSettings } from './http2-settings.ts'

export interface KeepAliveOwner {
  sendPing(opaque: bigint): void
  /** No answer came in time. */
  onKeepAliveTimeout(): void
}

export class Http2KeepAlive {
  readonly #settings: KeepAliveSettings
  readonly #owner: KeepAliveOwner
  readonly #timers: Timers
  readonly #clock: Clock
  readonly #random: Random
  readonly #interval = new Timer(() => this.#ping())
  readonly #timeout = new Timer(() => this.#owner.onKeepAliveTimeout())
  #lastReceivedMs: number

  constructor(settings: KeepAliveSettings, owner: KeepAliveOwner, clock: Clock, timers: Timers, random: Random) {
    this.#settings = settings
    this.#owner = owner
    this.#timers = timers
    this.#clock = clock
    this.#random = random
    this.#lastReceivedMs = clock.now()
    this.#armInterval()
  }

  onReceived(): void {
    this.#lastReceivedMs = this.#clock.now()
  }

  onPingAck(): void {
    this.#timers.stop(this.#timeout)
    this.#armInterval()
  }

  /** A stream is about to be opened: nobody wants to learn from its timeout that the connection was dead. */
  beforeStream(): void {
    const { idleIntervalMs } = this.#settings
    if (idleIntervalMs > 0 && this.#clock.now() - this.#lastReceivedMs > idleIntervalMs) this.#ping()
  }

  stop(): void {
    this.#timers.stop(this.#interval)
    this.#timers.stop(this.#timeout)
  }

  #ping(): void {
    // What is measured is whether an answer comes at all, so a second PING does not give the first one more time.
    if (this.#timeout.active) return
    this.#owner.sendPing(BigInt(Math.round(this.#clock.now() * 1000)))
    this.#timers.start(this.#timeout, this.#settings.timeoutMs)
  }

  #armInterval(): void {
    const { intervalMs, jitterPercent } = this.#settings
    if (intervalMs === 0) return
    this.#timers.start(this.#interval, intervalMs * (1 + (this.#random.next() * jitterPercent) / 100))
  }
}
