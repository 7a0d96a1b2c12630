import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serviceNameOf } from '../../../sidecar/cluster/service-name.ts'
import { clusterMessage, ManagerFixture } from './cluster-fixture.ts'

const NAMES: readonly (readonly [cluster: string, service: string])[] = [
  ['orders', 'orders'],
  ['outbound|80||b.ns.svc.cluster.local', 'b.ns'],
  ['outbound|80|v2|b.ns.svc.cluster.local', 'b.ns'],
  ['outbound|443||api.example.com', 'api.example.com'],
  ['outbound_.80_._.b.ns.svc.cluster.local', 'b.ns'],
  ['outbound_.80_._v2_.b.ns.svc.cluster.local', 'b.ns'],
  ['inbound|8080||', 'inbound|8080||'],
  ['inbound|8080|http|b.ns.svc.cluster.local', 'b.ns'],
  ['PassthroughCluster', 'PassthroughCluster'],
  ['b.ns.svc.cluster.local', 'b.ns.svc.cluster.local'],
]
for (const [cluster, service] of NAMES) {
  test(`cluster ${cluster} is the service ${service}`, () => {
    assert.equal(serviceNameOf(cluster, undefined), service)
  })
}

test('metadata of the cluster goes before its name, and that of an endpoint is the host’s', () => {
  using fixture = new ManagerFixture()
  fixture.manager.add(
    clusterMessage(`{name: outbound|80||b.ns.svc.cluster.local,
      metadata: {filter_metadata: {hopwise: {service: billing, external: true}}},
      load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [
        {endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}, metadata: {filter_metadata: {hopwise: {service: billing-canary}}}},
        {endpoint: {address: {socket_address: {address: 10.0.0.2, port_value: 80}}}}]}]}}`),
  )
  const cluster = fixture.manager.get('outbound|80||b.ns.svc.cluster.local')!
  assert.equal(cluster.serviceName, 'billing')
  assert.equal(cluster.external, true)
  assert.deepEqual(
    cluster.hosts.map(host => host.serviceName),
    ['billing-canary', ''],
  )
})
