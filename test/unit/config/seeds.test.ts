/** The configurations that people paste in first (test/seed-configs, byte for byte), and what each of them is told. */
import { strict as assert } from 'node:assert'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadBootstrap } from '../../../sidecar/config/bootstrap.ts'
import { formatProblem } from '../../../sidecar/config/problems.ts'
import { clusterOf, managerOf } from './configs.ts'

const folder = join(import.meta.dirname, '..', '..', 'seed-configs')

function load(name: string, strict = false) {
  const loaded = loadBootstrap({ file: join(folder, name), strict })
  const texts = (problems: typeof loaded.errors) =>
    problems.map(problem =>
      formatProblem({ ...problem, file: name.slice(0, 3) }).replace(/static_resources\.listeners\[0\]\S*?: /, '…: '),
    )
  return { bootstrap: loaded.bootstrap, errors: texts(loaded.errors), warnings: texts(loaded.warnings) }
}

const routerWithoutConfig =
  '…: "envoy.filters.http.router" has no typed_config; add: typed_config: ' +
  '{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router} ' +
  `(Envoy refuses this: "Didn't find a registered implementation for 'envoy.filters.http.router' with type URL: ''")`
const tooManyNames =
  'LOGICAL_DNS takes one name and there are 3: treated as STRICT_DNS, which is the type to write here ' +
  '(Envoy refuses this: "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint")'

test('000 round robin loads, with a warning for each thing that Envoy refuses', () => {
  const { bootstrap, errors, warnings } = load('000-round-robin.yaml')
  assert.deepEqual(errors, [])
  assert.deepEqual(warnings, [
    `000:25:27: warning: ${routerWithoutConfig}`,
    `000:29:7: warning: static_resources.clusters[0].type: ${tooManyNames}`,
  ])
  const cluster = clusterOf(bootstrap!)
  assert.equal(cluster.connectTimeout, 250)
  assert.deepEqual(
    cluster.loadAssignment!.endpoints[0]!.lbEndpoints.map(item => item.endpoint!.address!.socketAddress!.address),
    ['service1', 'service2', 'service3'],
  )
})

test('000 round robin is refused by strict, as by Envoy', () => {
  const { bootstrap, errors } = load('000-round-robin.yaml', true)
  assert.equal(bootstrap, undefined)
  assert.deepEqual(errors, [
    `000:25:27: error: ${routerWithoutConfig}`,
    `000:29:7: error: static_resources.clusters[0].type: ${tooManyNames}`,
  ])
})

test('003 first proxy loads, and its router filter is the router', () => {
  const { bootstrap, errors, warnings } = load('003-first-proxy.yaml')
  assert.deepEqual(errors, [])
  assert.deepEqual(warnings, [`003:26:19: warning: ${routerWithoutConfig}`])
  const [filter] = managerOf(bootstrap!).httpFilters
  assert.equal(filter!.typedConfig!.typeUrl, 'envoy.extensions.filters.http.router.v3.Router')
})

test('002 docker sample loads as it stands', () => {
  const { errors, warnings } = load('002-docker-sample.yaml')
  assert.deepEqual(errors, [])
  assert.deepEqual(warnings, [])
})

test('000 admin is a bootstrap that serves nothing', () => {
  const { bootstrap, errors, warnings } = load('000-admin.fragment.yaml')
  assert.deepEqual(errors, [])
  assert.deepEqual(warnings, [
    '000:1:1: warning: nothing would listen here: there are no static_resources; a fragment goes into a whole bootstrap',
    '000:2:3: warning: admin.access_log_path: is deprecated in Envoy; it still works',
  ])
  assert.equal(bootstrap!.admin!.address!.socketAddress!.portValue, 9901)
})

test('000 weighted clusters is a fragment of two places', () => {
  assert.deepEqual(load('000-weighted-ab.fragment.yaml').errors, [
    '000:1:1: error: clusters: this is a fragment, not a whole bootstrap: "clusters" belongs under static_resources',
    '000:30:1: error: route_config: this is a fragment, not a whole bootstrap: ' +
      '"route_config" belongs under the typed_config of an http_connection_manager filter',
  ])
})

test('003 circuit breakers is a fragment of a cluster', () => {
  assert.deepEqual(load('003-circuit-breakers.fragment.yaml').errors, [
    '003:1:1: error: cluster_name: belongs under a cluster too, where it is called "name"',
    '003:2:1: error: circuit_breakers: this is a fragment, not a whole bootstrap: "circuit_breakers" belongs under a cluster',
  ])
})

test('003 retry is a fragment whose predicate is understood by its name', () => {
  const { errors, warnings } = load('003-retry.fragment.yaml')
  assert.equal(errors.length, 1)
  assert.match(errors[0]!, /^003:1:1: error: route_config: this is a fragment/)
  assert.equal(warnings.length, 1)
  assert.match(
    warnings[0]!,
    /^003:14:19: warning: .*"envoy\.retry_host_predicates\.previous_hosts" has no typed_config; add: /,
  )
})

test('003 routes is a fragment, and both virtual hosts with "*" are named', () => {
  assert.deepEqual(load('003-routes.fragment.yaml').errors, [
    '003:2:1: error: route_config: this is a fragment, not a whole bootstrap: ' +
      '"route_config" belongs under the typed_config of an http_connection_manager filter',
    '003:12:5: error: route_config.virtual_hosts[1].domains: the domain "*" stands already in "service", on line 5; ' +
      'only one virtual host may take all domains, so put the routes of both into one',
    '003:21:1: error: clusters: this is a fragment, not a whole bootstrap: "clusters" belongs under static_resources',
  ])
})

const istio = (kind: string) =>
  `001:1:1: error: apiVersion: this is an Istio ${kind}, not an Envoy bootstrap (which has static_resources); ` +
  'reading Istio resources directly comes later, with "hopwise translate"'
const dash = (place: string) =>
  `001:${place}: error: an en dash (U+2013) stands where a list needs a hyphen: write "- " instead of "\u2013 "`

test('001 destination rule is told its kind and its deprecated field', () => {
  assert.deepEqual(load('001-destination-rule-outlier.yaml').errors, [
    istio('DestinationRule'),
    '001:9:7: error: spec.trafficPolicy.outlierDetection.consecutiveErrors: ' +
      'is deprecated and ignored by Istio; write "consecutive5xxErrors: 5"',
  ])
})

test('001 virtual services are told their kind, dashes, TAB and percentage at once', () => {
  const percentages = { abort: 10, delay: 100 }
  for (const [fault, percentage] of Object.entries(percentages)) {
    assert.deepEqual(load(`001-virtual-service-${fault}.yaml`).errors, [
      istio('VirtualService'),
      dash('7:3'),
      dash('9:3'),
      '001:10:1: error: a TAB stands before a list dash; YAML indents with spaces only',
      dash('10:2'),
      `001:15:21: error: spec.http[0].fault.${fault}.percentage: must be a mapping: write "percentage: {value: ${percentage}}"`,
    ])
  }
})
