/** TLS with two worker threads: sessions and secrets are the whole process's, not one thread's. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { request } from '../kit/tls-client.ts'
import { TlsFiles } from '../kit/tls-files.ts'
import { waitFor } from '../kit/wait-for.ts'

/** So many connections that it is as good as impossible for all of them to have come to one worker. */
const MANY = 40

const files = new TlsFiles()
const secrets = join(files.folder, 'secret')

function publish(version: string): string {
  files.publish(secrets, version, files.authority.issue({ subject: { CN: version }, dns: ['a.test'] }))
  return `${version} ec`
}

test('a session made by one worker is resumed by the other, and both take a new certificate', async () => {
  const first = publish('v1')
  const sds = files.secretFile('server', `${secrets}/..data`, secrets)
  const port = await freePort()
  await using proxy = await startHopwise(
    `static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ok}}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificate_sds_secret_configs: [{name: server, sds_config: {path_config_source: {path: ${sds}}}}]
`,
    { args: ['--concurrency', '2'] },
  )
  const at = (worker: number) => proxy.stat(`listener.127.0.0.1_${port}.worker_${worker}.downstream_cx_total`)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const { answer, session, certificate } = await request(port, '/', { maxVersion }, true)
    assert.deepEqual([answer, certificate], ['200 ok', first])
    const again = await Promise.all(
      Array.from({ length: MANY }, () => request(port, '/', { maxVersion, session: session! })),
    )
    assert.deepEqual(
      again.map(one => `${one.answer} ${one.reused}`),
      Array.from({ length: MANY }, () => '200 ok true'),
    )
  }
  for (const worker of [0, 1]) assert.ok((await at(worker)) > 0, `worker ${worker} has served`)
  const second = publish('v2')
  const shown = async () =>
    (await Promise.all(Array.from({ length: MANY }, () => request(port, '/')))).map(one => one.certificate)
  await waitFor(async () => (await shown()).every(certificate => certificate === second), {
    what: 'the second certificate from both workers',
    deadlineMs: 20_000,
  })
})
