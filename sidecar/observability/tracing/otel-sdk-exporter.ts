/**
 * Spans through the OpenTelemetry SDK, for those who configure exporters by its environment: `OTEL_TRACES_EXPORTER` lists
 * `zipkin`, `otlp`, `console` (or `none`), `OTEL_EXPORTER_*`, `OTEL_BSP_*`, `OTEL_SERVICE_NAME` and
 * `OTEL_RESOURCE_ATTRIBUTES` mean what the SDK says they mean.
 *
 * The SDK is loaded here and nowhere else, when asked for: it takes 250 ms and 48 MB. A finished span of ours is replayed
 * into its tracer with our ids and times, so that only its public interface is used: exporters, batching and limits are
 * the SDK's own. This costs some 7 µs a span more than our own encoders (ecosystem.md §B).
 *
 * OpenTelemetry knows no shared spans: with this exporter `sharedSpanContext` should be off.
 */
import { longTraceId } from './propagation.ts'
import type { Span } from './span.ts'
import type { SpanReporter } from './tracer.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** The exporters that the environment asks for; empty leaves the SDK out. */
export function otelExportersWanted(environment: Environment = process.env): string[] {
  if (environment['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return []
  const names = (environment['OTEL_TRACES_EXPORTER'] ?? '').split(',').map(name => name.trim())
  return names.filter(name => name !== '' && name !== 'none')
}

export interface OtelSdkOptions {
  /** Used where the environment names no service. */
  readonly serviceName: string
  readonly version: string
  readonly environment?: Environment | undefined
}

/** RECORD_AND_SAMPLED: what comes here has been decided on. */
const SAMPLED = 2
const SPAN_KIND = { SERVER: 1, CLIENT: 2 } as const
const STATUS_ERROR = 2

export interface OtelSdkExporter extends SpanReporter {
  /** Sends what waits and ends the SDK. */
  close(): Promise<void>
}

/** Loads and starts the SDK. Rejects where its packages are not installed. */
export async function startOtelSdkExporter(options: OtelSdkOptions): Promise<OtelSdkExporter> {
  const environment = options.environment ?? process.env
  const { NodeSDK } = await import('@opentelemetry/sdk-node')
  const api = await import('@opentelemetry/api')
  const ids = new GivenIds()
  const named =
    environment['OTEL_SERVICE_NAME'] !== undefined ||
    /(^|,)\s*service\.name=/.test(environment['OTEL_RESOURCE_ATTRIBUTES'] ?? '')
  const sdk = new NodeSDK({
    idGenerator: ids,
    sampler: { shouldSample: () => ({ decision: SAMPLED }), toString: () => 'DecidedBefore' },
    // Only the spans of requests: the SDK shall neither watch this process nor send metrics and logs of its own.
    instrumentations: [],
    metricReaders: [],
    logRecordProcessors: [],
    textMapPropagator: null,
    ...(named ? {} : { serviceName: options.serviceName }),
  })
  sdk.start()
  const tracer = api.trace.getTracer('hopwise', options.version)

  return {
    report(span) {
      ids.next(span)
      const parent =
        span.parentSpanId === ''
          ? api.ROOT_CONTEXT
          : api.trace.setSpanContext(api.ROOT_CONTEXT, {
              traceId: longTraceId(span.traceId),
              spanId: span.parentSpanId,
              traceFlags: 1,
              isRemote: true,
            })
      const startUs = span.startUs
      const copy = tracer.startSpan(
        span.name,
        {
          kind: SPAN_KIND[span.kind],
          startTime: hrTime(startUs),
          attributes: attributesOf(span),
          links: (span.links ?? []).map(link => ({
            context: { traceId: longTraceId(link.traceId), spanId: link.spanId, traceFlags: 1 },
          })),
        },
        parent,
      )
      for (const { value, timestampUs } of span.annotations) copy.addEvent(value, hrTime(timestampUs))
      if (span.error !== '')
        copy.setStatus({ code: STATUS_ERROR, ...(span.error === 'true' ? {} : { message: span.error }) })
      copy.end(hrTime(startUs + span.durationUs))
    },
    close: () => sdk.shutdown(),
  }
}

/** Gives the SDK the ids of the span that is being replayed. */
class GivenIds {
  #traceId = ''
  #spanId = ''
  next(span: Span): void {
    this.#traceId = longTraceId(span.traceId)
    this.#spanId = span.spanId
  }
  generateTraceId(): string {
    return this.#traceId
  }
  generateSpanId(): string {
    return this.#spanId
  }
}

function attributesOf(span: Span): Record<string, string> {
  const attributes: Record<string, string> = {}
  for (let i = 0; i < span.tags.length; i += 2) attributes[span.tags[i]!] = span.tags[i + 1]!
  if (span.info.failure !== undefined) attributes['error.type'] = span.info.failure.cause
  return attributes
}

/** Seconds and nanoseconds. */
function hrTime(microseconds: number): [number, number] {
  return [Math.floor(microseconds / 1e6), (microseconds % 1e6) * 1000]
}
