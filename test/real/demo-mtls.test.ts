/** `npm start -- --mtls` with its real processes: what is broken is named over mutual TLS too, and the sidecars do speak it. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { repository } from '../kit/install-once.ts'
import { TestProcess } from '../kit/process.ts'

test('three faults are named over mutual TLS', { timeout: 180_000 }, async () => {
  const args = ['--once', '--mtls', '--faults', '3', '--seed', '1', '--otel', 'off']
  const run = TestProcess.start(process.execPath, [join(repository, 'demo-services', 'main.ts'), ...args], {
    name: 'demo',
    env: { NODE_V8_COVERAGE: '' },
  })
  assert.equal(await run.exited, 0, run.output)
  assert.match(run.output, /3 of 3 named rightly/)
})
