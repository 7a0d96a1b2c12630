/**
 * A running proxy: builds everything from a bootstrap, starts it, reloads it, drains it, ends it.
 *
 *   PRE_INITIALIZING ─ clusters warm ─▶ INITIALIZING ─ listeners bound ─▶ LIVE ─ SIGTERM ─▶ DRAINING ─▶ stopped
 *
 * This is the control side. It has a data plane (data-plane.ts) in its own thread; with `--concurrency N`, N from 2 on, that
 * one serves nothing: it checks configurations, asks the DNS and judges hosts, and N workers (worker-pool.ts) serve.
 */
import { writeFileSync } from 'node:fs'
import { AdminHandler } from '../admin/admin-handler.ts'
import { pageFiles } from '../admin/page-files.ts'
import type { DrainOptions, ServerState } from '../admin/server-control.ts'
import { type Address, addressText } from '../base/address.ts'
import { type Clock, sharedClock, systemClock } from '../base/clock.ts'
import { type Random, systemRandom } from '../base/random.ts'
import type { LoadedBootstrap } from '../config/bootstrap.ts'
import { nodeHopwiseSettings } from '../config/hopwise-metadata.ts'
import { type ConfigProblem, formatProblem } from '../config/problems.ts'
import type { Bootstrap } from '../config/schema/generated/types.ts'
import type { AnyHttpFilterFactory } from '../filter-chain/http-filter.ts'
import type { AnyListenerFilterFactory } from '../filter-chain/listener-filter.ts'
import { FilterChainMatcher } from '../listener/filter-chain-match.ts'
import { Listener, ListenerSockets } from '../listener/listener.ts'
import type { LoadBalancingPolicy } from '../load-balancer/policy.ts'
import { logger, processLog } from '../observability/logging.ts'
import type { TagExtractor } from '../observability/stats-tags.ts'
import type { SpanReporter } from '../observability/tracing/tracer.ts'
import type { TlsContext } from '../transport/tls/tls-context.ts'
import { adminChain } from './admin-listener.ts'
import { BuildErrors } from './build-errors.ts'
import type { Condition, ListenerChoice } from './condition.ts'
import { bindErrorText, DataPlane, listenerDrainMs, wait } from './data-plane.ts'
import type { Environment } from './environment.ts'
import { addressOf, isDualStack, type ListenerManager } from './listeners.ts'
import type { ServerOptions } from './options.ts'
import { Control } from './server-control.ts'
import { ServerStats, watchRuntime } from './server-stats.ts'
import { Taps } from './taps.ts'
import { WorkerPool } from './worker-pool.ts'

const log = logger('main')

/** Envoy has no drain at SIGTERM; `--drain-time-s` says otherwise. */
const SHUTDOWN_DRAIN_MS = 30_000
/** How often what failure location keeps is swept, and histograms are rotated (`stats_flush_interval`). */
const HOUSEKEEPING_MS = 1000

export interface ServerParts {
  readonly options: ServerOptions
  readonly bootstrap: Bootstrap
  readonly filters: readonly AnyHttpFilterFactory[]
  readonly policies: readonly LoadBalancingPolicy[]
  readonly listenerFilters: readonly AnyListenerFilterFactory[]
  /** Takes all spans in place of the configured collectors (`OTEL_TRACES_EXPORTER`). */
  readonly spanReporter?: SpanReporter | undefined
  readonly clock?: Clock
  readonly random?: Random
  /** Re-reads the configuration for a reload. */
  readonly reload: () => LoadedBootstrap
  /** What decoding found doubtful, and has been told. */
  readonly warnings?: readonly ConfigProblem[]
}

export class StartError extends Error {
  override name = 'StartError'
}

export class Server {
  readonly options: ServerOptions
  readonly startedMs: number
  /** The workers, where there are any. */
  readonly workers: WorkerPool | undefined
  readonly taps: Taps
  /** When the configuration that runs was put into service. */
  configuredMs: number
  #state: ServerState = 'PRE_INITIALIZING'
  readonly #parts: ServerParts
  readonly #plane: DataPlane
  readonly #adminSockets: ListenerSockets
  #admin: Listener | undefined
  #housekeeping: NodeJS.Timeout | undefined
  #stopped = Promise.withResolvers<void>()
  #reloads: Promise<unknown> = Promise.resolve()
  #drainStarted = false
  #told: ReadonlySet<string>
  readonly #stats: ServerStats
  readonly #control: Control

  constructor(parts: ServerParts) {
    const { bootstrap, options } = parts
    this.#parts = parts
    this.#told = new Set((parts.warnings ?? []).map(formatProblem))
    this.options = options
    const { concurrency } = options
    const serviceName = options.serviceCluster || bootstrap.node?.cluster || serviceOfFile(options.configPath)
    this.#plane = new DataPlane({
      ...parts,
      serviceName,
      clock: parts.clock ?? (concurrency > 1 ? sharedClock : systemClock),
      random: parts.random ?? systemRandom,
      ...(concurrency > 1 && {
        sharing: { side: 'control', workers: concurrency },
        onMembershipChange: name => this.workers?.publish(name),
        spanReporter: undefined,
      }),
    })
    const { env } = this.#plane
    this.startedMs = env.clock.wall()
    this.configuredMs = this.startedMs
    this.workers =
      concurrency > 1 && options.mode === 'serve'
        ? new WorkerPool({
            options,
            serviceName,
            bootstrap: () => this.bootstrap,
            clusters: env.clusters,
            condition: () => this.condition.state,
            stats: env.stats,
            failures: env.failures.log,
          })
        : undefined
    this.taps = new Taps(env.tap, this.workers, env.stats, serviceName)
    this.#adminSockets = new ListenerSockets(env.timers)
    this.#stats = new ServerStats(env.stats, concurrency)
    watchRuntime(env.stats, env.runtime)
    this.#control = new Control(this)
  }

  get state(): ServerState {
    return this.#state
  }

  #setState(state: ServerState): void {
    this.#state = state
    this.#stats.setState(state)
  }

  get env(): Environment {
    return this.#plane.env
  }

  get listeners(): ListenerManager {
    return this.#plane.listeners
  }

  /** Every TLS context in use: those of clusters, then those of listeners, as Envoy lists them. */
  get tlsContexts(): readonly TlsContext[] {
    const chains = this.listeners.listeners.flatMap(({ config }) => config.chains.chains)
    return [...this.env.clusters.tlsContexts, ...chains.flatMap(({ tls }) => (tls === undefined ? [] : [tls.context]))]
  }

  get tags(): TagExtractor {
    return this.#plane.tags
  }

  /** The configuration in service. */
  get bootstrap(): Bootstrap {
    return this.#plane.bootstrap
  }

  get condition(): Condition {
    return this.#plane.condition
  }

  /** Where the admin listener is bound, once it is. */
  get adminAddress(): Address | undefined {
    return this.#admin?.sockets[0]?.address
  }

  /** Resolves when the server has stopped. */
  get stopped(): Promise<void> {
    return this.#stopped.promise
  }

  /** {@link DataPlane.check} */
  check(isPartial = false): ReturnType<DataPlane['check']> {
    return this.#plane.check(isPartial)
  }

  /** Starts serving; rejects with a {@link StartError} whose message is for the terminal. */
  async start(): Promise<void> {
    const { env, bootstrap } = this
    await this.#startAdmin()
    const problems = await this.#plane.stage(bootstrap)
    if (problems.length > 0) throw new StartError(problems.join('\n'))
    this.#setState('INITIALIZING')
    if (this.workers === undefined) {
      const problem = await this.#plane.bind()
      if (problem !== '') throw new StartError(problem)
    } else {
      const wrong = await this.workers.start()
      if (wrong.length > 0) throw new StartError(wrong.join('\n'))
    }
    this.#tell(this.#parts.warnings ?? [])
    this.#plane.commit()
    this.#setState('LIVE')
    this.#stats.initialized(env.clock.wall() - this.startedMs)
    this.#keepHouse()
    this.#housekeeping = setInterval(() => this.#keepHouse(), HOUSEKEEPING_MS)
    this.#housekeeping.unref()
    const listeners = this.listeners.listeners.length
    log.info({ service: env.serviceName, listeners, ms: env.clock.wall() - this.startedMs }, 'ready')
  }

  /**
   * Reads the configuration again and puts it into service, whole or not at all. One reload at a time; the result is
   * what went wrong, in lines for people, empty when nothing did.
   */
  reload(): Promise<readonly string[]> {
    const reload = () => this.#reload()
    const run = this.#reloads.then(() => (this.workers === undefined ? reload() : this.workers.exclusive(reload)))
    this.#reloads = run.catch(() => {})
    return run
  }

  async #reload(): Promise<readonly string[]> {
    if (this.state === 'DRAINING') return ['draining: the configuration is not read any more']
    const { bootstrap, errors, warnings } = this.#parts.reload()
    if (bootstrap === undefined) {
      this.#stats.reloadFailure.inc()
      return errors.map(formatProblem)
    }
    const problems = await this.#stage(bootstrap)
    if (problems.length > 0) {
      this.#stats.reloadFailure.inc()
      return problems
    }
    this.#tell(warnings)
    const fixed = this.#needRestart(bootstrap)
    this.#plane.commit()
    await this.workers?.commit()
    this.configuredMs = this.env.clock.wall()
    this.#stats.reloadSuccess.inc()
    const clusters = bootstrap.staticResources?.clusters.length ?? 0
    log.info({ listeners: this.listeners.listeners.length, clusters }, 'configuration reloaded')
    for (const field of fixed) log.warning({ field }, 'changed, but takes effect only after a restart')
    return []
  }

  /** Says what is doubtful in the configuration that is about to go into service, except what the one before it had too. */
  #tell(decoding: readonly ConfigProblem[]): void {
    const told = new Set([...decoding, ...this.#plane.warnings].map(formatProblem))
    for (const warning of told) if (!this.#told.has(warning)) log.warning({}, warning)
    this.#told = told
  }

  /** Has every data plane make itself ready for a configuration; what is wrong, in lines for people, undoes it in all. */
  async #stage(bootstrap: Bootstrap): Promise<readonly string[]> {
    const problems = await this.#plane.stage(bootstrap)
    if (problems.length > 0) return problems
    if (this.workers === undefined) {
      const problem = await this.#plane.bind()
      return problem === '' ? [] : [problem]
    }
    const wrong = await this.workers.stage(bootstrap)
    if (wrong.length === 0) return []
    // First here: what the workers go back to is what is published from here.
    this.#plane.abort()
    await this.workers.abort()
    return wrong
  }

  /** Fields a reload does not change and whose change would otherwise pass unnoticed. */
  #needRestart(next: Bootstrap): string[] {
    const fields = [
      'node',
      'admin',
      'clusterManager',
      'layeredRuntime',
      'statsConfig',
      'statsFlushInterval',
      'typedDnsResolverConfig',
      'dnsResolutionConfig',
    ] as const
    return fields.filter(field => JSON.stringify(next[field]) !== JSON.stringify(this.bootstrap[field]))
  }

  /**
   * Stops: says so on `/ready`, goes on accepting for the drain delay, lets inbound requests finish first and their calls
   * with them, and ends when no connection is left or the drain time is over.
   */
  async drain(): Promise<void> {
    if (this.#drainStarted) return
    this.#drainStarted = true
    this.#setState('DRAINING')
    this.#leave()
    const limit = (this.options.drainTimeS ?? SHUTDOWN_DRAIN_MS / 1000) * 1000
    const end = this.env.clock.now() + limit
    log.info({ seconds: limit / 1000 }, 'draining')
    if (this.options.drainDelayMs > 0) await wait(this.options.drainDelayMs)
    // Inbound first: the application behind it still makes its calls through the outbound listeners.
    for (const which of ['inbound', 'all'] as const) {
      this.#stopAccepting(which)
      const left = end - this.env.clock.now()
      if (left > 0) await Promise.race([this.#drainListeners(which, true), wait(left)])
    }
    await this.stop()
  }

  /** Ends at once. */
  async stop(): Promise<void> {
    clearInterval(this.#housekeeping)
    await this.workers?.close()
    await this.#plane.close()
    this.#admin?.destroy()
    if (this.#admin !== undefined) this.#adminSockets.discard(this.#admin)
    this.#stopped.resolve()
  }

  /**
   * `/drain_listeners`: responses of these listeners close their connections from now on, at once or more and more of them
   * (`--drain-strategy`), and the listeners close: at once, after the drain time, or not at all. As in Envoy it makes no
   * health check fail, and a drain of inbound listeners leaves the others as they are; whoever wants the whole process to go
   * sends a SIGTERM.
   */
  async drainListeners({ inboundOnly, graceful, skipExit }: DrainOptions): Promise<void> {
    const which = inboundOnly ? 'inbound' : 'all'
    this.condition.drain(which)
    this.workers?.setCondition()
    if (skipExit) return
    if (graceful) await wait(listenerDrainMs(this.options))
    this.#stopAccepting(which)
  }

  /** `/healthcheck/fail` and `/healthcheck/ok`. */
  setHealthCheckFailed(failed: boolean): void {
    this.condition.healthCheckFailed = failed
    this.workers?.setCondition()
  }

  reopenLogs(): void {
    processLog.reopen()
    this.env.accessLogs.reopen()
    this.workers?.reopenLogs()
  }

  #leave(): void {
    this.condition.leaving = true
    this.workers?.setCondition()
  }

  #stopAccepting(which: ListenerChoice): void {
    ;(this.workers ?? this.#plane).stopAccepting(which)
  }

  #drainListeners(which: ListenerChoice, closeIdle: boolean): Promise<void> {
    return (this.workers ?? this.#plane).drainListeners(which, closeIdle)
  }

  async #startAdmin(): Promise<void> {
    const { admin } = this.bootstrap
    if (admin?.address === undefined) return
    const address = addressOf(admin.address)
    const { processMetrics } = nodeHopwiseSettings(this.env.node?.metadata)
    const handler = new AdminHandler(this.#control, {
      allowPaths: admin.allowPaths as never,
      processMetrics: processMetrics !== false,
      pages: pageFiles,
    })
    const found = new BuildErrors()
    const loggers = this.env.accessLogs.adminLoggersOf(admin, found)
    const wrong = found.problems.errors.map(formatProblem)
    if (wrong.length > 0) throw new StartError(wrong.join('\n'))
    const chain = adminChain(handler, address, this.env, loggers)
    const listener = new Listener(
      {
        name: 'admin',
        addresses: [address],
        statPrefix: 'admin',
        bindToPort: true,
        reusePort: false,
        dualStack: [isDualStack(admin.address)],
        backlog: 128,
        bufferLimitBytes: 1024 * 1024,
        chains: new FilterChainMatcher([{ chain, match: undefined }], undefined),
        maxConnections: 1024,
        loggers: [],
        listenerFilters: [],
        listenerFiltersTimeoutMs: 0,
        continueOnListenerFiltersTimeout: false,
      },
      this.env.clock,
      this.env.timers,
      this.env.stats,
    )
    try {
      await this.#adminSockets.bind(listener)
    } catch (error) {
      throw new StartError(`admin: ${bindErrorText(error as NodeJS.ErrnoException)}`)
    }
    this.#admin = listener
    const { adminAddressPath } = this.options
    if (adminAddressPath !== undefined) writeAddress(adminAddressPath, this.adminAddress ?? address)
  }

  #keepHouse(): void {
    const { env } = this
    env.failures.sweep()
    env.stats.rotateHistograms()
    const nowMs = env.clock.wall()
    const certificates = this.#control
      .certificates()
      .flatMap(({ caCertificates, chain }) => [...caCertificates, ...chain])
    this.#stats.update({
      nowMs,
      uptimeMs: nowMs - this.startedMs,
      connections: (this.workers ?? this.listeners).connectionCount,
      workerHeapBytes: this.workers?.heapBytes ?? 0,
      firstCertificateExpiryMs:
        certificates.length === 0 ? undefined : Math.min(...certificates.map(({ expiresMs }) => expiresMs)),
    })
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

/** `--admin-address-path`: whoever started us with port 0 finds the port here. Envoy only warns when it cannot write. */
function writeAddress(path: string, address: Address): void {
  try {
    writeFileSync(path, addressText(address))
  } catch (error) {
    log.error({ path, error: (error as Error).message }, 'the admin address was not written')
  }
}
