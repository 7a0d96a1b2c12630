/**
 * Secrets that change while both proxies run: authorities, revocation lists, names, pins, ticket keys and client
 * certificates, published as Kubernetes does. New handshakes go by what is newest, connections that stand live on, sessions
 * of before are not resumed, and what cannot be used leaves the old in use.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type tls from 'node:tls'
import { CertificateAuthority, type IssuedCertificate } from '../../demo-services/certificate-authority.ts'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { request } from '../kit/tls-client.ts'
import { TlsFiles } from '../kit/tls-files.ts'
import { waitFor } from '../kit/wait-for.ts'
import { assertSameFields } from './field-by-field.ts'
import { manager, TLS_TYPE } from './scenarios/tls.ts'

const files = new TlsFiles()
const { authority: first } = files
const second = new CertificateAuthority('second')
const issue = (name: string, authority = first) =>
  files.issue(name, { subject: { CN: name }, uris: [`spiffe://td/${name}`], dns: ['server.test'] }, authority)
const a = issue('a')
const b = issue('b')
const ofSecond = issue('of-second', second)
const server = issue('server')
const clients = [issue('client-1'), issue('client-2')] as const

const hashOf = ({ der }: IssuedCertificate) => createHash('sha256').update(der).digest('hex')
const authorityFile = `trusted_ca: {filename: ${files.caPath}}`
const named = (name: string, trust = authorityFile) =>
  `validation_context: {${trust}${trust && ', '}match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://td/${name}"}}]}`
const pinned = (one: IssuedCertificate) => `validation_context: {verify_certificate_hash: ["${hashOf(one)}"]}`
const keys = Array.from({ length: 3 }, () => randomBytes(80).toString('base64'))
const ticketKeys = (...list: (string | undefined)[]) =>
  `session_ticket_keys: {keys: [${list.map(key => `{inline_bytes: "${key}"}`).join(', ')}]}`

/** Files of one version of a secret; `sds.yaml` holds the secret itself where that is what changes. */
type Version = Readonly<Record<string, string>>

interface Secret {
  /** The secret where it stays the same and names files that change, which lie in `folder`. */
  readonly fixed?: (folder: string) => string
  readonly first: Version
  readonly second: Version
  /** Cannot be used. */
  readonly bad: Version
}

const pair = ({ chain, key }: IssuedCertificate): Version => ({ 'tls.crt': chain, 'tls.key': key })
const certificate = (folder: string) =>
  `tls_certificate: {certificate_chain: {filename: ${folder}/..data/tls.crt}, private_key: {filename: ${folder}/..data/tls.key}, watched_directory: {path: ${folder}}}`
const trustedFile = (folder: string) =>
  `validation_context: {trusted_ca: {filename: ${folder}/..data/ca.pem}, watched_directory: {path: ${folder}}}`
const authorities = {
  fixed: trustedFile,
  first: { 'ca.pem': first.certificate },
  second: { 'ca.pem': second.certificate },
  bad: { 'ca.pem': 'no certificate\n' },
}

const SECRETS = {
  authority: authorities,
  revocation: {
    fixed: folder =>
      `validation_context: {${authorityFile}, crl: {filename: ${folder}/..data/crl.pem}, watched_directory: {path: ${folder}}}`,
    first: { 'crl.pem': first.revocationList([]) },
    second: { 'crl.pem': first.revocationList([a.serial]) },
    bad: { 'crl.pem': '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n' },
  },
  names: {
    first: { 'sds.yaml': named('a') },
    second: { 'sds.yaml': named('b') },
    bad: { 'sds.yaml': named('a', '') },
  },
  pins: {
    first: { 'sds.yaml': pinned(a) },
    second: { 'sds.yaml': pinned(b) },
    bad: { 'sds.yaml': 'validation_context: {verify_certificate_hash: [zz]}' },
  },
  keys: {
    first: { 'sds.yaml': ticketKeys(keys[0]) },
    second: { 'sds.yaml': ticketKeys(keys[1], keys[0]) },
    bad: { 'sds.yaml': ticketKeys('c2hvcnQ=') },
  },
  server: { fixed: certificate, first: pair(server), second: pair(b), bad: { ...pair(a), 'tls.key': b.key } },
  client: {
    fixed: certificate,
    first: pair(clients[0]),
    second: pair(clients[1]),
    bad: { ...pair(clients[0]), 'tls.key': clients[1].key },
  },
  upstreams: authorities,
} satisfies Readonly<Record<string, Secret>>
type SecretName = keyof typeof SECRETS

/** Listeners by name: the secret of the same name validates, and who is accepted by its first and its second version. */
const LISTENERS = {
  authority: { old: a, new: ofSecond },
  revocation: { old: a, new: b },
  names: { old: a, new: b },
  pins: { old: a, new: b },
} satisfies Partial<Record<SecretName, { readonly old: IssuedCertificate; readonly new: IssuedCertificate }>>

const upstream = await FakeUpstream.start()
upstream.script = [{ status: 200, body: 'ok' }]
const mutual = https.createServer(
  { cert: server.chain, key: server.key, requestCert: true, rejectUnauthorized: false, ca: first.certificate },
  (request, response) => {
    const socket = request.socket as tls.TLSSocket
    response.end(`${socket.getPeerCertificate().subject?.CN ?? 'nobody'} reused=${socket.isSessionReused()}`)
  },
)
before(async () => {
  mutual.listen(0, '127.0.0.1')
  await once(mutual, 'listening')
})
after(async () => {
  await upstream.close()
  mutual.closeAllConnections()
  mutual.close()
})

/** Clusters: each of the two secrets on connections that stay, and on a new one for each request. */
const CLUSTERS = ['client-kept', 'client-new', 'upstreams-kept', 'upstreams-new']

function configuration(ports: ReadonlyMap<string, number>, log: string, sds: (name: SecretName) => string): string {
  const socket = (side: string, fields: string) =>
    `{name: tls, typed_config: {"@type": ${TLS_TYPE}.${side}TlsContext, ${fields}}}`
  const own = `tls_certificates: [${files.certificate('server')}]`
  const listener = (
    name: string,
    transport: string,
    filters = manager('{match: {prefix: /}, route: {cluster: app}}', log),
  ) => `
  - name: ${name}
    address: {socket_address: {address: 127.0.0.1, port_value: ${ports.get(name)}}}
    filter_chains:
    - filters: ${filters}
      ${transport === '' ? '' : `transport_socket: ${transport}`}`
  const tlsListeners = (Object.keys(LISTENERS) as SecretName[]).map(name => {
    const validation = `validation_context_sds_secret_config: ${sds(name)}`
    // With keys of their own, tickets of before can still be read, and it is up to the proxy not to take them.
    const tickets = name === 'pins' ? '' : `${ticketKeys(keys[0])}, `
    const fields = `${tickets}common_tls_context: {${own}, ${validation}}, require_client_certificate: true`
    return listener(name, socket('Downstream', fields))
  })
  const keysSocket = socket(
    'Downstream',
    `session_ticket_keys_sds_secret_config: ${sds('keys')}, common_tls_context: {tls_certificate_sds_secret_configs: [${sds('server')}]}`,
  )
  const options =
    '"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}'
  const cluster = (name: string, port: number, more = '') =>
    `\n  - {name: ${name}, type: STATIC, load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]}${more}}`
  const clusters = CLUSTERS.map(name => {
    const common = name.startsWith('client')
      ? `tls_certificate_sds_secret_configs: [${sds('client')}]`
      : `validation_context_sds_secret_config: ${sds('upstreams')}`
    const once = name.endsWith('new') ? ', common_http_protocol_options: {max_requests_per_connection: 1}' : ''
    return cluster(
      name,
      (mutual.address() as AddressInfo).port,
      `, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {${options}${once}}}, transport_socket: ${socket('Upstream', `sni: server.test, common_tls_context: {${common}}`)}`,
    )
  })
  const routes = CLUSTERS.map(name => `{match: {prefix: /${name}}, route: {cluster: ${name}}}`).join(', ')
  return `node: {id: rotation, cluster: rotation}
static_resources:
  listeners:${tlsListeners.join('')}${listener('keys', keysSocket)}${listener('plain', '', manager(routes, log))}
  clusters:${cluster('app', upstream.port)}${clusters.join('')}
`
}

type Start = (yaml: string) => Promise<ProxyProcess>

/** Everything one side did, by field. */
async function observe(start: Start, side: string): Promise<Map<string, string>> {
  const names = [...Object.keys(LISTENERS), 'keys', 'plain']
  const free = await freePorts(names.length)
  const ports = new Map(names.map((name, i) => [name, free[i]!]))
  const fields = new Map<string, string>()
  let version = 0
  const put = (name: SecretName, which: 'first' | 'second' | 'bad', more: Partial<Secret> = {}) => {
    const folder = join(files.folder, side, name)
    const secret: Secret = { ...SECRETS[name], ...more }
    const text = (fixed: string) => `resources:\n- "@type": ${TLS_TYPE}.Secret\n  name: ${name}\n  ${fixed}\n`
    const { 'sds.yaml': changing = secret.fixed?.(folder) ?? '', ...rest } = secret[which]
    files.publishFiles(folder, `v${version++}`, { ...rest, 'sds.yaml': text(changing) })
    return folder
  }
  const sds = (name: SecretName) => {
    const folder = put(name, 'first')
    return `{name: ${name}, sds_config: {path_config_source: {path: ${folder}/..data/sds.yaml, watched_directory: {path: ${folder}}}}}`
  }
  const log = join(files.folder, `${side}.log`)
  const sources = new Map<SecretName, string>()
  const once = (name: SecretName) => {
    if (!sources.has(name)) sources.set(name, sds(name))
    return sources.get(name)!
  }
  const proxy = await start(configuration(ports, log, once))
  const sum = async (filter: string) => [...(await proxy.stats(filter)).values()].reduce((all, one) => all + one, 0)
  /** Publishes, and waits until the proxy has taken or refused it. */
  const rotate = async (
    name: SecretName,
    which: 'first' | 'second' | 'bad',
    counter: string,
    more?: Partial<Secret>,
  ) => {
    const before = await sum(counter)
    put(name, which, more)
    await waitFor(async () => (await sum(counter)) > before, { what: `${name} ${which} at ${side}: ${counter}` })
  }
  const refused = (name: SecretName) => `^sds\\.${name}\\.(update_rejected|key_rotation_failed)$`
  const taken = (where: string) => `${where}.*ssl_context_update_by_sds`
  const get = async (where: string, what: string, options: tls.ConnectionOptions = {}, keeps = false) => {
    const outcome = await request(ports.get(where)!, '/', { servername: 'server.test', ...options }, keeps)
    // Which alert says so is another question: allowed-differences.ts, suite `tls contexts`.
    const answer = outcome.answer.replace(/^alert \d+$/, 'ended')
    fields.set(`${where}: ${what}`, `${answer} by ${outcome.certificate} reused=${outcome.reused}`)
    return outcome
  }
  const as = ({ chain, key }: IssuedCertificate) => ({ cert: chain, key })
  try {
    for (const name of Object.keys(LISTENERS) as (keyof typeof LISTENERS)[]) {
      const who = LISTENERS[name]
      const port = ports.get(name)!
      const both = async (when: string) => {
        for (const which of ['old', 'new'] as const) await get(name, `${when}, ${which}`, as(who[which]))
      }
      const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ...as(who.old) })
      await both('before')
      fields.set(`${name}: standing, before`, await standing(agent, port))
      const sessions = new Map<'TLSv1.2' | 'TLSv1.3', Buffer>()
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const { session } = await get(name, `before, ${maxVersion}`, { ...as(who.old), maxVersion }, true)
        sessions.set(maxVersion, session!)
        await get(name, `before, ${maxVersion} again`, { ...as(who.old), maxVersion, session: session! })
      }
      await rotate(name, 'second', taken(`127.0.0.1_${port}`))
      await both('after')
      fields.set(`${name}: standing, after`, await standing(agent, port))
      for (const [maxVersion, session] of sessions) {
        await get(name, `after, session of ${maxVersion}`, { ...as(who.old), maxVersion, session })
      }
      await rotate(name, 'bad', refused(name))
      await both('bad')
      fields.set(`${name}: standing, bad`, await standing(agent, port))
      await rotate(name, 'first', taken(`127.0.0.1_${port}`))
      await both('first again')
      agent.destroy()
    }
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const successes = '^sds\\.keys\\.update_success$'
      const { session } = await get('keys', `${maxVersion}, first`, { maxVersion }, true)
      const again = (when: string) => get('keys', `${maxVersion}, ${when}`, { maxVersion, session: session! })
      await rotate('keys', 'second', successes)
      await again('the key is second')
      await rotate('keys', 'bad', refused('keys'))
      await again('keys are bad')
      // What else changes then must not trip over the keys that were refused.
      await rotate('server', 'second', taken(`127.0.0.1_${ports.get('keys')}`))
      await get('keys', `${maxVersion}, another certificate`, { maxVersion })
      await rotate('server', 'first', taken(`127.0.0.1_${ports.get('keys')}`))
      await again('keys are bad, the certificate is back')
      await rotate('keys', 'second', successes, { second: { 'sds.yaml': ticketKeys(keys[2]) } })
      await again('the key is gone')
      await rotate('keys', 'first', successes)
    }
    const call = async (when: string) => {
      for (const cluster of CLUSTERS) {
        const { status, text } = await fetchRaw(ports.get('plain')!, { path: `/${cluster}` })
        fields.set(`upstream: ${cluster}, ${when}`, `${status} ${text}`)
      }
    }
    await call('before')
    await call('before, again')
    for (const secret of ['client', 'upstreams'] as const) {
      const cluster = `cluster\\.${secret}-new\\.`
      await rotate(secret, 'second', taken(cluster))
      await call(`${secret} second`)
      await rotate(secret, 'bad', refused(secret))
      await call(`${secret} bad`)
      await rotate(secret, 'first', taken(cluster))
      await call(`${secret} first again`)
    }
    for (const [stat, value] of await proxy.stats(
      '(ssl\\.(fail|handshake|session_reused|no_cert)|update_by_sds|^sds\\..*(rejected|failed|success)$)',
    )) {
      let masked = stat
      for (const [name, port] of ports) masked = masked.replaceAll(`${port}`, `<${name}>`)
      fields.set(`stat: ${masked}`, String(value))
    }
    return fields
  } finally {
    await proxy.stop('SIGKILL')
  }
}

/** One more request on the agent's connection. */
function standing(agent: https.Agent, port: number): Promise<string> {
  return new Promise(resolve => {
    const request = https.get({ host: '127.0.0.1', port, agent, rejectUnauthorized: false }, response => {
      response.resume().on('end', () => setImmediate(resolve, `${response.statusCode} same=${request.reusedSocket}`))
    })
    request.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)))
  })
}

test('secrets rotate as in Envoy', async () => {
  const envoy = await observe(startEnvoy as Start, 'envoy')
  const hopwise = await observe(startHopwise as Start, 'hopwise')
  assertSameFields('tls rotation', envoy, hopwise)
})
