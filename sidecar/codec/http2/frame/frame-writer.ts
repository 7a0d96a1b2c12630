/**
 * Writes frames into one buffer, whatever stream they belong to, and hands the buffer to the sink when it is full or the
 * turn ends: a write costs 4 µs, which is a fifth of a whole proxied request.
 *
 * It also knows how many frames are under way, that is written and not yet with the kernel: a peer that makes us answer
 * and does not read the answers must not fill our memory.
 */
import type { Http2Counters, Http2Sink } from '../contract.ts'
import type { HpackEncoder } from '../hpack/encoder.ts'
import { DEFAULT_FRAME_SIZE, Flag, FRAME_HEADER, FrameType } from './frame-type.ts'

/**
 * Holds three whole DATA frames and more. The buffers are shared by all connections, each having one only while it has
 * something to write. test/bench/codec-http2.bench.ts: copying a body here and writing it with its frame headers in one
 * piece costs less than writing each 16 KiB as they are, since the transport would need a call for each.
 */
const BUFFER_SIZE = 64 * 1024
const MAX_SPARE = 32
const spare: Buffer[] = []

/** Room that is made before a header block is begun; longer ones are moved. */
const BLOCK_ROOM = 2048
/** What a transport may copy and hold until the end of the turn; see `transport/plaintext.ts`. */
const HELD_BY_TURN = 4096

/** Frames handed to the sink at one time. */
interface Batch {
  /** Bytes handed over up to the end of these frames, since the beginning. */
  readonly end: number
  readonly frames: number
  readonly controlFrames: number
}

export class FrameWriter {
  readonly #sink: Http2Sink
  readonly #counters: Http2Counters
  #buffer: Buffer | undefined = undefined
  #at = 0
  /** In the buffer, not yet with the sink. */
  #frames = 0
  #controlFrames = 0
  #handedOver = 0
  /** With the sink, oldest first. */
  #batches: Batch[] = []
  #batchedFrames = 0
  #batchedControlFrames = 0
  /** DATA frames written so far: each allows the peer so many WINDOW_UPDATEs. */
  dataFrames = 0

  constructor(sink: Http2Sink, counters: Http2Counters) {
    this.#sink = sink
    this.#counters = counters
  }

  get isEmpty(): boolean {
    return this.#at === 0
  }

  /** Frames of all kinds that are under way. */
  get frames(): number {
    return this.#frames + this.#batchedFrames
  }

  /** PING, SETTINGS and RST_STREAM that are under way. */
  get controlFrames(): number {
    return this.#controlFrames + this.#batchedControlFrames
  }

  raw(bytes: Buffer): void {
    const buffer = this.#room(bytes.length)
    bytes.copy(buffer, this.#at)
    this.#at += bytes.length
  }

  settings(settings: readonly (readonly [identifier: number, value: number])[]): void {
    this.#header(FrameType.Settings, 0, 0, settings.length * 6)
    for (const [identifier, value] of settings) {
      this.#buffer![this.#at++] = identifier >>> 8
      this.#buffer![this.#at++] = identifier
      this.#number(value)
    }
    this.#control()
  }

  settingsAck(): void {
    this.#header(FrameType.Settings, Flag.Ack, 0, 0)
    this.#control()
  }

  /** Eight bytes at `bytes[start]`. */
  pingAck(bytes: Buffer, start: number): void {
    this.#header(FrameType.Ping, Flag.Ack, 0, 8)
    bytes.copy(this.#buffer!, this.#at, start, start + 8)
    this.#at += 8
    this.#control()
  }

  ping(opaque: bigint): void {
    this.#header(FrameType.Ping, 0, 0, 8)
    this.#buffer!.writeBigUInt64BE(BigInt.asUintN(64, opaque), this.#at)
    this.#at += 8
    this.#control()
  }

  rstStream(streamId: number, code: number): void {
    this.#header(FrameType.RstStream, 0, streamId, 4)
    this.#number(code)
    this.#control()
    this.#counters.tx_reset++
  }

  /** GOAWAY that says which streams are still served; only such ones are counted. */
  finalGoAway(lastStreamId: number, code: number, debug: string): void {
    this.#counters.goaway_sent++
    this.goAway(lastStreamId, code, debug)
  }

  goAway(lastStreamId: number, code: number, debug: string): void {
    const bytes = Buffer.from(debug, 'utf8')
    this.#header(FrameType.GoAway, 0, 0, 8 + bytes.length)
    this.#number(lastStreamId)
    this.#number(code)
    bytes.copy(this.#buffer!, this.#at)
    this.#at += bytes.length
    this.#frames++
    this.#counters.outbound_frames_active++
  }

  windowUpdate(streamId: number, increment: number): void {
    this.#header(FrameType.WindowUpdate, 0, streamId, 4)
    this.#number(increment)
    this.#frames++
    this.#counters.outbound_frames_active++
  }

  /** One DATA frame; `data[start, end)` must not be longer than the peer's SETTINGS_MAX_FRAME_SIZE. */
  data(streamId: number, data: Buffer, start: number, end: number, endStream: boolean): void {
    const length = end - start
    this.#header(FrameType.Data, endStream ? Flag.EndStream : 0, streamId, length)
    if (length > 0) {
      // Small ones in a loop of our own: the call costs more than the copying.
      if (length <= 32) {
        const buffer = this.#buffer!
        let at = this.#at
        for (let i = start; i < end; i++) buffer[at++] = data[i]!
      } else data.copy(this.#buffer!, this.#at, start, end)
      this.#at += length
    }
    this.dataFrames++
    this.#frames++
    this.#counters.outbound_frames_active++
  }

  /** Lets `encoder` write a header block here, which {@link endBlock} makes frames of. */
  beginBlock(encoder: HpackEncoder): void {
    encoder.begin(this.#room(BLOCK_ROOM), this.#at + FRAME_HEADER)
  }

  /** HEADERS, and CONTINUATION as far as needed. Answers the bytes of the block, frame headers included. */
  endBlock(encoder: HpackEncoder, streamId: number, endStream: boolean): number {
    const start = this.#at + FRAME_HEADER
    const length = encoder.at - start
    const flags = endStream ? Flag.EndStream : 0
    if (encoder.buffer === this.#buffer && length <= DEFAULT_FRAME_SIZE) {
      this.#writeHeader(this.#buffer, FrameType.Headers, flags | Flag.EndHeaders, streamId, length)
      this.#at += length
      this.#frames++
      this.#counters.outbound_frames_active++
      return FRAME_HEADER + length
    }
    // Frame headers go between the parts, so the block must lie elsewhere.
    const block = Buffer.from(encoder.buffer.subarray(start, encoder.at))
    let written = 0
    for (let at = 0, type: number = FrameType.Headers; at < length; type = FrameType.Continuation) {
      const end = Math.min(at + DEFAULT_FRAME_SIZE, length)
      const last = end === length ? Flag.EndHeaders : 0
      this.#header(type, last | (type === FrameType.Headers ? flags : 0), streamId, end - at)
      block.copy(this.#buffer!, this.#at, at, end)
      this.#at += end - at
      written += FRAME_HEADER + end - at
      at = end
      this.#frames++
      this.#counters.outbound_frames_active++
    }
    return written
  }

  /** Hands everything to the sink. */
  flush(): void {
    const buffer = this.#buffer
    if (buffer === undefined || this.#at === 0) return
    const length = this.#at
    this.#buffer = undefined
    this.#at = 0
    this.#handedOver += length
    if (this.#sink.write(buffer.subarray(0, length)) && spare.length < MAX_SPARE) spare.push(buffer)
    const frames = this.#frames
    const controlFrames = this.#controlFrames
    this.#frames = 0
    this.#controlFrames = 0
    const buffered = this.#sink.bufferedBytes
    if (this.#batches.length === 0 && buffered <= length && buffered <= HELD_BY_TURN) {
      // Nothing older waits, so what the sink still has is what it will write at the end of this turn.
      this.#counters.outbound_frames_active -= frames
      this.#counters.outbound_control_frames_active -= controlFrames
      return
    }
    this.#batches.push({ end: this.#handedOver, frames, controlFrames })
    this.#batchedFrames += frames
    this.#batchedControlFrames += controlFrames
    this.settle()
  }

  /** Looks how much of what the sink was given has gone. */
  settle(): void {
    const batches = this.#batches
    if (batches.length === 0) return
    const gone = this.#handedOver - this.#sink.bufferedBytes
    let done = 0
    while (done < batches.length && batches[done]!.end <= gone) this.#forget(batches[done++]!)
    if (done > 0) batches.splice(0, done)
  }

  /** Whatever is under way will never arrive. */
  close(): void {
    for (const batch of this.#batches) this.#forget(batch)
    this.#batches = []
    this.#counters.outbound_frames_active -= this.#frames
    this.#counters.outbound_control_frames_active -= this.#controlFrames
    this.#frames = 0
    this.#controlFrames = 0
    if (this.#buffer !== undefined && spare.length < MAX_SPARE) spare.push(this.#buffer)
    this.#buffer = undefined
    this.#at = 0
  }

  #forget(batch: Batch): void {
    this.#batchedFrames -= batch.frames
    this.#batchedControlFrames -= batch.controlFrames
    this.#counters.outbound_frames_active -= batch.frames
    this.#counters.outbound_control_frames_active -= batch.controlFrames
  }

  #control(): void {
    this.#frames++
    this.#controlFrames++
    this.#counters.outbound_frames_active++
    this.#counters.outbound_control_frames_active++
  }

  /** A buffer with room for `bytes` from {@link #at} on. */
  #room(bytes: number): Buffer {
    if (this.#buffer !== undefined && this.#at + bytes > BUFFER_SIZE) this.flush()
    this.#buffer ??= spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_SIZE)
    return this.#buffer
  }

  #header(type: number, flags: number, streamId: number, length: number): void {
    this.#writeHeader(this.#room(FRAME_HEADER + length), type, flags, streamId, length)
  }

  #writeHeader(buffer: Buffer, type: number, flags: number, streamId: number, length: number): void {
    let at = this.#at
    buffer[at++] = length >>> 16
    buffer[at++] = length >>> 8
    buffer[at++] = length
    buffer[at++] = type
    buffer[at++] = flags
    buffer[at++] = streamId >>> 24
    buffer[at++] = streamId >>> 16
    buffer[at++] = streamId >>> 8
    buffer[at++] = streamId
    this.#at = at
  }

  #number(value: number): void {
    const buffer = this.#buffer!
    buffer[this.#at++] = value >>> 24
    buffer[this.#at++] = value >>> 16
    buffer[this.#at++] = value >>> 8
    buffer[this.#at++] = value
  }
}
