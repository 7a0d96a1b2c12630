import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configurationOf, layPorts, SIDECARS } from '../../demo-services/layout.ts'
import { envoyValidates } from '../kit/envoy.ts'
import { temporaryFolder } from '../kit/proxy-process.ts'

test('real Envoy accepts every configuration of the demo', async () => {
  const ports = await layPorts(0)
  const folder = temporaryFolder()
  for (const name of SIDECARS) {
    const { ok, output } = await envoyValidates(configurationOf(name, ports, folder))
    assert.ok(ok, `${name}: ${output}`)
  }
})
