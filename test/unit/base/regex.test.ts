import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bytesToText, isAscii, Regex, RegexError, Substitution, textToBytes } from '../../../sidecar/base/regex.ts'

/** The same pattern in a form that is never taken for simple, so that re2js runs it. */
function byRe2(pattern: string): Regex {
  const regex = Regex.compile(pattern.startsWith('(?i)') ? `(?i)(?s-s:${pattern.slice(4)})` : `(?s-s:${pattern})`)
  assert.equal(regex.isSimple, false)
  return regex
}

test('a pattern matches the whole text or not at all', () => {
  const regex = Regex.compile('/v[0-9]+/.*')
  assert.equal(regex.matches('/v1/x'), true)
  assert.equal(regex.matches('a/v1/x'), false)
  assert.equal(Regex.compile('a|bc').matches('ac'), false)
})

test('what RE2 refuses is refused', () => {
  for (const pattern of [
    '(',
    '[a',
    'a**',
    '(?=a)',
    '(?<=a)b',
    '(?!a)',
    '(a)\\1',
    'a{1001}',
    '\\8',
    '*a',
    'a\\',
    '(?P<n>a)(?P<n>b)',
  ]) {
    assert.throws(() => Regex.compile(pattern), RegexError, pattern)
  }
})

test('patterns that people write are simple', () => {
  for (const pattern of [
    '/users/[0-9]+',
    '/users/\\d+(/.*)?',
    '^/service/([^/]+)(/.*)$',
    '/(a|b|c)/[^/]+/end',
    '.*\\.(png|jpg|css)',
    '(?i)/Admin/.*',
    'v1|v2',
    '[a-z0-9-]+\\.example\\.com(:[0-9]{1,5})?',
    '/x/?',
    '',
  ]) {
    assert.equal(Regex.compile(pattern).isSimple, true, pattern)
  }
})

test('patterns on which RegExp could take long are not simple', () => {
  for (const pattern of [
    // JavaScript tries the other branch where a turn of a repetition matched nothing.
    '(|b)?',
    '(a?)?',
    '(a+)+b',
    '(a*)*',
    '(a|a)*b',
    'a*a*b',
    '.*.*x',
    '.*a.*b',
    '[^/]*[a-z]+/x',
    '(a|ab)(c|bcd)*',
    'a?a?a?a?a?a?a?aaaaaaa',
    'a{0,100}a{0,100}b',
  ]) {
    assert.equal(Regex.compile(pattern).isSimple, false, pattern)
  }
})

test('a simple pattern stays linear on texts made to hurt', () => {
  const text = `/${'a'.repeat(300_000)}`
  for (const pattern of ['.*\\.(png|jpg)', '/[a-z]+/x', '/[^b]*b', '(/[a-z]*)?!', '/a+(b|c)?']) {
    const regex = Regex.compile(pattern)
    assert.equal(regex.isSimple, true, pattern)
    const started = performance.now()
    regex.matches(text)
    regex.replaceAll(text, new Substitution('x'))
    // Quadratic it would be minutes; the bound is far from both.
    assert.ok(performance.now() - started < 20_000, pattern)
  }
})

/** Patterns of the subset that may be simple, and some that may not. */
const atom = fc.oneof(
  fc.constantFrom(
    'a',
    'b',
    'c',
    '/',
    '-',
    '\\.',
    '.',
    '\\d',
    '\\w',
    '\\s',
    '\\W',
    '[a-c]',
    '[^/]',
    '[^a\\s]',
    '[b-]',
    '\\-',
    '0',
    'A',
  ),
)
const quantified = fc
  .tuple(atom, fc.constantFrom('', '', '', '*', '+', '?', '{2}', '{1,2}', '{0,}', '*?', '+?'))
  .map(([a, q]) => a + q)
const { pattern: patterns } = fc.letrec<{ pattern: string; sequence: string; item: string }>(tie => ({
  item: fc.oneof(
    { weight: 4, arbitrary: quantified },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom('(', '(?:', '(?P<n>'), tie('pattern'), fc.constantFrom(')', ')?'))
        .map(parts => parts.join('')),
    },
  ),
  sequence: fc.array(tie('item'), { maxLength: 5 }).map(items => items.join('')),
  pattern: fc.array(tie('sequence'), { minLength: 1, maxLength: 2 }).map(branches => branches.join('|')),
}))
const anchored = fc
  .tuple(fc.constantFrom('', '', '^', '(?i)'), patterns, fc.constantFrom('', '', '$'))
  .map(parts => parts.join(''))
const texts = fc.string({
  unit: fc.constantFrom('a', 'b', 'c', 'A', '/', '-', '.', '0', ' ', '\n', '\v', '_', 'é', 'ſ', '\u2028'),
  maxLength: 12,
})

function valid(pattern: string): boolean {
  try {
    Regex.compile(pattern)
    return true
  } catch {
    return false
  }
}

test('RegExp and RE2 agree on every pattern that is taken for simple', () => {
  let simple = 0
  fc.assert(
    fc.property(
      anchored,
      fc.array(texts, { minLength: 1, maxLength: 5 }),
      fc.constantFrom('x', '<\\0>', '[\\1]', ''),
      (pattern, all, replacement) => {
        fc.pre(valid(pattern))
        const regex = Regex.compile(pattern)
        if (regex.isSimple) simple++
        const reference = byRe2(pattern)
        const substitution = new Substitution(replacement)
        for (const text of all) {
          assert.equal(regex.matches(text), reference.matches(text), `matches ${JSON.stringify(text)}`)
          const expected = reference.replaceAll(text, substitution)
          assert.equal(regex.replaceAll(text, substitution), expected, `replaceAll ${JSON.stringify(text)}`)
          const bytes = textToBytes(text)
          assert.equal(regex.matchesBytes(bytes), reference.matches(text), `matchesBytes ${JSON.stringify(text)}`)
        }
      },
    ),
    { numRuns: 1000 },
  )
  assert.ok(simple > 150, `only ${simple} patterns were simple`)
})

test('replacing is that of RE2::GlobalReplace', () => {
  const replaced = (pattern: string, text: string, by: string) =>
    Regex.compile(pattern).replaceAll(text, new Substitution(by))
  assert.equal(replaced('^/service/([^/]+)(/.*)$', '/service/foo/v1/api', '\\2/instance/\\1'), '/v1/api/instance/foo')
  assert.equal(replaced('a*', 'baac', 'x'), 'xbxcx')
  assert.equal(replaced('(a)?b', 'b', '[\\1]'), '[]')
  assert.equal(replaced('b+', 'abba', '[\\0\\\\]'), 'a[bb\\]a')
  assert.equal(replaced('x', 'abc', 'y'), 'abc')
  // A group that is not there: nothing is replaced.
  assert.equal(replaced('a', 'a', '\\1'), 'a')
})

test('a substitution tells of its mistakes', () => {
  assert.equal(new Substitution('\\1 and \\\\').mistake, undefined)
  assert.match(new Substitution('a\\').mistake!, /single backslash/)
  assert.match(new Substitution('\\x').mistake!, /neither a group/)
})

test('bytes are read as UTF-8', () => {
  assert.equal(Regex.compile('é.').matchesBytes('\xc3\xa9\xc3\xbc'), true)
  assert.equal(Regex.compile('..').matchesBytes('\xc3\xa9'), false)
  assert.equal(Regex.compile('ü').replaceAllBytes('a\xc3\xbc', new Substitution('é')), 'a\xc3\xa9')
  assert.equal(Regex.compile('a').replaceAllBytes('a', new Substitution('é')), '\xc3\xa9')
  assert.equal(textToBytes('é'), '\xc3\xa9')
  assert.equal(bytesToText('\xc3\xa9'), 'é')
  assert.equal(isAscii('plain'), true)
  assert.equal(isAscii('\x80'), false)
})
