/**
 * What an `UpstreamTlsContext` can be told, beside the real Envoy: transport sockets by endpoint, names taken from the
 * endpoint or the request, revocation lists, SPIFFE trust domains, archives, depth of chains, resumption. One cluster per
 * context; answers (which tell what the server saw), the access log and the stats are compared. See also
 * tls-vs-envoy.test.ts.
 */
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type tls from 'node:tls'
import { CertificateAuthority } from '../../demo-services/certificate-authority.ts'
import { startEnvoy } from '../kit/envoy.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { partOrSkip } from '../kit/parts.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { TlsFiles } from '../kit/tls-files.ts'
import { assertSameFields } from './field-by-field.ts'
import { addLogAndStats, exportPkcs12, manager, TLS_TYPE } from './scenarios/tls.ts'

const files = new TlsFiles()
const second = new CertificateAuthority('second')
files.write('second.pem', second.certificate)
const intermediate = new CertificateAuthority('intermediate', files.authority)
const lower = new CertificateAuthority('lower', intermediate)
const dns = ['server.test', '*.wild.test']
const issue = (name: string, authority = files.authority) =>
  files.issue(name, { subject: { CN: name }, dns, uris: [`spiffe://td/${name}`] }, authority)
const SERVERS = {
  good: issue('good'),
  revoked: issue('revoked'),
  depth1: issue('depth1', intermediate),
  depth2: issue('depth2', lower),
  second: files.issue('second', { subject: { CN: 'second' }, dns, uris: ['spiffe://second/x'] }, second),
  pretender: files.issue('pretender', { subject: { CN: 'pretender' }, dns, uris: ['spiffe://td/x'] }, second),
}
const rsa = files.issue('rsa', { subject: { CN: 'rsa' }, dns, keyType: 'rsa' })
type ServerName = keyof typeof SERVERS | 'mutual' | 'plaintext' | 'silent' | 'p384' | 'follower'
files.issue('client', { subject: { CN: 'client' }, uris: ['spiffe://td/client'] })
files.write('crl.pem', files.authority.revocationList([SERVERS.revoked.serial]))

const file = (name: string) => `{filename: ${join(files.folder, name)}}`
const trust = (more = '') => `validation_context: {trusted_ca: {filename: ${files.caPath}}${more}}`
const spiffe = `validation_context: {custom_validator_config: {name: envoy.tls.cert_validator.spiffe, typed_config: {"@type": ${TLS_TYPE}.SPIFFECertValidatorConfig, trust_domains: [{name: td, trust_bundle: {filename: ${files.caPath}}}, {name: second, trust_bundle: ${file('second.pem')}}]}}}`
const socket = (common: string, extra = 'sni: server.test, ') =>
  `{name: tls, typed_config: {"@type": ${TLS_TYPE}.UpstreamTlsContext, ${extra}common_tls_context: {${common}}}}`
const options = (upstream: string, more = '') =>
  `, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}${upstream === '' ? '' : `, upstream_http_protocol_options: {${upstream}}`}${more}}}`
const spkiOf = (name: keyof typeof SERVERS) =>
  createHash('sha256')
    .update(new X509Certificate(SERVERS[name].der).publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64')
const combined = (secret: string, more = '') =>
  `combined_validation_context: {default_validation_context: {trusted_ca: {filename: ${files.caPath}}${more}}, validation_context_sds_secret_config: {name: ${secret}}}`
const params = (fields: string) => `${trust()}, tls_params: {${fields}}`
/** Each request gets a connection of its own. */
const ONCE = ', common_http_protocol_options: {max_requests_per_connection: 1}'

interface Context {
  /** Endpoints: which server, and more fields of `endpoint` and of `lb_endpoint`. */
  readonly endpoints: readonly (readonly [server: ServerName, endpoint?: string, lbEndpoint?: string])[]
  readonly socket?: string
  /** More fields of the cluster, each with a comma before it. */
  readonly more?: string
  /** Host headers of the requests; `server.test` alone by default. */
  readonly hosts?: readonly string[]
}

const one = (server: ServerName, endpoint = ''): Context['endpoints'] => [[server, endpoint]]
const metadata = (mode: string) => `metadata: {filter_metadata: {envoy.transport_socket_match: {mode: ${mode}}}}`
const max13 = 'tls_params: {tls_maximum_protocol_version: TLSv1_3}'

/** Secrets of the bootstrap, by name. */
const SECRETS: Readonly<Record<string, string>> = {
  client: `tls_certificate: ${files.certificate('client')}`,
  authority: trust(),
  secondAuthority: `validation_context: {trusted_ca: ${file('second.pem')}}`,
  crl: `validation_context: {crl: ${file('crl.pem')}}`,
  pin: `validation_context: {verify_certificate_spki: ["${spkiOf('good')}"]}`,
}

/** Clusters by name. */
const CONTEXTS: Readonly<Record<string, Context>> = {
  matches: {
    endpoints: [
      ['good', '', metadata('tls')],
      ['plaintext', '', metadata('none')],
      ['plaintext', '', ''],
    ],
    hosts: ['a.test', 'a.test', 'a.test'],
    more: `, transport_socket_matches: [{name: secure, match: {mode: tls}, transport_socket: ${socket(trust())}}, {name: open, match: {mode: none}, transport_socket: {name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}]`,
  },
  'host-sni': {
    endpoints: one('good', 'hostname: by-endpoint.test'),
    socket: socket(trust(), 'sni: x.test, auto_host_sni: true, '),
  },
  'host-sni-none': { endpoints: one('good'), socket: socket(trust(), 'sni: x.test, auto_host_sni: true, ') },
  'sni-san': {
    endpoints: one('good', 'hostname: server.test'),
    socket: socket(trust(), 'auto_host_sni: true, auto_sni_san_validation: true, '),
  },
  'sni-san-wrong': {
    endpoints: one('good', 'hostname: other.test'),
    socket: socket(trust(), 'auto_host_sni: true, auto_sni_san_validation: true, '),
  },
  'sni-san-fixed': {
    endpoints: one('good'),
    socket: socket(trust(), 'sni: a.wild.test, auto_sni_san_validation: true, '),
  },
  'auto-sni': {
    endpoints: one('good'),
    socket: socket(trust(), 'sni: fixed.test, '),
    more: options('auto_sni: true'),
    hosts: ['server.test', 'A.wild.test:8443', '127.0.0.1'],
  },
  'auto-sni-override': {
    endpoints: one('good'),
    socket: socket(trust()),
    more: options('auto_sni: true, override_auto_sni_header: x-name'),
    hosts: ['server.test'],
  },
  'auto-san': {
    endpoints: one('good'),
    socket: socket(trust()),
    more: options('auto_sni: true, auto_san_validation: true'),
    hosts: ['server.test', 'b.wild.test', 'stranger.test', 'server.test'],
  },
  crl: { endpoints: one('good'), socket: socket(trust(`, crl: ${file('crl.pem')}`)) },
  'crl-revoked': { endpoints: one('revoked'), socket: socket(trust(`, crl: ${file('crl.pem')}`)) },
  'crl-missing': { endpoints: one('depth1'), socket: socket(trust(`, crl: ${file('crl.pem')}`)) },
  spiffe: { endpoints: one('depth2'), socket: socket(spiffe) },
  'spiffe-second': { endpoints: one('second'), socket: socket(spiffe) },
  'spiffe-pretender': { endpoints: one('pretender'), socket: socket(spiffe) },
  'spiffe-again': { endpoints: one('depth2'), socket: socket(spiffe), more: options('', ONCE), hosts: ['a', 'b'] },
  archive: {
    endpoints: one('mutual'),
    socket: socket(
      `tls_certificates: [{pkcs12: ${file('client.p12')}, password: {inline_string: secret}}], ${trust()}`,
    ),
  },
  'depth0-good': { endpoints: one('good'), socket: socket(trust(', max_verify_depth: 0')) },
  'depth0-depth1': { endpoints: one('depth1'), socket: socket(trust(', max_verify_depth: 0')) },
  'depth1-depth1': { endpoints: one('depth1'), socket: socket(trust(', max_verify_depth: 1')) },
  'depth2-depth1': { endpoints: one('depth1'), socket: socket(trust(', max_verify_depth: 2')) },
  'depth2-depth2': { endpoints: one('depth2'), socket: socket(trust(', max_verify_depth: 2')) },
  'depth3-depth2': { endpoints: one('depth2'), socket: socket(trust(', max_verify_depth: 3')) },
  sessions: { endpoints: one('good'), socket: socket(trust()), more: options('', ONCE), hosts: ['a', 'b', 'c'] },
  'sessions-13': {
    endpoints: one('good'),
    socket: socket(`${trust()}, ${max13}`),
    more: options('', ONCE),
    hosts: ['a', 'b', 'c'],
  },
  'sessions-none': {
    endpoints: one('good'),
    socket: socket(trust(), 'sni: server.test, max_session_keys: 0, '),
    more: options('', ONCE),
    hosts: ['a', 'b', 'c'],
  },
  spki: { endpoints: one('good'), socket: socket(trust(`, verify_certificate_spki: ["${spkiOf('good')}"]`)) },
  'spki-wrong': { endpoints: one('good'), socket: socket(trust(`, verify_certificate_spki: ["${spkiOf('second')}"]`)) },
  'spki-alone': {
    endpoints: one('second'),
    socket: socket(`validation_context: {verify_certificate_spki: ["${spkiOf('second')}"]}`),
  },
  'by-name': {
    endpoints: one('mutual'),
    socket: socket(
      'tls_certificate_sds_secret_configs: [{name: client}], validation_context_sds_secret_config: {name: authority}',
    ),
  },
  'by-name-wrong': {
    endpoints: one('good'),
    socket: socket('validation_context_sds_secret_config: {name: secondAuthority}'),
  },
  'combined-authority': { endpoints: one('second'), socket: socket(combined('secondAuthority')) },
  'combined-authority-wrong': { endpoints: one('good'), socket: socket(combined('secondAuthority')) },
  'combined-crl': { endpoints: one('revoked'), socket: socket(combined('crl')) },
  'combined-pin': {
    endpoints: one('good'),
    socket: socket(combined('pin', `, verify_certificate_spki: ["${spkiOf('second')}"]`)),
  },
  'combined-pin-wrong': { endpoints: one('depth1'), socket: socket(combined('pin')) },
  system: { endpoints: one('good'), socket: socket('validation_context: {system_root_certs: {}}') },
  'system-too': { endpoints: one('good'), socket: socket(trust(', system_root_certs: {}')) },
  'ciphers-default': { endpoints: one('follower'), socket: socket(trust()) },
  ciphers: {
    endpoints: one('follower'),
    socket: socket(params('cipher_suites: [ECDHE-ECDSA-CHACHA20-POLY1305, ECDHE-ECDSA-AES128-GCM-SHA256]')),
  },
  'ciphers-one-rank': {
    endpoints: one('follower'),
    socket: socket(params('cipher_suites: ["[ECDHE-ECDSA-AES256-GCM-SHA384|ECDHE-ECDSA-AES128-GCM-SHA256]"]')),
  },
  'ciphers-none': { endpoints: one('good'), socket: socket(params('cipher_suites: [ECDHE-RSA-AES128-GCM-SHA256]')) },
  curves: { endpoints: one('p384'), socket: socket(params('ecdh_curves: [P-256, P-384]')) },
  'curves-13': {
    endpoints: one('p384'),
    socket: socket(params('ecdh_curves: [P-256, P-384], tls_maximum_protocol_version: TLSv1_3')),
  },
  'curves-none': { endpoints: one('p384'), socket: socket(trust()) },
  'curves-none-13': { endpoints: one('p384'), socket: socket(params('tls_maximum_protocol_version: TLSv1_3')) },
  signatures: { endpoints: one('good'), socket: socket(params('signature_algorithms: [ecdsa_secp256r1_sha256]')) },
  'signatures-none': { endpoints: one('good'), socket: socket(params('signature_algorithms: [rsa_pss_rsae_sha256]')) },
  silent: { endpoints: one('silent'), socket: socket(trust()), more: ', connect_timeout: 0.3s' },
}

const listening = new Map<ServerName, number>()
const closing: net.Server[] = []
const open = new Set<net.Socket>()
after(() => {
  for (const server of closing) server.close()
  for (const socket of open) socket.destroy()
})

/** Says how it was reached. */
function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  const { socket } = request as { socket: net.Socket | tls.TLSSocket }
  if (!('getPeerCertificate' in socket)) {
    response.end('plaintext')
    return
  }
  const client = socket.getPeerCertificate().subject?.CN ?? 'nobody'
  const { servername } = socket as unknown as { servername: string | false }
  response.end(
    `sni=${servername} client=${client} reused=${socket.isSessionReused()} ${socket.getCipher().standardName} ${socket.getProtocol()}`,
  )
}

before(async () => {
  const servers = new Map<ServerName, net.Server>()
  for (const [name, { chain, key }] of Object.entries(SERVERS)) {
    servers.set(name as ServerName, https.createServer({ cert: chain, key }, answer))
  }
  const { chain: cert, key } = SERVERS.good
  const asks = { requestCert: true, rejectUnauthorized: true, ca: files.authority.certificate }
  servers.set('mutual', https.createServer({ cert, key, ...asks }, answer))
  servers.set('p384', https.createServer({ cert: rsa.chain, key: rsa.key, ecdhCurve: 'P-384' }, answer))
  servers.set('follower', https.createServer({ cert, key, honorCipherOrder: false }, answer))
  servers.set('plaintext', http.createServer(answer))
  servers.set(
    'silent',
    net.createServer(socket => socket.on('error', () => {}).resume()),
  )
  for (const [name, server] of servers) {
    server.on('tlsClientError', () => {})
    server.on('connection', (socket: net.Socket) => {
      open.add(socket)
      socket.on('close', () => open.delete(socket))
    })
    closing.push(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    listening.set(name, (server.address() as net.AddressInfo).port)
  }
})

function configuration(port: number, log: string): string {
  const clusters = Object.entries(CONTEXTS).map(([name, { endpoints, socket, more = '' }]) => {
    const list = endpoints.map(([server, endpoint = '', lbEndpoint = '']) => {
      const address = `address: {socket_address: {address: 127.0.0.1, port_value: ${listening.get(server)}}}`
      return `{endpoint: {${address}${endpoint === '' ? '' : `, ${endpoint}`}}${lbEndpoint === '' ? '' : `, ${lbEndpoint}`}}`
    })
    return `
  - {name: ${name}, type: STATIC, load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [${list.join(', ')}]}]}${socket === undefined ? '' : `, transport_socket: ${socket}`}${more}}`
  })
  const routes = Object.keys(CONTEXTS).map(name => `{match: {prefix: /${name}/}, route: {cluster: ${name}}}`)
  const secrets = Object.entries(SECRETS).map(([name, fields]) => `{name: ${name}, ${fields}}`)
  return `static_resources:
  secrets: [${secrets.join(', ')}]
  listeners:
  - name: plain
    address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
    filter_chains:
    - filters: ${manager(routes.join(', '), log)}
  clusters:${clusters.join('')}
`
}

type Start = (yaml: string, options: { args: string[] }) => Promise<ProxyProcess>

/** Everything one side did, by field. */
async function observe(start: Start, name: string): Promise<Map<string, string>> {
  const [port] = await freePorts(1)
  const log = join(files.folder, `${name}.log`)
  const proxy = await start(configuration(port!, log), { args: ['--file-flush-interval-msec', '20'] })
  const fields = new Map<string, string>()
  try {
    for (const [context, { hosts = ['server.test'] }] of Object.entries(CONTEXTS)) {
      const answers: string[] = []
      for (const [i, host] of hosts.entries()) {
        const headers = { 'x-name': 'by-header.test' }
        const { status, text } = await fetchRaw(port!, { path: `/${context}/${i}`, host, headers })
        answers.push(`${status} ${text}`)
      }
      // Which of several endpoints comes first is chance.
      fields.set(`${context}: answers`, (context === 'matches' ? answers.sort() : answers).join('; '))
    }
    const requests = Object.values(CONTEXTS).reduce((sum, { hosts = ['one'] }) => sum + hosts.length, 0)
    const masked = new Map([...listening].map(([server, number]) => [number, server] as const))
    await addLogAndStats(fields, proxy, log, requests, {
      filter: /^cluster\.[^.]+\.(ssl|client_ssl|upstream_cx_connect|.*total_match)/,
      ports: new Map([...masked, [port!, 'plain']]),
    })
    for (const key of [...fields.keys()]) if (key.startsWith('log: /matches/')) fields.delete(key)
    return fields
  } finally {
    await proxy.stop('SIGKILL')
  }
}

test('contexts of clusters are as in Envoy', async t => {
  const openssl = await partOrSkip(t, 'openssl')
  if (openssl === undefined) return
  await exportPkcs12(openssl, files, 'client')
  const envoy = await observe(startEnvoy as Start, 'envoy')
  const hopwise = await observe(startHopwise as Start, 'hopwise')
  assertSameFields('tls upstream contexts', envoy, hopwise)
})
