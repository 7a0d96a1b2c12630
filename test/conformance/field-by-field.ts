/** For tests that write down what each side did as named fields rather than as scenarios of a suite. */
import assert from 'node:assert/strict'
import { type Difference, differenceText, judge } from '../kit/side-by-side.ts'
import { allowedDifferences } from './allowed-differences.ts'

export type Fields = ReadonlyMap<string, string>

/**
 * Fails where a field differs that `allowed-differences.ts` does not name, and where it names one that does not differ.
 * What stands before the first `: ` of a field's name is its scenario there; fields without one belong to the scenario ''.
 */
export function assertSameFields(suite: string, envoy: Fields, hopwise: Fields): void {
  const found: Difference[] = []
  for (const name of new Set([...envoy.keys(), ...hopwise.keys()])) {
    const left = envoy.get(name)
    const right = hopwise.get(name)
    if (left === right) continue
    const at = name.indexOf(': ')
    const [scenario, field] = at < 0 ? ['', name] : [name.slice(0, at), name.slice(at + 2)]
    found.push({ scenario, field, left, right })
  }
  const { unexpected, unused } = judge(suite, found, allowedDifferences)
  assert.equal(differenceText(unexpected, 'envoy', 'hopwise'), '')
  assert.deepEqual(unused, [], 'differences that are none any longer')
}
