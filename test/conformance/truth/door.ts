/**
 * A filter of one's own (`--extension`) that lets nobody in of whom a plan says so: who is denied is denied by this hop. Of
 * requests with a budget it tells when they came and when they were answered, for on a busy machine a sidecar hears of a
 * request long after it was sent, and its timers begin then.
 */
import type { RequestHeaders, ResponseHeaders } from '../../../sidecar/codec/header-map.ts'
import { FilterStatus, type HttpFilterFactory, type HttpStream } from '../../../sidecar/filter-chain/http-filter.ts'
import { wallMs } from './wall-clock.ts'

/** Both from {@link wallMs}: `<came> <answered>`. */
export const TIMES_HEADER = 'x-door-times'

export const door: HttpFilterFactory<string> = {
  name: 'truth.door',
  typeUrl: 'truth.Door',
  decodeConfig: ({ hop }: { hop?: unknown }) => `;${String(hop)}:denied;`,
  create(denied) {
    return () => {
      let came: number | undefined
      return {
        onRequestHeaders(stream: HttpStream, headers: RequestHeaders): FilterStatus {
          if (headers.get('x-budget') !== undefined) came = wallMs()
          if (headers.get('x-fault')?.includes(denied) !== true) return FilterStatus.Continue
          return stream.sendLocalReply({ status: 403, details: 'door_closed' })
        },
        onResponseHeaders(_: HttpStream, headers: ResponseHeaders): FilterStatus {
          if (came !== undefined) headers.set(TIMES_HEADER, `${came} ${wallMs()}`)
          return FilterStatus.Continue
        },
      }
    }
  },
}
