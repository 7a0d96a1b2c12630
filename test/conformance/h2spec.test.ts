/**
 * A Hopwise process before h2spec, as users run it: HTTP/2 by prior knowledge or by ALPN under TLS, passed on over HTTP/2 or
 * HTTP/1.1. Real Envoy 1.40 passes 134 of the 145 cases.
 *
 * `codec_type: HTTP2`, because with AUTO a broken preface is a request of HTTP/1.1, and answered so. No direct responses:
 * they come before a request's mistake does, as RFC 9113 §8.1 allows and h2spec does not foresee.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePort } from '../kit/free-port.ts'
import { runH2spec } from '../kit/h2spec.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { startEchoServer } from '../kit/http2-echo-server.ts'
import { TlsFiles } from '../kit/tls-files.ts'

const CASES = 145

const files = new TlsFiles()
files.issue('server', { dns: ['localhost'] })
const TLS = `
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context: {tls_certificates: [${files.certificate('server')}], alpn_protocols: [h2]}`

function configuration(port: number, cluster: string, transport: string): string {
  return `static_resources:
  listeners:
  - name: h2spec
    address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: h2spec
          codec_type: HTTP2
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: upstream}}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}${transport}
  clusters: [${cluster}]
`
}

function clusterOf(port: number, http2: boolean): string {
  const options = `"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions,
      explicit_http_config: {${http2 ? 'http2_protocol_options' : 'http_protocol_options'}: {}}`
  const endpoint = `{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}`
  return `{name: upstream, type: STATIC,
    load_assignment: {cluster_name: upstream, endpoints: [{lb_endpoints: [${endpoint}]}]},
    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {${options}}}}`
}

const http2 = await startEchoServer()
const http1 = await FakeUpstream.start(() => ({ status: 200, body: 'as long as a window game needs it' }))
after(async () => {
  await http2.close()
  await http1.close()
})

for (const [downstream, transport, args] of [
  ['plaintext', '', []],
  ['TLS', TLS, ['--tls', '--insecure']],
] as const) {
  for (const [upstream, cluster] of [
    ['HTTP/2', clusterOf(http2.port, true)],
    ['HTTP/1.1', clusterOf(http1.port, false)],
  ] as const) {
    test(`all ${CASES} cases of h2spec pass over ${downstream}, with an upstream of ${upstream}`, async () => {
      const port = await freePort()
      const hopwise = await startHopwise(configuration(port, cluster, transport))
      try {
        assert.deepEqual(await runH2spec(port, args), { passed: CASES, skipped: [], failed: [] })
      } finally {
        await hopwise.stop()
      }
    })
  }
}
