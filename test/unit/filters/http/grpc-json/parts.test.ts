import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readHttpRules } from '../../../../../sidecar/filters/http/grpc-json/http-rule.ts'
import { JsonArraySplitter } from '../../../../../sidecar/filters/http/grpc-json/json-array.ts'
import { PathMatcher, queryBindings, unescaped } from '../../../../../sidecar/filters/http/grpc-json/path-template.ts'

function matcher(...templates: readonly string[]) {
  const made = new PathMatcher<string>('ALL_CHARACTERS_EXCEPT_RESERVED', false)
  for (const template of templates) assert.ok(made.add('GET', template, template), template)
  return (path: string) => {
    const found = made.match('GET', path)
    if (found === undefined) return undefined
    return [found.value, ...found.bindings.map(({ path, value }) => `${path.join('.')}=${value}`)]
  }
}

test('variables take the segments they stand for', () => {
  const match = matcher('/v1/{name=shelves/*}/books/{book.id}', '/v1/find/{rest=**}', '/a/*/b')
  assert.deepEqual(match('/v1/shelves/5/books/7'), [
    '/v1/{name=shelves/*}/books/{book.id}',
    'name=shelves/5',
    'book.id=7',
  ])
  assert.deepEqual(match('/v1/find/a/b'), ['/v1/find/{rest=**}', 'rest=a/b'])
  assert.deepEqual(match('/v1/find'), ['/v1/find/{rest=**}', 'rest='])
  assert.deepEqual(match('/a/x/b'), ['/a/*/b'])
  for (const path of ['/v1/shelves/5', '/a/b', '/a//b', '', 'a/x/b', '/v1/shelves/5/books/7/']) {
    assert.equal(match(path), undefined, path)
  }
})

test('the literal wins over the star, and the star over the rest, also where the way turns out wrong', () => {
  const match = matcher('/a/b/c', '/a/*/d', '/a/**')
  assert.equal(match('/a/b/c')?.[0], '/a/b/c')
  assert.equal(match('/a/b/d')?.[0], '/a/*/d')
  assert.equal(match('/a/b/e')?.[0], '/a/**')
})

test('a verb counts only where some rule has it', () => {
  const match = matcher('/a/{x}:go', '/a/{x}')
  assert.deepEqual(match('/a/1:go'), ['/a/{x}:go', 'x=1'])
  assert.deepEqual(match('/a/1:stop'), ['/a/{x}', 'x=1:stop'])
  const any = new PathMatcher<string>('ALL_CHARACTERS', true)
  any.add('GET', '/a/{x}', 'x')
  assert.equal(any.match('GET', '/a/1:stop'), undefined)
})

test('templates that are none are refused', () => {
  const made = new PathMatcher<string>('ALL_CHARACTERS', false)
  for (const template of ['', 'a', '/{', '/{}', '/{a=}', '/{a={b}}', '/a//b', '/**/a', '/{x=**}/a', '/a=b', '/{1x}']) {
    assert.equal(made.add('GET', template, ''), false, template)
  }
})

test('a long path costs no long walk', () => {
  const match = matcher('/*/*/*/*/*/*/*/x', '/a/**')
  assert.equal(match(`/a${'/b'.repeat(10_000)}`), undefined)
})

test('which escapes are undone', () => {
  assert.equal(unescaped('a%2Fb%20%C3%A9%zz', 'ALL_CHARACTERS'), 'a/b é%zz')
  assert.equal(unescaped('a%2Fb%3F%20', 'ALL_CHARACTERS_EXCEPT_SLASH'), 'a%2Fb? ')
  assert.equal(unescaped('a%2Fb%3F%20', 'ALL_CHARACTERS_EXCEPT_RESERVED'), 'a%2Fb%3F ')
  assert.deepEqual(
    queryBindings('a.b=1&c&=2&d=x+y&e=', new Set(['e']), true).map(({ path, value }) => [path.join('.'), value]),
    [
      ['a.b', '1'],
      ['d', 'x y'],
    ],
  )
})

test('an array is cut into its elements, whatever the split', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue(), { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 12 }), (values, cuts) => {
      const text = Buffer.from(` ${JSON.stringify(values, null, 1)} \n`)
      const at = [...new Set(cuts.map(cut => cut % text.length))].sort((a, b) => a - b)
      const splitter = new JsonArraySplitter(10_000)
      const got = [...at, text.length].flatMap((end, i) => splitter.push(text.subarray(at[i - 1] ?? 0, end)))
      assert.ok(splitter.end())
      assert.deepEqual(
        got.map(element => JSON.parse(element.toString()) as unknown),
        JSON.parse(JSON.stringify(values)),
      )
    }),
  )
})

test('what is no array, or not whole, is a problem', () => {
  const problem = (text: string) => {
    const splitter = new JsonArraySplitter(100)
    splitter.push(Buffer.from(text))
    splitter.end()
    return splitter.problem
  }
  assert.equal(problem('[1, 2]'), '')
  assert.equal(problem('[]'), '')
  for (const text of ['', '{}', '[1', '[1]2', '[,1]', '[1}']) assert.notEqual(problem(text), '', text)
})

test('an element that is too large is not kept', () => {
  const splitter = new JsonArraySplitter(10)
  splitter.push(Buffer.from('["1234", "567'))
  assert.equal(splitter.tooLarge, false)
  splitter.push(Buffer.from('8901234567890'))
  assert.ok(splitter.tooLarge)
})

test('bytes that are no rule are none', () => {
  assert.deepEqual(readHttpRules(Buffer.from('\x12\x02/a', 'latin1')), [
    { method: 'GET', path: '/a', body: '', responseBody: '' },
  ])
  for (const bytes of ['\x12\x05/a', '\x08\x01', '\x12', '\x5a\x02\x12\x05']) {
    assert.equal(readHttpRules(Buffer.from(bytes, 'latin1')), undefined)
  }
})
