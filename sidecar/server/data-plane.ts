/**
 * A data plane: sockets, filter chains, clusters and all that a request meets, made of one configuration. There is one in
 * the main thread, or, with `--concurrency N`, one in each worker thread; it does not know which.
 *
 * Another configuration is put into service in steps, so that several data planes can take it together or not at all:
 *
 *   stage (clusters and listeners are built, first hosts are there) ─▶ bind (new addresses) ─▶ commit
 *                                  └────────────────────────────────────────┴─▶ abort
 */
import { type Clock, sharedClock } from '../base/clock.ts'
import { onOwnBug } from '../base/own-bug.ts'
import type { Random } from '../base/random.ts'
import { readableStack } from '../base/readable-stack.ts'
import { TimerWheel } from '../base/timer-wheel.ts'
import { ClusterManager } from '../cluster/cluster-manager.ts'
import type { ClusterSharing } from '../cluster/cluster-sharing.ts'
import { ejectionWarnings } from '../cluster/outlier-settings.ts'
import { ConfigMistakes } from '../config/config-error.ts'
import { nodeHopwiseSettings } from '../config/hopwise-metadata.ts'
import { type ConfigProblem, formatProblem } from '../config/problems.ts'
import type { Bootstrap, Cluster as ClusterMessage } from '../config/schema/generated/types.ts'
import { FailureLocator } from '../failure-origin/failure-origin.ts'
import { failureOriginSettings } from '../failure-origin/settings.ts'
import type { AnyHttpFilterFactory } from '../filter-chain/http-filter.ts'
import type { AnyListenerFilterFactory } from '../filter-chain/listener-filter.ts'
import { RuntimeLayers } from '../filter-chain/runtime-layers.ts'
import type { Listener } from '../listener/listener.ts'
import type { LoadBalancingPolicy } from '../load-balancer/policy.ts'
import { logger } from '../observability/logging.ts'
import { compileStatsConfig } from '../observability/stats-config.ts'
import { StatsStore } from '../observability/stats-store.ts'
import type { TagExtractor } from '../observability/stats-tags.ts'
import { Tap } from '../observability/tap.ts'
import type { SpanReporter } from '../observability/tracing/tracer.ts'
import { AccessLogs } from './access-logs.ts'
import { AsyncClient } from './async-client.ts'
import { BuildErrors } from './build-errors.ts'
import { Condition, type ListenerChoice } from './condition.ts'
import type { Environment, WorkerPlace } from './environment.ts'
import { type BoundAddresses, ListenerManager, type Running } from './listeners.ts'
import { matchResponse } from './match-response.ts'
import { nodeIdentity } from './node-identity.ts'
import type { ServerOptions } from './options.ts'
import { Secrets } from './secrets.ts'
import { Tracers } from './tracers.ts'
import { upstreamTransport } from './transport-sockets.ts'

const log = logger('main')

/** Envoy's default of `--drain-time-s`; at SIGTERM ours is shorter, where Envoy has no drain. */
export const LISTENER_DRAIN_S = 600
/** A collector that does not answer does not hold up the end longer than this. */
const LAST_SPANS_MS = 1000

export interface DataPlaneParts {
  readonly options: ServerOptions
  readonly bootstrap: Bootstrap
  readonly serviceName: string
  readonly filters: readonly AnyHttpFilterFactory[]
  readonly policies: readonly LoadBalancingPolicy[]
  readonly listenerFilters: readonly AnyListenerFilterFactory[]
  /** Takes all spans in place of the configured collectors (`OTEL_TRACES_EXPORTER`). */
  readonly spanReporter?: SpanReporter | undefined
  readonly clock: Clock
  readonly random: Random
  /** Where worker threads share the work. */
  readonly sharing?: ClusterSharing | undefined
  readonly worker?: WorkerPlace | undefined
  /** Told when hosts of a cluster, or their health, change. */
  readonly onMembershipChange?: ((clusterName: string) => void) | undefined
}

interface Staged {
  readonly bootstrap: Bootstrap
  readonly built: Map<string, Running>
}

export class DataPlane {
  readonly env: Environment
  readonly listeners: ListenerManager
  readonly condition: Condition
  readonly tags: TagExtractor
  /** What is in service; what was given at first until something is. */
  bootstrap: Bootstrap
  /** What is doubtful in what was staged last. */
  warnings: readonly ConfigProblem[] = []
  readonly #tracers: Tracers
  readonly #listenerDrainMs: number
  /** `cluster_manager.outlier_detection.event_log_path`; undefined until it is open, and where there is none. */
  #logOutlierEvent: ((line: string) => void) | undefined = undefined
  #staged: Staged | undefined = undefined
  #serving = false
  /** The runtime is made once, before there is anybody to tell what is wrong with it. */
  readonly #runtimeMistakes = new ConfigMistakes()
  /** Resolves when {@link stopAccepting} has done so. */
  #accepting: Promise<void> = Promise.resolve()

  constructor(parts: DataPlaneParts) {
    const { bootstrap, options, clock, random, policies, serviceName, sharing, worker } = parts
    this.bootstrap = bootstrap
    this.#listenerDrainMs = listenerDrainMs(options)
    this.condition = new Condition({
      gradual: options.drainStrategy === 'gradual',
      drainTimeMs: this.#listenerDrainMs,
      clock: sharedClock,
      random,
    })
    const timers = new TimerWheel(clock)
    const { store: storeOptions, tags } = compileStatsConfig(bootstrap.statsConfig as never, options.statsTags)
    this.tags = tags
    const stats = new StatsStore(storeOptions)
    const controlStats = worker === undefined ? stats : new StatsStore()
    const runtime = RuntimeLayers.from(bootstrap.layeredRuntime, this.#runtimeMistakes)
    const secrets = new Secrets(controlStats)
    secrets.configure(bootstrap.staticResources?.secrets ?? [])
    const transport = (message: ClusterMessage) => upstreamTransport(message, { clock, secrets })
    const { onMembershipChange } = parts
    const accessLogs = new AccessLogs({ timers, random, stats, flushIntervalMs: options.fileFlushIntervalMs })
    accessLogs.useRuntime(runtime)
    const clusters = new ClusterManager({
      clock,
      timers,
      random,
      stats,
      policies,
      runtime,
      transport,
      matchResponse,
      defaultResolver: bootstrap,
      sharing,
      controlStats,
      onOutlierEvent: event => this.#logOutlierEvent?.(JSON.stringify(event)),
      ...(onMembershipChange !== undefined && { onMembershipChange }),
    })
    const node = nodeIdentity(bootstrap.node, options)
    const settings = nodeHopwiseSettings(node?.metadata)
    const failures = new FailureLocator(
      failureOriginSettings({
        service: serviceName,
        ...(settings.trustedPeers !== undefined && { trustedPeers: settings.trustedPeers }),
        ...(settings.trustDomains !== undefined && { trustDomains: settings.trustDomains }),
        ...(settings.deadlines !== undefined && { deadlines: settings.deadlines }),
        ...(settings.budgetMarginMs !== undefined && { marginMinMs: settings.budgetMarginMs }),
        ...(settings.budgetMarginPercent !== undefined && { marginFraction: settings.budgetMarginPercent / 100 }),
      }),
      { clock, random, stats, share: worker?.ledger },
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
      controlStats,
      worker,
      clusters,
      failures,
      tap: new Tap(clock, worker?.index),
      condition: this.condition,
      node,
      serviceName,
      filters,
      accessLogs,
      tracers: this.#tracers,
      secrets,
      listenerFilters: new Map(
        parts.listenerFilters.flatMap(factory => [
          [factory.name, factory],
          [factory.typeUrl, factory],
        ]),
      ),
    }
    this.#tracers.attach(this.env)
    this.listeners = new ListenerManager(this.env)
  }

  /**
   * Everything that is wrong with the configuration, or doubtful, beyond what decoding found; nothing is started. With
   * `isPartial`, decoding has found errors, and this is what could be decoded all the same.
   */
  check(isPartial: boolean): BuildErrors['problems'] {
    const found = new BuildErrors({ isPartial })
    this.#tellRuntimeMistakes(found)
    const { admin } = this.bootstrap
    if (admin !== undefined) this.env.accessLogs.adminLoggersOf(admin, found)
    this.#openOutlierLog(this.bootstrap, found)
    this.#addClusters(this.bootstrap, found)
    found.attempt('', undefined, () => this.listeners.build(this.bootstrap.staticResources?.listeners ?? [], found))
    return found.problems
  }

  #tellRuntimeMistakes(found: BuildErrors): void {
    found.attempt('layered_runtime', this.bootstrap, () => this.#runtimeMistakes.throwAll())
  }

  /**
   * Builds what `bootstrap` describes and waits for the first hosts of its clusters. The result is what is wrong, in lines
   * for people; then everything is as it was.
   */
  async stage(bootstrap: Bootstrap, bound?: BoundAddresses): Promise<readonly string[]> {
    const { clusters } = this.env
    const found = new BuildErrors()
    const { clusters: messages = [], listeners = [], secrets = [] } = bootstrap.staticResources ?? {}
    if (this.#serving) {
      this.env.secrets.configure(secrets)
      this.env.secrets.refresh()
    } else {
      this.#tellRuntimeMistakes(found)
      this.#openOutlierLog(bootstrap, found)
    }
    if (this.#serving) {
      for (const [i, message] of messages.entries()) {
        found.attempt(`static_resources.clusters[${i}]`, message, () => void clusters.check(message))
      }
      if (found.errors.length > 0) {
        for (const { name } of messages) found.brokenClusters.add(name)
        this.listeners.abandon(this.listeners.build(listeners, found, bound))
        return found.problems.errors.map(formatProblem)
      }
    }
    // New and changed clusters first, then what routes to them, then the old ones go: no request meets a gap.
    this.#addClusters(bootstrap, found)
    const built = this.listeners.build(listeners, found, bound)
    if (found.errors.length > 0) {
      this.listeners.abandon(built)
      this.#restoreClusters()
      return found.problems.errors.map(formatProblem)
    }
    this.warnings = found.problems.warnings
    this.#staged = { bootstrap, built }
    await clusters.initialize()
    return []
  }

  /** Where its listeners are bound, or those of what is staged. */
  get bound(): BoundAddresses {
    return this.listeners.bound(this.#staged?.built)
  }

  /** Binds the addresses that are new in what was staged. What is wrong, in a sentence, or ''. */
  async bind(): Promise<string> {
    try {
      await this.listeners.bind(this.#staged!.built)
      return ''
    } catch (error) {
      this.abort()
      return bindErrorText(error as NodeJS.ErrnoException)
    }
  }

  /** Puts what was staged into service. */
  commit(): void {
    const { bootstrap, built } = this.#staged!
    this.#staged = undefined
    if (!this.#serving) this.#tellOfBugs()
    this.#serving = true
    // A collector may go with its cluster: it is sent before what waits for it.
    void this.#tracers.flush()
    this.listeners.commit(built, this.#listenerDrainMs)
    this.env.clusters.replaceAll(bootstrap.staticResources?.clusters ?? [])
    this.bootstrap = bootstrap
  }

  /** Forgets what was staged. */
  abort(): void {
    if (this.#staged !== undefined) this.listeners.abandon(this.#staged.built)
    this.#staged = undefined
    this.#restoreClusters()
  }

  stopAccepting(which: ListenerChoice): void {
    this.#accepting = this.listeners.stopAccepting(message => which === 'all' || message.trafficDirection === 'INBOUND')
  }

  /** Asks the connections of the listeners to end; resolves when none is left. */
  async drainListeners(which: ListenerChoice, closeIdle: boolean): Promise<void> {
    // The last ones may still be on their way in.
    await this.#accepting
    const { messages, listeners } = this.listeners
    const chosen = (_: Listener, i: number) => which === 'all' || messages[i]?.trafficDirection === 'INBOUND'
    await Promise.all(listeners.filter(chosen).map(listener => listener.drain(closeIdle)))
  }

  /** Cuts what is under way and sends what was recorded. */
  async close(): Promise<void> {
    this.listeners.destroy()
    await Promise.race([this.#tracers.flush(), wait(LAST_SPANS_MS)])
    await this.env.accessLogs.flush()
    this.listeners.close()
    this.env.clusters.close()
    this.env.secrets.close()
    this.env.timers.close()
  }

  /** Until it serves, an exception is the end; from then on it is that of one connection. */
  #tellOfBugs(): void {
    const exceptions = this.env.stats
      .labelled(
        'hopwise_exceptions_total',
        ['service'],
        'Bugs, of a filter or of the proxy, each of which ended a connection',
      )
      .counter(this.env.serviceName)
    onOwnBug((error, where) => {
      exceptions.inc()
      const stack = error instanceof Error ? readableStack(error) : String(error)
      log.error({ where, stack }, 'an exception: what it was about is ended, everything else goes on')
    })
  }

  /** Hosts are judged by the control side, so workers have nothing to log. */
  #openOutlierLog({ clusterManager }: Bootstrap, errors: BuildErrors): void {
    const detection = clusterManager?.outlierDetection
    if (detection === undefined || detection.eventLogPath === '' || this.env.worker !== undefined) return
    try {
      this.#logOutlierEvent = this.env.accessLogs.lines(detection.eventLogPath)
    } catch (error) {
      errors.add('cluster_manager.outlier_detection.event_log_path', (error as Error).message, detection)
    }
  }

  /** Back to the clusters that are in service. */
  #restoreClusters(): void {
    if (!this.#serving) return
    this.env.secrets.configure(this.bootstrap.staticResources?.secrets ?? [])
    this.env.clusters.replaceAll(this.bootstrap.staticResources?.clusters ?? [])
  }

  #addClusters(bootstrap: Bootstrap, found: BuildErrors): void {
    for (const [i, message] of (bootstrap.staticResources?.clusters ?? []).entries()) {
      const path = `static_resources.clusters[${i}]`
      found.attempt(path, message, () => void this.env.clusters.add(message))
      const cluster = this.env.clusters.get(message.name)
      if (cluster === undefined) found.brokenClusters.add(message.name)
      // What else its settings warn of, decoding has told.
      for (const text of cluster === undefined ? [] : ejectionWarnings(cluster.settings))
        found.warn(`${path}.outlier_detection`, text, message)
    }
  }
}

/** How long listeners that go away are drained, after a reload or by the operator. */
export function listenerDrainMs({ drainTimeS }: ServerOptions): number {
  return (drainTimeS ?? LISTENER_DRAIN_S) * 1000
}

export function bindErrorText(error: NodeJS.ErrnoException & { address?: string; port?: number }): string {
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

export function wait(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms).unref())
}
