import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { speakHttp2 } from '../../demo-services/http2.ts'
import { configurationOf, layPorts, SIDECARS } from '../../demo-services/layout.ts'
import { makeIdentities } from '../../demo-services/make-identities.ts'
import { envoyValidates } from '../kit/envoy.ts'
import { hopwisePath } from '../kit/hopwise.ts'
import { repository } from '../kit/install-once.ts'
import { run } from '../kit/process.ts'
import { temporaryFile, temporaryFolder } from '../kit/proxy-process.ts'

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

test('real Envoy accepts every configuration of compose/', async () => {
  const identities = temporaryFolder()
  makeIdentities(identities)
  const sidecars = join(repository, 'compose', 'sidecars')
  for (const file of readdirSync(sidecars)) {
    const service = basename(file, '.yaml')
    const text = readFileSync(join(sidecars, file), 'utf8').replaceAll('/identity/', `${identities}/${service}/`)
    const { ok, output } = await envoyValidates(text)
    assert.ok(ok, `${file}: ${output}`)
    const ours = await run(hopwisePath, ['validate', temporaryFile(file, text)])
    assert.doesNotMatch(ours.output, /warning/)
  }
})
