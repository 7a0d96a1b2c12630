/**
 * `npm test`: everything that needs npm packages only. Types, format and lint first (seconds, and the cheapest mistakes
 * to hear of), then every `*.test.ts` under `test/` except the folders that need outside parts, with coverage.
 *
 * Arguments are handed to Node's test runner, so `npm test -- --test-name-pattern="chunked"` works.
 */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const bin = join(root, 'node_modules', '.bin')

function step(title: string, command: string, args: string[]): void {
  const started = performance.now()
  process.stdout.write(`${title} … `)
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  process.stdout.write(
    `${done.status === 0 ? 'ok' : 'FAILED'} (${((performance.now() - started) / 1000).toFixed(1)} s)\n`,
  )
  if (done.status === 0) return
  process.stdout.write(done.stdout + done.stderr)
  process.exit(1)
}

step('types', join(bin, 'tsc'), [])
step('format and lint', join(bin, 'biome'), ['check', '--error-on-warnings', '.'])

const files = ['unit', 'integration', 'fuzz']
  .flatMap(folder => globSync(`test/${folder}/**/*.test.ts`, { cwd: root }))
  .concat(globSync('test/*.test.ts', { cwd: root }))
  .sort()
const run = spawnSync(
  process.execPath,
  [
    '--test',
    // Node leaves a core free, which on two of them is half the machine.
    `--test-concurrency=${availableParallelism()}`,
    '--test-reporter=./test/summary-reporter.ts',
    '--test-reporter-destination=stdout',
    '--experimental-test-coverage',
    '--test-coverage-include=sidecar/**/*.ts',
    ...process.argv.slice(2),
    ...files,
  ],
  { cwd: root, stdio: 'inherit' },
)
process.exit(run.status ?? 1)
