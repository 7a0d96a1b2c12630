/**
 * A certificate authority in memory: makes the certificates of `npm start -- --mtls` and of the tests on the spot, with
 * nothing but node:crypto, so that a fresh clone needs neither the openssl program nor a library. It writes X.509
 * (RFC 5280) and signs it; it is for demonstrations and tests, and keeps no record of what it has issued.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { bits, bool, integer, octets, oid, sequence, set, tagged, time, utf8 } from './der.ts'

/** A certificate with its key, and the chain a peer is sent: leaf first, without the root. */
export interface IssuedCertificate {
  /** PEM of the certificate and of the intermediates that lead to the root. */
  readonly chain: string
  /** PEM of this certificate alone. */
  readonly certificate: string
  /** PKCS #8 PEM. */
  readonly key: string
  readonly der: Buffer
  readonly serial: Buffer
}

export interface CertificateOptions {
  /** Subject, in the order it is written: `{ O: 'org', CN: 'a' }`. */
  readonly subject?: Readonly<Record<string, string>>
  readonly uris?: readonly string[]
  readonly dns?: readonly string[]
  readonly ips?: readonly string[]
  readonly emails?: readonly string[]
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly keyType?: 'ec' | 'rsa'
  /** `server`, `client` or both (the default); `[]` leaves the extension out. */
  readonly usages?: readonly ('server' | 'client')[]
}

const DAY_MS = 86_400_000
/** Half a day beside whole ones, so that the days that are left do not change while somebody looks. */
const AUTHORITY_DAYS = 3650.5
const CERTIFICATE_DAYS = 365.5
const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'))
const RSA_SHA256 = sequence(oid('1.2.840.113549.1.1.11'), tagged(0x05))
const ATTRIBUTES: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
}
const USAGES = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const

export class CertificateAuthority {
  /** PEM of this authority's own certificate. */
  readonly certificate: string
  readonly der: Buffer
  readonly #key: KeyObject
  readonly #name: Buffer
  readonly #keyId: Buffer
  /** PEM of the intermediates between what this authority issues and the root; '' for a root. */
  readonly #chain: string

  constructor(
    name = 'Hopwise demo CA',
    parent?: CertificateAuthority,
    dates: { notBefore?: Date; notAfter?: Date } = {},
  ) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.#key = privateKey
    this.#name = nameOf({ CN: name })
    this.#keyId = keyIdOf(publicKey)
    const signer = parent ?? this
    this.der = signer.#sign(
      sequence(
        ...signer.#head(
          serialNumber(),
          dates.notBefore ?? daysFromNow(-1),
          dates.notAfter ?? daysFromNow(AUTHORITY_DAYS),
        ),
        this.#name,
        publicKey.export({ type: 'spki', format: 'der' }),
        extensions([
          extension('2.5.29.19', sequence(bool(true)), true),
          extension('2.5.29.15', bits(Buffer.of(0b0000_0110), 1), true),
          extension('2.5.29.14', octets(this.#keyId)),
          extension('2.5.29.35', sequence(tagged(0x80, signer.#keyId))),
        ]),
      ),
    )
    this.certificate = pem('CERTIFICATE', this.der)
    this.#chain = parent === undefined ? '' : this.certificate + parent.#chain
  }

  issue(options: CertificateOptions = {}): IssuedCertificate {
    const pair =
      options.keyType === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const serial = serialNumber()
    const names = alternativeNames(options)
    const usages = options.usages ?? ['server', 'client']
    const der = this.#sign(
      sequence(
        ...this.#head(serial, options.notBefore ?? daysFromNow(-1), options.notAfter ?? daysFromNow(CERTIFICATE_DAYS)),
        nameOf(options.subject ?? {}),
        pair.publicKey.export({ type: 'spki', format: 'der' }),
        extensions([
          extension('2.5.29.19', sequence(), true),
          extension('2.5.29.15', bits(Buffer.of(0b1010_0000), 5), true),
          ...(usages.length > 0 ? [extension('2.5.29.37', sequence(...usages.map(usage => oid(USAGES[usage]))))] : []),
          ...(names.length > 0 ? [extension('2.5.29.17', sequence(...names))] : []),
          extension('2.5.29.14', octets(keyIdOf(pair.publicKey))),
          extension('2.5.29.35', sequence(tagged(0x80, this.#keyId))),
        ]),
      ),
    )
    const certificate = pem('CERTIFICATE', der)
    return {
      chain: certificate + this.#chain,
      certificate,
      key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      der,
      serial,
    }
  }

  /** PEM of a list of what this authority has revoked. */
  revocationList(serials: readonly Uint8Array[]): string {
    const now = new Date()
    const list = sequence(
      integer(1),
      ECDSA_SHA256,
      this.#name,
      time(daysFromNow(-1)),
      time(daysFromNow(365)),
      ...(serials.length > 0
        ? [sequence(...serials.map(serial => sequence(integer(serial), time(new Date(now.getTime() - 60_000)))))]
        : []),
      tagged(
        0xa0,
        sequence(extension('2.5.29.35', sequence(tagged(0x80, this.#keyId))), extension('2.5.29.20', integer(1))),
      ),
    )
    return pem('X509 CRL', this.#sign(list))
  }

  /** What stands before the subject: version, serial, algorithm, issuer, validity. */
  #head(serial: Buffer, notBefore: Date, notAfter: Date): Buffer[] {
    return [
      tagged(0xa0, integer(2)),
      integer(serial),
      ECDSA_SHA256,
      this.#name,
      sequence(time(notBefore), time(notAfter)),
    ]
  }

  #sign(tbs: Buffer): Buffer {
    return sequence(tbs, ECDSA_SHA256, bits(sign('sha256', tbs, { key: this.#key, dsaEncoding: 'der' })))
  }
}

/** A certificate that nobody but itself vouches for. */
export function selfSigned(options: CertificateOptions = {}): IssuedCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const serial = serialNumber()
  const name = nameOf(options.subject ?? { CN: 'self-signed' })
  const names = alternativeNames(options)
  const tbs = sequence(
    tagged(0xa0, integer(2)),
    integer(serial),
    RSA_SHA256,
    name,
    sequence(time(options.notBefore ?? daysFromNow(-1)), time(options.notAfter ?? daysFromNow(CERTIFICATE_DAYS))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    extensions(names.length > 0 ? [extension('2.5.29.17', sequence(...names))] : []),
  )
  const der = sequence(tbs, RSA_SHA256, bits(sign('sha256', tbs, privateKey)))
  const certificate = pem('CERTIFICATE', der)
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  return { chain: certificate, certificate, key, der, serial }
}

export function daysFromNow(days: number): Date {
  return new Date(Date.now() + days * DAY_MS)
}

function nameOf(subject: Readonly<Record<string, string>>): Buffer {
  return sequence(
    ...Object.entries(subject).map(([name, value]) => set(sequence(oid(ATTRIBUTES[name] ?? name), utf8(value)))),
  )
}

function alternativeNames({ uris = [], dns = [], ips = [], emails = [] }: CertificateOptions): Buffer[] {
  return [
    ...uris.map(uri => tagged(0x86, Buffer.from(uri))),
    ...dns.map(name => tagged(0x82, Buffer.from(name))),
    ...ips.map(ip => tagged(0x87, addressBytes(ip))),
    ...emails.map(email => tagged(0x81, Buffer.from(email))),
  ]
}

function addressBytes(ip: string): Buffer {
  if (!isIPv6(ip)) return Buffer.from(ip.split('.').map(Number))
  const [head = '', tail] = ip.split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16)))
  const before = groups(head)
  const after = tail === undefined ? [] : groups(tail)
  const all = [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after]
  return Buffer.from(all.flatMap(group => [group >> 8, group & 255]))
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [bool(true)] : []), octets(value))
}

function extensions(list: readonly Buffer[]): Buffer {
  return list.length === 0 ? Buffer.alloc(0) : tagged(0xa3, sequence(...list))
}

/** Names a key for those who build chains; any value does that is the same for the same key (RFC 5280 §4.2.1.2). */
function keyIdOf(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()
}

function serialNumber(): Buffer {
  const serial = randomBytes(16)
  serial[0] = (serial[0]! & 0x3f) | 0x40
  return serial
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g)!
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
