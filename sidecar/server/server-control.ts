/** What the server tells its admin endpoints; see `admin/server-control.ts` for what each means. */
import { certificateDetails } from '../admin/certificate-view.ts'
import type { SidecarView } from '../admin/mesh-view.ts'
import type {
  CertificateView,
  ClusterDetails,
  ClusterView,
  CollectorState,
  ConfigDumpSection,
  ConfigSource,
  DrainOptions,
  FailureLog,
  HostView,
  JsonRecord,
  ListenerView,
  RateLimitDetails,
  RuntimeView,
  ServerControl,
  ServerState,
} from '../admin/server-control.ts'
import {
  type ClusterView as RunningClusterView,
  type HostView as RunningHostView,
  withCountersOf,
} from '../cluster/cluster-view.ts'
import { type LogLevels, processLog } from '../observability/logging.ts'
import type { StatsStore } from '../observability/stats-store.ts'
import type { TapQuery, TapSink } from '../observability/tap.ts'
import { HostHealth } from '../upstream/host.ts'
import { commandLineOptions } from './command-line-options.ts'
import { configDumpSections } from './config-dump-sections.ts'
import { nodeMessage } from './node-identity.ts'
import { rateLimitDetails } from './rate-limit-views.ts'
import type { Server } from './server.ts'
import { clusterDetails, configSources, managersOf, sidecarView } from './sidecar-views.ts'

/** '' for what came out of the configuration. */
function pathOf(path: string): string {
  return path.startsWith('<') ? '' : path
}

export class Control implements ServerControl {
  readonly #server: Server
  readonly hotRestartVersion = 'disabled'
  readonly logs: LogLevels
  readonly runtime: RuntimeView
  readonly failures: FailureLog

  constructor(server: Server) {
    this.#server = server
    const { runtime, failures } = server.env
    this.runtime = {
      layers: () => runtime.snapshot().layers,
      entries: () => new Map([...runtime.snapshot().entries].map(([key, { layerValues }]) => [key, layerValues])),
      modify: values => {
        if (!runtime.modify(values)) return 'No admin layer specified'
        server.workers?.modifyRuntime(values)
        return undefined
      },
    }
    const setLevel: LogLevels['set'] = (component, level) => {
      processLog.set(component, level)
      server.workers?.setLogLevel(component, level)
    }
    this.logs = {
      levels: () => processLog.levels(),
      set: setLevel,
      setAll: level => {
        for (const [component] of processLog.levels()) setLevel(component, level)
      },
    }
    this.failures = {
      list: ({ id, since = 0, limit }) =>
        failures.log
          .entries(id === undefined ? {} : { id })
          .filter(entry => entry.at >= since)
          .slice(-limit),
    }
  }

  get tags() {
    return this.#server.tags
  }

  state(): ServerState {
    return this.#server.condition.healthCheckFailed ? 'DRAINING' : this.#server.state
  }

  uptimeMs() {
    const ms = this.#server.env.clock.wall() - this.#server.startedMs
    return { currentEpoch: ms, allEpochs: ms }
  }

  commandLineOptions(): JsonRecord {
    return commandLineOptions(this.#server.options)
  }

  node(): JsonRecord {
    return nodeMessage(this.#server.env.node, this.#server.env.filters)
  }

  stats(): StatsStore | Promise<StatsStore> {
    const { workers, env } = this.#server
    return workers === undefined ? env.stats : workers.stats()
  }

  resetCounters(): void {
    this.#server.env.stats.resetCounters()
    this.#server.workers?.resetCounters()
  }

  listeners(): readonly ListenerView[] {
    const bound = this.#server.workers?.bound
    return this.#server.listeners.listeners.map(listener => {
      const sockets = listener.sockets.map(socket => socket.address)
      const [local, ...additional] = bound?.get(listener.config.name) ?? sockets
      return { name: listener.config.name, local: local ?? listener.config.addresses[0]!, additional }
    })
  }

  async clusters(): Promise<readonly ClusterView[]> {
    return (await this.#clusterViews()).map(cluster => ({
      name: cluster.name,
      observabilityName: cluster.observabilityName,
      addedViaApi: cluster.addedViaApi,
      edsServiceName: '',
      defaultPriority: thresholds(cluster.circuitBreakers[0]),
      highPriority: thresholds(cluster.circuitBreakers[1]),
      outlier: cluster.hasOutlierDetection
        ? {
            successRateAverage: cluster.successRate.average,
            successRateEjectionThreshold: cluster.successRate.ejectionThreshold,
            localOriginSuccessRateAverage: cluster.localOriginSuccessRate.average,
            localOriginSuccessRateEjectionThreshold: cluster.localOriginSuccessRate.ejectionThreshold,
          }
        : undefined,
      hosts: cluster.hosts.map(hostView),
    }))
  }

  async #clusterViews(): Promise<readonly RunningClusterView[]> {
    const { env, workers } = this.#server
    const own = env.clusters.view()
    return workers === undefined ? own : withCountersOf(own, await workers.clusterViews())
  }

  tap(query: TapQuery, sink: TapSink): (() => void) | undefined {
    return this.#server.taps.open(query, sink)
  }

  async sidecar(): Promise<SidecarView> {
    return sidecarView(this.#server, await this.stats())
  }

  async clusterDetails(): Promise<readonly ClusterDetails[]> {
    return clusterDetails(await this.#clusterViews(), await this.stats())
  }

  async rateLimits(): Promise<readonly RateLimitDetails[]> {
    const managers = this.#server.listeners.messages.flatMap(listener =>
      managersOf(listener).map(manager => ({ listener, manager })),
    )
    return rateLimitDetails(managers, await this.stats())
  }

  configSources(): readonly ConfigSource[] {
    return configSources(this.#server.bootstrap, this.#server.listeners.messages)
  }

  trace(id: string): Promise<Buffer | string> {
    return this.#server.env.tracers.trace(id)
  }

  collectors(): Promise<readonly CollectorState[]> {
    return this.#server.env.tracers.collectors()
  }

  certificates(): readonly CertificateView[] {
    return this.#server.tlsContexts.flatMap(context => {
      const { material } = context
      const shown = (path: string, secret: number | 'validation') => (context.isDelivered(secret) ? '' : pathOf(path))
      if (material === undefined) return []
      const trusted = material.validation?.trusted ?? []
      return [
        {
          caCertificates: trusted
            .slice(0, 1)
            .map(one => certificateDetails(one.certificate, shown(one.path, 'validation'))),
          chain: material.certificates.flatMap(({ leaf, path }, i) =>
            leaf === undefined ? [] : [certificateDetails(leaf, shown(path, i))],
          ),
        },
      ]
    })
  }

  configDump(includeEndpoints: boolean): readonly ConfigDumpSection[] {
    const { bootstrap, startedMs, configuredMs, listeners, env } = this.#server
    return configDumpSections({
      bootstrap,
      node: this.node(),
      startedMs,
      configuredMs,
      listeners: listeners.messages,
      clusters: includeEndpoints ? env.clusters.view() : undefined,
      secrets: env.secrets.all(),
    })
  }

  initDump(): JsonRecord {
    return {}
  }

  drainListeners(options: DrainOptions): void {
    void this.#server.drainListeners(options)
  }

  quit(): void {
    void this.#server.stop()
  }

  setHealthCheckFailed(failed: boolean): void {
    this.#server.setHealthCheckFailed(failed)
  }

  reopenLogs(): void {
    this.#server.reopenLogs()
  }
}

function thresholds(limits: {
  maxConnections: number
  maxPendingRequests: number
  maxRequests: number
  maxRetries: number
}) {
  const { maxConnections, maxPendingRequests, maxRequests, maxRetries } = limits
  return { maxConnections, maxPendingRequests, maxRequests, maxRetries }
}

function edsStatus(health: number): 'UNHEALTHY' | 'DEGRADED' | 'HEALTHY' {
  if ((health & HostHealth.FailedEds) !== 0) return 'UNHEALTHY'
  return (health & HostHealth.Degraded) === 0 ? 'HEALTHY' : 'DEGRADED'
}

function hostView(host: RunningHostView): HostView {
  const counter = (name: string) => host.counters.find(([known]) => known === name)?.[1] ?? 0
  return {
    address: { ip: host.ip, port: host.port },
    hostname: host.hostname,
    counters: {
      cxConnectFail: counter('cx_connect_fail'),
      cxTotal: counter('cx_total'),
      rqError: counter('rq_error'),
      rqSuccess: counter('rq_success'),
      rqTimeout: counter('rq_timeout'),
      rqTotal: counter('rq_total'),
      cxActive: counter('cx_active'),
      rqActive: counter('rq_active'),
      rqPendingActive: counter('rq_pending_active'),
    },
    health: {
      failedActiveHealthCheck: (host.health & HostHealth.FailedActiveHealthCheck) !== 0,
      failedOutlierCheck: (host.health & HostHealth.FailedOutlierCheck) !== 0,
      failedEds: (host.health & HostHealth.FailedEds) !== 0,
      degradedEds: (host.health & HostHealth.Degraded) !== 0,
      edsStatus: edsStatus(host.health),
    },
    weight: host.weight,
    region: host.region,
    zone: host.zone,
    subZone: host.subZone,
    canary: host.canary,
    priority: host.priority,
    successRate: host.successRate,
    localOriginSuccessRate: host.localOriginSuccessRate,
  }
}
