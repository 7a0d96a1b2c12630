/** Of the machine that `hopwise check` runs on: which Node, how many files. */
import { readFileSync } from 'node:fs'
import { type Check, Checks } from './check.ts'

/** Two for each request in flight, and some for listeners, logs and connections kept for later. */
const FEW_FILES = 4096
/** The version that is packaged and measured. */
const MEASURED_MAJOR = 26

export function checkMachine(): Check[] {
  const checks = new Checks('this machine')
  const { node } = process.versions
  const major = Number(node.split('.')[0])
  if (major >= MEASURED_MAJOR) checks.ok('machine.node', `Node ${node}`)
  else {
    checks.warning(
      'machine.node',
      `Node ${node} runs this; measured and packaged is Node ${MEASURED_MAJOR}`,
      "'npm ci' in the package's folder installs it beside the package; nothing else of the machine changes",
    )
  }
  const limit = openFilesLimit()
  if (limit === undefined) checks.ok('machine.files', 'the limit on open files is not known on this system')
  else if (limit >= FEW_FILES) checks.ok('machine.files', `${filesText(limit)} open files are allowed`)
  else {
    checks.warning(
      'machine.files',
      `only ${limit} open files are allowed here: some ${Math.floor((limit - 64) / 2)} requests at a time`,
      'where the sidecar is started, raise it: ulimit -n 65536, LimitNOFILE=65536 (systemd), --ulimit nofile=65536 (docker)',
    )
  }
  return checks.all
}

/** The soft limit of this process, which a sidecar started from here would have too; undefined where it is not told. */
function openFilesLimit(): number | undefined {
  try {
    const line = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    if (line === undefined) return undefined
    return line === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line)
  } catch {
    return undefined
  }
}

function filesText(limit: number): string {
  return limit === Number.POSITIVE_INFINITY ? 'any number of' : String(limit)
}
