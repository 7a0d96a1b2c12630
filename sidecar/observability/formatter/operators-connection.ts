/** Operators that read addresses, connections and TLS sessions. */
import { type Address, addressText } from '../../base/address.ts'
import type { StreamInfo, TlsInfo } from '../stream-info.ts'
import { alone, type Operator, OperatorError, type OperatorTable } from './operator.ts'
import { withoutBlanks } from './operators-stream.ts'
import { compileTimeFormat, timeFormatHasNewline } from './time-format.ts'

type AddressOf = (info: StreamInfo) => Address | undefined

/** `X`, `X_WITHOUT_PORT` and the port for an address; the port of a pipe is missing. */
function addressOperators(name: string, portName: string, read: AddressOf): OperatorTable {
  return {
    [name]: alone(({ info }) => {
      const address = read(info)
      return address && addressText(address)
    }),
    [`${name}_WITHOUT_PORT`]: alone(({ info }) => read(info)?.ip),
    [portName]: alone(({ info }) => {
      const address = read(info)
      return address === undefined || isPipe(address) ? undefined : address.port
    }),
  }
}

function isPipe(address: Address): boolean {
  return address.ip.startsWith('/') || address.ip.startsWith('@')
}

/** The address that was connected to: known once there is a connection. */
const upstreamRemote: AddressOf = info => (info.upstreamLocal === undefined ? undefined : info.upstreamHost)

/** Configured name of the host, its address where it has none. */
function hostName(info: StreamInfo): string | undefined {
  if (info.upstreamHost === undefined) return undefined
  return info.upstreamHostname || addressText(info.upstreamHost)
}

function withoutPort(host: string): string {
  return host.replace(/:\d+$/, '')
}

/** Envoy counts a host as attempted when the attempt got a connection (measured: `-` when it was refused). */
function attempted(read: (info: StreamInfo) => string | undefined, shape: (host: string) => string): Operator {
  return alone(({ info }) => {
    if (info.upstreamHostsAttempted !== undefined) return info.upstreamHostsAttempted.map(shape).join(',') || undefined
    const host = info.upstreamLocal === undefined ? undefined : read(info)
    return host === undefined ? undefined : shape(host)
  })
}

const hostText = (info: StreamInfo) => info.upstreamHost && addressText(info.upstreamHost)

type TlsOf = (info: StreamInfo) => TlsInfo | undefined

const downstreamTls: TlsOf = info => info.downstream.tls
const upstreamTls: TlsOf = info => info.upstreamTls

/** A field of a session: missing on plaintext and where it is empty. */
function tls(of: TlsOf, read: (tls: TlsInfo) => string | undefined): Operator {
  return alone(({ info }) => {
    const session = of(info)
    return session === undefined ? undefined : read(session) || undefined
  }, 'tls')
}

function certificateTime(of: TlsOf, read: (tls: TlsInfo) => number | undefined): Operator {
  return {
    syntax: 'argument_optional',
    compile({ argument, needs }) {
      if (timeFormatHasNewline(argument)) {
        throw new OperatorError('Invalid header configuration. Format string contains newline.')
      }
      needs.add('tls')
      const format = compileTimeFormat(argument, false)
      return ({ info }) => {
        const session = of(info)
        const ms = session && read(session)
        return ms === undefined ? undefined : format(ms)
      }
    },
  }
}

/** What both ends of a proxy's connections have alike. */
function sessionOperators(prefix: 'DOWNSTREAM' | 'UPSTREAM', of: TlsOf): OperatorTable {
  return {
    [`${prefix}_TLS_VERSION`]: tls(of, session => session.version),
    [`${prefix}_TLS_CIPHER`]: tls(of, session => session.cipher),
    [`${prefix}_TLS_GROUP`]: tls(of, session => session.group),
    [`${prefix}_TLS_SESSION_ID`]: tls(of, session => session.sessionId),
    [`${prefix}_PEER_URI_SAN`]: tls(of, session => session.peerUriSans.join(',')),
    [`${prefix}_PEER_DNS_SAN`]: tls(of, session => session.peerDnsSans.join(',')),
    [`${prefix}_PEER_IP_SAN`]: tls(of, session => session.peerIpSans?.join(',')),
    [`${prefix}_PEER_SUBJECT`]: tls(of, session => session.peerSubject),
    [`${prefix}_PEER_ISSUER`]: tls(of, session => session.peerIssuer),
    [`${prefix}_PEER_CERT`]: tls(of, session => session.peerCertificate?.()),
    [`${prefix}_PEER_CERT_V_START`]: certificateTime(of, session => session.peerValidFromMs),
    [`${prefix}_PEER_CERT_V_END`]: certificateTime(of, session => session.peerValidToMs),
    [`${prefix}_LOCAL_URI_SAN`]: tls(of, session => session.localUriSans.join(',')),
    [`${prefix}_LOCAL_DNS_SAN`]: tls(of, session => session.localDnsSans?.join(',')),
    [`${prefix}_LOCAL_IP_SAN`]: absent,
  }
}

/** Known to Envoy, not looked at here: always missing. */
const absent = alone(() => undefined)

export const connectionOperators: OperatorTable = {
  ...addressOperators('DOWNSTREAM_LOCAL_ADDRESS', 'DOWNSTREAM_LOCAL_PORT', info => info.downstream.local),
  ...addressOperators('DOWNSTREAM_DIRECT_LOCAL_ADDRESS', 'DOWNSTREAM_DIRECT_LOCAL_PORT', info => info.downstream.local),
  ...addressOperators('DOWNSTREAM_REMOTE_ADDRESS', 'DOWNSTREAM_REMOTE_PORT', info => info.remote),
  ...addressOperators(
    'DOWNSTREAM_DIRECT_REMOTE_ADDRESS',
    'DOWNSTREAM_DIRECT_REMOTE_PORT',
    info => info.downstream.directRemote,
  ),
  ...addressOperators('UPSTREAM_LOCAL_ADDRESS', 'UPSTREAM_LOCAL_PORT', info => info.upstreamLocal),
  ...addressOperators('UPSTREAM_REMOTE_ADDRESS', 'UPSTREAM_REMOTE_PORT', upstreamRemote),
  ...sessionOperators('DOWNSTREAM', downstreamTls),
  ...sessionOperators('UPSTREAM', upstreamTls),

  // Only Envoy's internal listeners have such ids; for every other address Envoy prints an empty text.
  DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID: alone(() => ''),
  DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID: alone(() => ''),
  UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID: alone(({ info }) => (upstreamRemote(info) === undefined ? undefined : '')),

  CONNECTION_ID: alone(({ info }) => info.downstream.id),
  REQUESTED_SERVER_NAME: alone(({ info }) => info.downstream.requestedServerName || undefined),
  DOWNSTREAM_HANDSHAKE_DURATION: alone(({ info }) => {
    const end = info.downstream.tls?.handshakeEndMs
    return end === undefined ? undefined : Math.floor(end - info.startMs)
  }, 'tls'),
  DOWNSTREAM_TRANSPORT_FAILURE_REASON: alone(({ info }) => withoutBlanks(info.downstreamTransportFailure) || undefined),
  DOWNSTREAM_LOCAL_SUBJECT: tls(downstreamTls, session => session.localSubject),
  DOWNSTREAM_LOCAL_EMAIL_SAN: absent,
  DOWNSTREAM_LOCAL_OTHERNAME_SAN: absent,
  DOWNSTREAM_PEER_EMAIL_SAN: tls(downstreamTls, session => session.peerEmailSans?.join(',')),
  DOWNSTREAM_PEER_OTHERNAME_SAN: absent,
  DOWNSTREAM_PEER_FINGERPRINT_256: tls(downstreamTls, session => session.peerFingerprint256),
  DOWNSTREAM_PEER_FINGERPRINT_1: tls(downstreamTls, session => session.peerFingerprint1),
  DOWNSTREAM_PEER_SERIAL: tls(downstreamTls, session => session.peerSerial),
  DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256: absent,
  DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1: absent,
  DOWNSTREAM_PEER_CHAIN_SERIALS: absent,
  DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256: absent,
  DOWNSTREAM_PEER_ISSUER_SERIAL: absent,
  TLS_JA3_FINGERPRINT: absent,
  TLS_JA4_FINGERPRINT: absent,

  UPSTREAM_HOST: alone(({ info }) => hostText(info)),
  UPSTREAM_HOST_NAME: alone(({ info }) => hostName(info)),
  UPSTREAM_HOST_NAME_WITHOUT_PORT: alone(({ info }) => {
    const host = hostName(info)
    return host && withoutPort(host)
  }),
  UPSTREAM_HOSTS_ATTEMPTED: attempted(hostText, host => host),
  UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT: attempted(hostText, withoutPort),
  UPSTREAM_HOST_NAMES_ATTEMPTED: attempted(hostName, host => host),
  UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT: attempted(hostName, withoutPort),
  UPSTREAM_CONNECTION_ID: alone(({ info }) => info.upstreamConnectionId),
  UPSTREAM_CONNECTION_IDS_ATTEMPTED: alone(({ info }) =>
    info.upstreamConnectionId === 0 ? undefined : String(info.upstreamConnectionId),
  ),
  UPSTREAM_PROTOCOL: alone(({ info }) => info.upstreamProtocol || undefined),
  UPSTREAM_REQUEST_ATTEMPT_COUNT: alone(({ info }) => info.attemptCount),
  UPSTREAM_SERVER_NAME: tls(upstreamTls, session => session.sni),
  UPSTREAM_TRANSPORT_FAILURE_REASON: alone(({ info }) => withoutBlanks(info.upstreamTransportFailure) || undefined),
}
