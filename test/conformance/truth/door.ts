/** A filter of one's own (`--extension`) that lets nobody in of whom a plan says so: who is denied is denied by this hop. */
import type { RequestHeaders } from '../../../sidecar/codec/header-map.ts'
import { FilterStatus, type HttpFilterFactory, type HttpStream } from '../../../sidecar/filter-chain/http-filter.ts'

export const door: HttpFilterFactory<string> = {
  name: 'truth.door',
  typeUrl: 'truth.Door',
  decodeConfig: ({ hop }: { hop?: unknown }) => `;${String(hop)}:denied;`,
  create(denied) {
    const filter = {
      onRequestHeaders(stream: HttpStream, headers: RequestHeaders): FilterStatus {
        if (headers.get('x-fault')?.includes(denied) !== true) return FilterStatus.Continue
        return stream.sendLocalReply({ status: 403, details: 'door_closed' })
      },
    }
    return () => filter
  },
}
