/** Any in its forms: "@type", TypedStruct, a name alone; and what stands where it does not belong. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import type { Buffer as BufferConfig, Router } from '../../../sidecar/config/schema/generated/types.ts'
import { config, errorsOf, extension, load, loadOk, managerOf, router, warningsOf } from './configs.ts'

const filters = (typedConfig: string) => ({ filters: `[{name: b, typed_config: ${typedConfig}}, ${router}]` })
const bufferOf = (parts: { filters: string }) => managerOf(loadOk(parts)).httpFilters[0]!.typedConfig!
const buffer = 'envoy.extensions.filters.http.buffer.v3.Buffer'

test('an "@type" decides what is decoded', () => {
  const any = bufferOf(filters(extension('filters.http.buffer.v3.Buffer', ', max_request_bytes: 5')))
  assert.equal(any.typeUrl, buffer)
  assert.equal((any.value as BufferConfig).maxRequestBytes, 5)
})

test('both kinds of TypedStruct are unwrapped', () => {
  for (const kind of ['xds.type.v3.TypedStruct', 'udpa.type.v1.TypedStruct']) {
    for (const url of [buffer, `type.googleapis.com/${buffer}`]) {
      const text = `{"@type": type.googleapis.com/${kind}, type_url: ${url}, value: {max_request_bytes: 5}}`
      const any = bufferOf(filters(text))
      assert.equal(any.typeUrl, buffer)
      assert.equal((any.value as BufferConfig).maxRequestBytes, 5)
    }
  }
})

test('an error inside a TypedStruct has its place', () => {
  const text = `{"@type": type.googleapis.com/xds.type.v3.TypedStruct, type_url: ${buffer}, value: {max_bytes: 5}}`
  const error = load(config(filters(text))).errorTexts.find(line => line.includes('max_bytes'))
  assert.match(error!, /^envoy\.yaml:22:\d+: error: \S+\.typed_config\.value\.max_bytes: unknown field/)
})

test('a mistyped type names the nearest', () => {
  assert.deepEqual(errorsOf(filters(extension('filters.http.bufer.v3.Buffer'))), [
    `unknown type "envoy.extensions.filters.http.bufer.v3.Buffer", did you mean "${buffer}"?`,
  ])
})

test('a type of the v2 API is told so', () => {
  const text = '{"@type": type.googleapis.com/envoy.config.filter.http.buffer.v2.Buffer}'
  assert.match(errorsOf(filters(text))[0]!, /is of Envoy's v2 API, which ended in 2021/)
})

test('an extension of another kind is told where it belongs', () => {
  assert.deepEqual(
    errorsOf(filters(extension('filters.network.tcp_proxy.v3.TcpProxy', ', stat_prefix: a, cluster: c'))),
    [
      '"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy" does not belong here (envoy.filters.http), ' +
        'it is for envoy.filters.network',
    ],
  )
})

test('configuration without an "@type" is asked for it', () => {
  assert.match(errorsOf(filters('{max_request_bytes: 5}'))[0]!, /^needs an "@type"/)
})

test('a type URL without a host loads with a warning, and is an error under strict', () => {
  const parts = filters(`{"@type": ${buffer}, max_request_bytes: 5}`)
  assert.equal(bufferOf(parts).typeUrl, buffer)
  assert.match(warningsOf(parts)[0]!, /^write "type\.googleapis\.com\/envoy\.extensions/)
  assert.equal(errorsOf(parts, { strict: true }).length, 1)
})

test('a known name alone is understood, with one warning however often it stands', () => {
  const parts = {
    filters: '[{name: envoy.filters.http.cors}, {name: envoy.filters.http.cors}, {name: envoy.filters.http.router}]',
  }
  const { httpFilters } = managerOf(loadOk(parts))
  assert.deepEqual(
    httpFilters.map(filter => filter.typedConfig!.typeUrl),
    [
      'envoy.extensions.filters.http.cors.v3.Cors',
      'envoy.extensions.filters.http.cors.v3.Cors',
      'envoy.extensions.filters.http.router.v3.Router',
    ],
  )
  assert.equal(warningsOf(parts).length, 2)
  assert.equal(errorsOf(parts, { strict: true }).length, 3)
})

test('an empty typed_config is the same as none', () => {
  const parts = { filters: '[{name: envoy.filters.http.router, typed_config: }]' }
  assert.deepEqual(Object.keys(managerOf(loadOk(parts)).httpFilters[0]!.typedConfig!.value as Router).length > 3, true)
})

test('a name alone that says nothing is refused with the nearest', () => {
  assert.deepEqual(errorsOf({ filters: '[{name: envoy.filters.http.ruter}]' }), [
    'needs a typed_config, since "envoy.filters.http.ruter" is not a name that says what it is, ' +
      'did you mean "envoy.filters.http.router"?',
  ])
})

test('names mean what the registry that is passed in says', () => {
  const loaded = load(config({ filters: '[{name: ours}]' }), {
    extensionNames: name => (name === 'ours' ? 'envoy.extensions.filters.http.router.v3.Router' : undefined),
  })
  assert.deepEqual(loaded.errorTexts, [])
})

test('a name that needs configuration still breaks the rules of its message', () => {
  const messages = errorsOf({ filters: '[{name: envoy.filters.http.buffer}, {name: envoy.filters.http.router}]' })
  assert.deepEqual(messages, ['is required'])
})

test('an optional filter that Hopwise lacks is left out with a warning', () => {
  for (const type of ['envoy.extensions.filters.http.lua.v3.Lua', 'acme.filters.Nothing']) {
    const parts = {
      filters: `[{name: l, is_optional: true, typed_config: {"@type": type.googleapis.com/${type}}}, ${router}]`,
    }
    assert.equal(managerOf(loadOk(parts)).httpFilters[0]!.typedConfig, undefined)
    assert.match(warningsOf(parts)[0]!, /^left out, as it is optional: /)
  }
})
