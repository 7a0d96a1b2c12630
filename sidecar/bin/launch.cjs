#!/usr/bin/env node
// Runs a TypeScript entry point under the right Node, installing the project's packages first when they are missing.
//
//   node sidecar/bin/launch.cjs [--node-flag …] script.ts [argument …]
//
// The right Node is the packaged Node 26 (an optional dependency, one package per platform). Where that does not start,
// the Node running this file serves if it can strip types itself (22.18, 23.6 or later); otherwise the message says what
// to install. Plain CommonJS without new syntax on purpose: any Node has to be able to run it.
'use strict'
const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..', '..')

function install() {
  const marker = path.join(root, 'node_modules', '.package-lock.json')
  const lock = path.join(root, 'package-lock.json')
  if (fs.existsSync(marker) && fs.statSync(marker).mtimeMs >= fs.statSync(lock).mtimeMs - 1000) return
  if (fs.existsSync(marker) && sameLock(marker, lock)) return
  process.stderr.write('Installing packages (npm ci, about 15 s the first time) …\n')
  const npm = process.env.npm_execpath
  const how = { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] }
  const done = npm
    ? spawnSync(process.execPath, [npm, 'ci'], how)
    : spawnSync('npm', ['ci'], Object.assign({ shell: process.platform === 'win32' }, how))
  if (done.status !== 0) {
    process.stderr.write('npm ci failed; its messages are above. Is the package registry reachable?\n')
    process.exit(1)
  }
}

// Whether what is installed is what the lock file asks for (a fresh checkout has a newer lock file than node_modules).
function sameLock(marker, lock) {
  const installed = JSON.parse(fs.readFileSync(marker, 'utf8')).packages
  const wanted = JSON.parse(fs.readFileSync(lock, 'utf8')).packages
  for (const name of Object.keys(wanted)) {
    if (name === '' || wanted[name].optional) continue
    if (!installed[name] || installed[name].version !== wanted[name].version) return false
  }
  return true
}

function packagedNode() {
  const platform = process.platform === 'win32' ? 'win' : process.platform
  const prefix = process.platform === 'darwin' && process.arch === 'arm64' ? 'node-bin' : 'node'
  try {
    const manifest = require.resolve(prefix + '-' + platform + '-' + process.arch + '/package.json', { paths: [root] })
    return path.join(path.dirname(manifest), 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  } catch (_) {
    return null
  }
}

function stripsTypes(version) {
  const parts = version.split('.').map(Number)
  const major = parts[0]
  const minor = parts[1]
  return major > 23 || (major === 23 && minor >= 6) || (major === 22 && minor >= 18)
}

install()
let executable = packagedNode()
let why = 'the packaged Node 26 is not installed (optional packages were left out, or there is none for this platform)'
if (executable) {
  const probe = spawnSync(executable, ['-p', '0'], { encoding: 'utf8' })
  if (probe.status !== 0) {
    why =
      'the packaged Node 26 does not start: ' +
      String(probe.stderr || probe.error)
        .trim()
        .split('\n')[0]
    executable = null
  }
}
if (!executable && stripsTypes(process.versions.node)) {
  executable = process.execPath
  process.stderr.write('note: ' + why + '; using Node ' + process.versions.node + '\n')
}
if (!executable) {
  process.stderr.write('Cannot start: ' + why + ',\n')
  process.stderr.write('and Node ' + process.versions.node + ' is too old to run TypeScript (22.18 or later can).\n')
  if (/libatomic/.test(why)) process.stderr.write('On Debian or Ubuntu: apt-get install libatomic1\n')
  process.exit(1)
}
// Else several sidecars that start together, as in the demonstration, would each strip and compile everything. `npm ci` does
// this too; here it is for sources that have changed since.
spawnSync(executable, [path.join(__dirname, 'build-bundle.mjs')], { stdio: ['ignore', 'ignore', 'inherit'] })
const env = Object.assign({}, process.env)
env.PATH = path.dirname(executable) + path.delimiter + env.PATH
const child = spawn(executable, process.argv.slice(2), { stdio: 'inherit', env: env })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('error', error => {
  process.stderr.write('Cannot start ' + executable + ': ' + error.message + '\n')
  process.exit(1)
})
child.on('exit', (code, signal) => process.exit(signal ? 1 : code))
