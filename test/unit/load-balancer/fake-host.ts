/** Hosts without a cluster, for tests of load balancing. */

import type { LoadBalancerContext } from '../../../sidecar/load-balancer/policy.ts'
import { HostHealth } from '../../../sidecar/upstream/host.ts'
import { RunningHost } from '../../../sidecar/upstream/running-host.ts'

export interface FakeHostOptions {
  readonly weight?: number
  readonly health?: keyof typeof HostHealth
  readonly zone?: string
  readonly localityWeight?: number
}

let nextPort = 1

export function fakeHost({
  weight = 1,
  health = 'Healthy',
  zone = '',
  localityWeight = 0,
}: FakeHostOptions = {}): RunningHost {
  const host = new RunningHost(
    {
      identity: '',
      address: { ip: '10.0.0.1', port: nextPort++ },
      hostname: '',
      serviceName: '',
      metadata: undefined,
      locality: { region: '', zone, subZone: '' },
      localityWeight,
      priority: 0,
      weight,
      health: 0,
      canary: false,
    },
    undefined,
  )
  host.health = HostHealth[health]
  return host
}

export function fakeHosts(count: number, options: FakeHostOptions = {}): RunningHost[] {
  return Array.from({ length: count }, () => fakeHost(options))
}

export const ANY: LoadBalancerContext = {
  headers: undefined,
  info: undefined,
  hash: undefined,
  metadataMatch: undefined,
  hostSelectionMaxAttempts: 1,
  shouldSelectAnotherHost: () => false,
}

/** How often each host was chosen. */
export function tally<T>(count: number, choose: () => T): Map<T, number> {
  const counts = new Map<T, number>()
  for (let i = 0; i < count; i++) {
    const choice = choose()
    counts.set(choice, (counts.get(choice) ?? 0) + 1)
  }
  return counts
}
