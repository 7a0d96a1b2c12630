/**
 * TLS failures told to people: what the peer did, what to do about it, and where in the configuration the cluster stands.
 * Each cause once a minute, since a broken peer fails every connection alike.
 */
import type { Clock } from '../base/clock.ts'
import type { StreamFailure } from '../codec/stream.ts'
import type { Cluster as ClusterMessage } from '../config/schema/generated/types.ts'
import { sourceOf } from '../config/source.ts'
import { logger } from '../observability/logging.ts'
import type { TlsCause } from '../transport/connection.ts'
import { tlsSentence } from '../transport/tls/tls-error.ts'

const log = logger('upstream')
const QUIET_MS = 60_000

export class TlsAdvice {
  readonly #clock: Clock
  readonly #toldMs = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  tell(cluster: ClusterMessage, failure: StreamFailure): void {
    const cause = failure.tlsCause as TlsCause
    const now = this.#clock.now()
    if (now - (this.#toldMs.get(cause) ?? -QUIET_MS) < QUIET_MS) return
    this.#toldMs.set(cause, now)
    const place = sourceOf(cluster.transportSocket ?? cluster)
    const at = place === undefined || place.line === 0 ? '' : ` (${place.file}:${place.line})`
    const details = failure.details === '' ? {} : { details: failure.details }
    log.warning({ cluster: cluster.name, cause, ...details }, `cluster "${cluster.name}"${at}: ${tlsSentence(cause)}`)
  }
}
