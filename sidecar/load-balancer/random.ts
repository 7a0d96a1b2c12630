/** Random choice, every host as likely as any other: weights are not looked at, as in Envoy (`RandomLoadBalancer`). */
import type { Random } from '../base/random.ts'
import type { Host } from '../upstream/host.ts'
import type { HostPicker, LoadBalancingPolicy } from './policy.ts'

const factory = { createPicker: (source: Random): HostPicker => new RandomPicker(source) }

export const random: LoadBalancingPolicy = {
  name: 'envoy.load_balancing_policies.random',
  typeUrl: 'envoy.extensions.load_balancing_policies.random.v3.Random',
  lbPolicy: 'RANDOM',
  fromMessage: () => factory,
  fromCluster: () => factory,
}

class RandomPicker implements HostPicker {
  readonly #random: Random
  #hosts: readonly Host[] = []

  constructor(source: Random) {
    this.#random = source
  }

  update(hosts: readonly Host[]): void {
    this.#hosts = hosts
  }

  pick(): Host | undefined {
    const hosts = this.#hosts
    return hosts[Math.floor(this.#random.next() * hosts.length)]
  }
}
