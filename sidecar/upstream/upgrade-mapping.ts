/**
 * Upgrades between the two protocols, as Envoy maps them: inside the proxy an upgrade always looks as in HTTP/1.1
 * (`Connection: Upgrade`, 101), on an HTTP/2 connection it is an extended CONNECT answered by 200 (RFC 8441).
 */
import type { RequestHeaders, ResponseHeaders } from '../codec/header-map.ts'

/** A copy of an upgrade request as extended CONNECT; the original may be needed for another attempt. */
export function requestAsConnect(headers: RequestHeaders): RequestHeaders {
  const connect = headers.clone()
  connect.protocol = connect.get('upgrade') ?? ''
  connect.method = 'CONNECT'
  connect.delete('upgrade')
  connect.delete('connection')
  if (connect.get('content-length') === '0') connect.delete('content-length')
  return connect
}

/** An extended CONNECT as the upgrade request it stands for, in place. */
export function connectAsRequest(headers: RequestHeaders): void {
  headers.method = 'GET'
  headers.set('upgrade', headers.protocol)
  headers.set('connection', 'upgrade')
}

/** The answer to an extended CONNECT, in place: 200 accepts the upgrade, anything else is an ordinary response. */
export function responseAsUpgrade(headers: ResponseHeaders, type: string): void {
  if (headers.status === 200) headers.status = 101
  headers.set('upgrade', type)
  headers.set('connection', 'upgrade')
}

/** The answer to an upgrade request as that to an extended CONNECT, in place. */
export function responseAsConnect(headers: ResponseHeaders): void {
  if (headers.status === 101) headers.status = 200
  headers.delete('upgrade')
  headers.delete('connection')
  if (headers.get('content-length') === '0') headers.delete('content-length')
}
