/**
 * A running proxy: builds everything from a bootstrap, starts it, reloads it, drains it, ends it.
 *
 *   PRE_INITIALIZING ─ clusters warm ─▶ INITIALIZING ─ listeners bound ─▶ LIVE ─ SIGTERM ─▶ DRAINING ─▶ stopped
 */

import { AdminHandler } from '../admin/admin-handler.ts'
import type { DrainOptions, ServerState } from '../admin/server-control.ts'
import type { Address } from '../base/address.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import { type Random, systemRandom } from '../base/random.ts'
import { TimerWheel } from '../base/timer-wheel.ts'
import { ClusterManager } from '../cluster/cluster-manager.ts'
import { nodeHopwiseSettings } from '../config/hopwise-metadata.ts'
import { type ConfigProblem, formatProblem } from '../config/problems.ts'
import type { Bootstrap } from '../config/schema/generated/types.ts'
import { FailureLocator } from '../failure-origin/failure-origin.ts'
import { failureOriginSettings } from '../failure-origin/settings.ts'
import type { AnyHttpFilterFactory } from '../filter-chain/http-filter.ts'
import { RuntimeLayers } from '../filter-chain/runtime-layers.ts'
import { FilterChainMatcher } from '../listener/filter-chain-match.ts'
import { Listener, ListenerSockets } from '../listener/listener.ts'
import type { LoadBalancingPolicy } from '../load-balancer/policy.ts'
import { logger, processLog } from '../observability/logging.ts'
import { compileStatsConfig } from '../observability/stats-config.ts'
import { StatsStore } from '../observability/stats-store.ts'
import type { TagExtractor } from '../observability/stats-tags.ts'
import type { SpanReporter } from '../observability/tracing/tracer.ts'
import { AccessLogs } from './access-logs.ts'
import { adminChain } from './admin-listener.ts'
import { AsyncClient } from './async-client.ts'
import { problemOf } from './build-problem.ts'
import { BuildErrors } from './chains.ts'
import { Condition, type Environment } from './environment.ts'
import { addressOf, ListenerManager } from './listeners.ts'
import { matchResponse } from './match-response.ts'
import type { ServerOptions } from './options.ts'
import { Control } from './server-control.ts'
import { Tracers } from './tracers.ts'

const log = logger('main')

/** Envoy's `--drain-time-s` for listeners that go away; at SIGTERM ours is shorter, where Envoy has none. */
const LISTENER_DRAIN_MS = 600_000
const SHUTDOWN_DRAIN_MS = 30_000
/** How often what failure location keeps is swept, and histograms are rotated (`stats_flush_interval`). */
const HOUSEKEEPING_MS = 1000

export interface ServerParts {
  readonly options: ServerOptions
  readonly bootstrap: Bootstrap
  readonly filters: readonly AnyHttpFilterFactory[]
  readonly policies: readonly LoadBalancingPolicy[]
  /** Takes all spans in place of the configured collectors (`OTEL_TRACES_EXPORTER`). */
  readonly spanReporter?: SpanReporter | undefined
  readonly clock?: Clock
  readonly random?: Random
  /** Re-reads the configuration for a reload. */
  readonly reload: () => { bootstrap: Bootstrap | undefined; errors: readonly ConfigProblem[] }
}

export class StartError extends Error {
  override name = 'StartError'
}

export class Server {
  readonly options: ServerOptions
  readonly env: Environment
  readonly listeners: ListenerManager
  readonly tags: TagExtractor
  readonly startedMs: number
  bootstrap: Bootstrap
  state: ServerState = 'PRE_INITIALIZING'
  readonly #parts: ServerParts
  readonly #condition = new Condition()
  readonly #tracers: Tracers
  readonly #adminSockets: ListenerSockets
  #admin: Listener | undefined
  #housekeeping: NodeJS.Timeout | undefined
  #stopped = Promise.withResolvers<void>()
  #reloads: Promise<unknown> = Promise.resolve()
  #drainStarted = false
  readonly #configReloads

  constructor(parts: ServerParts) {
    const { bootstrap, options } = parts
    this.#parts = parts
    this.options = options
    this.bootstrap = bootstrap
    const clock = parts.clock ?? systemClock
    const random = parts.random ?? systemRandom
    const timers = new TimerWheel(clock)
    this.startedMs = clock.wall()
    const { store: storeOptions, tags } = compileStatsConfig(bootstrap.statsConfig as never)
    this.tags = tags
    const stats = new StatsStore(storeOptions)
    const runtime = RuntimeLayers.from(bootstrap.layeredRuntime)
    const { policies } = parts
    const clusters = new ClusterManager({ clock, timers, random, stats, policies, runtime, matchResponse })
    const node = bootstrap.node
    const settings = nodeHopwiseSettings(node?.metadata)
    const service = options.serviceCluster || node?.cluster || serviceOfFile(options.configPath)
    const failures = new FailureLocator(
      failureOriginSettings({
        service,
        ...(settings.trustedPeers !== undefined && { trustedPeers: settings.trustedPeers }),
        ...(settings.deadlines !== undefined && { deadlines: settings.deadlines }),
        ...(settings.budgetMarginMs !== undefined && { marginMinMs: settings.budgetMarginMs }),
        ...(settings.budgetMarginPercent !== undefined && { marginFraction: settings.budgetMarginPercent / 100 }),
      }),
      { clock, random, stats },
    )
    this.#tracers = new Tracers(new AsyncClient(clusters, timers), parts.spanReporter)
    const filters = new Map<string, AnyHttpFilterFactory>()
    for (const factory of parts.filters) {
      filters.set(factory.name, factory)
      filters.set(factory.typeUrl, factory)
    }
    this.env = {
      clock,
      timers,
      random,
      runtime,
      stats,
      clusters,
      failures,
      condition: this.#condition,
      node,
      serviceName: service,
      filters,
      accessLogs: new AccessLogs({ timers, random, stats, flushIntervalMs: options.fileFlushIntervalMs }),
      tracers: this.#tracers,
    }
    this.#tracers.attach(this.env)
    this.env.accessLogs.useRuntime(this.env.runtime)
    this.listeners = new ListenerManager(this.env)
    this.#adminSockets = new ListenerSockets(timers)
    const server = stats.scope('server')
    this.#configReloads = {
      success: server.counter('config_reload_success'),
      failure: server.counter('config_reload_failure'),
      live: server.gauge('live'),
      state: server.gauge('state'),
      uptime: server.gauge('uptime'),
      concurrency: server.gauge('concurrency'),
      totalConnections: server.gauge('total_connections'),
      memoryAllocated: server.gauge('memory_allocated'),
      memoryHeapSize: server.gauge('memory_heap_size'),
      initialization: server.histogram('initialization_time_ms'),
    }
  }

  /** Where the admin listener is bound, once it is. */
  get adminAddress(): Address | undefined {
    return this.#admin?.sockets[0]?.address
  }

  /** Resolves when the server has stopped. */
  get stopped(): Promise<void> {
    return this.#stopped.promise
  }

  /** Everything that is wrong with a configuration beyond what decoding found; nothing is started. */
  check(): readonly ConfigProblem[] {
    const errors = new BuildErrors()
    this.#addClusters(this.bootstrap, errors, () => {})
    this.listeners.build(this.bootstrap.staticResources?.listeners ?? [], errors)
    return errors.errors.map(problemOf)
  }

  /** Starts serving; rejects with a {@link StartError} whose message is for the terminal. */
  async start(): Promise<void> {
    const { env, bootstrap } = this
    await this.#startAdmin()
    const errors = new BuildErrors()
    this.#addClusters(bootstrap, errors)
    const built = this.listeners.build(bootstrap.staticResources?.listeners ?? [], errors)
    if (errors.errors.length > 0)
      throw new StartError(errors.errors.map(one => formatProblem(problemOf(one))).join('\n'))
    await env.clusters.initialize()
    this.state = 'INITIALIZING'
    try {
      await this.listeners.apply(built, LISTENER_DRAIN_MS)
    } catch (error) {
      throw new StartError(bindErrorText(error as NodeJS.ErrnoException))
    }
    this.state = 'LIVE'
    this.#configReloads.live.set(1)
    this.#configReloads.concurrency.set(this.options.concurrency)
    this.#configReloads.initialization.record(env.clock.wall() - this.startedMs)
    this.#housekeeping = setInterval(() => this.#keepHouse(), HOUSEKEEPING_MS)
    this.#housekeeping.unref()
    log.info({ service: env.serviceName, listeners: built.size, ms: env.clock.wall() - this.startedMs }, 'ready')
  }

  /**
   * Reads the configuration again and puts it into service, whole or not at all. One reload at a time; the result is
   * what went wrong, in lines for people, empty when nothing did.
   */
  reload(): Promise<readonly string[]> {
    const run = this.#reloads.then(() => this.#reload())
    this.#reloads = run.catch(() => {})
    return run
  }

  async #reload(): Promise<readonly string[]> {
    if (this.state === 'DRAINING') return ['draining: the configuration is not read any more']
    const { bootstrap, errors } = this.#parts.reload()
    if (bootstrap === undefined) {
      this.#configReloads.failure.inc()
      return errors.map(formatProblem)
    }
    const found = new BuildErrors()
    const before = this.bootstrap.staticResources?.clusters ?? []
    const now = bootstrap.staticResources?.clusters ?? []
    // New and changed clusters first, then what routes to them, then the old ones go: no request meets a gap.
    for (const [i, message] of now.entries()) {
      found.attempt(`static_resources.clusters[${i}]`, message, () => void this.env.clusters.check(message))
    }
    if (found.errors.length === 0) for (const message of now) this.env.clusters.add(message)
    const built =
      found.errors.length === 0 ? this.listeners.build(bootstrap.staticResources?.listeners ?? [], found) : undefined
    let problem = ''
    if (found.errors.length === 0 && built !== undefined) {
      await this.env.clusters.initialize()
      try {
        await this.listeners.apply(built, LISTENER_DRAIN_MS)
      } catch (error) {
        problem = bindErrorText(error as NodeJS.ErrnoException)
      }
    }
    if (found.errors.length > 0 || problem !== '') {
      // Back to the clusters there were.
      this.env.clusters.replaceAll(before)
      this.#configReloads.failure.inc()
      return problem === '' ? found.errors.map(one => formatProblem(problemOf(one))) : [problem]
    }
    this.env.clusters.replaceAll(now)
    const fixed = this.#needRestart(bootstrap)
    this.bootstrap = bootstrap
    this.#configReloads.success.inc()
    log.info({ listeners: built!.size, clusters: now.length }, 'configuration reloaded')
    for (const field of fixed) log.warning({ field }, 'changed, but takes effect only after a restart')
    return []
  }

  /** Fields a reload does not change and whose change would otherwise pass unnoticed. */
  #needRestart(next: Bootstrap): string[] {
    const fields = ['node', 'admin', 'layeredRuntime', 'statsConfig', 'statsFlushInterval'] as const
    return fields.filter(field => JSON.stringify(next[field]) !== JSON.stringify(this.bootstrap[field]))
  }

  /**
   * Stops: says so on `/ready`, goes on accepting for the drain delay, lets inbound requests finish first and their calls
   * with them, and ends when no connection is left or the drain time is over.
   */
  async drain(): Promise<void> {
    if (this.#drainStarted) return
    this.#drainStarted = true
    this.state = 'DRAINING'
    this.#condition.leaving = true
    this.#configReloads.live.set(0)
    const limit = (this.options.drainTimeS ?? SHUTDOWN_DRAIN_MS / 1000) * 1000
    const end = this.env.clock.now() + limit
    log.info({ seconds: limit / 1000 }, 'draining')
    if (this.options.drainDelayMs > 0) await wait(this.options.drainDelayMs)
    // Inbound first: the application behind it still makes its calls through the outbound listeners.
    this.listeners.stopAccepting(listener => listener.trafficDirection === 'INBOUND')
    await this.#drainListeners(listener => listener.config.name !== '', end, true)
    this.listeners.stopAccepting(() => true)
    await this.#drainListeners(() => true, end, true)
    await this.stop()
  }

  async #drainListeners(which: (listener: Listener) => boolean, end: number, closeIdle: boolean): Promise<void> {
    const left = end - this.env.clock.now()
    if (left <= 0) return
    const all = Promise.all(this.listeners.listeners.filter(which).map(listener => listener.drain(closeIdle)))
    await Promise.race([all, wait(left)])
  }

  /** Ends at once. */
  async stop(): Promise<void> {
    clearInterval(this.#housekeeping)
    this.listeners.destroy()
    await Promise.race([this.#tracers.flush(), wait(1000)])
    await this.env.accessLogs.flush()
    this.#admin?.destroy()
    if (this.#admin !== undefined) this.#adminSockets.close(this.#admin)
    this.listeners.stopAccepting(() => true)
    this.env.clusters.close()
    this.env.timers.close()
    this.#stopped.resolve()
  }

  /** `/drain_listeners`: closes listeners, and ends their connections unless told not to. */
  async drainListeners(options: DrainOptions): Promise<void> {
    const chosen = (inbound: boolean) => !options.inboundOnly || inbound
    this.#condition.leaving = true
    if (!options.skipExit) {
      if (options.graceful) await wait((this.options.drainTimeS ?? SHUTDOWN_DRAIN_MS / 1000) * 1000)
      this.listeners.stopAccepting(message => chosen(message.trafficDirection === 'INBOUND'))
    }
    for (const [i, listener] of this.listeners.listeners.entries()) {
      if (chosen(this.listeners.messages[i]?.trafficDirection === 'INBOUND')) void listener.drain(false)
    }
  }

  reopenLogs(): void {
    processLog.reopen()
    this.env.accessLogs.reopen()
  }

  get condition(): Condition {
    return this.#condition
  }

  #addClusters(
    bootstrap: Bootstrap,
    errors: BuildErrors,
    warn = (cluster: string, warning: string): void => log.warning({ cluster }, warning),
  ): void {
    for (const [i, message] of (bootstrap.staticResources?.clusters ?? []).entries()) {
      errors.attempt(`static_resources.clusters[${i}]`, message, () => {
        for (const warning of this.env.clusters.add(message)) warn(message.name, warning)
      })
    }
  }

  async #startAdmin(): Promise<void> {
    const { admin } = this.bootstrap
    if (admin?.address === undefined) return
    const address = addressOf(admin.address)
    const { processMetrics } = nodeHopwiseSettings(this.env.node?.metadata)
    const handler = new AdminHandler(new Control(this), {
      allowPaths: admin.allowPaths as never,
      processMetrics: processMetrics !== false,
    })
    const chain = adminChain(handler, address, this.env, [])
    const listener = new Listener(
      {
        name: 'admin',
        addresses: [address],
        statPrefix: 'admin',
        bindToPort: true,
        reusePort: false,
        backlog: 128,
        bufferLimitBytes: 1024 * 1024,
        chains: new FilterChainMatcher([{ chain, match: undefined }], undefined),
        maxConnections: 1024,
      },
      this.env.clock,
      this.env.stats,
    )
    try {
      await this.#adminSockets.bind(listener)
    } catch (error) {
      throw new StartError(`admin: ${bindErrorText(error as NodeJS.ErrnoException)}`)
    }
    this.#admin = listener
  }

  #keepHouse(): void {
    const { env } = this
    env.failures.sweep()
    env.stats.rotateHistograms()
    const gauges = this.#configReloads
    gauges.uptime.set(Math.floor((env.clock.wall() - this.startedMs) / 1000))
    gauges.totalConnections.set(this.listeners.connectionCount)
    const memory = process.memoryUsage()
    gauges.memoryAllocated.set(memory.heapUsed + memory.external)
    gauges.memoryHeapSize.set(memory.rss)
  }
}

/** The file's name names the service where nothing else does; said once, because two services may share a file name. */
function serviceOfFile(path: string | undefined): string {
  const name = (path ?? 'hopwise').replace(/^.*\//, '').replace(/\.[^.]*$/, '')
  log.warning(
    { service: name },
    'no service name: neither node.cluster nor --service-cluster is given, so failures are named after the file',
  )
  return name
}

function bindErrorText(error: NodeJS.ErrnoException & { address?: string; port?: number }): string {
  const place = `${error.address ?? ''}:${error.port ?? ''}`
  switch (error.code) {
    case 'EADDRINUSE':
      return `cannot listen on ${place}: the address is in use by another process`
    case 'EACCES':
      return `cannot listen on ${place}: not permitted (ports below 1024 need privileges)`
    case 'EADDRNOTAVAIL':
      return `cannot listen on ${place}: no interface of this machine has that address`
    default:
      return `cannot listen: ${error.message}`
  }
}

function wait(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms).unref())
}
