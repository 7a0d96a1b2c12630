import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Linked, LinkedSet } from '../../../sidecar/base/linked-set.ts'

class Item extends Linked {
  readonly name: string
  constructor(name: string) {
    super()
    this.name = name
  }
}

const items = (...names: string[]) => names.map(name => new Item(name))
const names = (set: LinkedSet<Item>) => set.toArray().map(item => item.name)

test('items are kept in the order in which they were added, and can be taken out anywhere', () => {
  const set = new LinkedSet<Item>()
  const [a, b, c] = items('a', 'b', 'c') as [Item, Item, Item]
  for (const item of [a, b, c]) set.add(item)
  assert.deepEqual([names(set), set.size, set.first], [['a', 'b', 'c'], 3, a])
  assert.equal(set.delete(b), true)
  assert.deepEqual([names(set), set.size], [['a', 'c'], 2])
  assert.equal(set.delete(a), true)
  assert.equal(set.first, c)
  set.add(a)
  assert.deepEqual(names(set), ['c', 'a'])
})

test('an item that is in no set is not taken out of any', () => {
  const set = new LinkedSet<Item>()
  const [a, b] = items('a', 'b') as [Item, Item]
  set.add(a)
  assert.equal(set.delete(b), false)
  assert.equal(set.delete(a), true)
  assert.equal(set.delete(a), false)
  assert.deepEqual([set.size, set.first, names(set)], [0, undefined, []])
})

test('what has been taken out points at nothing, so that it keeps nothing alive', () => {
  const set = new LinkedSet<Item>()
  const [a, b, c] = items('a', 'b', 'c') as [Item, Item, Item]
  for (const item of [a, b, c]) set.add(item)
  set.delete(b)
  assert.deepEqual([b.next, b.previous], [undefined, undefined])
})

test('what is asked for as an array does not change while the set does', () => {
  const set = new LinkedSet<Item>()
  for (const item of items('a', 'b', 'c')) set.add(item)
  for (const item of set.toArray()) set.delete(item)
  assert.equal(set.size, 0)
})
