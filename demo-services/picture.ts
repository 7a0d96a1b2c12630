/**
 * `npm run picture [-- FILE]`: breaks c in a running chain and takes the picture of the page that the README shows. Needs
 * Chromium (Debian's package `chromium`, or `CHROMIUM=/path`).
 */
import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { Browser } from './browser.ts'

const FILE = resolve(process.argv[2] ?? join(import.meta.dirname, '..', 'sidecar', 'docs', 'page.png'))
const FAULT = 'c:status=500'
/** After the failing hop is marked the page gathers some rates. */
const GATHER_MS = 12_000

const demo = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--break', FAULT, '--ports', '0'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
process.on('exit', () => demo.kill())
for await (const line of createInterface(demo.stdout)) {
  const [, page] = /traffic goes on: (\S+)/.exec(line) ?? []
  if (page === undefined) continue
  process.exitCode = await takePicture(page).catch((error: Error) => {
    console.error(`no picture: ${error.message}`)
    return 1
  })
  demo.kill('SIGINT')
}

async function takePicture(url: string): Promise<number> {
  await using browser = await Browser.start()
  const page = await browser.open(url)
  await page.waitFor(`document.querySelector('[data-service="c"][data-origin]') !== null`)
  await delay(GATHER_MS)
  await page.screenshot(FILE)
  console.log(FILE)
  return 0
}
