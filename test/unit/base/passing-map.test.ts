import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PassingMap } from '../../../sidecar/base/passing-map.ts'
import { shareOutliving } from '../../kit/young-generation.ts'

interface Item {
  readonly number: number
}

const shareOutlivingIn = (map: Map<string, Item> | PassingMap<string, Item>) =>
  shareOutliving(
    (number): Item => ({ number }),
    one => map.set(`id ${one.number}`, one),
    one => map.delete(`id ${one.number}`),
  )

test('what has passed through is collected with the young objects', async () => {
  const outliving = await shareOutlivingIn(new PassingMap())
  assert.ok(outliving < 0.2, `${outliving * 100} % outlive it`)
})

test('what has passed through a Map is not: the reason for having this', async () => {
  // The Map's table is made anew when it is full of what has left: in which generation that finds it is chance.
  let most = 0
  for (let i = 0; i < 3; i++) most = Math.max(most, await shareOutlivingIn(new Map()))
  assert.ok(most > 0.5, `only ${most * 100} % outlive it`)
})

test('it stays the same map when it is made anew', () => {
  const map = new PassingMap<number, string>()
  const model = new Map<number, string>()
  for (let i = 0; i < 5000; i++) {
    const key = (i * 7919) % 911
    if (i % 3 === 0) assert.equal(map.delete(key), model.delete(key))
    else if (!model.has(key)) {
      map.set(key, String(i))
      model.set(key, String(i))
    }
    assert.equal(map.get(key), model.get(key))
    assert.equal(map.has(key), model.has(key))
  }
  assert.deepEqual([...map], [...model])
  assert.deepEqual([...map.keys()], [...model.keys()])
  assert.equal(map.size, model.size)
})

test('entries may be deleted while it is gone through', () => {
  const map = new PassingMap<number, number>()
  for (let i = 0; i < 2000; i++) map.set(i, i)
  const seen: number[] = []
  for (const [key] of map) {
    seen.push(key)
    map.delete(key)
  }
  assert.deepEqual(seen, [...Array(2000).keys()])
  assert.equal(map.size, 0)
})
