/** What an `HttpConnectionManager` message means: every default filled in (features.md §2.6), ready for the path. */
import type { Address } from '../base/address.ts'
import { CidrSet } from '../base/cidr.ts'
import { ownIp } from '../base/own-address.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import { properCase } from '../codec/http1/header-case.ts'
import { ConfigMistakes } from '../config/config-error.ts'
import type {
  CustomHeaderConfig,
  HeaderMutation,
  HttpConnectionManager,
  Node,
  XffConfig,
} from '../config/schema/generated/types.ts'
import { errorStatus } from '../config/status-code.ts'
import type { ConnectionManagerConfig, EarlyMutation } from '../http/connection-manager.ts'
import { CustomHeaderDetector, type IpDetector, XffDetector } from '../http/ip-detection.ts'
import type { LocalReplyRewriter } from '../http/local-reply.ts'
import type { StreamInfo } from '../observability/stream-info.ts'
import { formatView } from '../router/format-view.ts'
import { HeaderMutationSteps } from '../router/header-mutation.ts'
import { Mistakes } from '../router/mistakes.ts'
import { http2Settings } from '../upstream/http2-settings.ts'

/** What the message does not say and the listener or the node does. */
export interface ConnectionManagerSurroundings {
  readonly node: Node | undefined
  readonly localAddress: Address
  readonly bufferLimitBytes: number
  readonly localReplyRewriter: LocalReplyRewriter | undefined
  /** `internal_only_headers` of the route configuration. */
  readonly internalOnlyHeaders: readonly string[]
}

/** Throws all mistakes as one {@link ConfigError}, with paths below `message`. */
export function connectionManagerConfig(
  message: HttpConnectionManager,
  around: ConnectionManagerSurroundings,
): ConnectionManagerConfig {
  const common = message.commonHttpProtocolOptions
  const http1 = message.httpProtocolOptions
  const mistakes = new ConfigMistakes()
  if (http1?.allowAbsoluteUrl === false) {
    mistakes.add(
      'http_protocol_options.allow_absolute_url',
      'false is not supported: absolute targets are always understood (RFC 9112 §3.2.2)',
    )
  }
  const escaped = message.pathWithEscapedSlashesAction
  const ipDetectors = detectors(message, mistakes)
  const early = earlyMutations(message, mistakes)
  const http2 = mistakes.attempt('http2_protocol_options', () =>
    http2Settings(message.http2ProtocolOptions, {
      cutTrailers: false,
      maxHeaderBytes: (message.maxRequestHeadersKb ?? 60) * 1024,
      maxHeaders: common?.maxHeadersCount ?? 100,
      underscoresInHeaders: common?.headersWithUnderscoresAction ?? 'ALLOW',
      bufferLimitBytes: around.bufferLimitBytes,
      scheme: 'http',
      streamError: message.streamErrorOnInvalidHttpMessage,
    }),
  )
  mistakes.throwAll()
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
      userAgent: message.addUserAgent === true ? (around.node?.cluster ?? '') : '',
      nodeId: around.node?.id ?? '',
      internalOnlyHeaders: around.internalOnlyHeaders.map(name => name.toLowerCase()),
      ownIp: ownIp(),
      detectors: ipDetectors,
      clientCert: {
        mode: message.forwardClientCertDetails,
        cert: message.setCurrentClientCertDetails?.cert ?? false,
        chain: message.setCurrentClientCertDetails?.chain ?? false,
        subject: message.setCurrentClientCertDetails?.subject ?? false,
        uri: message.setCurrentClientCertDetails?.uri ?? false,
        dns: message.setCurrentClientCertDetails?.dns ?? false,
      },
      httpsPorts: new Set(message.forwardProtoConfig?.httpsDestinationPorts),
      httpPorts: new Set(message.forwardProtoConfig?.httpDestinationPorts),
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
    earlyMutations: early,
    upgrades: new Set(
      message.upgradeConfigs
        .filter(upgrade => upgrade.enabled !== false)
        .map(upgrade => upgrade.upgradeType.toLowerCase()),
    ),
    alwaysSetRequestIdInResponse: message.alwaysSetRequestIdInResponse,
    proxy100Continue: message.proxy100Continue,
    underscoresInHeaders: common?.headersWithUnderscoresAction ?? 'ALLOW',
    headerCase: http1?.headerKeyFormat?.properCaseWords === undefined ? undefined : properCase,
    maxRequestHeadBytes: (message.maxRequestHeadersKb ?? 60) * 1024,
    maxRequestHeaders: common?.maxHeadersCount ?? 100,
    acceptHttp10: http1?.acceptHttp10 ?? false,
    defaultHostForHttp10: http1?.defaultHostForHttp10 ?? '',
    enableTrailers: http1?.enableTrailers ?? false,
    allowChunkedLength: http1?.allowChunkedLength ?? false,
    allowCustomMethods: http1?.allowCustomMethods ?? false,
    bufferLimitBytes: around.bufferLimitBytes,
    http2: http2!,
    streamIdleTimeoutMs: message.streamIdleTimeout ?? 300_000,
    streamFlushTimeoutMs: message.streamFlushTimeout ?? message.streamIdleTimeout ?? 300_000,
    requestTimeoutMs: message.requestTimeout ?? 0,
    requestHeadersTimeoutMs: message.requestHeadersTimeout ?? 0,
    maxStreamDurationMs: common?.maxStreamDuration ?? 0,
    connectionIdleTimeoutMs: common?.idleTimeout ?? 3_600_000,
    maxConnectionDurationMs: common?.maxConnectionDuration ?? 0,
    maxConnectionDurationJitter: (common?.maxConnectionDurationJitter?.value ?? 0) / 100,
    maxRequestsPerConnection: common?.maxRequestsPerConnection ?? 0,
    drainTimeoutMs: message.drainTimeout ?? 5000,
    delayedCloseTimeoutMs: message.delayedCloseTimeout ?? 1000,
  }
}

/** `early_header_mutation_extensions`: done before anything reads the headers, so that they can steer what does. */
function earlyMutations(message: HttpConnectionManager, mistakes: ConfigMistakes): EarlyMutation[] {
  return message.earlyHeaderMutationExtensions.flatMap(({ name, typedConfig }, i) => {
    const field = `early_header_mutation_extensions[${i}]`
    if (typedConfig?.typeUrl !== 'envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation') {
      mistakes.add(field, `"${name}" is not supported`)
      return []
    }
    const { mutations } = typedConfig.value as { readonly mutations: readonly HeaderMutation[] }
    const found = new Mistakes(typedConfig.value as object, `${field}.typed_config`)
    const steps = HeaderMutationSteps.compile(mutations, 'mutations', found)
    mistakes.attempt('', () => found.throwAll())
    return (headers: RequestHeaders, info: StreamInfo) =>
      steps?.apply(headers, formatView(info, headers, undefined, undefined))
  })
}

function detectors(message: HttpConnectionManager, mistakes: ConfigMistakes): IpDetector[] {
  const extensions = message.originalIpDetectionExtensions
  if (extensions.length === 0) return [new XffDetector(message.xffNumTrustedHops, undefined, false)]
  if (message.useRemoteAddress === true) {
    mistakes.add(
      'original_ip_detection_extensions',
      'Original IP detection extensions and use_remote_address may not be mixed',
    )
  }
  if (message.xffNumTrustedHops > 0) {
    mistakes.add(
      'original_ip_detection_extensions',
      'Original IP detection extensions and xff_num_trusted_hops may not be mixed',
    )
  }
  return extensions.flatMap(({ name, typedConfig }, i) => {
    switch (typedConfig?.typeUrl) {
      case 'envoy.extensions.http.original_ip_detection.xff.v3.XffConfig': {
        const xff = typedConfig.value as XffConfig
        const proxies = xff.xffTrustedCidrs === undefined ? undefined : new CidrSet(xff.xffTrustedCidrs.cidrs)
        return new XffDetector(xff.xffNumTrustedHops, proxies, xff.skipXffAppend === false)
      }
      case 'envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig': {
        const header = typedConfig.value as CustomHeaderConfig
        // What is no error would let a refusal look like an answer; Envoy makes it 403.
        const status = header.rejectWithStatus === undefined ? 0 : errorStatus(header.rejectWithStatus, 403)
        return new CustomHeaderDetector(header.headerName, header.allowExtensionToSetAddressAsTrusted, status)
      }
      default:
        mistakes.add(`original_ip_detection_extensions[${i}]`, `"${name}" is not supported`)
        return []
    }
  })
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
