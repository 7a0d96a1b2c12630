import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chainFailure, tlsFailure, tlsSentence, verifyFailure } from '../../../sidecar/transport/tls/tls-error.ts'

function openSsl(code: string, hex: string, text: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(
    `40D3:error:${hex}:SSL routines:ssl3_read_bytes:${text}:../rec.c:918:\n`,
  )
  error.code = code
  return error
}

test('an alert of the peer has the number and name that Envoy gives it, whatever OpenSSL calls it', () => {
  const required = tlsFailure(
    openSsl('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', '0A00045C', 'tlsv13 alert certificate required'),
  )
  assert.deepEqual(required, {
    kind: 'tls',
    details: 'TLS_error:|268436572:SSL_routines:OPENSSL_internal:TLSV1_ALERT_CERTIFICATE_REQUIRED:TLS_error_end',
    tlsCause: 'client_cert_required',
  })
  const unknown = tlsFailure(openSsl('EPROTO', '0A000418', 'tlsv1 alert unknown ca'))
  assert.equal(unknown?.tlsCause, 'unknown_ca')
  assert.match(unknown!.details, /\|268436504:.*:TLSV1_ALERT_UNKNOWN_CA:/)
})

test('a peer that speaks plaintext is recognised by any of the mistakes OpenSSL makes of it', () => {
  for (const [code, hex, text] of [
    ['ERR_SSL_WRONG_VERSION_NUMBER', '0A00010B', 'wrong version number'],
    ['ERR_SSL_PACKET_LENGTH_TOO_LONG', '0A0000C6', 'packet length too long'],
    ['EPROTO', '0A00010B', 'wrong version number'],
  ] as const) {
    const failure = tlsFailure(openSsl(code, hex, text))
    assert.equal(failure?.tlsCause, 'plaintext_peer', code)
    assert.match(failure!.details, /\|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:/)
  }
})

test('a reset is no mistake of TLS, and what is not known keeps its own name', () => {
  const reset: NodeJS.ErrnoException = new Error('read ECONNRESET')
  reset.code = 'ECONNRESET'
  assert.equal(tlsFailure(reset), undefined)
  const other = tlsFailure(openSsl('ERR_SSL_LIBRARY_BUG', '0A000112', 'library bug'))
  assert.match(other!.details, /:LIBRARY_BUG:/)
})

test('a chain that is not trusted reads as in Envoy, the last of OpenSSL’s mistakes as the first', () => {
  assert.equal(
    chainFailure('UNABLE_TO_VERIFY_LEAF_SIGNATURE').details,
    'TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:' +
      '_X509_verify_cert:_certificate_verification_error_at_depth_0:_unable_to_get_local_issuer_certificate:TLS_error_end',
  )
  assert.equal(chainFailure('CERT_HAS_EXPIRED').tlsCause, 'expired')
  assert.equal(verifyFailure('SAN matcher', 'san_mismatch').tlsCause, 'san_mismatch')
})

test('every cause has a sentence that says what to do', () => {
  assert.match(tlsSentence('plaintext_peer'), /plaintext.*transport_socket/)
  assert.match(tlsSentence('client_cert_required'), /tls_certificates/)
})
