import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../sidecar/base/clock.ts'
import { TimerWheel } from '../../../sidecar/base/timer-wheel.ts'
import { successRateThreshold } from '../../../sidecar/cluster/outlier-detection.ts'
import type { OutlierEvent } from '../../../sidecar/cluster/outlier-event.ts'
import { ResponseHeaders } from '../../../sidecar/codec/header-map.ts'
import type { Runtime } from '../../../sidecar/filter-chain/runtime.ts'
import { HostHealth } from '../../../sidecar/upstream/host.ts'
import { ANY_HOST, clusterMessage, ManagerFixture } from './cluster-fixture.ts'

class Detection {
  readonly clock = new ManualClock()
  readonly timers = new TimerWheel(this.clock)
  readonly fixture: ManagerFixture
  readonly cluster

  constructor(
    hosts: number,
    config: string,
    options: { runtime?: Runtime; extra?: string; onOutlierEvent?: (event: OutlierEvent) => void } = {},
  ) {
    const { runtime, onOutlierEvent } = options
    this.fixture = new ManagerFixture({
      clock: this.clock,
      timers: this.timers,
      ...(runtime && { runtime }),
      ...(onOutlierEvent && { onOutlierEvent }),
      matchResponse: () => headers => headers.get('x-bad') === '1',
    })
    const ports = Array.from({ length: hosts }, (_, i) => i + 1)
    this.cluster = this.fixture.cluster(`{name: c, outlier_detection: {${config}}${options.extra ?? ''}}`, ports)
  }

  host(i: number) {
    return this.cluster.hosts[i]!
  }
  /** `count` answers of one host. */
  answer(host: number, status: number, count = 1): void {
    for (let i = 0; i < count; i++) this.cluster.outlier.onResponse(this.host(host), status)
  }
  fail(host: number, kind: 'connect_failed' | 'timeout' | 'reset', count = 1): void {
    for (let i = 0; i < count; i++) this.cluster.outlier.onLocalOriginFailure(this.host(host), kind)
  }
  /** The numbers of the hosts that are out. */
  get ejected(): number[] {
    return this.cluster.hosts.flatMap((host, i) => (host.health & HostHealth.FailedOutlierCheck ? [i] : []))
  }
  advance(ms: number): void {
    // In steps, because a sweep that is late must not hide the one after it.
    for (let left = ms; left > 0; left -= 100) {
      this.clock.advance(Math.min(100, left))
      this.timers.advance()
    }
  }
  stat(name: string): number | undefined {
    return this.fixture.counter(`cluster.c.outlier_detection.ejections_${name}`)
  }
  get active(): number | undefined {
    return this.fixture.gauge('cluster.c.outlier_detection.ejections_active')
  }
}

// Who may be ejected: `100 * (ejected + 1) / hosts` must not exceed max_ejection_percent (measured on Envoy 1.40).

const arithmetic: readonly (readonly [hosts: number, config: string, ejected: number])[] = [
  [3, '', 0],
  [3, 'max_ejection_percent: 33', 0],
  [3, 'max_ejection_percent: 34', 1],
  [3, 'max_ejection_percent: 66', 1],
  [3, 'max_ejection_percent: 67', 2],
  [3, 'max_ejection_percent: 100', 3],
  [3, 'always_eject_one_host: true', 1],
  [1, '', 0],
  [1, 'always_eject_one_host: true', 1],
  [9, '', 0],
  [10, '', 1],
  [20, '', 2],
]
for (const [hosts, config, ejected] of arithmetic) {
  test(`of ${hosts} failing hosts ${ejected} are ejected with ${config || 'the defaults'}`, () => {
    const detection = new Detection(hosts, config)
    for (let i = 0; i < hosts; i++) detection.answer(i, 500, 5)
    assert.equal(detection.ejected.length, ejected)
    assert.equal(detection.active, ejected)
    assert.equal(detection.stat('overflow'), hosts - ejected)
    assert.equal(detection.stat('enforced_total'), ejected)
    assert.equal(detection.stat('detected_consecutive_5xx'), hosts)
  })
}

test('the fifth 5xx in a row ejects, and a success between begins the row anew', () => {
  const detection = new Detection(2, 'max_ejection_percent: 100')
  detection.answer(0, 500, 4)
  detection.answer(0, 200)
  detection.answer(0, 503, 4)
  assert.deepEqual(detection.ejected, [])
  detection.answer(0, 599)
  assert.deepEqual(detection.ejected, [0])
  assert.equal(detection.stat('enforced_consecutive_5xx'), 1)
  assert.equal(detection.stat('consecutive_5xx'), 1)
  assert.equal(detection.stat('total'), 1)
})

test('a 4xx is a success as far as outliers go', () => {
  const detection = new Detection(2, 'max_ejection_percent: 100, consecutive_5xx: 2')
  for (const status of [500, 404, 500, 429]) detection.answer(0, status)
  assert.deepEqual(detection.ejected, [])
})

test('502, 503 and 504 are gateway failures, which are noticed but not enforced by default', () => {
  const detection = new Detection(2, 'max_ejection_percent: 100, consecutive_5xx: 100, consecutive_gateway_failure: 3')
  for (const status of [502, 503, 504]) detection.answer(0, status)
  assert.deepEqual(detection.ejected, [])
  assert.equal(detection.stat('detected_consecutive_gateway_failure'), 1)
  assert.equal(detection.stat('enforced_consecutive_gateway_failure'), 0)
  const enforced = new Detection(
    2,
    'max_ejection_percent: 100, consecutive_5xx: 100, consecutive_gateway_failure: 3, enforcing_consecutive_gateway_failure: 100',
  )
  enforced.answer(0, 502, 2)
  enforced.answer(0, 500)
  enforced.answer(0, 502, 2)
  assert.deepEqual(enforced.ejected, [], 'a 500 ends the row of gateway failures')
  enforced.answer(0, 502)
  assert.deepEqual(enforced.ejected, [0])
})

test('failures of the connection count as 503 and timeouts as 504, unless they are split off', () => {
  const detection = new Detection(2, 'max_ejection_percent: 100')
  detection.fail(0, 'connect_failed', 2)
  detection.fail(0, 'timeout')
  detection.fail(0, 'reset', 2)
  assert.deepEqual(detection.ejected, [0])
  assert.equal(detection.stat('enforced_consecutive_5xx'), 1)
  assert.equal(detection.stat('detected_consecutive_gateway_failure'), 1)
})

test('split off, failures of the connection have a row of their own, which a connection ends', () => {
  const detection = new Detection(2, 'max_ejection_percent: 100, split_external_local_origin_errors: true')
  detection.fail(0, 'connect_failed', 4)
  detection.cluster.outlier.onLocalOriginSuccess(detection.host(0))
  detection.fail(0, 'timeout', 4)
  detection.answer(0, 200)
  assert.deepEqual(detection.ejected, [])
  detection.fail(0, 'timeout')
  assert.deepEqual(detection.ejected, [0])
  assert.equal(detection.stat('enforced_consecutive_local_origin_failure'), 1)
  assert.equal(detection.stat('detected_consecutive_5xx'), 0)
})

// How long a host is out.

test('a host comes back at the first sweep after its time, and must fail a whole row to go again', () => {
  const detection = new Detection(2, 'max_ejection_percent: 100, interval: 10s, base_ejection_time: 15s')
  detection.answer(0, 500, 5)
  detection.advance(19_900)
  assert.deepEqual(detection.ejected, [0])
  // Requests that were under way when it was ejected.
  detection.answer(0, 500, 3)
  detection.advance(200)
  assert.deepEqual(detection.ejected, [])
  assert.equal(detection.active, 0)
  detection.answer(0, 500, 4)
  assert.deepEqual(detection.ejected, [])
  detection.answer(0, 500)
  assert.deepEqual(detection.ejected, [0])
})

test('every ejection lasts one base time longer, up to max_ejection_time (measured on Envoy 1.40)', () => {
  const detection = new Detection(
    2,
    'max_ejection_percent: 100, interval: 1s, base_ejection_time: 10s, max_ejection_time: 25s',
  )
  const seconds = Array.from({ length: 5 }, () => {
    detection.answer(0, 500, 5)
    let ms = 0
    for (; detection.ejected.length > 0; ms += 100) detection.advance(100)
    return Math.round(ms / 1000)
  })
  assert.deepEqual(seconds, [10, 20, 25, 25, 25])
})

test('the multiplier falls by one with every interval that the host is in, not with the sweep that lets it in', () => {
  const detection = new Detection(2, 'max_ejection_percent: 100, interval: 10s, base_ejection_time: 10s')
  const sweepsOut = (intervalsBetween: number) => {
    detection.advance(intervalsBetween * 10_000)
    detection.answer(0, 500, 5)
    let sweeps = 0
    for (; detection.ejected.length > 0; sweeps++) detection.advance(10_000)
    return sweeps
  }
  assert.deepEqual([0, 0, 1, 2, 5].map(sweepsOut), [1, 2, 2, 1, 1])
})

test('ejections and returns are logged as Envoy logs them', () => {
  const events: object[] = []
  const detection = new Detection(2, 'max_ejection_percent: 100', { onOutlierEvent: event => events.push(event) })
  detection.answer(0, 502, 5)
  detection.advance(30_100)
  const event = { cluster_name: 'c', upstream_url: '127.0.0.1:1', num_ejections: 1 }
  const noticed = { ...event, type: 'CONSECUTIVE_GATEWAY_FAILURE', num_ejections: 0, enforced: false }
  assert.deepEqual(events, [
    { ...noticed, timestamp: '2023-11-14T22:13:20.000Z', action: 'EJECT', eject_consecutive_event: {} },
    {
      ...event,
      type: 'CONSECUTIVE_5XX',
      timestamp: '2023-11-14T22:13:20.000Z',
      secs_since_last_action: '0',
      action: 'EJECT',
      enforced: true,
      eject_consecutive_event: {},
    },
    {
      ...event,
      type: 'CONSECUTIVE_5XX',
      timestamp: '2023-11-14T22:13:50.000Z',
      secs_since_last_action: '30',
      action: 'UNEJECT',
      enforced: false,
    },
  ])
})

test('jitter makes an ejection longer, by at most max_ejection_time_jitter', () => {
  const detection = new Detection(
    2,
    'max_ejection_percent: 100, interval: 0.1s, base_ejection_time: 10s, max_ejection_time_jitter: 5s',
  )
  detection.answer(0, 500, 5)
  detection.advance(10_000)
  assert.deepEqual(detection.ejected, [0])
  detection.advance(5_200)
  assert.deepEqual(detection.ejected, [])
})

// Rates.

test('the threshold of success rates is the mean less 1.9 standard deviations', () => {
  // The example of Envoy's documentation is of this shape: four good hosts and a bad one.
  const { average, ejectionThreshold } = successRateThreshold([100, 100, 100, 100, 50], 1.9)
  assert.equal(average, 90)
  assert.equal(ejectionThreshold, 90 - 1.9 * 20)
})

test('a host whose success rate lies far below the others’ is ejected at the sweep', () => {
  const detection = new Detection(6, 'consecutive_5xx: 1000000, max_ejection_percent: 50, enforcing_consecutive_5xx: 0')
  for (let i = 0; i < 6; i++) {
    detection.answer(i, 200, i === 0 ? 50 : 99)
    detection.answer(i, 500, i === 0 ? 50 : 1)
  }
  assert.deepEqual(detection.ejected, [])
  detection.advance(10_100)
  assert.deepEqual(detection.ejected, [0])
  assert.equal(detection.stat('enforced_success_rate'), 1)
  assert.equal(detection.stat('success_rate'), 1)
  assert.equal(detection.cluster.outlier.successRateOf(detection.host(1)), 99)
  assert.ok(detection.cluster.outlier.successRate.average > 90)
})

test('success rates are not judged with too few hosts or too few requests', () => {
  for (const [hosts, requests] of [
    [4, 200],
    [6, 99],
  ] as const) {
    const detection = new Detection(hosts, 'consecutive_5xx: 1000000, max_ejection_percent: 50')
    for (let i = 0; i < hosts; i++) detection.answer(i, i === 0 ? 500 : 200, requests)
    detection.advance(10_100)
    assert.deepEqual(detection.ejected, [])
    assert.equal(detection.cluster.outlier.successRate.average, -1)
  }
})

test('a failure percentage above the threshold is noticed, and ejects where that is enforced', () => {
  for (const [enforcing, ejected] of [
    [0, []],
    [100, [0]],
  ] as const) {
    const detection = new Detection(
      5,
      `consecutive_5xx: 1000000, max_ejection_percent: 50, enforcing_success_rate: 0, enforcing_failure_percentage: ${enforcing}`,
    )
    for (let i = 0; i < 5; i++) {
      detection.answer(i, 500, i === 0 ? 85 : 84)
      detection.answer(i, 200, i === 0 ? 15 : 16)
    }
    detection.advance(10_100)
    assert.deepEqual(detection.ejected, ejected)
    assert.equal(detection.stat('detected_failure_percentage'), 1)
  }
})

test('only the interval that has just ended is judged', () => {
  const detection = new Detection(6, 'consecutive_5xx: 1000000, max_ejection_percent: 50')
  detection.answer(0, 500, 200)
  detection.advance(10_100)
  for (let i = 0; i < 6; i++) detection.answer(i, 200, 100)
  detection.advance(10_000)
  assert.deepEqual(detection.ejected, [])
  assert.equal(detection.cluster.outlier.successRate.average, 100)
})

// Together with the rest.

test('an ejected host gets no requests, and in panic all hosts do', () => {
  const detection = new Detection(4, 'max_ejection_percent: 100')
  detection.answer(0, 500, 5)
  for (let i = 0; i < 40; i++) assert.notEqual(detection.cluster.chooseHost(ANY_HOST), detection.host(0))
  assert.equal(detection.fixture.gauge('cluster.c.membership_healthy'), 3)
  for (const i of [1, 2]) detection.answer(i, 500, 5)
  const chosen = new Set(Array.from({ length: 40 }, () => detection.cluster.chooseHost(ANY_HOST)))
  assert.equal(chosen.size, 4)
  assert.equal(detection.fixture.counter('cluster.c.lb_healthy_panic'), 40)
})

test('answers that were under way when a host was ejected are not held against it twice', () => {
  const detection = new Detection(2, 'max_ejection_percent: 100')
  detection.answer(0, 500, 50)
  assert.equal(detection.stat('enforced_total'), 1)
  assert.equal(detection.stat('detected_consecutive_5xx'), 1)
})

test('an ejected host that leaves the cluster no longer counts as ejected', () => {
  const detection = new Detection(2, 'max_ejection_percent: 100')
  detection.answer(0, 500, 5)
  detection.fixture.manager.add(clusterMessage('{name: c, outlier_detection: {max_ejection_percent: 100}}', [2]))
  assert.equal(detection.active, 0)
  assert.equal(detection.cluster.hosts.length, 1)
})

test('a reload keeps an ejection, and one that drops outlier detection ends it', () => {
  const detection = new Detection(2, 'max_ejection_percent: 100')
  detection.answer(0, 500, 5)
  detection.fixture.manager.add(
    clusterMessage('{name: c, connect_timeout: 9s, outlier_detection: {max_ejection_percent: 100}}', [1, 2]),
  )
  assert.deepEqual(detection.ejected, [0])
  detection.fixture.manager.add(clusterMessage('{name: c}', [1, 2]))
  assert.deepEqual(detection.ejected, [])
  detection.answer(1, 500, 50)
  assert.deepEqual(detection.ejected, [])
})

test('a successful active health check lets a host back in', () => {
  const detection = new Detection(2, 'max_ejection_percent: 100')
  detection.answer(0, 500, 5)
  detection.cluster.outlier.onHealthCheckSuccess(detection.host(0))
  assert.deepEqual(detection.ejected, [])
})

test('enforcing_consecutive_5xx is the percentage of outliers that are really ejected', () => {
  const detection = new Detection(100, 'max_ejection_percent: 100, enforcing_consecutive_5xx: 30')
  for (let i = 0; i < 100; i++) detection.answer(i, 500, 5)
  const share = detection.ejected.length
  assert.ok(share > 15 && share < 45, `${share} %`)
})

test('the runtime overrides limits while the proxy runs', () => {
  const values: Record<string, number> = { 'outlier_detection.consecutive_5xx': 2 }
  const runtime: Runtime = {
    number: (key, fallback) => values[key] ?? fallback,
    boolean: (_key, fallback) => fallback,
    enabled: () => false,
  }
  const detection = new Detection(2, 'max_ejection_percent: 100', { runtime })
  detection.answer(0, 500, 2)
  assert.deepEqual(detection.ejected, [0])
  values['outlier_detection.max_ejection_percent'] = 50
  detection.answer(1, 500, 2)
  assert.deepEqual(detection.ejected, [0])
})

test('an error_matcher decides what is an error, whatever the status', () => {
  const extra = `, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}},
    outlier_detection: {error_matcher: {http_response_headers_match: {headers: [{name: x-bad, string_match: {exact: "1"}}]}}}}}`
  const detection = new Detection(2, 'max_ejection_percent: 100', { extra })
  const bad = new ResponseHeaders(200, ['x-bad', '1'])
  const good = new ResponseHeaders(500)
  const { outlier } = detection.cluster
  for (let i = 0; i < 10; i++) outlier.onResponse(detection.host(1), 500, good)
  for (let i = 0; i < 5; i++) outlier.onResponse(detection.host(0), 200, bad)
  assert.deepEqual(detection.ejected, [0])
})

const warnings: readonly (readonly [config: string, hosts: number, warning: RegExp | undefined])[] = [
  [
    '',
    3,
    /max_ejection_percent 10 % of 3 hosts ejects nobody; set max_ejection_percent to 34 or more, or always_eject_one_host: true/,
  ],
  ['', 1, /10 % of 1 host ejects nobody; set max_ejection_percent to 100/],
  ['max_ejection_percent: 33', 3, /33 % of 3 hosts ejects nobody/],
  ['max_ejection_percent: 34', 3, undefined],
  ['always_eject_one_host: true', 3, undefined],
  ['', 10, undefined],
  [
    'max_ejection_percent: 100, enforcing_consecutive_5xx: 0, enforcing_consecutive_local_origin_failure: 0, enforcing_success_rate: 0, enforcing_local_origin_success_rate: 0',
    3,
    /ejects nobody, because every enforcing_… is 0/,
  ],
]
for (const [config, hosts, warning] of warnings) {
  test(`outlier_detection {${config}} for ${hosts} hosts ${warning ? 'warns' : 'needs no warning'}`, () => {
    using fixture = new ManagerFixture()
    const ports = Array.from({ length: hosts }, (_, i) => i + 1)
    const found = fixture.manager.add(clusterMessage(`{name: c, outlier_detection: {${config}}}`, ports))
    assert.equal(found.length, warning === undefined ? 0 : 1)
    if (warning !== undefined) assert.match(found[0]!, warning)
  })
}

test('a LOGICAL_DNS cluster has one host, whatever its name stands for; how many STRICT_DNS finds nobody knows', () => {
  using fixture = new ManagerFixture()
  const warningsOf = (type: string) =>
    fixture.manager.add(clusterMessage(`{name: ${type}, type: ${type}, outlier_detection: {}}`, [1]))
  assert.match(warningsOf('LOGICAL_DNS')[0]!, /10 % of 1 host ejects nobody; set max_ejection_percent to 100/)
  assert.deepEqual(warningsOf('STRICT_DNS'), [])
})
