/**
 * TLS on accepted connections (Envoy: `DownstreamTlsContext`).
 *
 * A handshake is run by a `tls.Server` that never listens: it is given sockets that were accepted elsewhere and of which
 * the ClientHello has been read. What the hello says chooses the server, because a server has one certificate set, one
 * order of ciphers and one ALPN list; the few that a context needs are made when first asked for:
 *
 *   certificate for the SNI × the client's ALPN overlaps with ours or not × the client knows TLS 1.3 or not × ticket key
 *   × the client's favourite among ciphers of one rank
 *
 * TLS 1.3, because its sessions live longer in Envoy (BoringSSL), and because only TLS 1.2 has some that a server must
 * remember. The favourite, because OpenSSL knows no ciphers of one rank. The ticket key, because a server of Node has one: a ticket names its
 * key, so a client that comes with a ticket of an older key gets the server of that key. (Envoy encrypts the new tickets
 * of such a session with the first key; here they stay with the older one, until it is taken out of the configuration.)
 */
import { createHash, createHmac, randomBytes, type X509Certificate } from 'node:crypto'
import net from 'node:net'
import tls, { TLSSocket } from 'node:tls'
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'
import type { Clock } from '../../base/clock.ts'
import { ConfigError, ConfigMistakes, within } from '../../config/config-error.ts'
import type {
  CommonTlsContext,
  DownstreamTlsContext,
  TlsSessionTicketKeys,
} from '../../config/schema/generated/types.ts'
import { logger } from '../../observability/logging.ts'
import type { Counter, StatsScope } from '../../observability/stats.ts'
import type { CloseReason } from '../connection.ts'
import { plainReason, type SocketConnection } from '../socket-connection.ts'
import type { ClientHello } from './client-hello.ts'
import { dnsNameMatch } from './peer-certificate.ts'
import { readDataSource, type WatchedSecret } from './secret.ts'
import {
  identityOptions,
  type OwnCertificate,
  TlsContext,
  type TlsEnvironment,
  type TlsMaterial,
  trustOptions,
} from './tls-context.ts'
import { CLOSED_IN_HANDSHAKE, chainFailure, type TlsCloseReason, tlsFailure, verifyFailure } from './tls-error.ts'
import { type TlsOptions, tlsOptions } from './tls-params.ts'
import { TlsSession } from './tls-session.ts'
import { TlsStats } from './tls-stats.ts'

const log = logger('secret')

/** Sessions remembered for TLS 1.2 clients that keep no tickets. Envoy: BoringSSL's cache, 20,480. */
const MAX_SESSIONS = 20_480
/** Node's own key for tickets: name, HMAC key, AES key. Envoy's keys are 80 bytes, for other algorithms. */
const TICKET_KEY_BYTES = 48
const ENVOY_TICKET_KEY_BYTES = 80
/** Chains of client certificates that are remembered, some kB each. */
const MAX_CHAINS = 1000
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
  #configuredKeys: readonly TicketKey[] = []
  /** Never empty: the first encrypts, all decrypt. */
  #keys: readonly TicketKey[] = []
  readonly #chains = new KnownChains()
  readonly #sessions = new Map<string, Buffer>()

  /** `scope` is the listener's. Throws {@link ConfigError}. */
  constructor(
    message: DownstreamTlsContext,
    environment: TlsEnvironment,
    scope: StatsScope,
    settings: DownstreamTlsSettings,
  ) {
    checkNode()
    const common = message.commonTlsContext
    if (common === undefined) throw new ConfigError('common_tls_context', 'is missing')
    this.#message = message
    this.#clock = settings.clock
    this.handshakeTimeoutMs = settings.handshakeTimeoutMs
    const mistakes = new ConfigMistakes()
    mistakes.attempt('common_tls_context', () => tlsOptions(common.tlsParams, 'downstream'))
    const context = mistakes.attempt(
      'common_tls_context',
      () => new TlsContext(common, environment, next => this.#prepare(common, next)),
    )
    if (common.tlsCertificates.length + common.tlsCertificateSdsSecretConfigs.length === 0) {
      mistakes.add('common_tls_context', 'No TLS certificates found for server context')
    }
    this.#alpn = common.alpnProtocols
    const sds = message.sessionTicketKeysSdsSecretConfig
    if (sds !== undefined) {
      const user = { secretsChanged: () => this.#ticketKeysChanged() }
      this.#ticketKeys = mistakes.attempt('session_ticket_keys_sds_secret_config', () =>
        environment.secrets.secret('sessionTicketKeys', sds, user),
      )
      // Held weakly by the provider; this keeps it.
      if (this.#ticketKeys !== undefined) Object.assign(this.#ticketKeys, { user })
    } else if (message.sessionTicketKeys !== undefined) this.#ticketKeys = { current: message.sessionTicketKeys }
    this.#configuredKeys = mistakes.attempt('', () => this.#readTicketKeys()) ?? []
    mistakes.throwAll()
    this.context = context!
    const { material } = this.context
    this.#forgetServers()
    if (material !== undefined) within('common_tls_context', () => this.#prepare(common, material))
    this.#stats = new TlsStats(scope, 'downstream')
    this.context.useStats(this.#stats)
    if (sds?.sdsConfig !== undefined && this.#ticketKeys?.current !== undefined) this.#stats.contextUpdate.inc()
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
    const chosen = this.#serverFor(material, hello)
    const socket = connection.beginUpgrade(peeked)
    this.#handshakes.set(socket, { connection, chosen, hello, onSecure })
    chosen.server.emit('connection', socket)
  }

  #onSecure(socket: TLSSocket): void {
    const handshake = this.#handshakeOf(socket)
    if (handshake === undefined) return
    const { connection, hello, chosen } = handshake
    const material = this.context.material!
    const { validation } = material
    const reused = socket.isSessionReused()
    const shown = socket.getPeerX509Certificate()
    // A session that is resumed keeps the certificate, but not the ones above it.
    const peer = shown && reused ? this.#chains.of(shown) : shown
    const stats = this.#stats
    if (peer === undefined) {
      if (this.#requiresCertificate(material)) {
        stats.failVerifyNoCert.inc()
        this.#fail(handshake, socket, verifyFailure('peer did not return a certificate', 'client_cert_required'))
        return
      }
      stats.noCertificate.inc()
    }
    const chainError = socket.authorized ? '' : String(socket.authorizationError ?? '')
    const failure = peer === undefined ? undefined : validation?.check(peer, chainError, undefined, stats)
    if (failure !== undefined) {
      this.#fail(handshake, socket, failure)
      return
    }
    const validated = peer !== undefined && validation?.asksForCertificate === true && chainError === ''
    const now = this.#clock.now()
    if (peer !== undefined && !reused) this.#chains.remember(peer)
    const session = new TlsSession(socket, peer, chosen.certificate, hello?.serverName ?? '', validated, now)
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

  #requiresCertificate({ validation }: TlsMaterial): boolean {
    return validation?.insistsOnCertificate === true || this.#message.requireClientCertificate === true
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

  #handshakeOf(socket: TLSSocket): Handshake | undefined {
    const raw = socketBelow(socket)
    return raw && this.#handshakes.get(raw)
  }

  /** Everything that OpenSSL may not like is found here. */
  #prepare({ tlsParams }: CommonTlsContext, material: TlsMaterial): () => void {
    const options = tlsOptions(tlsParams, 'downstream')
    for (const certificate of material.certificates) {
      this.#createServer(material, certificate, true, true, this.#keys[0]!, options)
    }
    return () => this.#forgetServers()
  }

  #forgetServers(): void {
    this.#servers = new Map()
    this.#sessions.clear()
    const own = () => [ticketKeyOf(ownTicketKey(this.context.material?.digest ?? ''))]
    this.#keys = this.#configuredKeys.length > 0 ? this.#configuredKeys : own()
  }

  #ticketKeysChanged(): void {
    let keys: readonly TicketKey[]
    try {
      keys = this.#readTicketKeys()
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      log.warning({ field: error.field }, `ticket keys not taken, the last good ones stay: ${error.message}`)
      this.#ticketKeys?.refused?.()
      return
    }
    const names = (list: readonly TicketKey[]) => list.map(({ name }) => name).join()
    if (names(keys) === names(this.#configuredKeys)) return
    this.#configuredKeys = keys
    this.#stats.contextUpdate.inc()
    this.#forgetServers()
  }

  #serverFor(material: TlsMaterial, hello: ClientHello | undefined): ChosenServer {
    const { certificates } = material
    const tls13 = hello?.offersTls13 ?? true
    const overlap = hello === undefined || hello.alpn.length === 0 || hello.alpn.some(name => this.#alpn.includes(name))
    const certificate = certificateFor(certificates, hello, this.#message.fullScanCertsOnSniMismatch === true)
    const named = hello === undefined ? -1 : this.#keys.findIndex(({ name }) => name === hello.ticketKeyName)
    const ticketKey = this.#keys[Math.max(named, 0)]!
    const wishes = { ciphers: hello?.ciphers ?? [], offersTls13: tls13, decides: this.#message.preferClientCiphers }
    const options = tlsOptions(this.context.message.tlsParams, 'downstream', wishes)
    const key = `${certificates.indexOf(certificate)} ${tls13} ${overlap} ${ticketKey.name} ${options.ciphers}`
    let server = this.#servers.get(key)
    if (server === undefined) {
      server = this.#createServer(material, certificate, tls13, overlap, ticketKey, options)
      this.#servers.set(key, server)
    }
    return server
  }

  #createServer(
    material: TlsMaterial,
    certificate: OwnCertificate,
    tls13: boolean,
    alpn: boolean,
    ticketKey: TicketKey,
    options: TlsOptions,
  ): ChosenServer {
    const message = this.#message
    const { validation } = material
    const required = this.#requiresCertificate(material)
    const asks = required || validation?.asksForCertificate === true
    // Where OpenSSL itself insists, the client is told that a certificate is required; later it sees but an end.
    const strict = required && (validation?.trusted.length ?? 0) > 0 && validation?.acceptsUntrusted !== true
    // What a check needs of the chain above a certificate is gone when a session is resumed.
    const resumes = validation?.looksAtChain !== true
    let server: tls.Server
    try {
      server = tls.createServer({
        ...options,
        ...identityOptions([certificate]),
        ca: [],
        ...trustOptions(validation),
        honorCipherOrder: message.preferClientCiphers !== true,
        ...(alpn && this.#alpn.length > 0 && { ALPNProtocols: [...this.#alpn] }),
        requestCert: asks,
        rejectUnauthorized: strict,
        // The time for the handshake is ours to watch; Node's own limit is only there for what we would forget.
        handshakeTimeout: 0x7fffffff,
        sessionIdContext: sessionContext(material),
        sessionTimeout: tls13 && options.maxVersion === 'TLSv1.3' ? TLS13_SESSION_S : sessionTimeoutS(message),
        ticketKeys: ticketKey.bytes,
        ...((message.disableStatelessSessionResumption === true || !resumes) && { secureOptions: NO_TICKET }),
      })
    } catch (error) {
      throw openSslMistake(error as NodeJS.ErrnoException)
    }
    server.on('secureConnection', socket => this.#onSecure(socket))
    server.on('tlsClientError', (error, socket) => this.#onError(error, socket))
    if (!tls13 && resumes && !message.disableStatefulSessionResumption) this.#rememberSessions(server)
    return { server, certificate }
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

  #readTicketKeys(): readonly TicketKey[] {
    const sources = this.#ticketKeys?.current?.keys ?? []
    const mistakes = new ConfigMistakes()
    const keys = sources.map((source, i) => {
      const field = `session_ticket_keys.keys[${i}]`
      const bytes = mistakes.attempt('', () => readDataSource(source, field))
      if (bytes === undefined) return undefined
      if (bytes.length !== ENVOY_TICKET_KEY_BYTES) {
        const reason = `Incorrect TLS session ticket key length. Length ${bytes.length}, expected length ${ENVOY_TICKET_KEY_BYTES}.`
        mistakes.add(field, reason)
        return undefined
      }
      // The same file gives the same key to every sidecar; Envoy's tickets have another format, so none passes between.
      return ticketKeyOf(createHash('sha384').update(bytes).digest())
    })
    mistakes.throwAll()
    return keys.filter(key => key !== undefined)
  }
}

/** `_parent` is not in Node's documentation, but the only thing that tells which connection a server's event is about. */
function socketBelow(socket: TLSSocket): net.Socket | undefined {
  return (socket as unknown as { readonly _parent?: net.Socket })._parent
}

let nodeChecked = false

/**
 * Fails, when a first context is made and not when a first client comes, on a Node that does not show the socket below a
 * TLS socket: no handshake could ever be finished there.
 */
export function checkNode(below = socketBelow): void {
  if (nodeChecked && below === socketBelow) return
  const raw = new net.Socket()
  const secure = new TLSSocket(raw, { isServer: true, secureContext: tls.createSecureContext() })
  const shown = below(secure) === raw
  secure.destroy()
  raw.destroy()
  if (!shown) {
    throw new ConfigError(
      '',
      `Node ${process.version} hides the socket below a TLS socket (_parent), without which listeners cannot speak TLS; run Hopwise on Node 26`,
    )
  }
  nodeChecked = true
}

const NO_SECRET: CloseReason = Object.freeze({ kind: 'tls', details: 'TLS_error:_Secret_is_not_supplied_by_SDS' })
const NO_SNI: CloseReason = Object.freeze({ kind: 'tls', details: 'TLS_error:_the_client_names_no_server' })
/** BoringSSL's for TLS 1.3, which Envoy has no setting for. */
const TLS13_SESSION_S = 172_800
/** SSL_OP_NO_TICKET. */
const NO_TICKET = 0x4000

/** `session_timeout` is for TLS 1.2 alone, as in Envoy; none and 0 are BoringSSL's default. */
function sessionTimeoutS({ sessionTimeout = 0 }: DownstreamTlsContext): number {
  return Math.floor(sessionTimeout / 1000) || 7200
}

/** One secret for all threads of the process, so that a session made by one worker is resumed by another. */
const TICKET_SEED: Uint8Array = isMainThread
  ? randomBytes(TICKET_KEY_BYTES)
  : (getEnvironmentData(SEED_KEY) as Uint8Array)
if (isMainThread) setEnvironmentData(SEED_KEY, TICKET_SEED)

/** Sessions made under another configuration are not resumed: names, pins and revocations may have changed since. */
function sessionContext({ digest }: TlsMaterial): string {
  return createHash('sha256').update(digest).digest('hex').slice(0, 32)
}

function ownTicketKey(digest: string): Buffer {
  return createHmac('sha384', TICKET_SEED).update(digest).digest()
}

/** A key for session tickets in Node's form: its name (16 bytes), then the keys themselves. */
interface TicketKey {
  readonly name: string
  readonly bytes: Buffer
}

function ticketKeyOf(bytes: Buffer): TicketKey {
  return { name: bytes.toString('hex', 0, 16), bytes }
}

interface ChosenServer {
  readonly server: tls.Server
  readonly certificate: OwnCertificate
}

/** Chains of peers that were accepted, by their certificates: for XFCC on resumed sessions. The oldest goes first. */
class KnownChains {
  readonly #byFingerprint = new Map<string, X509Certificate>()

  remember(peer: X509Certificate): void {
    if (peer.issuerCertificate === undefined) return
    const { fingerprint256 } = peer
    this.#byFingerprint.delete(fingerprint256)
    if (this.#byFingerprint.size >= MAX_CHAINS) this.#byFingerprint.delete(this.#byFingerprint.keys().next().value!)
    this.#byFingerprint.set(fingerprint256, peer)
  }

  /** The same certificate with what stood above it, or as it is where that is not known (any longer). */
  of(peer: X509Certificate): X509Certificate {
    return this.#byFingerprint.get(peer.fingerprint256) ?? peer
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
 * The certificate for a client (Envoy: "certificate selection"): of those whose names fit the SNI exactly, else by
 * wildcard, the first with an elliptic-curve key where the client can check one, else the first with another key. Where
 * none fits: with `full_scan_certs_on_sni_mismatch`, and for clients that name nobody, whichever of all fits the client's
 * keys; else the first of the list.
 */
export function certificateFor(
  certificates: readonly OwnCertificate[],
  hello: ClientHello | undefined,
  fullScan: boolean,
): OwnCertificate {
  const [first] = certificates
  if (certificates.length === 1 || hello === undefined) return first!
  const usable = (list: readonly OwnCertificate[]): OwnCertificate | undefined =>
    (hello.takesEcdsa ? list.find(({ keyType }) => keyType === 'ec') : undefined) ??
    list.find(({ keyType }) => keyType !== 'ec')
  const name = hello.serverName
  if (name !== '') {
    const named =
      usable(certificates.filter(one => one.serverNames.some(own => own.toLowerCase() === name))) ??
      usable(certificates.filter(one => one.serverNames.some(own => dnsNameMatch(name, own))))
    if (named !== undefined) return named
    if (!fullScan) return first!
  }
  return usable(certificates) ?? first!
}

/** OpenSSL's complaint, with the field it is about where that can be told. */
export function openSslMistake(error: NodeJS.ErrnoException): Error {
  const { code = '', message } = error
  if (/CIPHER/i.test(code) || /cipher/i.test(message)) {
    return new ConfigError('tls_params.cipher_suites', `Failed to initialize cipher suites: ${message}`)
  }
  if (/ECDH|curve|group/i.test(code + message))
    return new ConfigError('tls_params.ecdh_curves', `Failed to initialize ECDH curves: ${message}`)
  // OpenSSL says nothing at all about signature algorithms that it does not know.
  if (/sigalg|signature/i.test(code + message) || message.startsWith('error:00000000')) {
    return new ConfigError(
      'tls_params.signature_algorithms',
      `Failed to initialize TLS signature algorithms: ${message}`,
    )
  }
  return new ConfigError('', message)
}
