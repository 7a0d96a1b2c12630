/** The host as the cluster keeps it: what configuration or discovery said of it, its counters, and its pools. */
import { type Address, addressText } from '../base/address.ts'
import type { SharedCount } from '../base/shared-count.ts'
import type { Metadata } from '../config/schema/generated/types.ts'
import { Counter, Gauge, type StatsScope } from '../observability/stats.ts'
import { type Host, HostHealth, type HostStats, type Locality } from './host.ts'
import type { ConnectionPool } from './pool.ts'

/** What is known of an endpoint before it runs. */
export interface Endpoint {
  /** What the host is recognised by when its cluster is updated; '' for its address. */
  readonly identity: string
  readonly address: Address
  readonly hostname: string
  readonly serviceName: string
  readonly metadata: Metadata | undefined
  readonly locality: Locality
  readonly localityWeight: number
  readonly priority: number
  readonly weight: number
  /** Health that was configured or announced: `FailedEds`, `Degraded` or neither. */
  readonly health: number
  readonly canary: boolean
  /** Where all worker threads count how the host answers; undefined where this thread does it alone. */
  readonly outlierMemory?: SharedArrayBuffer | undefined
  /** Where all worker threads count connections to the host; undefined where no limit is for the host alone. */
  readonly connectionMemory?: SharedArrayBuffer | undefined
}

/** Watches how a host answers (outlier detection); kept at the host because it is asked with every response. */
export interface HostMonitor {
  onResponse(status: number): void
  onLocalOriginFailure(kind: 'connect_failed' | 'timeout' | 'reset'): void
  onLocalOriginSuccess(): void
}

/** Pools by requested names, beyond which those without connections are dropped. */
const MAX_NAMED_POOLS = 256

const ANNOUNCED = HostHealth.FailedEds | HostHealth.Degraded

export class RunningHost implements Host {
  /** What the cluster recognises it by; the same in all threads. */
  identity: string
  outlierMemory: SharedArrayBuffer | undefined
  /** Made by the control side. */
  connectionMemory: SharedArrayBuffer | undefined = undefined
  sharedConnections: SharedCount | undefined = undefined
  address: Address
  addressText: string
  readonly stats: HostStats
  hostname: string
  serviceName: string
  metadata: Metadata | undefined
  locality: Locality
  localityWeight: number
  priority: number
  weight: number
  canary: boolean
  health: number
  lastFailure = ''
  lastFailureAtMs = 0
  monitor: HostMonitor | undefined = undefined
  /** A pool for each kind and priority of routes (`kind * 2 + priority`), made on first use. */
  readonly pools: (ConnectionPool | undefined)[] = [undefined, undefined, undefined, undefined, undefined, undefined]
  /** Where requests bring names for TLS along: a pool for each. */
  readonly #namedPools = new Map<string, ConnectionPool>()
  readonly #scope: StatsScope | undefined
  readonly #healthyGauge: Gauge | undefined

  /**
   * `scope`: where the host's stats are shown (`per_endpoint_stats`); without it they are only counted. `controlScope`:
   * where its health is shown; another one in a worker thread.
   */
  constructor(endpoint: Endpoint, scope: StatsScope | undefined, controlScope: StatsScope | undefined = scope) {
    this.identity = endpoint.identity
    this.outlierMemory = endpoint.outlierMemory
    this.address = endpoint.address
    this.addressText = addressText(endpoint.address)
    this.hostname = endpoint.hostname
    this.serviceName = endpoint.serviceName
    this.metadata = endpoint.metadata
    this.locality = endpoint.locality
    this.localityWeight = endpoint.localityWeight
    this.priority = endpoint.priority
    this.weight = endpoint.weight
    this.canary = endpoint.canary
    this.health = endpoint.health
    this.#scope = scope
    this.stats = hostStats(scope)
    this.#healthyGauge = controlScope?.gauge('healthy')
    scope?.gauge('rq_pending_active')
    this.noteHealth()
  }

  /** Takes over what configuration says now. What was found out about the host since stays. True when anything changed. */
  update(endpoint: Endpoint): boolean {
    const health = (this.health & ~ANNOUNCED) | (endpoint.health & ANNOUNCED)
    const changed =
      this.priority !== endpoint.priority ||
      this.weight !== endpoint.weight ||
      this.localityWeight !== endpoint.localityWeight ||
      this.health !== health ||
      !sameLocality(this.locality, endpoint.locality)
    const text = addressText(endpoint.address)
    if (text !== this.addressText) {
      // LOGICAL_DNS: new connections go to the new address, those that stand stay.
      this.address = endpoint.address
      this.addressText = text
    }
    this.hostname = endpoint.hostname
    this.serviceName = endpoint.serviceName
    this.metadata = endpoint.metadata
    this.locality = endpoint.locality
    this.localityWeight = endpoint.localityWeight
    this.priority = endpoint.priority
    this.weight = endpoint.weight
    this.canary = endpoint.canary
    this.health = health
    this.outlierMemory ??= endpoint.outlierMemory
    this.noteHealth()
    return changed
  }

  /** Counts connections with the other workers from now on, those that stand included. */
  shareConnections(count: SharedCount): void {
    this.sharedConnections = count
    for (let i = 0; i < this.stats.cxActive.value; i++) count.take()
  }

  get unhealthy(): boolean {
    return isUnhealthy(this)
  }

  /** Keeps the per-endpoint gauge in step with the health bits. */
  noteHealth(): void {
    this.#healthyGauge?.set(isUnhealthy(this) ? 0 : 1)
  }

  /** The pool for requests that bring certain names along. Names come from requests: pools without use make room. */
  namedPool(key: string, create: () => ConnectionPool): ConnectionPool {
    let pool = this.#namedPools.get(key)
    if (pool === undefined) {
      if (this.#namedPools.size >= MAX_NAMED_POOLS) {
        for (const [name, one] of this.#namedPools) if (one.empty) this.#namedPools.delete(name)
      }
      pool = create()
      this.#namedPools.set(key, pool)
    }
    return pool
  }

  drainPools(): void {
    for (const pool of this.#allPools()) pool.drain()
  }

  retirePools(): void {
    for (const pool of this.#allPools()) pool.retire()
  }

  closePools(): void {
    for (const pool of this.#allPools()) pool.close()
  }

  get drained(): boolean {
    return this.#allPools().every(pool => pool.empty)
  }

  #allPools(): ConnectionPool[] {
    return [...this.pools.filter(pool => pool !== undefined), ...this.#namedPools.values()]
  }

  releaseStats(): void {
    this.#scope?.release()
  }
}

const UNHEALTHY = HostHealth.FailedActiveHealthCheck | HostHealth.FailedOutlierCheck | HostHealth.FailedEds

/** Out of rotation, for whatever reason. A degraded host is not. */
export function isUnhealthy(host: Host): boolean {
  return (host.health & UNHEALTHY) !== 0
}

export function isDegraded(host: Host): boolean {
  return (host.health & UNHEALTHY) === 0 && (host.health & HostHealth.Degraded) !== 0
}

export function isHealthy(host: Host): boolean {
  return host.health === HostHealth.Healthy
}

export function sameLocality(a: Locality, b: Locality): boolean {
  return a.region === b.region && a.zone === b.zone && a.subZone === b.subZone
}

function hostStats(scope: StatsScope | undefined): HostStats {
  const counter = (name: string) => scope?.counter(name) ?? new Counter(name)
  const gauge = (name: string) => scope?.gauge(name) ?? new Gauge(name)
  return {
    cxTotal: counter('cx_total'),
    cxActive: gauge('cx_active'),
    cxConnectFail: counter('cx_connect_fail'),
    rqTotal: counter('rq_total'),
    rqActive: gauge('rq_active'),
    rqSuccess: counter('rq_success'),
    rqError: counter('rq_error'),
    rqTimeout: counter('rq_timeout'),
  }
}
