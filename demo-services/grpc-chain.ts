/**
 * `chain.proto` on grpc-js: the client through which a calls b, and the server that b is. Imported only by services that
 * speak gRPC, because it costs some 100 ms at start.
 */
import { constants, type ServerHttp2Stream } from 'node:http2'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { Counter, Histogram, type Registry } from 'prom-client'
import { type Exchange, HEAD_FIRST_MS, type Serve } from './exchange.ts'
import type { RequestTrace, Tracing } from './tracing.ts'

interface WorkRequest {
  readonly ballast?: Uint8Array
}

interface WorkReply {
  readonly service: string
}

const { Chain } = (
  grpc.loadPackageDefinition(loadSync(join(import.meta.dirname, 'chain.proto'))) as unknown as {
    hopwise: { demo: { Chain: grpc.ServiceClientConstructor } }
  }
).hopwise.demo
const WORK = Chain.service['Work']!
/** A sidecar that was away is back soon. */
const RECONNECT_MS = 50

const { status: Status } = grpc
/** Statuses for which the server is to blame, by the same conventions. */
const SERVER_ERRORS: ReadonlySet<number> = new Set([
  Status.UNKNOWN,
  Status.DEADLINE_EXCEEDED,
  Status.UNIMPLEMENTED,
  Status.INTERNAL,
  Status.UNAVAILABLE,
  Status.DATA_LOSS,
])

/** What gRPC has for a status of HTTP. */
function grpcStatus(httpStatus: number): grpc.status {
  if (httpStatus === 500) return Status.INTERNAL
  if (httpStatus === 502 || httpStatus === 503) return Status.UNAVAILABLE
  return httpStatus === 504 ? Status.DEADLINE_EXCEEDED : Status.UNKNOWN
}

export class ChainClient {
  readonly #client: grpc.Client

  /** `host` is whom the sidecar at `egressPort` is to ask. */
  constructor(host: string, egressPort: number) {
    this.#client = new grpc.Client(`127.0.0.1:${egressPort}`, grpc.credentials.createInsecure(), {
      'grpc.default_authority': host,
      'grpc.initial_reconnect_backoff_ms': RECONNECT_MS,
      'grpc.max_reconnect_backoff_ms': RECONNECT_MS,
    })
  }

  /** Resolves with an answer that is none of an error. */
  work(
    ballastBytes: number,
    headers: Readonly<Record<string, string>>,
    gone: AbortSignal | undefined,
    deadlineMs?: number,
  ): Promise<void> {
    const metadata = new grpc.Metadata()
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const request: WorkRequest = { ballast: Buffer.alloc(ballastBytes, 'x') }
    const call = this.#client.makeUnaryRequest<WorkRequest, WorkReply>(
      WORK.path,
      WORK.requestSerialize,
      WORK.responseDeserialize,
      request,
      metadata,
      deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
      error => (error === null ? resolve() : reject(new Error(`${Status[error.code]}: ${error.details}`))),
    )
    const cancel = () => call.cancel()
    if (gone?.aborted) cancel()
    gone?.addEventListener('abort', cancel, { once: true })
    return promise.finally(() => gone?.removeEventListener('abort', cancel))
  }
}

export function startGrpcServer(port: number, name: string, registry: Registry, tracing: Tracing, serve: Serve): void {
  const handled = new Counter({
    name: 'grpc_server_handled_total',
    help: 'Calls by status',
    labelNames: ['grpc_code'],
    registers: [registry],
  })
  const seconds = new Histogram({
    name: 'grpc_server_handling_seconds',
    help: 'Time from call to answer',
    registers: [registry],
  })
  /** By address of the other end: a service that breaks connections needs to have them. */
  const connections = new Map<string, Socket>()
  /** `end` is told once of the status, with what it means. */
  const take = (method: string, call: ServerCall, end: (code: grpc.status, details: string) => void) => {
    const started = performance.now()
    const path = Chain.service[method]!.path
    // As the conventions of OpenTelemetry name what is called.
    const attributes = { 'rpc.system': 'grpc', 'rpc.service': 'hopwise.demo.Chain', 'rpc.method': method }
    const trace = tracing.request(path.slice(1), attributes, headersOf(call.metadata))
    const connection = connections.get(call.getPeer())
    const exchange = new GrpcExchange(name, path, trace, call, connection, (code, details) => {
      handled.inc({ grpc_code: Status[code]! })
      seconds.observe((performance.now() - started) / 1000)
      trace.end(SERVER_ERRORS.has(code), { 'rpc.grpc.status_code': code })
      // Nobody is left to be told.
      if (code !== Status.CANCELLED) end(code, details)
    })
    serve(exchange).catch((error: Error) => exchange.answer(502, error.message))
  }
  const unary =
    (method: string): grpc.handleUnaryCall<WorkRequest, WorkReply> =>
    (call, reply) =>
      take(method, call, (code, details) =>
        code === Status.OK ? reply(null, { service: name }) : reply({ code, details }),
      )
  const Feed: grpc.handleServerStreamingCall<WorkRequest, WorkReply> = call =>
    take('Feed', call, (code, details) => {
      if (code !== Status.OK) return void call.emit('error', { code, details })
      call.write({ service: name })
      call.end()
    })
  const server = new grpc.Server()
  server.addService(Chain.service, { Work: unary('Work'), Quote: unary('Quote'), Feed })
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure())
  const listener = createServer(socket => {
    const address = `${socket.remoteAddress}:${socket.remotePort}`
    connections.set(address, socket)
    socket.on('close', () => connections.delete(address))
    // It is broken on purpose, and then says so.
    socket.on('error', () => {})
    injector.injectConnection(socket)
  })
  listener.listen(port, '127.0.0.1')
}

/** Of either kind of method: one that streams takes messages before its end. */
type ServerCall = grpc.ServerUnaryCall<WorkRequest, WorkReply> & { readonly write?: (reply: WorkReply) => boolean }

class GrpcExchange implements Exchange {
  readonly path: string
  readonly trace: RequestTrace
  readonly gone: AbortSignal
  readonly connection: Socket | undefined
  readonly #name: string
  readonly #call: ServerCall
  readonly #gone = new AbortController()
  readonly #end: (code: grpc.status, details: string) => void
  #ended = false

  constructor(
    name: string,
    path: string,
    trace: RequestTrace,
    call: ServerCall,
    connection: Socket | undefined,
    end: (code: grpc.status, details: string) => void,
  ) {
    this.#name = name
    this.path = path
    this.trace = trace
    this.#call = call
    this.connection = connection
    this.#end = end
    this.gone = this.#gone.signal
    call.on('cancelled', () => this.#finish(Status.CANCELLED, 'cancelled'))
    if (call.cancelled) this.#finish(Status.CANCELLED, 'cancelled')
  }

  answer(status: number, error: string | undefined, headBytes = 0): void {
    if (headBytes > 0 && !this.#ended) this.#call.sendMetadata(ballast(headBytes))
    if (status === 200) this.#finish(Status.OK, '')
    else this.#finish(grpcStatus(status), `${this.#name}: ${error}`)
  }

  reset(): void {
    // grpc-js lends its streams to nobody; without this one it would be an answer.
    const { call } = this.#call as unknown as { readonly call: { readonly stream: ServerHttp2Stream } }
    call.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }

  stall(): void {
    if (this.#ended) return
    if (this.#call.write !== undefined) this.#call.write({ service: this.#name })
    else this.#call.sendMetadata(new grpc.Metadata())
  }

  cutShort(): void {
    if (this.#ended) return
    this.#call.sendMetadata(new grpc.Metadata())
    setTimeout(() => this.connection?.resetAndDestroy(), HEAD_FIRST_MS)
  }

  #finish(code: grpc.status, details: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#end(code, details)
    this.#gone.abort()
  }
}

function ballast(bytes: number): grpc.Metadata {
  const metadata = new grpc.Metadata()
  metadata.set('x-ballast', 'x'.repeat(bytes))
  return metadata
}

function headersOf(metadata: grpc.Metadata): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(metadata.getMap())) if (typeof value === 'string') headers[name] = value
  return headers
}
