/** The server's role: requests come in on odd streams, each is given to the owner, who answers. */

import { ResponseFlag } from '../../observability/response-flags.ts'
import type { RequestHeaders, ResponseHeaders } from '../header-map.ts'
import type { StreamFailure } from '../stream.ts'
import type {
  Http2ConnectionError,
  Http2Counters,
  Http2Options,
  Http2ServerConnection,
  Http2ServerEvents,
  Http2Sink,
} from './contract.ts'
import { Http2Errors, INVALID_FIELD, INVALID_MESSAGE } from './error.ts'
import { ErrorCode } from './frame/error-code.ts'
import { MAX_STREAM_ID, Setting } from './frame/frame-type.ts'
import { Http2Machine } from './machine.ts'
import { BlockProblem, DISCARD, RequestBlock, TrailerBlock } from './stream/header-block.ts'
import {
  DOWNSTREAM_RESET,
  downstreamProtocolError,
  ServerStream,
  type ServerStreamHost,
} from './stream/server-stream.ts'

/** Read out before the next block is decoded, so that all connections share them. */
const request = new RequestBlock()
const trailers = new TrailerBlock()

export class ServerConnection extends Http2Machine<ServerStream> implements Http2ServerConnection, ServerStreamHost {
  readonly #events: Http2ServerEvents
  /** Highest stream that is still taken: what GOAWAY said. */
  #acceptedUpTo = MAX_STREAM_ID

  constructor(options: Http2Options, events: Http2ServerEvents, sink: Http2Sink, counters: Http2Counters) {
    super(options, events, sink, counters, true)
    this.#events = events
    this.start([
      [Setting.HeaderTableSize, options.headerTableSize],
      [Setting.EnableConnectProtocol, options.allowConnect ? 1 : 0],
      [Setting.MaxConcurrentStreams, options.maxConcurrentStreams],
      [Setting.InitialWindowSize, options.initialStreamWindowSize],
    ])
  }

  override goAway(code: ErrorCode = ErrorCode.NoError, debug = ''): void {
    this.#acceptedUpTo = this.lastPeerStreamId
    super.goAway(code, debug)
  }

  protected override get maxEnablePush(): number {
    return 1
  }

  protected override get strictAboutClosed(): boolean {
    return true
  }

  protected override isIdle(streamId: number): boolean {
    return streamId > this.lastPeerStreamId || (streamId & 1) === 0
  }

  protected override onUnknownStream(streamId: number): Http2ConnectionError | undefined {
    return (streamId & 1) === 0 ? Http2Errors.badStreamId : undefined
  }

  protected override onHeaderBlock(
    streamId: number,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    const stream = this.streams.get(streamId)
    if (stream !== undefined) this.#onTrailers(stream, bytes, start, end, endStream)
    else if (streamId <= this.lastPeerStreamId || streamId > this.#acceptedUpTo) {
      // Closed, or begun after GOAWAY: nobody wants it but the table.
      if (!this.decoder.decode(bytes, start, end, DISCARD)) this.fail(Http2Errors.compression)
    } else this.#onRequest(streamId, bytes, start, end, endStream)
  }

  /** A request whose head is cut counts as one, and is logged (measured). */
  protected override onBlockCut(streamId: number, failure: StreamFailure): void {
    if (this.isIdle(streamId)) this.#events.onStreamRefused(streamId, failure, undefined)
  }

  #onRequest(streamId: number, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    // Even a request that is refused has used up its identifier.
    this.lastPeerStreamId = streamId
    request.start(this.options, this.counters)
    if (!this.decoder.decode(bytes, start, end, request)) {
      this.#events.onStreamRefused(streamId, this.failureOf(Http2Errors.compression), undefined)
      this.fail(Http2Errors.compression)
      return
    }
    const headers = request.finish(endStream)
    if (headers === undefined) {
      this.openedStreams++
      this.#refuse(streamId, request.problem, request.read())
      return
    }
    if (this.streams.size >= this.options.maxConcurrentStreams) {
      this.counters.stream_refused_errors++
      this.writeResetOf(streamId, ErrorCode.RefusedStream)
      return
    }
    const stream = new ServerStream(this, streamId, headers, request.contentLength, endStream)
    stream.headerBytesReceived = stream.wireBytesReceived = end - start
    this.addStream(stream)
    this.#events.onStream(stream, headers, endStream)
  }

  /** The request never became a stream. Envoy tells of its headers only by these details (measured). */
  #refuse(streamId: number, problem: BlockProblem, headers: RequestHeaders): void {
    const { streamErrorOnInvalidHttpMessage } = this.options
    switch (problem) {
      case BlockProblem.TooManyHeaders:
        this.counters.header_overflow++
        this.#refuseQuietly(streamId, TOO_MANY_HEADERS, headers)
        return
      case BlockProblem.ListTooLarge:
        this.counters.header_list_size_too_large++
        this.#refuseQuietly(streamId, LIST_TOO_LARGE, headers)
        return
      case BlockProblem.Underscore:
        this.#refuseQuietly(streamId, UNDERSCORE, headers)
        return
    }
    this.counters.rx_messaging_error++
    const error = problem === BlockProblem.InvalidField ? Http2Errors.invalidField : Http2Errors.invalidMessage
    this.#events.onStreamRefused(streamId, downstreamProtocolError(error.details), headers)
    if (streamErrorOnInvalidHttpMessage) this.writeResetOf(streamId, ErrorCode.ProtocolError)
    else this.fail(error)
  }

  #refuseQuietly(streamId: number, failure: StreamFailure, headers: RequestHeaders): void {
    // First, since the reset may be one too many, and nothing is told after the end.
    this.#events.onStreamRefused(streamId, failure, headers)
    this.writeResetOf(streamId, ErrorCode.InternalError)
  }

  #onTrailers(stream: ServerStream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    trailers.start(this.options, this.counters)
    if (!this.decoder.decode(bytes, start, end, trailers)) {
      this.fail(Http2Errors.compression)
      return
    }
    if (stream.remoteEnded) {
      this.onStreamError(stream, ErrorCode.StreamClosed, Http2Errors.halfClosedStream.details)
      return
    }
    this.counters.trailers++
    stream.wireBytesReceived += end - start
    const headers = trailers.finish()
    const { problem } = trailers
    if (problem === BlockProblem.TooManyHeaders || problem === BlockProblem.ListTooLarge) {
      if (problem === BlockProblem.TooManyHeaders) this.counters.header_overflow++
      else this.counters.header_list_size_too_large++
      this.writeResetOf(stream.id, ErrorCode.InternalError)
      stream.fail(problem === BlockProblem.TooManyHeaders ? TOO_MANY_HEADERS : LIST_TOO_LARGE)
      return
    }
    if (problem === BlockProblem.Underscore) {
      this.writeResetOf(stream.id, ErrorCode.InternalError)
      stream.fail(UNDERSCORE)
      return
    }
    // §8.1: what follows the body ends the message.
    if (headers === undefined || !endStream || !stream.receiveTrailers(headers)) {
      this.#onMalformed(stream, headers === undefined ? INVALID_FIELD : INVALID_MESSAGE)
    }
  }

  /** A message that was begun well goes wrong. */
  #onMalformed(stream: ServerStream, details: string): void {
    this.counters.rx_messaging_error++
    if (this.options.streamErrorOnInvalidHttpMessage) this.onStreamError(stream, ErrorCode.ProtocolError, details)
    else this.fail(details === INVALID_FIELD ? Http2Errors.invalidField : Http2Errors.invalidMessage)
  }

  protected override onStreamError(stream: ServerStream, code: ErrorCode, details: string): void {
    this.writeResetOf(stream.id, code)
    stream.fail(downstreamProtocolError(details))
  }

  protected override onReset(stream: ServerStream): void {
    stream.fail(DOWNSTREAM_RESET)
  }

  /** A client that goes away starts nothing new; what runs is answered. */
  protected override onPeerGoAway(): void {}

  protected override endStreams(failure: StreamFailure): void {
    for (const stream of this.streams.toArray()) stream.fail(failure)
  }

  protected override failureOf(error: Http2ConnectionError): StreamFailure {
    return downstreamProtocolError(error.details)
  }

  writeResponse(stream: ServerStream, headers: ResponseHeaders, accepted: boolean, endStream: boolean): number {
    const { encoder } = this
    this.writer.beginBlock(encoder)
    encoder.status(accepted ? 200 : headers.status)
    encoder.fields(headers.list)
    return this.endHeaders(stream.id, endStream)
  }
}

function refused(details: string): StreamFailure {
  return Object.freeze({
    origin: 'downstream',
    kind: 'headers_too_large',
    flag: ResponseFlag.DownstreamRemoteReset,
    details,
  })
}

/** Flag and details as Envoy has them (measured), RST_STREAM with INTERNAL_ERROR included. */
const TOO_MANY_HEADERS = refused('http2.too_many_headers')
const LIST_TOO_LARGE = refused('http2.header_list_size_too_large')
const UNDERSCORE: StreamFailure = Object.freeze({ ...refused('http2.unexpected_underscore'), kind: 'protocol_error' })
