/**
 * The stats of the process itself under Envoy's names, `server.*` and `runtime.*`: state, age, memory, connections.
 *
 * Those of Envoy's that count something which cannot happen here are listed and stay at zero, so that a dashboard made for
 * Envoy finds them: an unknown field is refused and never passed over, there is no parent process of a hot restart, and
 * there are no debug assertions.
 */
import type { ServerState } from '../admin/server-control.ts'
import { daysUntil } from '../base/days-until.ts'
import { VERSION } from '../base/version.ts'
import type { RuntimeLayers } from '../filter-chain/runtime-layers.ts'
import type { Counter, Gauge } from '../observability/stats.ts'
import type { StatsStore } from '../observability/stats-store.ts'

/** Numbers of `envoy.admin.v3.ServerInfo.State`. */
const STATE_NUMBERS = { LIVE: 0, DRAINING: 1, PRE_INITIALIZING: 2, INITIALIZING: 3 } as const

/** What Envoy shows while no certificate is loaded: the largest 32-bit number. */
const NO_CERTIFICATE_DAYS = 0xffff_ffff

export interface ServerFacts {
  readonly uptimeMs: number
  readonly connections: number
  /** What the heaps of worker threads hold. */
  readonly workerHeapBytes: number
  /** When the first of the certificates in use ends; undefined where there is none. */
  readonly firstCertificateExpiryMs: number | undefined
  readonly nowMs: number
}

export class ServerStats {
  readonly reloadSuccess: Counter
  readonly reloadFailure: Counter
  readonly #store: StatsStore
  readonly #live: Gauge
  readonly #state: Gauge
  readonly #uptime: Gauge
  readonly #totalConnections: Gauge
  readonly #memoryAllocated: Gauge
  readonly #memoryHeapSize: Gauge
  readonly #memoryPhysicalSize: Gauge
  readonly #daysUntilFirstCertExpiring: Gauge

  constructor(store: StatsStore, concurrency: number) {
    this.#store = store
    const server = store.scope('server')
    this.reloadSuccess = server.counter('config_reload_success')
    this.reloadFailure = server.counter('config_reload_failure')
    this.#live = server.gauge('live')
    this.#state = server.gauge('state')
    this.#uptime = server.gauge('uptime')
    this.#totalConnections = server.gauge('total_connections')
    this.#memoryAllocated = server.gauge('memory_allocated')
    this.#memoryHeapSize = server.gauge('memory_heap_size')
    this.#memoryPhysicalSize = server.gauge('memory_physical_size')
    this.#daysUntilFirstCertExpiring = server.gauge('days_until_first_cert_expiring')
    server.gauge('concurrency').set(concurrency)
    server.gauge('version').set(versionNumber(VERSION))
    server.gauge('hot_restart_generation').set(1)
    for (const name of ['hot_restart_epoch', 'parent_connections', 'seconds_until_first_ocsp_response_expiring']) {
      server.gauge(name).set(0)
    }
    server.gauge('compilation_settings.fips_mode').set(0)
    for (const name of NEVER_COUNTED) server.counter(name)
    server.histogram('initialization_time_ms')
    this.setState('PRE_INITIALIZING')
  }

  setState(state: ServerState): void {
    this.#state.set(STATE_NUMBERS[state])
    this.#live.set(state === 'LIVE' ? 1 : 0)
  }

  initialized(ms: number): void {
    this.#store.histogram('server.initialization_time_ms').record(ms)
  }

  /** What changes by itself; read once a second, as Envoy does it with each flush. */
  update({ uptimeMs, connections, workerHeapBytes, firstCertificateExpiryMs, nowMs }: ServerFacts): void {
    this.#uptime.set(Math.floor(uptimeMs / 1000))
    this.#totalConnections.set(connections)
    const { heapUsed, heapTotal, external, rss } = process.memoryUsage()
    this.#memoryAllocated.set(heapUsed + external + workerHeapBytes)
    this.#memoryHeapSize.set(heapTotal + external + workerHeapBytes)
    this.#memoryPhysicalSize.set(rss)
    this.#daysUntilFirstCertExpiring.set(
      firstCertificateExpiryMs === undefined ? NO_CERTIFICATE_DAYS : daysUntil(firstCertificateExpiryMs, nowMs),
    )
  }
}

const NEVER_COUNTED = [
  'debug_assertion_failures',
  'dropped_stat_flushes',
  'dynamic_unknown_fields',
  'envoy_bug_failures',
  'envoy_notifications',
  'static_unknown_fields',
  'wip_protos',
]

/** Envoy shows the first digits of its revision; ours is the version, three digits a part: 1.2.3 is 1002003. */
function versionNumber(version: string): number {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number)
  return major * 1_000_000 + minor * 1000 + patch
}

/** `runtime.*`, kept up to date with the layers. */
export function watchRuntime(store: StatsStore, runtime: RuntimeLayers): void {
  const scope = store.scope('runtime')
  const loads = scope.counter('load_success')
  const keys = scope.gauge('num_keys')
  const layers = scope.gauge('num_layers')
  const overrides = scope.gauge('admin_overrides_active')
  // A disk layer without `append_service_cluster` has no override folder; each load says so again, as in Envoy.
  const noOverrides = scope.counter('override_dir_not_exists')
  for (const name of ['load_error', 'override_dir_exists', 'deprecated_feature_use']) scope.counter(name)
  scope.gauge('deprecated_feature_seen_since_process_start').set(0)
  const loaded = () => {
    loads.inc()
    noOverrides.inc()
    keys.set(runtime.keyCount)
    layers.set(runtime.layerCount)
    overrides.set(runtime.adminKeyCount > 0 ? 1 : 0)
  }
  // Envoy loads twice at start: the layers of the file, and again once those from the network have come.
  loaded()
  loaded()
  runtime.onModified(loaded)
}
