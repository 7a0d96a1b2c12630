/**
 * Envoy's `http2.…` stats of one scope (the process for downstreams, a cluster for upstreams), as the numbers that the codec
 * counts in. An accessor for each costs nothing on the path, while copying them over would have to be done every turn.
 */
import type { Http2Counters } from '../codec/http2/contract.ts'
import type { Counter, Gauge, StatsScope } from '../observability/stats.ts'

export class Http2Stats implements Http2Counters {
  readonly #droppedHeadersWithUnderscores: Counter
  readonly #goawaySent: Counter
  readonly #headerOverflow: Counter
  readonly #headerListSizeTooLarge: Counter
  readonly #headersCbNoStream: Counter
  readonly #inboundEmptyFramesFlood: Counter
  readonly #inboundPriorityFramesFlood: Counter
  readonly #inboundWindowUpdateFramesFlood: Counter
  readonly #keepaliveTimeout: Counter
  readonly #metadataEmptyFrames: Counter
  readonly #outboundControlFlood: Counter
  readonly #outboundFlood: Counter
  readonly #requestsRejectedWithUnderscoresInHeaders: Counter
  readonly #rxMessagingError: Counter
  readonly #rxReset: Counter
  readonly #streamRefusedErrors: Counter
  readonly #tooManyHeaderFrames: Counter
  readonly #trailers: Counter
  readonly #txFlushTimeout: Counter
  readonly #txReset: Counter
  readonly #streamsActive: Gauge
  readonly #pendingSendBytes: Gauge
  readonly #deferredStreamClose: Gauge
  readonly #outboundFramesActive: Gauge
  readonly #outboundControlFramesActive: Gauge

  /** `scope`: `http2` or `cluster.<name>.http2`. */
  constructor(scope: StatsScope) {
    this.#droppedHeadersWithUnderscores = scope.counter('dropped_headers_with_underscores')
    this.#goawaySent = scope.counter('goaway_sent')
    this.#headerOverflow = scope.counter('header_overflow')
    this.#headerListSizeTooLarge = scope.counter('header_list_size_too_large')
    this.#headersCbNoStream = scope.counter('headers_cb_no_stream')
    this.#inboundEmptyFramesFlood = scope.counter('inbound_empty_frames_flood')
    this.#inboundPriorityFramesFlood = scope.counter('inbound_priority_frames_flood')
    this.#inboundWindowUpdateFramesFlood = scope.counter('inbound_window_update_frames_flood')
    this.#keepaliveTimeout = scope.counter('keepalive_timeout')
    this.#metadataEmptyFrames = scope.counter('metadata_empty_frames')
    this.#outboundControlFlood = scope.counter('outbound_control_flood')
    this.#outboundFlood = scope.counter('outbound_flood')
    this.#requestsRejectedWithUnderscoresInHeaders = scope.counter('requests_rejected_with_underscores_in_headers')
    this.#rxMessagingError = scope.counter('rx_messaging_error')
    this.#rxReset = scope.counter('rx_reset')
    this.#streamRefusedErrors = scope.counter('stream_refused_errors')
    this.#tooManyHeaderFrames = scope.counter('too_many_header_frames')
    this.#trailers = scope.counter('trailers')
    this.#txFlushTimeout = scope.counter('tx_flush_timeout')
    this.#txReset = scope.counter('tx_reset')
    this.#streamsActive = scope.gauge('streams_active')
    this.#pendingSendBytes = scope.gauge('pending_send_bytes')
    this.#deferredStreamClose = scope.gauge('deferred_stream_close')
    this.#outboundFramesActive = scope.gauge('outbound_frames_active')
    this.#outboundControlFramesActive = scope.gauge('outbound_control_frames_active')
  }

  get dropped_headers_with_underscores(): number {
    return this.#droppedHeadersWithUnderscores.value
  }
  set dropped_headers_with_underscores(value: number) {
    this.#droppedHeadersWithUnderscores.value = value
  }

  get goaway_sent(): number {
    return this.#goawaySent.value
  }
  set goaway_sent(value: number) {
    this.#goawaySent.value = value
  }

  get header_overflow(): number {
    return this.#headerOverflow.value
  }
  set header_overflow(value: number) {
    this.#headerOverflow.value = value
  }

  get header_list_size_too_large(): number {
    return this.#headerListSizeTooLarge.value
  }
  set header_list_size_too_large(value: number) {
    this.#headerListSizeTooLarge.value = value
  }

  get headers_cb_no_stream(): number {
    return this.#headersCbNoStream.value
  }
  set headers_cb_no_stream(value: number) {
    this.#headersCbNoStream.value = value
  }

  get inbound_empty_frames_flood(): number {
    return this.#inboundEmptyFramesFlood.value
  }
  set inbound_empty_frames_flood(value: number) {
    this.#inboundEmptyFramesFlood.value = value
  }

  get inbound_priority_frames_flood(): number {
    return this.#inboundPriorityFramesFlood.value
  }
  set inbound_priority_frames_flood(value: number) {
    this.#inboundPriorityFramesFlood.value = value
  }

  get inbound_window_update_frames_flood(): number {
    return this.#inboundWindowUpdateFramesFlood.value
  }
  set inbound_window_update_frames_flood(value: number) {
    this.#inboundWindowUpdateFramesFlood.value = value
  }

  get keepalive_timeout(): number {
    return this.#keepaliveTimeout.value
  }
  set keepalive_timeout(value: number) {
    this.#keepaliveTimeout.value = value
  }

  get metadata_empty_frames(): number {
    return this.#metadataEmptyFrames.value
  }
  set metadata_empty_frames(value: number) {
    this.#metadataEmptyFrames.value = value
  }

  get outbound_control_flood(): number {
    return this.#outboundControlFlood.value
  }
  set outbound_control_flood(value: number) {
    this.#outboundControlFlood.value = value
  }

  get outbound_flood(): number {
    return this.#outboundFlood.value
  }
  set outbound_flood(value: number) {
    this.#outboundFlood.value = value
  }

  get requests_rejected_with_underscores_in_headers(): number {
    return this.#requestsRejectedWithUnderscoresInHeaders.value
  }
  set requests_rejected_with_underscores_in_headers(value: number) {
    this.#requestsRejectedWithUnderscoresInHeaders.value = value
  }

  get rx_messaging_error(): number {
    return this.#rxMessagingError.value
  }
  set rx_messaging_error(value: number) {
    this.#rxMessagingError.value = value
  }

  get rx_reset(): number {
    return this.#rxReset.value
  }
  set rx_reset(value: number) {
    this.#rxReset.value = value
  }

  get stream_refused_errors(): number {
    return this.#streamRefusedErrors.value
  }
  set stream_refused_errors(value: number) {
    this.#streamRefusedErrors.value = value
  }

  get too_many_header_frames(): number {
    return this.#tooManyHeaderFrames.value
  }
  set too_many_header_frames(value: number) {
    this.#tooManyHeaderFrames.value = value
  }

  get trailers(): number {
    return this.#trailers.value
  }
  set trailers(value: number) {
    this.#trailers.value = value
  }

  get tx_flush_timeout(): number {
    return this.#txFlushTimeout.value
  }
  set tx_flush_timeout(value: number) {
    this.#txFlushTimeout.value = value
  }

  get tx_reset(): number {
    return this.#txReset.value
  }
  set tx_reset(value: number) {
    this.#txReset.value = value
  }

  get streams_active(): number {
    return this.#streamsActive.value
  }
  set streams_active(value: number) {
    this.#streamsActive.set(value)
  }

  get pending_send_bytes(): number {
    return this.#pendingSendBytes.value
  }
  set pending_send_bytes(value: number) {
    this.#pendingSendBytes.set(value)
  }

  get deferred_stream_close(): number {
    return this.#deferredStreamClose.value
  }
  set deferred_stream_close(value: number) {
    this.#deferredStreamClose.set(value)
  }

  get outbound_frames_active(): number {
    return this.#outboundFramesActive.value
  }
  set outbound_frames_active(value: number) {
    this.#outboundFramesActive.set(value)
  }

  get outbound_control_frames_active(): number {
    return this.#outboundControlFramesActive.value
  }
  set outbound_control_frames_active(value: number) {
    this.#outboundControlFramesActive.set(value)
  }
}
