import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readCorpus, requestsOf } from './corpus.ts'
import { printRun, run } from './event-log.ts'

/** Of a long case not every split is tried: at most this many, evenly spread. */
const MAX_SPLITS = 300

const corpus = readCorpus()

test('the corpus has a name of its own for each case, and a reason', () => {
  const names = corpus.map(one => `${one.file}: ${one.name}`)
  assert.deepEqual(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  )
  for (const one of corpus) assert.match(one.why, /\.$/, `${one.file}: ${one.name}`)
  assert.ok(corpus.length >= 90, `only ${corpus.length}`)
})

for (const one of corpus) {
  const { file, name, role, setting, bytes, log } = one
  test(`${file}: ${name}`, () => {
    const whole = run(role, [bytes], setting)
    assert.equal(printRun(whole, requestsOf(one)), log)
    const single = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
    same(run(role, single, setting), whole, 'byte by byte')
    const step = Math.max(1, Math.ceil(bytes.length / MAX_SPLITS))
    for (let at = 1; at < bytes.length; at += step) {
      same(run(role, [bytes.subarray(0, at), bytes.subarray(at)], setting), whole, `split at ${at}`)
    }
  })
}

type Ran = ReturnType<typeof run>

function same(one: Ran, other: Ran, what: string): void {
  assert.deepEqual(one.log, other.log, what)
  assert.deepEqual(one.sent.filter(isNoUpdate), other.sent.filter(isNoUpdate), what)
  assert.deepEqual(one.counters, other.counters, what)
}

/** How windows are given back may depend on the pieces: half a window is reached at another byte. */
function isNoUpdate(frame: string): boolean {
  return !frame.startsWith('WINDOW_UPDATE')
}
