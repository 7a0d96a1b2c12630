/**
 * The logs that are none of an HTTP connection manager: of the admin listener, of listeners (a line per connection) and of
 * outlier detection. The same is done to Envoy and to Hopwise, and their files are compared.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw, TestClient } from '../kit/http-client.ts'
import { type ProxyProcess, temporaryFolder } from '../kit/proxy-process.ts'
import { TlsFiles } from '../kit/tls-files.ts'
import { waitFor } from '../kit/wait-for.ts'

const FORMAT = [
  '%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(:METHOD)% %REQ(:PATH)%',
  'type=%ACCESS_LOG_TYPE% chain=%FILTER_CHAIN_NAME% from=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
  'received=%BYTES_RECEIVED% upstream=%UPSTREAM_HOST%/%UPSTREAM_CLUSTER% sni=%REQUESTED_SERVER_NAME%',
  'details=%CONNECTION_TERMINATION_DETAILS% xff=%REQ(X-FORWARDED-FOR)%',
  'listener=%METADATA(LISTENER:own:name)% chain=%METADATA(LISTENER_FILTER_CHAIN:own:name)%',
].join(' ')

/** `metadata` of everything that has some. */
const MET = ['LISTENER', 'LISTENER_FILTER_CHAIN', 'VIRTUAL_HOST', 'ROUTE', 'CLUSTER', 'UPSTREAM_HOST'] as const
const MET_FORMAT = `%REQ(:PATH)% %UPSTREAM_CLUSTER% ${MET.map(kind => `%METADATA(${kind}:own:name)%`).join(' ')} %CLUSTER_METADATA(own)% %UPSTREAM_METADATA(own:name)%`
const own = (name: string) => `metadata: {filter_metadata: {own: {name: ${name}}}}`

/** A message of an extension, in YAML. */
function typed(type: string, fields = ''): string {
  return `{"@type": type.googleapis.com/envoy.extensions.${type}, ${fields}}`
}

/** `metadata_filter`s, each with a log of its own, over the note that the fault filter leaves for some requests. */
const METADATA_FILTERS: Readonly<Record<string, string>> = {
  equal: 'matcher: {filter: envoy.filters.http.fault, path: [{key: note}], value: {string_match: {exact: late}}}',
  present:
    'match_if_key_not_found: false, matcher: {filter: envoy.filters.http.fault, path: [{key: note}], value: {string_match: {exact: late}}}',
  inverted:
    'matcher: {filter: envoy.filters.http.fault, path: [{key: note}], value: {string_match: {exact: late}}, invert: true}',
  other:
    'match_if_key_not_found: false, matcher: {filter: envoy.filters.http.fault, path: [{key: note}], value: {string_match: {exact: other}}}',
  'any value':
    'match_if_key_not_found: false, matcher: {filter: envoy.filters.http.fault, path: [{key: note}], value: {present_match: true}}',
  nothing: '',
}

interface Started {
  readonly proxy: ProxyProcess
  readonly folder: string
  readonly ports: Readonly<Record<'main' | 'none' | 'inspected' | 'tls' | 'admin', number>>
}

let upstream: FakeUpstream
const sides: Started[] = []

before(async () => {
  upstream = await FakeUpstream.start()
  for (const start of [startEnvoy, startHopwise]) {
    const [main, none, inspected, tls, admin] = (await freePorts(5)) as [number, number, number, number, number]
    const folder = temporaryFolder()
    const ports = { main, none, inspected, tls, admin }
    const args = ['--file-flush-interval-msec', '20']
    sides.push({ proxy: await start(configuration(folder, ports), { adminPort: admin, args }), folder, ports })
  }
})
after(async () => {
  for (const { proxy } of sides) await proxy.stop('SIGKILL')
  await upstream?.close()
})

function configuration(folder: string, ports: Started['ports']): string {
  const log = (name: string) => `
    - name: file
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
        path: ${join(folder, name)}
        log_format: {text_format_source: {inline_string: "${FORMAT}\\n"}}`
  const address = (port: number) => `{socket_address: {address: 127.0.0.1, port_value: ${port}}}`
  const router = `{name: router, typed_config: ${typed('filters.http.router.v3.Router')}}`
  const fault = `{name: envoy.filters.http.fault, typed_config: ${typed(
    'filters.http.fault.v3.HTTPFault',
    'headers: [{name: x-fault, present_match: true}], filter_metadata: {note: late}, ' +
      'delay: {fixed_delay: 0.001s, percentage: {numerator: 100}}',
  )}}`
  const filtered = Object.entries(METADATA_FILTERS).map(
    ([name, filter]) =>
      `{name: f, filter: {metadata_filter: {${filter}}}, typed_config: ${typed(
        'access_loggers.file.v3.FileAccessLog',
        `path: "${join(folder, name)}", log_format: {text_format_source: {inline_string: "%REQ(:PATH)%\\n"}}`,
      )}}`,
  )
  const met = `{name: f, typed_config: ${typed(
    'access_loggers.file.v3.FileAccessLog',
    `path: "${join(folder, 'met')}", log_format: {text_format_source: {inline_string: "${MET_FORMAT}\\n"}}`,
  )}}`
  const manager = `[{name: http, typed_config: ${typed(
    'filters.network.http_connection_manager.v3.HttpConnectionManager',
    `stat_prefix: m, http_filters: [${fault}, ${router}], delayed_close_timeout: 0.1s, access_log: [${filtered}, ${met}], ` +
      `route_config: {virtual_hosts: [{name: v, domains: ["*"], ${own('host')}, ` +
      `routes: [{match: {prefix: /}, route: {cluster: c}, ${own('route')}}]}]}`,
  )}}]`
  const files = new TlsFiles()
  files.issue('own', { dns: ['own'] })
  return `
admin:
  access_log: ${log('admin')}
  access_log_path: ${join(folder, 'admin-path')}
  address: ${address(ports.admin)}
cluster_manager: {outlier_detection: {event_log_path: ${join(folder, 'outlier')}}}
static_resources:
  listeners:
  - name: main
    address: ${address(ports.main)}
    access_log: ${log('main')}
    ${own('listener')}
    filter_chains: [{name: plain, filters: ${manager}, ${own('chain')}}]
  - name: none
    address: ${address(ports.none)}
    access_log: ${log('none')}
    filter_chains:
    - filter_chain_match: {source_prefix_ranges: [{address_prefix: 10.9.0.0, prefix_len: 16}]}
      filters: ${manager}
  - name: inspected
    address: ${address(ports.inspected)}
    access_log: ${log('inspected')}
    listener_filters_timeout: 0.1s
    listener_filters: [{name: i, typed_config: ${typed('filters.listener.tls_inspector.v3.TlsInspector')}}]
    filter_chains: [{name: plain, filters: ${manager}}]
  - name: tls
    address: ${address(ports.tls)}
    access_log: ${log('tls')}
    filter_chains:
    - name: encrypted
      filters: ${manager}
      transport_socket:
        name: tls
        typed_config: ${typed(
          'transport_sockets.tls.v3.DownstreamTlsContext',
          `common_tls_context: {tls_certificates: [${files.certificate('own')}]}`,
        )}
  clusters:
  - name: c
    type: STATIC
    alt_stat_name: c-alt
    ${own('cluster')}
    outlier_detection: {consecutive_5xx: 1, max_ejection_percent: 100, interval: 0.1s, base_ejection_time: 0.1s}
    load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: ${address(upstream.port)}}, ${own('endpoint')}}]}]}
`
}

/** What a log has once it has `count` lines that `mine` takes. */
async function lines({ folder }: Started, name: string, count: number, mine = (_: string) => true): Promise<string[]> {
  const read = () =>
    readFileSync(join(folder, name), 'utf8')
      .split('\n')
      .filter(line => line !== '' && mine(line))
  await waitFor(() => read().length >= count, { what: `${count} lines in ${name}` })
  return read()
}

/** Does the same to both, and compares what their log says of it, in lines that `mine` takes. */
async function compare(
  name: string,
  act: (side: Started) => Promise<void>,
  expected: readonly RegExp[],
  mine?: (line: string) => boolean,
): Promise<void> {
  const logged = await Promise.all(
    sides.map(async side => {
      const before = (await lines(side, name, 0, mine)).length
      await act(side)
      return (await lines(side, name, before + expected.length, mine)).slice(before)
    }),
  )
  const [theirs, ours] = logged as [string[], string[]]
  for (const [i, pattern] of expected.entries()) assert.match(theirs[i] ?? '', pattern)
  assert.deepEqual(ours, theirs)
}

/** A raw connection on which `text` is said and then the end. */
async function say(port: number, text: string, end = true): Promise<void> {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  await once(socket, 'connect')
  if (text !== '') socket.write(text, 'latin1')
  if (end) socket.end()
  await once(socket, 'close')
}

test('the admin listener logs its requests, in the format it is given and in the default one', async () => {
  const ask = async ({ ports }: Started) => {
    await fetchRaw(ports.admin, { path: '/logged?x=1' })
    await fetchRaw(ports.admin, { path: '/quitquitquit' })
  }
  const mine = (line: string) => !line.includes('/ready')
  for (const side of sides) await ask(side)
  // Their 404 lists their own endpoints.
  const [theirs, ours] = await Promise.all(sides.map(side => lines(side, 'admin', 2, mine)))
  assert.match(theirs![0]!, /^HTTP\/1\.1 404 - admin_filter_response GET \/logged\?x=1 type=DownstreamEnd/)
  assert.deepEqual(ours, theirs)
  const defaults = await Promise.all(sides.map(side => lines(side, 'admin-path', 2, mine)))
  const [theirDefault, ourDefault] = defaults.map(some => some.map(line => line.replace(/^\[.*?\] |\d+ \d+ - /g, '')))
  assert.deepEqual(ourDefault, theirDefault)
})

test('a listener logs a connection when it ends', () =>
  compare('main', ({ ports }) => fetchRaw(ports.main, { path: '/a' }).then(() => {}), [
    /^HTTP\/1\.1 0 - - - - type=NotSet chain=plain/,
  ]))

test('a listener logs a connection once, whatever it carries', () =>
  compare(
    'main',
    async ({ ports }) => {
      const client = await TestClient.connect(ports.main)
      for (let i = 0; i < 3; i++) await client.request({ path: `/${i}` })
      client.close()
    },
    [/^HTTP\/1\.1 0 - -/],
  ))

test('a connection on which nothing was said has no protocol', () =>
  compare('main', ({ ports }) => say(ports.main, ''), [/^- 0 - - - - type=NotSet chain=plain/]))

test('a connection whose peer breaks the protocol says so', () =>
  compare('main', ({ ports }) => say(ports.main, 'nonsense\r\n\r\n', false), [/^- 0 DPE - /]))

test('a connection that no filter chain takes is logged with NR', () =>
  compare('none', ({ ports }) => say(ports.none, ''), [/^- 0 NR filter_chain_not_found - - type=NotSet chain=- /]))

test('connections that end while listener filters wait are logged', () =>
  compare(
    'inspected',
    async ({ ports }) => {
      await say(ports.inspected, '')
      await say(ports.inspected, '', false)
    },
    [/^- 0 - - - - type=NotSet chain=- /, /^- 0 - - - - type=NotSet chain=- /],
  ))

test('a handshake that fails is logged as a connection of its chain', () =>
  compare('tls', ({ ports }) => say(ports.tls, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n', false), [
    /^- 0 - - - - type=NotSet chain=encrypted/,
  ]))

/** How many of the two requests below each of {@link METADATA_FILTERS} takes, in Envoy. */
const TAKEN: Readonly<Record<string, number>> = {
  equal: 2,
  present: 1,
  inverted: 2,
  other: 0,
  'any value': 1,
  nothing: 2,
}

test('metadata_filter chooses by what filters have noted', async () => {
  const mine = (line: string) => line === '/noted' || line === '/plain'
  const logged = await Promise.all(
    sides.map(async side => {
      await fetchRaw(side.ports.inspected, { path: '/noted', headers: [['x-fault', '1']] })
      await fetchRaw(side.ports.inspected, { path: '/plain' })
      const all = Object.entries(TAKEN).map(async ([name, count]) => [name, await lines(side, name, count, mine)])
      return Object.fromEntries(await Promise.all(all)) as Record<string, string[]>
    }),
  )
  const [theirs, ours] = logged
  assert.deepEqual(theirs!['present'], ['/noted'])
  assert.deepEqual(ours, theirs)
})

test('a log tells of the metadata of whatever a request has met', () =>
  compare(
    'met',
    ({ ports }) => fetchRaw(ports.main, { path: '/met' }).then(() => {}),
    [/^\/met c-alt listener chain host route cluster endpoint \{"name":"cluster"\} endpoint$/],
    // Requests of other tests may be written down only now.
    line => line.startsWith('/met '),
  ))

test('ejections and returns are logged as events', async () => {
  const events = await Promise.all(
    sides.map(async side => {
      upstream.script = [{ status: 500 }]
      await fetchRaw(side.ports.main, { path: '/' })
      return (await lines(side, 'outlier', 2)).map(line => JSON.parse(line) as Record<string, unknown>)
    }),
  )
  const [theirs, ours] = events.map(list =>
    list.map(event => JSON.stringify({ ...event, timestamp: '', upstream_url: '' })),
  )
  assert.match(theirs![0]!, /"action":"EJECT"/)
  assert.match(theirs![1]!, /"action":"UNEJECT"/)
  assert.deepEqual(ours, theirs)
})
