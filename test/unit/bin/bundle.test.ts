/** The bundle in a copy of the package, because the one in this folder belongs to whatever else runs here. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { readableStack } from '../../../sidecar/base/readable-stack.ts'
import { freePorts } from '../../kit/free-port.ts'
import { fetchRaw } from '../../kit/http-client.ts'
import { repository } from '../../kit/install-once.ts'
import { TestProcess } from '../../kit/process.ts'
import { temporaryFolder } from '../../kit/proxy-process.ts'

function copyOfPackage(): string {
  const root = join(temporaryFolder(), 'package')
  cpSync(join(repository, 'sidecar'), join(root, 'sidecar'), { recursive: true, preserveTimestamps: true })
  cpSync(join(repository, 'package.json'), join(root, 'package.json'))
  mkdirSync(join(root, 'node_modules'))
  for (const name of readdirSync(join(repository, 'node_modules'))) {
    if (name !== '.cache') symlinkSync(join(repository, 'node_modules', name), join(root, 'node_modules', name))
  }
  return root
}

function node(args: readonly string[]): { status: number | null; output: string } {
  // Coverage is taken of sources, so that whoever is asked for it runs them.
  const env = { ...process.env, NODE_V8_COVERAGE: undefined }
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env })
  return { status, output: stdout + stderr }
}

const build = (root: string) => node([join(root, 'sidecar', 'bin', 'build-bundle.mjs')])
const start = (root: string, ...args: string[]) => node([join(root, 'sidecar', 'bin', 'start.mjs'), ...args])

const bundled = (root: string) => globSync('node_modules/.cache/hopwise/bundle-*/*.mjs', { cwd: root })

/** Breaks the bundle, so that whatever runs from it says so. */
function spoil(root: string): void {
  for (const file of bundled(root)) appendFileSync(join(root, file), "\nthrow new Error('from the bundle')\n")
}

test('a start runs from the bundle until a source changes', () => {
  const root = copyOfPackage()
  assert.deepEqual(build(root), { status: 0, output: '' })
  assert.equal(start(root, '--version').status, 0)
  const before = bundled(root)
  assert.deepEqual(build(root), { status: 0, output: '' })
  assert.deepEqual(bundled(root), before, 'what is fresh is not built again')

  const moved = `${root}-moved`
  renameSync(root, moved)
  spoil(moved)
  assert.match(start(moved, '--version').output, /from the bundle/)
  assert.equal(start(moved, 'run', '--help', '--extension', './filter.ts').status, 0, 'beside a filter: the sources')

  appendFileSync(join(moved, 'sidecar', 'main.ts'), '\n')
  const { status, output } = start(moved, '--version')
  assert.equal(status, 0, output)
})

test('without esbuild, or where nothing can be written, the sources run', () => {
  const root = copyOfPackage()
  const file = join(root, 'node_modules', '.cache')
  symlinkSync('/dev/null', file)
  const { status, output } = build(root)
  assert.equal(status, 0)
  assert.match(output, /^note: no bundle in .*node_modules\/\.cache\/hopwise, so that starts take longer: .+\n$/)
  assert.equal(start(root, '--version').status, 0)
})

test('what runs from the bundle finds the files of the admin page', async () => {
  const root = copyOfPackage()
  build(root)
  const [port] = await freePorts(1)
  const yaml = `{admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}`
  const args = [join(root, 'sidecar', 'bin', 'start.mjs'), 'run', '--config-yaml', yaml, '--service-cluster', 's']
  const run = TestProcess.start(process.execPath, args, { name: 'bundle', env: { NODE_V8_COVERAGE: '' } })
  try {
    await run.waitForPort(port!, 20_000)
    const page = await fetchRaw(port!, { path: '/' })
    assert.deepEqual([page.status, page.header('content-type')], [200, 'text/html; charset=utf-8'])
    assert.equal((await fetchRaw(port!, { path: '/page/page.js' })).status, 200)
  } finally {
    await run.stop('SIGKILL')
  }
})

test('a stack trace from the bundle names the sources', () => {
  const root = copyOfPackage()
  build(root)
  for (const file of bundled(root)) {
    const lines = readFileSync(join(root, file), 'utf8').split('\n')
    const line = lines.findIndex(text => text.includes('function readableStack('))
    if (line < 0) continue
    const column = lines[line]!.indexOf('function readableStack(')
    const url = pathToFileURL(join(root, file)).href
    const error = new Error('x')
    error.stack = `Error: x\n    at readableStack (${url}:${line + 1}:${column + 1})\n    at other (file:///elsewhere.mjs:1:2)`
    const source = join(root, 'sidecar', 'base', 'readable-stack.ts')
    const sourceLine = readFileSync(source, 'utf8')
      .split('\n')
      .findIndex(text => text.includes('function readableStack('))
    assert.match(
      readableStack(error),
      new RegExp(`^ {4}at readableStack \\(${pathToFileURL(source).href}:${sourceLine + 1}:`, 'm'),
    )
    assert.match(readableStack(error), /^ {4}at other \(file:\/\/\/elsewhere\.mjs:1:2\)$/m)
    return
  }
  assert.fail('the bundle has no readableStack')
})

test('what Node loads only for who uses it is not loaded by a bundle that does not', () => {
  const root = copyOfPackage()
  const lister = join(temporaryFolder(), 'list.cjs')
  writeFileSync(lister, "process.on('exit', () => console.log(process.moduleLoadList.join('\\n')))\n")
  const loaded = () =>
    node([
      `--require=${lister}`,
      join(root, 'sidecar', 'bin', 'start.mjs'),
      'run',
      '--mode',
      'validate',
      '--config-yaml',
      'static_resources: {}',
    ]).output.split('\n')
  const unused = ['fs/promises', 'readline/interface', 'crypto/webcrypto'].map(name => `NativeModule internal/${name}`)
  const fromSources = loaded()
  assert.ok(
    unused.every(name => fromSources.includes(name)),
    'an import of a whole module loads them',
  )
  assert.deepEqual(build(root), { status: 0, output: '' })
  const fromBundle = loaded()
  assert.ok(fromBundle.includes('NativeModule tls'), 'the list is one')
  assert.deepEqual(
    unused.filter(name => fromBundle.includes(name)),
    [],
  )
})
