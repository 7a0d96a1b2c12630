/** The suites notice an Envoy whose configuration was changed behind their back: else their silence would prove nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alteredEnvoySide, differences, envoySide, judge, observe, type Suite } from '../kit/side-by-side.ts'
import { allowedDifferences } from './allowed-differences.ts'
import { timeDifferences } from './compare.ts'
import { headerSuite } from './scenarios/headers.ts'
import { http1Suite } from './scenarios/http1.ts'
import { replySuite } from './scenarios/replies.ts'
import { retrySuite } from './scenarios/retries.ts'

/** Per suite: what is altered, and a scenario that must notice. */
const alterations: readonly (readonly [Suite, string, string, string])[] = [
  [replySuite, '"status":418', '"status":419', 'direct response'],
  [replySuite, '"request_headers_timeout":"0.2s"', '"request_headers_timeout":"4s"', 'request_headers_timeout'],
  [headerSuite, '"via":"proxy"', '"via":"other"', 'via'],
  [retrySuite, '"retriable_status_codes":[418]', '"retriable_status_codes":[417]', 'retry_on retriable-status-codes'],
  [http1Suite, '"status_code":410', '"status_code":411', 'local_reply_config'],
]

for (const [suite, from, to, noticing] of alterations) {
  test(`${suite.name}: ${from} made ${to} is noticed`, async () => {
    // The whole configuration, few requests: the alteration must not change which scenarios there are.
    const few: Suite = { ...suite, scenarios: suite.scenarios.filter(({ name }) => name.startsWith(noticing)) }
    assert.ok(few.scenarios.length > 0)
    const altered = alteredEnvoySide(yaml => yaml.replaceAll(from, to))
    const [left, right] = await Promise.all([observe(envoySide, few), observe(altered, few)])
    const { unexpected } = judge(
      suite.name,
      [...differences(left, right), ...timeDifferences(left, right)],
      allowedDifferences,
    )
    assert.ok(unexpected.length > 0, 'nobody noticed')
  })
}

test('an Envoy that is not altered differs in nothing: what the tests above notice is the alteration', async () => {
  for (const [suite, , , noticing] of alterations) {
    const few: Suite = { ...suite, scenarios: suite.scenarios.filter(({ name }) => name.startsWith(noticing)) }
    const [left, right] = await Promise.all([observe(envoySide, few), observe(envoySide, few)])
    assert.deepEqual([...differences(left, right), ...timeDifferences(left, right)], [], suite.name)
  }
})
