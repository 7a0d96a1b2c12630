/** HTTP/2 frames as bytes (RFC 9113 §4, §6), for tests that do what no client library would. */

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export const FrameType = {
  Data: 0,
  Headers: 1,
  Priority: 2,
  RstStream: 3,
  Settings: 4,
  Ping: 6,
  GoAway: 7,
  WindowUpdate: 8,
} as const

export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.alloc(9 + payload.length)
  bytes.writeUIntBE(payload.length, 0, 3)
  bytes[3] = type
  bytes[4] = flags
  bytes.writeUInt32BE(streamId, 5)
  bytes.set(payload, 9)
  return bytes
}

export const SETTINGS = frame(FrameType.Settings, 0, 0)

/** GET / of `test`, complete: `:method`, `:scheme` and `:path` by their places in the static table (RFC 7541, Appendix A). */
export function getRequest(streamId: number): Buffer {
  return frame(FrameType.Headers, 0x5, streamId, requestBlock(0x82))
}

/** The head of POST / of `test`; its body is to come. */
export function postHead(streamId: number): Buffer {
  return frame(FrameType.Headers, 0x4, streamId, requestBlock(0x83))
}

function requestBlock(method: number): Buffer {
  return Buffer.concat([Buffer.from([method, 0x86, 0x84, 0x01, 4]), Buffer.from('test')])
}

export function resetStream(streamId: number, code: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(code)
  return frame(FrameType.RstStream, 0, streamId, payload)
}

export function windowUpdate(streamId: number, increment: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(increment)
  return frame(FrameType.WindowUpdate, 0, streamId, payload)
}

export const PING = frame(FrameType.Ping, 0, 0, Buffer.alloc(8))

/**
 * Requests that are answered with RST_STREAM because of what comes behind them (CVE-2025-8671: the client does not reset its
 * streams but has the server do it), by what that is.
 */
export const MADE_TO_RESET: Readonly<Record<string, (streamId: number) => Buffer>> = {
  'WINDOW_UPDATE of 0': id => Buffer.concat([getRequest(id), windowUpdate(id, 0)]),
  'WINDOW_UPDATE past the largest window': id => Buffer.concat([getRequest(id), windowUpdate(id, 0x7fff_ffff)]),
  'DATA behind the end': id => Buffer.concat([getRequest(id), frame(FrameType.Data, 0, id, Buffer.from('x'))]),
  'HEADERS behind the end': id => Buffer.concat([getRequest(id), getRequest(id)]),
  'PRIORITY of a wrong length': id =>
    Buffer.concat([getRequest(id), frame(FrameType.Priority, 0, id, Buffer.alloc(4))]),
  'a body longer than its content-length': id => {
    // `content-length: 1`, by the place of its name in the static table.
    const length = Buffer.from([0x0f, 0x0d, 1, 0x31])
    const head = frame(FrameType.Headers, 0x4, id, Buffer.concat([requestBlock(0x83), length]))
    return Buffer.concat([head, frame(FrameType.Data, 0, id, Buffer.from('xy'))])
  },
}

/** SETTINGS with these parameters, by identifier. */
export function settings(parameters: Readonly<Record<number, number>>): Buffer {
  const entries = Object.entries(parameters)
  const payload = Buffer.alloc(6 * entries.length)
  for (const [i, [identifier, value]] of entries.entries()) {
    payload.writeUInt16BE(Number(identifier), 6 * i)
    payload.writeUInt32BE(value, 6 * i + 2)
  }
  return frame(FrameType.Settings, 0, 0, payload)
}

export const SETTINGS_ACK = frame(FrameType.Settings, 1, 0)

export function goAway(lastStreamId: number, code = 0, debug = ''): Buffer {
  const payload = Buffer.alloc(8)
  payload.writeUInt32BE(lastStreamId)
  payload.writeUInt32BE(code, 4)
  return frame(FrameType.GoAway, 0, 0, Buffer.concat([payload, Buffer.from(debug)]))
}

/** A response of status 200 without a body. */
export function ok(streamId: number): Buffer {
  return frame(FrameType.Headers, 0x5, streamId, Buffer.from([0x88]))
}

/** The head of a response of status 200. */
export function okHead(streamId: number): Buffer {
  return frame(FrameType.Headers, 0x4, streamId, Buffer.from([0x88]))
}

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

/** Cuts bytes into frames; the preface of a client is left out. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0)

  push(bytes: Buffer): Frame[] {
    this.#rest = Buffer.concat([this.#rest, bytes])
    if (this.#rest.subarray(0, 3).equals(PREFACE.subarray(0, 3))) {
      if (this.#rest.length < PREFACE.length) return []
      this.#rest = this.#rest.subarray(PREFACE.length)
    }
    const frames: Frame[] = []
    while (this.#rest.length >= 9) {
      const length = this.#rest.readUIntBE(0, 3)
      if (this.#rest.length < 9 + length) break
      frames.push({
        type: this.#rest[3]!,
        flags: this.#rest[4]!,
        streamId: this.#rest.readUInt32BE(5) & 0x7fffffff,
        payload: this.#rest.subarray(9, 9 + length),
      })
      this.#rest = this.#rest.subarray(9 + length)
    }
    return frames
  }
}
