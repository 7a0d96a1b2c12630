/** What a failure looks like from outside of a sidecar: headers, bodies, access log, `/failures`, and what settings do. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw, TestClient } from '../kit/http-client.ts'
import { Http2TestClient } from '../kit/http2-client.ts'
import { goAway } from '../kit/http2-frames.ts'
import { HTTP2_UPSTREAM, localCluster, type OneListener, oneListener, zipkinProvider } from '../kit/one-listener.ts'
import { temporaryFolder } from '../kit/proxy-process.ts'
import { TlsFiles } from '../kit/tls-files.ts'
import { waitFor } from '../kit/wait-for.ts'
import { FrameServer } from '../unit/upstream/frame-server.ts'

const ACCESS_LOG = 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog'
const FORMAT = ['ORIGIN', 'CAUSE', 'ROLE', 'PATH', 'CONFIDENCE'].map(part => `%FAILURE(${part})%`).join(' ')

/** The way out of service c to d. */
const configOf = (port: number, upstream: number, more: Partial<OneListener> = {}) =>
  oneListener({ service: 'c', direction: 'OUTBOUND', port, clusters: [localCluster('d', upstream)], ...more })

const logTo = (path: string) => ({
  name: 'envoy.access_loggers.file',
  typed_config: {
    '@type': ACCESS_LOG,
    path,
    log_format: { text_format_source: { inline_string: `${FORMAT}\n` } },
  },
})

const ENVOYS = /^upstream connect error or disconnect\/reset before headers/
const FOR_PEOPLE = /^d is refusing connections \(seen by c, \d+ ms ago, failure [0-9a-f]{16}\)\n$/

test('a refused connection: header, body, access log and /failures say the same', async () => {
  const [port, dead] = await freePorts(2)
  const accessLog = join(temporaryFolder(), 'access.log')
  await using sidecar = await startHopwise(configOf(port!, dead!, { manager: { access_log: [logTo(accessLog)] } }), {
    args: ['--file-flush-interval-msec', '100'],
  })
  const plain = await fetchRaw(port!, {})
  assert.match(plain.text, ENVOYS)
  const status = plain.header('proxy-status') ?? ''
  assert.match(
    status,
    /^c; error=connection_refused; failure-origin=d; failure-cause=connect_refused; failure-link="c>d"/,
  )
  const id = /failure-id=([0-9a-f]{16})/.exec(status)?.[1]
  const json = await fetchRaw(port!, { headers: { accept: 'application/json' } })
  const { error, origin, cause, link, message } = JSON.parse(json.text) as Record<string, string>
  assert.deepEqual([origin, cause, link], ['d', 'connect_refused', 'c>d'])
  assert.match(error!, ENVOYS)
  assert.match(`${message}\n`, FOR_PEOPLE)
  const list = async (query: string) =>
    (JSON.parse(await sidecar.admin(`/failures?format=json${query}`)) as { failures: { id: string; at: number }[] })
      .failures
  const all = await list('')
  assert.deepEqual(
    (await list(`&id=${id}`)).map(one => one.id),
    [id],
  )
  assert.equal((await list('&since=1h')).length, all.length)
  // From the second on: of all, those at that time or after.
  assert.equal((await list(`&since=${all[1]!.at}`)).length, all.filter(({ at }) => at >= all[1]!.at).length)
  assert.equal((await list('&since=2999-01-01T00:00:00Z')).length, 0)
  assert.match(await sidecar.admin(`/failures/${id}`), / role=origin origin=d cause=connect_refused link=c>d /)
  await waitFor(() => readFileSync(accessLog, 'utf8').split('\n').length >= 3, {
    deadlineMs: 20_000,
    what: 'the access log',
  })
  assert.equal(readFileSync(accessLog, 'utf8').split('\n')[0], 'd connect_refused origin d,c exact')
})

test('bodies for people, where node or listener says so; the listener has the last word', async () => {
  for (const [given, expected] of [
    [{ nodeSettings: { bodies: 'human' } }, FOR_PEOPLE],
    [{ listenerSettings: { bodies: 'human' } }, FOR_PEOPLE],
    [{ nodeSettings: { bodies: 'human' }, listenerSettings: { bodies: 'envoy' } }, ENVOYS],
  ] as const) {
    const [port, dead] = await freePorts(2)
    await using _sidecar = await startHopwise(configOf(port!, dead!, given))
    assert.match((await fetchRaw(port!, {})).text, expected)
  }
})

test('without any name a service is called after its file, and one warning says so; [] trusts nobody', async () => {
  const record =
    'x; failure-origin=x; failure-cause=app_error; failure-link=x; failure-path=x; failure-confidence=exact; failure-id=abcdef0123456789'
  const upstream = await FakeUpstream.start(() => ({ status: 500, headers: [['proxy-status', record]] }))
  try {
    const ports = await freePorts(2)
    const originOf = async (port: number) =>
      /failure-origin=(\w+)/.exec((await fetchRaw(port, {})).header('proxy-status') ?? '')?.[1]
    await using trusting = await startHopwise(configOf(ports[0]!, upstream.port, { service: undefined }))
    assert.equal(await originOf(ports[0]!), 'x')
    const [failure] = (JSON.parse(await trusting.admin('/failures?format=json')) as { failures: { service: string }[] })
      .failures
    // The configuration of this process is a file `envoy.yaml`.
    assert.equal(failure!.service, 'envoy')
    assert.equal(trusting.process.output.split('no service name').length - 1, 1)
    const nodeSettings = { trusted_peers: [] }
    await using _sidecar = await startHopwise(configOf(ports[1]!, upstream.port, { nodeSettings }))
    assert.equal(await originOf(ports[1]!), 'd')
  } finally {
    await upstream.close()
  }
})

test('a request whose head is refused is a failure of whoever sent it, and its answer says so', async () => {
  const [egress, ingress, dead] = await freePorts(3)
  const clusters = [localCluster('d', dead!), localCluster('collector', dead!)]
  const traced = { clusters, manager: { tracing: { provider: zipkinProvider() } } }
  const large = { headers: { 'x-large': 'x'.repeat(62_000) } }
  await using out = await startHopwise(configOf(egress!, dead!, traced))
  const refused = await fetchRaw(egress!, large)
  assert.equal(refused.status, 431)
  assert.match(refused.header('proxy-status')!, /failure-origin=c; failure-cause=too_large/)
  await using into = await startHopwise(configOf(ingress!, dead!, { ...traced, direction: 'INBOUND' }))
  const fromOutside = await fetchRaw(ingress!, large)
  assert.match(fromOutside.header('proxy-status')!, /failure-origin=downstream; failure-cause=too_large/)
  const broken = await TestClient.connect(ingress!)
  const answer = await broken.request('GET / HTTP/1.1\r\nno header\r\n\r\n')
  assert.match(answer.header('proxy-status')!, /failure-origin=downstream; failure-cause=protocol_error/)
  // Over HTTP/2 the stream is reset, and there is no answer that could say anything.
  for (const [port, sidecar, origin] of [
    [egress, out, 'c'],
    [ingress, into, 'downstream'],
  ] as const) {
    const client = await Http2TestClient.connect(port!)
    await assert.rejects(client.request(large))
    client.session.destroy()
    const of = `origin="${origin}",cause="too_large"`
    await waitFor(async () => new RegExp(`role="origin",${of}.*} 2`).test(await sidecar.admin('/stats/prometheus')), {
      what: of,
    })
  }
})

test('an upstream that wants a certificate says so after the handshake, over HTTP/2 too', async () => {
  const files = new TlsFiles()
  const { chain, key } = files.issue('d', { dns: ['d'] })
  const ca = files.authority.certificate
  const server = createSecureServer({ cert: chain, key, ca, requestCert: true, rejectUnauthorized: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const [port] = await freePorts(1)
  const d = {
    ...localCluster('d', (server.address() as AddressInfo).port),
    ...HTTP2_UPSTREAM,
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        common_tls_context: { alpn_protocols: ['h2'], tls_params: { tls_maximum_protocol_version: 'TLSv1_3' } },
      },
    },
  }
  await using _ = await startHopwise(configOf(port!, 0, { clusters: [d] }))
  const answer = await fetchRaw(port!, {})
  server.close()
  assert.match(answer.header('proxy-status')!, /failure-origin=d; failure-cause=tls:client_cert_required/)
})

test('what an HTTP/2 upstream says when it cuts a connection off stands in the record, and Envoy’s words stay as they are', async () => {
  await using server = await FrameServer.start(({ socket }, streamId) => {
    socket.end(goAway(streamId, 0xb, 'too_many_pings'))
  })
  const d = { ...localCluster('d', server.port), ...HTTP2_UPSTREAM }
  const [port] = await freePorts(1)
  await using sidecar = await startHopwise(configOf(port!, 0, { clusters: [d] }))
  const answer = await fetchRaw(port!, {})
  assert.equal(
    answer.text,
    'upstream connect error or disconnect/reset before headers. reset reason: connection termination',
  )
  assert.match(answer.header('proxy-status')!, /failure-origin=d; failure-cause=terminated/)
  const { failures } = JSON.parse(await sidecar.admin('/failures?format=json')) as { failures: { details: string }[] }
  assert.match(failures[0]!.details, /: GOAWAY ENHANCE_YOUR_CALM: too_many_pings$/)
})
