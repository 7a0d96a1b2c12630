/** Counts frames that cost us something and the peer nothing, with Envoy's limits and formulas. */
import type { Http2ConnectionError, Http2Counters, Http2Options } from './contract.ts'
import { Http2Errors } from './error.ts'

export class InboundGuard {
  readonly #options: Http2Options
  readonly #counters: Http2Counters
  #emptyFrames = 0
  #priorityFrames = 0
  #windowUpdateFrames = 0

  constructor(options: Http2Options, counters: Http2Counters) {
    this.#options = options
    this.#counters = counters
  }

  /** DATA, HEADERS or CONTINUATION with a payload of so many bytes; answers the mistake when there were too many empty ones. */
  countEmpty(length: number, endStream: boolean): Http2ConnectionError | undefined {
    if (length > 0 || endStream) {
      this.#emptyFrames = 0
      return undefined
    }
    if (++this.#emptyFrames <= this.#options.maxConsecutiveInboundFramesWithEmptyPayload) return undefined
    this.#counters.inbound_empty_frames_flood++
    return Http2Errors.emptyFrames
  }

  countPriority(openedStreams: number): Http2ConnectionError | undefined {
    const allowed = this.#options.maxInboundPriorityFramesPerStream * (1 + openedStreams)
    if (++this.#priorityFrames <= allowed) return undefined
    this.#counters.inbound_priority_frames_flood++
    return Http2Errors.priorityFrames
  }

  countWindowUpdate(openedStreams: number, dataFramesSent: number): Http2ConnectionError | undefined {
    const perFrame = this.#options.maxInboundWindowUpdateFramesPerDataFrameSent
    if (++this.#windowUpdateFrames <= 5 + 2 * (openedStreams + perFrame * dataFramesSent)) return undefined
    this.#counters.inbound_window_update_frames_flood++
    return Http2Errors.windowUpdateFrames
  }
}
