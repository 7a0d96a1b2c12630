/** The generated schema is what the descriptors of Envoy's own Go module give today. Needs Go. */

import { join } from 'node:path'
import { test } from 'node:test'
import { partOrSkip } from '../kit/parts.ts'
import { run } from '../kit/process.ts'

const generator = join(import.meta.dirname, '../../sidecar/config/schema/generate/run.ts')

test('the table and the types are those of the descriptors', { timeout: 600_000 }, async t => {
  if (!(await partOrSkip(t, 'go'))) return
  await run(process.execPath, [generator, '--check'], { deadlineMs: 600_000 })
})
