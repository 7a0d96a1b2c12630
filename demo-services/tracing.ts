/**
 * Tracing of a service with the OpenTelemetry SDK: a server span per request, a client span per call, B3 headers in and
 * out, spans to the trace store as Zipkin JSON. The SDK is imported only where a service traces (it takes a third of a
 * second); the others copy no headers, so the sidecars have to find out by themselves what belongs together.
 */
import type { IncomingHttpHeaders } from 'node:http'

export interface RequestTrace {
  /** Headers for a call, and what to call when it has ended. */
  call(host: string): { readonly headers: Record<string, string>; end(error: string | undefined): void }
  end(status: number): void
}

export interface Tracing {
  request(method: string, path: string, headers: IncomingHttpHeaders): RequestTrace
}

const none: RequestTrace = { call: () => ({ headers: {}, end: () => {} }), end: () => {} }

export const noTracing: Tracing = { request: () => none }

/** `url` is where Zipkin takes spans, `propagators` the value of `OTEL_PROPAGATORS`. */
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
  const sdk = new NodeSDK({ serviceName, traceExporter: new ZipkinExporter({ url }), autoDetectResources: false })
  sdk.start()
  const { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } = api
  const tracer = trace.getTracer('hopwise-demo')
  return {
    request(method, path, headers) {
      const caller = propagation.extract(ROOT_CONTEXT, headers)
      const attributes = { 'http.request.method': method, 'url.path': path }
      const span = tracer.startSpan(`${method} ${path}`, { kind: SpanKind.SERVER, attributes }, caller)
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
        end(status) {
          span.setAttribute('http.response.status_code', status)
          if (status >= 500 || status === 0) span.setStatus({ code: SpanStatusCode.ERROR })
          span.end()
        },
      }
    },
  }
}
