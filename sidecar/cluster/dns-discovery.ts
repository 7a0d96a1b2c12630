import type { ClusterSettings } from './cluster-settings.ts'
import type { Discovery, DiscoveryContext, DiscoveryTarget } from './discovery.ts'
export class DnsDiscovery implements Discovery {
  constructor(_settings: ClusterSettings, _target: DiscoveryTarget, _context: DiscoveryContext) {}
  start(): Promise<void> {
    return Promise.resolve()
  }
  close(): void {}
}
