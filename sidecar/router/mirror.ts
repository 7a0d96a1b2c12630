/**
 * Request mirroring (`request_mirror_policies`): a copy of the request goes to another cluster, whose answer nobody
 * waits for. Bodies are copied as they pass; a mirror that falls behind its buffer is given up, not waited for.
 */

import { ownIp } from '../base/own-address.ts'
import { Timer } from '../base/timer-wheel.ts'
import type { Cluster, Clusters, LoadBalancerContext } from '../cluster/cluster.ts'
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { BodyChunk, RequestEncoder, ResponseDecoder, StreamFailure } from '../codec/stream.ts'
import type { FilterContext } from '../filter-chain/http-filter.ts'
import type { MirrorSpan, UpstreamSpans } from '../filter-chain/upstream-spans.ts'
import { ResponseFlag } from '../observability/response-flags.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import type { PendingStream, PoolCallbacks } from '../upstream/connection-pool.ts'
import type { Host } from '../upstream/host.ts'
import { requestedNames } from './requested-names.ts'
import { resetReason } from './reset-reasons.ts'
import type { RouteEntry } from './route-entry.ts'

/** Starts the mirrors of a request; what is returned gets the body. */
export function startMirrors(
  route: RouteEntry,
  headers: RequestHeaders,
  info: StreamInfo,
  clusters: Clusters,
  context: FilterContext,
  spans: UpstreamSpans | undefined,
  endStream: boolean,
): MirrorRequest[] {
  const mirrors: MirrorRequest[] = []
  for (const policy of route.mirrorPolicies) {
    if (policy.fraction !== undefined && !context.runtime.enabled(policy.fraction, context.random)) continue
    const cluster = clusters.get(policy.clusterFor(headers))
    if (cluster === undefined) continue
    const copy = headers.clone()
    policy.prepare(copy, info)
    // What the proxy sends of itself is internal, and comes from its own address.
    copy.set('x-envoy-internal', 'true')
    copy.appendJoined('x-forwarded-for', ownIp())
    const span = spans?.mirrorStarted(copy, policy.traceSampled)
    const mirror = new MirrorRequest(copy, cluster, context, route.timeoutMs, span)
    if (mirror.start(route.priority, endStream)) mirrors.push(mirror)
  }
  return mirrors
}

/** One mirrored request. Its response is read and dropped, for the sake of stats and of connection re-use. */
export class MirrorRequest implements ResponseDecoder, PoolCallbacks, LoadBalancerContext {
  readonly headers: RequestHeaders
  readonly info = undefined
  readonly hash = undefined
  readonly metadataMatch = undefined
  readonly hostSelectionMaxAttempts = 1
  readonly #cluster: Cluster
  readonly #context: FilterContext
  readonly #timer: Timer
  readonly #timeoutMs: number
  readonly #startedMs: number
  #pending: PendingStream | undefined
  #encoder: RequestEncoder | undefined
  #held: { data: Buffer; endStream: boolean }[] = []
  #heldBytes = 0
  #heldTrailers: HeaderMap | undefined
  #endsWithHead = false
  #over = false
  readonly #span: MirrorSpan | undefined
  #hostText = ''
  #status = 0

  constructor(
    headers: RequestHeaders,
    cluster: Cluster,
    context: FilterContext,
    timeoutMs: number,
    span: MirrorSpan | undefined,
  ) {
    this.#span = span
    this.headers = headers
    this.#cluster = cluster
    this.#context = context
    this.#timeoutMs = timeoutMs
    this.#startedMs = context.clock.now()
    this.#timer = new Timer(() => this.#giveUp(ResponseFlag.UpstreamRequestTimeout, 504))
  }

  start(priority: 0 | 1, endStream: boolean): boolean {
    const host = this.#cluster.chooseHost(this)
    if (host === undefined) {
      this.#end(503, ResponseFlag.NoHealthyUpstream)
      return false
    }
    this.#hostText = host.addressText
    this.#endsWithHead = endStream
    if (this.#timeoutMs > 0) this.#context.timers.start(this.#timer, this.#timeoutMs)
    const { serverName, wantedName } = requestedNames(this.#cluster.autoNames, this.headers)
    const options = { method: this.headers.method, upgrade: false, serverName, wantedName }
    const pending = this.#cluster.newStream(host, priority, options, this, this)
    if (this.#encoder === undefined) this.#pending = pending
    return !this.#over
  }

  sendData(data: BodyChunk, endStream: boolean): void {
    if (this.#over) return
    if (this.#encoder !== undefined) {
      this.#encoder.encodeData(data, endStream)
      return
    }
    this.#heldBytes += data.length
    if (this.#heldBytes > this.#cluster.bufferLimitBytes) {
      this.#cluster.requestStats.retryOrShadowAbandoned.inc()
      this.#giveUp()
      return
    }
    this.#held.push({ data: Buffer.from(data), endStream })
  }

  sendTrailers(trailers: HeaderMap): void {
    if (this.#over) return
    if (this.#encoder !== undefined) this.#encoder.encodeTrailers(trailers)
    else this.#heldTrailers = trailers
  }

  onPoolReady(encoder: RequestEncoder): void {
    this.#pending = undefined
    this.#encoder = encoder
    encoder.encodeHeaders(this.headers, this.#endsWithHead)
    for (const { data, endStream } of this.#held) encoder.encodeData(data, endStream)
    this.#held = []
    if (this.#heldTrailers !== undefined) encoder.encodeTrailers(this.#heldTrailers)
  }

  onPoolFailure(failure: StreamFailure, _host: Host): void {
    this.#pending = undefined
    if (!this.#over) this.#end(503, resetReason(failure).flag)
  }
  onInformational(): void {}
  onResponseHeaders(headers: ResponseHeaders, endStream: boolean): void {
    this.#status = headers.status
    this.#cluster.requestStats.chargeResponse(headers.status, true)
    if (endStream) this.#complete()
  }
  onResponseData(_data: BodyChunk, endStream: boolean): void {
    if (endStream) this.#complete()
  }
  onResponseTrailers(): void {
    this.#complete()
  }
  onReset(failure: StreamFailure): void {
    if (!this.#over) this.#end(503, resetReason(failure).flag)
  }
  onRequestBackpressure(above: boolean): void {
    // The request it copies must not be slowed down for its sake.
    if (!above || this.#over) return
    this.#cluster.requestStats.retryOrShadowAbandoned.inc()
    this.#giveUp()
  }
  shouldSelectAnotherHost(): boolean {
    return false
  }

  #complete(): void {
    if (this.#over) return
    this.#cluster.requestStats.chargeTime(this.#context.clock.now() - this.#startedMs, true, '')
    this.#end(this.#status, 0, true)
  }

  /** Also for a request that ended before its body was whole: half of it must not look like all of it. */
  abandon(): void {
    this.#giveUp()
  }

  /** With the status of the reply that stands for the response, 0 where nothing does. */
  #giveUp(flag = 0, status = 0): void {
    if (this.#over) return
    this.#end(status, flag)
    this.#pending?.cancel()
    this.#encoder?.reset()
  }

  /** `status` counts where no response has begun. */
  #end(status: number, flag: number, complete = false): void {
    this.#over = true
    this.#held = []
    this.#context.timers.stop(this.#timer)
    const begun = this.#status > 0
    const canceled = !complete && status === 0
    this.#span?.end({
      clusterName: this.#cluster.name,
      clusterStatName: this.#cluster.statName,
      hostText: this.#hostText,
      statusCode: begun ? this.#status : status,
      responseFlags: flag,
      cut: begun && !complete && !canceled,
      canceled,
    })
  }
}
