/** Numbers of RFC 9113 §4, §6 and §6.5.2. */

export const FrameType = {
  Data: 0x0,
  Headers: 0x1,
  Priority: 0x2,
  RstStream: 0x3,
  Settings: 0x4,
  PushPromise: 0x5,
  Ping: 0x6,
  GoAway: 0x7,
  WindowUpdate: 0x8,
  Continuation: 0x9,
} as const

export const Flag = {
  EndStream: 0x1,
  /** Of SETTINGS and PING. */
  Ack: 0x1,
  EndHeaders: 0x4,
  Padded: 0x8,
  Priority: 0x20,
} as const

export const Setting = {
  HeaderTableSize: 0x1,
  EnablePush: 0x2,
  MaxConcurrentStreams: 0x3,
  InitialWindowSize: 0x4,
  MaxFrameSize: 0x5,
  MaxHeaderListSize: 0x6,
  EnableConnectProtocol: 0x8,
  /** Ours, of the range for experiments (RFC 7540 §11.3): trailers with {@link CUT} are understood. */
  CutTrailers: 0xf0c5,
} as const

/**
 * Field of trailers which say that the response ends here though it is not whole: RST_STREAM with room for a reason. Sent
 * only to a peer that has said with {@link Setting.CutTrailers} that it knows it; any other would take the response for
 * whole.
 */
export const CUT = 'x-hopwise-cut'

/** What a client sends first (§3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

export const FRAME_HEADER = 9
/** SETTINGS_MAX_FRAME_SIZE of either side until told otherwise; we never ask for more. */
export const DEFAULT_FRAME_SIZE = 16_384
export const MAX_FRAME_SIZE = 16_777_215
/** Every flow-control window begins so, the connection's always (§6.9.2). */
export const DEFAULT_WINDOW = 65_535
export const MAX_WINDOW = 0x7fff_ffff
export const MAX_STREAM_ID = 0x7fff_ffff
