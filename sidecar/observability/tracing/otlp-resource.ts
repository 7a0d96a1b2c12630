/** The resource that OTLP reports name: who sends them (Envoy: `resource_detectors`, `service_name`). */

export interface OtlpResourceConfig {
  readonly serviceName: string
  readonly version: string
  /** `envoy.tracers.opentelemetry.resource_detectors.static_config`. */
  readonly attributes?: Readonly<Record<string, string>> | undefined
  /** `….environment`: `OTEL_RESOURCE_ATTRIBUTES` is read. */
  readonly fromEnvironment?: boolean | undefined
  /** `set_service_name_resource_attribute` and `set_telemetry_sdk_resource_attributes`, true by default. */
  readonly withServiceName?: boolean | undefined
  readonly withSdk?: boolean | undefined
}

/** Configured attributes win over those of the environment, and both over `service_name`. */
export function otlpResource(
  config: OtlpResourceConfig,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const detected =
    config.fromEnvironment === true ? parseResourceAttributes(environment['OTEL_RESOURCE_ATTRIBUTES'] ?? '') : {}
  return {
    // Envoy's own default name.
    ...(config.withServiceName !== false && { 'service.name': config.serviceName || 'unknown_service:envoy' }),
    ...(config.withSdk !== false && {
      'telemetry.sdk.language': 'nodejs',
      'telemetry.sdk.name': 'hopwise',
      'telemetry.sdk.version': config.version,
    }),
    ...detected,
    ...config.attributes,
  }
}

/** `key=value,key=value`, values percent-encoded; what is not of that form is left out. */
export function parseResourceAttributes(text: string): Record<string, string> {
  const attributes: Record<string, string> = {}
  for (const pair of text.split(',')) {
    const equals = pair.indexOf('=')
    if (equals <= 0) continue
    const value = pair.slice(equals + 1).trim()
    try {
      attributes[pair.slice(0, equals).trim()] = decodeURIComponent(value)
    } catch {
      attributes[pair.slice(0, equals).trim()] = value
    }
  }
  return attributes
}
