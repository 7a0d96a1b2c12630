/** Messages of `grpc.testing.TestService`, as the interoperability tests of gRPC have them, by hand. */
import { create, createFileRegistry, fromBinary, fromJson, type JsonObject, toBinary, toJson } from '@bufbuild/protobuf'
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt'

type Kind = 'int32' | 'bytes' | 'string' | 'bool' | 'Payload' | 'EchoStatus' | 'ResponseParameters'

const SCALARS: Readonly<Record<string, Type>> = {
  int32: Type.INT32,
  bytes: Type.BYTES,
  string: Type.STRING,
  bool: Type.BOOL,
}

const message = (
  name: string,
  fields: Readonly<Record<string, readonly [number: number, kind: Kind, repeated?: true]>>,
) => ({
  name,
  field: Object.entries(fields).map(([name, [number, kind, repeated]]) => ({
    name,
    number,
    label: repeated === true ? Label.REPEATED : Label.OPTIONAL,
    type: SCALARS[kind] ?? Type.MESSAGE,
    jsonName: name,
    ...(SCALARS[kind] === undefined && { typeName: `.grpc.testing.${kind}` }),
  })),
})

const registry = createFileRegistry(
  create(FileDescriptorSetSchema, {
    file: [
      create(FileDescriptorProtoSchema, {
        name: 'test.proto',
        package: 'grpc.testing',
        syntax: 'proto3',
        messageType: [
          message('Empty', {}),
          // `type` is an enum on the wire, which an int32 reads the same.
          message('Payload', { type: [1, 'int32'], body: [2, 'bytes'] }),
          message('EchoStatus', { code: [1, 'int32'], message: [2, 'string'] }),
          message('SimpleRequest', {
            response_type: [1, 'int32'],
            response_size: [2, 'int32'],
            payload: [3, 'Payload'],
            response_status: [7, 'EchoStatus'],
            fill_server_id: [9, 'bool'],
          }),
          message('SimpleResponse', { payload: [1, 'Payload'], server_id: [4, 'string'] }),
          message('StreamingInputCallRequest', { payload: [1, 'Payload'] }),
          message('StreamingInputCallResponse', { aggregated_payload_size: [1, 'int32'] }),
          message('ResponseParameters', { size: [1, 'int32'], interval_us: [2, 'int32'] }),
          message('StreamingOutputCallRequest', {
            response_type: [1, 'int32'],
            response_parameters: [2, 'ResponseParameters', true],
            payload: [3, 'Payload'],
            response_status: [7, 'EchoStatus'],
          }),
          message('StreamingOutputCallResponse', { payload: [1, 'Payload'] }),
        ],
      }),
    ],
  }),
)

export interface TestMessage {
  response_size?: number
  payload?: { body?: string }
  response_status?: { code?: number; message?: string }
  response_parameters?: readonly { size?: number; interval_us?: number }[]
  aggregated_payload_size?: number
  fill_server_id?: boolean
  server_id?: string
}

/** The two functions that grpc-js wants of a message type. */
export function codec(name: string) {
  const type = registry.getMessage(`grpc.testing.${name}`)!
  return {
    serialize: (value: TestMessage) => Buffer.from(toBinary(type, fromJson(type, value as unknown as JsonObject))),
    deserialize: (bytes: Buffer) => toJson(type, fromBinary(type, bytes)) as unknown as TestMessage,
  }
}

/** A payload of so many zero bytes; bytes are base64 here. */
export const zeros = (size: number) => ({ body: Buffer.alloc(size).toString('base64') })
export const sizeOf = (value: TestMessage) => Buffer.from(value.payload?.body ?? '', 'base64').length

function definition(name: string, request: string, response: string, requestStream: boolean, responseStream: boolean) {
  const input = codec(request)
  const output = codec(response)
  return {
    path: `/grpc.testing.TestService/${name}`,
    requestStream,
    responseStream,
    requestSerialize: input.serialize,
    requestDeserialize: input.deserialize,
    responseSerialize: output.serialize,
    responseDeserialize: output.deserialize,
  }
}

export const testService = {
  EmptyCall: definition('EmptyCall', 'Empty', 'Empty', false, false),
  UnaryCall: definition('UnaryCall', 'SimpleRequest', 'SimpleResponse', false, false),
  StreamingOutputCall: definition(
    'StreamingOutputCall',
    'StreamingOutputCallRequest',
    'StreamingOutputCallResponse',
    false,
    true,
  ),
  StreamingInputCall: definition(
    'StreamingInputCall',
    'StreamingInputCallRequest',
    'StreamingInputCallResponse',
    true,
    false,
  ),
  FullDuplexCall: definition('FullDuplexCall', 'StreamingOutputCallRequest', 'StreamingOutputCallResponse', true, true),
  UnimplementedCall: definition('UnimplementedCall', 'Empty', 'Empty', false, false),
} as const

/** Named by the tests, and served by nobody. */
export const unimplementedService = {
  UnimplementedCall: { ...testService.UnimplementedCall, path: '/grpc.testing.UnimplementedService/UnimplementedCall' },
} as const
