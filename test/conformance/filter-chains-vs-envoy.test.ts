/**
 * Which of several filter chains answers, beside the real Envoy: chosen by ports, by addresses of both ends, and by what
 * `tls_inspector` and `http_inspector` have seen. Every chain answers its name, and under TLS shows a certificate of its
 * name; what clients see and the stats of listeners and inspectors are compared.
 *
 * All addresses are of 127.0.0.0/8; for Envoy only 127.0.0.1 among them is loopback, so that all source types are there,
 * and `x-forwarded-for` says who called.
 */
import http2 from 'node:http2'
import net from 'node:net'
import { test } from 'node:test'
import tls from 'node:tls'
import { startEnvoy } from '../kit/envoy.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { TlsFiles } from '../kit/tls-files.ts'
import { assertSameFields } from './field-by-field.ts'

const files = new TlsFiles()
const TYPE = 'type.googleapis.com/envoy.extensions'
const ranges = (...list: string[]) =>
  `[${list.map(cidr => `{address_prefix: ${cidr.split('/')[0]}, prefix_len: ${cidr.split('/')[1]}}`).join(', ')}]`
const inspectors = (...names: ('tls' | 'http')[]) =>
  `listener_filters: [${names.map(name => `{name: ${name}, typed_config: {"@type": ${TYPE}.filters.listener.${name}_inspector.v3.${name === 'tls' ? 'Tls' : 'Http'}Inspector}}`).join(', ')}]`

interface Listener {
  /** Matches by the chain's name; `<here>` stands for the listener's port. `tls` in the name: a chain with TLS. */
  readonly chains: Readonly<Record<string, string>>
  readonly more?: string
  /** There is a default chain. */
  readonly rest?: true
}

/** Client ports that chains ask for; taken from the free ones. */
const SOURCE_PORTS = ['<port 1>', '<port 2>', '<port 3>'] as const

const LISTENERS: Readonly<Record<string, Listener>> = {
  ports: {
    chains: {
      here: `destination_port: <here>, prefix_ranges: ${ranges('127.0.0.2/32')}`,
      'wrong port': `destination_port: 1, prefix_ranges: ${ranges('127.0.1.0/24')}`,
      anywhere: `prefix_ranges: ${ranges('127.0.0.0/8')}`,
    },
  },
  addresses: {
    chains: {
      wide: `prefix_ranges: ${ranges('127.0.0.0/8')}`,
      narrow: `prefix_ranges: ${ranges('10.0.0.0/8', '127.0.1.0/24')}`,
      one: `prefix_ranges: ${ranges('127.0.1.5/32')}`,
    },
  },
  'wrong port alone': { chains: { port: 'destination_port: 1' } },
  'wrong port and the rest': { chains: { port: 'destination_port: 1' }, rest: true },
  sources: {
    chains: {
      wide: `source_prefix_ranges: ${ranges('127.0.0.0/8')}`,
      'wide, one port': `source_prefix_ranges: ${ranges('127.0.0.0/8')}, source_ports: [<port 1>]`,
      narrow: `source_prefix_ranges: ${ranges('127.0.2.0/24')}, source_ports: [<port 2>]`,
    },
  },
  'direct sources': {
    chains: {
      wide: `source_prefix_ranges: ${ranges('127.0.0.0/8')}`,
      direct: `direct_source_prefix_ranges: ${ranges('127.0.3.0/24')}, source_prefix_ranges: ${ranges('127.0.3.0/25')}`,
      hidden: `source_prefix_ranges: ${ranges('127.0.3.200/32')}`,
    },
  },
  types: {
    chains: {
      external: 'source_type: EXTERNAL',
      'external, near': `source_type: EXTERNAL, source_prefix_ranges: ${ranges('127.0.4.0/24')}`,
      same: 'source_type: SAME_IP_OR_LOOPBACK',
      any: `source_prefix_ranges: ${ranges('127.0.4.9/32')}`,
    },
  },
  'external alone': { chains: { external: 'source_type: EXTERNAL' } },
  protocols: {
    more: inspectors('tls', 'http'),
    chains: {
      'tls h2': 'transport_protocol: tls, application_protocols: [h2]',
      'tls istio': 'transport_protocol: tls, application_protocols: [istio, istio-http/1.1]',
      'tls named': 'transport_protocol: tls, server_names: [a.test]',
      'tls wild': 'transport_protocol: tls, server_names: ["*.a.test"]',
      'tls wilder': 'transport_protocol: tls, server_names: ["*.test"], application_protocols: [h2]',
      tls: 'transport_protocol: tls',
      h2c: 'transport_protocol: raw_buffer, application_protocols: [h2c]',
      'http 1.1': 'transport_protocol: raw_buffer, application_protocols: [http/1.1]',
      'http 1.0': 'transport_protocol: raw_buffer, application_protocols: [http/1.0]',
      raw: 'transport_protocol: raw_buffer',
    },
  },
  'tls alone': { more: inspectors('tls', 'http'), chains: { tls: 'transport_protocol: tls' } },
  'tls, inspected for TLS': {
    more: inspectors('tls'),
    chains: { tls: 'transport_protocol: tls', http: 'application_protocols: [http/1.1]' },
    rest: true,
  },
  'http, inspected for HTTP': {
    more: inspectors('http'),
    chains: { http: 'application_protocols: [http/1.1]', raw: 'transport_protocol: raw_buffer' },
    rest: true,
  },
  // Nothing is added that would find out.
  'not inspected': {
    chains: { tls: 'server_names: [a.test]', http: 'application_protocols: [http/1.1]' },
    rest: true,
  },
  // A chain that fits better at an early step hides the others, though it fails at a later one.
  'no way back': {
    more: inspectors('tls', 'http'),
    chains: {
      early: 'destination_port: <here>, application_protocols: [http/1.0]',
      late: `source_prefix_ranges: ${ranges('127.0.0.0/8')}`,
    },
  },
}

for (const { chains } of Object.values(LISTENERS)) {
  for (const name of Object.keys(chains)) files.issue(name, { subject: { CN: name }, dns: ['a.test'] })
}

function configuration(ports: ReadonlyMap<string, number>): string {
  const chain = (name: string) =>
    `name: ${JSON.stringify(name)}, filters: [{name: http, typed_config: {"@type": ${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: in, use_remote_address: true, http_protocol_options: {accept_http_10: true}, route_config: {response_headers_to_add: [{header: {key: x-seen, value: "%REQ(x-forwarded-for)%"}}], virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ${JSON.stringify(name)}}}}]}]}, http_filters: [{name: router, typed_config: {"@type": ${TYPE}.filters.http.router.v3.Router}}]}}]`
  const secure = (name: string) =>
    `, transport_socket: {name: tls, typed_config: {"@type": ${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {alpn_protocols: [h2, http/1.1], tls_certificates: [${files.certificate(name)}]}}}`
  const listeners = Object.entries(LISTENERS).map(([name, { chains, more = '', rest }]) => {
    const matches = Object.entries(chains).map(([chainName, match]) => {
      const known = [['<here>', name], ...SOURCE_PORTS.map(port => [port, port])] as [string, string][]
      const text = known.reduce((whole, [mark, key]) => whole.replaceAll(mark, String(ports.get(key))), match)
      return `\n    - {filter_chain_match: {${text}}, ${chain(chainName)}${chainName.startsWith('tls') ? secure(chainName) : ''}}`
    })
    return `
  - name: ${JSON.stringify(name)}
    address: {socket_address: {address: 0.0.0.0, port_value: ${ports.get(name)}}}
    ${more}
    ${rest ? `default_filter_chain: {${chain('rest')}}` : ''}
    filter_chains:${matches.join('')}`
  })
  return `static_resources:
  listeners:${listeners.join('')}
`
}

interface Client {
  readonly to?: string
  readonly from?: string
  readonly fromPort?: number
  /** What is said in plaintext, an HTTP/1.1 request by default. */
  readonly says?: string
  readonly secure?: tls.ConnectionOptions
}

const REQUEST = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

/** The chain that answered, by certificate and body, or how the connection ended. */
function ask(port: number, { to = '127.0.0.1', from, fromPort, says = REQUEST, secure }: Client): Promise<string> {
  return new Promise(resolve => {
    const address = { host: to, port, ...(from && { localAddress: from }), ...(fromPort && { localPort: fromPort }) }
    let text = ''
    let certificate = ''
    const socket = secure === undefined ? net.connect(address) : tls.connect({ ...address, ...secure })
    if (socket instanceof tls.TLSSocket) {
      socket.on('secureConnect', () => {
        certificate = `${socket.getPeerCertificate().subject?.CN}, ${socket.alpnProtocol}: `
        if (socket.alpnProtocol === 'h2') socket.end()
        else socket.write(says)
      })
    } else socket.write(says)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const [head = '', length] = /^[\s\S]*content-length: (\d+)[\s\S]*?\r\n\r\n/.exec(text) ?? []
      // Else Envoy would wait for us, for a second, where it closes.
      if (length !== undefined && text.length >= head.length + Number(length)) socket.end()
    })
    socket.on('close', () => {
      const [, status, body] = /^HTTP\/1.[01] (\d+)[\s\S]*?\r\n\r\n([\s\S]*)$/.exec(text) ?? []
      const forwardedFor = /\r\nx-seen: (.*)\r\n/.exec(text)?.[1] ?? ''
      resolve(`${certificate}${status === undefined ? 'ended' : `${status} ${body} ${forwardedFor}`}`)
    })
  })
}

async function askOverHttp2(port: number): Promise<string> {
  const session = http2.connect(`http://127.0.0.1:${port}`)
  let text = ''
  session.on('error', () => {})
  const request = session.request({ ':path': '/' })
  request.on('error', () => {})
  request.on('data', (chunk: Buffer) => {
    text += chunk
  })
  await new Promise(resolve => request.on('close', resolve))
  session.destroy()
  return text
}

type Start = (yaml: string) => Promise<ProxyProcess>

/** Everything one side did, by field. */
async function observe(start: Start): Promise<Map<string, string>> {
  const names = [...Object.keys(LISTENERS), ...SOURCE_PORTS]
  const free = await freePorts(names.length)
  const ports = new Map(names.map((name, i) => [name, free[i]!]))
  const [port1, port2, port3] = SOURCE_PORTS.map(name => ports.get(name)!)
  const proxy = await start(configuration(ports))
  const fields = new Map<string, string>()
  const say = async (listener: string, what: string, client: Client = {}) => {
    fields.set(`${listener}: ${what}`, await ask(ports.get(listener)!, client))
  }
  try {
    for (const to of ['127.0.0.1', '127.0.0.2', '127.0.1.1', '127.0.1.5', '127.0.2.1']) {
      for (const listener of ['ports', 'addresses']) await say(listener, `to ${to}`, { to })
    }
    await say('wrong port alone', 'a request')
    await say('wrong port and the rest', 'a request')
    for (const from of ['127.0.0.1', '127.0.2.1', '127.0.3.1', '127.0.3.129', '127.0.3.200']) {
      for (const listener of ['sources', 'direct sources']) await say(listener, `from ${from}`, { from })
    }
    for (const from of ['127.0.0.1', '127.0.2.1', '127.0.3.1']) {
      for (const [name, fromPort] of Object.entries({ first: port1!, second: port2!, third: port3! })) {
        await say('sources', `from ${from} and the ${name} port`, { from, fromPort })
      }
    }
    for (const listener of ['types', 'external alone']) {
      for (const from of ['127.0.0.1', '127.0.0.7', '127.0.4.1', '127.0.4.9']) {
        await say(listener, `from ${from}`, { from })
        await say(listener, `from ${from} to itself`, { from, to: from })
      }
    }
    for (const listener of [
      'protocols',
      'tls alone',
      'tls, inspected for TLS',
      'http, inspected for HTTP',
      'not inspected',
      'no way back',
    ]) {
      await say(listener, 'HTTP/1.1')
      await say(listener, 'HTTP/1.0', { says: 'GET / HTTP/1.0\r\nhost: a\r\n\r\n' })
      await say(listener, 'something else', { says: '\0\0\0\0\0\0\0\0\r\n\r\n' })
      fields.set(`${listener}: h2c`, await askOverHttp2(ports.get(listener)!))
      for (const servername of ['', 'a.test', 'A.TEST', 'b.a.test', 'c.b.a.test', 'test', 'b.test']) {
        for (const ALPNProtocols of [undefined, ['h2', 'http/1.1'], ['istio', 'http/1.1'], ['unknown']]) {
          if (listener !== 'protocols' && servername !== 'a.test') continue
          const secure = {
            rejectUnauthorized: false,
            ...(servername && { servername }),
            ...(ALPNProtocols && { ALPNProtocols }),
          }
          await say(listener, `TLS, ${servername || 'no name'}, ${ALPNProtocols?.join() ?? 'no protocol'}`, { secure })
        }
      }
    }
    for (const [stat, value] of await proxy.stats('^(listener\\.0|tls_inspector|http_inspector)')) {
      if (!/inspector\.|no_filter_chain_match|downstream_cx_(total|overflow)$|pre_cx_timeout/.test(stat)) continue
      const name = names.find(one => stat.includes(`_${ports.get(one)}.`))
      fields.set(`stat: ${stat.replace(/_\d+\./, `_<${name}>.`)}`, String(value))
    }
    return fields
  } finally {
    await proxy.stop('SIGKILL')
  }
}

test('filter chains are chosen as by Envoy', async () => {
  const envoy = await observe(startEnvoy as Start)
  const hopwise = await observe(startHopwise as Start)
  assertSameFields('filter chains', envoy, hopwise)
})
