/**
 * Tracing of a service with the OpenTelemetry SDK: a server span per request, a client span per call, B3 headers in and
 * out, spans to the trace store as Zipkin JSON. The SDK is imported only where a service traces (it takes a third of a
 * second); the others copy no headers, so the sidecars have to find out by themselves what belongs together.
 */

export interface RequestTrace {
  /** Headers for a call, and what to call when it has ended. */
  call(host: string): { readonly headers: Record<string, string>; end(error: string | undefined): void }
  /** `failed`: by no fault of whoever asked. */
  end(failed: boolean, attributes: Attributes): void
}

type Attributes = Readonly<Record<string, string | number>>
type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

export interface Tracing {
  /** `name` is what the span is called, `headers` what came with the request (metadata, over gRPC). */
  request(name: string, attributes: Attributes, headers: Headers): RequestTrace
}

const none: RequestTrace = { call: () => ({ headers: {}, end: () => {} }), end: () => {} }

export const noTracing: Tracing = { request: () => none }

/**
 * `url` is where Zipkin takes spans or, with the path `/v1/traces`, a collector of OTLP; `propagators` the value of
 * `OTEL_PROPAGATORS`.
 */
export async function openTelemetry(serviceName: string, url: string, propagators: string): Promise<Tracing> {
  Object.assign(process.env, {
    OTEL_PROPAGATORS: propagators,
    OTEL_METRICS_EXPORTER: 'none',
    OTEL_LOGS_EXPORTER: 'none',
    OTEL_BSP_SCHEDULE_DELAY: '400',
  })
  const [{ NodeSDK }, { ZipkinExporter }, api] = await Promise.all([
    import('@opentelemetry/sdk-node'),
    import('@opentelemetry/exporter-zipkin'),
    import('@opentelemetry/api'),
  ])
  const otlp = url.endsWith('/v1/traces')
  // Without an exporter the SDK makes the one that the environment asks for.
  if (otlp) Object.assign(process.env, { OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url })
  const exporter = otlp ? {} : { traceExporter: new ZipkinExporter({ url }) }
  const sdk = new NodeSDK({ serviceName, ...exporter, autoDetectResources: false })
  sdk.start()
  const { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } = api
  const tracer = trace.getTracer('hopwise-demo')
  return {
    request(name, attributes, headers) {
      const caller = propagation.extract(ROOT_CONTEXT, headers)
      const span = tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, caller)
      const own = trace.setSpan(caller, span)
      return {
        call(host) {
          const client = tracer.startSpan(`call ${host}`, { kind: SpanKind.CLIENT }, own)
          const carrier: Record<string, string> = {}
          context.with(own, () => propagation.inject(trace.setSpan(own, client), carrier))
          return {
            headers: carrier,
            end(error) {
              if (error !== undefined) client.setStatus({ code: SpanStatusCode.ERROR, message: error })
              client.end()
            },
          }
        },
        end(failed, attributes) {
          span.setAttributes(attributes)
          if (failed) span.setStatus({ code: SpanStatusCode.ERROR })
          span.end()
        },
      }
    },
  }
}
