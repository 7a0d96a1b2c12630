/** Root file systems of Debian's packages, for images on a machine that reaches no image registry. */
import { existsSync } from 'node:fs'
import { run } from './process.ts'

const SLOW_MS = 600_000

/**
 * Writes the tar file of a Debian with nothing but what is essential and these packages, from where this machine gets its
 * own. The programs' directories only: no manuals, no languages. `mmdebstrap` is the path of the program.
 */
export async function debianRoot(mmdebstrap: string, tar: string, packages: readonly string[]): Promise<void> {
  const sources = ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list'].find(path => existsSync(path))
  if (sources === undefined) throw new Error('this machine has no list of Debian packages')
  const options = ['--quiet', '--variant=minbase', `--include=${packages.join(',')}`]
  const left = ['/usr/share/man/*', '/usr/share/locale/*', '/usr/share/doc/*']
  await run(mmdebstrap, [...options, ...left.map(path => `--dpkgopt=path-exclude=${path}`), 'bookworm', tar, sources], {
    deadlineMs: SLOW_MS,
  })
}
