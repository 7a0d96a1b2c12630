/** What `/certs` shows of a certificate, taken from Node's own parser. */
import type { X509Certificate } from 'node:crypto'
import type { CertificateDetails } from './server-control.ts'

const KINDS = { DNS: 'dns', URI: 'uri', 'IP Address': 'ip_address' } as const

/** `path` is the file it came from, '' for a certificate out of the configuration or SDS. */
export function certificateDetails(certificate: X509Certificate, path: string): CertificateDetails {
  return {
    path,
    serialNumber: certificate.serialNumber.toLowerCase(),
    subjectAltNames: subjectAltNames(certificate.subjectAltName ?? ''),
    validFromMs: Date.parse(certificate.validFrom),
    expiresMs: Date.parse(certificate.validTo),
  }
}

/** `DNS:b, URI:spiffe://td/x, IP Address:10.0.0.7`; a name with a comma or quote in it comes as a JSON string. */
function subjectAltNames(text: string): CertificateDetails['subjectAltNames'] {
  const names: { kind: (typeof KINDS)[keyof typeof KINDS]; value: string }[] = []
  for (const match of text.matchAll(/(DNS|URI|IP Address):("(?:[^"\\]|\\.)*"|[^,]*)/g)) {
    const raw = match[2]!
    const value = raw.startsWith('"') ? (JSON.parse(raw) as string) : raw
    names.push({ kind: KINDS[match[1] as keyof typeof KINDS], value })
  }
  return names
}
