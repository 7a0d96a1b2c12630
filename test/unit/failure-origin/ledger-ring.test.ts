import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ledgerRing, type RingReader, RingsReader, RingWriter } from '../../../sidecar/failure-origin/ledger-ring.ts'
import { inThreads } from '../../kit/threads.ts'

const MODULE = 'sidecar/failure-origin/ledger-ring.ts'
const ringsOf = (workers: number) => Array.from({ length: workers }, () => ledgerRing(workers))
const noLag = () => {}
const two = () => 2

function readAll(reader: RingsReader): { worker: number; numbers: number[]; text: string }[] {
  const seen: { worker: number; numbers: number[]; text: string }[] = []
  reader.drain(
    two,
    (ring: RingReader) =>
      seen.push({ worker: ring.worker, numbers: [ring.number(), ring.number()], text: ring.text() }),
    worker => seen.push({ worker, numbers: [], text: 'lost' }),
  )
  return seen
}

test('records arrive as they were written, round the end of the ring too', () => {
  const rings = ringsOf(2)
  const writer = new RingWriter(rings, 0, noLag)
  const reader = new RingsReader(rings, 1)
  let n = 0
  for (let round = 0; round < 3000; round++) {
    const written = Array.from({ length: 7 }, () => ({ worker: 0, numbers: [++n, n / 3], text: 'x'.repeat(n % 300) }))
    for (const { numbers, text } of written) writer.write(1, numbers, [text])
    assert.deepEqual(readAll(reader), written)
  }
  assert.deepEqual(readAll(reader), [])
})

test('texts keep every byte, and the last one every character', () => {
  const rings = ringsOf(2)
  const writer = new RingWriter(rings, 1, noLag)
  const reader = new RingsReader(rings, 0)
  writer.write(3, [1.5, -2], ['', 'caf\u00e9', 'dienst-\u4e2d\u6587'], true)
  const seen: unknown[] = []
  reader.drain(
    two,
    ring => seen.push(ring.type, ring.number(), ring.number(), ring.text(), ring.text(), ring.utf8()),
    () => {},
  )
  assert.deepEqual(seen, [3, 1.5, -2, '', 'caf\u00e9', 'dienst-\u4e2d\u6587'])
  writer.write(3, [1, 2], ['y'.repeat(20_000)])
  assert.equal(writer.dropped, 1)
  assert.deepEqual(readAll(reader), [])
})

test('whoever wrote because of something it had read is read after that, whichever ring comes first', () => {
  const rings = ringsOf(3)
  const writers = [0, 1, 2].map(worker => new RingWriter(rings, worker, noLag))
  const reader = new RingsReader(rings, 0)
  writers[2]!.write(1, [1, 0], ['cause'])
  writers[1]!.write(1, [2, 0], ['effect'])
  writers[2]!.write(1, [3, 0], ['effect of the effect'])
  assert.deepEqual(
    readAll(reader).map(({ text }) => text),
    ['cause', 'effect', 'effect of the effect'],
  )
})

test('a reader that falls behind is called, and hears of what it has lost', () => {
  const rings = ringsOf(2)
  const called: number[] = []
  const writer = new RingWriter(rings, 0, worker => called.push(worker))
  const reader = new RingsReader(rings, 1)
  const text = 'z'.repeat(1000)
  let n = 0
  while (called.length === 0) writer.write(1, [++n, 0], [text])
  assert.ok(n > 200 && n < 600, `called after ${n} kB`)
  assert.equal(readAll(reader).length, n)
  for (let i = 0; i < 2000; i++) writer.write(1, [i, 0], [text])
  assert.deepEqual(readAll(reader), [{ worker: 0, numbers: [], text: 'lost' }])
  assert.equal(reader.lost, 1)
  writer.write(1, [1, 2], ['again'])
  assert.deepEqual(readAll(reader), [{ worker: 0, numbers: [1, 2], text: 'again' }])
})

test('four threads that write and read at once: all is read, in order, nothing is torn, effects after causes', async () => {
  const rings = ringsOf(4)
  const body = `({ RingWriter, RingsReader }, { rings, each }, index) => {
    const writer = new RingWriter(rings, index, () => {})
    const reader = new RingsReader(rings, index)
    const last = [0, 0, 0, 0]
    let broken = ''
    let lost = 0
    const gate = new Int32Array(rings[0], 8, 1)
    Atomics.add(gate, 0, 1)
    while (Atomics.load(gate, 0) < 4);
    const drain = () => reader.drain(() => 5, ring => {
      const known = [ring.number(), ring.number(), ring.number(), ring.number()]
      const n = ring.number()
      const text = ring.text()
      if (!ring.intact) return
      if (text !== 'w' + ring.worker + ':' + n + 'x'.repeat(n % 90)) broken ||= 'torn: ' + text
      if (n !== last[ring.worker] + 1) broken ||= 'order: ' + n + ' after ' + last[ring.worker]
      for (let other = 0; other < 4; other++) {
        if (other !== index && other !== ring.worker && known[other] > last[other]) broken ||= 'effect before cause'
      }
      last[ring.worker] = n
    }, () => lost++)
    for (let n = 1; n <= each; n++) {
      if (n % 3 === 0) drain()
      last[index] = n
      writer.write(1, [...last, n], ['w' + index + ':' + n + 'x'.repeat(n % 90)])
      // None runs away from the others.
      while (Math.min(...last) < n - 500) drain()
    }
    while (last.some(n => n < each)) drain()
    return { broken, lost, last }
  }`
  const each = 20_000
  const results = await inThreads<{ broken: string; lost: number; last: number[] }>(4, MODULE, { rings, each }, body)
  for (const { broken, lost, last } of results) {
    assert.equal(broken, '')
    assert.equal(lost, 0)
    assert.deepEqual(last, [each, each, each, each])
  }
})
