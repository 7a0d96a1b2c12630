/**
 * An accepted connection until somebody serves it:
 *
 *   FILTERS ── all done, or timeout ──▶ chain chosen ── plaintext ──▶ served
 *                                            │
 *                                            └─ TLS ─▶ HELLO ─▶ HANDSHAKE ──▶ served
 *
 * What has been read on the way is copied, and given to whom the connection goes to.
 */
import { Linked } from '../base/linked-set.ts'
import { Timer } from '../base/timer-wheel.ts'
import { type InspectedSocket, type ListenerFilter, ListenerFilterStatus } from '../filter-chain/listener-filter.ts'
import type { CloseReason, ConnectionHandler } from '../transport/connection.ts'
import type { SocketConnection } from '../transport/socket-connection.ts'
import { parseClientHello } from '../transport/tls/client-hello.ts'
import type { Listener, ServingChain } from './listener.ts'

const EMPTY = Buffer.alloc(0)

export class PendingConnection extends Linked implements ConnectionHandler {
  readonly connection: SocketConnection
  readonly traits: InspectedSocket
  readonly startMs: number
  /** Changes when the listener is replaced meanwhile. */
  owner: Listener
  readonly #filters: readonly ListenerFilter[]
  readonly #timer: Timer
  #next = 0
  #peeked: Buffer = EMPTY
  #chain: ServingChain | undefined = undefined
  #ended = false
  #over = false

  constructor(owner: Listener, connection: SocketConnection, startMs: number) {
    super()
    this.owner = owner
    this.connection = connection
    this.startMs = startMs
    this.#filters = owner.config.listenerFilters
    this.traits = {
      local: connection.local,
      remote: connection.remote,
      transportProtocol: '',
      serverName: '',
      applicationProtocols: [],
    }
    this.#timer = new Timer(() => this.#onTimeout())
  }

  /** Starts the listener filters, or chooses a chain at once where there are none. */
  start(): void {
    this.connection.handler = this
    if (this.#filters.length === 0) {
      this.#chooseChain()
      return
    }
    this.owner.onInspecting(this, true)
    const { listenerFiltersTimeoutMs } = this.owner.config
    if (listenerFiltersTimeoutMs > 0) this.owner.timers.start(this.#timer, listenerFiltersTimeoutMs)
  }

  onConnected(): void {}
  onBackpressure(): void {}

  onData(chunk: Buffer): void {
    this.#peeked = this.#peeked.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#peeked, chunk])
    if (this.#chain === undefined) this.#inspect()
    else this.#greet(this.#chain)
  }

  onEnd(): void {
    this.#ended = true
    if (this.#over) return
    if (this.#chain === undefined) {
      this.owner.stats.filterRemoteClose.inc()
      this.connection.close()
    } else this.connection.failUpgrade({ kind: 'tls', details: '' })
  }

  onClose(reason: CloseReason): void {
    this.#stopInspecting()
    this.owner.timers.stop(this.#timer)
    if (this.#over) return
    this.#over = true
    this.owner.onPendingClosed(this, this.#chain, reason)
  }

  #inspect(): void {
    while (this.#next < this.#filters.length) {
      const status = this.#filters[this.#next]!.inspect(this.#peeked, this.traits)
      if (status === ListenerFilterStatus.More) return
      if (status === ListenerFilterStatus.Close) {
        this.owner.stats.filterError.inc()
        this.connection.close()
        return
      }
      this.#next++
    }
    this.#chooseChain()
  }

  #onTimeout(): void {
    if (this.#chain !== undefined) {
      // `transport_socket_connect_timeout`: the handshake takes too long.
      this.owner.stats.handshakeTimeout.inc()
      this.connection.close()
      return
    }
    this.owner.stats.preCxTimeout.inc()
    if (this.owner.config.continueOnListenerFiltersTimeout) this.#chooseChain()
    // As from Envoy, which has only peeked at the bytes: the kernel answers with RST where something is left unread.
    else this.connection.close(this.#peeked.length > 0 ? 'reset' : 'fin')
  }

  #stopInspecting(): void {
    if (this.#chain !== undefined || this.#filters.length === 0) return
    this.owner.timers.stop(this.#timer)
    this.owner.onInspecting(this, false)
  }

  #chooseChain(): void {
    const chain = this.owner.chainFor(this.traits)
    this.#stopInspecting()
    if (chain === undefined) {
      this.#over = true
      this.owner.onNoChain(this)
      this.connection.close()
      return
    }
    this.#chain = chain
    this.owner.onChainChosen()
    if (chain.tls === undefined) {
      this.#serve(chain)
      return
    }
    const { handshakeTimeoutMs } = chain.tls
    if (handshakeTimeoutMs > 0) this.owner.timers.start(this.#timer, handshakeTimeoutMs)
    if (this.#peeked.length > 0) this.#greet(chain)
  }

  /** Waits until the ClientHello is whole, then hands over to the handshake. */
  #greet(chain: ServingChain): void {
    const hello = parseClientHello(this.#peeked)
    if (hello === 'more') return
    const peeked = this.#peeked
    this.#peeked = EMPTY
    chain.tls!.accept(this.connection, typeof hello === 'string' ? undefined : hello, peeked, () => this.#serve(chain))
  }

  #serve(chain: ServingChain): void {
    this.#over = true
    this.owner.timers.stop(this.#timer)
    const peeked = this.#peeked
    this.#peeked = EMPTY
    const served = this.owner.serve(this, chain)
    this.connection.handler = served
    if (peeked.length > 0) served.onData(peeked)
    if (this.#ended && !this.connection.closed) served.onEnd()
  }
}
