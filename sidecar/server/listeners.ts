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
import { type BuildErrors, buildChain, type ListenerFacts } from './chains.ts'
import type { Environment } from './environment.ts'

const log = logger('listener')

/** Envoy's default for `per_connection_buffer_limit_bytes`: 1 MiB. */
const DEFAULT_BUFFER_LIMIT = 1024 * 1024

interface Running {
  readonly message: ListenerMessage
  readonly listener: Listener
}

export function addressOf(message: AddressMessage | undefined): Address {
  const socket = message?.socketAddress
  if (socket !== undefined) return { ip: socket.address, port: socket.portValue ?? 0 }
  return { ip: message?.pipe?.path ?? '0.0.0.0', port: 0 }
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
    const scope = env.stats.scope('listener_manager')
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

  /** Builds what `messages` describe without touching what runs. */
  build(messages: readonly ListenerMessage[], errors: BuildErrors): Map<string, Running> {
    const built = new Map<string, Running>()
    const undirected: string[] = []
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
      if (message.trafficDirection === 'UNSPECIFIED' && hopwiseMetadata(message.metadata).direction === undefined) {
        undirected.push(name)
      }
      const path = `static_resources.listeners[${i}]`
      const statName = listenerStatName({ statPrefix: message.statPrefix, addresses })
      const facts: ListenerFacts = {
        message,
        address: addresses[0]!,
        statName,
        bufferLimitBytes: message.perConnectionBufferLimitBytes ?? DEFAULT_BUFFER_LIMIT,
        scope: this.#env.stats.scope(`listener.${statName}`),
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
        statPrefix: message.statPrefix,
        bindToPort: message.bindToPort ?? true,
        reusePort: false,
        backlog: message.tcpBacklogSize ?? 4096,
        bufferLimitBytes: facts.bufferLimitBytes,
        chains: new FilterChainMatcher(chains, fallback),
        maxConnections: 0,
      }
      built.set(name, { message, listener: new Listener(config, this.#env.clock, this.#env.stats) })
    })
    if (undirected.length > 0 && errors.errors.length === 0) {
      log.warning(
        { listeners: undirected.join(' ') },
        'taken for outbound: set traffic_direction, so that failures of your own application can be told from others',
      )
    }
    return built
  }

  /** Puts what was built into service; rejects, with everything as it was, when an address cannot be bound. */
  async apply(built: Map<string, Running>, drainTimeMs: number): Promise<void> {
    const before = this.#running
    const fresh = [...built].filter(([name, { listener }]) => before.get(name)?.listener !== listener)
    const bound: Listener[] = []
    try {
      for (const [, { listener }] of fresh) {
        await this.#sockets.bind(listener)
        bound.push(listener)
      }
    } catch (error) {
      // Sockets that were taken over go back to whom they belonged.
      for (const { listener } of before.values()) await this.#sockets.bind(listener)
      for (const listener of bound) this.#sockets.close(listener)
      throw error
    }
    this.#running = built
    for (const [name, { listener }] of fresh) {
      this.#stats.createSuccess.inc()
      if (before.has(name)) this.#stats.modified.inc()
      else this.#stats.added.inc()
      log.info(
        { listener: name, address: listener.sockets.map(one => addressText(one.address)).join(' ') },
        'listening',
      )
    }
    for (const [name, { listener }] of before) {
      const next = built.get(name)?.listener
      if (next === listener) continue
      if (next === undefined) this.#stats.removed.inc()
      else listener.handOver(next)
      this.#sockets.close(listener)
      this.#drain(listener, drainTimeMs)
    }
    this.#stats.active.set(this.#running.size)
    this.#stats.workersStarted.set(1)
  }

  /** Stops accepting on every listener the predicate names. */
  stopAccepting(which: (listener: ListenerMessage) => boolean): void {
    for (const { message, listener } of this.#running.values()) {
      if (which(message)) this.#sockets.close(listener)
    }
  }

  destroy(): void {
    for (const listener of [...this.listeners, ...this.#draining]) listener.destroy()
  }

  #drain(listener: Listener, drainTimeMs: number): void {
    this.#draining.add(listener)
    this.#stats.draining.set(this.#draining.size)
    const done = () => {
      clearTimeout(end)
      this.#draining.delete(listener)
      this.#stats.draining.set(this.#draining.size)
      listener.destroy()
    }
    const end = setTimeout(done, drainTimeMs)
    end.unref()
    // Connections that idle keep their place until the end of the drain time: closing one just as its peer sends the next
    // request would lose that request.
    void listener.drain(false).then(done)
  }
}
