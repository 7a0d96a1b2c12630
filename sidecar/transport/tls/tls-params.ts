/** `TlsParameters` in Node's words: versions, ciphers, curves, signature algorithms. */
import type { SecureContextOptions, SecureVersion } from 'node:tls'
import { ConfigError } from '../../config/config-error.ts'
import type { TlsParameters, TlsParameters_TlsProtocol } from '../../config/schema/generated/types.ts'

/**
 * Envoy's default for TLS 1.2, in its order. Where Envoy gives two ciphers one rank and lets the client choose, the first
 * stands first here: OpenSSL knows no such groups.
 */
const DEFAULT_CIPHERS = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
]
/** BoringSSL has no setting for TLS 1.3's ciphers, and neither has Envoy. AES first, as on a machine that has it. */
const TLS13_CIPHERS = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']

const VERSIONS: Readonly<Record<Exclude<TlsParameters_TlsProtocol, 'TLS_AUTO'>, SecureVersion>> = {
  TLSv1_0: 'TLSv1',
  TLSv1_1: 'TLSv1.1',
  TLSv1_2: 'TLSv1.2',
  TLSv1_3: 'TLSv1.3',
}
const ORDER: readonly SecureVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']

export interface TlsVersions {
  readonly minVersion: SecureVersion
  readonly maxVersion: SecureVersion
}

/**
 * Envoy's defaults: at least TLS 1.2 on both sides; at most TLS 1.3 downstream and TLS 1.2 upstream.
 * Throws {@link ConfigError}.
 */
export function tlsOptions(
  params: TlsParameters | undefined,
  side: 'downstream' | 'upstream',
): TlsVersions & Pick<SecureContextOptions, 'ciphers' | 'ecdhCurve' | 'sigalgs'> {
  const min = params?.tlsMinimumProtocolVersion ?? 'TLS_AUTO'
  const max = params?.tlsMaximumProtocolVersion ?? 'TLS_AUTO'
  const minVersion = min === 'TLS_AUTO' ? 'TLSv1.2' : VERSIONS[min]
  const maxVersion = max === 'TLS_AUTO' ? (side === 'downstream' ? 'TLSv1.3' : 'TLSv1.2') : VERSIONS[max]
  if (ORDER.indexOf(minVersion) > ORDER.indexOf(maxVersion)) {
    const hint = max === 'TLS_AUTO' ? ', which is the default of upstreams: set tls_maximum_protocol_version too' : ''
    throw new ConfigError('tls_params', `the minimum is ${minVersion} and the maximum ${maxVersion}${hint}`)
  }
  const suites = params?.cipherSuites ?? []
  for (const suite of suites) {
    if (suite.startsWith('[')) {
      const reason = `"${suite}": OpenSSL knows no groups of equal rank; list the ciphers one by one`
      throw new ConfigError('tls_params.cipher_suites', reason)
    }
  }
  const ciphers = [...TLS13_CIPHERS, ...(suites.length > 0 ? suites : DEFAULT_CIPHERS)]
  // OpenSSL's ordinary security level has no signatures that TLS 1.0 and 1.1 can use.
  if (minVersion === 'TLSv1' || minVersion === 'TLSv1.1') ciphers.push('@SECLEVEL=0')
  const curves = params?.ecdhCurves ?? []
  const signatures = params?.signatureAlgorithms ?? []
  return {
    minVersion,
    maxVersion,
    ciphers: ciphers.join(':'),
    ...(curves.length > 0 && { ecdhCurve: curves.join(':') }),
    ...(signatures.length > 0 && { sigalgs: signatures.join(':') }),
  }
}
