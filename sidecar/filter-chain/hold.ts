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
  readonly queue: Held[] = []
  bytes = 0

  constructor(at: number, seesBody: boolean, bufferLimit: number) {
    this.at = at
    this.seesBody = seesBody
    this.bufferLimit = bufferLimit
  }
}

/** One direction's state once a filter has stopped it or changed its body. */
export class Direction {
  /** Nearly always at most one; the last made is the one nearest to the source. */
  readonly holds: Hold[] = []
  queuedBytes = 0
  /** Asked for by `bufferRequest` and the like, taken by the hold that follows. */
  bufferLimit = -1
  pausedReading = false
  /** The answer has been decided: what still comes is forgotten. */
  dropped = false

  holdAt(filter: number): Hold | undefined {
    for (const hold of this.holds) if (hold.at === filter) return hold
    return undefined
  }

  hold(filter: number, seesBody: boolean): Hold {
    const hold = new Hold(filter, seesBody, this.bufferLimit)
    this.bufferLimit = -1
    this.holds.push(hold)
    return hold
  }
}
