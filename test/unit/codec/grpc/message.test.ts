import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { frame, MessageCounter, MessageReader } from '../../../../sidecar/codec/grpc/message.ts'

const messages = fc.array(fc.record({ flags: fc.nat(255), data: fc.uint8Array({ maxLength: 300 }) }), { maxLength: 8 })

/** The stream cut into pieces at any offsets. */
function split(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map(cut => cut % (stream.length + 1)))].sort((a, b) => a - b)
  return [...at, stream.length].map((end, i) => stream.subarray(at[i - 1] ?? 0, end))
}

test('whatever the split, the same messages come out', () => {
  fc.assert(
    fc.property(messages, fc.array(fc.nat(), { maxLength: 20 }), (sent, cuts) => {
      const stream = Buffer.concat(sent.map(({ flags, data }) => frame(data, flags)))
      const reader = new MessageReader(1000)
      const counter = new MessageCounter()
      const got = split(stream, cuts).flatMap(piece => {
        counter.add(piece)
        // Pieces are lent: what is kept must be a copy.
        const lent = Buffer.from(piece)
        const read = reader.read(lent)
        lent.fill(0xee)
        return read
      })
      assert.deepEqual(
        got.map(({ flags, data }) => ({ flags, data: [...data] })),
        sent.map(({ flags, data }) => ({ flags, data: [...data] })),
      )
      assert.equal(counter.count, sent.length)
      assert.ok(counter.atBoundary && reader.atBoundary)
    }),
  )
})

test('byte by byte, a message counts when its header is whole', () => {
  const counter = new MessageCounter()
  const counted = [...frame(Buffer.from('abc')), ...frame(Buffer.alloc(0))].map(byte =>
    counter.add(Buffer.from([byte])),
  )
  assert.deepEqual(counted, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1])
})

test('a message that has begun is told from one that has not', () => {
  const reader = new MessageReader(10)
  assert.ok(reader.atBoundary)
  reader.read(Buffer.from([0]))
  assert.ok(!reader.atBoundary)
  reader.read(Buffer.from([0, 0, 0, 2, 1]))
  assert.ok(!reader.atBoundary)
  assert.equal(reader.read(Buffer.from([2])).length, 1)
  assert.ok(reader.atBoundary)
})

test('a length beyond the limit is known before a byte is kept, and ends the reading', () => {
  const reader = new MessageReader(4)
  const [first] = reader.read(Buffer.concat([frame(Buffer.from('1234')), Buffer.from([0, 0xff, 0xff, 0xff, 0xff])]))
  assert.equal(first?.data.toString(), '1234')
  assert.ok(reader.tooLarge)
  assert.deepEqual(reader.read(frame(Buffer.from('x'))), [])
})

test('a length is only a promise: no memory is taken for it', () => {
  const reader = new MessageReader(0xffffffff)
  const before = process.memoryUsage().arrayBuffers
  reader.read(Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 1]))
  assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000)
})
