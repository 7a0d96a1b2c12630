/**
 * A made-up service with `google.api.http` rules, as a descriptor set: what `protoc --include_imports` would give, made
 * here so that no tool is needed.
 */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  FieldDescriptorProto_Label as Label,
  type MethodDescriptorProto,
  MethodDescriptorProtoSchema,
  MethodOptionsSchema,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt'

interface Rule {
  get?: string
  post?: string
  custom?: readonly [kind: string, path: string]
  body?: string
  more?: readonly Rule[]
}

const HTTP_EXTENSION = 72295728

function delimited(number: number, bytes: Uint8Array | string): Buffer {
  const content = Buffer.from(bytes)
  return Buffer.concat([varint(number * 8 + 2), varint(content.length), content])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80)
  return Buffer.from([...bytes, value])
}

function ruleBytes({ get, post, custom, body, more = [] }: Rule): Buffer {
  return Buffer.concat([
    ...(get === undefined ? [] : [delimited(2, get)]),
    ...(post === undefined ? [] : [delimited(4, post)]),
    ...(custom === undefined ? [] : [delimited(8, Buffer.concat([delimited(1, custom[0]), delimited(2, custom[1])]))]),
    ...(body === undefined ? [] : [delimited(7, body)]),
    ...more.map(rule => delimited(11, ruleBytes(rule))),
  ])
}

const field = (name: string, number: number, type: Type, typeName?: string, label: Label = Label.OPTIONAL) => ({
  name,
  number,
  type,
  label,
  jsonName: name.replaceAll(/_(\w)/g, (_, char: string) => char.toUpperCase()),
  ...(typeName !== undefined && { typeName }),
})

function method(
  name: string,
  input: string,
  output: string,
  rule: Rule | undefined,
  streams = '',
): MethodDescriptorProto {
  const made = create(MethodDescriptorProtoSchema, {
    name,
    inputType: input,
    outputType: output,
    clientStreaming: streams.includes('client'),
    serverStreaming: streams.includes('server'),
  })
  if (rule === undefined) return made
  const bytes = ruleBytes(rule)
  made.options = create(MethodOptionsSchema)
  made.options.$unknown = [{ no: HTTP_EXTENSION, wireType: 2, data: Buffer.concat([varint(bytes.length), bytes]) }]
  return made
}

function file(init: MessageInitShape<typeof FileDescriptorProtoSchema>) {
  return create(FileDescriptorProtoSchema, init)
}

const SHELF = '.lib.v1.Shelf'
const QUERY = '.lib.v1.Query'
const BODY = '.google.api.HttpBody'

export const shelfDescriptors: Uint8Array = toBinary(
  FileDescriptorSetSchema,
  create(FileDescriptorSetSchema, {
    file: [
      file_google_protobuf_any.proto,
      file({
        name: 'google/api/httpbody.proto',
        package: 'google.api',
        syntax: 'proto3',
        dependency: ['google/protobuf/any.proto'],
        messageType: [
          {
            name: 'HttpBody',
            field: [
              field('content_type', 1, Type.STRING),
              field('data', 2, Type.BYTES),
              field('extensions', 3, Type.MESSAGE, '.google.protobuf.Any', Label.REPEATED),
            ],
          },
        ],
      }),
      file({
        name: 'lib.proto',
        package: 'lib.v1',
        syntax: 'proto3',
        dependency: ['google/api/httpbody.proto'],
        enumType: [
          {
            name: 'Kind',
            value: [
              { name: 'KIND_NONE', number: 0 },
              { name: 'KIND_TALL', number: 1 },
            ],
          },
        ],
        messageType: [
          {
            name: 'Shelf',
            field: [
              field('id', 1, Type.INT64),
              field('display_name', 2, Type.STRING),
              field('kind', 3, Type.ENUM, '.lib.v1.Kind'),
              field('tags', 4, Type.STRING, undefined, Label.REPEATED),
              field('open', 5, Type.BOOL),
            ],
          },
          {
            name: 'Query',
            field: [
              field('id', 1, Type.INT64),
              field('name', 2, Type.STRING),
              field('shelf', 3, Type.MESSAGE, SHELF),
              field('tags', 4, Type.STRING, undefined, Label.REPEATED),
              field('deep', 5, Type.BOOL),
              field('weight', 6, Type.DOUBLE),
              field('kind', 7, Type.ENUM, '.lib.v1.Kind'),
            ],
          },
        ],
        service: [
          {
            name: 'Shelves',
            method: [
              method('Get', QUERY, SHELF, { get: '/v1/shelves/{id}', more: [{ get: '/v1/{name=shelves/*}/first' }] }),
              method('Create', QUERY, SHELF, {
                post: '/v1/shelves',
                body: 'shelf',
                more: [
                  { post: '/v1/shelves:make', body: '*' },
                  { post: '/v1/shelves/{id}', body: '*' },
                ],
              }),
              method('Find', QUERY, SHELF, { get: '/v1/find/{name=**}' }),
              method('Purge', QUERY, SHELF, { custom: ['PURGE', '/v1/shelves/{shelf.id}'] }),
              method('Watch', QUERY, SHELF, { get: '/v1/watch' }, 'server'),
              method('Upload', QUERY, SHELF, { post: '/v1/upload', body: '*' }, 'client'),
              method('Raw', BODY, BODY, { post: '/v1/raw', body: '*' }),
              method('RawWatch', QUERY, BODY, { get: '/v1/raw' }, 'server'),
              method('Auto', QUERY, SHELF, undefined),
            ],
          },
        ],
      }),
    ],
  }),
)
