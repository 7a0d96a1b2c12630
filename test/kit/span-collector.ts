/** Stands for a Zipkin and an OTLP/HTTP collector at once, and keeps what came in one form. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { loadSync } from '@grpc/proto-loader'

export interface KeptSpan {
  readonly traceId: string
  readonly id: string
  readonly parentId: string
  readonly name: string
  readonly kind: string
  readonly shared: boolean
  /** Values of OTLP that are no text stand with their type: `int_value 5`. */
  readonly tags: Readonly<Record<string, string>>
  readonly annotations: readonly string[]
  /** OTLP: `ERROR`, … and the message behind it. */
  readonly status: string
  /** OTLP. */
  readonly resource: Readonly<Record<string, string>>
  readonly scope: string
}

interface KeyValue {
  readonly key: string
  readonly value?: { readonly value: string } & Readonly<Record<string, unknown>>
}

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: null | { readonly attributes: readonly KeyValue[] }
    readonly scopeSpans: readonly {
      readonly scope: null | { readonly name: string; readonly version: string }
      readonly spans: readonly {
        readonly traceId: Buffer
        readonly spanId: Buffer
        readonly parentSpanId: Buffer
        readonly name: string
        readonly kind: string
        readonly attributes: readonly KeyValue[]
        readonly events: readonly { readonly name: string }[]
        readonly status: null | { readonly message: string; readonly code: string }
      }[]
    }[]
  }[]
}

interface ZipkinSpan {
  readonly traceId: string
  readonly id: string
  readonly parentId?: string
  readonly name?: string
  readonly kind?: string
  readonly shared?: boolean
  readonly tags?: Readonly<Record<string, string>>
  readonly annotations?: readonly { readonly value: string }[]
}

const methods = loadSync(join(import.meta.dirname, 'otlp-trace.proto'), {
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
})
const { Export } = methods['otlp.TraceService'] as unknown as {
  Export: { requestDeserialize(bytes: Buffer): OtlpRequest }
}

export class SpanCollector {
  readonly spans: KeptSpan[] = []
  /** Requests to other paths than those of spans. */
  readonly strays: string[] = []
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('end', () => {
        const body = Buffer.concat(parts)
        if (request.url === '/api/v2/spans') this.spans.push(...zipkinSpans(body))
        else if (request.url === '/v1/traces') this.spans.push(...otlpSpans(body))
        else this.strays.push(`${request.method} ${request.url}`)
        response.writeHead(request.url === '/v1/traces' ? 200 : 202).end()
      })
    })
  }

  static async start(): Promise<SpanCollector> {
    const collector = new SpanCollector()
    await new Promise<void>(resolve => collector.#server.listen(0, '127.0.0.1', resolve))
    return collector
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

function zipkinSpans(body: Buffer): KeptSpan[] {
  return (JSON.parse(body.toString('utf8')) as ZipkinSpan[]).map(span => ({
    traceId: span.traceId,
    id: span.id,
    parentId: span.parentId ?? '',
    name: span.name ?? '',
    kind: span.kind ?? '',
    shared: span.shared === true,
    tags: span.tags ?? {},
    annotations: (span.annotations ?? []).map(({ value }) => value),
    status: '',
    resource: {},
    scope: '',
  }))
}

function otlpSpans(body: Buffer): KeptSpan[] {
  const { resourceSpans } = Export.requestDeserialize(body)
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ scope, spans }) =>
      spans.map(span => ({
        traceId: span.traceId.toString('hex'),
        id: span.spanId.toString('hex'),
        parentId: span.parentSpanId.toString('hex'),
        name: span.name,
        kind: span.kind,
        shared: false,
        tags: attributes(span.attributes),
        annotations: span.events.map(({ name }) => name),
        status: span.status === null ? '' : `${span.status.code} ${span.status.message}`.trim(),
        resource: attributes(resource?.attributes ?? []),
        scope: scope === null ? '' : `${scope.name} ${scope.version}`.trim(),
      })),
    ),
  )
}

function attributes(list: readonly KeyValue[]): Record<string, string> {
  return Object.fromEntries(
    list.map(({ key, value }) => {
      const type = value?.value ?? ''
      const text = String(value?.[type] ?? '')
      return [key, type === 'stringValue' || type === '' ? text : `${type} ${text}`]
    }),
  )
}
