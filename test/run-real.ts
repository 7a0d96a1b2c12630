/**
 * `npm run test:real`: everything that needs programs from outside (Envoy, Zipkin, Prometheus, Redis, Go, …): every
 * `*.test.ts` under `test/conformance/` and `test/real/`. What is missing is installed first.
 *
 *   npm run test:real -- [--allow-missing NAME]… [--only TEXT]
 *
 * Nothing is left out quietly: a part that cannot be had, a file that ran nothing and a test that was skipped fail the run,
 * unless `--allow-missing` names the part. `--only` runs the files whose path contains the text; `npm run test:conformance`
 * is that for what is held against specifications and against the real Envoy.
 */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { run } from 'node:test'
import type { TestEvent } from 'node:test/reporters'
import { parseArgs } from 'node:util'
import { ALLOW_MISSING_VARIABLE, type PartName, part, partNames } from './kit/parts.ts'
import summaryReporter from './summary-reporter.ts'

/** A file that takes longer hangs: the slowest, of compose, takes a dozen minutes. */
const FILE_DEADLINE_MS = 25 * 60_000
/** Of the files that do not want the machine for themselves: most of what they do is to wait for the programs they start. */
const AT_ONCE = 2
/** What tells requests apart by their times, or keeps every core busy by itself. */
const ALONE = [
  'conformance/truth',
  'conformance/truth-http2',
  'real/compose',
  'real/demo-mtls',
  'real/node-and-npm',
  'real/systemd',
].map(name => `test/${name}.test.ts`)

const { values: options } = parseArgs({
  options: { 'allow-missing': { type: 'string', multiple: true, default: [] }, only: { type: 'string', default: '' } },
})
const allowed = options['allow-missing'].flatMap(names => names.split(','))
for (const name of allowed) {
  if (partNames.includes(name as PartName)) continue
  console.error(`--allow-missing ${name}: there is no such part; there are ${partNames.join(', ')}`)
  process.exit(2)
}

const root = join(import.meta.dirname, '..')
const files = ['conformance', 'real']
  .flatMap(folder => globSync(`test/${folder}/**/*.test.ts`, { cwd: root }))
  .filter(file => file.includes(options.only))
  .sort()

const complaints: string[] = files.length === 0 ? ['there is no such file'] : []
for (const file of ALONE)
  if (!existsSync(join(root, file))) complaints.push(`${file} is to run alone and does not exist`)
const wanted = partNames.filter(name => files.some(file => partsOf(file).has(name)))
let partsHad = 0
for (const name of wanted) {
  process.stdout.write(`part ${name} … `)
  const started = performance.now()
  try {
    console.log(`${await part(name)} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
    partsHad++
  } catch (error) {
    console.log(allowed.includes(name) ? 'missing, as allowed' : 'MISSING')
    if (!allowed.includes(name)) complaints.push((error as Error).message)
  }
}

/** Per file: tests that passed or failed. A file's own entry in the report (nesting 0 without a test in it) is none. */
const testsRun = new Map<string, number>()
/** Files of which something was left out, as allowed. */
const leftOut = new Set<string>()
process.env[ALLOW_MISSING_VARIABLE] = allowed.join(',')
for await (const text of summaryReporter(observed(runAll()))) {
  if (text.startsWith('# tests ')) {
    const ran = files.filter(file => (testsRun.get(join(root, file)) ?? 0) > 0)
    for (const file of files)
      if (!ran.includes(file) && !leftOut.has(join(root, file))) complaints.push(`${file} ran no test`)
    for (const complaint of complaints) console.log(`✖ ${complaint}`)
    const all = files.length + wanted.length
    console.log(
      `ran ${ran.length + partsHad}/${all} (${ran.length}/${files.length} files, ${partsHad}/${wanted.length} parts)`,
    )
  }
  process.stdout.write(text)
}
if (complaints.length > 0) process.exitCode = 1

async function* runAll(): AsyncGenerator<TestEvent> {
  const groups = [
    { concurrency: AT_ONCE, members: files.filter(file => !ALONE.includes(file)) },
    { concurrency: 1, members: files.filter(file => ALONE.includes(file)) },
  ]
  for (const { concurrency, members } of groups) {
    if (members.length === 0) continue
    yield* run({ cwd: root, files: members.map(file => join(root, file)), concurrency, timeout: FILE_DEADLINE_MS })
  }
}

async function* observed(source: AsyncIterable<TestEvent>): AsyncGenerator<TestEvent> {
  for await (const event of source) {
    if (event.type === 'test:pass' || event.type === 'test:fail') {
      const { file = '', name, skip } = event.data
      // What is marked as `todo` is shown and does not count, as in Node's own runner.
      if (event.type === 'test:fail' && event.data.todo === undefined) process.exitCode = 1
      if (skip === undefined) testsRun.set(file, (testsRun.get(file) ?? 0) + (name === file ? 0 : 1))
      else if (typeof skip === 'string' && skip.endsWith('is missing, and may be')) leftOut.add(file)
      else {
        complaints.push(`${name} was skipped${typeof skip === 'string' ? `: ${skip}` : ''}`)
      }
    }
    yield event
  }
}

/**
 * Parts a file asks for, by its text and that of the files it imports (the kit's own aside): what they name in
 * `part('…')`, and Envoy where they use the kit's.
 */
function partsOf(file: string, seen = new Set<string>()): Set<string> {
  seen.add(file)
  const source = readFileSync(join(root, file), 'utf8')
  const parts = new Set([...source.matchAll(/\bpart(?:OrSkip)?\((?:\w+, )?'([\w-]+)'\)/g)].map(match => match[1]!))
  if (/kit\/(envoy|side-by-side)\.ts/.test(source)) parts.add('envoy')
  for (const [, specifier] of source.matchAll(/from '(\.[^']+\.ts)'/g)) {
    const imported = join(dirname(file), specifier!)
    if (!/^test\/(?!kit\/)/.test(imported) || seen.has(imported)) continue
    for (const name of partsOf(imported, seen)) parts.add(name)
  }
  return parts
}
