/**
 * What a circuit breaker counts (Envoy: `ResourceManager`). The limits and where the counts live are the cluster's
 * business; a pool only asks, takes and gives back, so that the counts can lie in memory shared by worker threads.
 */

/** One limit of a circuit breaker: how many are in use and how many may be. */
export interface Resource {
  readonly max: number
  readonly inUse: number
  /** Takes one whether it fits or not: a pool may always open its first connection. */
  take(): void
  /** Takes one if it fits; false when not. Exact, however many threads ask at once. */
  tryTake(): boolean
  release(): void
}

/** The circuit breaker of one priority (`circuit_breakers.thresholds`). */
export interface ResourceManager {
  /** Connections that one host may have (`per_host_thresholds`); Infinity where nothing is said. */
  readonly maxConnectionsPerHost: number
  readonly connections: Resource
  readonly pendingRequests: Resource
  readonly requests: Resource
  readonly retries: Resource
}
