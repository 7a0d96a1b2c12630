import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hex64, type Random, SeededRandom, systemRandom, uuid4 } from '../../../sidecar/base/random.ts'

/** Gives the numbers of a list, one after another. */
function listed(...numbers: number[]): Random {
  return { next: () => 0, uint32: () => numbers.shift()! }
}

test('a UUID has its digits in order, and says version 4 and variant 1', () => {
  assert.equal(uuid4(listed(0x01234567, 0x89abcdef, 0xffffffff, 0x00fedcba)), '01234567-89ab-4def-bfff-ffff00fedcba')
  for (let i = 0; i < 100; i++) {
    assert.match(uuid4(systemRandom), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  }
})

test('a short id has sixteen digits and is never all zero', () => {
  assert.equal(hex64(listed(0x89abcdef, 0x01234567)), '0123456789abcdef')
  assert.equal(hex64(listed(0, 0)), '0000000000000001')
})

test('an id once made does not change with the next', () => {
  const random = new SeededRandom(7)
  const first = uuid4(random)
  const copy = `${first}`
  const short = hex64(random)
  uuid4(random)
  hex64(random)
  assert.equal(first, copy)
  assert.notEqual(short, hex64(random))
})

test('the system gives numbers of 32 bits', () => {
  let all = 0
  for (let i = 0; i < 200; i++) {
    const number = systemRandom.uint32()
    assert.ok(Number.isInteger(number) && number >= 0 && number < 2 ** 32)
    all |= number
  }
  assert.equal(all >>> 0, 0xffffffff)
})
