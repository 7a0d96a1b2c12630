/** The part of a HEADERS frame that belongs to the header block: without padding and the priority of old (RFC 9113 §6.2). */
import type { Http2ConnectionError } from '../contract.ts'
import { Http2Errors } from '../error.ts'
import { Flag } from './frame-type.ts'

const PRIORITY_BYTES = 5

export class HeadersFragment {
  start = 0
  end = 0

  /** Finds it in `bytes[start, end)`; answers the mistake, if there is one. */
  read(flags: number, streamId: number, bytes: Buffer, start: number, end: number): Http2ConnectionError | undefined {
    let padding = 0
    if ((flags & Flag.Padded) !== 0) {
      if (start === end) return Http2Errors.frameSize
      padding = bytes[start++]!
    }
    if ((flags & Flag.Priority) !== 0) {
      if (end - start < PRIORITY_BYTES) return Http2Errors.frameSize
      if ((readUint32(bytes, start) & 0x7fff_ffff) === streamId) return Http2Errors.selfDependency
      start += PRIORITY_BYTES
    }
    if (padding > end - start) return Http2Errors.badPadding
    this.start = start
    this.end = end - padding
    return undefined
  }
}

/** Signed: the highest bit of a number in a frame is mostly reserved, and masked away. */
export function readUint32(bytes: Buffer, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}
