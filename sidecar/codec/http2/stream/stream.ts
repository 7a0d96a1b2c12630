/**
 * One stream: its two halves, its two windows, and what is held back on either side.
 *
 *   out   encodeData ─▶ window and transport admit it ─▶ DATA frame
 *                   └─▶ otherwise held here, copied; above `bufferLimitBytes` the producer is told to stop,
 *                       and told to go on below half of it
 *   in    DATA frame ─▶ not paused ─▶ decoder, and the window is given back
 *                   └─▶ otherwise held here, copied; the window stays taken, which stops the peer
 *
 * A half has ended when END_STREAM has passed it; the stream is closed when both have and nothing is held back, or when
 * either side reset it. A reset of our own waits for what is held back of a half that has ended: the peer shall get the
 * whole of a response that was whole (RFC 9113 §8.1).
 */
import { invariant } from '../../../base/invariant.ts'
import { Linked } from '../../../base/linked-set.ts'
import type { HeaderMap } from '../../header-map.ts'
import type { StreamFailure } from '../../stream.ts'
import type { Http2Stream } from '../contract.ts'
import type { ErrorCode } from '../frame/error-code.ts'
import type { StreamHost } from './stream-host.ts'

const EMPTY = Buffer.alloc(0)

export abstract class Stream extends Linked implements Http2Stream {
  id = 0
  closed = false
  remoteEnded = false
  localEnded = false
  pendingBytes = 0
  wireBytesReceived = 0
  wireBytesSent = 0
  headerBytesReceived = 0
  headerBytesSent = 0
  /** Bytes of DATA that the peer lets us send; negative after it has lowered its initial window (§6.9.2). */
  sendWindow: number
  /** Bytes of DATA that the peer may send. */
  receiveWindow: number
  /** Next in the connection's queue of streams that wait for its window or the transport. */
  nextWaiting: Stream | undefined = undefined
  waiting = false
  /** Nobody listens any more; DATA held back is still sent. */
  detached = false
  protected readonly host: StreamHost
  protected headersSent = false
  /** Bytes of the body still to come by its content-length; -1 when it said none. */
  protected bodyRemaining = -1
  #pending: Buffer[] | undefined = undefined
  #pendingTrailers: HeaderMap | undefined = undefined
  #above = false
  #deferredReset = -1
  #pauses = 0
  #held: Buffer[] | undefined = undefined
  #heldBytes = 0
  #heldTrailers: HeaderMap | undefined = undefined
  /** The end came while something was held, or reading was paused. */
  #heldEnd = false
  /** Only what is held keeps the stream open. */
  #deferredClose = false
  /** Received, handed on, and not yet given back to the peer's window. */
  #consumed = 0

  constructor(host: StreamHost) {
    super()
    this.host = host
    this.sendWindow = host.peerInitialWindow
    this.receiveWindow = host.options.initialStreamWindowSize
  }

  protected abstract deliverData(data: Buffer, endStream: boolean): void
  protected abstract deliverTrailers(trailers: HeaderMap): void
  protected abstract deliverFailure(failure: StreamFailure): void
  protected abstract tellBackpressure(above: boolean): void
  /** Code of a reset whose caller names none. */
  protected abstract get resetCode(): ErrorCode
  /** A reset waits until a half that has ended is sent: so for responses; a request is given up at once. */
  protected abstract get resetWaits(): boolean

  // Out.

  encodeData(data: Buffer, endStream: boolean): void {
    if (this.closed || this.localEnded) return
    invariant(this.headersSent, 'a message begins with its headers')
    if (endStream) this.localEnded = true
    let start = 0
    if (this.pendingBytes === 0) {
      const { length } = data
      let admitted = this.host.admits(this)
      while (admitted > 0 && start < length) {
        const end = Math.min(start + admitted, length)
        this.#write(data, start, end, endStream && end === length)
        start = end
        admitted = this.host.admits(this)
      }
      if (start === length) {
        if (!endStream) return
        // An empty frame needs no window (§6.9.1).
        if (length === 0) this.#write(EMPTY, 0, 0, true)
        this.#localDone()
        return
      }
    }
    if (start === data.length) return
    this.#pending ??= []
    this.#pending.push(Buffer.from(start === 0 ? data : data.subarray(start)))
    this.#addPending(data.length - start)
    this.host.wait(this)
  }

  encodeTrailers(trailers: HeaderMap): void {
    if (this.closed || this.localEnded) return
    invariant(this.headersSent, 'a message begins with its headers')
    this.localEnded = true
    if (this.pendingBytes > 0) {
      this.#pendingTrailers = trailers
      return
    }
    this.#writeTrailers(trailers)
  }

  /** Sends one frame of what is held back, if the windows admit one. Called by the connection's queue. */
  sendPending(): void {
    const pending = this.#pending
    if (pending === undefined || this.pendingBytes === 0) return
    const data = pending[0]!
    const end = Math.min(this.host.admits(this), data.length)
    if (end <= 0) return
    this.#addPending(-end)
    const last = this.pendingBytes === 0
    this.#write(data, 0, end, last && this.localEnded && this.#pendingTrailers === undefined)
    if (end < data.length) pending[0] = data.subarray(end)
    else pending.shift()
    if (!last) return
    this.#pending = undefined
    if (!this.localEnded) return
    if (this.#pendingTrailers !== undefined) this.#writeTrailers(this.#pendingTrailers)
    else this.#localDone()
  }

  /** The transport's buffer or this stream's own is full, or neither is: the producer learns of each change once. */
  checkBackpressure(): void {
    const limit = this.host.options.bufferLimitBytes
    const above = this.host.transportAbove || this.pendingBytes > (this.#above ? limit >>> 1 : limit)
    if (above === this.#above || this.closed) return
    this.#above = above
    if (!this.detached && !this.localEnded) this.tellBackpressure(above)
  }

  reset(code: ErrorCode = this.resetCode): void {
    if (this.closed) return
    this.detached = true
    if (this.resetWaits && this.localEnded && this.pendingBytes > 0 && this.#deferredReset < 0) {
      this.#deferredReset = code
      this.#dropHeld()
      return
    }
    const over = this.remoteEnded && this.localEnded && this.pendingBytes === 0
    if (this.id !== 0 && !over) this.host.writeReset(this, code)
    this.close()
  }

  #write(data: Buffer, start: number, end: number, endStream: boolean): void {
    this.sendWindow -= end - start
    this.wireBytesSent += end - start
    this.host.writeData(this, data, start, end, endStream)
  }

  #writeTrailers(trailers: HeaderMap): void {
    this.#pendingTrailers = undefined
    this.wireBytesSent += this.host.writeTrailers(this, trailers)
    this.#localDone()
  }

  #addPending(bytes: number): void {
    this.pendingBytes += bytes
    this.host.addPending(bytes)
    this.checkBackpressure()
  }

  /** Called when a head ends the message, too. */
  protected localDone(): void {
    this.#localDone()
  }

  #localDone(): void {
    if (this.#deferredReset >= 0) {
      if (!this.remoteEnded) this.host.writeReset(this, this.#deferredReset as ErrorCode)
      this.close()
    } else this.#closeIfDone()
  }

  // In.

  /** Whether so many bytes more of the body are within its content-length. */
  mayReceive(size: number): boolean {
    return this.bodyRemaining < 0 || size <= this.bodyRemaining
  }

  /** Part of a body, lent. `endStream`: with this it is complete. False when it does not fit the content-length. */
  receiveData(data: Buffer, endStream: boolean): boolean {
    const { length } = data
    this.wireBytesReceived += length
    if (!this.fitsLength(length, endStream)) {
      // Too short, and ended: what there is of it is handed on, so that it does not matter in which pieces it came.
      this.#receive(data, false)
      return false
    }
    this.#receive(data, endStream)
    return true
  }

  #receive(data: Buffer, endStream: boolean): void {
    const { length } = data
    if (endStream) this.remoteEnded = true
    if (this.detached) this.consume(length)
    else if (this.#pauses > 0 || this.#held !== undefined) {
      this.#held ??= []
      if (length > 0) this.#held.push(Buffer.from(data))
      this.#heldBytes += length
      this.#heldEnd = endStream
    } else if (length > 0 || endStream) {
      // First, so that the windows are right in whatever the decoder does.
      this.consume(length)
      this.deliverData(data, endStream)
    }
    if (endStream) this.#closeIfDone()
  }

  receiveTrailers(trailers: HeaderMap): boolean {
    if (!this.fitsLength(0, true)) return false
    this.remoteEnded = true
    if (!this.detached) {
      if (this.#pauses > 0 || this.#held !== undefined) {
        this.#held ??= []
        this.#heldTrailers = trailers
        this.#heldEnd = true
      } else this.deliverTrailers(trailers)
    }
    this.#closeIfDone()
    return true
  }

  /** Whether the body can go on so (RFC 9113 §8.1.1). */
  protected fitsLength(length: number, endStream: boolean): boolean {
    if (this.bodyRemaining < 0) return true
    this.bodyRemaining -= length
    return endStream ? this.bodyRemaining === 0 : this.bodyRemaining >= 0
  }

  /** Everything has been received and waits for a reader: the end of the connection cannot take it away. */
  get isHeldWhole(): boolean {
    return this.#heldEnd && !this.detached
  }

  protected pause(): void {
    if (!this.closed) this.#pauses++
  }

  protected resume(): void {
    if (this.#pauses === 0 || --this.#pauses > 0) return
    // Not at once: whoever resumes may be in the middle of something.
    if (this.#held !== undefined) this.host.deliverLater(this)
  }

  /** Hands on what was held while reading was paused, until it is paused again. */
  deliverHeld(): void {
    while (this.#held !== undefined && this.#pauses === 0 && !this.closed && !this.detached) {
      const data = this.#held.shift()
      if (data !== undefined) {
        this.#heldBytes -= data.length
        const last = this.#held.length === 0 && this.#heldEnd && this.#heldTrailers === undefined
        if (last) this.#held = undefined
        this.consume(data.length)
        this.deliverData(data, last)
        if (last) this.#heldDone()
        continue
      }
      const trailers = this.#heldTrailers
      const ended = this.#heldEnd
      this.#held = undefined
      if (trailers !== undefined) this.deliverTrailers(trailers)
      else if (ended) this.deliverData(EMPTY, true)
      if (ended) this.#heldDone()
    }
  }

  #heldDone(): void {
    this.#heldEnd = false
    this.#heldTrailers = undefined
    this.#closeIfDone()
  }

  /** Gives bytes back to the peer: they were handed on, or nobody wants them. */
  consume(bytes: number): void {
    this.host.consumed(bytes)
    if (this.remoteEnded || this.closed) return
    this.#consumed += bytes
    // Half a window at a time, as nghttp2 does: the peer is never stopped by us, and few frames are needed.
    if (this.#consumed * 2 < this.host.options.initialStreamWindowSize) return
    this.receiveWindow += this.#consumed
    this.host.writeWindowUpdate(this, this.#consumed)
    this.#consumed = 0
  }

  #dropHeld(): void {
    if (this.#held === undefined) return
    const bytes = this.#heldBytes
    this.#held = undefined
    this.#heldBytes = 0
    this.#heldEnd = false
    this.host.consumed(bytes)
  }

  // Ends.

  /** The peer, or the end of the connection, has cut the stream short. */
  fail(failure: StreamFailure): void {
    if (this.closed) return
    const told = !this.detached
    this.detached = true
    this.close(told ? failure : undefined)
  }

  /** Called by {@link close} alone, once the stream is out of the connection's books. */
  tellFailure(failure: StreamFailure): void {
    this.deliverFailure(failure)
  }

  #closeIfDone(): void {
    if (this.closed || !this.remoteEnded || !this.localEnded || this.pendingBytes > 0) return
    if (!this.#heldEnd) this.close()
    else if (!this.#deferredClose) {
      this.#deferredClose = true
      this.host.counters.deferred_stream_close++
    }
  }

  /** The connection is gone, and the stream has all it will get: what is held is still handed on. */
  outlive(): void {
    this.localEnded = true
    this.#dropPending()
    this.#closeIfDone()
  }

  protected close(failure?: StreamFailure): void {
    this.closed = true
    this.#dropPending()
    this.#dropHeld()
    if (this.#deferredClose) this.host.counters.deferred_stream_close--
    this.host.streamClosed(this, failure)
  }

  #dropPending(): void {
    this.#pending = undefined
    this.#pendingTrailers = undefined
    if (this.pendingBytes === 0) return
    this.host.addPending(-this.pendingBytes)
    this.pendingBytes = 0
  }
}
