/**
 * `npm start` and `npm run check` on a fresh clone, with nothing on the PATH but a Node and an npm: the oldest pair that is
 * promised and the newest. `HOPWISE_NODE_NPM=all` takes every pair of Node 20 and 26 with npm 10, 11 and 12.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import { installOnce, repository } from '../kit/install-once.ts'
import { run } from '../kit/process.ts'
import { temporaryFolder } from '../kit/proxy-process.ts'

const NPM = { 10: '10.9.9', 11: '11.21.2', 12: '12.2.2' } as const
/** The oldest line that is promised; what npm has of it as a package is older than any that is still in use. */
const NODE_20 = '20.8.0'
const all = process.env['HOPWISE_NODE_NPM'] === 'all'

interface Pair {
  readonly node: 20 | 26
  readonly npm: keyof typeof NPM
}

const pairs: readonly Pair[] = all
  ? ([20, 26] as const).flatMap(node => ([10, 11, 12] as const).map(npm => ({ node, npm })))
  : [
      { node: 20, npm: 10 },
      { node: 26, npm: 12 },
    ]

/** A Node of that line: this one, one that the machine has, or a package. */
async function nodePath(major: number): Promise<string> {
  const found = [process.execPath, ...(process.env['PATH'] ?? '').split(delimiter).map(folder => join(folder, 'node'))]
  for (const path of found) {
    if (!existsSync(path)) continue
    const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
    if (stdout.startsWith(`v${major}.`)) return path
  }
  const name = `node-${process.platform}-${process.arch}`
  const folder = await npmPackage(name, NODE_20)
  return join(folder, 'node_modules', name, 'bin', 'node')
}

function npmPackage(name: string, version: string): Promise<string> {
  return installOnce(`${name}-${version}`, async target => {
    await run('npm', ['install', '--silent', '--prefix', target, `${name}@${version}`], { deadlineMs: 300_000 })
  })
}

/** This environment as a shell has it that npm has not started, with another PATH. */
function environment(path: string): NodeJS.ProcessEnv {
  const own =
    /^npm_(execpath|node_execpath|command|lifecycle|package|config_(local_prefix|prefix|global_prefix))|^NODE_/
  const kept = Object.entries(process.env).filter(([name]) => !own.test(name))
  return { ...Object.fromEntries(kept), PATH: path }
}

for (const { node, npm } of pairs) {
  test(`a fresh clone starts with Node ${node} and npm ${npm} on the PATH`, { timeout: 900_000 }, async t => {
    const npmFolder = await npmPackage('npm', NPM[npm])
    const folder = temporaryFolder()
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    symlinkSync(await nodePath(node), join(bin, 'node'))
    const clone = join(folder, 'clone')
    await run('git', ['clone', '--quiet', '--no-hardlinks', repository, clone])
    const env = environment([bin, join(npmFolder, 'node_modules', '.bin'), '/usr/bin', '/bin'].join(delimiter))
    const inClone = (command: string, ...args: string[]) =>
      spawnSync(command, args, { cwd: clone, env, encoding: 'utf8', timeout: 600_000 })

    assert.match(inClone('node', '--version').stdout, new RegExp(`^v${node}\\.`))
    assert.match(inClone('npm', '--version').stdout, new RegExp(`^${npm}\\.`))
    // Few of its faults: what is shown here is that it starts, not how well a busy machine names failures.
    const started = inClone('npm', 'start', '--', '--once', '--seed', '1', '--faults', '2')
    assert.equal(started.status, 0, `npm start: ${started.stdout}${started.stderr}`)
    if (!all) return
    const checked = inClone('npm', 'run', 'check')
    assert.equal(checked.status, 0, `npm run check: ${checked.stdout}${checked.stderr}`)
  })
}
