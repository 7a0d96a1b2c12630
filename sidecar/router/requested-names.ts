/** Names that a request asks of its server's TLS (Envoy: `UpstreamHttpProtocolOptions`). */
import { isIP } from 'node:net'
import type { AutoNames } from '../cluster/cluster-settings.ts'
import type { RequestHeaders } from '../codec/header-map.ts'
import { NO_NAMES, type RequestedNames } from '../upstream/pool.ts'

/** From the host as it is sent on, or the header that is configured; an address is no name (RFC 6066 §3). */
export function requestedNames(auto: AutoNames | undefined, headers: RequestHeaders): RequestedNames {
  if (auto === undefined) return NO_NAMES
  const text = (auto.header === '' ? undefined : headers.get(auto.header)) ?? headers.authority
  const name = text.startsWith('[') ? text.slice(1, text.indexOf(']')) : text.replace(/:\d*$/, '')
  if (isIP(name) !== 0) return { serverName: '', wantedName: auto.autoSanValidation ? name : '' }
  return { serverName: auto.autoSni ? name : '', wantedName: auto.autoSanValidation ? name : '' }
}
