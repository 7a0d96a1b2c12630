/**
 * `x-forwarded-client-cert`: who the caller proved to be, passed on (Envoy: `forward_client_cert_details`; features.md
 * §2.9). Without a client certificate nobody is believed, unless the header is always forwarded.
 */
import type { RequestHeaders } from '../codec/header-map.ts'
import type { TlsInfo } from '../observability/stream-info.ts'

export interface ClientCertPolicy {
  readonly mode: 'SANITIZE' | 'FORWARD_ONLY' | 'APPEND_FORWARD' | 'SANITIZE_SET' | 'ALWAYS_FORWARD_ONLY'
  readonly cert: boolean
  readonly chain: boolean
  readonly subject: boolean
  readonly uri: boolean
  readonly dns: boolean
}

const NAME = 'x-forwarded-client-cert'

/** Changes the header in place. `present`: the request has one. */
export function forwardClientCert(
  headers: RequestHeaders,
  policy: ClientCertPolicy,
  tls: TlsInfo | undefined,
  present: boolean,
): void {
  const { mode } = policy
  if (mode === 'ALWAYS_FORWARD_ONLY') return
  if (mode === 'SANITIZE' || tls === undefined || tls.peerFingerprint256 === '') {
    if (present) headers.delete(NAME)
    return
  }
  if (mode === 'FORWARD_ONLY') return
  const text = detailsOf(tls, policy)
  if (mode === 'APPEND_FORWARD') headers.appendJoined(NAME, text)
  else headers.set(NAME, text)
}

/** What was written last for a session: the same for all its requests, unless the listener changes. */
const written = new WeakMap<TlsInfo, { readonly policy: ClientCertPolicy; readonly text: string }>()

function detailsOf(tls: TlsInfo, policy: ClientCertPolicy): string {
  const known = written.get(tls)
  if (known?.policy === policy) return known.text
  const text = writeDetails(tls, policy)
  written.set(tls, { policy, text })
  return text
}

function writeDetails(tls: TlsInfo, policy: ClientCertPolicy): string {
  const details = tls.localUriSans.map(uri => `By=${uri}`)
  details.push(`Hash=${tls.peerFingerprint256}`)
  if (policy.cert && tls.peerCertificate !== undefined) details.push(`Cert="${tls.peerCertificate()}"`)
  if (policy.chain && tls.peerCertificateChain !== undefined) details.push(`Chain="${tls.peerCertificateChain()}"`)
  if (policy.subject) details.push(`Subject="${tls.peerSubject}"`)
  // Envoy writes the key for a certificate without one, too.
  if (policy.uri) details.push(...(tls.peerUriSans.length > 0 ? tls.peerUriSans : ['']).map(uri => `URI=${uri}`))
  if (policy.dns) for (const name of tls.peerDnsSans) details.push(`DNS=${name}`)
  return details.join(';')
}
