import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readCorpus } from './corpus.ts'
import { eventLog, type LogEntry, printLog } from './event-log.ts'

/** Of a long case not every split is tried: at most this many, evenly spread. */
const MAX_SPLITS = 400

const corpus = readCorpus()

test('the corpus has a name of its own for each case, and a reason', () => {
  const names = corpus.map(one => `${one.file}: ${one.name}`)
  assert.deepEqual(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  )
  for (const one of corpus) assert.match(one.why, /\.$/, `${one.file}: ${one.name}`)
  assert.ok(corpus.length >= 150, `only ${corpus.length}`)
})

for (const { file, name, kind, setting, bytes, log } of corpus) {
  test(`${file}: ${name}`, () => {
    const whole = eventLog(kind, [bytes], setting, true)
    assert.equal(printLog(whole), log)
    const single = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
    assert.deepEqual(eventLog(kind, single, setting), whole, 'byte by byte')
    assert.deepEqual(texts(eventLog(kind, [bytes], setting)), texts(whole), 'whole, not paused')
    const step = Math.max(1, Math.ceil(bytes.length / MAX_SPLITS))
    for (let at = 1; at < bytes.length; at += step) {
      const pieces = [bytes.subarray(0, at), bytes.subarray(at)]
      assert.deepEqual(eventLog(kind, pieces, setting, true), whole, `split at ${at}`)
      assert.deepEqual(texts(eventLog(kind, pieces, setting)), texts(whole), `split at ${at}, not paused`)
    }
  })
}

function texts(log: readonly LogEntry[]): string[] {
  return log.map(entry => entry.text)
}
