import assert from 'node:assert/strict'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { cacheFolder, installOnce } from '../../kit/install-once.ts'

const name = `test-of-install-once-${process.pid}`

test('two that want the same install it once, and a failed install leaves nothing', async t => {
  t.after(() => rmSync(join(cacheFolder, name), { recursive: true, force: true }))
  let fills = 0
  const fill = async (folder: string) => {
    fills++
    await delay(50)
    writeFileSync(join(folder, 'program'), '')
  }
  await assert.rejects(
    installOnce(name, async () => {
      throw new Error('no network')
    }),
    /no network/,
  )
  assert.ok(!existsSync(join(cacheFolder, name)))
  const folders = await Promise.all([installOnce(name, fill), installOnce(name, fill)])
  assert.equal(fills, 1)
  assert.ok(folders.every(folder => existsSync(join(folder, 'program'))))
  await installOnce(name, fill)
  assert.equal(fills, 1)
})
