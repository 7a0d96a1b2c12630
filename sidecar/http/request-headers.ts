/**
 * What the connection manager does to a request's headers before any filter sees them: whose address is believed, which
 * headers an outsider may not send, and the request id (Envoy: `ConnectionManagerUtility::mutateRequestHeaders`;
 * features.md §2.9 has what real Envoy does).
 */
import { type Address, isLoopbackAddress } from '../base/address.ts'
import type { CidrSet } from '../base/cidr.ts'
import { type Random, uuid4 } from '../base/random.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import type { TlsInfo } from '../observability/stream-info.ts'
import { type ClientCertPolicy, forwardClientCert } from './forwarded-client-cert.ts'
import { addressFromXff, type IpDetector } from './ip-detection.ts'

export interface RequestHeaderPolicy {
  readonly useRemoteAddress: boolean
  readonly xffNumTrustedHops: number
  readonly skipXffAppend: boolean
  readonly appendXForwardedPort: boolean
  /** CIDRs of `internal_address_config`; empty (the default since Envoy 1.33) means that nothing is internal. */
  readonly internalAddresses: CidrSet
  readonly internalUnixSockets: boolean
  readonly via: string
  readonly generateRequestId: boolean
  readonly preserveExternalRequestId: boolean
  /** `scheme_to_overwrite`, of `x-forwarded-proto` too as in Envoy; '' to keep. */
  readonly schemeToOverwrite: string
  /** `add_user_agent`: the node's cluster, '' when off. */
  readonly userAgent: string
  readonly nodeId: string
  /** Headers of the route configuration's `internal_only_headers`. */
  readonly internalOnlyHeaders: readonly string[]
  /** This machine's own address, which stands for loopback in `x-forwarded-for`. */
  readonly ownIp: string
  /** Where `use_remote_address` is off: who finds out whose address a request comes from, in order. */
  readonly detectors: readonly IpDetector[]
  readonly clientCert: ClientCertPolicy
  /** `forward_proto_config`: ports behind something that took TLS off, or put it on. */
  readonly httpsPorts: ReadonlySet<number>
  readonly httpPorts: ReadonlySet<number>
}

/** What was found out about the requester. */
export interface RequestOrigin {
  /** The client: the socket's peer or an address from a trusted `x-forwarded-for`. */
  readonly remote: Address
  readonly internal: boolean
  readonly edge: boolean
  readonly grpc: boolean
  /** The request is to be answered with this status, because it does not say where it comes from; 0 to go on. */
  readonly refuseStatus: number
}

const REFUSED = { internal: false, edge: false, grpc: false }

/** Stripped from whoever is not internal: they steer retries, timeouts and tracing. */
const NOT_FOR_OUTSIDERS = new Set([
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-force-trace',
  'x-envoy-ip-tags',
  'x-envoy-original-url',
  'x-envoy-hedge-on-per-try-timeout',
])

/** Stripped at the edge as well. */
const NOT_FROM_OUTSIDE = new Set([
  'x-envoy-decorator-operation',
  'x-envoy-downstream-service-cluster',
  'x-envoy-downstream-service-node',
  'x-envoy-original-path',
  'x-envoy-original-host',
])

/** Always removed: they speak of one connection (RFC 9110 §7.6.1), or of what only we may say. */
const HOP_BY_HOP = new Set(['keep-alive', 'proxy-connection', 'transfer-encoding', 'x-envoy-internal'])

/**
 * Changes `headers` in place and says who asked. `upgrade` keeps `connection` and `upgrade`, which then are part of the
 * message.
 */
export function mutateRequestHeaders(
  headers: RequestHeaders,
  policy: RequestHeaderPolicy,
  peer: Address,
  tls: TlsInfo | undefined,
  localPort: number,
  upgrade: boolean,
  random: Random,
): RequestOrigin {
  const list = headers.list
  // One pass removes what goes in any case and notes what the rest asks about: most requests have none of it.
  let kept = 0
  let envoyHeaders = false
  let grpc = false
  let clientCert = false
  let forwardedForAt = -1
  let requestId: string | undefined
  let forwardedProto: string | undefined
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!
    const value = list[i + 1]!
    switch (name.charCodeAt(0)) {
      case 0x63: // c
        if (name === 'connection' && !upgrade) continue
        if (name === 'content-type') grpc = isGrpcType(value)
        break
      case 0x75: // u
        if (name === 'upgrade' && !upgrade) continue
        break
      case 0x6b: // k
      case 0x70: // p
        if (HOP_BY_HOP.has(name)) continue
        break
      case 0x74: // t
        if (HOP_BY_HOP.has(name)) continue
        if (name === 'te') {
          // Only `trailers` may be passed on (RFC 9110 §10.1.4).
          if (!value.toLowerCase().split(',').some(isTrailers)) continue
          list[kept++] = name
          list[kept++] = 'trailers'
          continue
        }
        break
      case 0x78: // x
        if (name === 'x-request-id') requestId ??= value
        else if (name === 'x-forwarded-for') {
          if (forwardedForAt >= 0) {
            // Envoy keeps one entry of it.
            list[forwardedForAt] += `,${value}`
            continue
          }
          forwardedForAt = kept + 1
        } else if (name === 'x-forwarded-client-cert') clientCert = true
        else if (name === 'x-forwarded-proto') forwardedProto ??= value
        else if (name.startsWith('x-envoy-')) {
          if (HOP_BY_HOP.has(name)) continue
          envoyHeaders = true
        }
        break
    }
    if (kept !== i) {
      list[kept] = name
      list[kept + 1] = value
    }
    kept += 2
  }
  list.length = kept
  const forwardedFor = forwardedForAt < 0 ? undefined : list[forwardedForAt]!

  const ownProto = schemeOf(policy, tls !== undefined, localPort)
  let remote: Address | undefined
  let mayBeInternal = false
  if (policy.useRemoteAddress) {
    mayBeInternal = forwardedFor === undefined
    if (policy.xffNumTrustedHops > 0) remote = addressFromXff(forwardedFor, policy.xffNumTrustedHops - 1)
    remote ??= peer
    if (!policy.skipXffAppend) appendXff(headers, policy, peer)
    if (policy.xffNumTrustedHops === 0 || forwardedProto === undefined) {
      headers.set('x-forwarded-proto', ownProto)
      forwardedProto = ownProto
    }
    if (policy.appendXForwardedPort && (policy.xffNumTrustedHops === 0 || !headers.has('x-forwarded-port'))) {
      headers.set('x-forwarded-port', String(localPort))
    }
  } else {
    for (const detector of policy.detectors) {
      const found = detector.detect(headers, peer)
      if (found.refuseStatus > 0) return { ...REFUSED, remote: peer, refuseStatus: found.refuseStatus }
      if (found.appendXff) appendXff(headers, policy, peer)
      if (found.address === undefined) continue
      remote = found.address
      mayBeInternal = found.trusted
      break
    }
    remote ??= peer
  }
  if (forwardedProto === undefined) {
    headers.add('x-forwarded-proto', ownProto)
    forwardedProto = ownProto
  }
  if (policy.schemeToOverwrite !== '') {
    headers.scheme = policy.schemeToOverwrite
    headers.set('x-forwarded-proto', policy.schemeToOverwrite)
  } else if (headers.scheme === '')
    headers.scheme = forwardedProto === 'https' || forwardedProto === 'http' ? forwardedProto : ownProto
  forwardClientCert(headers, policy.clientCert, tls, clientCert)

  const internal = mayBeInternal && isInternal(remote, policy)
  const edge = !internal && policy.useRemoteAddress
  if (internal) headers.set('x-envoy-internal', 'true')
  else if (envoyHeaders) {
    headers.deleteWhere(name => NOT_FOR_OUTSIDERS.has(name) || (edge && NOT_FROM_OUTSIDE.has(name)))
  }
  if (!internal) for (const name of policy.internalOnlyHeaders) headers.delete(name)
  if (policy.userAgent !== '') {
    headers.set('x-envoy-downstream-service-cluster', policy.userAgent)
    if (!headers.has('user-agent')) headers.add('user-agent', policy.userAgent)
    if (policy.nodeId !== '') headers.set('x-envoy-downstream-service-node', policy.nodeId)
  }
  if (edge && !remote.ip.startsWith('/')) headers.set('x-envoy-external-address', remote.ip)
  if (policy.generateRequestId) {
    if (requestId === undefined) headers.add('x-request-id', uuid4(random))
    else if (edge && !policy.preserveExternalRequestId) headers.set('x-request-id', uuid4(random))
  }
  if (policy.via !== '') headers.appendJoined('via', policy.via, ', ')
  return { remote, internal, edge, grpc, refuseStatus: 0 }
}

/** `application/grpc`, alone or with a codec (`+proto`), as `codec/grpc/headers.ts` has it. */
function isGrpcType(type: string): boolean {
  return type.startsWith('application/grpc') && (type.length === 16 || type[16] === '+')
}

function isTrailers(token: string): boolean {
  return token.split(';', 1)[0]!.trim() === 'trailers'
}

function appendXff(headers: RequestHeaders, policy: RequestHeaderPolicy, peer: Address): void {
  headers.appendJoined('x-forwarded-for', isLoopbackAddress(peer.ip) ? policy.ownIp : peer.ip)
}

function schemeOf(policy: RequestHeaderPolicy, tls: boolean, port: number): 'http' | 'https' {
  if (policy.httpsPorts.has(port)) return 'https'
  if (policy.httpPorts.has(port)) return 'http'
  return tls ? 'https' : 'http'
}

function isInternal(address: Address, policy: RequestHeaderPolicy): boolean {
  if (address.ip.startsWith('/')) return policy.internalUnixSockets
  return policy.internalAddresses.has(address.ip)
}

/** Whether `connection` names `upgrade`, so that the request asks for another protocol. */
export function isUpgradeRequest(headers: RequestHeaders): boolean {
  const connection = headers.get('connection')
  return (
    connection !== undefined &&
    connection
      .toLowerCase()
      .split(',')
      .some(token => token.trim() === 'upgrade')
  )
}
