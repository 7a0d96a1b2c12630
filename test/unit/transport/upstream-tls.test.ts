import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import tls from 'node:tls'
import { CertificateAuthority } from '../../../demo-services/certificate-authority.ts'
import { systemClock } from '../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import { decodeResource } from '../../../sidecar/config/resource.ts'
import { StatsStore } from '../../../sidecar/observability/stats-store.ts'
import type { CloseReason, Connection } from '../../../sidecar/transport/connection.ts'
import { UpstreamTls } from '../../../sidecar/transport/tls/upstream-tls.ts'

const timers = new TimerWheel(systemClock)
after(() => timers.close())

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version}: a resumed session still knows its peer, and is still checked`, async () => {
    const authority = new CertificateAuthority()
    const site = authority.issue({ uris: ['spiffe://td/b'], dns: ['b.test'] })
    const server = tls.createServer({ cert: site.chain, key: site.key, maxVersion: version }, socket => {
      socket.on('error', () => {})
      socket.write('hello')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { value, errors } = decodeResource(
      'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      JSON.stringify({
        sni: 'b.test',
        common_tls_context: {
          tls_params: { tls_maximum_protocol_version: 'TLSv1_3' },
          validation_context: {
            trusted_ca: { inline_string: authority.certificate },
            match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: 'spiffe://td/b' } }],
          },
        },
      }),
      { source: 'test.json' },
    )
    assert.deepEqual(errors, [])
    const secrets = { secret: () => ({ current: undefined }), watch() {} }
    let allowed = true
    const compileMatcher = () => () => allowed
    const upstream = new UpstreamTls(value!, { secrets, compileMatcher }, systemClock)
    const stats = new StatsStore()
    upstream.useStats(stats)
    /** The peer's names, or why there is no connection. */
    const connect = () =>
      new Promise<readonly string[] | CloseReason>(resolve => {
        const address = { ip: '127.0.0.1', port: (server.address() as AddressInfo).port }
        let connection: Connection
        const handler = {
          onConnected() {},
          // By then the ticket of the session has come.
          onData: () => setTimeout(() => connection.close(), 50),
          onEnd() {},
          onBackpressure() {},
          onClose: (reason: CloseReason) => resolve(connection.tls?.peerUriSans ?? reason),
        }
        const target = { address, hostname: '', serverName: '', wantedName: '' }
        connection = upstream.connect(target, { connectTimeoutMs: 5000, bufferLimitBytes: 65_536 }, handler, timers)
      })
    assert.deepEqual(await connect(), ['spiffe://td/b'])
    assert.deepEqual(await connect(), ['spiffe://td/b'])
    assert.equal(stats.scope('ssl').counter('session_reused').value, 1)
    allowed = false
    const refused = (await connect()) as CloseReason
    assert.equal(refused.tlsCause, 'san_mismatch')
    server.close()
  })
}
