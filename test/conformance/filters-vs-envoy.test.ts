import assert from 'node:assert/strict'
import { test } from 'node:test'
import { envoyValidates } from '../kit/envoy.ts'
import { hopwiseValidates } from '../kit/hopwise.ts'
import {
  alteredEnvoySide,
  differences,
  differenceText,
  envoySide,
  hopwiseSide,
  judge,
  type Observation,
  observe,
  unmetExpectations,
} from '../kit/side-by-side.ts'
import { allowedDifferences } from './allowed-differences.ts'
import { bootstrap, cluster, httpListener } from './scenarios/bootstrap.ts'
import { type ConfigCase, filterConfigCases } from './scenarios/filter-refusals.ts'
import { envoyOnlySuite, filtersSuite, filtersSuiteOf } from './scenarios/filters.ts'
import { corsScenarios } from './scenarios/filters-cors.ts'

let envoy: Map<string, Observation>

test('the HTTP filters of Envoy do what the scenarios say', async t => {
  envoy = await observe(envoySide, filtersSuite)
  const envoyOnly = await observe(envoySide, envoyOnlySuite)
  for (const scenario of [...filtersSuite.scenarios, ...envoyOnlySuite.scenarios]) {
    await t.test(scenario.name, () => {
      const observation = envoy.get(scenario.name) ?? envoyOnly.get(scenario.name)
      assert.deepEqual(unmetExpectations(scenario, observation!), [])
    })
  }
})

test('the HTTP filters of Hopwise do what those of Envoy do', async t => {
  const hopwise = await observe(hopwiseSide, filtersSuite)
  const { unexpected, unused } = judge('filters', differences(envoy, hopwise), allowedDifferences)
  for (const scenario of filtersSuite.scenarios) {
    await t.test(scenario.name, () => {
      const mine = unexpected.filter(difference => difference.scenario === scenario.name)
      assert.equal(differenceText(mine, 'envoy', 'hopwise'), '')
    })
  }
  await t.test('every allowed difference is there', () => assert.deepEqual(unused, []))
})

test('an Envoy whose configuration was altered is noticed', async () => {
  const suite = filtersSuiteOf(corsScenarios.slice(0, 3))
  const altered = alteredEnvoySide(yaml => yaml.replace('"max_age":"600"', '"max_age":"601"'))
  const [left, right] = await Promise.all([observe(envoySide, suite), observe(altered, suite)])
  const found = differences(left, right)
  assert.deepEqual(
    found.map(({ scenario, field, left, right }) => [scenario, field, left, right]),
    ['response 1', 'response 2'].map(response => [
      'cors: a preflight is answered',
      `${response} header access-control-max-age`,
      '600',
      '601',
    ]),
  )
  assert.equal(judge('filters', found, []).unexpected.length, 2)
})

test('configurations that Envoy refuses, and those it loads', { concurrency: 4 }, async t => {
  const check = async ({ name: _, refused, ...listener }: ConfigCase) => {
    const listeners = [httpListener({ ...listener, name: 'main' })]
    const yaml = bootstrap({ listeners, clusters: [cluster('app', '1')] })
      .replaceAll('{{listen:main}}', '1')
      .replaceAll('{{admin}}', '2')
      .replaceAll('{{log}}', '/dev/null')
    const envoy = await envoyValidates(yaml)
    assert.equal(envoy.ok, refused === undefined, envoy.output)
    if (refused !== undefined) assert.ok(envoy.output.includes(refused), envoy.output)
    const hopwise = await hopwiseValidates(yaml)
    assert.equal(hopwise.ok, refused === undefined, hopwise.output)
  }
  await Promise.all(filterConfigCases.map(config => t.test(config.name, () => check(config))))
})
