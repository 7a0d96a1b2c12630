/** Stats of TLS under Envoy's names: `listener.<address>.ssl.…` and `cluster.<name>.ssl.…`. */
import type { Counter, StatsScope } from '../../observability/stats.ts'

export class TlsStats {
  readonly connectionError: Counter
  readonly handshake: Counter
  readonly sessionReused: Counter
  readonly noCertificate: Counter
  readonly failVerifyNoCert: Counter
  readonly failVerifyError: Counter
  readonly failVerifySan: Counter
  readonly failVerifyCertHash: Counter
  /** Secrets that have come by SDS, the first of each too, and rotations that took effect. */
  readonly contextUpdate: Counter
  readonly #scope: StatsScope
  readonly #ciphers = new Map<string, Counter>()
  readonly #versions = new Map<string, Counter>()
  readonly #curves = new Map<string, Counter>()

  /** `parent` is the scope of the listener or cluster. */
  constructor(parent: StatsScope, side: 'downstream' | 'upstream') {
    const scope = parent.scope('ssl')
    this.#scope = scope
    this.connectionError = scope.counter('connection_error')
    this.handshake = scope.counter('handshake')
    this.sessionReused = scope.counter('session_reused')
    this.noCertificate = scope.counter('no_certificate')
    this.failVerifyNoCert = scope.counter('fail_verify_no_cert')
    this.failVerifyError = scope.counter('fail_verify_error')
    this.failVerifySan = scope.counter('fail_verify_san')
    this.failVerifyCertHash = scope.counter('fail_verify_cert_hash')
    for (const name of ['failed', 'omitted', 'requests', 'responses']) scope.counter(`ocsp_staple_${name}`)
    const factory = parent.scope(side === 'downstream' ? 'server_ssl_socket_factory' : 'client_ssl_socket_factory')
    this.contextUpdate = factory.counter('ssl_context_update_by_sds')
    factory.counter('upstream_context_secrets_not_ready')
    factory.counter('downstream_context_secrets_not_ready')
  }

  /**
   * Envoy names the gauge after the secret; what stands in the context itself has no name, only `suffix`: the beginning of
   * the hash of no name, nothing for an archive, or the place in a list of trust domains.
   */
  expiration(kind: 'cert' | 'ca_cert', secretName: string, expiresMs: number, suffix = 'e3b0c442'): void {
    const name = secretName === '' ? `unnamed_${kind}_${suffix}` : secretName
    this.#scope.gauge(`certificate.${name}.expiration_unix_time_seconds`).set(Math.floor(expiresMs / 1000))
  }

  onHandshake(version: string, cipher: string, group: string, reused: boolean): void {
    this.handshake.inc()
    if (reused) this.sessionReused.inc()
    this.#charge(this.#versions, 'versions', version)
    this.#charge(this.#ciphers, 'ciphers', cipher)
    if (group !== '') this.#charge(this.#curves, 'curves', group)
  }

  /** OpenSSL chose the name from a short list, so the map is bounded. */
  #charge(known: Map<string, Counter>, kind: string, name: string): void {
    let counter = known.get(name)
    if (counter === undefined) {
      counter = this.#scope.counter(`${kind}.${name}`)
      known.set(name, counter)
    }
    counter.inc()
  }
}
