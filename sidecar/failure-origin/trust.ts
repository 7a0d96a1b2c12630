/**
 * Whose records, and whose deadlines, are believed: mesh peers. Over mutual TLS the trust domain of the peer's SPIFFE id
 * decides; in plaintext the peer's address (`trusted_peers`). Never clusters marked `hopwise.external`, never the
 * application: of these two the caller knows more than an address does, so it does not ask.
 */
import { CidrSet, parseCidr } from '../base/cidr.ts'
import type { TlsInfo } from '../observability/stream-info.ts'
import { serviceOfSpiffe, trustDomainOf } from './names.ts'
import type { FailureOriginSettings } from './settings.ts'

/** Decisions kept by address: a sidecar has few peers, and a scan of addresses must not grow the map. */
const MAX_KEPT = 1024

/** The part of a TLS session that says who the peer, and who we, are. */
export type PeerIdentity = Pick<TlsInfo, 'peerUriSans' | 'localUriSans' | 'peerValidated'>

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

  /** `tls` is undefined on plaintext. A TLS peer without an id of a trusted domain is a stranger, whatever its address. */
  isMeshPeer(ip: string, tls: PeerIdentity | undefined): boolean {
    if (tls !== undefined) return tls.peerUriSans.some(uri => this.#isTrustedDomain(uri, tls))
    const known = this.#byIp.get(ip)
    if (known !== undefined) return known
    const trusted = this.#ranges.has(ip)
    if (this.#byIp.size < MAX_KEPT) this.#byIp.set(ip, trusted)
    return trusted
  }

  /** Service of an authenticated peer of our trust domains, '' for all others. */
  serviceOf(tls: PeerIdentity | undefined): string {
    if (tls === undefined) return ''
    for (const uri of tls.peerUriSans) {
      if (!this.#isTrustedDomain(uri, tls)) continue
      const name = this.#identity(uri)
      if (name !== '') return name
    }
    return ''
  }

  #isTrustedDomain(uri: string, tls: PeerIdentity): boolean {
    // Anybody can write any name into a certificate that nobody looks at.
    if (tls.peerValidated === false) return false
    const domain = trustDomainOf(uri)
    if (domain === '') return false
    return this.#domains.has(domain) || tls.localUriSans.some(own => trustDomainOf(own) === domain)
  }
}
