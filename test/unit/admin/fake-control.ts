/** A server that exists only for its admin endpoints; what they asked of it is in `asked`. */

import type { SidecarView } from '../../../sidecar/admin/mesh-view.ts'
import type { AdminRequest, AdminResponse } from '../../../sidecar/admin/message.ts'
import type {
  ClusterDetails,
  ClusterView,
  CollectorState,
  ConfigSource,
  HostView,
  RateLimitDetails,
  ServerControl,
  ServerState,
} from '../../../sidecar/admin/server-control.ts'
import { LOG_COMPONENTS, type LogLevel } from '../../../sidecar/observability/logging.ts'
import { StatsStore } from '../../../sidecar/observability/stats-store.ts'
import { TagExtractor } from '../../../sidecar/observability/stats-tags.ts'
import type { TapQuery, TapSink } from '../../../sidecar/observability/tap.ts'

export function host(port: number, more: Partial<HostView> = {}): HostView {
  return {
    address: { ip: '127.0.0.1', port },
    hostname: '',
    counters: {
      cxConnectFail: 0,
      cxTotal: 0,
      rqError: 0,
      rqSuccess: 0,
      rqTimeout: 0,
      rqTotal: 0,
      cxActive: 0,
      rqActive: 0,
      rqPendingActive: 0,
    },
    health: { edsStatus: 'HEALTHY' },
    weight: 1,
    region: '',
    zone: '',
    subZone: '',
    canary: false,
    priority: 0,
    successRate: -1,
    localOriginSuccessRate: -1,
    ...more,
  }
}

export function cluster(name: string, more: Partial<ClusterView> = {}): ClusterView {
  const thresholds = { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3 }
  return {
    name,
    observabilityName: name,
    addedViaApi: false,
    edsServiceName: '',
    defaultPriority: thresholds,
    highPriority: thresholds,
    outlier: undefined,
    hosts: [],
    ...more,
  }
}

export class FakeControl implements ServerControl {
  readonly asked: string[] = []
  readonly store = new StatsStore()
  readonly tags = new TagExtractor()
  readonly hotRestartVersion = 'disabled'
  current: ServerState = 'LIVE'
  clusterViews: ClusterView[] = []
  listenerViews: ReturnType<ServerControl['listeners']> = []
  certificateViews: ReturnType<ServerControl['certificates']> = []
  sections: ReturnType<ServerControl['configDump']> = []
  failureList: object[] = []
  readonly overrides = new Map<string, string>()

  state() {
    return this.current
  }
  uptimeMs() {
    return { currentEpoch: 5400, allEpochs: 65_400 }
  }
  commandLineOptions() {
    return { config_path: 'envoy.yaml', concurrency: 1, log_level: 'info', drain_time: '30s', mode: 'Serve' }
  }
  node() {
    return { id: 'n1', cluster: 'a' }
  }
  stats() {
    return this.store
  }
  resetCounters() {
    this.store.resetCounters()
  }
  listeners() {
    return this.listenerViews
  }
  clusters() {
    return this.clusterViews
  }
  certificates() {
    return this.certificateViews
  }
  configDump(includeEndpoints: boolean) {
    return this.sections.filter(({ type }) => includeEndpoints || type !== 'EndpointsConfigDump')
  }
  initDump() {
    return {}
  }
  readonly #levels = new Map<string, LogLevel>(LOG_COMPONENTS.map(component => [component, 'info']))
  readonly logs = {
    levels: () => this.#levels,
    set: (component: string, level: LogLevel) => void this.#levels.set(component, level),
    setAll: (level: LogLevel) => {
      for (const component of this.#levels.keys()) this.#levels.set(component, level)
    },
  }
  readonly runtime = {
    layers: () => ['static_layer', 'admin_layer'],
    entries: () => {
      const entries = new Map<string, string[]>([
        ['health_check.min_interval', ['5', '']],
        ['foo', ['bar', '']],
      ])
      for (const [key, value] of this.overrides) entries.set(key, [entries.get(key)?.[0] ?? '', value])
      return entries
    },
    modify: (values: ReadonlyMap<string, string>) => {
      for (const [key, value] of values) {
        if (value === '') this.overrides.delete(key)
        else this.overrides.set(key, value)
      }
      return undefined
    },
  }
  readonly failures = {
    list: (query: { since?: number | undefined; id?: string | undefined; limit: number }) => {
      this.asked.push(`failures ${JSON.stringify(query)}`)
      return this.failureList
        .filter(failure => query.id === undefined || (failure as { id: string }).id === query.id)
        .slice(-query.limit)
    },
  }
  readonly sinks: TapSink[] = []
  maxTaps = 16
  tap(query: TapQuery, sink: TapSink) {
    this.asked.push(`tap ${JSON.stringify(query)}`)
    if (this.sinks.length >= this.maxTaps) return undefined
    this.sinks.push(sink)
    return () => {
      this.sinks.splice(this.sinks.indexOf(sink), 1)
    }
  }
  async sidecar(): Promise<SidecarView> {
    return {
      at: 1_700_000_000_000,
      service: 'a',
      node: 'a1',
      version: '1.0.0',
      state: this.current,
      uptimeMs: 5400,
      edge: false,
      requests: 10,
      failed: 1,
      ownSeconds: 0.5,
      calls: [],
      otherNames: [],
      episodes: [],
      ...this.sidecarMore,
    }
  }
  sidecarMore: Partial<SidecarView> = {}
  details: ClusterDetails[] = []
  async clusterDetails() {
    return this.details
  }
  limits: RateLimitDetails[] = []
  async rateLimits() {
    return this.limits
  }
  sources: ConfigSource[] = []
  configSources() {
    return this.sources
  }
  traces = new Map<string, string>()
  async trace(id: string) {
    const found = this.traces.get(id)
    return found === undefined ? `no trace ${id}` : Buffer.from(found)
  }
  collectorStates: CollectorState[] = []
  async collectors() {
    return this.collectorStates
  }
  drainListeners(options: object) {
    this.asked.push(`drain ${JSON.stringify(options)}`)
  }
  quit() {
    this.asked.push('quit')
  }
  setHealthCheckFailed(failed: boolean) {
    this.asked.push(`health check failed: ${failed}`)
    this.current = failed ? 'DRAINING' : 'LIVE'
  }
  reopenLogs() {
    this.asked.push('reopen logs')
  }
}

/** `GET /stats?usedonly` as a request value. */
export function request(line: string, headers: Record<string, string> = {}, body = ''): AdminRequest {
  const [method = 'GET', target = '/'] = line.split(' ')
  const mark = target.indexOf('?')
  return {
    method,
    path: mark < 0 ? target : target.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1)),
    headers: { get: name => headers[name] },
    body: Buffer.from(body),
  }
}

export async function bodyText({ body }: AdminResponse): Promise<string> {
  if (typeof body === 'string') return body
  if (Buffer.isBuffer(body)) return body.toString()
  let all = ''
  for await (const piece of body) all += piece.toString()
  return all
}
