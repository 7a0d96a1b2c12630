import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RequestHeaders } from '../../../sidecar/codec/header-map.ts'
import { normalizeRequestPath, type PathNormalization } from '../../../sidecar/http/path-normalization.ts'

const OFF: PathNormalization = { normalize: false, mergeSlashes: false, escapedSlashes: 'KEEP_UNCHANGED' }

function normalized(path: string, policy: Partial<PathNormalization>): string {
  const headers = new RequestHeaders('GET', path, 'a', 'http')
  const reply = normalizeRequestPath(headers, { ...OFF, ...policy })
  return reply === undefined ? headers.path : `${reply.status} ${reply.headers?.[0]?.[1] ?? ''}`.trim()
}

test('dot segments go, and the query is left alone', () => {
  assert.equal(normalized('/a/./b/../c?x=/../y', { normalize: true }), '/a/c?x=/../y')
  assert.equal(normalized('/../../a', { normalize: true }), '/a')
  assert.equal(normalized('/a/..', { normalize: true }), '/')
})

test('slashes are merged in the path only', () => {
  assert.equal(normalized('//a///b?c//d', { mergeSlashes: true }), '/a/b?c//d')
})

test('escaped slashes are kept, refused, unescaped or redirected', () => {
  assert.equal(normalized('/a%2Fb%5c', {}), '/a%2Fb%5c')
  assert.equal(normalized('/a%2Fb', { escapedSlashes: 'REJECT_REQUEST' }), '400')
  assert.equal(normalized('/a%2Fb', { escapedSlashes: 'UNESCAPE_AND_FORWARD' }), '/a/b')
  assert.equal(normalized('/a%2Fb', { escapedSlashes: 'UNESCAPE_AND_REDIRECT' }), '307 /a/b')
})

test('a fragment and a NUL are refused', () => {
  assert.equal(normalized('/a#b', {}), '400')
  assert.equal(normalized('/a%00', { normalize: true }), '400')
})
