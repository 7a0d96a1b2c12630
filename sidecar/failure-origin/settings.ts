/** `filter_metadata.hopwise` of node, listeners and clusters, as far as failure location reads it; filled by `config/`. */
import { parseCidr } from '../base/cidr.ts'
import { safeServiceName } from './names.ts'

export interface FailureOriginSettings {
  /** Own name: `node.cluster` or `--service-cluster`, else the file's name. */
  readonly service: string
  /** CIDRs of plaintext mesh peers; `[]` believes none. */
  readonly trustedPeers: readonly string[]
  /** SPIFFE trust domains of mesh peers over mutual TLS, beside the domain of our own certificate. */
  readonly trustDomains: readonly string[]
  /** False for `deadlines: off`, which restores Envoy's timing. */
  readonly deadlines: boolean
  readonly marginMinMs: number
  readonly marginFraction: number
  /** In-flight inbound requests that are tracked; more go uncounted (`hopwise_failure_ledger_overflow_total`). */
  readonly maxInFlight: number
  /** Failed egress calls whose inbound request is not known, kept until one claims them. */
  readonly maxUnclaimed: number
  readonly maxUnclaimedAgeMs: number
  /** Entries of `/failures`. */
  readonly maxLogEntries: number
  /** Distinct service names in labels; further ones are `other`. */
  readonly maxLabelNames: number
}

/** Loopback and the private ranges (RFC 1918, RFC 4193, link-local): a mesh in plaintext lives in these. */
export const PRIVATE_RANGES: readonly string[] = [
  '127.0.0.0/8',
  '::1/128',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  'fc00::/7',
  'fe80::/10',
]

export const DEFAULT_SETTINGS: Omit<FailureOriginSettings, 'service'> = {
  trustedPeers: PRIVATE_RANGES,
  trustDomains: [],
  deadlines: true,
  marginMinMs: 20,
  marginFraction: 0.02,
  maxInFlight: 65_536,
  maxUnclaimed: 4096,
  maxUnclaimedAgeMs: 30_000,
  maxLogEntries: 10_000,
  maxLabelNames: 200,
}

/** Settings of a service, with every default filled in. Throws for a range that is none: `config/` has checked them. */
export function failureOriginSettings(
  given: Partial<FailureOriginSettings> & { readonly service: string },
): FailureOriginSettings {
  const settings = { ...DEFAULT_SETTINGS, ...given, service: safeServiceName(given.service) }
  for (const range of settings.trustedPeers) {
    if (parseCidr(range) === undefined) throw new Error(`trusted_peers: '${range}' is no address range`)
  }
  return settings
}
