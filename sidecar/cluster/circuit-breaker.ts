/**
 * Circuit breakers (Envoy: `ResourceManagerImpl`): how many connections, waiting requests, running requests and retries a
 * cluster may have at once, for each of the two priorities of routes.
 *
 * A limit has been reached when its gauge `…_open` is 1. A manager lives as long as its cluster, also when its limits
 * change, because what was taken before the change is given back after it.
 *
 * With worker threads the counts lie in memory that all of them share ({@link BreakerMemory}): limits hold for the process.
 * The gauges are then the control side's, which sets them from that memory when somebody reads them ({@link
 * CircuitBreaker.refresh}); a worker cannot know when another one takes or gives.
 */
import { SharedCount, sharedCounts } from '../base/shared-count.ts'
import type { CircuitBreakers, CircuitBreakers_Thresholds, RoutingPriority } from '../config/schema/generated/types.ts'
import type { Runtime } from '../filter-chain/runtime.ts'
import type { Gauge, StatsScope } from '../observability/stats.ts'
import type { Resource, ResourceManager } from '../upstream/resource.ts'

const DEFAULT_MAX = 1024
const DEFAULT_MAX_RETRIES = 3
const DEFAULT_BUDGET_PERCENT = 20
const DEFAULT_MIN_RETRY_CONCURRENCY = 3

/** Limits of one priority with every default filled in. */
export interface Limits {
  readonly maxConnections: number
  readonly maxPendingRequests: number
  readonly maxRequests: number
  readonly maxRetries: number
  readonly retryBudget: { readonly percent: number; readonly minConcurrency: number } | undefined
  readonly trackRemaining: boolean
  /** `per_host_thresholds`: of these Envoy takes max_connections only. */
  readonly maxConnectionsPerHost: number
}

/** The limits of a priority. As in Envoy the first threshold of a priority counts, and retries have a budget or a number. */
export function limitsOf(breakers: CircuitBreakers | undefined, priority: RoutingPriority): Limits {
  const found: CircuitBreakers_Thresholds | undefined = breakers?.thresholds.find(entry => entry.priority === priority)
  const budget = found?.retryBudget
  return {
    maxConnections: found?.maxConnections ?? DEFAULT_MAX,
    maxPendingRequests: found?.maxPendingRequests ?? DEFAULT_MAX,
    maxRequests: found?.maxRequests ?? DEFAULT_MAX,
    maxRetries: found?.maxRetries ?? DEFAULT_MAX_RETRIES,
    retryBudget: budget && {
      percent: budget.budgetPercent?.value ?? DEFAULT_BUDGET_PERCENT,
      minConcurrency: budget.minRetryConcurrency ?? DEFAULT_MIN_RETRY_CONCURRENCY,
    },
    trackRemaining: found?.trackRemaining ?? false,
    maxConnectionsPerHost:
      breakers?.perHostThresholds.find(entry => entry.priority === priority)?.maxConnections ??
      Number.POSITIVE_INFINITY,
  }
}

/**
 * The limits with what the runtime says instead, under keys such as `circuit_breakers.<cluster>.default.max_requests`. As in
 * Envoy a key of a retry budget makes one where the configuration has none.
 */
export function limitsNow(limits: Limits, runtime: Runtime | undefined, keyPrefix: string): Limits {
  if (runtime === undefined) return limits
  const whole = (name: string, fallback: number) => {
    const value = runtime.number(`${keyPrefix}.${name}`, fallback)
    return Number.isInteger(value) && value >= 0 ? value : fallback
  }
  const { retryBudget } = limits
  const percent = runtime.number(`${keyPrefix}.retry_budget.budget_percent`, Number.NaN)
  const minConcurrency = whole('retry_budget.min_retry_concurrency', -1)
  const hasBudget = retryBudget !== undefined || !Number.isNaN(percent) || minConcurrency >= 0
  return {
    ...limits,
    maxConnections: whole('max_connections', limits.maxConnections),
    maxPendingRequests: whole('max_pending_requests', limits.maxPendingRequests),
    maxRequests: whole('max_requests', limits.maxRequests),
    maxRetries: whole('max_retries', limits.maxRetries),
    retryBudget: hasBudget
      ? {
          percent: Number.isNaN(percent) ? (retryBudget?.percent ?? DEFAULT_BUDGET_PERCENT) : percent,
          minConcurrency:
            minConcurrency < 0 ? (retryBudget?.minConcurrency ?? DEFAULT_MIN_RETRY_CONCURRENCY) : minConcurrency,
        }
      : undefined,
  }
}

/** Memory for the counts of a cluster, and which worker counts; undefined for the control side, which only reads. */
export interface BreakerMemory {
  readonly memory: SharedArrayBuffer
  readonly worker: number | undefined
}

/** Memory for one cluster: both priorities, four counts each. */
export function breakerMemory(workers: number): SharedArrayBuffer {
  return sharedCounts(workers)
}

const COUNTS = { connections: 0, pendingRequests: 1, requests: 2, retries: 3 } as const

/** Something that is counted, and its two gauges. */
interface GaugedResource extends Resource {
  refresh(): void
}

interface NumberedResource extends GaugedResource {
  configure(max: number, remaining: Gauge | undefined): void
}

/** A resource counted in this thread. */
class CountedResource implements NumberedResource {
  max: number
  inUse = 0
  readonly #open: Gauge
  #remaining: Gauge | undefined = undefined

  constructor(max: number, open: Gauge) {
    this.max = max
    this.#open = open
    // A limit of 0 is not "reached" before something was refused, so the gauge begins with 0, as in Envoy.
    open.set(0)
  }

  configure(max: number, remaining: Gauge | undefined): void {
    this.max = max
    this.#remaining = remaining
    if (this.inUse > 0 || remaining !== undefined) this.#note()
  }

  take(): void {
    this.inUse++
    this.#note()
  }

  tryTake(): boolean {
    if (this.inUse >= this.max) return false
    this.inUse++
    this.#note()
    return true
  }

  release(): void {
    this.inUse--
    this.#note()
  }

  refresh(): void {}

  #note(): void {
    const open = this.inUse < this.max ? 0 : 1
    if (this.#open.value !== open) this.#open.set(open)
    // Envoy never lets the gauge fall below zero, though a pool's first connection may exceed the limit.
    this.#remaining?.set(this.inUse < this.max ? this.max - this.inUse : 0)
  }
}

/** A resource counted by several threads together. */
class SharedResource implements NumberedResource {
  max: number
  readonly #count: SharedCount
  readonly #open: Gauge
  #remaining: Gauge | undefined = undefined

  constructor(max: number, open: Gauge, count: SharedCount) {
    this.max = max
    this.#open = open
    this.#count = count
    open.set(0)
  }

  get inUse(): number {
    return this.#count.value
  }

  configure(max: number, remaining: Gauge | undefined): void {
    this.max = max
    this.#remaining = remaining
    this.refresh()
  }

  take(): void {
    this.#count.take()
  }

  tryTake(): boolean {
    return this.#count.tryTake(this.max)
  }

  release(): void {
    this.#count.release()
  }

  refresh(): void {
    const { inUse, max } = this
    this.#open.set(inUse > 0 && inUse >= max ? 1 : 0)
    this.#remaining?.set(Math.max(0, max - inUse))
  }
}

/** Retries, of which a share of what is in flight is allowed where a budget is configured (`retry_budget`). */
class RetryResource implements GaugedResource {
  #inUse = 0
  #limits: Limits
  readonly #requests: Resource
  readonly #pendingRequests: Resource
  readonly #open: Gauge
  readonly #shared: SharedCount | undefined
  #remaining: Gauge | undefined = undefined

  constructor(limits: Limits, requests: Resource, pendingRequests: Resource, open: Gauge, shared?: SharedCount) {
    this.#limits = limits
    this.#requests = requests
    this.#pendingRequests = pendingRequests
    this.#open = open
    this.#shared = shared
    open.set(0)
  }

  configure(limits: Limits, remaining: Gauge | undefined): void {
    this.#limits = limits
    this.#remaining = remaining
    if (this.inUse > 0 || remaining !== undefined) this.refresh()
  }

  get inUse(): number {
    return this.#shared === undefined ? this.#inUse : this.#shared.value
  }

  get max(): number {
    const { retryBudget, maxRetries } = this.#limits
    if (retryBudget === undefined) return maxRetries
    const inFlight = this.#requests.inUse + this.#pendingRequests.inUse
    return Math.max(Math.floor((retryBudget.percent / 100) * inFlight), retryBudget.minConcurrency)
  }

  take(): void {
    if (this.#shared !== undefined) this.#shared.take()
    else {
      this.#inUse++
      this.refresh()
    }
  }

  tryTake(): boolean {
    const { max } = this
    if (this.#shared !== undefined) return this.#shared.tryTake(max)
    if (this.#inUse >= max) return false
    this.take()
    return true
  }

  release(): void {
    if (this.#shared !== undefined) this.#shared.release()
    else {
      this.#inUse--
      this.refresh()
    }
  }

  refresh(): void {
    const { inUse, max } = this
    this.#open.set(inUse < max ? 0 : 1)
    this.#remaining?.set(Math.max(0, max - inUse))
  }
}

export class CircuitBreaker implements ResourceManager {
  readonly connections: NumberedResource
  readonly pendingRequests: NumberedResource
  readonly requests: NumberedResource
  readonly retries: RetryResource
  maxConnectionsPerHost: number
  readonly #scope: StatsScope

  /**
   * `scope`: `cluster.<name>.circuit_breakers.default`. `shared`: where several threads count together; `priority` then
   * says which half of the memory is meant.
   */
  constructor(limits: Limits, scope: StatsScope, shared?: BreakerMemory, priority: 0 | 1 = 0) {
    this.#scope = scope
    const count = (name: keyof typeof COUNTS) =>
      shared && SharedCount.of(shared.memory, priority * Object.keys(COUNTS).length + COUNTS[name], shared.worker)
    const counted = (name: 'connections' | 'pendingRequests' | 'requests', max: number, gauge: string) => {
      const common = count(name)
      const open = scope.gauge(gauge)
      return common === undefined ? new CountedResource(max, open) : new SharedResource(max, open, common)
    }
    this.connections = counted('connections', limits.maxConnections, 'cx_open')
    this.pendingRequests = counted('pendingRequests', limits.maxPendingRequests, 'rq_pending_open')
    this.requests = counted('requests', limits.maxRequests, 'rq_open')
    this.retries = new RetryResource(
      limits,
      this.requests,
      this.pendingRequests,
      scope.gauge('rq_retry_open'),
      count('retries'),
    )
    this.maxConnectionsPerHost = limits.maxConnectionsPerHost
    // There is no limit on pools, so this never opens; Envoy lists it all the same.
    scope.gauge('cx_pool_open')
    this.configure(limits)
  }

  /** The limits in force, as `/clusters` shows them: that on retries follows the load where there is a budget. */
  get limits(): { maxConnections: number; maxPendingRequests: number; maxRequests: number; maxRetries: number } {
    return {
      maxConnections: this.connections.max,
      maxPendingRequests: this.pendingRequests.max,
      maxRequests: this.requests.max,
      maxRetries: this.retries.max,
    }
  }

  configure(limits: Limits): void {
    this.maxConnectionsPerHost = limits.maxConnectionsPerHost
    const remaining = (name: string) => (limits.trackRemaining ? this.#scope.gauge(`remaining_${name}`) : undefined)
    this.connections.configure(limits.maxConnections, remaining('cx'))
    this.pendingRequests.configure(limits.maxPendingRequests, remaining('pending'))
    this.requests.configure(limits.maxRequests, remaining('rq'))
    // Envoy does not show what remains of a budget, since it changes with every request.
    this.retries.configure(limits, limits.retryBudget === undefined ? remaining('retries') : undefined)
    remaining('cx_pools')?.set(Number.MAX_SAFE_INTEGER)
  }

  /** Sets the gauges from the shared counts; nothing to do where this thread counts alone. */
  refresh(): void {
    for (const resource of [this.connections, this.pendingRequests, this.requests, this.retries]) resource.refresh()
  }
}
