import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { envoyValidates } from '../kit/envoy.ts'
import { hopwiseValidates } from '../kit/hopwise.ts'
import { repository } from '../kit/install-once.ts'
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
import { filterConfigCases } from './scenarios/filter-refusals.ts'
import { envoyOnlySuite, filtersSuite, filtersSuiteOf } from './scenarios/filters.ts'
import { corsScenarios } from './scenarios/filters-cors.ts'

/** The filters come before the process that runs them. */
const hopwiseRuns = existsSync(join(repository, 'sidecar', 'main.ts'))
const notYet = hopwiseRuns ? false : '`hopwise run` does not exist yet'

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

test('the HTTP filters of Hopwise do what those of Envoy do', { skip: notYet }, async t => {
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

test('configurations that Envoy refuses, and those it loads', async t => {
  for (const { name, refused, ...listener } of filterConfigCases) {
    await t.test(name, async () => {
      const yaml = bootstrap({
        listeners: [httpListener({ ...listener, name: 'main' })],
        clusters: [cluster('app', '1')],
      })
        .replaceAll('{{listen:main}}', '1')
        .replaceAll('{{admin}}', '2')
        .replaceAll('{{log}}', '/dev/null')
      const envoy = await envoyValidates(yaml)
      assert.equal(envoy.ok, refused === undefined, envoy.output)
      if (refused !== undefined) assert.ok(envoy.output.includes(refused), envoy.output)
      if (!hopwiseRuns) return
      const hopwise = await hopwiseValidates(yaml)
      assert.equal(hopwise.ok, refused === undefined, hopwise.output)
    })
  }
})
