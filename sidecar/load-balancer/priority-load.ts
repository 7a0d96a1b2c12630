/**
 * How much traffic each priority gets (Envoy: `LoadBalancerBase::recalculatePerPriorityState` and what it calls), in whole
 * percent, with Envoy's integer arithmetic so that the same cluster gives the same split.
 *
 * The availability of a priority is the share of its hosts that are healthy, times the overprovisioning factor: with 1.4
 * a priority keeps all its traffic until fewer than 72 % of its hosts are left. What it cannot take goes to the next, and
 * what no healthy host can take goes to degraded ones.
 */

/** What of a priority matters here. */
export interface PriorityHealth {
  readonly hosts: number
  readonly healthy: number
  readonly degraded: number
  /** In percent: 140. */
  readonly overprovisioningFactor: number
}

export interface PriorityLoad {
  /** Percent of all traffic that goes to the healthy hosts of each priority. */
  readonly healthy: readonly number[]
  readonly degraded: readonly number[]
  /** Priorities with so few healthy hosts that all are used. */
  readonly panic: readonly boolean[]
}

export function priorityLoad(priorities: readonly PriorityHealth[], panicThresholdPercent: number): PriorityLoad {
  const healthyAvailability = priorities.map(({ hosts, healthy, overprovisioningFactor }) =>
    hosts === 0 ? 0 : Math.min(100, Math.floor((overprovisioningFactor * healthy) / hosts)),
  )
  const degradedAvailability = priorities.map(({ hosts, degraded, overprovisioningFactor }) =>
    hosts === 0 ? 0 : Math.min(100, Math.floor((overprovisioningFactor * degraded) / hosts)),
  )
  const total = Math.min(100, sum(healthyAvailability) + sum(degradedAvailability))
  const healthy = priorities.map(() => 0)
  const degraded = priorities.map(() => 0)
  if (total > 0) {
    const afterHealthy = distribute(healthy, healthyAvailability, 100, total)
    const rest = distribute(degraded, degradedAvailability, afterHealthy, total)
    // What is left is rounding; it goes to the first priority that can take it.
    const firstHealthy = healthyAvailability.findIndex(availability => availability > 0)
    if (firstHealthy >= 0) healthy[firstHealthy]! += rest
    else degraded[degradedAvailability.findIndex(availability => availability > 0)]! += rest
  }
  const panic = priorities.map(() => false)
  if (panicThresholdPercent === 0 && total === 0) {
    healthy[0] = 100
    return { healthy, degraded, panic }
  }
  // As long as all traffic can be served somewhere, a priority with few healthy hosts is no reason to panic.
  if (total < 100) for (let i = 0; i < priorities.length; i++) panic[i] = inPanic(priorities[i]!, panicThresholdPercent)
  if (panic.every(Boolean)) spreadByHosts(priorities, healthy, degraded)
  return { healthy, degraded, panic }
}

function inPanic({ hosts, healthy, degraded }: PriorityHealth, thresholdPercent: number): boolean {
  return hosts === 0 ? thresholdPercent > 0 : (100 * (healthy + degraded)) / hosts < thresholdPercent
}

/** Gives each priority what it can take of `load`, first come first served; returns what nobody took. */
function distribute(out: number[], availability: readonly number[], load: number, total: number): number {
  for (let i = 0; i < availability.length; i++) {
    out[i] = Math.min(load, Math.floor((availability[i]! * 100) / total))
    load -= out[i]!
  }
  return load
}

/** All priorities panic: health says nothing any more, so the traffic follows the number of hosts. */
function spreadByHosts(priorities: readonly PriorityHealth[], healthy: number[], degraded: number[]): void {
  const hosts = priorities.reduce((count, priority) => count + priority.hosts, 0)
  degraded.fill(0)
  if (hosts === 0) {
    healthy.fill(0)
    healthy[0] = 100
    return
  }
  let rest = 100
  for (let i = 0; i < priorities.length; i++) {
    healthy[i] = Math.floor((100 * priorities[i]!.hosts) / hosts)
    rest -= healthy[i]!
  }
  healthy[priorities.findIndex(priority => priority.hosts > 0)]! += rest
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
