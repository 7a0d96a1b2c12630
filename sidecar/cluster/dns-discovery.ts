/**
 * STRICT_DNS and LOGICAL_DNS: the hosts are what names resolve to, asked again and again.
 *
 * STRICT_DNS makes a host of every address of every name. LOGICAL_DNS has one host, whatever its name resolves to: new
 * connections go to the first address of the newest answer and those that stand are left alone, because behind such a
 * name there are more addresses than one answer holds, and no address is ever known to be gone.
 *
 * When the DNS answers that there is no such name, STRICT_DNS lets its hosts go, LOGICAL_DNS keeps its own; when it does
 * not answer, both keep what they have (measured on Envoy 1.40).
 */
import { Timer } from '../base/timer-wheel.ts'
import type { Endpoint } from '../upstream/running-host.ts'
import type { ClusterSettings } from './cluster-settings.ts'
import type { Discovery, DiscoveryContext, DiscoveryTarget } from './discovery.ts'
import { type DnsAnswer, type DnsFailure, type DnsResolver, isDenial } from './dns-resolver.ts'
import type { DnsSettings } from './dns-settings.ts'
import { endpointsOf } from './endpoints.ts'

export class DnsDiscovery implements Discovery {
  readonly #target: DiscoveryTarget
  readonly #names: ResolvedName[]
  #closed = false

  constructor(settings: ClusterSettings, target: DiscoveryTarget, context: DiscoveryContext) {
    const dns = settings.dns!
    const logical = settings.discovery === 'LOGICAL_DNS'
    const resolver = context.resolver(dns.resolver)
    this.#target = target
    // Endpoints that differ only in port, weight or the like share their name's queries.
    const byName = new Map<string, Endpoint[]>()
    for (const endpoint of endpointsOf(settings.message.loadAssignment)) {
      const known = byName.get(endpoint.address.ip)
      if (known === undefined) byName.set(endpoint.address.ip, [endpoint])
      else known.push(endpoint)
    }
    this.#names = [...byName].map(
      ([name, endpoints]) =>
        new ResolvedName(name, endpoints, {
          dns,
          logical,
          resolver,
          context,
          target,
          onChange: success => this.#publish(success),
        }),
    )
  }

  async start(): Promise<void> {
    await Promise.all(this.#names.map(name => name.start()))
    // Also when nothing was found: a reload may have taken the last name away.
    if (!this.#closed) this.#publish(false)
  }

  close(): void {
    this.#closed = true
    for (const name of this.#names) name.close()
  }

  #publish(countUnchanged: boolean): void {
    if (this.#closed) return
    // At the start hosts that a former configuration found stay until every name has been asked.
    if (this.#names.some(name => !name.asked)) return
    const rebuilt = this.#target.setEndpoints(this.#names.flatMap(name => name.found))
    if (!rebuilt && countUnchanged) this.#target.clusterStats.updateNoRebuild.inc()
    const failures = this.#names.filter(name => name.failure !== undefined)
    const text = failures.map(name => `${name.name}: ${name.failure}`).join(', ')
    this.#target.noteDiscoveryFailure(text === '' ? '' : `dns: ${text}`)
  }
}

interface NameOptions {
  readonly dns: DnsSettings
  readonly logical: boolean
  readonly resolver: DnsResolver
  readonly context: DiscoveryContext
  readonly target: DiscoveryTarget
  /** An answer, or the lack of one, has come. */
  readonly onChange: (success: boolean) => void
}

/** One name and its endless round of queries. */
class ResolvedName {
  readonly name: string
  found: readonly Endpoint[] = []
  failure: DnsFailure | undefined = undefined
  /** The first answer, or failure, is in. */
  asked = false
  readonly #endpoints: readonly Endpoint[]
  readonly #options: NameOptions
  readonly #timer: Timer
  #failuresInRow = 0
  #closed = false

  constructor(name: string, endpoints: readonly Endpoint[], options: NameOptions) {
    this.name = name
    this.#endpoints = endpoints
    this.#options = options
    this.#timer = new Timer(() => void this.#query())
  }

  start(): Promise<void> {
    return this.#query()
  }

  close(): void {
    this.#closed = true
    this.#options.context.timers.stop(this.#timer)
  }

  async #query(): Promise<void> {
    const { dns, logical, resolver, target, context, onChange } = this.#options
    const { clusterStats } = target
    clusterStats.updateAttempt.inc()
    const answer = await resolver.resolve(this.name, dns.family)
    if (this.#closed) return
    const failed = answer.failure !== undefined && (logical || !isDenial(answer.failure))
    this.failure = answer.failure
    if (failed) {
      clusterStats.updateFailure.inc()
      this.#failuresInRow++
    } else {
      clusterStats.updateSuccess.inc()
      this.#failuresInRow = 0
      this.found = logical ? this.#logicalHosts(answer) : this.#strictHosts(answer)
    }
    const first = !this.asked
    this.asked = true
    context.timers.start(this.#timer, failed ? this.#failureDelayMs() : this.#delayMs(answer))
    // The first answers of all names are published together, by whoever started them.
    if (!first) onChange(!failed)
  }

  #strictHosts({ addresses }: DnsAnswer): Endpoint[] {
    return this.#endpoints.flatMap(endpoint =>
      addresses.map(ip => ({
        ...endpoint,
        address: { ip, port: endpoint.address.port },
        hostname: endpoint.hostname === '' ? this.name : endpoint.hostname,
      })),
    )
  }

  #logicalHosts({ addresses }: DnsAnswer): Endpoint[] {
    return this.#endpoints.map(endpoint => ({
      ...endpoint,
      identity: `${this.name}:${endpoint.address.port}`,
      address: { ip: addresses[0]!, port: endpoint.address.port },
      hostname: endpoint.hostname === '' ? this.name : endpoint.hostname,
    }))
  }

  #delayMs({ ttlMs }: DnsAnswer): number {
    const { refreshRateMs, respectTtl, minRefreshRateMs, jitterMs } = this.#options.dns
    const delayMs = respectTtl && ttlMs > 0 ? Math.max(ttlMs, minRefreshRateMs) : refreshRateMs
    return delayMs + this.#options.context.random.next() * jitterMs
  }

  /** Envoy: `JitteredExponentialBackOff` where `dns_failure_refresh_rate` is set, else the ordinary rate. */
  #failureDelayMs(): number {
    const { failureRefresh, refreshRateMs } = this.#options.dns
    if (failureRefresh === undefined) return refreshRateMs
    const ceiling = Math.min(failureRefresh.baseMs * 2 ** (this.#failuresInRow - 1), failureRefresh.maxMs)
    // Fully jittered, but never so soon that a resolver in trouble is asked without a pause.
    return Math.max(1, this.#options.context.random.next() * ceiling)
  }
}
