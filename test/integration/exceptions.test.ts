/** A bug ends the connection that it came over, is told and counted; every other connection goes on. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePort } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw, TestClient } from '../kit/http-client.ts'
import { Http2TestClient } from '../kit/http2-client.ts'
import { repository } from '../kit/install-once.ts'
import { localCluster, oneListener } from '../kit/one-listener.ts'
import { waitFor } from '../kit/wait-for.ts'

const EXTENSION = join(repository, 'test', 'kit', 'throwing-filter.ts')
const PLACES = ['request headers', 'request data', 'response headers', 'response data', 'end']

for (const [name, args] of [
  ['one thread', []],
  ['two workers', ['--concurrency', '2']],
] as const) {
  test(`a filter throws, ${name}: its connection ends, the process and the others do not`, async t => {
    await using upstream = await FakeUpstream.start(() => ({ body: 'ok' }))
    const port = await freePort()
    const yaml = oneListener({
      port,
      service: 'shop',
      clusters: [localCluster('up', upstream.port)],
      manager: {
        http_filters: [
          { name: 'test.throwing', typed_config: { '@type': 'type.googleapis.com/test.Throwing' } },
          {
            name: 'envoy.filters.http.router',
            typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
          },
        ],
      },
    })
    await using proxy = await startHopwise(yaml, { args: [...args, '--extension', EXTENSION] })
    const exceptions = async () =>
      Number(/hopwise_exceptions_total\{.*\} (\d+)/.exec(await proxy.admin('/stats/prometheus'))?.[1])
    // Both stay open all the time, and are in use before and after each bug.
    const bystander = await TestClient.connect(port)
    const other = await Http2TestClient.connect(port)
    t.after(() => {
      bystander.socket.destroy()
      other.session.destroy()
    })
    let thrown = 0
    assert.equal(await exceptions(), 0)
    for (const where of PLACES) {
      const bad = await TestClient.connect(port)
      const head = `POST / HTTP/1.1\r\nHost: a\r\nx-throw: ${where}\r\nContent-Length: 4\r\n\r\n`
      const answer = await bad.request(`${head}body`).catch(() => undefined)
      await bad.closed
      await waitFor(async () => (await exceptions()) > thrown, { what: `an exception counted, at ${where}` })
      thrown = await exceptions()
      assert.match(proxy.process.output, new RegExp(`TypeError: a bug at ${where}.*throwing-filter`, 's'))
      // Answered, with who has the bug, as long as nothing of another answer is out.
      if (where.startsWith('request')) {
        assert.equal(answer?.status, 500)
        assert.match(answer.header('proxy-status')!, /failure-origin=shop; failure-cause=unknown/)
      }
      assert.equal((await bystander.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n')).status, 200, where)
      assert.equal((await other.request({ path: '/' })).status, 200, where)
      assert.equal((await fetchRaw(port)).status, 200, where)
    }
    await waitFor(async () => / 0$/m.test(await proxy.admin('/stats?filter=^http.out.downstream_rq_active$')), {
      what: 'no request left over',
    })
  })
}
