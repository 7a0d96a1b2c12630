/**
 * What a `DownstreamTlsContext` can be told, beside the real Envoy: archives, revocation lists, SPIFFE trust domains,
 * several certificates, depth of chains, resumption, ticket keys, and the times a silent client is given. One listener per
 * context; what clients see, the upstream, the access log and the stats are compared. See also tls-vs-envoy.test.ts.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes, X509Certificate } from 'node:crypto'
import net from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type tls from 'node:tls'
import { CertificateAuthority, type IssuedCertificate } from '../../demo-services/certificate-authority.ts'
import { envoyValidates, startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { hopwiseValidates, startHopwise } from '../kit/hopwise.ts'
import { partOrSkip } from '../kit/parts.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { request, ticketLifetimeS } from '../kit/tls-client.ts'
import { TlsFiles } from '../kit/tls-files.ts'
import { assertSameFields } from './field-by-field.ts'
import { addLogAndStats, exportPkcs12, manager, TLS_TYPE } from './scenarios/tls.ts'

/** SSL_OP_NO_TICKET. */
const NO_TICKET = 0x4000

const files = new TlsFiles()
const second = new CertificateAuthority('second')
files.write('second.pem', second.certificate)
const dns = ['server.test']
files.issue('server', { subject: { CN: 'server' }, dns, uris: ['spiffe://td/server'] })
files.issue('rsa', { subject: { CN: 'rsa' }, dns, keyType: 'rsa' })
files.issue('alt', { subject: { CN: 'alt' }, dns: ['alt.test'] })
files.issue('wild', { subject: { CN: 'wild' }, dns: ['*.wild.test'], keyType: 'rsa' })

const intermediate = new CertificateAuthority('intermediate', files.authority)
const lower = new CertificateAuthority('lower', intermediate)
const clientOf = (name: string, authority = files.authority) =>
  files.issue(`client-${name}`, { subject: { CN: name }, uris: [`spiffe://td/${name}`] }, authority)
const clients = {
  good: clientOf('good'),
  revoked: clientOf('revoked'),
  depth1: clientOf('depth1', intermediate),
  depth2: clientOf('depth2', lower),
  second: files.issue('second', { subject: { CN: 'second' }, uris: ['spiffe://second/x'] }, second),
  pretender: files.issue('pretender', { subject: { CN: 'pretender' }, uris: ['spiffe://td/x'] }, second),
  foreign: files.issue('foreign', { subject: { CN: 'foreign' }, uris: ['spiffe://elsewhere/x'] }),
  nameless: files.issue('nameless', { subject: { CN: 'nameless' }, dns: ['c.test'] }),
  rsa: files.issue('client-rsa', { subject: { CN: 'client-rsa' }, keyType: 'rsa' }),
  doubled: files.issue('doubled', { subject: { CN: 'doubled' }, uris: ['spiffe://td/x', 'spiffe://td/y'] }),
} satisfies Record<string, IssuedCertificate>
const as = (name: keyof typeof clients): tls.ConnectionOptions => ({
  cert: clients[name].chain,
  key: clients[name].key,
})
files.write('crl.pem', files.authority.revocationList([clients.revoked.serial]))
files.write(
  'crls.pem',
  files.authority.revocationList([clients.revoked.serial]) + intermediate.revocationList([clients.depth1.serial]),
)
const keys = Object.fromEntries(['k1', 'k2', 'k3'].map(name => [name, randomBytes(80).toString('base64')]))

const file = (name: string) => `{filename: ${join(files.folder, name)}}`
const trust = (more = '') => `validation_context: {trusted_ca: {filename: ${files.caPath}}${more}}`
const spiffe = `validation_context: {custom_validator_config: {name: envoy.tls.cert_validator.spiffe, typed_config: {"@type": ${TLS_TYPE}.SPIFFECertValidatorConfig, trust_domains: [{name: td, trust_bundle: {filename: ${files.caPath}}}, {name: second, trust_bundle: ${file('second.pem')}}]}}}`
const certificates = (...names: string[]) =>
  `tls_certificates: [${names.map(name => files.certificate(name)).join(', ')}]`
const hashOf = ({ der }: IssuedCertificate) => createHash('sha256').update(der).digest('hex')
const spkiOf = ({ der }: IssuedCertificate) =>
  createHash('sha256')
    .update(new X509Certificate(der).publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64')
const uri = (matcher: string) => `{san_type: URI, matcher: {${matcher}}}`
const params = (fields: string) => `tls_params: {${fields}}`
const combined = (fields: string, secret: string) =>
  `combined_validation_context: {default_validation_context: {${fields}}, validation_context_sds_secret_config: {name: ${secret}}}`
const ticketKeys = (...names: string[]) =>
  `session_ticket_keys: {keys: [${names.map(name => `{inline_bytes: "${keys[name]}"}`).join(', ')}]}, `

interface Context {
  readonly common: string
  readonly extra?: string
  /** Fields of the listener. */
  readonly listener?: string
  readonly chain?: string
}

/** What clients of TLS 1.2 offer, by how they put it. */
const CLIENT_CIPHERS: Readonly<Record<string, string>> = {
  'AES 128 first': 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384',
  'ChaCha first': 'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384',
  'AES 256 first': 'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256',
  'ciphers of RSA': 'ECDHE-RSA-AES128-GCM-SHA256',
}

const INSPECTOR = `listener_filters: [{name: tls_inspector, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]`
const required = 'require_client_certificate: true, '
const own = certificates('server')

const THREE = 'ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-ECDSA-CHACHA20-POLY1305, ECDHE-ECDSA-AES128-GCM-SHA256'

/** Secrets of the bootstrap, by name. */
const SECRETS: Readonly<Record<string, string>> = {
  authority: trust(),
  secondAuthority: `validation_context: {trusted_ca: ${file('second.pem')}}`,
  names: `validation_context: {crl: ${file('crls.pem')}, match_typed_subject_alt_names: [${uri('exact: "spiffe://td/revoked"')}, ${uri('exact: "spiffe://td/depth2"')}]}`,
  pin: `validation_context: {verify_certificate_hash: ["${hashOf(clients.depth1)}"], verify_certificate_spki: ["${spkiOf(clients.revoked)}"]}`,
  shallow: 'validation_context: {max_verify_depth: 0}',
  keys: ticketKeys('k1').slice(0, -2),
}

/** Listeners by name. */
const CONTEXTS: Readonly<Record<string, Context>> = {
  archive: {
    common: `tls_certificates: [{pkcs12: ${file('server.p12')}, password: {inline_string: secret}}], ${trust()}`,
  },
  crl: { common: `${own}, ${trust(`, crl: ${file('crl.pem')}`)}`, extra: required },
  crls: { common: `${own}, ${trust(`, crl: ${file('crls.pem')}`)}`, extra: required },
  spiffe: { common: `${own}, ${spiffe}`, extra: required },
  named: {
    common: `${own}, ${trust(', match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: "spiffe://td/g"}}]')}`,
  },
  pinned: {
    common: `${own}, validation_context: {verify_certificate_hash: ["${hashOf(clients.good)}"]}`,
  },
  spki: { common: `${own}, validation_context: {verify_certificate_spki: ["${spkiOf(clients.good)}"]}` },
  eitherPin: {
    common: `${own}, ${trust(`, verify_certificate_hash: ["${hashOf(clients.revoked)}"], verify_certificate_spki: ["${spkiOf(clients.good)}"]`)}`,
  },
  system: { common: `${own}, validation_context: {system_root_certs: {}}` },
  systemToo: { common: `${own}, ${trust(', system_root_certs: {}')}`, extra: required },
  byName: { common: `${own}, validation_context_sds_secret_config: {name: authority}`, extra: required },
  combinedNames: {
    common: `${own}, ${combined(`trusted_ca: {filename: ${files.caPath}}, match_typed_subject_alt_names: [${uri('prefix: "spiffe://td/g"')}]`, 'names')}`,
  },
  combinedAuthority: {
    common: `${own}, ${combined(`trusted_ca: {filename: ${files.caPath}}`, 'secondAuthority')}`,
    extra: required,
  },
  combinedPins: {
    common: `${own}, ${combined(`trusted_ca: {filename: ${files.caPath}}, verify_certificate_hash: ["${hashOf(clients.good)}"]`, 'pin')}`,
  },
  combinedDepth: {
    common: `${own}, ${combined(`trusted_ca: {filename: ${files.caPath}}, max_verify_depth: 2`, 'shallow')}`,
    extra: required,
  },
  untrusted: {
    common: `${own}, ${trust(', trust_chain_verification: ACCEPT_UNTRUSTED, match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: "spiffe://td/g"}}]')}`,
  },
  kinds: { common: certificates('server', 'rsa') },
  names: { common: certificates('server', 'alt', 'wild') },
  scan: { common: certificates('server', 'alt', 'wild'), extra: 'full_scan_certs_on_sni_mismatch: true, ' },
  depth0: { common: `${own}, ${trust(', max_verify_depth: 0')}`, extra: required },
  depth1: { common: `${own}, ${trust(', max_verify_depth: 1')}`, extra: required },
  depth2: { common: `${own}, ${trust(', max_verify_depth: 2')}`, extra: required },
  resume: { common: `${own}, ${trust()}` },
  stateless: { common: own, extra: 'disable_stateful_session_resumption: true, ' },
  stateful: { common: own, extra: 'disable_stateless_session_resumption: true, ' },
  neither: {
    common: own,
    extra: 'disable_stateless_session_resumption: true, disable_stateful_session_resumption: true, ',
  },
  keys1: { common: own, extra: ticketKeys('k1') },
  keys21: { common: own, extra: ticketKeys('k2', 'k1') },
  keys3: { common: own, extra: ticketKeys('k3') },
  keysByName: { common: own, extra: 'session_ticket_keys_sds_secret_config: {name: keys}, ' },
  ciphers: { common: `${own}, ${params(`cipher_suites: [${THREE}]`)}` },
  oneRank: {
    common: `${own}, ${params('cipher_suites: ["[ECDHE-ECDSA-AES256-GCM-SHA384|TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]", TLS_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]')}`,
  },
  clientCiphers: {
    common: `${own}, ${params(`cipher_suites: [${THREE}], ecdh_curves: [P-384, X25519]`)}`,
    extra: 'prefer_client_ciphers: true, ',
  },
  curves: { common: `${own}, ${params('ecdh_curves: [P-384, X25519]')}` },
  signatures: {
    common: `${certificates('server', 'rsa')}, ${trust()}, ${params('signature_algorithms: [ecdsa_secp256r1_sha256, rsa_pss_rsae_sha512]')}`,
  },
  timeout: { common: own, extra: 'session_timeout: 90.9s, ' },
  timeout12: { common: `${own}, ${params('tls_maximum_protocol_version: TLSv1_2')}`, extra: 'session_timeout: 90s, ' },
  timeout0: { common: own, extra: 'session_timeout: 0s, ' },
  sni: { common: own, extra: 'require_sni: true, ' },
  inspected: { common: own, listener: `${INSPECTOR}\n    listener_filters_timeout: 0.3s` },
  goingOn: {
    common: own,
    listener: `${INSPECTOR}\n    listener_filters_timeout: 0.3s\n    continue_on_listener_filters_timeout: true`,
    chain: 'transport_socket_connect_timeout: 0.3s\n      ',
  },
  handshake: { common: own, chain: 'transport_socket_connect_timeout: 0.3s\n      ' },
}

/** Contexts that no proxy can run, and what of them both name. */
const REFUSED: Readonly<Record<string, Context & { readonly named: RegExp }>> = {
  'an unknown cipher beside a known one': {
    common: `${own}, ${params('cipher_suites: [ECDHE-ECDSA-AES128-GCM-SHA256, NOPE]')}`,
    named: /cipher suites.*NOPE/s,
  },
  'an unknown cipher in a rank': {
    common: `${own}, ${params('cipher_suites: ["[ECDHE-ECDSA-AES128-GCM-SHA256|NOPE]"]')}`,
    named: /cipher suites.*NOPE/s,
  },
  'ciphers of TLS 1.3 alone': {
    common: `${own}, ${params('cipher_suites: [TLS_AES_128_GCM_SHA256]')}`,
    named: /cipher suites.*TLS_AES_128_GCM_SHA256/s,
  },
  'an unknown curve': { common: `${own}, ${params('ecdh_curves: [X25519, NOPE]')}`, named: /ECDH curves/ },
  'an unknown signature algorithm': {
    common: `${own}, ${params('signature_algorithms: [ecdsa_secp256r1_sha256, nope]')}`,
    named: /signature algorithms/,
  },
  'names without an authority, put together': {
    common: `${own}, combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [${uri('exact: "spiffe://td/x"')}]}, validation_context_sds_secret_config: {name: pin}}`,
    named: /SAN-based verification of peer certificates without trusted CA/,
  },
  'a ticket key that is too short': {
    common: own,
    extra: 'session_ticket_keys: {keys: [{inline_string: short}]}, ',
    named: /Incorrect TLS session ticket key length/,
  },
}

const upstream = await FakeUpstream.start()
upstream.script = [{ status: 200, body: 'ok' }]
after(() => upstream.close())

function configuration(
  ports: ReadonlyMap<string, number>,
  log: string,
  contexts: Readonly<Record<string, Context>> = CONTEXTS,
): string {
  const route = '{match: {prefix: /}, route: {cluster: app}}'
  const details =
    'forward_client_cert_details: SANITIZE_SET\n          set_current_client_cert_details: {subject: true, uri: true, chain: true}'
  const listeners = Object.entries(contexts).map(
    ([name, { common, extra = '', listener = '', chain = '' }]) => `
  - name: ${name}
    address: {socket_address: {address: 127.0.0.1, port_value: ${ports.get(name)}}}
    ${listener}
    filter_chains:
    - ${chain}filters: ${manager(route, log, details)}
      transport_socket: {name: tls, typed_config: {"@type": ${TLS_TYPE}.DownstreamTlsContext, ${extra}common_tls_context: {${common}}}}`,
  )
  const secrets = Object.entries(SECRETS).map(([name, fields]) => `{name: ${name}, ${fields}}`)
  return `static_resources:
  secrets: [${secrets.join(', ')}]
  listeners:${listeners.join('')}
  clusters:
  - {name: app, type: STATIC, load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${upstream.port}}}}}]}]}}
`
}

/** Connects in plaintext, writes, and tells how the connection ends. */
function silent(port: number, bytes: Buffer): Promise<string> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes))
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)))
    socket.on('data', () => {})
    socket.on('end', () => resolve('ended'))
  })
}

/** The first bytes of a hello that never becomes whole. */
const HALF_HELLO = Buffer.from([22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3, 1, 2, 3])

type Start = (yaml: string, options: { args: string[] }) => Promise<ProxyProcess>

/** Everything one side did, by field. */
async function observe(start: Start, name: string): Promise<Map<string, string>> {
  const free = await freePorts(Object.keys(CONTEXTS).length)
  const ports = new Map(Object.keys(CONTEXTS).map((context, i) => [context, free[i]!]))
  const log = join(files.folder, `${name}.log`)
  const proxy = await start(configuration(ports, log), { args: ['--file-flush-interval-msec', '20'] })
  const fields = new Map<string, string>()
  let served = 0
  const get = async (context: string, what: string, options: tls.ConnectionOptions = {}, keeps = false) => {
    upstream.requests.length = 0
    const path = `/${context}/${what.replaceAll(/[^\w.]+/g, '-')}`
    const outcome = await request(ports.get(context)!, path, { servername: 'server.test', ...options }, keeps)
    if (outcome.answer.startsWith('200')) served++
    const xfcc = upstream.requests[0]?.headers.find(([key]) => key === 'x-forwarded-client-cert')?.[1] ?? ''
    fields.set(`${context}: ${what}`, `${outcome.answer} by ${outcome.certificate} reused=${outcome.reused} ${xfcc}`)
    return outcome
  }
  try {
    await get('archive', 'a request', as('good'))
    for (const context of ['crl', 'crls']) {
      for (const client of ['good', 'revoked', 'depth1', 'depth2'] as const) await get(context, client, as(client))
    }
    for (const client of ['good', 'second', 'pretender', 'foreign', 'nameless', 'doubled', 'depth2'] as const) {
      await get('spiffe', client, as(client))
    }
    await get('spiffe', 'nobody')
    const resumable = await get('spiffe', 'a chain', { ...as('depth2'), maxVersion: 'TLSv1.2' })
    if (resumable.session !== undefined) {
      await get('spiffe', 'the same chain again', {
        ...as('depth2'),
        maxVersion: 'TLSv1.2',
        session: resumable.session,
      })
    }
    for (const context of ['named', 'pinned', 'untrusted']) {
      for (const client of ['good', 'revoked', 'pretender'] as const) await get(context, client, as(client))
      await get(context, 'nobody')
    }
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const limits = { minVersion: version, maxVersion: version }
      for (const [kind, sigalgs] of Object.entries({ ec: 'ECDSA+SHA256', rsa: 'RSA-PSS+SHA256:RSA+SHA256' })) {
        await get('kinds', `a client that knows ${kind}, ${version}`, { sigalgs, ...limits })
      }
      await get('kinds', `a client that knows both, ${version}`, limits)
      for (const servername of ['server.test', 'alt.test', 'x.wild.test', 'other.test', '']) {
        for (const context of ['names', 'scan'])
          await get(context, `${servername} ${version}`, { servername, ...limits })
        const sigalgs = 'RSA-PSS+SHA256:RSA+SHA256'
        await get('scan', `${servername} with RSA, ${version}`, { servername, sigalgs, ...limits })
      }
    }
    for (const context of ['depth0', 'depth1', 'depth2']) {
      for (const client of ['good', 'depth1', 'depth2'] as const) await get(context, client, as(client))
    }
    for (const context of ['resume', 'stateless', 'stateful', 'neither']) {
      for (const [how, options] of Object.entries<tls.ConnectionOptions>({
        'TLS 1.2, tickets': { maxVersion: 'TLSv1.2' },
        'TLS 1.2, ids': { maxVersion: 'TLSv1.2', secureOptions: NO_TICKET },
        'TLS 1.3': {},
      })) {
        const identity = context === 'resume' ? as('depth2') : {}
        const keeps = context === 'resume' || (context === 'stateless' && !how.includes('ids'))
        const { session } = await get(context, `${how}, first`, { ...identity, ...options }, keeps)
        await get(context, `${how}, again`, { ...identity, ...options, ...(session && { session }) })
      }
    }
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const limits = { minVersion: version, maxVersion: version }
      const { session } = await get('keys1', `${version}, first`, limits, true)
      for (const context of ['keys1', 'keysByName', 'keys21', 'keys3']) {
        await get(context, `${version}, a ticket of the first key`, { ...limits, session: session! })
      }
      const newer = await get('keys21', `${version}, first`, limits, true)
      await get('keys1', `${version}, a ticket of the second key`, { ...limits, session: newer.session! })
    }
    for (const context of [
      'spki',
      'eitherPin',
      'byName',
      'system',
      'systemToo',
      'combinedAuthority',
      'combinedPins',
      'combinedDepth',
      'combinedNames',
    ]) {
      for (const client of ['good', 'revoked', 'depth1', 'depth2', 'second'] as const)
        await get(context, client, as(client))
      await get(context, 'nobody')
    }
    const agreed = async (context: string, what: string, options: tls.ConnectionOptions) => {
      const { parameters } = await get(context, what, options)
      fields.set(`${context}: ${what}, agreed`, parameters)
    }
    for (const context of ['resume', 'ciphers', 'oneRank', 'clientCiphers', 'curves']) {
      for (const [order, ciphers] of Object.entries(CLIENT_CIPHERS)) {
        await agreed(context, `TLS 1.2, ${order}`, { ciphers, maxVersion: 'TLSv1.2' })
      }
      for (const ciphers of [
        'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384',
        'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256',
      ]) {
        await agreed(context, `TLS 1.3, ${ciphers}`, { ciphers, minVersion: 'TLSv1.3' })
      }
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        for (const ecdhCurve of [
          'X25519:P-384',
          'P-384:X25519',
          'P-384',
          'P-256',
          'P-521:P-256',
          'P-521',
          'X25519MLKEM768',
        ]) {
          await agreed(context, `${version}, ${ecdhCurve}`, { ecdhCurve, minVersion: version, maxVersion: version })
        }
      }
    }
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      for (const sigalgs of ['ECDSA+SHA256', 'ECDSA+SHA384', 'RSA-PSS+SHA512', 'RSA-PSS+SHA256']) {
        await get('signatures', `${version}, ${sigalgs}`, { sigalgs, minVersion: version, maxVersion: version })
      }
      for (const client of ['good', 'rsa'] as const) {
        await get('signatures', `${version}, ${client}`, { ...as(client), minVersion: version, maxVersion: version })
      }
    }
    for (const context of ['resume', 'timeout', 'timeout12', 'timeout0']) {
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        const { session } = await get(context, `${version}, how long`, { maxVersion: version }, true)
        fields.set(`${context}: ${version}, lifetime of a ticket`, String(ticketLifetimeS(session!)))
      }
    }
    await get('sni', 'with a name')
    await get('sni', 'without one', { servername: '' })
    for (const context of ['inspected', 'goingOn', 'handshake']) {
      await get(context, 'in time')
      fields.set(`${context}: silence`, await silent(ports.get(context)!, Buffer.alloc(0)))
      fields.set(`${context}: half a hello`, await silent(ports.get(context)!, HALF_HELLO))
      fields.set(`${context}: no TLS`, await silent(ports.get(context)!, Buffer.from('GET / HTTP/1.1\r\n\r\n')))
    }
    await addLogAndStats(fields, proxy, log, served, {
      filter: /^(listener\.127|tls_inspector)/,
      except: /_active|bytes|buffered|cx_length|http\.|per_socket_event/,
      ports: new Map([...ports].map(([name, port]) => [port, name])),
    })
    return fields
  } finally {
    await proxy.stop('SIGKILL')
  }
}

test('contexts of listeners are as in Envoy', async t => {
  const openssl = await partOrSkip(t, 'openssl')
  if (openssl === undefined) return
  await exportPkcs12(openssl, files, 'server')
  const envoy = await observe(startEnvoy as Start, 'envoy')
  const hopwise = await observe(startHopwise as Start, 'hopwise')
  assertSameFields('tls contexts', envoy, hopwise)
})

test('contexts that cannot be run are refused as by Envoy', { concurrency: 2 }, async t => {
  const check = async (name: string, context: (typeof REFUSED)[string]) => {
    const yaml = configuration(new Map([[name, 1]]), '/dev/null', { [name]: context })
    for (const verdict of [await envoyValidates(yaml), await hopwiseValidates(yaml)]) {
      assert.equal(verdict.ok, false)
      assert.match(verdict.output, context.named)
    }
  }
  await Promise.all(Object.entries(REFUSED).map(([name, context]) => t.test(name, () => check(name, context))))
})
