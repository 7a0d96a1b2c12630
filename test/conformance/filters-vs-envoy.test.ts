import assert from 'node:assert/strict'
import { test } from 'node:test'
import { envoySide, observe, unmetExpectations } from '../kit/side-by-side.ts'
import { filtersSuite } from './scenarios/filters.ts'

test('the HTTP filters of Envoy do what the scenarios say', async t => {
  const envoy = await observe(envoySide, filtersSuite)
  for (const scenario of filtersSuite.scenarios) {
    await t.test(scenario.name, () => {
      assert.deepEqual(unmetExpectations(scenario, envoy.get(scenario.name)!), [])
    })
  }
})
