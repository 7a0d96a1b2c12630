/**
 * The running chain with a collector of OTLP instead of Zipkin: the spans of applications (OpenTelemetry SDK) and of
 * sidecars (own writer) are one trace in the right order, decoded with the official protos; the span at which a failure
 * began says so.
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Chain, type ChainVariant } from '../../demo-services/chain.ts'
import { layPorts, type Ports } from '../../demo-services/layout.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { type CollectedSpan, OtlpCollector } from '../kit/otlp-collector.ts'
import { partOrSkip } from '../kit/parts.ts'
import { waitFor } from '../kit/wait-for.ts'

const WAY = [
  ...['front CLIENT', 'a SERVER', 'a-app SERVER', 'a-app CLIENT', 'a CLIENT', 'b SERVER', 'b-app SERVER'],
  ...['b-app CLIENT', 'b CLIENT', 'c SERVER', 'c-app SERVER', 'c-app CLIENT', 'c CLIENT', 'd SERVER'],
]

/** The Zipkin provider of a sidecar's configuration, by one of OTLP. */
function overOtlp(yaml: string): string {
  return yaml
    .replaceAll('envoy.tracers.zipkin', 'envoy.tracers.opentelemetry')
    .replaceAll(
      /( +)"@type": type\.googleapis\.com\/envoy\.config\.trace\.v3\.ZipkinConfig\n(?:\1.*\n)*/g,
      (_, indent: string) =>
        [
          '"@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig',
          `service_name: ${/^node: \{id: [\w$ {}]+, cluster: (\w+)\}/m.exec(yaml)![1]}`,
          'http_service: {http_uri: {uri: "http://zipkin/v1/traces", cluster: zipkin, timeout: 1s}}',
        ]
          .map(line => `${indent}${line}\n`)
          .join(''),
    )
}

interface Traced {
  readonly chain: Chain
  readonly ports: Ports
  readonly collector: OtlpCollector
  /** All spans of the trace that has this path, once they satisfy `whole`. */
  traceOf(path: string, whole: (steps: readonly string[]) => boolean): Promise<readonly CollectedSpan[]>
}

async function startTraced(t: TestContext, variant: ChainVariant): Promise<Traced | undefined> {
  const protos = await partOrSkip(t, 'opentelemetry-proto')
  if (protos === undefined) return undefined
  const ports = await layPorts(0)
  const collector = await OtlpCollector.start(ports.traceStore, protos)
  t.after(() => collector.close())
  const chain = new Chain(ports, true, {
    ownTraceStore: false,
    propagators: 'tracecontext',
    spansPath: '/v1/traces',
    configuration: overOtlp,
    ...variant,
  })
  t.after(() => chain.stop())
  await chain.start()
  // The first requests compile what they run.
  const warm = () => fetchRaw(ports.edge, { path: '/warm' }).then(({ status }) => status === 200)
  await waitFor(warm, { deadlineMs: 40_000, everyMs: 100, what: 'an answer' })
  const traceOf: Traced['traceOf'] = async (path, whole) => {
    let seen: string[] = []
    return await waitFor(
      () => {
        const root = collector.spans.find(({ attributes }) => attributes['http.url']?.endsWith(path))
        const spans = collector.spans.filter(({ traceId }) => traceId === root?.traceId)
        seen = spans.map(step)
        return whole(seen) ? spans : undefined
      },
      { deadlineMs: 40_000, everyMs: 200, what: `all spans of ${path}` },
    ).catch((error: Error) => assert.fail(`${error.message}; ${seen.join(', ')}; ${collector.problems.join('\n')}`))
  }
  return { chain, ports, collector, traceOf }
}

function step({ service, kind }: CollectedSpan): string {
  return `${service} ${kind.replace('SPAN_KIND_', '')}`
}

/** From d up to the edge: each step was called by the one before it. */
function climb(spans: readonly CollectedSpan[]): string[] {
  const byId = new Map(spans.map(span => [span.spanId, span]))
  assert.equal(byId.size, spans.length, 'ids are not shared')
  const climbed: string[] = []
  const last = spans.find(span => step(span) === 'd SERVER')
  for (let span = last; span !== undefined; span = byId.get(span.parentSpanId)) climbed.unshift(step(span))
  return climbed
}

/** d answers every request with an error. */
function breakD(chain: Chain): Promise<void> {
  return chain.inject(['d1', 'd2', 'd3'].map(instance => ({ kind: 'behave', instance, behaviour: { status: 500 } })))
}

test('OTLP: one trace from the edge to d, and where a failure began', { timeout: 200_000 }, async t => {
  const traced = await startTraced(t, { allTrace: true })
  if (traced === undefined) return
  const { chain, ports, collector, traceOf } = traced

  await t.test('one trace, each span below the one that called it', async () => {
    const answer = await fetchRaw(ports.edge, { path: '/otlp' })
    assert.equal(answer.status, 200, answer.text)
    const spans = await traceOf('/otlp', steps => WAY.every(one => steps.includes(one)))
    assert.deepEqual(climb(spans), WAY)
    assert.deepEqual(spans.filter(({ parentSpanId }) => parentSpanId === '').map(step), ['front CLIENT'])
  })

  await t.test('the span of the origin is tagged and an error', async () => {
    await breakD(chain)
    const answer = await fetchRaw(ports.edge, { path: '/broken' })
    assert.ok(answer.status >= 500)
    const spans = await traceOf('/broken', steps =>
      ['front CLIENT', 'c CLIENT', 'd SERVER'].every(one => steps.includes(one)),
    )
    const origins = spans.filter(({ attributes }) => attributes['failure.role'] === 'origin')
    assert.deepEqual(origins.map(step), ['d SERVER'])
    const [{ attributes, status } = assert.fail()] = origins
    assert.equal(attributes['failure.origin'], 'd')
    assert.equal(attributes['failure.cause'], 'app_error')
    assert.equal(status, 'STATUS_CODE_ERROR')
    const front = spans.find(span => step(span) === 'front CLIENT')!
    assert.deepEqual([front.attributes['failure.origin'], front.attributes['failure.role']], ['d', 'propagated'])
    assert.equal(front.attributes['failure.id'], attributes['failure.id'])
  })
  assert.deepEqual(collector.problems, [])
})

test('OTLP: b copies nothing, and its calls are joined where that is sure, else linked', {
  timeout: 200_000,
}, async t => {
  const traced = await startTraced(t, {})
  if (traced === undefined) return
  const { chain, ports, collector, traceOf } = traced

  await t.test('one request at a time: one trace, whose parent at b is found', async () => {
    const answer = await fetchRaw(ports.edge, { path: '/alone' })
    assert.equal(answer.status, 200, answer.text)
    const way = WAY.filter(one => !one.startsWith('b-app'))
    const spans = await traceOf('/alone', steps => way.every(one => steps.includes(one)))
    assert.deepEqual(climb(spans), way)
    // c's background job, of which nothing tells c's sidecar that it is none of the request's, may come at the same time.
    const ofRequest = spans.filter(({ attributes }) => attributes['http.url'] !== 'http://outside/refresh')
    const found = ofRequest.filter(({ attributes }) => attributes['parent'] === 'inferred').map(step)
    assert.deepEqual(found, ['b CLIENT'])
  })

  await t.test('several at once: the failure at the edge is linked to the trace in which it began', async () => {
    await breakD(chain)
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => fetchRaw(ports.edge, { path: `/many-${i}` })))
    assert.ok(answers.every(({ status }) => status >= 500))
    await waitFor(
      () => {
        const edges = collector.spans.filter(span => /\/many-\d$/.test(span.attributes['http.url'] ?? ''))
        const fronts = edges.filter(span => step(span) === 'front CLIENT')
        const linked = fronts.filter(({ links }) => links.length > 0)
        if (fronts.length < answers.length || linked.length === 0) return false
        return linked.every(front =>
          front.links.every(({ traceId, spanId }) => {
            const origin = collector.spans.find(span => span.spanId === spanId && span.traceId === traceId)
            if (origin === undefined) return false
            assert.notEqual(traceId, front.traceId)
            assert.deepEqual([step(origin), origin.attributes['failure.role']], ['d SERVER', 'origin'])
            return origin.attributes['failure.id'] === front.attributes['failure.id']
          }),
        )
      },
      { deadlineMs: 40_000, everyMs: 200, what: 'links from the edge to d' },
    )
  })
  assert.deepEqual(collector.problems, [])
})
