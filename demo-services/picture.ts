/**
 * `npm run picture [-- FILE]`: breaks c in a running chain and takes the picture of the page that the README shows. Needs
 * Chromium (Debian's package `chromium`, or `CHROMIUM=/path`).
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const FILE = resolve(process.argv[2] ?? join(import.meta.dirname, '..', 'sidecar', 'docs', 'page.png'))
const FAULT = 'c:status=500'
/** After the failing hop was named the page gathers some rates. */
const GATHER_MS = 4000

const demo = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--break', FAULT, '--ports', '0'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
process.on('exit', () => demo.kill())
for await (const line of createInterface(demo.stdout)) {
  const [, page] = /traffic goes on: (\S+)/.exec(line) ?? []
  if (page === undefined) continue
  await new Promise(resolve => setTimeout(resolve, GATHER_MS))
  process.exitCode = takePicture(page)
  demo.kill('SIGINT')
}

function takePicture(page: string): number {
  const profile = mkdtempSync(join(tmpdir(), 'hopwise-picture-'))
  try {
    const { status, error } = spawnSync(
      process.env['CHROMIUM'] ?? 'chromium',
      [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--no-first-run',
        '--disable-background-networking',
        '--hide-scrollbars',
        `--user-data-dir=${profile}`,
        '--window-size=1200,760',
        '--virtual-time-budget=6000',
        `--screenshot=${FILE}`,
        page,
      ],
      { stdio: 'ignore', timeout: 60_000 },
    )
    if (status === 0) console.log(FILE)
    else console.error(`no picture: ${error?.message ?? `chromium ended with ${status}`}`)
    return status ?? 1
  } finally {
    rmSync(profile, { recursive: true, force: true })
  }
}
