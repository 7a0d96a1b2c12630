/**
 * Formats against the real Envoy: which are refused, with which words, and how times are printed. What whole log lines say
 * is compared by the side-by-side suites.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { compileTextFormat } from '../../sidecar/observability/formatter/formatter.ts'
import { OPERATORS } from '../../sidecar/observability/formatter/operators.ts'
import { StreamInfo } from '../../sidecar/observability/stream-info.ts'
import { envoyValidates, startEnvoy } from '../kit/envoy.ts'
import { freePort } from '../kit/free-port.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { partOrSkip } from '../kit/parts.ts'
import { temporaryFolder } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

const TYPES = 'type.googleapis.com/envoy.extensions'

function config(path: string, format: string, port: number): string {
  const manager = {
    '@type': `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'x',
    access_log: [
      {
        name: 'file',
        typed_config: {
          '@type': `${TYPES}.access_loggers.file.v3.FileAccessLog`,
          path,
          log_format: { text_format_source: { inline_string: format } },
        },
      },
    ],
    route_config: {
      virtual_hosts: [
        { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }] },
      ],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': `${TYPES}.filters.http.router.v3.Router` } }],
  }
  const filters = [{ name: 'http', typed_config: manager }]
  const address = { socket_address: { address: '127.0.0.1', port_value: port } }
  // YAML, so that the kit can add an admin listener.
  return `static_resources: ${JSON.stringify({ listeners: [{ name: 'l', address, filter_chains: [{ filters }] }] })}\n`
}

const FORMATS = [
  '%',
  '%%',
  '%REQ(',
  '%REQ(a%',
  '%REQ()%',
  '%REQ%',
  '%REQ(a?b?c)%',
  '%REQ(a):x%',
  '%REQ(a):5%',
  '%REQ(a)5%',
  '%FOO%',
  '%FOO(a)%',
  '%DURATION(a)%',
  '%DURATION:3%',
  '%DURATION()%',
  '%START_TIME(%Y%n)%',
  '%START_TIME()%',
  '%START_TIME(%)%',
  '%COMMON_DURATION(a)%',
  '%COMMON_DURATION(a:b:c)%',
  '%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%',
  '%COMMON_DURATION%',
  '%RESPONSE_CODE_DETAILS(X)%',
  '%GRPC_STATUS(X)%',
  '%PATH(WQ)%',
  '%PATH(x)%',
  '%PATH(NQ:X)%',
  '%PATH(NQ:ORIG_OR_PATH):5%',
  '%ENVIRONMENT%',
  '%ENVIRONMENT(X):3%',
  '%DYNAMIC_METADATA%',
  '%DYNAMIC_METADATA(a:b:c):3%',
  '%QUERY_PARAM%',
  '%QUERY_PARAMS(DECODED)%',
  '%METADATA(X:a)%',
  '%METADATA(ROUTE:a)%',
  '%FILTER_STATE(a:X)%',
  '%req(a)%',
  '% DURATION%',
  '%DURATION %',
  '100%',
  'x %REQ(a)%REQ(b)%',
  '%REQ(A?)%',
  '%REQ(?a)%',
  '%XFCC_VALUE%',
  '%RESPONSE_FLAGS(X)%',
  '%REQ(X-Y Z)%',
  '%RESP(a):0%',
  '%START_TIME(%Y):4%',
  '%REQ(a)::%',
  '%QUERY_PARAMS(RAW)%',
  '%FILTER_STATE%',
]

test('Envoy refuses what we refuse, in the same words', { timeout: 300_000 }, async t => {
  if ((await partOrSkip(t, 'envoy')) === undefined) return
  for (const format of FORMATS) {
    const [ours] = compileTextFormat(format).errors ?? []
    const { ok, output } = await envoyValidates(config('/dev/null', format, 0))
    assert.equal(ours === undefined, ok, `${format}: ${ours?.message ?? output}`)
    if (ours !== undefined) assert.ok(output.includes(ours.message), `${format}: ${ours.message}\n${output}`)
  }
})

/** Ours, or of extensions that a configuration has to name. */
const NOT_IN_PLAIN_ENVOY = ['FAILURE', 'REQUEST_TRAILER', 'REQ_WITHOUT_QUERY', 'CEL']

test('Envoy knows every operator that we know, apart from those of our own', { timeout: 300_000 }, async t => {
  if ((await partOrSkip(t, 'envoy')) === undefined) return
  const names = [...OPERATORS.keys()].filter(name => !NOT_IN_PLAIN_ENVOY.includes(name))
  const withArgument = new Map([
    ['METADATA', 'ROUTE:a'],
    ['COALESCE', '{"operators":["DURATION"]}'],
    ['COMMON_DURATION', 'a:b'],
    ['FILTER_STATE', 'x'],
    ['UPSTREAM_FILTER_STATE', 'x'],
    ['XFCC_VALUE', 'uri'],
  ])
  const format = names.map(name => {
    const argument = withArgument.get(name) ?? (OPERATORS.get(name)!.syntax === 'argument:length' ? 'x' : undefined)
    return argument === undefined ? `%${name}%` : `%${name}(${argument})%`
  })
  const { ok, output } = await envoyValidates(config('/dev/null', format.join(' '), 0))
  assert.ok(ok, output)
})

/** Nothing finer than milliseconds: that is all our clock has. */
const TIMES = [
  '',
  '%Y-%m-%dT%H:%M:%S.%3f',
  '%1f|%2f|%3f',
  '%s.%3f',
  '%E3S|%E2S|%E3f',
  '%Ez|%z|%Z|%:z',
  '%ET|%E4Y',
  '%a %A %b %B %d %e %j %y %C %D %F %T %R %r %I %l %p %P %k',
  '%c|%x|%X|%U|%V|%W|%w|%u|%G|%g|%t|%h|%%',
  '%-d|%_d|%^a|%^B',
  '%H:%M',
  '%q %Q %L %v %i',
]

test('times are printed as Envoy prints them', { timeout: 60_000 }, async t => {
  if ((await partOrSkip(t, 'envoy')) === undefined) return
  const path = join(temporaryFolder(), 'log')
  const port = await freePort()
  const format = `%START_TIME(%s%3f)%\n${TIMES.map(time => `%START_TIME(${time})%\n`).join('')}`
  const envoy = await startEnvoy(config(path, format, port), { args: ['--file-flush-interval-msec', '20'] })
  t.after(() => envoy.stop('SIGKILL'))
  await fetchRaw(port, { path: '/' })
  const lines = await waitFor(() => {
    const all = readFileSync(path, 'latin1').split('\n')
    return all.length > TIMES.length + 1 ? all : undefined
  })
  const address = { ip: '127.0.0.1', port: 1 }
  const connection = {
    id: 1,
    directRemote: address,
    local: address,
    listenerName: '',
    filterChainName: '',
    tls: undefined,
    requestedServerName: '',
  }
  const info = new StreamInfo(connection, 'HTTP/1.1', 0, Number(lines[0]))
  for (const [index, time] of TIMES.entries()) {
    assert.equal(compileTextFormat(`%START_TIME(${time})%`).value!({ info }), lines[index + 1], time)
  }
})
