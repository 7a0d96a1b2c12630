/**
 * Names of services, as they stand in records, headers and labels.
 *
 * A name that came over the wire must match {@link isServiceName} or its record is refused: names end up in metrics, logs
 * and headers, so nothing may smuggle a separator, a quote or a line break into them. Names of our own configuration are
 * made to match instead.
 */

const MAX_NAME = 128
const NAME = /^[A-Za-z0-9._/-]{1,128}$/

export function isServiceName(text: string): boolean {
  return NAME.test(text)
}

/** `text` with every character that a name may not have replaced by `-`; `unknown` when nothing is left. */
export function safeServiceName(text: string): string {
  if (NAME.test(text)) return text
  const safe = text.replace(/[^A-Za-z0-9._/-]+/g, '-').slice(0, MAX_NAME)
  return safe === '' || safe === '-' ? 'unknown' : safe
}

/** `outbound|80||b.ns.svc.cluster.local` (Istio) gives `b.ns`; every other cluster name names itself. */
export function serviceNameOfCluster(clusterName: string): string {
  const parts = clusterName.split('|')
  if (parts.length !== 4 || (parts[0] !== 'outbound' && parts[0] !== 'inbound')) return safeServiceName(clusterName)
  const host = parts[3]!
  const svc = host.indexOf('.svc')
  return safeServiceName(svc > 0 ? host.slice(0, svc) : host)
}

/**
 * Service of an authenticated peer from its SPIFFE id. `/ns/<ns>/sa/<account>` (Istio) gives `<account>.<ns>`, which is
 * the name a service has when each runs under its own account; any other path gives its segments joined by dots, last
 * first (`spiffe://td/shop/orders` gives `orders.shop`). '' when the URI is no SPIFFE id with a path.
 */
export function serviceOfSpiffe(uri: string): string {
  const match = /^spiffe:\/\/[^/]+\/(.+)$/.exec(uri)
  if (match === null) return ''
  const segments = match[1]!.split('/').filter(segment => segment !== '')
  if (segments.length === 4 && segments[0] === 'ns' && segments[2] === 'sa') {
    return safeServiceName(`${segments[3]}.${segments[1]}`)
  }
  return segments.length === 0 ? '' : safeServiceName(segments.reverse().join('.'))
}

/** Trust domain of a SPIFFE id, '' when it is none. */
export function trustDomainOf(uri: string): string {
  return /^spiffe:\/\/([^/]+)/.exec(uri)?.[1] ?? ''
}
