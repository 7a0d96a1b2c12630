/**
 * Circuit breakers (Envoy: `ResourceManagerImpl`): how many connections, waiting requests, running requests and retries a
 * cluster may have at once, for each of the two priorities of routes.
 *
 * A limit has been reached when its gauge `…_open` is 1. A manager lives as long as its cluster, also when its limits
 * change, because what was taken before the change is given back after it.
 */
import type { CircuitBreakers, CircuitBreakers_Thresholds, RoutingPriority } from '../config/schema/generated/types.ts'
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
  }
}

/** A resource counted in this thread. */
class CountedResource implements Resource {
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

  canCreate(): boolean {
    return this.inUse < this.max
  }

  take(): void {
    this.inUse++
    this.#note()
  }

  release(): void {
    this.inUse--
    this.#note()
  }

  #note(): void {
    const open = this.inUse < this.max ? 0 : 1
    if (this.#open.value !== open) this.#open.set(open)
    // Envoy never lets the gauge fall below zero, though a pool's first connection may exceed the limit.
    this.#remaining?.set(this.inUse < this.max ? this.max - this.inUse : 0)
  }
}

/** Retries, of which a share of what is in flight is allowed where a budget is configured (`retry_budget`). */
class RetryResource implements Resource {
  inUse = 0
  #limits: Limits
  readonly #requests: Resource
  readonly #pendingRequests: Resource
  readonly #open: Gauge
  #remaining: Gauge | undefined = undefined

  constructor(limits: Limits, requests: Resource, pendingRequests: Resource, open: Gauge) {
    this.#limits = limits
    this.#requests = requests
    this.#pendingRequests = pendingRequests
    this.#open = open
    open.set(0)
  }

  configure(limits: Limits, remaining: Gauge | undefined): void {
    this.#limits = limits
    this.#remaining = remaining
    if (this.inUse > 0 || remaining !== undefined) this.#note()
  }

  get max(): number {
    const { retryBudget, maxRetries } = this.#limits
    if (retryBudget === undefined) return maxRetries
    const inFlight = this.#requests.inUse + this.#pendingRequests.inUse
    return Math.max(Math.floor((retryBudget.percent / 100) * inFlight), retryBudget.minConcurrency)
  }

  canCreate(): boolean {
    return this.inUse < this.max
  }

  take(): void {
    this.inUse++
    this.#note()
  }

  release(): void {
    this.inUse--
    this.#note()
  }

  #note(): void {
    const { max } = this
    this.#open.set(this.inUse < max ? 0 : 1)
    this.#remaining?.set(Math.max(0, max - this.inUse))
  }
}

export class CircuitBreaker implements ResourceManager {
  readonly connections: CountedResource
  readonly pendingRequests: CountedResource
  readonly requests: CountedResource
  readonly retries: RetryResource
  readonly #scope: StatsScope

  /** `scope`: `cluster.<name>.circuit_breakers.default`. */
  constructor(limits: Limits, scope: StatsScope) {
    this.#scope = scope
    this.connections = new CountedResource(limits.maxConnections, scope.gauge('cx_open'))
    this.pendingRequests = new CountedResource(limits.maxPendingRequests, scope.gauge('rq_pending_open'))
    this.requests = new CountedResource(limits.maxRequests, scope.gauge('rq_open'))
    this.retries = new RetryResource(limits, this.requests, this.pendingRequests, scope.gauge('rq_retry_open'))
    // There is no limit on pools, so this never opens; Envoy lists it all the same.
    scope.gauge('cx_pool_open')
    this.configure(limits)
  }

  configure(limits: Limits): void {
    const remaining = (name: string) => (limits.trackRemaining ? this.#scope.gauge(`remaining_${name}`) : undefined)
    this.connections.configure(limits.maxConnections, remaining('cx'))
    this.pendingRequests.configure(limits.maxPendingRequests, remaining('pending'))
    this.requests.configure(limits.maxRequests, remaining('rq'))
    // Envoy does not show what remains of a budget, since it changes with every request.
    this.retries.configure(limits, limits.retryBudget === undefined ? remaining('retries') : undefined)
    remaining('cx_pools')?.set(Number.MAX_SAFE_INTEGER)
  }
}
