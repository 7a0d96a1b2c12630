/** A response that breaks off between two sidecars over HTTP/2: the reason rides in trailers, where both know of that. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FailureEntry } from '../../sidecar/failure-origin/failure-log.ts'
import { type Answer, FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { Http2TestClient } from '../kit/http2-client.ts'
import { HTTP2_UPSTREAM, localCluster, oneListener } from '../kit/one-listener.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { waitFor } from '../kit/wait-for.ts'

async function failuresOf(proxy: ProxyProcess): Promise<FailureEntry[]> {
  const { failures } = JSON.parse(await proxy.admin('/failures?format=json')) as { failures: FailureEntry[] }
  return failures.filter(({ role }) => role === 'origin' || role === 'propagated')
}

async function assertCut(port: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/`)
  assert.equal(response.status, 200)
  await assert.rejects(response.text())
}

/** `atIngress`: how long d's sidecar lets its application take, in whatever way. */
async function start(answer: Answer, external = false, atIngress: Readonly<Record<string, unknown>> = {}) {
  const application = await FakeUpstream.start([answer])
  const [ingress, egress] = (await freePorts(2)) as [number, number]
  const name = 'only'
  const atD = oneListener({
    service: 'd',
    direction: 'INBOUND',
    name,
    port: ingress,
    clusters: [localCluster('app', application.port)],
    route: atIngress,
  })
  const d = await startHopwise(atD)
  const metadata = { filter_metadata: { hopwise: { external: true } } }
  const toD = localCluster('d', ingress, { ...HTTP2_UPSTREAM, ...(external && { metadata }) })
  const c = await startHopwise(
    oneListener({ service: 'c', direction: 'OUTBOUND', name, port: egress, clusters: [toD] }),
  )
  return {
    c,
    d,
    ingress,
    egress,
    /** What d, and then c, say of the first that failed. */
    failed: () =>
      waitFor(
        async () => {
          const [ofD, ofC] = [await failuresOf(d), await failuresOf(c)]
          return ofD.length > 0 && ofC.length > 0 ? ([ofD[0]!, ofC[0]!] as const) : undefined
        },
        { what: 'a failure at both' },
      ),
    async [Symbol.asyncDispose]() {
      await Promise.all([c[Symbol.asyncDispose](), d[Symbol.asyncDispose]()])
      await application.close()
    },
  }
}

for (const [name, answer] of [
  ['with a length', { body: 'x'.repeat(1000), end: 'reset-mid-body' }],
  ['in chunks', { chunks: ['some', 'more', 'never'], end: 'close-mid-body' }],
] as const) {
  test(`a body ${name} that breaks off at d is known at c by the record of d`, async () => {
    await using mesh = await start(answer)
    await assertCut(mesh.egress)
    const [atD, atC] = await mesh.failed()
    assert.deepEqual([atD.role, atD.origin, atD.cause], ['origin', 'd', 'partial_body'])
    assert.deepEqual([atC.role, atC.id, atC.confidence], ['propagated', atD.id, 'exact'])
    assert.deepEqual(atC.path, ['d', 'c'])
    // To everybody who counts it is a reset like any other.
    assert.equal(await mesh.c.stat('cluster.d.upstream_rq_rx_reset'), 1)
    assert.equal(await mesh.d.stat('http.only.downstream_rq_tx_reset'), 1)
    assert.equal(await mesh.c.stat('cluster.d.upstream_cx_protocol_error'), 0)
    assert.equal(await mesh.c.stat('cluster.d.upstream_rq_active'), 0)
    assert.equal(await mesh.d.stat('http.only.downstream_rq_active'), 0)
  })
}

for (const [limit, cause] of [
  [{ timeout: '0s', idle_timeout: '0.2s' }, 'stream_idle'],
  [{ timeout: '0s', max_stream_duration: { max_stream_duration: '0.2s' } }, 'max_duration'],
  [{ timeout: '0.2s' }, 'app_timeout'],
] as const) {
  test(`a body in which d falls silent is cut by its sidecar, and known at c: ${cause}`, async () => {
    await using mesh = await start({ body: 'x'.repeat(1000), end: 'hang-after-head' }, false, limit)
    await assertCut(mesh.egress)
    const [atD, atC] = await mesh.failed()
    assert.deepEqual([atD.role, atD.origin, atD.cause, atD.status], ['origin', 'd', cause, 200])
    assert.deepEqual([atC.role, atC.id, atC.origin, atC.cause], ['propagated', atD.id, 'd', cause])
  })
}

test('whoever does not know of it gets a reset, and so does who calls d from outside of the mesh', async () => {
  await using mesh = await start({ chunks: ['some', 'more'], end: 'close-mid-body' }, true)
  using client = await Http2TestClient.connect(mesh.ingress)
  const stream = client.open({}, true)
  let trailers = false
  stream.on('trailers', () => {
    trailers = true
  })
  stream.resume()
  await new Promise(resolve => stream.on('close', resolve))
  const INTERNAL_ERROR = 2
  assert.deepEqual([stream.rstCode, trailers], [INTERNAL_ERROR, false])
  await assertCut(mesh.egress)
  const [atC] = await waitFor(
    async () => {
      const failures = await failuresOf(mesh.c)
      return failures.length > 0 ? failures : undefined
    },
    { what: 'the failure at c' },
  )
  assert.deepEqual([atC!.role, atC!.origin, atC!.cause], ['origin', 'd', 'partial_body'])
})
