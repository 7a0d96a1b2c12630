/**
 * The iteration over HTTP filters: which filter sees what next, what is held meanwhile, and where it goes on.
 *
 * Each direction of a stream is a queue of at most one head, then data, then trailers, walking past the filters; request
 * from first to last, response from last to first. A filter that answers `Stop` makes its direction wait. What arrives
 * then is kept (copied: chunks are lent) with the position it has to start from, and walks on in order after
 * `continueRequest()` / `continueResponse()`.
 *
 *            ┌────────── filter answers Stop ─────────┐
 *            │                                        ▼
 *   FLOWING ─┤                                      HELD ── continue…() ──▶ FLOWING
 *            │                                        ▲
 *            └── bufferRequest(max) ──▶ BUFFERING ── body complete: onRequestBuffered, continue
 *                                           └────── more than max: onBodyTooLarge
 *
 * The manager knows nothing of connections: a subclass says where requests and responses leave the chain, so the same
 * iteration serves streams of any protocol.
 */
import { invariant } from '../base/invariant.ts'
import { HeaderMap, type RequestHeaders, type ResponseHeaders } from '../codec/header-map.ts'
import type { BodyChunk } from '../codec/stream.ts'
import { FilterStatus, type HttpFilter, type HttpFilterInstance, type HttpStream } from './http-filter.ts'

/** The filters of a connection manager, with what each implements looked up once. */
export class FilterChain {
  readonly names: readonly string[]
  readonly instances: readonly HttpFilterInstance[]
  readonly length: number
  constructor(filters: readonly { readonly name: string; readonly instance: HttpFilterInstance }[]) {
    this.names = filters.map(filter => filter.name)
    this.instances = filters.map(filter => filter.instance)
    this.length = filters.length
  }
}

/** Bytes or trailers that wait, with the filter they have to start from. */
interface Held {
  readonly from: number
  readonly data: Buffer | undefined
  readonly trailers: HeaderMap | undefined
  readonly endStream: boolean
}

/** One direction's state while something waits. Made only when a filter stops. */
class Direction {
  /** Filter that stopped, or -1 while flowing. */
  heldAt = -1
  /** Whether the head still waits behind `heldAt`. */
  headWaits = false
  headEndsStream = false
  queue: Held[] = []
  queuedBytes = 0
  /** Body limit of a filter that asked for the whole body, or -1. */
  bufferLimit = -1
  complete = false
  pausedReading = false
}

export abstract class FilterManager {
  readonly #chain: FilterChain
  readonly #filters: HttpFilter[]
  #request: Direction | undefined = undefined
  #response: Direction | undefined = undefined
  /** Index of the filter a callback is running in, for `bufferRequest` and the like. */
  #current = 0
  #requestComplete = false
  #responseComplete = false
  #addedRequestTrailers: HeaderMap | undefined = undefined
  #addedResponseTrailers: HeaderMap | undefined = undefined
  #destroyed = false

  constructor(chain: FilterChain) {
    this.#chain = chain
    const { instances, length } = chain
    const filters: HttpFilter[] = new Array(length)
    for (let i = 0; i < length; i++) filters[i] = instances[i]!()
    this.#filters = filters
  }

  // What a subclass says.

  protected abstract readonly stream: HttpStream
  /** Bytes held in one direction above which reading its source is paused. */
  protected abstract readonly bufferLimitBytes: number
  /** Per filter, whether this stream's route switches it off; undefined where none is (nearly always). */
  protected abstract readonly disabledFilters: readonly boolean[] | undefined
  protected abstract headersOut(headers: ResponseHeaders, endStream: boolean): void
  protected abstract dataOut(data: BodyChunk, endStream: boolean): void
  protected abstract trailersOut(trailers: HeaderMap): void
  protected abstract informationalOut(headers: ResponseHeaders): void
  protected abstract onRequestTooLarge(): void
  protected abstract onResponseTooLarge(): void
  protected abstract holdRequestSource(hold: boolean): void
  protected abstract holdResponseSource(hold: boolean): void
  protected abstract get currentRequestHeaders(): RequestHeaders
  protected abstract get currentResponseHeaders(): ResponseHeaders

  /** True while a filter holds the request. */
  get requestHeld(): boolean {
    return this.#request !== undefined && this.#request.heldAt >= 0
  }

  /** The filter that is held at or being run, for messages. */
  get currentFilterName(): string {
    return this.#chain.names[this.#current] ?? ''
  }

  // Request direction.

  /** The request is whole before any filter has seen it: what is answered already then is answered in full. */
  protected noteRequestComplete(): void {
    this.#requestComplete = true
  }

  protected decodeHeaders(headers: RequestHeaders, endStream: boolean): void {
    this.#requestComplete = endStream
    this.#runRequestHeaders(0, headers, endStream)
  }

  protected decodeData(data: BodyChunk, endStream: boolean): void {
    if (endStream) this.#requestComplete = true
    const direction = this.#request
    if (direction !== undefined && direction.heldAt >= 0) {
      this.#holdRequest(direction, direction.heldAt, data, undefined, endStream)
      return
    }
    this.#runRequestData(0, data, endStream)
  }

  protected decodeTrailers(trailers: HeaderMap): void {
    this.#requestComplete = true
    const direction = this.#request
    if (direction !== undefined && direction.heldAt >= 0) {
      this.#holdRequest(direction, direction.heldAt, undefined, trailers, true)
      return
    }
    this.#runRequestTrailers(0, trailers)
  }

  continueRequest(): void {
    const direction = this.#request
    if (this.#destroyed || direction === undefined || direction.heldAt < 0) return
    const at = direction.heldAt
    direction.heldAt = -1
    direction.bufferLimit = -1
    if (direction.headWaits) {
      direction.headWaits = false
      this.#runRequestHeaders(at + 1, this.currentRequestHeaders, direction.headEndsStream)
    }
    while (direction.queue.length > 0 && direction.heldAt < 0 && !this.#destroyed) {
      const item = direction.queue.shift()!
      if (item.data !== undefined) {
        direction.queuedBytes -= item.data.length
        this.#runRequestData(item.from, item.data, item.endStream)
      } else this.#runRequestTrailers(item.from, item.trailers!)
    }
    if (direction.pausedReading && direction.queuedBytes <= this.bufferLimitBytes / 2) {
      direction.pausedReading = false
      this.holdRequestSource(false)
    }
  }

  bufferRequest(maxBytes: number): typeof FilterStatus.Stop {
    this.#request ??= new Direction()
    this.#request.bufferLimit = maxBytes
    return FilterStatus.Stop
  }

  injectRequestData(data: Buffer): void {
    this.#runRequestData(this.#current + 1, Buffer.from(data), false)
  }

  addRequestTrailers(): HeaderMap {
    this.#addedRequestTrailers ??= new HeaderMap()
    return this.#addedRequestTrailers
  }

  #runRequestHeaders(from: number, headers: RequestHeaders, endStream: boolean): void {
    const filters = this.#filters
    for (let i = from; i < filters.length; i++) {
      const filter = filters[i]!
      if (filter.onRequestHeaders === undefined || this.disabledFilters?.[i] === true) continue
      this.#current = i
      const status = filter.onRequestHeaders(this.stream, headers, endStream)
      if (this.#destroyed) return
      if (status === FilterStatus.Continue) continue
      // The terminal filter always stops: requests end there.
      if (i === filters.length - 1) return
      this.#request ??= new Direction()
      const direction = this.#request
      direction.heldAt = i
      direction.headWaits = true
      direction.headEndsStream = endStream
      if (endStream && direction.bufferLimit >= 0) {
        filter.onRequestBuffered?.(this.stream, 0)
        this.continueRequest()
      }
      return
    }
  }

  #runRequestData(from: number, data: BodyChunk, endStream: boolean): void {
    const filters = this.#filters
    for (let i = from; i < filters.length; i++) {
      const filter = filters[i]!
      if (filter.onRequestData === undefined || this.disabledFilters?.[i] === true) continue
      this.#current = i
      const status = filter.onRequestData(this.stream, data, endStream && this.#addedRequestTrailers === undefined)
      if (this.#destroyed) return
      if (status === FilterStatus.Continue) continue
      if (i === filters.length - 1) break
      this.#request ??= new Direction()
      this.#request.heldAt = i
      this.#holdRequest(this.#request, i + 1, data, undefined, endStream, true)
      return
    }
    if (endStream && this.#addedRequestTrailers !== undefined) {
      const trailers = this.#addedRequestTrailers
      this.#addedRequestTrailers = undefined
      this.#runRequestTrailers(this.#current, trailers)
    }
  }

  #runRequestTrailers(from: number, trailers: HeaderMap): void {
    const filters = this.#filters
    for (let i = from; i < filters.length; i++) {
      const filter = filters[i]!
      if (filter.onRequestTrailers === undefined || this.disabledFilters?.[i] === true) continue
      this.#current = i
      const status = filter.onRequestTrailers(this.stream, trailers)
      if (this.#destroyed) return
      if (status === FilterStatus.Continue || i === filters.length - 1) continue
      this.#request ??= new Direction()
      this.#request.heldAt = i
      this.#request.queue.unshift({ from: i + 1, data: undefined, trailers, endStream: true })
      return
    }
  }

  #holdRequest(
    direction: Direction,
    from: number,
    data: BodyChunk | undefined,
    trailers: HeaderMap | undefined,
    endStream: boolean,
    first = false,
  ): void {
    const filter = this.#filters[direction.heldAt]!
    if (data !== undefined) {
      direction.queuedBytes += data.length
      if (direction.bufferLimit >= 0 && direction.queuedBytes > direction.bufferLimit) {
        this.onRequestTooLarge()
        return
      }
      const held = { from, data: Buffer.from(data), trailers: undefined, endStream }
      // A chunk that was stopped half way goes before those that have not begun.
      if (first) direction.queue.unshift(held)
      else direction.queue.push(held)
    } else direction.queue.push({ from, data: undefined, trailers, endStream })
    if (direction.bufferLimit >= 0) {
      if (!endStream) return
      filter.onRequestBuffered?.(this.stream, direction.queuedBytes)
      this.continueRequest()
    } else if (!direction.pausedReading && direction.queuedBytes > this.bufferLimitBytes) {
      direction.pausedReading = true
      this.holdRequestSource(true)
    }
  }

  // Response direction. `filters.length - 1` is the terminal filter, which is where responses come from; a local reply
  // passes all the others on its way back, as in Envoy.

  protected encodeInformational(headers: ResponseHeaders): void {
    for (let i = this.#filters.length - 1; i >= 0; i--) {
      const filter = this.#filters[i]!
      if (filter.onInformational === undefined || this.disabledFilters?.[i] === true) continue
      this.#current = i
      filter.onInformational(this.stream, headers)
      if (this.#destroyed) return
    }
    this.informationalOut(headers)
  }

  protected encodeHeaders(headers: ResponseHeaders, endStream: boolean): void {
    this.#responseComplete = endStream
    this.#runResponseHeaders(this.#filters.length - 1, headers, endStream)
  }

  protected encodeData(data: BodyChunk, endStream: boolean): void {
    if (endStream) this.#responseComplete = true
    const direction = this.#response
    if (direction !== undefined && direction.heldAt >= 0) {
      this.#holdResponse(direction, direction.heldAt, data, undefined, endStream)
      return
    }
    this.#runResponseData(this.#filters.length - 1, data, endStream)
  }

  protected encodeTrailers(trailers: HeaderMap): void {
    this.#responseComplete = true
    const direction = this.#response
    if (direction !== undefined && direction.heldAt >= 0) {
      this.#holdResponse(direction, direction.heldAt, undefined, trailers, true)
      return
    }
    this.#runResponseTrailers(this.#filters.length - 1, trailers)
  }

  continueResponse(): void {
    const direction = this.#response
    if (this.#destroyed || direction === undefined || direction.heldAt < 0) return
    const at = direction.heldAt
    direction.heldAt = -1
    direction.bufferLimit = -1
    if (direction.headWaits) {
      direction.headWaits = false
      this.#runResponseHeaders(at - 1, this.currentResponseHeaders, direction.headEndsStream)
    }
    while (direction.queue.length > 0 && direction.heldAt < 0 && !this.#destroyed) {
      const item = direction.queue.shift()!
      if (item.data !== undefined) {
        direction.queuedBytes -= item.data.length
        this.#runResponseData(item.from, item.data, item.endStream)
      } else this.#runResponseTrailers(item.from, item.trailers!)
    }
    if (direction.pausedReading && direction.queuedBytes <= this.bufferLimitBytes / 2) {
      direction.pausedReading = false
      this.holdResponseSource(false)
    }
  }

  bufferResponse(maxBytes: number): typeof FilterStatus.Stop {
    this.#response ??= new Direction()
    this.#response.bufferLimit = maxBytes
    return FilterStatus.Stop
  }

  injectResponseData(data: Buffer): void {
    this.#runResponseData(this.#current - 1, Buffer.from(data), false)
  }

  addResponseTrailers(): HeaderMap {
    this.#addedResponseTrailers ??= new HeaderMap()
    return this.#addedResponseTrailers
  }

  #runResponseHeaders(from: number, headers: ResponseHeaders, endStream: boolean): void {
    const filters = this.#filters
    for (let i = from; i >= 0; i--) {
      const filter = filters[i]!
      if (filter.onResponseHeaders === undefined || this.disabledFilters?.[i] === true) continue
      this.#current = i
      const status = filter.onResponseHeaders(this.stream, headers, endStream)
      if (this.#destroyed) return
      if (status === FilterStatus.Continue) continue
      this.#response ??= new Direction()
      const direction = this.#response
      direction.heldAt = i
      direction.headWaits = true
      direction.headEndsStream = endStream
      if (endStream && direction.bufferLimit >= 0) {
        filter.onResponseBuffered?.(this.stream, 0)
        this.continueResponse()
      }
      return
    }
    this.headersOut(headers, endStream)
  }

  #runResponseData(from: number, data: BodyChunk, endStream: boolean): void {
    const filters = this.#filters
    for (let i = from; i >= 0; i--) {
      const filter = filters[i]!
      if (filter.onResponseData === undefined || this.disabledFilters?.[i] === true) continue
      this.#current = i
      const status = filter.onResponseData(this.stream, data, endStream && this.#addedResponseTrailers === undefined)
      if (this.#destroyed) return
      if (status === FilterStatus.Continue) continue
      this.#response ??= new Direction()
      this.#response.heldAt = i
      this.#holdResponse(this.#response, i - 1, data, undefined, endStream, true)
      return
    }
    const trailers = endStream ? this.#addedResponseTrailers : undefined
    this.dataOut(data, endStream && trailers === undefined)
    if (trailers !== undefined && !this.#destroyed) {
      this.#addedResponseTrailers = undefined
      this.trailersOut(trailers)
    }
  }

  #runResponseTrailers(from: number, trailers: HeaderMap): void {
    const filters = this.#filters
    for (let i = from; i >= 0; i--) {
      const filter = filters[i]!
      if (filter.onResponseTrailers === undefined || this.disabledFilters?.[i] === true) continue
      this.#current = i
      const status = filter.onResponseTrailers(this.stream, trailers)
      if (this.#destroyed) return
      if (status === FilterStatus.Continue) continue
      this.#response ??= new Direction()
      this.#response.heldAt = i
      this.#response.queue.unshift({ from: i - 1, data: undefined, trailers, endStream: true })
      return
    }
    this.trailersOut(trailers)
  }

  #holdResponse(
    direction: Direction,
    from: number,
    data: BodyChunk | undefined,
    trailers: HeaderMap | undefined,
    endStream: boolean,
    first = false,
  ): void {
    const filter = this.#filters[direction.heldAt]!
    if (data !== undefined) {
      direction.queuedBytes += data.length
      if (direction.bufferLimit >= 0 && direction.queuedBytes > direction.bufferLimit) {
        this.onResponseTooLarge()
        return
      }
      const held = { from, data: Buffer.from(data), trailers: undefined, endStream }
      // A chunk that was stopped half way goes before those that have not begun.
      if (first) direction.queue.unshift(held)
      else direction.queue.push(held)
    } else direction.queue.push({ from, data: undefined, trailers, endStream })
    if (direction.bufferLimit >= 0) {
      if (!endStream) return
      filter.onResponseBuffered?.(this.stream, direction.queuedBytes)
      this.continueResponse()
    } else if (!direction.pausedReading && direction.queuedBytes > this.bufferLimitBytes) {
      direction.pausedReading = true
      this.holdResponseSource(true)
    }
  }

  /** Tells the terminal filter that the downstream is slow, or no longer is. */
  protected responseBackpressure(above: boolean): void {
    this.#filters[this.#filters.length - 1]!.onResponseBackpressure?.(this.stream, above)
  }

  /** Forgets what is held of the request: the answer has been decided without it. */
  protected dropRequest(): void {
    const direction = this.#request
    if (direction === undefined) return
    direction.queue = []
    direction.queuedBytes = 0
    direction.bufferLimit = -1
    if (!direction.pausedReading) return
    direction.pausedReading = false
    this.holdRequestSource(false)
  }

  protected get requestComplete(): boolean {
    return this.#requestComplete
  }

  protected get responseComplete(): boolean {
    return this.#responseComplete
  }

  /** The end of the stream: every filter hears of it once, in order; nothing runs afterwards. */
  protected destroyFilters(): void {
    invariant(!this.#destroyed, 'a stream ends once')
    this.#destroyed = true
    for (const filter of this.#filters) filter.onStreamEnd?.(this.stream)
    this.#request = undefined
    this.#response = undefined
  }
}
