import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { repository } from '../kit/install-once.ts'
import { partOrSkip } from '../kit/parts.ts'
import { run } from '../kit/process.ts'
import { temporaryFolder } from '../kit/proxy-process.ts'

test('npm run picture takes the picture of the README: a page with a failing hop', async t => {
  const chromium = await partOrSkip(t, 'chromium')
  if (chromium === undefined) return
  const file = join(temporaryFolder(), 'page.png')
  const script = join(repository, 'demo-services', 'picture.ts')
  await run(process.execPath, [script, file], { env: { CHROMIUM: chromium }, deadlineMs: 180_000 })
  const picture = readFileSync(file)
  assert.equal(picture.toString('latin1', 1, 4), 'PNG')
  // Width and height of the first chunk (IHDR); an empty page would be a few kilobytes.
  assert.deepEqual([picture.readUInt32BE(16), picture.readUInt32BE(20)], [1200, 760])
  assert.ok(picture.length > 40_000, `${picture.length} bytes`)
})
