import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestEvent } from 'node:test/reporters'
import { repository } from '../../kit/install-once.ts'
import { run } from '../../kit/process.ts'
import { temporaryFile } from '../../kit/proxy-process.ts'
import summaryReporter from '../../summary-reporter.ts'

const source = `
import assert from 'node:assert/strict'
import { test } from 'node:test'
test('good', () => new Promise(done => setTimeout(done, 600)))
test('parent', async t => {
  await t.test('bad child', () => { console.log('written before'); assert.equal(1, 2) })
})
test('left out', { skip: true }, () => {})
`

test('the reporter shows failures in full, what their file wrote, and the totals last', async () => {
  const file = temporaryFile('some.test.mjs', source)
  const reporter = join(repository, 'test', 'summary-reporter.ts')
  const args = ['--test', `--test-reporter=${reporter}`, '--test-reporter-destination=stdout', file]
  const { stdout } = await run(process.execPath, args, { status: 1 })
  assert.match(stdout, /✖ bad child\n {2}at .*some\.test\.mjs:6\n/)
  assert.match(stdout, /AssertionError .*Expected values to be strictly equal:\n+ {2}1 !== 2/)
  assert.doesNotMatch(stdout, /node:internal/)
  assert.match(stdout, /Written by .*some\.test\.mjs:\n {2}written before/)
  assert.doesNotMatch(stdout, /✖ parent/)
  assert.match(
    stdout,
    /\nslowest tests:\n {2}\d\.\d s {2}good \(.*some\.test\.mjs:4\)\n\nslowest files:\n {2}\d\.\d s {2}.*some\.test\.mjs\n/,
  )
  assert.match(
    stdout,
    /\n# tests 4\n# suites 0\n# pass 1\n# fail 2\n# cancelled 0\n# skipped 1\n# todo 0\n# duration_ms .*\n$/,
  )
})

test('the totals of several runs one after another are added up', async () => {
  async function* runs() {
    for (const message of ['tests 3', 'fail 1', 'duration_ms 0.1', 'tests 4', 'fail 0', 'duration_ms 0.2']) {
      yield { type: 'test:diagnostic', data: { nesting: 0, message } } as TestEvent
    }
  }
  const text = (await Array.fromAsync(summaryReporter(runs()))).join('')
  assert.match(text, /\n# tests 7\n# fail 1\n# duration_ms 0\.3\n$/)
})
