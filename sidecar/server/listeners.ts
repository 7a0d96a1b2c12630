/** Listeners from configuration, and their lives: added, replaced without closing their sockets, drained, removed. */
import { isDeepStrictEqual } from 'node:util'
import { type Address, addressText } from '../base/address.ts'
import { hopwiseMetadata } from '../config/hopwise-metadata.ts'
import type { Address as AddressMessage, Listener as ListenerMessage } from '../config/schema/generated/types.ts'
import { FilterChainMatcher } from '../listener/filter-chain-match.ts'
import {
  Listener,
  type ListenerConfig,
  ListenerSockets,
  listenerStatName,
  type ServingChain,
} from '../listener/listener.ts'
import { logger } from '../observability/logging.ts'
import { type TcpKeepalive, tcpKeepalive } from '../transport/tcp-keepalive.ts'
import type { BuildErrors } from './build-errors.ts'
import { buildChain, type ListenerFacts } from './chains.ts'
import type { ListenerCondition } from './condition.ts'
import type { Environment } from './environment.ts'
import { buildListenerFilters } from './listener-filters.ts'
import { sharedStateOf } from './shared-places.ts'

const log = logger('listener')

/** Envoy's default for `per_connection_buffer_limit_bytes`: 1 MiB. */
const DEFAULT_BUFFER_LIMIT = 1024 * 1024
/** Envoy's default for `listener_filters_timeout`. */
const LISTENER_FILTERS_TIMEOUT_MS = 15_000

export interface Running {
  readonly message: ListenerMessage
  readonly listener: Listener
  readonly condition: ListenerCondition
}

/** Addresses by listener name, in the order of the configuration. */
export type BoundAddresses = ReadonlyMap<string, readonly Address[]>

export function addressOf(message: AddressMessage | undefined): Address {
  const socket = message?.socketAddress
  if (socket !== undefined) return { ip: socket.address, port: socket.portValue ?? 0 }
  return { ip: message?.pipe?.path ?? '0.0.0.0', port: 0 }
}

/** `ipv4_compat`. */
export function isDualStack(message: AddressMessage | undefined): boolean {
  return message?.socketAddress?.ipv4Compat === true
}

export class ListenerManager {
  readonly #env: Environment
  readonly #sockets: ListenerSockets
  #running = new Map<string, Running>()
  readonly #draining = new Set<Listener>()
  readonly #stats

  constructor(env: Environment) {
    this.#env = env
    this.#sockets = new ListenerSockets(env.timers)
    const scope = env.controlStats.scope('listener_manager')
    for (const name of ['listener_create_failure', 'listener_in_place_updated', 'listener_stopped']) scope.counter(name)
    scope.gauge('total_filter_chains_draining')
    this.#stats = {
      added: scope.counter('listener_added'),
      modified: scope.counter('listener_modified'),
      removed: scope.counter('listener_removed'),
      createSuccess: scope.counter('listener_create_success'),
      active: scope.gauge('total_listeners_active'),
      warming: scope.gauge('total_listeners_warming'),
      draining: scope.gauge('total_listeners_draining'),
      workersStarted: scope.gauge('workers_started'),
    }
  }

  get listeners(): readonly Listener[] {
    return [...this.#running.values()].map(({ listener }) => listener)
  }

  get messages(): readonly ListenerMessage[] {
    return [...this.#running.values()].map(({ message }) => message)
  }

  /** Connections of all listeners, those on their way out included. */
  get connectionCount(): number {
    let count = 0
    for (const listener of [...this.listeners, ...this.#draining]) count += listener.connectionCount
    return count
  }

  /**
   * Builds what `messages` describe without touching what runs. `bound` says where other workers have bound listeners whose
   * port the system chooses.
   */
  build(
    messages: readonly ListenerMessage[],
    errors: BuildErrors,
    bound: BoundAddresses = new Map(),
  ): Map<string, Running> {
    const built = new Map<string, Running>()
    messages.forEach((message, i) => {
      const addresses = [addressOf(message.address), ...message.additionalAddresses.map(one => addressOf(one.address))]
      const name = message.name === '' ? addressText(addresses[0]!) : message.name
      const known = this.#running.get(name)
      if (known !== undefined && isDeepStrictEqual(known.message, message)) {
        // The same configuration: nothing to replace, except that clusters or routes it names may have changed, and
        // those are looked up by name.
        built.set(name, known)
        return
      }
      const path = `static_resources.listeners[${i}]`
      const statName = listenerStatName({ statPrefix: message.statPrefix, addresses })
      const condition = this.#env.condition.of(message)
      const facts: ListenerFacts = {
        message,
        condition,
        address: addresses[0]!,
        statName,
        bufferLimitBytes: message.perConnectionBufferLimitBytes ?? DEFAULT_BUFFER_LIMIT,
        scope: this.#env.stats.scope(`listener.${statName}`),
        shared: this.#env.worker && sharedStateOf(message, this.#env.worker),
      }
      const chains: { chain: ServingChain; match: (typeof message.filterChains)[number]['filterChainMatch'] }[] = []
      message.filterChains.forEach((chain, j) => {
        const serving = buildChain(chain, `${path}.filter_chains[${j}]`, facts, this.#env, errors)
        if (serving !== undefined) chains.push({ chain: serving, match: chain.filterChainMatch })
      })
      const fallback =
        message.defaultFilterChain === undefined
          ? undefined
          : buildChain(message.defaultFilterChain, `${path}.default_filter_chain`, facts, this.#env, errors)
      const config: ListenerConfig = {
        name,
        addresses,
        bindTo: bound.get(name),
        statPrefix: message.statPrefix,
        metadata: message.metadata,
        bindToPort: bindsHere(message, addresses, this.#env.worker),
        reusePort: this.#env.worker !== undefined && isShared(message, addresses),
        dualStack: [message.address, ...message.additionalAddresses.map(({ address }) => address)].map(isDualStack),
        backlog: message.tcpBacklogSize ?? 4096,
        bufferLimitBytes: facts.bufferLimitBytes,
        chains: new FilterChainMatcher(chains, fallback),
        maxConnections: 0,
        loggers: this.#env.accessLogs.connectionLoggersOf(message.accessLog, `${path}.access_log`, errors),
        keepAlives: keepAlives(message),
        worker: this.#env.worker?.index,
        listenerFilters: buildListenerFilters(message, path, this.#env, errors),
        listenerFiltersTimeoutMs: message.listenerFiltersTimeout ?? LISTENER_FILTERS_TIMEOUT_MS,
        continueOnListenerFiltersTimeout: message.continueOnListenerFiltersTimeout,
      }
      const listener = new Listener(config, this.#env.clock, this.#env.timers, this.#env.stats)
      built.set(name, { message, listener, condition })
    })
    return built
  }

  /** Binds what is new; rejects, with everything as it was, when an address cannot be had. */
  async bind(built: ReadonlyMap<string, Running>): Promise<void> {
    const bound: Listener[] = []
    try {
      for (const listener of this.#freshOf(built)) {
        await this.#sockets.bind(listener)
        bound.push(listener)
      }
    } catch (error) {
      for (const listener of bound) this.#sockets.discard(listener)
      throw error
    }
  }

  #warnOfDirections(fresh: readonly Listener[]): void {
    if (this.#env.worker !== undefined) return
    const undirected = fresh
      .map(({ config }) => this.#running.get(config.name)!.message)
      .filter(
        ({ trafficDirection, metadata }) =>
          trafficDirection === 'UNSPECIFIED' && hopwiseMetadata(metadata).direction === undefined,
      )
    if (undirected.length === 0) return
    log.warning(
      { listeners: undirected.map(({ name }) => name).join(' ') },
      'taken for outbound: set traffic_direction, so that failures of your own application can be told from others',
    )
  }

  /** Closes again what {@link bind} has bound. */
  abandon(built: ReadonlyMap<string, Running>): void {
    for (const listener of this.#freshOf(built)) {
      this.#sockets.discard(listener)
      listener.destroy()
    }
  }

  /** Puts what was built and bound into service, in one step. */
  commit(built: Map<string, Running>, drainTimeMs: number): void {
    const before = this.#running
    const fresh = this.#freshOf(built)
    for (const listener of fresh) this.#sockets.takeOver(listener)
    this.#running = built
    this.#warnOfDirections(fresh)
    for (const listener of fresh) {
      const { name } = listener.config
      this.#stats.createSuccess.inc()
      if (before.has(name)) this.#stats.modified.inc()
      else this.#stats.added.inc()
      // Said once, where several workers listen, and not by a control side that does not.
      if (listener.sockets.length === 0 || (listener.config.worker ?? 0) > 0) continue
      log.info(
        { listener: name, address: listener.sockets.map(one => addressText(one.address)).join(' ') },
        'listening',
      )
    }
    for (const [name, running] of before) {
      const { listener } = running
      const next = built.get(name)?.listener
      if (next === listener) continue
      if (next === undefined) this.#stats.removed.inc()
      else listener.handOver(next)
      void this.#drain(running, this.#sockets.close(listener), drainTimeMs)
    }
    this.#stats.active.set(this.#running.size)
    this.#stats.workersStarted.set(1)
  }

  /** Where each listener is bound. */
  bound(listeners: ReadonlyMap<string, Running> = this.#running): BoundAddresses {
    return new Map([...listeners].map(([name, { listener }]) => [name, boundAddresses(listener)]))
  }

  #freshOf(built: ReadonlyMap<string, Running>): Listener[] {
    const before = this.#running
    return [...built]
      .filter(([name, { listener }]) => before.get(name)?.listener !== listener)
      .map(([, one]) => one.listener)
  }

  /** Stops accepting on every listener the predicate names; resolves when it has. */
  async stopAccepting(which: (listener: ListenerMessage) => boolean): Promise<void> {
    const chosen = [...this.#running.values()].filter(({ message }) => which(message))
    await Promise.all(chosen.map(({ listener }) => this.#sockets.close(listener)))
  }

  /** Closes the sockets that are still open, at once. */
  close(): void {
    for (const listener of this.listeners) this.#sockets.discard(listener)
  }

  destroy(): void {
    for (const listener of [...this.listeners, ...this.#draining]) listener.destroy()
  }

  async #drain({ listener, condition }: Running, closed: Promise<void>, drainTimeMs: number): Promise<void> {
    this.#draining.add(listener)
    this.#stats.draining.set(this.#draining.size)
    let tell: NodeJS.Timeout | undefined
    const done = () => {
      clearTimeout(tell)
      clearTimeout(end)
      this.#draining.delete(listener)
      this.#stats.draining.set(this.#draining.size)
      listener.destroy()
    }
    const end = setTimeout(done, drainTimeMs)
    end.unref()
    // Connections that idle keep their place until the end of the drain time: closing one just as its peer sends the next
    // request would lose that request.
    await closed
    if (!condition.drainGradually()) await listener.drain(false)
    else {
      // From then on every response ends its connection; those that have none under way learn of it here.
      tell = setTimeout(() => void listener.drain(false), drainTimeMs / 2)
      tell.unref()
      await listener.emptied()
    }
    done()
  }
}

/** Additional addresses do as the listener does unless they say something themselves. */
function keepAlives({ tcpKeepalive: own, additionalAddresses }: ListenerMessage): (TcpKeepalive | undefined)[] {
  return [own, ...additionalAddresses.map(address => address.tcpKeepalive ?? own)].map(tcpKeepalive)
}

/** The configured addresses, with the ports that the system has chosen. */
function boundAddresses({ config, sockets }: Listener): readonly Address[] {
  if (config.bindTo !== undefined) return config.bindTo
  const isConfigured = (address: Address) => config.addresses.some(one => addressText(one) === addressText(address))
  const chosen = sockets.map(({ address }) => address).filter(address => !isConfigured(address))
  return config.addresses.map(address =>
    address.port === 0 && !isPipe(address) ? (chosen.shift() ?? address) : address,
  )
}

function isPipe(address: Address): boolean {
  return address.ip.startsWith('/') || address.ip.startsWith('@')
}

/**
 * All workers bind the port. A pipe cannot be shared so, nor a port with `enable_reuse_port: false`: these belong to the
 * first worker. (Envoy's workers accept from one socket then; a socket of Node belongs to one thread.)
 */
function isShared({ enableReusePort }: ListenerMessage, addresses: readonly Address[]): boolean {
  return enableReusePort !== false && !addresses.some(isPipe)
}

function bindsHere(message: ListenerMessage, addresses: readonly Address[], worker: Environment['worker']): boolean {
  if (message.bindToPort === false) return false
  return worker === undefined || worker.index === 0 || isShared(message, addresses)
}
