/** What one direction of a stream keeps while a filter holds it (see `filter-manager.ts`). */
import type { HeaderMap } from '../codec/header-map.ts'

/** Bytes or trailers that wait, with the filter they have to start from. */
export interface Held {
  readonly from: number
  readonly data: Buffer | undefined
  readonly trailers: HeaderMap | undefined
  readonly endStream: boolean
}

/** A filter that holds one direction, and what waits there. Made only when a filter stops. */
export class Hold {
  readonly at: number
  /** The head waits here as well; otherwise it has gone on. */
  headWaits = false
  headEndsStream = false
  /** `HoldHead`: the filter is shown the body while the head waits. */
  readonly seesBody: boolean
  /** Body limit of a filter that asked for the whole body, or -1. */
  bufferLimit: number
  /** Who lets the body go on bit by bit (`meterResponse`). */
  readonly meter: object | undefined
  readonly queue: Held[] = []
  bytes = 0

  constructor(at: number, seesBody: boolean, bufferLimit: number, meter: object | undefined) {
    this.at = at
    this.seesBody = seesBody
    this.bufferLimit = bufferLimit
    this.meter = meter
  }

  /** Takes at most `most` bytes of the body that waits, as one chunk; undefined where none waits, or none may go. */
  take(most: number): { readonly data: Buffer; readonly endStream: boolean } | undefined {
    const parts: Buffer[] = []
    let left = most
    let endStream = false
    for (;;) {
      const first = this.queue[0]
      if (first?.data === undefined) break
      const { data } = first
      if (data.length > left) {
        if (left > 0) parts.push(data.subarray(0, left))
        this.queue[0] = { ...first, data: data.subarray(left) }
        left = 0
        break
      }
      left -= data.length
      parts.push(data)
      endStream = first.endStream
      this.queue.shift()
    }
    this.bytes -= most - left
    return parts.length === 0 ? undefined : { data: Buffer.concat(parts), endStream }
  }
}

/** One direction's state once a filter has stopped it or changed its body. */
export class Direction {
  /** Nearly always at most one; the last made is the one nearest to the source. */
  readonly holds: Hold[] = []
  queuedBytes = 0
  /** Asked for by `bufferRequest` and the like, taken by the hold that follows. */
  bufferLimit = -1
  /** Asked for by `meterResponse`, taken by the hold that follows. */
  meter: object | undefined = undefined
  pausedReading = false
  /** The answer has been decided: what still comes is forgotten. */
  dropped = false

  holdAt(filter: number): Hold | undefined {
    for (const hold of this.holds) if (hold.at === filter) return hold
    return undefined
  }

  hold(filter: number, seesBody: boolean): Hold {
    const hold = new Hold(filter, seesBody, this.bufferLimit, this.meter)
    this.bufferLimit = -1
    this.meter = undefined
    this.holds.push(hold)
    return hold
  }

  /** Whether what waits has become so little that the source, which was stopped, is to go on; it counts as going on then. */
  resumes(limit: number): boolean {
    if (!this.pausedReading || this.queuedBytes > limit / 2) return false
    this.pausedReading = false
    return true
  }

  /** Forgets what waits and what is to come; answers whether the source was stopped, and is to go on. */
  drop(): boolean {
    this.dropped = true
    this.queuedBytes = 0
    for (const hold of this.holds) hold.queue.length = 0
    const paused = this.pausedReading
    this.pausedReading = false
    return paused
  }
}
