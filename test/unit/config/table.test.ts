/** The generated table is whole, is what the types were made with, and is small. */
import { strict as assert } from 'node:assert'
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readTable, Schema, schema } from '../../../sidecar/config/schema/table.ts'

const generated = join(import.meta.dirname, '../../../sidecar/config/schema/generated')

test('the table holds what its digest was made of', () => {
  const { digest, ...content } = readTable()
  const hash = createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16)
  assert.equal(digest, hash)
})

test('the types were generated from this table', () => {
  const types = readFileSync(join(generated, 'types.ts'), 'utf8')
  assert.match(types, new RegExp(`^// Table digest: ${readTable().digest}$`, 'm'))
})

test('the table is small enough to load with every start', () => {
  assert.ok(statSync(join(generated, 'table.json')).size < 250_000)
})

test('every message can be described, and every reference in it resolves', () => {
  const { omitted } = readTable()
  let fields = 0
  for (const typeName of schema().typeNames) {
    for (const field of schema().message(typeName)!.fields) {
      fields++
      if (field.kind === 11)
        assert.ok(field.message || omitted.includes(field.messageName), `${typeName}.${field.name}`)
      if (field.kind === 14) assert.ok(field.enumeration.numbers.size > 0)
      assert.equal(schema().message(typeName)!.field(field.property), field)
    }
  }
  assert.ok(fields > 3000)
})

test('every message that features.md marks must or should is there', () => {
  const names = [
    'envoy.config.bootstrap.v3.Bootstrap',
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
    'envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy',
    'envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig',
    'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
    'envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor',
    'envoy.extensions.transport_sockets.tls.v3.Secret',
    'envoy.extensions.load_balancing_policies.maglev.v3.Maglev',
    'envoy.extensions.clusters.dns.v3.DnsCluster',
    'envoy.service.discovery.v3.DeltaDiscoveryResponse',
    'envoy.service.ratelimit.v3.RateLimitResponse',
    'envoy.service.auth.v3.CheckResponse',
    'grpc.health.v1.HealthCheckResponse',
    'udpa.type.v1.TypedStruct',
    'xds.type.matcher.v3.Matcher',
  ]
  for (const name of names) assert.ok(schema().message(name), name)
})

test('messages of one type share their keys, whatever they hold', () => {
  const descriptor = schema().message('envoy.config.cluster.v3.Cluster')!
  const keys = descriptor.fields.map(field => field.property)
  assert.deepEqual(Object.keys(descriptor.create()), keys)
  assert.deepEqual(Object.keys(new Schema(readTable()).message(descriptor.typeName)!.create()), keys)
})
