/** Checks that need more than one message: names, places, and values that mean more than their type. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { discoveryType } from '../../../sidecar/config/discovery-type.ts'
import {
  assignment,
  clusterOf,
  config,
  errorsOf,
  extension,
  load,
  loadOk,
  type Parts,
  router,
  warningsOf,
} from './configs.ts'

const buffer = `{name: b, typed_config: ${extension('filters.http.buffer.v3.Buffer', ', max_request_bytes: 5')}}`

test('an unknown cluster names its place and the nearest cluster', () => {
  const { errorTexts } = load(config({ route: '{cluster: cc}' }))
  assert.match(
    errorTexts[0]!,
    /^envoy\.yaml:21:25: error: \S+\.route\.cluster: unknown cluster "cc", did you mean "c"\?$/,
  )
  assert.deepEqual(errorsOf({ route: '{cluster: payments}' }), ['unknown cluster "payments"; there is c'])
})

test('clusters of weights, mirrors, collectors and exporters are checked', () => {
  assert.deepEqual(errorsOf({ route: '{weighted_clusters: {clusters: [{name: zz, weight: 1}]}}' }), [
    'unknown weighted cluster "zz"; there is c',
  ])
  assert.deepEqual(errorsOf({ route: '{cluster: c, request_mirror_policies: [{cluster: zz}]}' }), [
    'unknown shadow cluster "zz"; there is c',
  ])
  const tracing = (type: string, fields: string) =>
    `tracing: {provider: {name: t, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.${type}, ${fields}}}}`
  const zipkin = tracing(
    'ZipkinConfig',
    'collector_cluster: zz, collector_endpoint: /a, collector_endpoint_version: HTTP_JSON',
  )
  assert.deepEqual(errorsOf({ manager: zipkin }), ['unknown cluster "zz"'])
  const otlp = tracing('OpenTelemetryConfig', 'http_service: {http_uri: {uri: http://x, cluster: zz, timeout: 1s}}')
  assert.deepEqual(warningsOf({ manager: otlp }), ['unknown cluster "zz"'])
})

test('validate_clusters: false leaves cluster names alone', () => {
  const text = config({ route: '{cluster: zz}' }).replace(
    'route_config:\n',
    'route_config:\n            validate_clusters: false\n',
  )
  assert.deepEqual(load(text).errorTexts, [])
})

test('weights must be there and more than 0', () => {
  assert.deepEqual(errorsOf({ route: '{weighted_clusters: {clusters: [{name: c}]}}' }), ['needs a weight'])
  assert.deepEqual(errorsOf({ route: '{weighted_clusters: {clusters: [{name: c, weight: 0}]}}' }), [
    'the weights add up to 0; one of them must be more',
  ])
})

test('the router must be last, and something terminal must be', () => {
  assert.deepEqual(errorsOf({ filters: `[${router}, ${buffer}]` }), [
    '"envoy.filters.http.router" must be the last filter: what stands after it is never reached',
    '"b" cannot be the last filter, since it passes everything on; add envoy.filters.http.router after it',
  ])
  assert.match(warningsOf({ filters: '[]' })[0]!, /^there are no http_filters/)
})

test('clusters of one name are refused with the line of the first', () => {
  const text = config({ rest: `  - name: c\n    ${assignment('127.0.0.1')}` })
  assert.deepEqual(load(text).errorTexts, [
    'envoy.yaml:29:5: error: static_resources.clusters[1].name: the cluster "c" is there already, on line 24',
  ])
})

test('listeners of one name, and of one address, are refused', () => {
  const listener = (name: string, port: number) =>
    `  - name: ${name}\n    address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}\n` +
    `    filter_chains: [{filters: []}]\n  clusters:\n`
  const both = load(config().replace('  clusters:\n', listener('l', 10000))).errors.map(({ message }) => message)
  assert.deepEqual(both, [
    'the listener "l" is there already, on line 4; Envoy would drop one of them',
    'the listener "l" has this address too, on line 4',
  ])
  assert.deepEqual(load(config().replace('  clusters:\n', listener('m', 10001))).errorTexts, [])
})

test('a listener needs an IP address and a filter chain', () => {
  const text = config().replace('address: 127.0.0.1, port_value: 10000', 'address: localhost, port_value: 10000')
  assert.match(
    load(text).errorTexts[0]!,
    /^envoy\.yaml:5:32: error: \S+: "localhost" is no IP address, which a listener needs/,
  )
  const bare =
    'static_resources: {listeners: [{name: l, address: {socket_address: {address: 0.0.0.0, port_value: 1}}}]}'
  assert.deepEqual(
    load(bare).errors.map(({ message }) => message),
    ['the listener has no filter chains'],
  )
})

test('filter chains that match the same connections are refused', () => {
  const chains = (first: string, second: string) =>
    'static_resources: {listeners: [{name: l, address: {socket_address: {address: 0.0.0.0, port_value: 1}}, filter_chains: [' +
    `{name: a, filter_chain_match: ${first}, filters: []}, {name: b, filter_chain_match: ${second}, filters: []}]}]}`
  const refused: readonly (readonly [string, string])[] = [
    ['{}', '{}'],
    ['{destination_port: 5}', '{destination_port: 5}'],
    ['{source_ports: [5, 6]}', '{source_ports: [6]}'],
    [
      '{source_prefix_ranges: [{address_prefix: 10.0.0.1, prefix_len: 8}]}',
      '{source_prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}',
    ],
  ]
  for (const [first, second] of refused) {
    assert.match(load(chains(first, second)).errorTexts[0] ?? '', /matches the same connections/, first)
  }
  assert.deepEqual(load(chains('{destination_port: 5}', '{destination_port: 6}')).errorTexts, [])
  assert.deepEqual(load(chains('{server_names: [a.com]}', '{server_names: ["*.a.com"]}')).errorTexts, [])
  assert.match(
    load(chains('{server_names: ["a*.com"]}', '{}')).errorTexts[0]!,
    /a wildcard may only be the whole first label/,
  )
})

test('a domain stands once, in whatever case', () => {
  assert.deepEqual(errorsOf({ domains: '[a.b, A.B]' }), ['the domain "A.B" stands twice in this list'])
})

test('a static cluster needs addresses, and DNS clusters take names', () => {
  assert.deepEqual(errorsOf({ endpoints: assignment('b.example') }), [
    '"b.example" is a name, not an IP address; set the cluster\'s type to STRICT_DNS',
  ])
  assert.deepEqual(errorsOf({ type: 'STRICT_DNS', endpoints: assignment('b.example', '10.0.0.1') }), [])
  assert.deepEqual(errorsOf({ type: 'LOGICAL_DNS', endpoints: assignment('b.example') }), [])
  assert.deepEqual(errorsOf({ type: 'LOGICAL_DNS', endpoints: '' }), [
    'a LOGICAL_DNS cluster needs a load_assignment with its one name',
  ])
})

test('a cluster without endpoints is warned about', () => {
  assert.match(warningsOf({ endpoints: '' })[0]!, /^the cluster has no endpoints/)
})

test('regular expressions are those of RE2', () => {
  assert.deepEqual(errorsOf({ match: '{safe_regex: {regex: "(a"}}' }), [
    'is no valid RE2 expression: missing closing ): `(a`',
  ])
  assert.match(errorsOf({ match: '{safe_regex: {regex: "(?=a)"}}' })[0]!, /\(RE2 has no lookahead and no lookbehind\)$/)
  assert.deepEqual(errorsOf({ match: '{safe_regex: {regex: "^/(?P<id>[0-9]+)$"}}' }), [])
})

test('address ranges are addresses', () => {
  const ranges = (prefix: string) => ({
    manager: `internal_address_config: {cidr_ranges: [{address_prefix: ${prefix}, prefix_len: 8}]}`,
  })
  assert.deepEqual(errorsOf(ranges('10.0.0.x')), ['"10.0.0.x" is no IP address'])
  assert.deepEqual(errorsOf(ranges('10.0.0.0/8')), ['"10.0.0.0/8" is no IP address; its length goes into prefix_len'])
  assert.deepEqual(errorsOf(ranges('"::1"')), [])
})

test('rewrites exclude each other, and back-off does not go down', () => {
  assert.deepEqual(errorsOf({ route: '{cluster: c, prefix_rewrite: /a, path_rewrite: /b}' }), [
    'excludes prefix_rewrite; keep one of them',
  ])
  const route = '{cluster: c, retry_policy: {retry_back_off: {base_interval: 5s, max_interval: 1s}}}'
  assert.deepEqual(errorsOf({ route }), ['must not be less than base_interval'])
})

test('a retry condition that is none is warned about', () => {
  assert.deepEqual(warningsOf({ route: '{cluster: c, retry_policy: {retry_on: "5xx,gateway-eror"}}' }), [
    '"gateway-eror" is no condition and is ignored, did you mean "gateway-error"?',
  ])
})

test('settings at a route must be those of the filter, and of a filter that is there', () => {
  const perRoute = (name: string, config: string) => ({ virtualHost: `typed_per_filter_config: {${name}: ${config}}` })
  const wrongType = perRoute(
    'envoy.filters.http.buffer',
    extension('filters.http.buffer.v3.Buffer', ', max_request_bytes: 1'),
  )
  assert.deepEqual(errorsOf({ ...wrongType, filters: `[${buffer}, ${router}]` }), [
    'at a route, "envoy.filters.http.buffer" takes BufferPerRoute',
  ])
  const absent = perRoute('c', extension('filters.http.buffer.v3.BufferPerRoute', ', disabled: true'))
  assert.deepEqual(warningsOf({ ...absent, filters: `[${buffer}, ${router}]` }), [
    'no filter of this chain is named "c", so its settings change nothing, did you mean "b"?',
  ])
})

test('runtime layers have different names and one admin layer', () => {
  const layers = '[{name: a, static_layer: {}}, {name: a, admin_layer: {}}, {name: b, admin_layer: {}}]'
  const messages = errorsOf({ rest: `layered_runtime: {layers: ${layers}}` })
  assert.deepEqual(messages, [
    'the layer "a" is there already, on line 29',
    'there is an admin layer already, on line 29',
  ])
})

test('the discovery type is told however it is written', () => {
  const typeOf = (parts: Parts) => discoveryType(clusterOf(loadOk(parts)))
  const two = assignment('a.example', 'b.example')
  assert.equal(typeOf({}), 'STATIC')
  assert.equal(typeOf({ type: '' }), 'STATIC')
  assert.equal(typeOf({ type: 'LOGICAL_DNS', endpoints: assignment('a.example') }), 'LOGICAL_DNS')
  assert.equal(typeOf({ type: 'LOGICAL_DNS', endpoints: two }), 'STRICT_DNS')
  const dns = (fields: string) => ({
    type: '',
    cluster: `cluster_type: {name: envoy.cluster.dns, typed_config: ${extension('clusters.dns.v3.DnsCluster', fields)}}`,
    endpoints: assignment('a.example'),
  })
  assert.equal(typeOf(dns('')), 'STRICT_DNS')
  assert.equal(typeOf(dns(', all_addresses_in_single_endpoint: true')), 'LOGICAL_DNS')
})
