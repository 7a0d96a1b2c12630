/**
 * Made-up services with `google.api.http` rules, as a descriptor set: what `protoc --include_imports` would give, made
 * here so that no tool is needed. `Shelves` has rules of all kinds, `TypeService` fields of all types.
 */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
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

const REPEATED = Label.REPEATED

/** A map's field, and the message of its entries. */
function map(name: string, number: number, key: Type, value: Type, typeName?: string) {
  const entry = `${name.replace(/^\w/, char => char.toUpperCase())}Entry`
  return {
    field: field(name, number, Type.MESSAGE, `.lib.v1.Types.${entry}`, REPEATED),
    entry: {
      name: entry,
      field: [field('key', 1, key), field('value', 2, value, typeName)],
      options: { mapEntry: true },
    },
  }
}

const maps = [
  map('names', 20, Type.STRING, Type.INT64),
  map('numbers', 21, Type.INT32, Type.STRING),
  map('flags', 22, Type.BOOL, Type.ENUM, '.lib.v1.Kind'),
  map('parts', 23, Type.STRING, Type.MESSAGE, '.lib.v1.Types'),
]
const SCALARS = ['string', 'bytes', 'bool', 'int32', 'int64', 'uint32', 'uint64', 'sint32', 'sint64', 'fixed32']
const MORE_SCALARS = ['fixed64', 'sfixed32', 'sfixed64', 'float', 'double']
const WELL_KNOWN = ['Timestamp', 'Duration', 'FieldMask', 'Struct', 'Value', 'ListValue', 'Any', 'Empty']
const WRAPPERS = ['String', 'Bytes', 'Bool', 'Int32', 'Int64', 'UInt32', 'UInt64', 'Float', 'Double']

/** Fields 1 to 15 are called after their scalar type (`a_string`), the others after what they are. */
const typesMessage = {
  name: 'Types',
  field: [
    ...[...SCALARS, ...MORE_SCALARS].map((type, i) =>
      field(`a_${type}`, i + 1, Type[type.toUpperCase() as keyof typeof Type]),
    ),
    field('kind', 16, Type.ENUM, '.lib.v1.Kind'),
    field('kinds', 17, Type.ENUM, '.lib.v1.Kind', REPEATED),
    field('child', 18, Type.MESSAGE, '.lib.v1.Types'),
    field('children', 19, Type.MESSAGE, '.lib.v1.Types', REPEATED),
    ...maps.map(({ field }) => field),
    { ...field('choice_text', 24, Type.STRING), oneofIndex: 0 },
    { ...field('choice_number', 25, Type.INT32), oneofIndex: 0 },
    { ...field('choice_child', 26, Type.MESSAGE, '.lib.v1.Types'), oneofIndex: 0 },
    ...WELL_KNOWN.map((type, i) => field(`a_${type.toLowerCase()}`, 27 + i, Type.MESSAGE, `.google.protobuf.${type}`)),
    ...WRAPPERS.map((type, i) =>
      field(`wrapped_${type.toLowerCase()}`, 35 + i, Type.MESSAGE, `.google.protobuf.${type}Value`),
    ),
    { ...field('maybe', 44, Type.INT32), oneofIndex: 1, proto3Optional: true },
    field('doubles', 45, Type.DOUBLE, undefined, REPEATED),
    field('a_null', 46, Type.ENUM, '.google.protobuf.NullValue'),
    field('old', 47, Type.MESSAGE, '.lib.v1.Old'),
    { ...field('renamed_field', 48, Type.STRING), jsonName: 'otherName' },
    field('_odd_Name2', 49, Type.STRING),
  ],
  nestedType: maps.map(({ entry }) => entry),
  oneofDecl: [{ name: 'choice' }, { name: '_maybe' }],
}

const oldFile = file({
  name: 'old.proto',
  package: 'lib.v1',
  syntax: 'proto2',
  enumType: [
    {
      name: 'OldKind',
      value: [
        { name: 'OLD_ONE', number: 1 },
        { name: 'OLD_TWO', number: 2 },
      ],
    },
  ],
  messageType: [
    {
      name: 'Old',
      field: [
        field('name', 1, Type.STRING, undefined, Label.REQUIRED),
        { ...field('count', 2, Type.INT32), defaultValue: '7' },
        field('kind', 3, Type.ENUM, '.lib.v1.OldKind'),
        field('numbers', 4, Type.INT32, undefined, REPEATED),
        field('open', 5, Type.BOOL),
      ],
    },
  ],
})

const SHELF = '.lib.v1.Shelf'
const QUERY = '.lib.v1.Query'
const TYPES = '.lib.v1.Types'
const BODY = '.google.api.HttpBody'

export const shelfDescriptors: Uint8Array = toBinary(
  FileDescriptorSetSchema,
  create(FileDescriptorSetSchema, {
    file: [
      ...[
        file_google_protobuf_any,
        file_google_protobuf_duration,
        file_google_protobuf_empty,
        file_google_protobuf_field_mask,
        file_google_protobuf_struct,
        file_google_protobuf_timestamp,
        file_google_protobuf_wrappers,
      ].map(({ proto }) => proto),
      oldFile,
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
        dependency: [
          'google/api/httpbody.proto',
          'old.proto',
          ...['any', 'duration', 'empty', 'field_mask', 'struct', 'timestamp', 'wrappers'].map(
            name => `google/protobuf/${name}.proto`,
          ),
        ],
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
          typesMessage,
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
          {
            name: 'TypeService',
            method: [
              method('Echo', TYPES, TYPES, {
                post: '/v1/types',
                body: '*',
                more: [{ get: '/v1/types' }, { post: '/v1/types/child', body: 'child' }],
              }),
              method('Old', '.lib.v1.Old', '.lib.v1.Old', { post: '/v1/old', body: '*', more: [{ get: '/v1/old' }] }),
            ],
          },
        ],
      }),
    ],
  }),
)
