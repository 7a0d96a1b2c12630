/**
 * TLS on accepted connections (Envoy: `DownstreamTlsContext`).
 *
 * A handshake is run by a `tls.Server` that never listens: it is given sockets that were accepted elsewhere and of which
 * the ClientHello has been read. What the hello says chooses the server, because a server has one certificate set, one
 * order of ciphers and one ALPN list; the few that a context needs are made when first asked for:
 *
 *   certificates for the SNI × the client's ALPN overlaps with ours or not × the client knows TLS 1.3 or not
 *
 * The last because Envoy (BoringSSL) lets the client's order of ciphers decide in TLS 1.3 and ours in TLS 1.2, and because
 * only TLS 1.2 has sessions that a server must remember. All of them share one ticket key.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import type net from 'node:net'
import tls, { type TLSSocket } from 'node:tls'
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'
import type { Clock } from '../../base/clock.ts'
import { ConfigError } from '../../config/config-error.ts'
import type { DownstreamTlsContext, TlsSessionTicketKeys } from '../../config/schema/generated/types.ts'
import type { Counter, StatsScope } from '../../observability/stats.ts'
import type { CloseReason } from '../connection.ts'
import { plainReason, type SocketConnection } from '../socket-connection.ts'
import type { ClientHello } from './client-hello.ts'
import { dnsNameMatch, namesOf } from './peer-certificate.ts'
import { readDataSource, type WatchedSecret } from './secret.ts'
import {
  identityOptions,
  type OwnCertificate,
  TlsContext,
  type TlsEnvironment,
  trustOptions,
  within,
} from './tls-context.ts'
import { CLOSED_IN_HANDSHAKE, chainFailure, type TlsCloseReason, tlsFailure, verifyFailure } from './tls-error.ts'
import { tlsOptions } from './tls-params.ts'
import { NOBODY, type OwnIdentity, TlsSession } from './tls-session.ts'
import { TlsStats } from './tls-stats.ts'

/** Sessions remembered for TLS 1.2 clients that keep no tickets. Envoy: BoringSSL's cache, 20,480. */
const MAX_SESSIONS = 20_480
/** Node's own key for tickets: name, HMAC key, AES key. Envoy's keys are 80 bytes, for other algorithms. */
const TICKET_KEY_BYTES = 48
const ENVOY_TICKET_KEY_BYTES = 80
const SEED_KEY = 'hopwise.ticketSeed'

export interface DownstreamTlsSettings {
  /** Time for the handshake (`transport_socket_connect_timeout`), 0 for none; whoever waits for it keeps the time. */
  readonly handshakeTimeoutMs: number
  readonly clock: Clock
}

export class DownstreamTls {
  readonly context: TlsContext
  readonly handshakeTimeoutMs: number
  readonly #message: DownstreamTlsContext
  readonly #clock: Clock
  readonly #stats: TlsStats
  readonly #notReady: Counter
  readonly #handshakes = new WeakMap<net.Socket, Handshake>()
  readonly #ticketKeys: WatchedSecret<TlsSessionTicketKeys> | undefined
  readonly #alpn: readonly string[]
  /** The servers for what is loaded now, by what chooses among them. */
  #servers = new Map<string, ChosenServer>()
  #ticketKey: Buffer
  readonly #sessions = new Map<string, Buffer>()

  /** `scope` is the listener's. Throws {@link ConfigError}. */
  constructor(
    message: DownstreamTlsContext,
    environment: TlsEnvironment,
    scope: StatsScope,
    settings: DownstreamTlsSettings,
  ) {
    const common = message.commonTlsContext
    if (common === undefined) throw new ConfigError('common_tls_context', 'is missing')
    this.#message = message
    this.#clock = settings.clock
    this.handshakeTimeoutMs = settings.handshakeTimeoutMs
    this.context = within('common_tls_context', () => new TlsContext(common, environment, () => this.#forgetServers()))
    const { material } = this.context
    if (common.tlsCertificates.length + common.tlsCertificateSdsSecretConfigs.length === 0) {
      throw new ConfigError('common_tls_context', 'No TLS certificates found for server context')
    }
    this.#alpn = common.alpnProtocols
    const sds = message.sessionTicketKeysSdsSecretConfig
    if (sds !== undefined) {
      const user = { secretsChanged: () => this.#forgetServers() }
      this.#ticketKeys = within('session_ticket_keys_sds_secret_config', () =>
        environment.secrets.secret('sessionTicketKeys', sds, user),
      )
      // Held weakly by the provider; this keeps it.
      Object.assign(this.#ticketKeys, { user })
    } else if (message.sessionTicketKeys !== undefined) this.#ticketKeys = { current: message.sessionTicketKeys }
    this.#ticketKey = this.#readTicketKey()
    // Everything that OpenSSL may not like is found now.
    if (material !== undefined) {
      within('common_tls_context', () => this.#createServer(material.certificates.slice(0, 1), true, true))
    }
    this.#stats = new TlsStats(scope, 'downstream')
    this.context.useStats(this.#stats)
    this.#notReady = scope.scope('server_ssl_socket_factory').counter('downstream_context_secrets_not_ready')
  }

  /**
   * Runs the handshake. `peeked` is what has been read of the connection, `hello` what it says (undefined when it is no
   * ClientHello: then OpenSSL finds the words for it). Calls `onSecure` once the session stands; a connection that fails
   * is closed, which its handler is told with the reason.
   */
  accept(connection: SocketConnection, hello: ClientHello | undefined, peeked: Buffer, onSecure: () => void): void {
    const { material } = this.context
    if (material === undefined) {
      this.#notReady.inc()
      connection.failUpgrade(NO_SECRET)
      return
    }
    if (this.#message.requireSni === true && (hello?.serverName ?? '') === '') {
      this.#stats.connectionError.inc()
      connection.failUpgrade(NO_SNI)
      return
    }
    const chosen = this.#serverFor(material.certificates, hello)
    const socket = connection.beginUpgrade(peeked)
    this.#handshakes.set(socket, { connection, chosen, hello, onSecure })
    chosen.server.emit('connection', socket)
  }

  #onSecure(socket: TLSSocket): void {
    const handshake = this.#handshakeOf(socket)
    if (handshake === undefined) return
    const { connection, hello, chosen } = handshake
    const validation = this.context.material?.validation
    const peer = socket.getPeerX509Certificate()
    const stats = this.#stats
    if (peer === undefined) {
      stats.noCertificate.inc()
      if (this.#message.requireClientCertificate === true) {
        stats.failVerifyNoCert.inc()
        this.#fail(handshake, socket, verifyFailure('peer did not return a certificate', 'client_cert_required'))
        return
      }
    }
    const chainError = socket.authorized ? '' : String(socket.authorizationError ?? '')
    const failure = peer === undefined ? undefined : validation?.check(peer, chainError, '', stats)
    if (failure !== undefined) {
      this.#fail(handshake, socket, failure)
      return
    }
    const validated = peer !== undefined && validation?.asksForCertificate === true && chainError === ''
    const now = this.#clock.now()
    const session = new TlsSession(socket, peer, chosen.identityOf(socket), hello?.serverName ?? '', validated, now)
    stats.onHandshake(session.version, session.cipher, session.group, session.reused)
    connection.endUpgrade(socket, session, this.#errorReason)
    handshake.onSecure()
  }

  #onError(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const handshake = this.#handshakeOf(socket)
    if (handshake === undefined) return
    const { authorizationError } = socket
    if (authorizationError && !socket.authorized) {
      this.#stats.failVerifyError.inc()
      this.#fail(handshake, socket, chainFailure(String(authorizationError)))
      return
    }
    const reason = tlsFailure(error)
    if (reason?.tlsCause === 'client_cert_required' && /PEER_DID_NOT_RETURN/.test(reason.details)) {
      this.#stats.failVerifyNoCert.inc()
    } else if (reason !== undefined) this.#stats.connectionError.inc()
    this.#fail(handshake, socket, reason ?? CLOSED_IN_HANDSHAKE)
  }

  readonly #errorReason = (error: NodeJS.ErrnoException): CloseReason => {
    const reason = tlsFailure(error)
    if (reason === undefined) return plainReason(error, false)
    this.#stats.connectionError.inc()
    return reason
  }

  #fail(handshake: Handshake, socket: TLSSocket, reason: TlsCloseReason): void {
    socket.destroy()
    handshake.connection.failUpgrade(reason)
  }

  /** The raw socket below a TLS socket is not in Node's documentation; test/integration/tls.test.ts would notice. */
  #handshakeOf(socket: TLSSocket): Handshake | undefined {
    const raw = (socket as unknown as { readonly _parent?: net.Socket })._parent
    return raw === undefined ? undefined : this.#handshakes.get(raw)
  }

  #forgetServers(): void {
    this.#servers = new Map()
    this.#sessions.clear()
    this.#ticketKey = this.#readTicketKey()
  }

  #serverFor(certificates: readonly OwnCertificate[], hello: ClientHello | undefined): ChosenServer {
    const tls13 = hello?.offersTls13 ?? true
    const overlap = hello === undefined || hello.alpn.length === 0 || hello.alpn.some(name => this.#alpn.includes(name))
    const chosen = certificatesFor(certificates, hello, this.#message.fullScanCertsOnSniMismatch === true)
    const key = `${chosen.map(one => certificates.indexOf(one)).join(',')} ${tls13} ${overlap}`
    let server = this.#servers.get(key)
    if (server === undefined) {
      server = this.#createServer(chosen, tls13, overlap)
      this.#servers.set(key, server)
    }
    return server
  }

  #createServer(certificates: readonly OwnCertificate[], tls13: boolean, alpn: boolean): ChosenServer {
    const message = this.#message
    const { tlsParams } = this.context.message
    const { validation } = this.context.material!
    const versions = tlsOptions(tlsParams, 'downstream')
    const required = message.requireClientCertificate === true
    const asks = required || validation?.asksForCertificate === true
    // Where OpenSSL itself insists, the client is told that a certificate is required; later it sees but an end.
    const strict = required && (validation?.trusted.length ?? 0) > 0 && validation?.acceptsUntrusted !== true
    let server: tls.Server
    try {
      server = tls.createServer({
        ...versions,
        ...identityOptions(certificates),
        ca: [],
        ...trustOptions(validation),
        honorCipherOrder: !tls13 && message.preferClientCiphers !== true,
        ...(alpn && this.#alpn.length > 0 && { ALPNProtocols: [...this.#alpn] }),
        requestCert: asks,
        rejectUnauthorized: strict,
        // The time for the handshake is ours to watch; Node's own limit is only there for what we would forget.
        handshakeTimeout: 0x7fffffff,
        sessionIdContext: this.#sessionContext(),
        sessionTimeout: Math.ceil((message.sessionTimeout ?? 7_200_000) / 1000),
        ticketKeys: this.#ticketKey,
        ...(message.disableStatelessSessionResumption === true && { secureOptions: NO_TICKET }),
      })
    } catch (error) {
      throw openSslMistake(error as NodeJS.ErrnoException)
    }
    server.on('secureConnection', socket => this.#onSecure(socket))
    server.on('tlsClientError', (error, socket) => this.#onError(error, socket))
    if (!tls13 && !message.disableStatefulSessionResumption) this.#rememberSessions(server)
    return new ChosenServer(server, certificates)
  }

  /** TLS 1.2 without tickets: the session is looked up by its id. */
  #rememberSessions(server: tls.Server): void {
    server.on('newSession', (id: Buffer, session: Buffer, done: () => void) => {
      if (this.#sessions.size >= MAX_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!)
      this.#sessions.set(id.toString('latin1'), session)
      done()
    })
    server.on('resumeSession', (id: Buffer, done: (error: Error | null, session: Buffer | null) => void) => {
      done(null, this.#sessions.get(id.toString('latin1')) ?? null)
    })
  }

  /** Sessions made under another configuration are not resumed: names, pins and revocations may have changed since. */
  #sessionContext(): string {
    const { material } = this.context
    return createHash('sha256')
      .update(material?.digest ?? '')
      .digest('hex')
      .slice(0, 32)
  }

  #readTicketKey(): Buffer {
    const first = this.#ticketKeys?.current?.keys[0]
    if (first === undefined) return ownTicketKey(this.context.material?.digest ?? '')
    const bytes = readDataSource(first, 'session_ticket_keys.keys[0]')
    if (bytes.length !== ENVOY_TICKET_KEY_BYTES) {
      const reason = `Incorrect TLS session ticket key length. Length ${bytes.length}, expected length ${ENVOY_TICKET_KEY_BYTES}.`
      throw new ConfigError('session_ticket_keys.keys[0]', reason)
    }
    // The same file gives the same key to every sidecar; Envoy's tickets have another format, so none passes between.
    return createHash('sha384').update(bytes).digest()
  }
}

const NO_SECRET: CloseReason = Object.freeze({ kind: 'tls', details: 'TLS_error:_Secret_is_not_supplied_by_SDS' })
const NO_SNI: CloseReason = Object.freeze({ kind: 'tls', details: 'TLS_error:_the_client_names_no_server' })
/** SSL_OP_NO_TICKET. */
const NO_TICKET = 0x4000

/** One secret for all threads of the process, so that a session made by one worker is resumed by another. */
const TICKET_SEED: Uint8Array = isMainThread
  ? randomBytes(TICKET_KEY_BYTES)
  : (getEnvironmentData(SEED_KEY) as Uint8Array)
if (isMainThread) setEnvironmentData(SEED_KEY, TICKET_SEED)

function ownTicketKey(digest: string): Buffer {
  return createHmac('sha384', TICKET_SEED).update(digest).digest()
}

/** A server and the certificates it has. */
class ChosenServer {
  readonly server: tls.Server
  readonly #certificates: readonly OwnCertificate[]
  constructor(server: tls.Server, certificates: readonly OwnCertificate[]) {
    this.server = server
    this.#certificates = certificates
  }
  /** With several keys it is OpenSSL that chose. */
  identityOf(socket: TLSSocket): OwnIdentity {
    const [first] = this.#certificates
    if (this.#certificates.length === 1 && first?.leaf !== undefined) return first
    const used = socket.getX509Certificate()
    if (used === undefined) return NOBODY
    return (
      this.#certificates.find(one => one.leaf?.raw.equals(used.raw)) ?? {
        names: namesOf(used.raw),
        subject: '',
      }
    )
  }
}

/** One connection on its way to a session. */
interface Handshake {
  readonly connection: SocketConnection
  readonly chosen: ChosenServer
  readonly hello: ClientHello | undefined
  readonly onSecure: () => void
}

/**
 * The certificates for a client, one per kind of key, of which OpenSSL takes what the client can check (Envoy: "certificate
 * selection"): those whose names fit the SNI exactly, else by wildcard, else the first of the list, or with
 * `full_scan_certs_on_sni_mismatch` (and without SNI) whichever fits the client's keys.
 */
export function certificatesFor(
  certificates: readonly OwnCertificate[],
  hello: ClientHello | undefined,
  fullScan: boolean,
): readonly OwnCertificate[] {
  if (certificates.length === 1) return certificates
  const name = hello?.serverName ?? ''
  if (name !== '') {
    const exact = certificates.filter(one => one.serverNames.some(own => own.toLowerCase() === name))
    if (exact.length > 0) return onePerKey(exact)
    const wild = certificates.filter(one => one.serverNames.some(own => dnsNameMatch(name, own)))
    if (wild.length > 0) return onePerKey(wild)
    if (!fullScan) return certificates.slice(0, 1)
  }
  return onePerKey(certificates)
}

function onePerKey(certificates: readonly OwnCertificate[]): readonly OwnCertificate[] {
  const kinds = new Set<string>()
  return certificates.filter(({ keyType }) => !kinds.has(keyType) && kinds.add(keyType))
}

/** OpenSSL's complaint, with the field it is about where that can be told. */
export function openSslMistake(error: NodeJS.ErrnoException): Error {
  const { code = '', message } = error
  if (/CIPHER/i.test(code) || /cipher/i.test(message)) {
    return new ConfigError('tls_params.cipher_suites', `Failed to initialize cipher suites: ${message}`)
  }
  if (/ECDH|curve|group/i.test(code + message))
    return new ConfigError('tls_params.ecdh_curves', `Failed to initialize ECDH curves: ${message}`)
  if (/sigalg|signature/i.test(code + message)) {
    return new ConfigError(
      'tls_params.signature_algorithms',
      `Failed to initialize TLS signature algorithms: ${message}`,
    )
  }
  return new ConfigError('', message)
}
