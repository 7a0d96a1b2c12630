import type { ResolverSettings } from './dns-settings.ts'
export interface DnsResolver {
  close(): void
}
export class SystemDnsResolver implements DnsResolver {
  constructor(_settings: ResolverSettings) {}
  close(): void {}
}
