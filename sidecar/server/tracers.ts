/** Tracers from configuration: what the provider's message means, and the way of finished spans to their collector. */

import type { CollectorState } from '../admin/server-control.ts'
import { VERSION } from '../base/version.ts'
import type {
  HttpConnectionManager,
  OpenTelemetryConfig,
  StaticConfigResourceDetectorConfig,
  TypedExtensionConfig,
  ZipkinConfig,
} from '../config/schema/generated/types.ts'
import type { ObservationPolicy } from '../http/stream-observation.ts'
import type { StatsScope } from '../observability/stats.ts'
import { OtlpProtobufEncoder } from '../observability/tracing/otlp-encoder.ts'
import { otlpResource } from '../observability/tracing/otlp-resource.ts'
import { SamplingStats } from '../observability/tracing/sampling.ts'
import type { SpanEncoder } from '../observability/tracing/span-encoder.ts'
import {
  type CollectorKind,
  outcomeOfStatus,
  SpanExporter,
  type SpanSink,
} from '../observability/tracing/span-exporter.ts'
import {
  OPENTELEMETRY_TRACING,
  type SpanReporter,
  Tracer,
  type TracingConfig,
  ZIPKIN_TRACING,
} from '../observability/tracing/tracer.ts'
import { ZipkinEncoder } from '../observability/tracing/zipkin-encoder.ts'
import { customTagConfig, spanName } from '../router/route-tracing.ts'
import type { AsyncClient } from './async-client.ts'
import { BuildError, type BuildErrors } from './build-errors.ts'
import type { Environment } from './environment.ts'

/** A collector that has not answered by then has lost the report. */
const REPORT_TIMEOUT_MS = 5000
/** Of a question whether a collector is there. */
const PROBE_TIMEOUT_MS = 2000
/** A trace larger than this is nothing for a page. */
const MAX_TRACE_BYTES = 4 * 1024 * 1024

const DETECTORS = 'envoy.extensions.tracers.opentelemetry.resource_detectors.v3'
const ALWAYS_ON = 'envoy.extensions.tracers.opentelemetry.samplers.v3.AlwaysOnSamplerConfig'

interface Provider {
  readonly base: TracingConfig
  readonly reporter: SpanReporter
  /** Undefined where the reports go elsewhere. */
  readonly collector: Collector | undefined
}

interface Collector {
  readonly kind: CollectorKind
  readonly cluster: string
  readonly authority: string
  readonly path: string
  readonly exporter: SpanExporter
}

export class Tracers {
  #env!: Environment
  readonly #client: AsyncClient
  /** Reports go through the SDK instead, where the environment asks for it (design.md). */
  readonly #override: SpanReporter | undefined
  /** By the message that asks for it. */
  readonly #providers = new Map<object, Provider>()
  /** Which tracers use which message's provider: it goes with the last of them. */
  readonly #users = new Map<Tracer, object>()
  /** Their last spans are on the way. */
  readonly #closing = new Set<SpanExporter>()

  constructor(client: AsyncClient, override: SpanReporter | undefined) {
    this.#client = client
    this.#override = override
  }

  /** Joined with the environment after both exist: each needs the other. */
  attach(env: Environment): void {
    this.#env = env
  }

  /** The tracer of a connection manager, or undefined where it names no provider. `path` is that of its `tracing`. */
  tracerOf(
    message: HttpConnectionManager,
    path: string,
    policy: ObservationPolicy,
    scope: StatsScope,
    errors: BuildErrors,
  ): Tracer | undefined {
    const { tracing } = message
    const provider = tracing?.provider?.typedConfig
    if (tracing === undefined || provider === undefined) return undefined
    const before = errors.errors.length
    const customTags = tracing.customTags.map((tag, i) =>
      errors.attempt(`${path}.custom_tags[${i}]`, tag, () => customTagConfig(tag)),
    )
    const named = (text: string, field: string) => errors.attempt(path, tracing, () => spanName(text, field))
    const operationName = named(tracing.operation, 'operation')
    const upstreamOperationName = named(tracing.upstreamOperation, 'upstream_operation')
    const made = errors.attempt(path, tracing, () => this.#provider(provider.typeUrl, provider.value))
    if (made === undefined || errors.errors.length > before) {
      this.#closeUnused(provider.value)
      return undefined
    }
    const { base, reporter } = made
    const requestId = message.requestIdExtension?.typedConfig?.value as
      | { packTraceReason?: boolean; useRequestIdForTraceSampling?: boolean }
      | undefined
    const tracer = new Tracer(
      {
        ...base,
        operation: policy.direction === 'inbound' ? 'ingress' : 'egress',
        nodeId: this.#env.node?.id ?? '',
        zone: this.#env.node?.locality?.zone ?? '',
        sampling: {
          rates: {
            clientSampling: tracing.clientSampling?.value ?? 100,
            randomSampling: tracing.randomSampling?.value ?? 100,
            overallSampling: tracing.overallSampling?.value ?? 100,
          },
          packTraceReason: requestId?.packTraceReason ?? true,
          useRequestIdForSampling: requestId?.useRequestIdForTraceSampling ?? true,
        },
        maxPathTagLength: tracing.maxPathTagLength ?? 256,
        verbose: tracing.verbose,
        customTags: customTags.filter(tag => tag !== undefined),
        operationName,
        upstreamOperationName,
        propagateContext: !tracing.noContextPropagation,
        spawnUpstreamSpan: tracing.spawnUpstreamSpan ?? base.spawnUpstreamSpan,
      },
      {
        clock: this.#env.clock,
        random: this.#env.random,
        reporter,
        runtime: this.#env.runtime,
        stats: new SamplingStats(scope),
      },
    )
    this.#users.set(tracer, provider.value)
    return tracer
  }

  /** A tracer that no connection manager has any more; a provider that nobody uses then is closed. May be said twice. */
  release(tracer: Tracer): void {
    const message = this.#users.get(tracer)
    this.#users.delete(tracer)
    if (message !== undefined) this.#closeUnused(message)
  }

  #closeUnused(message: object): void {
    if ([...this.#users.values()].includes(message)) return
    const exporter = this.#providers.get(message)?.collector?.exporter
    this.#providers.delete(message)
    if (exporter === undefined) return
    this.#closing.add(exporter)
    void exporter.close().then(() => this.#closing.delete(exporter))
  }

  /** Those that spans are sent to, in the order of the configuration. */
  get #collectors(): Collector[] {
    return [...this.#providers.values()].flatMap(({ collector }) => collector ?? [])
  }

  /** Sends what is waiting; resolves when the collectors have it or have had their time. */
  async flush(): Promise<void> {
    const exporters = [...this.#collectors.map(({ exporter }) => exporter), ...this.#closing]
    await Promise.all(exporters.map(exporter => exporter.flush()))
  }

  /** A trace as the collector has it, in Zipkin's JSON; or why there is none. */
  async trace(id: string): Promise<Buffer | string> {
    const collector = this.#collectors.findLast(({ path }) => path.endsWith('/api/v2/spans'))
    if (collector === undefined) return 'no Zipkin collector is configured, so there is nobody to ask for traces'
    const { cluster, authority, path } = collector
    const result = await this.#client.send({
      cluster,
      method: 'GET',
      path: path.replace(/\/spans$/, `/trace/${id}`),
      authority,
      headers: [],
      body: Buffer.alloc(0),
      timeoutMs: REPORT_TIMEOUT_MS,
      maxResponseBytes: MAX_TRACE_BYTES,
    })
    if (!result.ok) return `cluster ${cluster} gave no trace: ${result.reason}`
    if (result.headers.status !== 200) return `cluster ${cluster} has no trace ${id} (${result.headers.status})`
    return result.body.length >= MAX_TRACE_BYTES ? `the trace is larger than ${MAX_TRACE_BYTES} bytes` : result.body
  }

  /** Asks each collector whether it is there: any answer will do. */
  collectors(): Promise<CollectorState[]> {
    const distinct = new Map(
      this.#collectors.map(({ kind, cluster, authority }) => [
        JSON.stringify([kind, cluster, authority]),
        { kind, cluster, authority },
      ]),
    )
    const asked = [...distinct.values()].map(async ({ kind, cluster, authority }) => {
      const result = await this.#client.send({
        cluster,
        method: 'GET',
        path: '/',
        authority,
        headers: [],
        body: Buffer.alloc(0),
        timeoutMs: PROBE_TIMEOUT_MS,
        maxResponseBytes: 1024,
      })
      return { kind, cluster, failure: result.ok ? '' : result.reason }
    })
    return Promise.all(asked)
  }

  #provider(typeUrl: string, message: object): Provider {
    const known = this.#providers.get(message)
    if (known !== undefined) return known
    const provider =
      typeUrl === 'envoy.config.trace.v3.ZipkinConfig'
        ? this.#zipkin(message as ZipkinConfig)
        : this.#openTelemetry(message as OpenTelemetryConfig)
    this.#providers.set(message, provider)
    return provider
  }

  #zipkin(config: ZipkinConfig): Provider {
    const service = config.collectorService?.httpUri
    const cluster = service?.cluster ?? config.collectorCluster
    const path = service === undefined ? config.collectorEndpoint : new URL(service.uri).pathname
    const authority = config.collectorHostname || (service === undefined ? cluster : new URL(service.uri).host)
    const encoder = new ZipkinEncoder({ serviceName: this.#env.serviceName, ipv4: '', ipv6: '', port: 0 })
    const withW3c = config.traceContextOption === 'USE_B3_WITH_W3C_PROPAGATION'
    const formats = withW3c ? (['b3', 'w3c'] as const) : (['b3'] as const)
    return {
      base: {
        ...ZIPKIN_TRACING,
        traceId128Bit: config.traceId128bit,
        sharedSpanContext: config.sharedSpanContext ?? true,
        splitSpansForRequest: config.splitSpansForRequest,
        timestampTraceIds: config.timestampTraceIds,
        extract: formats,
        inject: formats,
      },
      ...this.#exporter('zipkin', cluster, path, authority, [], REPORT_TIMEOUT_MS, encoder),
    }
  }

  #openTelemetry(config: OpenTelemetryConfig): Provider {
    const service = config.httpService
    const uri = service?.httpUri
    if (service === undefined || uri === undefined || uri.cluster === undefined) {
      throw new BuildError('provider.typed_config.http_service', 'is required: spans go out by OTLP over HTTP', config)
    }
    const url = new URL(uri.uri)
    const resource = otlpResource({
      serviceName: config.serviceName,
      version: VERSION,
      ...detectedResource(config.resourceDetectors),
      withServiceName: config.setServiceNameResourceAttribute,
      withSdk: config.setTelemetrySdkResourceAttributes,
    })
    const alwaysSampled = config.sampler?.typedConfig?.typeUrl === ALWAYS_ON
    const headers = service.requestHeadersToAdd.map(
      ({ header }) => [header?.key.toLowerCase() ?? '', header?.value ?? ''] as const,
    )
    const encoder = new OtlpProtobufEncoder({
      resource,
      version: VERSION,
      withScope: config.setInstrumentationScope,
    })
    const timeout = uri.timeout ?? REPORT_TIMEOUT_MS
    return {
      base: { ...OPENTELEMETRY_TRACING, alwaysSampled },
      ...this.#exporter(
        'opentelemetry',
        uri.cluster,
        url.pathname,
        url.host,
        headers,
        timeout,
        encoder,
        config.maxCacheSize,
      ),
    }
  }

  #exporter(
    kind: CollectorKind,
    cluster: string,
    path: string,
    authority: string,
    headers: readonly (readonly [string, string])[],
    timeoutMs: number,
    encoder: SpanEncoder,
    maxWaitingSpans?: number,
  ): Pick<Provider, 'reporter' | 'collector'> {
    if (this.#override !== undefined) return { reporter: this.#override, collector: undefined }
    const client = this.#client
    const clusters = this.#env.clusters
    const sink: SpanSink = {
      send(to, contentType, body, done) {
        if (clusters.get(cluster) === undefined) {
          done('no_cluster')
          return
        }
        const request = {
          cluster,
          method: 'POST',
          path: to,
          authority,
          headers: [['content-type', contentType] as const, ...headers],
          body: Buffer.from(body as string),
          timeoutMs,
          maxResponseBytes: 1024,
        }
        void client.send(request).then(result => {
          done(result.ok ? outcomeOfStatus(kind, result.headers.status) : 'failed')
        })
      },
    }
    const { timers, stats, runtime } = this.#env
    const exporter = new SpanExporter({ kind, path, encoder, sink, timers, stats, runtime, maxWaitingSpans })
    return { reporter: exporter, collector: { kind, cluster, authority, path, exporter } }
  }
}

/** What resource detectors find, told apart by their types: their names are anybody's. A later one wins. */
function detectedResource(detectors: readonly TypedExtensionConfig[]) {
  const attributes: Record<string, string> = {}
  let fromEnvironment = false
  for (const { typedConfig } of detectors) {
    if (typedConfig?.typeUrl === `${DETECTORS}.EnvironmentResourceDetectorConfig`) fromEnvironment = true
    else if (typedConfig?.typeUrl === `${DETECTORS}.StaticConfigResourceDetectorConfig`) {
      const found = (typedConfig.value as StaticConfigResourceDetectorConfig).attributes
      for (const [key, value] of found) if (key !== '' && value !== '') attributes[key] = value
    }
  }
  return { fromEnvironment, attributes }
}
