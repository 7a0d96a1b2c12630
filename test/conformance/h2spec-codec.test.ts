/** The HTTP/2 codec alone, without a proxy around it, before h2spec: what fails here is the codec's. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { runH2spec } from '../kit/h2spec.ts'
import { startEchoServer } from '../kit/http2-echo-server.ts'

const CASES = 145
const STRICT_CASES = 146

const server = await startEchoServer()
after(() => server.close())

test(`the codec passes all ${CASES} cases of h2spec`, async () => {
  assert.deepEqual(await runH2spec(server.port), { passed: CASES, skipped: [], failed: [] })
})

test('the codec passes the strict cases of h2spec', async () => {
  assert.deepEqual(await runH2spec(server.port, ['-S']), { passed: STRICT_CASES, skipped: [], failed: [] })
})
