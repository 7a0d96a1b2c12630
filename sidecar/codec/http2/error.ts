/**
 * What can end a connection, as values: one frozen object per mistake, so that a flood of bad input allocates nothing.
 *
 * `details` are Envoy's words (measured): most mistakes about frames it calls by the name of a callback of its codec.
 */
import type { Http2ConnectionError } from './contract.ts'
import { ErrorCode } from './frame/error-code.ts'

/** What `%RESPONSE_CODE_DETAILS%` of the streams says when the codec cannot go on. */
const CODEC_ERROR = 'codec_error:The_user_callback_function_failed'
/** A field that no message may have. */
export const INVALID_FIELD = 'http2.invalid.header.field'
/** A message whose parts do not fit together. */
export const INVALID_MESSAGE = 'http2.violation.of.messaging.rule'

function error(code: ErrorCode, rfc: string, message: string, details = CODEC_ERROR): Http2ConnectionError {
  return Object.freeze({ code, details, rfc, message, flood: false })
}

function protocol(rfc: string, message: string): Http2ConnectionError {
  return error(ErrorCode.ProtocolError, rfc, message)
}

function size(rfc: string, message: string): Http2ConnectionError {
  return error(ErrorCode.FrameSizeError, rfc, message)
}

function flow(message: string): Http2ConnectionError {
  return error(ErrorCode.FlowControlError, 'RFC 9113 §6.9.1', message)
}

function flood(details: string, message: string): Http2ConnectionError {
  return Object.freeze({ ...error(ErrorCode.EnhanceYourCalm, 'RFC 9113 §10.5', message, details), flood: true })
}

export const Http2Errors = {
  // Order and form of frames
  badPreface: protocol('RFC 9113 §3.4', 'The connection does not begin with the HTTP/2 preface.'),
  settingsMissing: protocol('RFC 9113 §3.4', 'The first frame is not SETTINGS.'),
  frameTooLarge: size('RFC 9113 §4.2', 'A frame is larger than SETTINGS_MAX_FRAME_SIZE allows.'),
  frameSize: size('RFC 9113 §4.2', 'A frame has not the size that its type has.'),
  badPadding: protocol('RFC 9113 §6.1', 'A frame has more padding than payload.'),
  streamZero: protocol('RFC 9113 §6', 'A frame that belongs to a stream came on stream 0.'),
  notStreamZero: protocol('RFC 9113 §6', 'A frame that belongs to the connection came on a stream.'),
  idleStream: protocol('RFC 9113 §5.1', 'A frame came on a stream that nobody has opened.'),
  closedStream: error(ErrorCode.StreamClosed, 'RFC 9113 §5.1', 'A frame came on a stream that is closed.'),
  halfClosedStream: error(ErrorCode.StreamClosed, 'RFC 9113 §5.1', 'A frame came after the end of the stream.'),
  badStreamId: protocol('RFC 9113 §5.1.1', 'A stream has an identifier that this side may not choose, or an old one.'),
  expectedContinuation: protocol('RFC 9113 §6.10', 'Another frame came inside a header block.'),
  unexpectedContinuation: protocol('RFC 9113 §6.10', 'CONTINUATION came outside of a header block.'),
  selfDependency: protocol('RFC 7540 §5.3.1', 'A stream depends on itself.'),
  pushPromise: protocol('RFC 9113 §8.4', 'PUSH_PROMISE came although push is off.'),
  serverStream: protocol('RFC 9113 §5.1.1', 'HEADERS came on a stream that was not opened by a request.'),

  // SETTINGS
  settingsAckWithPayload: size('RFC 9113 §6.5', 'An acknowledgement of SETTINGS has a payload.'),
  badEnablePush: protocol('RFC 9113 §6.5.2', 'SETTINGS_ENABLE_PUSH is neither 0 nor 1, or 1 from a server.'),
  badInitialWindow: flow('SETTINGS_INITIAL_WINDOW_SIZE is above 2^31-1.'),
  badMaxFrameSize: protocol('RFC 9113 §6.5.2', 'SETTINGS_MAX_FRAME_SIZE is below 2^14 or above 2^24-1.'),
  badEnableConnect: protocol('RFC 8441 §3', 'SETTINGS_ENABLE_CONNECT_PROTOCOL is neither 0 nor 1, or was taken back.'),
  unexpectedAck: protocol('RFC 9113 §6.5.3', 'An acknowledgement came for SETTINGS that were not sent.'),

  // Windows
  receiveWindow: flow('More DATA came than the window of the connection admits.'),
  zeroIncrement: protocol('RFC 9113 §6.9', 'WINDOW_UPDATE of the connection by 0.'),
  windowOverflow: flow('WINDOW_UPDATE makes the window of the connection larger than 2^31-1.'),
  settingsOverflow: flow('SETTINGS_INITIAL_WINDOW_SIZE makes the window of a stream larger than 2^31-1.'),

  // Headers
  compression: error(ErrorCode.CompressionError, 'RFC 7541 §3', 'A header block cannot be decoded.'),
  blockTooLarge: error(
    ErrorCode.EnhanceYourCalm,
    'RFC 9113 §10.5.1',
    'A header block is larger than any that the limits admit.',
    'http2.header_list_size_too_large',
  ),
  invalidField: error(
    ErrorCode.ProtocolError,
    'RFC 9113 §8.2',
    'A header field is malformed, or one that no message may have.',
    INVALID_FIELD,
  ),
  invalidMessage: error(
    ErrorCode.ProtocolError,
    'RFC 9113 §8.1',
    'A message is malformed: parts are missing, repeated, or do not fit together.',
    INVALID_MESSAGE,
  ),

  // Floods
  emptyFrames: flood('http2.inbound_empty_frames_flood', 'Too many frames without payload in a row.'),
  priorityFrames: flood('codec_error:Too_many_PRIORITY_frames', 'Too many PRIORITY frames.'),
  windowUpdateFrames: flood('codec_error:Too_many_WINDOW_UPDATE_frames', 'Too many WINDOW_UPDATE frames.'),
  controlFrames: flood(
    'codec_error:Too_many_control_frames_in_the_outbound_queue.',
    'The peer causes control frames and does not read them.',
  ),
  outboundFrames: flood(
    'codec_error:Too_many_frames_in_the_outbound_queue.',
    'The peer causes frames and does not read them.',
  ),
} as const
