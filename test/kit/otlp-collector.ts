/**
 * Stands for an OpenTelemetry collector: takes OTLP/HTTP in protobuf, and has the official protos (PyPI's
 * `opentelemetry-proto`) decode what came. A body that these do not understand is a failed test.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import { createInterface } from 'node:readline'

export interface CollectedSpan {
  readonly service: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly name: string
  /** `SPAN_KIND_SERVER`, … */
  readonly kind: string
  readonly attributes: Readonly<Record<string, string>>
  /** `STATUS_CODE_ERROR`, …; '' for unset. */
  readonly status: string
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[]
}

/** Reads lines of hex, writes a line of JSON for each. */
const DECODER = `
import json, sys
from google.protobuf.json_format import MessageToDict
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
def understood(message):
    assert len(UnknownFieldSet(message)) == 0, message.DESCRIPTOR.full_name
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, 'ListFields') else value:
                understood(part)
for line in sys.stdin:
    request = ExportTraceServiceRequest()
    request.ParseFromString(bytes.fromhex(line.strip()))
    understood(request)
    spans = []
    def text(value):
        return str(next(iter(MessageToDict(value).values()), ''))
    for resource in request.resource_spans:
        attributes = {a.key: text(a.value) for a in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                spans.append({
                    'service': attributes.get('service.name', ''),
                    'traceId': span.trace_id.hex(), 'spanId': span.span_id.hex(),
                    'parentSpanId': span.parent_span_id.hex(), 'name': span.name,
                    'kind': span.SpanKind.Name(span.kind),
                    'attributes': {a.key: text(a.value) for a in span.attributes},
                    'status': MessageToDict(span.status).get('code', ''),
                    'links': [{'traceId': l.trace_id.hex(), 'spanId': l.span_id.hex()} for l in span.links],
                })
    print(json.dumps(spans), flush=True)
`

export class OtlpCollector {
  readonly spans: CollectedSpan[] = []
  readonly problems: string[] = []
  readonly #server: Server
  readonly #decoder: ChildProcess

  private constructor(pythonPath: string) {
    this.#decoder = spawn('python3', ['-c', DECODER], {
      env: { ...process.env, PYTHONPATH: pythonPath },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    createInterface(this.#decoder.stdout!).on('line', line => {
      this.spans.push(...(JSON.parse(line) as CollectedSpan[]))
    })
    this.#decoder.stderr!.setEncoding('utf8').on('data', (text: string) => this.problems.push(text))
    this.#decoder.stdin!.on('error', () => {})
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('end', () => {
        const type = request.headers['content-type']
        if (request.method !== 'POST' || request.url !== '/v1/traces' || type !== 'application/x-protobuf') {
          this.problems.push(`${request.method} ${request.url} ${type}`)
          return void response.writeHead(400).end()
        }
        this.#decoder.stdin!.write(`${Buffer.concat(parts).toString('hex')}\n`)
        // An empty ExportTraceServiceResponse: all was taken.
        response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
      })
    })
  }

  /** `pythonPath`: where the package is. */
  static async start(port: number, pythonPath: string): Promise<OtlpCollector> {
    const collector = new OtlpCollector(pythonPath)
    await new Promise<void>(resolve => collector.#server.listen(port, '127.0.0.1', resolve))
    return collector
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
    this.#decoder.kill('SIGKILL')
  }
}
