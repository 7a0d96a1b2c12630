import type { Bootstrap } from '../config/schema/generated/types.ts'
import {
  type OtelSdkExporter,
  otelExportersWanted,
  startOtelSdkExporter,
} from '../observability/tracing/otel-sdk-exporter.ts'
import type { ServerOptions } from './options.ts'

/** The OpenTelemetry SDK, loaded only where its standard environment asks for an exporter. */
export async function spanReporterOfEnvironment(
  bootstrap: Bootstrap,
  options: ServerOptions,
  version: string,
): Promise<OtelSdkExporter | undefined> {
  if (otelExportersWanted(process.env).length === 0) return undefined
  const serviceName = options.serviceCluster || bootstrap.node?.cluster || 'hopwise'
  return await startOtelSdkExporter({ serviceName, version })
}
