import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Below the range the kernel gives to port 0 and to outgoing connections (32768 on Linux): what is free here when it was
 * tried stays free unless another test picks the same number.
 */
const FIRST = 12_000
const LAST = 32_000
/**
 * Several test files run at once, and between picking a port and listening on it lies the start of a process. So a port is
 * marked as given by a file, which whoever makes it first owns; the mark of a process that was killed counts no longer
 * after so long.
 */
const marks = join(tmpdir(), 'hopwise-test-ports')
const STALE_MS = 15 * 60_000
const given = new Set<number>()
mkdirSync(marks, { recursive: true })
process.on('exit', () => {
  for (const port of given) rmSync(join(marks, String(port)), { force: true })
})

/** Ports that nobody listens on. No call gives a port that an earlier one gave, in this process or in another. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST))
    if (given.has(port) || !mark(port)) continue
    given.add(port)
    if (!(await bindable(port))) continue
    ports.push(port)
  }
  return ports
}

export async function freePort(): Promise<number> {
  return (await freePorts(1))[0]!
}

function mark(port: number): boolean {
  const file = join(marks, String(port))
  try {
    if (Date.now() - statSync(file).mtimeMs > STALE_MS) rmSync(file, { force: true })
  } catch {
    // Not marked.
  }
  try {
    writeFileSync(file, '', { flag: 'wx' })
    return true
  } catch {
    return false
  }
}

function bindable(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
