/** The client's role: the owner opens streams, whose responses come back to the decoders it gave. */
import { invariant } from '../../base/invariant.ts'
import { LinkedSet } from '../../base/linked-set.ts'
import { ResponseFlag } from '../../observability/response-flags.ts'
import type { RequestHeaders } from '../header-map.ts'
import type { ResponseDecoder, StreamFailure } from '../stream.ts'
import type {
  Http2ClientConnection,
  Http2ClientEvents,
  Http2ConnectionError,
  Http2Counters,
  Http2Options,
  Http2Sink,
} from './contract.ts'
import { Http2Errors, INVALID_FIELD, INVALID_MESSAGE } from './error.ts'
import { ErrorCode } from './frame/error-code.ts'
import { CUT, MAX_STREAM_ID, PREFACE, Setting } from './frame/frame-type.ts'
import { Http2Machine } from './machine.ts'
import {
  ClientStream,
  type ClientStreamHost,
  UPSTREAM_REFUSED,
  UPSTREAM_RESET,
  upstreamProtocolError,
} from './stream/client-stream.ts'
import { BlockProblem, DISCARD, ResponseBlock, TrailerBlock } from './stream/header-block.ts'
import type { Stream } from './stream/stream.ts'

/** Read out before the next block is decoded, so that all connections share them. */
const response = new ResponseBlock()
const trailers = new TrailerBlock()

export class ClientConnection extends Http2Machine<ClientStream> implements Http2ClientConnection, ClientStreamHost {
  draining = false
  /** Opened, their heads not written yet. */
  readonly #unsent = new LinkedSet<ClientStream>()
  #nextId = 1

  constructor(options: Http2Options, events: Http2ClientEvents, sink: Http2Sink, counters: Http2Counters) {
    super(options, events, sink, counters, false)
    this.writer.raw(PREFACE)
    this.start([
      [Setting.HeaderTableSize, options.headerTableSize],
      [Setting.EnablePush, 0],
      // Means nothing from a client (RFC 8441 §3); Envoy sends it all the same.
      [Setting.EnableConnectProtocol, options.allowConnect ? 1 : 0],
      [Setting.MaxConcurrentStreams, options.maxConcurrentStreams],
      [Setting.InitialWindowSize, options.initialStreamWindowSize],
      ...(options.cutTrailers ? [[Setting.CutTrailers, 1] as const] : []),
    ])
  }

  override get activeStreams(): number {
    return this.streams.size + this.#unsent.size
  }

  get canOpenStream(): boolean {
    return (
      !this.draining &&
      !this.failed &&
      this.activeStreams < Math.min(this.peerMaxConcurrentStreams, this.options.maxConcurrentStreams)
    )
  }

  openStream(decoder: ResponseDecoder): ClientStream {
    invariant(this.canOpenStream, 'whoever opens a stream has asked whether it may')
    const stream = new ClientStream(this, decoder)
    this.#unsent.add(stream)
    return stream
  }

  writeRequest(stream: ClientStream, headers: RequestHeaders, endStream: boolean): number {
    this.#unsent.delete(stream)
    stream.id = this.#nextId
    this.#nextId += 2
    if (this.#nextId > MAX_STREAM_ID) this.draining = true
    this.addStream(stream)
    const { encoder } = this
    this.writer.beginBlock(encoder)
    const extended = headers.protocol !== ''
    encoder.field(':method', extended ? 'CONNECT' : headers.method)
    if (headers.method !== 'CONNECT' || extended) {
      encoder.field(':scheme', headers.scheme)
      encoder.field(':path', headers.path)
    }
    if (headers.authority !== '') encoder.field(':authority', headers.authority)
    if (extended) encoder.field(':protocol', headers.protocol)
    encoder.fields(headers.list)
    return this.endHeaders(stream.id, endStream)
  }

  protected override get maxEnablePush(): number {
    return 0
  }

  protected override get strictAboutClosed(): boolean {
    return false
  }

  protected override isIdle(streamId: number): boolean {
    return streamId >= this.#nextId || (streamId & 1) === 0
  }

  protected override onUnknownStream(): Http2ConnectionError {
    return Http2Errors.serverStream
  }

  protected override onHeaderBlock(
    streamId: number,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    const stream = this.streams.get(streamId)
    if (stream === undefined) {
      if (!this.decoder.decode(bytes, start, end, DISCARD)) this.fail(Http2Errors.compression)
      return
    }
    stream.wireBytesReceived += end - start
    if (stream.responseStarted) {
      this.#onTrailers(stream, bytes, start, end, endStream)
      return
    }
    stream.headerBytesReceived += end - start
    response.start(this.options, this.counters)
    if (!this.decoder.decode(bytes, start, end, response)) {
      this.fail(Http2Errors.compression)
      return
    }
    const headers = response.finish(endStream)
    if (headers === undefined) this.#onProblem(stream, response.problem)
    else if (!stream.receiveHead(headers, response.contentLength, endStream)) {
      this.#onProblem(stream, BlockProblem.InvalidMessage)
    } else if (endStream) stream.headDone()
  }

  /** Its stream is told with the others. */
  protected override onBlockCut(): void {}

  #onTrailers(stream: ClientStream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    trailers.start(this.options, this.counters)
    if (!this.decoder.decode(bytes, start, end, trailers)) {
      this.fail(Http2Errors.compression)
      return
    }
    if (stream.remoteEnded) {
      this.onStreamError(stream, ErrorCode.StreamClosed, Http2Errors.halfClosedStream.details)
      return
    }
    const headers = trailers.finish()
    if (headers === undefined) this.#onProblem(stream, trailers.problem)
    else if (endStream && this.options.cutTrailers && headers.has(CUT)) stream.receiveCut(headers)
    else if (!endStream || !stream.receiveTrailers(headers)) this.#onProblem(stream, BlockProblem.InvalidMessage)
  }

  #onProblem(stream: ClientStream, problem: BlockProblem): void {
    switch (problem) {
      case BlockProblem.TooManyHeaders:
      case BlockProblem.ListTooLarge:
        if (problem === BlockProblem.TooManyHeaders) this.counters.header_overflow++
        else this.counters.header_list_size_too_large++
        this.writeResetOf(stream.id, ErrorCode.InternalError)
        stream.fail(problem === BlockProblem.TooManyHeaders ? TOO_MANY_HEADERS : LIST_TOO_LARGE)
        return
    }
    this.counters.rx_messaging_error++
    const error = problem === BlockProblem.InvalidField ? Http2Errors.invalidField : Http2Errors.invalidMessage
    if (!this.options.streamErrorOnInvalidHttpMessage) this.fail(error)
    else
      this.onStreamError(
        stream,
        ErrorCode.ProtocolError,
        error === Http2Errors.invalidField ? INVALID_FIELD : INVALID_MESSAGE,
      )
  }

  protected override onStreamError(stream: ClientStream, code: ErrorCode, details: string): void {
    this.writeResetOf(stream.id, code)
    stream.fail(upstreamProtocolError(details))
  }

  protected override onReset(stream: ClientStream, code: number): void {
    if (stream.isHeldWhole) stream.outlive()
    // Envoy takes a reset with PROTOCOL_ERROR for an error of the upstream's protocol: 502 UPE, not 503 UR (measured).
    else if (code === ErrorCode.ProtocolError) stream.fail(upstreamProtocolError('http2.remote_reset'))
    else stream.fail(code === ErrorCode.RefusedStream ? UPSTREAM_REFUSED : UPSTREAM_RESET)
  }

  protected override onPeerGoAway(lastStreamId: number): void {
    this.draining = true
    for (const stream of this.streams.toArray()) if (stream.id > lastStreamId) stream.fail(UPSTREAM_REFUSED)
    this.#endUnsent(UPSTREAM_REFUSED)
  }

  protected override endStreams(failure: StreamFailure): void {
    this.draining = true
    for (const stream of this.streams.toArray()) {
      if (stream.isHeldWhole) stream.outlive()
      else stream.fail(failure)
    }
    this.#endUnsent(failure)
  }

  #endUnsent(failure: StreamFailure): void {
    for (const stream of this.#unsent.toArray()) stream.fail(failure)
  }

  override streamClosed(stream: Stream, failure: StreamFailure | undefined): void {
    this.#unsent.delete(stream as ClientStream)
    super.streamClosed(stream, failure)
  }

  protected override failureOf(error: Http2ConnectionError): StreamFailure {
    return upstreamProtocolError(error.details)
  }
}

function tooLarge(details: string): StreamFailure {
  return Object.freeze({
    origin: 'upstream',
    kind: 'headers_too_large',
    // Envoy's codec resets such a stream, which its router takes for a reset by the upstream (measured): 503 UR.
    flag: ResponseFlag.UpstreamRemoteReset,
    details,
  })
}

const TOO_MANY_HEADERS = tooLarge('http2.too_many_headers')
const LIST_TOO_LARGE = tooLarge('http2.header_list_size_too_large')
