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
 * A filter that answers `HoldHead` holds the head alone: it goes on seeing the body, which waits behind the head as far as
 * the filter passes it. That is for filters that make the head of what they read in the body or the trailers.
 *
 * The manager knows nothing of connections: a subclass says where requests and responses leave the chain, so the same
 * iteration serves streams of any protocol.
 *
 * The walks of the two directions are written out, rather than once over a direction that is asked for everything: each
 * calls one method of the filters and of the subclass, which the compiler can see. What waits is common to both.
 */
import { invariant } from '../base/invariant.ts'
import { HeaderMap, type RequestHeaders, type ResponseHeaders } from '../codec/header-map.ts'
import type { BodyChunk } from '../codec/stream.ts'
import { Direction, type Held, type Hold } from './hold.ts'
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

export abstract class FilterManager {
  readonly #filters: HttpFilter[]
  #request: Direction | undefined = undefined
  #response: Direction | undefined = undefined
  /** Index of the filter a callback is running in, for `bufferRequest` and the like; -1 outside of callbacks. */
  #current = -1
  #requestComplete = false
  #responseComplete = false
  #addedRequestTrailers: HeaderMap | undefined = undefined
  #addedResponseTrailers: HeaderMap | undefined = undefined
  /** What the filter being called has put in place of its chunk. */
  #replacement: Buffer | undefined = undefined
  /** The body that the filter being called gives to a message that had none. */
  #appended: Buffer | undefined = undefined
  #destroyed = false

  constructor(chain: FilterChain) {
    const { instances, length } = chain
    const filters: HttpFilter[] = new Array(length)
    for (let i = 0; i < length; i++) filters[i] = instances[i]!()
    this.#filters = filters
  }

  // What a subclass says.

  protected abstract readonly stream: HttpStream
  /** Bytes held in one direction above which reading its source is paused. */
  abstract readonly bufferLimitBytes: number
  /** Per filter, whether this stream's route switches it off; undefined where none is (nearly always). */
  protected abstract readonly disabledFilters: readonly boolean[] | undefined
  protected abstract headersOut(headers: ResponseHeaders, endStream: boolean): void
  protected abstract dataOut(data: BodyChunk, endStream: boolean): void
  protected abstract trailersOut(trailers: HeaderMap): void
  protected abstract informationalOut(headers: ResponseHeaders): void
  protected abstract onRequestTooLarge(): void
  protected abstract onResponseTooLarge(): void
  /** Thrown by a filter, or behind the last one. What is caught here ends the stream, whoever's turn it was. */
  protected abstract onException(error: unknown): void
  protected abstract holdRequestSource(hold: boolean): void
  protected abstract holdResponseSource(hold: boolean): void
  protected abstract get currentRequestHeaders(): RequestHeaders
  protected abstract get currentResponseHeaders(): ResponseHeaders

  // Request direction.

  /** The request is whole before any filter has seen it: what is answered already then is answered in full. */
  protected noteRequestComplete(): void {
    this.#requestComplete = true
  }

  protected decodeHeaders(headers: RequestHeaders, endStream: boolean): void {
    this.#requestComplete = endStream
    const outer = this.#current
    try {
      this.#runRequestHeaders(0, headers, endStream)
    } catch (error) {
      this.onException(error)
    }
    this.#current = outer
  }

  protected decodeData(data: BodyChunk, endStream: boolean): void {
    if (endStream) this.#requestComplete = true
    const outer = this.#current
    try {
      this.#runRequestData(0, data, endStream)
    } catch (error) {
      this.onException(error)
    }
    this.#current = outer
  }

  protected decodeTrailers(trailers: HeaderMap): void {
    this.#requestComplete = true
    const outer = this.#current
    try {
      this.#runRequestTrailers(0, trailers)
    } catch (error) {
      this.onException(error)
    }
    this.#current = outer
  }

  continueRequest(): void {
    this.#continue(this.#request)
  }

  bufferRequest(maxBytes: number): typeof FilterStatus.Stop {
    ;(this.#request ??= new Direction()).bufferLimit = maxBytes
    return FilterStatus.Stop
  }

  injectRequestData(data: Buffer): void {
    this.#inject(this.#request, data)
  }

  appendRequestData(data: Buffer): void {
    this.#appended = data
  }

  replaceData(data: Buffer): void {
    this.#replacement = data
  }

  requestTooLarge(): typeof FilterStatus.Stop {
    this.onRequestTooLarge()
    return FilterStatus.Stop
  }

  responseTooLarge(): typeof FilterStatus.Stop {
    this.onResponseTooLarge()
    return FilterStatus.Stop
  }

  addRequestTrailers(): HeaderMap {
    this.#addedRequestTrailers ??= new HeaderMap()
    return this.#addedRequestTrailers
  }

  #runRequestHeaders(from: number, headers: RequestHeaders, endStream: boolean): void {
    const filters = this.#filters
    let ends = endStream
    let appended: Buffer | undefined
    let appendedAt = -1
    for (let i = from; i < filters.length; i++) {
      const filter = filters[i]!
      if (filter.onRequestHeaders === undefined || this.disabledFilters?.[i] === true) continue
      this.#current = i
      const status = filter.onRequestHeaders(this.stream, headers, ends)
      if (this.#destroyed) return
      if (this.#appended !== undefined) {
        appended = this.#appended
        appendedAt = i
        this.#appended = undefined
        ends = false
      }
      if (status === FilterStatus.Continue) continue
      // The terminal filter always stops: requests end there.
      if (i < filters.length - 1) this.#holdHead((this.#request ??= new Direction()), i, status, ends)
      break
    }
    if (appended !== undefined && !this.#destroyed) this.#runAppended(this.#request, appendedAt, appended)
  }

  #runRequestData(from: number, chunk: BodyChunk, endStream: boolean): void {
    const filters = this.#filters
    let data = chunk
    for (let i = from; i < filters.length; i++) {
      const direction = this.#request
      const hold = direction === undefined ? undefined : direction.holdAt(i)
      if (hold !== undefined && !hold.seesBody) {
        this.#wait(direction!, hold, { from: i, data: Buffer.from(data), trailers: undefined, endStream })
        return
      }
      const filter = filters[i]!
      let status: FilterStatus = FilterStatus.Continue
      if (filter.onRequestData !== undefined && this.disabledFilters?.[i] !== true) {
        this.#current = i
        status = filter.onRequestData(this.stream, data, endStream && this.#addedRequestTrailers === undefined)
        if (this.#destroyed) return
        if (this.#replacement !== undefined) {
          data = this.#replacement
          this.#replacement = undefined
          if (data.length === 0 && !endStream) return
        }
      }
      if (status === FilterStatus.Continue && (hold === undefined || direction!.holdAt(i) !== hold)) continue
      if (i === filters.length - 1) break
      this.#stopAt((this.#request ??= new Direction()), i, i + 1, data, endStream)
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
      const direction = this.#request
      const hold = direction === undefined ? undefined : direction.holdAt(i)
      if (hold !== undefined && !hold.seesBody) {
        this.#wait(direction!, hold, { from: i, data: undefined, trailers, endStream: true })
        return
      }
      const filter = filters[i]!
      let status: FilterStatus = FilterStatus.Continue
      if (filter.onRequestTrailers !== undefined && this.disabledFilters?.[i] !== true) {
        this.#current = i
        status = filter.onRequestTrailers(this.stream, trailers)
        if (this.#destroyed) return
      }
      if (i === filters.length - 1) continue
      if (status === FilterStatus.Continue && (hold === undefined || direction!.holdAt(i) !== hold)) continue
      this.#stopTrailers((this.#request ??= new Direction()), i, i + 1, trailers)
      return
    }
  }

  // Response direction. `filters.length - 1` is the terminal filter, which is where responses come from; a local reply
  // passes all the others on its way back, as in Envoy.

  protected encodeInformational(headers: ResponseHeaders): void {
    const outer = this.#current
    for (let i = this.#filters.length - 1; i >= 0; i--) {
      const filter = this.#filters[i]!
      if (filter.onInformational === undefined || this.disabledFilters?.[i] === true) continue
      this.#current = i
      filter.onInformational(this.stream, headers)
      if (this.#destroyed) return
    }
    this.#current = outer
    this.informationalOut(headers)
  }

  protected encodeHeaders(headers: ResponseHeaders, endStream: boolean): void {
    this.#responseComplete = endStream
    // A local reply takes the place of a response that a filter still holds.
    if (this.#response !== undefined) this.#dropHeld(this.#response)
    this.#response = undefined
    const outer = this.#current
    try {
      this.#runResponseHeaders(this.#filters.length - 1, headers, endStream)
    } catch (error) {
      this.onException(error)
    }
    this.#current = outer
  }

  protected encodeData(data: BodyChunk, endStream: boolean): void {
    if (endStream) this.#responseComplete = true
    const outer = this.#current
    try {
      this.#runResponseData(this.#filters.length - 1, data, endStream)
    } catch (error) {
      this.onException(error)
    }
    this.#current = outer
  }

  protected encodeTrailers(trailers: HeaderMap): void {
    this.#responseComplete = true
    const outer = this.#current
    try {
      this.#runResponseTrailers(this.#filters.length - 1, trailers)
    } catch (error) {
      this.onException(error)
    }
    this.#current = outer
  }

  continueResponse(): void {
    this.#continue(this.#response)
  }

  bufferResponse(maxBytes: number): typeof FilterStatus.Stop {
    ;(this.#response ??= new Direction()).bufferLimit = maxBytes
    return FilterStatus.Stop
  }

  meterResponse(meter: object): typeof FilterStatus.Stop {
    ;(this.#response ??= new Direction()).meter = meter
    return FilterStatus.Stop
  }

  passResponse(meter: object, bytes: number): number {
    const direction = this.#response
    const hold = direction?.holds.find(one => one.meter === meter)
    if (this.#destroyed || direction === undefined || hold === undefined) return 0
    const outer = this.#current
    try {
      const part = hold.take(bytes)
      if (part !== undefined) this.#run(direction, { ...part, trailers: undefined, from: hold.at - 1 })
      if (hold.bytes === 0) this.#release(direction, hold)
      else if (!this.#destroyed && direction.resumes(this.bufferLimitBytes)) this.#holdSource(direction, false)
    } catch (error) {
      this.onException(error)
    }
    this.#current = outer
    return hold.bytes
  }

  injectResponseData(data: Buffer): void {
    this.#response ??= new Direction()
    this.#inject(this.#response, data)
  }

  appendResponseData(data: Buffer): void {
    this.#appended = data
  }

  addResponseTrailers(): HeaderMap {
    this.#addedResponseTrailers ??= new HeaderMap()
    return this.#addedResponseTrailers
  }

  #runResponseHeaders(from: number, headers: ResponseHeaders, endStream: boolean): void {
    const filters = this.#filters
    let ends = endStream
    let appended: Buffer | undefined
    let appendedAt = -1
    let held = false
    for (let i = from; i >= 0; i--) {
      const filter = filters[i]!
      if (filter.onResponseHeaders === undefined || this.disabledFilters?.[i] === true) continue
      this.#current = i
      const status = filter.onResponseHeaders(this.stream, headers, ends)
      if (this.#destroyed) return
      if (this.#appended !== undefined) {
        appended = this.#appended
        appendedAt = i
        this.#appended = undefined
        ends = false
      }
      if (status === FilterStatus.Continue) continue
      held = true
      this.#holdHead((this.#response ??= new Direction()), i, status, ends)
      break
    }
    if (!held) this.headersOut(headers, ends)
    if (appended !== undefined && !this.#destroyed) {
      this.#runAppended((this.#response ??= new Direction()), appendedAt, appended)
    }
  }

  #runResponseData(from: number, chunk: BodyChunk, endStream: boolean): void {
    const filters = this.#filters
    let data = chunk
    for (let i = from; i >= 0; i--) {
      const direction = this.#response
      const hold = direction === undefined ? undefined : direction.holdAt(i)
      if (hold !== undefined && !hold.seesBody) {
        this.#wait(direction!, hold, { from: i, data: Buffer.from(data), trailers: undefined, endStream })
        return
      }
      const filter = filters[i]!
      let status: FilterStatus = FilterStatus.Continue
      if (filter.onResponseData !== undefined && this.disabledFilters?.[i] !== true) {
        this.#current = i
        status = filter.onResponseData(this.stream, data, endStream && this.#addedResponseTrailers === undefined)
        if (this.#destroyed) return
        if (this.#replacement !== undefined) {
          data = this.#replacement
          this.#replacement = undefined
          if (data.length === 0 && !endStream) return
        }
      }
      if (status === FilterStatus.Continue && (hold === undefined || direction!.holdAt(i) !== hold)) continue
      this.#stopAt((this.#response ??= new Direction()), i, i - 1, data, endStream)
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
      const direction = this.#response
      const hold = direction === undefined ? undefined : direction.holdAt(i)
      if (hold !== undefined && !hold.seesBody) {
        this.#wait(direction!, hold, { from: i, data: undefined, trailers, endStream: true })
        return
      }
      const filter = filters[i]!
      let status: FilterStatus = FilterStatus.Continue
      if (filter.onResponseTrailers !== undefined && this.disabledFilters?.[i] !== true) {
        this.#current = i
        status = filter.onResponseTrailers(this.stream, trailers)
        if (this.#destroyed) return
      }
      if (status === FilterStatus.Continue && (hold === undefined || direction!.holdAt(i) !== hold)) continue
      this.#stopTrailers((this.#response ??= new Direction()), i, i - 1, trailers)
      return
    }
    this.trailersOut(trailers)
  }

  // What waits, in either direction.

  #holdHead(direction: Direction, at: number, status: FilterStatus, endStream: boolean): void {
    const hold = direction.hold(at, status === FilterStatus.HoldHead)
    hold.headWaits = true
    hold.headEndsStream = endStream
    if (!endStream || hold.bufferLimit < 0) return
    this.#tellBuffered(direction, hold)
    this.#release(direction, hold)
  }

  /** A filter answered `Stop` to a chunk, or let one pass while it holds the head. */
  #stopAt(direction: Direction, at: number, from: number, data: BodyChunk, endStream: boolean): void {
    const hold = direction.holdAt(at) ?? direction.hold(at, false)
    this.#wait(direction, hold, { from, data: Buffer.from(data), trailers: undefined, endStream })
  }

  #stopTrailers(direction: Direction, at: number, from: number, trailers: HeaderMap): void {
    const hold = direction.holdAt(at) ?? direction.hold(at, false)
    hold.queue.push({ from, data: undefined, trailers, endStream: true })
  }

  #wait(direction: Direction, hold: Hold, item: Held): void {
    if (direction.dropped) return
    if (item.data !== undefined) {
      direction.queuedBytes += item.data.length
      hold.bytes += item.data.length
      // Whoever looks at the body while the head waits has no other bound: pausing the source would wait for ever.
      const limit = hold.bufferLimit < 0 && hold.seesBody ? this.bufferLimitBytes : hold.bufferLimit
      if (limit >= 0 && hold.bytes > limit) {
        if (direction === this.#request) this.onRequestTooLarge()
        else this.onResponseTooLarge()
        return
      }
    }
    hold.queue.push(item)
    if (hold.bufferLimit >= 0) {
      if (!item.endStream) return
      this.#tellBuffered(direction, hold)
      this.#release(direction, hold)
    } else if (!hold.seesBody && !direction.pausedReading && direction.queuedBytes > this.bufferLimitBytes) {
      direction.pausedReading = true
      this.#holdSource(direction, true)
    }
  }

  #tellBuffered(direction: Direction, hold: Hold): void {
    const filter = this.#filters[hold.at]!
    this.#current = hold.at
    if (direction === this.#request) filter.onRequestBuffered?.(this.stream, hold.bytes)
    else filter.onResponseBuffered?.(this.stream, hold.bytes)
  }

  /** The filter that is running goes on; from outside of a callback, whichever has stopped last. */
  #continue(direction: Direction | undefined): void {
    if (this.#destroyed || direction === undefined) return
    const hold = direction.holdAt(this.#current) ?? direction.holds.at(-1)
    if (hold === undefined) return
    const outer = this.#current
    const replacement = this.#replacement
    this.#replacement = undefined
    try {
      this.#release(direction, hold)
    } catch (error) {
      this.onException(error)
    }
    this.#replacement = replacement
    this.#current = outer
  }

  #release(direction: Direction, hold: Hold): void {
    const index = direction.holds.indexOf(hold)
    if (this.#destroyed || index < 0) return
    direction.holds.splice(index, 1)
    const isRequest = direction === this.#request
    if (hold.headWaits) {
      if (isRequest) this.#runRequestHeaders(hold.at + 1, this.currentRequestHeaders, hold.headEndsStream)
      else this.#runResponseHeaders(hold.at - 1, this.currentResponseHeaders, hold.headEndsStream)
    }
    const { queue } = hold
    for (let i = 0; i < queue.length && !this.#destroyed && !direction.dropped; i++) {
      // The same filter stopped again, at one of these: the rest waits behind it.
      const again = direction.holdAt(hold.at)
      if (again !== undefined) {
        for (const item of queue.slice(i)) {
          again.bytes += item.data?.length ?? 0
          again.queue.push(item)
        }
        return
      }
      this.#run(direction, queue[i]!)
    }
    if (!this.#destroyed && direction.resumes(this.bufferLimitBytes)) this.#holdSource(direction, false)
  }

  #run(direction: Direction, { from, data, trailers, endStream }: Held): void {
    const isRequest = direction === this.#request
    if (data !== undefined) {
      direction.queuedBytes -= data.length
      if (isRequest) this.#runRequestData(from, data, endStream)
      else this.#runResponseData(from, data, endStream)
    } else if (isRequest) this.#runRequestTrailers(from, trailers!)
    else this.#runResponseTrailers(from, trailers!)
  }

  /** A chunk of the filter's own, from where it stands. */
  #inject(direction: Direction | undefined, data: Buffer): void {
    const at = this.#current
    const isRequest = direction === undefined || direction === this.#request
    const next = isRequest ? at + 1 : at - 1
    const hold = direction?.holdAt(at)
    const replacement = this.#replacement
    this.#replacement = undefined
    if (hold !== undefined) {
      this.#wait(direction!, hold, { from: next, data: Buffer.from(data), trailers: undefined, endStream: false })
    } else if (isRequest) this.#runRequestData(next, Buffer.from(data), false)
    else this.#runResponseData(next, Buffer.from(data), false)
    this.#replacement = replacement
    this.#current = at
  }

  /** The body that filter `at` gave to a message without one. */
  #runAppended(direction: Direction | undefined, at: number, data: Buffer): void {
    const isRequest = direction === undefined || direction === this.#request
    const hold = direction?.holdAt(at)
    const from = isRequest ? at + 1 : at - 1
    if (hold !== undefined) this.#wait(direction!, hold, { from, data, trailers: undefined, endStream: true })
    else if (isRequest) this.#runRequestData(from, data, true)
    else this.#runResponseData(from, data, true)
  }

  #holdSource(direction: Direction, hold: boolean): void {
    if (direction === this.#request) this.holdRequestSource(hold)
    else this.holdResponseSource(hold)
  }

  /** Tells the terminal filter that the downstream is slow, or no longer is. */
  protected responseBackpressure(above: boolean): void {
    this.#filters[this.#filters.length - 1]!.onResponseBackpressure?.(this.stream, above)
  }

  /** Forgets what is held of the request: the answer has been decided without it. */
  protected dropRequest(): void {
    if (this.#request !== undefined) this.#dropHeld(this.#request)
  }

  #dropHeld(direction: Direction): void {
    if (direction.drop()) this.#holdSource(direction, false)
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
    for (const filter of this.#filters) {
      try {
        filter.onStreamEnd?.(this.stream)
      } catch (error) {
        this.onException(error)
      }
    }
    this.#request = undefined
    this.#response = undefined
  }
}
