/**
 * What a certificate says of its subject, in the words that Envoy uses for headers, logs and matchers.
 *
 * Alternative names are read from the DER itself (RFC 5280 §4.2.1.6): Node gives them as one text, in which a name may
 * hold what separates names. The subject is Node's text, brought into the form of RFC 2253.
 */
import { createHash, type X509Certificate } from 'node:crypto'

export type SanType = 'email' | 'dns' | 'uri' | 'ip' | 'other'

export interface SubjectAltName {
  readonly type: SanType
  readonly value: string
}

export interface CertificateNames {
  /** In the order of the certificate. */
  readonly sans: readonly SubjectAltName[]
  readonly uris: readonly string[]
  readonly dns: readonly string[]
  readonly ips: readonly string[]
  readonly emails: readonly string[]
}

const SUBJECT_ALT_NAME = Buffer.from([0x06, 0x03, 0x55, 0x1d, 0x11])
const TYPES: Readonly<Record<number, SanType>> = { 129: 'email', 130: 'dns', 134: 'uri', 135: 'ip', 160: 'other' }

/** The alternative names of a certificate in DER; none where it has none or cannot be read. */
export function namesOf(der: Buffer): CertificateNames {
  const sans: SubjectAltName[] = []
  try {
    for (const name of generalNames(der)) sans.push(name)
  } catch (error) {
    // OpenSSL has parsed the certificate before; a name that cannot be read matches nothing.
    if (!(error instanceof RangeError)) throw error
  }
  const ofType = (type: SanType) => sans.filter(san => san.type === type).map(san => san.value)
  return { sans, uris: ofType('uri'), dns: ofType('dns'), ips: ofType('ip'), emails: ofType('email') }
}

interface Value {
  readonly tag: number
  readonly start: number
  readonly end: number
}

function* generalNames(der: Buffer): Generator<SubjectAltName> {
  const certificate = valueAt(der, 0)
  const tbs = valueAt(der, certificate.start)
  for (const field of valuesIn(der, tbs)) {
    if (field.tag !== 0xa3) continue
    for (const extension of valuesIn(der, valueAt(der, field.start))) {
      const parts = [...valuesIn(der, extension)]
      const id = der.subarray(extension.start, parts[0]!.end)
      if (!id.equals(SUBJECT_ALT_NAME)) continue
      const octets = parts.at(-1)!
      for (const name of valuesIn(der, valueAt(der, octets.start))) {
        const type = TYPES[name.tag]
        if (type === undefined) continue
        const bytes = der.subarray(name.start, name.end)
        yield { type, value: type === 'ip' ? ipText(bytes) : bytes.toString('latin1') }
      }
    }
  }
}

function* valuesIn(der: Buffer, outer: Value): Generator<Value> {
  for (let at = outer.start; at < outer.end; ) {
    const value = valueAt(der, at)
    if (value.end > outer.end) throw new RangeError('a value reaches beyond the one around it')
    yield value
    at = value.end
  }
}

function valueAt(der: Buffer, at: number): Value {
  const tag = der.readUInt8(at)
  const first = der.readUInt8(at + 1)
  let start = at + 2
  let length = first
  if (first >= 0x80) {
    const size = first & 0x7f
    if (size === 0 || size > 4) throw new RangeError('a length that DER does not have')
    length = der.readUIntBE(start, size)
    start += size
  }
  if (start + length > der.length) throw new RangeError('a value reaches beyond the end')
  return { tag, start, end: start + length }
}

/** As `inet_ntop` writes it. */
function ipText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  if (bytes.length !== 16) return ''
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2))
  // The longest run of zeros, the first of equals, is left out (RFC 5952 §4.2).
  let best = { at: -1, length: 1 }
  for (let at = 0; at < 8; at++) {
    let length = 0
    while (at + length < 8 && groups[at + length] === 0) length++
    if (length > best.length) best = { at, length }
  }
  const text = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map(group => group.toString(16))
      .join(':')
  return best.at < 0 ? text(0, 8) : `${text(0, best.at)}::${text(best.at + best.length, 8)}`
}

/**
 * A distinguished name as RFC 2253 has it and Envoy prints it: `CN=a,O=org`, last part first, everything beyond ASCII
 * escaped byte by byte. `lines` is Node's text, a part a line, first part first.
 */
export function distinguishedName(lines: string | undefined): string {
  if (lines === undefined || lines === '') return ''
  const parts = lines.split('\n').reverse().join(',').replaceAll(' + ', '+')
  return parts.replaceAll(/[^\0-\x7f]+/g, run =>
    Array.from(Buffer.from(run), byte => `\\${byte.toString(16).toUpperCase()}`).join(''),
  )
}

/** Lower-case hex of the digest of the whole certificate. */
export function fingerprint(der: Buffer, algorithm: 'sha1' | 'sha256'): string {
  return createHash(algorithm).update(der).digest('hex')
}

/** `verify_certificate_spki`: base64 of the SHA-256 of the public key in DER. */
export function spkiHash(certificate: X509Certificate): string {
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(spki).digest('base64')
}

/**
 * Whether a name asked for is one of a certificate's DNS names: compared without case, `*` allowed in the certificate's
 * first label, alone or with a beginning or an end (RFC 6125 §6.4.3; Envoy: `Utility::dnsNameMatch`).
 */
export function dnsNameMatch(name: string, pattern: string): boolean {
  const wanted = name.toLowerCase()
  const offered = pattern.toLowerCase()
  if (wanted === offered) return true
  const star = offered.indexOf('*')
  if (star < 0 || offered.indexOf('*', star + 1) >= 0) return false
  const dot = offered.indexOf('.')
  if (dot < star) return false
  const label = offered.slice(0, dot)
  // No part of a name in another script may be guessed (RFC 6125 §6.4.3).
  if (label.startsWith('xn--')) return false
  const wantedDot = wanted.indexOf('.')
  if (wantedDot <= 0 || wanted.slice(wantedDot) !== offered.slice(dot)) return false
  const wantedLabel = wanted.slice(0, wantedDot)
  const before = label.slice(0, star)
  const after = label.slice(star + 1)
  return wantedLabel.length >= label.length - 1 && wantedLabel.startsWith(before) && wantedLabel.endsWith(after)
}
