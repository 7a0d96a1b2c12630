/** `npm start -- --mtls` with its real processes: what is broken is named over mutual TLS too, and the sidecars do speak it. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fetchRaw } from '../kit/http-client.ts'
import { repository } from '../kit/install-once.ts'
import { TestProcess } from '../kit/process.ts'
import { temporaryFolder } from '../kit/proxy-process.ts'

/** Who calls whom, by sidecar: the name of the cluster. */
const CALLS = { front: 'a', a: 'b', b: 'c', c: 'd' } as const

/** Port of a sidecar's admin endpoint, from the configuration that the demo has written for it. */
function adminPort(temporary: string, sidecar: string): number {
  const [folder] = readdirSync(temporary).filter(name => name.startsWith('hopwise-demo-'))
  const { admin } = JSON.parse(readFileSync(join(temporary, folder!, `${sidecar}.yaml`), 'utf8'))
  return admin.address.socket_address.port_value
}

/** Calls of `sidecar`: how many handshakes, and connections by protocol. */
async function spoken(temporary: string, sidecar: keyof typeof CALLS): Promise<Record<string, number>> {
  const cluster = CALLS[sidecar]
  const { text } = await fetchRaw(adminPort(temporary, sidecar), { path: '/stats?format=json' })
  const { stats } = JSON.parse(text) as { stats: { name?: string; value?: number }[] }
  const count = (name: string) => stats.find(one => one.name === `cluster.${cluster}.${name}`)?.value ?? 0
  return {
    handshakes: count('ssl.handshake'),
    http1: count('upstream_cx_http1_total'),
    http2: count('upstream_cx_http2_total'),
  }
}

for (const [title, flags, http2] of [
  ['three faults are named over mutual TLS', ['--mtls'], false],
  ['and so are three where every hop is HTTP/2 over mutual TLS', ['--http2', '--mtls'], true],
] as const) {
  test(title, { timeout: 180_000 }, async () => {
    const temporary = temporaryFolder()
    const args = ['--once', ...flags, '--faults', '3', '--seed', '1', '--otel', 'off']
    await using run = TestProcess.start(process.execPath, [join(repository, 'demo-services', 'main.ts'), ...args], {
      name: 'demo',
      env: { NODE_V8_COVERAGE: '', TMPDIR: temporary },
    })
    await run.waitForLine(/^ {2}steady/, 60_000)
    for (const sidecar of Object.keys(CALLS) as (keyof typeof CALLS)[]) {
      const { handshakes, http1, http2: overHttp2 } = await spoken(temporary, sidecar)
      assert.ok(handshakes! > 0, `${sidecar} has shaken hands`)
      // Between a and b is gRPC in any case.
      const [used, other] = http2 || sidecar === 'a' ? [overHttp2, http1] : [http1, overHttp2]
      assert.ok(used! > 0, `${sidecar} has called`)
      assert.equal(other, 0, `${sidecar} speaks one protocol`)
    }
    assert.equal(await run.exited, 0, run.output)
    assert.match(run.output, /3 of 3 named rightly/)
  })
}
