/**
 * Fields of all types between JSON and gRPC, beside the real Envoy: what bodies and queries may say, and how answers are
 * printed. The upstream reads the message and answers with it, so that what is compared is what it understood.
 */

import { test } from 'node:test'
import { createFileRegistry, fromBinary, fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { frame, MessageReader } from '../../sidecar/codec/grpc/message.ts'
import { startEnvoy } from '../kit/envoy.ts'
import { FakeUpstream } from '../kit/fake-upstream.ts'
import { freePorts } from '../kit/free-port.ts'
import { startHopwise } from '../kit/hopwise.ts'
import { Http2TestClient } from '../kit/http2-client.ts'
import type { ProxyProcess } from '../kit/proxy-process.ts'
import { shelfDescriptors } from '../kit/shelf-service.ts'
import { assertSameFields } from './field-by-field.ts'
import { bootstrap, cluster, httpListener, type Json, typed } from './scenarios/bootstrap.ts'

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, shelfDescriptors))
const GRPC = { 'content-type': 'application/grpc' }

/** `POST <path> <body>` or `GET <path>`. */
type Request = string

const bodies = (field: string, values: readonly string[], path = '/v1/types') =>
  values.map(value => `POST ${path} {"${field}":${value}}`)
const whole = (...texts: readonly string[]) => texts.map(text => `POST /v1/types ${text}`)
const queries = (field: string, values: readonly string[]) =>
  values.map(value => `GET /v1/types?${field}=${encodeURIComponent(value)}`)
const ask = (...texts: readonly string[]) => texts.map(text => `GET /v1/types?${text}`)

const NUMBERS = ['int32', 'int64', 'uint32', 'uint64', 'sint32', 'sint64', 'fixed32', 'fixed64', 'sfixed32', 'sfixed64']
const WHOLE = ['1', '"1"', '-1', '1.0', '1e2', '1.5', '"1e2"', '" 1"', '4294967296', '"18446744073709551615"', '"x"']

const nested = (open: string, depth: number, close: string, inner = '1') =>
  `${open.repeat(depth)}${inner}${close.repeat(depth)}`

interface Suite {
  /** Of the transcoder. */
  readonly config?: { readonly [key: string]: Json }
  readonly requests: readonly Request[]
}

const SUITES: Readonly<Record<string, Suite>> = {
  'text, bytes and truth': {
    requests: [
      ...bodies('aString', ['"x"', '""', '1', 'true', 'null', '"\\u00e9\\ud83d\\ude08"', '["x"]', '"\\ud800"']),
      ...bodies('a_bytes', ['"YWI="', '"YWI"', '"_-8="', '"/+8"', '""', '"*"', '"YWI=="', '1', 'null']),
      ...bodies('aBool', [
        'true',
        'false',
        '"true"',
        '"false"',
        '"TRUE"',
        '"1"',
        '"t"',
        '"yes"',
        '1',
        '0',
        'null',
        '""',
      ]),
      ...queries('aString', ['x', '', 'é', '"x"', 'null']),
      ...queries('a_bytes', ['YWI=', 'YWI', '_-8=', '/+8', '', '*']),
      ...queries('aBool', [
        'true',
        'false',
        'TRUE',
        'True',
        '1',
        '0',
        't',
        'f',
        'yes',
        'No',
        'y',
        'n',
        '',
        ' true',
        'on',
      ]),
      ...ask('aBool'),
    ],
  },
  'whole numbers': {
    requests: NUMBERS.flatMap(type => [
      ...bodies(`a_${type}`, [...WHOLE, 'true', '""', 'null']),
      ...queries(`a_${type}`, [
        '1',
        '-1',
        '+1',
        '01',
        '0x1',
        '1.0',
        '1e2',
        ' 1',
        '4294967296',
        '18446744073709551615',
        '',
      ]),
    ]),
  },
  'real numbers': {
    requests: ['float', 'double'].flatMap(type => [
      ...bodies(`a_${type}`, ['1', '"1.5"', '1e400', '"NaN"', '"Infinity"', '"-Infinity"', '"inf"', '3.5e38']),
      ...bodies(`a_${type}`, ['"x"', '""', 'true', '-0.0', 'null', '"1e400"', '16777217']),
      ...queries(`a_${type}`, [
        '1',
        '1.5',
        '1e3',
        'NaN',
        'nan',
        'Infinity',
        'inf',
        '-inf',
        '1e400',
        ' 1',
        '0x1',
        'x',
        '',
      ]),
    ]),
  },
  enums: {
    requests: [
      ...bodies('kind', [
        '"KIND_TALL"',
        '1',
        '"1"',
        '7',
        '"7"',
        '"kind_tall"',
        '"kindTall"',
        '"NO"',
        'null',
        '1.5',
        '""',
        'true',
      ]),
      ...queries('kind', ['KIND_TALL', '1', '7', '-1', 'kind_tall', 'NO', '']),
      ...bodies('kinds', ['[]', '["KIND_TALL",1,"7"]', '"KIND_TALL"', '[null]', 'null']),
      ...bodies('aNull', ['null', '"NULL_VALUE"', '0']),
      ...ask('kinds=KIND_TALL&kinds=1'),
    ],
  },
  'enums in any case': {
    config: { case_insensitive_enum_parsing: true },
    requests: [
      ...bodies('kind', ['"KIND_TALL"', '"kind_tall"', '"Kind-Tall"', '"kindTall"', '"KINDTALL"', '"no"']),
      ...queries('kind', ['kind_tall', 'kind-tall', 'KindTall', 'kindtall', 'no']),
    ],
  },
  'messages, maps and choices': {
    requests: [
      ...bodies('child', ['{}', '{"aString":"x"}', 'null', '[]', '1', '"x"', '{"child":{"child":{"aBool":true}}}']),
      ...bodies('children', ['[]', '[{}]', '[{"aString":"x"},{"a_bool":true}]', '[null]', '{}', 'null']),
      ...bodies('names', ['{}', '{"a":1}', '{"a":"1"}', '{"a":null}', '{"a":"x"}', '[]', 'null', '{"":1}']),
      ...bodies('numbers', ['{"1":"x"}', '{"x":"x"}', '{"1.5":"x"}', '{"-1":""}']),
      ...bodies('flags', ['{"true":"KIND_TALL"}', '{"false":1}', '{"1":1}', '{"TRUE":1}', '{"true":"NO"}']),
      ...bodies('parts', ['{"a":{}}', '{"a":{"aString":"x"}}', '{"a":1}']),
      ...bodies('choiceText', ['"x"', '""', 'null']),
      ...bodies('choiceChild', ['{}', '{"aString":"x"}']),
      ...bodies('maybe', ['0', '1', 'null']),
      ...bodies('doubles', ['[1,"2"]', '["NaN"]', '[null]', '1', '[[1]]']),
      ...whole('{"choiceText":"x","choiceNumber":1}', '{"choiceText":null,"choiceNumber":1}'),
      ...ask('maybe=0', 'child.aString=x', 'child.child.a_string=x', 'choiceText=x&choiceNumber=1', 'child=x'),
      ...ask('children.aString=x', 'names.a=1', 'names=1', 'doubles=1&doubles=2'),
      'POST /v1/types/child {"aString":"x"}',
      'POST /v1/types/child?aString=y&child.aBool=true {}',
      'POST /v1/types?aString=y {"aString":"x"}',
      'POST /v1/types?aString=y {"a_string":"x"}',
      'POST /v1/types?a_string=y {"aString":"x"}',
      'POST /v1/types?kind=KIND_TALL&aBool=1 {"kind":"KIND_NONE","aBool":false}',
      'POST /v1/types?children.aString=x&children.aBool=true {}',
      'POST /v1/types/child null',
      'POST /v1/types/child []',
    ],
  },
  'well-known types': {
    requests: [
      ...bodies('aTimestamp', [
        '"2026-01-02T03:04:05Z"',
        '"2026-01-02T03:04:05.678901234+01:00"',
        '"2026-01-02"',
        '"x"',
      ]),
      ...bodies('aTimestamp', ['1', 'null', '{"seconds":1}', '"10000-01-01T00:00:00Z"', '"2026-01-02t03:04:05z"']),
      ...bodies('aDuration', [
        '"1.5s"',
        '"-1s"',
        '"1"',
        '"1.0000000001s"',
        '"x"',
        '1',
        'null',
        '"0s"',
        '"315576000001s"',
      ]),
      ...bodies('aFieldmask', ['"a,b.c"', '"fooBar"', '""', '"foo_bar"', '1', 'null']),
      ...bodies('aStruct', ['{}', '{"a":1}', '{"a":null}', '{"a":[1,"x",true,{"b":{}}]}', '1', 'null']),
      ...bodies('aValue', ['1', '"x"', 'true', 'null', '{"a":1}', '[1]']),
      ...bodies('aListvalue', ['[]', '[1,null,"x"]', '{}', 'null']),
      ...bodies('aAny', [
        '{}',
        '{"@type":"type.googleapis.com/lib.v1.Shelf","id":"5"}',
        '{"@type":"no"}',
        '{"id":1}',
        'null',
      ]),
      ...bodies('aAny', ['{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}']),
      ...bodies('aEmpty', ['{}', 'null', '{"x":1}', '1']),
      ...queries('aTimestamp', ['2026-01-02T03:04:05Z', 'x', '']),
      ...queries('aDuration', ['1.5s', '1', '']),
      ...queries('aFieldmask', ['a,b.c', 'fooBar', 'foo_bar', '']),
      ...queries('aStruct', ['{}', 'x']),
      ...queries('aValue', ['1', 'x', 'true', 'null', '']),
      ...ask('aListvalue=1', 'aAny=x', 'aEmpty=', 'aTimestamp.seconds=1', 'aStruct.fields=1', 'aValue.stringValue=x'),
    ],
  },
  wrappers: {
    requests: [
      ...bodies('wrappedString', ['"x"', '""', 'null', '1', '{"value":"x"}']),
      ...bodies('wrapped_bytes', ['"YWI="', 'null']),
      ...bodies('wrappedBool', ['true', 'false', '"true"', '1', 'null']),
      ...bodies('wrappedInt32', ['1', '"1"', '0', '"x"', 'null']),
      ...bodies('wrappedInt64', ['1', '"1"', 'null']),
      ...bodies('wrappedUint32', ['1', '-1']),
      ...bodies('wrappedUint64', ['1', '"18446744073709551615"']),
      ...bodies('wrappedFloat', ['1.5', '"NaN"']),
      ...bodies('wrappedDouble', ['1.5', '"x"']),
      ...queries('wrappedString', ['x', '']),
      ...queries('wrappedBool', ['true', '1', 'x']),
      ...queries('wrappedInt32', ['1', 'x']),
      ...ask('wrappedBytes=YWI=', 'wrappedUint64=1', 'wrappedDouble=1.5', 'wrappedInt32.value=1'),
    ],
  },
  'names and what is no field': {
    requests: [
      ...['renamed_field', 'otherName', 'renamedField', '_odd_Name2', 'OddName2', '_oddName2'].flatMap(name => [
        ...whole(`{"${name}":"x"}`),
        ...ask(`${name}=x`),
      ]),
      ...whole(
        '{"none":1}',
        '{"none":{"a":[1]},"aBool":true}',
        '{"child":{"none":1}}',
        '{"aString":"x","aString":"y"}',
      ),
      ...whole('{"aString":"x","a_string":"y"}', '{"AString":"x"}', ' {"aString" : "x"} ', '{aString: "x"}'),
      ...whole("{'aString':'x'}", '{"aString":"x",}', '"x"', 'null', '1', '{"aString":"x"}{}', '{"aString":"a\tb"}'),
    ],
  },
  'what is no field is to be ignored': {
    config: { ignore_unknown_query_parameters: true, ignored_query_parameters: ['key', 'aBool'] },
    requests: ask('none=1', 'child.none=1&aString=x', 'key=1', 'aBool=x&aString=y', 'aBool.x=1', 'aString.x=1'),
  },
  'what is no field is to be refused': {
    config: {
      request_validation_options: { reject_unknown_query_parameters: true, reject_binding_body_field_collisions: true },
    },
    requests: [
      ...ask('none=1', 'child.none=1', 'aString.x=1', 'aString=x'),
      'POST /v1/types?aString=y {"aString":"x"}',
      'POST /v1/types?aString=y {"a_string":"x"}',
      'POST /v1/types?kind=KIND_TALL {"kind":"KIND_NONE"}',
      'POST /v1/types/child?child.aString=y {"aString":"x"}',
      'POST /v1/types/child?child.aString=x {"aString":"x"}',
    ],
  },
  depth: {
    requests: [
      ...[98, 99, 100, 101, 20_000].map(depth => nested('{"child":', depth, '}', '{}')),
      ...[30, 100, 20_000].map(depth => `POST /v1/types {"aStruct":${nested('{"a":', depth, '}')}}`),
      ...[98, 99, 100, 20_000].map(depth => `POST /v1/types {"doubles":${nested('[', depth, ']')}}`),
    ].map(text => (text.startsWith('POST') ? text : `POST /v1/types ${text}`)),
  },
  proto2: {
    requests: [
      ...['{"name":"n"}', '{}', '{"name":"n","count":7}', '{"name":"n","kind":"OLD_TWO"}', '{"name":"n","kind":9}'].map(
        body => `POST /v1/old ${body}`,
      ),
      ...bodies('numbers', ['[1,2]', 'null'], '/v1/old'),
      'GET /v1/old?name=n&numbers=1&numbers=2&open=false',
      'GET /v1/old?kind=9',
    ],
  },
}

/** Of each type one, and of some two, to see how they are printed; an empty one, to see what is printed all the same. */
const ANSWERS: readonly JsonValue[] = [
  {},
  { aString: 'é"\n\u2028<', aBytes: '/+8=', aBool: true, aInt32: -1, aInt64: '-1', aUint32: 4294967295 },
  {
    aUint64: '18446744073709551615',
    aSint32: -1,
    aSint64: '-1',
    aFixed32: 1,
    aFixed64: '1',
    aSfixed32: 1,
    aSfixed64: '1',
  },
  { aFloat: 0.1, aDouble: 0.1 },
  { aFloat: 1e30, aDouble: 1e30 },
  {
    aFloat: 16777216,
    aDouble: 16777217,
    doubles: [1e15, 123456789012345680, 1e20, 0.1, 1 / 3, 0.00001, 1.5e-5, 5e-324],
  },
  { aFloat: 8589973504, children: [{ aFloat: 1.0000001 }, { aFloat: 3.4028234663852886e38 }, { aFloat: 0.00001 }] },
  {
    aString:
      "\u007f\u0085\u00ad\u200b\ufeff\u{1d173}\u{e0001}\ud83d\ude08/>&'\t\b\u0001\u0600\u06dd\u17b4\u2060\u206f\ufff9",
  },
  { aFloat: 'NaN', aDouble: '-Infinity', doubles: [1e21, 1e-7, 123456789.125, -0] },
  { kind: 'KIND_TALL', kinds: ['KIND_NONE', 'KIND_TALL', 7] },
  { child: {}, children: [{}, { aString: 'x', child: { aBool: true } }] },
  { names: { a: '1', '': '2' }, numbers: { '1': 'x' }, flags: { true: 'KIND_TALL' }, parts: { a: { aString: 'x' } } },
  { choiceText: '' },
  { choiceChild: {} },
  { maybe: 0 },
  { aTimestamp: '2026-01-02T03:04:05.678Z', aDuration: '1.500s', aFieldmask: 'a,fooBar.b' },
  { aTimestamp: '2026-01-02T03:04:05.000000001Z', aDuration: '-0.000001s', aFieldmask: '' },
  { aStruct: { fields: 1, values: { fields: 1e21 } }, names: { 'é<': '1' } },
  { aStruct: { a: [1, 'x', true, null, { b: {} }] }, aValue: null, aListvalue: [1.5] },
  { aAny: { '@type': 'type.googleapis.com/lib.v1.Shelf', id: '5', displayName: 'n' }, aEmpty: {} },
  { aAny: { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '1s' } },
  { wrappedString: '', wrappedBytes: '', wrappedBool: false, wrappedInt32: 0, wrappedInt64: '0', wrappedUint64: '0' },
  { wrappedFloat: 0, wrappedDouble: 1.5, wrappedUint32: 1 },
  { old: { name: 'n', count: 7, kind: 'OLD_TWO', numbers: [1, 2] } },
  { otherName: 'x', OddName2: 'y' },
]

const PRINT: Readonly<Record<string, { readonly [key: string]: Json }>> = {
  'as they are': {},
  'with whitespace': { add_whitespace: true },
  'with what is not set': { always_print_primitive_fields: true },
  'with numbers for enums': { always_print_enums_as_ints: true },
  'with the names of proto files': { preserve_proto_field_names: true },
}

const listeners = [
  ...Object.entries(SUITES).map(([name, { config = {}, requests }]) => ({ name, config, requests })),
  ...Object.entries(PRINT).map(([name, print_options]) => ({
    name: `answers ${name}`,
    config: { print_options },
    requests: ANSWERS.map((_, i) => `GET /v1/types?aString=answer-${i}`),
  })),
]

function configuration(upstream: number, ports: readonly number[]): string {
  let yaml = bootstrap({
    listeners: listeners.map(({ config }, i) =>
      httpListener({
        name: `l${i}`,
        filters: [
          {
            name: 'envoy.filters.http.grpc_json_transcoder',
            typed_config: typed('http.grpc_json_transcoder.v3.GrpcJsonTranscoder', {
              proto_descriptor_bin: Buffer.from(shelfDescriptors).toString('base64'),
              services: ['lib.v1.TypeService'],
              ...config,
            }),
          },
        ],
        manager: { access_log: [] },
      }),
    ),
    clusters: [
      cluster('app', String(upstream), {
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
            'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
            { explicit_http_config: { http2_protocol_options: {} } },
          ),
        },
      }),
    ],
  }).replaceAll('{{admin}}', String(ports.at(-1)))
  for (const i of listeners.keys()) yaml = yaml.replaceAll(`{{listen:l${i}}}`, String(ports[i]))
  return yaml
}

/** Answers a message with the same, written anew; `answer-3` in its text asks for one of {@link ANSWERS}. */
function understood(path: string, body: Buffer): Buffer {
  const type = registry.getMessage(path.endsWith('/Old') ? 'lib.v1.Old' : 'lib.v1.Types')!
  const [message] = new MessageReader(1e6).read(body)
  const read = fromBinary(type, message?.data ?? Buffer.alloc(0))
  const asked = /^answer-(\d+)$/.exec(String((read as unknown as { aString?: string }).aString))
  return Buffer.from(toBinary(type, asked === null ? read : fromJson(type, ANSWERS[Number(asked[1])]!, { registry })))
}

type Start = (yaml: string, options: { adminPort: number }) => Promise<ProxyProcess>

async function observe(start: Start, upstream: number): Promise<Map<string, string>> {
  const ports = await freePorts(listeners.length + 1)
  await using _proxy = await start(configuration(upstream, ports), { adminPort: ports.at(-1)! })
  const fields = new Map<string, string>()
  for (const [i, { name, requests }] of listeners.entries()) {
    const client = await Http2TestClient.connect(ports[i]!)
    for (const request of requests) {
      const [, method, path, body] = /^(\w+) (\S+) ?(.*)$/s.exec(request) as unknown as [string, string, string, string]
      const response = await client.request({
        method,
        path,
        ...(method === 'POST' && { body, headers: { 'content-type': 'application/json' } }),
      })
      // The words for what is wrong are those of the parser.
      fields.set(
        `${name}: ${request.length > 200 ? `${request.slice(0, 30)}… (${request.length})` : request}`,
        response.status === 200 ? `200 ${response.text}` : String(response.status),
      )
    }
    client.close()
  }
  return fields
}

test('fields of all types are read and printed as by Envoy', async () => {
  await using upstream = await FakeUpstream.start(request => {
    if (request.header('content-type') !== GRPC['content-type']) return { status: 404, body: 'not transcoded' }
    return {
      headers: GRPC,
      chunks: [frame(understood(request.target, request.body))],
      trailers: [['grpc-status', '0']],
    }
  })
  const envoy = await observe(startEnvoy, upstream.port)
  const hopwise = await observe(startHopwise, upstream.port)
  assertSameFields('transcoded types', envoy, hopwise)
})
