/** What can be said of a frame or a setting without knowing the connection: sizes, streams, ranges (RFC 9113 §6). */
import type { Http2ConnectionError } from '../contract.ts'
import { Http2Errors } from '../error.ts'
import { DEFAULT_FRAME_SIZE, Flag, FrameType, MAX_FRAME_SIZE, MAX_WINDOW, Setting } from './frame-type.ts'

export function frameFormError(
  type: number,
  flags: number,
  streamId: number,
  length: number,
): Http2ConnectionError | undefined {
  switch (type) {
    case FrameType.Data:
    case FrameType.Headers:
    case FrameType.Continuation:
    case FrameType.Priority:
      return streamId === 0 ? Http2Errors.streamZero : undefined
    case FrameType.RstStream:
      if (streamId === 0) return Http2Errors.streamZero
      return length === 4 ? undefined : Http2Errors.frameSize
    case FrameType.Settings:
      if (streamId !== 0) return Http2Errors.notStreamZero
      if ((flags & Flag.Ack) !== 0 && length !== 0) return Http2Errors.settingsAckWithPayload
      return length % 6 === 0 ? undefined : Http2Errors.frameSize
    case FrameType.Ping:
      if (streamId !== 0) return Http2Errors.notStreamZero
      return length === 8 ? undefined : Http2Errors.frameSize
    case FrameType.GoAway:
      if (streamId !== 0) return Http2Errors.notStreamZero
      return length >= 8 ? undefined : Http2Errors.frameSize
    case FrameType.WindowUpdate:
      return length === 4 ? undefined : Http2Errors.frameSize
    case FrameType.PushPromise:
      return Http2Errors.pushPromise
    default:
      return undefined
  }
}

/** `maxEnablePush`: a server may not send 1 (§6.5.2). */
export function settingError(
  identifier: number,
  value: number,
  maxEnablePush: number,
): Http2ConnectionError | undefined {
  switch (identifier) {
    case Setting.EnablePush:
      return value > maxEnablePush ? Http2Errors.badEnablePush : undefined
    case Setting.InitialWindowSize:
      return value > MAX_WINDOW ? Http2Errors.badInitialWindow : undefined
    case Setting.MaxFrameSize:
      // Ours stay at the default all the same: larger ones would make others wait longer.
      return value < DEFAULT_FRAME_SIZE || value > MAX_FRAME_SIZE ? Http2Errors.badMaxFrameSize : undefined
    case Setting.EnableConnectProtocol:
      return value > 1 ? Http2Errors.badEnableConnect : undefined
    default:
      return undefined
  }
}
