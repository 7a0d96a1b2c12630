/**
 * The same configurations to real Envoy 1.40 (`--mode validate`) and to our loader in strict mode: both take them, or
 * both refuse them. Support is set to "everything", since what Hopwise does not do yet is no difference of dialect.
 */
import { strict as assert } from 'node:assert'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadBootstrap } from '../../sidecar/config/bootstrap.ts'
import { formatProblem } from '../../sidecar/config/problems.ts'
import { everythingSupported } from '../../sidecar/config/support.ts'
import { envoyValidates } from '../kit/envoy.ts'
import { partOrSkip } from '../kit/parts.ts'

interface Parts {
  readonly id?: string
  readonly listener?: string
  readonly manager?: string
  readonly domains?: string
  readonly virtualHost?: string
  readonly match?: string
  readonly route?: string
  readonly filters?: string
  readonly router?: string
  readonly cluster?: string
  readonly type?: string
  readonly timeout?: string
  readonly endpoints?: string
  readonly rest?: string
}

const endpoint = (address: string) => `{endpoint: {address: {socket_address: {address: ${address}, port_value: 80}}}}`
const assignment = (...addresses: string[]) =>
  `load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [${addresses.map(endpoint).join(', ')}]}]}`
const extension = (type: string, fields = '') => `{"@type": type.googleapis.com/envoy.extensions.${type}${fields}}`
const routerFilter = extension('filters.http.router.v3.Router')
const bufferFilter = `{name: b, typed_config: ${extension('filters.http.buffer.v3.Buffer', ', max_request_bytes: 5')}}`

function config(parts: Parts = {}): string {
  const filters = parts.filters ?? `[{name: envoy.filters.http.router, typed_config: ${parts.router ?? routerFilter}}]`
  return `
node: {id: ${parts.id ?? 'id1'}, cluster: c}
static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    ${parts.listener ?? ''}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: p
          ${parts.manager ?? ''}
          route_config:
            virtual_hosts:
            - name: v
              domains: ${parts.domains ?? '["*"]'}
              ${parts.virtualHost ?? ''}
              routes:
              - match: ${parts.match ?? '{prefix: /}'}
                route: ${parts.route ?? '{cluster: c}'}
          http_filters: ${filters}
  clusters:
  - name: c
    type: ${parts.type ?? 'STATIC'}
    connect_timeout: ${parts.timeout ?? '1s'}
    ${parts.cluster ?? ''}
    ${parts.endpoints ?? assignment('127.0.0.1')}
${parts.rest ?? ''}
`
}

/** A short name and a configuration; the verdict is Envoy's. */
const cases: Record<string, string> = {
  'a plain configuration': config(),
  'one of everything that we support': readFileSync(
    join(import.meta.dirname, '../unit/config/one-of-everything.yaml'),
    'utf8',
  ),
  'an unquoted n as a name': config({ id: 'n' }),
  'a number as a name': config({ id: '123' }),
  'a fraction as a name': config({ id: '1.5' }),
  'null as a name': config({ id: 'null' }),
  'a single domain for a list': config({ domains: '"*"' }),
  'null in a list': config({ domains: '["*", null]' }),
  'an unknown field': config({ cluster: 'connect_timeot: 1s' }),
  'a merge key': config({ cluster: '<<: {lb_policy: RANDOM}' }),
  'a duplicate key': config({ cluster: 'lb_policy: RANDOM\n    lb_policy: ROUND_ROBIN' }),
  camelCase: config({ cluster: 'lbPolicy: RANDOM' }),
  'both spellings of a key': config({ cluster: 'lb_policy: RANDOM\n    lbPolicy: ROUND_ROBIN' }),
  'a tab': config({ cluster: '\tlb_policy: RANDOM' }),
  'a list for a message': config({ route: '{cluster: c, retry_policy: [{num_retries: 1}]}' }),
  'a message for a list': config({ virtualHost: 'request_headers_to_add: {header: {key: a, value: b}}' }),
  'an empty string for a message': config({ route: '{cluster: c, retry_policy: ""}' }),
  'null for a message': config({ route: '{cluster: c, retry_policy: null}' }),
  'two members of a oneof': config({ route: '{cluster: c, cluster_header: x}' }),
  'null for the second member of a oneof': config({ route: '{cluster: c, cluster_header: null}' }),
  'no member of a required oneof': config({ match: '{case_sensitive: true}' }),
  'no route action': config({ route: '{timeout: 1s}' }),
  'a type URL of another host': config({ router: '{"@type": foo.com/envoy.extensions.filters.http.router.v3.Router}' }),
  'a type URL without a host': config({ router: '{"@type": envoy.extensions.filters.http.router.v3.Router}' }),
  'an unknown type URL': config({ router: '{"@type": type.googleapis.com/envoy.Nothing}' }),
  'a filter without configuration': config({ router: 'null' }),
  'a filter with configuration but no type': config({ router: '{suppress_envoy_headers: true}' }),
  'a network filter among the HTTP filters': config({ router: extension('filters.network.echo.v3.Echo') }),
  'an arbitrary name with a type': config({ filters: `[{name: foo, typed_config: ${routerFilter}}]` }),
  'a filter without a name': config({ filters: `[{typed_config: ${routerFilter}}]` }),
  'a TypedStruct': config({
    router:
      '{"@type": type.googleapis.com/xds.type.v3.TypedStruct, value: {suppress_envoy_headers: true}, ' +
      'type_url: type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}',
  }),
  'a TypedStruct with a wrong field': config({
    router:
      '{"@type": type.googleapis.com/xds.type.v3.TypedStruct, value: {suppress: true}, ' +
      'type_url: type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}',
  }),
  'no HTTP filters': config({ filters: '[]' }),
  'the router not last': config({ filters: `[{name: r, typed_config: ${routerFilter}}, ${bufferFilter}]` }),
  'the router missing': config({ filters: `[${bufferFilter}]` }),
  'the router twice': config({
    filters: `[{name: r, typed_config: ${routerFilter}}, {name: s, typed_config: ${routerFilter}}]`,
  }),
  'an unknown cluster': config({ route: '{cluster: zz}' }),
  'an unknown weighted cluster': config({ route: '{weighted_clusters: {clusters: [{name: zz, weight: 1}]}}' }),
  'weights of 0': config({ route: '{weighted_clusters: {clusters: [{name: c, weight: 0}]}}' }),
  'a missing weight': config({ route: '{weighted_clusters: {clusters: [{name: c}]}}' }),
  'an unknown mirror cluster': config({ route: '{cluster: c, request_mirror_policies: [{cluster: zz}]}' }),
  'two rewrites': config({
    route: '{cluster: c, prefix_rewrite: /a, regex_rewrite: {pattern: {regex: a}, substitution: b}}',
  }),
  'a back-off the wrong way round': config({
    route: '{cluster: c, retry_policy: {retry_back_off: {base_interval: 5s, max_interval: 1s}}}',
  }),
  'an unknown retry condition': config({ route: '{cluster: c, retry_policy: {retry_on: "5xx,foo"}}' }),
  'an open parenthesis': config({ match: '{safe_regex: {regex: "(a"}}' }),
  'a lookahead': config({ match: '{safe_regex: {regex: "(?=a)"}}' }),
  'a domain twice': config({ domains: '[a, A]' }),
  'a port range': config({ match: '{prefix: /, headers: [{name: x, range_match: {start: 1, end: 5}}]}' }),
  'a deprecated header match': config({ match: '{prefix: /, headers: [{name: x, exact_match: a}]}' }),
  'a header match without a name': config({ match: '{prefix: /, headers: [{present_match: true}]}' }),
  'a path that does not start with a slash': config({ match: '{path: a}' }),
  'a separated prefix with a slash at the end': config({ match: '{path_separated_prefix: /a/}' }),
  'an address range that is none': config({
    manager: 'internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.x, prefix_len: 8}]}',
  }),
  'an unknown collector': config({
    manager:
      'tracing: {provider: {name: envoy.tracers.zipkin, typed_config: {"@type": type.googleapis.com/' +
      'envoy.config.trace.v3.ZipkinConfig, collector_cluster: zz, collector_endpoint: /api, ' +
      'collector_endpoint_version: HTTP_JSON}}}',
  }),
  'header bytes beyond their limit': config({ manager: 'max_request_headers_kb: 9000' }),
  'a bad status in a direct response': config({ virtualHost: 'retry_policy: {retriable_status_codes: [99]}' }),
  'a router at a route': config({
    virtualHost: `typed_per_filter_config: {envoy.filters.http.router: ${routerFilter}}`,
  }),
  'the wrong settings at a route': config({
    virtualHost: `typed_per_filter_config: {x: ${extension('filters.http.buffer.v3.Buffer', ', max_request_bytes: 4')}}`,
  }),
  'a name in a static cluster': config({ endpoints: assignment('foo') }),
  'a static cluster without endpoints': config({ endpoints: '' }),
  'LOGICAL_DNS with two endpoints': config({ type: 'LOGICAL_DNS', endpoints: assignment('a', 'b') }),
  'LOGICAL_DNS without endpoints': config({ type: 'LOGICAL_DNS', endpoints: 'load_assignment: {cluster_name: c}' }),
  'LOGICAL_DNS without an assignment': config({ type: 'LOGICAL_DNS', endpoints: '' }),
  'STRICT_DNS with two endpoints': config({ type: 'STRICT_DNS', endpoints: assignment('a', 'b') }),
  'EDS without its configuration': config({ type: 'EDS', endpoints: '' }),
  'an assignment without a name': config({ endpoints: 'load_assignment: {endpoints: []}' }),
  'a health check without thresholds': config({
    cluster: 'health_checks: [{timeout: 1s, interval: 1s, tcp_health_check: {}}]',
  }),
  'a complete health check': config({
    cluster:
      'health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}]',
  }),
  'percent beyond 100': config({ cluster: 'outlier_detection: {max_ejection_percent: 101}' }),
  'an interval of 0': config({ cluster: 'outlier_detection: {interval: 0s}' }),
  'two runtime layers of one name': config({
    rest: 'layered_runtime: {layers: [{name: a, static_layer: {}}, {name: a, static_layer: {}}]}',
  }),
  'two admin layers': config({
    rest: 'layered_runtime: {layers: [{name: a, admin_layer: {}}, {name: b, admin_layer: {}}]}',
  }),
  'free-form metadata': config({ cluster: 'metadata: {filter_metadata: {x: {a: 1.5, b: n, <<: {q: 1}}}}' }),
  'our own metadata': config({ cluster: 'metadata: {filter_metadata: {hopwise: {service: b, external: true}}}' }),
  'a second document': `${config()}\n---\nfoo: [1\n`,
  'an alias': config({ cluster: 'dns_lookup_family: &f V4_ONLY\n    alt_stat_name: *f' }),
  'a socket address without a port': config({ endpoints: assignment('127.0.0.1').replace(', port_value: 80', '') }),
  'a port beyond 65535': config({ endpoints: assignment('127.0.0.1').replace('80', '70000') }),
  'a terminal filter in front': config({ listener: '' }).replace(
    '    - filters:\n',
    `    - filters:\n      - {name: e, typed_config: ${extension('filters.network.echo.v3.Echo')}}\n`,
  ),
}
for (const value of ['yes', '"yes"', 'on', '"on"', 'y', '"true"', 'TRUE', 'yEs', '1', '"1"', '2', '[]']) {
  cases[`the bool ${value}`] = config({ manager: `generate_request_id: ${value}` })
}
for (const value of ['static', 'Static', '0', '"0"', '7', 'EDSX', '"STATIC "']) {
  cases[`the enum value ${value}`] = config({ type: value })
}
for (const value of [
  '0x1f',
  '"0x1f"',
  '017',
  '089',
  '0o17',
  '1e3',
  '5.0',
  '"5.0"',
  '-1',
  '5.5',
  '"5 "',
  '+5',
  '4294967296',
  '"1_000"',
]) {
  cases[`the number ${value}`] = config({ cluster: `per_connection_buffer_limit_bytes: ${value}` })
}
for (const value of ['{value: 5}', '[5]', '{}', '{valu: 5}', 'null', '.5', '1.', '"+5"', '1e-3', 'yes']) {
  cases[`the number ${value}`] = config({ cluster: `per_connection_buffer_limit_bytes: ${value}` })
}
for (const value of [
  '1.5s',
  '"1s"',
  '1',
  '1m',
  '250ms',
  '{seconds: 1}',
  '{seconds: "1", nanos: 5}',
  '{}',
  '{minutes: 1}',
]) {
  cases[`the duration ${value}`] = config({ timeout: value })
}
for (const value of [
  '1.0000000001s',
  '" 1s"',
  '-1s',
  '1.s',
  '.5s',
  '1S',
  '0s',
  '"1.5"',
  '1e3s',
  's',
  '""',
  '01s',
  '+1s',
]) {
  cases[`the duration ${value}`] = config({ timeout: value })
}

/** Where we are kinder or stricter on purpose, with the reason. An entry that no longer differs fails. */
const meant: Record<string, string> = {}

test('the loader takes and refuses what Envoy takes and refuses', { timeout: 300_000 }, async t => {
  if (!(await partOrSkip(t, 'envoy'))) return
  const wrong: string[] = []
  const entries = Object.entries(cases)
  const verdicts = await inBatches(entries, 4, async ([, yaml]) => envoyValidates(yaml))
  entries.forEach(([name, text], index) => {
    const { ok, output } = verdicts[index]!
    const { errors } = loadBootstrap({ text, strict: true, support: everythingSupported })
    const differs = ok !== (errors.length === 0)
    if (differs === name in meant) return
    const ours = errors.length === 0 ? 'takes it' : errors.map(formatProblem).join('; ')
    wrong.push(`${name}: Envoy ${ok ? 'takes it' : `refuses it (${output.slice(0, 300)})`}; we: ${ours}`)
  })
  assert.deepEqual(wrong, [])
  t.diagnostic(`${entries.length} configurations compared`)
})

async function inBatches<T, R>(items: readonly T[], size: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let at = 0; at < items.length; at += size)
    results.push(...(await Promise.all(items.slice(at, at + size).map(work))))
  return results
}
