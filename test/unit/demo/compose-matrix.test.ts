/** Each class of failure at each service of `compose/` is met by a cell, or has a reason why it cannot be: never both. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CELLS } from '../../../compose/cells.ts'
import { IMPOSSIBLE, ORIGINS, SUB_CAUSES } from '../../../compose/matrix.ts'
import { CAUSES } from '../../../sidecar/failure-origin/record.ts'

for (const cause of CAUSES) {
  test(`${cause} is met at each service, or cannot be there`, () => {
    const met = new Set(CELLS.filter(({ truth }) => truth.causes[0] === cause).map(({ truth }) => truth.origin))
    for (const origin of ORIGINS) {
      const reason = IMPOSSIBLE[cause]?.[origin]
      assert.notEqual(reason, '', 'a reason says something')
      if (met.has(origin)) assert.equal(reason, undefined, `${cause} at ${origin} is met, and is said to be impossible`)
      else assert.notEqual(reason, undefined, `${cause} at ${origin} has no cell and no reason`)
    }
    for (const origin of met)
      assert.ok(
        ORIGINS.some(known => known === origin),
        `who is ${origin}?`,
      )
  })
}

test('each sub-cause is met somewhere', () => {
  for (const [cause, subCauses] of Object.entries(SUB_CAUSES)) {
    for (const subCause of subCauses) {
      const cells = CELLS.filter(cell => cell.truth.causes[0] === cause && cell.subCause === subCause)
      assert.notEqual(cells.length, 0, `${cause}: ${subCause}`)
    }
  }
})

test('one who goes away is a cell without an origin', () => {
  assert.ok(CELLS.some(({ truth }) => truth.origin === undefined && truth.outcomes.includes('cancelled')))
})
