/** The cases of gRPC's interoperability tests, played by grpc-js. Each throws where the server answers otherwise. */
import assert from 'node:assert/strict'
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { sizeOf, type TestMessage, testService, unimplementedService, zeros } from './grpc-test-messages.ts'

type Reply = { readonly message: TestMessage; readonly head: Metadata; readonly trailers: Metadata }

class Caller extends Client {
  unary(
    method: (typeof testService)['EmptyCall'],
    request: TestMessage,
    metadata = new Metadata(),
    options = {},
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      let head = new Metadata()
      let trailers = new Metadata()
      let message: TestMessage | undefined
      const call = this.makeUnaryRequest<TestMessage, TestMessage>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadata,
        options,
        (error, value) => {
          if (error !== null) reject(error)
          else message = value
        },
      )
      call.on('metadata', received => {
        head = received
      })
      call.on('status', received => {
        trailers = received.metadata
        if (message !== undefined) resolve({ message, head, trailers })
      })
    })
  }

  duplex(metadata = new Metadata(), options = {}) {
    const { FullDuplexCall } = testService
    const { path, requestSerialize, responseDeserialize } = FullDuplexCall
    return this.makeBidiStreamRequest<TestMessage, TestMessage>(
      path,
      requestSerialize,
      responseDeserialize,
      metadata,
      options,
    )
  }
}

/** The code a call failed with; fails itself where the call does not. */
async function failure(call: Promise<unknown>): Promise<ServiceError> {
  return await call.then(
    () => assert.fail('the call was to fail'),
    (error: ServiceError) => error,
  )
}

const SIZES = [31_415, 9, 2_653, 58_979]
const REQUEST_SIZES = [27_182, 8, 1_828, 45_904]
const request = (size: number, payload: number): TestMessage => ({
  response_parameters: [{ size }],
  payload: zeros(payload),
})
const echoed = () => {
  const metadata = new Metadata()
  metadata.add('x-grpc-test-echo-initial', 'test_initial_metadata_value')
  metadata.add('x-grpc-test-echo-trailing-bin', Buffer.from([0xab, 0xab, 0xab]))
  return metadata
}
function checkEcho(head: Metadata, trailers: Metadata): void {
  assert.deepEqual(head.get('x-grpc-test-echo-initial'), ['test_initial_metadata_value'])
  assert.deepEqual(trailers.get('x-grpc-test-echo-trailing-bin'), [Buffer.from([0xab, 0xab, 0xab])])
}

const CASES: Readonly<Record<string, (caller: Caller) => Promise<void>>> = {
  async empty_unary(caller) {
    await caller.unary(testService.EmptyCall, {})
  },
  async large_unary(caller) {
    const { message } = await caller.unary(testService.UnaryCall, { response_size: 314_159, payload: zeros(271_828) })
    assert.equal(sizeOf(message), 314_159)
  },
  async client_streaming(caller) {
    const { path, requestSerialize, responseDeserialize } = testService.StreamingInputCall
    const message = await new Promise<TestMessage | undefined>((resolve, reject) => {
      const call = caller.makeClientStreamRequest<TestMessage, TestMessage>(
        path,
        requestSerialize,
        responseDeserialize,
        (error, value) => (error === null ? resolve(value) : reject(error)),
      )
      for (const size of REQUEST_SIZES) call.write({ payload: zeros(size) })
      call.end()
    })
    assert.equal(message?.aggregated_payload_size, 74_922)
  },
  async server_streaming(caller) {
    const { path, requestSerialize, responseDeserialize } = testService.StreamingOutputCall
    const asked = { response_parameters: SIZES.map(size => ({ size })) }
    const call = caller.makeServerStreamRequest<TestMessage, TestMessage>(
      path,
      requestSerialize,
      responseDeserialize,
      asked,
    )
    const sizes: number[] = []
    for await (const message of call) sizes.push(sizeOf(message as TestMessage))
    assert.deepEqual(sizes, SIZES)
  },
  async ping_pong(caller) {
    const call = caller.duplex()
    let turn = 0
    call.write(request(SIZES[0]!, REQUEST_SIZES[0]!))
    for await (const message of call) {
      assert.equal(sizeOf(message as TestMessage), SIZES[turn])
      turn++
      if (turn < SIZES.length) call.write(request(SIZES[turn]!, REQUEST_SIZES[turn]!))
      else call.end()
    }
    assert.equal(turn, SIZES.length)
  },
  async empty_stream(caller) {
    const call = caller.duplex()
    call.end()
    for await (const message of call) assert.fail(`a message came: ${JSON.stringify(message)}`)
  },
  async timeout_on_sleeping_server(caller) {
    const call = caller.duplex(new Metadata(), { deadline: Date.now() + 1 })
    call.write({ payload: zeros(27_182) })
    const error = await failure(once(call))
    assert.equal(error.code, status.DEADLINE_EXCEEDED)
  },
  async cancel_after_begin(caller) {
    const call = caller.duplex()
    call.cancel()
    assert.equal((await failure(once(call))).code, status.CANCELLED)
  },
  async cancel_after_first_response(caller) {
    const call = caller.duplex()
    const ended = failure(once(call))
    call.once('data', () => call.cancel())
    call.write(request(SIZES[0]!, REQUEST_SIZES[0]!))
    assert.equal((await ended).code, status.CANCELLED)
  },
  async status_code_and_message(caller) {
    const asked = { response_status: { code: 2, message: 'test status message' } }
    const error = await failure(caller.unary(testService.UnaryCall, asked))
    assert.deepEqual([error.code, error.details], [2, 'test status message'])
    const call = caller.duplex()
    const ended = failure(once(call))
    call.write(asked)
    call.end()
    const streamed = await ended
    assert.deepEqual([streamed.code, streamed.details], [2, 'test status message'])
  },
  async special_status_message(caller) {
    const message = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n'
    const error = await failure(caller.unary(testService.UnaryCall, { response_status: { code: 2, message } }))
    assert.deepEqual([error.code, error.details], [2, message])
  },
  async custom_metadata(caller) {
    const asked = { response_size: 314_159, payload: zeros(271_828) }
    const { head, trailers } = await caller.unary(testService.UnaryCall, asked, echoed())
    checkEcho(head, trailers)
    const call = caller.duplex(echoed())
    const heads: Metadata[] = []
    call.on('metadata', metadata => heads.push(metadata))
    const ended = new Promise<Metadata>(resolve => call.on('status', ({ metadata }) => resolve(metadata)))
    call.on('data', () => call.end())
    call.write(request(314_159, 271_828))
    const streamTrailers = await ended
    checkEcho(heads[0] ?? new Metadata(), streamTrailers)
  },
  async unimplemented_method(caller) {
    assert.equal((await failure(caller.unary(testService.UnimplementedCall, {}))).code, status.UNIMPLEMENTED)
  },
  async unimplemented_service(caller) {
    const { UnimplementedCall } = unimplementedService
    assert.equal((await failure(caller.unary(UnimplementedCall, {}))).code, status.UNIMPLEMENTED)
  },
}

/** Settles with the end of a call. */
function once(call: ReturnType<Caller['duplex']>): Promise<void> {
  return new Promise((resolve, reject) => {
    call.on('error', reject)
    call.on('data', () => {})
    call.on('status', ({ code }) => {
      if (code === status.OK) resolve()
    })
  })
}

export const caseNames = Object.keys(CASES)

/** Plays one case against the server on a port of this machine. */
export async function playCase(name: string, port: number, security = credentials.createInsecure()): Promise<void> {
  // The name that a certificate of the tests is for; an address is none.
  const caller = new Caller(`127.0.0.1:${port}`, security, { 'grpc.ssl_target_name_override': 'localhost' })
  try {
    await CASES[name]!(caller)
  } finally {
    caller.close()
  }
}
