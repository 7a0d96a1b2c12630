/**
 * What operators in a route's values may read, while the headers of a request or a response are finalized. One object
 * is filled anew for each use: formatting is synchronous, and most routes have nothing to format.
 */
import type { RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import { configuredMetadata, type MetadataOwner } from '../filter-chain/configured-metadata.ts'
import type { FilterMetadata, FormatContext, MetadataKind } from '../observability/formatter/context.ts'
import type { StreamInfo } from '../observability/stream-info.ts'

class FormatView implements FormatContext {
  info!: StreamInfo
  requestHeaders: RequestHeaders | undefined = undefined
  responseHeaders: ResponseHeaders | undefined = undefined
  localReplyBody: string | undefined = undefined
  owner: MetadataOwner | undefined = undefined

  metadata(kind: MetadataKind): FilterMetadata | undefined {
    return configuredMetadata(kind, this.info, this.owner)
  }
}

const view = new FormatView()

/** The view on one request; good until the next call. */
export function formatView(
  info: StreamInfo,
  request: RequestHeaders,
  response: ResponseHeaders | undefined,
  owner: MetadataOwner | undefined,
  localReplyBody?: string,
): FormatContext {
  view.info = info
  view.requestHeaders = request
  view.responseHeaders = response
  view.owner = owner
  view.localReplyBody = localReplyBody
  return view
}
