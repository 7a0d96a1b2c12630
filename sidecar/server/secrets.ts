/**
 * Secrets: those of the bootstrap (`static_resources.secrets`), and those that files deliver (`sds_config` with
 * `path_config_source`), kept up to date while the files change: written in place, replaced by rename, or behind a link
 * that Kubernetes turns round. A file that cannot be read or understood leaves the last good secret in use.
 *
 * Who uses a secret is held weakly: a listener or cluster that goes out of use takes its interest with it.
 */
import { type FSWatcher, readFileSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import { ConfigError } from '../config/config-error.ts'
import { formatProblem } from '../config/problems.ts'
import { decodeResource } from '../config/resource.ts'
import type { ConfigSource, SdsSecretConfig, Secret } from '../config/schema/generated/types.ts'
import { logger } from '../observability/logging.ts'
import type { Counter, StatsScope } from '../observability/stats.ts'
import type { SecretKinds, SecretProvider, SecretUser, WatchedSecret } from '../transport/tls/secret.ts'

const log = logger('secret')

/** Certificates are replaced in several steps (certificate, then key); the last one counts. */
const SETTLE_MS = 50
const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret'

const KIND_NAMES: Readonly<Record<keyof SecretKinds, string>> = {
  tlsCertificate: 'tls_certificate',
  validationContext: 'validation_context',
  sessionTicketKeys: 'session_ticket_keys',
}

/** Where a secret without a file that delivers it is looked for. */
export class Secrets implements SecretProvider {
  #static = new Map<string, Secret>()
  readonly #staticUsers = new Users()
  readonly #files = new Map<string, SecretFile>()
  readonly #folders = new Map<string, WatchedFolder>()
  readonly #stats: StatsScope

  constructor(stats: StatsScope) {
    this.#stats = stats.scope('sds')
  }

  /** Takes the secrets of a bootstrap; those who use one of them are told. */
  configure(secrets: readonly Secret[]): void {
    this.#static = new Map(secrets.map(secret => [secret.name, secret]))
    this.#staticUsers.tell()
  }

  /** A reload reads every file again. */
  refresh(): void {
    for (const file of this.#files.values()) file.read()
    for (const folder of this.#folders.values()) folder.fire()
  }

  /** Static secrets and those that files have delivered, by name. */
  all(): { readonly fixed: readonly Secret[]; readonly delivered: readonly Secret[] } {
    return {
      fixed: [...this.#static.values()],
      delivered: [...this.#files.values()].flatMap(file => [...file.secrets.values()]),
    }
  }

  secret<K extends keyof SecretKinds>(
    kind: K,
    config: SdsSecretConfig,
    user: SecretUser,
  ): WatchedSecret<SecretKinds[K]> {
    if (config.sdsConfig === undefined) {
      const known = this.#static.get(config.name)
      if (known === undefined) {
        throw new ConfigError('name', `there is no secret "${config.name}" in static_resources.secrets`)
      }
      if (known[kind] === undefined) throw new ConfigError('name', `"${config.name}" is no ${KIND_NAMES[kind]}`)
      this.#staticUsers.add(user)
      const secrets = () => this.#static
      return {
        get current() {
          return secrets().get(config.name)?.[kind] as SecretKinds[K] | undefined
        },
      }
    }
    const file = this.#file(config.sdsConfig)
    file.addUser(user)
    return {
      get current() {
        return file.secrets.get(config.name)?.[kind] as SecretKinds[K] | undefined
      },
      refused: () => file.refused(config.name),
    }
  }

  watch(folders: readonly string[], user: SecretUser): void {
    for (const path of folders) this.#folder(path).add(user)
  }

  close(): void {
    for (const folder of this.#folders.values()) folder.close()
  }

  #file(source: ConfigSource): SecretFile {
    const path = source.pathConfigSource?.path ?? source.path
    if (path === undefined) {
      const reason = 'SDS over gRPC comes with xDS and is not supported yet by Hopwise; use path_config_source'
      throw new ConfigError('sds_config', reason)
    }
    const folder = source.pathConfigSource?.watchedDirectory?.path ?? dirname(path)
    const key = `${path}\0${folder}`
    let file = this.#files.get(key)
    if (file === undefined) {
      file = new SecretFile(path, this.#stats)
      this.#files.set(key, file)
      this.#folder(folder).keep(file)
      file.read()
    }
    return file
  }

  #folder(path: string): WatchedFolder {
    let folder = this.#folders.get(path)
    if (folder === undefined) {
      folder = new WatchedFolder(path)
      this.#folders.set(path, folder)
    }
    return folder
  }
}

/** A set that does not keep its members alive. */
class Users {
  #members: WeakRef<SecretUser>[] = []

  add(user: SecretUser): void {
    if (!this.#members.some(one => one.deref() === user)) this.#members.push(new WeakRef(user))
  }

  tell(): void {
    this.#members = this.#members.filter(one => one.deref() !== undefined)
    for (const member of [...this.#members]) member.deref()?.secretsChanged()
  }
}

/** How a change of a file ended. */
type Outcome = 'success' | 'rejected' | 'failure'

/** One file with a `DiscoveryResponse` of secrets in it. */
class SecretFile implements SecretUser {
  secrets: ReadonlyMap<string, Secret> = new Map()
  readonly #path: string
  readonly #users = new Users()
  readonly #stats: StatsScope
  readonly #counters = new Map<string, Record<Outcome | 'attempt' | 'rotationFailed', Counter>>()
  #text = ''
  #outcome: Outcome = 'success'
  /** Secrets that a user could not take, until all users have been told of a change. */
  readonly #refused = new Set<string>()
  #delivering = false

  constructor(path: string, stats: StatsScope) {
    this.#path = path
    this.#stats = stats
  }

  addUser(user: SecretUser): void {
    this.#users.add(user)
  }

  secretsChanged(): void {
    this.read()
  }

  read(): void {
    let text: string
    try {
      text = readFileSync(this.#path, 'utf8')
    } catch (error) {
      this.#count('failure')
      log.warning({ file: this.#path }, `secrets not read: ${(error as Error).message}`)
      return
    }
    // It is read when anything in its folder changes; Envoy counts that, too.
    if (text === this.#text) {
      this.#count(this.#outcome)
      return
    }
    this.#text = text
    this.#outcome = this.#take(text)
    this.#count(this.#outcome)
  }

  #take(text: string): Outcome {
    const response = decodeResource('envoy.service.discovery.v3.DiscoveryResponse', text, { source: this.#path })
    const found = new Map<string, Secret>()
    const mistakes = response.errors.map(formatProblem)
    for (const resource of response.value?.resources ?? []) {
      if (resource.typeUrl !== SECRET) mistakes.push(`${this.#path}: ${resource.typeUrl} is no secret`)
      else found.set((resource.value as Secret).name, resource.value as Secret)
    }
    if (mistakes.length > 0) {
      for (const mistake of mistakes) log.warning({ file: this.#path }, `secrets not taken: ${mistake}`)
      return 'rejected'
    }
    const before = this.secrets
    this.#deliver(found)
    if (this.#refused.size === 0) return 'success'
    this.#deliver(before)
    this.#refused.clear()
    return 'rejected'
  }

  #deliver(secrets: ReadonlyMap<string, Secret>): void {
    this.secrets = secrets
    this.#delivering = true
    this.#users.tell()
    this.#delivering = false
  }

  /** Either what this file says is refused, or what is in a file that a secret names: that is counted once for all users. */
  refused(name: string): void {
    if (this.#refused.has(name)) return
    this.#refused.add(name)
    if (this.#delivering) return
    this.#countersOf(name).rotationFailed.inc()
    queueMicrotask(() => this.#refused.delete(name))
  }

  #count(what: Outcome): void {
    const names = this.secrets.size > 0 ? [...this.secrets.keys()] : [this.#path.replaceAll(/[^A-Za-z0-9_-]+/g, '_')]
    for (const name of names) {
      const counters = this.#countersOf(name)
      counters.attempt.inc()
      counters[what].inc()
    }
  }

  /** Envoy: `sds.<secret>.update_success` and its kin. */
  #countersOf(name: string): Record<Outcome | 'attempt' | 'rotationFailed', Counter> {
    let counters = this.#counters.get(name)
    if (counters === undefined) {
      const scope = this.#stats.scope(name)
      counters = {
        attempt: scope.counter('update_attempt'),
        success: scope.counter('update_success'),
        rejected: scope.counter('update_rejected'),
        failure: scope.counter('update_failure'),
        rotationFailed: scope.counter('key_rotation_failed'),
      }
      this.#counters.set(name, counters)
    }
    return counters
  }
}

/** A folder, and whom to tell when something in it may have changed. */
class WatchedFolder {
  readonly #users = new Users()
  /** Files of secrets live as long as the process: a listener may come back to them. */
  readonly #files: SecretUser[] = []
  #watcher: FSWatcher | undefined
  #settle: NodeJS.Timeout | undefined

  constructor(path: string) {
    try {
      this.#watcher = watch(path, () => {
        clearTimeout(this.#settle)
        this.#settle = setTimeout(() => this.fire(), SETTLE_MS)
        this.#settle.unref()
      })
      this.#watcher.on('error', error => log.warning({ folder: path }, `no longer watched: ${error.message}`))
      this.#watcher.unref()
    } catch (error) {
      log.warning({ folder: path }, `cannot be watched: ${(error as Error).message}`)
    }
  }

  add(user: SecretUser): void {
    this.#users.add(user)
  }

  keep(file: SecretUser): void {
    this.#files.push(file)
  }

  fire(): void {
    for (const file of this.#files) file.secretsChanged()
    this.#users.tell()
  }

  close(): void {
    clearTimeout(this.#settle)
    this.#watcher?.close()
  }
}
