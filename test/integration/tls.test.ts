/** TLS through a whole sidecar: rotation under load, chains by SNI, mutual TLS between two sidecars, the seed's HTTPS site. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type tls from 'node:tls'
import { CertificateAuthority } from '../../demo-services/certificate-authority.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { TlsFiles } from '../kit/tls-files.ts'
import { waitFor } from '../kit/wait-for.ts'

const manager = (cluster: string, extra = '') => `
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          ${extra}
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: ${cluster}}}]}]}
          http_filters: [{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]`
const cluster = (name: string, port: number, extra = '') => `
  - {name: ${name}, type: STATIC, load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]}${extra}}`
const listener = (port: number, filters: string, socket: string, match = '') => `
  - address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
    traffic_direction: INBOUND
    filter_chains:
    - ${match}filters: ${filters}
${socket}`
const downstream = (common: string, extra = '') => `      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, ${extra}common_tls_context: {${common}}}`
const upstream = (common: string, extra = '') =>
  `, transport_socket: {name: envoy.transport_sockets.tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, ${extra}common_tls_context: {${common}}}}`

interface Answer {
  readonly status: number
  readonly body: string
  readonly serial: string
}

function get(port: number, options: https.RequestOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = https.get(
      { host: '127.0.0.1', port, rejectUnauthorized: false, agent: false, ...options },
      response => {
        const serial = (response.socket as tls.TLSSocket).getPeerCertificate().serialNumber
        let body = ''
        response.on('data', chunk => {
          body += chunk
        })
        response.on('end', () => resolve({ status: response.statusCode!, body, serial }))
      },
    )
    request.on('error', reject)
  })
}

test('a certificate rotates behind a link that Kubernetes turns, under load, and nothing is lost', async () => {
  const files = new TlsFiles()
  const secrets = join(files.folder, 'secret')
  mkdirSync(secrets)
  const publish = (version: string, chain: string, key: string) => files.publish(secrets, version, { chain, key })
  const first = files.authority.issue({ dns: ['a.test'] })
  publish('v1', first.chain, first.key)
  for (const file of ['tls.crt', 'tls.key']) symlinkSync(`..data/${file}`, join(secrets, file))
  const sds = files.secretFile('server', secrets, secrets)
  const origin = await FakeUpstream.start()
  origin.script = [{ status: 200, body: 'ok' }]
  const [port] = await freePorts(1)
  const config = `static_resources:
  listeners:${listener(port!, manager('origin'), downstream(`tls_certificate_sds_secret_configs: [{name: server, sds_config: {path_config_source: {path: ${sds}}}}]`))}
  clusters:${cluster('origin', origin.port)}
`
  const proxy = await startHopwise(config)
  try {
    const serials = new Set<string>()
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 })
    let stop = false
    const standing = (async () => {
      let served = 0
      while (!stop) {
        assert.equal((await get(port!, { agent })).status, 200)
        served++
      }
      return served
    })()
    const fresh = (async () => {
      while (!stop) {
        const { status, serial } = await get(port!)
        assert.equal(status, 200)
        serials.add(serial)
      }
    })()
    const second = files.authority.issue({ dns: ['a.test'] })
    await waitFor(() => serials.size === 1, { what: 'a request by the first certificate', deadlineMs: 20_000 })
    publish('v2', second.chain, second.key)
    await waitFor(() => serials.has(second.serial.toString('hex').toUpperCase()), {
      what: 'the second certificate',
      deadlineMs: 20_000,
    })
    // A key that is another's is not taken; the good one stays.
    publish('v3', first.chain, second.key)
    await waitFor(() => proxy.process.output.includes('the last good one stays'), {
      what: 'the refusal in the log',
      deadlineMs: 20_000,
    })
    stop = true
    assert.ok((await standing) > 0)
    await fresh
    assert.equal(serials.size, 2)
    assert.equal((await get(port!)).serial, second.serial.toString('hex').toUpperCase())
    const stats = await proxy.stats('ssl_context_update_by_sds')
    assert.equal(
      [...stats.values()].reduce((sum, value) => sum + value, 0),
      2,
    )
    agent.destroy()
  } finally {
    await proxy.stop()
    await origin.close()
    rmSync(secrets, { recursive: true })
  }
})

test('two sidecars speak mutual TLS; a stranger is turned away and the failure is called tls', async () => {
  const files = new TlsFiles()
  files.issue('b', { uris: ['spiffe://mesh/ns/shop/sa/b'] })
  files.issue('a', { uris: ['spiffe://mesh/ns/shop/sa/a'] })
  files.issue('x', { uris: ['spiffe://mesh/ns/shop/sa/a'] }, new CertificateAuthority('another'))
  const origin = await FakeUpstream.start()
  origin.script = [{ status: 200, body: 'ok' }]
  const [inbound, plain] = await freePorts(2)
  const plaintext = http.createServer().listen(0, '127.0.0.1')
  await once(plaintext, 'listening')
  const trusted = `trusted_ca: {filename: ${files.caPath}}`
  const peer = (identity: string, name: string) =>
    upstream(
      `tls_params: {tls_maximum_protocol_version: TLSv1_3}, tls_certificates: [${files.certificate(identity)}], validation_context: {${trusted}, match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://mesh/ns/shop/sa/${name}"}}]}`,
      'sni: b.shop, ',
    )
  const b = await startHopwise(`node: {cluster: b, id: b}
static_resources:
  listeners:${listener(inbound!, manager('origin', 'forward_client_cert_details: SANITIZE_SET'), downstream(`tls_certificates: [${files.certificate('b')}], validation_context: {${trusted}}`, 'require_client_certificate: true, '))}
  clusters:${cluster('origin', origin.port)}
`)
  const routes = ['good', 'stranger', 'wrong-name', 'plaintext']
  const a = await startHopwise(`node: {cluster: a, id: a}
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: ${plain}}}
    traffic_direction: OUTBOUND
    filter_chains:
    - filters: ${manager('good').replace(/routes: \[.*?\]\}\]/, `routes: [${routes.map(name => `{match: {prefix: /${name}}, route: {cluster: ${name}}}`).join(', ')}]}]`)}
  clusters:${cluster('good', inbound!, peer('a', 'b'))}${cluster('stranger', inbound!, peer('x', 'b'))}${cluster('wrong-name', inbound!, peer('a', 'c'))}${cluster('plaintext', (plaintext.address() as AddressInfo).port, peer('a', 'b'))}
`)
  try {
    const call = (path: string) => fetch(`http://127.0.0.1:${plain}/${path}`)
    assert.equal((await call('good')).status, 200)
    const [request] = origin.requests
    const xfcc = request!.headers.find(([name]) => name === 'x-forwarded-client-cert')?.[1]
    assert.match(xfcc!, /^By=spiffe:\/\/mesh\/ns\/shop\/sa\/b;Hash=[0-9a-f]{64}$/)
    const causes: Record<string, RegExp> = {
      'wrong-name': /failure-cause=tls:san_mismatch/,
      plaintext: /failure-cause=tls:plaintext_peer/,
      // Under TLS 1.3 only the side that refuses knows why.
      stranger: /failure-link="a>b\.shop"/,
    }
    for (const [path, cause] of Object.entries(causes)) {
      const answer = await call(path)
      assert.equal(answer.status, 503, path)
      assert.match(answer.headers.get('proxy-status') ?? '', cause, path)
    }
    assert.match(
      a.process.output,
      /cluster \\"wrong-name\\" \(.*envoy\.yaml:\d+\): the peer's certificate is for another name/,
    )
    const stats = await b.stats('ssl\\.')
    const count = (suffix: string) => [...stats].find(([name]) => name.endsWith(suffix))?.[1]
    assert.ok(count('ssl.handshake')! >= 1)
    assert.ok(count('ssl.fail_verify_error')! >= 1)
  } finally {
    await a.stop()
    await b.stop()
    await origin.close()
    plaintext.close()
  }
})

test('a record is believed of a peer of our own trust domain, and of another one only where that is named', async () => {
  const files = new TlsFiles()
  const other = new CertificateAuthority('another')
  files.issue('a', { uris: ['spiffe://mesh/shop/a'] })
  files.issue('own', { uris: ['spiffe://mesh/shop/b'] })
  files.issue('foreign', { uris: ['spiffe://other/shop/b'] }, other)
  const validation = `validation_context: {trusted_ca: {filename: ${files.write('both.pem', files.authority.certificate + other.certificate)}}}`
  const application = await FakeUpstream.start()
  application.script = [{ status: 500, body: 'no' }]
  const [own, foreign, plain, naming] = await freePorts(4)
  const inbound = (name: string, port: number) =>
    listener(
      port,
      manager('application'),
      downstream(`tls_certificates: [${files.certificate(name)}], ${validation}`, 'require_client_certificate: true, '),
    )
  const b = await startHopwise(`node: {cluster: b, id: b}
static_resources:
  listeners:${inbound('own', own!)}${inbound('foreign', foreign!)}
  clusters:${cluster('application', application.port)}
`)
  const caller = (port: number, settings: string) => {
    const socket = upstream(`tls_certificates: [${files.certificate('a')}], ${validation}`)
    const routes = ['own', 'foreign'].map(name => `{match: {prefix: /${name}}, route: {cluster: ${name}}}`).join(', ')
    return startHopwise(`node: {cluster: a, id: a, metadata: {hopwise: {${settings}}}}
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
    traffic_direction: OUTBOUND
    filter_chains:
    - filters: ${manager('own').replace(/routes: \[.*?\]\}\]/, `routes: [${routes}]}]`)}
  clusters:${cluster('own', own!, socket)}${cluster('foreign', foreign!, socket)}
`)
  }
  const [a, namingA] = await Promise.all([caller(plain!, ''), caller(naming!, 'trust_domains: [other]')])
  try {
    const record = async (port: number, path: string) => {
      const answer = await fetch(`http://127.0.0.1:${port}/${path}`)
      assert.equal(answer.status, 500)
      const { headers } = answer
      const member = (headers.get('proxy-status') ?? '').split(', ').at(-1) ?? ''
      return ['path', 'confidence'].map(name => new RegExp(`failure-${name}="?([^;"]*)`).exec(member)?.[1]).join(' ')
    }
    // The sidecar of b knows that it was its application; without its word, its caller knows of the link alone.
    const told: Record<string, string> = {}
    for (const path of ['own', 'foreign']) {
      told[path] = await record(plain!, path)
      told[`${path}, where other is named`] = await record(naming!, path)
    }
    assert.deepEqual(told, {
      own: 'b,a exact',
      'own, where other is named': 'b,a exact',
      foreign: 'foreign,a link',
      'foreign, where other is named': 'b,a exact',
    })
  } finally {
    await Promise.all([a.stop(), namingA.stop(), b.stop()])
    await application.close()
  }
})

test('seed 002 reaches its HTTPS site: the right SNI, Host and scheme', async () => {
  const files = new TlsFiles()
  const site = files.authority.issue({ dns: ['www.envoyproxy.io'] })
  const seen: { sni: string; host: string; proto: string }[] = []
  const server = https.createServer({ cert: site.chain, key: site.key }, (request, response) => {
    const { servername } = request.socket as unknown as { servername: string }
    seen.push({ sni: servername, host: request.headers.host!, proto: String(request.headers['x-forwarded-proto']) })
    response.end('the site')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const [listen, admin] = await freePorts(2)
  // The file as it stands, but for what this machine cannot give: its ports, and the name (by a hosts file of the test).
  const seed = readFileSync(join(import.meta.dirname, '../seed-configs/002-docker-sample.yaml'), 'utf8')
    .replaceAll('0.0.0.0', '127.0.0.1')
    .replace('port_value: 10000', `port_value: ${listen}`)
    .replace('port_value: 9901', `port_value: ${admin}`)
    .replace('address: www.envoyproxy.io', 'address: localhost')
    .replace('port_value: 443', `port_value: ${port}`)
  const proxy = await startHopwise(seed, { adminPort: admin! })
  try {
    const answer = await fetch(`http://127.0.0.1:${listen}/`)
    assert.equal(await answer.text(), 'the site')
    assert.deepEqual(seen, [{ sni: 'www.envoyproxy.io', host: 'www.envoyproxy.io', proto: 'https' }])
  } finally {
    await proxy.stop()
    server.closeAllConnections()
    server.close()
  }
})
