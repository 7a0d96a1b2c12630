/**
 * The running chain a→b→c→d with a real Zipkin: applications traced by the OpenTelemetry SDK (`sdk-node`,
 * `exporter-zipkin`) and the spans of their sidecars are one trace, each span below the one that called it, and Zipkin draws
 * the links between the services. Contexts travel as B3 in several headers, in one header, and as W3C `traceparent`.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Chain, type ChainVariant } from '../../demo-services/chain.ts'
import { layPorts } from '../../demo-services/layout.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { waitFor } from '../kit/wait-for.ts'
import { startZipkin } from './zipkin-server.ts'

interface Span {
  readonly traceId: string
  readonly id: string
  readonly parentId?: string
  readonly kind?: string
  readonly name?: string
  readonly localEndpoint: { readonly serviceName: string }
  readonly tags?: Readonly<Record<string, string>>
}

/** The way of one request, as services and kinds of spans, from the edge down. */
const WAY = [
  'front CLIENT',
  'a SERVER',
  'a-app SERVER',
  'a-app CLIENT',
  'a CLIENT',
  'b SERVER',
  'b-app SERVER',
  'b-app CLIENT',
  'b CLIENT',
  'c SERVER',
  'c-app SERVER',
  'c-app CLIENT',
  'c CLIENT',
  'd SERVER',
]

const VARIANTS: readonly (readonly [name: string, variant: ChainVariant])[] = [
  ['B3 in several headers', { allTrace: true, propagators: 'b3multi' }],
  ['B3 in one header', { allTrace: true, propagators: 'b3' }],
  [
    'W3C traceparent',
    {
      allTrace: true,
      propagators: 'tracecontext',
      configuration: yaml =>
        yaml.replaceAll(
          'collector_endpoint_version: HTTP_JSON',
          'collector_endpoint_version: HTTP_JSON\n                      trace_context_option: USE_B3_WITH_W3C_PROPAGATION',
        ),
    },
  ],
  ['b neither traces nor copies headers', { propagators: 'b3multi' }],
]

test('one trace from the edge to d', { timeout: 400_000 }, async t => {
  const ports = await layPorts(0)
  const zipkin = await startZipkin(t, ports.traceStore)
  if (zipkin === undefined) return
  const json = async (query: string) => {
    const response = await fetch(`${zipkin}/api/v2/${query}`)
    return response.ok ? await response.json() : undefined
  }
  for (const [name, variant] of VARIANTS) {
    await t.test(name, async t => {
      const chain = new Chain(ports, true, { ...variant, ownTraceStore: false })
      t.after(() => chain.stop())
      await chain.start()
      // The first requests, at each of the three instances of d, compile what they run, and may take longer than is allowed.
      let asked = 0
      const askAnew = async () => {
        const path = `/${name.replaceAll(' ', '-')}-${++asked}`
        return (await fetchRaw(ports.edge, { path })).status === 200 && asked > 1 ? path : undefined
      }
      const path = await waitFor(askAnew, { deadlineMs: 40_000, everyMs: 100, what: 'an answer' })

      const way = variant.allTrace === true ? WAY : WAY.filter(step => !step.startsWith('b-app'))
      const query = `traces?limit=50&annotationQuery=${encodeURIComponent(`http.url=http://test.local${path}`)}`
      let seen: string[] = []
      const spans = await waitFor(
        async () => {
          const [trace = []] = ((await json(query)) ?? []) as Span[][]
          seen = trace.map(step)
          return way.every(one => seen.includes(one)) ? trace : undefined
        },
        { deadlineMs: 40_000, everyMs: 200, what: 'all spans of the trace' },
      ).catch((error: Error) => assert.fail(`${error.message}; there are ${seen.join(', ')}`))

      const byId = new Map(spans.map(span => [span.id, span]))
      assert.equal(byId.size, spans.length, 'ids are not shared')
      // From d up to the edge: each step was called by the one before it.
      const climbed: string[] = []
      const d = spans.find(span => step(span) === 'd SERVER')
      for (let span = d; span !== undefined; span = byId.get(span.parentId ?? '')) climbed.unshift(step(span))
      assert.deepEqual(climbed, way)
      const roots = spans.filter(span => span.parentId === undefined).map(step)
      assert.deepEqual(roots, ['front CLIENT'])

      let links: string[] = []
      const wanted = wantedLinks(variant)
      await waitFor(
        async () => {
          const found = ((await json(`dependencies?endTs=${Date.now()}`)) ?? []) as { parent: string; child: string }[]
          links = found.map(({ parent, child }) => `${parent}>${child}`)
          return wanted.every(link => links.includes(link))
        },
        { deadlineMs: 10_000, everyMs: 200, what: 'the links' },
      ).catch((error: Error) => assert.fail(`${error.message}; there are ${links.join(', ')}`))
    })
  }
})

const step = ({ localEndpoint, kind }: Span) => `${localEndpoint.serviceName} ${kind}`

/** As Zipkin's linker sees them: a client span whose callee has told of itself is a link to that. */
function wantedLinks({ allTrace }: ChainVariant): string[] {
  const links = ['front>a', 'a>a-app', 'a>b', 'b>c', 'c>c-app', 'c>d']
  return allTrace === true ? [...links, 'b>b-app'] : links
}
