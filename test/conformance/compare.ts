/** Runs a suite on Envoy and on Hopwise: what Envoy does, and that Hopwise does the same. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import {
  type Difference,
  differences,
  differenceText,
  envoySide,
  hopwiseSide,
  judge,
  type Observation,
  observe,
  type Suite,
  unmetExpectations,
} from '../kit/side-by-side.ts'
import { allowedDifferences } from './allowed-differences.ts'

/** Two machines' worth of noise: anything above is another timeout, not another moment. */
const TIME_TOLERANCE_MS = 1500

/** Answers that took much longer on one side. */
export function timeDifferences(
  left: ReadonlyMap<string, Observation>,
  right: ReadonlyMap<string, Observation>,
): Difference[] {
  const found: Difference[] = []
  for (const [scenario, { elapsedMs }] of left) {
    const others = right.get(scenario)?.elapsedMs ?? []
    for (const [i, ms] of elapsedMs.entries()) {
      if (Math.abs(ms - (others[i] ?? 0)) < TIME_TOLERANCE_MS) continue
      found.push({ scenario, field: `response ${i + 1} time`, left: `${ms} ms`, right: `${others[i]} ms` })
    }
  }
  return found
}

/** The body of a test: runs the suite on both sides and makes a subtest of each scenario. */
export async function compareWithEnvoy(t: TestContext, suite: Suite): Promise<void> {
  const [envoy, hopwise] = await Promise.all([observe(envoySide, suite), observe(hopwiseSide, suite)])
  const { unexpected, unused } = judge(
    suite.name,
    [...differences(envoy, hopwise), ...timeDifferences(envoy, hopwise)],
    allowedDifferences,
  )
  for (const scenario of suite.scenarios) {
    await t.test(scenario.name, () => {
      // What the scenario says is measured on Envoy; a suite whose Envoy does otherwise proves nothing.
      assert.deepEqual(unmetExpectations(scenario, envoy.get(scenario.name)!), [])
      const mine = unexpected.filter(difference => difference.scenario === scenario.name)
      assert.equal(differenceText(mine, 'envoy', 'hopwise'), '')
    })
  }
  await t.test('every allowed difference is there', () => assert.deepEqual(unused, []))
}
