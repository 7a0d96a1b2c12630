/** What an `HttpConnectionManager` message means: every default filled in (features.md §2.6), ready for the path. */
import type { Address } from '../base/address.ts'
import { CidrSet } from '../base/cidr.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { HttpConnectionManager, Node } from '../config/schema/generated/types.ts'
import type { ConnectionManagerConfig } from '../http/connection-manager.ts'
import type { LocalReplyRewriter } from '../http/local-reply.ts'

/** What the message does not say and the listener or the node does. */
export interface ConnectionManagerSurroundings {
  readonly node: Node | undefined
  readonly localAddress: Address
  readonly bufferLimitBytes: number
  readonly localReplyRewriter: LocalReplyRewriter | undefined
  /** `internal_only_headers` of the route configuration. */
  readonly internalOnlyHeaders: readonly string[]
}

export function connectionManagerConfig(
  message: HttpConnectionManager,
  around: ConnectionManagerSurroundings,
): ConnectionManagerConfig {
  const common = message.commonHttpProtocolOptions
  const http1 = message.httpProtocolOptions
  const escaped = message.pathWithEscapedSlashesAction
  return {
    statPrefix: message.statPrefix,
    codecType: message.codecType,
    requestHeaders: {
      useRemoteAddress: message.useRemoteAddress ?? false,
      xffNumTrustedHops: message.xffNumTrustedHops,
      skipXffAppend: message.skipXffAppend,
      appendXForwardedPort: message.appendXForwardedPort,
      internalAddresses: new CidrSet(message.internalAddressConfig?.cidrRanges ?? []),
      internalUnixSockets: message.internalAddressConfig?.unixSockets ?? false,
      via: message.via,
      generateRequestId: message.generateRequestId ?? true,
      preserveExternalRequestId: message.preserveExternalRequestId,
      schemeToOverwrite: message.schemeHeaderTransformation?.schemeToOverwrite ?? '',
      matchUpstreamScheme: message.schemeHeaderTransformation?.matchUpstream ?? false,
      userAgent: message.addUserAgent === true ? (around.node?.cluster ?? '') : '',
      nodeId: around.node?.id ?? '',
      internalOnlyHeaders: around.internalOnlyHeaders.map(name => name.toLowerCase()),
      localAddress: around.localAddress,
    },
    responseHeaders: {
      serverName: message.serverName === '' ? 'envoy' : message.serverName,
      serverHeader: message.serverHeaderTransformation,
      via: message.via,
    },
    pathNormalization: {
      normalize: message.normalizePath ?? false,
      mergeSlashes: message.mergeSlashes,
      escapedSlashes: escaped === 'IMPLEMENTATION_SPECIFIC_DEFAULT' ? 'KEEP_UNCHANGED' : escaped,
    },
    stripHostPort: hostStripper(message, around.localAddress.port),
    localReplyRewriter: around.localReplyRewriter,
    upgrades: new Set(
      message.upgradeConfigs
        .filter(upgrade => upgrade.enabled !== false)
        .map(upgrade => upgrade.upgradeType.toLowerCase()),
    ),
    alwaysSetRequestIdInResponse: message.alwaysSetRequestIdInResponse,
    proxy100Continue: message.proxy100Continue,
    underscoresInHeaders: common?.headersWithUnderscoresAction ?? 'ALLOW',
    maxRequestHeadBytes: (message.maxRequestHeadersKb ?? 60) * 1024,
    maxRequestHeaders: common?.maxHeadersCount ?? 100,
    acceptHttp10: http1?.acceptHttp10 ?? false,
    defaultHostForHttp10: http1?.defaultHostForHttp10 ?? '',
    allowAbsoluteUrl: http1?.allowAbsoluteUrl ?? true,
    enableTrailers: http1?.enableTrailers ?? false,
    allowChunkedLength: http1?.allowChunkedLength ?? false,
    allowCustomMethods: http1?.allowCustomMethods ?? false,
    bufferLimitBytes: around.bufferLimitBytes,
    streamIdleTimeoutMs: message.streamIdleTimeout ?? 300_000,
    requestTimeoutMs: message.requestTimeout ?? 0,
    requestHeadersTimeoutMs: message.requestHeadersTimeout ?? 0,
    maxStreamDurationMs: common?.maxStreamDuration ?? 0,
    connectionIdleTimeoutMs: common?.idleTimeout ?? 3_600_000,
    maxConnectionDurationMs: common?.maxConnectionDuration ?? 0,
    maxRequestsPerConnection: common?.maxRequestsPerConnection ?? 0,
    drainTimeoutMs: message.drainTimeout ?? 5000,
    delayedCloseTimeoutMs: message.delayedCloseTimeout ?? 1000,
  }
}

/** `strip_any_host_port`, `strip_matching_host_port`, `strip_trailing_host_dot` as one function, or undefined. */
function hostStripper(message: HttpConnectionManager, port: number): ((headers: RequestHeaders) => void) | undefined {
  const any = message.stripAnyHostPort === true
  const matching = message.stripMatchingHostPort
  const dot = message.stripTrailingHostDot
  if (!any && !matching && !dot) return undefined
  return headers => {
    let host = headers.authority
    const colon = host.lastIndexOf(':')
    const digits = colon > 0 && !host.endsWith(']') ? host.slice(colon + 1) : ''
    let suffix = digits === '' ? '' : host.slice(colon)
    if (suffix !== '') host = host.slice(0, colon)
    // A CONNECT keeps its port: without it there would be no telling where to.
    if (headers.method !== 'CONNECT' && (any || (matching && Number(digits) === port))) suffix = ''
    if (dot && host.endsWith('.')) host = host.slice(0, -1)
    headers.authority = host + suffix
  }
}
