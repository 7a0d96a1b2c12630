/**
 * A listener: the socket it is bound to and the filter chains new connections are given to.
 *
 * The two have different lives. A socket stays open for as long as any configuration names its address, so that no update
 * ever loses a connection in the accept queue; the chains behind it are replaced whole. Connections keep the chain they
 * were accepted with and are drained when that chain is gone.
 */
import { type Address, addressText } from '../base/address.ts'
import type { Clock } from '../base/clock.ts'
import { Linked, LinkedSet } from '../base/linked-set.ts'
import type { Timers } from '../base/timer-wheel.ts'
import type { Metadata } from '../config/schema/generated/types.ts'
import { configuredMetadata } from '../filter-chain/configured-metadata.ts'
import type { InspectedSocket, ListenerFilter } from '../filter-chain/listener-filter.ts'
import type { FormatContext, MetadataKind } from '../observability/formatter/context.ts'
import { logger } from '../observability/logging.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { Counter, Gauge, Histogram, StatsScope } from '../observability/stats.ts'
import { type DownstreamConnectionInfo, type Protocol, StreamInfo } from '../observability/stream-info.ts'
import type { CloseReason, Connection, ConnectionHandler } from '../transport/connection.ts'
import { listenPlaintext, type PlaintextListener } from '../transport/plaintext.ts'
import type { SocketConnection } from '../transport/socket-connection.ts'
import type { TcpKeepalive } from '../transport/tcp-keepalive.ts'
import type { DownstreamTls } from '../transport/tls/downstream-tls.ts'
import type { FilterChainMatcher } from './filter-chain-match.ts'
import { PendingConnection } from './pending-connection.ts'

const log = logger('listener')

/** Requests always have a protocol, connections need not have got that far; logs print `-` for it. */
const UNKNOWN_PROTOCOL = '' as Protocol

/** A connection that a chain has taken on. */
export interface ServedConnection extends ConnectionHandler {
  /** What is spoken on it, '' while nothing has been understood. */
  readonly protocol: Protocol | ''
  /** It ended because its peer broke the protocol. */
  readonly protocolError: boolean
  /**
   * Serve what comes next by `chain`; what is under way finishes as it began. False where that cannot be done, because
   * the chain differs in what was settled when the connection was made.
   */
  adoptChain(chain: ServingChain): boolean
  /** Take nothing new; close when what is under way is done, at once when nothing is and `closeIdle` says so. */
  drain(closeIdle: boolean): void
  destroy(): void
}

/** Writes the access log entry of a connection that has ended. */
export interface ConnectionLogger {
  log(context: FormatContext): void
}

/** One filter chain, ready to serve. */
export interface ServingChain {
  readonly name: string
  /** Undefined where the chain is served in plaintext. */
  readonly tls: DownstreamTls | undefined
  readonly metadata?: Metadata | undefined
  /** A connection of this chain has ended in its TLS handshake, before anything could serve it. */
  onHandshakeFailed(): void
  serve(connection: Connection, info: DownstreamConnectionInfo, onClosed: () => void): ServedConnection
  /** It serves no new connection any more, and has none of its own; may be said twice. */
  close(): void
}

export interface ListenerConfig {
  readonly name: string
  /** Addresses to bind, the first one naming the stats. */
  readonly addresses: readonly Address[]
  /** Where they are bound in fact: other workers have been given ports by the system. Default: `addresses`. */
  readonly bindTo?: readonly Address[] | undefined
  readonly statPrefix: string
  readonly metadata?: Metadata | undefined
  readonly bindToPort: boolean
  readonly reusePort: boolean
  /** `ipv4_compat`, by the place of the address: an IPv6 socket that takes IPv4 connections too. */
  readonly dualStack: readonly boolean[]
  readonly backlog: number
  readonly bufferLimitBytes: number
  readonly chains: FilterChainMatcher<ServingChain>
  readonly listenerFilters: readonly ListenerFilter[]
  /** Time for all listener filters together, 0 for none. */
  readonly listenerFiltersTimeoutMs: number
  /** When that time is over the chain is chosen by what is known, rather than the connection closed. */
  readonly continueOnListenerFiltersTimeout: boolean
  /** Connections accepted beyond this are closed at once; 0 is no limit. */
  readonly maxConnections: number
  /** `access_log`: told of each connection when it has ended, those that no filter chain takes included. */
  readonly loggers: readonly ConnectionLogger[]
  /** `tcp_keepalive`, by the place of the address; none where it is missing. */
  readonly keepAlives?: readonly (TcpKeepalive | undefined)[] | undefined
  /** Which worker serves it, for its stats; 0 by default. */
  readonly worker?: number | undefined
}

export class ListenerStats {
  readonly cxTotal: Counter
  readonly cxActive: Gauge
  readonly cxDestroy: Counter
  readonly cxOverflow: Counter
  readonly noFilterChainMatch: Counter
  readonly cxLengthMs: Histogram
  readonly handshakeTimeout: Counter
  readonly filterError: Counter
  readonly filterRemoteClose: Counter
  readonly preCxTimeout: Counter
  readonly preCxActive: Gauge
  /** Of this worker alone. */
  readonly workerCxTotal: Counter
  readonly workerCxActive: Gauge
  constructor(scope: StatsScope, workerIndex: number) {
    this.cxTotal = scope.counter('downstream_cx_total')
    this.cxActive = scope.gauge('downstream_cx_active')
    this.cxDestroy = scope.counter('downstream_cx_destroy')
    this.cxOverflow = scope.counter('downstream_cx_overflow')
    this.noFilterChainMatch = scope.counter('no_filter_chain_match')
    this.cxLengthMs = scope.histogram('downstream_cx_length_ms')
    const worker = scope.scope(`worker_${workerIndex}`)
    this.workerCxTotal = worker.counter('downstream_cx_total')
    this.workerCxActive = worker.gauge('downstream_cx_active')
    scope.counter('downstream_cx_overload_reject')
    scope.counter('downstream_global_cx_overflow')
    this.handshakeTimeout = scope.counter('downstream_cx_transport_socket_connect_timeout')
    this.filterError = scope.counter('downstream_listener_filter_error')
    this.filterRemoteClose = scope.counter('downstream_listener_filter_remote_close')
    this.preCxTimeout = scope.counter('downstream_pre_cx_timeout')
    scope.counter('connections_accepted_per_socket_event')
    scope.counter('extension_config_missing')
    scope.counter('network_extension_config_missing')
    this.preCxActive = scope.gauge('downstream_pre_cx_active')
  }
}

/** Stats are named after the address, with `_` for what separates names (Envoy: `listener.127.0.0.1_10000.`). */
export function listenerStatName(config: { statPrefix: string; addresses: readonly Address[] }): string {
  return config.statPrefix !== '' ? config.statPrefix : addressText(config.addresses[0]!).replaceAll(':', '_')
}

/** A connection and who serves it; the owner changes when a listener is replaced. */
class Held extends Linked {
  readonly connection: Connection
  readonly startMs: number
  /** By which a chain of the next listener is chosen. */
  readonly traits: InspectedSocket
  readonly chain: ServingChain
  owner: Listener
  served!: ServedConnection

  constructor(owner: Listener, { connection, startMs, traits }: PendingConnection, chain: ServingChain) {
    super()
    this.owner = owner
    this.chain = chain
    this.connection = connection
    this.startMs = startMs
    this.traits = traits
  }
}

/** A bound socket whose owner may change. */
interface BoundSocket {
  readonly address: Address
  readonly listener: PlaintextListener
  owner: Listener | undefined
  /** Which of the owner's addresses it is. */
  index: number
  accepted: number
}

export class Listener {
  readonly config: ListenerConfig
  readonly stats: ListenerStats
  readonly timers: Timers
  readonly #clock: Clock
  readonly #scope: StatsScope
  readonly #connections = new LinkedSet<Held>()
  /** Accepted, and not yet served by anybody. */
  readonly #pending = new LinkedSet<PendingConnection>()
  sockets: BoundSocket[] = []
  draining = false

  constructor(config: ListenerConfig, clock: Clock, timers: Timers, rootStats: StatsScope) {
    this.config = config
    this.#clock = clock
    this.timers = timers
    this.#scope = rootStats.scope(`listener.${listenerStatName(config)}`)
    this.stats = new ListenerStats(this.#scope, config.worker ?? 0)
  }

  get connectionCount(): number {
    return this.#connections.size + this.#pending.size
  }

  /** Takes a connection on; false when there are too many. */
  accept(connection: SocketConnection): boolean {
    const { maxConnections } = this.config
    if (maxConnections > 0 && this.connectionCount >= maxConnections) {
      this.stats.cxOverflow.inc()
      return false
    }
    const pending = new PendingConnection(this, connection, this.#clock.now())
    this.#pending.add(pending)
    pending.start()
    return true
  }

  // Pending connections report and ask here.

  chainFor(traits: InspectedSocket): ServingChain | undefined {
    return this.config.chains.find({
      local: traits.local,
      remote: traits.remote,
      directRemote: traits.remote,
      serverName: traits.serverName,
      transportProtocol: traits.transportProtocol,
      applicationProtocols: traits.applicationProtocols,
    })
  }

  onInspecting(_pending: PendingConnection, begins: boolean): void {
    if (begins) this.stats.preCxActive.inc()
    else this.stats.preCxActive.dec()
  }

  onChainChosen(): void {
    const { stats } = this
    stats.cxTotal.inc()
    stats.workerCxTotal.inc()
    stats.cxActive.inc()
    stats.workerCxActive.inc()
  }

  onNoChain(pending: PendingConnection): void {
    // No connection yet, to Envoy: `downstream_cx_total` goes without it.
    this.stats.noFilterChainMatch.inc()
    this.#pending.delete(pending)
    this.#log(pending, undefined, info => {
      info.responseFlags = ResponseFlag.NoRouteFound
      info.responseCodeDetails = 'filter_chain_not_found'
    })
    this.#reportDrained()
  }

  /** Closed before anybody served it; `chain` is set when it got as far as its handshake. */
  onPendingClosed(pending: PendingConnection, chain: ServingChain | undefined, reason: CloseReason): void {
    this.#pending.delete(pending)
    if (chain !== undefined) {
      this.#countEnd(pending.startMs)
      chain.onHandshakeFailed()
      log.debug(
        { listener: this.config.name, peer: addressText(pending.connection.remote), details: reason.details },
        'TLS handshake failed',
      )
    }
    this.#log(pending, chain, info => {
      if (reason.kind === 'tls') info.downstreamTransportFailure = reason.details
    })
    this.#reportDrained()
  }

  serve(pending: PendingConnection, chain: ServingChain): ServedConnection {
    const { connection, traits } = pending
    const info = this.#connectionInfo(connection, traits, chain)
    const held = new Held(this, pending, chain)
    held.served = chain.serve(connection, info, () => held.owner.#onClosed(held))
    this.#pending.delete(pending)
    this.#connections.add(held)
    if (this.draining) held.served.drain(false)
    return held.served
  }

  #onClosed(held: Held): void {
    this.#countEnd(held.startMs)
    this.#log(held, held.chain, info => {
      info.bytesReceived = held.connection.bytesRead
      info.bytesSent = held.connection.bytesWritten
      info.protocol = held.served.protocol as Protocol
      if (held.served.protocolError) info.responseFlags = ResponseFlag.DownstreamProtocolError
    })
    this.#connections.delete(held)
    this.#reportDrained()
  }

  #log(ended: Held | PendingConnection, chain: ServingChain | undefined, complete: (info: StreamInfo) => void): void {
    const { loggers } = this.config
    if (loggers.length === 0) return
    const { connection, traits, startMs } = ended
    const now = this.#clock.now()
    const downstream = this.#connectionInfo(connection, traits, chain)
    const info = new StreamInfo(downstream, UNKNOWN_PROTOCOL, startMs, this.#clock.wall() - (now - startMs))
    info.endMs = now
    complete(info)
    const metadata = (kind: MetadataKind) => configuredMetadata(kind, info, undefined)
    for (const logger of loggers) logger.log({ info, accessLogType: 'NotSet', metadata })
  }

  #connectionInfo(
    connection: Connection,
    traits: InspectedSocket,
    chain: ServingChain | undefined,
  ): DownstreamConnectionInfo {
    return {
      id: connection.id,
      directRemote: connection.remote,
      local: connection.local,
      listenerName: this.config.name,
      filterChainName: chain?.name ?? '',
      tls: connection.tls,
      requestedServerName: traits.serverName,
      listenerMetadata: this.config.metadata,
      filterChainMetadata: chain?.metadata,
    }
  }

  #countEnd(startMs: number): void {
    const { stats } = this
    stats.cxActive.dec()
    stats.workerCxActive.dec()
    stats.cxDestroy.inc()
    stats.cxLengthMs.record(this.#clock.now() - startMs)
  }

  #reportDrained(): void {
    if (this.draining && this.connectionCount === 0) this.#onDrained?.()
  }

  /**
   * Hands its connections to the listener that takes its place, so that a reload neither closes them nor leaves them with
   * routes and clusters that are gone. Those that cannot go on with the new chains stay, to be drained.
   */
  handOver(next: Listener): void {
    for (const held of this.#connections.toArray()) {
      const chain = next.chainFor(held.traits)
      // What was encrypted stays so.
      if (chain === undefined || (chain.tls === undefined) !== (held.connection.tls === undefined)) continue
      if (!held.served.adoptChain(chain)) continue
      this.#connections.delete(held)
      next.#connections.add(held)
      held.owner = next
      this.stats.cxActive.dec()
      this.stats.workerCxActive.dec()
      next.stats.cxActive.inc()
      next.stats.workerCxActive.inc()
    }
  }

  #onDrained: (() => void) | undefined
  #emptied: Promise<void> | undefined

  /** Asks every connection to end; resolves when none is left. */
  drain(closeIdle: boolean): Promise<void> {
    this.draining = true
    for (const { served } of this.#connections.toArray()) served.drain(closeIdle)
    return this.emptied()
  }

  /** Resolves when no connection is left; asks none to end: the responses on them see to that. */
  emptied(): Promise<void> {
    this.draining = true
    if (this.connectionCount === 0) return Promise.resolve()
    this.#emptied ??= new Promise(resolve => {
      this.#onDrained = resolve
    })
    return this.#emptied
  }

  /** Ends every connection now. */
  destroy(): void {
    for (const { served } of this.#connections.toArray()) served.destroy()
    for (const { connection } of this.#pending.toArray()) connection.close()
    for (const chain of this.config.chains.chains) chain.close()
    this.#scope.release()
  }
}

/** Sockets by address, handed from one version of a listener to the next. */
export class ListenerSockets {
  readonly #bound = new Map<string, BoundSocket>()
  readonly #timers: Timers
  /** Of addresses that are about to be free. */
  #closing: Promise<unknown> = Promise.resolve()

  constructor(timers: Timers) {
    this.#timers = timers
  }

  /**
   * Binds what of the listener's addresses is not bound yet; those sockets accept for it from now on. Rejects with the
   * system's error when an address cannot be had; what this call has bound is then closed again.
   */
  async bind(listener: Listener): Promise<void> {
    const { config } = listener
    if (!config.bindToPort) return
    await this.#closing
    const fresh: BoundSocket[] = []
    try {
      for (const [index, address] of (config.bindTo ?? config.addresses).entries()) {
        if (address.port !== 0 && this.#bound.has(addressText(address))) continue
        const socket: { value: BoundSocket | undefined } = { value: undefined }
        const bound = await listenPlaintext(
          {
            address,
            backlog: config.backlog,
            reusePort: config.reusePort,
            ipv6Only: config.dualStack[index] !== true,
            bufferLimitBytes: config.bufferLimitBytes,
            accept(connection) {
              if (socket.value !== undefined) socket.value.accepted++
              return (socket.value?.owner ?? listener).accept(connection)
            },
            keepAlive: () => (socket.value?.owner ?? listener).config.keepAlives?.[socket.value?.index ?? index],
          },
          this.#timers,
        )
        socket.value = { address: bound.address, listener: bound, owner: listener, index, accepted: 0 }
        fresh.push(socket.value)
      }
    } catch (error) {
      for (const socket of fresh) void socket.listener.close()
      throw error
    }
    for (const socket of fresh) this.#bound.set(addressText(socket.address), socket)
    listener.sockets = fresh
  }

  /** Gives `listener` the sockets of its addresses that another listener has had until now, without a gap. */
  takeOver(listener: Listener): void {
    if (!listener.config.bindToPort) return
    for (const [index, address] of (listener.config.bindTo ?? listener.config.addresses).entries()) {
      const known = this.#bound.get(addressText(address))
      if (known === undefined || listener.sockets.includes(known)) continue
      known.owner = listener
      known.index = index
      listener.sockets.push(known)
    }
  }

  /**
   * Stops accepting on the sockets that `listener` still owns; resolves when it has. What waits in their queues is accepted
   * first: the system would reset it, and while a configuration is read nothing is accepted, so some may well be there.
   */
  async close(listener: Listener): Promise<void> {
    const sockets = this.#release(listener)
    if (sockets.length === 0) return
    const closed = queuesEmpty(sockets).then(() => closeAll(sockets))
    this.#closing = Promise.all([this.#closing, closed])
    await closed
  }

  /** As {@link close}, at once: of a listener that serves nobody. */
  discard(listener: Listener): void {
    closeAll(this.#release(listener))
  }

  #release(listener: Listener): BoundSocket[] {
    const isOwn = (socket: BoundSocket) =>
      socket.owner === listener && this.#bound.get(addressText(socket.address)) === socket
    const own = listener.sockets.filter(isOwn)
    for (const { address } of own) this.#bound.delete(addressText(address))
    return own
  }
}

function closeAll(sockets: readonly BoundSocket[]): void {
  // Resolves when the connections are gone as well; nobody waits for that here.
  for (const { listener } of sockets) void listener.close()
}

/** Accepts are one for each turn of the event loop; whoever floods a socket does not keep it open for ever. */
const MAX_LAST_ACCEPTS = 1024

/** Resolves when a turn of the event loop has found nobody to accept. */
async function queuesEmpty(sockets: readonly BoundSocket[]): Promise<void> {
  const count = () => sockets.reduce((sum, { accepted }) => sum + accepted, 0)
  for (let turn = 0; turn < MAX_LAST_ACCEPTS; turn++) {
    const before = count()
    await afterNextPoll()
    if (count() === before) return
  }
}

/** When the event loop has looked for what is ready, once more after the events it works at now. */
function afterNextPoll(): Promise<void> {
  return new Promise(resolve => setImmediate(() => setImmediate(resolve)))
}
