/** What an `Http2ProtocolOptions` message means, with Envoy's defaults filled in, for listeners and clusters alike. */
import type { TokenBucketSettings } from '../base/token-bucket.ts'
import { DEFAULT_HTTP2_OPTIONS, type Http2Options } from '../codec/http2/contract.ts'
import { ConfigMistakes } from '../config/config-error.ts'
import type { Http2ProtocolOptions, KeepaliveSettings } from '../config/schema/generated/types.ts'

export interface Http2Settings {
  readonly options: Http2Options
  readonly keepAlive: KeepAliveSettings | undefined
  /** `stream_reset_burst` and `stream_reset_rate`: what a downstream may reset; more closes its connection. */
  readonly streamResets: TokenBucketSettings
}

/** `connection_keepalive`. Times in milliseconds, 0 for never. */
export interface KeepAliveSettings {
  readonly intervalMs: number
  readonly timeoutMs: number
  /** Percent of the interval by which it may be longer. */
  readonly jitterPercent: number
  /** A new stream on a connection that has received nothing for so long is preceded by a PING. */
  readonly idleIntervalMs: number
}

/** What listener and cluster say beside the message. */
export type Http2Surroundings = Pick<
  Http2Options,
  'maxHeaderBytes' | 'maxHeaders' | 'underscoresInHeaders' | 'bufferLimitBytes' | 'scheme' | 'cutTrailers'
> & {
  /** `stream_error_on_invalid_http_message` of the connection manager, undefined where it does not say. */
  readonly streamError?: boolean | undefined
}

/** RFC 9113 §6.5.2 and RFC 8441 §3. */
const HEADER_TABLE_SIZE = 1
const ENABLE_PUSH = 2
const MAX_CONCURRENT_STREAMS = 3
const INITIAL_WINDOW_SIZE = 4
const ENABLE_CONNECT_PROTOCOL = 8

/** Envoy: `interval_jitter`, 15 % unless it says otherwise. */
const DEFAULT_JITTER_PERCENT = 15

/** nghttp2's own, which Envoy leaves in force: 1,000 at once, 33 a second. */
const DEFAULT_STREAM_RESETS: TokenBucketSettings = { maxTokens: 1000, tokensPerFill: 33, fillIntervalMs: 1000 }

/** Throws {@link ConfigError} for what Envoy refuses. */
export function http2Settings(message: Http2ProtocolOptions | undefined, around: Http2Surroundings): Http2Settings {
  const { streamError = false, ...limits } = around
  const defaults = DEFAULT_HTTP2_OPTIONS
  if (message === undefined) {
    const options = { ...defaults, ...limits, streamErrorOnInvalidHttpMessage: streamError }
    return { options, keepAlive: undefined, streamResets: DEFAULT_STREAM_RESETS }
  }
  const options: Http2Options = {
    ...defaults,
    ...limits,
    headerTableSize: message.hpackTableSize ?? defaults.headerTableSize,
    maxConcurrentStreams: message.maxConcurrentStreams ?? defaults.maxConcurrentStreams,
    initialStreamWindowSize: message.initialStreamWindowSize ?? defaults.initialStreamWindowSize,
    initialConnectionWindowSize: message.initialConnectionWindowSize ?? defaults.initialConnectionWindowSize,
    allowConnect: message.allowConnect,
    maxOutboundFrames: message.maxOutboundFrames ?? defaults.maxOutboundFrames,
    maxOutboundControlFrames: message.maxOutboundControlFrames ?? defaults.maxOutboundControlFrames,
    maxConsecutiveInboundFramesWithEmptyPayload:
      message.maxConsecutiveInboundFramesWithEmptyPayload ?? defaults.maxConsecutiveInboundFramesWithEmptyPayload,
    maxInboundPriorityFramesPerStream:
      message.maxInboundPriorityFramesPerStream ?? defaults.maxInboundPriorityFramesPerStream,
    maxInboundWindowUpdateFramesPerDataFrameSent:
      message.maxInboundWindowUpdateFramesPerDataFrameSent ?? defaults.maxInboundWindowUpdateFramesPerDataFrameSent,
    streamErrorOnInvalidHttpMessage:
      message.overrideStreamErrorOnInvalidHttpMessage ??
      around.streamError ??
      message.streamErrorOnInvalidHttpMessaging,
    disallowObsText: message.disallowObsText ?? false,
    customSettings: customSettings(message),
  }
  return {
    options,
    keepAlive: message.connectionKeepalive && keepAlive(message.connectionKeepalive),
    streamResets: {
      maxTokens: message.streamResetBurst ?? DEFAULT_STREAM_RESETS.maxTokens,
      // With a rate of 0 none comes back in the life of a connection.
      tokensPerFill: (message.streamResetRate ?? DEFAULT_STREAM_RESETS.tokensPerFill) || Number.EPSILON,
      fillIntervalMs: 1000,
    },
  }
}

function keepAlive(message: KeepaliveSettings): KeepAliveSettings | undefined {
  const intervalMs = message.interval ?? 0
  const idleIntervalMs = message.connectionIdleInterval ?? 0
  if (intervalMs === 0 && idleIntervalMs === 0) return undefined
  return {
    intervalMs,
    timeoutMs: message.timeout ?? 0,
    jitterPercent: message.intervalJitter?.value ?? DEFAULT_JITTER_PERCENT,
    idleIntervalMs,
  }
}

/** Envoy: `validateCustomSettingsParameters`. */
function customSettings(message: Http2ProtocolOptions): [number, number][] {
  const named = new Map<number, [name: string, value: number | undefined]>([
    [HEADER_TABLE_SIZE, ['hpack_table_size', message.hpackTableSize]],
    [MAX_CONCURRENT_STREAMS, ['max_concurrent_streams', message.maxConcurrentStreams]],
    [INITIAL_WINDOW_SIZE, ['initial_stream_window_size', message.initialStreamWindowSize]],
  ])
  const settings = new Map<number, number>()
  const mistakes = new ConfigMistakes()
  for (const [i, { identifier = 0, value = 0 }] of message.customSettingsParameters.entries()) {
    const field = `custom_settings_parameters[${i}]`
    if (identifier === ENABLE_PUSH && value === 1) {
      mistakes.add(field, 'server push is not supported by Envoy and can not be enabled via a SETTINGS parameter.')
    }
    if (identifier === ENABLE_CONNECT_PROTOCOL) {
      mistakes.add(field, 'the "allow_connect" SETTINGS parameter must only be configured through the named field')
    }
    const other = named.get(identifier)
    if (other?.[1] !== undefined) {
      mistakes.add(
        field,
        `the ${other[0]} HTTP/2 SETTINGS parameter(s) can not be configured through both named and custom parameters`,
      )
    }
    const known = settings.get(identifier)
    if (known !== undefined && known !== value) {
      mistakes.add(
        field,
        `inconsistent HTTP/2 custom SETTINGS parameter(s) detected; identifiers = {0x${identifier.toString(16)}}`,
      )
    }
    settings.set(identifier, value)
  }
  mistakes.throwAll()
  return [...settings]
}
