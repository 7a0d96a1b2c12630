import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeaderMap, internHeaderName, RequestHeaders } from '../../../sidecar/codec/header-map.ts'

test('names are interned in lower case, whatever they are called', () => {
  for (const name of ['Content-Type', 'content-type', 'CONTENT-TYPE']) {
    assert.equal(internHeaderName(name), 'content-type')
  }
  // Property keys of a special kind.
  for (const name of ['__proto__', 'constructor', '123', 'x-ÿ']) assert.equal(internHeaderName(name), name)
})

test('the table of names is bounded', () => {
  for (let i = 0; i < 5000; i++) assert.equal(internHeaderName(`X-Made-Up-${i}`), `x-made-up-${i}`)
})

test('set overwrites the first and removes the others', () => {
  const headers = new HeaderMap(['a', '1', 'b', '2', 'a', '3', 'a', '4'])
  headers.set('a', '5')
  assert.deepEqual(headers.list, ['a', '5', 'b', '2'])
  headers.add('a', '6')
  assert.deepEqual(headers.getAll('a'), ['5', '6'])
  assert.equal(headers.getJoined('a'), '5,6')
  assert.equal(headers.delete('a'), true)
  assert.deepEqual(headers.list, ['b', '2'])
})

test('host is the authority', () => {
  const headers = new RequestHeaders('GET', '/', 'a', 'http')
  headers.set('host', 'b')
  assert.equal(headers.get(':authority'), 'b')
  assert.deepEqual(headers.list, [])
})
