/** Envoy's YAML dialect, row by row, as measured on the real binary (features.md §1; test/conformance compares again). */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { clusterOf, config, errorsOf, load, loadOk, managerOf, type Parts, routeOf } from './configs.ts'

const requestId = (value: string) => managerOf(loadOk({ manager: `generate_request_id: ${value}` })).generateRequestId
const bufferLimit = (value: string) =>
  clusterOf(loadOk({ cluster: `per_connection_buffer_limit_bytes: ${value}` })).perConnectionBufferLimitBytes
const timeout = (value: string) => clusterOf(loadOk({ timeout: value })).connectTimeout
const metadata = (value: string, file = 'envoy.yaml') => {
  const bootstrap = loadOk({ cluster: `metadata: {filter_metadata: {x: ${value}}}` }, { file })
  return structuredClone({ ...clusterOf(bootstrap).metadata!.filterMetadata.get('x')! })
}

test('bools are yes, on, y, true and their opposites in any usual case', () => {
  for (const value of ['yes', 'Yes', 'YES', 'on', 'y', 'Y', 'true', 'TRUE', 'yEs', '"true"', '"yes"', '"1"']) {
    assert.equal(requestId(value), true, value)
  }
  for (const value of ['no', 'off', 'n', 'N', 'false', 'False', '"false"', '"0"'])
    assert.equal(requestId(value), false, value)
})

test('an unquoted 1, a quoted on and a list are no bools', () => {
  for (const value of ['1', '"on"', '2', '[]', 'maybe']) {
    assert.match(errorsOf({ manager: `generate_request_id: ${value}` })[0] ?? '', /must be true or false/, value)
  }
})

test('enum values go by name in any case or by number', () => {
  for (const value of ['STRICT_DNS', 'strict_dns', 'Strict_Dns', '1', '"1"', '"strict_dns"']) {
    assert.equal(clusterOf(loadOk({ type: value })).type, 'STRICT_DNS', value)
  }
})

test('an unknown enum value names the nearest, an unknown number the choices', () => {
  assert.deepEqual(errorsOf({ type: 'STRICT_DSN' }), ['has no value "STRICT_DSN", did you mean "STRICT_DNS"?'])
  assert.match(errorsOf({ type: '7' })[0]!, /has no value "7"; it is one of STATIC, STRICT_DNS, LOGICAL_DNS, EDS/)
})

test('durations are seconds with up to nine digits, or seconds and nanos', () => {
  assert.equal(timeout('1.5s'), 1500)
  assert.equal(timeout('"1s"'), 1000)
  assert.equal(timeout('0.000000001s'), 0.000001)
  assert.equal(timeout('{seconds: 1}'), 1000)
  assert.equal(timeout('{seconds: "2", nanos: 500000}'), 2000.5)
})

test('other duration forms are refused with the right one', () => {
  const cures = { '1m': '60s', '250ms': '0.25s', '1': '1s', '"1.5"': '1.5s', '2h': '7200s', '1S': '1s' }
  for (const [wrong, right] of Object.entries(cures)) {
    assert.match(errorsOf({ timeout: wrong })[0] ?? '', new RegExp(`must be a duration .*; write "${right}"$`), wrong)
  }
  for (const wrong of ['1.0000000001s', '" 1s"', '1.s', '.5s', '1e3s', '""', '{minutes: 1}', '[1s]']) {
    assert.equal(errorsOf({ timeout: wrong }).length, 1, wrong)
  }
})

test('numbers may be strings, hexadecimal, octal, or written with a fraction of zero', () => {
  const same = {
    '5': 5,
    '"5"': 5,
    '5.0': 5,
    '"5.0"': 5,
    '1e3': 1000,
    '0x1f': 31,
    '"0x1f"': 31,
    '017': 15,
    '+5': 5,
    '{value: 5}': 5,
  }
  for (const [text, value] of Object.entries(same)) assert.equal(bufferLimit(text), value, text)
})

test('numbers outside their type are refused', () => {
  assert.match(errorsOf({ cluster: 'per_connection_buffer_limit_bytes: -1' })[0]!, /must be at least 0, not -1/)
  assert.match(errorsOf({ cluster: 'per_connection_buffer_limit_bytes: 4294967296' })[0]!, /must be at most 4294967295/)
  for (const text of ['5.5', '"5 "', '"1_000"', '0o17', 'five']) {
    assert.match(
      errorsOf({ cluster: `per_connection_buffer_limit_bytes: ${text}` })[0] ?? '',
      /must be a whole number/,
      text,
    )
  }
})

test('camelCase and snake_case name the same field', () => {
  assert.equal(clusterOf(loadOk({ cluster: 'lbPolicy: RANDOM' })).lbPolicy, 'RANDOM')
  assert.equal(clusterOf(loadOk({ cluster: 'lb_policy: RANDOM' })).lbPolicy, 'RANDOM')
})

test('null leaves a field unset', () => {
  for (const value of ['null', '~', '']) {
    const route = routeOf(loadOk({ route: `\n                  cluster: c\n                  retry_policy: ${value}` }))
    assert.equal(route.retryPolicy, undefined)
  }
})

test('null in a list is no item', () => {
  assert.deepEqual(managerOf(loadOk({ domains: '["a", null]' })).routeConfig!.virtualHosts[0]!.domains, ['a'])
})

test('anchors and aliases stand for their value', () => {
  const bootstrap = loadOk({ timeout: '&t 2s', cluster: 'alt_stat_name: &n other\n    dns_refresh_rate: *t' })
  assert.equal(clusterOf(bootstrap).dnsRefreshRate, 2000)
})

test('of a key given twice the last counts, with a warning that names the first', () => {
  for (const second of ['lb_policy: ROUND_ROBIN', 'lbPolicy: ROUND_ROBIN']) {
    const { bootstrap, warningTexts } = load(config({ cluster: `lb_policy: RANDOM\n    ${second}` }))
    assert.equal(clusterOf(bootstrap!).lbPolicy, 'ROUND_ROBIN')
    assert.deepEqual(warningTexts, [
      'envoy.yaml:28:5: warning: static_resources.clusters[0].lb_policy: given twice; this one counts, not line 27',
    ])
  }
})

test('a single value stands for a list of one', () => {
  const virtualHost = (parts: Parts) => managerOf(loadOk(parts)).routeConfig!.virtualHosts[0]!
  assert.deepEqual(virtualHost({ domains: '"*"' }).domains, ['*'])
  const headers = virtualHost({
    virtualHost: 'request_headers_to_add: {header: {key: a, value: b}}',
  }).requestHeadersToAdd
  assert.equal(headers[0]!.header!.value, 'b')
})

test('a second document is ignored', () => {
  assert.ok(load(`${config()}\n---\nnothing: [1, 2]\n`).bootstrap)
})

test('merge keys are refused as what they are', () => {
  assert.match(errorsOf({ cluster: '<<: {lb_policy: RANDOM}' })[0]!, /unknown field; Envoy knows no YAML merge keys/)
})

test('a TAB in the indentation is named as such', () => {
  const { errorTexts } = load(config({ cluster: '\n\t\tlb_policy: RANDOM' }))
  assert.deepEqual(errorTexts, [
    'envoy.yaml:28:1: error: a TAB stands in the indentation; YAML indents with spaces only',
  ])
})

test('tabs are allowed where JSON and block scalars have them', () => {
  const json = JSON.stringify(
    { node: { id: 'i' }, admin: { address: { socket_address: { address: '127.0.0.1', port_value: 1 } } } },
    null,
    '\t',
  )
  assert.deepEqual(load(json, { file: 'envoy.json' }).errorTexts, [])
  assert.deepEqual(load(json).errorTexts, [])
  assert.deepEqual(load(config({ cluster: 'alt_stat_name: |\n      a\n      \tb' })).errorTexts, [])
})

test('strings keep what YAML would take for a bool or a number', () => {
  for (const text of ['n', 'y', '123', 'true', '0x1f', '1.5', '017']) {
    assert.equal(loadOk({ node: `{id: ${text}, cluster: c}` }).node!.id, text)
  }
})

test('strict refuses in a string field what Envoy takes for a bool or a number', () => {
  for (const text of ['n', '123', 'true', '0x1f']) {
    const [error] = errorsOf({ node: `{id: ${text}, cluster: c}` }, { strict: true })
    assert.equal(error, `Envoy reads "${text}" as no string; put it in quotes`)
  }
  assert.deepEqual(errorsOf({ node: '{id: 1.5, cluster: "n"}' }, { strict: true }), [])
})

test('free-form values follow yaml-cpp: fractions and long numbers stay strings', () => {
  const text =
    '{a: 1.5, b: n, c: null, d: "1", e: 99999999999, f: 1e3, g: 0x1f, h: 2026-01-01, i: "yes", j: 7, k: [on], l: {}}'
  assert.deepEqual(metadata(text), {
    a: '1.5', b: false, c: null, d: '1', e: '99999999999', f: '1e3', g: 31, h: '2026-01-01', i: 'yes', j: 7, k: [true], l: {},
  }) // biome-ignore format: one line, as the text above
})

test('free-form numbers of a JSON file are numbers', () => {
  assert.deepEqual(metadata('{"a": 1.5, "b": 99999999999}', 'envoy.json'), { a: 1.5, b: 99999999999 })
})

test('a key named __proto__ is a key', () => {
  const bootstrap = loadOk({ cluster: 'metadata: {filter_metadata: {x: {__proto__: {polluted: true}}}}' })
  const settings = clusterOf(bootstrap).metadata!.filterMetadata.get('x')!
  assert.deepEqual(Object.keys(settings), ['__proto__'])
  assert.equal(({} as { polluted?: boolean }).polluted, undefined)
})

test('a file that grows without end through its aliases is refused soon', () => {
  const levels = Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(', ')}]`)
  const bomb = `a0: &a0 {x: 1}\n${levels.join('\n')}\n${config({ cluster: 'metadata: {filter_metadata: {x: {y: *a12}}}' })}`
  // Written out it would be 10^12 values, so that this test would not end.
  const { errors } = load(bomb)
  assert.ok(errors.some(({ message }) => /grows beyond 1000000 values through its aliases/.test(message)))
})

test('an alias to what contains it is refused', () => {
  assert.match(load('node: &n {metadata: {a: *n}}').errorTexts[0]!, /the alias \*n has no anchor &n before it/)
})

test('brackets nested beyond reason are refused, not a crash', () => {
  for (const text of ['['.repeat(50_000), `a: ${'{b: '.repeat(5000)}1${'}'.repeat(5000)}`]) {
    assert.ok(load(text).errors.length > 0)
  }
})

test('decoded messages are frozen, complete and alike', () => {
  const bootstrap = loadOk({})
  const cluster = clusterOf(bootstrap)
  assert.ok(Object.isFrozen(cluster) && Object.isFrozen(cluster.healthChecks) && Object.isFrozen(bootstrap))
  assert.equal(cluster.outlierDetection, undefined)
  assert.ok('outlierDetection' in cluster)
  assert.deepEqual(cluster.healthChecks, [])
  assert.equal(cluster.typedExtensionProtocolOptions.size, 0)
  const other = clusterOf(loadOk({ cluster: 'lb_policy: RANDOM' }))
  assert.deepEqual(Object.keys(other), Object.keys(cluster))
})
