/** `npm start` with its real processes: two faults, and how it ends. All else, and `--lie`, is `.ci/run`'s matter. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { repository } from '../kit/install-once.ts'
import { TestProcess } from '../kit/process.ts'
import { waitFor } from '../kit/wait-for.ts'

const main = join(repository, 'demo-services', 'main.ts')

function demo(...args: string[]): TestProcess {
  // Coverage of some fifteen processes takes longer than the rest of the test; the sidecars' is taken elsewhere.
  const env = { NODE_V8_COVERAGE: '' }
  return TestProcess.start(process.execPath, [main, ...args], { name: 'demo', env })
}

/** Processes with the demo's temporary folder, or a file of the demo, among their arguments; undefined where unknown. */
function childrenOf(folder: string): string[] | undefined {
  if (!existsSync('/proc/self/cmdline')) return undefined
  return readdirSync('/proc').filter(pid => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder)
    } catch {
      return false
    }
  })
}

const folders = () => new Set(readdirSync(tmpdir()).filter(name => name.startsWith('hopwise-demo-')))

test('two hops are broken and named, and nothing is left behind', { timeout: 120_000 }, async () => {
  await using run = demo('--once', '--break', 'outside:status', '--break', 'c:no-route')
  assert.equal(await run.exited, 0, run.output)
  assert.match(run.output, /named {3}√ outside: app_error/)
  assert.match(run.output, /named {3}√ c: no_route/)
  assert.match(run.output, /2 of 2 named rightly/)
})

test('so are three of the catalogue where every hop is HTTP/2', { timeout: 120_000 }, async () => {
  await using run = demo('--once', '--http2', '--seed', '1', '--faults', '3')
  assert.equal(await run.exited, 0, run.output)
  assert.match(run.output, /3 of 3 named rightly/)
})

test('no child outlives a demo that is killed, and Ctrl-C ends all', {
  timeout: 60_000,
}, async () => {
  const before = folders()
  await using run = demo('--otel', 'off')
  await run.waitForLine(/^ {2}page {5}http/, 40_000)
  const folder = [...folders()].find(name => !before.has(name) && (childrenOf(name)?.length ?? 1) > 0)!
  run.signal('SIGKILL')
  await run.exited
  if (childrenOf(folder) !== undefined) {
    await waitFor(() => childrenOf(folder)!.length === 0, { what: 'the end of all children' })
  }
  // Killed outright, it could not do that itself.
  rmSync(join(tmpdir(), folder), { recursive: true })
  await using second = demo('--otel', 'off')
  await second.waitForLine(/^ {2}page {5}http/, 40_000)
  second.signal('SIGINT')
  assert.equal(await second.exited, 0, second.output)
})

test('an unknown option is answered with the nearest name and exit code 2', async () => {
  await using run = demo('--onse')
  assert.equal(await run.exited, 2)
  assert.match(run.stderr, /no option --onse, did you mean --once\?/)
})
