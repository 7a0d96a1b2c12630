/** Patterns that Envoy refuses for their size load here, with a warning that says which limit is meant. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Mistakes } from '../../../sidecar/router/mistakes.ts'
import { compileRegex } from '../../../sidecar/router/string-matcher.ts'

function warnings(regex: string, maxProgramSize?: number): string[] {
  const mistakes = new Mistakes({})
  compileRegex({ regex, googleRe2: { maxProgramSize } }, 'safe_regex', mistakes)
  assert.deepEqual(mistakes.errors, [])
  return mistakes.warnings.map(({ reason }) => reason.replace(/\d+ instructions/, 'N instructions'))
}

const LARGE = '/abcdefgh[0-9]{50}abcdefgh[0-9]{50}abcdefgh[0-9]{50}'

test('a pattern is measured by the default limit', () => {
  assert.deepEqual(warnings('/a'), [])
  assert.match(warnings(LARGE).join(), /^compiles to N instructions; Envoy refuses more than 100 by default/)
})

test('max_program_size takes the place of the default limit, in both directions', () => {
  assert.deepEqual(warnings(LARGE, 2000), [])
  assert.deepEqual(warnings('/abcdefgh[0-9]+', 2), ['compiles to N instructions; Envoy refuses more than 2'])
})
