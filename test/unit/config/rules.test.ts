/** validate.rules, each kind once, on the fields of Envoy's API that carry it. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { encodeBinary } from '../../../sidecar/config/binary.ts'
import { decodeResource } from '../../../sidecar/config/resource.ts'
import type { MessageTypes } from '../../../sidecar/config/schema/generated/types.ts'
import { everythingSupported } from '../../../sidecar/config/support.ts'

function errorsOf(typeName: keyof MessageTypes, text: string): string[] {
  const { errors } = decodeResource(typeName, text, { source: 'test.yaml', support: everythingSupported })
  return errors.map(({ path, message }) => `${path}: ${message}`)
}

const rows: readonly (readonly [rule: string, type: keyof MessageTypes, wrong: string, error: string, right: string])[] = [
  ['min_len', 'envoy.config.cluster.v3.Cluster', '{}', 'name: must not be empty', '{name: a}'],
  ['required', 'envoy.config.core.v3.HealthCheck', '{interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}', 'timeout: is required', '{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}'],
  ['gt of a duration', 'envoy.config.cluster.v3.OutlierDetection', '{interval: 0s}', 'interval: must be greater than 0, not 0', '{interval: 1s}'],
  ['lte of a wrapper', 'envoy.config.cluster.v3.OutlierDetection', '{max_ejection_percent: 101}', 'max_ejection_percent: must be at most 100, not 101', '{max_ejection_percent: 100}'],
  ['gte and lte', 'envoy.config.core.v3.KeepaliveSettings', '{timeout: 1s, interval: 0.0001s}', 'interval: must be at least 1, not 0.1', '{timeout: 1s, interval: 0.001s}'],
  ['min_items', 'envoy.config.route.v3.VirtualHost', '{name: v}', 'domains: must not be empty', '{name: v, domains: [a]}'],
  ['items', 'envoy.config.route.v3.RetryPolicy', '{retriable_headers: [{name: ""}]}', 'retriable_headers[0].name: must not be empty', '{retriable_headers: [{name: a, present_match: true}]}'],
  ['max_items', 'envoy.config.route.v3.RouteConfiguration', '{request_mirror_policies: []}', '', '{}'],
  ['in', 'envoy.config.accesslog.v3.ResponseFlagFilter', '{flags: [UF, XX]}', 'flags[1]: must be one of "LH", ', '{flags: [UF]}'],
  ['not_in of an enum', 'envoy.config.core.v3.HealthCheck.HttpHealthCheck', '{path: /, method: CONNECT}', 'method: must not be "CONNECT"', '{path: /, method: POST}'],
  ['header name', 'envoy.config.core.v3.HeaderValue', '{key: "a\\nb"}', 'key: must be a header name, which "a\\nb" is not', '{key: a b}'],
  ['strict header name', 'envoy.config.route.v3.HeaderMatcher', '{name: "a\\nb", present_match: true}', 'name: must be a header name', '{name: a, present_match: true}'],
  ['header value', 'envoy.config.core.v3.HeaderValue', '{key: a, value: "b\\0"}', 'value: must be a header value: no control characters', '{key: a, value: "b\\tc"}'],
  ['max_bytes', 'envoy.config.core.v3.HeaderValue', `{key: a, value: "${'é'.repeat(8200)}"}`, 'value: must have at most 16384 bytes, not 16400', `{key: a, value: "${'é'.repeat(8192)}"}`],
  ['pattern', 'envoy.config.route.v3.RouteMatch', '{path_separated_prefix: /a/}', 'path_separated_prefix: must match ^[^?#]+[^?#/]$', '{path_separated_prefix: /a}'],
  ['map keys', 'envoy.config.core.v3.Metadata', '{filter_metadata: {"": {}}}', 'filter_metadata[""]: key must not be empty', '{filter_metadata: {a: {}}}'],
  ['required oneof', 'envoy.config.core.v3.Address', '{}', ': one of socket_address, pipe or envoy_internal_address is required', '{pipe: {path: /a}}'],
  ['a oneof of one member', 'envoy.config.core.v3.DataSource', '{}', ': one of filename, inline_bytes, inline_string or environment_variable is required', '{filename: a}'],
  ['const', 'envoy.config.route.v3.RedirectAction', '{response_code: 7}', 'response_code: has no value "7"', '{response_code: FOUND}'],
  ['unique', 'envoy.extensions.filters.http.router.v3.Router', '{strict_check_headers: [x-none]}', 'strict_check_headers[0]: must be one of', '{strict_check_headers: [x-envoy-max-retries]}'],
] // biome-ignore format: one row a line

for (const [rule, type, wrong, error, right] of rows) {
  test(`${rule} is enforced`, () => {
    if (error !== '')
      assert.ok(
        errorsOf(type, wrong).some(text => text.startsWith(error)),
        errorsOf(type, wrong).join('\n') || 'no error',
      )
    assert.deepEqual(errorsOf(type, right), [])
  })
}

test('an absent wrapper, message or member of a oneof breaks no rule', () => {
  assert.deepEqual(errorsOf('envoy.config.cluster.v3.OutlierDetection', '{}'), [])
  assert.deepEqual(errorsOf('envoy.config.route.v3.RouteMatch', '{prefix: ""}'), [])
})

test('ignore_empty lets the empty value pass', () => {
  assert.deepEqual(errorsOf('envoy.config.route.v3.RouteAction', '{cluster: c, host_rewrite_header: ""}'), [])
})

test('the same rules hold for protobuf', () => {
  const bytes = encodeBinary('envoy.config.cluster.v3.Cluster', { name: '', connectTimeout: 0 })
  const { errors, value } = decodeResource('envoy.config.cluster.v3.Cluster', bytes, { source: 'xds:cluster' })
  assert.equal(value, undefined)
  assert.deepEqual(
    errors.map(({ path, message, line, file }) => [file, line, path, message]),
    [
      ['xds:cluster', 0, 'name', 'must not be empty'],
      ['xds:cluster', 0, 'connect_timeout', 'must be greater than 0, not 0'],
    ],
  )
})
