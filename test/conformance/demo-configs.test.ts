import assert from 'node:assert/strict'
import { test } from 'node:test'
import { speakHttp2 } from '../../demo-services/http2.ts'
import { configurationOf, layPorts, SIDECARS } from '../../demo-services/layout.ts'
import { envoyValidates } from '../kit/envoy.ts'
import { temporaryFolder } from '../kit/proxy-process.ts'

test('real Envoy accepts every configuration of the demo', async () => {
  const ports = await layPorts(0)
  const folder = temporaryFolder()
  for (const name of SIDECARS) {
    const plain = configurationOf(name, ports, folder)
    for (const text of [plain, speakHttp2(plain)]) {
      const { ok, output } = await envoyValidates(text)
      assert.ok(ok, `${name}: ${output}`)
    }
  }
})
