/**
 * The running chain with a collector of OTLP instead of Zipkin: the spans of applications (OpenTelemetry SDK) and of
 * sidecars (own writer) are one trace in the right order, decoded with the official protos; the span at which a failure
 * began says so.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Chain } from '../../demo-services/chain.ts'
import { layPorts } from '../../demo-services/layout.ts'
import { fetchRaw } from '../kit/http-client.ts'
import { OtlpCollector } from '../kit/otlp-collector.ts'
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

test('OTLP: one trace from the edge to d, and where a failure began', { timeout: 200_000 }, async t => {
  const protos = await partOrSkip(t, 'opentelemetry-proto')
  if (protos === undefined) return
  const ports = await layPorts(0)
  const collector = await OtlpCollector.start(ports.traceStore, protos)
  t.after(() => collector.close())
  const chain = new Chain(ports, true, {
    allTrace: true,
    ownTraceStore: false,
    propagators: 'tracecontext',
    spansPath: '/v1/traces',
    configuration: overOtlp,
  })
  t.after(() => chain.stop())
  await chain.start()
  // The first requests compile what they run.
  const warm = () => fetchRaw(ports.edge, { path: '/warm' }).then(({ status }) => status === 200)
  await waitFor(warm, { deadlineMs: 40_000, everyMs: 100, what: 'an answer' })

  const step = ({ service, kind }: { service: string; kind: string }) => `${service} ${kind.replace('SPAN_KIND_', '')}`
  /** All spans of the trace that has this path, once they satisfy `whole`. */
  const traceOf = async (path: string, whole: (steps: readonly string[]) => boolean) => {
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

  await t.test('one trace, each span below the one that called it', async () => {
    const answer = await fetchRaw(ports.edge, { path: '/otlp' })
    assert.equal(answer.status, 200, answer.text)
    const spans = await traceOf('/otlp', steps => WAY.every(one => steps.includes(one)))
    const byId = new Map(spans.map(span => [span.spanId, span]))
    assert.equal(byId.size, spans.length, 'ids are not shared')
    const climbed: string[] = []
    const last = spans.find(span => step(span) === 'd SERVER')
    for (let span = last; span !== undefined; span = byId.get(span.parentSpanId)) climbed.unshift(step(span))
    assert.deepEqual(climbed, WAY)
    assert.deepEqual(spans.filter(({ parentSpanId }) => parentSpanId === '').map(step), ['front CLIENT'])
  })

  await t.test('the span of the origin is tagged and an error', async () => {
    await chain.inject(['d1', 'd2', 'd3'].map(instance => ({ kind: 'behave', instance, behaviour: { status: 500 } })))
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
