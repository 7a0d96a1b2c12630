/**
 * One TLS session as stream info, logs and headers see it. Certificates are taken apart when somebody asks, once: most
 * sessions are never asked.
 */
import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { TlsInfo } from '../../observability/stream-info.ts'
import { type CertificateNames, distinguishedName, fingerprint, namesOf } from './peer-certificate.ts'

/** Our own side of a session. */
export interface OwnIdentity {
  readonly names: CertificateNames
  readonly subject: string
}

const NO_NAMES: CertificateNames = { sans: [], uris: [], dns: [], ips: [], emails: [] }
export const NOBODY: OwnIdentity = { names: NO_NAMES, subject: '' }

/** OpenSSL's names of curves, where BoringSSL's differ. */
const GROUPS: Readonly<Record<string, string>> = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
  // Of a resumed session.
  x25519: 'X25519',
}

export class TlsSession implements TlsInfo {
  readonly version: string
  readonly cipher: string
  readonly sni: string
  readonly alpn: string
  readonly handshakeEndMs: number
  /** Where Node tells it: on connections that we opened, for elliptic curves alone. */
  readonly group: string
  /** The peer's certificate passed its checks; false where there is none, or none was looked at. */
  readonly peerValidated: boolean
  readonly reused: boolean
  readonly #peer: X509Certificate | undefined
  readonly #own: OwnIdentity
  #names: CertificateNames | undefined = undefined
  #fingerprint256: string | undefined = undefined

  constructor(
    socket: TLSSocket,
    peer: X509Certificate | undefined,
    own: OwnIdentity,
    sni: string,
    peerValidated: boolean,
    nowMs: number,
  ) {
    this.version = socket.getProtocol() ?? ''
    this.cipher = socket.getCipher()?.name ?? ''
    this.sni = sni
    this.alpn = socket.alpnProtocol === false || socket.alpnProtocol === null ? '' : socket.alpnProtocol
    this.handshakeEndMs = nowMs
    const key = socket.getEphemeralKeyInfo() as { readonly name?: string } | null
    this.group = key?.name === undefined ? '' : (GROUPS[key.name] ?? key.name)
    this.reused = socket.isSessionReused()
    this.#peer = peer
    this.peerValidated = peerValidated && this.#peer !== undefined
    this.#own = own
  }

  get peer(): X509Certificate | undefined {
    return this.#peer
  }

  get #peerNames(): CertificateNames {
    this.#names ??= this.#peer === undefined ? NO_NAMES : namesOf(this.#peer.raw)
    return this.#names
  }

  get peerUriSans(): readonly string[] {
    return this.#peerNames.uris
  }
  get peerDnsSans(): readonly string[] {
    return this.#peerNames.dns
  }
  get peerIpSans(): readonly string[] {
    return this.#peerNames.ips
  }
  get peerEmailSans(): readonly string[] {
    return this.#peerNames.emails
  }
  get peerSubject(): string {
    return distinguishedName(this.#peer?.subject)
  }
  get peerIssuer(): string {
    return distinguishedName(this.#peer?.issuer)
  }
  get peerFingerprint256(): string {
    this.#fingerprint256 ??= this.#peer === undefined ? '' : fingerprint(this.#peer.raw, 'sha256')
    return this.#fingerprint256
  }
  get peerFingerprint1(): string {
    return this.#peer === undefined ? '' : fingerprint(this.#peer.raw, 'sha1')
  }
  get peerSerial(): string {
    return this.#peer?.serialNumber.toLowerCase() ?? ''
  }
  get localUriSans(): readonly string[] {
    return this.#own.names.uris
  }
  get localDnsSans(): readonly string[] {
    return this.#own.names.dns
  }
  get localSubject(): string {
    return this.#own.subject
  }
  get peerValidFromMs(): number | undefined {
    return this.#peer && Date.parse(this.#peer.validFrom)
  }
  get peerValidToMs(): number | undefined {
    return this.#peer && Date.parse(this.#peer.validTo)
  }

  peerCertificate(): string {
    return this.#peer === undefined ? '' : urlEncoded(this.#peer.toString())
  }

  /** The chain as the peer sent it, leaf first. */
  peerCertificateChain(): string {
    let text = ''
    let certificate = this.#peer
    // A chain that ends in a self-signed certificate points at itself; no peer may make it longer than this.
    for (let depth = 0; certificate !== undefined && depth < 100; depth++) {
      text += certificate.toString()
      const issuer: X509Certificate | undefined = certificate.issuerCertificate
      certificate = issuer === certificate || issuer?.raw.equals(certificate.raw) ? undefined : issuer
    }
    return urlEncoded(text)
  }
}

const ESCAPES: Readonly<Record<string, string>> = { '\n': '%0A', ' ': '%20', '+': '%2B', '/': '%2F', '=': '%3D' }

function urlEncoded(pem: string): string {
  return pem.replaceAll(/[\n +/=]/g, character => ESCAPES[character]!)
}
