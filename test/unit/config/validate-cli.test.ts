/** `hopwise validate` and `hopwise schema`: output, formats, exit codes. */
import { strict as assert } from 'node:assert'
import { join } from 'node:path'
import { test } from 'node:test'
import { schema } from '../../../sidecar/cli/schema.ts'
import { validate } from '../../../sidecar/cli/validate.ts'
import { config } from './configs.ts'

const seed = (name: string) => join(import.meta.dirname, '..', '..', 'seed-configs', name)

async function run(command: typeof validate, args: string[], stdin = '') {
  const result = { code: 0, out: '', error: '' }
  result.code = await command(args, {
    out: text => {
      result.out += text
    },
    error: text => {
      result.error += text
    },
    stdin: async () => stdin,
    isTerminal: false,
    colours: false,
    errorColours: false,
  })
  return result
}

test('a good file is ok and exits 0, its warnings said', async () => {
  const { code, error } = await run(validate, [seed('003-first-proxy.yaml')])
  assert.equal(code, 0)
  assert.match(error, /003-first-proxy\.yaml:26:19: warning: /)
  assert.match(error, /003-first-proxy\.yaml: ok, 1 warning\n$/)
})

test('strict makes of the same warnings errors, and exits 1', async () => {
  const { code, error } = await run(validate, ['--strict', seed('003-first-proxy.yaml')])
  assert.equal(code, 1)
  assert.match(error, /: 1 error\n$/)
})

test('several files are all checked, and one bad one decides', async () => {
  const { code, error } = await run(validate, [seed('000-weighted-ab.fragment.yaml'), seed('003-first-proxy.yaml')])
  assert.equal(code, 1)
  assert.match(error, /000-weighted-ab\.fragment\.yaml: 2 errors\n/)
  assert.match(error, /003-first-proxy\.yaml: ok, 1 warning\n/)
})

test('a dash reads standard input', async () => {
  const { code, error } = await run(validate, ['-'], config({ cluster: 'lb_polcy: RANDOM' }))
  assert.equal(code, 1)
  assert.match(error, /^<stdin>:27:5: error: static_resources\.clusters\[0\]\.lb_polcy: unknown field/)
})

test('json is one document with every problem', async () => {
  const { out } = await run(validate, ['--json', '-'], config({ cluster: 'lb_polcy: RANDOM' }))
  const { ok, files } = JSON.parse(out) as { ok: boolean; files: { errors: { line: number; code: string }[] }[] }
  assert.equal(ok, false)
  assert.equal(files[0]!.errors[0]!.line, 27)
  assert.equal(files[0]!.errors[0]!.code, 'unknown-field')
})

test('github annotates file, line and column, with newlines and percent signs escaped', async () => {
  const { out } = await run(validate, ['--format=github', '-'], config({ cluster: 'lb_polcy: RANDOM' }))
  assert.match(out, /^::error file=<stdin>,line=27,col=5::static_resources\.clusters\[0\]\.lb_polcy: unknown field/)
})

test('quiet says errors only', async () => {
  const { code, error, out } = await run(validate, ['-q', seed('003-first-proxy.yaml')])
  assert.deepEqual({ code, error, out }, { code: 0, error: '', out: '' })
})

test('a wrong command line exits 2 with the usage', async () => {
  for (const args of [[], ['--format=xml', 'a'], ['--nonsense']]) {
    const { code, error } = await run(validate, args)
    assert.equal(code, 2)
    assert.match(error, /usage: hopwise validate/)
  }
  assert.equal((await run(validate, ['--help'])).code, 0)
  assert.equal((await run(schema, ['x'])).code, 2)
})

test('schema prints JSON', async () => {
  const { code, out } = await run(schema, [])
  assert.equal(code, 0)
  assert.match((JSON.parse(out) as { $schema: string }).$schema, /draft-07/)
})
