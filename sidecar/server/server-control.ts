/** What the server tells its admin endpoints; see `admin/server-control.ts` for what each means. */
import type {
  CertificateView,
  ClusterView,
  ConfigDumpSection,
  DrainOptions,
  FailureLog,
  HostView,
  JsonRecord,
  ListenerView,
  RuntimeView,
  ServerControl,
  ServerState,
} from '../admin/server-control.ts'
import { ENVOY_VERSION, VERSION } from '../base/version.ts'
import { type HostView as RunningHostView, withCountersOf } from '../cluster/cluster-view.ts'
import { encodeJson } from '../config/encode-json.ts'
import type { Cluster, Listener } from '../config/schema/generated/types.ts'
import { type LogLevels, processLog } from '../observability/logging.ts'
import type { StatsStore } from '../observability/stats-store.ts'
import { HostHealth } from '../upstream/host.ts'
import type { Server } from './server.ts'

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
      entries: () =>
        new Map(
          [...runtime.snapshot().entries].map(([key, { finalValue, layerValues }]) => [
            key,
            [...layerValues, finalValue],
          ]),
        ),
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
    const { options } = this.#server
    return {
      config_path: options.configPath ?? '',
      config_yaml: options.configYaml ?? '',
      concurrency: options.concurrency,
      log_level: options.logLevel,
      component_log_level: options.componentLogLevel,
      service_cluster: options.serviceCluster,
      service_node: options.serviceNode,
      service_zone: options.serviceZone,
      mode: options.mode === 'serve' ? 'Serve' : 'Validate',
      drain_time: `${options.drainTimeS ?? 30}s`,
      hopwise_version: VERSION,
      envoy_version: ENVOY_VERSION,
    }
  }

  node(): JsonRecord {
    const { node } = this.#server.env
    return node === undefined ? {} : (encodeJson('envoy.config.core.v3.Node', node) as JsonRecord)
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
    const { env, workers } = this.#server
    const own = env.clusters.view()
    const shown = workers === undefined ? own : withCountersOf(own, await workers.clusterViews())
    return shown.map(cluster => ({
      name: cluster.name,
      observabilityName: cluster.observabilityName,
      addedViaApi: cluster.addedViaApi,
      edsServiceName: '',
      defaultPriority: thresholds(cluster.circuitBreakers[0]),
      highPriority: thresholds(cluster.circuitBreakers[1]),
      outlier: {
        successRateAverage: cluster.successRate.average,
        successRateEjectionThreshold: cluster.successRate.ejectionThreshold,
        localOriginSuccessRateAverage: cluster.localOriginSuccessRate.average,
        localOriginSuccessRateEjectionThreshold: cluster.localOriginSuccessRate.ejectionThreshold,
      },
      hosts: cluster.hosts.map(hostView),
    }))
  }

  certificates(): readonly CertificateView[] {
    return []
  }

  configDump(includeEndpoints: boolean): readonly ConfigDumpSection[] {
    const { bootstrap, startedMs, listeners } = this.#server
    const lastUpdated = new Date(startedMs).toISOString()
    const clusters: readonly Cluster[] = bootstrap.staticResources?.clusters ?? []
    const sections: ConfigDumpSection[] = [
      {
        type: 'BootstrapConfigDump',
        message: {
          bootstrap: encodeJson('envoy.config.bootstrap.v3.Bootstrap', bootstrap) as JsonRecord,
          last_updated: lastUpdated,
        },
      },
      {
        type: 'ClustersConfigDump',
        message: {
          static_clusters: clusters.map(cluster => ({
            cluster: encodeJson('envoy.config.cluster.v3.Cluster', cluster) as JsonRecord,
            last_updated: lastUpdated,
          })),
        },
      },
      {
        type: 'ListenersConfigDump',
        message: {
          static_listeners: listeners.messages.map((listener: Listener) => ({
            listener: encodeJson('envoy.config.listener.v3.Listener', listener) as JsonRecord,
            last_updated: lastUpdated,
          })),
        },
      },
      { type: 'ScopedRoutesConfigDump', message: {} },
      { type: 'RoutesConfigDump', message: {} },
      { type: 'SecretsConfigDump', message: {} },
    ]
    if (includeEndpoints) {
      const endpoints = clusters
        .filter(cluster => cluster.loadAssignment !== undefined)
        .map(cluster => ({
          endpoint_config: encodeJson(
            'envoy.config.endpoint.v3.ClusterLoadAssignment',
            cluster.loadAssignment!,
          ) as JsonRecord,
        }))
      sections.push({ type: 'EndpointsConfigDump', message: { static_endpoint_configs: endpoints } })
    }
    return sections
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

function hostView(host: RunningHostView): HostView {
  const counter = (name: string) => host.counters.find(([known]) => known === name)?.[1] ?? 0
  const colon = host.address.lastIndexOf(':')
  const isPipe = host.address.startsWith('/')
  return {
    address: isPipe
      ? { ip: host.address, port: 0 }
      : { ip: host.address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(host.address.slice(colon + 1)) },
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
      edsStatus: (host.health & HostHealth.FailedEds) !== 0 ? 'UNHEALTHY' : 'HEALTHY',
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
