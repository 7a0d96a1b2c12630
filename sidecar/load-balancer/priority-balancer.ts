/**
 * Chooses the host of one attempt (Envoy: `LoadBalancerBase`, `ZoneAwareLoadBalancerBase`): first a priority by the share
 * of traffic it gets, then, where localities have weights, a locality, then a host by the cluster's policy. In panic, when
 * fewer hosts than the threshold are healthy, all hosts of the priority are used as though they were.
 *
 * Everything that depends on hosts and their health is worked out when they change ({@link update}); a cluster with one
 * host, or with one priority in good health, takes no decision but the policy's own.
 */
import type { Random } from '../base/random.ts'
import type { Counter } from '../observability/stats.ts'
import type { Host, Locality } from '../upstream/host.ts'
import { isDegraded, isHealthy } from '../upstream/running-host.ts'
import { EdfSchedule } from './edf-schedule.ts'
import type { HostPicker, HostPickerFactory, LoadBalancerContext } from './policy.ts'
import { type PriorityLoad, priorityLoad } from './priority-load.ts'

/** The hosts of one priority, as the cluster knows them. */
export interface HostSet {
  readonly hosts: readonly (Host & { readonly localityWeight: number })[]
  /** In percent: 140. */
  readonly overprovisioningFactor: number
}

export interface BalancerSettings {
  readonly panicThresholdPercent: number
  /** `locality_weighted_lb_config`: the weights of localities count. */
  readonly localityWeighted: boolean
}

export class PriorityBalancer {
  readonly #random: Random
  readonly #healthyPanic: Counter
  #factory: HostPickerFactory
  #settings: BalancerSettings
  #levels: PriorityLevel[] = []
  #load: PriorityLoad = { healthy: [100], degraded: [0], panic: [false] }
  /** The only host there is, in good health. */
  #only: Host | undefined = undefined
  /** The list that all traffic goes to, when it is one. */
  #single: HostPicker | undefined = undefined

  constructor(factory: HostPickerFactory, settings: BalancerSettings, random: Random, healthyPanic: Counter) {
    this.#factory = factory
    this.#settings = settings
    this.#random = random
    this.#healthyPanic = healthyPanic
  }

  /** Takes another policy or other settings; {@link update} must follow. */
  configure(factory: HostPickerFactory, settings: BalancerSettings): void {
    this.#factory = factory
    this.#settings = settings
    this.#levels = []
  }

  /** Must be called whenever hosts, their weights, localities or health have changed. */
  update(sets: readonly HostSet[]): void {
    this.#levels = sets.map(
      (set, i) =>
        this.#levels[i]?.update(set) ?? new PriorityLevel(this.#factory, this.#settings, this.#random).update(set),
    )
    const load = priorityLoad(this.#levels, this.#settings.panicThresholdPercent)
    this.#load = load
    this.#only = undefined
    this.#single = undefined
    const level = this.#levels[0]
    if (this.#levels.length !== 1 || load.healthy[0] !== 100 || load.panic[0] || level === undefined) return
    if (level.hosts === 1 && level.healthy === 1) this.#only = sets[0]!.hosts[0]
    if (!level.weightedLocalities) this.#single = level.healthyPicker
  }

  /** True when too few hosts are healthy and all are used. */
  get panicking(): boolean {
    return this.#load.panic.some(Boolean)
  }

  chooseHost(context: LoadBalancerContext): Host | undefined {
    if (this.#only !== undefined) return this.#only
    let host = this.#chooseOnce(context)
    if (host === undefined || !context.shouldSelectAnotherHost(host)) return host
    // The last one is taken as it is: better a host that just failed than none.
    for (let attempt = context.hostSelectionMaxAttempts; attempt > 0; attempt--) {
      host = this.#chooseOnce(context)
      if (host === undefined || !context.shouldSelectAnotherHost(host)) return host
    }
    return host
  }

  #chooseOnce(context: LoadBalancerContext): Host | undefined {
    if (this.#single !== undefined) return this.#single.pick(context)
    if (this.#levels.length === 0) return undefined
    const lot = (context.hash === undefined ? this.#random.uint32() % 100 : Number(context.hash % 100n)) + 1
    const { healthy, degraded, panic } = this.#load
    let share = 0
    for (let i = 0; i < healthy.length; i++) {
      share += healthy[i]!
      if (lot <= share) return this.#pick(i, panic[i]!, false, context)
    }
    for (let i = 0; i < degraded.length; i++) {
      share += degraded[i]!
      if (lot <= share) return this.#pick(i, panic[i]!, true, context)
    }
    return undefined
  }

  #pick(priority: number, panic: boolean, degraded: boolean, context: LoadBalancerContext): Host | undefined {
    const level = this.#levels[priority]!
    if (panic) {
      this.#healthyPanic.inc()
      return level.allPicker.pick(context)
    }
    const locality = level.chooseLocality(degraded)
    if (locality !== undefined) return locality.pick(context)
    return (degraded ? level.degradedPicker : level.healthyPicker).pick(context)
  }
}

/** The lists of one priority: all, healthy, degraded, and healthy or degraded ones of each locality. */
class PriorityLevel {
  readonly #createPicker: () => HostPicker
  readonly #settings: BalancerSettings
  readonly allPicker: HostPicker
  readonly healthyPicker: HostPicker
  readonly degradedPicker: HostPicker
  hosts = 0
  healthy = 0
  degraded = 0
  overprovisioningFactor = 140
  /** Pickers of localities, kept by name so that they keep their place. */
  #localities = new Map<string, [healthy: HostPicker, degraded: HostPicker]>()
  #healthyLocalities: WeightedLocalities | undefined = undefined
  #degradedLocalities: WeightedLocalities | undefined = undefined

  constructor(factory: HostPickerFactory, settings: BalancerSettings, random: Random) {
    this.#createPicker = () => factory.createPicker(random)
    this.#settings = settings
    this.allPicker = this.#createPicker()
    this.healthyPicker = this.#createPicker()
    this.degradedPicker = this.#createPicker()
  }

  get weightedLocalities(): boolean {
    return this.#healthyLocalities !== undefined
  }

  update(set: HostSet): this {
    const healthy = set.hosts.filter(isHealthy)
    const degraded = set.hosts.filter(isDegraded)
    this.hosts = set.hosts.length
    this.healthy = healthy.length
    this.degraded = degraded.length
    this.overprovisioningFactor = set.overprovisioningFactor
    this.allPicker.update(set.hosts)
    this.healthyPicker.update(healthy)
    this.degradedPicker.update(degraded)
    this.#healthyLocalities = undefined
    this.#degradedLocalities = undefined
    if (this.#settings.localityWeighted) this.#updateLocalities(set)
    return this
  }

  /** The hosts of the locality whose turn it is; undefined where localities have no weights. */
  chooseLocality(degraded: boolean): HostPicker | undefined {
    return (degraded ? this.#degradedLocalities : this.#healthyLocalities)?.next()
  }

  #updateLocalities(set: HostSet): void {
    const groups = new Map<string, (typeof set.hosts)[number][]>()
    for (const host of set.hosts) {
      const name = localityName(host.locality)
      const group = groups.get(name)
      if (group === undefined) groups.set(name, [host])
      else group.push(host)
    }
    if (![...groups.values()].some(group => group[0]!.localityWeight > 0)) return
    const before = this.#localities
    this.#localities = new Map()
    const factor = set.overprovisioningFactor / 100
    const healthyEntries: WeightedPicker[] = []
    const degradedEntries: WeightedPicker[] = []
    for (const [name, group] of groups) {
      const pickers = before.get(name) ?? [this.#createPicker(), this.#createPicker()]
      this.#localities.set(name, pickers)
      const lists = [group.filter(isHealthy), group.filter(isDegraded)] as const
      for (const i of [0, 1] as const) {
        pickers[i].update(lists[i])
        // A locality that lost hosts gives traffic away only when it could not take its share any more.
        const weight = group[0]!.localityWeight * Math.min(1, (factor * lists[i].length) / group.length)
        if (weight > 0) (i === 0 ? healthyEntries : degradedEntries).push({ weight, picker: pickers[i] })
      }
    }
    if (healthyEntries.length > 0) this.#healthyLocalities = new WeightedLocalities(healthyEntries)
    if (degradedEntries.length > 0) this.#degradedLocalities = new WeightedLocalities(degradedEntries)
  }
}

interface WeightedPicker {
  readonly weight: number
  readonly picker: HostPicker
}

class WeightedLocalities {
  readonly #schedule = new EdfSchedule<WeightedPicker>()
  constructor(entries: readonly WeightedPicker[]) {
    for (const entry of entries) this.#schedule.add(1 / entry.weight, entry)
  }
  next(): HostPicker {
    const schedule = this.#schedule
    const { weight, picker } = schedule.first
    schedule.reschedule(schedule.firstDeadline + 1 / weight)
    return picker
  }
}

function localityName({ region, zone, subZone }: Locality): string {
  return `${region}/${zone}/${subZone}`
}
