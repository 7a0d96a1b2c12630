/** `TlsParameters` in Node's words: versions, ciphers, curves, signature algorithms. */
import type { SecureVersion } from 'node:tls'
import { ConfigError, ConfigMistakes } from '../../config/config-error.ts'
import type { TlsParameters, TlsParameters_TlsProtocol } from '../../config/schema/generated/types.ts'

/** What BoringSSL knows for TLS 1.2 and below, but for 3DES and PSK, which OpenSSL has not; with their numbers on the wire. */
const CIPHER_IDS: Readonly<Record<string, number>> = {
  'ECDHE-ECDSA-AES128-GCM-SHA256': 0xc02b,
  'ECDHE-ECDSA-AES256-GCM-SHA384': 0xc02c,
  'ECDHE-ECDSA-CHACHA20-POLY1305': 0xcca9,
  'ECDHE-RSA-AES128-GCM-SHA256': 0xc02f,
  'ECDHE-RSA-AES256-GCM-SHA384': 0xc030,
  'ECDHE-RSA-CHACHA20-POLY1305': 0xcca8,
  'ECDHE-ECDSA-AES128-SHA': 0xc009,
  'ECDHE-ECDSA-AES256-SHA': 0xc00a,
  'ECDHE-RSA-AES128-SHA': 0xc013,
  'ECDHE-RSA-AES256-SHA': 0xc014,
  'ECDHE-RSA-AES128-SHA256': 0xc027,
  'AES128-GCM-SHA256': 0x9c,
  'AES256-GCM-SHA384': 0x9d,
  'AES128-SHA': 0x2f,
  'AES256-SHA': 0x35,
}
const TLS13_CIPHER_IDS: Readonly<Record<string, number>> = {
  TLS_AES_128_GCM_SHA256: 0x1301,
  TLS_AES_256_GCM_SHA384: 0x1302,
  TLS_CHACHA20_POLY1305_SHA256: 0x1303,
}

/** Envoy's default for TLS 1.2, in its order. Between brackets: ciphers of one rank, of which the client chooses. */
const DEFAULT_CIPHERS = [
  '[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]',
  '[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
]
/** Envoy's default. OpenSSL's own is longer, so that it would agree with peers that Envoy turns away. */
const DEFAULT_CURVES = ['X25519MLKEM768', 'X25519', 'P-256']
/** The same, with a key for each of the first two in the hello (`*`), as BoringSSL and OpenSSL's own default have it. */
const DEFAULT_CURVES_OFFERED = '*X25519MLKEM768:*X25519:P-256'

const VERSIONS: Readonly<Record<Exclude<TlsParameters_TlsProtocol, 'TLS_AUTO'>, SecureVersion>> = {
  TLSv1_0: 'TLSv1',
  TLSv1_1: 'TLSv1.1',
  TLSv1_2: 'TLSv1.2',
  TLSv1_3: 'TLSv1.3',
}
const ORDER: readonly SecureVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']

export interface TlsOptions {
  readonly minVersion: SecureVersion
  readonly maxVersion: SecureVersion
  readonly ciphers: string
  readonly ecdhCurve: string
  readonly sigalgs?: string
}

/** What a client would like, as far as a server may heed it. */
export interface ClientWishes {
  /** Cipher suites by number, in the client's order. */
  readonly ciphers: readonly number[]
  readonly offersTls13: boolean
  /** Its order counts, not ours (`prefer_client_ciphers`). */
  readonly decides: boolean
}

const NO_WISHES: ClientWishes = { ciphers: [], offersTls13: false, decides: false }

/**
 * Envoy's defaults: at least TLS 1.2 on both sides; at most TLS 1.3 downstream and TLS 1.2 upstream.
 * `client`: whom a server is for.
 * Throws {@link ConfigError}.
 */
export function tlsOptions(
  params: TlsParameters | undefined,
  side: 'downstream' | 'upstream',
  wishes: ClientWishes = NO_WISHES,
): TlsOptions {
  const mistakes = new ConfigMistakes()
  const min = params?.tlsMinimumProtocolVersion ?? 'TLS_AUTO'
  const max = params?.tlsMaximumProtocolVersion ?? 'TLS_AUTO'
  const minVersion = min === 'TLS_AUTO' ? 'TLSv1.2' : VERSIONS[min]
  const maxVersion = max === 'TLS_AUTO' ? (side === 'downstream' ? 'TLSv1.3' : 'TLSv1.2') : VERSIONS[max]
  if (ORDER.indexOf(minVersion) > ORDER.indexOf(maxVersion)) {
    const hint = max === 'TLS_AUTO' ? ', which is the default of upstreams: set tls_maximum_protocol_version too' : ''
    mistakes.add('tls_params', `the minimum is ${minVersion} and the maximum ${maxVersion}${hint}`)
  }
  // Of the versions that it is not going to be, the order does not matter: clients differ less without.
  const isTls13 = wishes.offersTls13 && maxVersion === 'TLSv1.3'
  const [offered, offered13] = isTls13 ? [[], wishes.ciphers] : [wishes.ciphers, []]
  const suites = mistakes.attempt('', () => cipherRanks(params)) ?? []
  mistakes.throwAll()
  const ranks = suites.map(rank => favouriteFirst(rank, CIPHER_IDS, offered))
  // BoringSSL has no setting for TLS 1.3's ciphers, and neither has Envoy: all have one rank.
  const ciphers = [favouriteFirst(Object.keys(TLS13_CIPHER_IDS), TLS13_CIPHER_IDS, offered13), ...ranks].flat()
  // OpenSSL's ordinary security level has no signatures that TLS 1.0 and 1.1 can use.
  if (minVersion === 'TLSv1' || minVersion === 'TLSv1.1') ciphers.push('@SECLEVEL=0')
  const signatures = params?.signatureAlgorithms ?? []
  return {
    minVersion,
    maxVersion,
    ciphers: ciphers.join(':'),
    ecdhCurve: groupList(params?.ecdhCurves ?? [], side, wishes.decides),
    ...(signatures.length > 0 && { sigalgs: signatures.join(':') }),
  }
}

function groupList(curves: readonly string[], side: 'downstream' | 'upstream', clientDecides: boolean): string {
  if (side === 'upstream') return curves.length > 0 ? curves.join(':') : DEFAULT_CURVES_OFFERED
  // As tuples of one each: within a tuple the client's order counts, and whether it has sent a key.
  return (curves.length > 0 ? curves : DEFAULT_CURVES).join(clientDecides ? ':' : '/')
}

/** Ciphers for TLS 1.2 and below by rank, best first. OpenSSL would leave out silently what it does not know. */
function cipherRanks(params: TlsParameters | undefined): readonly (readonly string[])[] {
  const suites = params?.cipherSuites ?? []
  const ranks = (suites.length > 0 ? suites : DEFAULT_CIPHERS)
    .map(suite => (suite.startsWith('[') && suite.endsWith(']') ? suite.slice(1, -1).split('|') : [suite]))
    // TLS 1.3 has its ciphers in any case; BoringSSL knows their names here and passes them over.
    .map(rank => rank.filter(name => TLS13_CIPHER_IDS[name] === undefined).map(openSslName))
    .filter(rank => rank.length > 0)
  const unknown = ranks.flat().filter(name => CIPHER_IDS[name] === undefined)
  if (unknown.length === 0 && ranks.length > 0) return ranks
  const [names, known] = [(ranks.length > 0 ? unknown : suites).join(', '), Object.keys(CIPHER_IDS).join(', ')]
  throw new ConfigError(
    'tls_params.cipher_suites',
    `Failed to initialize cipher suites: ${names}: none of ${known}, which are those for TLS 1.2 and below`,
  )
}

/** Of a cipher for TLS 1.2 and below that may have its name in IANA's list, `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`. */
function openSslName(name: string): string {
  const [exchange, cipher] = name.replace(/^TLS_(RSA_(?=WITH_))?/, '').split(/_?WITH_/)
  if (cipher === undefined) return name
  const short = cipher.replace(/^AES_(\d+)(_CBC)?/, 'AES$1').replace(/_POLY1305_SHA256$/, '_POLY1305')
  return (exchange === '' ? short : `${exchange}_${short}`).replaceAll('_', '-')
}

/** A rank as OpenSSL, which has no ciphers of one rank, must be given it for a client that offers `offered`. */
function favouriteFirst(
  rank: readonly string[],
  ids: Readonly<Record<string, number>>,
  offered: readonly number[],
): readonly string[] {
  if (rank.length === 1) return rank
  const places = rank.map(name => offered.indexOf(ids[name]!))
  const best = Math.min(...places.filter(place => place >= 0))
  const favourite = rank[places.indexOf(best)]
  return favourite === undefined ? rank : [favourite, ...rank.filter(name => name !== favourite)]
}
