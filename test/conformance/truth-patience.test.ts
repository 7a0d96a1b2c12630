/**
 * The truth test (see `truth.test.ts`) where everybody has 15 s: over HTTP/1.1, HTTP/2 and gRPC at once, for nearly all of it
 * is waiting. A part of it after one another, so that no timers meet.
 */
import { after, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { table } from './truth/cell.ts'
import { hangsBeside, OVER_HTTP2, startMesh } from './truth/cells.ts'
import type { Mesh } from './truth/mesh.ts'

const BUDGET_MS = 15_000
const SPOKEN = [['HTTP/1.1', {}] as const, ...OVER_HTTP2]

after(() => console.log(table.join('\n')))

test('d hangs, nothing copied, 50 at a time, timeouts of 15 s, c holding a long poll; c asleep is the control', {
  concurrency: true,
}, async t => {
  const meshes: Mesh[] = []
  t.after(() => Promise.all(meshes.map(mesh => mesh.close())))
  for (const [, spoken] of [...SPOKEN, ...SPOKEN]) meshes.push(await startMesh({ copies: 'nothing', ...spoken }))
  // The control of each begins half a round after it.
  const apartMs = BUDGET_MS / 2 / SPOKEN.length
  const cells = SPOKEN.map(([name], i) =>
    t.test(name, async () => {
      await delay(i * apartMs)
      await hangsBeside(meshes[i]!, meshes[i + SPOKEN.length]!, BUDGET_MS)
    }),
  )
  await Promise.all(cells)
})
