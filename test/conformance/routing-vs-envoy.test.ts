import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { loadBootstrap } from '../../sidecar/config/bootstrap.ts'
import type { HttpConnectionManager } from '../../sidecar/config/schema/generated/types.ts'
import { everythingSupported } from '../../sidecar/config/support.ts'
import { RuntimeLayers } from '../../sidecar/filter-chain/runtime-layers.ts'
import { compileRouteConfiguration } from '../../sidecar/router/route-table.ts'
import { envoyValidates } from '../kit/envoy.ts'
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
import { decidedByTable, TableSide } from './route-table-answers.ts'
import { bootstrap, cluster, httpListener } from './scenarios/bootstrap.ts'
import { routingScenarios, routingSuite, routingSuiteOf } from './scenarios/routing.ts'
import { type RoutingConfigCase, routingConfigCases } from './scenarios/routing-refusals.ts'

let envoy: Map<string, Observation>

test('Envoy routes as the scenarios say', async t => {
  envoy = await observe(envoySide, routingSuite)
  for (const scenario of routingSuite.scenarios) {
    await t.test(scenario.name, () => {
      assert.deepEqual(unmetExpectations(scenario, envoy.get(scenario.name)!), [])
    })
  }
})

test('the route table decides as Envoy does', async t => {
  const table = new TableSide(routingSuite)
  for (const scenario of routingSuite.scenarios) {
    await t.test(scenario.name, () => {
      assert.deepEqual(table.observe(scenario), decidedByTable(scenario, envoy.get(scenario.name)!.fields))
    })
  }
})

test('Hopwise routes as Envoy does', async t => {
  const hopwise = await observe(hopwiseSide, routingSuite)
  const { unexpected, unused } = judge('routing', differences(envoy, hopwise), allowedDifferences)
  for (const scenario of routingSuite.scenarios) {
    await t.test(scenario.name, () => {
      const mine = unexpected.filter(difference => difference.scenario === scenario.name)
      assert.equal(differenceText(mine, 'envoy', 'hopwise'), '')
    })
  }
  await t.test('every allowed difference is there', () => assert.deepEqual(unused, []))
})

test('an Envoy whose routes were altered is noticed', async () => {
  const scenarios = routingScenarios.slice(0, 2)
  const suite = routingSuiteOf(scenarios)
  const altered = await observe(
    alteredEnvoySide(yaml => yaml.replace('"prefix":"/api"', '"prefix":"/apx"')),
    suite,
  )
  const table = new TableSide(suite)
  const [first, second] = suite.scenarios.map(scenario => {
    const theirs = decidedByTable(scenario, altered.get(scenario.name)!.fields)
    return isDeepStrictEqual(table.observe(scenario), theirs)
  })
  assert.deepEqual([first, second], [false, true])
})

test('route configurations that Envoy refuses, and those it loads', { concurrency: 4 }, async t => {
  const check = async ({ name: _, field, differs, ...listener }: RoutingConfigCase) => {
    const yaml = bootstrap({
      listeners: [httpListener({ ...listener, name: 'main' })],
      clusters: [cluster('app', '1'), cluster('blue', '1')],
    })
      .replaceAll('{{listen:main}}', '1')
      .replaceAll('{{admin}}', '2')
      .replaceAll('{{log}}', '/dev/null')
    const envoyAnswer = await envoyValidates(yaml)
    assert.equal(envoyAnswer.ok, (field === undefined) === (differs === undefined), envoyAnswer.output)
    const { bootstrap: loaded, errors } = loadBootstrap({ text: yaml, support: everythingSupported })
    if (loaded === undefined) {
      // What the decoder's own checks refuse never comes to the table.
      assert.notEqual(field, undefined, JSON.stringify(errors))
      return
    }
    const [chain] = loaded.staticResources!.listeners[0]!.filterChains
    const manager = chain!.filters[0]!.typedConfig!.value as HttpConnectionManager
    const compiled = compileRouteConfiguration(manager.routeConfig!, {
      runtime: RuntimeLayers.from(undefined),
      decodeFilterConfig: (_name, message) => message.value,
      clusterExists: name => name === 'app' || name === 'blue',
    })
    const fields = compiled.errors.map(error => error.field)
    if (field === undefined) assert.deepEqual(fields, [])
    else
      assert.ok(fields.includes(field), JSON.stringify(compiled.errors.map(error => `${error.field}: ${error.reason}`)))
    if (differs !== undefined) assert.notEqual(compiled.warnings.length, 0, differs)
  }
  await Promise.all(routingConfigCases.map(config => t.test(config.name, () => check(config))))
})
