/**
 * What operators in a route's values may read, while the headers of a request or a response are finalized. One object
 * is filled anew for each use: formatting is synchronous, and most routes have nothing to format.
 */
import type { RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'
import type { Metadata } from '../config/schema/generated/types.ts'
import type { FilterMetadata, FormatContext, MetadataKind } from '../observability/formatter/context.ts'
import type { StreamInfo } from '../observability/stream-info.ts'

/** The metadata that formats may ask a route for. */
export interface MetadataOwner {
  readonly metadata: Metadata | undefined
  readonly virtualHostMetadata: Metadata | undefined
}

class FormatView implements FormatContext {
  info!: StreamInfo
  requestHeaders: RequestHeaders | undefined = undefined
  responseHeaders: ResponseHeaders | undefined = undefined
  localReplyBody: string | undefined = undefined
  owner: MetadataOwner | undefined = undefined

  metadata(kind: MetadataKind): FilterMetadata | undefined {
    const metadata =
      kind === 'ROUTE' ? this.owner?.metadata : kind === 'VIRTUAL_HOST' ? this.owner?.virtualHostMetadata : undefined
    return metadata && Object.fromEntries(metadata.filterMetadata)
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
