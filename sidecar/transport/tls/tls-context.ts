/**
 * What both directions of TLS have in common (Envoy: `CommonTlsContext`): certificates of our own, and how the peer's is
 * judged, kept up to date while secrets rotate.
 *
 * What was loaded is replaced whole, or not at all: a certificate that cannot be read, or a key that is another's, leaves
 * the last good ones in use and is logged. New handshakes take what is newest; connections that stand are not touched.
 */
import { createHash, createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto'
import net from 'node:net'
import { dirname } from 'node:path'
import tls from 'node:tls'
import { ConfigError, ConfigMistakes, within } from '../../config/config-error.ts'
import type {
  CertificateValidationContext,
  CommonTlsContext,
  DataSource,
  TlsCertificate,
} from '../../config/schema/generated/types.ts'
import { logger } from '../../observability/logging.ts'
import { type CertificateNames, distinguishedName, namesOf } from './peer-certificate.ts'
import { type CompileMatcher, certificatesIn, PeerValidation } from './peer-validation.ts'
import { readDataSource, type SecretProvider, type WatchedSecret } from './secret.ts'
import type { TlsStats } from './tls-stats.ts'

const log = logger('secret')

/** A certificate of our own, ready for OpenSSL. */
export interface OwnCertificate {
  readonly secretName: string
  readonly path: string
  /** What OpenSSL is given: PEM texts, or a PKCS #12 archive. */
  readonly chain: string | undefined
  readonly key: string | undefined
  readonly archive: Buffer | undefined
  readonly password: string | undefined
  readonly leaf: X509Certificate
  readonly names: CertificateNames
  readonly subject: string
  /** DNS names that a client may ask for by SNI; the common name where there are none. */
  readonly serverNames: readonly string[]
  /** `ec`, `rsa`, … */
  readonly keyType: string
}

/** Everything that was loaded at one time. */
export interface TlsMaterial {
  readonly certificates: readonly OwnCertificate[]
  readonly validation: PeerValidation | undefined
  /** Of all the bytes that count: the same when nothing has changed. */
  readonly digest: string
}

export interface TlsEnvironment {
  readonly secrets: SecretProvider
  readonly compileMatcher: CompileMatcher
}

/** Makes what new material needs; throws {@link ConfigError} where it cannot be used. What it returns puts it in use. */
export type PrepareMaterial = (next: TlsMaterial) => () => void

export class TlsContext {
  readonly message: CommonTlsContext
  /** Undefined until every secret has arrived. */
  material: TlsMaterial | undefined = undefined
  readonly #environment: TlsEnvironment
  readonly #certificates: readonly NamedSecret<TlsCertificate>[]
  readonly #validation: NamedSecret<CertificateValidationContext> | undefined
  /** What an SDS validation context is merged into (`combined_validation_context`). */
  readonly #defaults: CertificateValidationContext | undefined
  readonly #prepare: PrepareMaterial
  #stats: TlsStats | undefined

  /** Throws {@link ConfigError} for what cannot be read or run. `prepare` is for material that comes later. */
  constructor(message: CommonTlsContext, environment: TlsEnvironment, prepare: PrepareMaterial) {
    this.message = message
    this.#environment = environment
    this.#prepare = prepare
    const { secrets } = environment
    const mistakes = new ConfigMistakes()
    this.#certificates = [
      ...message.tlsCertificates.map(
        (current, i): NamedSecret<TlsCertificate> => ({
          field: `tls_certificates[${i}]`,
          name: '',
          fromProvider: false,
          secret: { current },
        }),
      ),
      ...message.tlsCertificateSdsSecretConfigs.map((config, i): NamedSecret<TlsCertificate> => {
        const field = `tls_certificate_sds_secret_configs[${i}]`
        const secret = mistakes.attempt(field, () => secrets.secret('tlsCertificate', config, this)) ?? NO_SECRET
        return { field, name: config.name, fromProvider: config.sdsConfig !== undefined, secret }
      }),
    ]
    const combined = message.combinedValidationContext
    const sds = message.validationContextSdsSecretConfig ?? combined?.validationContextSdsSecretConfig
    const field = combined === undefined ? 'validation_context' : 'combined_validation_context'
    this.#defaults = combined?.defaultValidationContext
    if (sds !== undefined) {
      const secret =
        mistakes.attempt(`${field}_sds_secret_config`, () => secrets.secret('validationContext', sds, this)) ??
        NO_SECRET
      this.#validation = { field, name: sds.name, fromProvider: sds.sdsConfig !== undefined, secret }
    } else if (message.validationContext !== undefined) {
      this.#validation = { field, name: '', fromProvider: false, secret: { current: message.validationContext } }
    }
    this.material = mistakes.attempt('', () => this.#load())
    mistakes.throwAll()
    this.#watchFiles()
  }

  /** Whether a certificate, by its place, or what is trusted came by SDS: Envoy calls its files inline then. */
  isDelivered(secret: number | 'validation'): boolean {
    return (secret === 'validation' ? this.#validation : this.#certificates[secret])?.fromProvider ?? false
  }

  /** Where expiry and rotations are counted. */
  useStats(stats: TlsStats): void {
    this.#stats = stats
    for (const { fromProvider, secret } of this.#secrets()) {
      if (fromProvider && secret.current !== undefined) stats.contextUpdate.inc()
    }
    this.#showExpiry()
  }

  secretsChanged(): void {
    try {
      const next = this.#load()
      if (next === undefined || next.digest === this.material?.digest) return
      const use = this.#prepare(next)
      this.material = next
      use()
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      for (const { field, message } of error.all) {
        log.warning({ field }, `secret not taken, the last good one stays: ${message}`)
      }
      this.#refuse(error.all.map(({ field }) => field))
      return
    }
    this.#stats?.contextUpdate.inc()
    this.#showExpiry()
    this.#watchFiles()
    log.info({ certificates: this.material.certificates.map(describe).join(' ') }, 'TLS secrets taken')
  }

  /** Says so of the secrets that the fields are of; of all where they are of none, because they do not go together. */
  #refuse(fields: readonly string[]): void {
    const all = this.#secrets()
    const named = all.filter(one => fields.some(field => field.startsWith(one.field)))
    for (const { secret } of named.length > 0 ? named : all) secret.refused?.()
  }

  #secrets(): readonly NamedSecret<unknown>[] {
    return this.#validation === undefined ? this.#certificates : [...this.#certificates, this.#validation]
  }

  #showExpiry(): void {
    if (this.material === undefined || this.#stats === undefined) return
    for (const { leaf, secretName, archive } of this.material.certificates) {
      this.#stats.expiration('cert', secretName, Date.parse(leaf.validTo), archive === undefined ? undefined : '')
    }
    const { validation } = this.material
    const name = this.#validation?.name ?? ''
    const shown = validation?.trustDomains === true ? validation.trusted : (validation?.trusted.slice(0, 1) ?? [])
    for (const [i, { certificate }] of shown.entries()) {
      const suffix = validation?.trustDomains === true ? String(i) : undefined
      this.#stats.expiration('ca_cert', name, Date.parse(certificate.validTo), suffix)
    }
  }

  #load(): TlsMaterial | undefined {
    const hash = createHash('sha256')
    const mistakes = new ConfigMistakes()
    let missing = false
    const certificates: OwnCertificate[] = []
    for (const { field, name, secret } of this.#certificates) {
      const message = secret.current
      missing ||= message === undefined
      const certificate = message && mistakes.attempt(field, () => loadCertificate(message, name))
      if (certificate === undefined) continue
      certificates.push(certificate)
      for (const part of [certificate.chain, certificate.key, certificate.archive]) hash.update(part ?? '').update('\0')
    }
    const validation = mistakes.attempt('', () => this.#loadValidation())
    mistakes.throwAll()
    if (missing || validation === 'missing') return undefined
    for (const { pem } of validation?.trusted ?? []) hash.update(pem)
    hash.update(validation?.crl ?? '')
    hash.update(JSON.stringify(this.#validation?.secret.current ?? null, jsonValue))
    return { certificates, validation, digest: hash.digest('hex') }
  }

  #loadValidation(): PeerValidation | 'missing' | undefined {
    if (this.#validation === undefined) return undefined
    const { field, secret } = this.#validation
    if (secret.current === undefined) return 'missing'
    const message = this.#defaults === undefined ? secret.current : merged(this.#defaults, secret.current)
    return within(field, () => {
      const systemRoots = () => tls.getCACertificates('system')
      const validation = new PeerValidation(message, this.#environment.compileMatcher, systemRoots)
      const { crl } = validation
      if (crl !== undefined) attempt('crl', () => tls.createSecureContext({ crl }))
      return validation
    })
  }

  /** Files of secrets that came by SDS are watched, as in Envoy; others where `watched_directory` asks for it. */
  #watchFiles(): void {
    const folders = new Set<string>()
    for (const { secret, fromProvider } of this.#certificates) {
      const message = secret.current
      if (message === undefined) continue
      const sources = [message.certificateChain, message.privateKey, message.pkcs12, message.password]
      addFolders(folders, message.watchedDirectory?.path, fromProvider, sources)
    }
    const validation = this.#validation?.secret.current
    if (validation !== undefined) {
      const sources = [validation.trustedCa, validation.crl]
      addFolders(folders, validation.watchedDirectory?.path, this.#validation!.fromProvider, sources)
    }
    if (folders.size > 0) this.#environment.secrets.watch([...folders], this)
  }
}

/** Stands for a secret that cannot be had, until that is told. */
const NO_SECRET = { current: undefined }

interface NamedSecret<T> {
  readonly field: string
  /** '' for one that stands in the context itself. */
  readonly name: string
  readonly fromProvider: boolean
  readonly secret: WatchedSecret<T>
}

function addFolders(
  folders: Set<string>,
  watched: string | undefined,
  fromProvider: boolean,
  sources: readonly (DataSource | undefined)[],
): void {
  if (watched !== undefined) folders.add(watched)
  for (const source of sources) {
    if (source?.watchedDirectory !== undefined) folders.add(source.watchedDirectory.path)
    else if (watched === undefined && fromProvider && source?.filename !== undefined)
      folders.add(dirname(source.filename))
  }
}

/**
 * Protobuf's merge: what the second sets wins, lists are joined. A number of 0 does not count as set there, unless the
 * first says nothing, even where it stands in a message of its own (`max_verify_depth`).
 */
function merged(
  first: CertificateValidationContext,
  second: CertificateValidationContext,
): CertificateValidationContext {
  const result: Record<string, unknown> = { ...first }
  for (const [name, value] of Object.entries(second)) {
    const before = result[name]
    if (Array.isArray(value) && Array.isArray(before)) result[name] = [...before, ...value]
    else if (value === 0) result[name] ??= value
    else if (value !== undefined && value !== false && value !== 'VERIFY_TRUST_CHAIN') result[name] = value
  }
  return result as unknown as CertificateValidationContext
}

function loadCertificate(message: TlsCertificate, secretName: string): OwnCertificate {
  const mistakes = new ConfigMistakes()
  const read = (source: DataSource, field: string) => mistakes.attempt('', () => readDataSource(source, field))
  const password =
    message.password &&
    read(message.password, 'password')
      ?.toString()
      .replace(/\r?\n$/, '')
  if (message.pkcs12 !== undefined) {
    if (message.certificateChain !== undefined || message.privateKey !== undefined) {
      mistakes.add('pkcs12', 'stands beside certificate_chain or private_key; one of the two')
    }
    const archive = read(message.pkcs12, 'pkcs12')
    mistakes.throwAll()
    const context = attempt('pkcs12', () =>
      tls.createSecureContext({ pfx: archive!, ...(password !== undefined && { passphrase: password }) }),
    )
    const leaf = certificateOf(context)
    if (leaf === undefined) throw new ConfigError('pkcs12', 'has no certificate in it')
    const path = message.pkcs12.filename ?? '<inline>'
    return {
      secretName,
      path,
      password,
      archive: archive!,
      chain: undefined,
      key: undefined,
      leaf,
      ...identityOf(leaf),
    }
  }
  const { certificateChain, privateKey: keySource } = message
  if (certificateChain === undefined) mistakes.add('certificate_chain', 'is missing')
  if (keySource === undefined) mistakes.add('private_key', 'is missing')
  const chain = (certificateChain && mistakes.attempt('', () => certificatesIn(certificateChain, 'certificate_chain')))!
  const key = keySource && read(keySource, 'private_key')
  const privateKey = (key &&
    mistakes.attempt('', () =>
      attempt('private_key', () => createPrivateKey({ key, ...(password !== undefined && { passphrase: password }) })),
    )) as KeyObject
  mistakes.throwAll()
  const leaf = chain[0]!.certificate
  if (!leaf.checkPrivateKey(privateKey)) {
    throw new ConfigError('private_key', `is not the key of the certificate ${chain[0]!.path}`)
  }
  return {
    secretName,
    path: chain[0]!.path,
    chain: chain.map(one => one.pem).join(''),
    // In the clear from here on, so that the password is needed only once.
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    archive: undefined,
    password: undefined,
    leaf,
    ...identityOf(leaf),
  }
}

function identityOf(leaf: X509Certificate): Pick<OwnCertificate, 'names' | 'subject' | 'serverNames' | 'keyType'> {
  const names = namesOf(leaf.raw)
  return {
    names,
    subject: distinguishedName(leaf.subject),
    serverNames: names.dns.length > 0 ? names.dns : [/^CN=(.*)$/m.exec(leaf.subject)?.[1] ?? ''],
    keyType: leaf.publicKey.asymmetricKeyType ?? '',
  }
}

/** The certificate that a context would show: Node opens no archive to us, but a server that has one says what it is. */
function certificateOf(secureContext: tls.SecureContext): X509Certificate | undefined {
  const server = new tls.TLSSocket(new net.Socket(), { isServer: true, secureContext })
  const leaf = server.getX509Certificate()
  server.destroy()
  return leaf
}

function attempt<T>(field: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const reason = (error as Error).message.replace(/^error:[0-9A-F]+:[^:]*:[^:]*:/, '')
    throw new ConfigError(field, `cannot be read: ${reason}`)
  }
}

/** Certificates and keys as `tls.createSecureContext` takes them. */
export function identityOptions(certificates: readonly OwnCertificate[]): tls.SecureContextOptions {
  const archives = certificates.filter(one => one.archive !== undefined)
  const plain = certificates.filter(one => one.chain !== undefined)
  return {
    ...(plain.length > 0 && { cert: plain.map(one => one.chain!), key: plain.map(one => one.key!) }),
    ...(archives.length > 0 && {
      pfx: archives.map(one => ({
        buf: one.archive!,
        ...(one.password !== undefined && { passphrase: one.password }),
      })),
    }),
  }
}

/** What a chain may end at, as `tls.createSecureContext` takes it. */
export function trustOptions(validation: PeerValidation | undefined): tls.SecureContextOptions {
  if (validation === undefined || validation.trusted.length === 0) return {}
  return {
    ca: validation.trusted.map(one => one.pem),
    // Envoy's default: an intermediate may be trusted without its root.
    allowPartialTrustChain: true,
    ...(validation.crl !== undefined && { crl: validation.crl }),
  }
}

function describe({ path, leaf }: OwnCertificate): string {
  return `${path} (until ${new Date(leaf.validTo).toISOString().slice(0, 10)})`
}

function jsonValue(_key: string, value: unknown): unknown {
  return value instanceof Map ? [...value] : value
}
