import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { DnsAnswer } from '../../../sidecar/cluster/dns-resolver.ts'
import { ConfigError } from '../../../sidecar/filter-chain/http-filter.ts'
import { waitFor } from '../../kit/wait-for.ts'
import { OK, ScriptedServer } from '../upstream/scripted-server.ts'
import { ANY_HOST, clusterMessage, Exchange, ManagerFixture } from './cluster-fixture.ts'

const hostsOf = (fixture: ManagerFixture, name = 'c') => fixture.manager.get(name)?.hosts.map(host => host.address.port)

test('a cluster is found by its name, and counted', () => {
  using fixture = new ManagerFixture()
  fixture.manager.add(clusterMessage('{name: c}', [1, 2]))
  assert.deepEqual(hostsOf(fixture), [1, 2])
  assert.equal(fixture.manager.get('d'), undefined)
  assert.equal(fixture.counter('cluster_manager.cluster_added'), 1)
  assert.equal(fixture.gauge('cluster_manager.active_clusters'), 1)
  assert.equal(fixture.gauge('cluster.c.membership_total'), 2)
})

test('the same message again changes nothing', () => {
  using fixture = new ManagerFixture()
  fixture.manager.add(clusterMessage('{name: c}', [1]))
  fixture.manager.add(clusterMessage('{name: c}', [1]))
  assert.equal(fixture.counter('cluster_manager.cluster_modified'), 0)
  assert.equal(fixture.counter('cluster.c.membership_change'), 1)
})

test('an update keeps the hosts that stay, with their connections and counters', async () => {
  await using server = await ScriptedServer.answering(OK)
  await using other = await ScriptedServer.answering(OK)
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [server.port])
  await new Exchange().start(cluster).finished()
  const host = cluster.hosts[0]!
  fixture.manager.add(clusterMessage('{name: c, connect_timeout: 9s}', [server.port, other.port]))
  assert.equal(fixture.manager.get('c'), cluster)
  assert.equal(cluster.hosts[0], host)
  assert.equal(host.stats.rqTotal.value, 1)
  const exchanges = [await new Exchange().start(cluster).finished(), await new Exchange().start(cluster).finished()]
  assert.deepEqual(exchanges.map(exchange => exchange.connection!.reused).sort(), [false, true])
  assert.equal(fixture.counter('cluster_manager.cluster_modified'), 1)
})

test('a request in flight to a host that leaves is finished, and its connection then closed', async () => {
  await using server = await ScriptedServer.start(socket =>
    socket.on('data', () => setTimeout(() => socket.write(OK), 50)),
  )
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [server.port])
  const exchange = new Exchange().start(cluster)
  await waitFor(() => exchange.encoder)
  fixture.manager.add(clusterMessage('{name: c}', [1]))
  assert.deepEqual(hostsOf(fixture), [1])
  await exchange.finished()
  assert.equal(exchange.status, 200)
  await waitFor(() => server.open === 0)
})

test('a removed cluster finishes what runs, serves what waits, and takes its stats with it', async () => {
  await using server = await ScriptedServer.start(socket =>
    socket.on('data', () => setTimeout(() => socket.write(OK), 30)),
  )
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c, circuit_breakers: {thresholds: [{max_connections: 1}]}}', [server.port])
  const running = new Exchange().start(cluster)
  await waitFor(() => running.encoder)
  const waiting = new Exchange().start(cluster)
  assert.equal(fixture.manager.remove('c'), true)
  assert.equal(fixture.manager.remove('c'), false)
  assert.equal(fixture.manager.get('c'), undefined)
  await Promise.all([running.finished(), waiting.finished()])
  assert.deepEqual([running.status, waiting.status], [200, 200])
  await waitFor(() => fixture.counter('cluster.c.upstream_cx_total') === undefined, { what: 'the stats to go' })
  assert.equal(fixture.counter('cluster_manager.cluster_removed'), 1)
  await waitFor(() => server.open === 0)
})

test('idle connections of a removed cluster are closed at once', async () => {
  await using server = await ScriptedServer.answering(OK)
  using fixture = new ManagerFixture()
  await new Exchange().start(fixture.cluster('{name: c}', [server.port])).finished()
  await delay(5)
  fixture.manager.remove('c')
  await waitFor(() => server.open === 0)
  await waitFor(() => fixture.counter('cluster.c.upstream_cx_total') === undefined)
})

test('a request that chose its host just before the cluster went is still served', async () => {
  await using server = await ScriptedServer.answering(OK)
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [server.port])
  const host = cluster.chooseHost(ANY_HOST)!
  fixture.manager.remove('c')
  const exchange = new Exchange()
  cluster.newStream(host, 0, { method: 'GET', upgrade: false }, exchange, exchange)
  await exchange.finished()
  assert.equal(exchange.status, 200)
  await waitFor(() => server.open === 0)
})

test('a name that was removed and comes again is another cluster under the same name', async () => {
  using fixture = new ManagerFixture()
  const before = fixture.cluster('{name: c}', [1])
  fixture.manager.remove('c')
  const after = fixture.cluster('{name: c}', [1])
  assert.notEqual(before, after)
  assert.equal(fixture.gauge('cluster.c.membership_total'), 1)
})

test('replaceAll adds, changes and removes, and leaves alone what is the same', () => {
  using fixture = new ManagerFixture()
  for (const name of ['a', 'b', 'c']) fixture.manager.add(clusterMessage(`{name: ${name}}`, [1]))
  const kept = fixture.manager.get('a')
  const changes = fixture.manager.replaceAll([
    clusterMessage('{name: a}', [1]),
    clusterMessage('{name: b}', [2]),
    clusterMessage('{name: d, outlier_detection: {}}', [1]),
  ])
  assert.deepEqual([changes.added, changes.modified, changes.removed], [['d'], ['b'], ['c']])
  assert.match(changes.warnings[0]!, /ejects nobody/)
  assert.equal(fixture.manager.get('a'), kept)
  assert.deepEqual(fixture.manager.names.sort(), ['a', 'b', 'd'])
})

test('replaceAll changes nothing when one of the clusters cannot be run', () => {
  using fixture = new ManagerFixture({ policies: [] })
  assert.throws(() => fixture.manager.replaceAll([clusterMessage('{name: c}', [1])]), ConfigError)
  assert.deepEqual(fixture.manager.names, [])
})

test('a policy that does not ship is refused with its field', () => {
  using fixture = new ManagerFixture({ policies: [] })
  assert.throws(
    () => fixture.manager.check(clusterMessage('{name: c}', [1])),
    (error: ConfigError) => error.field === 'lb_policy' && /ROUND_ROBIN is not supported yet/.test(error.message),
  )
})

test('load_balancing_policy goes before lb_policy', () => {
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster(
    `{name: c, lb_policy: RANDOM, load_balancing_policy: {policies: [{typed_extension_config: {name: x, typed_config:
      {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin}}}]}}`,
    [1, 2],
  )
  const first = cluster.chooseHost(ANY_HOST)
  assert.notEqual(cluster.chooseHost(ANY_HOST), first)
  assert.equal(cluster.chooseHost(ANY_HOST), first)
})

test('another alt_stat_name moves the stats to the new name', () => {
  using fixture = new ManagerFixture()
  fixture.manager.add(clusterMessage('{name: c}', [1]))
  fixture.manager.add(clusterMessage('{name: c, alt_stat_name: d}', [1]))
  assert.equal(fixture.gauge('cluster.d.membership_total'), 1)
  assert.equal(fixture.gauge('cluster.c.membership_total'), undefined)
  assert.equal(fixture.manager.get('c')!.statName, 'd')
})

test('configured health is honoured: UNHEALTHY and DRAINING hosts get nothing, DEGRADED ones count as such', () => {
  using fixture = new ManagerFixture()
  const endpoint = (port: number, status: string) =>
    `{health_status: ${status}, endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: ${port}}}}}`
  const healthy = [1, 2, 3, 4, 5].map(port => endpoint(port, port === 1 ? 'UNKNOWN' : 'HEALTHY'))
  const list = [...healthy, endpoint(6, 'DRAINING'), endpoint(7, 'DEGRADED')]
  const cluster = fixture.cluster(
    `{name: c, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [${list}]}]}}`,
  )
  const chosen = new Set(Array.from({ length: 50 }, () => cluster.chooseHost(ANY_HOST)!.address.port))
  assert.deepEqual([...chosen].sort(), [1, 2, 3, 4, 5])
  assert.equal(fixture.gauge('cluster.c.membership_healthy'), 5)
  assert.equal(fixture.gauge('cluster.c.membership_degraded'), 1)
  assert.deepEqual(fixture.manager.membershipOf('c'), { hosts: 7, healthy: 5, degraded: 1 })
  assert.equal(fixture.manager.membershipOf('d'), undefined)
})

test('an endpoint listed twice is two hosts, also after a reload', () => {
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c}', [1, 1, 2])
  const before = cluster.hosts
  assert.equal(new Set(before).size, 3)
  fixture.manager.add(clusterMessage('{name: c, connect_timeout: 9s}', [1, 1, 2]))
  assert.deepEqual(cluster.hosts, before)
})

// Warming.

function deferredResolver() {
  let answer: (value: DnsAnswer) => void = () => {}
  const resolver = { resolve: () => new Promise<DnsAnswer>(resolve => (answer = resolve)), close() {} }
  return { resolver: () => resolver, answer: () => answer({ addresses: ['10.0.0.1'], ttlMs: 0, failure: undefined }) }
}
const DNS = (extra = '') =>
  `{name: c, type: STRICT_DNS${extra}, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: a.test, port_value: 80}}}}]}]}}`

test('initialize waits for the first answer of the DNS', async () => {
  const { resolver, answer } = deferredResolver()
  using fixture = new ManagerFixture({ resolver })
  fixture.manager.add(clusterMessage(DNS()))
  let ready = false
  const initialized = fixture.manager.initialize().then(() => (ready = true))
  await delay(10)
  assert.deepEqual(
    [ready, fixture.gauge('cluster_manager.warming_clusters'), fixture.gauge('cluster.c.warming_state')],
    [false, 1, 1],
  )
  answer()
  await initialized
  assert.deepEqual(
    [fixture.gauge('cluster_manager.warming_clusters'), fixture.gauge('cluster_manager.active_clusters')],
    [0, 1],
  )
  assert.equal(hostsOf(fixture)!.length, 1)
})

test('initialize does not wait for a cluster with wait_for_warm_on_init off', async () => {
  const { resolver } = deferredResolver()
  using fixture = new ManagerFixture({ resolver })
  fixture.manager.add(clusterMessage(DNS(', wait_for_warm_on_init: false')))
  await fixture.manager.initialize()
})

test('initialize does not wait for a cluster that was removed meanwhile', async () => {
  const { resolver } = deferredResolver()
  using fixture = new ManagerFixture({ resolver })
  fixture.manager.add(clusterMessage(DNS()))
  const initialized = fixture.manager.initialize()
  fixture.manager.remove('c')
  await initialized
})

test('an update of a DNS cluster keeps its hosts until the new answer is there', async () => {
  const { resolver, answer } = deferredResolver()
  using fixture = new ManagerFixture({ resolver })
  fixture.manager.add(clusterMessage(DNS()))
  answer()
  await fixture.manager.initialize()
  fixture.manager.add(clusterMessage(DNS(', connect_timeout: 9s')))
  assert.equal(hostsOf(fixture)!.length, 1)
})

// Stats and views.

test('what never happened reads 0 rather than being missing', () => {
  using fixture = new ManagerFixture()
  fixture.manager.add(clusterMessage('{name: c, outlier_detection: {max_ejection_percent: 100}}', [1]))
  for (const name of LISTED_BY_ENVOY) {
    const full = `cluster.c.${name}`
    assert.ok(fixture.stats.counters.has(full) || fixture.stats.gauges.has(full), `${full} is missing`)
  }
  for (const name of ['upstream_cx_connect_ms', 'upstream_cx_length_ms', 'upstream_rq_per_cx']) {
    assert.ok(fixture.stats.histograms.has(`cluster.c.${name}`), name)
  }
})

test('per_endpoint_stats shows every host under its address', async () => {
  await using server = await ScriptedServer.answering(OK)
  using fixture = new ManagerFixture()
  const cluster = fixture.cluster('{name: c, track_cluster_stats: {per_endpoint_stats: true}}', [server.port])
  await new Exchange().start(cluster).finished()
  const prefix = `cluster.c.endpoint.127.0.0.1_${server.port}`
  assert.equal(fixture.counter(`${prefix}.rq_total`), 1)
  assert.equal(fixture.gauge(`${prefix}.cx_active`), 1)
  assert.equal(fixture.gauge(`${prefix}.healthy`), 1)
  fixture.manager.add(clusterMessage('{name: c, track_cluster_stats: {per_endpoint_stats: true}}', [1]))
  await waitFor(() => fixture.counter(`${prefix}.rq_total`) === undefined)
})

test('responses are charged by code and class, in trees of their own for external, internal and retried ones', () => {
  using fixture = new ManagerFixture()
  const { requestStats } = fixture.cluster('{name: c}', [1])
  requestStats.response(200, '')
  requestStats.response(503, 'external')
  requestStats.response(503, 'retry')
  requestStats.responseTime(5, 'external')
  assert.equal(fixture.counter('cluster.c.upstream_rq_200'), 1)
  assert.equal(fixture.counter('cluster.c.upstream_rq_2xx'), 1)
  assert.equal(fixture.counter('cluster.c.external.upstream_rq_503'), 1)
  assert.equal(fixture.counter('cluster.c.external.upstream_rq_5xx'), 1)
  assert.equal(fixture.counter('cluster.c.external.upstream_rq_completed'), 1)
  assert.equal(fixture.counter('cluster.c.retry.upstream_rq_503'), 1)
  assert.equal(fixture.stats.histograms.get('cluster.c.external.upstream_rq_time')!.stat.snapshot().count, 1)
})

test('an answer is charged once in the own tree and once in that of its caller', () => {
  using fixture = new ManagerFixture()
  const { requestStats } = fixture.cluster('{name: c}', [1])
  requestStats.chargeResponse(200, false)
  requestStats.chargeResponse(503, true)
  requestStats.chargeTime(5, false, '')
  const counted = ['', 'external.', 'internal.'].map(tree =>
    ['completed', '200', '5xx'].map(name => fixture.counter(`cluster.c.${tree}upstream_rq_${name}`)),
  )
  assert.deepEqual(counted, [
    [2, 1, 1],
    [1, 1, undefined],
    [1, undefined, 1],
  ])
  assert.equal(fixture.stats.histograms.get('cluster.c.external.upstream_rq_time')!.stat.snapshot().count, 1)
})

test('the view of a cluster has its limits, its hosts and their counters', () => {
  using fixture = new ManagerFixture()
  fixture.cluster('{name: c, circuit_breakers: {thresholds: [{max_requests: 7}]}}', [1])
  const [view] = fixture.manager.view()
  assert.equal(view!.circuitBreakers[0].maxRequests, 7)
  assert.deepEqual(view!.successRate, { average: -1, ejectionThreshold: -1 })
  const host = view!.hosts[0]!
  assert.equal(host.address, '127.0.0.1:1')
  assert.deepEqual(
    host.counters.map(([name]) => name),
    ['cx_active', 'cx_connect_fail', 'cx_total', 'rq_active', 'rq_error', 'rq_success', 'rq_timeout', 'rq_total'],
  )
})

test('close cuts everything at once', async () => {
  await using server = await ScriptedServer.start(() => {})
  const fixture = new ManagerFixture()
  const exchange = new Exchange().start(fixture.cluster('{name: c}', [server.port]))
  await waitFor(() => exchange.encoder)
  fixture.manager.close()
  await exchange.finished()
  assert.deepEqual(exchange.events, ['reset:local_reset'])
  await waitFor(() => server.open === 0)
})

/** What `/stats` of Envoy 1.40 lists for a STATIC cluster with outlier detection before any request; bytes buffered aside. */
const LISTED_BY_ENVOY = `
assignment_stale assignment_timeout_received assignment_use_cached bind_errors
circuit_breakers.default.cx_open circuit_breakers.default.cx_pool_open circuit_breakers.default.rq_open
circuit_breakers.default.rq_pending_open circuit_breakers.default.rq_retry_open circuit_breakers.high.cx_open
circuit_breakers.high.cx_pool_open circuit_breakers.high.rq_open circuit_breakers.high.rq_pending_open
circuit_breakers.high.rq_retry_open lb_healthy_panic lb_local_cluster_not_ok lb_recalculate_zone_structures
lb_subsets_active lb_subsets_created lb_subsets_fallback lb_subsets_fallback_panic lb_subsets_removed
lb_subsets_selected lb_zone_cluster_too_small lb_zone_no_capacity_left lb_zone_routing_all_directly
lb_zone_routing_cross_zone lb_zone_routing_sampled max_host_weight membership_change membership_degraded
membership_excluded membership_healthy membership_total original_dst_host_invalid outlier_detection.ejections_active
outlier_detection.ejections_consecutive_5xx outlier_detection.ejections_detected_consecutive_5xx
outlier_detection.ejections_detected_consecutive_gateway_failure
outlier_detection.ejections_detected_consecutive_local_origin_failure
outlier_detection.ejections_detected_degradation outlier_detection.ejections_detected_failure_percentage
outlier_detection.ejections_detected_local_origin_failure_percentage
outlier_detection.ejections_detected_local_origin_success_rate outlier_detection.ejections_detected_success_rate
outlier_detection.ejections_enforced_consecutive_5xx outlier_detection.ejections_enforced_consecutive_gateway_failure
outlier_detection.ejections_enforced_consecutive_local_origin_failure
outlier_detection.ejections_enforced_failure_percentage
outlier_detection.ejections_enforced_local_origin_failure_percentage
outlier_detection.ejections_enforced_local_origin_success_rate outlier_detection.ejections_enforced_success_rate
outlier_detection.ejections_enforced_total outlier_detection.ejections_overflow
outlier_detection.ejections_success_rate outlier_detection.ejections_total retry_or_shadow_abandoned update_attempt
update_empty update_failure update_no_rebuild update_success upstream_cx_active upstream_cx_close_notify
upstream_cx_connect_attempts_exceeded upstream_cx_connect_fail upstream_cx_connect_timeout
upstream_cx_connect_with_0_rtt upstream_cx_destroy upstream_cx_destroy_local upstream_cx_destroy_local_with_active_rq
upstream_cx_destroy_remote upstream_cx_destroy_remote_with_active_rq upstream_cx_destroy_with_active_rq
upstream_cx_http1_total upstream_cx_http2_total upstream_cx_http3_total upstream_cx_idle_timeout
upstream_cx_max_duration_reached upstream_cx_max_requests upstream_cx_none_healthy upstream_cx_overflow
upstream_cx_pool_overflow upstream_cx_preconnect_skipped upstream_cx_protocol_error
upstream_cx_rx_bytes_total upstream_cx_total upstream_cx_tx_bytes_total
upstream_flow_control_backed_up_total upstream_flow_control_drained_total upstream_flow_control_paused_reading_total
upstream_flow_control_resumed_reading_total upstream_http3_broken upstream_internal_redirect_failed_total
upstream_internal_redirect_succeeded_total upstream_queue_overloaded upstream_rq_0rtt upstream_rq_active
upstream_rq_active_overflow upstream_rq_cancelled upstream_rq_completed upstream_rq_maintenance_mode
upstream_rq_max_duration_reached upstream_rq_pending_active upstream_rq_pending_failure_eject
upstream_rq_pending_overflow upstream_rq_pending_total upstream_rq_per_try_idle_timeout upstream_rq_per_try_timeout
upstream_rq_retry upstream_rq_retry_backoff_exponential upstream_rq_retry_backoff_ratelimited
upstream_rq_retry_limit_exceeded upstream_rq_retry_overflow upstream_rq_retry_success upstream_rq_rx_reset
upstream_rq_rx_reset_no_error upstream_rq_timeout upstream_rq_total upstream_rq_tx_reset version warming_state
`
  .trim()
  .split(/\s+/)
