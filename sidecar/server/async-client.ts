/**
 * HTTP requests of the proxy's own (spans, health checks, remote configuration) through its own clusters, so that they
 * get the clusters' balancing, TLS, limits and stats (Envoy: `Http::AsyncClient`).
 */
import { Timer, type Timers } from '../base/timer-wheel.ts'
import type { Cluster, Clusters, LoadBalancerContext } from '../cluster/cluster.ts'
import { RequestHeaders, type ResponseHeaders } from '../codec/header-map.ts'
import type { BodyChunk, RequestEncoder, ResponseDecoder, StreamFailure } from '../codec/stream.ts'
import type { PendingStream, PoolCallbacks } from '../upstream/connection-pool.ts'

export interface AsyncRequest {
  readonly cluster: string
  readonly method: string
  readonly path: string
  /** `Host` header. */
  readonly authority: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  readonly timeoutMs: number
  /** Response bodies beyond this are cut off; nobody here wants large ones. */
  readonly maxResponseBytes: number
}

export type AsyncResult =
  | { readonly ok: true; readonly headers: ResponseHeaders; readonly body: Buffer }
  | { readonly ok: false; readonly reason: string }

export class AsyncClient {
  readonly #clusters: Clusters
  readonly #timers: Timers

  constructor(clusters: Clusters, timers: Timers) {
    this.#clusters = clusters
    this.#timers = timers
  }

  /** Never rejects: what goes wrong is the result. */
  send(request: AsyncRequest): Promise<AsyncResult> {
    const cluster = this.#clusters.get(request.cluster)
    if (cluster === undefined) return Promise.resolve({ ok: false, reason: `no cluster '${request.cluster}'` })
    return new Promise(resolve => new AsyncExchange(request, cluster, this.#timers, resolve).start())
  }
}

class AsyncExchange implements ResponseDecoder, PoolCallbacks, LoadBalancerContext {
  readonly headers: RequestHeaders
  readonly info = undefined
  readonly hash = undefined
  readonly metadataMatch = undefined
  readonly hostSelectionMaxAttempts = 1
  readonly #request: AsyncRequest
  readonly #cluster: Cluster
  readonly #timers: Timers
  readonly #resolve: (result: AsyncResult) => void
  readonly #timer: Timer
  #pending: PendingStream | undefined
  #encoder: RequestEncoder | undefined
  #response: ResponseHeaders | undefined
  #body: Buffer[] = []
  #bodyBytes = 0
  #over = false

  constructor(request: AsyncRequest, cluster: Cluster, timers: Timers, resolve: (result: AsyncResult) => void) {
    this.#request = request
    this.#cluster = cluster
    this.#timers = timers
    this.#resolve = resolve
    this.#timer = new Timer(() => {
      this.#cluster.requestStats.timeout.inc()
      this.#giveUp('timeout')
    })
    const headers = new RequestHeaders(request.method, request.path, request.authority, 'http')
    for (const [name, value] of request.headers) headers.add(name, value)
    if (request.body.length > 0) headers.set('content-length', String(request.body.length))
    this.headers = headers
  }

  start(): void {
    const host = this.#cluster.chooseHost(this)
    if (host === undefined) {
      this.#finish({ ok: false, reason: 'no healthy upstream' })
      return
    }
    this.#timers.start(this.#timer, this.#request.timeoutMs)
    const options = { method: this.#request.method, upgrade: false }
    const pending = this.#cluster.newStream(host, 0, options, this, this)
    if (this.#encoder === undefined) this.#pending = pending
  }

  onPoolReady(encoder: RequestEncoder): void {
    this.#pending = undefined
    this.#encoder = encoder
    const { body } = this.#request
    encoder.encodeHeaders(this.headers, body.length === 0)
    if (body.length > 0) encoder.encodeData(body, true)
  }

  onPoolFailure(failure: StreamFailure): void {
    this.#pending = undefined
    this.#finish({ ok: false, reason: `${failure.kind}${failure.details === '' ? '' : `: ${failure.details}`}` })
  }

  onInformational(): void {}

  onResponseHeaders(headers: ResponseHeaders, endStream: boolean): void {
    if (this.#over) return
    this.#response = headers
    this.#cluster.requestStats.chargeResponse(headers.status, false)
    if (endStream) this.#complete()
  }

  onResponseData(data: BodyChunk, endStream: boolean): void {
    if (this.#over) return
    const room = this.#request.maxResponseBytes - this.#bodyBytes
    if (room > 0) this.#body.push(Buffer.from(data.subarray(0, room)))
    this.#bodyBytes += data.length
    if (endStream) this.#complete()
  }

  onResponseTrailers(): void {
    if (!this.#over) this.#complete()
  }

  onReset(failure: StreamFailure): void {
    this.#finish({ ok: false, reason: `${failure.kind}${failure.details === '' ? '' : `: ${failure.details}`}` })
  }

  onRequestBackpressure(): void {}

  shouldSelectAnotherHost(): boolean {
    return false
  }

  #complete(): void {
    this.#finish({ ok: true, headers: this.#response!, body: Buffer.concat(this.#body) })
  }

  #giveUp(reason: string): void {
    if (this.#over) return
    this.#finish({ ok: false, reason })
    this.#pending?.cancel()
    this.#encoder?.reset()
  }

  #finish(result: AsyncResult): void {
    if (this.#over) return
    this.#over = true
    this.#timers.stop(this.#timer)
    this.#resolve(result)
  }
}
