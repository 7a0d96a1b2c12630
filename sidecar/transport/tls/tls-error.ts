/**
 * What went wrong with a TLS connection: in Envoy's words, which stand in response details and logs, as a sub-cause for
 * failure records, and in words for people.
 *
 * OpenSSL (Node) and BoringSSL (Envoy) word the same mistakes differently. OpenSSL's numbers are read, never its
 * sentences compared; what has no counterpart keeps OpenSSL's own name.
 */
import type { CloseReason, TlsCause } from '../connection.ts'

export interface TlsCloseReason extends CloseReason {
  readonly tlsCause: TlsCause
}

/** BoringSSL packs library (16 for SSL) and reason into one number. */
const SSL_LIBRARY = 16 * 2 ** 24
/** Alerts that the peer sent have this added to their number (RFC 8446 §6), in both libraries. */
const ALERTS = 1000
/** The alert of that name. */
const HANDSHAKE_FAILURE = 40

interface Reason {
  readonly name: string
  readonly cause: TlsCause
}

/** Alerts by number, as BoringSSL names them. */
const ALERT_REASONS: Readonly<Record<number, Reason>> = {
  10: { name: 'SSLV3_ALERT_UNEXPECTED_MESSAGE', cause: 'handshake' },
  20: { name: 'SSLV3_ALERT_BAD_RECORD_MAC', cause: 'handshake' },
  22: { name: 'TLSV1_ALERT_RECORD_OVERFLOW', cause: 'handshake' },
  [HANDSHAKE_FAILURE]: { name: 'SSLV3_ALERT_HANDSHAKE_FAILURE', cause: 'handshake' },
  42: { name: 'SSLV3_ALERT_BAD_CERTIFICATE', cause: 'client_cert_required' },
  43: { name: 'SSLV3_ALERT_UNSUPPORTED_CERTIFICATE', cause: 'client_cert_required' },
  44: { name: 'SSLV3_ALERT_CERTIFICATE_REVOKED', cause: 'revoked' },
  45: { name: 'SSLV3_ALERT_CERTIFICATE_EXPIRED', cause: 'expired' },
  46: { name: 'SSLV3_ALERT_CERTIFICATE_UNKNOWN', cause: 'unknown_ca' },
  47: { name: 'SSLV3_ALERT_ILLEGAL_PARAMETER', cause: 'handshake' },
  48: { name: 'TLSV1_ALERT_UNKNOWN_CA', cause: 'unknown_ca' },
  49: { name: 'TLSV1_ALERT_ACCESS_DENIED', cause: 'client_cert_required' },
  50: { name: 'TLSV1_ALERT_DECODE_ERROR', cause: 'handshake' },
  51: { name: 'TLSV1_ALERT_DECRYPT_ERROR', cause: 'handshake' },
  70: { name: 'TLSV1_ALERT_PROTOCOL_VERSION', cause: 'version' },
  71: { name: 'TLSV1_ALERT_INSUFFICIENT_SECURITY', cause: 'cipher' },
  80: { name: 'TLSV1_ALERT_INTERNAL_ERROR', cause: 'handshake' },
  86: { name: 'TLSV1_ALERT_INAPPROPRIATE_FALLBACK', cause: 'version' },
  90: { name: 'TLSV1_ALERT_USER_CANCELLED', cause: 'handshake' },
  100: { name: 'TLSV1_ALERT_NO_RENEGOTIATION', cause: 'handshake' },
  109: { name: 'TLSV1_ALERT_MISSING_EXTENSION', cause: 'handshake' },
  110: { name: 'TLSV1_ALERT_UNSUPPORTED_EXTENSION', cause: 'handshake' },
  112: { name: 'TLSV1_ALERT_UNRECOGNIZED_NAME', cause: 'san_mismatch' },
  115: { name: 'TLSV1_ALERT_UNKNOWN_PSK_IDENTITY', cause: 'handshake' },
  116: { name: 'TLSV1_ALERT_CERTIFICATE_REQUIRED', cause: 'client_cert_required' },
  120: { name: 'TLSV1_ALERT_NO_APPLICATION_PROTOCOL', cause: 'alpn' },
}

/** OpenSSL's reasons, by name, with what BoringSSL calls them and their number there. */
const OWN_REASONS: Readonly<Record<string, Reason & { readonly code: number }>> = {
  WRONG_VERSION_NUMBER: { name: 'WRONG_VERSION_NUMBER', code: 247, cause: 'plaintext_peer' },
  // OpenSSL takes the length from what is no record; BoringSSL looks at the version first.
  PACKET_LENGTH_TOO_LONG: { name: 'WRONG_VERSION_NUMBER', code: 247, cause: 'plaintext_peer' },
  RECORD_TOO_SMALL: { name: 'WRONG_VERSION_NUMBER', code: 247, cause: 'plaintext_peer' },
  BAD_RECORD_TYPE: { name: 'WRONG_VERSION_NUMBER', code: 247, cause: 'plaintext_peer' },
  HTTP_REQUEST: { name: 'HTTP_REQUEST', code: 156, cause: 'plaintext_peer' },
  HTTPS_PROXY_REQUEST: { name: 'HTTPS_PROXY_REQUEST', code: 155, cause: 'plaintext_peer' },
  UNSUPPORTED_PROTOCOL: { name: 'UNSUPPORTED_PROTOCOL', code: 240, cause: 'version' },
  UNKNOWN_PROTOCOL: { name: 'UNSUPPORTED_PROTOCOL', code: 240, cause: 'version' },
  NO_PROTOCOLS_AVAILABLE: { name: 'NO_SUPPORTED_VERSIONS_ENABLED', code: 293, cause: 'version' },
  NO_SHARED_CIPHER: { name: 'NO_SHARED_CIPHER', code: 184, cause: 'cipher' },
  NO_SUITABLE_KEY_SHARE: { name: 'NO_SHARED_GROUP', code: 266, cause: 'cipher' },
  NO_SUITABLE_GROUPS: { name: 'NO_SHARED_GROUP', code: 266, cause: 'cipher' },
  NO_SUITABLE_SIGNATURE_ALGORITHM: { name: 'NO_COMMON_SIGNATURE_ALGORITHMS', code: 253, cause: 'cipher' },
  PEER_DID_NOT_RETURN_A_CERTIFICATE: {
    name: 'PEER_DID_NOT_RETURN_A_CERTIFICATE',
    code: 192,
    cause: 'client_cert_required',
  },
  UNEXPECTED_MESSAGE: { name: 'UNEXPECTED_MESSAGE', code: 223, cause: 'handshake' },
  DECRYPTION_FAILED_OR_BAD_RECORD_MAC: { name: 'DECRYPTION_FAILED_OR_BAD_RECORD_MAC', code: 130, cause: 'handshake' },
}

const BY_CRL = 'certificate revocation check against provided CRLs failed: '

/** Verification errors by Node's code: OpenSSL's words are BoringSSL's here. */
const VERIFY_TEXTS: Readonly<Record<string, readonly [text: string, cause: TlsCause]>> = {
  CERT_HAS_EXPIRED: ['certificate has expired', 'expired'],
  CERT_NOT_YET_VALID: ['certificate is not yet valid', 'expired'],
  CRL_HAS_EXPIRED: [`${BY_CRL}CRL has expired`, 'revoked'],
  CRL_NOT_YET_VALID: [`${BY_CRL}CRL is not yet valid`, 'revoked'],
  UNABLE_TO_GET_CRL: [`${BY_CRL}unable to get certificate CRL`, 'revoked'],
  CERT_REVOKED: [`${BY_CRL}certificate revoked`, 'revoked'],
  DEPTH_ZERO_SELF_SIGNED_CERT: ['self signed certificate', 'unknown_ca'],
  SELF_SIGNED_CERT_IN_CHAIN: ['self signed certificate in certificate chain', 'unknown_ca'],
  UNABLE_TO_GET_ISSUER_CERT: ['unable to get issuer certificate', 'unknown_ca'],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ['unable to get local issuer certificate', 'unknown_ca'],
  // OpenSSL goes on after the first mistake and tells the last; Envoy tells the first.
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ['unable to get local issuer certificate', 'unknown_ca'],
  CERT_SIGNATURE_FAILURE: ['certificate signature failure', 'unknown_ca'],
  CERT_CHAIN_TOO_LONG: ['certificate chain too long', 'unknown_ca'],
  INVALID_CA: ['invalid CA certificate', 'unknown_ca'],
  PATH_LENGTH_EXCEEDED: ['path length constraint exceeded', 'unknown_ca'],
  INVALID_PURPOSE: ['unsupported certificate purpose', 'unknown_ca'],
  CERT_UNTRUSTED: ['certificate not trusted', 'unknown_ca'],
  CERT_REJECTED: ['certificate rejected', 'unknown_ca'],
}

/** As Envoy writes it into details: `TLS_error:|<code>:SSL_routines:OPENSSL_internal:<NAME>:TLS_error_end`. */
function envoyText(code: number, name: string, more = ''): string {
  return `TLS_error:|${code}:SSL_routines:OPENSSL_internal:${name}${more}:TLS_error_end`
}

/** The peer's certificate was not accepted: by `verify_cert_failed:` and what Envoy says then. */
export function verifyFailure(words: string, tlsCause: TlsCause): TlsCloseReason {
  const more = `:verify_cert_failed:_${words.replaceAll(' ', '_')}`
  return { kind: 'tls', details: envoyText(SSL_LIBRARY + 125, 'CERTIFICATE_VERIFY_FAILED', more), tlsCause }
}

/** OpenSSL's verdict on a chain, by Node's code for it. */
export function chainFailure(code: string): TlsCloseReason {
  const [text, cause] = VERIFY_TEXTS[code] ?? [code.toLowerCase().replaceAll('_', ' '), 'unknown_ca']
  return verifyFailure(`X509_verify_cert: certificate verification error at depth 0: ${text}`, cause)
}

/**
 * What OpenSSL, or the socket beneath it, reported. Undefined for errors that are none of TLS. `helloUnanswered`: our
 * ClientHello is all that was said so far; BoringSSL has a second sentence for a peer that wants none of it.
 */
export function tlsFailure(error: NodeJS.ErrnoException, helloUnanswered = false): TlsCloseReason | undefined {
  // `write EPROTO 40D3…:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:…` comes without a code.
  const found = /error:([0-9A-F]{8}):[^:]*:[^:]*:([^:\n]*)/.exec(error.message)
  const ssl = error.code?.startsWith('ERR_SSL_') === true
  if (found === null && !ssl) return undefined
  const alert = found === null ? 0 : (Number.parseInt(found[1]!, 16) & 0x7fffff) - ALERTS
  if (alert === HANDSHAKE_FAILURE && helloUnanswered) return HELLO_REFUSED
  const known = ALERT_REASONS[alert]
  if (known !== undefined) {
    return { kind: 'tls', details: envoyText(SSL_LIBRARY + ALERTS + alert, known.name), tlsCause: known.cause }
  }
  const name = (ssl ? error.code!.slice('ERR_SSL_'.length) : found![2]!).toUpperCase().replaceAll(' ', '_')
  const own = OWN_REASONS[name]
  if (own !== undefined) {
    return { kind: 'tls', details: envoyText(SSL_LIBRARY + own.code, own.name), tlsCause: own.cause }
  }
  const code = found === null ? 0 : Number.parseInt(found[1]!, 16) & 0x7fffff
  return { kind: 'tls', details: envoyText(SSL_LIBRARY + code, name), tlsCause: 'handshake' }
}

const HELLO_REFUSED: TlsCloseReason = Object.freeze({
  kind: 'tls',
  details: envoyText(
    SSL_LIBRARY + ALERTS + HANDSHAKE_FAILURE,
    ALERT_REASONS[HANDSHAKE_FAILURE]!.name,
    `|${SSL_LIBRARY + 154}:SSL_routines:OPENSSL_internal:HANDSHAKE_FAILURE_ON_CLIENT_HELLO`,
  ),
  tlsCause: 'cipher',
})

/** The peer closed before the handshake was done. Envoy says nothing more in this case. */
export const CLOSED_IN_HANDSHAKE: TlsCloseReason = Object.freeze({
  kind: 'tls',
  details: '',
  tlsCause: 'closed_in_handshake',
})

const SENTENCES: Readonly<Record<TlsCause, string>> = {
  plaintext_peer:
    'the peer answered a TLS hello in plaintext: it has no sidecar in front of it, or its port speaks no TLS; ' +
    'turn TLS on there, or take transport_socket off here',
  expired: "the peer's certificate is not valid now: renew it, and compare the clocks of both machines",
  san_mismatch: "the peer's certificate is for another name than the ones allowed here (match_typed_subject_alt_names)",
  pin_mismatch:
    "the peer's certificate is none of those pinned here (verify_certificate_hash, verify_certificate_spki)",
  client_cert_required:
    'the peer wants a client certificate that it accepts: set tls_certificates of the common_tls_context, issued by a CA that the peer trusts',
  unknown_ca: 'the certificate is not signed by a CA that is trusted: compare trusted_ca with who issued it',
  revoked: 'the certificate is revoked, or the list of revoked ones is missing or out of date (crl)',
  alpn: 'the two ends have no application protocol in common: compare alpn_protocols of both',
  version:
    'the two ends have no TLS version in common: compare tls_params of both (upstreams get TLS 1.2 at most by default)',
  cipher: 'the two ends have no cipher, curve or signature algorithm in common: compare tls_params of both',
  closed_in_handshake:
    'the peer closed the connection during the TLS handshake: its log tells why (a wrong SNI, no TLS on that port, a certificate it did not like)',
  handshake: 'the TLS handshake failed; where the peer asks for a client certificate, set tls_certificates',
}

/** What to tell a person, and what to do about it. */
export function tlsSentence(cause: TlsCause): string {
  return SENTENCES[cause]
}
