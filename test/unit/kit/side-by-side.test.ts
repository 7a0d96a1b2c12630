import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AllowedDifference, differences, differenceText, judge, type Observation } from '../../kit/side-by-side.ts'

const observed = (fields: Record<string, string>): Observation => ({
  fields,
  responses: [],
  elapsedMs: [],
  upstreamRequests: [],
  logLines: [],
  statChanges: new Map(),
})
const left = new Map([
  ['one', observed({ 'response 1 status': '200 OK', 'log 1': 'a' })],
  ['two', observed({ 'response 1 status': '200 OK' })],
])
const right = new Map([
  ['one', observed({ 'response 1 status': '503 Service Unavailable', 'log 1': 'a', 'log 2': 'b' })],
  ['two', observed({ 'response 1 status': '200 OK' })],
])
const found = differences(left, right)

test('fields that differ, are missing or are too many are found', () => {
  assert.deepEqual(found, [
    { scenario: 'one', field: 'response 1 status', left: '200 OK', right: '503 Service Unavailable' },
    { scenario: 'one', field: 'log 2', left: undefined, right: 'b' },
  ])
  assert.deepEqual(differences(left, left), [])
  assert.equal(differences(left, new Map()).length, 3)
})

test('a difference that is allowed is none, an allowance that allows nothing is a mistake', () => {
  const allow = (more: Partial<AllowedDifference>): AllowedDifference => ({
    suite: 's',
    scenario: 'one',
    field: 'log 2',
    reason: '',
    source: '',
    ...more,
  })
  const used = allow({})
  const pattern = allow({ scenario: /^o/, field: /status$/ })
  const unused = allow({ scenario: 'two' })
  const ofAnother = allow({ suite: 'other', scenario: 'two' })
  assert.deepEqual(judge('s', found, [used, pattern, unused, ofAnother]), { unexpected: [], unused: [unused] })
  assert.equal(judge('s', found, [used]).unexpected.length, 1)
})

test('differences are shown by scenario, with both sides', () => {
  assert.equal(
    differenceText(found, 'envoy', 'hopwise'),
    `one:
  response 1 status
    envoy: "200 OK"
    hopwise: "503 Service Unavailable"
  log 2
    envoy: (absent)
    hopwise: "b"`,
  )
})
