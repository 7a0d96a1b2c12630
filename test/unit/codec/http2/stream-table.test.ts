import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../../../sidecar/base/random.ts'
import type { Stream } from '../../../../sidecar/codec/http2/stream/stream.ts'
import { StreamTable } from '../../../../sidecar/codec/http2/stream/stream-table.ts'
import { shareOutliving } from '../../../kit/young-generation.ts'

const stream = (id: number) => ({ id }) as Stream

test('streams are found by their ids while others come and go, whatever the ids', () => {
  for (const spread of [2, 2 * 16, 2 * 64]) {
    const random = new SeededRandom(spread)
    const table = new StreamTable<Stream>()
    const model = new Map<number, Stream>()
    let next = 1
    for (let i = 0; i < 20_000; i++) {
      if (random.uint32() % 2 === 0 && model.size < 200) {
        const one = stream(next)
        next += spread
        table.add(one)
        model.set(one.id, one)
      } else {
        const ids = [...model.keys()]
        const id = random.uint32() % 10 === 0 ? next + spread : (ids[random.uint32() % ids.length] ?? 0)
        assert.equal(table.delete(id), model.delete(id))
        assert.equal(table.get(id), undefined)
      }
      assert.equal(table.size, model.size)
      if (i % 100 === 0) {
        for (const [id, one] of model) assert.equal(table.get(id), one)
        assert.deepEqual(table.toArray(), [...model.values()])
      }
    }
  }
})

test('a stream that is not there is not found in a table that is as full as it gets', () => {
  const table = new StreamTable<Stream>()
  for (let i = 0; i < 4096; i++) table.add(stream(2 * i + 1))
  assert.equal(table.get(2 * 4096 + 1), undefined)
  assert.equal(table.has(0), false)
  for (let i = 4095; i >= 0; i--) assert.equal(table.delete(2 * i + 1), true)
  assert.deepEqual([table.size, table.toArray()], [0, []])
})

test('whatever ids a peer chooses, a stream is found after a few steps', () => {
  let looked = 0
  class Counted {
    readonly #id: number
    constructor(id: number) {
      this.#id = id
    }
    get id(): number {
      looked++
      return this.#id
    }
  }
  for (let bit = 1; bit < 21; bit++) {
    const table = new StreamTable<Stream>()
    const ids = Array.from({ length: 1000 }, (_, i) => i * 2 ** bit + 1)
    for (const id of ids) table.add(new Counted(id) as unknown as Stream)
    looked = 0
    for (const id of ids) assert.ok(table.has(id))
    assert.ok(looked / ids.length < 8, `${looked / ids.length} steps with ids ${2 ** bit} apart`)
  }
})

test('streams that are over are collected with the young objects', async () => {
  const table = new StreamTable<Stream>()
  const outliving = await shareOutliving(
    number => stream(2 * number + 1),
    one => table.add(one),
    one => table.delete(one.id),
  )
  assert.ok(outliving < 0.05, `${outliving * 100} % outlive it`)
})
