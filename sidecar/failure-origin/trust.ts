/**
 * Whose records, and whose deadlines, are believed: mesh peers. Over mutual TLS the trust domain of the peer's SPIFFE id
 * decides; in plaintext the peer's address (`trusted_peers`). Never clusters marked `hopwise.external`, never the
 * application: of these two the caller knows more than an address does, so it does not ask.
 */
import { CidrSet, parseCidr } from '../base/cidr.ts'
import { serviceOfSpiffe, trustDomainOf } from './names.ts'
import type { FailureOriginSettings } from './settings.ts'

/** Decisions kept by address: a sidecar has few peers, and a scan of addresses must not grow the map. */
const MAX_KEPT = 1024

export class Trust {
  readonly #ranges: CidrSet
  readonly #domains: ReadonlySet<string>
  readonly #byIp = new Map<string, boolean>()
  readonly #identity: (spiffeId: string) => string

  /** `identity` is the rule from SPIFFE id to service name ('' for none), for meshes that name otherwise than Istio. */
  constructor(settings: FailureOriginSettings, identity: (spiffeId: string) => string = serviceOfSpiffe) {
    this.#ranges = new CidrSet(settings.trustedPeers.map(text => parseCidr(text)!))
    this.#domains = new Set(settings.trustDomains)
    this.#identity = identity
  }

  /** `uriSans` of the verified peer certificate; undefined on plaintext. A TLS peer without a trusted id is a stranger. */
  isMeshPeer(ip: string, uriSans: readonly string[] | undefined): boolean {
    if (uriSans !== undefined && uriSans.length > 0) return uriSans.some(uri => this.#domains.has(trustDomainOf(uri)))
    const known = this.#byIp.get(ip)
    if (known !== undefined) return known
    const trusted = this.#ranges.has(ip)
    if (this.#byIp.size < MAX_KEPT) this.#byIp.set(ip, trusted)
    return trusted
  }

  /** Service of an authenticated peer of our trust domains, '' for all others. */
  serviceOf(uriSans: readonly string[] | undefined): string {
    if (uriSans === undefined) return ''
    for (const uri of uriSans) {
      if (!this.#domains.has(trustDomainOf(uri))) continue
      const name = this.#identity(uri)
      if (name !== '') return name
    }
    return ''
  }
}
