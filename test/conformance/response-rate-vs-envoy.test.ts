/**
 * `response_rate_limit` of the fault filter against the real Envoy: in what pieces a body comes that is sent in one. How
 * large a piece is depends on the moment, so the pieces are counted, and only roughly; no time is asserted.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePort } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { localCluster, oneListener } from '../kit/one-listener.ts'

const KBPS = 20
/** What the bucket brings in the 50 ms between two looks. */
const PIECE = (KBPS * 1024) / 20
const PIECES = 8
const TYPE = 'type.googleapis.com/envoy.extensions.filters.http'
const filters = [
  {
    name: 'fault',
    typed_config: {
      '@type': `${TYPE}.fault.v3.HTTPFault`,
      response_rate_limit: { fixed_limit: { limit_kbps: KBPS }, percentage: { numerator: 100 } },
    },
  },
  { name: 'router', typed_config: { '@type': `${TYPE}.router.v3.Router` } },
]

async function answerOf(start: typeof startEnvoy) {
  const body = Buffer.alloc(PIECE * PIECES, 'x')
  await using upstream = await FakeUpstream.start([{ chunks: [body], trailers: [['x-sum', '1']] }])
  const port = await freePort()
  const manager = { http_filters: filters, http_protocol_options: { enable_trailers: true } }
  const proxy = await start(oneListener({ port, manager, clusters: [localCluster('app', upstream.port, TRAILERS)] }))
  try {
    return await fetchRaw(port, { headers: [['te', 'trailers']] })
  } finally {
    await proxy.stop('SIGKILL')
  }
}

const TRAILERS = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http_protocol_options: { enable_trailers: true } },
    },
  },
}

for (const [name, start] of Object.entries({ Envoy: startEnvoy, Hopwise: startHopwise })) {
  test(`${name} lets a large chunk go in pieces of a twentieth of a second, the trailers behind the last`, async () => {
    const { chunkSizes = [], body, trailers } = await answerOf(start)
    assert.equal(body.length, PIECE * PIECES)
    assert.deepEqual(trailers, [['x-sum', '1']])
    // The first piece holds what was saved up before it; a machine that is late makes fewer and larger ones.
    assert.ok(chunkSizes.length >= PIECES / 2 && chunkSizes.length <= PIECES + 1, `${chunkSizes}`)
    // A look that came late is followed by one that comes sooner, so it is on the average that none brings less.
    const brought = chunkSizes.slice(0, -1).reduce((sum, size) => sum + size, 0)
    assert.ok(brought >= PIECE * (chunkSizes.length - 1), `${chunkSizes}`)
  })
}
