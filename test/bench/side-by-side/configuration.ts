/** The configuration that both proxies get, byte for byte the same but for the ports. */

import { CertificateAuthority } from '../../../demo-services/certificate-authority.ts'

export interface BenchPorts {
  readonly admin: number
  /** One listener each; what they differ in is in {@link benchConfiguration}. */
  readonly plain: number
  readonly routes: number
  readonly traced: number
  readonly inbound: number
  readonly outbound: number
  readonly tls: number
  /** HTTP/2 by prior knowledge, to an upstream that speaks it as well. */
  readonly http2: number
}

/** Where the upstreams of the benchmarks listen. */
export interface UpstreamPorts {
  readonly http1: number
  readonly http2: number
}

export const ROUTES = 50

function listener(
  name: string,
  port: number,
  options: { sampling?: number; routes?: string; cluster?: string; direction?: string; transport?: string },
): string {
  const { sampling = 1, cluster = 'upstream', direction } = options
  const routes = options.routes ?? `{match: {prefix: /}, route: {cluster: ${cluster}}}`
  return `  - name: ${name}
    address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
${direction === undefined ? '' : `    traffic_direction: ${direction}\n`}    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ${name}
          tracing:
            random_sampling: {value: ${sampling}}
            provider:
              name: envoy.tracers.zipkin
              typed_config:
                "@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig
                collector_cluster: collector
                collector_endpoint: /api/v2/spans
                collector_endpoint_version: HTTP_JSON
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [${routes}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
${options.transport ?? ''}`
}

const HTTP2 = `    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
`

function cluster(name: string, port: number, protocol = ''): string {
  return `  - name: ${name}
    type: STATIC
    load_assignment:
      cluster_name: ${name}
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]
${protocol}`
}

/** The same certificate for both: an EC key, as meshes have them. */
const certificate = new CertificateAuthority('bench').issue({
  dns: ['bench.test'],
  uris: ['spiffe://bench/ns/n/sa/bench'],
})

function tlsTransport(): string {
  const inline = (text: string) => `{inline_string: ${JSON.stringify(text)}}`
  return `      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - {certificate_chain: ${inline(certificate.chain)}, private_key: ${inline(certificate.key)}}
`
}

/** A listener per kind of work, all to one upstream; `inbound` calls `outbound` as if there were an application between. */
export function benchConfiguration(ports: BenchPorts, upstreams: UpstreamPorts): string {
  // The path that is asked for matches the last one.
  const routes = Array.from(
    { length: ROUTES },
    (_, i) => `{match: {prefix: /service-${String(i).padStart(2, '0')}/}, route: {cluster: upstream}}`,
  ).join(', ')
  return `admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${ports.admin}}}}
node: {id: bench, cluster: bench}
static_resources:
  listeners:
${listener('plain', ports.plain, {})}${listener('routes', ports.routes, { routes })}${listener('traced', ports.traced, { sampling: 100 })}${listener('inbound', ports.inbound, { cluster: 'outbound', direction: 'INBOUND' })}${listener('outbound', ports.outbound, { direction: 'OUTBOUND' })}${listener('tls', ports.tls, { transport: tlsTransport() })}${listener('http2', ports.http2, { cluster: 'http2-upstream' })}  clusters:
${cluster('upstream', upstreams.http1)}${cluster('http2-upstream', upstreams.http2, HTTP2)}${cluster('outbound', ports.outbound)}${cluster('collector', upstreams.http1)}`
}
