/** Files broken at random: every answer is a list of problems, none is a crash or a hang. */
import { strict as assert } from 'node:assert'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadBootstrap } from '../../../sidecar/config/bootstrap.ts'

const folder = join(import.meta.dirname, '..', '..', 'seed-configs')
const seeds = readdirSync(folder).map(name => readFileSync(join(folder, name), 'utf8'))
const pieces = [
  '\t',
  '\u2013 ',
  '{',
  '}',
  '[',
  ']',
  ': ',
  '- ',
  '&a ',
  '*a',
  '"',
  "'",
  '|\n',
  '\n',
  '\0',
  '<<',
  '@type',
  '!!x ',
  '%',
  '? ',
  '~',
  '😀',
]

const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.nat(12),
  insert: fc.constantFrom('', ...pieces),
})

test('a mutated file gives a bootstrap or an error, and never throws', () => {
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.array(mutation, { minLength: 1, maxLength: 4 }), (seed, mutations) => {
      let text = seed
      for (const { at, remove, insert } of mutations) {
        const offset = Math.floor(at * text.length)
        text = text.slice(0, offset) + insert + text.slice(offset + remove)
      }
      const { bootstrap, errors } = loadBootstrap({ text, file: 'mutated.yaml' })
      assert.equal(bootstrap === undefined, errors.length > 0)
      for (const { line, column } of errors) assert.ok(line > 0 && column > 0)
    }),
    { numRuns: 400 },
  )
})
