/** Protobuf in and out, against @bufbuild/protobuf over descriptors of the same table. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { fromBinary, toBinary, toJson } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { BinaryDecoder, encodeBinary, encodeMessage, OpaqueMessage } from '../../../sidecar/config/binary.ts'
import { TreeDecoder } from '../../../sidecar/config/decode.ts'
import { encodeJson } from '../../../sidecar/config/encode-json.ts'
import { Problems } from '../../../sidecar/config/problems.ts'
import { decodeResource } from '../../../sidecar/config/resource.ts'
import type { MessageTypes } from '../../../sidecar/config/schema/generated/types.ts'
import { type MessageDescriptor, schema } from '../../../sidecar/config/schema/table.ts'
import { SourceDocument, sourceOf } from '../../../sidecar/config/source.ts'
import { everythingSupported } from '../../../sidecar/config/support.ts'
import { WireWriter } from '../../../sidecar/config/wire.ts'
import { parseText } from '../../../sidecar/config/yaml.ts'
import { oracleRegistry } from './protobuf-oracle.ts'
import { RandomMessages } from './random-message.ts'

const registry = oracleRegistry()
const typeNames = [...schema().typeNames].filter(name => !schema().message(name)!.native)
const cluster = 'envoy.config.cluster.v3.Cluster'

/** Without the rules: random values break most of them. */
function decode(descriptor: MessageDescriptor, bytes: Uint8Array) {
  const problems = new Problems()
  const context = { schema: schema(), document: new SourceDocument('test'), problems, support: everythingSupported }
  const value = new BinaryDecoder({ ...context, decodeJson: () => undefined }).message(descriptor, bytes, '')
  return { value, syntax: problems.errors.filter(({ code }) => code === 'syntax' || code === 'type') }
}

const anyMessage = fc.record({ typeName: fc.constantFrom(...typeNames), seed: fc.nat() })

test('what we write the oracle reads, and what it writes we read', () => {
  fc.assert(
    fc.property(anyMessage, ({ typeName, seed }) => {
      const descriptor = schema().message(typeName)!
      const message = new RandomMessages(seed).message(descriptor)
      const oracle = registry.getMessage(typeName)!
      const rewritten = toBinary(oracle, fromBinary(oracle, encodeMessage(descriptor, message)))
      const { value, syntax } = decode(descriptor, rewritten)
      assert.deepEqual(syntax, [])
      assert.deepEqual(value, message)
    }),
    { numRuns: 600 },
  )
})

test('our JSON is the JSON that the oracle prints with proto names', () => {
  fc.assert(
    fc.property(anyMessage, ({ typeName, seed }) => {
      const descriptor = schema().message(typeName)!
      const message = new RandomMessages(seed).message(descriptor)
      const oracle = registry.getMessage(typeName)!
      const expected = toJson(oracle, fromBinary(oracle, encodeMessage(descriptor, message)), {
        registry,
        useProtoFieldName: true,
      })
      const ours = encodeJson(typeName as keyof MessageTypes, message as never)
      assert.deepEqual(JSON.parse(JSON.stringify(ours)), JSON.parse(JSON.stringify(expected)))
    }),
    { numRuns: 600 },
  )
})

test('what is printed as JSON is read back the same', () => {
  // Types without places for extensions, where random ones would be refused.
  const types = fc.constantFrom(
    'envoy.config.endpoint.v3.ClusterLoadAssignment',
    'envoy.config.core.v3.Node',
    'envoy.config.core.v3.DataSource',
    'envoy.config.route.v3.RedirectAction',
    'envoy.config.cluster.v3.OutlierDetection',
    'envoy.service.ratelimit.v3.RateLimitResponse',
  )
  fc.assert(
    fc.property(types, fc.nat(), (typeName, seed) => {
      const descriptor = schema().message(typeName)!
      const message = new RandomMessages(seed).message(descriptor)
      const text = JSON.stringify(encodeJson(typeName as keyof MessageTypes, message as never))
      const problems = new Problems()
      const { document, root } = parseText('dump.json', text, problems)
      const context = { schema: schema(), document, problems, support: everythingSupported }
      const decoder = new TreeDecoder({ ...context, extensionNames: () => undefined, isJson: true })
      const read = decoder.message(descriptor, root!, '')
      assert.deepEqual(
        problems.errors.filter(({ code }) => code !== 'rule'),
        [],
      )
      assert.deepEqual(read, message)
    }),
    { numRuns: 300 },
  )
})

test('random bytes are an error or a message, never a throw', () => {
  fc.assert(
    fc.property(fc.constantFrom(...typeNames), fc.uint8Array({ maxLength: 200 }), (typeName, bytes) => {
      decode(schema().message(typeName)!, bytes)
    }),
    { numRuns: 2000 },
  )
})

test('a message cut anywhere is an error or a shorter message, never a throw', () => {
  const message = new RandomMessages(7).message(schema().message('envoy.config.route.v3.RouteConfiguration')!)
  const bytes = encodeMessage(schema().message('envoy.config.route.v3.RouteConfiguration')!, message)
  for (let length = 0; length < bytes.length; length += 7) {
    decode(schema().message('envoy.config.route.v3.RouteConfiguration')!, bytes.subarray(0, length))
  }
})

const decodeCluster = (bytes: Uint8Array) =>
  decode(schema().message(cluster)!, bytes).value as MessageTypes[typeof cluster]

test('unknown fields of every wire type are skipped, groups among them', () => {
  const writer = new WireWriter()
  writer.tag(1000, 0)
  writer.varint(2n ** 64n - 1n)
  writer.tag(1001, 1)
  writer.double(1)
  writer.tag(1002, 2)
  writer.string('x')
  writer.tag(1003, 5)
  writer.float(1)
  writer.tag(1004, 3)
  writer.tag(1005, 3)
  writer.tag(1006, 0)
  writer.varint(1)
  writer.tag(1005, 4)
  writer.tag(1004, 4)
  writer.tag(1, 2)
  writer.string('after')
  assert.equal(decodeCluster(writer.finish()).name, 'after')
})

test('a group that does not end, or ends another, is malformed', () => {
  for (const tags of [
    [[1004, 3]],
    [
      [1004, 3],
      [1005, 4],
    ],
    [[1004, 4]],
    [[0, 0]],
    [[5, 7]],
  ] as [number, number][][]) {
    const writer = new WireWriter()
    for (const [number, type] of tags) writer.tag(number, type)
    assert.match(decode(schema().message(cluster)!, writer.finish()).syntax[0]?.message ?? '', /not valid protobuf/)
  }
})

test('repeated numbers are read packed, unpacked and mixed', () => {
  const typeName = 'envoy.config.route.v3.RetryPolicy'
  const number = schema().message(typeName)!.field('retriable_status_codes')!.number
  const writer = new WireWriter()
  const packed = new WireWriter()
  packed.varint(500)
  packed.varint(501)
  writer.tag(number, 2)
  writer.bytes(packed.finish())
  writer.tag(number, 0)
  writer.varint(502)
  const { value } = decode(schema().message(typeName)!, writer.finish())
  assert.deepEqual((value as MessageTypes[typeof typeName]).retriableStatusCodes, [500, 501, 502])
})

test('a message that comes in parts is merged, and of scalars the last counts', () => {
  const first = encodeBinary(cluster, { name: 'a', commonLbConfig: decodeCommon({ ignoreNewHostsUntilFirstHc: true }) })
  const second = encodeBinary(cluster, {
    name: 'b',
    commonLbConfig: decodeCommon({ closeConnectionsOnHostSetChange: true }),
  })
  const merged = decodeCluster(Buffer.concat([first, second]))
  assert.equal(merged.name, 'b')
  assert.equal(merged.commonLbConfig!.ignoreNewHostsUntilFirstHc, true)
  assert.equal(merged.commonLbConfig!.closeConnectionsOnHostSetChange, true)
})

function decodeCommon(fields: object) {
  const descriptor = schema().message('envoy.config.cluster.v3.Cluster.CommonLbConfig')!
  return { ...descriptor.create(), ...fields } as never
}

test('of a oneof the last member counts', () => {
  const typeName = 'envoy.config.route.v3.RouteMatch'
  const bytes = Buffer.concat([encodeBinary(typeName, { prefix: '/a' }), encodeBinary(typeName, { path: '/b' })])
  const { prefix, path } = decode(schema().message(typeName)!, bytes).value as MessageTypes[typeof typeName]
  assert.deepEqual({ prefix, path }, { prefix: undefined, path: '/b' })
})

test('a number beyond 2^53 and an enum value that is not defined are refused', () => {
  const field = schema().message('envoy.config.core.v3.RuntimeUInt32')
  assert.ok(field)
  const ring = schema().message('envoy.config.cluster.v3.Cluster.RingHashLbConfig')!
  const inner = new WireWriter()
  inner.tag(1, 0)
  inner.varint(2n ** 60n)
  const writer = new WireWriter()
  writer.tag(ring.field('minimum_ring_size')!.number, 2)
  writer.bytes(inner.finish())
  assert.match(decode(ring, writer.finish()).syntax[0]!.message, /beyond 2\^53/)
  const unknown = new WireWriter()
  unknown.tag(schema().message(cluster)!.field('lb_policy')!.number, 0)
  unknown.varint(99)
  assert.match(decode(schema().message(cluster)!, unknown.finish()).syntax[0]!.message, /has no value 99/)
})

test('a string that is not UTF-8 is refused', () => {
  const writer = new WireWriter()
  writer.tag(1, 2)
  writer.bytes(Uint8Array.of(0xc3, 0x28))
  assert.match(decode(schema().message(cluster)!, writer.finish()).syntax[0]!.message, /not UTF-8/)
})

test('a TypedStruct in protobuf is unwrapped by its inner type', () => {
  const typeName = 'envoy.config.core.v3.TypedExtensionConfig'
  for (const kind of ['xds.type.v3.TypedStruct', 'udpa.type.v1.TypedStruct'] as const) {
    const bytes = encodeBinary(typeName, {
      name: 'b',
      typedConfig: {
        typeUrl: kind,
        value: { typeUrl: 'envoy.extensions.filters.http.buffer.v3.Buffer', value: { max_request_bytes: 5 } },
      },
    })
    const { value, errors } = decodeResource(typeName, bytes, { source: 'xds:ecds' })
    assert.deepEqual(errors, [])
    assert.equal(value!.typedConfig!.typeUrl, 'envoy.extensions.filters.http.buffer.v3.Buffer')
    assert.equal((value!.typedConfig!.value as { maxRequestBytes: number }).maxRequestBytes, 5)
  }
})

test('what is not supported is refused over xDS as in a file', () => {
  const { errors } = decodeResource(cluster, encodeBinary(cluster, { name: 'a', lbPolicy: 'MAGLEV' }), {
    source: 'xds:cluster/a',
  })
  assert.deepEqual(
    errors.map(({ file, path, message }) => `${file} ${path} ${message}`),
    ['xds:cluster/a lb_policy MAGLEV is not supported yet by Hopwise: it comes with the consistent-hashing policies'],
  )
})

test('values from protobuf know their resource and path', () => {
  const bytes = encodeBinary(cluster, {
    name: 'a',
    loadAssignment: {
      ...schema().message('envoy.config.endpoint.v3.ClusterLoadAssignment')!.create(),
      clusterName: 'a',
    } as never,
  })
  const { value } = decodeResource(cluster, bytes, { source: 'xds:cluster/a' })
  assert.deepEqual(sourceOf(value!.loadAssignment!, 'clusterName'), {
    file: 'xds:cluster/a',
    line: 0,
    column: 0,
    path: 'load_assignment.cluster_name',
  })
})

test('an Any of unknown type keeps its bytes', () => {
  const typeName = 'envoy.config.core.v3.TypedExtensionConfig'
  const any = { typeUrl: 'acme.Filter', value: new OpaqueMessage(Uint8Array.of(1, 2, 3)) }
  const bytes = encodeBinary(typeName, { name: 'x', typedConfig: any })
  const { value } = decode(schema().message(typeName)!, bytes)
  assert.deepEqual((value as MessageTypes[typeof typeName]).typedConfig, any)
  assert.match(
    decodeResource(typeName, bytes, { source: 'xds:x' }).errors[0]!.message,
    /"acme\.Filter" is not supported/,
  )
})

test('secrets are redacted in dumps when asked', () => {
  const typeName = 'envoy.extensions.transport_sockets.tls.v3.Secret'
  const text =
    '{name: s, tls_certificate: {private_key: {inline_string: hush}, certificate_chain: {inline_string: open}}}'
  const { value } = decodeResource(typeName, text, { source: 's.yaml', support: everythingSupported })
  assert.deepEqual(encodeJson(typeName, value!, { redact: true }), {
    name: 's',
    tls_certificate: { certificate_chain: { inline_string: 'open' }, private_key: { inline_string: '[redacted]' } },
  })
})

test('resources of a discovery response can be left as bytes, to be judged one by one', () => {
  const typeName = 'envoy.service.discovery.v3.DiscoveryResponse'
  const good = encodeBinary(cluster, { name: 'a' })
  const any = (bytes: Uint8Array) => ({ typeUrl: cluster, value: new OpaqueMessage(bytes) })
  const bytes = encodeBinary(typeName, { versionInfo: '1', resources: [any(good), any(Uint8Array.of(255))] })
  const { value, errors } = decodeResource(typeName, bytes, {
    source: 'ads',
    support: everythingSupported,
    anyAsBytes: true,
  })
  assert.deepEqual(errors, [])
  const results = value!.resources.map(({ value: opaque }) =>
    decodeResource(cluster, (opaque as OpaqueMessage).bytes, { source: 'xds:cluster' }),
  )
  assert.deepEqual(
    results.map(result => result.errors.length),
    [0, 1],
  )
})

test('an optional filter that Hopwise lacks is left out of a listener that comes by xDS', () => {
  const typeName = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter'
  const lua = { typeUrl: 'envoy.extensions.filters.http.lua.v3.Lua', value: new OpaqueMessage(new Uint8Array(0)) }
  const { value, warnings } = decodeResource(
    typeName,
    encodeBinary(typeName, { name: 'l', typedConfig: lua, isOptional: true }),
    { source: 'xds' },
  )
  assert.equal(value!.typedConfig, undefined)
  assert.match(warnings[0]!.message, /^left out, as it is optional: Lua is not supported yet/)
})

test('a route table that comes by xDS is checked in itself', () => {
  const typeName = 'envoy.config.route.v3.RouteConfiguration'
  const text = '{virtual_hosts: [{name: a, domains: ["*"]}, {name: b, domains: ["*"]}]}'
  const { value } = decodeResource(typeName, text, { source: 'r.yaml', support: everythingSupported })
  assert.equal(value, undefined)
})
