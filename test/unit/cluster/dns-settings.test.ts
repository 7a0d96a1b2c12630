/** Which resolver a cluster asks: its own, else the bootstrap's, else the system's. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dnsSettings, systemResolver } from '../../../sidecar/cluster/dns-settings.ts'
import { decodeResource } from '../../../sidecar/config/resource.ts'

const RESOLVERS = 'type.googleapis.com/envoy.extensions.network.dns_resolver'

const server = (port: number) => `{socket_address: {address: 127.0.0.1, port_value: ${port}}}`
const cares = (fields: string) =>
  `typed_dns_resolver_config: {name: c, typed_config: {"@type": ${RESOLVERS}.cares.v3.CaresDnsResolverConfig, ${fields}}}`
const getaddrinfo = (fields: string) =>
  `typed_dns_resolver_config: {name: g, typed_config: {"@type": ${RESOLVERS}.getaddrinfo.v3.GetAddrInfoDnsResolverConfig, ${fields}}}`

/** The resolver for a cluster with those fields, below a bootstrap with these. */
function resolverOf(cluster: string, bootstrap = '') {
  const source = { source: 'test' }
  const message = decodeResource('envoy.config.cluster.v3.Cluster', `{name: c, type: STRICT_DNS, ${cluster}}`, source)
  const defaults = decodeResource('envoy.config.bootstrap.v3.Bootstrap', `{${bootstrap}}`, source)
  assert.deepEqual([...message.errors, ...defaults.errors], [])
  return dnsSettings(message.value!, defaults.value).resolver
}

test('a cluster that says nothing asks as the bootstrap says', () => {
  assert.deepEqual(resolverOf(''), systemResolver)
  assert.deepEqual(resolverOf('', cares(`resolvers: [${server(5301)}], query_tries: 2`)), {
    ...systemResolver,
    servers: ['127.0.0.1:5301'],
    queryTries: 2,
  })
  assert.deepEqual(resolverOf('', `dns_resolution_config: {resolvers: [${server(5302)}]}`).servers, ['127.0.0.1:5302'])
  const both = `${cares(`resolvers: [${server(5301)}]`)}, dns_resolution_config: {resolvers: [${server(5302)}]}`
  assert.deepEqual(resolverOf('', both).servers, ['127.0.0.1:5301'])
})

test("a cluster's own resolver comes first, whichever way it is given", () => {
  const defaults = cares(`resolvers: [${server(5301)}]`)
  assert.deepEqual(resolverOf(cares(`resolvers: [${server(5303)}]`), defaults).servers, ['127.0.0.1:5303'])
  assert.deepEqual(resolverOf(`dns_resolvers: [${server(5304)}]`, defaults).servers, ['127.0.0.1:5304'])
  assert.deepEqual(resolverOf(getaddrinfo(''), defaults), systemResolver)
})

test('getaddrinfo tries once more than it retries', () => {
  assert.equal(resolverOf(getaddrinfo('num_retries: 2')).queryTries, 3)
  assert.equal(resolverOf(getaddrinfo('num_retries: 0')).queryTries, 1)
})
