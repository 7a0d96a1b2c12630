import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { ManualClock } from '../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import type { DnsAnswer, DnsFailure, DnsResolver } from '../../../sidecar/cluster/dns-resolver.ts'
import { waitFor } from '../../kit/wait-for.ts'
import { OK, ScriptedServer } from '../upstream/scripted-server.ts'
import { ANY_HOST, clusterMessage, Exchange, ManagerFixture } from './cluster-fixture.ts'
import { FakeDns } from './fake-dns.ts'

/** Answers at once from a table. */
class TableResolver implements DnsResolver {
  readonly table = new Map<string, DnsAnswer>()
  readonly asked: string[] = []
  resolve(name: string): Promise<DnsAnswer> {
    this.asked.push(name)
    return Promise.resolve(this.table.get(name) ?? { addresses: [], ttlMs: 0, failure: 'NXDOMAIN' })
  }
  set(name: string, addresses: readonly string[] | DnsFailure, ttlMs = 0): void {
    const failure = typeof addresses === 'string' ? addresses : undefined
    this.table.set(name, { addresses: typeof addresses === 'string' ? [] : addresses, ttlMs, failure })
  }
  close(): void {}
}

function endpoints(...names: string[]): string {
  const list = names.map(name => {
    const [address, port = '80'] = name.split(':')
    return `{endpoint: {address: {socket_address: {address: ${address}, port_value: ${port}}}}}`
  })
  return `load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [${list}]}]}`
}

class Dns {
  readonly clock = new ManualClock()
  readonly timers = new TimerWheel(this.clock)
  readonly resolver = new TableResolver()
  readonly fixture = new ManagerFixture({ clock: this.clock, timers: this.timers, resolver: () => this.resolver })

  async start(yaml: string) {
    const cluster = this.fixture.cluster(yaml)
    await this.fixture.manager.initialize()
    return cluster
  }
  async advance(ms: number): Promise<void> {
    this.clock.advance(ms)
    this.timers.advance()
    await turn()
  }
  stat(name: string): number | undefined {
    return this.fixture.counter(`cluster.c.${name}`)
  }
}

const hostsOf = (cluster: { hosts: readonly { addressText: string }[] }) => cluster.hosts.map(host => host.addressText)

test('STRICT_DNS makes a host of every address of every name', async () => {
  const dns = new Dns()
  dns.resolver.set('a.test', ['10.0.0.1', '10.0.0.2'])
  dns.resolver.set('b.test', ['10.0.1.1'])
  const cluster = await dns.start(`{name: c, type: STRICT_DNS, ${endpoints('a.test:80', 'b.test:81', 'a.test:82')}}`)
  assert.deepEqual(hostsOf(cluster), ['10.0.0.1:80', '10.0.0.2:80', '10.0.0.1:82', '10.0.0.2:82', '10.0.1.1:81'])
  assert.equal(cluster.hosts[0]!.hostname, 'a.test')
  assert.equal(dns.resolver.asked.length, 2, 'one query for each name')
  assert.equal(dns.stat('membership_change'), 1)
})

test('hosts that stay keep their identity, others come and go', async () => {
  const dns = new Dns()
  dns.resolver.set('a.test', ['10.0.0.1', '10.0.0.2'])
  const cluster = await dns.start(`{name: c, type: STRICT_DNS, ${endpoints('a.test')}}`)
  const stays = cluster.hosts[1]
  dns.resolver.set('a.test', ['10.0.0.2', '10.0.0.3'])
  await dns.advance(5000)
  assert.deepEqual(hostsOf(cluster), ['10.0.0.2:80', '10.0.0.3:80'])
  assert.equal(cluster.hosts[0], stays)
  assert.equal(dns.stat('membership_change'), 2)
  assert.equal(dns.stat('update_attempt'), 2)
  await dns.advance(5000)
  assert.equal(dns.stat('update_no_rebuild'), 1)
  assert.equal(dns.stat('update_success'), 3)
})

// What follows a failure: measured on Envoy 1.40 with the same answers.

for (const failure of ['NXDOMAIN', 'NODATA'] as const) {
  test(`${failure} empties a STRICT_DNS cluster and leaves a LOGICAL_DNS one alone`, async () => {
    for (const type of ['STRICT_DNS', 'LOGICAL_DNS']) {
      const dns = new Dns()
      dns.resolver.set('a.test', ['10.0.0.1'])
      const cluster = await dns.start(`{name: c, type: ${type}, ${endpoints('a.test')}}`)
      dns.resolver.set('a.test', failure)
      await dns.advance(5000)
      assert.equal(cluster.hosts.length, type === 'STRICT_DNS' ? 0 : 1)
      assert.equal(dns.stat('update_failure'), type === 'STRICT_DNS' ? 0 : 1)
      assert.equal(cluster.discoveryFailure, `dns: a.test: ${failure}`)
    }
  })
}

for (const failure of ['SERVFAIL', 'REFUSED', 'timeout'] as const) {
  test(`${failure} changes nobody's hosts, and is a failure`, async () => {
    for (const type of ['STRICT_DNS', 'LOGICAL_DNS']) {
      const dns = new Dns()
      dns.resolver.set('a.test', ['10.0.0.1'])
      const cluster = await dns.start(`{name: c, type: ${type}, ${endpoints('a.test')}}`)
      dns.resolver.set('a.test', failure)
      await dns.advance(5000)
      assert.deepEqual(hostsOf(cluster), ['10.0.0.1:80'])
      assert.equal(dns.stat('update_failure'), 1)
      assert.equal(dns.stat('update_no_rebuild'), 0)
      dns.resolver.set('a.test', ['10.0.0.2'])
      await dns.advance(5000)
      assert.deepEqual(hostsOf(cluster), ['10.0.0.2:80'])
      assert.equal(cluster.discoveryFailure, '')
    }
  })
}

test('a name that cannot be resolved at the start leaves the cluster warm and without hosts', async () => {
  const dns = new Dns()
  dns.resolver.set('a.test', 'SERVFAIL')
  const cluster = await dns.start(`{name: c, type: STRICT_DNS, ${endpoints('a.test')}}`)
  assert.equal(cluster.chooseHost(ANY_HOST), undefined)
  assert.equal(cluster.discoveryFailure, 'dns: a.test: SERVFAIL')
  assert.equal(dns.fixture.gauge('cluster_manager.warming_clusters'), 0)
})

test('LOGICAL_DNS has one host that moves: its connections stay, new ones go to the new address', async () => {
  await using server = await ScriptedServer.answering(OK)
  await using dns = await FakeDns.start({ 'a.test': { addresses: ['127.0.0.1', '127.0.0.9'] } })
  using fixture = new ManagerFixture()
  const resolver = `typed_dns_resolver_config: {name: envoy.network.dns_resolver.cares, typed_config: {"@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, resolvers: [{socket_address: {address: 127.0.0.1, port_value: ${dns.port}}}]}}`
  const cluster = fixture.cluster(
    `{name: c, type: LOGICAL_DNS, dns_refresh_rate: 0.02s, dns_lookup_family: V4_ONLY, ${resolver}, ${endpoints(`a.test:${server.port}`)}}`,
  )
  await fixture.manager.initialize()
  assert.deepEqual(hostsOf(cluster), [`127.0.0.1:${server.port}`])
  const host = cluster.hosts[0]
  await new Exchange().start(cluster).finished()
  dns.names.set('a.test', { addresses: ['127.0.0.2'] })
  await waitFor(() => hostsOf(cluster)[0] === `127.0.0.2:${server.port}`)
  assert.equal(cluster.hosts[0], host)
  assert.equal((await new Exchange().start(cluster).finished()).connection!.reused, true)
  assert.equal(fixture.counter('cluster.c.membership_change'), 2)
})

test('LOGICAL_DNS with several endpoints runs as STRICT_DNS and says so', async () => {
  const dns = new Dns()
  for (const name of ['a.test', 'b.test']) dns.resolver.set(name, ['10.0.0.1', '10.0.0.2'])
  const message = clusterMessage(`{name: c, type: LOGICAL_DNS, ${endpoints('a.test:80', 'b.test:81')}}`)
  assert.match(
    dns.fixture.manager.add(message)[0]!,
    /LOGICAL_DNS is for exactly one endpoint; with 2 it runs as STRICT_DNS/,
  )
  await dns.fixture.manager.initialize()
  assert.equal(dns.fixture.manager.get('c')!.hosts.length, 4)
})

const TYPED = (fields: string) =>
  `cluster_type: {name: envoy.cluster.dns, typed_config: {"@type": type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster, ${fields}}}`

test('the cluster type envoy.cluster.dns is strict, or logical with all_addresses_in_single_endpoint', async () => {
  for (const [fields, count] of [
    ['', 2],
    ['all_addresses_in_single_endpoint: true', 1],
  ] as const) {
    const dns = new Dns()
    dns.resolver.set('a.test', ['10.0.0.1', '10.0.0.2'])
    const cluster = await dns.start(`{name: c, ${TYPED(fields)}, ${endpoints('a.test')}}`)
    assert.equal(cluster.hosts.length, count)
  }
})

// When names are asked again.

const rates: readonly (readonly [fact: string, yaml: string, ttlMs: number, againMs: number])[] = [
  ['every five seconds by default, whatever the TTL', 'type: STRICT_DNS', 60_000, 5000],
  ['at dns_refresh_rate', 'type: STRICT_DNS, dns_refresh_rate: 2s', 60_000, 2000],
  ['when the TTL has run out, with respect_dns_ttl', 'type: STRICT_DNS, respect_dns_ttl: true', 60_000, 60_000],
  ['at the ordinary rate when the answer has no TTL', 'type: STRICT_DNS, respect_dns_ttl: true', 0, 5000],
  ['not sooner than dns_min_refresh_rate', TYPED('respect_dns_ttl: true, dns_min_refresh_rate: 20s'), 3000, 20_000],
  ['at the rate of the typed configuration', TYPED('dns_refresh_rate: 3s'), 60_000, 3000],
]
for (const [fact, yaml, ttlMs, againMs] of rates) {
  test(`names are asked again ${fact}`, async () => {
    const dns = new Dns()
    dns.resolver.set('a.test', ['10.0.0.1'], ttlMs)
    await dns.start(`{name: c, ${yaml}, ${endpoints('a.test')}}`)
    await dns.advance(againMs - 20)
    assert.equal(dns.resolver.asked.length, 1)
    await dns.advance(40)
    assert.equal(dns.resolver.asked.length, 2)
  })
}

test('jitter adds at most dns_jitter', async () => {
  const dns = new Dns()
  dns.resolver.set('a.test', ['10.0.0.1'])
  await dns.start(`{name: c, type: STRICT_DNS, dns_refresh_rate: 1s, dns_jitter: 1s, ${endpoints('a.test')}}`)
  await dns.advance(990)
  assert.equal(dns.resolver.asked.length, 1)
  await dns.advance(1020)
  assert.equal(dns.resolver.asked.length, 2)
})

test('after failures names are asked with a growing, jittered delay of dns_failure_refresh_rate', async () => {
  const dns = new Dns()
  dns.resolver.set('a.test', 'SERVFAIL')
  const rate = 'dns_failure_refresh_rate: {base_interval: 1s, max_interval: 4s}'
  await dns.start(`{name: c, type: STRICT_DNS, dns_refresh_rate: 60s, ${rate}, ${endpoints('a.test')}}`)
  await dns.advance(1010)
  assert.equal(dns.resolver.asked.length, 2)
  await dns.advance(2010)
  assert.equal(dns.resolver.asked.length, 3)
  dns.resolver.set('a.test', ['10.0.0.1'])
  await dns.advance(4010)
  assert.equal(dns.resolver.asked.length, 4)
  await dns.advance(30_000)
  assert.equal(dns.resolver.asked.length, 4)
  for (let row = 0; row < 5; row++) {
    dns.resolver.set('a.test', 'SERVFAIL')
    await dns.advance(60_010)
    dns.resolver.set('a.test', ['10.0.0.1'])
    const asked: number = dns.resolver.asked.length
    await dns.advance(1010)
    assert.equal(dns.resolver.asked.length, asked + 1, 'an answer ends the row of failures')
  }
})

test('a cluster that was removed asks nobody any more', async () => {
  const dns = new Dns()
  dns.resolver.set('a.test', ['10.0.0.1'])
  await dns.start(`{name: c, type: STRICT_DNS, ${endpoints('a.test')}}`)
  dns.fixture.manager.remove('c')
  await dns.advance(60_000)
  assert.equal(dns.resolver.asked.length, 1)
})
