/** `metadata` of the configured things that a request has met, for formats: `%METADATA(ROUTE:…)%` and its kind. */
import type { FilterMetadata, MetadataKind } from '../observability/formatter/context.ts'
import type { ConfiguredMetadata, StreamInfo } from '../observability/stream-info.ts'

/** A route, as far as it is asked for metadata. */
export interface MetadataOwner {
  readonly metadata?: ConfiguredMetadata | undefined
  readonly virtualHostMetadata?: ConfiguredMetadata | undefined
}

export function configuredMetadata(
  kind: MetadataKind,
  info: StreamInfo,
  route: MetadataOwner | undefined,
): FilterMetadata | undefined {
  const metadata = metadataOf(kind, info, route)
  return metadata && Object.fromEntries(metadata.filterMetadata)
}

function metadataOf(
  kind: MetadataKind,
  info: StreamInfo,
  route: MetadataOwner | undefined,
): ConfiguredMetadata | undefined {
  switch (kind) {
    case 'ROUTE':
      return route?.metadata
    case 'VIRTUAL_HOST':
      return route?.virtualHostMetadata
    case 'CLUSTER':
      return info.clusterMetadata
    case 'UPSTREAM_HOST':
      return info.upstreamHostMetadata
    case 'LISTENER':
      return info.downstream.listenerMetadata
    case 'LISTENER_FILTER_CHAIN':
      return info.downstream.filterChainMetadata
  }
}
