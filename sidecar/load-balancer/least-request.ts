/**
 * Least request (Envoy: `LeastRequestLoadBalancer`). With equal weights: of `choice_count` hosts picked at random the one
 * with the fewest requests in flight (two choices are nearly as good as looking at all, and do not herd), or the fewest of
 * all with `selection_method: FULL_SCAN`. With weights: a schedule by deadlines in which a host's weight is divided by
 * `(requests in flight + 1) ** active_request_bias` whenever it has had its turn.
 *
 * With `--concurrency N` each worker looks at the requests it has in flight itself, where Envoy's hosts count those of all
 * its workers: a count that all threads change with every request would cost each of them more than it tells.
 */
import type { Random } from '../base/random.ts'
import type { Cluster as ClusterMessage, LeastRequest } from '../config/schema/generated/types.ts'
import type { Host } from '../upstream/host.ts'
import { EdfSchedule } from './edf-schedule.ts'
import type { HostPicker, HostPickerFactory, LoadBalancingPolicy } from './policy.ts'
import { equalWeights } from './round-robin.ts'

export interface LeastRequestSettings {
  readonly choiceCount: number
  readonly activeRequestBias: number
  readonly fullScan: boolean
}

const DEFAULT_CHOICE_COUNT = 2
const DEFAULT_ACTIVE_REQUEST_BIAS = 1

export const leastRequest: LoadBalancingPolicy = {
  name: 'envoy.load_balancing_policies.least_request',
  typeUrl: 'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
  lbPolicy: 'LEAST_REQUEST',
  fromMessage(message) {
    const { choiceCount, activeRequestBias, selectionMethod, enableFullScan } = message as LeastRequest
    return leastRequestFactory({
      choiceCount: choiceCount ?? DEFAULT_CHOICE_COUNT,
      activeRequestBias: activeRequestBias?.defaultValue ?? DEFAULT_ACTIVE_REQUEST_BIAS,
      fullScan: selectionMethod === 'FULL_SCAN' || enableFullScan === true,
    })
  },
  fromCluster(cluster: ClusterMessage) {
    const config = cluster.leastRequestLbConfig
    return leastRequestFactory({
      choiceCount: config?.choiceCount ?? DEFAULT_CHOICE_COUNT,
      activeRequestBias: config?.activeRequestBias?.defaultValue ?? DEFAULT_ACTIVE_REQUEST_BIAS,
      fullScan: false,
    })
  },
}

function leastRequestFactory(settings: LeastRequestSettings): HostPickerFactory {
  return { createPicker: source => new LeastRequestPicker(settings, source) }
}

export class LeastRequestPicker implements HostPicker {
  readonly #settings: LeastRequestSettings
  readonly #random: Random
  #hosts: readonly Host[] = []
  #schedule: EdfSchedule<Host> | undefined = undefined

  constructor(settings: LeastRequestSettings, source: Random) {
    this.#settings = settings
    this.#random = source
  }

  update(hosts: readonly Host[]): void {
    this.#hosts = hosts
    this.#schedule = undefined
    if (equalWeights(hosts)) return
    this.#schedule = new EdfSchedule<Host>()
    for (const host of hosts) this.#schedule.add(1 / this.#weightOf(host), host)
  }

  pick(): Host | undefined {
    const schedule = this.#schedule
    if (schedule !== undefined) {
      const host = schedule.first
      schedule.reschedule(schedule.firstDeadline + 1 / this.#weightOf(host))
      return host
    }
    return this.#settings.fullScan ? this.#fewestOfAll() : this.#fewestOfSome()
  }

  #weightOf(host: Host): number {
    const bias = this.#settings.activeRequestBias
    const inFlight = host.stats.rqActive.value + 1
    if (bias === 1) return host.weight / inFlight
    return bias === 0 ? host.weight : host.weight / inFlight ** bias
  }

  #fewestOfSome(): Host | undefined {
    const hosts = this.#hosts
    const random = this.#random
    let best = hosts[Math.floor(random.next() * hosts.length)]
    if (best === undefined) return undefined
    for (let choice = 1; choice < this.#settings.choiceCount; choice++) {
      const sample = hosts[Math.floor(random.next() * hosts.length)]!
      if (sample.stats.rqActive.value < best.stats.rqActive.value) best = sample
    }
    return best
  }

  #fewestOfAll(): Host | undefined {
    let best: Host | undefined
    let equals = 0
    for (const host of this.#hosts) {
      const difference = best === undefined ? -1 : host.stats.rqActive.value - best.stats.rqActive.value
      if (difference < 0) {
        best = host
        equals = 1
      } else if (difference === 0 && this.#random.next() * ++equals < 1) best = host
    }
    return best
  }
}
