import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../../sidecar/base/random.ts'
import type { JsonObject, LayeredRuntime, RuntimeLayer } from '../../../sidecar/config/schema/generated/types.ts'
import { ConfigError } from '../../../sidecar/filter-chain/http-filter.ts'
import { RuntimeLayers } from '../../../sidecar/filter-chain/runtime-layers.ts'

const NONE = { staticLayer: undefined, diskLayer: undefined, adminLayer: undefined, rtdsLayer: undefined }
const fixed = (name: string, staticLayer: JsonObject): RuntimeLayer => ({ ...NONE, name, staticLayer })
const admin: RuntimeLayer = { ...NONE, name: 'admin', adminLayer: {} }
const layered = (...layers: RuntimeLayer[]): LayeredRuntime => ({ layers })

/** Share of 20,000 lots that are in. */
function share(runtime: RuntimeLayers, key: string, numerator: number, denominator: 100 | 10_000 | 1_000_000): number {
  const random = new SeededRandom(7)
  let yes = 0
  for (let i = 0; i < 20_000; i++) if (runtime.enabled({ key, numerator, denominator }, random)) yes++
  return yes / 20_000
}

test('a later layer wins, and nested objects make dotted keys', () => {
  const runtime = RuntimeLayers.from(
    layered(fixed('base', { a: { b: 1, c: 2 }, 'd.e': 3 }), fixed('over', { a: { b: 9 } })),
  )
  assert.deepEqual([runtime.number('a.b', 0), runtime.number('a.c', 0), runtime.number('d.e', 0)], [9, 2, 3])
  assert.equal(runtime.number('a', 7), 7)
  assert.equal(runtime.number('', 7), 7)
})

test('numbers and booleans are read from texts too', () => {
  const runtime = RuntimeLayers.from(layered(fixed('base', { n: '12', yes: 'true', no: false, one: 1, text: 'x' })))
  assert.equal(runtime.number('n', 0), 12)
  assert.equal(runtime.number('text', 5), 5)
  assert.equal(runtime.boolean('yes', false), true)
  assert.equal(runtime.boolean('no', true), false)
  assert.equal(runtime.boolean('one', false), true)
  assert.equal(runtime.boolean('text', true), true)
})

test('a fraction is the default, a number of 100, or a fraction of its own', () => {
  const runtime = RuntimeLayers.from(
    layered(fixed('base', { tenth: 10, permille: { numerator: 1, denominator: 'TEN_THOUSAND' }, all: 100, none: 0 })),
  )
  const near = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) < 0.01, String(actual))
  near(share(runtime, 'unset', 25, 100), 0.25)
  near(share(runtime, '', 2500, 10_000), 0.25)
  near(share(runtime, 'tenth', 500_000, 1_000_000), 0.1)
  near(share(runtime, 'permille', 100, 100), 0.0001)
  assert.equal(share(runtime, 'all', 0, 100), 1)
  assert.equal(share(runtime, 'none', 100, 100), 0)
})

test('the admin layer is changed while the proxy runs', () => {
  const runtime = RuntimeLayers.from(layered(fixed('base', { a: 1 }), admin))
  assert.equal(
    runtime.modify(
      new Map([
        ['a', '5'],
        ['f', '{"numerator": 1, "denominator": "MILLION"}'],
      ]),
    ),
    true,
  )
  assert.equal(runtime.number('a', 0), 5)
  assert.ok(share(runtime, 'f', 100, 100) < 0.001)
  assert.deepEqual(runtime.snapshot().layers, ['base', 'admin'])
  assert.deepEqual(runtime.snapshot().entries.get('a'), { finalValue: '5', layerValues: ['1', '5'] })
  runtime.modify(new Map([['a', '']]))
  assert.equal(runtime.number('a', 0), 1)
})

test('a runtime that names no layer has an admin layer; without an admin layer nothing can be changed', () => {
  assert.equal(RuntimeLayers.from(undefined).modifiable, false)
  assert.equal(RuntimeLayers.from(layered()).modifiable, true)
  const runtime = RuntimeLayers.from(layered(fixed('base', {})))
  assert.equal(runtime.modify(new Map([['a', '1']])), false)
})

test('what Envoy refuses is refused', () => {
  const refused = (...layers: RuntimeLayer[]) =>
    assert.throws(() => RuntimeLayers.from(layered(...layers)), ConfigError)
  refused(fixed('a', { list: [1] }))
  refused(fixed('a', { nothing: null }))
  refused(fixed('a', {}), fixed('a', {}))
  refused(admin, { ...admin, name: 'second' })
  refused({ ...NONE, name: 'empty' })
})
