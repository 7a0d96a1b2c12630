/**
 * Mutates the corpus of `test/corpus/http2/` and makes up frames, and checks what must hold for every input: no exception,
 * nothing told after an end, streams counted rightly (all of that inside `run`), the same events at any split, memory
 * bounded, and what was accepted survives being sent on and received again.
 *
 * `HOPWISE_FUZZ_SEED` repeats a run, `HOPWISE_FUZZ_MS` lengthens it (for each of the tests).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PREFACE } from '../../sidecar/codec/http2/frame/frame-type.ts'
import { HpackDecoder } from '../../sidecar/codec/http2/hpack/decoder.ts'
import { HpackEncoder } from '../../sidecar/codec/http2/hpack/encoder.ts'
import { type CorpusCase, readCorpus } from '../unit/codec/http2/corpus.ts'
import { type ConnectionSetting, type Role, run } from '../unit/codec/http2/event-log.ts'
import { frame, framesOf, plainBlock } from '../unit/codec/http2/frames.ts'

const seed = Number(process.env['HOPWISE_FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const budgetMs = Number(process.env['HOPWISE_FUZZ_MS'] ?? 1500)
console.log(`HOPWISE_FUZZ_SEED=${seed}`)

/** mulberry32: small, and the same everywhere. */
class Dice {
  #state: number
  constructor(state: number) {
    this.#state = state
  }
  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % bound
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }
  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)))
  }
}

const corpus = readCorpus().filter(one => one.bytes.length < 3000)

/** One to three changes: a byte, a piece gone, repeated, or taken from another case. */
function mutate(dice: Dice, original: Buffer): Buffer {
  let bytes = original
  for (let changes = 1 + dice.below(3); changes > 0; changes--) {
    const at = dice.below(bytes.length + 1)
    const length = dice.below(dice.pick([2, 10, 60]))
    const before = bytes.subarray(0, at)
    switch (dice.below(5)) {
      case 0:
        bytes = Buffer.concat([before, Buffer.from([dice.below(256)]), bytes.subarray(at + 1)])
        break
      case 1:
        bytes = Buffer.concat([before, bytes.subarray(at + length)])
        break
      case 2:
        bytes = Buffer.concat([before, bytes.subarray(at, at + length), bytes.subarray(at)])
        break
      case 3: {
        const other = dice.pick(corpus).bytes
        bytes = Buffer.concat([before, other.subarray(dice.below(other.length + 1))])
        break
      }
      case 4:
        bytes = Buffer.concat([before, madeUpFrame(dice), bytes.subarray(at)])
        break
    }
  }
  return bytes
}

const NAMES = [
  ':method',
  ':path',
  ':scheme',
  ':authority',
  ':status',
  'host',
  'cookie',
  'content-length',
  'te',
  'x',
  'X',
]
const VALUES = ['GET', '/', 'http', 'a', '200', '5', 'trailers', '', ' x', 'a\r\nb', 'x'.repeat(300), '0']

/** A frame that is well-formed as far as its header goes, and often further. */
function madeUpFrame(dice: Dice): Buffer {
  const type = dice.below(11)
  const flags = dice.below(2) === 0 ? dice.pick([0, 1, 4, 5, 8, 0x20, 0x2d]) : dice.below(256)
  const streamId = dice.pick([0, 1, 1, 2, 3, 3, 5, 7, 0x7fffffff])
  let payload = dice.bytes(dice.pick([0, 1, 4, 5, 8, 12, 100]))
  if (type === 1 || type === 9) {
    const fields = Array.from({ length: dice.below(8) }, () => [dice.pick(NAMES), dice.pick(VALUES)] as const)
    payload = dice.below(3) === 0 ? Buffer.concat([Buffer.from([0x82, 0x84, 0x86, 0x41, 1, 0x61])]) : plainBlock(fields)
  }
  return frame(type, flags, streamId, payload)
}

function madeUpInput(dice: Dice, role: Role): Buffer {
  const frames = Array.from({ length: 1 + dice.below(30) }, () => madeUpFrame(dice))
  return Buffer.concat([role === 'server' ? PREFACE : Buffer.alloc(0), framesOf('SETTINGS'), ...frames])
}

function pieces(dice: Dice, bytes: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + dice.below(dice.pick([1, 4, 40, 400]))
    parts.push(bytes.subarray(at, at + length))
    at += length
  }
  return parts
}

function forInputs(name: string, check: (input: Input, dice: Dice) => void): void {
  test(name, () => {
    const dice = new Dice(seed)
    const deadline = performance.now() + budgetMs
    let count = 0
    while (performance.now() < deadline) {
      const input = makeInput(dice)
      try {
        check(input, dice)
      } catch (error) {
        throw new Error(`${input.from}, as ${input.role}: ${input.bytes.toString('hex')}`, { cause: error })
      }
      count++
    }
    console.log(`${name}: ${count} inputs`)
    assert.ok(count > 50)
  })
}

interface Input {
  readonly from: string
  readonly role: Role
  readonly setting: ConnectionSetting
  readonly bytes: Buffer
}

function makeInput(dice: Dice): Input {
  if (dice.below(3) === 0) {
    const role = dice.pick<Role>(['server', 'client'])
    const setting: ConnectionSetting = {
      answer: dice.below(2) === 0,
      requests: ['GET', 'POST', 'HEAD'],
      options: { streamErrorOnInvalidHttpMessage: dice.below(2) === 0 },
    }
    return { from: 'made up', role, setting, bytes: madeUpInput(dice, role) }
  }
  const one: CorpusCase = dice.pick(corpus)
  return { from: `${one.file}: ${one.name}`, role: one.role, setting: one.setting, bytes: mutate(dice, one.bytes) }
}

forInputs('any split gives the same events', ({ role, setting, bytes }, dice) => {
  const whole = run(role, [bytes], setting)
  for (const parts of [pieces(dice, bytes), Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))]) {
    const split = run(role, parts, setting)
    assert.deepEqual(split.log, whole.log)
    assert.deepEqual(split.sent.filter(isNoUpdate), whole.sent.filter(isNoUpdate))
  }
})

function isNoUpdate(text: string): boolean {
  return !text.startsWith('WINDOW_UPDATE')
}

forInputs('whatever comes, a destroyed connection leaves nothing in the gauges', ({ role, setting, bytes }) => {
  const { connection, counters } = run(role, [bytes], setting)
  connection.destroy({ origin: 'local', kind: 'terminated', flag: 0, details: '' })
  connection.flush()
  assert.equal(connection.activeStreams, 0)
  for (const gauge of ['streams_active', 'pending_send_bytes', 'deferred_stream_close'] as const) {
    assert.equal(counters[gauge], 0, gauge)
  }
  assert.equal(counters.outbound_frames_active, 0)
  assert.equal(counters.outbound_control_frames_active, 0)
})

test('any bytes are a header block that is decoded or refused, in bounded memory', () => {
  const dice = new Dice(seed)
  const deadline = performance.now() + budgetMs
  let count = 0
  for (let decoder = new HpackDecoder(4096); performance.now() < deadline; count++) {
    const block = dice.bytes(1 + dice.below(80))
    // Mostly what may begin a representation, so that something comes of it.
    block[0] = dice.pick([0x82, 0x40, 0x00, 0x10, 0x41, 0xbe, 0x20, block[0]!])
    if (!decoder.decode(block, 0, block.length, { onField() {} })) decoder = new HpackDecoder(4096)
    assert.ok(decoder.tableSize <= 4096)
  }
  console.log(`header blocks: ${count}`)
})

test('what one table encodes the other decodes, whatever the headers and the sizes', () => {
  const dice = new Dice(seed)
  const deadline = performance.now() + budgetMs
  let count = 0
  while (performance.now() < deadline) {
    const limit = dice.pick([0, 64, 256, 4096])
    const encoder = new HpackEncoder(limit)
    const decoder = new HpackDecoder(limit)
    const values = Array.from({ length: 6 }, () => 'v'.repeat(dice.below(dice.pick([3, 40, 200]))) + dice.below(9))
    for (let block = 0; block < 30; block++, count++) {
      if (dice.below(10) === 0) encoder.setPeerLimit(dice.pick([0, 40, 100, 4096]))
      const sent: string[] = []
      encoder.begin(Buffer.alloc(dice.pick([8, 2000])), 3)
      for (let i = dice.below(12); i > 0; i--) {
        const name = dice.pick(['x-a', 'x-b', ':path', 'accept', 'authorization', 'cookie', `x-${dice.below(40)}`])
        const value = dice.pick(values)
        encoder.field(name, value)
        sent.push(name, value)
      }
      const received: string[] = []
      const receiver = { onField: (name: { name: string }, value: string) => void received.push(name.name, value) }
      assert.ok(decoder.decode(encoder.buffer, 3, encoder.at, receiver), decoder.problem)
      assert.deepEqual(received, sent)
      assert.equal(decoder.tableSize, encoder.tableSize)
    }
  }
  console.log(`blocks encoded and decoded: ${count}`)
})
