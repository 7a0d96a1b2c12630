/** What systemd hears (`Type=notify`), by a program in the place of its own; `test/real/systemd.test.ts` has the real one. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startHopwise } from '../kit/hopwise.ts'
import { temporaryFolder } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

const SOCKET = '/run/of/nobody/notify'

/** The proxy where `systemd-notify` is this script, which finds in `$HEARD` the name of a file to write to. */
async function start(t: TestContext, script: string, env: Readonly<Record<string, string>> = {}) {
  const folder = temporaryFolder()
  const heard = join(folder, 'heard')
  writeFileSync(join(folder, 'systemd-notify'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  const path = [folder, process.env['PATH']].join(delimiter)
  const proxy = await startHopwise('static_resources: {}', { env: { PATH: path, HEARD: heard, ...env } })
  t.after(() => proxy.process.stop('SIGKILL'))
  return { process: proxy.process, heard: () => (existsSync(heard) ? readFileSync(heard, 'utf8') : '') }
}

test('systemd hears that the sidecar is ready, where it waits for that', async t => {
  const { heard } = await start(t, 'echo "$NOTIFY_SOCKET $*" >>"$HEARD"', { NOTIFY_SOCKET: SOCKET })
  assert.equal(await waitFor(heard), `${SOCKET} --ready\n`)
})

test('nothing is started where nobody waits', async t => {
  for (const env of [{}, { NOTIFY_SOCKET: '' }]) {
    const { process, heard } = await start(t, 'echo "$NOTIFY_SOCKET $*" >>"$HEARD"', env)
    assert.equal(await process.stop('SIGTERM'), 0)
    assert.equal(heard(), '')
  }
})

test('where systemd cannot be told, a warning says why, and the sidecar goes on', async t => {
  const { process } = await start(t, 'echo no such socket >&2; exit 1', { NOTIFY_SOCKET: SOCKET })
  await process.waitForLine(/"level":"warning".*no such socket.*systemd has not heard/)
  assert.equal(await process.stop('SIGTERM'), 0)
})
