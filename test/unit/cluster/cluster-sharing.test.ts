import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../sidecar/base/clock.ts'
import { giveBackShare } from '../../../sidecar/base/shared-count.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import type { PublishedCluster } from '../../../sidecar/cluster/cluster-sharing.ts'
import { StatsStore } from '../../../sidecar/observability/stats-store.ts'
import { HostHealth } from '../../../sidecar/upstream/host.ts'
import { ANY_HOST, ManagerFixture } from './cluster-fixture.ts'

/** A control side and workers in one thread: what they share and tell each other is the same. */
class Process {
  readonly clock = new ManualClock()
  readonly timers = new TimerWheel(this.clock)
  readonly control: ManagerFixture
  readonly workers: ManagerFixture[] = []
  readonly #yaml: string
  readonly #ports: readonly number[]
  readonly #published: PublishedCluster[] = []

  constructor(workers: number, yaml: string, ports: readonly number[]) {
    this.#yaml = yaml
    this.#ports = ports
    const { clock, timers } = this
    this.control = new ManagerFixture({
      clock,
      timers,
      sharing: { side: 'control', workers },
      onMembershipChange: () => this.publish(),
    })
    this.control.cluster(yaml, ports)
    for (let worker = 0; worker < workers; worker++) this.#start(worker)
  }

  #start(worker: number): void {
    this.#published[worker] = this.control.manager.get('c')!.publish()
    this.workers[worker] = new ManagerFixture({
      clock: this.clock,
      timers: this.timers,
      controlStats: new StatsStore(),
      sharing: {
        side: 'worker',
        worker,
        published: () => this.#published[worker],
        reportRow: (_cluster, identity, type) => {
          const { hosts, outlier } = this.control.manager.get('c')!
          outlier.onReportedRow(hosts.find(host => host.identity === identity)!, type)
        },
      },
    })
    this.workers[worker].cluster(this.#yaml, this.#ports)
  }

  publish(): void {
    const published = this.control.manager.get('c')?.publish()
    if (published !== undefined)
      for (const worker of this.workers) worker.manager.get('c')!.adopt(structuredClone(published))
  }

  breaker(worker: number) {
    return this.workers[worker]!.manager.get('c')!.breakers[0]
  }

  answer(worker: number, host: number, status: number): void {
    const cluster = this.workers[worker]!.manager.get('c')!
    cluster.outlier.onResponse(cluster.hosts[host]!, status)
  }

  get ejected(): boolean[][] {
    return [this.control, ...this.workers].map(({ manager }) =>
      manager.get('c')!.hosts.map(({ health }) => (health & HostHealth.FailedOutlierCheck) !== 0),
    )
  }
}

test('a limit is one for all workers, and so is the gauge that tells of it', () => {
  const yaml = '{name: c, circuit_breakers: {thresholds: [{max_requests: 3, max_retries: 1, track_remaining: true}]}}'
  const run = new Process(2, yaml, [1])
  const { control } = run
  assert.deepEqual(
    [0, 1, 0, 1].map(worker => run.breaker(worker).requests.tryTake()),
    [true, true, true, false],
  )
  assert.deepEqual([run.breaker(0).retries.tryTake(), run.breaker(1).retries.tryTake()], [true, false])
  control.manager.refreshGauges()
  const gauge = (name: string) => control.gauge(`cluster.c.circuit_breakers.default.${name}`)
  assert.deepEqual([gauge('rq_open'), gauge('remaining_rq'), gauge('rq_retry_open')], [1, 0, 1])
  run.breaker(0).requests.release()
  control.manager.refreshGauges()
  assert.deepEqual([gauge('rq_open'), gauge('remaining_rq')], [0, 1])
  giveBackShare(control.manager.get('c')!.publish().breakers, 0)
  assert.deepEqual([run.breaker(1).requests.inUse, run.breaker(1).retries.inUse], [1, 0])
})

test('connections to a host are counted for all workers as soon as there is a limit for the host alone', () => {
  const unlimited = new Process(1, '{name: c}', [1])
  assert.equal(unlimited.control.manager.get('c')!.publish().hosts[0]!.connectionMemory, undefined)
  const yaml = '{name: c, circuit_breakers: {per_host_thresholds: [{max_connections: 3}]}}'
  const run = new Process(2, yaml, [1, 2])
  const host = (worker: number, index: number) => run.workers[worker]!.manager.get('c')!.hosts[index]!
  host(0, 0).sharedConnections!.take()
  host(1, 0).sharedConnections!.take()
  assert.deepEqual(
    [host(0, 0).sharedConnections!.value, host(1, 0).sharedConnections!.value, host(1, 1).sharedConnections!.value],
    [2, 2, 0],
  )
  const { connectionMemory } = run.control.manager.get('c')!.publish().hosts[0]!
  giveBackShare(connectionMemory!, 0)
  assert.equal(host(1, 0).sharedConnections!.value, 1)
})

test('connections that stood before the limit came are counted with it', () => {
  const run = new Process(1, '{name: c}', [1])
  const [host] = run.workers[0]!.manager.get('c')!.hosts
  host!.stats.cxActive.inc()
  assert.equal(host!.sharedConnections, undefined)
  const limited = '{name: c, circuit_breakers: {per_host_thresholds: [{max_connections: 3}]}}'
  run.control.cluster(limited, [1])
  run.publish()
  assert.deepEqual([host!.sharedConnections!.value, host!.sharedConnections!.share], [1, 1])
})

test('a retry budget is a share of what all workers have in flight', () => {
  const yaml =
    '{name: c, circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 50}, min_retry_concurrency: 1}}]}}'
  const run = new Process(2, yaml, [1])
  for (let i = 0; i < 4; i++) run.breaker(i % 2).requests.take()
  assert.deepEqual(
    [0, 1, 0].map(worker => run.breaker(worker).retries.tryTake()),
    [true, true, false],
  )
})

test('a row of failures counts across workers; the verdict is made once and reaches all', () => {
  const run = new Process(3, '{name: c, outlier_detection: {consecutive_5xx: 4, max_ejection_percent: 100}}', [1, 2])
  for (let i = 0; i < 3; i++) run.answer(i, 0, 500)
  assert.ok(run.ejected.every(hosts => !hosts.includes(true)))
  run.answer(1, 1, 500)
  run.answer(0, 0, 500)
  assert.deepEqual(run.ejected, [
    [true, false],
    [true, false],
    [true, false],
    [true, false],
  ])
  const counter = (name: string) => run.control.counter(`cluster.c.outlier_detection.${name}`)
  assert.deepEqual([counter('ejections_enforced_total'), run.control.gauge('cluster.c.membership_healthy')], [1, 1])
  for (let i = 0; i < 10; i++) {
    assert.equal(run.workers[1]!.manager.get('c')!.chooseHost(ANY_HOST)?.addressText, '127.0.0.1:2')
  }
  for (let ms = 0; ms < 41_000; ms += 500) {
    run.clock.advance(500)
    run.timers.advance()
  }
  assert.ok(
    run.ejected.every(hosts => !hosts.includes(true)),
    'let in again, everywhere',
  )
})

test('a success in one worker ends the row that others have seen', () => {
  const run = new Process(2, '{name: c, outlier_detection: {consecutive_5xx: 3, max_ejection_percent: 100}}', [1])
  for (const status of [500, 500]) run.answer(0, 0, status)
  run.answer(1, 0, 200)
  for (const status of [500, 500]) run.answer(0, 0, status)
  assert.deepEqual(run.ejected[0], [false])
  run.answer(1, 0, 500)
  assert.deepEqual(run.ejected[0], [true])
})

test('success rates are those of all workers together', () => {
  const config =
    'interval: 1s, success_rate_minimum_hosts: 3, success_rate_request_volume: 10, success_rate_stdev_factor: 1000, max_ejection_percent: 50, consecutive_5xx: 1000'
  const run = new Process(2, `{name: c, outlier_detection: {${config}}}`, [1, 2, 3])
  // Five requests a worker: enough together only.
  for (let i = 0; i < 10; i++) for (const host of [0, 1, 2]) run.answer(i % 2, host, host === 2 && i < 8 ? 500 : 200)
  for (let ms = 0; ms < 1100; ms += 100) {
    run.clock.advance(100)
    run.timers.advance()
  }
  assert.deepEqual(run.ejected, [
    [false, false, true],
    [false, false, true],
    [false, false, true],
  ])
})

test('what is decided once is counted once, and not by workers', () => {
  const run = new Process(2, '{name: c}', [1, 2])
  assert.equal(run.control.gauge('cluster.c.membership_total'), 2)
  assert.equal(run.workers[0]!.gauge('cluster.c.membership_total'), undefined)
  assert.equal(run.workers[0]!.gauge('cluster.c.circuit_breakers.default.rq_open'), undefined)
  assert.equal(run.workers[0]!.counter('cluster.c.upstream_rq_timeout'), 0)
})
