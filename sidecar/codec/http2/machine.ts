/**
 * What both roles of a connection have in common: frames in, their rules, windows and floods; frames out, whose turn it is,
 * and what happens when the connection cannot go on. What a header block means is the roles' own.
 *
 * Blocks of HEADERS and CONTINUATION are gathered before they are decoded, so the gathered bytes are bounded by what the
 * limits on headers can ever admit. Decoding goes on to the end of a block even where nobody wants it: the tables of both
 * sides must stay alike.
 */
import type { HeaderMap } from '../header-map.ts'
import type { StreamFailure } from '../stream.ts'
import type {
  Http2Connection,
  Http2ConnectionError,
  Http2ConnectionEvents,
  Http2Counters,
  Http2Options,
  Http2Sink,
} from './contract.ts'
import { Http2Errors } from './error.ts'
import { BlockBuffer } from './frame/block-buffer.ts'
import { ErrorCode } from './frame/error-code.ts'
import { type FrameHandler, FrameReader } from './frame/frame-reader.ts'
import { frameFormError, settingError } from './frame/frame-rules.ts'
import {
  DEFAULT_FRAME_SIZE,
  DEFAULT_WINDOW,
  Flag,
  FrameType,
  MAX_STREAM_ID,
  MAX_WINDOW,
  Setting,
} from './frame/frame-type.ts'
import { FrameWriter } from './frame/frame-writer.ts'
import { HeadersFragment, readUint32 } from './frame/headers-fragment.ts'
import { HpackDecoder } from './hpack/decoder.ts'
import { HpackEncoder } from './hpack/encoder.ts'
import { InboundGuard } from './inbound-guard.ts'
import { RecentResets } from './stream/recent-resets.ts'
import { SendQueue } from './stream/send-queue.ts'
import type { Stream } from './stream/stream.ts'
import type { StreamHost } from './stream/stream-host.ts'
import { StreamTable } from './stream/stream-table.ts'

/** Where the fragment in a HEADERS frame lies; read at once. */
const fragment = new HeadersFragment()

export abstract class Http2Machine<S extends Stream> implements Http2Connection, FrameHandler, StreamHost {
  readonly options: Http2Options
  readonly counters: Http2Counters
  peerMaxConcurrentStreams = Number.POSITIVE_INFINITY
  peerAllowsConnect = false
  peerInitialWindow = DEFAULT_WINDOW
  peerTakesCut = false
  settingsReceived = false
  lastPeerStreamId = 0
  failed = false
  pendingBytes = 0
  transportAbove = false
  protected readonly writer: FrameWriter
  protected readonly encoder: HpackEncoder
  protected readonly decoder: HpackDecoder
  protected readonly streams = new StreamTable<S>()
  protected readonly resets = new RecentResets()
  readonly #events: Http2ConnectionEvents
  readonly #reader: FrameReader
  readonly #queue = new SendQueue()
  readonly #windowIsOpen = (): boolean => this.#sendWindow > 0 && !this.transportAbove
  #sendWindow = DEFAULT_WINDOW
  #receiveWindow: number
  /** DATA received and done with, not yet given back to the peer's window. */
  #consumed = 0
  #settingsAcked = false
  /** Asked for a flush and not yet got it. */
  #flushWanted = false
  #backpressureChanged = false
  /** Streams to be gone on with at the next flush. */
  #deliveries: Stream[] = []
  /** The header block under way: its stream (0: none), its bytes so far, whether HEADERS had END_STREAM. */
  #blockStream = 0
  readonly #block: BlockBuffer
  #blockFlags = 0
  /** Bytes of the DATA frame under way that have not been handed on, its padding included. */
  #dataCharged = 0
  #dataSeen = 0
  #dataStream: S | undefined = undefined
  readonly #guard: InboundGuard
  /** Streams that the peer or we have opened, ever. */
  protected openedStreams = 0

  constructor(
    options: Http2Options,
    events: Http2ConnectionEvents,
    sink: Http2Sink,
    counters: Http2Counters,
    expectPreface: boolean,
  ) {
    this.options = options
    this.counters = counters
    this.#events = events
    this.writer = new FrameWriter(sink, counters)
    this.encoder = new HpackEncoder(options.headerTableSize)
    this.decoder = new HpackDecoder(options.headerTableSize, options.disallowObsText)
    this.#reader = new FrameReader(this, expectPreface)
    this.#guard = new InboundGuard(options, counters)
    this.#block = new BlockBuffer(options.maxHeaderBytes, options.maxHeaders)
    this.#receiveWindow = Math.max(options.initialConnectionWindowSize, DEFAULT_WINDOW)
  }

  /** Our SETTINGS, and the window that §6.9.2 lets no SETTINGS change. Called by the constructors of the roles. */
  protected start(settings: readonly (readonly [identifier: number, value: number])[]): void {
    this.writer.settings([...this.options.customSettings, ...settings])
    if (this.#receiveWindow > DEFAULT_WINDOW) this.writer.windowUpdate(0, this.#receiveWindow - DEFAULT_WINDOW)
    this.wantFlush()
  }

  get activeStreams(): number {
    return this.streams.size
  }

  // What the owner calls.

  receive(chunk: Buffer): void {
    this.writer.settle()
    if (!this.failed) this.#reader.receive(chunk)
  }

  flush(): void {
    // What is asked for meanwhile is done here, or asked for again at the end.
    this.#flushWanted = true
    if (this.#backpressureChanged) {
      this.#backpressureChanged = false
      for (const stream of this.streams.toArray()) stream.checkBackpressure()
    }
    while (this.#deliveries.length > 0) {
      const now = this.#deliveries
      this.#deliveries = []
      for (const stream of now) stream.deliverHeld()
    }
    this.#queue.run(this.#windowIsOpen)
    this.writer.flush()
    this.#flushWanted = false
    if (!this.writer.isEmpty || this.#deliveries.length > 0 || this.#backpressureChanged) this.wantFlush()
  }

  onTransportBackpressure(above: boolean): void {
    if (this.transportAbove === above || this.failed) return
    this.transportAbove = above
    // Told at the flush: the transport calls this from inside of a write.
    this.#backpressureChanged = true
    this.wantFlush()
  }

  destroy(failure: StreamFailure): void {
    if (this.failed) return
    this.failed = true
    this.#reader.stop()
    this.writer.close()
    this.endStreams(failure)
  }

  shutdownNotice(): void {
    if (this.failed) return
    this.writer.goAway(MAX_STREAM_ID, ErrorCode.NoError, '')
    this.wantFlush()
  }

  goAway(code: ErrorCode = ErrorCode.NoError, debug = ''): void {
    if (this.failed) return
    this.writer.finalGoAway(this.lastPeerStreamId, code, debug)
    this.wantFlush()
  }

  ping(opaque: bigint): void {
    if (this.failed) return
    this.writer.ping(opaque)
    this.wantFlush()
  }

  // What the roles decide.

  /** A header block is complete: decodes it, and acts. */
  protected abstract onHeaderBlock(
    streamId: number,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void
  /** The connection broke down inside of a header block. */
  protected abstract onBlockCut(streamId: number, failure: StreamFailure): void
  /** HEADERS begin on a stream that is not open. Answers the mistake, if it is one for the connection. */
  protected abstract onUnknownStream(streamId: number): Http2ConnectionError | undefined
  /** Whether nobody has opened this stream yet. */
  protected abstract isIdle(streamId: number): boolean
  protected abstract onReset(stream: S, code: number): void
  protected abstract onPeerGoAway(lastStreamId: number): void
  /** Every stream is over. */
  protected abstract endStreams(failure: StreamFailure): void
  /** A body does not fit its length, or a window was overrun. */
  protected abstract onStreamError(stream: S, code: ErrorCode, details: string): void
  /** What streams get that were under way when the connection broke down. */
  protected abstract failureOf(error: Http2ConnectionError): StreamFailure
  /** The highest value a peer may send for SETTINGS_ENABLE_PUSH. */
  protected abstract readonly maxEnablePush: number
  /** Whether frames on closed streams, of which we do not know why they are closed, end the connection. */
  protected abstract readonly strictAboutClosed: boolean

  // Frames in.

  onFrameStart(type: number, flags: number, streamId: number, length: number): Http2ConnectionError | undefined {
    if (this.#blockStream !== 0) {
      // §6.10: nothing may come in between.
      if (type !== FrameType.Continuation || streamId !== this.#blockStream) return Http2Errors.expectedContinuation
    } else if (!this.settingsReceived && (type !== FrameType.Settings || (flags & Flag.Ack) !== 0)) {
      return Http2Errors.settingsMissing
    }
    const error = frameFormError(type, flags, streamId, length)
    if (error !== undefined) return error
    switch (type) {
      case FrameType.Data:
        return this.#onDataStart(streamId, length)
      case FrameType.Headers:
        return this.#guard.countEmpty(length, (flags & Flag.EndStream) !== 0) ?? this.#onHeadersStart(streamId)
      case FrameType.Continuation:
        if (this.#blockStream === 0) return Http2Errors.unexpectedContinuation
        return this.#guard.countEmpty(length, false)
      case FrameType.WindowUpdate:
        if (streamId !== 0 && this.isIdle(streamId)) return Http2Errors.idleStream
        return this.#guard.countWindowUpdate(this.openedStreams, this.writer.dataFrames)
      case FrameType.RstStream:
        return this.isIdle(streamId) ? Http2Errors.idleStream : undefined
      case FrameType.Priority:
        return this.#guard.countPriority(this.openedStreams)
      default:
        return undefined
    }
  }

  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case FrameType.Headers:
        this.#onHeaders(flags, streamId, bytes, start, end)
        return
      case FrameType.Continuation:
        this.#gather(bytes, start, end)
        if ((flags & Flag.EndHeaders) !== 0 && !this.failed) this.#endBlock()
        return
      case FrameType.WindowUpdate:
        this.#onWindowUpdate(streamId, readUint32(bytes, start) & 0x7fff_ffff)
        return
      case FrameType.Settings:
        if ((flags & Flag.Ack) !== 0) this.#onSettingsAck()
        else this.#onSettings(bytes, start, end)
        return
      case FrameType.Ping:
        if ((flags & Flag.Ack) !== 0) this.#events.onPingAck(bytes.readBigUInt64BE(start))
        else {
          this.writer.pingAck(bytes, start)
          this.#checkFlood()
          this.wantFlush()
        }
        return
      case FrameType.RstStream: {
        this.counters.rx_reset++
        const stream = this.streams.get(streamId)
        if (stream === undefined) return
        this.resets.add(streamId, false)
        this.onReset(stream, readUint32(bytes, start))
        return
      }
      case FrameType.GoAway: {
        const lastStreamId = readUint32(bytes, start) & 0x7fff_ffff
        this.onPeerGoAway(lastStreamId)
        this.#events.onGoAway(lastStreamId, readUint32(bytes, start + 4), bytes.toString('utf8', start + 8, end))
        return
      }
      case FrameType.Priority:
        // Its meaning is gone (RFC 9113 §5.3.2), the rules of its form are not.
        if (end - start !== 5) this.#onBadPriority(streamId, ErrorCode.FrameSizeError, Http2Errors.frameSize)
        else if ((readUint32(bytes, start) & 0x7fff_ffff) === streamId)
          this.#onBadPriority(streamId, ErrorCode.ProtocolError, Http2Errors.selfDependency)
        return
    }
  }

  #onBadPriority(streamId: number, code: ErrorCode, { details }: Http2ConnectionError): void {
    const stream = this.streams.get(streamId)
    if (stream === undefined) this.writeResetOf(streamId, code)
    else this.onStreamError(stream, code, details)
  }

  // DATA.

  #onDataStart(streamId: number, length: number): Http2ConnectionError | undefined {
    this.#receiveWindow -= length
    if (this.#receiveWindow < 0) return Http2Errors.receiveWindow
    this.#dataCharged = length
    this.#dataSeen = 0
    this.#dataStream = undefined
    const stream = this.streams.get(streamId)
    if (stream === undefined) {
      if (this.isIdle(streamId)) return Http2Errors.idleStream
      return this.#onFrameOfClosed(streamId)
    }
    if (stream.remoteEnded) this.onStreamError(stream, ErrorCode.StreamClosed, Http2Errors.halfClosedStream.details)
    else if (stream.receiveWindow < length)
      this.onStreamError(stream, ErrorCode.FlowControlError, Http2Errors.receiveWindow.details)
    else this.#dataStream = stream
    stream.receiveWindow -= length
    return undefined
  }

  /** Too long for the body: refused whole (RFC 9113 §8.1.1), for who counts bytes would take its beginning for complete. */
  onDataSize(size: number): void {
    const stream = this.#dataStream
    if (stream === undefined || stream.closed || stream.mayReceive(size)) return
    this.#dataStream = undefined
    this.onStreamError(stream, ErrorCode.ProtocolError, Http2Errors.invalidMessage.details)
  }

  onData(flags: number, _streamId: number, bytes: Buffer, start: number, end: number, last: boolean): void {
    const stream = this.#dataStream
    this.#dataCharged -= end - start
    this.#dataSeen += end - start
    if (last) {
      const flood = this.#guard.countEmpty(this.#dataSeen, (flags & Flag.EndStream) !== 0)
      if (flood !== undefined) {
        this.fail(flood)
        return
      }
    }
    if (stream === undefined || stream.closed) {
      this.consumed(end - start)
    } else {
      // The padding, and its length, are done with at once (§6.1).
      if (last && this.#dataCharged > 0) stream.consume(this.#dataCharged)
      const data = start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end)
      const endStream = last && (flags & Flag.EndStream) !== 0
      if (!stream.receiveData(data, endStream)) {
        this.onStreamError(stream, ErrorCode.ProtocolError, Http2Errors.invalidMessage.details)
      }
    }
    if (!last) return
    if (stream === undefined || stream.closed) this.consumed(this.#dataCharged)
    this.#dataCharged = 0
    this.#dataStream = undefined
  }

  /** DATA or HEADERS came on a stream that is over. */
  #onFrameOfClosed(streamId: number): Http2ConnectionError | undefined {
    const byUs = this.resets.wasByUs(streamId)
    // What was on its way when we reset the stream is ignored (§5.1); whoever goes on after its own reset is told so.
    if (byUs === false) {
      this.writer.rstStream(streamId, ErrorCode.StreamClosed)
      this.#checkFlood()
      this.wantFlush()
      return undefined
    }
    return byUs === undefined && this.strictAboutClosed ? Http2Errors.closedStream : undefined
  }

  // Header blocks.

  #onHeadersStart(streamId: number): Http2ConnectionError | undefined {
    if (this.streams.has(streamId)) return undefined
    return this.isIdle(streamId) ? this.onUnknownStream(streamId) : this.#onFrameOfClosed(streamId)
  }

  #onHeaders(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const error = fragment.read(flags, streamId, bytes, start, end)
    if (error !== undefined) {
      this.fail(error)
      return
    }
    const { start: from, end: to } = fragment
    if ((flags & Flag.EndHeaders) !== 0) {
      this.onHeaderBlock(streamId, bytes, from, to, (flags & Flag.EndStream) !== 0)
      return
    }
    this.#blockStream = streamId
    this.#blockFlags = flags
    this.#gather(bytes, from, to)
  }

  #gather(bytes: Buffer, start: number, end: number): void {
    if (this.#block.add(bytes, start, end)) return
    this.counters.header_list_size_too_large++
    this.fail(Http2Errors.blockTooLarge)
  }

  #endBlock(): void {
    const streamId = this.#blockStream
    this.#blockStream = 0
    const block = this.#block.take()
    this.onHeaderBlock(streamId, block, 0, block.length, (this.#blockFlags & Flag.EndStream) !== 0)
  }

  // SETTINGS.

  #onSettings(bytes: Buffer, start: number, end: number): void {
    this.settingsReceived = true
    for (let at = start; at < end; at += 6) {
      const error = this.#applySetting((bytes[at]! << 8) | bytes[at + 1]!, readUint32(bytes, at + 2) >>> 0)
      if (error !== undefined) {
        this.fail(error)
        return
      }
    }
    this.writer.settingsAck()
    this.#checkFlood()
    this.wantFlush()
    if (!this.failed) this.#events.onSettings()
  }

  #applySetting(identifier: number, value: number): Http2ConnectionError | undefined {
    const error = settingError(identifier, value, this.maxEnablePush)
    if (error !== undefined) return error
    switch (identifier) {
      case Setting.HeaderTableSize:
        this.encoder.setPeerLimit(value)
        return undefined
      case Setting.MaxConcurrentStreams:
        this.peerMaxConcurrentStreams = value
        return undefined
      case Setting.InitialWindowSize: {
        const change = value - this.peerInitialWindow
        this.peerInitialWindow = value
        for (const stream of this.streams.toArray()) {
          stream.sendWindow += change
          if (stream.sendWindow > MAX_WINDOW) return Http2Errors.settingsOverflow
          if (change > 0 && stream.pendingBytes > 0) this.wait(stream)
        }
        return undefined
      }
      case Setting.EnableConnectProtocol:
        if (value === 0 && this.peerAllowsConnect) return Http2Errors.badEnableConnect // RFC 8441 §3: it stays so.
        this.peerAllowsConnect = value === 1
        break
      case Setting.CutTrailers:
        this.peerTakesCut = value === 1
    }
    return undefined
  }

  #onSettingsAck(): void {
    if (this.#settingsAcked) {
      this.fail(Http2Errors.unexpectedAck)
      return
    }
    this.#settingsAcked = true
    this.decoder.setLimit(this.options.headerTableSize)
  }

  // Windows.

  #onWindowUpdate(streamId: number, increment: number): void {
    if (streamId === 0) {
      this.#sendWindow += increment
      if (increment === 0) this.fail(Http2Errors.zeroIncrement)
      else if (this.#sendWindow > MAX_WINDOW) this.fail(Http2Errors.windowOverflow)
      else if (this.#queue.blocks) this.wantFlush()
      return
    }
    const stream = this.streams.get(streamId)
    if (stream === undefined) return
    stream.sendWindow += increment
    if (increment === 0) this.onStreamError(stream, ErrorCode.ProtocolError, Http2Errors.zeroIncrement.details)
    else if (stream.sendWindow > MAX_WINDOW)
      this.onStreamError(stream, ErrorCode.FlowControlError, Http2Errors.windowOverflow.details)
    else if (stream.pendingBytes > 0) this.wait(stream)
  }

  // Floods.

  /** After a frame that the peer made us write. */
  #checkFlood(): void {
    if (this.failed) return
    const { maxOutboundControlFrames, maxOutboundFrames } = this.options
    if (this.writer.controlFrames > maxOutboundControlFrames) {
      this.writer.settle()
      if (this.writer.controlFrames > maxOutboundControlFrames) {
        this.counters.outbound_control_flood++
        this.fail(Http2Errors.controlFrames)
        return
      }
    }
    if (this.writer.frames <= maxOutboundFrames) return
    this.writer.flush()
    this.writer.settle()
    if (this.writer.frames <= maxOutboundFrames) return
    this.counters.outbound_flood++
    this.fail(Http2Errors.outboundFrames)
  }

  // What streams ask for.

  admits(stream: Stream): number {
    if (this.transportAbove || this.#queue.blocks || this.failed) return 0
    return Math.min(stream.sendWindow, this.#sendWindow, DEFAULT_FRAME_SIZE)
  }

  writeData(stream: Stream, data: Buffer, start: number, end: number, endStream: boolean): void {
    if (this.failed) return
    this.#sendWindow -= end - start
    this.writer.data(stream.id, data, start, end, endStream)
    this.#checkFlood()
    this.wantFlush()
  }

  writeTrailers(stream: Stream, trailers: HeaderMap): number {
    if (this.failed) return 0
    const { encoder } = this
    this.writer.beginBlock(encoder)
    encoder.fields(trailers.list)
    return this.endHeaders(stream.id, true)
  }

  protected endHeaders(streamId: number, endStream: boolean): number {
    const bytes = this.writer.endBlock(this.encoder, streamId, endStream)
    this.#checkFlood()
    this.wantFlush()
    return bytes
  }

  writeReset(stream: Stream, code: ErrorCode): void {
    this.writeResetOf(stream.id, code)
  }

  protected writeResetOf(streamId: number, code: ErrorCode): void {
    if (this.failed) return
    this.resets.add(streamId, true)
    this.writer.rstStream(streamId, code)
    this.#checkFlood()
    this.wantFlush()
  }

  writeWindowUpdate(stream: Stream, increment: number): void {
    if (this.failed) return
    this.writer.windowUpdate(stream.id, increment)
    this.wantFlush()
  }

  wait(stream: Stream): void {
    if (this.failed || stream.sendWindow <= 0) return
    this.#queue.add(stream)
    this.wantFlush()
  }

  addPending(bytes: number): void {
    this.pendingBytes += bytes
    this.counters.pending_send_bytes += bytes
  }

  deliverLater(stream: Stream): void {
    this.#deliveries.push(stream)
    this.wantFlush()
  }

  consumed(bytes: number): void {
    this.#consumed += bytes
    if (this.#consumed * 2 < this.options.initialConnectionWindowSize || this.failed) return
    this.writer.windowUpdate(0, this.#consumed)
    this.#receiveWindow += this.#consumed
    this.#consumed = 0
    this.wantFlush()
  }

  streamClosed(stream: Stream, failure: StreamFailure | undefined): void {
    if (this.streams.delete(stream.id)) this.counters.streams_active--
    if (failure !== undefined) stream.tellFailure(failure)
    if (stream.id !== 0) this.#events.onStreamClosed(stream)
  }

  protected addStream(stream: S): void {
    this.streams.add(stream)
    this.openedStreams++
    this.counters.streams_active++
  }

  protected wantFlush(): void {
    if (this.#flushWanted) return
    this.#flushWanted = true
    this.#events.onWantsFlush()
  }

  /** The connection cannot go on: GOAWAY, and everyone is told. */
  fail(error: Http2ConnectionError): void {
    if (this.failed) return
    this.writer.goAway(this.lastPeerStreamId, error.code, error.message)
    this.wantFlush()
    this.failed = true
    this.#reader.stop()
    this.#block.take()
    const failure = this.failureOf(error)
    if (this.#blockStream !== 0) this.onBlockCut(this.#blockStream, failure)
    this.endStreams(failure)
    this.#events.onConnectionError(error, failure)
  }
}
