/**
 * TLS on connections that we open (Envoy: `UpstreamTlsContext`).
 *
 * The server is verified only where there is a validation context, as in Envoy. OpenSSL is told to go on in any case, and
 * its verdict is read after the handshake together with names and pins; so one place decides, for new sessions and for
 * resumed ones. A connection counts as made when the handshake is done and the peer accepted: until then the time of
 * `connect_timeout` runs.
 */
import type { X509Certificate } from 'node:crypto'
import type net from 'node:net'
import { isIP } from 'node:net'
import tls from 'node:tls'
import type { Address } from '../../base/address.ts'
import type { Clock } from '../../base/clock.ts'
import type { Timers } from '../../base/timer-wheel.ts'
import { ConfigError, ConfigMistakes, within } from '../../config/config-error.ts'
import type { CommonTlsContext, UpstreamTlsContext } from '../../config/schema/generated/types.ts'
import type { Counter, StatsScope } from '../../observability/stats.ts'
import type { CloseReason, Connection, ConnectionHandler } from '../connection.ts'
import { type ConnectOptions, connectSettings, plainReason, SocketConnection } from '../socket-connection.ts'
import { keepAlive } from '../tcp-keepalive.ts'
import { openSslMistake } from './downstream-tls.ts'
import type { WantedName } from './peer-validation.ts'
import { identityOptions, TlsContext, type TlsEnvironment, type TlsMaterial, trustOptions } from './tls-context.ts'
import { CLOSED_IN_HANDSHAKE, chainFailure, tlsFailure } from './tls-error.ts'
import { tlsOptions } from './tls-params.ts'
import { NOBODY, type OwnIdentity, TlsSession } from './tls-session.ts'
import { TlsStats } from './tls-stats.ts'

/** Whom to connect to, as far as TLS cares. */
export interface TlsTarget {
  readonly address: Address
  /** The name the endpoint was configured by, for `auto_host_sni`. */
  readonly hostname: string
  /** SNI that a request asks for (`auto_sni`), '' for none. */
  readonly serverName: string
  /** The peer must have that name (`auto_san_validation` of the request), '' for none. */
  readonly wantedName: string
}

/** Everything a handshake needs, made anew when secrets change; sessions belong to it and go with it. */
interface Ready {
  readonly secureContext: tls.SecureContext
  readonly own: OwnIdentity
  readonly sessions: KeptSession[]
}

/** A session to resume. Node does not show the certificate of a resumed session, so it is kept beside it. */
interface KeptSession {
  readonly session: Buffer
  readonly single: boolean
  readonly peer: X509Certificate
}

export class UpstreamTls {
  readonly context: TlsContext
  readonly #message: UpstreamTlsContext
  readonly #clock: Clock
  readonly #maxSessions: number
  #ready: Ready | undefined
  #stats: TlsStats | undefined
  #notReady: Counter | undefined

  /** Throws {@link ConfigError}. */
  constructor(message: UpstreamTlsContext, environment: TlsEnvironment, clock: Clock) {
    const common = message.commonTlsContext ?? EMPTY_COMMON
    this.#message = message
    this.#clock = clock
    const mistakes = new ConfigMistakes()
    if (message.sni.length > 255) mistakes.add('sni', 'SNI names of more than 255 bytes are not allowed')
    if (common.tlsCertificates.length + common.tlsCertificateSdsSecretConfigs.length > 1) {
      mistakes.add('common_tls_context', 'Multiple TLS certificates are not supported for client contexts')
    }
    this.#maxSessions = message.maxSessionKeys ?? 1
    mistakes.attempt('common_tls_context', () => tlsOptions(common.tlsParams, 'upstream'))
    const context = mistakes.attempt(
      'common_tls_context',
      () => new TlsContext(common, environment, next => this.#prepare(common, next)),
    )
    mistakes.throwAll()
    this.context = context!
    const { material } = this.context
    if (material !== undefined) within('common_tls_context', () => this.#prepare(common, material)())
  }

  /** Counts in the scope of the cluster from now on. */
  useStats(scope: StatsScope): void {
    this.#stats = new TlsStats(scope, 'upstream')
    this.#notReady = scope.scope('client_ssl_socket_factory').counter('upstream_context_secrets_not_ready')
    this.context.useStats(this.#stats)
  }

  connect(target: TlsTarget, options: ConnectOptions, handler: ConnectionHandler, timers: Timers): Connection {
    const connection = new SocketConnection(target.address, handler, timers, true)
    const ready = this.#ready
    const serverName = this.#serverName(target)
    const kept = ready && this.#takeSession(ready)
    const configured = this.context.message.alpnProtocols
    const alpn = configured.length > 0 ? configured : (options.alpn ?? [])
    const socket = tls.connect({
      ...connectSettings(target.address, options),
      secureContext: ready?.secureContext ?? emptyContext(),
      // An address is no name (RFC 6066 §3).
      ...(serverName !== '' && isIP(serverName) === 0 && { servername: serverName }),
      ...(alpn.length > 0 && { ALPNProtocols: [...alpn] }),
      ...(kept !== undefined && { session: kept.session }),
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    } as tls.ConnectionOptions)
    const upstream = new UpstreamHandshake(this, connection, socket, target, serverName, kept?.peer)
    connection.attachEncrypted(socket as net.Socket, upstream.errorReason)
    connection.armConnectTimeout(options.connectTimeoutMs)
    if (options.keepAlive !== undefined) socket.once('connect', () => keepAlive(socket, options.keepAlive))
    if (ready === undefined) {
      this.#notReady?.inc()
      connection.refuse({ kind: 'tls', details: 'TLS_error:_Secret_is_not_supplied_by_SDS' })
      return connection
    }
    if (this.#maxSessions > 0) {
      socket.on('session', (fresh: Buffer) => {
        // TLS 1.3: a ticket is for one connection (RFC 8446 §C.4).
        const { peer } = upstream
        if (peer === undefined) return
        ready.sessions.push({ session: fresh, single: socket.getProtocol() === 'TLSv1.3', peer })
        if (ready.sessions.length > this.#maxSessions) ready.sessions.shift()
      })
    }
    socket.on('secureConnect', () => upstream.onSecure(ready.own))
    return connection
  }

  // What a handshake asks for.

  get stats(): TlsStats | undefined {
    return this.#stats
  }
  now(): number {
    return this.#clock.now()
  }

  /** Why the peer is not accepted, or undefined. */
  check(
    socket: tls.TLSSocket,
    peer: X509Certificate | undefined,
    target: TlsTarget,
    serverName: string,
  ): CloseReason | undefined {
    const { validation } = this.context.material!
    const stats = this.#stats
    if (validation === undefined || stats === undefined) return undefined
    if (peer === undefined) {
      if (!validation.asksForCertificate) return undefined
      stats.failVerifyNoCert.inc()
      return chainFailure('UNABLE_TO_GET_ISSUER_CERT')
    }
    const chainError = socket.authorized ? '' : String(socket.authorizationError ?? '')
    return validation.check(peer, chainError, this.#wantedName(target, serverName), stats)
  }

  #wantedName(target: TlsTarget, serverName: string): WantedName | undefined {
    if (this.#message.autoSniSanValidation && serverName !== '') return { name: serverName, by: 'sni' }
    return target.wantedName === '' ? undefined : { name: target.wantedName, by: 'request' }
  }

  get validates(): boolean {
    return this.context.material?.validation?.asksForCertificate === true
  }

  #serverName(target: TlsTarget): string {
    if (this.#message.autoHostSni && target.hostname !== '') return target.hostname
    return target.serverName === '' ? this.#message.sni : target.serverName
  }

  #takeSession(ready: Ready): KeptSession | undefined {
    const last = ready.sessions.at(-1)
    if (last === undefined) return undefined
    if (last.single) ready.sessions.pop()
    return last
  }

  #prepare({ tlsParams }: CommonTlsContext, material: TlsMaterial): () => void {
    let secureContext: tls.SecureContext
    try {
      secureContext = tls.createSecureContext({
        ...tlsOptions(tlsParams, 'upstream'),
        ca: [],
        ...trustOptions(material.validation),
        ...identityOptions(material.certificates),
      })
    } catch (error) {
      if (error instanceof ConfigError) throw error
      throw openSslMistake(error as NodeJS.ErrnoException)
    }
    const [certificate] = material.certificates
    return () => {
      this.#ready = { secureContext, own: certificate ?? NOBODY, sessions: [] }
    }
  }
}

/** One connection on its way to a session. */
class UpstreamHandshake {
  readonly #tls: UpstreamTls
  readonly #connection: SocketConnection
  readonly #socket: tls.TLSSocket
  readonly #target: TlsTarget
  readonly #serverName: string
  /** Of the session that may be resumed. */
  readonly #keptPeer: X509Certificate | undefined
  /** The peer's certificate, once the handshake is done. */
  peer: X509Certificate | undefined = undefined
  #stage: 'tcp' | 'tls' | 'done' = 'tcp'

  constructor(
    upstream: UpstreamTls,
    connection: SocketConnection,
    socket: tls.TLSSocket,
    target: TlsTarget,
    serverName: string,
    keptPeer: X509Certificate | undefined,
  ) {
    this.#tls = upstream
    this.#keptPeer = keptPeer
    this.#connection = connection
    this.#socket = socket
    this.#target = target
    this.#serverName = serverName
    socket.once('connect', () => {
      this.#stage = 'tls'
    })
  }

  readonly errorReason = (error: NodeJS.ErrnoException): CloseReason => {
    // Node knows no cipher until a ServerHello has named one, whatever its types say.
    const reason = tlsFailure(error, this.#stage === 'tls' && (this.#socket.getCipher() as unknown) === undefined)
    if (reason !== undefined) {
      this.#tls.stats?.connectionError.inc()
      // Of an alert in a session Node only tells, and then of the end, as if that were all.
      if (this.#stage === 'done') this.#socket.destroy()
      return reason
    }
    if (this.#stage === 'tls') return CLOSED_IN_HANDSHAKE
    return plainReason(error, this.#stage === 'tcp')
  }

  onSecure(own: OwnIdentity): void {
    this.#stage = 'done'
    if (this.#connection.closed) return
    const socket = this.#socket
    this.peer = socket.getPeerX509Certificate() ?? (socket.isSessionReused() ? this.#keptPeer : undefined)
    const failure = this.#tls.check(socket, this.peer, this.#target, this.#serverName)
    if (failure !== undefined) {
      this.#connection.refuse(failure)
      return
    }
    const validated = this.#tls.validates && socket.authorized
    const session = new TlsSession(socket, this.peer, own, this.#serverName, validated, this.#tls.now())
    this.#tls.stats?.onHandshake(session.version, session.cipher, session.group, session.reused)
    this.#connection.tls = session
    this.#connection.onConnected()
  }
}

let empty: tls.SecureContext | undefined
/** For a connection that is refused before its first byte. */
function emptyContext(): tls.SecureContext {
  empty ??= tls.createSecureContext({ ca: [] })
  return empty
}

const EMPTY_COMMON: NonNullable<UpstreamTlsContext['commonTlsContext']> = {
  tlsParams: undefined,
  tlsCertificates: [],
  tlsCertificateSdsSecretConfigs: [],
  tlsCertificateProviderInstance: undefined,
  customTlsCertificateSelector: undefined,
  tlsCertificateCertificateProvider: undefined,
  tlsCertificateCertificateProviderInstance: undefined,
  validationContext: undefined,
  validationContextSdsSecretConfig: undefined,
  combinedValidationContext: undefined,
  validationContextCertificateProvider: undefined,
  validationContextCertificateProviderInstance: undefined,
  alpnProtocols: [],
  customHandshaker: undefined,
  keyLog: undefined,
}
