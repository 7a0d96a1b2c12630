/**
 * What an HTTP/2 connection takes and gives: the machine of `connection.ts` as its two users see it, the downstream
 * connection (`http/`, server role) and the upstream connection (`upstream/`, client role).
 *
 *                       ┌───────────────────────────────┐
 *   receive(chunk)  ──▶ │ frames → HPACK → streams      │ ──▶ events, decoders of the streams
 *   encoders        ──▶ │ streams → HPACK → frames      │ ──▶ sink.write(bytes), at flush()
 *                       └───────────────────────────────┘
 *
 * The machine knows no socket, clock or configuration: whoever owns it feeds it, calls {@link Http2Connection.flush} once
 * at the end of each turn in which {@link Http2ConnectionEvents.onWantsFlush} was called, and runs the timers (keep-alive,
 * idle, drain).
 * Everything that is written in one turn, of all streams, leaves as few pieces as possible.
 *
 * Nothing here throws for what a peer does. Encoders and `reset` may be called from inside any event; `receive` may not.
 * After a connection error or `destroy()` every call does nothing.
 */
import type { HeaderMap, RequestHeaders } from '../header-map.ts'
import type { RequestDecoder, RequestEncoder, ResponseDecoder, ResponseEncoder, StreamFailure } from '../stream.ts'
import type { ErrorCode } from './frame/error-code.ts'

/** Envoy: `Http2ProtocolOptions`, its defaults in {@link DEFAULT_HTTP2_OPTIONS}; and what the listener or cluster limits. */
export interface Http2Options {
  /** `hpack_table_size`: SETTINGS_HEADER_TABLE_SIZE, and the most that our encoder uses of what the peer offers. */
  readonly headerTableSize: number
  /** `max_concurrent_streams`. Server role: SETTINGS_MAX_CONCURRENT_STREAMS. Client role: our own limit beside the peer's. */
  readonly maxConcurrentStreams: number
  /** `initial_stream_window_size` in bytes. */
  readonly initialStreamWindowSize: number
  /** `initial_connection_window_size` in bytes. */
  readonly initialConnectionWindowSize: number
  /** `allow_connect`: extended CONNECT (RFC 8441) is offered (server role). */
  readonly allowConnect: boolean
  /** `max_outbound_frames`: frames of all kinds written and not yet taken by the transport. */
  readonly maxOutboundFrames: number
  /** `max_outbound_control_frames`: PING, SETTINGS and RST_STREAM among them. */
  readonly maxOutboundControlFrames: number
  /** `max_consecutive_inbound_frames_with_empty_payload`: HEADERS, CONTINUATION and DATA without END_STREAM. */
  readonly maxConsecutiveInboundFramesWithEmptyPayload: number
  /** `max_inbound_priority_frames_per_stream`. */
  readonly maxInboundPriorityFramesPerStream: number
  /** `max_inbound_window_update_frames_per_data_frame_sent`. */
  readonly maxInboundWindowUpdateFramesPerDataFrameSent: number
  /**
   * `override_stream_error_on_invalid_http_message`: a malformed message resets its stream only; otherwise the connection
   * is closed, as Envoy does.
   */
  readonly streamErrorOnInvalidHttpMessage: boolean
  /** `disallow_obs_text`: a value with bytes above 127, in a head or in trailers, makes its message malformed. */
  readonly disallowObsText: boolean
  /** `custom_settings_parameters`: sent as they are, before the others, as in Envoy. */
  readonly customSettings: readonly (readonly [identifier: number, value: number])[]
  /**
   * Client role: the peer may end a response that it cannot complete with trailers that say why, in place of RST_STREAM
   * (`Setting.CutTrailers`). Their decoders get `onReset` all the same, with `trailers`.
   */
  readonly cutTrailers: boolean
  /** `max_request_headers_kb` or `max_response_headers_kb` in bytes: names and values of one header block. */
  readonly maxHeaderBytes: number
  /** `max_headers_count` of requests or responses, pseudo-headers included. */
  readonly maxHeaders: number
  /** `headers_with_underscores_action`; requests only. */
  readonly underscoresInHeaders: 'ALLOW' | 'REJECT_REQUEST' | 'DROP_HEADER'
  /** `per_connection_buffer_limit_bytes`: what one stream may hold back before its producer is told to stop. */
  readonly bufferLimitBytes: number
  /** Scheme of a CONNECT without `:scheme`. */
  readonly scheme: 'http' | 'https'
}

export const DEFAULT_HTTP2_OPTIONS: Http2Options = Object.freeze({
  headerTableSize: 4096,
  maxConcurrentStreams: 1024,
  initialStreamWindowSize: 16 * 1024 * 1024,
  initialConnectionWindowSize: 24 * 1024 * 1024,
  allowConnect: false,
  maxOutboundFrames: 10_000,
  maxOutboundControlFrames: 1000,
  maxConsecutiveInboundFramesWithEmptyPayload: 1,
  maxInboundPriorityFramesPerStream: 100,
  maxInboundWindowUpdateFramesPerDataFrameSent: 10,
  streamErrorOnInvalidHttpMessage: false,
  disallowObsText: false,
  customSettings: [],
  cutTrailers: false,
  maxHeaderBytes: 60 * 1024,
  maxHeaders: 100,
  underscoresInHeaders: 'ALLOW',
  bufferLimitBytes: 1024 * 1024,
  scheme: 'http',
})

/**
 * Envoy's `http2.*` statistics as plain numbers that only grow; one object may serve many connections. The owner copies the
 * growth into its stats when it likes. Gauges (`streams_active`, `pending_send_bytes`, `deferred_stream_close`,
 * `outbound_frames_active`, `outbound_control_frames_active`) go up and down. `keepalive_timeout` and `tx_flush_timeout` are
 * charged by whoever runs the timers.
 */
export interface Http2Counters {
  dropped_headers_with_underscores: number
  /** Those of {@link Http2Connection.goAway}; Envoy counts neither the first step of a graceful end nor connection errors. */
  goaway_sent: number
  header_overflow: number
  headers_cb_no_stream: number
  inbound_empty_frames_flood: number
  inbound_priority_frames_flood: number
  inbound_window_update_frames_flood: number
  keepalive_timeout: number
  metadata_empty_frames: number
  outbound_control_flood: number
  outbound_flood: number
  requests_rejected_with_underscores_in_headers: number
  rx_messaging_error: number
  rx_reset: number
  stream_refused_errors: number
  /** A block of more bytes than `maxHeaderBytes`; too many headers count as `header_overflow`. */
  header_list_size_too_large: number
  trailers: number
  tx_flush_timeout: number
  tx_reset: number
  streams_active: number
  pending_send_bytes: number
  deferred_stream_close: number
  outbound_frames_active: number
  outbound_control_frames_active: number
}

export function newHttp2Counters(): Http2Counters {
  return {
    dropped_headers_with_underscores: 0,
    goaway_sent: 0,
    header_overflow: 0,
    headers_cb_no_stream: 0,
    inbound_empty_frames_flood: 0,
    inbound_priority_frames_flood: 0,
    inbound_window_update_frames_flood: 0,
    keepalive_timeout: 0,
    metadata_empty_frames: 0,
    outbound_control_flood: 0,
    outbound_flood: 0,
    requests_rejected_with_underscores_in_headers: 0,
    rx_messaging_error: 0,
    rx_reset: 0,
    stream_refused_errors: 0,
    header_list_size_too_large: 0,
    trailers: 0,
    tx_flush_timeout: 0,
    tx_reset: 0,
    streams_active: 0,
    pending_send_bytes: 0,
    deferred_stream_close: 0,
    outbound_frames_active: 0,
    outbound_control_frames_active: 0,
  }
}

/** Where the bytes go: the transport, as far as the machine sees it. */
export interface Http2Sink {
  /**
   * Takes bytes in order. Answers true when they may be overwritten as soon as this returns (they were copied or written),
   * false when the sink still refers to them; over a `transport` connection: `heldWrites.count` did not rise.
   */
  write(bytes: Buffer): boolean
  /** Bytes taken and not yet with the kernel: what tells how many frames wait (`max_outbound_frames`). */
  readonly bufferedBytes: number
}

/** Why a connection cannot go on. The GOAWAY that says so has been written; the owner flushes and closes. */
export interface Http2ConnectionError {
  readonly code: ErrorCode
  /** Envoy's words for `%CONNECTION_TERMINATION_DETAILS%` and response details, e.g. `http2.violation.of.messaging.rule`. */
  readonly details: string
  /** The rule that was broken, e.g. `RFC 9113 §5.1.1`. */
  readonly rfc: string
  /** A sentence for people. */
  readonly message: string
  /** A limit on floods was exceeded, which is not counted as an error of the protocol (Envoy: `isBufferFloodError`). */
  readonly flood: boolean
}

/** What both roles tell. */
export interface Http2ConnectionEvents {
  /** There is something to flush; told once until {@link Http2Connection.flush}. Over a transport: `flushLater(…)`. */
  onWantsFlush(): void
  /** The peer's SETTINGS were applied; its limits may have changed. The first ones end the handshake. */
  onSettings(): void
  /**
   * The peer will take (client role) or start no stream above `lastStreamId`. In the client role, streams above it have been
   * given up before this is told: their decoders got `refused_stream`.
   */
  onGoAway(lastStreamId: number, code: number, debug: string): void
  /** The answer to {@link Http2Connection.ping}. */
  onPingAck(opaque: bigint): void
  /**
   * Told once; GOAWAY is queued. Streams still open have been told by `onReset` before. The owner flushes and closes the
   * transport. `failure` is what those streams got.
   */
  onConnectionError(error: Http2ConnectionError, failure: StreamFailure): void
  /** A stream that had an id is over, in whatever way; `activeStreams` has sunk. Nothing more comes from it. */
  onStreamClosed(stream: Http2Stream): void
}

export interface Http2ServerEvents extends Http2ConnectionEvents {
  /**
   * A request. Set `stream.decoder` before this returns, then pass the head on to it: the machine calls the decoder only
   * for what follows.
   */
  onStream(stream: Http2ServerStream, headers: RequestHeaders, endStream: boolean): void
  /**
   * A request came that cannot be accepted; its stream is reset, or the connection error follows. For `downstream_rq_total`
   * and the access log: `headers` is what could be read, for a malformed head it may be incomplete.
   */
  onStreamRefused(streamId: number, failure: StreamFailure, headers: RequestHeaders | undefined): void
}

export type Http2ClientEvents = Http2ConnectionEvents

/** What streams of both roles have in common. */
export interface Http2Stream {
  /** 0 until the head of a request is written (client role). */
  readonly id: number
  /** Both halves have ended, or it was reset. */
  readonly closed: boolean
  /** END_STREAM has been received. */
  readonly remoteEnded: boolean
  /** END_STREAM has been encoded; with data held back it may not have been written yet. */
  readonly localEnded: boolean
  /** Bytes of DATA that no window or transport admits yet. */
  readonly pendingBytes: number
  /** Compressed head and trailers as received and sent, for `%…_WIRE_BYTES_…%`: frame headers included. */
  readonly wireBytesReceived: number
  readonly wireBytesSent: number
  /** Compressed head alone: `%…_HEADER_BYTES_…%`. */
  readonly headerBytesReceived: number
  readonly headerBytesSent: number
  /**
   * RST_STREAM. Without a code: NO_ERROR when our half has ended (RFC 9113 §8.1), otherwise INTERNAL_ERROR from a server
   * and CANCEL from a client. No event follows but `onStreamClosed`.
   *
   * A response whose end was encoded is still sent whole when a window or the transport holds it back; the reset follows it.
   * A second call drops it (a timer of the owner: `tx_flush_timeout`). A request is given up at once.
   */
  reset(code?: ErrorCode): void
}

/**
 * The response to a request. After the end of the response a stream whose request has not ended stays open until the owner
 * resets it or the request ends.
 */
export interface Http2ServerStream extends Http2Stream, Omit<ResponseEncoder, 'reset'> {
  decoder: RequestDecoder | undefined
  /** The client understands {@link encodeCut}. */
  readonly takesCut: boolean
  /** Ends a response that is not whole, after what is held back of it, with trailers that say why. */
  encodeCut(trailers: HeaderMap): void
  reset(code?: ErrorCode): void
}

/** A request to an upstream. `encodeHeaders` gives it its id. */
export interface Http2ClientStream extends Http2Stream, RequestEncoder {
  readonly decoder: ResponseDecoder
  reset(code?: ErrorCode): void
}

export interface Http2Connection {
  readonly counters: Http2Counters
  /** Streams with an id that are not closed, those reset by the peer while data is held back included. */
  readonly activeStreams: number
  /** The peer's SETTINGS_MAX_CONCURRENT_STREAMS; Infinity until it has sent one. */
  readonly peerMaxConcurrentStreams: number
  /** The peer's SETTINGS_ENABLE_CONNECT_PROTOCOL. */
  readonly peerAllowsConnect: boolean
  /** The peer's first SETTINGS have come. */
  readonly settingsReceived: boolean
  /** Highest id of a stream that the peer has begun; what `goAway` promises. */
  readonly lastPeerStreamId: number
  /** A connection error was told, or `destroy` called. */
  readonly failed: boolean
  /** Bytes held back in all streams. */
  readonly pendingBytes: number

  /** Feeds bytes as they came; lent until this returns. */
  receive(chunk: Buffer): void
  /** Hands what has been written to the sink. The owner calls it at the end of a turn. */
  flush(): void
  /**
   * The transport's write buffer rose above its high watermark or fell below the low one. Above, DATA stays in the streams
   * and their producers are told; control frames and heads are written on.
   */
  onTransportBackpressure(above: boolean): void
  /**
   * The transport has ended: every stream's decoder gets `failure`. No event but those and `onStreamClosed` follows.
   *
   * Client role: a response that has come whole and is held back because its reader paused is not lost: it is handed on
   * when the reader resumes, for which {@link flush} is still asked for and must be called.
   */
  destroy(failure: StreamFailure): void

  /** First step of a graceful end (RFC 9113 §6.8): GOAWAY with the highest id, nothing is refused yet. */
  shutdownNotice(): void
  /**
   * GOAWAY with the last stream taken. Server role: HEADERS of later streams are ignored. What runs goes on; the owner
   * closes when `activeStreams` is 0.
   */
  goAway(code?: ErrorCode, debug?: string): void
  /** PING with these 8 bytes; {@link Http2ConnectionEvents.onPingAck} tells of the answer. */
  ping(opaque: bigint): void
}

export interface Http2ClientConnection extends Http2Connection {
  /**
   * A stream may be opened now: no GOAWAY, ids left, and fewer active streams than both limits allow. Before the peer's
   * SETTINGS its limit is taken as infinite (RFC 9113 §6.5.2); a stream too many comes back as `refused_stream`.
   */
  readonly canOpenStream: boolean
  /** The peer's GOAWAY came, or the ids are used up: no stream can ever be opened again. */
  readonly draining: boolean
  /** Begins an exchange. It counts as active from here on. Throws InvariantError unless {@link canOpenStream}. */
  openStream(decoder: ResponseDecoder): Http2ClientStream
}

export type Http2ServerConnection = Http2Connection

/** How connections are made: `connection.ts` exports both. The preface and our SETTINGS are queued at once. */
export type MakeHttp2ServerConnection = (
  options: Http2Options,
  events: Http2ServerEvents,
  sink: Http2Sink,
  counters: Http2Counters,
) => Http2ServerConnection
export type MakeHttp2ClientConnection = (
  options: Http2Options,
  events: Http2ClientEvents,
  sink: Http2Sink,
  counters: Http2Counters,
) => Http2ClientConnection
