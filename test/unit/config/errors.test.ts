/** What a wrong configuration is told: where, what, and what would have been right. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { editDistance, nearest } from '../../../sidecar/base/suggest.ts'
import { loadBootstrap } from '../../../sidecar/config/bootstrap.ts'
import { sourceOf } from '../../../sidecar/config/source.ts'
import {
  clusterOf,
  config,
  errorsOf,
  extension,
  listenerOf,
  load,
  loadOk,
  managerAnyOf,
  managerOf,
  routeOf,
  warningsOf,
} from './configs.ts'

test('an unknown field names its place and the nearest field', () => {
  const { errorTexts } = load(config({ cluster: 'lb_polcy: RANDOM' }))
  assert.deepEqual(errorTexts, [
    'envoy.yaml:27:5: error: static_resources.clusters[0].lb_polcy: unknown field, did you mean "lb_policy"?',
  ])
})

test('a field one level too high or too low is told where it belongs', () => {
  assert.deepEqual(errorsOf({ virtualHost: 'stat_prefix: x' }), [
    'unknown field; it belongs under "typed_config", so check the indentation',
  ])
  assert.deepEqual(errorsOf({ route: '{cluster: c, num_retries: 1}' }), [
    'unknown field; it belongs under "retry_policy"',
  ])
})

test('a field of a small message that resembles nothing lists the fields there are', () => {
  assert.match(
    errorsOf({ node: '{id: i, locality: {galaxy: x}}' })[0]!,
    /^unknown field; the fields here are region, zone, sub_zone$/,
  )
})

test('the v2 name of typed_config is told its v3 name', () => {
  assert.match(
    errorsOf({ filters: '[{name: envoy.filters.http.router, config: {}}]' })[0]!,
    /^unknown field; since v3 it is "typed_config", with an "@type"$/,
  )
})

test('all errors come at once, in the order of the file', () => {
  const { errorTexts, bootstrap } = load(
    config({
      node: '{idd: i}',
      listener: 'tcp_backlog_size: many',
      manager: 'codec_type: HTTP9',
      route: '{cluster: zz}',
      timeout: '5m',
      cluster: 'lb_policy: [RANDOM]',
    }),
  )
  assert.equal(bootstrap, undefined)
  assert.deepEqual(
    errorTexts.map(text =>
      text.replace(/^envoy\.yaml:(\d+):\d+: error: (?:[\w.[\]]+\.)?(\w+): (.{0,28}).*$/, '$1 $2: $3'),
    ),
    [
      '1 idd: unknown field, did you mean ',
      '6 tcp_backlog_size: must be a whole number, not ',
      '13 codec_type: has no value "HTTP9", did yo',
      '21 cluster: unknown cluster "zz"; there ',
      '26 connect_timeout: must be a duration in second',
      '27 lb_policy: must be one of the names of ',
    ],
  )
})

test('what stands beside an error is still checked', () => {
  const messages = errorsOf({ route: '{cluster: c, timeout: 1, retry_policy: {num_retrys: 1, retry_back_off: {}}}' })
  assert.deepEqual(messages, [
    'must be a duration in seconds such as "1.5s", not "1"; write "1s"',
    'unknown field, did you mean "num_retries"?',
    'is required',
  ])
})

test('two members of a oneof are refused at the second', () => {
  const { errorTexts } = load(config({ route: '{cluster: c, cluster_header: x}' }))
  assert.match(
    errorTexts[0]!,
    /^envoy\.yaml:21:37: error: \S+\.route: "cluster" and "cluster_header" exclude each other/,
  )
})

test('a oneof that must be chosen lists its members', () => {
  assert.match(
    errorsOf({ route: '{timeout: 1s}' })[0]!,
    /^one of cluster, cluster_header, weighted_clusters, .* is required$/,
  )
})

test('a list where a message belongs is told to lose its dash', () => {
  assert.deepEqual(errorsOf({ route: '{cluster: c, retry_policy: [{num_retries: 1}]}' }), [
    'must be a mapping, not a list; remove the "- "',
  ])
})

test('a thousand errors are shown and the rest counted', () => {
  const fields = Array.from({ length: 1500 }, (_, i) => `    x${i}: 1`).join('\n')
  const { errors } = load(config({ cluster: `\n${fields}` }))
  assert.equal(errors.length, 1001)
  assert.equal(errors.at(-1)!.message, 'and 500 more problems, not shown')
})

test('a file that cannot be read is an error, not a crash', () => {
  const { errors } = load('', { file: '/nowhere/envoy.yaml', text: undefined })
  assert.deepEqual(
    errors.map(({ message, line }) => ({ message, line })),
    [{ message: 'no such file', line: 0 }],
  )
})

test('an empty file says what a bootstrap has', () => {
  for (const text of ['', '# nothing\n', '~']) assert.match(load(text).errors[0]!.message, /the file is empty/)
})

test('text that is no mapping is refused', () => {
  for (const text of ['hello', '[1, 2]', '{"a":']) assert.ok(load(text).errors.length > 0, text)
})

test('long dashes in quoted and block text are left alone', () => {
  const text = config({ cluster: 'alt_stat_name: |\n      \u2013 one\n      \u2013 two' })
  assert.deepEqual(load(text).errorTexts, [])
})

test('positions of messages and fields are kept beside the values, through Any too', () => {
  const bootstrap = loadOk({ cluster: 'lb_policy: RANDOM' })
  assert.deepEqual(sourceOf(clusterOf(bootstrap)), {
    file: 'envoy.yaml', line: 24, column: 5, path: 'static_resources.clusters[0]',
  }) // biome-ignore format: one line
  assert.deepEqual(sourceOf(clusterOf(bootstrap), 'lbPolicy'), {
    file: 'envoy.yaml', line: 27, column: 5, path: 'static_resources.clusters[0].lb_policy',
  }) // biome-ignore format: one line
  assert.equal(sourceOf(routeOf(bootstrap), 'cluster')!.line, 21)
  assert.equal(sourceOf(managerOf(bootstrap), 'statPrefix')!.line, 12)
  assert.equal(sourceOf(managerAnyOf(bootstrap))!.line, 11)
  assert.equal(sourceOf(listenerOf(bootstrap), 'tcpBacklogSize')!.line, sourceOf(listenerOf(bootstrap))!.line)
  assert.equal(sourceOf({}), undefined)
})

test('the edit distance counts a swap once and stops at its limit', () => {
  assert.equal(editDistance('clustr', 'cluster', 3), 1)
  assert.equal(editDistance('clutser', 'cluster', 3), 1)
  assert.equal(editDistance('', 'abc', 3), 3)
  assert.equal(editDistance('abcdef', 'uvwxyz', 2), 3)
  assert.equal(editDistance('x'.repeat(10_000), 'y'.repeat(10_000), 3), 4)
  assert.equal(nearest('timout', ['timeout', 'idle_timeout']), 'timeout')
  assert.equal(nearest('zebra', ['timeout', 'idle_timeout']), undefined)
})

test('a field that Hopwise lacks is refused by name, with what it waits for', () => {
  const { errorTexts } = load(config({ cluster: 'health_checks: [{timeout: 1s}]' }))
  assert.match(
    errorTexts[0]!,
    /^envoy\.yaml:27:5: error: static_resources\.clusters\[0\]\.health_checks: is not supported yet by Hopwise: it comes with active health checking$/,
  )
})

test('a refused field is still checked for what it holds', () => {
  const messages = errorsOf({ cluster: 'health_checks: [{timeout: 1s, interval: 1m}]' })
  assert.ok(messages.some(message => message.startsWith('must be a duration')))
  assert.ok(messages.some(message => message === 'is required'))
})

test('a value that Hopwise lacks is refused by name', () => {
  assert.deepEqual(errorsOf({ cluster: 'lb_policy: MAGLEV' }), [
    'MAGLEV is not supported yet by Hopwise: it comes with the consistent-hashing policies',
  ])
})

test('a field without effect warns once with its reason, and not at its default', () => {
  const [warning, ...more] = warningsOf({
    cluster: 'cleanup_interval: 1s',
    rest: 'enable_dispatcher_stats: true\nheader_prefix: ""',
  })
  assert.match(warning!, /has no effect here: hosts that are no longer used/)
  assert.equal(more.length, 1)
  assert.deepEqual(warningsOf({ rest: 'enable_dispatcher_stats: false' }), [])
})

test('an extension that Hopwise lacks is refused by name and told nothing about its inside', () => {
  const lua = extension('filters.http.lua.v3.Lua', ', source_codes: {a: {inline_string: x}}')
  const messages = errorsOf({ filters: `[{name: l, typed_config: ${lua}}, {name: envoy.filters.http.router}]` })
  assert.deepEqual(messages, ['Lua is not supported yet by Hopwise'])
})

test('a variable or a template that nobody filled in is named as such, once', () => {
  const envsubst = 'environment variables are not replaced in a configuration; put their values in first (envsubst)'
  const flow = parse('static_resources: {clusters: [{name: $' + '{NAME}, type: STATIC}]}\n')
  assert.deepEqual(flow, [[1, 38, `\${NAME}: ${envsubst}`]])
  const block = parse('stats_flush_interval: $' + '{INTERVAL}\n')
  assert.equal(block[0]![0], 1)
  assert.ok(block[0]![2].endsWith(`not "\${INTERVAL}": ${envsubst}`), block[0]![2])
  const helm = parse('node:\n  id: {{ .Values.id }}\n')
  assert.ok(helm.some(([line, , message]) => line === 2 && /template that has not been rendered/.test(message)))

  function parse(text: string) {
    const { errors } = loadBootstrap({ text })
    return errors.map(({ line, column, message }) => [line, column, message] as const)
  }
})

test('fields of the v2 API are answered with their successors', () => {
  assert.deepEqual(errorsOf({ cluster: 'hosts: [{socket_address: {address: a, port_value: 1}}]' }), [
    'unknown field; since v3 it is "load_assignment"',
  ])
  assert.deepEqual(errorsOf({ cluster: 'tls_context: {}' }), ['unknown field; since v3 it is "transport_socket"'])
})

test('limits of single hosts: only connections', () => {
  assert.deepEqual(
    errorsOf({ cluster: 'circuit_breakers: {per_host_thresholds: [{max_connections: 1, max_requests: 1}]}' }),
    ['is no limit of single hosts; of these there is only max_connections'],
  )
  assert.deepEqual(errorsOf({ cluster: 'circuit_breakers: {per_host_thresholds: [{max_connections: 1}]}' }), [])
})

test('servers of the DNS may be given with any protocol, a listener of UDP comes later', () => {
  const servers = (protocol: string) =>
    `typed_dns_resolver_config: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, resolvers: [{socket_address: {protocol: ${protocol}, address: 10.0.0.1, port_value: 53}}]}}`
  for (const protocol of ['UDP', 'TCP']) assert.deepEqual(errorsOf({ cluster: servers(protocol) }), [])
  const listener =
    'static_resources: {listeners: [{name: l, address: {socket_address: {protocol: UDP, address: 0.0.0.0, port_value: 1}}}]}'
  const [error] = loadBootstrap({ text: listener }).errors
  assert.equal(error!.message, 'UDP is not supported yet by Hopwise: it comes with UDP')
})

test('use_tcp_for_dns_lookups warns that it changes nothing', () => {
  const [warning] = warningsOf({ cluster: 'use_tcp_for_dns_lookups: true' })
  assert.match(warning!, /has no effect here: names are asked over UDP, and over TCP where an answer does not fit/)
})
