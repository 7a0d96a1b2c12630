/**
 * Requests as they pass, for whoever watches (`hopwise tap`, `hopwise top`): three events each, in Linkerd's words.
 *
 *   req   the route is known                  rsp   the response's head goes out               end   once, in any case
 *
 * While nobody watches the path asks one boolean and nothing is built. A watcher is bounded: so many requests a second,
 * and what its reader does not take is lost and counted (`TapSink.lost`); traffic never waits for it.
 *
 * Conditions on what is known at the end only (status, origin, …) have all three events come then, together.
 */
import { type Address, addressText } from '../base/address.ts'
import type { Clock } from '../base/clock.ts'
import { TokenBucket } from '../base/token-bucket.ts'
import { responseFlagsText } from './response-flags.ts'
import type { StreamInfo, TlsInfo } from './stream-info.ts'

/** What a watcher wants to see; plain data, because it crosses threads. Texts are '' where anything will do. */
export interface TapQuery {
  readonly proxy: 'in' | 'out' | undefined
  readonly method: string
  /** Beginning of the path. */
  readonly path: string
  readonly authority: string
  readonly cluster: string
  readonly route: string
  /** Address of the caller's socket. */
  readonly from: string
  /** First and last status wanted; a request that got none has 0. */
  readonly status: readonly [first: number, last: number] | undefined
  readonly origin: string
  readonly cause: string
  /** Only what has a failure record. */
  readonly failed: boolean
  readonly slowerThanMs: number
  /** Requests a second, of all threads together. */
  readonly maxRps: number
}

export const MAX_RPS = 10_000
export const DEFAULT_MAX_RPS = 100

interface TapCommon {
  /** The same in all events of one request: `<worker>:<number>`. */
  readonly id: string
  /** Wall clock, milliseconds. */
  readonly at: number
  readonly proxy: 'in' | 'out'
  readonly src: string
  /** The host that was chosen; before that, where the request arrived. */
  readonly dst: string
  readonly tls: boolean
  readonly method: string
  readonly authority: string
  readonly path: string
  readonly route: string
  readonly cluster: string
}

export interface TapRequest extends TapCommon {
  readonly kind: 'req'
}

export interface TapResponse extends TapCommon {
  readonly kind: 'rsp'
  readonly status: number
  /** From the first byte of the request. */
  readonly latencyMs: number
}

export interface TapEnd extends TapCommon {
  readonly kind: 'end'
  /** 0 where none was sent. */
  readonly status: number
  /** -1 where there is none. */
  readonly grpcStatus: number
  /** From the first byte of the request to the head of the response; -1 where there was none. */
  readonly latencyMs: number
  /** From the head of the response, or else from the first byte of the request, to the end. */
  readonly durationMs: number
  readonly requestBytes: number
  readonly responseBytes: number
  readonly flags: string
  readonly details: string
  readonly retries: number
  /** Of the failure record; '' where nothing failed. */
  readonly origin: string
  readonly cause: string
  readonly role: string
  readonly hops: string
  readonly failureId: string
}

export type TapEvent = TapRequest | TapResponse | TapEnd

export type TapLoss = 'rate' | 'slow_reader'

export interface TapSink {
  event(event: TapEvent): void
  lost(requests: number, why: TapLoss): void
}

/** What of a request the tap reads besides its record. */
export interface TappedHead {
  readonly method: string
  readonly authority: string
  readonly path: string
}

class Watcher {
  readonly query: TapQuery
  readonly sink: TapSink
  /** Decided at the end. */
  readonly late: boolean
  readonly #bucket: TokenBucket

  constructor(query: TapQuery, sink: TapSink, clock: Clock) {
    this.query = query
    this.sink = sink
    const { status, origin, cause, failed, slowerThanMs } = query
    this.late = status !== undefined || origin !== '' || cause !== '' || failed || slowerThanMs > 0
    this.#bucket = new TokenBucket(
      { maxTokens: query.maxRps, tokensPerFill: query.maxRps, fillIntervalMs: 1000 },
      clock,
    )
  }

  wantsRequest(proxy: 'in' | 'out', head: TappedHead, info: StreamInfo): boolean {
    const { query } = this
    return (
      (query.proxy === undefined || query.proxy === proxy) &&
      (query.method === '' || query.method === head.method) &&
      (query.path === '' || head.path.startsWith(query.path)) &&
      (query.authority === '' || query.authority === head.authority) &&
      (query.cluster === '' || query.cluster === info.clusterName) &&
      (query.route === '' || query.route === info.routeName) &&
      (query.from === '' || query.from === info.downstream.directRemote.ip)
    )
  }

  wantsEnd(info: StreamInfo, totalMs: number): boolean {
    const { status, origin, cause, failed, slowerThanMs } = this.query
    const { failure, responseCode } = info
    return (
      (status === undefined || (responseCode >= status[0] && responseCode <= status[1])) &&
      (origin === '' || failure?.origin === origin) &&
      (cause === '' || failure?.cause === cause) &&
      (!failed || failure !== undefined) &&
      totalMs >= slowerThanMs
    )
  }

  /** Whether this second has room for one more; what has none is told as lost. */
  admits(): boolean {
    if (this.#bucket.tryTake()) return true
    this.sink.lost(1, 'rate')
    return false
  }
}

export class Tap {
  /** Somebody watches: all that the path asks. */
  active = false
  #watchers: readonly Watcher[] = []
  #lastNumber = 0
  readonly #clock: Clock
  readonly #worker: number

  constructor(clock: Clock, worker = 0) {
    this.#clock = clock
    this.#worker = worker
  }

  /** Tells `sink` of the requests that `query` wants; call the result to stop. */
  watch(query: TapQuery, sink: TapSink): () => void {
    const watcher = new Watcher(query, sink, this.#clock)
    this.#watchers = [...this.#watchers, watcher]
    this.active = true
    return () => {
      this.#watchers = this.#watchers.filter(one => one !== watcher)
      this.active = this.#watchers.length > 0
    }
  }

  /** A request whose route is known; undefined where nobody wants it. Call it only while {@link active}. */
  begin(proxy: 'in' | 'out', head: TappedHead, info: StreamInfo): TappedStream | undefined {
    let early: Watcher[] | undefined
    let late: Watcher[] | undefined
    for (const watcher of this.#watchers) {
      if (!watcher.wantsRequest(proxy, head, info)) continue
      if (watcher.late) (late ??= []).push(watcher)
      else if (watcher.admits()) (early ??= []).push(watcher)
    }
    if (early === undefined && late === undefined) return undefined
    const id = `${this.#worker}:${++this.#lastNumber}`
    // What filters and the router make of path and host later is another matter.
    const { method, authority, path } = head
    return new TappedStream(id, proxy, { method, authority, path }, info, early ?? [], late ?? [])
  }
}

/** One request that is watched. */
export class TappedStream {
  readonly #id: string
  readonly #proxy: 'in' | 'out'
  readonly #head: TappedHead
  readonly #info: StreamInfo
  readonly #early: readonly Watcher[]
  readonly #late: readonly Watcher[]
  #headMs = -1

  constructor(
    id: string,
    proxy: 'in' | 'out',
    head: TappedHead,
    info: StreamInfo,
    early: readonly Watcher[],
    late: readonly Watcher[],
  ) {
    this.#id = id
    this.#proxy = proxy
    this.#head = head
    this.#info = info
    this.#early = early
    this.#late = late
    this.#tell(early, () => this.#request())
  }

  /** The head of the response goes out at `nowMs` on the monotonic clock. */
  response(status: number, nowMs: number): void {
    this.#headMs = nowMs
    this.#tell(this.#early, () => this.#response(status))
  }

  end(): void {
    const info = this.#info
    const totalMs = info.endMs - info.startMs
    this.#tell(this.#early, () => this.#end())
    const late = this.#late.filter(watcher => watcher.wantsEnd(info, totalMs) && watcher.admits())
    if (late.length === 0) return
    this.#tell(late, () => this.#request())
    if (this.#headMs >= 0) this.#tell(late, () => this.#response(info.responseCode))
    this.#tell(late, () => this.#end())
  }

  #tell(watchers: readonly Watcher[], make: () => TapEvent): void {
    if (watchers.length === 0) return
    const event = make()
    for (const { sink } of watchers) sink.event(event)
  }

  #request(): TapRequest {
    const { downstream, startWallMs } = this.#info
    return { kind: 'req', ...this.#common(startWallMs, downstream.local, downstream.tls) }
  }

  #response(status: number): TapResponse {
    const latencyMs = rounded(this.#headMs - this.#info.startMs)
    return { kind: 'rsp', ...this.#answered(latencyMs), status, latencyMs }
  }

  #end(): TapEnd {
    const info = this.#info
    const { failure } = info
    const totalMs = info.endMs - info.startMs
    const began = this.#headMs >= 0
    return {
      kind: 'end',
      ...this.#answered(totalMs),
      status: info.responseCode,
      grpcStatus: info.grpcStatus,
      latencyMs: began ? rounded(this.#headMs - info.startMs) : -1,
      durationMs: rounded(began ? info.endMs - this.#headMs : totalMs),
      requestBytes: info.bytesReceived,
      responseBytes: info.bytesSent,
      flags: responseFlagsText(info.responseFlags),
      details: info.responseCodeDetails,
      retries: Math.max(0, info.attemptCount - 1),
      origin: failure?.origin ?? '',
      cause: failure?.cause ?? '',
      role: failure?.role ?? '',
      hops: failure?.path ?? '',
      failureId: failure?.id ?? '',
    }
  }

  /** Once the host is known, where one was chosen. */
  #answered(afterMs: number): TapCommon {
    const { downstream, upstreamHost, upstreamTls, startWallMs } = this.#info
    const outward = this.#proxy === 'out' && upstreamHost !== undefined
    return this.#common(startWallMs + afterMs, upstreamHost ?? downstream.local, outward ? upstreamTls : downstream.tls)
  }

  #common(at: number, dst: Address, tls: TlsInfo | undefined): TapCommon {
    const { downstream, routeName, clusterName } = this.#info
    return {
      id: this.#id,
      at: Math.round(at),
      proxy: this.#proxy,
      src: addressText(downstream.directRemote),
      dst: addressText(dst),
      tls: tls !== undefined,
      ...this.#head,
      route: routeName,
      cluster: clusterName,
    }
  }
}

/** To the microsecond. */
function rounded(ms: number): number {
  return Math.max(0, Math.round(ms * 1000) / 1000)
}
