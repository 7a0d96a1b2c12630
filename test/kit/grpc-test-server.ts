/** `grpc.testing.TestService` on grpc-js, as the interoperability tests want it. */
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { sizeOf, type TestMessage, testService, zeros } from './grpc-test-messages.ts'

const INITIAL = 'x-grpc-test-echo-initial'
const TRAILING = 'x-grpc-test-echo-trailing-bin'

/** What the caller wants back, in the head and in the trailers. */
function echo(call: { readonly metadata: Metadata; sendMetadata(metadata: Metadata): void }): Metadata {
  const head = new Metadata()
  const trailers = new Metadata()
  for (const value of call.metadata.get(INITIAL)) head.add(INITIAL, value)
  for (const value of call.metadata.get(TRAILING)) trailers.add(TRAILING, value)
  if (head.get(INITIAL).length > 0) call.sendMetadata(head)
  return trailers
}

function statusOf({ response_status: status }: TestMessage, metadata: Metadata) {
  if (status?.code === undefined || status.code === 0) return undefined
  return { code: status.code, details: status.message ?? '', metadata }
}

function unary(call: ServerUnaryCall<TestMessage, TestMessage>, reply: sendUnaryData<TestMessage>): void {
  const trailers = echo(call)
  const failure = statusOf(call.request, trailers)
  const { response_size: size = 0, fill_server_id: named = false } = call.request
  if (failure !== undefined) reply(failure)
  else reply(null, { payload: zeros(size), ...(named && { server_id: 'the only one' }) }, trailers)
}

function output(call: ServerWritableStream<TestMessage, TestMessage>): void {
  for (const { size = 0 } of call.request.response_parameters ?? []) call.write({ payload: zeros(size) })
  call.end()
}

function input(call: ServerReadableStream<TestMessage, TestMessage>, reply: sendUnaryData<TestMessage>): void {
  let total = 0
  call.on('data', (message: TestMessage) => {
    total += sizeOf(message)
  })
  call.on('end', () => reply(null, { aggregated_payload_size: total }))
}

function duplex(call: ServerDuplexStream<TestMessage, TestMessage>): void {
  const trailers = echo(call)
  call.on('data', (message: TestMessage) => {
    const failure = statusOf(message, trailers)
    if (failure !== undefined) {
      call.emit('error', failure)
      return
    }
    for (const { size = 0 } of message.response_parameters ?? []) call.write({ payload: zeros(size) })
  })
  call.on('end', () => call.end(trailers))
  call.on('error', () => {})
}

export class GrpcTestServer {
  readonly port: number
  readonly #server: Server

  private constructor(server: Server, port: number) {
    this.#server = server
    this.port = port
  }

  static async start(security = ServerCredentials.createInsecure()): Promise<GrpcTestServer> {
    const server = new Server()
    const { UnimplementedCall: _, ...served } = testService
    server.addService(served, {
      EmptyCall: (_call: unknown, reply: sendUnaryData<TestMessage>) => reply(null, {}),
      UnaryCall: unary,
      StreamingOutputCall: output,
      StreamingInputCall: input,
      FullDuplexCall: duplex,
    })
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', security, (error, port) => (error === null ? resolve(port) : reject(error)))
    })
    return new GrpcTestServer(server, port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown()
  }
}
