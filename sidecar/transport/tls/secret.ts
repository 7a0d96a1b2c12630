/**
 * Secrets as they are configured (names, files, texts) and as they are now. Who provides them, and watches over the files
 * they come from, is above this room: see {@link SecretProvider}.
 */
import { readFileSync } from 'node:fs'
import { ConfigError } from '../../config/config-error.ts'
import type {
  CertificateValidationContext,
  DataSource,
  SdsSecretConfig,
  TlsCertificate,
  TlsSessionTicketKeys,
} from '../../config/schema/generated/types.ts'

/** A secret that may change. */
export interface WatchedSecret<T> {
  /** Its message now; undefined until it has arrived. */
  readonly current: T | undefined
  /**
   * Its user cannot take it, or the files it names, as they are now. The provider counts that, and goes back to the last
   * message that could be taken, if it is the message that has changed.
   */
  refused?(): void
}

export interface SecretKinds {
  readonly tlsCertificate: TlsCertificate
  readonly validationContext: CertificateValidationContext
  readonly sessionTicketKeys: TlsSessionTicketKeys
}

/** Whoever uses secrets; held weakly by the provider, so that who goes out of use need not say so. */
export interface SecretUser {
  /** A secret, or a file that one of them comes from, may have changed. */
  secretsChanged(): void
}

export interface SecretProvider {
  /**
   * The secret of that name. Throws {@link ConfigError} where there is none, or where its source is not supported.
   */
  secret<K extends keyof SecretKinds>(kind: K, config: SdsSecretConfig, user: SecretUser): WatchedSecret<SecretKinds[K]>
  /** Watches over folders on behalf of `user`. */
  watch(folders: readonly string[], user: SecretUser): void
}

/** The bytes of a data source. Throws {@link ConfigError} with the system's reason when they cannot be had. */
export function readDataSource(source: DataSource, field: string): Buffer {
  if (source.inlineBytes !== undefined) return Buffer.from(source.inlineBytes)
  if (source.inlineString !== undefined) return Buffer.from(source.inlineString)
  if (source.environmentVariable !== undefined) {
    const value = process.env[source.environmentVariable]
    if (value === undefined) {
      throw new ConfigError(field, `the environment variable ${source.environmentVariable} is not set`)
    }
    return Buffer.from(value)
  }
  if (source.filename === undefined) throw new ConfigError(field, 'names no source')
  try {
    const bytes = readFileSync(source.filename)
    if (bytes.length === 0) throw new ConfigError(field, `${source.filename} is empty`)
    return bytes
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    const reason = code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'may not be read' : message
    throw new ConfigError(field, `${source.filename}: ${reason}`)
  }
}
