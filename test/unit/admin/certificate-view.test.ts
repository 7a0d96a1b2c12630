import assert from 'node:assert/strict'
import type { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { certificateDetails } from '../../../sidecar/admin/certificate-view.ts'

test('a certificate is shown with its names and dates, a quoted name unquoted', () => {
  // What Node 26 says of such a certificate; making one here would need openssl.
  const certificate = {
    serialNumber: '231B6BE8',
    subjectAltName: 'DNS:b.example, URI:spiffe://td/ns/x, IP Address:10.0.0.7, DNS:"a, DNS:evil.example", email:x@y',
    validFrom: 'Nov 21 08:13:40 2026 GMT',
    validTo: 'Sep 17 08:13:40 2027 GMT',
  } as X509Certificate
  assert.deepEqual(certificateDetails(certificate, '/etc/cert.pem'), {
    path: '/etc/cert.pem',
    serialNumber: '231b6be8',
    subjectAltNames: [
      { kind: 'dns', value: 'b.example' },
      { kind: 'uri', value: 'spiffe://td/ns/x' },
      { kind: 'ip_address', value: '10.0.0.7' },
      { kind: 'dns', value: 'a, DNS:evil.example' },
    ],
    validFromMs: Date.UTC(2026, 10, 21, 8, 13, 40),
    expiresMs: Date.UTC(2027, 8, 17, 8, 13, 40),
  })
  const bare = certificateDetails({ ...certificate, subjectAltName: undefined } as X509Certificate, '')
  assert.deepEqual(bare.subjectAltNames, [])
})
