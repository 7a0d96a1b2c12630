/** `sidecar/docs/from-envoy.md`: its commands run, its lists are what the decoder really takes. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { readDoc } from '../kit/docs-page.ts'
import { currentPage } from '../kit/from-envoy-page.ts'
import { repository } from '../kit/install-once.ts'

const page = readDoc('from-envoy.md')

test('the lists of the page are what is refused', () => {
  assert.equal(page, currentPage(), 'bring it up to date: node test/kit/from-envoy-page.ts')
  assert.match(page, /`Cluster\.health_checks`: /)
  assert.match(page, /\| `envoy\.tracers` \| `envoy\.tracers\.opentelemetry`, `envoy\.tracers\.zipkin` \| 0 \|/)
})

test('its commands do what they say', () => {
  const commands = /^```sh\n([\s\S]*?)^```/m.exec(page)![1]!.trim().split('\n')
  assert.equal(commands.length, 3)
  for (const command of commands) {
    const { status, stdout, stderr } = spawnSync('sh', ['-c', command], { cwd: repository, encoding: 'utf8' })
    assert.equal(status, 0, `${command}\n${stdout}${stderr}`)
    assert.doesNotMatch(stdout + stderr, /warning|error:/)
  }
})
