/**
 * A collector that is down, slow, or full: requests go through all the same, what is lost is counted, and the sidecar does
 * not grow. Every request is sampled, and far more spans come than the sidecar keeps.
 */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { freePort } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { localCluster, oneListener, zipkinProvider } from '../kit/one-listener.ts'
import { partOrSkip } from '../kit/parts.ts'
import { run } from '../kit/process.ts'
import { COLLECTS, FLAT_BYTES, residentBytes } from '../kit/resident-memory.ts'

/** Of memory: after these rounds everything is compiled and every buffer as large as it gets. */
const WARM_ROUNDS = 3
const ROUNDS = 6
const ROUND_S = 2

type Collector = (answer: (status: number) => void) => void

const TROUBLES: readonly (readonly [name: string, collector: Collector | undefined])[] = [
  ['down: nothing listens', undefined],
  ['slow: takes every report and does not answer', () => {}],
  ['full: answers 503', answer => answer(503)],
  ['too fast for it: answers 429', answer => answer(429)],
]

const TRACING = {
  random_sampling: { value: 100 },
  provider: zipkinProvider(),
}

const configuration = (listen: number, upstream: number, collector: number) =>
  oneListener({
    service: 'orders',
    direction: 'INBOUND',
    name: 'in',
    port: listen,
    clusters: [
      localCluster('app', upstream, { connect_timeout: '0.25s' }),
      localCluster('collector', collector, { connect_timeout: '0.25s' }),
    ],
    manager: { tracing: TRACING },
  })

for (const [name, collect] of TROUBLES) {
  test(`a collector that is ${name}`, { timeout: 180_000 }, async t => {
    const wrk = await partOrSkip(t, 'wrk')
    if (wrk === undefined) return
    const app = createServer((_, response) => response.end('ok'))
    app.listen(0, '127.0.0.1')
    t.after(() => app.close())
    const port = await freePort()
    if (collect !== undefined) {
      const collector = createServer((request, response) => {
        request.resume()
        request.on('end', () => collect(status => response.writeHead(status).end()))
      })
      collector.listen(port, '127.0.0.1')
      t.after(() => {
        collector.closeAllConnections()
        collector.close()
      })
    }
    const listen = await freePort()
    await using proxy = await startHopwise(configuration(listen, (app.address() as AddressInfo).port, port), {
      env: COLLECTS,
    })
    t.after(() => app.closeAllConnections())

    let requests = 0
    const sizes: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const { stdout } = await run(wrk, ['-t1', '-c20', `-d${ROUND_S}s`, `http://127.0.0.1:${listen}/`])
      assert.doesNotMatch(stdout, /Socket errors|Non-2xx/, 'a request was harmed')
      requests += Number(/(\d+) requests in/.exec(stdout)![1])
      sizes.push(await residentBytes(proxy))
    }
    const stats = await proxy.stats('^(tracing|cluster\\.(app|collector))\\.')
    const stat = (of: string) => stats.get(of) ?? 0
    assert.ok(requests > 10_000, `${requests} requests`)
    assert.equal(stat('cluster.app.upstream_rq_200'), stat('cluster.app.upstream_rq_completed'), 'all are answered')

    // Every span was dropped, is on its way, or still waits.
    const dropped = stat('tracing.zipkin.spans_dropped')
    const kept = 5 * 4096
    assert.ok(dropped >= stat('cluster.app.upstream_rq_completed') - kept, `${dropped} dropped of ${requests}`)
    assert.ok(dropped > 0)
    if (collect === undefined) assert.ok(stat('tracing.zipkin.reports_failed') > 0)
    // Whoever waits for a collector waits for a few reports, not for more and more.
    assert.ok(stat('cluster.collector.upstream_rq_active') <= 4)

    const warm = Math.max(...sizes.slice(0, WARM_ROUNDS))
    const grown = sizes.at(-1)! - warm
    assert.ok(grown < FLAT_BYTES, `${sizes.map(size => (size / 1e6).toFixed(0)).join(', ')} MB`)
  })
}
