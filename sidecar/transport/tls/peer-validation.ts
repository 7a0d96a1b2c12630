/**
 * Whether a peer's certificate is accepted (Envoy: `CertificateValidationContext`).
 *
 * OpenSSL builds and judges the chain and reports one verdict; what follows here is done for every connection, resumed
 * sessions too: names, pins, depth, trust domains. Envoy's order is kept: chain, then names, then pins.
 */
import { X509Certificate } from 'node:crypto'
import { ConfigError, ConfigMistakes, within } from '../../config/config-error.ts'
import type {
  CertificateValidationContext,
  SPIFFECertValidatorConfig,
  StringMatcher,
  SubjectAltNameMatcher,
} from '../../config/schema/generated/types.ts'
import { dnsNameMatch, fingerprint, namesOf, type SanType, type SubjectAltName, spkiHash } from './peer-certificate.ts'
import { readDataSource } from './secret.ts'
import { chainFailure, type TlsCloseReason, verifyFailure } from './tls-error.ts'
import type { TlsStats } from './tls-stats.ts'

const SPIFFE_VALIDATOR = 'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig'

/** Compiles a matcher of texts; the rooms above know how. Throws `ConfigError`. */
export type CompileMatcher = (matcher: StringMatcher) => (text: string) => boolean

/** A name that a peer must have: the SNI (`auto_sni_san_validation`), or what a request asks for (`auto_san_validation`). */
export interface WantedName {
  readonly name: string
  readonly by: 'sni' | 'request'
}

interface SanMatcher {
  /** Undefined for the deprecated matchers, which look at names of all kinds. */
  readonly type: SanType | undefined
  /** Set where a DNS name is asked for whole: then wildcards in the certificate count. */
  readonly exact: string | undefined
  readonly matches: (text: string) => boolean
}

const SAN_TYPES: Readonly<Record<string, SanType>> = { EMAIL: 'email', DNS: 'dns', URI: 'uri', IP_ADDRESS: 'ip' }

/** A trust bundle: certificates in PEM, each with what is needed to show it. */
export interface TrustedCertificate {
  readonly pem: string
  readonly certificate: X509Certificate
  readonly path: string
}

export class PeerValidation {
  /** All certificates that may end a chain; empty where chains are not looked at. */
  readonly trusted: readonly TrustedCertificate[]
  readonly crl: Buffer | undefined
  /** A connection goes on whatever is wrong with its peer's certificate, names and pins too; it is only counted. */
  readonly acceptsUntrusted: boolean
  readonly #sanMatchers: readonly SanMatcher[]
  readonly #spkis: ReadonlySet<string>
  readonly #hashes: ReadonlySet<string>
  readonly #maxDepth: number | undefined
  /** SPIFFE: who may sign for which trust domain. */
  readonly #domains: ReadonlyMap<string, readonly X509Certificate[]> | undefined

  /** Reads the files the message names. Throws {@link ConfigError}. */
  constructor(message: CertificateValidationContext, compile: CompileMatcher, systemRoots: () => readonly string[]) {
    const mistakes = new ConfigMistakes()
    const spiffe = mistakes.attempt('', () => spiffeDomains(message))
    this.#domains = spiffe && new Map([...spiffe].map(([name, bundle]) => [name, bundle.map(one => one.certificate)]))
    const roots = spiffe === undefined ? mistakes.attempt('', () => trustedOf(message, systemRoots)) : undefined
    this.trusted = spiffe === undefined ? (roots ?? []) : [...spiffe.values()].flat()
    const { crl } = message
    this.crl = crl && mistakes.attempt('', () => readDataSource(crl, 'crl'))
    this.acceptsUntrusted = message.trustChainVerification === 'ACCEPT_UNTRUSTED'
    const matchers = [
      ...message.matchTypedSubjectAltNames.map((one, i) =>
        mistakes.attempt(`match_typed_subject_alt_names[${i}]`, () => typedMatcher(one, compile)),
      ),
      ...message.matchSubjectAltNames.map((matcher, i) =>
        mistakes.attempt(`match_subject_alt_names[${i}]`, () => ({
          type: undefined,
          exact: undefined,
          matches: compile(matcher),
        })),
      ),
    ]
    mistakes.throwAll()
    this.#sanMatchers = matchers.filter(matcher => matcher !== undefined)
    this.#spkis = new Set(message.verifyCertificateSpki)
    this.#hashes = new Set(message.verifyCertificateHash.map(hash => hash.replaceAll(':', '').toLowerCase()))
    this.#maxDepth = message.maxVerifyDepth
    if (this.#sanMatchers.length > 0 && this.trusted.length === 0) {
      throw new ConfigError(
        message.matchTypedSubjectAltNames.length > 0 ? 'match_typed_subject_alt_names' : 'match_subject_alt_names',
        'SAN-based verification of peer certificates without trusted CA is insecure and not allowed',
      )
    }
  }

  /** Whether a peer has to show anything at all. */
  get asksForCertificate(): boolean {
    return this.trusted.length > 0 || this.#spkis.size > 0 || this.#hashes.size > 0
  }

  /** Names or pins are asked for: then a client must show a certificate, whether or not the listener requires one. */
  get insistsOnCertificate(): boolean {
    return !this.acceptsUntrusted && this.#sanMatchers.length + this.#spkis.size + this.#hashes.size > 0
  }

  /** Each trust domain has roots of its own (SPIFFE). */
  get trustDomains(): boolean {
    return this.#domains !== undefined
  }

  /** What is checked here needs the certificates above the peer's own, which a resumed session no longer has. */
  get looksAtChain(): boolean {
    return this.#domains !== undefined || this.#maxDepth !== undefined
  }

  /**
   * What is wrong with a peer, counted, or undefined when it is accepted. `chainError` is Node's code for OpenSSL's
   * verdict, '' when the chain is trusted. `wanted`: the name that must be among its names, if any.
   */
  check(
    peer: X509Certificate,
    chainError: string,
    wanted: WantedName | undefined,
    stats: TlsStats,
  ): TlsCloseReason | undefined {
    const failure = this.#firstFailure(peer, chainError, wanted, stats)
    return this.acceptsUntrusted ? undefined : failure
  }

  #firstFailure(
    peer: X509Certificate,
    chainError: string,
    wanted: WantedName | undefined,
    stats: TlsStats,
  ): TlsCloseReason | undefined {
    if (this.trusted.length > 0) {
      const failure = chainError === '' ? this.#checkChain(peer) : chainFailure(chainError)
      if (failure !== undefined) {
        stats.failVerifyError.inc()
        return failure
      }
    }
    if (wanted !== undefined || this.#sanMatchers.length > 0) {
      const { sans } = namesOf(peer.raw)
      const list = sans.map(san => san.value).join(', ')
      const named = wanted === undefined || sans.some(san => san.type === 'dns' && dnsNameMatch(wanted.name, san.value))
      if (!named && wanted.by === 'request') {
        stats.failVerifySan.inc()
        const words = `verify SAN list, expected SANs: [${wanted.name}], certificate SANs: [${list}]`
        return verifyFailure(words, 'san_mismatch')
      }
      if (!named || !this.#namesMatch(sans)) {
        stats.failVerifySan.inc()
        return verifyFailure(`SAN matcher, certificate SANs are [${list}]`, 'san_mismatch')
      }
    }
    if (this.#hashes.size > 0 || this.#spkis.size > 0) {
      const pinned =
        this.#hashes.has(fingerprint(peer.raw, 'sha256')) || (this.#spkis.size > 0 && this.#spkis.has(spkiHash(peer)))
      if (!pinned) {
        stats.failVerifyCertHash.inc()
        return verifyFailure('cert hash and spki', 'pin_mismatch')
      }
    }
    return undefined
  }

  #namesMatch(sans: readonly SubjectAltName[]): boolean {
    if (this.#sanMatchers.length === 0) return true
    return this.#sanMatchers.some(({ type, exact, matches }) =>
      sans.some(san => {
        if (type === undefined ? san.type === 'other' : san.type !== type) return false
        return exact === undefined ? matches(san.value) : dnsNameMatch(exact, san.value)
      }),
    )
  }

  #checkChain(peer: X509Certificate): TlsCloseReason | undefined {
    if (this.#domains !== undefined) {
      // A certificate that may sign others is no SVID (X509-SVID, appendix A). Of several URIs the first counts.
      const [uri = ''] = peer.ca ? [] : namesOf(peer.raw).uris
      const domain = /^spiffe:\/\/([^/]+)/.exec(uri)?.[1] ?? ''
      const bundle = this.#domains.get(domain)
      if (bundle === undefined) return verifyFailure('no trust bundle found for the trust domain', 'unknown_ca')
      if (depthBelow(peer, bundle) < 0) {
        return verifyFailure(
          'X509_verify_cert: certificate verification error at depth 0: unable to get local issuer certificate',
          'unknown_ca',
        )
      }
    }
    if (this.#maxDepth === undefined) return undefined
    const depth = depthBelow(
      peer,
      this.trusted.map(one => one.certificate),
    )
    // As BoringSSL counts: each certificate below the trusted one, but for a leaf that a trusted one has issued itself.
    return depth === 0 || depth < this.#maxDepth ? undefined : chainFailure('CERT_CHAIN_TOO_LONG')
  }
}

/** Certificates between a peer's and the one of `roots` that its chain ends at; -1 when it ends at none. */
function depthBelow(peer: X509Certificate, roots: readonly X509Certificate[]): number {
  let certificate = peer
  // The chain is what the peer sent, and it could be a long one.
  for (let depth = 0; depth < 100; depth++) {
    const issued = certificate
    if (
      roots.some(root => root.raw.equals(issued.raw) || (issued.checkIssued(root) && issued.verify(root.publicKey)))
    ) {
      return depth
    }
    const issuer = certificate.issuerCertificate
    if (issuer === undefined || issuer === certificate) return -1
    certificate = issuer
  }
  return -1
}

function typedMatcher(message: SubjectAltNameMatcher, compile: CompileMatcher): SanMatcher {
  const type = SAN_TYPES[message.sanType]
  if (type === undefined || message.matcher === undefined) {
    throw new ConfigError('san_type', `${message.sanType} is not supported by Hopwise`)
  }
  const { matcher } = message
  const matches = within('matcher', () => compile(matcher))
  return { type, exact: type === 'dns' ? matcher.exact : undefined, matches }
}

function trustedOf(message: CertificateValidationContext, systemRoots: () => readonly string[]): TrustedCertificate[] {
  if (message.trustedCa !== undefined) return certificatesIn(message.trustedCa, 'trusted_ca')
  if (message.systemRootCerts === undefined) return []
  return systemRoots().map(pem => ({ pem, certificate: new X509Certificate(pem), path: '<system>' }))
}

/** Every certificate of a data source in PEM. */
export function certificatesIn(source: Parameters<typeof readDataSource>[0], field: string): TrustedCertificate[] {
  const text = readDataSource(source, field).toString('latin1')
  const blocks = text.match(
    /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g,
  )
  const path = source.filename ?? '<inline>'
  if (blocks === null) throw new ConfigError(field, `${path} has no certificate in PEM in it`)
  return blocks.map(pem => {
    try {
      return { pem: `${pem}\n`, certificate: new X509Certificate(pem), path }
    } catch (error) {
      throw new ConfigError(field, `${path}: ${(error as Error).message}`)
    }
  })
}

function spiffeDomains(message: CertificateValidationContext): Map<string, TrustedCertificate[]> | undefined {
  const custom = message.customValidatorConfig
  if (custom === undefined) return undefined
  if (custom.typedConfig?.typeUrl !== SPIFFE_VALIDATOR) {
    throw new ConfigError('custom_validator_config', `"${custom.name}" is not supported by Hopwise`)
  }
  const { trustDomains } = custom.typedConfig.value as SPIFFECertValidatorConfig
  const domains = new Map<string, TrustedCertificate[]>()
  const mistakes = new ConfigMistakes()
  for (const [i, { name, trustBundle }] of trustDomains.entries()) {
    const field = `custom_validator_config.typed_config.trust_domains[${i}]`
    if (domains.has(name)) mistakes.add(`${field}.name`, `the trust domain "${name}" is there already`)
    if (trustBundle === undefined) {
      mistakes.add(`${field}.trust_bundle`, 'is missing')
      continue
    }
    domains.set(name, mistakes.attempt('', () => certificatesIn(trustBundle, `${field}.trust_bundle`)) ?? [])
  }
  mistakes.throwAll()
  if (domains.size === 0) throw new ConfigError('custom_validator_config.typed_config.trust_domains', 'is empty')
  return domains
}
