/**
 * Round robin (Envoy: `RoundRobinLoadBalancer`). With equal weights the hosts come in order, one after the other.
 *
 * With weights it is Envoy's earliest-deadline-first schedule: each host is due once every 1/weight, and the one due first
 * is next. Envoy adds 1/weight up again and again, so that rounding makes its cycles drift; here the deadline of a host's
 * n-th turn is n/weight, computed anew, and all begin again together once everyone has had their turns. Weights 5, 2 and 3
 * thus give exactly 5, 2 and 3 of every ten requests, however long it runs.
 */
import type { Random } from '../base/random.ts'
import type { Host } from '../upstream/host.ts'
import { EdfSchedule } from './edf-schedule.ts'
import type { HostPicker, LoadBalancingPolicy } from './policy.ts'

const factory = { createPicker: (random: Random): HostPicker => new RoundRobinPicker(random) }

export const roundRobin: LoadBalancingPolicy = {
  name: 'envoy.load_balancing_policies.round_robin',
  typeUrl: 'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin',
  lbPolicy: 'ROUND_ROBIN',
  fromMessage: () => factory,
  fromCluster: () => factory,
}

export class RoundRobinPicker implements HostPicker {
  #hosts: readonly Host[] = []
  #next: number
  #schedule: WeightedCycle | undefined = undefined

  constructor(random: Random) {
    // Not every worker and every sidecar begins with the same host.
    this.#next = random.uint32()
  }

  update(hosts: readonly Host[]): void {
    this.#hosts = hosts
    this.#schedule = undefined
    if (equalWeights(hosts)) return
    this.#schedule = new WeightedCycle(hosts)
    for (let skip = this.#next % hosts.length; skip > 0; skip--) this.#schedule.pick()
  }

  pick(): Host | undefined {
    if (this.#schedule !== undefined) return this.#schedule.pick()
    const hosts = this.#hosts
    if (hosts.length === 0) return undefined
    const next = this.#next % hosts.length
    this.#next = next + 1
    return hosts[next]
  }
}

export function equalWeights(hosts: readonly Host[]): boolean {
  for (let i = 1; i < hosts.length; i++) if (hosts[i]!.weight !== hosts[0]!.weight) return false
  return true
}

/** A weighted cycle that repeats exactly. */
class WeightedCycle {
  readonly #hosts: readonly Host[]
  readonly #weights: readonly number[]
  readonly #cycle: number
  #schedule: EdfSchedule<number>
  #turns: Uint32Array
  #picked = 0

  constructor(hosts: readonly Host[]) {
    this.#hosts = hosts
    const divisor = hosts.reduce((common, host) => gcd(common, host.weight), 0)
    this.#weights = hosts.map(host => host.weight / divisor)
    this.#cycle = this.#weights.reduce((sum, weight) => sum + weight, 0)
    this.#schedule = this.#begin()
    this.#turns = new Uint32Array(hosts.length)
  }

  pick(): Host {
    if (this.#picked++ === this.#cycle) {
      this.#picked = 1
      this.#schedule = this.#begin()
      this.#turns.fill(0)
    }
    const index = this.#schedule.first
    const turns = ++this.#turns[index]!
    this.#schedule.reschedule((turns + 1) / this.#weights[index]!)
    return this.#hosts[index]!
  }

  #begin(): EdfSchedule<number> {
    const schedule = new EdfSchedule<number>()
    for (let i = 0; i < this.#hosts.length; i++) schedule.add(1 / this.#weights[i]!, i)
    return schedule
  }
}

function gcd(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b]
  return a
}
