/**
 * How much memory a sidecar has, for tests of whether it grows. What garbage there happens to be is no growth, so it is
 * collected first, on a signal that {@link COLLECTS} makes the sidecar obey.
 */
import { readFileSync } from 'node:fs'
import { type ProxyProcess, temporaryFile } from './proxy-process.ts'
import { waitFor } from './wait-for.ts'

/** What "flat" means. */
export const FLAT_BYTES = 10e6

const SIGNAL = 'SIGUSR2'
const COLLECTED = 'garbage is collected'

const collector = temporaryFile(
  'collector.mjs',
  `
import { setFlagsFromString } from 'node:v8'
import { isMainThread } from 'node:worker_threads'
import { runInNewContext } from 'node:vm'
setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc')
if (isMainThread) process.on('${SIGNAL}', () => {
  gc()
  process.stderr.write('${COLLECTED}\\n')
})
`,
)

/** Environment to start the sidecar with. */
export const COLLECTS = { NODE_OPTIONS: `--import ${collector}` }

/** Resident bytes after a collection: the least of a few looks, because pages are given back a little later. */
export async function residentBytes(proxy: ProxyProcess): Promise<number> {
  const { process } = proxy
  const collections = () => process.stderr.split(COLLECTED).length - 1
  let least = Number.POSITIVE_INFINITY
  for (let look = 0; look < 3; look++) {
    const before = collections()
    process.signal(SIGNAL)
    await waitFor(() => collections() > before, { deadlineMs: 10_000, what: 'a collection of garbage' })
    await new Promise(resolve => setTimeout(resolve, 100))
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${process.pid}/status`, 'utf8'))
    least = Math.min(least, Number(match![1]) * 1024)
  }
  return least
}
