/**
 * TLS beside the real Envoy: both get the same configuration and the same certificates, clients and servers of Node stand
 * at their ends; status, body, headers to the upstream (XFCC to the byte), access log and stats are compared.
 *
 * What differs on purpose stands in allowed-differences.ts, suite `tls`.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net, { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CertificateAuthority, daysFromNow } from '../../demo-services/certificate-authority.ts'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { TlsFiles } from '../kit/tls-files.ts'
import { waitFor } from '../kit/wait-for.ts'
import { assertSameFields } from './field-by-field.ts'

const LOG =
  '%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% sni=%REQUESTED_SERVER_NAME% chain=%FILTER_CHAIN_NAME% ' +
  'd=%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_DNS_SAN% ' +
  '%DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_ISSUER% %DOWNSTREAM_PEER_FINGERPRINT_256% %DOWNSTREAM_PEER_FINGERPRINT_1% ' +
  '%DOWNSTREAM_PEER_SERIAL% %DOWNSTREAM_PEER_CERT_V_START% %DOWNSTREAM_PEER_CERT_V_END% %DOWNSTREAM_LOCAL_URI_SAN% ' +
  '%DOWNSTREAM_LOCAL_DNS_SAN% %DOWNSTREAM_LOCAL_SUBJECT% u=%UPSTREAM_TLS_VERSION% %UPSTREAM_TLS_CIPHER% ' +
  '%UPSTREAM_PEER_URI_SAN% %UPSTREAM_SERVER_NAME% f=%UPSTREAM_TRANSPORT_FAILURE_REASON%'

const files = new TlsFiles()
const dns = ['server.test', 'alt.test']
const server = files.issue('server', {
  subject: { O: 'org', CN: 'server' },
  uris: ['spiffe://td/ns/default/sa/server', 'spiffe://td/second'],
  dns,
})
const client = files.issue('client', {
  subject: { C: 'DE', O: 'org, "x" inc', CN: 'cliént' },
  uris: ['spiffe://td/ns/default/sa/client', 'spiffe://td/two'],
  dns: ['client.test', 'c2.test'],
})
const other = new CertificateAuthority('other')
const expired = files.issue('expired', { dns, notBefore: daysFromNow(-10), notAfter: daysFromNow(-1) })
const stranger = files.issue('stranger', { dns }, other)
const nobody = files.issue('nobody', { uris: ['spiffe://td/nobody'] })
const validation = `validation_context: {trusted_ca: {filename: ${files.caPath}}}`
const max13 = 'tls_params: {tls_maximum_protocol_version: TLSv1_3}'

/** Clusters by name: which server, and what stands in the common TLS context. */
const CLUSTERS: Readonly<Record<string, readonly [server: string, common: string]>> = {
  ok: ['ok', validation],
  'tls13-ok': ['ok', `${validation}, ${max13}`],
  'no-validation': ['stranger', ''],
  'with-cert': ['mutual', `${validation}, tls_certificates: [${files.certificate('client')}]`],
  expired: ['expired', validation],
  stranger: ['stranger', validation],
  'no-cert': ['mutual', validation],
  'late-alert': ['mutual', `${validation}, ${max13}`],
  plaintext: ['plaintext', validation],
  closer: ['closer', validation],
  alpn: ['h2', `${validation}, alpn_protocols: [foo]`],
  version: [
    'tls12',
    `${validation}, tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}`,
  ],
  'san-exact': ['ok', match('DNS', 'exact: alt.test')],
  'san-prefix': ['ok', match('URI', 'prefix: "spiffe://td/ns/"')],
  'san-wrong': ['ok', match('DNS', 'exact: nobody.test')],
  'san-wrong-type': ['ok', match('URI', 'exact: server.test')],
  'hash-wrong': ['ok', pinned('verify_certificate_hash', '0'.repeat(64))],
  'accept-untrusted': [
    'stranger',
    validation.replace('{trusted_ca', '{trust_chain_verification: ACCEPT_UNTRUSTED, trusted_ca'),
  ],
}

function match(type: string, matcher: string): string {
  return validation.replace('}}', `}, match_typed_subject_alt_names: [{san_type: ${type}, matcher: {${matcher}}}]}`)
}

function pinned(field: string, value: string): string {
  return validation.replace('}}', `}, ${field}: ["${value}"]}`)
}

const upstream = await FakeUpstream.start()
upstream.script = [{ status: 200, body: 'ok' }]
const servers = new Map<string, number>()
const closing: (() => void)[] = []
after(async () => {
  await upstream.close()
  for (const close of closing) close()
})

async function listening(name: string, started: net.Server): Promise<void> {
  started.listen(0, '127.0.0.1')
  await once(started, 'listening')
  servers.set(name, (started.address() as AddressInfo).port)
  closing.push(() => started.close())
}

before(async () => {
  const answer: http.RequestListener = (request, response) => {
    response.end(`${(request.socket as unknown as { servername: string }).servername}`)
  }
  const secure = (name: string, options: https.ServerOptions) => {
    const made = https.createServer(options, answer)
    made.on('tlsClientError', () => {})
    closing.push(() => made.closeAllConnections())
    return listening(name, made)
  }
  const own = { cert: server.chain, key: server.key }
  await secure('ok', own)
  await secure('stranger', { cert: stranger.chain, key: stranger.key })
  await secure('expired', { cert: expired.chain, key: expired.key })
  await secure('mutual', { ...own, ca: files.authority.certificate, requestCert: true, rejectUnauthorized: true })
  await secure('h2', { ...own, ALPNProtocols: ['h2'] })
  await secure('tls12', { ...own, maxVersion: 'TLSv1.2' })
  await listening('plaintext', http.createServer(answer))
  await listening(
    'closer',
    net.createServer(socket => socket.on('error', () => {}).on('data', () => socket.destroy())),
  )
})

function manager(routes: string, log: string, extra = ''): string {
  return `
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          ${extra}
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: ${log}
              log_format: {text_format_source: {inline_string: ${JSON.stringify(`${LOG}\n`)}}}
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [${routes}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]`
}

const MODES = ['SANITIZE', 'FORWARD_ONLY', 'APPEND_FORWARD', 'SANITIZE_SET', 'ALWAYS_FORWARD_ONLY']

function configuration(ports: readonly number[], log: string): string {
  const details = 'set_current_client_cert_details: {subject: true, cert: true, chain: true, dns: true, uri: true}'
  const down = (common: string, extra = '') =>
    `      transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, ${extra}common_tls_context: {tls_certificates: [${files.certificate('server')}], ${common}}}}`
  const toUpstream = '{match: {prefix: /}, route: {cluster: plain}}'
  const chain = (name: string, names: string, mode: string, socket: string) => `
    - name: ${name}
${names === '' ? '' : `      filter_chain_match: {server_names: [${names}]}\n`}      filters: ${manager(toUpstream, log, `forward_client_cert_details: ${mode}\n          ${details}`)}
${socket}`
  const strict = down(match('URI', 'prefix: "spiffe://td/ns/"'), 'require_client_certificate: true, ')
  const optional = down(`${validation}, alpn_protocols: [http/1.1]`, 'require_client_certificate: false, ')
  const clusters = Object.entries(CLUSTERS).map(
    ([name, [to, common]]) =>
      `  - {name: ${name}, type: STATIC, connect_timeout: 2s, load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${servers.get(to)}}}}}]}]}, transport_socket: {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: server.test, common_tls_context: {${common}}}}}`,
  )
  return `static_resources:
  listeners:
  - name: tls
    address: {socket_address: {address: 127.0.0.1, port_value: ${ports[0]}}}
    listener_filters: [{name: tls_inspector, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]
    filter_chains:${MODES.map(mode => chain(mode, `${mode.toLowerCase().replaceAll('_', '-')}.test`, mode, optional)).join('')}${chain('strict', '"*.strict.test"', 'SANITIZE_SET', strict)}${chain('rest', '', 'SANITIZE_SET', optional)}
  - name: plain
    address: {socket_address: {address: 127.0.0.1, port_value: ${ports[1]}}}
    filter_chains:
    - filters: ${manager(
      Object.keys(CLUSTERS)
        .map(name => `{match: {path: /${name}}, route: {cluster: ${name}}}`)
        .join(', '),
      log,
    )}
  clusters:
  - {name: plain, type: STATIC, load_assignment: {cluster_name: plain, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${upstream.port}}}}}]}]}}
${clusters.join('\n')}
`
}

type ClientOptions = https.RequestOptions & { readonly ALPNProtocols?: string[] }

function send(module: typeof http | typeof https, port: number, options: ClientOptions): Promise<string> {
  return new Promise(resolve => {
    const request = module.get(
      { host: '127.0.0.1', port, agent: false, rejectUnauthorized: false, ...options },
      response => {
        let body = ''
        response.on('data', chunk => {
          body += chunk
        })
        response.on('end', () => resolve(`${response.statusCode} ${body}`))
      },
    )
    request.on('error', (error: NodeJS.ErrnoException) => {
      // OpenSSL's own words hold an address; its code does not.
      const alert = /SSL alert number (\d+)/.exec(error.message)?.[1]
      resolve(alert === undefined ? 'ended' : `alert ${alert}`)
    })
  })
}

type Start = (yaml: string, options: { args: string[] }) => Promise<ProxyProcess>

/** Everything one side did, by field. */
async function observe(start: Start, name: string): Promise<Map<string, string>> {
  const ports = await freePorts(2)
  const log = join(files.folder, `${name}.log`)
  const proxy = await start(configuration(ports, log), { args: ['--file-flush-interval-msec', '20'] })
  const fields = new Map<string, string>()
  const mask = (text: string) => text.replaceAll(String(ports[0]), '<tls>').replaceAll(String(ports[1]), '<plain>')
  try {
    for (const path of Object.keys(CLUSTERS))
      fields.set(`upstream ${path}`, await send(http, ports[1]!, { path: `/${path}` }))
    const identity = { cert: client.chain, key: client.key }
    const clients: Record<string, ClientOptions> = {}
    for (const mode of MODES) {
      const servername = `${mode.toLowerCase().replaceAll('_', '-')}.test`
      const headers = { 'x-forwarded-client-cert': 'By=foo;Hash=bar' }
      clients[`${mode} with certificate`] = { servername, ...identity, headers }
      clients[`${mode} with certificate alone`] = { servername, ...identity }
      clients[`${mode} without certificate`] = { servername, headers }
    }
    clients['strict ok'] = { servername: 'A.Strict.Test', ...identity }
    clients['strict no certificate'] = { servername: 'a.strict.test' }
    clients['strict stranger'] = { servername: 'a.strict.test', cert: stranger.chain, key: stranger.key }
    clients['strict wrong name'] = { servername: 'a.strict.test', cert: nobody.chain, key: nobody.key }
    clients['tls 1.2'] = { servername: 'rest.test', maxVersion: 'TLSv1.2', ...identity }
    clients['tls 1.1'] = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }
    clients['no sni'] = {}
    clients['unknown protocol'] = { ALPNProtocols: ['foo'] }
    for (const [what, options] of Object.entries(clients)) {
      upstream.requests.length = 0
      fields.set(`client ${what}`, await send(https, ports[0]!, options))
      const [request] = upstream.requests
      const headers = request?.headers.filter(([key]) => /client-cert|forwarded-proto/.test(key)).sort() ?? []
      fields.set(`to upstream ${what}`, JSON.stringify(headers))
    }
    fields.set('client plaintext', await send(http, ports[0]!, {}))
    const expected =
      Object.keys(CLUSTERS).length +
      [...fields].filter(([key, value]) => key.startsWith('client ') && value.startsWith('200')).length
    const lines = () => (existsSync(log) ? readFileSync(log, 'latin1').split('\n').slice(0, -1) : [])
    await waitFor(() => lines().length >= expected, { what: `${expected} lines in the log of ${name}` })
    for (const [i, line] of lines().entries()) fields.set(`log ${i + 1}`, mask(line))
    const stats = await waitFor(async () => {
      const all = await proxy.stats('(ssl|tls_inspector|cx_connect_fail)')
      return all.size > 0 ? all : undefined
    })
    for (const [stat, value] of stats) {
      if (/bytes|buffered|http\.admin|_active|alpn/.test(stat)) continue
      fields.set(`stat ${mask(stat)}`, String(value))
    }
    return fields
  } finally {
    await proxy.stop('SIGKILL')
  }
}

test('TLS is as in Envoy: versions, SNI, client certificates, XFCC, mistakes, log and stats', async () => {
  const envoy = await observe(startEnvoy as Start, 'envoy')
  const ours = await observe(startHopwise as Start, 'hopwise')
  assertSameFields('tls', envoy, ours)
})

/** What a site that knows HTTP/2 as well was told of a request: by which protocol, and under which names and scheme. */
function told(request: http2.Http2ServerRequest): string {
  const { headers, httpVersion } = request
  const { servername } = (httpVersion === '2.0' ? request.stream.session!.socket : request.socket) as unknown as {
    servername: string
  }
  const host = headers[':authority'] ?? headers.host
  return `HTTP/${httpVersion} sni=${servername} host=${host} scheme=${headers[':scheme']} proto=${headers['x-forwarded-proto']}`
}

test('seed 002: its site is told the same as by Envoy, the scheme too where the cluster speaks HTTP/2', async () => {
  const issued = files.authority.issue({ dns: ['www.envoyproxy.io'] })
  const seen: string[] = []
  const site = http2.createSecureServer(
    { cert: issued.chain, key: issued.key, allowHTTP1: true },
    (request, response) => {
      seen.push(told(request))
      response.end('the site')
    },
  )
  await listening('site', site)
  const options = (fields: string) =>
    `  - name: service_envoyproxy_io\n    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, ${fields}}}`
  const variants: Record<string, string | undefined> = {
    'as it stands': undefined,
    'by ALPN': options('auto_config: {}'),
    'over HTTP/2': options('explicit_http_config: {http2_protocol_options: {}}'),
  }
  const expected = {
    'as it stands': 'HTTP/1.1 sni=www.envoyproxy.io host=www.envoyproxy.io scheme=undefined proto=https',
    'by ALPN': 'HTTP/2.0 sni=www.envoyproxy.io host=www.envoyproxy.io scheme=https proto=https',
    'over HTTP/2': 'HTTP/2.0 sni=www.envoyproxy.io host=www.envoyproxy.io scheme=https proto=https',
  }
  const seed = readFileSync(join(import.meta.dirname, '../seed-configs/002-docker-sample.yaml'), 'utf8')
  for (const start of [startEnvoy, startHopwise]) {
    const answers: Record<string, string> = {}
    for (const [name, more] of Object.entries(variants)) {
      const [listen, adminPort] = await freePorts(2)
      // The file as it stands, but for what this machine cannot give: its ports, and the name of the site.
      const yaml = seed
        .replaceAll('0.0.0.0', '127.0.0.1')
        .replace('port_value: 10000', `port_value: ${listen}`)
        .replace('port_value: 9901', `port_value: ${adminPort}`)
        .replace('address: www.envoyproxy.io', 'address: localhost')
        .replace('port_value: 443', `port_value: ${servers.get('site')}`)
      await using _ = await start(more === undefined ? yaml : yaml.replace('  - name: service_envoyproxy_io', more), {
        adminPort: adminPort!,
      })
      seen.length = 0
      assert.equal((await send(http, listen!, { path: '/' })).slice(0, 3), '200')
      answers[name] = seen.join()
    }
    assert.deepEqual(answers, expected, start.name)
  }
})
